//! Messages, and the conversations they belong to.

use serde::{Deserialize, Serialize};

use super::content::object_memory;
use super::{
    ClientId, Content, GroupId, JsonObject, MessageId, Pin, Reaction, Revision, Timestamp, UserId,
};

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// One user: a direct message.
    User(UserId),
    /// The members of a group.
    Group(GroupId),
}

/// A stream of messages with one order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Conversation {
    /// Two users, the smaller id first, so that both directions are one conversation. The same
    /// user twice is a conversation with oneself.
    Direct(UserId, UserId),
    /// A group.
    Group(GroupId),
}

impl Conversation {
    /// The conversation of two users, whoever asks.
    pub fn direct(a: UserId, b: UserId) -> Self {
        if a <= b { Self::Direct(a, b) } else { Self::Direct(b, a) }
    }
}

/// The kind of a message's content, as clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ContentType {
    /// Plain text.
    #[default]
    Text,
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Any other file.
    File,
    /// A single emoji.
    Emoji,
    /// A recorded voice message.
    Voice,
    /// Any other sound.
    Audio,
}

impl ContentType {
    /// Every kind, for parsing and for error texts.
    pub const ALL: [Self; 7] =
        [Self::Text, Self::Image, Self::Video, Self::File, Self::Emoji, Self::Voice, Self::Audio];

    /// The word that clients and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::File => "file",
            Self::Emoji => "emoji",
            Self::Voice => "voice",
            Self::Audio => "audio",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How far a message has come. The order is the order of progress: it only ever grows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum Status {
    /// Accepted by the server.
    #[default]
    Sent,
    /// On a device of the recipient.
    Delivered,
    /// Read by a recipient.
    Read,
}

impl Status {
    /// The word that clients and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// Reads the word; one that is not known counts as sent.
    pub fn from_stored(word: &str) -> Self {
        match word {
            "read" => Self::Read,
            "delivered" => Self::Delivered,
            _ => Self::Sent,
        }
    }
}

/// The place of a message in the order of all: its time, then its id.
pub type Position = (Timestamp, MessageId);

/// One message, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its `_id`.
    pub id: MessageId,
    /// The `id` under which the old server sent it out, where that differs from `_id`.
    pub old_id: Option<String>,
    /// The name that its sender's client gave it, unique among the sender's.
    pub client_id: Option<ClientId>,
    /// Whom it is for.
    pub target: Target,
    /// Who sent it.
    pub from: UserId,
    /// What it says.
    pub content: Content,
    /// What kind of content that is.
    pub content_type: ContentType,
    /// Where its media file is: `/uploads/...` or an absolute URL.
    pub media_url: Option<String>,
    /// What the client says of its media file.
    pub media_metadata: Option<JsonObject>,
    /// When it was accepted.
    pub timestamp: Timestamp,
    /// How far it has come.
    pub status: Status,
    /// Who has read it, each once, in order of reading.
    pub read_by: Vec<UserId>,
    /// Who has hidden it for themselves, each once.
    pub deleted_for: Vec<UserId>,
    /// When its content was last changed.
    pub edited_at: Option<Timestamp>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Whom it mentions, each once.
    pub mentions: Vec<UserId>,
    /// Who has reacted to it, in order.
    pub reactions: Vec<Reaction>,
    /// Whether it is, or was, pinned.
    pub pin: Option<Pin>,
    /// What it said before, the oldest first, at most [`Message::MAX_REVISIONS`]. Only a message
    /// that is read alone has these; pages leave them out.
    pub revisions: Vec<Revision>,
}

impl Message {
    /// Earlier contents that are kept.
    pub const MAX_REVISIONS: usize = 20;

    /// The conversation it belongs to.
    pub fn conversation(&self) -> Conversation {
        match &self.target {
            Target::User(to) => Conversation::direct(self.from.clone(), to.clone()),
            Target::Group(group) => Conversation::Group(*group),
        }
    }

    /// The place of the message in its conversation.
    pub fn position(&self) -> Position {
        (self.timestamp, self.id)
    }

    /// The `id` that clients see: the old server's where there is one, else `_id`.
    pub fn public_id(&self) -> String {
        self.old_id.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// Whether the user has hidden it.
    pub fn is_hidden_for(&self, user: &UserId) -> bool {
        self.deleted_for.contains(user)
    }

    /// Bytes that the message holds in memory, to within its fixed fields.
    pub fn weight(&self) -> usize {
        /// The fixed fields, ids and the slot around them.
        const FIXED_BYTES: usize = 512;
        /// A user's id, or an emoji, with what points to it.
        const NAME_BYTES: usize = 64;
        let metadata = self.media_metadata.as_ref().map_or(0, object_memory);
        let url = self.media_url.as_ref().map_or(0, String::len);
        let names = self.read_by.len() + self.mentions.len() + 2 * self.reactions.len();
        let earlier: usize = self.revisions.iter().map(|revision| revision.content.memory()).sum();
        FIXED_BYTES + self.content.memory() + metadata + url + names * NAME_BYTES + earlier
    }
}
