//! The list of a user's conversations, newest first.
//!
//! Nothing is kept for it: the newest message of each conversation is where an index changes from
//! one peer, or group, to the next, and the server skips from one such place to the other.

use std::collections::HashMap;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::options::{AggregateOptions, Hint};

use super::indexes::{DIRECT_ORDER, DIRECT_RECEIVED, GROUP_ORDER, Index};
use super::queries::{self, Count};
use super::reads::COUNTS_AT_ONCE;
use super::{MESSAGES, MongoStore, changes, documents, errors, mutes};
use crate::model::{Chat, Conversation, GroupId, GroupSummary, MessageId, Position, Until, UserId};
use crate::store::{HistoryQuery, Range, Result};

/// The place of the newest message to each user that a user has written to: `{_id: peer, timestamp,
/// message}`.
pub fn newest_sent(user: &UserId) -> Count {
    newest(DIRECT_ORDER, doc! {"from_user_id": user.as_str()}, "$to_user_id")
}

/// The place of the newest message from each user who has written to a user.
pub fn newest_received(user: &UserId) -> Count {
    newest(DIRECT_RECEIVED, doc! {"to_user_id": user.as_str()}, "$from_user_id")
}

/// The place of the newest message of each of these groups.
pub fn newest_in(groups: &[GroupId]) -> Count {
    let ids: Vec<Bson> = groups.iter().map(|group| group.0.into()).collect();
    newest(GROUP_ORDER, doc! {"group_id": {"$in": ids}}, "$group_id")
}

fn newest(index: Index, filter: Document, by: &str) -> Count {
    let newest = doc! {
        "_id": by,
        "timestamp": {"$first": "$timestamp"},
        "message": {"$first": "$_id"},
    };
    Count {
        collection: MESSAGES,
        pipeline: vec![
            doc! {"$match": filter},
            doc! {"$sort": index.keys()},
            doc! {"$group": newest},
        ],
        hint: index.keys(),
    }
}

/// What is known of the groups on a page.
struct OfGroups {
    groups: HashMap<GroupId, GroupSummary>,
    cursors: HashMap<GroupId, Position>,
    mutes: HashMap<GroupId, Until>,
}

impl MongoStore {
    /// A page of a user's conversations.
    pub(super) async fn find_chats(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Chat>> {
        let made = self.find(&queries::makings_of_groups_of(user, super::MAX_GROUPS)).await?;
        let mut places = self.direct_places(user).await?;
        places.extend(self.group_places(made.iter().filter_map(to_making)).await?);
        let mut places: Vec<_> = places.into_iter().map(|(chat, place)| (place, chat)).collect();
        places.retain(|(place, _)| before.is_none_or(|before| *place < before));
        places.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
        places.truncate(limit);
        let ids: Vec<_> = places.iter().filter_map(|(_, chat)| to_group_id(chat)).collect();
        let groups = self.find_summaries(&ids, GroupSummary::MEMBERS_SHOWN).await?;
        let groups: HashMap<GroupId, GroupSummary> =
            groups.into_iter().map(|found| (found.group.id, found)).collect();
        let cursors = self.find(&queries::read_cursors(user, &ids)).await?;
        let cursors: HashMap<_, _> = cursors.iter().filter_map(changes::to_cursor).collect();
        let mutes = self.find(&mutes::mutes_in(user, &ids)).await?;
        let mutes: HashMap<_, _> = mutes.iter().filter_map(mutes::muted).collect();
        let of_groups = OfGroups { groups, cursors, mutes };
        let chats = places
            .into_iter()
            .map(|(place, conversation)| self.chat(user, place, conversation, &of_groups));
        stream::iter(chats).buffered(COUNTS_AT_ONCE).try_collect().await
    }

    async fn chat(
        &self,
        user: &UserId,
        place: Position,
        conversation: Conversation,
        of_groups: &OfGroups,
    ) -> Result<Chat> {
        let newest = HistoryQuery {
            conversation: conversation.clone(),
            viewer: Some(user.clone()),
            range: Range::Newest,
            limit: 1,
        };
        let last = self.page(&newest).await?.pop();
        let (unread, group, muted) = match &conversation {
            Conversation::Direct(a, b) => {
                let peer = if a == user { b } else { a };
                (self.count(queries::unread_from(user, peer)).await?, None, None)
            }
            Conversation::Group(group) => {
                let OfGroups { groups, cursors, mutes } = of_groups;
                let cursor = cursors.get(group).copied();
                let count = queries::unread_in_group(user, *group, cursor, None);
                let muted = mutes.get(group).copied();
                (self.count(count).await?, groups.get(group).cloned(), muted)
            }
        };
        Ok(Chat { conversation, place, last, unread, group, muted })
    }

    async fn direct_places(&self, user: &UserId) -> Result<HashMap<Conversation, Position>> {
        let mut places = HashMap::new();
        for query in [newest_sent(user), newest_received(user)] {
            for row in self.aggregate(query).await? {
                // Messages to groups are one more peer without a name.
                let Ok(peer) = row.get_str("_id") else { continue };
                let Some(place) = to_place(&row) else { continue };
                let chat = Conversation::direct(user.clone(), UserId::from_stored(peer));
                let known = places.entry(chat).or_insert(place);
                *known = place.max(*known);
            }
        }
        Ok(places)
    }

    /// A group in which nothing was said is as new as itself.
    async fn group_places(
        &self,
        made: impl Iterator<Item = (GroupId, Position)>,
    ) -> Result<HashMap<Conversation, Position>> {
        let mut places: HashMap<GroupId, Position> = made.collect();
        let ids: Vec<_> = places.keys().copied().collect();
        for ids in ids.chunks(super::MAX_RANGES) {
            for row in self.aggregate(newest_in(ids)).await? {
                let group = row.get_object_id("_id").ok().map(GroupId);
                if let Some((group, place)) = group.zip(to_place(&row)) {
                    places.insert(group, place);
                }
            }
        }
        let places = places.into_iter();
        Ok(places.map(|(group, place)| (Conversation::Group(group), place)).collect())
    }

    pub(super) async fn aggregate(&self, query: Count) -> Result<Vec<RawDocumentBuf>> {
        let limit = super::READ_LIMIT;
        match self.aggregate_by(&query, Some(query.hint.clone()), limit).await? {
            // The index is not there (yet): once more, without it.
            Err(error) if errors::is_missing_hint(&error) => {
                self.aggregate_by(&query, None, limit).await?.map_err(errors::classify)
            }
            rows => rows.map_err(errors::classify),
        }
    }

    pub(super) async fn aggregate_by(
        &self,
        query: &Count,
        hint: Option<Document>,
        limit: Duration,
    ) -> Result<mongodb::error::Result<Vec<RawDocumentBuf>>> {
        let database = &self.place().await?.database;
        let collection = database.collection::<RawDocumentBuf>(query.collection);
        let options =
            AggregateOptions::builder().hint(hint.map(Hint::Keys)).max_time(limit).build();
        let rows = collection.aggregate(query.pipeline.clone()).with_options(options);
        let rows = rows.with_type::<RawDocumentBuf>();
        self.timed(super::READ_LIMIT, async { rows.await?.try_collect().await }).await
    }
}

/// A group, and its place as long as nothing was said in it.
fn to_making(row: &RawDocumentBuf) -> Option<(GroupId, Position)> {
    let id = documents::to_id(row)?;
    let at = row.get_datetime("created_at").unwrap_or_else(|_| id.timestamp());
    Some((GroupId(id), (documents::timestamp(at), MessageId(id))))
}

fn to_group_id(conversation: &Conversation) -> Option<GroupId> {
    match conversation {
        Conversation::Group(group) => Some(*group),
        Conversation::Direct(..) => None,
    }
}

fn to_place(row: &RawDocumentBuf) -> Option<Position> {
    let message = MessageId(row.get_object_id("message").ok()?);
    let at = row.get_datetime("timestamp").unwrap_or_else(|_| message.0.timestamp());
    Some((documents::timestamp(at), message))
}
