//! Groups and who is in them, written directly.

use bson::{Document, RawDocumentBuf, doc};

use super::queries::{self, Find};
use super::{MongoStore, Place, documents, errors, rooms, statements};
use crate::model::{Group, GroupChange, GroupId, GroupSummary, UserId};
use crate::store::rooms::newest;
use crate::store::{MembershipChange, Result, StoreError};

/// Longest text that is searched for, in bytes; the server refuses patterns above 32 kB, and no
/// name is that long.
const MAX_SEARCH_BYTES: usize = 8_192;

impl MongoStore {
    /// Stores a new group. Repeated after an error, it finds its own group and is content.
    pub(super) async fn insert_group(&self, group: &Group) -> Result<()> {
        let place = self.place().await?;
        let row = RawDocumentBuf::try_from(documents::from_group(group))
            .map_err(|error| StoreError::Permanent(error.into()))?;
        self.noted(group.id, &group.members, self.insert_row(place, group.id, row)).await
    }

    /// Makes a change of a group, and notes it for those who catch up: before it, as there may be
    /// no "after", and after it, as somebody may have looked in between and seen the old state.
    pub(super) async fn noted<T>(
        &self,
        group: GroupId,
        users: &[UserId],
        change: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.note_members(group, users).await?;
        let outcome = change.await?;
        self.note_members(group, users).await?;
        Ok(outcome)
    }

    async fn insert_row(&self, place: &Place, group: GroupId, row: RawDocumentBuf) -> Result<()> {
        match self.timed(super::WRITE_LIMIT, place.groups.insert_one(row)).await? {
            Ok(_) => Ok(()),
            Err(error) if errors::is_duplicate(&error) => {
                let stored = self.find_on_primary(&queries::group_by_id(group)).await?;
                if stored.is_empty() { Err(errors::classify(error)) } else { Ok(()) }
            }
            Err(error) => Err(errors::classify(error)),
        }
    }

    pub(super) async fn find_groups(&self, query: &Find) -> Result<Vec<Group>> {
        // A limit of 0 means none to the server.
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find(query).await?;
        Ok(super::reads::readable(&rows, documents::to_group))
    }

    /// Groups with their first members, in no order.
    pub(super) async fn find_summaries(
        &self,
        ids: &[GroupId],
        members: usize,
    ) -> Result<Vec<GroupSummary>> {
        let rows = self.aggregate(queries::group_summaries(ids, members)).await?;
        Ok(super::reads::readable(&rows, |row| documents::to_summary(row, members)))
    }

    pub(super) async fn find_named(
        &self,
        text: &str,
        viewer: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Group>> {
        // No name holds a NUL character, and the server takes none in a pattern.
        if text.len() > MAX_SEARCH_BYTES || text.contains('\0') {
            return Ok(Vec::new());
        }
        let Some(viewer) = viewer else {
            return self.find_groups(&queries::groups_named(text, limit)).await;
        };
        let public = self.find_groups(&rooms::public_groups_named(text, limit)).await?;
        let own = self.find_groups(&queries::groups_of_named(viewer, text, limit)).await?;
        Ok(newest(own, public, |group| group, limit))
    }

    /// Changes who is in a group.
    pub(super) async fn change_members(
        &self,
        group: GroupId,
        user: &UserId,
        change: Document,
    ) -> Result<MembershipChange> {
        let groups = &self.place().await?.groups;
        let change = self.write(groups.update_one(doc! {"_id": group.0}, change));
        let result = self.noted(group, std::slice::from_ref(user), change).await?;
        Ok(match (result.matched_count, result.modified_count) {
            (0, _) => MembershipChange::NoGroup,
            (_, 0) => MembershipChange::Unchanged,
            _ => MembershipChange::Changed,
        })
    }

    /// Changes a group, its members aside; whether it is there.
    pub(super) async fn alter_group(&self, id: GroupId, change: &GroupChange) -> Result<bool> {
        let groups = &self.place().await?.groups;
        let change = statements::group_change(change);
        let change = self.write(groups.update_one(doc! {"_id": id.0}, change));
        Ok(self.noted(id, &[], change).await?.matched_count > 0)
    }

    pub(super) async fn remove_group(&self, id: GroupId) -> Result<bool> {
        let groups = &self.place().await?.groups;
        let stored = self.find_on_primary(&queries::group_by_id(id)).await?;
        let Some(group) = stored.iter().find_map(documents::to_group) else { return Ok(false) };
        // While the group is there, all of this is done again after an error.
        self.remove_invitations(id).await?;
        let delete = self.write(groups.delete_one(doc! {"_id": id.0}));
        Ok(self.noted(id, &group.members, delete).await?.deleted_count > 0)
    }
}
