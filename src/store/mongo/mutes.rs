//! Groups that users have muted.

use bson::{Bson, RawDocumentBuf, doc};

use super::indexes::MUTE_CHANGES;
use super::queries::{self, Find};
use super::{MUTES, MongoStore, documents, errors, reads, statements};
use crate::model::{GroupId, Until, UserId};
use crate::store::Result;

/// What a user has muted, the latest first.
pub fn mutes_of(user: &UserId, limit: usize) -> Find {
    let filter = doc! {"user": user.as_str(), "muted": true};
    Find::ordered(MUTE_CHANGES, filter, doc! {"version": -1, "_id": -1}, limit)
}

/// Which of these groups a user has muted, or has unmuted.
pub fn mutes_in(user: &UserId, groups: &[GroupId]) -> Find {
    let ids = groups.iter().map(|group| Bson::from(queries::cursor_id(user, *group)));
    Find {
        collection: MUTES,
        filter: doc! {"_id": {"$in": ids.collect::<Vec<_>>()}},
        sort: None,
        hint: None,
        projection: None,
        limit: 0,
    }
}

impl MongoStore {
    pub(super) async fn set_mute(
        &self,
        user: &UserId,
        group: GroupId,
        until: Option<Until>,
    ) -> Result<()> {
        let statement = statements::mute(user, group, until);
        self.update(MUTES, &[statement], errors::class_of_upsert).await?;
        Ok(())
    }

    /// Asks the primary: who mutes a group hears no more of it from then on.
    pub(super) async fn find_mutes(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<(GroupId, Until)>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find_on_primary(&mutes_of(user, limit)).await?;
        Ok(reads::readable(&rows, muted))
    }
}

/// A stored mute that is not taken back.
pub(super) fn muted(row: &RawDocumentBuf) -> Option<(GroupId, Until)> {
    let (group, until) = to_mute(row)?;
    Some((group, until?))
}

/// A stored mute: the group, and for how long, or nothing where it is taken back.
pub(super) fn to_mute(row: &RawDocumentBuf) -> Option<(GroupId, Option<Until>)> {
    let group = GroupId(row.get_object_id("group").ok()?);
    if !row.get_bool("muted").ok()? {
        return Some((group, None));
    }
    let until = row.get("until").ok().flatten().unwrap_or(bson::RawBsonRef::Null);
    let until = documents::to_until(&Bson::try_from(until).ok()?)?;
    Some((group, Some(until)))
}
