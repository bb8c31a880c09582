//! What is kept of one user, and the end of it.

use std::collections::HashSet;

use async_trait::async_trait;
use rusqlite::{Row, Transaction, params};

use super::changes::{Versions, note_members};
use super::{SqliteStore, invitations, limit_to_sql, messages, rows, search, statements};
use crate::model::{Erasure, GroupId, Message, MessageId, Position, Timestamp, Traces, UserId};
use crate::store::{Anonymised, FencedStore, PrivacyStore, Result};

/// Messages, and tombstones, that one step looks at: some hundredths of a second.
const STEP: usize = 2_000;

/// Where a user is named.
#[derive(Debug, Default)]
struct Named {
    messages: Vec<MessageId>,
    tombstones: Vec<MessageId>,
    /// The last id that was looked at, where there may be more.
    next: Option<MessageId>,
}

/// One server has nobody to share a cache with.
impl FencedStore for SqliteStore {}

#[async_trait]
impl PrivacyStore for SqliteStore {
    async fn group_messages_of(
        &self,
        user: &UserId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let user = user.clone();
        let find = move |transaction: &Transaction<'_>| {
            let (at, id) = after;
            let mut statement = transaction.prepare_cached(statements::GROUP_MESSAGES_OF)?;
            let params = params![user.as_str(), at.as_millis(), id.0.bytes(), limit_to_sql(limit)];
            statement.query_map(params, rows::message)?.collect()
        };
        self.readers.run(find).await
    }

    async fn traces(&self, user: &UserId, limit: usize) -> Result<Traces> {
        let user = user.clone();
        self.readers.run(move |transaction| traces(transaction, &user, limit)).await
    }

    async fn groups_owned_by(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>> {
        let user = user.clone();
        let find = move |transaction: &Transaction<'_>| {
            let mut found = groups(transaction, statements::GROUPS_OF_OWNER, &user, limit)?;
            let sql = statements::GROUPS_KEPT_BY_CREATOR;
            found.extend(groups(transaction, sql, &user, limit)?);
            found.truncate(limit);
            Ok(found)
        };
        self.readers.run(find).await
    }

    async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure> {
        let new = erasure.clone();
        let begin = move |transaction: &Transaction<'_>| {
            let Erasure { user, alias, begun_at } = &new;
            let params = params![user.as_str(), alias.as_str(), begun_at.as_millis()];
            transaction.prepare_cached(statements::BEGIN_ERASURE)?.execute(params)?;
            let mut statement = transaction.prepare_cached(statements::ERASURE)?;
            statement.query_row([user.as_str()], erasure_of)
        };
        self.writer.run(begin).await
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        let list = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::ERASURES)?;
            statement.query_map([limit_to_sql(limit)], erasure_of)?.collect()
        };
        self.readers.run(list).await
    }

    /// Reads beside the writer, which changes only what names the user.
    async fn anonymise(&self, erasure: &Erasure, after: Option<MessageId>) -> Result<Anonymised> {
        let (erasure, user) = (erasure.clone(), erasure.user.clone());
        let named = self.readers.run(move |transaction| named(transaction, &user, after)).await?;
        if named.messages.is_empty() && named.tombstones.is_empty() {
            return Ok(Anonymised { next: named.next, ..Anonymised::default() });
        }
        self.writer.run(move |transaction| anonymise(transaction, &erasure, named)).await
    }

    async fn remove_traces(&self, erasure: &Erasure) -> Result<()> {
        let erasure = erasure.clone();
        self.writer.run(move |transaction| remove_traces(transaction, &erasure)).await
    }

    async fn end_erasure(&self, user: &UserId) -> Result<()> {
        let user = user.clone();
        let end = move |transaction: &Transaction<'_>| {
            transaction.prepare_cached(statements::END_ERASURE)?.execute([user.as_str()])
        };
        self.writer.run(end).await?;
        Ok(())
    }
}

fn traces(transaction: &Transaction<'_>, user: &UserId, limit: usize) -> rusqlite::Result<Traces> {
    let mut statement = transaction.prepare_cached(statements::CHANGED_CURSORS)?;
    // All versions, from the first one on.
    let params = params![user.as_str(), -1, [0_u8; 0], limit_to_sql(limit)];
    let cursor = |row: &Row<'_>| {
        let place = (Timestamp(row.get(2)?), rows::message_id(row, 3)?);
        Ok((rows::group_id(row, 0)?, place))
    };
    let cursors = statement.query_map(params, cursor)?.collect::<rusqlite::Result<_>>()?;
    let invitations = invitations::made_by(transaction, user, limit)?;
    Ok(Traces { cursors, invitations })
}

fn groups(
    transaction: &Transaction<'_>,
    sql: &str,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<GroupId>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let params = params![user.as_str(), limit_to_sql(limit)];
    statement.query_map(params, |row| rows::group_id(row, 0))?.collect()
}

fn erasure_of(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    Ok(Erasure {
        user: rows::user(row, 0)?,
        alias: rows::user(row, 1)?,
        begun_at: Timestamp(row.get(2)?),
    })
}

/// Looks through the next ids of both tables, as far as both have been read.
fn named(
    transaction: &Transaction<'_>,
    user: &UserId,
    after: Option<MessageId>,
) -> rusqlite::Result<Named> {
    let after = after.map_or_else(Vec::new, |id| id.0.bytes().to_vec());
    let (name, limit) = (user.as_str(), limit_to_sql(STEP));
    let in_list = rows::to_json(name)?;
    let flagged = |row: &Row<'_>| Ok((rows::message_id(row, 0)?, row.get::<_, bool>(1)?));
    let mut statement = transaction.prepare_cached(statements::NAMED_IN_MESSAGES)?;
    let messages = statement.query_map(params![name, in_list, after, limit], flagged)?;
    let messages: Vec<_> = messages.collect::<rusqlite::Result<_>>()?;
    let mut statement = transaction.prepare_cached(statements::NAMED_IN_TOMBSTONES)?;
    let tombstones = statement.query_map(params![name, after, limit], flagged)?;
    let tombstones: Vec<_> = tombstones.collect::<rusqlite::Result<_>>()?;
    let ends = [&messages, &tombstones].into_iter().filter(|looked_at| looked_at.len() == STEP);
    let next = ends.filter_map(|looked_at| looked_at.last()).map(|(id, _)| *id).min();
    let only = |found: Vec<(MessageId, bool)>| -> Vec<MessageId> {
        let is_meant =
            |(id, named): &(MessageId, bool)| *named && next.is_none_or(|end| *id <= end);
        found.into_iter().filter(is_meant).map(|(id, _)| id).collect()
    };
    Ok(Named { messages: only(messages), tombstones: only(tombstones), next })
}

fn anonymise(
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    mut named: Named,
) -> rusqlite::Result<Anonymised> {
    let mut done = Anonymised { next: named.next, ..Anonymised::default() };
    let mut versions = Versions::begin(transaction)?;
    let mut update = transaction.prepare_cached(statements::ANONYMISE_MESSAGE)?;
    let mut delete = transaction.prepare_cached(statements::DELETE_MESSAGE)?;
    let Erasure { user, alias, .. } = erasure;
    let mut notes = 0;
    for id in named.messages {
        let Some(before) = messages::find_by_id(transaction, id)? else {
            // It was deleted in the meantime.
            named.tombstones.push(id);
            continue;
        };
        done.messages += 1;
        if before.is_note_of(user) {
            notes += delete.execute([id.0.bytes()])? as i64;
            continue;
        }
        let mut message = before.clone();
        message.anonymise(erasure);
        rows::rename_in_message(&mut update, &message, versions.next())?;
        if (&message.from, &message.target) != (&before.from, &before.target) {
            search::refile(transaction, &message)?;
        }
        done.conversations.push(before.conversation());
    }
    messages::add_to_count(transaction, "messages", -notes)?;
    let mut update = transaction.prepare_cached(statements::ANONYMISE_TOMBSTONE)?;
    for id in named.tombstones {
        update.execute(params![id.0.bytes(), user.as_str(), alias.as_str()])?;
    }
    versions.end(transaction)?;
    Ok(done)
}

fn remove_traces(transaction: &Transaction<'_>, erasure: &Erasure) -> rusqlite::Result<()> {
    let Erasure { user, alias, .. } = erasure;
    let mut others = HashSet::new();
    for sql in
        [statements::GROUPS_OF_CREATOR, statements::GROUPS_OF_OWNER, statements::GROUPS_SILENCING]
    {
        others.extend(groups(transaction, sql, user, usize::MAX)?);
    }
    for sql in [statements::ANONYMISE_CREATOR, statements::ANONYMISE_OWNER] {
        transaction.prepare_cached(sql)?.execute([user.as_str(), alias.as_str()])?;
    }
    for sql in [
        statements::ERASE_SILENCES,
        statements::ERASE_BLOCKS,
        statements::ERASE_BLOCKS_OF_OTHERS,
        statements::ERASE_MUTES,
        statements::ERASE_CURSORS,
        statements::ERASE_GROUP_CHANGES,
        statements::ERASE_PRESENCE,
        statements::ERASE_INVITATIONS,
    ] {
        transaction.prepare_cached(sql)?.execute([user.as_str()])?;
    }
    others.into_iter().try_for_each(|group| note_members(transaction, group, []))
}
