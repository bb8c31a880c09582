//! The operations that change messages; each goes through the write buffer, in order.

use std::sync::Arc;

use super::{Content, Conversation, GroupId, Message, MessageId, Position, Timestamp, UserId};

/// One change, complete in itself: applying it twice equals applying it once.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A new message.
    Send(Arc<Message>),
    /// A user has read messages of one conversation.
    Read {
        /// Where the messages are.
        conversation: Conversation,
        /// Which were read; at least one.
        messages: Vec<MessageId>,
        /// Who read them.
        reader: UserId,
        /// The place of the newest of them.
        up_to: Position,
    },
    /// The sender has changed what a message says.
    Edit {
        /// Where the message is.
        conversation: Conversation,
        /// Which message.
        message: MessageId,
        /// What it says from now on.
        content: Content,
        /// When it was changed.
        edited_at: Timestamp,
    },
    /// The sender has deleted a message for everyone.
    Delete {
        /// Where the message is.
        conversation: Conversation,
        /// Which message.
        message: MessageId,
        /// When it was deleted.
        at: Timestamp,
    },
    /// A user has hidden a message for themselves.
    Hide {
        /// Where the message is.
        conversation: Conversation,
        /// Which message.
        message: MessageId,
        /// Who hid it.
        user: UserId,
    },
    /// A group is gone, and with it all its messages accepted so far.
    PurgeGroup(GroupId),
}

impl Op {
    /// The conversation that the op changes.
    pub fn conversation(&self) -> Conversation {
        match self {
            Self::Send(message) => message.conversation(),
            Self::Read { conversation, .. }
            | Self::Edit { conversation, .. }
            | Self::Delete { conversation, .. }
            | Self::Hide { conversation, .. } => conversation.clone(),
            Self::PurgeGroup(group) => Conversation::Group(*group),
        }
    }

    /// Bytes that the op holds in memory, to within its fixed fields.
    pub fn weight(&self) -> usize {
        /// An op without content: ids, names and the slot around them.
        const FIXED_BYTES: usize = 256;
        match self {
            Self::Send(message) => message.weight(),
            Self::Edit { content, .. } => FIXED_BYTES + content.memory(),
            Self::Read { messages, .. } => FIXED_BYTES + messages.len() * size_of::<MessageId>(),
            Self::Delete { .. } | Self::Hide { .. } | Self::PurgeGroup(_) => FIXED_BYTES,
        }
    }

    /// Does to one message what the op says, in memory; `None` is a message that is not there.
    /// An op that is about other messages changes nothing.
    pub fn apply(&self, message: Option<Message>) -> Option<Message> {
        match self {
            Self::Send(sent) => match message {
                None => Some(Message::clone(sent)),
                stored => stored,
            },
            Self::PurgeGroup(group) => {
                message.filter(|m| m.conversation() != Conversation::Group(*group))
            }
            Self::Delete { message: id, .. } => message.filter(|m| m.id != *id),
            Self::Read { messages, reader, .. } => message.map(|mut m| {
                if messages.contains(&m.id) {
                    m.mark_read(reader);
                }
                m
            }),
            Self::Edit { message: id, content, edited_at, .. } => message.map(|mut m| {
                if m.id == *id {
                    m.edit(content, *edited_at);
                }
                m
            }),
            Self::Hide { message: id, user, .. } => message.map(|mut m| {
                if m.id == *id && !m.deleted_for.contains(user) {
                    m.deleted_for.push(user.clone());
                }
                m
            }),
        }
    }
}

impl Message {
    /// Replaces the content, unless it was replaced later than `at` already.
    pub fn edit(&mut self, content: &Content, at: Timestamp) {
        if self.edited_at.is_none_or(|last| last <= at) {
            self.content = content.clone();
            self.edited_at = Some(at);
        }
    }

    /// Adds a reader, once, and moves the status on.
    pub fn mark_read(&mut self, reader: &UserId) {
        if !self.read_by.contains(reader) {
            self.read_by.push(reader.clone());
        }
        self.status = super::Status::Read;
    }
}
