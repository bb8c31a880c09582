//! Whatever stands in a segment: it is read without a panic and without memory, and what is taken
//! for records, written again, is what stands there.

use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};

use super::FIRST;
use super::record::{self, HEADER_BYTES, Record};
use super::segment::{self, SEAL, Scan, Tail};
use crate::within;

/// It is known, so that the fuzzer can find checksums that are right.
const SALT: u64 = 0x5a17;

/// The input is a file.
pub(crate) fn file(input: &[u8]) {
    check(input);
}

/// The input is what stands behind a header that is right.
pub(crate) fn records(input: &[u8]) {
    check(&[&header(), input].concat());
}

/// The input says what to put behind a header, one behind the other.
pub(crate) fn pieces(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let mut bytes = header();
    let mut next = FIRST;
    for piece in input.arbitrary_iter::<Piece>().into_iter().flatten().flatten() {
        match piece {
            Piece::Record { skipped, kind, synced_before, body, lie } => {
                let sequence = next + u64::from(skipped);
                let start = bytes.len();
                Record { sequence, kind, synced_before, body }.write(SALT, &mut bytes);
                if let Some((at, bits)) = lie {
                    let header = &mut bytes[start..][..HEADER_BYTES];
                    header[usize::from(at) % HEADER_BYTES] ^= bits;
                    let checksum = record::header_checksum(SALT, header);
                    header[4..8].copy_from_slice(&checksum.to_le_bytes());
                }
                next = sequence + 1;
            }
            Piece::Cut(cut) => bytes.truncate(bytes.len().saturating_sub(cut.into())),
            Piece::Zeros(zeros) => bytes.resize(bytes.len() + usize::from(zeros), 0),
            Piece::Bytes(other) => bytes.extend_from_slice(other),
        }
    }
    check(&bytes);
}

#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    /// A record. Its number may be too high by `skipped`, and a byte of its header another one, for
    /// which its checksum vouches nevertheless.
    Record {
        skipped: u8,
        kind: u8,
        synced_before: bool,
        body: &'a [u8],
        lie: Option<(u8, u8)>,
    },
    /// Takes so many bytes away again.
    Cut(u8),
    Zeros(u8),
    Bytes(&'a [u8]),
}

/// Records of these kinds and bodies, and a seal.
pub(crate) fn written(records: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for ((kind, body), sequence) in records.iter().chain(&[(SEAL, &[][..])]).zip(FIRST..) {
        let record = Record { sequence, kind: *kind, synced_before: sequence == FIRST, body };
        record.write(SALT, &mut bytes);
    }
    bytes
}

pub(crate) fn header() -> Vec<u8> {
    segment::encode_header(FIRST, SALT)
}

fn check(bytes: &[u8]) {
    let found = within(bytes.len(), || segment::scan(bytes, FIRST, |_| {}));
    let mut records = Vec::new();
    assert_eq!(segment::scan(bytes, FIRST, |record| records.push(record)), found, "read twice");
    let Ok(scan) = found else { return };
    let behind = &bytes[scan.end..];
    if scan.tail == Tail::Open {
        assert!(behind.iter().all(|byte| *byte == 0), "nothing is passed over");
    }

    let mut written = segment::encode_header(FIRST, scan.salt);
    for (record, sequence) in records.iter().zip(FIRST..) {
        assert_eq!(record.sequence, sequence);
        record.write(scan.salt, &mut written);
    }
    assert_eq!(written, bytes[..scan.end]);
    let mut again = Vec::new();
    let whole = Scan { tail: Tail::Open, ..scan };
    assert_eq!(segment::scan(&written, FIRST, |record| again.push(record)), Ok(whole));
    assert_eq!(again, records);
}
