//! What groups are called, who sees them, whose they are, who may do what in them, and who may not
//! speak.

use rusqlite::{Transaction, params};

use super::changes::note_members;
use super::{groups, statements};
use crate::model::{Group, GroupChange, GroupId, Timestamp, Until, UserId};

/// Stores the roles and silences of a new group, whose members are stored.
pub(super) fn store(transaction: &Transaction<'_>, group: &Group) -> rusqlite::Result<()> {
    for admin in &group.admins {
        add_admin(transaction, group.id, admin)?;
    }
    for silence in &group.silenced {
        self::silence(transaction, group.id, &silence.user, silence.until)?;
    }
    Ok(())
}

/// Makes a change; whether the group is there.
pub(super) fn change(
    transaction: &Transaction<'_>,
    id: GroupId,
    change: &GroupChange,
) -> rusqlite::Result<bool> {
    if groups::created_at(transaction, id)?.is_none() {
        return Ok(false);
    }
    match change {
        GroupChange::Name(name) => {
            let mut rename = transaction.prepare_cached(statements::RENAME_GROUP)?;
            rename.execute(params![id.0.bytes(), name, groups::fold_case(name)])?;
        }
        GroupChange::Public(is_public) => {
            let mut open = transaction.prepare_cached(statements::SET_PUBLIC)?;
            open.execute(params![id.0.bytes(), is_public])?;
        }
        GroupChange::Admin { user, is_admin: true } => add_admin(transaction, id, user)?,
        GroupChange::Admin { user, is_admin: false } => {
            run(transaction, statements::REMOVE_ADMIN, id, user)?;
        }
        GroupChange::Owner { user, former } => {
            run(transaction, statements::SET_OWNER, id, user)?;
            run(transaction, statements::REMOVE_ADMIN, id, user)?;
            run(transaction, statements::END_SILENCE, id, user)?;
            if let Some(former) = former {
                add_admin(transaction, id, former)?;
            }
        }
        GroupChange::Silence { user, until, now } => {
            let mut end = transaction.prepare_cached(statements::END_SILENCES_UNTIL)?;
            end.execute(params![id.0.bytes(), now.as_millis()])?;
            run(transaction, statements::END_SILENCE, id, user)?;
            if let Some(until) = until {
                silence(transaction, id, user, *until)?;
            }
        }
    }
    note_members(transaction, id, [])?;
    Ok(true)
}

fn add_admin(transaction: &Transaction<'_>, id: GroupId, user: &UserId) -> rusqlite::Result<()> {
    run(transaction, statements::ADD_ADMIN, id, user)
}

fn silence(
    transaction: &Transaction<'_>,
    id: GroupId,
    user: &UserId,
    until: Until,
) -> rusqlite::Result<()> {
    let until = until.to_stored().map(Timestamp::as_millis);
    let mut silence = transaction.prepare_cached(statements::SILENCE)?;
    silence.execute(params![id.0.bytes(), user.as_str(), until])?;
    Ok(())
}

fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    id: GroupId,
    user: &UserId,
) -> rusqlite::Result<()> {
    transaction.prepare_cached(sql)?.execute(params![id.0.bytes(), user.as_str()])?;
    Ok(())
}
