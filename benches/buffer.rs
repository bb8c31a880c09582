//! What the write buffer costs, with a store that costs nothing.
//!
//! Measured: everything from `accept` to the receipt and to the store's confirmation (ring,
//! overlay, committer's thread, the journal's writes, hand-over to a fan-out that only answers,
//! folding into batches). `benches/growth` measures what many pending ops cost. Not measured: a
//! database, the wait for a disk (`JOURNAL_SYNC=os`; `benches/journal.rs` measures that),
//! sockets, JSON. So these figures are a ceiling, and no promise of a server's speed.

#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

mod support;

use std::time::Duration;

use banter::buffer::SyncMode;
use banter::model::Op;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use self::support::{Bench, sends};

/// Longer than any measurement: all is stored by then, or something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

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

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    write(&mut criterion);
    criterion.final_summary();
}
