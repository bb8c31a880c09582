//! The buffer as a whole, with its real thread and task, over a store that behaves as it is told.
//!
//! Waits have a limit only so that a broken buffer fails a test rather than hang it. Where time is
//! paused, everything accepted is committed by [`Bed::commit`] first: the committer is a real
//! thread, which paused time does not wait for.

mod attached;
mod disk;
mod indexing;
mod model;
mod outage;
mod reading;
mod simulation;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::journal::sim::SimFs;
use super::journal::{Journal, Limits};
use super::testing::{FakeStore, Mood, id_of, sent, text};
use super::{
    Buffer, CLOSE_LIMIT, Config, DeadLetter, DeadLetters, Delivery, Receipt, Start, entry,
};
use crate::clock::MockClock;
use crate::error::ErrorCode;
use crate::model::{Message, Op, Timestamp};
use crate::shutdown::Tasks;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A buffer over a fake store.
struct Bed {
    buffer: Buffer,
    store: Arc<FakeStore>,
    tasks: Tasks,
    registry: Registry,
    directory: TempDir,
}

fn config() -> Config {
    Config { breaker_open: Duration::from_millis(20), ..Config::default() }
}

impl Bed {
    /// Without a fan-out: receipts resolve as soon as the op is committed.
    fn new(config: &Config, mood: Mood) -> Self {
        let (deliveries, _) = mpsc::channel(1);
        Self::with_fan_out(config, mood, deliveries)
    }

    fn with_fan_out(config: &Config, mood: Mood, deliveries: mpsc::Sender<Delivery>) -> Self {
        Self::on(&SimFs::new(0), config, mood, deliveries)
    }

    /// On a disk that may hold a journal already.
    fn on(fs: &SimFs, config: &Config, mood: Mood, deliveries: mpsc::Sender<Delivery>) -> Self {
        let (store, tasks) = (FakeStore::new(mood), Tasks::default());
        let (mut registry, directory) = (Registry::default(), TempDir::new().expect("a directory"));
        let clock = MockClock::default();
        clock.set(1_234);
        let opened = Journal::open(Arc::new(fs.clone()), Limits::default(), config.journal_sync);
        let start = Start {
            config,
            store: store.clone(),
            clock: Arc::new(clock),
            deliveries,
            dead_letters: directory.path().join("dead-letter"),
            tasks: &tasks,
            registry: &mut registry,
        };
        let buffer = start.on(opened.expect("a journal")).expect("started");
        Self { buffer, store, tasks, registry, directory }
    }

    fn accept(&self, op: &Op) -> Receipt {
        self.buffer.accept(op.clone(), None).expect("accepted")
    }

    /// Accepts ops and waits until the last one, and with it all, is committed. A paused clock
    /// stands meanwhile, as a blocking task is at work: else it would jump from one timer of the
    /// flusher to the next until the committer's thread gets its turn.
    async fn commit(&self, ops: &[Op]) {
        let mut receipts: Vec<_> = ops.iter().map(|op| self.accept(op)).collect();
        let (last, runtime) = (receipts.pop().expect("an op"), Handle::current());
        let committed = spawn_blocking(move || runtime.block_on(last.durable()));
        committed.await.expect("no panic").expect("durable");
    }

    async fn flush(&self) {
        assert!(self.buffer.flushed(LIMIT).await, "not stored: {:?}", self.buffer.stats());
    }

    async fn message(&self, op: &Op) -> Option<Message> {
        self.buffer.message(&id_of(op).into()).await.expect("the store answers")
    }

    /// The dead letters as they are on disk.
    fn dead_letters(&self) -> Vec<DeadLetter> {
        let letters = DeadLetters::new(self.directory.path().join("dead-letter"));
        let files = letters.list().expect("listed");
        files.iter().map(|file| file.read().expect("a letter")).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Ends the committer's thread.
        let state = &mut *self.buffer.shared.lock();
        state.stopping = true;
        self.buffer.shared.accepted.notify_one();
    }
}

fn texts(count: usize) -> Vec<Op> {
    (0..count).map(|n| text(&n.to_string())).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_flushes_within_50_ms() {
    let bed = Bed::new(&config(), Mood::Slow(Duration::from_millis(10)));
    for _ in 0..3 {
        bed.commit(&texts(1)).await;
        let committed = Instant::now();
        bed.flush().await;
        assert!(committed.elapsed() < Duration::from_millis(50), "{:?}", committed.elapsed());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(bed.buffer.stats().successful_flushes, 3);
}

#[tokio::test]
async fn the_batch_size_climbs_under_load_with_a_fast_store() {
    let bed = Bed::new(&config(), Mood::Stuck);
    bed.commit(&texts(2_000)).await;
    bed.store.set(Mood::Fast);
    bed.flush().await;
    let stats = bed.buffer.stats();
    // 25 + 50 + 75 + ... reaches 2,000 within 13 batches.
    assert!(stats.current_batch_size >= 300, "{stats:?}");
    assert!(stats.successful_flushes <= 14, "{stats:?}");
    assert_eq!((stats.failed_flushes, bed.store.state().model.messages.len()), (0, 2_000));
}

#[tokio::test(start_paused = true)]
async fn the_batch_size_halves_on_a_slow_store() {
    let config = Config { batch_size: 400, ..config() };
    let bed = Bed::new(&config, Mood::Slow(Duration::from_secs(2)));
    bed.commit(&texts(1)).await;
    bed.flush().await;
    assert_eq!(bed.buffer.stats().current_batch_size, 200);
    bed.commit(&texts(1)).await;
    bed.flush().await;
    assert_eq!(bed.buffer.stats().current_batch_size, 100);
}

#[tokio::test]
async fn the_batch_size_halves_on_a_failing_store() {
    let config = Config { batch_size: 400, max_retries: 0, breaker_failures: 1, ..config() };
    let config = Config { breaker_open: LIMIT, ..config };
    let bed = Bed::new(&config, Mood::Away);
    bed.commit(&texts(1)).await;
    until("a failure", || bed.buffer.stats().failed_flushes == 1).await;
    assert_eq!(bed.buffer.stats().current_batch_size, 200);
}

#[tokio::test]
async fn a_full_buffer_refuses_and_recovers() {
    let full = |bed: &Bed, op: Op| {
        let refused = bed.buffer.accept(op, None).expect_err("full");
        assert_eq!(refused.code(), ErrorCode::BufferFull);
    };
    let bed = Bed::new(&Config { buffer_capacity: 3, ..config() }, Mood::Stuck);
    bed.commit(&texts(3)).await;
    full(&bed, text("x"));
    bed.store.set(Mood::Fast);
    bed.flush().await;
    bed.commit(&texts(3)).await;

    // Until it is committed, an op is also there as the journal writes it.
    let one = sent(&text("x")).weight() + entry(&text("x")).expect("an entry").body.len();
    let bed = Bed::new(&Config { buffer_bytes: 2 * one, ..config() }, Mood::Stuck);
    bed.commit(&texts(2)).await;
    full(&bed, text("x"));
    bed.store.set(Mood::Fast);
    bed.flush().await;
    bed.commit(&texts(2)).await;
    assert_eq!(bed.buffer.stats().total_messages, 4);
}

#[tokio::test]
async fn receipts_resolve_in_order_and_only_after_the_fan_out() {
    let (deliveries, mut fan_out) = mpsc::channel(4);
    let bed = Bed::with_fan_out(&config(), Mood::Fast, deliveries);
    let mut receipts: Vec<_> = texts(20).iter().map(|op| bed.accept(op)).collect();
    for expected in 1..=20 {
        let delivery = fan_out.recv().await.expect("one per op");
        assert_eq!(delivery.sequence, expected);
        let mut receipt = receipts.remove(0);
        assert!(receipt.0.try_recv().is_err(), "not before the fan-out is done");
        delivery.done();
        assert_eq!(receipt.durable().await.expect("durable"), expected);
    }
}

#[tokio::test]
async fn close_stores_what_is_there_and_refuses_what_comes() {
    let bed = Bed::new(&config(), Mood::Fast);
    texts(500).iter().for_each(|op| drop(bed.accept(op)));
    bed.buffer.refuse();
    let refused = bed.buffer.accept(text("late"), None).expect_err("refused");
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    timeout(LIMIT, bed.buffer.drained()).await.expect("drained");
    assert_eq!(bed.buffer.close().await, 0);
    assert_eq!(bed.store.state().model.messages.len(), 500);
    timeout(LIMIT, bed.tasks.ended()).await.expect("no task is left behind");
}

#[tokio::test]
async fn close_does_not_wait_for_a_store_that_is_away() {
    let config = Config { breaker_open: LIMIT * 2, ..config() };
    let bed = Bed::new(&config, Mood::Away);
    bed.commit(&texts(7)).await;
    until("the breaker opens", || bed.buffer.stats().breaker_open).await;
    let at_once = timeout(CLOSE_LIMIT / 2, bed.buffer.close()).await;
    assert_eq!(at_once.expect("not only at the limit"), 7);

    // Not a breaker but a call that hangs.
    let bed = Bed::new(&config, Mood::Stuck);
    bed.commit(&texts(7)).await;
    // No time-out around it: paused time would not wait for the committer's thread to end.
    tokio::time::pause();
    assert_eq!(bed.buffer.close().await, 7);
}

#[tokio::test]
async fn a_crash_of_the_committer_stops_the_server_and_the_accepting() {
    let bed = Bed::new(&config(), Mood::Stuck);
    // A broken invariant, made by hand.
    bed.buffer.shared.lock().ring.break_for_tests();
    bed.buffer.shared.accepted.notify_one();
    timeout(LIMIT, bed.tasks.failed()).await.expect("the server is told");
    let refused = bed.buffer.accept(text("b"), None).expect_err("refused");
    assert_eq!(refused.code(), ErrorCode::Unavailable);
}

#[tokio::test]
async fn metrics_and_stats_are_the_same_figures() {
    let bed = Bed::new(&config(), Mood::Fast);
    bed.commit(&texts(3)).await;
    bed.flush().await;
    bed.store.set(Mood::Stuck);
    bed.commit(&[text("a"), text("b")]).await;
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &bed.registry).expect("encoded");
    let stats = bed.buffer.stats();
    assert_eq!(stats.last_flush, Some(Timestamp(1_234)));
    for line in [
        format!("banter_buffer_messages_total {}", stats.total_messages),
        format!("banter_buffer_ops {}.0", stats.current_buffer_size),
        format!("banter_buffer_bytes {}.0", stats.buffer_bytes),
        format!("banter_buffer_batch_size {}", stats.current_batch_size),
        format!(r#"banter_buffer_flushes_total{{outcome="success"}} {}"#, stats.successful_flushes),
        format!("banter_buffer_flush_latency_seconds_count {}", stats.successful_flushes),
        format!("banter_journal_size_bytes {}", stats.journal_bytes),
        "banter_buffer_breaker_state 0".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
    }
    assert!(page.contains("banter_buffer_oldest_unflushed_seconds"), "{page}");
}
