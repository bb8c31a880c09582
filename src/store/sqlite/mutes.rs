//! Which groups users have muted.

use rusqlite::{Transaction, params};

use super::changes::Versions;
use super::{limit_to_sql, rows, statements};
use crate::model::{GroupId, Timestamp, Until, UserId};

/// Mutes a group, or, without a time, takes that back: the row stays, to tell of it.
pub(super) fn set(
    transaction: &Transaction<'_>,
    user: &UserId,
    group: GroupId,
    until: Option<Until>,
) -> rusqlite::Result<()> {
    let mut versions = Versions::begin(transaction)?;
    let (user, group, version) = (user.as_str(), group.0.bytes(), versions.next());
    match until {
        Some(until) => {
            let until = until.to_stored().map(Timestamp::as_millis);
            let mut mute = transaction.prepare_cached(statements::MUTE)?;
            mute.execute(params![user, group, until, version])?;
        }
        None => {
            let mut unmute = transaction.prepare_cached(statements::UNMUTE)?;
            unmute.execute(params![user, group, version])?;
        }
    }
    versions.end(transaction)
}

/// The groups that a user has muted, the last one first.
pub(super) fn of_user(
    transaction: &Transaction<'_>,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<(GroupId, Until)>> {
    let mut statement = transaction.prepare_cached(statements::MUTES_OF)?;
    let params = params![user.as_str(), limit_to_sql(limit)];
    let mute = |row: &rusqlite::Row<'_>| Ok((rows::group_id(row, 0)?, rows::until(row, 1)?));
    statement.query_map(params, mute)?.collect()
}
