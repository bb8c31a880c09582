//! The Socket.IO events that clients send.

use serde::Deserialize;
use serde_json::Value;

use super::accounts::{Hidden, Renewal, RenewalIn};
use super::attach::{MentionsIn, ReactionIn};
use super::payload::payload;
use crate::error::Error;
use crate::model::{
    ClientId, Content, ContentType, Draft, Emoji, GroupId, JsonObject, MessageRef, SyncCursor,
    Target, UserId, check_object,
};

/// The kind of conversation that a client names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatType {
    /// Two users.
    Direct,
    /// A group.
    Group,
}

impl ChatType {
    /// The target that an id names within this kind.
    pub fn target(self, id: &str) -> Result<Target, Error> {
        Ok(match self {
            Self::Direct => Target::User(UserId::parse(id)?),
            Self::Group => Target::Group(GroupId::parse(id)?),
        })
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with to, content and type")]
struct SendMessage {
    to: String,
    content: Value,
    #[serde(rename = "type")]
    chat_type: ChatType,
    content_type: Option<String>,
    media_url: Option<String>,
    media_metadata: Option<JsonObject>,
    client_id: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    mentions: MentionsIn,
}

impl TryFrom<SendMessage> for Draft {
    type Error = Error;

    fn try_from(sent: SendMessage) -> Result<Self, Error> {
        let target = sent.chat_type.target(&sent.to)?;
        let said = Said {
            content: sent.content,
            content_type: sent.content_type,
            media_url: sent.media_url,
            media_metadata: sent.media_metadata,
            client_id: sent.client_id,
            reply_to: sent.reply_to,
            mentions: sent.mentions,
        };
        said.draft(target)
    }
}

/// What somebody says, to whomever.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with content")]
pub struct Said {
    content: Value,
    content_type: Option<String>,
    media_url: Option<String>,
    media_metadata: Option<JsonObject>,
    client_id: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    mentions: MentionsIn,
}

impl Said {
    /// A text and nothing else.
    pub(super) fn text(text: String, client_id: Option<String>) -> Self {
        Self {
            content: Value::String(text),
            content_type: None,
            media_url: None,
            media_metadata: None,
            client_id,
            reply_to: None,
            mentions: MentionsIn::default(),
        }
    }

    /// The message that it becomes.
    pub fn draft(self, target: Target) -> Result<Draft, Error> {
        let content_type = match self.content_type.as_deref() {
            None => ContentType::default(),
            Some(word) => ContentType::parse(word).ok_or_else(|| {
                let allowed = ContentType::ALL.map(ContentType::as_str).join(", ");
                Error::Invalid(format!("content_type must be one of {allowed}").into())
            })?,
        };
        if let Some(metadata) = &self.media_metadata {
            check_object(metadata)?;
        }
        Ok(Draft {
            client_id: self.client_id.as_deref().map(ClientId::parse).transpose()?,
            target,
            content: content(self.content)?,
            content_type,
            media_url: self.media_url.filter(|url| !url.is_empty()),
            media_metadata: self.media_metadata,
            reply_to: self.reply_to.as_deref().map(MessageRef::parse).transpose()?,
            mentions: self.mentions.read()?,
        })
    }
}

/// `PUT /api/messages/{message_id}`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with content")]
pub struct NewContent {
    content: Value,
}

impl NewContent {
    /// What the message is to say.
    pub fn read(self) -> Result<Content, Error> {
        content(self.content)
    }
}

/// Reads a message's content: a string, or an object that can be stored as it is.
fn content(value: Value) -> Result<Content, Error> {
    match value {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Object(object) => {
            check_object(&object)?;
            Ok(Content::Object(object))
        }
        _ => Err(Error::Invalid("content must be a string or an object".into())),
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with message_id, message_ids or up_to")]
pub(super) struct MarkRead {
    message_id: Option<String>,
    message_ids: Option<Vec<String>>,
    up_to: Option<String>,
}

impl TryFrom<MarkRead> for ClientEvent {
    type Error = Error;

    fn try_from(asked: MarkRead) -> Result<Self, Error> {
        match (asked.message_id, asked.message_ids, asked.up_to) {
            (Some(id), None, None) => Ok(Self::MarkRead(MessageRef::parse(&id)?)),
            (None, Some(ids), None) => Ok(Self::MarkManyRead(message_refs(&ids)?)),
            (None, None, Some(id)) => Ok(Self::MarkReadUpTo(MessageRef::parse(&id)?)),
            _ => Err(Error::Invalid("give one of message_id, message_ids and up_to".into())),
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with message_ids")]
struct MarkDelivered {
    message_ids: Vec<String>,
}

/// Most messages that one event names.
const MAX_MARKED: usize = 200;

fn message_refs(ids: &[String]) -> Result<Vec<MessageRef>, Error> {
    if !(1..=MAX_MARKED).contains(&ids.len()) {
        return Err(Error::Invalid(format!("message_ids has 1 to {MAX_MARKED} ids").into()));
    }
    Ok(ids.iter().map(|id| MessageRef::parse(id)).collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
#[serde(expecting = "an object with message_id")]
struct MessageIn {
    message_id: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with message_id and content")]
pub(super) struct EditMessage {
    message_id: String,
    content: Value,
}

impl TryFrom<EditMessage> for ClientEvent {
    type Error = Error;

    fn try_from(asked: EditMessage) -> Result<Self, Error> {
        Ok(Self::EditMessage(MessageRef::parse(&asked.message_id)?, content(asked.content)?))
    }
}

/// For whom a message is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteFor {
    /// For everyone.
    Everyone,
    /// For the user who asks.
    Me,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with message_id")]
pub(super) struct DeleteMessage {
    message_id: String,
    /// Everyone, where it is not said.
    delete_for: Option<DeleteFor>,
}

impl TryFrom<DeleteMessage> for ClientEvent {
    type Error = Error;

    fn try_from(asked: DeleteMessage) -> Result<Self, Error> {
        let id = MessageRef::parse(&asked.message_id)?;
        Ok(Self::DeleteMessage(id, asked.delete_for.unwrap_or(DeleteFor::Everyone)))
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object, which may have a cursor and a limit")]
struct Sync {
    cursor: Option<String>,
    limit: Option<u64>,
}

/// Most changes, or conversations, of one page of `sync`.
const MAX_SYNC_PAGE: usize = 200;

impl TryFrom<Sync> for ClientEvent {
    type Error = Error;

    fn try_from(asked: Sync) -> Result<Self, Error> {
        if asked.limit == Some(0) {
            return Err(Error::Invalid("limit must be a whole number from 1".into()));
        }
        let cursor = asked.cursor.as_deref().map(SyncCursor::parse).transpose()?;
        let limit = asked.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Self::Sync(cursor, limit.map(|limit| limit.min(MAX_SYNC_PAGE))))
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with to and type")]
struct TypingIn {
    to: String,
    #[serde(rename = "type")]
    chat_type: ChatType,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// `join_group`: hear what is said in a group.
    JoinGroup(GroupId),
    /// `leave_group`: hear it no longer.
    LeaveGroup(GroupId),
    /// `send_message`.
    SendMessage(Draft),
    /// `mark_read` of one message.
    MarkRead(MessageRef),
    /// `mark_read` of several.
    MarkManyRead(Vec<MessageRef>),
    /// `mark_read` of all up to a message.
    MarkReadUpTo(MessageRef),
    /// `mark_delivered`.
    MarkDelivered(Vec<MessageRef>),
    /// `edit_message`.
    EditMessage(MessageRef, Content),
    /// `delete_message`.
    DeleteMessage(MessageRef, DeleteFor),
    /// `add_reaction` and `remove_reaction`: whether the emoji is there from now on.
    React(MessageRef, Emoji, bool),
    /// `pin_message` and `unpin_message`: whether it is pinned from now on.
    Pin(MessageRef, bool),
    /// `sync`: what was missed since a cursor, and how much of it at once.
    Sync(Option<SyncCursor>, Option<usize>),
    /// `refresh_token`: live on another token from now on.
    RefreshToken(Renewal),
    /// `typing_start` and `typing_stop`: where, and whether the user types.
    Typing(Target, bool),
}

/// The names of [`ClientEvent`]s; what is not among them is ignored and counted.
pub const CLIENT_EVENTS: [&str; 15] = [
    "join_group",
    "leave_group",
    "send_message",
    "mark_read",
    "mark_delivered",
    "edit_message",
    "delete_message",
    "add_reaction",
    "remove_reaction",
    "pin_message",
    "unpin_message",
    "sync",
    "refresh_token",
    "typing_start",
    "typing_stop",
];

impl ClientEvent {
    /// Reads a frame's JSON, `["name", payload, ...]`; anything after the payload is ignored.
    /// `None` where the name is not one of [`CLIENT_EVENTS`].
    pub fn decode(name: &str, frame: &str) -> Option<Result<Self, Error>> {
        Some(match name {
            "join_group" => group_id(frame).map(Self::JoinGroup),
            "leave_group" => group_id(frame).map(Self::LeaveGroup),
            "send_message" => {
                payload::<SendMessage>(frame).and_then(Draft::try_from).map(Self::SendMessage)
            }
            "mark_read" => payload::<MarkRead>(frame).and_then(Self::try_from),
            "mark_delivered" => payload::<MarkDelivered>(frame)
                .and_then(|asked| Ok(Self::MarkDelivered(message_refs(&asked.message_ids)?))),
            "edit_message" => payload::<EditMessage>(frame).and_then(Self::try_from),
            "delete_message" => payload::<DeleteMessage>(frame).and_then(Self::try_from),
            "add_reaction" => reaction(frame, true),
            "remove_reaction" => reaction(frame, false),
            "pin_message" => pin(frame, true),
            "unpin_message" => pin(frame, false),
            "sync" => payload::<Sync>(frame).and_then(Self::try_from),
            "refresh_token" => {
                payload::<RenewalIn>(frame).and_then(RenewalIn::read).map(Self::RefreshToken)
            }
            "typing_start" => typing(frame, true),
            "typing_stop" => typing(frame, false),
            _ => return None,
        })
    }
}

fn reaction(frame: &str, on: bool) -> Result<ClientEvent, Error> {
    let (message, emoji) = payload::<ReactionIn>(frame)?.read()?;
    Ok(ClientEvent::React(message, emoji, on))
}

fn pin(frame: &str, pinned: bool) -> Result<ClientEvent, Error> {
    let asked = payload::<MessageIn>(frame)?;
    Ok(ClientEvent::Pin(MessageRef::parse(&asked.message_id)?, pinned))
}

fn typing(frame: &str, is_typing: bool) -> Result<ClientEvent, Error> {
    let asked = payload::<TypingIn>(frame)?;
    Ok(ClientEvent::Typing(asked.chat_type.target(&asked.to)?, is_typing))
}

fn group_id(frame: &str) -> Result<GroupId, Error> {
    Ok(GroupId::parse(&payload::<String>(frame)?)?)
}

/// What a client gives when it connects.
#[derive(Debug, Default, Deserialize)]
pub struct Auth {
    /// Who it says it is.
    pub user_id: Option<String>,
    /// Its access token.
    pub token: Option<Hidden>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorCode;

    fn decode(frame: Value) -> Result<ClientEvent, Error> {
        let name = frame[0].as_str().unwrap().to_owned();
        ClientEvent::decode(&name, &frame.to_string()).expect("a known event")
    }

    #[test]
    fn a_message_is_read_with_its_defaults() {
        let frame = json!(["send_message", {"to": "bob", "content": "hi", "type": "direct"}]);
        let Ok(ClientEvent::SendMessage(draft)) = decode(frame) else { panic!("not a message") };
        assert_eq!(draft.target, Target::User(UserId::parse("bob").unwrap()));
        assert_eq!(draft.content, Content::Text("hi".into()));
        assert_eq!(draft.content_type, ContentType::Text);
        assert_eq!(draft.media_url, None);
    }

    #[test]
    fn what_follows_the_payload_is_ignored() {
        let id = GroupId::mint();
        let frame = json!(["join_group", id.to_string(), {"more": [1, 2]}]);
        assert_eq!(decode(frame).unwrap(), ClientEvent::JoinGroup(id));
    }

    #[test]
    fn a_payload_of_the_wrong_form_is_an_error_that_says_what_is_wrong() {
        let long = "x".repeat(200);
        for (frame, words) in [
            (json!(["join_group"]), "payload is missing"),
            (json!(["join_group", 7]), "expected a string"),
            (json!(["join_group", "zz"]), "24 hexadecimal"),
            (json!(["send_message", "hi"]), "expected an object with to"),
            (json!(["send_message", {"content": "a", "type": "direct"}]), "missing field `to`"),
            (
                json!(["send_message", {"to": "a", "content": 1, "type": "direct"}]),
                "a string or an",
            ),
            (json!(["send_message", {"to": "a", "content": "", "type": "all"}]), "`direct`"),
            (json!(["send_message", {"to": long, "content": "", "type": "direct"}]), "user id"),
            (
                json!(["send_message", {"to": "a", "content": {"$gt": 1}, "type": "direct"}]),
                "must not start",
            ),
            (
                json!(["send_message",
                    {"to": "a", "content": "", "type": "direct", "content_type": "exe"}]),
                "content_type must be",
            ),
            (json!(["mark_read", {"message_id": {"$ne": null}}]), "expected a string"),
            (json!(["mark_read", {}]), "one of message_id"),
            (json!(["mark_read", {"message_ids": []}]), "1 to 200"),
            (json!(["mark_read", {"message_ids": ["a"], "up_to": "a"}]), "one of message_id"),
            (json!(["mark_delivered", {"message_ids": vec!["a"; 201]}]), "1 to 200"),
            (json!(["mark_delivered", {"message_ids": "a"}]), "expected a sequence"),
            (json!(["edit_message", {"message_id": "a b", "content": ""}]), "message id"),
            (json!(["typing_start", "bob"]), "expected an object with to and type"),
            (json!(["typing_stop", {"to": "bob", "type": "group"}]), "24 hexadecimal"),
        ] {
            let error = decode(frame.clone()).expect_err("refused");
            assert_eq!(error.code(), ErrorCode::InvalidPayload, "{frame}");
            assert!(error.to_string().contains(words), "{frame}: {error}");
        }
    }

    #[test]
    fn an_unknown_event_is_told_apart() {
        assert!(ClientEvent::decode("order_pizza", r#"["order_pizza"]"#).is_none());
        for name in CLIENT_EVENTS {
            assert!(ClientEvent::decode(name, "[]").is_some(), "{name}");
        }
    }

    #[test]
    fn a_deletion_is_for_everyone_unless_it_says_otherwise() {
        let id = crate::model::MessageId::mint().to_string();
        for asked in [json!({"message_id": id}), json!({"message_id": id, "delete_for": null})] {
            let event = decode(json!(["delete_message", asked])).unwrap();
            assert!(matches!(event, ClientEvent::DeleteMessage(_, DeleteFor::Everyone)));
        }
    }
}
