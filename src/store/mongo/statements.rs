//! The statements of `update` commands. Each may be repeated, and finds its document by `_id`
//! alone: for that the server makes no plan, which would cost as much as the change itself.
//!
//! What depends on the document's own fields is an aggregation pipeline (MongoDB 4.2 and later):
//! it leaves stubs of deleted messages and later edits as they are, yet counts them as found, and
//! takes rows of the old server in which a list is null.

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use mongodb::options::UpdateModifications;

use super::{documents, queries};
use crate::model::{
    Content, Deletion, Erasure, GroupChange, GroupId, Message, MessageChange, Pin, Reaction,
    ReadCursor, Silence, Timestamp, Until, UserId,
};

/// Statements that one change or deletion takes: what becomes of the document, and its version.
pub(super) const PER_MESSAGE: usize = 2;

/// Does to a stored message what a change says.
pub(super) fn change(change: &MessageChange) -> [Document; PER_MESSAGE] {
    let parties = doc! {"$literal": documents::parties(&change.conversation)};
    let mut stages: Vec<Bson> =
        change.edits.iter().map(|(content, at)| stage(vec![edit(content, *at).into()])).collect();
    let mut parts = vec![doc! {"parties": parties}.into()];
    if change.delivered && change.readers.is_empty() {
        parts.push(delivered().into());
    }
    if !change.readers.is_empty() {
        let read_by = with_users("$read_by", &change.readers);
        parts.push(doc! {"read_by": read_by, "status": "read"}.into());
    }
    if !change.hidden_for.is_empty() {
        parts.push(doc! {"deleted_for": with_users("$deleted_for", &change.hidden_for)}.into());
    }
    if !change.reactions.is_empty() {
        parts.push(doc! {"reactions": with_reactions(&change.reactions)}.into());
    }
    if let Some(pin) = &change.pin {
        parts.push(set_pin(pin).into());
    }
    stages.push(stage(parts));
    [doc! {"q": {"_id": change.id.0}, "u": stages}, new_version(change.id.0)]
}

/// Gives a document, message or stub, a version that is later than all that were given before. A
/// pipeline can't do that: it knows the time of its command alone. A reader that comes between the
/// two statements sees the change under the old version, and once more under the new one.
pub(super) fn new_version(id: ObjectId) -> Document {
    doc! {"q": {"_id": id}, "u": {"$currentDate": {"version": {"$type": "timestamp"}}}}
}

/// A stage that lays these fields over a message, and leaves a stub as it is.
fn stage(parts: Vec<Bson>) -> Bson {
    let is_message = doc! {"$eq": [{"$type": "$tombstone"}, "missing"]};
    let merged = std::iter::once(Bson::from("$$ROOT")).chain(parts).collect::<Vec<_>>();
    let changed = doc! {"$cond": [is_message, {"$mergeObjects": merged}, "$$ROOT"]};
    doc! {"$replaceWith": changed}.into()
}

/// The fields of an edit ([`Message::edit`]), none where the message has a later one. A field that
/// is missing or null is less than any date.
fn edit(content: &Content, at: Timestamp) -> Document {
    let at = documents::date(at);
    let before = doc! {"content": "$content", "at": {"$ifNull": ["$edited_at", "$timestamp"]}};
    let revisions = doc! {"$slice": [
        {"$concatArrays": [list("$revisions"), [before]]}, -(Message::MAX_REVISIONS as i32)
    ]};
    // What a user has written is never an expression.
    let content = doc! {"$literal": documents::content_to_bson(content)};
    doc! {"$switch": {
        "branches": [
            {"case": {"$gt": ["$edited_at", at]}, "then": {}},
            {"case": {"$eq": ["$edited_at", at]}, "then": {"content": content.clone()}},
        ],
        "default": {"content": content, "edited_at": at, "revisions": revisions},
    }}
}

/// The status of a message that has come to somebody.
fn delivered() -> Document {
    let is_further = doc! {"$in": ["$status", ["delivered", "read"]]};
    doc! {"status": {"$cond": [is_further, "$status", "delivered"]}}
}

/// The reactions, without those that are named, and behind them those that are there from now on.
fn with_reactions(reactions: &[(Reaction, bool)]) -> Document {
    let stored = |reactions: Vec<&Reaction>| -> Document {
        let reactions: Vec<Bson> = reactions.into_iter().map(documents::reaction_to_bson).collect();
        doc! {"$literal": reactions}
    };
    let named = stored(reactions.iter().map(|(reaction, _)| reaction).collect());
    let new = stored(reactions.iter().filter(|(_, on)| *on).map(|(new, _)| new).collect());
    let is_other = doc! {"$not": {"$in": ["$$this", named]}};
    let others = doc! {"$filter": {"input": list("$reactions"), "cond": is_other}};
    doc! {"$concatArrays": [others, new]}
}

/// The field of a pin, none where there is a later word on it.
fn set_pin(pin: &Pin) -> Document {
    let at = documents::date(pin.at);
    let pin = doc! {"$literal": documents::pin_to_bson(pin)};
    doc! {"$cond": [{"$gt": ["$pin.at", at]}, {}, {"pin": pin}]}
}

/// The list in a field; whatever is no list counts as empty.
fn list(field: &str) -> Document {
    doc! {"$cond": [{"$isArray": field}, field, []]}
}

/// The list in a field, followed by those users that are not in it.
fn with_users(field: &str, users: &[UserId]) -> Document {
    let list = list(field);
    let users = doc! {"$literal": documents::users_to_bson(users)};
    let is_new = doc! {"$not": {"$in": ["$$this", list.clone()]}};
    doc! {"$concatArrays": [list, {"$filter": {"input": users, "cond": is_new}}]}
}

/// Puts a stub in the place of a message, whether it is stored (yet) or not. The fields that the
/// message does not have the stub does not have either; the first deletion's date stays.
pub(super) fn deletion(deletion: &Deletion) -> [Document; PER_MESSAGE] {
    let stub = doc! {
        "_id": "$_id",
        "tombstone": {"$ifNull": ["$tombstone", documents::date(deletion.at)]},
        "from_user_id": "$from_user_id",
        "client_id": "$client_id",
        "parties": {"$literal": documents::parties(&deletion.conversation)},
        "sent_at": {"$ifNull": ["$sent_at", "$timestamp"]},
    };
    let id = deletion.id.0;
    let bury = doc! {"q": {"_id": id}, "u": [{"$replaceWith": stub}], "upsert": true};
    [bury, new_version(id)]
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
    let position = queries::position(cursor.up_to);
    doc! {
        "q": {"_id": queries::cursor_id(&cursor.user, cursor.group)},
        "u": {
            "$max": {"position": position},
            "$set": {"user": cursor.user.as_str()},
            "$currentDate": {"version": {"$type": "timestamp"}},
        },
        "upsert": true,
    }
}

/// Mutes a group for a user, or, without a time, takes that back, where there is something to take
/// back: the row stays, and tells of it.
pub(super) fn mute(user: &UserId, group: GroupId, until: Option<Until>) -> Document {
    let fields = doc! {
        "user": user.as_str(),
        "group": group.0,
        "muted": until.is_some(),
        "until": until.map_or(Bson::Null, documents::until_to_bson),
    };
    let id = queries::cursor_id(user, group);
    doc! {
        "q": {"_id": id},
        "u": {"$set": fields, "$currentDate": {"version": {"$type": "timestamp"}}},
        "upsert": until.is_some(),
    }
}

/// Puts an alias in a user's place wherever a message, or the stub of a deleted one, names the user
/// ([`Message::anonymise`]). A field that is not there stays so. A row of the old server gets the
/// parties under which others hear of it.
pub(super) fn anonymise(id: ObjectId, erasure: &Erasure) -> Document {
    let name = |field: &str| renamed(field, erasure);
    let names = |field: &str| doc! {"$map": {"input": field, "in": name("$$this")}};
    let list_of = |field: &str| doc! {"$cond": [{"$isArray": field}, names(field), field]};
    let user = doc! {"$literal": erasure.user.as_str()};
    let is_sender = doc! {"$eq": ["$from_user_id", user]};
    let reaction = doc! {"$mergeObjects": ["$$this", {"user": name("$$this.user")}]};
    let reactions = doc! {"$map": {"input": "$reactions", "in": reaction}};
    let pin = doc! {"$mergeObjects": ["$pin", {"by": name("$pin.by")}]};
    let fields = doc! {
        "from_user_id": name("$from_user_id"),
        "to_user_id": name("$to_user_id"),
        "client_id": {"$cond": [is_sender, "$$REMOVE", "$client_id"]},
        "read_by": list_of("$read_by"),
        "deleted_for": list_of("$deleted_for"),
        "mentions": list_of("$mentions"),
        "parties": list_of("$parties"),
        "reactions": {"$cond": [{"$isArray": "$reactions"}, reactions, "$reactions"]},
        "pin": {"$cond": [{"$eq": [{"$type": "$pin"}, "object"]}, pin, "$pin"]},
    };
    let is_direct = doc! {"$eq": [{"$type": "$to_user_id"}, "string"]};
    let parties = doc! {"$cond": [is_direct, ["$from_user_id", "$to_user_id"], ["$group_id"]]};
    let parties = doc! {"parties": {"$ifNull": ["$parties", parties]}};
    doc! {"q": {"_id": id}, "u": [{"$set": fields}, {"$set": parties}]}
}

/// The alias, where a field is the user's name; else the field.
fn renamed(field: &str, Erasure { user, alias, .. }: &Erasure) -> Document {
    let is_user = doc! {"$eq": [field, {"$literal": user.as_str()}]};
    doc! {"$cond": [is_user, {"$literal": alias.as_str()}, field]}
}

/// Puts an alias in a user's place where a group names the user as who has made it or owns it, and
/// ends the user's silence.
pub(super) fn anonymise_group(erasure: &Erasure) -> UpdateModifications {
    let fields = doc! {
        "created_by": renamed("$created_by", erasure),
        "owner_id": renamed("$owner_id", erasure),
        "silenced": kept(&with_silence(is_of_other(&erasure.user), None)),
    };
    vec![doc! {"$set": fields}].into()
}

/// Makes a user a member of a group.
pub(super) fn new_member(user: &UserId) -> Document {
    doc! {"$addToSet": {"member_ids": user.as_str()}}
}

/// Takes a member, who may be an admin, out of a group.
pub(super) fn no_member(user: &UserId) -> Document {
    doc! {"$pull": {"member_ids": user.as_str(), "admin_ids": user.as_str()}}
}

/// Does to a group what a change says ([`GroupChange::make`]).
pub(super) fn group_change(change: &GroupChange) -> UpdateModifications {
    let fields = match change {
        GroupChange::Name(name) => return doc! {"$set": {"name": name}}.into(),
        GroupChange::Public(true) => return doc! {"$set": {"is_public": true}}.into(),
        GroupChange::Public(false) => return doc! {"$unset": {"is_public": ""}}.into(),
        GroupChange::Admin { user, is_admin } => {
            let new = is_admin.then_some(user);
            doc! {"admin_ids": with_admins(&[user], new)}
        }
        GroupChange::Owner { user, former } => {
            let former = former.as_ref();
            let leaving: Vec<_> = std::iter::once(user).chain(former).collect();
            doc! {
                "owner_id": {"$literal": user.as_str()},
                "admin_ids": with_admins(&leaving, former),
                "silenced": kept(&with_silence(is_of_other(user), None)),
            }
        }
        GroupChange::Silence { user, until, now } => {
            let until_now = documents::date(*now);
            // Null comes before every date, and what is missing before null.
            let holds = doc! {"$or": [
                {"$eq": ["$$this.until", null]},
                {"$gt": ["$$this.until", until_now]},
            ]};
            let stays = doc! {"$and": [is_of_other(user), holds]};
            let new = until.map(|until| Silence { user: user.clone(), until });
            doc! {"silenced": kept(&with_silence(stays, new.as_ref()))}
        }
    };
    vec![doc! {"$set": fields}].into()
}

/// The admins, without those that are named, and behind them the new one.
fn with_admins(without: &[&UserId], new: Option<&UserId>) -> Document {
    let texts = |users: &[&UserId]| -> Document {
        let users: Vec<Bson> = users.iter().map(|user| user.as_str().into()).collect();
        doc! {"$literal": users}
    };
    let is_other = doc! {"$not": {"$in": ["$$this", texts(without)]}};
    let others = doc! {"$filter": {"input": list("$admin_ids"), "cond": is_other}};
    kept(&doc! {"$concatArrays": [others, texts(new.as_slice())]})
}

/// Of the silences those that stay, and behind them the new one.
fn with_silence(stays: Document, new: Option<&Silence>) -> Document {
    let new: Vec<Bson> = new.into_iter().map(documents::silence_to_bson).collect();
    let others = doc! {"$filter": {"input": list("$silenced"), "cond": stays}};
    doc! {"$concatArrays": [others, {"$literal": new}]}
}

fn is_of_other(user: &UserId) -> Document {
    doc! {"$ne": ["$$this.user_id", {"$literal": user.as_str()}]}
}

/// A list as a field; no field, where it is empty.
fn kept(list: &Document) -> Document {
    doc! {"$cond": [{"$eq": [list.clone(), []]}, "$$REMOVE", list.clone()]}
}
