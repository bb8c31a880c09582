//! Counting what a user has not read.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, params};

use super::messages::place_or_end;
use super::{rows, statements};
use crate::model::{GroupId, Position, Timestamp, Unread, UserId};

/// The place of a cursor: milliseconds and the bytes of a message's id.
type Place = (i64, [u8; 12]);

/// Both counts, of one moment, the groups in `except` left out.
pub(super) fn count(
    transaction: &Transaction<'_>,
    user: &UserId,
    until: Option<Position>,
    except: &HashSet<GroupId>,
) -> rusqlite::Result<Unread> {
    let bound = super::limit_to_sql(Unread::EXACT_TO as usize);
    let (until, until_id) = place_or_end(until);
    let params = params![user.as_str(), bound, until, until_id];
    let mut statement = transaction.prepare_cached(statements::UNREAD_DIRECT)?;
    let direct = statement.query_row(params, |row| rows::count(row, 0))?;
    let mut group = 0;
    let counted = groups_and_cursors(transaction, user)?;
    for (id, cursor) in counted.into_iter().filter(|(id, _)| !except.contains(id)) {
        group += count_in_group(transaction, user, id, cursor, (until, &until_id))?;
    }
    Ok(Unread { direct, group })
}

/// Direct messages of another user that a user has not read.
pub(super) fn from(
    transaction: &Transaction<'_>,
    user: &UserId,
    peer: &UserId,
) -> rusqlite::Result<u64> {
    let bound = super::limit_to_sql(Unread::EXACT_TO as usize);
    let mut statement = transaction.prepare_cached(statements::UNREAD_FROM)?;
    statement.query_row(params![user.as_str(), peer.as_str(), bound], |row| rows::count(row, 0))
}

/// Messages of a group that a user has not read.
pub(super) fn in_group(
    transaction: &Transaction<'_>,
    user: &UserId,
    group: GroupId,
) -> rusqlite::Result<u64> {
    let mut statement = transaction.prepare_cached(statements::CURSOR_IN_GROUP)?;
    let cursor = statement
        .query_row(params![group.0.bytes(), user.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
    let (until, until_id) = place_or_end(None);
    count_in_group(transaction, user, group, cursor.optional()?, (until, &until_id))
}

/// How far users have read in a group, of those who have read up to a place; the furthest first.
pub(super) fn readers(
    transaction: &Transaction<'_>,
    group: GroupId,
    (at, id): Position,
    limit: usize,
) -> rusqlite::Result<Vec<(UserId, Position)>> {
    let mut statement = transaction.prepare_cached(statements::READERS)?;
    let params = params![group.0.bytes(), at.as_millis(), id.0.bytes(), super::limit_to_sql(limit)];
    let reader = |row: &rusqlite::Row<'_>| {
        Ok((rows::user(row, 0)?, (Timestamp(row.get(1)?), rows::message_id(row, 2)?)))
    };
    statement.query_map(params, reader)?.collect()
}

fn groups_and_cursors(
    transaction: &Transaction<'_>,
    user: &UserId,
) -> rusqlite::Result<Vec<(GroupId, Option<Place>)>> {
    let mut statement = transaction.prepare_cached(statements::GROUPS_AND_CURSORS)?;
    let found = statement.query_map([user.as_str()], |row| {
        let timestamp: Option<i64> = row.get(1)?;
        let cursor = match timestamp {
            Some(timestamp) => Some((timestamp, row.get(2)?)),
            None => None,
        };
        Ok((rows::group_id(row, 0)?, cursor))
    })?;
    found.collect()
}

fn count_in_group(
    transaction: &Transaction<'_>,
    user: &UserId,
    group: GroupId,
    cursor: Option<Place>,
    (until, until_id): (i64, &[u8]),
) -> rusqlite::Result<u64> {
    let bound = super::limit_to_sql(Unread::EXACT_TO as usize);
    let (group, user) = (group.0.bytes(), user.as_str());
    match cursor {
        Some((timestamp, id)) => transaction
            .prepare_cached(statements::UNREAD_AFTER_CURSOR)?
            .query_row(params![group, timestamp, id, user, bound, until, until_id], |row| {
                rows::count(row, 0)
            }),
        None => transaction
            .prepare_cached(statements::UNREAD_OF_NEWEST)?
            .query_row(params![group, user, bound, until, until_id], |row| rows::count(row, 0)),
    }
}
