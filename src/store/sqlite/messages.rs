//! Writing batches, and reading messages again.

use rusqlite::{OptionalExtension, Transaction, ffi, params};

use super::changes::Versions;
use super::{rows, search, statements};
use crate::model::{
    Batch, ClientId, Conversation, Deletion, Message, MessageChange, MessageId, MessageRef,
    Position, ReadCursor, Timestamp, UserId,
};
use crate::store::{Applied, HistoryQuery, Range, TOMBSTONE_LIFE};

/// Writes a batch, its parts in their order. A message that is refused, because its sender has
/// given its client id to another one, fails the whole transaction: the caller finds it by trying
/// parts of the batch, and a batch that is stored whole or not at all is worth that rare search.
pub(super) fn apply(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<Applied> {
    let mut versions = Versions::begin(transaction)?;
    let mut count = 0_i64;
    let mut filing = search::Filing::default();
    for message in &batch.inserts {
        if insert(transaction, message, versions.next())? {
            filing.add(transaction, message)?;
            count += 1;
        }
    }
    filing.end(transaction)?;
    let mut missing = Vec::new();
    for change in &batch.changes {
        if !apply_change(transaction, change, versions.next())? {
            missing.push(change.id);
        }
    }
    count -= bury(transaction, &batch.deletes, &mut versions)?;
    for group in &batch.purges {
        let mut purge = transaction.prepare_cached(statements::PURGE_GROUP)?;
        count -= purge.execute([group.0.bytes()])? as i64;
        transaction.prepare_cached(statements::PURGE_CURSORS)?.execute([group.0.bytes()])?;
    }
    for cursor in &batch.cursors {
        move_cursor(transaction, cursor, versions.next())?;
    }
    versions.end(transaction)?;
    add_to_count(transaction, "messages", count)?;
    Ok(Applied { missing })
}

/// Inserts a message, unless it is there, or is known to be deleted. What forbids it is asked before: SQLite
/// would copy each page that an insert touches which may be refused halfway, as one with a trigger or a
/// condition of its own may.
fn insert(
    transaction: &Transaction<'_>,
    message: &Message,
    version: i64,
) -> rusqlite::Result<bool> {
    let mut is_known = transaction.prepare_cached(statements::IS_KNOWN)?;
    if is_known.exists([message.id.0.bytes()])? {
        return Ok(false);
    }
    if let Some(client_id) = &message.client_id {
        let mut is_taken = transaction.prepare_cached(statements::IS_CLIENT_ID_OF_DELETED)?;
        if is_taken.exists([message.from.as_str(), client_id.as_str()])? {
            let why = "a deleted message of this sender has this client_id".to_owned();
            let error = ffi::Error::new(ffi::SQLITE_CONSTRAINT_UNIQUE);
            return Err(rusqlite::Error::SqliteFailure(error, Some(why)));
        }
    }
    let mut insert = transaction.prepare_cached(statements::INSERT_MESSAGE)?;
    rows::insert_message(&mut insert, message, version)?;
    Ok(true)
}

/// Changes a message; whether it is there, or is known to be deleted.
fn apply_change(
    transaction: &Transaction<'_>,
    change: &MessageChange,
    version: i64,
) -> rusqlite::Result<bool> {
    let Some(mut message) = find_by_id(transaction, change.id)? else {
        let mut is_deleted = transaction.prepare_cached(statements::IS_DELETED)?;
        return is_deleted.exists([change.id.0.bytes()]);
    };
    change.make(&mut message);
    let mut update = transaction.prepare_cached(statements::UPDATE_MESSAGE)?;
    rows::update_message(&mut update, &message, version)?;
    if !change.edits.is_empty() {
        search::refile(transaction, &message)?;
    }
    Ok(true)
}

/// Deletes messages, each with a tombstone left behind, and forgets tombstones that are old by
/// then; rows of `messages` that are gone.
fn bury(
    transaction: &Transaction<'_>,
    deletions: &[Deletion],
    versions: &mut Versions,
) -> rusqlite::Result<i64> {
    let mut bury = transaction.prepare_cached(statements::BURY_MESSAGE)?;
    let mut delete = transaction.prepare_cached(statements::DELETE_MESSAGE)?;
    let mut gone = 0;
    for deletion in deletions {
        let id = deletion.id.0.bytes();
        let (low, high, group) = match &deletion.conversation {
            Conversation::Direct(low, high) => (Some(low.as_str()), Some(high.as_str()), None),
            Conversation::Group(group) => (None, None, Some(group.0.bytes())),
        };
        let at = deletion.at.as_millis();
        bury.execute(params![id, at, versions.next(), low, high, group])?;
        gone += delete.execute([id])? as i64;
    }
    if let Some(now) = deletions.iter().map(|deletion| deletion.at.as_millis()).max() {
        let mut forget = transaction.prepare_cached(statements::FORGET_DELETED)?;
        forget.execute([now.saturating_sub(TOMBSTONE_LIFE.as_millis() as i64)])?;
    }
    Ok(gone)
}

fn move_cursor(
    transaction: &Transaction<'_>,
    cursor: &ReadCursor,
    version: i64,
) -> rusqlite::Result<()> {
    let (timestamp, message) = cursor.up_to;
    let mut statement = transaction.prepare_cached(statements::MOVE_CURSOR)?;
    statement.execute(params![
        cursor.group.0.bytes(),
        cursor.user.as_str(),
        timestamp.as_millis(),
        message.0.bytes(),
        version,
    ])?;
    Ok(())
}

/// Keeps the number of rows in step with what the same transaction writes.
pub(super) fn add_to_count(
    transaction: &Transaction<'_>,
    name: &str,
    more: i64,
) -> rusqlite::Result<()> {
    if more != 0 {
        let mut add = transaction.prepare_cached(statements::ADD_TO_COUNT)?;
        add.execute(params![name, more])?;
    }
    Ok(())
}

/// One message, by its `_id`, else by its old id.
pub(super) fn find(
    transaction: &Transaction<'_>,
    name: &MessageRef,
) -> rusqlite::Result<Option<Message>> {
    if let Some(id) = name.as_id()
        && let Some(found) = find_by_id(transaction, id)?
    {
        return Ok(Some(found));
    }
    let mut by_old_id = transaction.prepare_cached(statements::MESSAGE_BY_OLD_ID)?;
    let found = by_old_id.query_row([name.as_str()], rows::message).optional()?;
    found.map(|message| with_revisions(transaction, message)).transpose()
}

/// One message as a whole.
pub(super) fn find_by_id(
    transaction: &Transaction<'_>,
    id: MessageId,
) -> rusqlite::Result<Option<Message>> {
    let mut by_id = transaction.prepare_cached(statements::MESSAGE_BY_ID)?;
    let found = by_id.query_row([id.0.bytes()], rows::message).optional()?;
    found.map(|message| with_revisions(transaction, message)).transpose()
}

fn with_revisions(transaction: &Transaction<'_>, message: Message) -> rusqlite::Result<Message> {
    if message.edited_at.is_none() {
        return Ok(message);
    }
    let mut statement = transaction.prepare_cached(statements::REVISIONS)?;
    let revisions = statement.query_row([message.id.0.bytes()], rows::revisions)?;
    Ok(Message { revisions, ..message })
}

/// The message that a user has sent under a client id, also when it is deleted.
pub(super) fn sent_as(
    transaction: &Transaction<'_>,
    user: &UserId,
    client_id: &ClientId,
) -> rusqlite::Result<Option<MessageId>> {
    let mut statement = transaction.prepare_cached(statements::SENT_AS)?;
    let params = [user.as_str(), client_id.as_str()];
    statement.query_row(params, |row| rows::message_id(row, 0)).optional()
}

/// When a message was sent, also one that is deleted.
pub(super) fn sent_at(
    transaction: &Transaction<'_>,
    id: MessageId,
) -> rusqlite::Result<Option<Timestamp>> {
    let mut statement = transaction.prepare_cached(statements::SENT_AT)?;
    let found = statement.query_row([id.0.bytes()], |row| row.get::<_, Option<i64>>(0));
    Ok(found.optional()?.flatten().map(Timestamp))
}

/// A page of a conversation.
pub(super) fn history(
    transaction: &Transaction<'_>,
    query: &HistoryQuery,
) -> rusqlite::Result<Vec<Message>> {
    let (place, direct, group) = match query.range {
        Range::Newest => (None, statements::DIRECT_HISTORY, statements::GROUP_HISTORY),
        Range::Before(end) => (Some(end), statements::DIRECT_HISTORY, statements::GROUP_HISTORY),
        Range::After(start) => (Some(start), statements::DIRECT_AFTER, statements::GROUP_AFTER),
    };
    let (timestamp, id) = place_or_end(place);
    let viewer = query.viewer.as_ref().map(UserId::as_str);
    let limit = super::limit_to_sql(query.limit);
    let mut page: Vec<_> = match &query.conversation {
        Conversation::Direct(low, high) => transaction
            .prepare_cached(direct)?
            .query_map(
                params![low.as_str(), high.as_str(), timestamp, id, viewer, limit],
                rows::message,
            )?
            .collect::<Result<_, _>>(),
        Conversation::Group(of) => transaction
            .prepare_cached(group)?
            .query_map(params![of.0.bytes(), timestamp, id, viewer, limit], rows::message)?
            .collect(),
    }?;
    if matches!(query.range, Range::After(_)) {
        page.reverse();
    }
    Ok(page)
}

/// A place as it is bound to a statement; without one, a place after every message.
pub(super) fn place_or_end(place: Option<Position>) -> (i64, Vec<u8>) {
    match place {
        Some((at, id)) => (at.as_millis(), id.0.bytes().to_vec()),
        // One byte more than any id has.
        None => (i64::MAX, vec![u8::MAX; 13]),
    }
}
