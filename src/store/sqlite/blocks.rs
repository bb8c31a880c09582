//! Who has blocked whom.

use rusqlite::{Transaction, params};

use super::{limit_to_sql, rows, statements};
use crate::model::{Block, Timestamp, UserId};

/// Stores a block; one that is there stays as it is.
pub(super) fn add(
    transaction: &Transaction<'_>,
    user: &UserId,
    block: &Block,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(statements::BLOCK)?;
    statement.execute(params![user.as_str(), block.user.as_str(), block.at.as_millis()])?;
    Ok(())
}

/// Takes a block away.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    user: &UserId,
    other: &UserId,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(statements::UNBLOCK)?;
    statement.execute(params![user.as_str(), other.as_str()])?;
    Ok(())
}

/// Whom a user has blocked, the last one first.
pub(super) fn of_user(
    transaction: &Transaction<'_>,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<Block>> {
    let mut statement = transaction.prepare_cached(statements::BLOCKS_OF)?;
    let block = |row: &rusqlite::Row<'_>| {
        Ok(Block { user: rows::user(row, 0)?, at: Timestamp(row.get(1)?) })
    };
    statement.query_map(params![user.as_str(), limit_to_sql(limit)], block)?.collect()
}
