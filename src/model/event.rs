//! What happened, and who is told.

use std::sync::Arc;

use super::{Content, GroupId, Message, MessageId, Timestamp, Unread, UserId};

/// Who is told of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Every socket that has joined the group.
    Group(GroupId),
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
    /// The audience's sockets leave the group's room; nothing is sent to a client.
    Left {
        /// Which group.
        group: GroupId,
    },
}

/// An event and its audience, on the way to the sockets.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// Who is told.
    pub to: Audience,
    /// Of what.
    pub event: Event,
}
