//! The journal: what makes an accepted op survive the process and the machine.
//!
//! **Constraints.** One folder belongs to one process. Numbers are contiguous. Nothing is written
//! to a file whose sync has failed. No length that is read is trusted before its checksum is right.
//! A full disk refuses records and damages none; the checkpoint can be moved all the same.
//!
//! **On disk.** A folder with segments (`segment.rs`) of records (`record.rs`), the `checkpoint`
//! (`checkpoint.rs`), a `lock`, what was cut off after crashes (`torn-...`), and folders with what
//! was there before a repair (`damaged-...`, `repair.rs`). The number of a segment's first record
//! is its name, and each segment goes on where the one before it ends.
//!
//! ```text
//! 00000000000000000001.segment   [header][1][2][3] ... [41][seal 42]
//! 00000000000000000042.segment   [header][42][43] ... [57][zeros ...
//! checkpoint                     sequence 44
//! ```
//!
//! **Operation.** The committer's thread appends a group of records and syncs once
//! ([`Journal::append`]). When the store has confirmed what is oldest, the checkpoint moves on
//! ([`Journal::advance`]), and segments that lie before it as a whole are removed. A start reads
//! what lies behind the checkpoint (`recovery.rs`) and goes on in the last segment.
//!
//! **Faults.** A crash may leave a torn record at the end of the last segment: it was never
//! acknowledged, is kept in a file of its own, and cut off. Rubbish in front of records that were
//! written later, or in another segment, or a segment that is missing, means that something that
//! was acknowledged may be lost: the start is refused. A sync or write that fails makes the journal
//! [`AppendError::Failed`] until the process starts anew; a lack of room
//! ([`AppendError::Full`]) passes by itself.

mod checkpoint;
mod fs;
mod inspect;
mod record;
mod recovery;
mod repair;
mod salvage;
mod segment;
#[cfg(test)]
pub(super) mod sim;
#[cfg(test)]
mod tests;
mod views;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Sequence;
pub(super) use checkpoint::Checkpoint;
use checkpoint::CheckpointFile;
pub(super) use fs::{Fs, RealFs};
pub use inspect::{CheckpointReport, Inspection, Part, RecordReport, SegmentReport, SegmentState};
pub(super) use record::{MAX_BODY_BYTES, Record};
pub(super) use recovery::{Recovered, time_of};
pub use repair::{Repair, RepairError, Repaired, repair};
use segment::Active;
pub(super) use segment::Limits;

/// When records are brought from the system's memory to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Before they are acknowledged: nothing acknowledged is lost when the machine dies.
    Always,
    /// Every 100 ms: what was acknowledged since is lost when the machine dies, not when the
    /// process does.
    Interval,
    /// When the system does: as above, for as long as that takes.
    Os,
}

impl SyncMode {
    const ALL: [Self; 3] = [Self::Always, Self::Interval, Self::Os];

    /// Its name in settings and figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::Os => "os",
        }
    }
}

impl fmt::Display for SyncMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SyncMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mode = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or("allowed are always, interval and os")
    }
}

/// How long [`SyncMode::Interval`] leaves records unsynced.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// Why a journal can't be opened. Each text says where and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Somebody else has it.
    #[error(
        "the journal in {folder:?} is in use by another process: stop that one, or give this server \
         a DATA_DIR of its own"
    )]
    Locked { folder: PathBuf },
    /// The disk does not do what it is asked.
    #[error("the journal in {folder:?} can't be used ({doing}): {error}")]
    Io { folder: PathBuf, doing: &'static str, error: io::Error },
    /// A part is not as it was written.
    #[error(
        "{file:?} is damaged at byte {offset}: {reason}. Acknowledged messages may be in there: \
         restore the file, or look at it with `banter journal inspect`, then save what can be saved \
         with `banter journal repair`"
    )]
    Damaged { file: PathBuf, offset: usize, reason: String },
    /// A part is not there.
    #[error(
        "a segment with the records {first} to {last} is missing in {folder:?}. Acknowledged messages \
         may be in there: restore the file, or go on without it with `banter journal repair`"
    )]
    Missing { folder: PathBuf, first: Sequence, last: Sequence },
    /// Somebody has begun to mend it.
    #[error(
        "a repair of the journal in {folder:?} was interrupted: run `banter journal repair` again, \
         which completes it and loses nothing"
    )]
    HalfRepaired { folder: PathBuf },
}

/// Why records were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendError {
    /// There is no room; nothing of the records was written.
    #[error("the disk is full: {0}")]
    Full(io::Error),
    /// Nobody knows what is on the disk; nothing more is written.
    #[error("the disk fails: {0}")]
    Failed(io::Error),
}

impl AppendError {
    fn of(error: io::Error) -> Self {
        if fs::is_full(&error) { Self::Full(error) } else { Self::Failed(error) }
    }
}

/// What is to be written: the kind and the body of one op.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

/// A segment that is not written to any more.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    first: Sequence,
    last: Sequence,
    bytes: u64,
}

/// The journal of this process; used by one thread.
pub(super) struct Journal {
    fs: Arc<dyn Fs>,
    limits: Limits,
    mode: SyncMode,
    sealed: VecDeque<Sealed>,
    active: Active,
    /// The number of the newest record.
    last: Sequence,
    checkpoint: CheckpointFile,
    /// Since when records wait for a sync.
    unsynced_since: Option<Instant>,
    has_failed: bool,
    /// Records on their way to the file; kept for its room.
    scratch: Vec<u8>,
}

/// Room in `scratch` beyond this is given back after a large group.
const SCRATCH_BYTES: usize = 4 << 20;

impl Journal {
    /// The number of the newest record.
    pub(super) fn last(&self) -> Sequence {
        self.last
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.checkpoint.value()
    }

    pub(super) fn mode(&self) -> SyncMode {
        self.mode
    }

    /// How many segments there are, and the bytes of their records.
    pub(super) fn size(&self) -> (usize, u64) {
        let sealed = self.sealed.iter().map(|segment| segment.bytes).sum::<u64>();
        (self.sealed.len() + 1, sealed + self.active.end())
    }

    /// Writes a group of records, which get the next numbers. In [`SyncMode::Always`] they are on
    /// the disk when this returns.
    pub(super) fn append(&mut self, group: &[Entry]) -> Result<(), AppendError> {
        self.guarded(|journal| journal.try_append(group))
    }

    fn try_append(&mut self, group: &[Entry]) -> io::Result<()> {
        self.scratch.clear();
        let bytes: usize = group.iter().map(|entry| record::HEADER_BYTES + entry.body.len()).sum();
        if self.active.has_records() && self.active.end() + bytes as u64 > self.limits.segment_bytes
        {
            self.roll()?;
        }
        let mut synced_before = self.unsynced_since.is_none();
        for (entry, sequence) in group.iter().zip(self.last + 1..) {
            let record = Record { sequence, kind: entry.kind, synced_before, body: &entry.body };
            record.write(self.active.salt(), &mut self.scratch);
            synced_before = false;
        }
        self.active.append(&self.scratch, &self.limits)?;
        if self.mode == SyncMode::Always {
            self.active.sync()?;
        } else {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        self.last += group.len() as Sequence;
        self.scratch.shrink_to(SCRATCH_BYTES);
        Ok(())
    }

    /// Begins a new segment. What is reserved in the old one makes room for it on a full disk.
    fn roll(&mut self) -> io::Result<()> {
        let next = self.last + 1;
        self.active.cut()?;
        if self.unsynced_since.is_some() {
            // No segment stands behind one whose end may be lost.
            self.active.sync()?;
        }
        let fresh = Active::create(&*self.fs, next)?;
        let (first, bytes) = (self.active.first(), self.active.end());
        self.sealed.push_back(Sealed { first, last: self.last, bytes });
        self.unsynced_since = None;
        std::mem::replace(&mut self.active, fresh).seal(next)
    }

    /// Syncs what waits for it, where the mode says that it is time.
    pub(super) fn sync_if_due(&mut self) -> Result<(), AppendError> {
        let waits = self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_INTERVAL);
        if self.mode == SyncMode::Interval && waits { self.sync() } else { Ok(()) }
    }

    /// When [`Journal::sync_if_due`] has something to do.
    pub(super) fn sync_due_in(&self) -> Option<Duration> {
        let since = self.unsynced_since.filter(|_| self.mode == SyncMode::Interval)?;
        Some(SYNC_INTERVAL.saturating_sub(since.elapsed()))
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> Result<(), AppendError> {
        self.guarded(|journal| {
            if journal.unsynced_since.is_some() {
                journal.active.sync()?;
                journal.unsynced_since = None;
            }
            journal.checkpoint.sync()
        })
    }

    /// Moves the checkpoint on, and removes what lies before it as a whole. Where the disk is full
    /// or a file can't be removed, that is made up for the next time.
    pub(super) fn advance(&mut self, to: Checkpoint) -> Result<(), AppendError> {
        assert!(self.checkpoint().sequence <= to.sequence, "the checkpoint only grows");
        assert!(to.sequence <= self.last, "what is stored was written down first");
        self.guarded(|journal| {
            if to != journal.checkpoint() {
                journal.checkpoint.write(to)?;
            }
            journal.remove_stored()
        })
    }

    fn remove_stored(&mut self) -> io::Result<()> {
        let stored = self.checkpoint().sequence;
        if self.sealed.front().is_none_or(|oldest| oldest.last > stored) {
            return Ok(());
        }
        // The segments' records must not be missed after a crash.
        self.checkpoint.sync()?;
        while let Some(oldest) = self.sealed.front().filter(|oldest| oldest.last <= stored) {
            if let Err(error) = self.fs.remove(&segment::name(oldest.first)) {
                tracing::warn!(segment = oldest.first, %error, "a segment can't be removed yet");
                break;
            }
            self.sealed.pop_front();
        }
        self.fs.sync_dir()
    }

    /// Looks whether there is room again after [`AppendError::Full`]; the segment that is full of
    /// records is ended, so that it can be removed once they are stored.
    pub(super) fn make_room(&mut self) -> Result<(), AppendError> {
        self.guarded(|journal| {
            if journal.active.has_records() {
                journal.roll()?;
            }
            let step = journal.limits.reserve_step.max(journal.limits.min_reserve);
            journal.active.reserve(segment::HEADER_BYTES as u64 + step)
        })
    }

    /// Does nothing once something has failed.
    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> Result<(), AppendError> {
        if self.has_failed {
            let text = "nothing is written after a failure; start the server again";
            return Err(AppendError::Failed(io::Error::other(text)));
        }
        let done = work(self).map_err(AppendError::of);
        self.has_failed |= matches!(done, Err(AppendError::Failed(_)));
        done
    }
}
