//! What a repair saves of each kind of damage, and that it can end anywhere.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::repair::Repairing;
use super::*;

fn mend(fs: &SimFs) -> std::io::Result<Repair> {
    Repairing::new(Arc::new(fs.clone()), LIMITS).run("20260102T030405.678Z")
}

/// A repair that was needed; its folder has the old files.
fn mended(fs: &SimFs) -> Repaired {
    match mend(fs).unwrap() {
        Repair::Done { repaired, old_files } => {
            assert!(old_files.ends_with("damaged-20260102T030405.678Z"));
            repaired
        }
        other => panic!("{other:?}"),
    }
}

/// What a start reads. The folder has nothing but a journal.
fn read(fs: &SimFs) -> Vec<u64> {
    let names = fs.list().unwrap();
    let strange: Vec<_> = names.iter().filter(|name| name.starts_with("repair")).collect();
    assert!(strange.is_empty(), "{strange:?}");
    open(fs).1
}

fn old(fs: &SimFs, name: &str) -> Vec<u8> {
    fs.read(&format!("damaged-20260102T030405.678Z/{name}"), 9_999).expect("an old file")
}

fn numbers_but(all: std::ops::RangeInclusive<u64>, lost: &[(u64, u64)]) -> Vec<u64> {
    let is_lost = |n: &u64| lost.iter().any(|(first, last)| (first..=last).contains(&n));
    all.filter(|n| !is_lost(n)).collect()
}

#[test]
fn a_journal_on_which_a_server_starts_is_left_alone() {
    for fs in [SimFs::new(1), holding(1..=30)] {
        let before = fs.list().unwrap();
        assert!(matches!(mend(&fs).unwrap(), Repair::NotNeeded { .. }));
        assert_eq!(fs.list().unwrap(), before);
    }
    let fs = holding(1..=3);
    fs.tamper(&segment::name(1), |bytes| bytes[segment::HEADER_BYTES + 2 * RECORD] ^= 1);
    assert_eq!(mend(&fs).unwrap(), Repair::NotNeeded { unstored: 2 }, "a torn tail is cut anyway");
}

#[test]
fn a_flipped_bit_costs_one_record_wherever_it_is() {
    for at in segment::HEADER_BYTES..segment::HEADER_BYTES + 5 * RECORD {
        let fs = holding(1..=30);
        let name = segment::name(1);
        fs.tamper(&name, |bytes| bytes[at] ^= 4);
        let damaged = fs.read(&name, 9_999).unwrap();
        let lost = ((at - segment::HEADER_BYTES) / RECORD) as u64 + 1;
        let repaired = mended(&fs);
        assert_eq!((repaired.saved, &*repaired.lost), (29, &[(lost, lost)][..]), "at {at}");
        assert!(repaired.notes.is_empty(), "{:?}", repaired.notes);
        assert_eq!(old(&fs, &name), damaged);
        assert_eq!(read(&fs), numbers_but(1..=30, &repaired.lost));
        assert_eq!(mend(&fs).unwrap(), Repair::NotNeeded { unstored: 29 });
    }
}

#[test]
fn what_is_stored_is_not_saved_again_and_the_journal_goes_on_behind_it() {
    let fs = holding(1..=30);
    open(&fs).0.advance(Checkpoint { sequence: 12, floor: Timestamp(77) }).unwrap();
    let last = segments(&fs).pop().unwrap();
    fs.tamper(&last, |bytes| bytes[segment::HEADER_BYTES + 30] ^= 1);
    let repaired = mended(&fs);
    assert_eq!(repaired.saved, 17);
    let (mut journal, numbers, recovered) = open_as(&fs, SyncMode::Always).unwrap();
    assert_eq!(recovered.floor, Some(Timestamp(77)));
    assert_eq!(numbers, numbers_but(13..=30, &repaired.lost));
    assert_eq!((journal.checkpoint().sequence, journal.last()), (12, 29));
    journal.append(&entries([99])).unwrap();
    journal.advance(stored(30)).unwrap();
    drop(journal);
    assert!(read(&fs).is_empty());
}

#[test]
fn a_segment_that_is_missing_costs_its_records() {
    let names = segments(&holding(1..=30));
    for gone in 0..names.len() {
        let fs = holding(1..=30);
        fs.remove(&names[gone]).unwrap();
        let first = segment::first_of(&names[gone]).unwrap();
        let next = names.get(gone + 1).and_then(|next| segment::first_of(next));
        let repaired = mended(&fs);
        // Nobody knows how much was in the last one.
        let lost: Vec<_> = next.map(|next| (first, next - 1)).into_iter().collect();
        assert_eq!(repaired.lost, lost);
        assert_eq!(repaired.notes.len(), usize::from(next.is_none()), "{:?}", repaired.notes);
        let known = next.map_or(first - 1, |_| 30);
        assert_eq!(read(&fs), numbers_but(1..=known, &lost));
    }
}

#[test]
fn without_a_checkpoint_everything_counts_as_not_stored() {
    for is_there in [true, false] {
        let fs = holding(1..=30);
        open(&fs).0.advance(stored(20)).unwrap();
        let left = segment::first_of(&segments(&fs)[0]).unwrap();
        if is_there {
            fs.tamper(checkpoint::FILE_NAME, |bytes| bytes.truncate(20));
        } else {
            fs.remove(checkpoint::FILE_NAME).unwrap();
        }
        let repaired = mended(&fs);
        assert_eq!((repaired.lost, repaired.notes.len()), (vec![], 1));
        assert_eq!(read(&fs), (left..=30).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_saved_of_a_file_that_has_only_the_name_of_a_segment() {
    let foreign = holding(1..=3).read(&segment::name(1), 9_999).unwrap();
    let huge = vec![0; LIMITS.longest_segment() as usize + 1];
    for content in [foreign, huge, b"x".to_vec(), Vec::new()] {
        let fs = holding(1..=30);
        let name = segments(&fs)[1].clone();
        let next = segment::first_of(&segments(&fs)[2]).unwrap();
        fs.tamper(&name, |bytes| bytes.clone_from(&content));
        let repaired = mended(&fs);
        assert_eq!(repaired.lost, [(segment::first_of(&name).unwrap(), next - 1)]);
        assert!(repaired.notes[0].starts_with(&name), "{:?}", repaired.notes);
        assert_eq!(read(&fs), numbers_but(1..=30, &repaired.lost));
    }
    let fs = holding(1..=3);
    fs.create(&segment::name(900)).unwrap().write_at(b"garbage", 0).unwrap();
    assert_eq!(mended(&fs).lost, [], "a name alone is no sign of records");
    assert_eq!(read(&fs), [1, 2, 3]);
}

#[test]
fn where_nothing_can_be_read_an_empty_journal_is_made() {
    let fs = holding(1..=3);
    for name in [segment::name(1), checkpoint::FILE_NAME.to_owned()] {
        fs.tamper(&name, |bytes| bytes.fill(0xff));
    }
    let repaired = mended(&fs);
    assert_eq!((repaired.saved, repaired.notes.len()), (0, 2));
    assert!(read(&fs).is_empty());
}

#[test]
fn a_record_that_is_whole_and_says_nothing_is_kept_beside_the_old_files() {
    let fs = holding(1..=2);
    let strange = [Entry { kind: 99, body: b"a later kind".to_vec() }, entries([1]).remove(0)];
    let (mut journal, _) = open(&fs);
    journal.append(&strange).unwrap();
    drop(journal);
    assert!(matches!(refusal(&fs), OpenError::Damaged { .. }));
    let repaired = mended(&fs);
    assert_eq!((repaired.saved, repaired.lost), (3, vec![]));
    assert!(repaired.notes[0].contains("only a newer version knows"), "{:?}", repaired.notes);
    assert_eq!(old(&fs, "record-00000000000000000003"), b"a later kind");
    assert_eq!(read(&fs), [1, 2, 1]);
}

#[test]
fn a_disk_without_room_leaves_the_old_journal_as_it_was() {
    let fs = damaged();
    let before = fs.list().unwrap();
    fs.set_capacity(fs.used() + 300);
    mend(&fs).unwrap_err();
    assert_eq!(fs.list().unwrap(), before);
    fs.set_capacity(usize::MAX);
    mended(&fs);
    assert_eq!(read(&fs), numbers_but(11..=30, &LOST));
}

#[test]
fn no_server_starts_on_a_repair_that_is_half_done() {
    let mut refused = 0;
    for n in 0..calls_of_a_repair() {
        let fs = damaged();
        fs.break_call(n, Fault::Fails);
        let _ = mend(&fs);
        // A start is refused for the damage, then for the repair, until that is complete.
        match open_as(&fs, SyncMode::Always) {
            Err(OpenError::HalfRepaired { .. }) => refused += 1,
            Err(OpenError::Damaged { .. }) => assert_eq!(refused, 0),
            Err(other) => panic!("call {n}: {other}"),
            Ok((_, numbers, _)) => assert_eq!(numbers, numbers_but(11..=30, &LOST)),
        }
    }
    assert!(refused > 5, "{refused}");
}

/// What [`damaged`] has lost.
const LOST: [(u64, u64); 1] = [(14, 14)];

/// A journal with the records 11 to 30, one of them damaged.
fn damaged() -> SimFs {
    damaged_on(1)
}

fn damaged_on(seed: u64) -> SimFs {
    let fs = SimFs::new(seed);
    let (mut journal, _) = open(&fs);
    for n in 1..=30 {
        journal.append(&entries([n])).unwrap();
    }
    journal.advance(stored(10)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let name = segment_of(&fs, 14);
    let place = (14 - segment::first_of(&name).unwrap()) as usize * RECORD;
    fs.tamper(&name, |bytes| bytes[segment::HEADER_BYTES + place + 30] ^= 1);
    assert!(matches!(refusal(&fs), OpenError::Damaged { .. }));
    fs
}

fn segment_of(fs: &SimFs, n: u64) -> String {
    let is_before = |name: &String| segment::first_of(name).is_some_and(|first| first <= n);
    segments(fs).into_iter().rfind(is_before).expect("a segment")
}

fn calls_of_a_repair() -> u64 {
    let fs = damaged();
    let before = fs.calls();
    mended(&fs);
    fs.calls() - before
}

#[test]
fn whichever_call_fails_or_is_the_last_before_a_crash_the_next_repair_saves_all_that_is_whole() {
    let calls = calls_of_a_repair();
    assert!(calls > 50, "{calls}");
    for first in [Fault::Fails, Fault::Crash] {
        for n in 0..calls {
            for seed in 0..10 {
                interrupted(seed, &[(n, first)]);
            }
        }
    }
}

#[test]
fn a_repair_may_be_interrupted_twice() {
    let calls = calls_of_a_repair();
    for seed in 0..600 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut call = || random.random_range(0..calls);
        for first in [Fault::Fails, Fault::Crash] {
            interrupted(seed, &[(call(), first), (call(), Fault::Crash)]);
        }
    }
}

/// Repairs that end at these calls, and one that does not.
fn interrupted(seed: u64, ends: &[(u64, Fault)]) {
    let fs = damaged_on(seed);
    let name = segment_of(&fs, 14);
    let damaged = fs.read(&name, 9_999).unwrap();
    for (n, fault) in ends {
        fs.break_call(*n, *fault);
        let _ = mend(&fs);
        if fs.is_down() {
            fs.reboot();
        }
    }
    fs.mend_disk();
    let told = format!("seed {seed}, {ends:?}");
    let outcome = mend(&fs);
    assert!(outcome.is_ok(), "{told}: {outcome:?}");
    assert_eq!(read(&fs), numbers_but(11..=30, &LOST), "{told}");
    assert_eq!(old(&fs, &name), damaged, "{told}");
    fs.reboot();
    // The marker's removal may not have reached the disk, when that has failed.
    mend(&fs).unwrap();
    assert_eq!(read(&fs), numbers_but(11..=30, &LOST), "{told}");
}
