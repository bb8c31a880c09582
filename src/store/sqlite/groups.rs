//! Groups and their members.

use rusqlite::{OptionalExtension, Params, Transaction, params};

use super::changes::note_members;
use super::messages::{add_to_count, place_or_end};
use super::{limit_to_sql, roles, rows, statements};
use crate::model::{Group, GroupId, GroupSummary, MessageId, Room, Timestamp, UserId};
use crate::store::{MembershipChange, rooms};

/// Stores a new group.
pub(super) fn create(transaction: &Transaction<'_>, group: &Group) -> rusqlite::Result<()> {
    let id = group.id.0.bytes();
    let created_at = group.created_at.as_millis();
    transaction.prepare_cached(statements::INSERT_GROUP)?.execute(params![
        id,
        group.name,
        fold_case(&group.name),
        group.created_by.as_str(),
        created_at,
        (group.owner != group.created_by).then(|| group.owner.as_str()),
        group.is_public,
    ])?;
    let mut insert = transaction.prepare_cached(statements::INSERT_MEMBER)?;
    for member in &group.members {
        insert.execute(params![id, member.as_str(), created_at])?;
    }
    roles::store(transaction, group)?;
    note_members(transaction, group.id, &group.members)?;
    add_to_count(transaction, "groups", 1)
}

/// One group.
pub(super) fn find(transaction: &Transaction<'_>, id: GroupId) -> rusqlite::Result<Option<Group>> {
    let group = find_without_members(transaction, id)?;
    group.map(|group| with_members(transaction, group, usize::MAX)).transpose()
}

/// One group with its first members.
pub(super) fn summary(
    transaction: &Transaction<'_>,
    id: GroupId,
    members: usize,
) -> rusqlite::Result<Option<GroupSummary>> {
    let Some(group) = find_without_members(transaction, id)? else { return Ok(None) };
    let group = with_members(transaction, group, members)?;
    let mut member_count = group.members.len();
    if member_count >= members {
        member_count = count_members(transaction, id)?;
    }
    Ok(Some(GroupSummary { group, member_count }))
}

fn count_members(transaction: &Transaction<'_>, id: GroupId) -> rusqlite::Result<usize> {
    let mut count = transaction.prepare_cached(statements::COUNT_MEMBERS)?;
    let counted = count.query_row([id.0.bytes()], |row| rows::count(row, 0))?;
    Ok(usize::try_from(counted).unwrap_or(usize::MAX))
}

/// The groups of a user, newest first.
pub(super) fn of_user(
    transaction: &Transaction<'_>,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<Group>> {
    let params = params![user.as_str(), limit_to_sql(limit)];
    list(transaction, statements::GROUPS_OF_USER, params)
}

/// The ids of the groups of a user, newest first.
pub(super) fn ids_of_user(
    transaction: &Transaction<'_>,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<GroupId>> {
    let mut statement = transaction.prepare_cached(statements::GROUP_IDS_OF_USER)?;
    let params = params![user.as_str(), limit_to_sql(limit)];
    statement.query_map(params, |row| rows::group_id(row, 0))?.collect()
}

/// Groups whose name contains a text, newest first; where somebody looks, those that are public or
/// that the viewer is in.
pub(super) fn search(
    transaction: &Transaction<'_>,
    text: &str,
    viewer: Option<&UserId>,
    limit: usize,
) -> rusqlite::Result<Vec<Group>> {
    let (text, most) = (fold_case(text), limit_to_sql(limit));
    let Some(viewer) = viewer else {
        return list(transaction, statements::SEARCH_GROUPS, params![text, most]);
    };
    let params = params![text, most, viewer.as_str()];
    let own = heads(transaction, statements::SEARCH_GROUPS_OF_USER, params)?;
    let public = heads(transaction, statements::SEARCH_PUBLIC_GROUPS, params![text, most])?;
    let found = rooms::newest(own, public, |group| group, limit);
    found.into_iter().map(|group| with_members(transaction, group, usize::MAX)).collect()
}

/// The groups that are public and those of a user, newest first, those before a place.
pub(super) fn rooms(
    transaction: &Transaction<'_>,
    viewer: &UserId,
    before: Option<(Timestamp, GroupId)>,
    limit: usize,
) -> rusqlite::Result<Vec<Room>> {
    let (at, id) = place_or_end(before.map(|(at, id)| (at, MessageId(id.0))));
    let most = limit_to_sql(limit);
    let params = params![at, id, most, viewer.as_str()];
    let own = heads(transaction, statements::ROOMS_OF_USER, params)?;
    let public = heads(transaction, statements::PUBLIC_ROOMS, params![at, id, most])?;
    let room = |is_member| move |group| Room { group, member_count: 0, is_member };
    let own = own.into_iter().map(room(true)).collect();
    let public = public.into_iter().map(room(false)).collect();
    let mut rooms = rooms::newest(own, public, |room| &room.group, limit);
    for room in &mut rooms {
        room.member_count = count_members(transaction, room.group.id)?;
    }
    Ok(rooms)
}

/// Makes a user a member.
pub(super) fn add_member(
    transaction: &Transaction<'_>,
    id: GroupId,
    user: &UserId,
) -> rusqlite::Result<MembershipChange> {
    let Some(created_at) = created_at(transaction, id)? else {
        return Ok(MembershipChange::NoGroup);
    };
    let mut insert = transaction.prepare_cached(statements::INSERT_MEMBER)?;
    let created_at = created_at.as_millis();
    match insert.execute(params![id.0.bytes(), user.as_str(), created_at])? {
        0 => Ok(MembershipChange::Unchanged),
        _ => {
            note_members(transaction, id, [user])?;
            Ok(MembershipChange::Changed)
        }
    }
}

/// Takes a user out of a group, whose role is in the same row.
pub(super) fn remove_member(
    transaction: &Transaction<'_>,
    id: GroupId,
    user: &UserId,
) -> rusqlite::Result<MembershipChange> {
    if created_at(transaction, id)?.is_none() {
        return Ok(MembershipChange::NoGroup);
    }
    let mut delete = transaction.prepare_cached(statements::DELETE_MEMBER)?;
    match delete.execute(params![id.0.bytes(), user.as_str()])? {
        0 => Ok(MembershipChange::Unchanged),
        _ => {
            note_members(transaction, id, [user])?;
            Ok(MembershipChange::Changed)
        }
    }
}

/// Deletes a group; whether it was there.
pub(super) fn delete(transaction: &Transaction<'_>, id: GroupId) -> rusqlite::Result<bool> {
    if let Some(group) = find(transaction, id)? {
        note_members(transaction, id, &group.members)?;
    }
    for sql in
        [statements::DELETE_MEMBERS, statements::DELETE_SILENCES, statements::DELETE_INVITATIONS]
    {
        transaction.prepare_cached(sql)?.execute([id.0.bytes()])?;
    }
    let deleted = transaction.prepare_cached(statements::DELETE_GROUP)?.execute([id.0.bytes()])?;
    add_to_count(transaction, "groups", -(deleted as i64))?;
    Ok(deleted > 0)
}

/// When a group was made; nothing where it isn't there.
pub(super) fn created_at(
    transaction: &Transaction<'_>,
    id: GroupId,
) -> rusqlite::Result<Option<Timestamp>> {
    let mut statement = transaction.prepare_cached(statements::GROUP_CREATED_AT)?;
    statement.query_row([id.0.bytes()], |row| Ok(Timestamp(row.get(0)?))).optional()
}

/// One group with its roles, without its members.
pub(super) fn find_without_members(
    transaction: &Transaction<'_>,
    id: GroupId,
) -> rusqlite::Result<Option<Group>> {
    let mut statement = transaction.prepare_cached(statements::GROUP_BY_ID)?;
    statement.query_row([id.0.bytes()], rows::group_without_members).optional()
}

fn list(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<Group>> {
    let groups = heads(transaction, sql, params)?.into_iter();
    groups.map(|group| with_members(transaction, group, usize::MAX)).collect()
}

/// Groups without their members.
fn heads(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<Group>> {
    let mut statement = transaction.prepare_cached(sql)?;
    statement.query_map(params, rows::group_without_members)?.collect()
}

fn with_members(
    transaction: &Transaction<'_>,
    group: Group,
    limit: usize,
) -> rusqlite::Result<Group> {
    let mut statement = transaction.prepare_cached(statements::MEMBERS)?;
    let params = params![group.id.0.bytes(), limit_to_sql(limit)];
    let members = statement.query_map(params, |row| rows::user(row, 0))?;
    Ok(Group { members: members.collect::<rusqlite::Result<_>>()?, ..group })
}

/// A text without regard to case. Each character goes to upper case first, which brings together
/// those with several lower-case forms (the two small sigmas); whole-text rules that depend on
/// neighbours would make a part of a name differ from the same part alone.
pub(super) fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}
