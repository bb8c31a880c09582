//! Where messages and groups stay: MongoDB, or the embedded store.
//!
//! Messages are written by [`Store::apply`] alone, which the write buffer calls with folded
//! batches. Groups are written directly, and so are accounts ([`AccountStore`]). Both stores pass one
//! conformance suite (`tests/store`).

mod accounts;
mod changes;
mod fence;
mod guard;
mod indexer;
mod metrics;
pub mod mongo;
mod open;
mod privacy;
mod rooms;
mod search;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    Batch, Block, Chat, ClientId, Conversation, Group, GroupChange, GroupId, GroupSummary,
    Invitation, Message, MessageId, MessageRef, Position, Room, Timestamp, Token, Unread, Until,
    UserId,
};

pub use accounts::{AccountStore, REVOCATION_LIFE, Registered};
pub use changes::{Change, Changes, ChangesQuery};
pub use fence::{BELIEVED_FOR, Fence, FenceCloser, FencedStore};
pub use guard::Guard;
pub use indexer::Indexer;
pub use metrics::PoolCollector;
pub use open::{Stores, open};
pub use privacy::{Anonymised, PrivacyStore, START};
pub use search::{Backlog, Hits, SearchQuery};

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

/// Which part of a conversation a page is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Its end: the newest messages.
    Newest,
    /// The newest of the messages before a place, which need not hold one.
    Before(Position),
    /// The oldest of the messages after a place, which need not hold one.
    After(Position),
}

impl Range {
    /// Whether a message with this place may be on the page.
    pub fn holds(self, place: Position) -> bool {
        match self {
            Self::Newest => true,
            Self::Before(end) => place < end,
            Self::After(start) => place > start,
        }
    }
}

/// Which messages of a conversation are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which conversation.
    pub conversation: Conversation,
    /// Who asks: messages that this user has hidden are left out. Without a viewer none are.
    pub viewer: Option<UserId>,
    /// Which part of it.
    pub range: Range,
    /// How many at the most.
    pub limit: usize,
}

impl HistoryQuery {
    /// Whether the one who asks is to see this message.
    pub fn shows(&self, message: &Message) -> bool {
        self.range.holds(message.position())
            && self.viewer.as_ref().is_none_or(|viewer| !message.is_hidden_for(viewer))
    }
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

/// Replies to one message are counted up to this number.
pub const REPLIES_EXACT_TO: usize = 1_000;

/// A place where messages and groups stay. Every method may be called from many tasks at once,
/// except [`Store::apply`], which has one caller. Dropping a call's future at any point leaves the
/// store consistent.
#[async_trait]
pub trait Store: PrivacyStore + FencedStore {
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

    /// Gives a sender's client id to a message that is about to be accepted, if it has none yet; the
    /// message that has it. A store of one server has nothing to decide.
    async fn claim(
        &self,
        _user: &UserId,
        _client_id: &ClientId,
        id: MessageId,
        _at: Timestamp,
    ) -> Result<MessageId> {
        Ok(id)
    }

    /// When a message was sent, also one that is deleted, as long as that is known: for thirty
    /// days, if it was stored when it was deleted.
    async fn sent_at(&self, id: MessageId) -> Result<Option<Timestamp>>;

    /// A page of a conversation, newest first, ordered by (timestamp, `_id`). One with fewer than
    /// `limit` messages has all there are in its range.
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Message>>;

    /// A page of the replies to a message, which is of the query's conversation; otherwise as
    /// [`Store::history`].
    async fn replies(&self, root: MessageId, query: &HistoryQuery) -> Result<Vec<Message>>;

    /// How many replies these messages have, whoever sees them, those in `except` left out; counted
    /// up to [`REPLIES_EXACT_TO`]. A message without replies may be missing.
    async fn reply_counts(
        &self,
        roots: &[MessageId],
        except: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>>;

    /// The pinned messages of a conversation, the latest pinned first, by the time of the pin and
    /// `_id`.
    async fn pins(&self, conversation: &Conversation, limit: usize) -> Result<Vec<Message>>;

    /// Whether a message has this `media_url`, as it is written. The answer decides what becomes of
    /// a file: it knows of all that this server has stored.
    async fn names_media(&self, url: &str) -> Result<bool>;

    /// What has changed for a user, in the store's own order.
    async fn changes(&self, query: &ChangesQuery) -> Result<Changes>;

    /// A user's conversations, newest first: those whose last message (or whose making, for a group
    /// in which nothing was said) lies before a place, where one is given.
    async fn chats(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Chat>>;

    /// The ids of the groups that a user is in, newest first, up to `limit`.
    async fn group_ids_of(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>>;

    /// What a user has not read, up to and including the place `until`, where given. Direct:
    /// messages to the user (not from the user) whose status is not `read` and that the user has
    /// not hidden. Group: in each group the user is in, messages of others after the user's cursor
    /// (without a cursor: among the newest [`Unread::EXACT_TO`]) that the user has neither read nor
    /// hidden; but nothing of the groups in `except`.
    async fn unread(
        &self,
        user: &UserId,
        until: Option<Position>,
        except: &[GroupId],
    ) -> Result<Unread>;

    /// How far users have read in a group, of those who have read up to a place at least: the
    /// furthest first, up to `limit`.
    async fn readers(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(UserId, Position)>>;

    /// Brings into the search index what batches have changed that [`Store::apply`] has written, in
    /// their order; nothing where that has done so already. When it returns `Ok`, searches find it.
    /// After an error the same batches are brought once more, except for what is refused for good:
    /// then the rest is in the index.
    async fn index(&self, batches: &[Arc<Batch>]) -> Result<()>;

    /// The newest messages that a search wants, of what is in the index. A search that would take
    /// long stops before it has enough of them, and says where.
    async fn search(&self, query: &SearchQuery) -> Result<Hits>;

    /// Brings some hundreds of stored messages into the search index that are not in it: they are
    /// older than the index, or another kind of server has written them. Repeated until there are
    /// no more, and again from time to time, by one [`Indexer`].
    async fn index_backlog(&self) -> Result<Backlog>;

    /// Stores a new group.
    async fn create_group(&self, group: &Group) -> Result<()>;

    /// One group.
    async fn group(&self, id: GroupId) -> Result<Option<Group>>;

    /// Changes a group, its members aside; whether it is there.
    async fn change_group(&self, id: GroupId, change: &GroupChange) -> Result<bool>;

    /// Stores a new invitation.
    async fn create_invitation(&self, invitation: &Invitation) -> Result<()>;

    /// An invitation, also one that does not work any more, for thirty days after its end.
    async fn invitation(&self, token: &Token) -> Result<Option<Invitation>>;

    /// The invitations into a group that still work, the newest first.
    async fn invitations(
        &self,
        group: GroupId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Invitation>>;

    /// Counts one more use of an invitation that still works; whether it did. Of any number at
    /// once, no more are counted than it allows.
    async fn use_invitation(&self, token: &Token, now: Timestamp) -> Result<bool>;

    /// Ends an invitation, unless it has ended before.
    async fn end_invitation(&self, token: &Token, now: Timestamp) -> Result<()>;

    /// A user mutes a group, or, without a time, does so no longer. [`Store::chats`] and
    /// [`Store::changes`] tell of it.
    async fn mute(&self, user: &UserId, group: GroupId, until: Option<Until>) -> Result<()>;

    /// The groups that a user has muted, with those for which that has run out.
    async fn mutes(&self, user: &UserId, limit: usize) -> Result<Vec<(GroupId, Until)>>;

    /// One group without its members.
    async fn group_head(&self, id: GroupId) -> Result<Option<Group>>;

    /// One group with its first members, up to so many, and how many it has.
    async fn group_summary(&self, id: GroupId, members: usize) -> Result<Option<GroupSummary>>;

    /// The groups a user is in, newest first.
    async fn groups_of(&self, user: &UserId, limit: usize) -> Result<Vec<Group>>;

    /// Groups whose name contains a text, any case, newest first; where somebody looks, those that
    /// are public or that `viewer` is in. The text is never a pattern.
    async fn search_groups(
        &self,
        text: &str,
        viewer: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Group>>;

    /// The groups that are public and those that `viewer` is in, newest first by the time they were
    /// made and their id; those before such a place, where one is given.
    async fn rooms(
        &self,
        viewer: &UserId,
        before: Option<(Timestamp, GroupId)>,
        limit: usize,
    ) -> Result<Vec<Room>>;

    /// Makes a user a member.
    async fn add_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange>;

    /// Takes a user out of a group, who is no admin of it any more; a silence stays.
    async fn remove_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange>;

    /// Deletes a group and its invitations (not its messages: they go with [`Batch::purges`], in
    /// order); whether it was there.
    async fn delete_group(&self, id: GroupId) -> Result<bool>;

    /// With whom a user has a direct conversation, the user left out, in no order.
    async fn peers(&self, user: &UserId, limit: usize) -> Result<Vec<UserId>>;

    /// The groups that a user is in and that have no more than `members` members, newest first.
    async fn small_groups_of(
        &self,
        user: &UserId,
        members: usize,
        limit: usize,
    ) -> Result<Vec<GroupId>>;

    /// Stores whom a user has blocked; a block that is there stays as it is.
    async fn block(&self, user: &UserId, block: &Block) -> Result<()>;

    /// Takes a block away, where there is one.
    async fn unblock(&self, user: &UserId, other: &UserId) -> Result<()>;

    /// Whom a user has blocked, the last one first, up to `limit`.
    async fn blocks(&self, user: &UserId, limit: usize) -> Result<Vec<Block>>;

    /// Remembers when users were last there; a time that is earlier than the stored one changes
    /// nothing.
    async fn seen(&self, users: &[(UserId, Timestamp)]) -> Result<()>;

    /// When users were last there, in no order; those that never were are left out.
    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Timestamp)>>;

    /// Asks the store how it is.
    async fn health(&self) -> Result<StoreHealth>;

    /// The connection pool, where there is one.
    fn pool(&self) -> Option<PoolGauges>;

    /// Ends connections; no call follows.
    async fn close(&self);
}
