//! Taking what is whole out of old segments, whatever lies between.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::fs::Fs;
use super::record::Record;
use super::recovery::{op_of, time_of};
use super::repair::Repaired;
use super::{AppendError, Entry, Journal, segment};
use crate::buffer::Sequence;

/// The name of a record that is whole and can't be read begins so.
pub(super) const UNREADABLE_RECORD: &str = "record-";

/// Records are written in groups of about this size.
const GROUP_BYTES: usize = 1 << 20;

/// What is on its way from old segments into a fresh journal.
pub(super) struct Salvage {
    fresh: Arc<dyn Fs>,
    journal: Journal,
    /// The fresh one: where the journal begins, and the latest time of any message so far.
    checkpoint: Checkpoint,
    /// The numbers behind it that were found.
    seen: BTreeSet<Sequence>,
    /// The newest number that is known to have been given.
    highest: Sequence,
    /// The number with which the newest segment that can be read begins, and the one with which
    /// the newest seal says that another one does.
    newest: Sequence,
    sealed_for: Sequence,
    group: Vec<Entry>,
    group_bytes: usize,
    notes: Vec<String>,
}

impl Salvage {
    pub(super) fn new(fresh: Arc<dyn Fs>, journal: Journal, notes: Vec<String>) -> Self {
        let checkpoint = journal.checkpoint();
        Self {
            fresh,
            journal,
            checkpoint,
            seen: BTreeSet::new(),
            highest: checkpoint.sequence,
            newest: 0,
            sealed_for: 0,
            group: Vec::new(),
            group_bytes: 0,
            notes,
        }
    }

    /// Says that a segment is passed over.
    pub(super) fn note_untrusted(&mut self, first: Sequence, reason: &str) {
        let name = segment::name(first);
        self.notes.push(format!(
            "{name}: {reason}: nothing in it can be told from rubbish, so nothing of it is saved; by \
             its name it begins with record {first}"
        ));
    }

    /// Takes what is whole out of the next segment.
    pub(super) fn segment(&mut self, first: Sequence, bytes: &[u8]) -> io::Result<()> {
        let records = match segment::whole_records(bytes, first) {
            Ok(records) => records,
            Err(reason) => {
                self.note_untrusted(first, reason);
                return Ok(());
            }
        };
        self.highest = self.highest.max(first - 1);
        self.newest = first;
        for (_, record) in records {
            if record.kind == segment::SEAL {
                self.sealed_for = record.sequence;
                self.highest = self.highest.max(record.sequence - 1);
            } else if record.sequence > self.checkpoint.sequence
                && self.seen.insert(record.sequence)
            {
                self.highest = self.highest.max(record.sequence);
                self.take(&record)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, record: &Record<'_>) -> io::Result<()> {
        match op_of(record) {
            Ok(op) => {
                let floor = &mut self.checkpoint.floor;
                *floor = time_of(&op).map_or(*floor, |time| time.max(*floor));
                self.group.push(Entry { kind: record.kind, body: record.body.to_vec() });
                self.group_bytes += record.len();
                if self.group_bytes >= GROUP_BYTES {
                    self.write()?;
                }
            }
            Err(reason) => {
                let name = format!("{UNREADABLE_RECORD}{:020}", record.sequence);
                let mut file = self.fresh.create(&name)?;
                file.write_at(record.body, 0)?;
                file.sync()?;
                self.notes.push(format!("{reason}: it is kept as {name} with the old files"));
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.journal.append(&self.group).map_err(io_error)?;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }

    /// How many are saved, which are lost, and what else there is to know. All is on the disk.
    pub(super) fn finish(mut self) -> io::Result<Repaired> {
        self.write()?;
        self.journal
            .advance(self.checkpoint)
            .and_then(|()| self.journal.sync())
            .map_err(io_error)?;
        self.fresh.sync_dir()?;
        if self.sealed_for > self.newest {
            self.notes.push(format!(
                "the newest segment is gone: nobody knows how many records it had, the first of them \
                 number {}",
                self.sealed_for
            ));
        }
        let saved = self.journal.last() - self.checkpoint.sequence;
        Ok(Repaired { saved, lost: self.lost(), notes: self.notes })
    }

    fn lost(&self) -> Vec<(Sequence, Sequence)> {
        let mut lost = Vec::new();
        let mut expected = self.checkpoint.sequence + 1;
        for found in self.seen.iter().copied().chain([self.highest + 1]) {
            if expected < found {
                lost.push((expected, found - 1));
            }
            expected = found + 1;
        }
        lost
    }
}

fn io_error(error: AppendError) -> io::Error {
    match error {
        AppendError::Full(error) | AppendError::Failed(error) => error,
    }
}
