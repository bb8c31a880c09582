//! What happened, and who is told.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::{
    Content, Conversation, EndReason, GroupId, Message, MessageId, Pin, Position, Reaction, Role,
    Target, Timestamp, Unread, Until, UserId,
};

/// Who is told of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Every socket.
    Everybody,
}

/// Something that clients are told, in the terms of the domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A message was accepted.
    Sent(Arc<Message>),
    /// Messages were read.
    Read(Reading),
    /// Messages have come to a device of a recipient.
    Delivered {
        /// Which messages, the newest last; at least one.
        messages: Vec<MessageId>,
        /// Whose device.
        user: UserId,
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
    /// Users have reacted to a message, or taken that back.
    Reacted {
        /// Which message.
        message: MessageId,
        /// All reactions to it.
        reactions: Vec<Reaction>,
    },
    /// A message was pinned in its conversation, or unpinned.
    Pinned {
        /// Which message.
        message: MessageId,
        /// What became of it.
        pin: Pin,
    },
    /// A new message mentions the users who are told.
    Mentioned(Arc<Message>),
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
    GroupNotice(GroupNotice),
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
    /// The socket that is told lives on a token whose time is nearly over.
    TokenExpiring {
        /// When it is over.
        at: Timestamp,
    },
    /// The socket that is told ends, because its token is worth nothing any more.
    SignedOut {
        /// Why.
        reason: EndReason,
    },
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

/// Something that happened in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupNotice {
    /// Which group.
    pub group: GroupId,
    /// What happened, for people to read.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// The same for programs.
    pub what: Happened,
    /// To whom it happened, where that is one user.
    pub user: Option<UserId>,
    /// Who did it, where that is known.
    pub by: Option<UserId>,
}

/// What can happen in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// Somebody is a member now.
    MemberAdded,
    /// Somebody was taken out.
    MemberRemoved,
    /// Somebody has left.
    MemberLeft,
    /// It has this name.
    Renamed(String),
    /// Everybody may see and join it.
    MadePublic,
    /// Only who is invited may join it.
    MadePrivate,
    /// Somebody has this role.
    RoleChanged(Role),
    /// It is somebody else's.
    OwnerChanged,
    /// Somebody may not speak.
    Silenced(Until),
    /// Somebody may speak again.
    Unsilenced,
    /// The user who is told wants not to be alerted.
    Muted(Until),
    /// The user who is told wants to be alerted again.
    Unmuted,
}

impl Happened {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::MemberLeft => "member_left",
            Self::Renamed(_) => "renamed",
            Self::MadePublic => "made_public",
            Self::MadePrivate => "made_private",
            Self::RoleChanged(_) => "role_changed",
            Self::OwnerChanged => "owner_changed",
            Self::Silenced(_) => "silenced",
            Self::Unsilenced => "unsilenced",
            Self::Muted(_) => "muted",
            Self::Unmuted => "unmuted",
        }
    }
}

/// Messages of one conversation that a user has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Where the messages are.
    pub conversation: Conversation,
    /// Who has read them.
    pub reader: UserId,
    /// Which were read, each once; at least one.
    pub messages: Vec<MessageId>,
    /// The place of the newest of them.
    pub newest: Position,
    /// All who have read the newest; in a large group the first of them.
    pub read_by: Vec<UserId>,
    /// In a large group: how many have read the newest, its sender not counted.
    pub read_count: Option<u64>,
}

/// Whether a user is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Who.
    pub user: UserId,
    /// Whether the user has a socket, or had one a moment ago.
    pub is_online: bool,
    /// When the user was last there, where that is known.
    pub last_seen: Option<Timestamp>,
}

/// An event and its audience, on the way to the sockets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Who is told.
    pub to: Audience,
    /// Of what.
    pub event: Event,
}

impl Dispatch {
    /// What goes out right behind it: those whom a new message mentions are told so, but not its
    /// sender.
    pub fn follow_up(&self) -> Option<Self> {
        let Event::Sent(message) = &self.event else { return None };
        let others = message.mentions.iter().filter(|user| **user != message.from);
        let others: Vec<_> = others.cloned().collect();
        let event = || Event::Mentioned(Arc::clone(message));
        (!others.is_empty()).then(|| Self { to: Audience::Users(others), event: event() })
    }
}
