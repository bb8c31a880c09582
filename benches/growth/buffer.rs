//! The write buffer while so many ops are pending, as they are while a store is away.
//!
//! **accept**: an op is taken and committed; 64 are taken at once, and the receipt of the last is
//! waited for. The store confirms as many ops as were accepted beyond the pending ones, so that their
//! number stays, to within a batch of the flusher, however long it is measured. **ring** and
//! **overlay**: one op comes and one goes, without the buffer around; in the ring, encoding it for
//! the journal is in the figure. **fold**: a run of so many ops becomes one batch, per op. **history**:
//! a page of 50 of a conversation with pending messages: all in this one, which is the worst case
//! since other conversations are not looked at, and 100 in each of many.

use std::hint::black_box;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use banter::buffer::bench::{BareOverlay, BareRing, folded};
use banter::buffer::{Config, SyncMode};
use banter::model::{
    Content, Conversation, Emoji, Message, MessageId, Op, Reaction, Timestamp, UserId,
};
use banter::store::{HistoryQuery, Range};
use criterion::{BenchmarkId, Criterion, Throughput};
use tokio::sync::Semaphore;

use crate::support::{Bench, ann, bob, sends, sends_in};

/// Ops that are accepted before one of them is waited for.
const AT_ONCE: usize = 64;

/// Pending messages of a conversation, where they are in many.
const PER_CONVERSATION: usize = 100;

/// Messages of a page, as the HTTP route asks for where the client does not say.
const PAGE: usize = 50;

/// Longer than any measurement: all is stored by then, or something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(criterion: &mut Criterion, sizes: &[usize]) {
    for size in sizes {
        accept(criterion, *size);
        ring(criterion, *size);
        overlay(criterion, *size);
        fold(criterion, *size);
    }
}

pub(crate) fn measure_history(criterion: &mut Criterion, sizes: &[usize]) {
    for size in sizes {
        history(criterion, "one_conversation", *size, 1);
        history(criterion, "many_conversations", *size, conversations(*size));
    }
}

fn conversations(size: usize) -> usize {
    size.div_ceil(PER_CONVERSATION)
}

/// A buffer with ops that stay in it.
fn holding(ops: Vec<Op>) -> Bench {
    let config = Config {
        buffer_capacity: 2_000_000,
        buffer_bytes: 8 << 30,
        journal_sync: SyncMode::Os,
        // A store that does not answer is asked again.
        breaker_failures: 1_000,
        breaker_open: Duration::from_millis(10),
        ..Config::default()
    };
    let bench = Bench::with(&config);
    bench.store.is_stuck.store(true, Ordering::Relaxed);
    make_durable(&bench, ops);
    bench
}

/// Accepts all ops and waits until the last receipt has resolved: receipts resolve in order.
fn make_durable(bench: &Bench, ops: Vec<Op>) {
    let mut last = None;
    for op in ops {
        last = Some(bench.buffer.accept(op, None).unwrap());
    }
    bench.runtime.block_on(last.unwrap().durable()).unwrap();
}

/// Has everything stored, so that nothing of it stays in memory.
fn end(bench: Bench) {
    bench.store.is_stuck.store(false, Ordering::Relaxed);
    bench.store.allowed.add_permits(Semaphore::MAX_PERMITS / 2);
    bench.buffer.refuse();
    assert!(bench.runtime.block_on(bench.buffer.flushed(PATIENCE)), "all is stored");
    assert_eq!(bench.runtime.block_on(bench.buffer.close()), 0);
    bench.runtime.shutdown_background();
}

fn accept(criterion: &mut Criterion, size: usize) {
    let bench = holding(sends_in(size, conversations(size)));
    let accept = |rounds: u64| {
        let (mut time, mut left) = (Duration::ZERO, rounds as usize);
        while left > 0 {
            let count = left.min(AT_ONCE);
            let ops = sends_in(count, conversations(size).min(count));
            let start = Instant::now();
            make_durable(&bench, ops);
            time += start.elapsed();
            bench.store.allowed.add_permits(count);
            left -= count;
        }
        time
    };
    criterion
        .benchmark_group("growth/buffer")
        .bench_function(BenchmarkId::new("accept", size), |bencher| bencher.iter_custom(accept));
    end(bench);
}

fn ring(criterion: &mut Criterion, size: usize) {
    let mut ring = BareRing::empty();
    let ops: Vec<_> = sends(size).into_iter().map(Arc::new).collect();
    ring.commit(&ops).unwrap();
    let op = Arc::clone(&ops[0]);
    drop(ops);
    criterion.benchmark_group("growth/buffer").bench_function(
        BenchmarkId::new("ring", size),
        |bencher| {
            bencher.iter(|| {
                ring.commit(slice::from_ref(&op)).unwrap();
                ring.flush_one()
            });
        },
    );
}

fn overlay(criterion: &mut Criterion, size: usize) {
    let mut overlay = BareOverlay::default();
    let mut ids = Vec::new();
    // Each message with an edit.
    for op in sends_in(size.div_ceil(2), conversations(size)) {
        let edit = edit(sent(&op));
        ids.push(sent(&op).id);
        overlay.insert(Arc::new(op));
        overlay.insert(Arc::new(edit));
    }
    let mut group = criterion.benchmark_group("growth/buffer");
    // In an order in which no message is a neighbour of the one before.
    let mut next = (0..ids.len()).map(|n| ids[n * 7_919 % ids.len()]).cycle();
    group.bench_function(BenchmarkId::new("overlay_look_up", size), |bencher| {
        bencher.iter(|| overlay.message(next.next().unwrap()).unwrap());
    });
    group.bench_function(BenchmarkId::new("overlay_insert_remove", size), |bencher| {
        bencher.iter(|| {
            let op = overlay.remove_oldest().unwrap();
            overlay.insert(op);
        });
    });
}

fn fold(criterion: &mut Criterion, size: usize) {
    let ops = mixed(size);
    let mut group = criterion.benchmark_group("growth/buffer");
    group.throughput(Throughput::Elements(size as u64));
    group.bench_function(BenchmarkId::new("fold", size), |bencher| {
        bencher.iter(|| {
            let (batch, count) = folded(black_box(&ops));
            assert_eq!(count, ops.len());
            batch
        });
    });
}

/// Four of five ops are new messages, the others change one of the last ten of them.
fn mixed(size: usize) -> Vec<Arc<Op>> {
    let mut sends = sends_in(size, conversations(size)).into_iter();
    let mut ops: Vec<Arc<Op>> = Vec::new();
    let mut last: Vec<Arc<Message>> = Vec::new();
    for n in 0..size {
        let op = if n % 5 < 4 {
            let op = sends.next().unwrap();
            last.push(Arc::clone(sent(&op)));
            op
        } else {
            let target = &last[last.len() - 1 - n / 5 % last.len().min(10)];
            match n / 5 % 4 {
                0 => edit(target),
                1 => read(target),
                2 => react(target),
                _ => delete(target),
            }
        };
        ops.push(Arc::new(op));
    }
    ops
}

fn sent(op: &Op) -> &Arc<Message> {
    match op {
        Op::Send(message) => message,
        _ => panic!("a new message"),
    }
}

/// Where a message is, which it is, and a later time.
fn parts(message: &Message) -> (Conversation, MessageId, Timestamp) {
    (message.conversation(), message.id, Timestamp(message.timestamp.as_millis() + 1_000))
}

fn edit(target: &Message) -> Op {
    let (conversation, message, edited_at) = parts(target);
    let content = Content::Text("It says something else now.".to_owned());
    Op::Edit { conversation, message, content, edited_at }
}

fn read(target: &Message) -> Op {
    let (conversation, message, _) = parts(target);
    let up_to = target.position();
    Op::Read { conversation, messages: vec![message], reader: bob(), up_to }
}

fn react(target: &Message) -> Op {
    let (conversation, message, _) = parts(target);
    let reaction = Reaction { user: bob(), emoji: Emoji::parse("👍").unwrap() };
    Op::React { conversation, message, reaction, on: true }
}

fn delete(target: &Message) -> Op {
    let (conversation, message, at) = parts(target);
    Op::Delete { conversation, message, at }
}

fn history(criterion: &mut Criterion, name: &str, size: usize, conversations: usize) {
    let bench = holding(sends_in(size, conversations));
    let (viewer, conversation): (UserId, _) = (bob(), Conversation::direct(ann(), bob()));
    let viewer = Some(viewer);
    let query = HistoryQuery { conversation, viewer, range: Range::Newest, limit: PAGE };
    let rows = PAGE.min(size.div_ceil(conversations));
    criterion.benchmark_group("growth/history").bench_function(
        BenchmarkId::new(name, size),
        |bencher| {
            bencher.iter(|| {
                let page = bench.runtime.block_on(bench.buffer.history(&query)).unwrap();
                assert_eq!(page.len(), rows);
                page
            });
        },
    );
    end(bench);
}
