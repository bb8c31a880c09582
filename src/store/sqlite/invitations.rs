//! Links into groups.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{limit_to_sql, rows, statements};
use crate::model::{GroupId, Invitation, Timestamp, Token, UserId};
use crate::store::TOMBSTONE_LIFE;

/// Stores a new one, and forgets those that ended thirty days before it; one that is there, of an
/// earlier try, stays as it is.
pub(super) fn create(
    transaction: &Transaction<'_>,
    invitation: &Invitation,
) -> rusqlite::Result<()> {
    let created_at = invitation.created_at.as_millis();
    let forgotten = created_at.saturating_sub(TOMBSTONE_LIFE.as_millis() as i64);
    transaction.prepare_cached(statements::FORGET_INVITATIONS)?.execute([forgotten])?;
    transaction.prepare_cached(statements::INSERT_INVITATION)?.execute(params![
        invitation.token.as_str(),
        invitation.group.0.bytes(),
        invitation.created_by.as_str(),
        created_at,
        invitation.expires_at.as_millis(),
        invitation.max_uses,
        invitation.uses,
    ])?;
    Ok(())
}

/// One invitation.
pub(super) fn find(
    transaction: &Transaction<'_>,
    token: &Token,
) -> rusqlite::Result<Option<Invitation>> {
    let mut statement = transaction.prepare_cached(statements::INVITATION)?;
    statement.query_row([token.as_str()], invitation).optional()
}

/// Those into a group that still work, the newest first.
pub(super) fn into(
    transaction: &Transaction<'_>,
    group: GroupId,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Invitation>> {
    let mut statement = transaction.prepare_cached(statements::INVITATIONS_INTO)?;
    let params = params![group.0.bytes(), now.as_millis(), limit_to_sql(limit)];
    statement.query_map(params, invitation)?.collect()
}

/// Counts a use of one that still works; whether it did.
pub(super) fn count_use(
    transaction: &Transaction<'_>,
    token: &Token,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(statements::USE_INVITATION)?;
    Ok(statement.execute(params![token.as_str(), now.as_millis()])? > 0)
}

/// Ends one that has not ended before.
pub(super) fn end(
    transaction: &Transaction<'_>,
    token: &Token,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(statements::END_INVITATION)?;
    statement.execute(params![token.as_str(), now.as_millis()])?;
    Ok(())
}

/// Those that a user has made, the newest first.
pub(super) fn made_by(
    transaction: &Transaction<'_>,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<Invitation>> {
    let mut statement = transaction.prepare_cached(statements::INVITATIONS_BY)?;
    statement.query_map(params![user.as_str(), limit_to_sql(limit)], invitation)?.collect()
}

fn invitation(row: &Row<'_>) -> rusqlite::Result<Invitation> {
    Ok(Invitation {
        token: Token::from_stored(row.get_ref(0)?.as_str()?),
        group: rows::group_id(row, 1)?,
        created_by: rows::user(row, 2)?,
        created_at: Timestamp(row.get(3)?),
        expires_at: Timestamp(row.get(4)?),
        max_uses: row.get(5)?,
        uses: row.get(6)?,
    })
}
