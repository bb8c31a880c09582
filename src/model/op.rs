//! The operations that change messages; each goes through the write buffer, in order.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::{
    Content, Conversation, GroupId, Message, MessageId, Pin, Position, Reaction, Revision, Status,
    Timestamp, UserId,
};

/// One change, complete in itself: applying it twice equals applying it once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// A new message.
    Send(Arc<Message>),
    /// A user has read messages of one conversation.
    Read {
        /// Where the messages are.
        conversation: Conversation,
        /// Which were read. In a large group those that have enough readers are left out, so that
        /// there may be none: then the reader's place moves, and nothing else.
        messages: Vec<MessageId>,
        /// Who read them.
        reader: UserId,
        /// The place of the newest of them.
        up_to: Position,
    },
    /// Messages have come to a device of one of their recipients.
    Deliver {
        /// Where the messages are.
        conversation: Conversation,
        /// Which have come; at least one.
        messages: Vec<MessageId>,
    },
    /// A user has put an emoji on a message, or taken it back.
    React {
        /// Where the message is.
        conversation: Conversation,
        /// Which message.
        message: MessageId,
        /// Whose emoji, and which.
        reaction: Reaction,
        /// Whether it is there from now on.
        on: bool,
    },
    /// A user has pinned a message in its conversation, or unpinned it.
    Pin {
        /// Where the message is.
        conversation: Conversation,
        /// Which message.
        message: MessageId,
        /// What became of it.
        pin: Pin,
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
            | Self::Deliver { conversation, .. }
            | Self::React { conversation, .. }
            | Self::Pin { conversation, .. }
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
            Self::Read { messages, .. } | Self::Deliver { messages, .. } => {
                FIXED_BYTES + messages.len() * size_of::<MessageId>()
            }
            Self::React { .. }
            | Self::Pin { .. }
            | Self::Delete { .. }
            | Self::Hide { .. }
            | Self::PurgeGroup(_) => FIXED_BYTES,
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
            _ => message.map(|mut message| {
                self.change(&mut message);
                message
            }),
        }
    }

    /// Does to a message what a change says, where it is about this message.
    fn change(&self, target: &mut Message) {
        match self {
            Self::Read { messages, reader, .. } if messages.contains(&target.id) => {
                target.mark_read(reader);
            }
            Self::Deliver { messages, .. } if messages.contains(&target.id) => {
                target.mark_delivered();
            }
            Self::React { message, reaction, on, .. } if *message == target.id => {
                target.react(reaction, *on);
            }
            Self::Pin { message, pin, .. } if *message == target.id => target.set_pin(pin),
            Self::Edit { message, content, edited_at, .. } if *message == target.id => {
                target.edit(content, *edited_at);
            }
            Self::Hide { message, user, .. } if *message == target.id => target.hide_for(user),
            _ => {}
        }
    }
}

impl Message {
    /// Replaces the content, unless it was replaced later than `at` already. What it said before is
    /// kept; the same edit once more replaces nothing else.
    pub fn edit(&mut self, content: &Content, at: Timestamp) {
        if self.edited_at.is_some_and(|last| last > at) {
            return;
        }
        let before = std::mem::replace(&mut self.content, content.clone());
        if self.edited_at != Some(at) {
            let since = self.edited_at.unwrap_or(self.timestamp);
            self.revisions.push(Revision { content: before, at: since });
            let excess = self.revisions.len().saturating_sub(Self::MAX_REVISIONS);
            self.revisions.drain(..excess);
        }
        self.edited_at = Some(at);
    }

    /// Adds a reader, once, and moves the status on.
    pub fn mark_read(&mut self, reader: &UserId) {
        if !self.read_by.contains(reader) {
            self.read_by.push(reader.clone());
        }
        self.status = Status::Read;
    }

    /// Moves the status on to delivered, unless it is further.
    pub fn mark_delivered(&mut self) {
        self.status = self.status.max(Status::Delivered);
    }

    /// Puts a reaction behind all others, or takes it away.
    pub fn react(&mut self, reaction: &Reaction, on: bool) {
        self.reactions.retain(|there| there != reaction);
        if on {
            self.reactions.push(reaction.clone());
        }
    }

    /// Pins or unpins, unless there is a later word on that.
    pub fn set_pin(&mut self, pin: &Pin) {
        if self.pin.as_ref().is_none_or(|last| last.at <= pin.at) {
            self.pin = Some(pin.clone());
        }
    }

    /// Hides the message for one user.
    pub fn hide_for(&mut self, user: &UserId) {
        if !self.deleted_for.contains(user) {
            self.deleted_for.push(user.clone());
        }
    }
}
