//! The search index: a collection of its own, a document per message with its keys (see
//! [`crate::search`]) in one multikey index. `messages` stays as the old server knows it, and the
//! old server's writes are brought in afterwards.
//!
//! A document here without its message, or with keys of what it said before, finds nothing wrong:
//! each candidate's message is read and looked at.

mod find;
pub mod queries;

use std::collections::HashSet;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;

use super::errors::{self, DUPLICATE_KEY};
use super::reads::readable;
use super::{MongoStore, SEARCH, SEARCH_STATE, documents};
use crate::model::{Batch, GroupId, Message, Target};
use crate::search;
use crate::store::{Backlog, Result, StoreError};

/// Messages of one command: its answer comes in time also where each key is read from a slow disk.
const AT_ONCE: usize = 500;
/// Messages of one step of catching up.
const STEP: i64 = 500;
/// Messages may be stored some time after their `_id` was made: how many seconds back each sweep
/// begins.
const LOOK_BACK_SECONDS: u32 = 120;

impl MongoStore {
    /// Files what batches have changed that are stored. Whatever is refused for good keeps nothing
    /// else back.
    pub(super) async fn file_batches(&self, batches: &[Arc<Batch>]) -> Result<()> {
        let inserts: Vec<_> = batches.iter().flat_map(|batch| &batch.inserts).collect();
        let edited = batches.iter().flat_map(|batch| &batch.changes);
        let edited = edited.filter(|change| !change.edits.is_empty());
        let edited: Vec<Bson> = edited.map(|change| change.id.0.into()).collect();
        let deleted = batches.iter().flat_map(|batch| &batch.deletes);
        let deleted: Vec<Bson> = deleted.map(|deletion| deletion.id.0.into()).collect();
        let mut refused = Ok(());
        for part in inserts.chunks(AT_ONCE) {
            let filed = part.iter().filter_map(|message| to_filed(message));
            set_aside(&mut refused, self.file_rows(filed).await)?;
        }
        for part in edited.chunks(AT_ONCE) {
            set_aside(&mut refused, self.refile(part.to_vec()).await)?;
        }
        for part in deleted.chunks(AT_ONCE) {
            set_aside(&mut refused, self.unfile(part.to_vec()).await)?;
        }
        for group in batches.iter().flat_map(|batch| &batch.purges) {
            set_aside(&mut refused, self.unfile_group(*group).await)?;
        }
        refused
    }

    async fn file_rows(&self, filed: impl Iterator<Item = Document>) -> Result<()> {
        let rows: Vec<RawDocumentBuf> = filed.map(|row| raw(&row)).collect::<Result<_>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        let collection = self.place().await?.database.collection::<RawDocumentBuf>(SEARCH);
        let inserting = collection.insert_many(rows).ordered(false);
        match self.timed(super::WRITE_LIMIT, inserting).await? {
            Ok(_) => Ok(()),
            Err(error) => match error.kind.as_ref() {
                ErrorKind::InsertMany(failure) if failure.write_concern_error.is_none() => {
                    let refused = failure.write_errors.as_deref().unwrap_or_default();
                    match refused.iter().find(|refusal| refusal.code != DUPLICATE_KEY) {
                        None => Ok(()),
                        Some(_) => Err(errors::classify(error)),
                    }
                }
                _ => Err(errors::classify(error)),
            },
        }
    }

    /// Files edited messages anew, by what they say now.
    async fn refile(&self, ids: Vec<Bson>) -> Result<()> {
        let mut rows = self.find_on_primary(&queries::messages_by_id(ids)).await?;
        rows.retain(|row| !documents::is_stub(row));
        let messages = readable(&rows, documents::to_message);
        let statements: Vec<Document> = messages.iter().map(refiling).collect();
        self.update(SEARCH, &statements, errors::class_of_upsert).await?;
        Ok(())
    }

    /// Takes messages out of the index.
    pub(super) async fn unfile(&self, ids: Vec<Bson>) -> Result<()> {
        let collection = self.place().await?.database.collection::<RawDocumentBuf>(SEARCH);
        self.write(collection.delete_many(doc! {"_id": {"$in": ids}})).await?;
        Ok(())
    }

    /// Takes a group's messages out of the index.
    async fn unfile_group(&self, group: GroupId) -> Result<()> {
        let collection = self.place().await?.database.collection::<RawDocumentBuf>(SEARCH);
        self.write(collection.delete_many(queries::filed_of_group(group))).await?;
        Ok(())
    }

    /// One step through all messages in the order of their `_id`, from where the last sweep has
    /// come to. It never ends: the old server may write at any time.
    pub(super) async fn sweep(&self) -> Result<Backlog> {
        let here = *self.swept.lock();
        let after = match here {
            Some(after) => after,
            None => self.swept_before().await?,
        };
        let rows = self.find_on_primary(&queries::message_ids_after(after, STEP)).await?;
        let ids: Vec<ObjectId> = rows.iter().filter_map(documents::to_id).collect();
        let indexed = self.file_missing(&ids).await?;
        let more = ids.len() as i64 == STEP;
        if let Some(last) = ids.last() {
            self.remember_swept(*last).await?;
        }
        *self.swept.lock() = if more { ids.last().copied() } else { None };
        Ok(Backlog { indexed, more })
    }

    async fn file_missing(&self, ids: &[ObjectId]) -> Result<u64> {
        let all: Vec<Bson> = ids.iter().map(|id| Bson::from(*id)).collect();
        if all.is_empty() {
            return Ok(0);
        }
        let filed = self.find_on_primary(&queries::filed_ids(all)).await?;
        let filed: HashSet<ObjectId> = filed.iter().filter_map(documents::to_id).collect();
        let missing = ids.iter().filter(|id| !filed.contains(id));
        let missing: Vec<Bson> = missing.map(|id| Bson::from(*id)).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let mut rows = self.find_on_primary(&queries::messages_by_id(missing)).await?;
        // A sweep passes by all rows again and again: what can't be read is no news here.
        rows.retain(|row| !documents::is_stub(row));
        let messages: Vec<Message> = rows.iter().filter_map(documents::to_message).collect();
        let filed: Vec<Document> = messages.iter().filter_map(to_filed).collect();
        let indexed = filed.len() as u64;
        self.file_rows(filed.into_iter()).await?;
        Ok(indexed)
    }

    async fn swept_before(&self) -> Result<ObjectId> {
        let rows = self.find_on_primary(&queries::swept()).await?;
        let up_to = rows.first().and_then(|row| row.get_object_id("up_to").ok());
        Ok(up_to.unwrap_or_else(|| ObjectId::from_bytes([0; 12])))
    }

    async fn remember_swept(&self, last: ObjectId) -> Result<()> {
        let [a, b, c, d, ..] = ObjectId::new().bytes();
        let horizon = u32::from_be_bytes([a, b, c, d]).saturating_sub(LOOK_BACK_SECONDS);
        let horizon = ObjectId::from_parts(horizon, [0; 5], [0; 3]);
        let state = self.place().await?.database.collection::<RawDocumentBuf>(SEARCH_STATE);
        let further = doc! {"$max": {"up_to": last.min(horizon)}};
        self.write(state.update_one(doc! {"_id": queries::SWEPT}, further).upsert(true)).await?;
        Ok(())
    }
}

/// Goes on where something is refused for good, and remembers it.
fn set_aside(refused: &mut Result<()>, done: Result<()>) -> Result<()> {
    match done {
        Err(error @ StoreError::Permanent(_)) => *refused = Err(error),
        done => done?,
    }
    Ok(())
}

/// A message as it is filed; none for one without words.
fn to_filed(message: &Message) -> Option<Document> {
    let keys = search::keys(message);
    (!keys.is_empty()).then(|| filed(message, keys))
}

fn filed(message: &Message, keys: Vec<String>) -> Document {
    let mut row = doc! {
        "_id": message.id.0,
        "timestamp": documents::date(message.timestamp),
        "parties": search::further_keys(message),
        "keys": keys,
    };
    if let Target::Group(group) = message.target {
        row.insert("group_id", group.0);
    }
    if let Some(at) = message.edited_at {
        row.insert("edited_at", documents::date(at));
    }
    row
}

/// Files a message by its latest edit, whichever server comes last. One that has lost its words
/// stays, so that an earlier edit does not come back.
pub(super) fn refiling(message: &Message) -> Document {
    let row = doc! {"$literal": filed(message, search::keys(message))};
    let at = message.edited_at.map(documents::date);
    let filed = doc! {"$cond": [{"$gt": ["$edited_at", at]}, "$$ROOT", row]};
    doc! {"q": {"_id": message.id.0}, "u": [{"$replaceWith": filed}], "upsert": true}
}

fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(|error| StoreError::Permanent(error.into()))
}
