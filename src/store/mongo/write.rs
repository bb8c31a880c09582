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
use super::{MESSAGES, MongoStore, Place, READ_CURSORS, documents, errors, queries};
use crate::model::{Deletion, GroupId, Message, MessageChange, ReadCursor};
use crate::store::{Result, StoreError};

/// Statements of one `update` command; the server takes 100,000.
const MAX_STATEMENTS: usize = 10_000;
/// Bytes of one `update` command's statements. The driver sends it as one document, which may have
/// 16 MiB; the rest is for what surrounds the statements.
const MAX_STATEMENT_BYTES: usize = 15 << 20;
/// Ids of one `delete` command: about 200 kB.
const MAX_DELETE_IDS: usize = 10_000;

impl MongoStore {
    /// Stores new messages; those that are there already stay as they are. A message that is
    /// refused does not keep back the others.
    pub(super) async fn insert(&self, messages: &[Arc<Message>]) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let place = self.place().await?;
        let rows: Vec<RawDocumentBuf> = messages
            .iter()
            .map(|message| raw(&documents::from_message(message)))
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
    /// collection under their `_id`. The driver does not say which index refused a duplicate, so
    /// the collection is asked.
    async fn judge(&self, messages: &[Arc<Message>], failure: &InsertManyError) -> Result<()> {
        let refused = failure.write_errors.as_deref().unwrap_or_default();
        let id_of = |index: usize| messages.get(index).map(|message| message.id.0);
        let duplicates: Vec<Bson> = refused
            .iter()
            .filter(|error| error.code == DUPLICATE_KEY)
            .filter_map(|error| id_of(error.index).map(Bson::from))
            .collect();
        let mut stored: HashSet<ObjectId> = HashSet::new();
        if !duplicates.is_empty() {
            let rows = self.find_on_primary(&queries::stored_ids(duplicates)).await?;
            stored.extend(rows.iter().filter_map(documents::to_id));
        }
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
        };
        report.verdict(errors::class_of_code)
    }

    /// Changes stored messages; one that is not there is left alone.
    pub(super) async fn change(&self, changes: &[MessageChange]) -> Result<()> {
        let statements = changes.iter().filter_map(statement).collect::<Vec<_>>();
        self.update(MESSAGES, &statements, errors::class_of_code).await
    }

    /// Moves read cursors forward; one that is further stays.
    pub(super) async fn move_cursors(&self, cursors: &[ReadCursor]) -> Result<()> {
        let statements: Vec<Document> = cursors
            .iter()
            .map(|cursor| {
                let (at, message) = cursor.up_to;
                // Documents compare field by field, in this order.
                let position = doc! {"timestamp": documents::date(at), "message_id": message.0};
                doc! {
                    "q": {"_id": queries::cursor_id(&cursor.user, cursor.group)},
                    "u": {"$max": {"position": position}},
                    "upsert": true,
                }
            })
            .collect();
        // Two servers may both try to make a cursor: the second finds it when it tries again.
        let class = |code| match code {
            DUPLICATE_KEY => Class::Transient,
            code => errors::class_of_code(code),
        };
        self.update(READ_CURSORS, &statements, class).await
    }

    /// Deletes messages for everyone.
    pub(super) async fn delete(&self, deletions: &[Deletion]) -> Result<()> {
        let messages_collection = &self.place().await?.messages;
        for ids in deletions.chunks(MAX_DELETE_IDS) {
            let ids: Vec<Bson> = ids.iter().map(|deletion| deletion.id.0.into()).collect();
            self.write(messages_collection.delete_many(doc! {"_id": {"$in": ids}})).await?;
        }
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

    /// Sends statements in as few commands as the server takes. All are tried, whatever becomes of
    /// the others in the same command.
    async fn update(
        &self,
        collection: &str,
        statements: &[Document],
        class: impl Fn(i32) -> Class,
    ) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        let place = self.place().await?;
        for part in parts(statements)? {
            let command = command(place, collection, part)?;
            let answer = self.write(place.database.run_raw_command(command)).await?;
            let report: Report = bson::deserialize_from_document(answer)
                .map_err(|error| StoreError::Transient(error.into()))?;
            report.verdict(&class)?;
        }
        Ok(())
    }
}

/// What the server says of a command that writes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
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

/// A change as a statement of `update`; none where there is nothing to change.
fn statement(change: &MessageChange) -> Option<Document> {
    let mut set = Document::new();
    let mut add = Document::new();
    if let Some((content, edited_at)) = &change.edit {
        set.insert("content", documents::content_to_bson(content));
        set.insert("edited_at", documents::date(*edited_at));
    }
    if !change.readers.is_empty() {
        set.insert("status", "read");
        add.insert("read_by", doc! {"$each": documents::users_to_bson(&change.readers)});
    }
    if !change.hidden_for.is_empty() {
        add.insert("deleted_for", doc! {"$each": documents::users_to_bson(&change.hidden_for)});
    }
    let mut update = Document::new();
    for (operator, fields) in [("$set", set), ("$addToSet", add)] {
        if !fields.is_empty() {
            update.insert(operator, fields);
        }
    }
    (!update.is_empty()).then(|| doc! {"q": {"_id": change.id.0}, "u": update})
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
