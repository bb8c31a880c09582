//! The list of a user's conversations, newest first.
//!
//! Nothing is kept for it: the peers of a user are found by skipping from one to the next in an
//! index of messages.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Params, Transaction, params};

use super::{groups, messages, mutes, presence, rows, statements, unread};
use crate::model::{
    Chat, Conversation, GroupId, GroupSummary, MessageId, Position, Timestamp, Until, UserId,
};
use crate::store::{HistoryQuery, Range};

/// The most groups of one user that are looked at.
const MAX_GROUPS: usize = 10_000;

/// A page of a user's conversations.
pub(super) fn list(
    transaction: &Transaction<'_>,
    user: &UserId,
    before: Option<Position>,
    limit: usize,
) -> rusqlite::Result<Vec<Chat>> {
    let mut places = direct_places(transaction, user)?;
    for id in groups::ids_of_user(transaction, user, MAX_GROUPS)? {
        places.push((group_place(transaction, id)?, Conversation::Group(id)));
    }
    places.retain(|(place, _)| before.is_none_or(|before| *place < before));
    places.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    places.truncate(limit);
    let mutes = mutes::of_user(transaction, user, MAX_GROUPS)?.into_iter().collect();
    places.into_iter().map(|(place, chat)| read(transaction, user, place, chat, &mutes)).collect()
}

fn read(
    transaction: &Transaction<'_>,
    user: &UserId,
    place: Position,
    conversation: Conversation,
    mutes: &HashMap<GroupId, Until>,
) -> rusqlite::Result<Chat> {
    let newest = HistoryQuery {
        conversation: conversation.clone(),
        viewer: Some(user.clone()),
        range: Range::Newest,
        limit: 1,
    };
    let last = messages::history(transaction, &newest)?.pop();
    let (unread, group, muted) = match &conversation {
        Conversation::Direct(a, b) => {
            let peer = if a == user { b } else { a };
            (unread::from(transaction, user, peer)?, None, None)
        }
        Conversation::Group(id) => {
            let shown = GroupSummary::MEMBERS_SHOWN;
            let group = groups::summary(transaction, *id, shown)?;
            (unread::in_group(transaction, user, *id)?, group, mutes.get(id).copied())
        }
    };
    Ok(Chat { conversation, place, last, unread, group, muted })
}

fn direct_places(
    transaction: &Transaction<'_>,
    user: &UserId,
) -> rusqlite::Result<Vec<(Position, Conversation)>> {
    let mut places = Vec::new();
    // Nobody is a peer of their own, and may have written notes all the same.
    let peers = presence::peers(transaction, user, usize::MAX)?.into_iter().chain([user.clone()]);
    for peer in peers {
        let chat = Conversation::direct(user.clone(), peer);
        let Conversation::Direct(low, high) = &chat else { continue };
        let newest = params![low.as_str(), high.as_str()];
        if let Some(place) = newest_of(transaction, statements::NEWEST_DIRECT, newest)? {
            places.push((place, chat));
        }
    }
    Ok(places)
}

/// A group in which nothing was said is as new as itself.
fn group_place(transaction: &Transaction<'_>, id: GroupId) -> rusqlite::Result<Position> {
    let newest = newest_of(transaction, statements::NEWEST_IN_GROUP, [id.0.bytes()])?;
    if let Some(place) = newest {
        return Ok(place);
    }
    let made = groups::created_at(transaction, id)?;
    Ok((made.unwrap_or(Timestamp(0)), MessageId(id.0)))
}

fn newest_of(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Option<Position>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let place = |row: &rusqlite::Row<'_>| Ok((Timestamp(row.get(0)?), rows::message_id(row, 1)?));
    statement.query_row(params, place).optional()
}
