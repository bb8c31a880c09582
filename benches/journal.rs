//! What durability costs: the journal beside the plainest way to write the same bytes, and how long
//! an acknowledgement takes.
//!
//! Measured on the disk that holds `target/`. **Groups**: `append` (records are framed, written and
//! synced) and `write_all` + `sync_data` of as many bytes into a file that grows, in turns: a
//! disk's mood changes from second to second, so that one measured after the other says little.
//! Encoding the ops is in neither. **Acknowledgements**: from the instant at which a message is due
//! to the instant at which its receipt has resolved, with a store that confirms at once. Messages
//! are due at a steady rate whether or not earlier ones are through, and one that is sent late
//! counts from when it was due: a stall is in the figures of all that it held up. The clock of
//! whoever sends and waits is in there, too (some 0.1 ms). Not measured: a database, sockets, JSON.

#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use banter::buffer::bench::{BareJournal, Group};
use banter::buffer::{Receipt, SyncMode};
use tokio::sync::mpsc;

use self::support::{Bench, folder, sends};

const GROUPS: [usize; 4] = [1, 16, 128, 1_024];
const RATES_PER_S: [u32; 2] = [1_000, 5_000];
const MODES: [SyncMode; 3] = [SyncMode::Always, SyncMode::Interval, SyncMode::Os];

fn main() {
    // `cargo test` runs benches, too, to see that they work.
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let time = if is_measuring { Duration::from_secs(5) } else { Duration::from_millis(20) };
    println!("on {}", file_system(folder().path()));
    println!("\n{:>12}{:>14}{:>14}{:>8}", "group", "journal", "plain", "ratio");
    for size in GROUPS {
        groups(size, time);
    }
    println!("\n{:>12}{:>14}{:>14}{:>14}", "JOURNAL_SYNC", "rate", "p50", "p99");
    for mode in MODES {
        for rate_per_s in RATES_PER_S {
            acknowledgements(mode, rate_per_s, time);
        }
    }
}

/// Groups of this size, in the journal and in a plain file, for as long on the whole.
fn groups(size: usize, time: Duration) {
    let folder = folder();
    let mut journal = BareJournal::open(&folder.path().join("journal"), SyncMode::Always).unwrap();
    let mut plain = File::create(folder.path().join("plain")).unwrap();
    let group = Group::of(&sends(size)).unwrap();
    let bytes = group.bytes();
    let (mut in_journal, mut in_plain, mut rounds) = (Duration::ZERO, Duration::ZERO, 0_u32);
    while rounds == 0 || in_journal + in_plain < time {
        in_journal += timed(|| journal.append(&group).unwrap());
        in_plain += timed(|| {
            plain.write_all(&bytes).unwrap();
            plain.sync_data().unwrap();
        });
        rounds += 1;
    }
    let per_s = |time: Duration| f64::from(rounds) * size as f64 / time.as_secs_f64();
    let (ours, theirs) = (per_s(in_journal), per_s(in_plain));
    println!("{size:>12}{ours:>12.0}/s{theirs:>12.0}/s{:>8.2}", ours / theirs);
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Messages at a steady rate, and how long each of them waits for its receipt.
fn acknowledgements(mode: SyncMode, rate_per_s: u32, time: Duration) {
    let bench = Bench::start(mode);
    let count = (time.as_secs_f64() * f64::from(rate_per_s)) as u32;
    // Room for all: whoever sends must not wait for whoever waits.
    let (sent, mut waiting) = mpsc::channel::<(Instant, Receipt)>(count as usize);
    let buffer = bench.buffer.clone();
    let ops = sends(count as usize);
    let sender = thread::spawn(move || {
        let start = Instant::now();
        for (op, n) in ops.into_iter().zip(0..) {
            let due = start + Duration::from_secs(1) * n / rate_per_s;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            sent.try_send((due, buffer.accept(op, None).unwrap())).unwrap();
        }
    });
    let mut waits = bench.runtime.block_on(async {
        let mut waits = Vec::new();
        // Receipts resolve in order.
        while let Some((due, receipt)) = waiting.recv().await {
            receipt.durable().await.unwrap();
            waits.push(due.elapsed());
        }
        waits
    });
    sender.join().unwrap();
    waits.sort_unstable();
    let quantile = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let (p50, p99) = (quantile(50), quantile(99));
    println!("{:>12}{rate_per_s:>12}/s{p50:>11.2} ms{p99:>11.2} ms", mode.as_str());
    bench.runtime.shutdown_background();
}

/// The kind of file system that holds a folder, where the machine says.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|mount| mount.len() > 2 && folder.starts_with(mount[1]));
    let nearest = holding.max_by_key(|mount| mount[1].len());
    nearest.map_or("an unknown file system".to_owned(), |mount| mount[2].to_owned())
}
