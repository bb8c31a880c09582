//! What has changed, in the store's own order: what catching up is made of.
//!
//! A store gives each document that it writes a *version*, later than all that it has given before.
//! A message is found under its last version alone, as it is now: who has missed three edits is
//! told the outcome of the third.

use crate::model::{
    Conversation, GroupId, Message, MessageId, Place, Position, Timestamp, Until, UserId,
};

/// Which changes are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesQuery {
    /// Whose: those of the user's direct conversations, group memberships and cursors.
    pub user: UserId,
    /// And those of these groups.
    pub groups: Vec<GroupId>,
    /// Only what comes after this place.
    pub after: Place,
    /// How many at the most.
    pub limit: usize,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
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
    /// The user may have entered or left a group: the store's groups say which.
    Membership(GroupId),
    /// A group may be another.
    Group(GroupId),
    /// The user has read in a group.
    Read {
        /// Which group.
        group: GroupId,
        /// Up to where.
        up_to: Position,
    },
    /// The user has muted a group, or does so no longer.
    Mute {
        /// Which group.
        group: GroupId,
        /// Until when, which may be over.
        until: Option<Until>,
    },
}

impl Change {
    /// The group that the user may have entered or left.
    pub fn as_membership(&self) -> Option<GroupId> {
        match self {
            Self::Membership(group) => Some(*group),
            _ => None,
        }
    }

    /// Whether it is one of a group or of who is in it, not of what was said there.
    pub fn is_of_group(&self) -> bool {
        matches!(self, Self::Membership(_) | Self::Group(_))
    }
}

/// Changes, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Each change with its place, the earliest first; fewer than were asked for where these are
    /// all.
    pub rows: Vec<(Place, Change)>,
    /// Up to this version everything that ever will be is there already: who has seen that need not
    /// look again. Later versions may still come in another order than they were given.
    pub settled: u64,
    /// The latest version that the store can have given by now.
    pub latest: u64,
}

/// The first `limit` of rows that come from several sources.
pub(super) fn merged(mut rows: Vec<(Place, Change)>, limit: usize) -> Vec<(Place, Change)> {
    rows.sort_by_key(|(place, _)| *place);
    rows.truncate(limit);
    rows
}
