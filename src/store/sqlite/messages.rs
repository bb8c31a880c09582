//! Writing batches, and reading messages again.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{rows, search, statements};
use crate::model::{
    Batch, ClientId, Conversation, Deletion, Message, MessageChange, MessageId, MessageRef,
    Position, ReadCursor, UserId,
};
use crate::store::{Applied, HistoryQuery, TOMBSTONE_LIFE};

/// Writes a batch, its parts in their order. A message that is refused, because its sender has
/// given its client id to another one, fails the whole transaction: the caller finds it by trying
/// parts of the batch, and a batch that is stored whole or not at all is worth that rare search.
pub(super) fn apply(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<Applied> {
    let mut count = 0_i64;
    let mut insert = transaction.prepare_cached(statements::INSERT_MESSAGE)?;
    for message in &batch.inserts {
        let new = rows::insert_message(&mut insert, message)?;
        if new > 0 {
            search::file_new(transaction, message)?;
        }
        count += new as i64;
    }
    let mut missing = Vec::new();
    for change in &batch.changes {
        if !apply_change(transaction, change)? {
            missing.push(change.id);
        }
    }
    count -= bury(transaction, &batch.deletes)?;
    for group in &batch.purges {
        let mut purge = transaction.prepare_cached(statements::PURGE_GROUP)?;
        count -= purge.execute([group.0.bytes()])? as i64;
        transaction.prepare_cached(statements::PURGE_CURSORS)?.execute([group.0.bytes()])?;
    }
    for cursor in &batch.cursors {
        move_cursor(transaction, cursor)?;
    }
    add_to_count(transaction, "messages", count)?;
    Ok(Applied { missing })
}

/// Changes a message; whether it is there, or is known to be deleted.
fn apply_change(transaction: &Transaction<'_>, change: &MessageChange) -> rusqlite::Result<bool> {
    let id = change.id.0.bytes();
    let mut lists = transaction.prepare_cached(statements::MESSAGE_LISTS)?;
    let stored = lists.query_row([id], |row| Ok((rows::users(row, 0)?, rows::users(row, 1)?)));
    let Some((mut deleted_for, mut read_by)) = stored.optional()? else {
        return transaction.prepare_cached(statements::IS_DELETED)?.exists([id]);
    };
    if let Some((content, edited_at)) = &change.edit {
        let content = rows::content_to_json(content)?;
        let mut edit = transaction.prepare_cached(statements::EDIT_MESSAGE)?;
        if edit.execute(params![id, content, edited_at.as_millis()])? > 0 {
            search::refile(transaction, id)?;
        }
    }
    if !change.readers.is_empty() {
        add_missing(&mut read_by, &change.readers);
        let mut read = transaction.prepare_cached(statements::READ_MESSAGE)?;
        read.execute(params![id, rows::users_to_json(&read_by)?])?;
    }
    if !change.hidden_for.is_empty() {
        add_missing(&mut deleted_for, &change.hidden_for);
        let mut hide = transaction.prepare_cached(statements::HIDE_MESSAGE)?;
        hide.execute(params![id, rows::users_to_json(&deleted_for)?])?;
    }
    Ok(true)
}

/// Deletes messages, each with a tombstone left behind, and forgets tombstones that are old by
/// then; rows of `messages` that are gone.
fn bury(transaction: &Transaction<'_>, deletions: &[Deletion]) -> rusqlite::Result<i64> {
    let mut bury = transaction.prepare_cached(statements::BURY_MESSAGE)?;
    let mut delete = transaction.prepare_cached(statements::DELETE_MESSAGE)?;
    let mut gone = 0;
    for deletion in deletions {
        let id = deletion.id.0.bytes();
        bury.execute(params![id, deletion.at.as_millis()])?;
        gone += delete.execute([id])? as i64;
    }
    if let Some(now) = deletions.iter().map(|deletion| deletion.at.as_millis()).max() {
        let mut forget = transaction.prepare_cached(statements::FORGET_DELETED)?;
        forget.execute([now.saturating_sub(TOMBSTONE_LIFE.as_millis() as i64)])?;
    }
    Ok(gone)
}

fn add_missing(users: &mut Vec<UserId>, more: &[UserId]) {
    for user in more {
        if !users.contains(user) {
            users.push(user.clone());
        }
    }
}

fn move_cursor(transaction: &Transaction<'_>, cursor: &ReadCursor) -> rusqlite::Result<()> {
    let (timestamp, message) = cursor.up_to;
    let mut statement = transaction.prepare_cached(statements::MOVE_CURSOR)?;
    statement.execute(params![
        cursor.group.0.bytes(),
        cursor.user.as_str(),
        timestamp.as_millis(),
        message.0.bytes(),
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
    if let Some(id) = name.as_id() {
        let mut by_id = transaction.prepare_cached(statements::MESSAGE_BY_ID)?;
        let found = by_id.query_row([id.0.bytes()], rows::message).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let mut by_old_id = transaction.prepare_cached(statements::MESSAGE_BY_OLD_ID)?;
    by_old_id.query_row([name.as_str()], rows::message).optional()
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

/// A page of a conversation.
pub(super) fn history(
    transaction: &Transaction<'_>,
    query: &HistoryQuery,
) -> rusqlite::Result<Vec<Message>> {
    let (timestamp, id) = place_or_end(query.before);
    let viewer = query.viewer.as_str();
    let limit = super::limit_to_sql(query.limit);
    match &query.conversation {
        Conversation::Direct(low, high) => transaction
            .prepare_cached(statements::DIRECT_HISTORY)?
            .query_map(
                params![low.as_str(), high.as_str(), timestamp, id, viewer, limit],
                rows::message,
            )?
            .collect(),
        Conversation::Group(group) => transaction
            .prepare_cached(statements::GROUP_HISTORY)?
            .query_map(params![group.0.bytes(), timestamp, id, viewer, limit], rows::message)?
            .collect(),
    }
}

/// A place as it is bound to a statement; without one, a place after every message.
pub(super) fn place_or_end(place: Option<Position>) -> (i64, Vec<u8>) {
    match place {
        Some((at, id)) => (at.as_millis(), id.0.bytes().to_vec()),
        // One byte more than any id has.
        None => (i64::MAX, vec![u8::MAX; 13]),
    }
}
