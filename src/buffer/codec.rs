//! Ops as they are written down: BSON in the journal, JSON in dead letters, field by field the
//! same.
//!
//! Times are milliseconds since 1970, ids are ObjectIds. A field that is not there reads as `None`
//! or empty, so that a later server can add fields and read what an earlier one wrote.

use std::borrow::Cow;
use std::sync::Arc;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{
    ClientId, Content, ContentType, Conversation, Emoji, GroupId, JsonObject, Message, MessageId,
    Op, Pin, Reaction, Revision, Status, Target, Timestamp, UserId,
};

/// What an op is; its number in the journal never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Send = 1,
    Read = 2,
    Edit = 3,
    Delete = 4,
    Hide = 5,
    PurgeGroup = 6,
    Deliver = 7,
    React = 8,
    Pin = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Send,
        Self::Read,
        Self::Edit,
        Self::Delete,
        Self::Hide,
        Self::PurgeGroup,
        Self::Deliver,
        Self::React,
        Self::Pin,
    ];

    /// The kind of an op.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Send(_) => Self::Send,
            Op::Read { .. } => Self::Read,
            Op::Edit { .. } => Self::Edit,
            Op::Delete { .. } => Self::Delete,
            Op::Hide { .. } => Self::Hide,
            Op::PurgeGroup(_) => Self::PurgeGroup,
            Op::Deliver { .. } => Self::Deliver,
            Op::React { .. } => Self::React,
            Op::Pin { .. } => Self::Pin,
        }
    }

    /// Its number in the journal.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// The kind of this number.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its name, for people and in dead letters.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Hide => "hide",
            Self::PurgeGroup => "purge_group",
            Self::Deliver => "deliver",
            Self::React => "react",
            Self::Pin => "pin",
        }
    }
}

/// Why something that was written down is no op.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// It is no BSON, or a field is missing or of another type.
    #[error("its body can't be read: {0}")]
    Bson(#[from] bson::error::Error),
    /// The same of JSON.
    #[error("it can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value that is none of those known.
    #[error("its field {0} has an unknown value")]
    Value(&'static str),
}

/// An op's body as BSON.
///
/// # Errors
/// An object in it has a key with a NUL character, or a number above 2^63 - 1.
pub(super) fn encode(op: &Op) -> bson::error::Result<Vec<u8>> {
    bson::serialize_to_vec(&Body::of(op))
}

/// Reads an op's body.
pub(super) fn decode(kind: Kind, body: &[u8]) -> Result<Op, DecodeError> {
    match kind {
        Kind::Send => Body::Send(bson::deserialize_from_slice(body)?),
        Kind::Read => Body::Read(bson::deserialize_from_slice(body)?),
        Kind::Edit => Body::Edit(bson::deserialize_from_slice(body)?),
        Kind::Delete => Body::Delete(bson::deserialize_from_slice(body)?),
        Kind::Hide => Body::Hide(bson::deserialize_from_slice(body)?),
        Kind::PurgeGroup => Body::PurgeGroup(bson::deserialize_from_slice(body)?),
        Kind::Deliver => Body::Deliver(bson::deserialize_from_slice(body)?),
        Kind::React => Body::React(bson::deserialize_from_slice(body)?),
        Kind::Pin => Body::Pin(bson::deserialize_from_slice(body)?),
    }
    .into_op()
}

/// An op as JSON: `{"kind": "send", "op": {...}}`.
pub(super) fn to_json(op: &Op) -> serde_json::Result<Value> {
    Ok(json!({"kind": Kind::of(op).name(), "op": serde_json::to_value(Body::of(op))?}))
}

/// Reads what [`to_json`] made.
pub(super) fn from_json(written: Value) -> Result<Op, DecodeError> {
    #[derive(Deserialize)]
    struct Written {
        kind: String,
        op: Value,
    }
    let Written { kind, op } = serde_json::from_value(written)?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    match kind.ok_or(DecodeError::Value("kind"))? {
        Kind::Send => Body::Send(serde_json::from_value(op)?),
        Kind::Read => Body::Read(serde_json::from_value(op)?),
        Kind::Edit => Body::Edit(serde_json::from_value(op)?),
        Kind::Delete => Body::Delete(serde_json::from_value(op)?),
        Kind::Hide => Body::Hide(serde_json::from_value(op)?),
        Kind::PurgeGroup => Body::PurgeGroup(serde_json::from_value(op)?),
        Kind::Deliver => Body::Deliver(serde_json::from_value(op)?),
        Kind::React => Body::React(serde_json::from_value(op)?),
        Kind::Pin => Body::Pin(serde_json::from_value(op)?),
    }
    .into_op()
}

/// An op in the shape in which it is written: borrowed where it is written, owned where it is read.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Send(SendBody<'a>),
    Read(ReadBody<'a>),
    Edit(EditBody<'a>),
    Delete(DeleteBody<'a>),
    Hide(HideBody<'a>),
    PurgeGroup(PurgeBody),
    Deliver(DeliverBody<'a>),
    React(ReactBody<'a>),
    Pin(PinBody<'a>),
}

#[derive(Serialize, Deserialize)]
struct SendBody<'a> {
    id: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<Cow<'a, str>>,
    from: Cow<'a, str>,
    #[serde(flatten)]
    to: TargetBody<'a>,
    timestamp: i64,
    content: ContentBody<'a>,
    content_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_url: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_metadata: Option<Cow<'a, JsonObject>>,
    status: Cow<'a, str>,
    read_by: Users<'a>,
    deleted_for: Users<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edited_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mentions: Users<'a>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionBody<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<PinnedBody<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revisions: Vec<RevisionBody<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ReactionBody<'a> {
    user: Cow<'a, str>,
    emoji: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct PinnedBody<'a> {
    pinned: bool,
    by: Cow<'a, str>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct RevisionBody<'a> {
    content: ContentBody<'a>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct ReadBody<'a> {
    conversation: ConversationBody<'a>,
    messages: Vec<ObjectId>,
    reader: Cow<'a, str>,
    up_to_timestamp: i64,
    up_to_id: ObjectId,
}

#[derive(Serialize, Deserialize)]
struct EditBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    content: ContentBody<'a>,
    edited_at: i64,
}

#[derive(Serialize, Deserialize)]
struct DeleteBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct HideBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    user: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct DeliverBody<'a> {
    conversation: ConversationBody<'a>,
    messages: Vec<ObjectId>,
}

#[derive(Serialize, Deserialize)]
struct ReactBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    #[serde(flatten)]
    reaction: ReactionBody<'a>,
    on: bool,
}

#[derive(Serialize, Deserialize)]
struct PinBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    #[serde(flatten)]
    pin: PinnedBody<'a>,
}

#[derive(Serialize, Deserialize)]
struct PurgeBody {
    group: ObjectId,
}

type Users<'a> = Vec<Cow<'a, str>>;

#[derive(Serialize, Deserialize)]
enum TargetBody<'a> {
    #[serde(rename = "to_user")]
    User(Cow<'a, str>),
    #[serde(rename = "to_group")]
    Group(ObjectId),
}

#[derive(Serialize, Deserialize)]
enum ConversationBody<'a> {
    #[serde(rename = "users")]
    Direct(Cow<'a, str>, Cow<'a, str>),
    #[serde(rename = "group")]
    Group(ObjectId),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ContentBody<'a> {
    Text(Cow<'a, str>),
    Object(Cow<'a, JsonObject>),
}

impl<'a> Body<'a> {
    fn of(op: &'a Op) -> Self {
        match op {
            Op::Send(message) => Self::Send(SendBody::of(message)),
            Op::Read { conversation, messages, reader, up_to: (timestamp, id) } => {
                Self::Read(ReadBody {
                    conversation: ConversationBody::of(conversation),
                    messages: messages.iter().map(|id| id.0).collect(),
                    reader: reader.as_str().into(),
                    up_to_timestamp: timestamp.as_millis(),
                    up_to_id: id.0,
                })
            }
            Op::Edit { conversation, message, content, edited_at } => Self::Edit(EditBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                content: ContentBody::of(content),
                edited_at: edited_at.as_millis(),
            }),
            Op::Delete { conversation, message, at } => Self::Delete(DeleteBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                at: at.as_millis(),
            }),
            Op::Hide { conversation, message, user } => Self::Hide(HideBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                user: user.as_str().into(),
            }),
            Op::PurgeGroup(group) => Self::PurgeGroup(PurgeBody { group: group.0 }),
            Op::Deliver { conversation, messages } => Self::Deliver(DeliverBody {
                conversation: ConversationBody::of(conversation),
                messages: messages.iter().map(|id| id.0).collect(),
            }),
            Op::React { conversation, message, reaction, on } => Self::React(ReactBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                reaction: ReactionBody::of(reaction),
                on: *on,
            }),
            Op::Pin { conversation, message, pin } => Self::Pin(PinBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                pin: PinnedBody::of(pin),
            }),
        }
    }

    fn into_op(self) -> Result<Op, DecodeError> {
        Ok(match self {
            Self::Send(body) => Op::Send(Arc::new(body.into_message()?)),
            Self::Read(body) => Op::Read {
                conversation: body.conversation.into_conversation(),
                messages: body.messages.into_iter().map(MessageId).collect(),
                reader: user(&body.reader),
                up_to: (Timestamp(body.up_to_timestamp), MessageId(body.up_to_id)),
            },
            Self::Edit(body) => Op::Edit {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                content: body.content.into_content(),
                edited_at: Timestamp(body.edited_at),
            },
            Self::Delete(body) => Op::Delete {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                at: Timestamp(body.at),
            },
            Self::Hide(body) => Op::Hide {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                user: user(&body.user),
            },
            Self::PurgeGroup(body) => Op::PurgeGroup(GroupId(body.group)),
            Self::Deliver(body) => Op::Deliver {
                conversation: body.conversation.into_conversation(),
                messages: body.messages.into_iter().map(MessageId).collect(),
            },
            Self::React(body) => Op::React {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                reaction: body.reaction.into_reaction(),
                on: body.on,
            },
            Self::Pin(body) => Op::Pin {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                pin: body.pin.into_pin(),
            },
        })
    }
}

impl<'a> SendBody<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            id: message.id.0,
            old_id: message.old_id.as_deref().map(Cow::from),
            client_id: message.client_id.as_ref().map(|id| id.as_str().into()),
            from: message.from.as_str().into(),
            to: match &message.target {
                Target::User(to) => TargetBody::User(to.as_str().into()),
                Target::Group(group) => TargetBody::Group(group.0),
            },
            timestamp: message.timestamp.as_millis(),
            content: ContentBody::of(&message.content),
            content_type: message.content_type.as_str().into(),
            media_url: message.media_url.as_deref().map(Cow::from),
            media_metadata: message.media_metadata.as_ref().map(Cow::Borrowed),
            status: message.status.as_str().into(),
            read_by: names(&message.read_by),
            deleted_for: names(&message.deleted_for),
            edited_at: message.edited_at.map(Timestamp::as_millis),
            reply_to: message.reply_to.map(|id| id.0),
            mentions: names(&message.mentions),
            reactions: message.reactions.iter().map(ReactionBody::of).collect(),
            pin: message.pin.as_ref().map(PinnedBody::of),
            revisions: message.revisions.iter().map(RevisionBody::of).collect(),
        }
    }

    fn into_message(self) -> Result<Message, DecodeError> {
        let content_type = ContentType::parse(&self.content_type);
        Ok(Message {
            id: MessageId(self.id),
            old_id: self.old_id.map(Cow::into_owned),
            client_id: self.client_id.map(|id| ClientId::from_stored(&id)),
            target: match self.to {
                TargetBody::User(to) => Target::User(user(&to)),
                TargetBody::Group(group) => Target::Group(GroupId(group)),
            },
            from: user(&self.from),
            content: self.content.into_content(),
            content_type: content_type.ok_or(DecodeError::Value("content_type"))?,
            media_url: self.media_url.map(Cow::into_owned),
            media_metadata: self.media_metadata.map(Cow::into_owned),
            timestamp: Timestamp(self.timestamp),
            status: Status::from_stored(&self.status),
            read_by: self.read_by.iter().map(|name| user(name)).collect(),
            deleted_for: self.deleted_for.iter().map(|name| user(name)).collect(),
            edited_at: self.edited_at.map(Timestamp),
            reply_to: self.reply_to.map(MessageId),
            mentions: self.mentions.iter().map(|name| user(name)).collect(),
            reactions: self.reactions.into_iter().map(ReactionBody::into_reaction).collect(),
            pin: self.pin.map(PinnedBody::into_pin),
            revisions: self.revisions.into_iter().map(RevisionBody::into_revision).collect(),
        })
    }
}

impl<'a> ReactionBody<'a> {
    fn of(reaction: &'a Reaction) -> Self {
        Self { user: reaction.user.as_str().into(), emoji: reaction.emoji.as_str().into() }
    }

    fn into_reaction(self) -> Reaction {
        Reaction { user: user(&self.user), emoji: Emoji::from_stored(&self.emoji) }
    }
}

impl<'a> PinnedBody<'a> {
    fn of(pin: &'a Pin) -> Self {
        Self { pinned: pin.pinned, by: pin.by.as_str().into(), at: pin.at.as_millis() }
    }

    fn into_pin(self) -> Pin {
        Pin { pinned: self.pinned, by: user(&self.by), at: Timestamp(self.at) }
    }
}

impl<'a> RevisionBody<'a> {
    fn of(revision: &'a Revision) -> Self {
        Self { content: ContentBody::of(&revision.content), at: revision.at.as_millis() }
    }

    fn into_revision(self) -> Revision {
        Revision { content: self.content.into_content(), at: Timestamp(self.at) }
    }
}

impl<'a> ConversationBody<'a> {
    fn of(conversation: &'a Conversation) -> Self {
        match conversation {
            Conversation::Direct(a, b) => Self::Direct(a.as_str().into(), b.as_str().into()),
            Conversation::Group(group) => Self::Group(group.0),
        }
    }

    fn into_conversation(self) -> Conversation {
        match self {
            Self::Direct(a, b) => Conversation::direct(user(&a), user(&b)),
            Self::Group(group) => Conversation::Group(GroupId(group)),
        }
    }
}

impl<'a> ContentBody<'a> {
    fn of(content: &'a Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text.into()),
            Content::Object(object) => Self::Object(Cow::Borrowed(object)),
        }
    }

    fn into_content(self) -> Content {
        match self {
            Self::Text(text) => Content::Text(text.into_owned()),
            Self::Object(object) => Content::Object(object.into_owned()),
        }
    }
}

fn user(name: &str) -> UserId {
    UserId::from_stored(name)
}

fn names(users: &[UserId]) -> Users<'_> {
    users.iter().map(|user| user.as_str().into()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::testing::{group_text, ops, sent, text};

    fn full() -> Op {
        let object = json!({
            "empty": {}, "list": [1, -1, i64::MAX, i64::MIN, 0.5, 1.0, true, null, "x", [{}]],
            "text": "naïve 漢字 🎈 \u{0}", "dotted.key": {"ключ": ""},
        });
        let object = object.as_object().unwrap().clone();
        let base = sent(&group_text(GroupId::mint(), "")).clone();
        Op::Send(Arc::new(Message {
            old_id: Some("old".to_owned()),
            client_id: Some(ClientId::parse("c-1").unwrap()),
            content: Content::Object(object.clone()),
            content_type: ContentType::Voice,
            media_url: Some("/uploads/a.png".to_owned()),
            media_metadata: Some(object),
            status: Status::Delivered,
            read_by: vec![user("zoë"), user("b")],
            deleted_for: vec![user("c")],
            edited_at: Some(Timestamp(-5)),
            reply_to: Some(MessageId::mint()),
            mentions: vec![user("zoë")],
            reactions: vec![Reaction { user: user("b"), emoji: Emoji::from_stored("👍🏽") }],
            pin: Some(Pin { pinned: true, by: user("b"), at: Timestamp(7) }),
            revisions: vec![Revision { content: Content::Text("x".to_owned()), at: Timestamp(1) }],
            ..base
        }))
    }

    fn check(op: &Op) {
        let body = encode(op).unwrap();
        assert_eq!(decode(Kind::of(op), &body).unwrap(), *op);
        assert_eq!(from_json(to_json(op).unwrap()).unwrap(), *op);
    }

    #[test]
    fn every_field_reads_back_as_it_was_written() {
        check(&full());
        check(&text(""));
    }

    #[test]
    fn a_kind_keeps_its_number() {
        let codes = Kind::ALL.map(|kind| (kind.code(), kind.name()));
        let known =
            ["send", "read", "edit", "delete", "hide", "purge_group", "deliver", "react", "pin"];
        assert_eq!(codes.to_vec(), (1..).zip(known).collect::<Vec<_>>());
        assert_eq!((Kind::from_code(0), Kind::from_code(10)), (None, None));
    }

    #[test]
    fn what_is_no_op_is_an_error() {
        let body = encode(&text("a")).unwrap();
        assert!(decode(Kind::Edit, &body).is_err(), "of another kind");
        for cut in 0..body.len() {
            assert!(decode(Kind::Send, &body[..cut]).is_err(), "cut at {cut}");
        }
        assert!(from_json(json!({"kind": "sing", "op": {}})).is_err());
        assert!(from_json(json!([])).is_err());
    }

    proptest! {
        #[test]
        fn every_op_reads_back(run in ops()) {
            run.iter().for_each(|op| check(op));
        }

        #[test]
        fn bytes_that_mean_nothing_are_refused_without_a_panic(
            code in 1_u8..10, body in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = decode(Kind::from_code(code).unwrap(), &body);
        }
    }
}
