//! The frames of plain WebSockets: three dialects, for clients that know no Socket.IO.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::ack::Ack;
use super::events::{ClientEvent, DeleteMessage, EditMessage, MarkRead, Said};
use super::message::ContentBody;
use super::told::Payload;
use crate::error::Error;
use crate::model::{
    Content, Conversation, Emoji, Event, GroupId, Message, MessageRef, Target, Timestamp, UserId,
    Username,
};

/// Which dialect a connection speaks, and about what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// `/ws/{user_id}`: a user's direct messages.
    Pair(UserId),
    /// `/api/ws/{room_id}`: what happens in a group.
    Room(GroupId),
    /// `/ws?username=`: the lobby, under a name.
    Lobby(Username),
}

/// How an event is written: once for all connections that get it in this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `sender_id:message`.
    PairText,
    /// `{sender_id, receiver_id, message}`.
    PairJson,
    /// `{type, ...}` in the field names of Socket.IO's events.
    Room,
    /// `{type, username, content, timestamp}`.
    Lobby,
}

impl Form {
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// What a frame asks for.
#[derive(Debug)]
pub enum Asked {
    /// The same as an event of Socket.IO.
    Event(ClientEvent),
    /// A sign of life, which it gets in return.
    Ping,
}

/// A client's frame.
#[derive(Debug)]
pub struct Frame {
    /// The name of the event that it is, as Socket.IO's clients know it; `None` where it is none.
    pub name: Option<&'static str>,
    /// What its sender wants to see in the answer: `ref`, a number or a short text.
    pub reference: Option<Value>,
    /// What it asks for, or why that can't be told.
    pub asked: Result<Asked, Error>,
}

/// Where the lobby's messages are.
const LOBBY: Target = Target::Group(GroupId::LOBBY);

/// Longest `ref`, in bytes.
const MAX_REFERENCE: usize = 64;

impl Dialect {
    /// The form in which a connection hears, as its first frame has it.
    pub fn form(&self, first: &str) -> Form {
        match self {
            Self::Pair(_) if is_json(first) => Form::PairJson,
            Self::Pair(_) => Form::PairText,
            Self::Room(_) => Form::Room,
            Self::Lobby(_) => Form::Lobby,
        }
    }

    /// Reads a client's frame.
    pub fn read(&self, text: &str) -> Frame {
        let json = match self {
            Self::Room(_) => Some(object(text)),
            Self::Pair(_) => is_json(text).then(|| object(text)),
            // Whoever talks of JSON in the lobby talks.
            Self::Lobby(_) => object(text).ok().filter(|json| json.contains_key("content")).map(Ok),
        };
        let Some(json) = json else {
            let event = match self {
                Self::Pair(user) => pair_text(user, text),
                Self::Room(_) | Self::Lobby(_) => says(text.to_owned(), LOBBY),
            };
            return Frame::of("send_message", None, event);
        };
        let taken = json.and_then(|mut json| Ok((reference(&mut json)?, json)));
        match taken {
            Err(error) => Frame { name: None, reference: None, asked: Err(error) },
            Ok((reference, json)) => match self {
                Self::Pair(user) => Frame::of("send_message", reference, pair(user, json)),
                Self::Lobby(_) => {
                    let said = read::<Said>(json).and_then(|said| said.draft(LOBBY));
                    Frame::of("send_message", reference, said.map(ClientEvent::SendMessage))
                }
                Self::Room(room) => room_frame(*room, reference, json),
            },
        }
    }

    /// Whether a connection hears of an event that its user is told of.
    pub fn hears_as_user(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Pair(user), Event::Sent(message)) => {
                matches!(&message.target, Target::User(to) if to == user)
            }
            (Self::Room(room), Event::Read(reading)) => {
                reading.conversation == Conversation::Group(*room)
            }
            (Self::Room(room), Event::GroupNotice(notice)) => notice.group == *room,
            (Self::Room(_), Event::Hidden { .. } | Event::SyncRequired) => true,
            _ => false,
        }
    }

    /// Whether a connection hears of an event that its group is told of.
    pub fn hears_in_group(&self, event: &Event) -> bool {
        match self {
            Self::Pair(_) => false,
            Self::Room(_) => true,
            Self::Lobby(_) => matches!(event, Event::Sent(_)),
        }
    }
}

impl Frame {
    fn of(name: &'static str, reference: Option<Value>, event: Result<ClientEvent, Error>) -> Self {
        Self { name: Some(name), reference, asked: event.map(Asked::Event) }
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn object(text: &str) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(text).map_err(|_| Error::Invalid("a frame must be a JSON object".into()))
}

fn read<T: DeserializeOwned>(json: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(json))
        .map_err(|error| Error::Invalid(error.to_string().into()))
}

fn reference(json: &mut Map<String, Value>) -> Result<Option<Value>, Error> {
    match json.remove("ref") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > MAX_REFERENCE => {
            Err(Error::Invalid(format!("ref has up to {MAX_REFERENCE} bytes").into()))
        }
        Some(reference @ (Value::String(_) | Value::Number(_))) => Ok(Some(reference)),
        Some(_) => Err(Error::Invalid("ref must be a string or a number".into())),
    }
}

fn says(text: String, to: Target) -> Result<ClientEvent, Error> {
    Said::text(text, None).draft(to).map(ClientEvent::SendMessage)
}

/// `sender_id:receiver_id:message`; the message may have colons of its own.
fn pair_text(user: &UserId, text: &str) -> Result<ClientEvent, Error> {
    let mut parts = text.splitn(3, ':');
    let (Some(sender), Some(receiver), Some(message)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::Invalid("a frame has the form sender_id:receiver_id:message".into()));
    };
    check_sender(user, sender)?;
    says(message.to_owned(), Target::User(UserId::parse(receiver)?))
}

#[derive(Deserialize)]
#[serde(expecting = "an object with sender_id, receiver_id and message")]
struct PairIn {
    sender_id: String,
    receiver_id: String,
    message: String,
    client_id: Option<String>,
}

fn pair(user: &UserId, json: Map<String, Value>) -> Result<ClientEvent, Error> {
    let sent: PairIn = read(json)?;
    check_sender(user, &sent.sender_id)?;
    let to = Target::User(UserId::parse(&sent.receiver_id)?);
    Said::text(sent.message, sent.client_id).draft(to).map(ClientEvent::SendMessage)
}

fn check_sender(user: &UserId, sender: &str) -> Result<(), Error> {
    if user.as_str() == sender {
        return Ok(());
    }
    Err(Error::Forbidden("sender_id is another user than the connection's".into()))
}

#[derive(Deserialize)]
struct TypingIn {
    /// True, where it is not said.
    is_typing: Option<bool>,
}

#[derive(Deserialize)]
struct ReactIn {
    message_id: String,
    emoji: String,
    /// True, where it is not said.
    on: Option<bool>,
}

impl ReactIn {
    fn event(self) -> Result<ClientEvent, Error> {
        let message = MessageRef::parse(&self.message_id)?;
        Ok(ClientEvent::React(message, Emoji::parse(&self.emoji)?, self.on.unwrap_or(true)))
    }
}

/// What a frame's `type` can be.
const ROOM_TYPES: &str = "message, typing, read, edit, delete, react or ping";

fn room_frame(room: GroupId, reference: Option<Value>, mut json: Map<String, Value>) -> Frame {
    let kind = json.remove("type");
    let to = Target::Group(room);
    let (name, event) = match kind.as_ref().and_then(Value::as_str) {
        Some("message") => {
            let said = read::<Said>(json).and_then(|said| said.draft(to));
            ("send_message", said.map(ClientEvent::SendMessage))
        }
        Some("typing") => {
            let typing = read::<TypingIn>(json).map(|asked| asked.is_typing.unwrap_or(true));
            let name = if matches!(typing, Ok(false)) { "typing_stop" } else { "typing_start" };
            (name, typing.map(|is_typing| ClientEvent::Typing(to, is_typing)))
        }
        Some("read") => ("mark_read", read::<MarkRead>(json).and_then(ClientEvent::try_from)),
        Some("edit") => ("edit_message", read::<EditMessage>(json).and_then(ClientEvent::try_from)),
        Some("delete") => {
            ("delete_message", read::<DeleteMessage>(json).and_then(ClientEvent::try_from))
        }
        Some("react") => {
            let event = read::<ReactIn>(json).and_then(ReactIn::event);
            let takes_back = matches!(event, Ok(ClientEvent::React(_, _, false)));
            (if takes_back { "remove_reaction" } else { "add_reaction" }, event)
        }
        Some("ping") => return Frame { name: None, reference, asked: Ok(Asked::Ping) },
        _ => {
            let text = format!("type must be {ROOM_TYPES}");
            return Frame { name: None, reference, asked: Err(Error::Invalid(text.into())) };
        }
    };
    Frame::of(name, reference, event)
}

/// An event as connections hear it in a form; `None` where the form has no words for it. `author`
/// is the name in the lobby of who has sent a message.
pub fn event(form: Form, event: &Event, author: &str) -> Option<String> {
    match (form, event) {
        (Form::Room, event) => room_event(event),
        (Form::PairText, Event::Sent(message)) => {
            Some(format!("{}:{}", message.from, text_of(message)))
        }
        (Form::PairJson, Event::Sent(message)) => {
            let Target::User(to) = &message.target else { return None };
            let frame = json!({
                "sender_id": message.from.as_str(), "receiver_id": to.as_str(),
                "message": text_of(message),
            });
            Some(frame.to_string())
        }
        (Form::Lobby, Event::Sent(message)) => {
            let content = json!(ContentBody(&message.content));
            Some(lobby_frame("message", author, &content, message.timestamp))
        }
        (Form::PairText | Form::PairJson | Form::Lobby, _) => None,
    }
}

/// A message as a line of text: where it says nothing, its file; an object as JSON.
fn text_of(message: &Message) -> Cow<'_, str> {
    match (&message.content, &message.media_url) {
        (Content::Text(text), Some(url)) if text.is_empty() => url.into(),
        (Content::Text(text), _) => text.into(),
        (Content::Object(object), _) => json!(object).to_string().into(),
    }
}

/// Somebody has come into the lobby, or left it.
pub fn lobby_notice(username: &Username, has_come: bool, at: Timestamp) -> String {
    let what = if has_come { "joined" } else { "left" };
    let content = Value::String(format!("{} {what}", username.as_str()));
    lobby_frame("system", username.as_str(), &content, at)
}

fn lobby_frame(kind: &str, username: &str, content: &Value, at: Timestamp) -> String {
    let timestamp = super::iso(at);
    json!({"type": kind, "username": username, "content": content, "timestamp": timestamp})
        .to_string()
}

/// The payload of Socket.IO's event, with a `type` that tells it from all others.
fn room_event(event: &Event) -> Option<String> {
    let kind = match event {
        Event::Sent(_) => "message",
        Event::Read(_) => "read",
        Event::Delivered { .. } => "delivered",
        Event::Edited { .. } => "edit",
        Event::Deleted { .. } | Event::Hidden { .. } => "delete",
        Event::Reacted { .. } => "react",
        Event::Pinned { .. } => "pin",
        Event::Typing { .. } => "typing",
        Event::GroupNotice(_) => "notification",
        Event::SyncRequired => "sync_required",
        Event::TokenExpiring { .. } => "token_expiring",
        Event::SignedOut { .. } => "signed_out",
        Event::Unread { .. } | Event::Mentioned(_) | Event::Presence(_) | Event::Left { .. } => {
            return None;
        }
    };
    let Ok(Value::Object(mut body)) = serde_json::to_value(Payload(event)) else { return None };
    body.insert("type".into(), kind.into());
    let delete_for = match event {
        Event::Deleted { .. } => Some("everyone"),
        Event::Hidden { .. } => Some("me"),
        _ => None,
    };
    body.extend(delete_for.map(|whom| ("delete_for".to_owned(), whom.into())));
    Some(Value::Object(body).to_string())
}

/// The answer to a frame; `None` where its sender is told nothing.
pub fn answer(form: Form, reference: Option<Value>, outcome: &Ack) -> Option<String> {
    let mut body = match outcome {
        Ack::Failed(error) if form == Form::PairText => return Some(format!("error:{error}")),
        Ack::Failed(error) => {
            let (code, message) = (error.code().as_str(), error.to_string());
            json!({"type": "error", "code": code, "message": message})
        }
        _ if reference.is_none() => return None,
        outcome => {
            let mut body = serde_json::to_value(outcome).ok()?;
            body["type"] = "ack".into();
            body
        }
    };
    if let Some(reference) = reference {
        body["ref"] = reference;
    }
    Some(body.to_string())
}

/// The answer to a sign of life.
pub fn pong(reference: Option<Value>) -> String {
    let mut body = json!({"type": "pong"});
    if let Some(reference) = reference {
        body["ref"] = reference;
    }
    body.to_string()
}

#[cfg(test)]
mod tests;
