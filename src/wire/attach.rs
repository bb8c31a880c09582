//! What users attach to messages: mentions, reactions, pins.

use std::collections::HashMap;

use serde::de::Deserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::message::{self, ContentBody, MessageRow};
use crate::error::Error;
use crate::model::{
    Emoji, Message, MessageId, MessageRef, Pin, Reaction, Revision, Target, UserId,
};

/// Most users that one message can mention.
const MAX_MENTIONS: usize = 50;

/// The payload of `add_reaction` and `remove_reaction`.
#[derive(Deserialize)]
#[serde(expecting = "an object with message_id and emoji")]
pub(super) struct ReactionIn {
    message_id: String,
    emoji: String,
}

impl ReactionIn {
    /// Which message, and which emoji.
    pub(super) fn read(&self) -> Result<(MessageRef, Emoji), Error> {
        Ok((MessageRef::parse(&self.message_id)?, Emoji::parse(&self.emoji)?))
    }
}

/// The users whom a message is to mention.
#[derive(Debug, Default)]
pub(super) struct MentionsIn(Vec<String>);

impl<'de> Deserialize<'de> for MentionsIn {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(from)?.unwrap_or_default()))
    }
}

impl MentionsIn {
    /// The users, each once.
    pub(super) fn read(&self) -> Result<Vec<UserId>, Error> {
        if self.0.len() > MAX_MENTIONS {
            let text = format!("a message mentions at the most {MAX_MENTIONS} users");
            return Err(Error::Invalid(text.into()));
        }
        let mut users = Vec::with_capacity(self.0.len());
        for text in &self.0 {
            let user = UserId::parse(text)?;
            if !users.contains(&user) {
                users.push(user);
            }
        }
        Ok(users)
    }
}

/// Reactions as an object from emoji to the users who have put it there: `{"👍": ["bob", "ann"]}`,
/// both in the order in which they came.
pub(super) struct ReactionMap<'a>(pub(super) &'a [Reaction]);

impl Serialize for ReactionMap<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut places = HashMap::new();
        let mut users: Vec<(&str, Vec<&str>)> = Vec::new();
        for reaction in self.0 {
            let emoji = reaction.emoji.as_str();
            let place = *places.entry(emoji).or_insert_with(|| {
                users.push((emoji, Vec::new()));
                users.len() - 1
            });
            users[place].1.push(reaction.user.as_str());
        }
        to.collect_map(users)
    }
}

/// A row of a message that may have replies.
#[derive(Debug, Clone, Copy)]
pub struct CountedRow<'a> {
    /// The message.
    pub message: &'a Message,
    /// How many replies it has; 0 is not shown.
    pub reply_count: usize,
    /// How many have read it, where that is counted.
    pub read_count: Option<u64>,
}

impl Serialize for CountedRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(None)?;
        message::fields(self.message, &mut row)?;
        if self.reply_count > 0 {
            row.serialize_entry("reply_count", &self.reply_count)?;
        }
        if let Some(read_count) = self.read_count {
            row.serialize_entry("read_count", &read_count)?;
        }
        row.end()
    }
}

/// `GET /threads/{message_id}`.
#[derive(Debug, Serialize)]
pub struct ThreadPage<'a> {
    /// The message that was answered.
    pub root: CountedRow<'a>,
    /// Replies, newest first.
    pub replies: Vec<MessageRow<'a>>,
    /// How many there are.
    pub reply_count: usize,
}

/// What a message said, of `GET /edits/{message_id}`: `{content, edited_at}`.
#[derive(Debug, Clone, Copy)]
pub struct RevisionRow<'a>(pub &'a Revision);

impl Serialize for RevisionRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(2))?;
        row.serialize_entry("content", &ContentBody(&self.0.content))?;
        row.serialize_entry("edited_at", &super::iso(self.0.at))?;
        row.end()
    }
}

/// Who has pinned a message, and when: `{by, at}`.
pub(super) struct PinRow<'a>(pub(super) &'a Pin);

impl Serialize for PinRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(2))?;
        row.serialize_entry("by", self.0.by.as_str())?;
        row.serialize_entry("at", &super::iso(self.0.at))?;
        row.end()
    }
}

/// What follows the `type` of an update of reactions.
pub(super) fn reaction<M: SerializeMap>(
    message: MessageId,
    reactions: &[Reaction],
    body: &mut M,
) -> Result<(), M::Error> {
    body.serialize_entry("message_id", &message.to_string())?;
    body.serialize_entry("reactions", &ReactionMap(reactions))
}

/// What follows the `type` of an update of a pin.
pub(super) fn pin<M: SerializeMap>(
    message: MessageId,
    pin: &Pin,
    body: &mut M,
) -> Result<(), M::Error> {
    body.serialize_entry("message_id", &message.to_string())?;
    body.serialize_entry("pinned", &pin.pinned)?;
    body.serialize_entry("by", pin.by.as_str())?;
    body.serialize_entry("at", &super::iso(pin.at))
}

/// What follows the `type` of a notification of a mention.
pub(super) fn mention<M: SerializeMap>(message: &Message, body: &mut M) -> Result<(), M::Error> {
    body.serialize_entry("content", &format_args!("{} mentioned you", message.from))?;
    body.serialize_entry("message_id", &message.id.to_string())?;
    body.serialize_entry("from_user_id", message.from.as_str())?;
    if let Target::Group(group) = message.target {
        body.serialize_entry("group_id", &group.to_string())?;
    }
    body.serialize_entry("timestamp", &super::iso(message.timestamp))
}
