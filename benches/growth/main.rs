//! How the cost of Banter's own parts grows with the work: each is measured at 1,000, 10,000,
//! 100,000 and 1,000,000. `make bench` writes the figures into docs/BENCHMARKS.md.
//!
//! Measured: the write buffer and its parts (`buffer.rs`), the journal (`journal.rs`), what one
//! message costs that many are told (`fan_out.rs`), and what a user asks of a store that has grown,
//! SQLite and, where `MONGO_TEST_URL` names a server, MongoDB (`stores.rs`). Journals and stores are on
//! the disk that holds `target/`; the journal does not wait for it (`JOURNAL_SYNC=os`). Not measured:
//! that wait (`benches/journal.rs`), HTTP and JSON of requests, the rules in front of a store, a
//! cold cache: what is asked here is asked again and again.
//!
//! It takes a quarter of an hour, most of which goes into filling the stores. `GROWTH_MAX=10000` leaves
//! out what is larger, `GROWTH_PART=sqlite` all parts but one.

#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

mod buffer;
mod fan_out;
mod journal;
mod shape;
mod stores;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::WallTime;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Sizes with which `cargo test` sees that all works.
const TRYING: [usize; 2] = [10, 20];

type Part = fn(&mut Criterion<WallTime>, &[usize]);

const PARTS: [(&str, Part); 6] = [
    ("buffer", buffer::measure),
    ("history", buffer::measure_history),
    ("journal", journal::measure),
    ("fan_out", fan_out::measure),
    ("sqlite", stores::sqlite),
    ("mongodb", stores::mongodb),
];

fn main() {
    if fan_out::read() {
        return;
    }
    let only = std::env::var("GROWTH_PART").ok();
    let sizes = sizes();
    let mut criterion = Criterion::default()
        .sample_size(10)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    for (name, measure) in PARTS {
        if only.as_ref().is_none_or(|only| only == name) {
            measure(&mut criterion, &sizes);
        }
    }
    criterion.final_summary();
}

fn sizes() -> Vec<usize> {
    // `cargo test` runs benches, too, to see that they work.
    if !std::env::args().any(|argument| argument == "--bench") {
        return TRYING.to_vec();
    }
    let max = std::env::var("GROWTH_MAX").map(|max| max.parse().unwrap());
    let max = max.unwrap_or(usize::MAX);
    SIZES.into_iter().filter(|size| *size <= max).collect()
}
