//! The order in which everything was last changed.
//!
//! Writes come one after the other, and a version is visible with all before it: whoever has read
//! up to the counter has missed nothing.

use bson::oid::ObjectId;
use rusqlite::{CachedStatement, Row, Transaction, params};

use super::{limit_to_sql, rows, statements};
use crate::model::{Conversation, GroupId, MessageId, Place, Timestamp, UserId};
use crate::store::changes::merged;
use crate::store::{Change, Changes, ChangesQuery};

/// Gives versions within a transaction.
pub(super) struct Versions(i64);

impl Versions {
    /// Goes on where the last transaction ended.
    pub(super) fn begin(transaction: &Transaction<'_>) -> rusqlite::Result<Self> {
        current(transaction).map(Self)
    }

    /// The next version.
    pub(super) fn next(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }

    /// Keeps what was given.
    pub(super) fn end(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.prepare_cached(statements::SET_VERSION)?.execute([self.0])?;
        Ok(())
    }
}

fn current(transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
    transaction.prepare_cached(statements::VERSION)?.query_row([], |row| row.get(0))
}

/// Notes that users have entered or left a group.
pub(super) fn note_members<'a>(
    transaction: &Transaction<'_>,
    group: GroupId,
    users: impl IntoIterator<Item = &'a UserId>,
) -> rusqlite::Result<()> {
    let mut versions = Versions::begin(transaction)?;
    let mut note = transaction.prepare_cached(statements::NOTE_GROUP_CHANGE)?;
    for user in users {
        note.execute(params![user.as_str(), group.0.bytes(), versions.next()])?;
    }
    // Under no user's name: the group itself is another one now.
    note.execute(params!["", group.0.bytes(), versions.next()])?;
    versions.end(transaction)
}

/// What has changed for a user.
pub(super) fn since(
    transaction: &Transaction<'_>,
    query: &ChangesQuery,
) -> rusqlite::Result<Changes> {
    let latest = current(transaction)?;
    let mut nearest = Nearest { query, rows: Vec::new(), end: None };
    let user = query.user.as_str();
    for sql in [statements::CHANGED_OF_LOW, statements::CHANGED_OF_HIGH] {
        nearest.take(transaction.prepare_cached(sql)?, user, message)?;
    }
    for sql in [statements::DELETED_OF_LOW, statements::DELETED_OF_HIGH] {
        nearest.take(transaction.prepare_cached(sql)?, user, deletion)?;
    }
    nearest.take(transaction.prepare_cached(statements::CHANGED_CURSORS)?, user, cursor)?;
    nearest.take(transaction.prepare_cached(statements::CHANGED_MEMBERSHIPS)?, user, membership)?;
    nearest.take(transaction.prepare_cached(statements::CHANGED_MUTES)?, user, mute)?;
    for id in &query.groups {
        let id = id.0.bytes();
        nearest.take(transaction.prepare_cached(statements::CHANGED_IN_GROUP)?, id, message)?;
        nearest.take(transaction.prepare_cached(statements::DELETED_IN_GROUP)?, id, deletion)?;
        nearest.take(transaction.prepare_cached(statements::CHANGED_GROUP)?, id, group)?;
    }
    let latest = u64::try_from(latest).unwrap_or_default();
    Ok(Changes { rows: merged(nearest.rows, query.limit), settled: latest, latest })
}

type Found = (Place, Change);

/// The first changes of several owners. Once there are as many as are asked for, what comes after
/// them is not read any more: it may be much, of a user in many busy groups.
struct Nearest<'a> {
    query: &'a ChangesQuery,
    rows: Vec<Found>,
    /// The place of the last one, once there are enough.
    end: Option<Place>,
}

impl Nearest<'_> {
    /// Takes the changes of one owner, a user or a group, which come in order.
    fn take(
        &mut self,
        mut statement: CachedStatement<'_>,
        owner: impl rusqlite::ToSql,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Found>,
    ) -> rusqlite::Result<()> {
        let ChangesQuery { after, limit, .. } = self.query;
        // A version that no counter reaches is after everything.
        let version = i64::try_from(after.version).unwrap_or(i64::MAX);
        let params = params![owner, version, after.id.bytes(), limit_to_sql(*limit)];
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            let found = read(row)?;
            if self.end.is_some_and(|end| found.0 > end) {
                break;
            }
            self.rows.push(found);
        }
        if self.rows.len() >= *limit {
            self.rows = merged(std::mem::take(&mut self.rows), *limit);
            self.end = self.rows.last().map(|(place, _)| *place);
        }
        Ok(())
    }
}

fn place(row: &Row<'_>, version: usize, id: ObjectId) -> rusqlite::Result<Place> {
    Ok(Place { version: rows::count(row, version)?, id })
}

fn message(row: &Row<'_>) -> rusqlite::Result<Found> {
    let message = rows::message(row)?;
    let place = place(row, rows::MESSAGE_COLUMNS, message.id.0)?;
    Ok((place, Change::Message(Box::new(message))))
}

fn deletion(row: &Row<'_>) -> rusqlite::Result<Found> {
    let message = rows::message_id(row, 0)?;
    let conversation = match row.get_ref(5)? {
        rusqlite::types::ValueRef::Null => {
            Conversation::direct(rows::user(row, 3)?, rows::user(row, 4)?)
        }
        _ => Conversation::Group(rows::group_id(row, 5)?),
    };
    let at = Timestamp(row.get(1)?);
    Ok((place(row, 2, message.0)?, Change::Deleted { message, conversation, at }))
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<Found> {
    let group = rows::group_id(row, 0)?;
    let up_to = (Timestamp(row.get(2)?), MessageId(rows::message_id(row, 3)?.0));
    Ok((place(row, 1, group.0)?, Change::Read { group, up_to }))
}

fn membership(row: &Row<'_>) -> rusqlite::Result<Found> {
    let group = rows::group_id(row, 0)?;
    Ok((place(row, 1, group.0)?, Change::Membership(group)))
}

fn mute(row: &Row<'_>) -> rusqlite::Result<Found> {
    let group = rows::group_id(row, 0)?;
    let is_muted: bool = row.get(3)?;
    let until = is_muted.then(|| rows::until(row, 2)).transpose()?;
    Ok((place(row, 1, group.0)?, Change::Mute { group, until }))
}

fn group(row: &Row<'_>) -> rusqlite::Result<Found> {
    let group = rows::group_id(row, 0)?;
    Ok((place(row, 1, group.0)?, Change::Group(group)))
}
