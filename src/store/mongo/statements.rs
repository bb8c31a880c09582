//! The statements of `update` commands. Each may be repeated, and finds its document by `_id`
//! alone: for that the server makes no plan, which would cost as much as the change itself.
//!
//! What depends on the document's own fields is an aggregation pipeline (MongoDB 4.2 and later):
//! it leaves stubs of deleted messages and later edits as they are, yet counts them as found, and
//! takes rows of the old server in which a list is null.

use bson::{Bson, Document, doc};

use super::{documents, queries};
use crate::model::{Content, Deletion, MessageChange, ReadCursor, Timestamp, UserId};

/// Does to a stored message what a change says.
pub(super) fn change(change: &MessageChange) -> Document {
    let mut parts = vec![Bson::from("$$ROOT")];
    if let Some((content, at)) = &change.edit {
        parts.push(edit(content, *at).into());
    }
    if !change.readers.is_empty() {
        let read_by = with_users("$read_by", &change.readers);
        parts.push(doc! {"read_by": read_by, "status": "read"}.into());
    }
    if !change.hidden_for.is_empty() {
        parts.push(doc! {"deleted_for": with_users("$deleted_for", &change.hidden_for)}.into());
    }
    let is_message = doc! {"$eq": [{"$type": "$tombstone"}, "missing"]};
    let changed = doc! {"$cond": [is_message, {"$mergeObjects": parts}, "$$ROOT"]};
    doc! {"q": {"_id": change.id.0}, "u": [{"$replaceWith": changed}]}
}

/// The fields of an edit, none where the message has a later one. A field that is missing or null
/// is less than any date.
fn edit(content: &Content, at: Timestamp) -> Document {
    let at = documents::date(at);
    // What a user has written is never an expression.
    let content = doc! {"$literal": documents::content_to_bson(content)};
    doc! {"$cond": [{"$gt": ["$edited_at", at]}, {}, {"content": content, "edited_at": at}]}
}

/// The list in a field, followed by those users that are not in it. Whatever is no list counts as
/// empty.
fn with_users(field: &str, users: &[UserId]) -> Document {
    let list = doc! {"$cond": [{"$isArray": field}, field, []]};
    let users = doc! {"$literal": documents::users_to_bson(users)};
    let is_new = doc! {"$not": {"$in": ["$$this", list.clone()]}};
    doc! {"$concatArrays": [list, {"$filter": {"input": users, "cond": is_new}}]}
}

/// Puts a stub in the place of a message, whether it is stored (yet) or not. The fields that the
/// message does not have the stub does not have either; the first deletion's date stays.
pub(super) fn deletion(deletion: &Deletion) -> Document {
    let stub = doc! {
        "_id": "$_id",
        "tombstone": {"$ifNull": ["$tombstone", documents::date(deletion.at)]},
        "from_user_id": "$from_user_id",
        "client_id": "$client_id",
    };
    doc! {"q": {"_id": deletion.id.0}, "u": [{"$replaceWith": stub}], "upsert": true}
}

/// Moves the time at which a user was last there forward, or makes it.
pub(super) fn seen(user: &UserId, at: Timestamp) -> Document {
    doc! {
        "q": {"_id": user.as_str()},
        "u": {"$max": {"last_seen": documents::date(at)}},
        "upsert": true,
    }
}

/// Moves a read cursor forward, or makes it.
pub(super) fn cursor(cursor: &ReadCursor) -> Document {
    let (at, message) = cursor.up_to;
    // Documents compare field by field, in this order.
    let position = doc! {"timestamp": documents::date(at), "message_id": message.0};
    doc! {
        "q": {"_id": queries::cursor_id(&cursor.user, cursor.group)},
        "u": {"$max": {"position": position}},
        "upsert": true,
    }
}
