//! What the write buffer costs, with a store that costs nothing.
//!
//! Measured: everything from `accept` to the receipt and to the store's confirmation (ring, overlay,
//! committer's thread, hand-over to a fan-out that only answers, folding into batches), and the read
//! of a history page while many ops are pending. Not measured: a database, a disk (ops are committed
//! to memory), sockets, JSON. So these figures are a ceiling, and no promise of a server's speed.

#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use banter::buffer::{Buffer, Config, Delivery, Folders};
use banter::clock::SystemClock;
use banter::model::{
    Batch, ClientId, Content, ContentType, Conversation, Group, GroupId, Message, MessageId,
    MessageRef, Op, Position, Status, Target, Timestamp, Unread, UserId,
};
use banter::shutdown::Tasks;
use banter::store::{
    Applied, HistoryQuery, MembershipChange, PoolGauges, Result, Store, StoreError, StoreHealth,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Longer than any measurement: all is stored by then, or something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages of a page, as the HTTP route asks for where the client does not say.
const PAGE: usize = 50;

/// A store that keeps nothing: it confirms every batch at once, or, while it is stuck, none.
#[derive(Default)]
struct NullStore {
    is_stuck: AtomicBool,
}

#[async_trait]
impl Store for NullStore {
    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        std::hint::black_box(batch);
        if self.is_stuck.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
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

    async fn history(&self, _: &HistoryQuery) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn unread(&self, _: &UserId, _: Option<Position>) -> Result<Unread> {
        Ok(Unread::default())
    }

    async fn create_group(&self, _: &Group) -> Result<()> {
        Ok(())
    }

    async fn group(&self, _: GroupId) -> Result<Option<Group>> {
        Ok(None)
    }

    async fn groups_of(&self, _: &UserId, _: usize) -> Result<Vec<Group>> {
        Ok(Vec::new())
    }

    async fn search_groups(&self, _: &str, _: usize) -> Result<Vec<Group>> {
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

    async fn health(&self) -> Result<StoreHealth> {
        Err(StoreError::Permanent(anyhow::anyhow!("nothing to ask")))
    }

    fn pool(&self) -> Option<PoolGauges> {
        None
    }

    async fn close(&self) {}
}

/// A buffer over a [`NullStore`], with a fan-out that only says that it is done.
struct Bench {
    buffer: Buffer,
    store: Arc<NullStore>,
    runtime: Runtime,
    _data: TempDir,
}

impl Bench {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let store = Arc::new(NullStore::default());
        let data = TempDir::new().unwrap();
        let tasks = Tasks::default();
        let (deliveries, mut told) = mpsc::channel::<Delivery>(4_096);
        let config = Config { buffer_capacity: 200_000, ..Config::default() };
        let buffer = runtime.block_on(async {
            tasks.spawn_worker("fan-out", async move {
                while let Some(delivery) = told.recv().await {
                    delivery.done();
                }
            });
            Buffer::start(
                &config,
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

    /// Accepts all ops and waits until the last receipt has resolved: receipts resolve in order.
    fn make_durable(&self, ops: Vec<Op>) {
        let mut last = None;
        for op in ops {
            last = Some(self.buffer.accept(op, None).unwrap());
        }
        self.runtime.block_on(last.unwrap().durable()).unwrap();
    }

    fn make_stored(&self) {
        assert!(self.runtime.block_on(self.buffer.flushed(PATIENCE)), "all is stored");
    }
}

fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

fn bob() -> UserId {
    UserId::parse("bob").unwrap()
}

/// New messages from one user to another.
fn sends(count: usize) -> Vec<Op> {
    let (ann, bob) = (ann(), bob());
    let send = |n: usize| {
        Op::Send(Arc::new(Message {
            id: MessageId::mint(),
            old_id: None,
            client_id: None,
            target: Target::User(bob.clone()),
            from: ann.clone(),
            content: Content::Text("A message of ordinary length.".to_owned()),
            content_type: ContentType::Text,
            media_url: None,
            media_metadata: None,
            timestamp: Timestamp(1_769_860_800_000 + n as i64),
            status: Status::Sent,
            read_by: Vec::new(),
            deleted_for: Vec::new(),
            edited_at: None,
        }))
    };
    (0..count).map(send).collect()
}

/// One burst of so many messages on an idle buffer: accepted, durable, stored. Making the messages is
/// left out. For one message alone this is mostly threads that wake each other; for many, the short
/// wait of an adaptive batch for more is in it.
fn write(criterion: &mut Criterion) {
    let bench = Bench::start();
    let mut group = criterion.benchmark_group("accept_to_stored");
    for count in [1, 100, 10_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let run = |ops| {
                bench.make_durable(ops);
                bench.make_stored();
            };
            bencher.iter_batched(|| sends(count), run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A history page of a conversation in which everything so far is pending: the worst case, since
/// ops of other conversations are not looked at.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pending_and_merge");
    for count in [100, 1_000, 10_000, 100_000] {
        let bench = Bench::start();
        bench.store.is_stuck.store(true, Ordering::Relaxed);
        bench.make_durable(sends(count));
        let (viewer, conversation) = (bob(), Conversation::direct(ann(), bob()));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let pending = bench.buffer.pending(&conversation);
                let page = pending.merge(Vec::new(), &viewer, None, PAGE);
                assert_eq!(page.len(), PAGE);
                page
            });
        });
        bench.runtime.shutdown_background();
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    write(&mut criterion);
    read(&mut criterion);
    criterion.final_summary();
}
