//! Keeps callers from queueing up at a store that does not answer.
//!
//! While a database is away, each call to it takes seconds to fail, and one socket's events act one
//! after the other: a client that marks fifty old messages as read would wait for minutes until its
//! next message is even looked at. So after a few failures in a row, calls fail at once for a
//! moment; then the store is asked again. The flusher, which has a breaker of its own, and health
//! checks always pass, and what becomes of them counts here too.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Applied, Backlog, Changes, ChangesQuery, HistoryQuery, Hits, MembershipChange, PoolGauges,
    Result, SearchQuery, Store, StoreError, StoreHealth,
};
use crate::model::{
    Batch, Block, Chat, ClientId, Conversation, Group, GroupChange, GroupId, GroupSummary,
    Invitation, Message, MessageId, MessageRef, Position, Room, Timestamp, Token, Unread, Until,
    UserId,
};

/// Failures in a row after which the store counts as away. One alone may be a single slow query.
const FAILURES: u32 = 3;

/// How long the store is left alone then: about half of what one call to a database that is away
/// takes, so that one that is back is found soon.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Silence {
    failures: u32,
    last: Option<Instant>,
}

/// A store that is not asked again at once when it has just not answered.
pub struct Guard {
    pub(super) store: Arc<dyn Store>,
    silence: Mutex<Silence>,
}

impl Guard {
    /// Stands in front of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, silence: Mutex::default() }
    }

    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if self.is_silent() {
            return Err(StoreError::Transient(anyhow!("it has just not answered several times")));
        }
        self.try_it(question).await
    }

    /// Asks in any case, and remembers whether there was an answer.
    async fn try_it<T>(&self, question: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let answer = question.await;
        let mut silence = self.silence.lock();
        if matches!(answer, Err(StoreError::Transient(_))) {
            silence.failures = silence.failures.saturating_add(1);
            silence.last = Some(Instant::now());
        } else {
            *silence = Silence::default();
        }
        answer
    }

    fn is_silent(&self) -> bool {
        let silence = self.silence.lock();
        silence.failures >= FAILURES && silence.last.is_some_and(|last| last.elapsed() < PAUSE)
    }
}

#[async_trait]
impl Store for Guard {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn write_concern(&self) -> String {
        self.store.write_concern()
    }

    async fn prepare(&self) -> Result<()> {
        self.store.prepare().await
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        self.try_it(self.store.apply(batch)).await
    }

    async fn index(&self, batches: &[Arc<Batch>]) -> Result<()> {
        self.try_it(self.store.index(batches)).await
    }

    async fn message(&self, id: &MessageRef) -> Result<Option<Message>> {
        self.ask(self.store.message(id)).await
    }

    async fn sent_as(&self, user: &UserId, client_id: &ClientId) -> Result<Option<MessageId>> {
        self.ask(self.store.sent_as(user, client_id)).await
    }

    async fn claim(
        &self,
        user: &UserId,
        client_id: &ClientId,
        id: MessageId,
        at: Timestamp,
    ) -> Result<MessageId> {
        self.ask(self.store.claim(user, client_id, id, at)).await
    }

    async fn sent_at(&self, id: MessageId) -> Result<Option<Timestamp>> {
        self.ask(self.store.sent_at(id)).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Message>> {
        self.ask(self.store.history(query)).await
    }

    async fn replies(&self, root: MessageId, query: &HistoryQuery) -> Result<Vec<Message>> {
        self.ask(self.store.replies(root, query)).await
    }

    async fn reply_counts(
        &self,
        roots: &[MessageId],
        except: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>> {
        self.ask(self.store.reply_counts(roots, except)).await
    }

    async fn pins(&self, conversation: &Conversation, limit: usize) -> Result<Vec<Message>> {
        self.ask(self.store.pins(conversation, limit)).await
    }

    async fn names_media(&self, url: &str) -> Result<bool> {
        self.ask(self.store.names_media(url)).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.ask(self.store.changes(query)).await
    }

    async fn chats(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Chat>> {
        self.ask(self.store.chats(user, before, limit)).await
    }

    async fn group_ids_of(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>> {
        self.ask(self.store.group_ids_of(user, limit)).await
    }

    async fn unread(
        &self,
        user: &UserId,
        until: Option<Position>,
        except: &[GroupId],
    ) -> Result<Unread> {
        self.ask(self.store.unread(user, until, except)).await
    }

    async fn change_group(&self, id: GroupId, change: &GroupChange) -> Result<bool> {
        self.ask(self.store.change_group(id, change)).await
    }

    async fn create_invitation(&self, invitation: &Invitation) -> Result<()> {
        self.ask(self.store.create_invitation(invitation)).await
    }

    async fn invitation(&self, token: &Token) -> Result<Option<Invitation>> {
        self.ask(self.store.invitation(token)).await
    }

    async fn invitations(
        &self,
        group: GroupId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Invitation>> {
        self.ask(self.store.invitations(group, now, limit)).await
    }

    async fn use_invitation(&self, token: &Token, now: Timestamp) -> Result<bool> {
        self.ask(self.store.use_invitation(token, now)).await
    }

    async fn end_invitation(&self, token: &Token, now: Timestamp) -> Result<()> {
        self.ask(self.store.end_invitation(token, now)).await
    }

    async fn mute(&self, user: &UserId, group: GroupId, until: Option<Until>) -> Result<()> {
        self.ask(self.store.mute(user, group, until)).await
    }

    async fn mutes(&self, user: &UserId, limit: usize) -> Result<Vec<(GroupId, Until)>> {
        self.ask(self.store.mutes(user, limit)).await
    }

    async fn readers(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(UserId, Position)>> {
        self.ask(self.store.readers(group, from, limit)).await
    }

    async fn search(&self, query: &SearchQuery) -> Result<Hits> {
        self.ask(self.store.search(query)).await
    }

    async fn index_backlog(&self) -> Result<Backlog> {
        self.ask(self.store.index_backlog()).await
    }

    async fn create_group(&self, group: &Group) -> Result<()> {
        self.ask(self.store.create_group(group)).await
    }

    async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        self.ask(self.store.group(id)).await
    }

    async fn group_head(&self, id: GroupId) -> Result<Option<Group>> {
        self.ask(self.store.group_head(id)).await
    }

    async fn group_summary(&self, id: GroupId, members: usize) -> Result<Option<GroupSummary>> {
        self.ask(self.store.group_summary(id, members)).await
    }

    async fn groups_of(&self, user: &UserId, limit: usize) -> Result<Vec<Group>> {
        self.ask(self.store.groups_of(user, limit)).await
    }

    async fn search_groups(
        &self,
        text: &str,
        member: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Group>> {
        self.ask(self.store.search_groups(text, member, limit)).await
    }

    async fn rooms(
        &self,
        viewer: &UserId,
        before: Option<(Timestamp, GroupId)>,
        limit: usize,
    ) -> Result<Vec<Room>> {
        self.ask(self.store.rooms(viewer, before, limit)).await
    }

    async fn add_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange> {
        self.ask(self.store.add_member(group, user)).await
    }

    async fn remove_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange> {
        self.ask(self.store.remove_member(group, user)).await
    }

    async fn delete_group(&self, id: GroupId) -> Result<bool> {
        self.ask(self.store.delete_group(id)).await
    }

    async fn peers(&self, user: &UserId, limit: usize) -> Result<Vec<UserId>> {
        self.ask(self.store.peers(user, limit)).await
    }

    async fn small_groups_of(
        &self,
        user: &UserId,
        members: usize,
        limit: usize,
    ) -> Result<Vec<GroupId>> {
        self.ask(self.store.small_groups_of(user, members, limit)).await
    }

    async fn block(&self, user: &UserId, block: &Block) -> Result<()> {
        self.ask(self.store.block(user, block)).await
    }

    async fn unblock(&self, user: &UserId, other: &UserId) -> Result<()> {
        self.ask(self.store.unblock(user, other)).await
    }

    async fn blocks(&self, user: &UserId, limit: usize) -> Result<Vec<Block>> {
        self.ask(self.store.blocks(user, limit)).await
    }

    async fn seen(&self, users: &[(UserId, Timestamp)]) -> Result<()> {
        self.ask(self.store.seen(users)).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Timestamp)>> {
        self.ask(self.store.last_seen(users)).await
    }

    async fn health(&self) -> Result<StoreHealth> {
        self.try_it(self.store.health()).await
    }

    fn pool(&self) -> Option<PoolGauges> {
        self.store.pool()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    fn guard(folder: &tempfile::TempDir) -> Guard {
        Guard::new(Arc::new(SqliteStore::open(&folder.path().join("banter.db")).unwrap()))
    }

    async fn fail(guard: &Guard) -> bool {
        let mut was_asked = false;
        let question = async {
            was_asked = true;
            Err::<(), _>(StoreError::Transient(anyhow!("away")))
        };
        guard.ask(question).await.unwrap_err();
        was_asked
    }

    async fn succeed(guard: &Guard) -> bool {
        guard.ask(async { Ok(()) }).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_again_and_again_is_left_alone_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let guard = guard(&folder);
        for _ in 0..FAILURES {
            assert!(fail(&guard).await);
        }
        assert!(!fail(&guard).await, "it is not even asked");
        tokio::time::advance(PAUSE).await;
        assert!(fail(&guard).await, "after the pause it is asked again");
        assert!(!succeed(&guard).await, "and one more failure is enough");
        tokio::time::advance(PAUSE).await;
        assert!(succeed(&guard).await);
        assert!(fail(&guard).await && succeed(&guard).await, "back, it has credit again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_stored_ends_the_silence() {
        let folder = tempfile::tempdir().unwrap();
        let guard = guard(&folder);
        guard.prepare().await.unwrap();
        for _ in 0..FAILURES {
            fail(&guard).await;
        }
        guard.apply(&Batch::default()).await.unwrap();
        assert!(succeed(&guard).await);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_between_answers_are_no_silence() {
        let folder = tempfile::tempdir().unwrap();
        let guard = guard(&folder);
        for _ in 0..10 * FAILURES {
            assert!(fail(&guard).await);
            assert!(succeed(&guard).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let guard = guard(&folder);
        for _ in 0..2 * FAILURES {
            let refusal = async { Err::<(), _>(StoreError::Permanent(anyhow!("no"))) };
            let refusal = guard.ask(refusal).await;
            assert!(matches!(refusal, Err(StoreError::Permanent(_))));
        }
    }
}
