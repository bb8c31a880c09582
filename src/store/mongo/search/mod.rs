//! The search index: a collection of its own, a document per message with its keys (see
//! [`crate::search`]) in one multikey index. `messages` stays as the old server knows it, and the
//! old server's writes are brought in afterwards.
//!
//! A document here without its message, or with keys of what it said before, finds nothing wrong:
//! each candidate's message is read and looked at.

pub mod queries;

use std::collections::HashSet;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;

use super::errors::{self, DUPLICATE_KEY};
use super::queries::group_ids_of;
use super::reads::readable;
use super::{MongoStore, SEARCH, SEARCH_STATE, documents};
use crate::model::{Batch, GroupId, Message, MessageId, Position, Target};
use crate::search;
use crate::store::search::MAX_GROUPS;
use crate::store::{Backlog, Result, SearchQuery, StoreError};

/// Candidates that are all taken, to be put in order here; more than these are walked through in
/// order. To take one costs about as much as to pass one by.
const FEW: usize = 1_000;
/// Candidates of the first look beyond what is wanted: some may be hidden. Each further look of the
/// same search takes four times as many.
const SPARE: usize = 4;
/// Candidates of one look at the most.
const LONGEST_LOOK: usize = 1_024;
/// Parties of one query to the server; who is in more groups is asked for several times.
const PARTIES_AT_ONCE: usize = 50;
/// Messages of one command: its answer comes in time also where each key is read from a slow disk.
const AT_ONCE: usize = 500;
/// Messages of one step of catching up.
const STEP: i64 = 500;
/// Messages may be stored some time after their `_id` was made: how many seconds back each sweep
/// begins.
const LOOK_BACK_SECONDS: u32 = 120;

impl MongoStore {
    pub(super) async fn find_fitting(&self, query: &SearchQuery) -> Result<Vec<Message>> {
        let groups = self.find_group_ids(&group_ids_of(&query.viewer, MAX_GROUPS)).await?;
        let parties = query.parties(&groups);
        let few = self.all_candidates(query, &parties).await?;
        let mut found = Vec::new();
        let (mut before, mut look, mut at) = (query.before, query.limit + SPARE, 0);
        while found.len() < query.limit && !parties.is_empty() {
            let places = match &few {
                Some(few) => few[at..].iter().take(look).copied().collect(),
                None => self.newest_candidates(query, &parties, before, look).await?,
            };
            let is_last = places.len() < look;
            before = places.last().copied();
            at += places.len();
            let mut messages = self.messages(&places).await?;
            messages.retain(|message| query.admits(&groups, message));
            found.append(&mut messages);
            if is_last {
                break;
            }
            look = (look * 4).min(LONGEST_LOOK);
        }
        found.truncate(query.limit);
        Ok(found)
    }

    /// The places of all candidates, newest first, found by their keys; none where they are many.
    async fn all_candidates(
        &self,
        query: &SearchQuery,
        parties: &[String],
    ) -> Result<Option<Vec<Position>>> {
        let mut places = Vec::new();
        for parties in parties.chunks(PARTIES_AT_ONCE) {
            let rows = self.find(&queries::candidates(query, parties, FEW + 1)).await?;
            places.extend(rows.iter().filter_map(to_place));
            if places.len() > FEW {
                return Ok(None);
            }
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(places))
    }

    /// The places of the newest candidates, newest first, found by walking through what the parties
    /// have: of many, some are near.
    async fn newest_candidates(
        &self,
        query: &SearchQuery,
        parties: &[String],
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Position>> {
        let mut places = Vec::new();
        for parties in parties.chunks(PARTIES_AT_ONCE) {
            let newest = queries::newest_candidates(query, parties, before, limit);
            let rows = self.find(&newest).await?;
            places.extend(rows.iter().filter_map(to_place));
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.truncate(limit);
        Ok(places)
    }

    /// Messages in the order of their places, without those that are gone.
    async fn messages(&self, places: &[Position]) -> Result<Vec<Message>> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let ids = places.iter().map(|(_, id)| id.0.into()).collect();
        let mut rows = self.find(&queries::messages_by_id(ids)).await?;
        rows.retain(|row| !documents::is_stub(row));
        let mut messages = readable(&rows, documents::to_message);
        messages.sort_by_key(|message| std::cmp::Reverse(message.position()));
        Ok(messages)
    }

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
    async fn unfile(&self, ids: Vec<Bson>) -> Result<()> {
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
fn refiling(message: &Message) -> Document {
    let row = doc! {"$literal": filed(message, search::keys(message))};
    let at = message.edited_at.map(documents::date);
    let filed = doc! {"$cond": [{"$gt": ["$edited_at", at]}, "$$ROOT", row]};
    doc! {"q": {"_id": message.id.0}, "u": [{"$replaceWith": filed}], "upsert": true}
}

fn to_place(row: &RawDocumentBuf) -> Option<Position> {
    let at = documents::timestamp(row.get_datetime("timestamp").ok()?);
    Some((at, MessageId(documents::to_id(row)?)))
}

fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(|error| StoreError::Permanent(error.into()))
}
