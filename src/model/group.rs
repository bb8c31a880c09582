//! Groups, and what a user has not read.

use super::{GroupId, Timestamp, UserId};

/// A group of users who share a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its `_id`.
    pub id: GroupId,
    /// Its name, as shown.
    pub name: String,
    /// Its members, each once, in the order in which they joined.
    pub members: Vec<UserId>,
    /// Who made it; may remove members, can't leave.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Group {
    /// Whether the user is a member.
    pub fn has(&self, user: &UserId) -> bool {
        self.members.contains(user)
    }
}

/// A group without all its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    /// The group, with its first members.
    pub group: Group,
    /// How many members it has.
    pub member_count: usize,
}

impl GroupSummary {
    /// Members that a list of groups names: with all of those of large groups it would be megabytes
    /// long.
    pub const MEMBERS_SHOWN: usize = 256;
}

/// How many messages a user has not read, each number exact up to [`Unread::EXACT_TO`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread {
    /// Direct messages.
    pub direct: u64,
    /// Messages of groups that the user is in.
    pub group: u64,
}

impl Unread {
    /// Counting stops here per kind (direct) and per group, so that its cost has a bound.
    pub const EXACT_TO: u64 = 1_000;
}
