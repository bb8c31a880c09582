//! One segment: a file of records with consecutive numbers.
//!
//! It starts with 32 bytes: `"BANTERJ1"`, the number of its first record, the salt of its records
//! (8 bytes each, little-endian), the crc32c of these, and 4 zeros. Its name is the number of its
//! first record. Behind the records of the segment that is written to lie zeros, so that a sync
//! need not also write the file's new length, and a record is never cut short by a full disk. A
//! segment that is followed by another one ends with a seal: a record of kind [`SEAL`] without a
//! body.

use std::io;

use super::super::Sequence;
use super::fs::{self, DiskFile, Fs};
use super::record::{self, Found, Record};

pub(super) const HEADER_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"BANTERJ1";
const SUFFIX: &str = ".segment";
const TEMPORARY: &str = "segment.tmp";

/// What is written ahead, a piece at a time: a fresh mebibyte of zeros costs more than writing it.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What is wrong with a segment that reaches into the one behind it.
pub(super) const OVERLAPS: &str = "its last records are also in the segment that follows";

/// The kind of the record that ends a segment; its number is the first of the next segment.
pub(super) const SEAL: u8 = 255;

/// Sizes. Tests shrink them, so that every boundary is met.
#[derive(Debug, Clone)]
pub(in crate::buffer) struct Limits {
    /// A segment that would grow beyond this is followed by another one: long enough to be rare,
    /// short enough to be read into memory and to give its room back soon.
    pub(in crate::buffer) segment_bytes: u64,
    /// Zeros are written ahead in steps of this: a sync is nearly twice as fast where it need not
    /// write a new length, and once in a mebibyte it may.
    pub(in crate::buffer) reserve_step: u64,
    /// So much is always reserved behind the records: when the disk is full, giving it back is what
    /// makes room for the next segment, and so for the removal of this one.
    pub(in crate::buffer) min_reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, reserve_step: 1 << 20, min_reserve: 64 << 10 }
    }
}

impl Limits {
    /// No segment is longer than this: a last group may go beyond the usual length.
    pub(super) fn longest_segment(&self) -> u64 {
        let longest_record = (record::HEADER_BYTES + record::MAX_BODY_BYTES) as u64;
        2 * self.segment_bytes + longest_record + 2 * self.reserve_step + self.min_reserve
    }
}

/// The name of the segment that starts with this number.
pub(super) fn name(first: Sequence) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The number that a file's name gives, where it is a segment's.
pub(super) fn first_of(name: &str) -> Option<Sequence> {
    let number = name.strip_suffix(SUFFIX)?;
    let is_ours =
        |first: &Sequence| (1..=record::MAX_SEQUENCE).contains(first) && self::name(*first) == name;
    number.parse().ok().filter(is_ours)
}

/// The numbers with which the segments among these files begin, in order.
pub(super) fn firsts_of(names: &[String]) -> Vec<Sequence> {
    let mut firsts: Vec<_> = names.iter().filter_map(|name| first_of(name)).collect();
    firsts.sort_unstable();
    firsts
}

/// The bytes before the first record.
pub(super) fn encode_header(first: Sequence, salt: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&salt.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

/// The salt of a segment's records.
fn salt(bytes: &[u8], first: Sequence) -> Result<u64, &'static str> {
    let header = bytes.get(..HEADER_BYTES).ok_or("the segment has no whole header")?;
    let salt = header.get(16..).and_then(<[u8]>::first_chunk).map(|salt| u64::from_le_bytes(*salt));
    match salt {
        Some(salt) if encode_header(first, salt) == header => Ok(salt),
        _ => Err("the segment's header is damaged, or belongs to another file"),
    }
}

/// What a segment holds, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) salt: u64,
    /// The number of the last record; one less than the first one's when there is none.
    pub(super) last: Sequence,
    /// Bytes up to the end of the last record.
    pub(super) end: usize,
    pub(super) tail: Tail,
}

/// What stands behind the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, or zeros.
    Open,
    /// A seal: another segment follows.
    Sealed,
    /// Rubbish, and nothing that was written after it was on the disk.
    Torn(&'static str),
    /// Rubbish in front of records, which shows that it was whole once.
    Damaged(&'static str),
}

/// Reads a segment from its start as far as it is whole.
///
/// # Errors
/// What is wrong with its header.
pub(super) fn scan<'a>(
    bytes: &'a [u8],
    first: Sequence,
    mut visit: impl FnMut(Record<'a>),
) -> Result<Scan, &'static str> {
    let salt = salt(bytes, first)?;
    let (mut last, mut end) = (first - 1, HEADER_BYTES);
    let tail = loop {
        match record::read(salt, &bytes[end..]) {
            Found::Record(record) if record.sequence != last + 1 => {
                break Tail::Damaged("a record's number is not the next one");
            }
            Found::Record(record) if record.kind == SEAL => break Tail::Sealed,
            Found::Record(record) => {
                (last, end) = (record.sequence, end + record.len());
                visit(record);
            }
            Found::End => break Tail::Open,
            Found::Damage(reason) => {
                let was_whole = records_behind(salt, &bytes[end..], last + 1)
                    .any(|(_, record)| record.synced_before);
                break if was_whole { Tail::Damaged(reason) } else { Tail::Torn(reason) };
            }
        }
    };
    Ok(Scan { salt, last, end, tail })
}

/// All whole records in `bytes`, wherever they start, from a number on; with their places.
pub(super) fn records_behind(
    salt: u64,
    bytes: &[u8],
    from: Sequence,
) -> impl Iterator<Item = (usize, Record<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (found, record) = record::find(salt, &bytes[at..], from)?;
        let start = at + found;
        at = start + record.len();
        Some((start, record))
    })
}

/// All whole records of a segment, also those behind damage, and its seal; with their places.
///
/// # Errors
/// What is wrong with its header. Without the salt in there, nothing tells a record from a text
/// that looks like one.
pub(super) fn whole_records(
    bytes: &[u8],
    first: Sequence,
) -> Result<impl Iterator<Item = (usize, Record<'_>)>, &'static str> {
    let salt = salt(bytes, first)?;
    let records = records_behind(salt, &bytes[HEADER_BYTES..], 1);
    Ok(records.map(|(at, record)| (HEADER_BYTES + at, record)))
}

/// The segment that is written to.
pub(super) struct Active {
    file: Box<dyn DiskFile>,
    first: Sequence,
    salt: u64,
    end: u64,
    /// The file's length: what lies behind `end` is zeros.
    reserved: u64,
}

impl Active {
    /// Makes a segment. It is on the disk, under its name, when this returns.
    pub(super) fn create(fs: &dyn Fs, first: Sequence) -> io::Result<Self> {
        let salt = rand::random();
        let mut file = fs.create(TEMPORARY)?;
        file.write_at(&encode_header(first, salt), 0)?;
        file.sync()?;
        fs.rename(TEMPORARY, &name(first))?;
        fs.sync_dir()?;
        let end = HEADER_BYTES as u64;
        Ok(Self { file, first, salt, end, reserved: end })
    }

    /// Goes on with a segment that is there. What is behind its last record is cut; what is before
    /// is written once more: after a sync that failed, the system may have it in memory alone, and
    /// not know that any more.
    pub(super) fn reopen(
        fs: &dyn Fs,
        first: Sequence,
        scan: &Scan,
        bytes: &[u8],
    ) -> io::Result<Self> {
        let mut file = fs.open(&name(first))?;
        let end = scan.end as u64;
        file.write_at(&bytes[..scan.end], 0)?;
        file.set_len(end)?;
        file.sync()?;
        Ok(Self { file, first, salt: scan.salt, end, reserved: end })
    }

    pub(super) fn first(&self) -> Sequence {
        self.first
    }

    pub(super) fn salt(&self) -> u64 {
        self.salt
    }

    /// Bytes of header and records.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn has_records(&self) -> bool {
        self.end > HEADER_BYTES as u64
    }

    /// Writes records behind those that are there. After an error that says that the disk is full,
    /// nothing of them is in the file; after another one, anything may be.
    pub(super) fn append(&mut self, records: &[u8], limits: &Limits) -> io::Result<()> {
        let end = self.end + records.len() as u64;
        if end + limits.min_reserve > self.reserved {
            let reserved = (end + limits.min_reserve).next_multiple_of(limits.reserve_step);
            self.reserve(reserved)?;
        }
        if let Err(error) = self.file.write_at(records, self.end) {
            // Some file systems want new room even for what is reserved.
            if fs::is_full(&error) {
                self.cut()?;
            }
            return Err(error);
        }
        self.end = end;
        Ok(())
    }

    /// Makes the file longer with zeros; after an error it is as long as before.
    pub(super) fn reserve(&mut self, length: u64) -> io::Result<()> {
        let mut written = self.reserved;
        while written < length {
            let zeros = &ZEROS[..ZEROS.len().min((length - written) as usize)];
            if let Err(error) = self.file.write_at(zeros, written) {
                self.file.set_len(self.reserved)?;
                return Err(error);
            }
            written += zeros.len() as u64;
        }
        self.reserved = written;
        Ok(())
    }

    /// Gives back what is reserved.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.reserved = self.end;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Ends a segment that `next` follows; on a full disk without a seal, which is needed only
    /// where the next one is lost.
    pub(super) fn seal(mut self, next: Sequence) -> io::Result<()> {
        let mut seal = Vec::new();
        let record = Record { sequence: next, kind: SEAL, synced_before: false, body: &[] };
        record.write(self.salt, &mut seal);
        match self.file.write_at(&seal, self.end) {
            Ok(()) => self.end += seal.len() as u64,
            Err(error) if fs::is_full(&error) => {}
            Err(error) => return Err(error),
        }
        self.file.set_len(self.end)?;
        self.file.sync()
    }
}
