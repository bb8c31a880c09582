//! Which message a client id names before that message is stored: documents
//! `{_id: {from, client_id}, message_id, at}`, for a day.

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::indexes::{Index, expiring};
use super::{CLAIMS, MongoStore, documents};
use crate::model::{ClientId, MessageId, Timestamp, UserId};
use crate::store::{Result, StoreError};

/// By then the message is stored, and names itself.
const LIFE: Duration = Duration::from_hours(24);

/// Claims go by themselves.
pub(super) const CLAIM_TIME: Index = expiring(CLAIMS, "claim_time", &[("at", 1)], LIFE);

/// The claims of a user, by their keys.
pub(super) fn of(user: &str) -> Document {
    let last = doc! {"from": user, "client_id": Bson::MaxKey};
    doc! {"_id": {"$gt": {"from": user}, "$lt": last}}
}

impl MongoStore {
    /// See [`Store::claim`](crate::store::Store::claim).
    pub(super) async fn claim_client_id(
        &self,
        user: &UserId,
        client_id: &ClientId,
        id: MessageId,
        at: Timestamp,
    ) -> Result<MessageId> {
        let claims = self.place().await?.database.collection::<Document>(CLAIMS);
        // The order of the fields is part of the key.
        let key = doc! {"from": user.as_str(), "client_id": client_id.as_str()};
        let claim = doc! {"message_id": id.0, "at": documents::date(at)};
        let upsert = || {
            claims
                .find_one_and_update(doc! {"_id": &key}, doc! {"$setOnInsert": &claim})
                .upsert(true)
                .return_document(ReturnDocument::After)
        };
        let found = match self.write(upsert()).await {
            // Two that insert the same key at the same time: the second one finds the first.
            Err(StoreError::Permanent(_)) => self.write(upsert()).await?,
            found => found?,
        };
        let claimed = found.as_ref().and_then(|found| found.get_object_id("message_id").ok());
        Ok(MessageId(claimed.unwrap_or(id.0)))
    }
}
