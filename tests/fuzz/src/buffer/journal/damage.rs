//! A segment that was whole, and is not any more: what stands before the damage still reads, what
//! was changed never counts as a record, and what stands behind it is found.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::ops::Range;

use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};

use super::FIRST;
use super::record::Record;
use super::segment::{self, SEAL, Tail};

/// Bytes that are changed together: a field, or as much of a body. Of more than 32 bits in a row
/// the checksums miss a change now and then, and a fuzzer that watches comparisons finds it.
const WORD_BYTES: usize = 4;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    records: Vec<Written<'a>>,
    /// Bytes that are missing at the end.
    cut: u8,
    /// Zeros behind that.
    zeros: u8,
}

#[derive(Debug, Arbitrary)]
struct Written<'a> {
    kind: u8,
    synced_before: bool,
    body: &'a [u8],
    /// Which word is changed, and the bits that are.
    change: Option<(u16, NonZeroU32)>,
}

/// A record, and its place.
type Placed<'a> = (Record<'a>, Range<usize>);

/// The input says which records there were and what became of them.
pub(crate) fn changes(input: &[u8]) {
    // As in life, nobody who writes a body knows the salt: it follows from all of the input.
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let salt = hasher.finish();
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return };

    let mut whole = segment::encode_header(FIRST, salt);
    let mut placed = Vec::new();
    for (written, sequence) in input.records.iter().zip(FIRST..) {
        let Written { kind, synced_before, body, .. } = *written;
        let record = Record { sequence, kind: kind.min(SEAL - 1), synced_before, body };
        let start = whole.len();
        record.write(salt, &mut whole);
        placed.push((record, start..whole.len()));
    }
    let mut bytes = whole.clone();
    for (written, (_, place)) in input.records.iter().zip(&placed) {
        if let Some((word, bits)) = written.change {
            change_word(&mut bytes[place.clone()], word, bits);
        }
    }
    let cut = usize::from(input.cut).min(bytes.len() - segment::HEADER_BYTES);
    bytes.truncate(bytes.len() - cut);
    bytes.resize(bytes.len() + usize::from(input.zeros), 0);
    check(salt, &bytes, &placed, |place| bytes.get(place.clone()) == whole.get(place.clone()));
}

fn change_word(record: &mut [u8], word: u16, bits: NonZeroU32) {
    let words = record.len().div_ceil(WORD_BYTES);
    let at = usize::from(word) % words * WORD_BYTES;
    record[at..].iter_mut().zip(bits.get().to_le_bytes()).for_each(|(byte, bits)| *byte ^= bits);
}

fn check(salt: u64, bytes: &[u8], placed: &[Placed<'_>], is_whole: impl Fn(&Range<usize>) -> bool) {
    let mut records = Vec::new();
    let scan = segment::scan(bytes, FIRST, |record| records.push(record)).expect("a header");
    let before = placed.iter().take_while(|(_, place)| is_whole(place));
    let before: Vec<_> = before.map(|(record, _)| *record).collect();
    assert_eq!(records, before, "all that stands before the damage");

    let found = segment::records_behind(salt, &bytes[scan.end..], scan.last + 1);
    let found: BTreeSet<_> = found.map(|(at, _)| scan.end + at).collect();
    let behind = &placed[before.len()..];
    for (_, place) in behind {
        assert_eq!(found.contains(&place.start), is_whole(place), "behind the damage: {place:?}");
    }
    let whole_behind: Vec<_> = behind.iter().filter(|(_, place)| is_whole(place)).collect();
    if !whole_behind.is_empty() {
        assert_ne!(scan.tail, Tail::Open, "records are passed over");
    }
    if whole_behind.iter().any(|(record, _)| record.synced_before) {
        assert!(matches!(scan.tail, Tail::Damaged(_)), "{:?} loses what was synced", scan.tail);
    }
}
