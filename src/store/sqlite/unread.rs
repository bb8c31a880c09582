//! Counting what a user has not read.

use rusqlite::{Transaction, params};

use super::{rows, statements};
use crate::model::{GroupId, Timestamp, Unread, UserId};

/// The place of a cursor: milliseconds and the bytes of a message's id.
type Place = (i64, [u8; 12]);

/// Both counts, of one moment.
pub(super) fn count(
    transaction: &Transaction<'_>,
    user: &UserId,
    until: Timestamp,
) -> rusqlite::Result<Unread> {
    let bound = super::limit_to_sql(Unread::EXACT_TO as usize);
    let params = params![user.as_str(), bound, until.as_millis()];
    let mut statement = transaction.prepare_cached(statements::UNREAD_DIRECT)?;
    let direct = statement.query_row(params, |row| rows::count(row, 0))?;
    let mut group = 0;
    for (id, cursor) in groups_and_cursors(transaction, user)? {
        group += count_in_group(transaction, user, id, cursor, until)?;
    }
    Ok(Unread { direct, group })
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
    until: Timestamp,
) -> rusqlite::Result<u64> {
    let bound = super::limit_to_sql(Unread::EXACT_TO as usize);
    let (group, user, until) = (group.0.bytes(), user.as_str(), until.as_millis());
    match cursor {
        Some((timestamp, id)) => transaction
            .prepare_cached(statements::UNREAD_AFTER_CURSOR)?
            .query_row(params![group, timestamp, id, user, bound, until], |row| {
                rows::count(row, 0)
            }),
        None => transaction
            .prepare_cached(statements::UNREAD_OF_NEWEST)?
            .query_row(params![group, user, bound, until], |row| rows::count(row, 0)),
    }
}
