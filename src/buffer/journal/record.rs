//! One record: the frame around an op. Pure: bytes in, bytes out.
//!
//! ```text
//! offset  bytes  little-endian
//!      0      4  length of the body
//!      4      4  checksum of the header: crc32c over the segment's salt and all else up to the body
//!      8      8  sequence number
//!     16      1  kind of the op (codec::Kind)
//!     17      1  flags: 1 = everything before this record was on the disk when it was written
//!     18      2  zero
//!     20      4  checksum of the body: crc32c
//!     24      n  body: BSON
//! ```
//!
//! The header vouches for the length before anything is done with it. The salt is random and known
//! to nobody outside: a client could else send a message whose text, behind damage, reads as a
//! record of somebody else.

use super::super::Sequence;

/// Bytes before the body.
pub(in crate::buffer) const HEADER_BYTES: usize = 24;

/// The largest body. A MongoDB document, and one statement that updates it, may have 16 MiB.
pub(in crate::buffer) const MAX_BODY_BYTES: usize = 15 << 20;

/// No number comes near this one: a file that says otherwise is not ours, and sums with the numbers
/// that are stay far from their limit.
pub(super) const MAX_SEQUENCE: Sequence = 1 << 62;

const SYNCED_BEFORE: u8 = 1;

/// A record as it stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Record<'a> {
    /// Its place in the order of all ops.
    pub(in crate::buffer) sequence: Sequence,
    /// [`codec::Kind`](super::super::codec::Kind) as a number.
    pub(in crate::buffer) kind: u8,
    /// Whether everything before it was on the disk when it was written.
    pub(in crate::buffer) synced_before: bool,
    /// The op.
    pub(in crate::buffer) body: &'a [u8],
}

impl Record<'_> {
    /// Bytes that the record takes.
    pub(in crate::buffer) fn len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Appends the record to `out`.
    pub(in crate::buffer) fn write(&self, salt: u64, out: &mut Vec<u8>) {
        assert!(self.body.len() <= MAX_BODY_BYTES, "a body's size is checked when it is accepted");
        let start = out.len();
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        let flags = if self.synced_before { SYNCED_BEFORE } else { 0 };
        out.extend_from_slice(&[self.kind, flags, 0, 0]);
        out.extend_from_slice(&crc32c::crc32c(self.body).to_le_bytes());
        let checksum = header_checksum(salt, &out[start..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(self.body);
    }
}

/// What stands at a place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) enum Found<'a> {
    /// A whole record.
    Record(Record<'a>),
    /// Nothing was ever written here: the segment ends, or goes on with zeros to its end.
    End,
    /// Something that is no record, and why not.
    Damage(&'static str),
}

/// Looks at the start of `bytes`, which reach to the end of the segment.
pub(in crate::buffer) fn read(salt: u64, bytes: &[u8]) -> Found<'_> {
    match parse(salt, bytes) {
        Ok(record) => Found::Record(record),
        Err(_) if bytes.iter().all(|byte| *byte == 0) => Found::End,
        Err(reason) => Found::Damage(reason),
    }
}

fn parse(salt: u64, bytes: &[u8]) -> Result<Record<'_>, &'static str> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err("a record's header is cut short");
    };
    let length = u32_at(header, 0) as usize;
    if length > MAX_BODY_BYTES {
        return Err("a record says that it is longer than any record");
    }
    let [.., kind, flags, z0, z1, _, _, _, _] = *header;
    if flags & !SYNCED_BEFORE != 0 || [z0, z1] != [0, 0] {
        return Err("a record's header is none of this version");
    }
    if header_checksum(salt, header) != u32_at(header, 4) {
        return Err("the checksum of a record's header is wrong");
    }
    let Some(body) = rest.get(..length) else {
        return Err("a record is cut short");
    };
    if crc32c::crc32c(body) != u32_at(header, 20) {
        return Err("the checksum of a record's body is wrong");
    }
    let sequence = u64::from(u32_at(header, 12)) << 32 | u64::from(u32_at(header, 8));
    if sequence > MAX_SEQUENCE {
        return Err("a record's number is none of a journal");
    }
    Ok(Record { sequence, kind, synced_before: flags == SYNCED_BEFORE, body })
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// The next whole record anywhere in `bytes` whose number is `from` or a later one, and where it
/// starts. For looking behind damage: a header that can't be right is passed over at once.
pub(in crate::buffer) fn find(
    salt: u64,
    bytes: &[u8],
    from: Sequence,
) -> Option<(usize, Record<'_>)> {
    let starts = 0..(bytes.len() + 1).saturating_sub(HEADER_BYTES);
    starts.into_iter().find_map(|at| match parse(salt, &bytes[at..]) {
        Ok(record) if record.sequence >= from => Some((at, record)),
        _ => None,
    })
}

/// The checksum of a header, whatever stands in the checksum's own place.
pub(super) fn header_checksum(salt: u64, header: &[u8]) -> u32 {
    let salted = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(salted, &header[..4]), &header[8..HEADER_BYTES])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 7;

    fn record(sequence: Sequence, body: &[u8]) -> Record<'_> {
        Record { sequence, kind: 3, synced_before: sequence.is_multiple_of(2), body }
    }

    fn written(record: &Record<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.write(SALT, &mut bytes);
        bytes
    }

    #[test]
    fn a_record_reads_back_with_whatever_follows_it() {
        for sequence in [1, 2] {
            let record = record(sequence, b"body");
            let mut bytes = written(&record);
            assert_eq!(bytes.len(), record.len());
            bytes.extend_from_slice(b"more");
            assert_eq!(read(SALT, &bytes), Found::Record(record));
        }
    }

    #[test]
    fn nothing_and_zeros_are_the_end() {
        for zeros in [0, 1, HEADER_BYTES, 1_000] {
            assert_eq!(read(SALT, &vec![0; zeros]), Found::End, "{zeros}");
        }
        let mut after_zeros = vec![0; 100];
        after_zeros.push(1);
        assert!(matches!(read(SALT, &after_zeros), Found::Damage(_)));
    }

    #[test]
    fn each_changed_bit_and_each_cut_is_damage() {
        let bytes = written(&record(2, b"a body"));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(SALT, &changed), Found::Damage(_)), "bit {bit}");
        }
        for cut in 1..bytes.len() {
            assert!(matches!(read(SALT, &bytes[..cut]), Found::Damage(_)), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let mut bytes = written(&record(1, b""));
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let damage = Found::Damage("a record says that it is longer than any record");
        assert_eq!(read(SALT, &bytes), damage);
    }

    #[test]
    fn a_record_of_another_salt_is_none() {
        let bytes = written(&record(1, b"text of a client"));
        assert!(matches!(read(SALT + 1, &bytes), Found::Damage(_)));
        assert_eq!(find(SALT + 1, &bytes, 0), None);
    }

    #[test]
    fn records_behind_damage_are_found_by_their_number() {
        let (early, late) = (record(4, b"early"), record(9, b"late"));
        let bytes = [b"rubbish".to_vec(), written(&early), written(&late)].concat();
        assert_eq!(find(SALT, &bytes, 0), Some((7, early)));
        assert_eq!(find(SALT, &bytes, 5), Some((7 + early.len(), late)));
        assert_eq!(find(SALT, &bytes, 10), None);
    }

    proptest! {
        #[test]
        fn bytes_that_mean_nothing_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = read(SALT, &bytes);
            let _ = find(SALT, &bytes, 0);
        }
    }
}
