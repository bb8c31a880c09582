//! The checkpoint: up to where everything is stored, so that a start need not repeat it.
//!
//! A file of two slots, 4,096 bytes each, made in full when the journal is made: changing it never
//! needs room on the disk. A slot is `"BANTERC1"`, generation, sequence number, floor (8 bytes
//! each, little-endian), and the crc32c of these. The slot that is known to be on the disk is never
//! written to; the other one is, and counts once it is whole and has the higher generation.

use std::io;

use super::super::Sequence;
use super::fs::{DiskFile, Fs};
use super::record::MAX_SEQUENCE;
use crate::model::Timestamp;

pub(super) const FILE_NAME: &str = "checkpoint";
pub(super) const FILE_BYTES: u64 = 2 * SLOT_BYTES;
const TEMPORARY: &str = "checkpoint.tmp";

/// What is wrong with a file from which nothing can be read.
pub(super) const NOT_WHOLE: &str = "neither of its two values is whole";
const SLOT_BYTES: u64 = 4_096;
const MAGIC: &[u8; 8] = b"BANTERC1";
const VALUE_BYTES: usize = 32;

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) struct Checkpoint {
    /// Everything up to this number is stored, or in a dead letter.
    pub(in crate::buffer) sequence: Sequence,
    /// The latest time of any message so far: no later one may have an earlier time.
    pub(in crate::buffer) floor: Timestamp,
}

impl Checkpoint {
    /// That of a journal in which nothing ever was.
    pub(super) const START: Self = Self { sequence: 0, floor: Timestamp(0) };
}

/// The file, open for changes.
pub(super) struct CheckpointFile {
    file: Box<dyn DiskFile>,
    value: Checkpoint,
    generation: u64,
    /// The slot that is on the disk for certain.
    durable: u64,
    is_synced: bool,
}

impl CheckpointFile {
    /// Makes the file.
    pub(super) fn create(fs: &dyn Fs, value: Checkpoint) -> io::Result<Self> {
        let mut file = fs.create(TEMPORARY)?;
        let mut bytes = encode(value, 1);
        bytes.resize(FILE_BYTES as usize, 0);
        file.write_at(&bytes, 0)?;
        file.sync()?;
        fs.rename(TEMPORARY, FILE_NAME)?;
        fs.sync_dir()?;
        Ok(Self { file, value, generation: 1, durable: 0, is_synced: true })
    }

    /// Opens the file of which `bytes` is the content; `None` when neither slot is whole.
    pub(super) fn open(fs: &dyn Fs, bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some((slot, generation, value)) = newest(bytes) else { return Ok(None) };
        let mut file = fs.open(FILE_NAME)?;
        // What was read may be in the system's memory alone, and after a sync that failed the
        // system would not bring it to the disk by itself any more.
        file.write_at(&encode(value, generation), slot * SLOT_BYTES)?;
        file.sync()?;
        // The other slot may hold parts of a value that a crash has torn. With parts of the next
        // one they could make a whole.
        file.write_at(&[0; SLOT_BYTES as usize], (1 - slot) * SLOT_BYTES)?;
        file.sync()?;
        Ok(Some(Self { file, value, generation, durable: slot, is_synced: true }))
    }

    pub(super) fn value(&self) -> Checkpoint {
        self.value
    }

    /// Writes a new value, which survives the process at once and the machine after
    /// [`CheckpointFile::sync`].
    pub(super) fn write(&mut self, value: Checkpoint) -> io::Result<()> {
        let bytes = encode(value, self.generation + 1);
        self.file.write_at(&bytes, (1 - self.durable) * SLOT_BYTES)?;
        self.generation += 1;
        self.value = value;
        self.is_synced = false;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync()?;
            self.durable = 1 - self.durable;
            self.is_synced = true;
        }
        Ok(())
    }
}

/// The value of the newest whole slot of a file.
pub(super) fn read(bytes: &[u8]) -> Option<Checkpoint> {
    newest(bytes).map(|(_, _, value)| value)
}

fn encode(value: Checkpoint, generation: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&value.sequence.to_le_bytes());
    bytes.extend_from_slice(&value.floor.as_millis().to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Slot, generation and value.
fn newest(bytes: &[u8]) -> Option<(u64, u64, Checkpoint)> {
    let slots = bytes.chunks(SLOT_BYTES as usize).take(2).zip(0..);
    let whole = slots.filter_map(|(slot, number)| {
        let (generation, value) = decode(slot)?;
        Some((number, generation, value))
    });
    whole.max_by_key(|(_, generation, _)| *generation)
}

fn decode(slot: &[u8]) -> Option<(u64, Checkpoint)> {
    let (value, rest) = slot.split_first_chunk::<VALUE_BYTES>()?;
    let checksum = u32::from_le_bytes(*rest.first_chunk()?);
    let fields = value.strip_prefix(MAGIC)?;
    if crc32c::crc32c(value) != checksum {
        return None;
    }
    let number = |at: usize| Some(u64::from_le_bytes(*fields.get(at..)?.first_chunk()?));
    let (generation, sequence) = (number(0)?, number(8).filter(|n| *n <= MAX_SEQUENCE)?);
    let floor = Timestamp(number(16)?.cast_signed());
    Some((generation, Checkpoint { sequence, floor }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::journal::fs::RealFs;

    fn value(sequence: Sequence) -> Checkpoint {
        Checkpoint { sequence, floor: Timestamp(-1) }
    }

    fn content(fs: &RealFs) -> Vec<u8> {
        fs.read(FILE_NAME, FILE_BYTES).expect("the file")
    }

    #[test]
    fn the_newest_value_counts_and_the_durable_slot_is_never_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let fs = RealFs::open(folder.path()).expect("a folder");
        let mut file = CheckpointFile::create(&fs, value(1)).expect("made");
        for n in 2..5 {
            file.write(value(n)).expect("written");
            assert_eq!(read(&content(&fs)), Some(value(n)));
            // Whatever becomes of a write that was not synced, the value before it is there.
            let mut torn = content(&fs);
            torn[SLOT_BYTES as usize..][..20].fill(9);
            assert_eq!(read(&torn), Some(value(1)));
        }
        file.sync().expect("synced");
        file.write(value(5)).expect("written");
        let mut torn = content(&fs);
        torn[..20].fill(9);
        assert_eq!(read(&torn), Some(value(4)));
    }

    #[test]
    fn an_opened_file_goes_on_where_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let fs = RealFs::open(folder.path()).expect("a folder");
        CheckpointFile::create(&fs, value(1)).and_then(|mut f| f.write(value(2))).expect("written");
        let mut file = CheckpointFile::open(&fs, &content(&fs)).expect("opened").expect("whole");
        assert_eq!(file.value(), value(2));
        file.write(value(3)).expect("written");
        assert_eq!(read(&content(&fs)), Some(value(3)));
    }

    #[test]
    fn what_is_no_checkpoint_is_none() {
        for bytes in [&[][..], &[0; 100], &[0; FILE_BYTES as usize], MAGIC] {
            assert_eq!(read(bytes), None);
        }
        let mut bytes = encode(value(7), 1);
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(read(&bytes), None, "byte {at}");
            bytes[at] ^= 1;
        }
        assert_eq!(read(&bytes), Some(value(7)));
    }
}
