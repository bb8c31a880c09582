//! What nodes tell each other.
//!
//! News are written as JSON. A node leaves aside fields that it does not know, and counts a kind of
//! news that it does not know as missed: so nodes of two versions work together while one replaces
//! the other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::Taken;
use crate::model::{Audience, Conversation, Event, GroupId, Op, Timestamp, UserId};

/// An op that a node has made durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Its number in the node's journal.
    pub sequence: u64,
    /// The op.
    pub op: Arc<Op>,
}

/// An event that a node has told its sockets, for those of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Who is told.
    pub to: Audience,
    /// Of what; `None` is the message that the op beside it has sent.
    pub event: Option<Event>,
}

/// A member who has come or gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Of which group.
    pub group: GroupId,
    /// Who.
    pub user: UserId,
    /// Whether the user is a member from now on.
    pub is_member: bool,
}

/// Who hears of a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Circle {
    /// With whom the user has a conversation, of those who are on other nodes.
    pub peers: Vec<UserId>,
    /// The user's groups whose members hear.
    pub groups: Vec<GroupId>,
}

impl Circle {
    fn len(&self) -> usize {
        self.peers.len() + self.groups.len()
    }
}

/// How a node is, for operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its version.
    pub version: String,
    /// Its `CLUSTER_SHARDS`, which must be the same on all.
    pub shards: u16,
    /// When it was started.
    pub started_at: Timestamp,
    /// Users who have a socket on it.
    pub users: u64,
    /// Ops that it has accepted and the store has not got.
    pub unstored_ops: u64,
    /// The same of other nodes, as far as it has heard.
    pub unstored_elsewhere: u64,
    /// Writes that the store refused.
    pub dead_letters: u64,
    /// How the journal's disk is: `ok`, `full` or `failed`.
    pub journal: String,
    /// How the breaker in front of the store is: `closed` or `open`.
    pub breaker: String,
    /// Whether it has been told to stop.
    pub is_stopping: bool,
}

/// Something that a node tells the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// Something happened, and those on this node were told.
    Done {
        /// The change to a message, if it was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<Written>,
        /// What else was told, and of what the others' sockets have to be told.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        told: Vec<Told>,
    },
    /// The store has confirmed this node's ops up to a number.
    Stored {
        /// The number.
        through: u64,
    },
    /// A member has come or gone.
    Member(Member),
    /// A group is another than it was, in whatever way: what is in memory of it is worth nothing.
    Group(GroupId),
    /// A group's members were these, and are those; it is new or gone where one is empty.
    Regrouped {
        /// Which group.
        group: GroupId,
        /// Who was in it, of those who come or go.
        before: Vec<UserId>,
        /// Who is in it.
        after: Vec<UserId>,
    },
    /// A user has blocked somebody, or no longer does.
    Blocks(UserId),
    /// All of a user is erased.
    Erased(UserId),
    /// What the store says of void tokens has changed.
    Tokens,
    /// A user has a socket on this node.
    Came {
        /// Who.
        user: UserId,
        /// Who is told that the user is online, where nobody was.
        circle: Option<Circle>,
    },
    /// A user has no socket on this node any more.
    Went {
        /// Who.
        user: UserId,
        /// Since when.
        at: Timestamp,
        /// Who is told that the user is offline, where the user is on no other node.
        circle: Option<Circle>,
    },
    /// Who has a socket on this node: the whole list, in parts.
    Here {
        /// Some of them.
        users: Vec<UserId>,
        /// Whether it is the last part: nobody is here but those who were named since the last one.
        is_last: bool,
    },
    /// The others are asked for the whole list of who is there.
    Ask,
    /// What was taken on a node of budgets that all share.
    Taken(Vec<Taken>),
    /// A node is there.
    Beat(NodeReport),
}

impl News {
    /// The stream that it goes into, of so many.
    pub(super) fn shard(&self, shards: usize) -> usize {
        let key = match self {
            Self::Done { written: Some(written), .. } => {
                of_conversation(&written.op.conversation())
            }
            Self::Done { told, .. } => told.first().map_or(0, of_audience),
            Self::Member(Member { group, .. })
            | Self::Group(group)
            | Self::Regrouped { group, .. } => of_group(*group),
            Self::Blocks(user) | Self::Erased(user) => of_user(user),
            // Who comes and goes is told in one order, with the list of who is there.
            Self::Came { .. } | Self::Went { .. } | Self::Here { .. } | Self::Ask => 0,
            Self::Stored { .. } | Self::Tokens | Self::Taken(_) | Self::Beat(_) => 0,
        };
        key as usize % shards
    }

    /// Whether it is of the moment alone: not worth keeping while Redis is away.
    pub(super) fn is_ephemeral(&self) -> bool {
        match self {
            Self::Done { written, told } => {
                let moment = |told: &Told| told.event.as_ref().is_some_and(Event::is_ephemeral);
                written.is_none() && told.iter().all(moment)
            }
            Self::Taken(_) => true,
            _ => false,
        }
    }

    /// Bytes that it holds, about.
    pub(super) fn weight(&self) -> usize {
        /// News without lists, and their place in a queue.
        const FIXED_BYTES: usize = 256;
        /// A user or a group in a list.
        const EACH_BYTES: usize = 48;
        let more = match self {
            Self::Done { written, told } => {
                let op = written.as_ref().map_or(0, |written| written.op.weight());
                op + told.iter().map(weight_of_told).sum::<usize>()
            }
            Self::Taken(taken) => taken.len() * EACH_BYTES,
            Self::Here { users, .. } => users.len() * EACH_BYTES,
            Self::Regrouped { before, after, .. } => (before.len() + after.len()) * EACH_BYTES,
            Self::Came { circle, .. } | Self::Went { circle, .. } => {
                circle.as_ref().map_or(0, Circle::len) * EACH_BYTES
            }
            _ => 0,
        };
        FIXED_BYTES + more
    }
}

fn weight_of_told(told: &Told) -> usize {
    const FIXED_BYTES: usize = 256;
    const EACH_BYTES: usize = 48;
    let to = match &told.to {
        Audience::Users(users) => users.len(),
        Audience::Group(_) | Audience::Others { .. } | Audience::Everybody => 1,
    };
    let content = match &told.event {
        Some(Event::Edited { content, .. }) => content.memory(),
        Some(Event::Read(reading)) => (reading.messages.len() + reading.read_by.len()) * EACH_BYTES,
        Some(Event::Reacted { reactions, .. }) => reactions.len() * 2 * EACH_BYTES,
        Some(Event::Sent(message)) => message.weight(),
        _ => 0,
    };
    FIXED_BYTES + to * EACH_BYTES + content
}

fn of_audience(told: &Told) -> u32 {
    match (&told.event, &told.to) {
        // It must not overtake what was said in the group, nor the word of who left it.
        (Some(Event::Left { group }), _) => of_group(*group),
        (_, Audience::Group(group) | Audience::Others { group, .. }) => of_group(*group),
        (_, Audience::Users(users)) => users.first().map_or(0, of_user),
        (_, Audience::Everybody) => 0,
    }
}

fn of_conversation(conversation: &Conversation) -> u32 {
    match conversation {
        Conversation::Group(group) => of_group(*group),
        Conversation::Direct(a, b) => of_user(a) ^ of_user(b).rotate_left(1),
    }
}

fn of_group(group: GroupId) -> u32 {
    crc32c::crc32c(&group.0.bytes())
}

fn of_user(user: &UserId) -> u32 {
    crc32c::crc32c(user.as_str().as_bytes())
}
