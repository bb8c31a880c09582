//! Every read of the store as data: a test asks the server to explain exactly these.
//!
//! Each names the index that serves it. The planner would mostly find it alone, but it chooses by
//! trial, and for a short conversation it may choose an index of the old server and sort in memory.

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};

use super::indexes::{
    CLIENT_ID, DIRECT_ORDER, DIRECT_STATUS, GROUP_NAME, GROUP_ORDER, Index, MEMBER_GROUPS,
    MESSAGE_ID, SEARCH_KEYS, SEARCH_ORDER, TOMBSTONE,
};
use super::{GROUPS, MESSAGES, READ_CURSORS, SEARCH, SEARCH_STATE, documents};
use crate::model::{
    ClientId, Conversation, GroupId, MessageId, MessageRef, Position, Unread, UserId,
};
use crate::search;
use crate::store::{HistoryQuery, SearchQuery};

/// A `find`.
#[derive(Debug, Clone, PartialEq)]
pub struct Find {
    /// Where.
    pub collection: &'static str,
    /// Which documents.
    pub filter: Document,
    /// In which order; none for single documents and sets.
    pub sort: Option<Document>,
    /// Through which index; none for `_id`.
    pub hint: Option<Document>,
    /// Which fields; all, where none is given.
    pub projection: Option<Document>,
    /// How many at the most; 0 is no limit.
    pub limit: i64,
}

impl Find {
    fn by_id(collection: &'static str, id: impl Into<Bson>) -> Self {
        let filter = doc! {"_id": id.into()};
        Self { collection, filter, sort: None, hint: None, projection: None, limit: 1 }
    }

    fn ordered(index: Index, filter: Document, sort: Document, limit: usize) -> Self {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Self {
            collection: index.collection,
            filter,
            sort: Some(sort),
            hint: Some(index.keys()),
            projection: None,
            limit,
        }
    }

    /// The query as a database command, to be explained.
    pub fn command(&self) -> Document {
        let mut command = doc! {"find": self.collection, "filter": self.filter.clone()};
        let parts = [("sort", &self.sort), ("hint", &self.hint), ("projection", &self.projection)];
        for (name, part) in parts {
            if let Some(part) = part {
                command.insert(name, part.clone());
            }
        }
        command.insert("limit", self.limit);
        command
    }
}

/// A count: an aggregation that answers one document `{n}`, or none for zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// Where.
    pub collection: &'static str,
    /// The stages.
    pub pipeline: Vec<Document>,
    /// Through which index.
    pub hint: Document,
}

impl Count {
    /// The query as a database command, to be explained.
    pub fn command(&self) -> Document {
        doc! {
            "aggregate": self.collection, "pipeline": self.pipeline.clone(),
            "cursor": {}, "hint": self.hint.clone(),
        }
    }
}

/// Newest first within a conversation.
fn newest_first() -> Document {
    doc! {"timestamp": -1, "_id": -1}
}

/// A message, or the stub of a deleted one, by its `_id`.
pub fn message_by_id(id: MessageId) -> Find {
    Find::by_id(MESSAGES, id.0)
}

/// A message by the `id` under which the old server sent it out.
pub fn message_by_old_id(id: &MessageRef) -> Find {
    Find {
        collection: MESSAGES,
        filter: doc! {"id": id.as_str()},
        sort: None,
        hint: Some(MESSAGE_ID.keys()),
        projection: None,
        limit: 1,
    }
}

/// The `_id` of the message, or of the stub of a deleted one, that a user has sent under this
/// client id. The index holds texts alone, and serves a query only if that says so too.
pub fn sent_as(user: &UserId, client_id: &ClientId) -> Find {
    let client_id = doc! {"$eq": client_id.as_str(), "$type": "string"};
    Find {
        collection: MESSAGES,
        filter: doc! {"from_user_id": user.as_str(), "client_id": client_id},
        sort: None,
        hint: Some(CLIENT_ID.keys()),
        projection: Some(doc! {"_id": 1}),
        limit: 1,
    }
}

/// Which of these messages are stored, or have left a stub; answers their `_id` alone.
pub fn stored_ids(ids: Vec<Bson>) -> Find {
    Find {
        collection: MESSAGES,
        filter: doc! {"_id": {"$in": ids}},
        sort: None,
        hint: None,
        projection: Some(doc! {"_id": 1}),
        limit: 0,
    }
}

/// A page of a conversation, newest first. The two directions of a direct conversation are two
/// ranges of one index, each in order, which the server merges without sorting.
pub fn history(query: &HistoryQuery) -> Find {
    let in_range = |mut filter: Document| {
        filter.insert("deleted_for", doc! {"$ne": query.viewer.as_str()});
        if let Some((at, id)) = query.before {
            let at = documents::date(at);
            filter.insert("timestamp", doc! {"$lte": at});
            filter.insert("$nor", vec![doc! {"timestamp": at, "_id": {"$gte": id.0}}]);
        }
        filter
    };
    match &query.conversation {
        Conversation::Group(group) => {
            let filter = in_range(doc! {"group_id": group.0});
            Find::ordered(GROUP_ORDER, filter, newest_first(), query.limit)
        }
        Conversation::Direct(a, b) => {
            let direction = |from: &UserId, to: &UserId| {
                let users = doc! {"from_user_id": from.as_str(), "to_user_id": to.as_str()};
                in_range(users)
            };
            let filter = if a == b {
                direction(a, b)
            } else {
                doc! {"$or": [direction(a, b), direction(b, a)]}
            };
            Find::ordered(DIRECT_ORDER, filter, newest_first(), query.limit)
        }
    }
}

/// How many direct messages a user has not read, up to [`Unread::EXACT_TO`].
pub fn unread_direct(user: &UserId, until: Option<Position>) -> Count {
    let mut filter = doc! {
        "to_user_id": user.as_str(),
        "status": {"$ne": "read"},
        "from_user_id": {"$ne": user.as_str()},
        "deleted_for": {"$ne": user.as_str()},
    };
    leave_out(&mut filter, after(until));
    Count {
        collection: MESSAGES,
        pipeline: vec![doc! {"$match": filter}, exact_to(), counted()],
        hint: DIRECT_STATUS.keys(),
    }
}

/// How many messages of a group a user has not read, up to [`Unread::EXACT_TO`]: after the
/// cursor, or among the newest.
pub fn unread_in_group(
    user: &UserId,
    group: GroupId,
    cursor: Option<Position>,
    until: Option<Position>,
) -> Count {
    let unread = doc! {
        "from_user_id": {"$ne": user.as_str()},
        "read_by": {"$ne": user.as_str()},
        "deleted_for": {"$ne": user.as_str()},
    };
    let mut filter = doc! {"group_id": group.0};
    let pipeline = if let Some((at, id)) = cursor {
        let at = documents::date(at);
        let mut not = after(until);
        not.push(doc! {"timestamp": at, "_id": {"$lte": id.0}});
        filter.insert("timestamp", doc! {"$gte": at});
        leave_out(&mut filter, not);
        filter.extend(unread);
        vec![doc! {"$match": filter}, exact_to(), counted()]
    } else {
        leave_out(&mut filter, after(until));
        let order = doc! {"$sort": newest_first()};
        vec![doc! {"$match": filter}, order, exact_to(), doc! {"$match": unread}, counted()]
    };
    Count { collection: MESSAGES, pipeline, hint: GROUP_ORDER.keys() }
}

/// What lies after a place, as alternatives; a row of the old server without a time lies after
/// none.
fn after(place: Option<Position>) -> Vec<Document> {
    let after = |(at, id): Position| {
        let at = documents::date(at);
        vec![doc! {"timestamp": {"$gt": at}}, doc! {"timestamp": at, "_id": {"$gt": id.0}}]
    };
    place.map(after).unwrap_or_default()
}

/// Adds that none of these alternatives holds.
fn leave_out(filter: &mut Document, alternatives: Vec<Document>) {
    if !alternatives.is_empty() {
        filter.insert("$nor", alternatives);
    }
}

fn exact_to() -> Document {
    doc! {"$limit": i64::try_from(Unread::EXACT_TO).unwrap_or(i64::MAX)}
}

fn counted() -> Document {
    doc! {"$count": "n"}
}

/// How many stubs of deleted messages there are.
pub fn stubs() -> Count {
    let filter = doc! {"tombstone": {"$gte": DateTime::MIN}};
    let pipeline = vec![doc! {"$match": filter}, counted()];
    Count { collection: MESSAGES, pipeline, hint: TOMBSTONE.keys() }
}

/// How far a user has read in these groups.
pub fn read_cursors(user: &UserId, groups: &[GroupId]) -> Find {
    let ids: Vec<Bson> = groups.iter().map(|group| cursor_id(user, *group).into()).collect();
    Find {
        collection: READ_CURSORS,
        filter: doc! {"_id": {"$in": ids}},
        sort: None,
        hint: None,
        projection: None,
        limit: 0,
    }
}

/// The `_id` of a read cursor. The order of the fields is part of the key.
pub(super) fn cursor_id(user: &UserId, group: GroupId) -> Document {
    doc! {"user": user.as_str(), "group": group.0}
}

/// A group by its `_id`.
pub fn group_by_id(id: GroupId) -> Find {
    Find::by_id(GROUPS, id.0)
}

/// The groups a user is in, newest first.
pub fn groups_of(user: &UserId, limit: usize) -> Find {
    let order = doc! {"created_at": -1, "_id": -1};
    Find::ordered(MEMBER_GROUPS, doc! {"member_ids": user.as_str()}, order, limit)
}

/// The `_id` of every group a user is in.
pub fn group_ids_of(user: &UserId) -> Find {
    Find {
        collection: GROUPS,
        filter: doc! {"member_ids": user.as_str()},
        sort: None,
        hint: Some(MEMBER_GROUPS.keys()),
        projection: Some(doc! {"_id": 1}),
        limit: 0,
    }
}

/// The `_id` of the newest groups a user is in.
pub fn newest_group_ids_of(user: &UserId, limit: usize) -> Find {
    Find { projection: Some(doc! {"_id": 1}), ..groups_of(user, limit) }
}

/// Candidates of a search in no order: what is filed under one of these parties by all the words,
/// each a range of keys.
pub fn candidates(query: &SearchQuery, parties: &[String], limit: usize) -> Find {
    let filter = filed_under(query, parties, query.before);
    let projection = Some(doc! {"timestamp": 1});
    Find { sort: None, projection, ..Find::ordered(SEARCH_KEYS, filter, doc! {}, limit) }
}

/// The newest candidates, newest first: what these parties have is looked at in that order.
pub fn newest_candidates(
    query: &SearchQuery,
    parties: &[String],
    before: Option<Position>,
    limit: usize,
) -> Find {
    let mut filter = filed_under(query, parties, before);
    // The one further key of a direct conversation leads to less than its parties do.
    let conversation = query.conversation.as_ref().map(search::conversation_key);
    let walked = conversation.map_or_else(|| parties.to_vec(), |key| vec![key]);
    filter.insert("parties", doc! {"$in": walked});
    let projection = Some(doc! {"timestamp": 1});
    Find { projection, ..Find::ordered(SEARCH_ORDER, filter, newest_first(), limit) }
}

fn filed_under(query: &SearchQuery, parties: &[String], before: Option<Position>) -> Document {
    let further = query.further_keys();
    let of_party = |party: &String| {
        let words = query.words.keys(party);
        let words = words.iter().map(|key| doc! {"keys": {"$elemMatch": beginning(key)}});
        let further = further.iter().map(|key| doc! {"parties": key});
        doc! {"$and": words.chain(further).collect::<Vec<_>>()}
    };
    let mut filter = doc! {"$or": parties.iter().map(of_party).collect::<Vec<_>>()};
    if let Some((at, id)) = before {
        let at = documents::date(at);
        filter.insert("timestamp", doc! {"$lte": at});
        leave_out(&mut filter, vec![doc! {"timestamp": at, "_id": {"$gte": id.0}}]);
    }
    filter
}

/// The texts with this beginning. No key holds the last of all characters.
fn beginning(text: &str) -> Document {
    doc! {"$gte": text, "$lt": format!("{text}{}", char::MAX)}
}

/// What is filed of a group's messages, for a deletion.
pub fn filed_of_group(group: GroupId) -> Document {
    doc! {"parties": search::conversation_key(&Conversation::Group(group)), "group_id": group.0}
}

/// Which of these messages are filed; answers their `_id` alone.
pub fn filed_ids(ids: Vec<Bson>) -> Find {
    Find { collection: SEARCH, ..stored_ids(ids) }
}

/// Messages, and stubs of deleted ones, by their `_id`.
pub fn messages_by_id(ids: Vec<Bson>) -> Find {
    Find { projection: None, ..stored_ids(ids) }
}

/// The `_id` of what is stored, in order, after this one.
pub fn message_ids_after(after: ObjectId, limit: i64) -> Find {
    Find {
        collection: MESSAGES,
        filter: doc! {"_id": {"$gt": after}},
        sort: Some(doc! {"_id": 1}),
        hint: Some(doc! {"_id": 1}),
        projection: Some(doc! {"_id": 1}),
        limit,
    }
}

/// The `_id` of the state of the sweep for the search index.
pub(super) const SWEPT: &str = "swept";

/// How far the sweep for the search index has come.
pub fn swept() -> Find {
    Find::by_id(SEARCH_STATE, SWEPT)
}

/// Groups whose name contains a text, any case, newest first: all names are looked at, in the
/// index, and the groups that fit are sorted.
pub fn groups_named(text: &str, limit: usize) -> Find {
    let filter = doc! {"name": {"$regex": literal(text), "$options": "i"}};
    let order = doc! {"created_at": -1, "_id": -1};
    Find::ordered(GROUP_NAME, filter, order, limit)
}

/// A regular expression (PCRE) that matches the text alone. A backslash before an ASCII sign that
/// is no letter or digit always means the sign itself.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_a_pattern() {
        assert_eq!(literal("a.b (c)\\E_ä"), "a\\.b \\(c\\)\\\\E\\_ä");
    }

    #[test]
    fn a_conversation_with_oneself_has_one_direction() {
        let me = UserId::from_stored("me");
        let query = HistoryQuery {
            conversation: Conversation::direct(me.clone(), me.clone()),
            viewer: me,
            before: None,
            limit: 5,
        };
        let find = history(&query);
        assert!(!find.filter.contains_key("$or"));
        assert_eq!(find.limit, 5);
    }
}
