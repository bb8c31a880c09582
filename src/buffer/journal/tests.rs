//! The journal on a simulated disk, with segments so short that each boundary is met.

mod inspecting;
mod repairing;

use std::sync::Arc;

use bson::oid::ObjectId;

use super::sim::{Fault, SimFs};
use super::*;
use crate::buffer::codec::{self, Kind};
use crate::model::{GroupId, Op, Timestamp};

const LIMITS: Limits = Limits { segment_bytes: 400, reserve_step: 64, min_reserve: 48 };

/// The bytes of each record here.
const RECORD: usize = 48;

/// An op that carries a number.
fn op(n: u64) -> Op {
    let [.., a, b, c, d] = n.to_be_bytes();
    Op::PurgeGroup(GroupId(ObjectId::from_parts(0, [0, 0, 0, 0, a], [b, c, d])))
}

fn number(op: &Op) -> u64 {
    let Op::PurgeGroup(group) = op else { panic!("not made here") };
    let [.., a, b, c, d] = group.0.bytes();
    u64::from(u32::from_be_bytes([a, b, c, d]))
}

fn entries(numbers: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    let entry = |n| {
        let op = op(n);
        Entry { kind: Kind::of(&op).code(), body: codec::encode(&op).unwrap() }
    };
    numbers.into_iter().map(entry).collect()
}

fn open_as(fs: &SimFs, mode: SyncMode) -> Result<(Journal, Vec<u64>, Recovered), OpenError> {
    let (journal, recovered) = Journal::open(Arc::new(fs.clone()), LIMITS, mode)?;
    let numbers = recovered.ops.iter().map(|op| number(op)).collect();
    Ok((journal, numbers, recovered))
}

fn open(fs: &SimFs) -> (Journal, Vec<u64>) {
    let (journal, numbers, _) = open_as(fs, SyncMode::Always).unwrap();
    (journal, numbers)
}

/// A journal that holds these numbers, each appended by itself.
fn holding(numbers: std::ops::RangeInclusive<u64>) -> SimFs {
    let fs = SimFs::new(1);
    let (mut journal, _) = open(&fs);
    for n in numbers {
        journal.append(&entries([n])).unwrap();
    }
    fs
}

fn stored(sequence: Sequence) -> Checkpoint {
    Checkpoint { sequence, floor: Timestamp(0) }
}

fn segments(fs: &SimFs) -> Vec<String> {
    fs.list().unwrap().into_iter().filter(|name| segment::first_of(name).is_some()).collect()
}

fn refusal(fs: &SimFs) -> OpenError {
    open_as(fs, SyncMode::Always).err().expect("the start is refused")
}

#[test]
fn what_was_appended_is_read_again_in_order_over_many_segments() {
    let fs = SimFs::new(1);
    let (mut journal, none) = open(&fs);
    assert!(none.is_empty());
    for first in (1..100).step_by(3) {
        journal.append(&entries(first..first + 3)).unwrap();
    }
    let (count, bytes) = journal.size();
    assert!(count > 10 && bytes > 99 * RECORD as u64, "{count} {bytes}");
    drop(journal);
    fs.reboot();
    let (mut journal, numbers) = open(&fs);
    assert_eq!(numbers, (1..100).collect::<Vec<_>>());
    journal.append(&entries([100])).unwrap();
    drop(journal);
    assert_eq!(open(&fs).1, (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_group_larger_than_a_segment_is_one_segment() {
    let fs = SimFs::new(1);
    let (mut journal, _) = open(&fs);
    journal.append(&entries(1..=1)).unwrap();
    journal.append(&entries(2..=40)).unwrap();
    journal.append(&entries(41..=41)).unwrap();
    assert_eq!(journal.size().0, 3);
    assert_eq!(open(&fs).1.len(), 41);
}

#[test]
fn what_is_stored_is_not_read_again_and_its_segments_go() {
    let fs = holding(1..=50);
    let (mut journal, _) = open(&fs);
    let before = segments(&fs).len();
    journal.advance(stored(1)).unwrap();
    assert_eq!(segments(&fs).len(), before, "a segment goes only as a whole");
    journal.advance(stored(25)).unwrap();
    assert!(segments(&fs).len() < before);
    assert_eq!(open(&fs).1, (26..=50).collect::<Vec<_>>());
    journal.advance(stored(50)).unwrap();
    assert_eq!(segments(&fs).len(), 1, "the one that is written to stays");
    let (journal, numbers) = open(&fs);
    assert_eq!((numbers, journal.last(), journal.checkpoint().sequence), (vec![], 50, 50));
}

#[test]
fn the_latest_time_outlives_the_messages() {
    let fs = SimFs::new(1);
    let (mut journal, _) = open(&fs);
    journal.append(&entries(1..=50)).unwrap();
    journal.advance(Checkpoint { sequence: 50, floor: Timestamp(77) }).unwrap();
    let (_, _, recovered) = open_as(&fs, SyncMode::Always).unwrap();
    assert_eq!(recovered.floor, Some(Timestamp(77)));
}

#[test]
fn a_torn_last_record_is_cut_and_the_rest_replayed() {
    let name = segment::name(1);
    let length = segment::HEADER_BYTES + 3 * RECORD;
    // The last byte of a body is zero.
    for cut in 2..RECORD {
        let fs = holding(1..=3);
        fs.tamper(&name, |bytes| bytes[length - cut..].fill(0));
        let (_, numbers, recovered) = open_as(&fs, SyncMode::Always).unwrap();
        assert_eq!(numbers, [1, 2], "cut {cut}");
        let (file, _) = recovered.torn.expect("what was cut is kept");
        assert!(!fs.read(&file, 999).unwrap().is_empty());
        assert_eq!(open(&fs).1, [1, 2], "and the journal goes on");
    }
}

#[test]
fn damage_in_front_of_records_that_were_written_later_stops_the_start() {
    for at in segment::HEADER_BYTES..segment::HEADER_BYTES + 2 * RECORD {
        let fs = holding(1..=3);
        fs.tamper(&segment::name(1), |bytes| bytes[at] ^= 1);
        let OpenError::Damaged { file, offset, .. } = refusal(&fs) else { panic!("at {at}") };
        assert!(file.ends_with(segment::name(1)));
        let record = (at - segment::HEADER_BYTES) / RECORD;
        assert_eq!(offset, segment::HEADER_BYTES + record * RECORD, "at {at}");
    }
}

#[test]
fn records_of_a_torn_group_that_are_whole_are_no_sign_of_damage() {
    let fs = SimFs::new(1);
    let (mut journal, _) = open(&fs);
    journal.append(&entries(1..=1)).unwrap();
    journal.append(&entries(2..=4)).unwrap();
    fs.tamper(&segment::name(1), |bytes| bytes[segment::HEADER_BYTES + 60] ^= 1);
    assert_eq!(open(&fs).1, [1]);
}

#[test]
fn damage_in_an_earlier_segment_stops_the_start() {
    let fs = holding(1..=20);
    let [first, second, ..] = &segments(&fs)[..] else { panic!("several segments") };
    let mut refused = 0;
    for (name, places) in [(first, 0..segment::HEADER_BYTES + 300), (second, 0..100)] {
        for at in places {
            fs.tamper(name, |bytes| bytes[at] ^= 0x40);
            let refusal = refusal(&fs);
            assert!(matches!(refusal, OpenError::Damaged { .. }), "{name} {at}: {refusal}");
            fs.tamper(name, |bytes| bytes[at] ^= 0x40);
            refused += 1;
        }
    }
    assert!(refused > 400);
    assert_eq!(open(&fs).1.len(), 20, "without the damage it starts");
}

#[test]
fn a_segment_that_is_missing_stops_the_start_wherever_it_was() {
    let count = segments(&holding(1..=30)).len();
    assert!(count >= 4);
    for missing in 0..count {
        let fs = holding(1..=30);
        let names = segments(&fs);
        let first = segment::first_of(&names[missing]);
        fs.remove(&names[missing]).unwrap();
        let refusal = refusal(&fs);
        let OpenError::Missing { first: told, .. } = refusal else {
            panic!("{missing}: {refusal}")
        };
        assert_eq!(Some(told), first);
    }
    let fs = holding(1..=3);
    fs.remove(&segment::name(1)).unwrap();
    assert!(matches!(refusal(&fs), OpenError::Missing { .. }), "the only one");
}

#[test]
fn a_segment_under_another_name_is_damage() {
    let fs = holding(1..=3);
    fs.rename(&segment::name(1), &segment::name(4)).unwrap();
    assert!(matches!(refusal(&fs), OpenError::Missing { .. }));
    let fs = holding(1..=30);
    let second = segments(&fs)[1].clone();
    fs.rename(&segment::name(1), &second).unwrap();
    assert!(matches!(refusal(&fs), OpenError::Missing { .. }), "the first is gone now");
}

#[test]
fn a_checkpoint_that_is_damaged_or_gone_stops_the_start() {
    let (fs, file) = (holding(1..=30), checkpoint::FILE_NAME);
    fs.tamper(file, |bytes| bytes.fill(7));
    assert!(matches!(refusal(&fs), OpenError::Damaged { .. }));
    let fs = holding(1..=30);
    open(&fs).0.advance(stored(20)).unwrap();
    fs.remove(file).unwrap();
    assert!(matches!(refusal(&fs), OpenError::Damaged { .. }));
    let fs = holding(1..=30);
    fs.remove(file).unwrap();
    assert_eq!(open(&fs).1.len(), 30, "while the first segment is there, it says nothing new");
}

#[test]
fn a_file_that_says_that_it_is_huge_is_refused_unread() {
    let fs = holding(1..=3);
    let limit = LIMITS.longest_segment() as usize;
    fs.tamper(&segment::name(1), |bytes| bytes.resize(limit + 1, 0));
    assert!(matches!(refusal(&fs), OpenError::Io { .. }));
}

#[test]
fn after_a_sync_that_failed_nothing_is_written_any_more() {
    let fs = holding(1..=2);
    let (mut journal, _) = open(&fs);
    // An append writes zeros, then records, then syncs.
    fs.break_call(2, Fault::Fails);
    assert!(matches!(journal.append(&entries([3])), Err(AppendError::Failed(_))));
    let calls = fs.calls();
    assert!(matches!(journal.append(&entries([4])), Err(AppendError::Failed(_))));
    assert!(matches!(journal.advance(stored(2)), Err(AppendError::Failed(_))));
    assert!(matches!(journal.make_room(), Err(AppendError::Failed(_))));
    assert!(matches!(journal.sync(), Err(AppendError::Failed(_))));
    assert_eq!(fs.calls(), calls, "the disk is left alone");
}

#[test]
fn what_is_read_after_a_failed_sync_is_on_the_disk_before_the_start_goes_on() {
    for seed in 0..50 {
        let fs = SimFs::new(seed);
        let (mut journal, _) = open(&fs);
        journal.append(&entries([1])).unwrap();
        fs.break_call(2, Fault::Fails);
        journal.append(&entries([2])).unwrap_err();
        drop(journal);
        // The process starts anew without a reboot: it reads what the system has in memory.
        let (mut journal, read) = open(&fs);
        assert_eq!(read, [1, 2]);
        journal.append(&entries([3])).unwrap();
        drop(journal);
        fs.reboot();
        assert_eq!(open(&fs).1, [1, 2, 3], "seed {seed}");
    }
}

#[test]
fn a_segment_whose_name_may_not_be_on_the_disk_is_brought_there_before_the_start_goes_on() {
    for n in 0..12 {
        for seed in 0..50 {
            let fs = SimFs::new(seed);
            let (mut journal, _) = open(&fs);
            journal.append(&entries(1..=8)).unwrap();
            // One of the calls that begin the next segment.
            fs.break_call(n, Fault::Fails);
            let _ = journal.append(&entries([9]));
            drop(journal);
            fs.mend_disk();
            // The process starts anew without a reboot.
            let (mut journal, read) = open(&fs);
            journal.append(&entries([10])).unwrap();
            drop(journal);
            fs.reboot();
            assert_eq!(open(&fs).1, [read, vec![10]].concat(), "call {n}, seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_refuses_damages_nothing_and_takes_again_when_there_is_room() {
    for room in 0..300 {
        let fs = holding(1..=20);
        let (mut journal, _) = open(&fs);
        fs.set_capacity(fs.used() + room);
        let mut last = 20;
        while journal.append(&entries([last + 1])).is_ok() {
            last += 1;
        }
        assert!(matches!(journal.append(&entries([99])), Err(AppendError::Full(_))));
        journal.advance(stored(10)).expect("the checkpoint needs no room");
        // What is stored makes room, also where one segment has it all.
        journal.advance(stored(last)).expect("the checkpoint needs no room");
        journal.make_room().expect("there is room for a segment");
        journal.advance(stored(last)).expect("the old segments go");
        journal.make_room().expect("there is room");
        journal.append(&entries([last + 1])).expect("taken");
        drop(journal);
        fs.reboot();
        assert_eq!(open(&fs).1, [last + 1], "room {room}");
    }
}

#[test]
fn a_start_on_a_full_disk_reads_what_is_there() {
    let fs = holding(1..=3);
    fs.tamper(&segment::name(1), |bytes| bytes[segment::HEADER_BYTES + 2 * RECORD] ^= 1);
    fs.set_capacity(0);
    assert_eq!(open(&fs).1, [1, 2]);
}

#[test]
fn other_modes_sync_later_and_lose_nothing_with_the_process() {
    for mode in [SyncMode::Interval, SyncMode::Os] {
        let fs = SimFs::new(3);
        let (mut journal, _, _) = open_as(&fs, mode).unwrap();
        let before = fs.calls();
        journal.append(&entries([1])).unwrap();
        assert_eq!(fs.calls() - before, 2, "zeros and the record; no sync");
        assert_eq!(journal.sync_due_in().is_some(), mode == SyncMode::Interval);
        drop(journal);
        let (mut journal, read, _) = open_as(&fs, mode).unwrap();
        assert_eq!(read, [1]);
        journal.append(&entries(2..=30)).unwrap();
        journal.append(&entries(31..=60)).unwrap();
        journal.sync().unwrap();
        drop(journal);
        fs.reboot();
        assert_eq!(open_as(&fs, mode).unwrap().1.len(), 60);
    }
}

/// What a script did until something went wrong.
#[derive(Debug, Default)]
struct Done {
    acknowledged: u64,
    /// The last number of the group that was under way.
    attempted: u64,
    stored: u64,
}

/// Appends and stores until all is done or the journal gives up.
fn run(fs: &SimFs, mode: SyncMode, done: &mut Done) -> Result<(), AppendError> {
    let Ok((mut journal, read, _)) = open_as(fs, mode) else { return Ok(()) };
    let last = read.last().copied().unwrap_or(journal.last());
    (done.acknowledged, done.attempted) = (last, last);
    for size in [1, 2, 3, 4, 1, 1, 5, 2, 1, 1] {
        done.attempted = done.acknowledged + size;
        journal.append(&entries(done.acknowledged + 1..=done.attempted))?;
        done.acknowledged = done.attempted;
        let stored_now = done.acknowledged.saturating_sub(6).max(journal.checkpoint().sequence);
        done.stored = stored_now;
        journal.advance(stored(stored_now))?;
    }
    Ok(())
}

#[test]
fn whichever_call_fails_or_is_the_last_before_a_crash_nothing_acknowledged_is_lost() {
    let calls = {
        let fs = SimFs::new(0);
        run(&fs, SyncMode::Always, &mut Done::default()).unwrap();
        fs.calls()
    };
    assert!(calls > 50, "{calls}");
    for fault in [Fault::Fails, Fault::Crash] {
        for n in 0..calls {
            for seed in 0..20 {
                let fs = SimFs::new(seed);
                let mut done = Done::default();
                fs.break_call(n, fault);
                let _ = run(&fs, SyncMode::Always, &mut done);
                assert!(fault == Fault::Fails || fs.is_down());
                fs.reboot();
                let (journal, read, _) = open_as(&fs, SyncMode::Always)
                    .unwrap_or_else(|error| panic!("{fault:?} {n}, seed {seed}: {error}"));
                let checkpoint = journal.checkpoint().sequence;
                assert!(checkpoint <= done.stored, "{fault:?} {n}, seed {seed}");
                assert!(
                    (done.acknowledged..=done.attempted).contains(&journal.last()),
                    "{fault:?} {n}, seed {seed}: {done:?}, read to {}",
                    journal.last()
                );
                assert_eq!(read, (checkpoint + 1..=journal.last()).collect::<Vec<_>>());
                drop(journal);
                // And it goes on.
                run(&fs, SyncMode::Always, &mut done).unwrap();
                assert_eq!(open(&fs).0.last(), done.acknowledged);
            }
        }
    }
}

#[test]
fn in_other_modes_a_crash_takes_the_newest_and_the_journal_goes_on() {
    for mode in [SyncMode::Interval, SyncMode::Os] {
        let calls = {
            let fs = SimFs::new(0);
            run(&fs, mode, &mut Done::default()).unwrap();
            fs.calls()
        };
        let mut lost = 0;
        for n in 0..calls {
            for seed in 0..20 {
                let fs = SimFs::new(seed);
                let mut done = Done::default();
                fs.break_call(n, Fault::Crash);
                let _ = run(&fs, mode, &mut done);
                fs.reboot();
                let (mut journal, read, _) = open_as(&fs, mode)
                    .unwrap_or_else(|error| panic!("{mode} {n}, seed {seed}: {error}"));
                let checkpoint = journal.checkpoint().sequence;
                assert!(checkpoint <= done.stored && journal.last() <= done.attempted);
                assert_eq!(read, (checkpoint + 1..=journal.last()).collect::<Vec<_>>());
                lost += done.acknowledged.saturating_sub(journal.last());
                let next = journal.last() + 1;
                journal.append(&entries([next])).unwrap();
                drop(journal);
                assert_eq!(open_as(&fs, mode).unwrap().0.last(), next);
            }
        }
        assert!(lost > 0, "{mode}: the disk has forgotten nothing, so this has tested nothing");
    }
}
