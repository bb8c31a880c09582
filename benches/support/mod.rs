//! What the benches of the write buffer share: a store that costs nothing, and a buffer over it.
#![allow(dead_code, reason = "each bench uses the part it needs")]

pub(crate) mod message;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use banter::buffer::{Buffer, Config, Delivery, Folders, SyncMode};
use banter::clock::SystemClock;
use banter::model::{
    Batch, Block, Chat, ClientId, Conversation, Erasure, Group, GroupChange, GroupId, GroupSummary,
    Invitation, Message, MessageId, MessageRef, Op, Position, Room, Target, Timestamp, Token,
    Traces, Unread, Until, UserId,
};
use banter::shutdown::Tasks;
use banter::store::{
    Anonymised, Applied, Backlog, Changes, ChangesQuery, FencedStore, HistoryQuery, Hits,
    MembershipChange, PoolGauges, PrivacyStore, Result, SearchQuery, Store, StoreError,
    StoreHealth,
};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};

use self::message::message;

/// An empty folder on the disk that holds `target/`: a system's temporary folder may be memory.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A store that keeps nothing: it confirms every batch at once, or, while it is stuck, only so many
/// documents as it is allowed.
pub(crate) struct NullStore {
    pub(crate) is_stuck: AtomicBool,
    pub(crate) allowed: Semaphore,
}

impl Default for NullStore {
    fn default() -> Self {
        Self { is_stuck: AtomicBool::default(), allowed: Semaphore::new(0) }
    }
}

#[async_trait]
impl Store for NullStore {
    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        std::hint::black_box(batch);
        if self.is_stuck.load(Ordering::Relaxed) {
            let documents = u32::try_from(batch.len()).unwrap();
            self.allowed.acquire_many(documents).await.unwrap().forget();
        }
        Ok(Applied::default())
    }

    fn describe(&self) -> String {
        "nothing".to_owned()
    }

    fn write_concern(&self) -> String {
        "nothing".to_owned()
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    async fn message(&self, _: &MessageRef) -> Result<Option<Message>> {
        Ok(None)
    }

    async fn sent_as(&self, _: &UserId, _: &ClientId) -> Result<Option<MessageId>> {
        Ok(None)
    }

    async fn sent_at(&self, _: MessageId) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    async fn history(&self, _: &HistoryQuery) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn replies(&self, _: MessageId, _: &HistoryQuery) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn reply_counts(
        &self,
        _: &[MessageId],
        _: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>> {
        Ok(Vec::new())
    }

    async fn pins(&self, _: &Conversation, _: usize) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn names_media(&self, _: &str) -> Result<bool> {
        Ok(false)
    }

    async fn changes(&self, _: &ChangesQuery) -> Result<Changes> {
        Ok(Changes { rows: Vec::new(), settled: 0, latest: 0 })
    }

    async fn chats(&self, _: &UserId, _: Option<Position>, _: usize) -> Result<Vec<Chat>> {
        Ok(Vec::new())
    }

    async fn group_ids_of(&self, _: &UserId, _: usize) -> Result<Vec<GroupId>> {
        Ok(Vec::new())
    }

    async fn unread(&self, _: &UserId, _: Option<Position>, _: &[GroupId]) -> Result<Unread> {
        Ok(Unread::default())
    }

    async fn index(&self, _: &[Arc<Batch>]) -> Result<()> {
        Ok(())
    }

    async fn search(&self, _: &SearchQuery) -> Result<Hits> {
        Ok(Hits::default())
    }

    async fn index_backlog(&self) -> Result<Backlog> {
        Ok(Backlog::default())
    }

    async fn create_group(&self, _: &Group) -> Result<()> {
        Ok(())
    }

    async fn group(&self, _: GroupId) -> Result<Option<Group>> {
        Ok(None)
    }

    async fn change_group(&self, _: GroupId, _: &GroupChange) -> Result<bool> {
        Ok(false)
    }

    async fn create_invitation(&self, _: &Invitation) -> Result<()> {
        Ok(())
    }

    async fn invitation(&self, _: &Token) -> Result<Option<Invitation>> {
        Ok(None)
    }

    async fn invitations(&self, _: GroupId, _: Timestamp, _: usize) -> Result<Vec<Invitation>> {
        Ok(Vec::new())
    }

    async fn use_invitation(&self, _: &Token, _: Timestamp) -> Result<bool> {
        Ok(false)
    }

    async fn end_invitation(&self, _: &Token, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn mute(&self, _: &UserId, _: GroupId, _: Option<Until>) -> Result<()> {
        Ok(())
    }

    async fn mutes(&self, _: &UserId, _: usize) -> Result<Vec<(GroupId, Until)>> {
        Ok(Vec::new())
    }

    async fn group_head(&self, _: GroupId) -> Result<Option<Group>> {
        Ok(None)
    }

    async fn group_summary(&self, _: GroupId, _: usize) -> Result<Option<GroupSummary>> {
        Ok(None)
    }

    async fn groups_of(&self, _: &UserId, _: usize) -> Result<Vec<Group>> {
        Ok(Vec::new())
    }

    async fn search_groups(&self, _: &str, _: Option<&UserId>, _: usize) -> Result<Vec<Group>> {
        Ok(Vec::new())
    }

    async fn rooms(
        &self,
        _: &UserId,
        _: Option<(Timestamp, GroupId)>,
        _: usize,
    ) -> Result<Vec<Room>> {
        Ok(Vec::new())
    }

    async fn add_member(&self, _: GroupId, _: &UserId) -> Result<MembershipChange> {
        Ok(MembershipChange::NoGroup)
    }

    async fn remove_member(&self, _: GroupId, _: &UserId) -> Result<MembershipChange> {
        Ok(MembershipChange::NoGroup)
    }

    async fn delete_group(&self, _: GroupId) -> Result<bool> {
        Ok(false)
    }

    async fn peers(&self, _: &UserId, _: usize) -> Result<Vec<UserId>> {
        Ok(Vec::new())
    }

    async fn readers(&self, _: GroupId, _: Position, _: usize) -> Result<Vec<(UserId, Position)>> {
        Ok(Vec::new())
    }

    async fn small_groups_of(&self, _: &UserId, _: usize, _: usize) -> Result<Vec<GroupId>> {
        Ok(Vec::new())
    }

    async fn block(&self, _: &UserId, _: &Block) -> Result<()> {
        Ok(())
    }

    async fn unblock(&self, _: &UserId, _: &UserId) -> Result<()> {
        Ok(())
    }

    async fn blocks(&self, _: &UserId, _: usize) -> Result<Vec<Block>> {
        Ok(Vec::new())
    }

    async fn seen(&self, _: &[(UserId, Timestamp)]) -> Result<()> {
        Ok(())
    }

    async fn last_seen(&self, _: &[UserId]) -> Result<Vec<(UserId, Timestamp)>> {
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<StoreHealth> {
        Err(StoreError::Permanent(anyhow::anyhow!("nothing to ask")))
    }

    fn pool(&self) -> Option<PoolGauges> {
        None
    }

    async fn close(&self) {}
}

/// A buffer over a [`NullStore`], with a fan-out that only says that it is done.
pub(crate) struct Bench {
    pub(crate) buffer: Buffer,
    pub(crate) store: Arc<NullStore>,
    pub(crate) runtime: Runtime,
    _data: TempDir,
}

impl Bench {
    pub(crate) fn start(journal_sync: SyncMode) -> Self {
        Self::with(&Config { buffer_capacity: 200_000, journal_sync, ..Config::default() })
    }

    pub(crate) fn with(config: &Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let store = Arc::new(NullStore::default());
        let data = folder();
        let tasks = Tasks::default();
        let (deliveries, mut told) = mpsc::channel::<Delivery>(4_096);
        let buffer = runtime.block_on(async {
            tasks.spawn_worker("fan-out", async move {
                while let Some(delivery) = told.recv().await {
                    delivery.done();
                }
            });
            Buffer::start(
                config,
                Arc::<NullStore>::clone(&store),
                Arc::new(SystemClock),
                deliveries,
                Folders::below(data.path()),
                &tasks,
                &mut Registry::default(),
            )
            .unwrap()
        });
        Self { buffer, store, runtime, _data: data }
    }
}

pub(crate) fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

pub(crate) fn bob() -> UserId {
    UserId::parse("bob").unwrap()
}

/// New messages from one user to another.
pub(crate) fn sends(count: usize) -> Vec<Op> {
    sends_in(count, 1)
}

/// New messages to one user from so many others in turns, the first of whom is ann.
pub(crate) fn sends_in(count: usize, conversations: usize) -> Vec<Op> {
    let others = (1..conversations).map(|n| UserId::parse(&format!("user-{n}")).unwrap());
    let senders: Vec<_> = [ann()].into_iter().chain(others).collect();
    let send = |n: usize| {
        let (from, to) = (senders[n % senders.len()].clone(), Target::User(bob()));
        let at = Timestamp(1_769_860_800_000 + n as i64);
        Op::Send(Arc::new(message(from, to, "A message of ordinary length.".to_owned(), at)))
    };
    (0..count).map(send).collect()
}

impl FencedStore for NullStore {}

#[async_trait]
impl PrivacyStore for NullStore {
    async fn group_messages_of(&self, _: &UserId, _: Position, _: usize) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn traces(&self, _: &UserId, _: usize) -> Result<Traces> {
        Ok(Traces::default())
    }

    async fn groups_owned_by(&self, _: &UserId, _: usize) -> Result<Vec<GroupId>> {
        Ok(Vec::new())
    }

    async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure> {
        Ok(erasure.clone())
    }

    async fn erasures(&self, _: usize) -> Result<Vec<Erasure>> {
        Ok(Vec::new())
    }

    async fn anonymise(&self, _: &Erasure, _: Option<MessageId>) -> Result<Anonymised> {
        Ok(Anonymised::default())
    }

    async fn remove_traces(&self, _: &Erasure) -> Result<()> {
        Ok(())
    }

    async fn end_erasure(&self, _: &UserId) -> Result<()> {
        Ok(())
    }
}
