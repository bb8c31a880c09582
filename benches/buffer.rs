//! What the write buffer costs, with a store that costs nothing.
//!
//! Measured: everything from `accept` to the receipt and to the store's confirmation (ring,
//! overlay, committer's thread, the journal's writes, hand-over to a fan-out that only answers,
//! folding into batches), and the read of a history page while many ops are pending. Not measured:
//! a database, the wait for a disk (`JOURNAL_SYNC=os`; `benches/journal.rs` measures that),
//! sockets, JSON. So these figures are a ceiling, and no promise of a server's speed.

#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use banter::buffer::SyncMode;
use banter::model::{Conversation, Op};
use banter::store::{HistoryQuery, Range};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use self::support::{Bench, ann, bob, sends};

/// Longer than any measurement: all is stored by then, or something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages of a page, as the HTTP route asks for where the client does not say.
const PAGE: usize = 50;

/// Accepts all ops and waits until the last receipt has resolved: receipts resolve in order.
fn make_durable(bench: &Bench, ops: Vec<Op>) {
    let mut last = None;
    for op in ops {
        last = Some(bench.buffer.accept(op, None).unwrap());
    }
    bench.runtime.block_on(last.unwrap().durable()).unwrap();
}

fn make_stored(bench: &Bench) {
    assert!(bench.runtime.block_on(bench.buffer.flushed(PATIENCE)), "all is stored");
}

/// One burst of so many messages on an idle buffer: accepted, durable, stored. Making the messages
/// is left out. For one message alone this is mostly threads that wake each other; for many, the
/// short wait of an adaptive batch for more is in it.
fn write(criterion: &mut Criterion) {
    let bench = Bench::start(SyncMode::Os);
    let mut group = criterion.benchmark_group("accept_to_stored");
    for count in [1, 100, 10_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let run = |ops| {
                make_durable(&bench, ops);
                make_stored(&bench);
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
        let bench = Bench::start(SyncMode::Os);
        bench.store.is_stuck.store(true, Ordering::Relaxed);
        make_durable(&bench, sends(count));
        let (viewer, conversation) = (Some(bob()), Conversation::direct(ann(), bob()));
        let query = HistoryQuery { conversation, viewer, range: Range::Newest, limit: PAGE };
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let page = bench.runtime.block_on(bench.buffer.history(&query)).unwrap();
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
