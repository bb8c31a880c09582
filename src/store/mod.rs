//! Where messages and groups stay: MongoDB, or the embedded store.
//!
//! Messages are written by [`Store::apply`] alone, which the write buffer calls with folded
//! batches. Groups are written directly. Both stores pass one conformance suite (`tests/store`).

mod guard;
mod indexer;
mod metrics;
pub mod mongo;
mod open;
mod search;
pub mod sqlite;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    Batch, ClientId, Conversation, Group, GroupId, Message, MessageId, MessageRef, Position,
    Unread, UserId,
};

pub use guard::Guard;
pub use indexer::Indexer;
pub use metrics::PoolCollector;
pub use open::open;
pub use search::{Backlog, SearchQuery};

/// How long a store remembers that a message was deleted: far longer than the message's own insert
/// may be on its way, in the journal or buffer of a server that was down or cut off.
const TOMBSTONE_LIFE: Duration = Duration::from_hours(30 * 24);

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is away, overloaded or between two primaries: the same call may succeed later.
    #[error("the store does not answer: {0}")]
    Transient(#[source] anyhow::Error),
    /// The store will never take this: retrying is pointless.
    #[error("the store refused: {0}")]
    Permanent(#[source] anyhow::Error),
    /// Sign-in or set-up is wrong: it concerns every call, not this one's data.
    #[error("the store is not set up for this server: {0}")]
    Configuration(#[source] anyhow::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing the data. A wrong set-up
    /// counts: an operator can mend it while the data waits.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Permanent(_))
    }
}

/// A shorthand for what stores return.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What a store says of a batch that it has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Messages that were to be changed and are not stored, nor known to be deleted: they may be
    /// on their way through another server.
    pub missing: Vec<MessageId>,
}

/// Which messages of a conversation are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which conversation.
    pub conversation: Conversation,
    /// Who asks: messages that this user has hidden are left out.
    pub viewer: UserId,
    /// Only messages before this place, where given.
    pub before: Option<Position>,
    /// How many at the most.
    pub limit: usize,
}

/// What became of a request to change who is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipChange {
    /// Done.
    Changed,
    /// The user was (or was not) a member already.
    Unchanged,
    /// There is no such group.
    NoGroup,
}

/// What `/health/db` tells of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreHealth {
    /// Messages stored; MongoDB estimates it from its metadata.
    pub messages_count: u64,
    /// Groups stored.
    pub groups_count: u64,
    /// Per collection: index name to its keys as (field, direction), direction 1 or -1.
    pub indexes: BTreeMap<String, BTreeMap<String, Vec<(String, i32)>>>,
    /// How long a ping took.
    pub round_trip: Duration,
}

/// The connections of a store's pool, where it has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolGauges {
    /// Open connections.
    pub open: u64,
    /// Of these, in use.
    pub in_use: u64,
    /// Callers that wait for one.
    pub waiting: u64,
    /// The most that may be open.
    pub max: u64,
}

/// A place where messages and groups stay. Every method may be called from many tasks at once,
/// except [`Store::apply`], which has one caller. Dropping a call's future at any point leaves the
/// store consistent.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What it is and where, for people to read; never a password.
    fn describe(&self) -> String;

    /// When [`Store::apply`] counts a write as stored, in a word: `majority`, a number of servers
    /// (in their memory), or `disk`.
    fn write_concern(&self) -> String;

    /// Makes tables or indexes, where they are not there yet. May be called again.
    async fn prepare(&self) -> Result<()>;

    /// Writes a batch: inserts, changes, deletes, purges, cursors, in this order. When it returns
    /// `Ok`, all of it is as durable as the store is set to make it. After an error any part may
    /// have been written; the same batch is then applied again.
    ///
    /// Batches of several servers may overtake each other, so an insert never brings back what is
    /// deleted (for thirty days), and an edit never replaces a later one ([`Message::edit`]). A
    /// message whose client id its sender has given to another one, stored or deleted, is refused
    /// for good.
    async fn apply(&self, batch: &Batch) -> Result<Applied>;

    /// One message, found by its `_id`, else by the old server's `id`.
    async fn message(&self, id: &MessageRef) -> Result<Option<Message>>;

    /// The message that a user has sent under this client id, also when it is deleted by now.
    async fn sent_as(&self, user: &UserId, client_id: &ClientId) -> Result<Option<MessageId>>;

    /// A page of a conversation, newest first, ordered by (timestamp, `_id`).
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Message>>;

    /// What a user has not read, up to and including the place `until`, where given. Direct:
    /// messages to the user (not from the user) whose status is not `read` and that the user has
    /// not hidden. Group: in each group the user is in, messages of others after the user's cursor
    /// (without a cursor: among the newest [`Unread::EXACT_TO`]) that the user has neither read nor
    /// hidden.
    async fn unread(&self, user: &UserId, until: Option<Position>) -> Result<Unread>;

    /// The newest messages that a search wants, newest first. What [`Store::apply`] has written is
    /// in the index when that returns.
    async fn search(&self, query: &SearchQuery) -> Result<Vec<Message>>;

    /// Brings some hundreds of stored messages into the search index that are not in it: they are
    /// older than the index, or another kind of server has written them. Repeated until there are
    /// no more, and again from time to time, by one [`Indexer`].
    async fn index_backlog(&self) -> Result<Backlog>;

    /// Stores a new group.
    async fn create_group(&self, group: &Group) -> Result<()>;

    /// One group.
    async fn group(&self, id: GroupId) -> Result<Option<Group>>;

    /// The groups a user is in, newest first.
    async fn groups_of(&self, user: &UserId, limit: usize) -> Result<Vec<Group>>;

    /// Groups whose name contains a text, any case, newest first. The text is never a pattern.
    async fn search_groups(&self, text: &str, limit: usize) -> Result<Vec<Group>>;

    /// Makes a user a member.
    async fn add_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange>;

    /// Takes a user out of a group.
    async fn remove_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange>;

    /// Deletes a group (not its messages: they go with [`Batch::purges`], in order); whether it
    /// was there.
    async fn delete_group(&self, id: GroupId) -> Result<bool>;

    /// Asks the store how it is.
    async fn health(&self) -> Result<StoreHealth>;

    /// The connection pool, where there is one.
    fn pool(&self) -> Option<PoolGauges>;

    /// Ends connections; no call follows.
    async fn close(&self);
}
