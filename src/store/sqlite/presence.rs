//! Who is told of a user, and when users were last there.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{limit_to_sql, rows, statements};
use crate::model::{GroupId, Timestamp, UserId};

/// With whom a user has a direct conversation: those whose ids sort after the user's, then those
/// before.
pub(super) fn peers(
    transaction: &Transaction<'_>,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<UserId>> {
    let mut found = Vec::new();
    for sql in [statements::PEERS_ABOVE, statements::PEERS_BELOW] {
        let mut statement = transaction.prepare_cached(sql)?;
        let left = limit_to_sql(limit.saturating_sub(found.len()));
        let more = statement.query_map(params![user.as_str(), left], |row| rows::user(row, 0))?;
        for peer in more {
            found.push(peer?);
        }
    }
    Ok(found)
}

/// The groups of a user that have no more than `members` members, newest first.
pub(super) fn small_groups_of(
    transaction: &Transaction<'_>,
    user: &UserId,
    members: usize,
    limit: usize,
) -> rusqlite::Result<Vec<GroupId>> {
    let mut statement = transaction.prepare_cached(statements::SMALL_GROUPS_OF)?;
    let params = params![user.as_str(), limit_to_sql(members), limit_to_sql(limit)];
    statement.query_map(params, |row| rows::group_id(row, 0))?.collect()
}

/// Moves times forward.
pub(super) fn seen(
    transaction: &Transaction<'_>,
    users: &[(UserId, Timestamp)],
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(statements::SEEN)?;
    for (user, at) in users {
        statement.execute(params![user.as_str(), at.as_millis()])?;
    }
    Ok(())
}

/// The times of those that have one.
pub(super) fn last_seen(
    transaction: &Transaction<'_>,
    users: &[UserId],
) -> rusqlite::Result<Vec<(UserId, Timestamp)>> {
    let mut statement = transaction.prepare_cached(statements::LAST_SEEN)?;
    let mut found = Vec::new();
    for user in users {
        let at: Option<i64> = statement.query_row([user.as_str()], |row| row.get(0)).optional()?;
        found.extend(at.map(|at| (user.clone(), Timestamp(at))));
    }
    Ok(found)
}
