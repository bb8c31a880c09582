//! What is asked of the search index, and for it.

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};

use super::super::indexes::{SEARCH_KEYS, SEARCH_ORDER};
use super::super::queries::{Count, Find, leave_out, newest_first, stored_ids};
use super::super::{MESSAGES, SEARCH, SEARCH_STATE, documents};
use crate::model::{Conversation, GroupId, Position};
use crate::search;
use crate::store::SearchQuery;

/// A part of what some parties have, in order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slice {
    /// Only messages before this place.
    pub before: Option<Position>,
    /// Only messages at this place or after it.
    pub from: Option<Position>,
}

/// Candidates in no order, found by one of the words: what is filed under one of these parties by
/// this word, at the most `limit`, and of that what is filed by all. The words are counted from the
/// longest. Answers `{found: [{n}], candidates: [{_id, timestamp}]}`, the number found and the
/// rest.
pub fn candidates(
    query: &SearchQuery,
    parties: &[String],
    before: Option<Position>,
    word: usize,
    limit: usize,
) -> Count {
    let found = |party: &String| has_key(&query.words.keys(party)[word]);
    let found = doc! {"$or": parties.iter().map(found).collect::<Vec<_>>()};
    let all = filed_by_all(query, Slice { before, from: None });
    Count {
        collection: SEARCH,
        pipeline: vec![
            doc! {"$match": found},
            // Without a limit between them the two matches would become one, in which the server
            // chooses the word.
            doc! {"$limit": to_i64(limit)},
            doc! {"$facet": {
                "found": [{"$count": "n"}],
                "candidates": [{"$match": all}, {"$project": {"timestamp": 1}}],
            }},
        ],
        hint: SEARCH_KEYS.keys(),
    }
}

/// The place of the nth newest of all that these parties have.
pub fn nth_newest(
    query: &SearchQuery,
    parties: &[String],
    before: Option<Position>,
    n: usize,
) -> Count {
    let mut filter = doc! {"parties": {"$in": walked(query, parties)}};
    keep_to(&mut filter, Slice { before, from: None });
    Count {
        collection: SEARCH,
        pipeline: vec![
            doc! {"$match": filter},
            doc! {"$sort": newest_first()},
            doc! {"$skip": to_i64(n) - 1},
            doc! {"$limit": 1},
            doc! {"$project": {"timestamp": 1}},
        ],
        hint: SEARCH_ORDER.keys(),
    }
}

/// The candidates in a slice of what these parties have, newest first.
pub fn candidates_in(query: &SearchQuery, parties: &[String], slice: Slice) -> Find {
    let mut filter = filed_by_all(query, slice);
    filter.insert("parties", doc! {"$in": walked(query, parties)});
    let projection = Some(doc! {"timestamp": 1});
    Find { projection, ..Find::ordered(SEARCH_ORDER, filter, newest_first(), 0) }
}

/// By which keys to walk through what these parties have. The one of a direct conversation leads to
/// less than theirs do.
fn walked(query: &SearchQuery, parties: &[String]) -> Vec<String> {
    match &query.conversation {
        Some(conversation) => vec![search::conversation_key(conversation)],
        None => parties.to_vec(),
    }
}

/// Filed by all the words, under whichever party: a message has the same words in the sight of
/// each. (To name each party with each word makes the look at one of many parties' messages three
/// times as dear.)
fn filed_by_all(query: &SearchQuery, slice: Slice) -> Document {
    let words = query.words.keys("");
    // A key holds letters and digits alone, and so nothing that ends the quotation.
    let words = words.iter().map(|word| doc! {"keys": {"$regex": format!(r"^.{{16}}\Q{word}\E")}});
    let further = query.further_keys();
    let further = further.iter().map(|key| doc! {"parties": key});
    let mut filter = doc! {"$and": words.chain(further).collect::<Vec<_>>()};
    keep_to(&mut filter, slice);
    filter
}

fn keep_to(filter: &mut Document, slice: Slice) {
    let (mut times, mut others) = (Document::new(), Vec::new());
    if let Some((at, id)) = slice.before {
        let at = documents::date(at);
        times.insert("$lte", at);
        others.push(doc! {"timestamp": at, "_id": {"$gte": id.0}});
    }
    if let Some((at, id)) = slice.from {
        let at = documents::date(at);
        times.insert("$gte", at);
        others.push(doc! {"timestamp": at, "_id": {"$lt": id.0}});
    }
    if !times.is_empty() {
        filter.insert("timestamp", times);
    }
    leave_out(filter, others);
}

/// Has a key with this beginning. No key holds the last of all characters.
fn has_key(beginning: &str) -> Document {
    let after = format!("{beginning}{}", char::MAX);
    doc! {"keys": {"$elemMatch": {"$gte": beginning, "$lt": after}}}
}

fn to_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// What is filed of a group's messages, for a deletion.
pub fn filed_of_group(group: GroupId) -> Document {
    doc! {"parties": search::conversation_key(&Conversation::Group(group)), "group_id": group.0}
}

/// Which of these messages are filed; answers their `_id` alone.
pub fn filed_ids(ids: Vec<Bson>) -> Find {
    Find { collection: SEARCH, ..stored_ids(ids) }
}

/// Messages, and stubs of deleted ones, by their `_id`, as pages have them.
pub fn messages_by_id(ids: Vec<Bson>) -> Find {
    Find { projection: Some(doc! {"revisions": 0}), ..stored_ids(ids) }
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
