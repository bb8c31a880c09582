//! Links into groups.

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::Collection;

use super::indexes::GROUP_INVITATIONS;
use super::queries::Find;
use super::{INVITATIONS, MongoStore, documents, errors, reads};
use crate::model::{GroupId, Invitation, Timestamp, Token, UserId};
use crate::store::Result;

/// An invitation, whether it works or not.
pub fn invitation(token: &Token) -> Find {
    Find::by_id(INVITATIONS, token.as_str())
}

/// The invitations into a group that work, the newest first.
pub fn invitations_into(group: GroupId, now: Timestamp, limit: usize) -> Find {
    let filter = working(doc! {"group_id": group.0}, now);
    Find::ordered(GROUP_INVITATIONS, filter, doc! {"created_at": -1, "_id": -1}, limit)
}

/// Adds to a filter that the invitation works ([`Invitation::works_at`]).
fn working(mut filter: Document, now: Timestamp) -> Document {
    filter.insert("expires_at", doc! {"$gt": documents::date(now)});
    let is_left = doc! {"$expr": {"$lt": ["$uses", "$max_uses"]}};
    filter.insert("$or", vec![doc! {"max_uses": null}, is_left]);
    filter
}

fn from_invitation(invitation: &Invitation) -> Document {
    doc! {
        "group_id": invitation.group.0,
        "created_by": invitation.created_by.as_str(),
        "created_at": documents::date(invitation.created_at),
        "expires_at": documents::date(invitation.expires_at),
        "max_uses": invitation.max_uses.map(i64::from),
        "uses": i64::from(invitation.uses),
    }
}

pub(super) fn to_invitation(row: &RawDocumentBuf) -> Option<Invitation> {
    let row = Document::try_from(row).ok()?;
    let at = |field| row.get_datetime(field).ok().map(|date| documents::timestamp(*date));
    let number = |field| row.get_i64(field).ok().and_then(|number| u32::try_from(number).ok());
    let max_uses = match row.get("max_uses") {
        None | Some(Bson::Null) => None,
        Some(_) => Some(number("max_uses")?),
    };
    Some(Invitation {
        token: Token::from_stored(row.get_str("_id").ok()?),
        group: GroupId(row.get_object_id("group_id").ok()?),
        created_by: UserId::from_stored(row.get_str("created_by").ok()?),
        created_at: at("created_at")?,
        expires_at: at("expires_at")?,
        max_uses,
        uses: number("uses")?,
    })
}

impl MongoStore {
    /// Stores a new invitation; one that is there, of an earlier try, stays as it is.
    pub(super) async fn insert_invitation(&self, invitation: &Invitation) -> Result<()> {
        let statement = doc! {
            "q": {"_id": invitation.token.as_str()},
            "u": {"$setOnInsert": from_invitation(invitation)},
            "upsert": true,
        };
        self.update(INVITATIONS, &[statement], errors::class_of_upsert).await?;
        Ok(())
    }

    /// Asks the primary: who has just been given a link comes in with it.
    pub(super) async fn find_invitation(&self, token: &Token) -> Result<Option<Invitation>> {
        let rows = self.find_on_primary(&invitation(token)).await?;
        Ok(reads::readable(&rows, to_invitation).pop())
    }

    /// Asks the primary: the answer decides whether there may be another one.
    pub(super) async fn find_invitations(
        &self,
        group: GroupId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Invitation>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find_on_primary(&invitations_into(group, now, limit)).await?;
        Ok(reads::readable(&rows, to_invitation))
    }

    /// Counts a use, in one step with the look whether it is one too many.
    pub(super) async fn count_use(&self, token: &Token, now: Timestamp) -> Result<bool> {
        let filter = working(doc! {"_id": token.as_str()}, now);
        let change = doc! {"$inc": {"uses": 1_i64}};
        let used = self.write(self.invitation_rows().await?.update_one(filter, change)).await?;
        Ok(used.matched_count > 0)
    }

    pub(super) async fn expire_invitation(&self, token: &Token, now: Timestamp) -> Result<()> {
        let statement = doc! {
            "q": {"_id": token.as_str()}, "u": {"$min": {"expires_at": documents::date(now)}},
        };
        self.update(INVITATIONS, &[statement], errors::class_of_code).await?;
        Ok(())
    }

    /// Removes the invitations into a group.
    pub(super) async fn remove_invitations(&self, group: GroupId) -> Result<()> {
        let into = doc! {"group_id": group.0};
        self.write(self.invitation_rows().await?.delete_many(into)).await?;
        Ok(())
    }

    async fn invitation_rows(&self) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.place().await?.database.collection(INVITATIONS))
    }
}
