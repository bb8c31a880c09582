//! Mending a journal that no server starts on: what is whole and not stored goes into a fresh one,
//! and the old files go into a folder beside it.
//!
//! 1. The fresh journal is written under names of its own (`repaired-...`), synced, and read back.
//!    Until then the old one is as it was; what an interrupted attempt has left is removed by the
//!    next.
//! 2. The marker `repair.setting-aside` says that it is complete. From now on no server starts
//!    here, and a repair that is started goes on instead of beginning anew.
//! 3. The old segments, the first one first, and the old checkpoint are moved into
//!    `damaged-<UTC time>/`. The marker becomes `repair.moving-in`.
//! 4. The fresh files get their names, and the marker goes.
//!
//! So at any time either the old files are where they were, or the fresh ones are whole; nothing
//! but copies is ever removed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint, CheckpointFile};
use super::fs::{self, Fs, RealFs};
use super::inspect::Inspection;
use super::salvage::{Salvage, UNREADABLE_RECORD};
use super::segment::{self, Active};
use super::views::Prefixed;
use super::{Journal, Limits, OpenError, SyncMode};
use crate::buffer::Sequence;
use crate::buffer::dead_letter::date;
use crate::clock::Clock;

const PREFIX: &str = "repaired-";
const MARKER_TEMPORARY: &str = "repair.tmp";
const SETTING_ASIDE: &str = "repair.setting-aside";
const MOVING_IN: &str = "repair.moving-in";

/// A marker holds a time and no more.
const MARKER_BYTES: u64 = 64;

/// Whether a repair was begun in a folder with these files, and has to be completed.
pub(super) fn is_under_way(names: &[String]) -> bool {
    names.iter().any(|name| name == SETTING_ASIDE || name == MOVING_IN)
}

/// What became of a journal that was to be mended.
#[derive(Debug, PartialEq, Eq)]
pub enum Repair {
    /// A server would start on it as it is: nothing was changed.
    NotNeeded {
        /// Ops in it that are not stored yet.
        unstored: u64,
    },
    /// It is mended.
    Done {
        /// What is in it now.
        repaired: Repaired,
        /// The folder of the old files.
        old_files: PathBuf,
    },
    /// An earlier repair was interrupted, and is complete now.
    Completed {
        /// Ops in it that are not stored yet.
        unstored: u64,
        /// The folder of the old files.
        old_files: PathBuf,
    },
}

/// What a repair has saved.
#[derive(Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Ops that are in the journal now, all of them not stored yet.
    pub saved: u64,
    /// The first and last numbers of the runs of records that are in no file.
    pub lost: Vec<(Sequence, Sequence)>,
    /// What else is to be known, each in a sentence.
    pub notes: Vec<String>,
}

/// Why a journal was not mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Somebody has it.
    #[error("the journal in {0:?} is in use by another process: stop that one first")]
    InUse(PathBuf),
    /// The disk does not do what it is asked.
    #[error("the journal in {0:?} can't be repaired: {1}. Nothing is lost; try again")]
    Io(PathBuf, #[source] io::Error),
}

/// Mends the journal of a folder, if that is needed. After an error, or an end in the middle, it
/// can be called again.
///
/// # Errors
/// Somebody has the folder, or the disk fails or is full.
pub fn repair(folder: &Path, clock: &dyn Clock) -> Result<Repair, RepairError> {
    let failed = |error| RepairError::Io(folder.to_owned(), error);
    let fs = RealFs::open(folder).map_err(|error| match error {
        fs::OpenError::Locked => RepairError::InUse(folder.to_owned()),
        fs::OpenError::Io(error) => failed(error),
    })?;
    let time = date(clock.now()).strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
    Repairing::new(Arc::new(fs), Limits::default()).run(&time).map_err(failed)
}

pub(super) struct Repairing {
    fs: Arc<dyn Fs>,
    fresh: Arc<dyn Fs>,
    limits: Limits,
}

impl Repairing {
    pub(super) fn new(fs: Arc<dyn Fs>, limits: Limits) -> Self {
        let fresh = Arc::new(Prefixed { fs: Arc::clone(&fs), prefix: PREFIX });
        Self { fs, fresh, limits }
    }

    /// `time` names the folder of the old files.
    pub(super) fn run(&self, time: &str) -> io::Result<Repair> {
        if is_under_way(&self.fs.list()?) {
            let old_files = self.swap()?;
            let unstored = self.look(&self.fs).try_open().map_err(io::Error::other)?;
            return Ok(Repair::Completed { unstored, old_files });
        }
        match self.look(&self.fs).try_open() {
            Ok(unstored) => return Ok(Repair::NotNeeded { unstored }),
            // A file that is too large is damage; else the disk fails, which may pass.
            Err(OpenError::Io { error, .. }) if error.kind() != io::ErrorKind::FileTooLarge => {
                return Err(error);
            }
            Err(_) => {}
        }
        self.clear()?;
        let staged = self.stage();
        if staged.is_err() {
            // The disk may be full. What can't be removed now is removed by the next attempt.
            let _ = self.clear();
        }
        let repaired = staged?;
        self.mark(time)?;
        let old_files = self.swap()?;
        Ok(Repair::Done { repaired, old_files })
    }

    fn look(&self, fs: &Arc<dyn Fs>) -> Inspection {
        Inspection::on(Arc::clone(fs), self.limits.clone(), false)
    }

    /// Removes what an attempt has left that was not complete.
    fn clear(&self) -> io::Result<()> {
        self.fresh.list()?.iter().try_for_each(|name| self.fresh.remove(name))
    }

    /// Writes the fresh journal, and reads it back.
    fn stage(&self) -> io::Result<Repaired> {
        let firsts = segment::firsts_of(&self.fs.list()?);
        let mut notes = Vec::new();
        let checkpoint = self.checkpoint(&firsts, &mut notes)?;
        Active::create(&*self.fresh, checkpoint.sequence + 1)?;
        CheckpointFile::create(&*self.fresh, checkpoint)?;
        let (fs, limits) = (Arc::clone(&self.fresh), self.limits.clone());
        let (journal, _) = Journal::open(fs, limits, SyncMode::Always).map_err(io::Error::other)?;
        let mut salvage = Salvage::new(Arc::clone(&self.fresh), journal, notes);
        for first in firsts {
            match self.read(first)? {
                Ok(bytes) => salvage.segment(first, &bytes)?,
                Err(reason) => salvage.note_untrusted(first, &reason),
            }
        }
        let repaired = salvage.finish()?;
        let read_back = self.look(&self.fresh).try_open().map_err(io::Error::other)?;
        if read_back != repaired.saved {
            let text = format!("{} records were written, {read_back} read back", repaired.saved);
            return Err(io::Error::other(text));
        }
        Ok(repaired)
    }

    /// Where the fresh journal begins. Without a checkpoint nobody knows what is stored, so that
    /// everything counts as not stored: stored once more, it changes nothing.
    fn checkpoint(&self, firsts: &[Sequence], notes: &mut Vec<String>) -> io::Result<Checkpoint> {
        let read = match self.fs.read(checkpoint::FILE_NAME, checkpoint::FILE_BYTES) {
            Ok(bytes) => checkpoint::read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(Checkpoint::START).filter(|_| firsts.first() == Some(&1))
            }
            Err(error) => return Err(about(checkpoint::FILE_NAME, &error)),
        };
        if let Some(value) = read {
            return Ok(value);
        }
        notes.push(
            "the checkpoint can't be read: all records count as not stored, also those that are, \
             which storing them once more does not change"
                .to_owned(),
        );
        for first in firsts {
            let bytes = self.read(*first)?;
            if bytes.is_ok_and(|bytes| segment::whole_records(&bytes, *first).is_ok()) {
                return Ok(Checkpoint { sequence: first - 1, ..Checkpoint::START });
            }
        }
        Ok(Checkpoint::START)
    }

    /// A segment's bytes, or why the file can't be a segment.
    fn read(&self, first: Sequence) -> io::Result<Result<Vec<u8>, String>> {
        let name = segment::name(first);
        match self.fs.read(&name, self.limits.longest_segment()) {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Err(error.to_string())),
            Err(error) => Err(about(&name, &error)),
        }
    }

    /// Says that the fresh journal is complete.
    fn mark(&self, time: &str) -> io::Result<()> {
        let mut file = self.fs.create(MARKER_TEMPORARY)?;
        file.write_at(time.as_bytes(), 0)?;
        file.sync()?;
        self.fs.rename(MARKER_TEMPORARY, SETTING_ASIDE)
    }

    /// Puts the fresh journal into the place of the old one; the folder of the old files.
    fn swap(&self) -> io::Result<PathBuf> {
        // Nothing is moved before the marker is on the disk; an earlier attempt may have failed
        // there.
        self.fs.sync_dir()?;
        let names = self.fs.list()?;
        let is_first_half = names.iter().any(|name| name == SETTING_ASIDE);
        let marker = if is_first_half { SETTING_ASIDE } else { MOVING_IN };
        let folder = folder_of(&self.fs.read(marker, MARKER_BYTES)?);
        if is_first_half {
            self.set_aside(&names, &folder)?;
            self.fs.rename(SETTING_ASIDE, MOVING_IN)?;
            self.fs.sync_dir()?;
        }
        for name in self.fresh.list()? {
            self.fs.rename(&format!("{PREFIX}{name}"), &name)?;
        }
        self.fs.sync_dir()?;
        self.fs.remove(MOVING_IN)?;
        self.fs.sync_dir()?;
        Ok(self.fs.path().join(folder))
    }

    fn set_aside(&self, names: &[String], folder: &str) -> io::Result<()> {
        for first in segment::firsts_of(names) {
            let name = segment::name(first);
            self.fs.set_aside(&name, folder, &name)?;
        }
        if names.iter().any(|name| name == checkpoint::FILE_NAME) {
            self.fs.set_aside(checkpoint::FILE_NAME, folder, checkpoint::FILE_NAME)?;
        }
        let fresh = self.fresh.list()?;
        let mut records = fresh.iter().filter(|name| name.starts_with(UNREADABLE_RECORD));
        records.try_for_each(|name| self.fresh.set_aside(name, folder, name))
    }
}

/// The folder that a marker names, whatever is in it.
fn folder_of(marker: &[u8]) -> String {
    let is_of_time = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'.';
    let time = marker.iter().filter(is_of_time).map(|byte| char::from(*byte));
    format!("damaged-{}", time.collect::<String>())
}

fn about(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}
