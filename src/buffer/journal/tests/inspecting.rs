//! What is told of a journal in each state, and that nothing is changed by it.

use proptest::prelude::*;

use super::*;

fn look(fs: &SimFs) -> Inspection {
    Inspection::on(Arc::new(fs.clone()), LIMITS, false)
}

fn parts(fs: &SimFs) -> Vec<Part> {
    look(fs).parts().unwrap().collect()
}

fn reports(fs: &SimFs) -> Vec<SegmentReport> {
    let segment = |part| match part {
        Part::Segment(report) => Some(report),
        Part::Missing { .. } => None,
    };
    parts(fs).into_iter().filter_map(segment).collect()
}

fn missing(fs: &SimFs) -> Vec<(Sequence, Option<Sequence>)> {
    let run = |part| match part {
        Part::Missing { first, last } => Some((first, last)),
        Part::Segment(_) => None,
    };
    parts(fs).into_iter().filter_map(run).collect()
}

/// The state of the only segment.
fn state(fs: &SimFs) -> SegmentState {
    let [report] = <[_; 1]>::try_from(reports(fs)).expect("one segment");
    report.state
}

#[test]
fn a_whole_journal_is_told_by_its_numbers() {
    let fs = holding(1..=30);
    open(&fs).0.advance(Checkpoint { sequence: 9, floor: Timestamp(1) }).unwrap();
    let reports = reports(&fs);
    let names = segments(&fs);
    assert_eq!(
        reports.iter().map(|report| &report.file).collect::<Vec<_>>(),
        Vec::from_iter(&names)
    );
    let (newest, earlier) = reports.split_last().unwrap();
    assert_eq!(newest.state, SegmentState::Whole);
    assert!(earlier.iter().all(|report| report.state == SegmentState::Sealed));
    assert_eq!(newest.last, 30);
    for report in &reports {
        assert_eq!(report.records, report.last + 1 - report.first);
        assert_eq!(report.unstored, report.last.saturating_sub(9.max(report.first - 1)));
        let numbers: Vec<_> = report.records().map(|record| record.sequence).collect();
        assert_eq!(numbers, (report.first..=report.last).collect::<Vec<_>>());
    }
    assert_eq!(look(&fs).verdict().unwrap(), 21);
    assert_eq!(missing(&fs), []);
    let at = jiff::Timestamp::from_millisecond(1).unwrap();
    let checkpoint = CheckpointReport::At { sequence: 9, floor: Some(at) };
    assert_eq!(look(&fs).checkpoint(), checkpoint);
}

#[test]
fn a_record_is_told_by_its_kind_and_what_it_concerns() {
    let fs = holding(1..=1);
    let [record] = <[_; 1]>::try_from(reports(&fs)[0].records().collect::<Vec<_>>()).unwrap();
    let Op::PurgeGroup(group) = op(1) else { panic!("made here") };
    assert_eq!((record.sequence, &*record.kind, record.bytes), (1, "purge_group", RECORD));
    assert_eq!(record.concerns, Ok(group.to_string()));
}

#[test]
fn a_folder_without_a_journal_is_told_from_one_that_has_lost_it() {
    let fs = SimFs::new(1);
    assert!(!look(&fs).is_journal().unwrap());
    assert_eq!(look(&fs).checkpoint(), CheckpointReport::Absent);
    assert_eq!((look(&fs).verdict().unwrap(), missing(&fs)), (0, vec![]));
    let fs = holding(1..=3);
    fs.remove(&segment::name(1)).unwrap();
    assert!(look(&fs).is_journal().unwrap());
    assert_eq!(missing(&fs), [(1, None)]);
    assert!(look(&fs).verdict().is_err());
}

#[test]
fn a_torn_tail_is_told_and_does_not_stop_a_start() {
    let fs = holding(1..=3);
    let at = segment::HEADER_BYTES + 2 * RECORD;
    fs.tamper(&segment::name(1), |bytes| bytes[at + 30] ^= 1);
    let reason = "the checksum of a record's body is wrong".to_owned();
    assert_eq!(state(&fs), SegmentState::Torn { at, reason });
    assert_eq!((reports(&fs)[0].unstored, look(&fs).verdict().unwrap()), (2, 2));
    open(&fs);
    assert_eq!(look(&fs).torn_files().unwrap().len(), 1);
}

#[test]
fn damage_is_told_with_its_place_and_what_is_whole_behind_it() {
    let fs = holding(1..=4);
    let at = segment::HEADER_BYTES + RECORD;
    fs.tamper(&segment::name(1), |bytes| bytes[at + 30] ^= 1);
    let reason = "the checksum of a record's body is wrong".to_owned();
    assert_eq!(state(&fs), SegmentState::Damaged { at, reason });
    let report = &reports(&fs)[0];
    assert_eq!((report.last, report.records, report.behind, report.unstored), (1, 3, 2, 3));
    let refused = look(&fs).verdict().unwrap_err().to_string();
    assert_eq!(refused, refusal(&fs).to_string());
}

#[test]
fn segments_that_are_missing_are_told_by_the_numbers_of_their_records() {
    let whole = reports(&holding(1..=30));
    for gone in 0..whole.len() {
        let fs = holding(1..=30);
        fs.remove(&whole[gone].file).unwrap();
        let last = Some(whole[gone].last).filter(|_| gone + 1 < whole.len());
        assert_eq!(missing(&fs), [(whole[gone].first, last)]);
        assert_eq!(look(&fs).verdict().unwrap_err().to_string(), refusal(&fs).to_string());
    }
}

#[test]
fn what_is_stored_as_a_whole_may_be_damaged() {
    let fs = holding(1..=30);
    let last = reports(&fs)[0].last;
    open(&fs).0.advance(stored(last)).unwrap();
    // As after a crash that has undone the removal of the first segment.
    fs.create(&segment::name(1)).unwrap().write_at(b"BANTERJ1", 0).unwrap();
    let report = &reports(&fs)[0];
    assert!(report.is_obsolete && report.unstored == 0, "{report:?}");
    assert_eq!((look(&fs).verdict().unwrap(), missing(&fs)), (30 - last, vec![]));
}

#[test]
fn a_file_that_is_no_segment_is_told_whatever_it_is() {
    let fs = holding(1..=3);
    fs.tamper(&segment::name(1), |bytes| bytes.fill(b'x'));
    assert!(matches!(state(&fs), SegmentState::Damaged { at: 0, .. }));
    let limit = LIMITS.longest_segment() as usize;
    fs.tamper(&segment::name(1), |bytes| bytes.resize(limit + 1, 0));
    assert!(matches!(state(&fs), SegmentState::Unreadable(_)));
    fs.tamper(checkpoint::FILE_NAME, |bytes| bytes.fill(1));
    assert!(matches!(look(&fs).checkpoint(), CheckpointReport::Unreadable(_)));
    assert!(look(&fs).verdict().is_err());
}

#[test]
fn names_with_numbers_that_no_journal_has_are_not_ours() {
    for name in [0, record::MAX_SEQUENCE + 1, u64::MAX].map(segment::name) {
        assert_eq!(segment::first_of(&name), None, "{name}");
    }
}

#[test]
fn looking_changes_nothing() {
    let fs = holding(1..=30);
    fs.tamper(&segments(&fs)[1], |bytes| bytes[50] ^= 1);
    let content = |fs: &SimFs| {
        let names = fs.list().unwrap().into_iter();
        names.map(|name| (fs.read(&name, 9_999).unwrap(), name)).collect::<Vec<_>>()
    };
    let before = content(&fs);
    parts(&fs);
    let _ = look(&fs).verdict();
    assert_eq!(content(&fs), before);
    // Also where a start would begin, cut or remove something.
    let fs = SimFs::new(1);
    look(&fs).verdict().unwrap();
    assert!(fs.list().unwrap().is_empty());
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_they_are_told(
        segment in prop::collection::vec(any::<u8>(), 0..400),
        checkpoint in prop::collection::vec(any::<u8>(), 0..100),
        at in 0_usize..800, change in 1..=u8::MAX,
    ) {
        let fs = holding(1..=20);
        let names = segments(&fs);
        fs.tamper(&names[1], |bytes| *bytes = segment);
        fs.tamper(&names[0], |bytes| {
            let at = at % bytes.len();
            bytes[at] ^= change;
        });
        fs.tamper(checkpoint::FILE_NAME, |bytes| bytes.splice(..0, checkpoint).for_each(drop));
        for report in reports(&fs) {
            report.records().for_each(drop);
        }
        prop_assert!(look(&fs).verdict().is_err());
    }
}
