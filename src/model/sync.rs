//! What a client that was away is told.

use super::{
    Conversation, GroupId, GroupSummary, Message, MessageId, Position, SyncCursor, Timestamp, Until,
};

/// A conversation as a list of chats shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// Which conversation.
    pub conversation: Conversation,
    /// The place of its last message, or of the group's making: lists are in this order.
    pub place: Position,
    /// Its last message that the user may see.
    pub last: Option<Message>,
    /// What the user has not read, exact up to [`super::Unread::EXACT_TO`].
    pub unread: u64,
    /// The group, for a group's conversation.
    pub group: Option<GroupSummary>,
    /// Until when the user has muted the group; of one that has run out, until when it was.
    pub muted: Option<Until>,
}

/// One thing that a user has missed.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A message is new or is another; this is how it is now.
    Message(Box<Message>),
    /// A message is gone for everyone.
    Deleted {
        /// Which message.
        message: MessageId,
        /// Where it was.
        conversation: Conversation,
        /// When it was deleted.
        at: Timestamp,
    },
    /// A message is hidden for this user.
    Hidden(MessageId),
    /// The user has entered this group. While the user was not in it nothing of it was told, so
    /// what a device has of it counts no more.
    Joined {
        /// The group.
        group: Box<GroupSummary>,
        /// Until when the user has muted it, perhaps when last in it.
        muted: Option<Until>,
    },
    /// A group that the user is in is another; this is how it is now.
    Group(Box<GroupSummary>),
    /// The user is in this group no more, or it is gone.
    Left(GroupId),
    /// The user has read in a group, on this device or another one.
    Read {
        /// Which group.
        group: GroupId,
        /// Up to which message.
        up_to: MessageId,
    },
    /// The user has muted a group until then, or, where there is nothing, not any more.
    Muted {
        /// Which group.
        group: GroupId,
        /// For how long.
        until: Option<Until>,
    },
}

/// A page of what a user has missed.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncPage {
    /// For who has nothing yet: the user's conversations, newest first.
    pub chats: Option<Vec<Chat>>,
    /// What has changed, in order.
    pub news: Vec<News>,
    /// What to ask with next.
    pub cursor: SyncCursor,
    /// Whether more can be had now.
    pub more: bool,
    /// Whether this is all there is. When the store is away or far behind it may not be: the user's
    /// sockets are told to ask again when it is.
    pub complete: bool,
}
