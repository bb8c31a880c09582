//! What is asked of the search index, and for it.

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};

use super::super::indexes::{SEARCH_KEYS, SEARCH_ORDER};
use super::super::queries::{Find, leave_out, newest_first, stored_ids};
use super::super::{MESSAGES, SEARCH, SEARCH_STATE, documents};
use crate::model::{Conversation, GroupId, Position};
use crate::search;
use crate::store::SearchQuery;

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
