//! Every read of the store as data: a test asks the server to explain exactly these.
//!
//! Each names the index that serves it. The planner would mostly find it alone, but it chooses by
//! trial, and for a short conversation it may choose an index of the old server and sort in memory.

use bson::{Bson, DateTime, Document, doc};

use super::indexes::{
    CLIENT_ID, CURSOR_PLACES, DIRECT_ORDER, DIRECT_UNREAD, GROUP_NAME, GROUP_ORDER, Index,
    MEMBER_GROUPS, MESSAGE_ID, TOMBSTONE,
};
use super::{GROUPS, MESSAGES, READ_CURSORS, documents, rooms};
use crate::model::{
    ClientId, Conversation, GroupId, MessageId, MessageRef, Position, Unread, UserId,
};
use crate::store::{HistoryQuery, Range};

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
    pub(super) fn by_id(collection: &'static str, id: impl Into<Bson>) -> Self {
        let filter = doc! {"_id": id.into()};
        Self { collection, filter, sort: None, hint: None, projection: None, limit: 1 }
    }

    /// All documents that a filter finds through an index, in no order.
    pub(super) fn all(index: Index, filter: Document) -> Self {
        Self {
            collection: index.collection,
            filter,
            sort: None,
            hint: Some(index.keys()),
            projection: None,
            limit: 0,
        }
    }

    pub(super) fn ordered(index: Index, filter: Document, sort: Document, limit: usize) -> Self {
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
pub(super) fn newest_first() -> Document {
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

/// Oldest first within a conversation.
fn oldest_first() -> Document {
    doc! {"timestamp": 1, "_id": 1}
}

/// A page of a conversation, newest first, or, after a place, oldest first. The two directions of a
/// direct conversation are two ranges of one index, each in order, which the server merges without
/// sorting.
pub fn history(query: &HistoryQuery) -> Find {
    let order = order_of(query.range);
    match &query.conversation {
        Conversation::Group(group) => {
            let filter = in_range(query, doc! {"group_id": group.0});
            page_of(GROUP_ORDER, filter, order, query.limit)
        }
        Conversation::Direct(a, b) => {
            let direction = |from: &UserId, to: &UserId| {
                let users = doc! {"from_user_id": from.as_str(), "to_user_id": to.as_str()};
                in_range(query, users)
            };
            let filter = if a == b {
                direction(a, b)
            } else {
                doc! {"$or": [direction(a, b), direction(b, a)]}
            };
            page_of(DIRECT_ORDER, filter, order, query.limit)
        }
    }
}

/// Adds to a filter which part of its messages is wanted, and by whom.
pub(super) fn in_range(query: &HistoryQuery, mut filter: Document) -> Document {
    if let Some(viewer) = &query.viewer {
        filter.insert("deleted_for", doc! {"$ne": viewer.as_str()});
    }
    let (at, towards, id, beyond) = match query.range {
        Range::Newest => return filter,
        Range::Before((at, id)) => (documents::date(at), "$lte", id.0, "$gte"),
        Range::After((at, id)) => (documents::date(at), "$gte", id.0, "$lte"),
    };
    filter.insert("timestamp", doc! {towards: at});
    filter.insert("$nor", vec![doc! {"timestamp": at, "_id": {beyond: id}}]);
    filter
}

/// The order in which a range is read.
pub(super) fn order_of(range: Range) -> Document {
    match range {
        Range::Newest | Range::Before(_) => newest_first(),
        Range::After(_) => oldest_first(),
    }
}

/// A page holds what messages say now; what they said before is read one message at a time.
pub(super) fn page_of(index: Index, filter: Document, order: Document, limit: usize) -> Find {
    let projection = Some(doc! {"revisions": 0});
    Find { projection, ..Find::ordered(index, filter, order, limit) }
}

/// How many direct messages a user has not read, up to [`Unread::EXACT_TO`].
pub fn unread_direct(user: &UserId, until: Option<Position>) -> Count {
    unread_of(user, doc! {"$ne": user.as_str()}, until)
}

/// How many direct messages of another user a user has not read, up to [`Unread::EXACT_TO`].
pub fn unread_from(user: &UserId, peer: &UserId) -> Count {
    // Notes to oneself are never unread.
    unread_of(user, doc! {"$eq": peer.as_str(), "$ne": user.as_str()}, None)
}

fn unread_of(user: &UserId, from: Document, until: Option<Position>) -> Count {
    let mut filter = doc! {
        "to_user_id": user.as_str(),
        "status": {"$ne": "read"},
        "from_user_id": from,
        "deleted_for": {"$ne": user.as_str()},
    };
    leave_out(&mut filter, after(until));
    Count {
        collection: MESSAGES,
        pipeline: vec![doc! {"$match": filter}, exact_to(), counted()],
        hint: DIRECT_UNREAD.keys(),
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
pub(super) fn leave_out(filter: &mut Document, alternatives: Vec<Document>) {
    if !alternatives.is_empty() {
        filter.insert("$nor", alternatives);
    }
}

fn exact_to() -> Document {
    doc! {"$limit": i64::try_from(Unread::EXACT_TO).unwrap_or(i64::MAX)}
}

pub(super) fn counted() -> Document {
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

/// How far users have read in a group, of those who have read up to a place; the furthest first.
pub fn readers(group: GroupId, from: Position, limit: usize) -> Find {
    let filter = doc! {"_id.group": group.0, "position": {"$gte": position(from)}};
    Find::ordered(CURSOR_PLACES, filter, doc! {"position": -1}, limit)
}

/// The place of a read cursor. Documents compare field by field, in this order.
pub(super) fn position((at, message): Position) -> Document {
    doc! {"timestamp": documents::date(at), "message_id": message.0}
}

/// The `_id` of a read cursor. The order of the fields is part of the key.
pub(super) fn cursor_id(user: &UserId, group: GroupId) -> Document {
    doc! {"user": user.as_str(), "group": group.0}
}

/// A group by its `_id`.
pub fn group_by_id(id: GroupId) -> Find {
    Find::by_id(GROUPS, id.0)
}

/// A group without its members.
pub fn group_head(id: GroupId) -> Find {
    Find { projection: Some(doc! {"member_ids": 0}), ..group_by_id(id) }
}

/// The groups a user is in, newest first.
pub fn groups_of(user: &UserId, limit: usize) -> Find {
    let order = doc! {"created_at": -1, "_id": -1};
    Find::ordered(MEMBER_GROUPS, doc! {"member_ids": user.as_str()}, order, limit)
}

/// When the groups that a user is in were made, without the groups, which may have many members.
pub fn makings_of_groups_of(user: &UserId, limit: usize) -> Find {
    Find { projection: Some(doc! {"created_at": 1}), ..groups_of(user, limit) }
}

/// These groups with their first members and `member_count`, in no order.
pub fn group_summaries(ids: &[GroupId], members: usize) -> Count {
    let ids: Vec<Bson> = ids.iter().map(|id| id.0.into()).collect();
    let all = rooms::all_members();
    let first: Bson = match i32::try_from(members).unwrap_or(i32::MAX) {
        // A slice has to have a length.
        0 => Bson::Array(Vec::new()),
        members => doc! {"$slice": [all.clone(), members]}.into(),
    };
    Count {
        collection: GROUPS,
        pipeline: vec![
            doc! {"$match": {"_id": {"$in": ids}}},
            doc! {"$set": {"member_count": {"$size": all}, "member_ids": first}},
        ],
        hint: doc! {"_id": 1},
    }
}

/// The `_id` of the groups a user is in, newest first; a limit of 0 is none.
pub fn group_ids_of(user: &UserId, limit: usize) -> Find {
    Find { projection: Some(doc! {"_id": 1}), ..groups_of(user, limit) }
}

/// Groups whose name contains a text, any case, newest first: all names are looked at, in the
/// index, and the groups that fit are sorted.
pub fn groups_named(text: &str, limit: usize) -> Find {
    let filter = doc! {"name": name_with(text)};
    let order = doc! {"created_at": -1, "_id": -1};
    Find::ordered(GROUP_NAME, filter, order, limit)
}

/// The same of the groups that a user is in.
pub fn groups_of_named(user: &UserId, text: &str, limit: usize) -> Find {
    let mut find = groups_of(user, limit);
    find.filter.insert("name", name_with(text));
    find
}

pub(super) fn name_with(text: &str) -> Document {
    doc! {"$regex": literal(text), "$options": "i"}
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
            viewer: Some(me),
            range: Range::Newest,
            limit: 5,
        };
        let find = history(&query);
        assert!(!find.filter.contains_key("$or"));
        assert_eq!(find.limit, 5);
    }
}
