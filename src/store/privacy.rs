//! What a store does for one user's sake: to hand out what is kept of them, and to erase them.

use async_trait::async_trait;

use super::{Guard, Result};
use crate::model::{
    Conversation, Erasure, GroupId, Message, MessageId, Position, Timestamp, Traces, UserId,
};

/// A place before every message.
pub const START: Position =
    (Timestamp(i64::MIN), MessageId(bson::oid::ObjectId::from_bytes([0; 12])));

/// What one step of [`PrivacyStore::anonymise`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anonymised {
    /// Messages that named the user.
    pub messages: u64,
    /// Where those were, as it was before; some may be there more than once.
    pub conversations: Vec<Conversation>,
    /// From where to go on; none after the last step.
    pub next: Option<MessageId>,
}

/// The part of a store that knows where users are named. Writes may be repeated, and dropping a
/// call's future at any point leaves the store consistent.
#[async_trait]
pub trait PrivacyStore: Send + Sync + 'static {
    /// What a user has said in groups after a place, the oldest first by (timestamp, `_id`). Fewer
    /// than `limit` are all there are.
    async fn group_messages_of(
        &self,
        user: &UserId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Message>>;

    /// What else is kept of a user; of each kind up to `limit`.
    async fn traces(&self, user: &UserId, limit: usize) -> Result<Traces>;

    /// Groups whose owner a user is, member or not, in no order.
    async fn groups_owned_by(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>>;

    /// Notes that a user is being erased. The answer is what is noted: of an erasure that has begun
    /// before, that one.
    async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure>;

    /// Erasures that have begun and not ended, in no order, up to `limit`.
    async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>>;

    /// Puts the alias in the user's place in some hundreds of messages ([`Message::anonymise`]),
    /// those with an id after `after`, and in what deleted ones have left behind; in the search
    /// index, too. A message that has changed has a new version. Notes of the user to themselves are
    /// deleted, and leave nothing behind: see to it that they can't be stored once more.
    async fn anonymise(&self, erasure: &Erasure, after: Option<MessageId>) -> Result<Anonymised>;

    /// Removes blocks in both directions, mutes, read cursors, notes of memberships, when the user
    /// was last there and invitations that the user has made; puts the alias where a group names
    /// the user as who has made it or owns it, and ends silences. Memberships stay.
    async fn remove_traces(&self, erasure: &Erasure) -> Result<()>;

    /// Forgets that a user was erased: all is done.
    async fn end_erasure(&self, user: &UserId) -> Result<()>;
}

#[async_trait]
impl PrivacyStore for Guard {
    async fn group_messages_of(
        &self,
        user: &UserId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Message>> {
        self.ask(self.store.group_messages_of(user, after, limit)).await
    }

    async fn traces(&self, user: &UserId, limit: usize) -> Result<Traces> {
        self.ask(self.store.traces(user, limit)).await
    }

    async fn groups_owned_by(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>> {
        self.ask(self.store.groups_owned_by(user, limit)).await
    }

    async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure> {
        self.ask(self.store.begin_erasure(erasure)).await
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        self.ask(self.store.erasures(limit)).await
    }

    async fn anonymise(&self, erasure: &Erasure, after: Option<MessageId>) -> Result<Anonymised> {
        self.ask(self.store.anonymise(erasure, after)).await
    }

    async fn remove_traces(&self, erasure: &Erasure) -> Result<()> {
        self.ask(self.store.remove_traces(erasure)).await
    }

    async fn end_erasure(&self, user: &UserId) -> Result<()> {
        self.ask(self.store.end_erasure(user)).await
    }
}
