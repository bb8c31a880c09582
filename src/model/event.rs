//! What happened, and who is told.

use std::sync::Arc;

use super::{Content, GroupId, Message, MessageId, Target, Timestamp, Unread, UserId};

/// Who is told of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Every socket that has joined the group.
    Group(GroupId),
    /// The same, without the sockets of one user.
    Others {
        /// Which group.
        group: GroupId,
        /// Who is not told.
        than: UserId,
    },
    /// Every socket of these users; a user named twice is told once.
    Users(Vec<UserId>),
}

/// Something that clients are told, in the terms of the domain.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A message was accepted.
    Sent(Arc<Message>),
    /// A message was read.
    Read {
        /// Which message.
        message: MessageId,
        /// All who have read it.
        read_by: Vec<UserId>,
    },
    /// A message says something else now.
    Edited {
        /// Which message.
        message: MessageId,
        /// What it says now.
        content: Content,
        /// When it was changed.
        edited_at: Timestamp,
    },
    /// A message is gone for everyone.
    Deleted {
        /// Which message.
        message: MessageId,
        /// Whether it was a group's.
        in_group: bool,
        /// When it was deleted.
        deleted_at: Timestamp,
    },
    /// A message is gone for the user who is told.
    Hidden {
        /// Which message.
        message: MessageId,
    },
    /// Something happened in a group.
    GroupNotice {
        /// Which group.
        group: GroupId,
        /// What happened, for people to read.
        text: String,
        /// When.
        at: Timestamp,
    },
    /// What the user who is told has not read.
    Unread {
        /// The counts.
        unread: Unread,
        /// When they were taken.
        at: Timestamp,
    },
    /// The audience may have missed something, and should ask for it.
    SyncRequired,
    /// A user types in a conversation, or has stopped.
    Typing {
        /// Who.
        user: UserId,
        /// In the group, or to the user, who is told.
        to: Target,
        /// Whether the user types.
        is_typing: bool,
    },
    /// A user has come or gone.
    Presence(Presence),
    /// The audience's sockets leave the group's room; nothing is sent to a client.
    Left {
        /// Which group.
        group: GroupId,
    },
}

impl Event {
    /// Whether it is of the moment alone: a socket that is behind does without.
    pub fn is_ephemeral(&self) -> bool {
        matches!(self, Self::Typing { .. } | Self::Presence(_))
    }
}

/// Whether a user is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Who.
    pub user: UserId,
    /// Whether the user has a socket, or had one a moment ago.
    pub is_online: bool,
    /// When the user was last there, where that is known.
    pub last_seen: Option<Timestamp>,
}

/// An event and its audience, on the way to the sockets.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// Who is told.
    pub to: Audience,
    /// Of what.
    pub event: Event,
}
