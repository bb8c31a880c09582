//! What a batch writes. Each part may be repeated: an insert that is there counts as stored, and
//! every change says what shall be, not what shall be added.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::anyhow;
use bson::oid::ObjectId;
use bson::raw::RawArrayBuf;
use bson::{Bson, Document, RawDocumentBuf, doc, rawdoc};
use mongodb::error::{ErrorKind, InsertManyError};
use serde::Deserialize;

use super::errors::{Class, DUPLICATE_KEY};
use super::{MESSAGES, MongoStore, Place, READ_CURSORS, documents, errors, queries, statements};
use crate::model::{Batch, Deletion, GroupId, Message, MessageChange, MessageId, ReadCursor};
use crate::store::{Applied, Result, StoreError};

/// Statements of one `update` command; the server takes 100,000.
const MAX_STATEMENTS: usize = 10_000;
/// Bytes of one `update` command's statements. The driver sends it as one document, which may have
/// 16 MiB; the rest is for what surrounds the statements.
const MAX_STATEMENT_BYTES: usize = 15 << 20;

impl MongoStore {
    /// Writes all parts of a batch, in their order.
    pub(super) async fn write_batch(&self, batch: &Batch) -> Result<Applied> {
        self.insert(&batch.inserts).await?;
        let missing = self.change(&batch.changes).await?;
        self.bury(&batch.deletes).await?;
        self.purge(&batch.purges).await?;
        self.move_cursors(&batch.cursors).await?;
        Ok(Applied { missing })
    }

    /// Stores new messages; those that are there already, or have left a stub, stay as they are. A
    /// message that is refused (its client id is taken, it is too large) does not keep back the
    /// others.
    pub(super) async fn insert(&self, messages: &[Arc<Message>]) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let place = self.place().await?;
        let rows: Vec<RawDocumentBuf> = messages
            .iter()
            .map(|message| {
                let row = documents::from_message(message);
                row.map_err(|error| StoreError::Permanent(error.into()))
            })
            .collect::<Result<_>>()?;
        let inserting = place.messages.insert_many(rows).ordered(false);
        match self.timed(super::WRITE_LIMIT, inserting).await? {
            Ok(_) => Ok(()),
            Err(error) => match error.kind.as_ref() {
                ErrorKind::InsertMany(failure) => self.judge(messages, failure).await,
                _ => Err(errors::classify(error)),
            },
        }
    }

    /// What is left of an `insert_many`'s errors once those messages are set aside that are in the
    /// collection under their `_id`, themselves or their stub. The driver does not say which index
    /// refused a duplicate, so the collection is asked.
    async fn judge(&self, messages: &[Arc<Message>], failure: &InsertManyError) -> Result<()> {
        let refused = failure.write_errors.as_deref().unwrap_or_default();
        let id_of = |index: usize| messages.get(index).map(|message| message.id.0);
        let duplicates: Vec<Bson> = refused
            .iter()
            .filter(|error| error.code == DUPLICATE_KEY)
            .filter_map(|error| id_of(error.index).map(Bson::from))
            .collect();
        let stored =
            if duplicates.is_empty() { HashSet::new() } else { self.known(duplicates).await? };
        let is_stored = |index| id_of(index).is_some_and(|id| stored.contains(&id));
        let report = Report {
            write_errors: refused
                .iter()
                .filter(|error| !is_stored(error.index))
                .map(|error| Fault { code: error.code, message: error.message.clone() })
                .collect(),
            write_concern_error: failure
                .write_concern_error
                .as_ref()
                .map(|error| Fault { code: error.code, message: error.message.clone() }),
            ..Report::default()
        };
        report.verdict(errors::class_of_code)
    }

    /// Which of these ids belong to a stored message or to the stub of a deleted one.
    async fn known(&self, ids: Vec<Bson>) -> Result<HashSet<ObjectId>> {
        let rows = self.find_on_primary(&queries::stored_ids(ids)).await?;
        Ok(rows.iter().filter_map(documents::to_id).collect())
    }

    /// Changes stored messages; the ids of those that are neither stored nor have left a stub.
    ///
    /// The server counts what it has found, and does not say which. A message that comes in
    /// between its answer and our look has not taken its change, so whatever the look finds is
    /// changed once more.
    pub(super) async fn change(&self, changes: &[MessageChange]) -> Result<Vec<MessageId>> {
        let mut there: Vec<&MessageChange> = changes.iter().collect();
        let mut missing = Vec::new();
        loop {
            let statements: Vec<_> =
                there.iter().flat_map(|change| statements::change(change)).collect();
            let found = self.update(MESSAGES, &statements, errors::class_of_code).await?;
            if found == statements.len() {
                return Ok(missing);
            }
            let known = self.known(there.iter().map(|change| change.id.0.into()).collect()).await?;
            let gone = there.extract_if(.., |change| !known.contains(&change.id.0));
            missing.extend(gone.map(|change| change.id));
        }
    }

    /// Moves read cursors forward; one that is further stays.
    pub(super) async fn move_cursors(&self, cursors: &[ReadCursor]) -> Result<()> {
        let statements: Vec<_> = cursors.iter().map(statements::cursor).collect();
        self.update(READ_CURSORS, &statements, errors::class_of_upsert).await?;
        Ok(())
    }

    /// Deletes messages for everyone, each with a stub left behind.
    pub(super) async fn bury(&self, deletions: &[Deletion]) -> Result<()> {
        let statements: Vec<_> = deletions.iter().flat_map(statements::deletion).collect();
        self.update(MESSAGES, &statements, errors::class_of_upsert).await?;
        Ok(())
    }

    /// Deletes all messages of groups, a group at a time.
    pub(super) async fn purge(&self, groups: &[GroupId]) -> Result<()> {
        let messages = &self.place().await?.messages;
        for group in groups {
            self.write(messages.delete_many(doc! {"group_id": group.0})).await?;
        }
        Ok(())
    }

    /// Sends statements in as few commands as the server takes; how many have found (or made) their
    /// document. All are tried, whatever becomes of the others in the same command.
    pub(super) async fn update(
        &self,
        collection: &str,
        statements: &[Document],
        class: impl Fn(i32) -> Class,
    ) -> Result<usize> {
        if statements.is_empty() {
            return Ok(0);
        }
        let place = self.place().await?;
        let mut found = 0;
        for part in parts(statements)? {
            let command = command(place, collection, part)?;
            let answer = self.write(place.database.run_raw_command(command)).await?;
            let report: Report = bson::deserialize_from_document(answer)
                .map_err(|error| StoreError::Transient(error.into()))?;
            report.verdict(&class)?;
            found += report.n;
        }
        Ok(found)
    }
}

/// What the server says of a command that writes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    /// Statements that have found a document, or made one.
    n: usize,
    write_errors: Vec<Fault>,
    write_concern_error: Option<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    code: i32,
    #[serde(rename = "errmsg", default)]
    message: String,
}

impl Report {
    /// Whether everything is stored, and else what to do: while one part may still succeed, the
    /// whole is to be tried again.
    fn verdict(&self, class: impl Fn(i32) -> Class) -> Result<()> {
        let refused = self.write_errors.iter().map(|fault| (class(fault.code), fault));
        let unsafe_yet = self.write_concern_error.iter();
        let unsafe_yet =
            unsafe_yet.map(|fault| (errors::class_of_write_concern(fault.code), fault));
        match refused.chain(unsafe_yet).max_by_key(|(class, _)| *class) {
            None => Ok(()),
            Some((class, Fault { code, message })) => Err(class.error(anyhow!(
                "{} documents refused; error {code}: {message}",
                self.write_errors.len()
            ))),
        }
    }
}

/// Statements in runs that fit one command each.
fn parts(statements: &[Document]) -> Result<Vec<RawArrayBuf>> {
    let mut parts = Vec::new();
    let (mut part, mut count, mut bytes) = (RawArrayBuf::new(), 0, 0);
    for statement in statements {
        let statement = raw(statement)?;
        let size = statement.as_bytes().len();
        if size > MAX_STATEMENT_BYTES {
            let reason = anyhow!("a change of {size} bytes is above {MAX_STATEMENT_BYTES}");
            return Err(StoreError::Permanent(reason));
        }
        if count == MAX_STATEMENTS || bytes + size > MAX_STATEMENT_BYTES {
            parts.push(std::mem::take(&mut part));
            (count, bytes) = (0, 0);
        }
        part.push(statement);
        count += 1;
        bytes += size;
    }
    parts.push(part);
    Ok(parts)
}

/// `run_command` knows nothing of the client's write concern, so that it is said here.
fn command(place: &Place, collection: &str, statements: RawArrayBuf) -> Result<RawDocumentBuf> {
    let write_concern = bson::serialize_to_raw_document_buf(&place.write_concern)
        .map_err(|error| StoreError::Permanent(error.into()))?;
    Ok(rawdoc! {
        "update": collection,
        "ordered": false,
        "writeConcern": write_concern,
        "updates": statements,
    })
}

/// A document's bytes; one with a NUL character in a key has none.
fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(|error| StoreError::Permanent(error.into()))
}
