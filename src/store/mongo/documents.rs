//! Messages and groups as BSON documents, the layout of the old server, which is read leniently:
//! only a row without an `_id`, a sender or a target is no message.

use std::collections::HashSet;

use bson::oid::ObjectId;
use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, cstr};
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

use super::json;
use crate::model::{
    ClientId, Content, ContentType, Conversation, Emoji, Group, GroupId, GroupSummary, JsonObject,
    Message, MessageId, Pin, Reaction, Revision, Silence, Status, Target, Timestamp, Until, UserId,
};

/// A message as it is stored, put straight into its bytes: by way of a [`Document`], each of its fields
/// would be a piece of memory and a place in a hash table. There is none of content with a NUL character
/// in a key.
pub(super) fn from_message(message: &Message) -> Result<RawDocumentBuf, bson::error::Error> {
    let mut row = RawDocumentBuf::new();
    row.append(cstr!("_id"), message.id.0);
    row.append(cstr!("id"), &*message.public_id());
    match &message.content {
        Content::Text(text) => row.append(cstr!("content"), text.as_str()),
        Content::Object(object) => row.append(cstr!("content"), raw(object)?),
    }
    let kind = if matches!(message.target, Target::User(_)) { "direct" } else { "group" };
    row.append(cstr!("type"), kind);
    row.append(cstr!("content_type"), message.content_type.as_str());
    match &message.media_url {
        Some(url) => row.append(cstr!("media_url"), url.as_str()),
        None => row.append(cstr!("media_url"), RawBsonRef::Null),
    }
    match &message.media_metadata {
        Some(metadata) => row.append(cstr!("media_metadata"), raw(metadata)?),
        None => row.append(cstr!("media_metadata"), RawBsonRef::Null),
    }
    row.append(cstr!("from_user_id"), message.from.as_str());
    match &message.target {
        Target::User(to) => row.append(cstr!("to_user_id"), to.as_str()),
        Target::Group(group) => row.append(cstr!("group_id"), group.0),
    }
    row.append(cstr!("timestamp"), date(message.timestamp));
    row.append(cstr!("status"), message.status.as_str());
    row.append(cstr!("read_by"), names(&message.read_by));
    row.append(cstr!("deleted_for"), names(&message.deleted_for));
    if let Some(client_id) = &message.client_id {
        row.append(cstr!("client_id"), client_id.as_str());
    }
    if let Some(edited_at) = message.edited_at {
        row.append(cstr!("edited_at"), date(edited_at));
    }
    if let Some(root) = message.reply_to {
        row.append(cstr!("reply_to"), root.0);
    }
    append_what_is_rare(message, &mut row)?;
    row.append(cstr!("parties"), array(parties(&message.conversation()))?);
    row.append(cstr!("version"), NOW);
    Ok(row)
}

fn append_what_is_rare(
    message: &Message,
    row: &mut RawDocumentBuf,
) -> Result<(), bson::error::Error> {
    if let Some(pin) = &message.pin {
        row.append(cstr!("pin"), RawBson::try_from(pin_to_bson(pin))?);
    }
    if !message.mentions.is_empty() {
        row.append(cstr!("mentions"), names(&message.mentions));
    }
    if !message.reactions.is_empty() {
        row.append(cstr!("reactions"), array(message.reactions.iter().map(reaction_to_bson))?);
    }
    if !message.revisions.is_empty() {
        row.append(cstr!("revisions"), array(message.revisions.iter().map(revision_to_bson))?);
    }
    Ok(())
}

fn raw(object: &JsonObject) -> Result<RawDocumentBuf, bson::error::Error> {
    RawDocumentBuf::try_from(&json::to_document(object))
}

fn array(items: impl IntoIterator<Item = Bson>) -> Result<RawArrayBuf, bson::error::Error> {
    items.into_iter().map(RawBson::try_from).collect()
}

fn names(users: &[UserId]) -> RawArrayBuf {
    users.iter().map(UserId::as_str).collect()
}

/// What the server replaces by its own time when it inserts a document, where it is a field at the
/// top: <https://www.mongodb.com/docs/manual/reference/bson-types/#timestamps>.
const NOW: bson::Timestamp = bson::Timestamp { time: 0, increment: 0 };

/// Whose changes those of a conversation are: its users', or its group's.
pub(super) fn parties(conversation: &Conversation) -> Vec<Bson> {
    match conversation {
        Conversation::Direct(a, b) if a == b => vec![a.as_str().into()],
        Conversation::Direct(a, b) => vec![a.as_str().into(), b.as_str().into()],
        Conversation::Group(group) => vec![group.0.into()],
    }
}

/// A reaction as it is stored.
pub(super) fn reaction_to_bson(reaction: &Reaction) -> Bson {
    doc! {"user": reaction.user.as_str(), "emoji": reaction.emoji.as_str()}.into()
}

fn to_reaction(stored: &Bson) -> Option<Reaction> {
    let stored = stored.as_document()?;
    let emoji = Emoji::from_stored(stored.get_str("emoji").ok()?);
    Some(Reaction { user: user(stored.get("user")?)?, emoji })
}

/// A pin as it is stored.
pub(super) fn pin_to_bson(pin: &Pin) -> Bson {
    doc! {"pinned": pin.pinned, "by": pin.by.as_str(), "at": date(pin.at)}.into()
}

fn to_pin(stored: &Document) -> Option<Pin> {
    Some(Pin {
        pinned: stored.get_bool("pinned").ok()?,
        by: user(stored.get("by")?)?,
        at: timestamp(*stored.get_datetime("at").ok()?),
    })
}

fn revision_to_bson(revision: &Revision) -> Bson {
    doc! {"content": content_to_bson(&revision.content), "at": date(revision.at)}.into()
}

fn to_revision(stored: &Bson) -> Option<Revision> {
    let stored = stored.as_document()?;
    let at = timestamp(*stored.get_datetime("at").ok()?);
    Some(Revision { content: to_content(stored.get("content").cloned()), at })
}

/// The items of a list that can be read.
fn list<T>(row: &Document, field: &str, read: impl Fn(&Bson) -> Option<T>) -> Vec<T> {
    row.get_array(field).map_or_else(|_| Vec::new(), |list| list.iter().filter_map(read).collect())
}

/// A message as it was stored, by this server or the old one.
pub(super) fn to_message(row: &RawDocumentBuf) -> Option<Message> {
    let mut row = Document::try_from(row).ok()?;
    let id = MessageId(row.get_object_id("_id").ok()?);
    let old_id = row.get("id").and_then(text).filter(|old| *old != id.to_string());
    let content_type = row.get("content_type").and_then(Bson::as_str);
    Some(Message {
        id,
        old_id,
        client_id: row.get_str("client_id").ok().map(ClientId::from_stored),
        target: target(&row)?,
        from: user(row.get("from_user_id")?)?,
        content_type: content_type.and_then(ContentType::parse).unwrap_or_default(),
        media_url: row.get("media_url").and_then(text),
        timestamp: time_of(&row, "timestamp", id.0),
        status: row.get("status").and_then(Bson::as_str).map_or(Status::Sent, Status::from_stored),
        read_by: users(&row, "read_by"),
        deleted_for: users(&row, "deleted_for"),
        edited_at: row.get_datetime("edited_at").ok().map(|date| timestamp(*date)),
        reply_to: row.get_object_id("reply_to").ok().map(MessageId),
        mentions: users(&row, "mentions"),
        reactions: list(&row, "reactions", to_reaction),
        pin: row.get_document("pin").ok().and_then(to_pin),
        revisions: list(&row, "revisions", to_revision),
        media_metadata: match row.remove("media_metadata") {
            Some(Bson::Document(metadata)) => Some(json::to_object(metadata)),
            _ => None,
        },
        content: to_content(row.remove("content")),
    })
}

/// Whether a row is what a deleted message has left behind.
pub(super) fn is_stub(row: &RawDocumentBuf) -> bool {
    matches!(row.get("tombstone"), Ok(Some(_)))
}

/// When the message of a row, or of a stub, was sent.
pub(super) fn sent_at(row: &RawDocumentBuf) -> Option<Timestamp> {
    if is_stub(row) {
        return row.get_datetime("sent_at").ok().map(timestamp);
    }
    to_message(row).map(|message| message.timestamp)
}

/// Whom a row is for. The type decides where there are two targets.
fn target(row: &Document) -> Option<Target> {
    let group = match row.get("group_id") {
        Some(Bson::ObjectId(id)) => Some(GroupId(*id)),
        Some(Bson::String(hex)) => GroupId::parse(hex).ok(),
        _ => None,
    };
    let to = row.get("to_user_id").and_then(user);
    match (group, to) {
        (Some(_), Some(to)) if row.get_str("type").ok() == Some("direct") => Some(Target::User(to)),
        (Some(group), _) => Some(Target::Group(group)),
        (None, to) => to.map(Target::User),
    }
}

/// A message's content as it is stored.
pub(super) fn content_to_bson(content: &Content) -> Bson {
    match content {
        Content::Text(text) => Bson::String(text.clone()),
        Content::Object(object) => Bson::Document(json::to_document(object)),
    }
}

fn to_content(stored: Option<Bson>) -> Content {
    match stored.map(json::to_value) {
        None | Some(serde_json::Value::Null) => Content::Text(String::new()),
        Some(serde_json::Value::String(text)) => Content::Text(text),
        Some(serde_json::Value::Object(object)) => Content::Object(object),
        Some(other) => Content::Text(other.to_string()),
    }
}

/// A group as it is stored: as the old server did, and what it did not know where it is to be said.
pub(super) fn from_group(group: &Group) -> Document {
    let mut document = doc! {
        "_id": group.id.0,
        "name": &group.name,
        "member_ids": users_to_bson(&group.members),
        "created_by": group.created_by.as_str(),
        "created_at": date(group.created_at),
    };
    if group.owner != group.created_by {
        document.insert("owner_id", group.owner.as_str());
    }
    if !group.admins.is_empty() {
        document.insert("admin_ids", users_to_bson(&group.admins));
    }
    if !group.silenced.is_empty() {
        let silenced: Vec<Bson> = group.silenced.iter().map(silence_to_bson).collect();
        document.insert("silenced", silenced);
    }
    if group.is_public {
        document.insert("is_public", true);
    }
    document
}

/// A silence as it is stored.
pub(super) fn silence_to_bson(silence: &Silence) -> Bson {
    doc! {"user_id": silence.user.as_str(), "until": until_to_bson(silence.until)}.into()
}

fn to_silence(stored: &Bson) -> Option<Silence> {
    let stored = stored.as_document()?;
    Some(Silence { user: user(stored.get("user_id")?)?, until: to_until(stored.get("until")?)? })
}

/// An end as it is stored: null where there is none.
pub(super) fn until_to_bson(until: Until) -> Bson {
    until.to_stored().map(date).into()
}

/// A stored end.
pub(super) fn to_until(stored: &Bson) -> Option<Until> {
    match stored {
        Bson::Null => Some(Until::Forever),
        Bson::DateTime(end) => Some(Until::Time(timestamp(*end))),
        _ => None,
    }
}

/// A group as it was stored, by this server or the old one.
pub(super) fn to_group(row: &RawDocumentBuf) -> Option<Group> {
    let row = Document::try_from(row).ok()?;
    let id = row.get_object_id("_id").ok()?;
    // Nobody: no user id is empty, so nobody passes for the creator of such a group.
    let created_by = row.get("created_by").and_then(user);
    let created_by = created_by.unwrap_or_else(|| UserId::from_stored(""));
    let owner = row.get("owner_id").and_then(user).unwrap_or_else(|| created_by.clone());
    let mut admins = users(&row, "admin_ids");
    admins.retain(|admin| *admin != owner);
    let mut silenced = list(&row, "silenced", to_silence);
    let mut seen = HashSet::new();
    silenced.retain(|silence| seen.insert(silence.user.clone()));
    Some(Group {
        id: GroupId(id),
        name: row.get("name").and_then(text).unwrap_or_default(),
        members: users(&row, "member_ids"),
        created_by,
        created_at: time_of(&row, "created_at", id),
        owner,
        admins,
        silenced,
        is_public: row.get_bool("is_public").unwrap_or_default(),
    })
}

/// A group that holds its first members, up to so many, and how many it has. The old server stored
/// a member who was named twice as two; where all are here, each counts once.
pub(super) fn to_summary(row: &RawDocumentBuf, members: usize) -> Option<GroupSummary> {
    let group = to_group(row)?;
    let stored = row.get_i32("member_count").ok().and_then(|count| usize::try_from(count).ok());
    let stored = stored.unwrap_or_default();
    let member_count = if stored <= members { group.members.len() } else { stored };
    Some(GroupSummary { group, member_count })
}

/// The `_id` of a row, where it is an ObjectId.
pub(super) fn to_id(row: &RawDocumentBuf) -> Option<ObjectId> {
    row.get_object_id("_id").ok()
}

/// A time as it is stored.
pub(super) fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

/// A stored time.
pub(super) fn timestamp(date: DateTime) -> Timestamp {
    Timestamp(date.timestamp_millis())
}

/// A time of a row; where there is none, the second in which its `_id` was made.
fn time_of(row: &Document, field: &str, id: ObjectId) -> Timestamp {
    timestamp(row.get_datetime(field).copied().unwrap_or_else(|_| id.timestamp()))
}

/// User ids as they are stored.
pub(super) fn users_to_bson(users: &[UserId]) -> Vec<Bson> {
    users.iter().map(|user| Bson::from(user.as_str())).collect()
}

/// User ids of a row, each once.
fn users(row: &Document, field: &str) -> Vec<UserId> {
    let Ok(items) = row.get_array(field) else {
        return Vec::new();
    };
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().filter_map(user).filter(|user| seen.insert(user.clone())).collect()
}

fn user(value: &Bson) -> Option<UserId> {
    text(value).map(|text| UserId::from_stored(&text))
}

/// A text, or a number or id that the old server took for one.
fn text(value: &Bson) -> Option<String> {
    match value {
        Bson::String(text) => Some(text.clone()),
        Bson::Int32(number) => Some(number.to_string()),
        Bson::Int64(number) => Some(number.to_string()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(row: &Document) -> Option<Message> {
        to_message(&RawDocumentBuf::try_from(row).expect("a document"))
    }

    fn message(target: Target) -> Message {
        Message {
            id: MessageId::mint(),
            old_id: None,
            client_id: Some(ClientId::from_stored("draft-7")),
            target,
            from: UserId::from_stored("ann"),
            content: Content::Object(json!({"w": 3}).as_object().expect("an object").clone()),
            content_type: ContentType::Image,
            media_url: Some("/uploads/a.png".to_owned()),
            media_metadata: json!({"size": 5_000_000_000_i64}).as_object().cloned(),
            timestamp: Timestamp(1_700_000_000_123),
            status: Status::Delivered,
            read_by: vec![UserId::from_stored("bob")],
            deleted_for: vec![UserId::from_stored("cem")],
            edited_at: Some(Timestamp(1_700_000_001_000)),
            reply_to: Some(MessageId::mint()),
            mentions: vec![UserId::from_stored("cem")],
            reactions: vec![Reaction {
                user: UserId::from_stored("bob"),
                emoji: Emoji::from_stored("👍"),
            }],
            pin: Some(Pin {
                pinned: true,
                by: UserId::from_stored("bob"),
                at: Timestamp(1_700_000_002_000),
            }),
            revisions: vec![Revision {
                content: Content::Text("first".to_owned()),
                at: Timestamp(1_700_000_000_123),
            }],
        }
    }

    fn written(message: &Message) -> Document {
        Document::try_from(&from_message(message).unwrap()).unwrap()
    }

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        for target in
            [Target::User(UserId::from_stored("bob")), Target::Group(GroupId(ObjectId::new()))]
        {
            let message = message(target);
            assert_eq!(read(&written(&message)), Some(message));
        }
    }

    #[test]
    fn the_layout_is_that_of_the_old_server() {
        let group = GroupId(ObjectId::new());
        let row = written(&message(Target::Group(group)));
        assert_eq!(row.get_object_id("group_id").ok(), Some(group.0));
        assert_eq!(row.get_str("id").ok(), Some(&*row.get_object_id("_id").unwrap().to_hex()));
        assert!(row.get_datetime("timestamp").is_ok() && !row.contains_key("to_user_id"));
        assert_eq!(row.get_str("type").ok(), Some("group"));
    }

    #[test]
    fn a_message_without_a_client_id_has_no_field_for_it() {
        let named = message(Target::User(UserId::from_stored("bob")));
        let plain = Message { client_id: None, ..named.clone() };
        let (mut named, plain) = (written(&named), written(&plain));
        assert_eq!(named.remove("client_id"), Some(Bson::from("draft-7")));
        assert_eq!(named, plain);
    }

    #[test]
    fn a_bare_row_of_the_old_server_is_a_message() {
        let id = ObjectId::new();
        let row = doc! {"_id": id, "from_user_id": "ann", "to_user_id": 7, "status": "odd",
        "content_type": "hologram", "read_by": null, "extra": 1};
        let message = read(&row).expect("a message");
        assert_eq!(message.target, Target::User(UserId::from_stored("7")));
        assert_eq!(message.timestamp, timestamp(id.timestamp()));
        assert_eq!((message.status, message.content_type), (Status::Sent, ContentType::Text));
        assert_eq!(message.content, Content::Text(String::new()));
        assert!(message.read_by.is_empty() && message.old_id.is_none());
    }

    #[test]
    fn a_row_without_id_sender_or_target_is_none() {
        let row = doc! {"_id": ObjectId::new(), "from_user_id": "ann", "to_user_id": "bob"};
        assert!(read(&row).is_some());
        for field in ["_id", "from_user_id", "to_user_id"] {
            let mut row = row.clone();
            row.remove(field);
            assert_eq!(read(&row), None, "without {field}");
        }
        assert_eq!(read(&doc! {"_id": "text", "from_user_id": "a", "to_user_id": "b"}), None);
    }

    fn group() -> Group {
        Group {
            id: GroupId(ObjectId::new()),
            name: "Friends".to_owned(),
            members: vec![UserId::from_stored("ann"), UserId::from_stored("bob")],
            created_by: UserId::from_stored("ann"),
            created_at: Timestamp(1_700_000_000_000),
            owner: UserId::from_stored("ann"),
            admins: Vec::new(),
            silenced: Vec::new(),
            is_public: false,
        }
    }

    fn read_group(row: &Document) -> Option<Group> {
        to_group(&RawDocumentBuf::try_from(row).expect("a document"))
    }

    #[test]
    fn a_group_reads_back_and_a_bare_one_is_still_a_group() {
        let group = group();
        let row = from_group(&group);
        let fields: Vec<_> = row.keys().map(String::as_str).collect();
        assert_eq!(fields, ["_id", "name", "member_ids", "created_by", "created_at"]);
        assert_eq!(read_group(&row), Some(group));
        let bare = read_group(&doc! {"_id": ObjectId::new()}).expect("a group");
        assert!(bare.members.is_empty() && bare.owner == bare.created_by);
    }

    #[test]
    fn roles_and_silences_read_back_and_what_is_none_of_them_is_left_out() {
        let silence = |user: &str, until| Silence { user: UserId::from_stored(user), until };
        let group = Group {
            owner: UserId::from_stored("bob"),
            admins: vec![UserId::from_stored("ann")],
            silenced: vec![
                silence("cem", Until::Forever),
                silence("dan", Until::Time(Timestamp(1_700_000_000_001))),
            ],
            is_public: true,
            ..group()
        };
        let mut row = from_group(&group);
        assert_eq!(read_group(&row), Some(group.clone()));

        let silenced = row.get_array_mut("silenced").expect("a list");
        let odd = [doc! {"user_id": "eve"}, doc! {"user_id": "eve", "until": "soon"}, doc! {}];
        silenced.extend(odd.map(Bson::from));
        silenced.extend([Bson::from("eve"), doc! {"user_id": "dan", "until": null}.into()]);
        row.insert("admin_ids", vec![Bson::from("bob"), Bson::from("ann"), Bson::Null]);
        assert_eq!(read_group(&row), Some(group.clone()));
        row.extend(doc! {"owner_id": null, "admin_ids": "bob", "silenced": {"user_id": "eve"}});
        row.insert("is_public", "yes");
        let owner = group.created_by.clone();
        let (admins, silenced) = (Vec::new(), Vec::new());
        let plain = Group { owner, admins, silenced, is_public: false, ..group };
        assert_eq!(read_group(&row), Some(plain));
    }
}
