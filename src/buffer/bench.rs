//! A door for `benches/journal.rs`: the journal without the buffer around it. Nothing else uses it.

use std::path::Path;
use std::sync::Arc;

use super::journal::{Entry, Journal, Limits, RealFs, Record};
use super::{Sequence, SyncMode, entry};
use crate::error::Error;
use crate::model::Op;

/// Ops as the committer hands them to the journal.
pub struct Group(Vec<Entry>);

impl Group {
    /// Encodes ops, which `accept` does otherwise.
    ///
    /// # Errors
    /// An op can't be stored.
    pub fn of(ops: &[Op]) -> Result<Self, Error> {
        ops.iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// What the journal writes for them, apart from numbers and salt.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (Entry { kind, body }, sequence) in self.0.iter().zip(1 as Sequence..) {
            Record { sequence, kind: *kind, synced_before: false, body }.write(0, &mut bytes);
        }
        bytes
    }
}

/// A journal that syncs each group, as a server's does unless it is told otherwise.
pub struct BareJournal(Journal);

impl BareJournal {
    /// Makes a journal in an empty folder.
    ///
    /// # Errors
    /// The folder can't be used.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let fs = RealFs::open(folder)?;
        Ok(Self(Journal::open(Arc::new(fs), Limits::default(), SyncMode::Always)?.0))
    }

    /// Writes a group; it is on the disk when this returns.
    ///
    /// # Errors
    /// The disk fails or is full.
    pub fn append(&mut self, group: &Group) -> anyhow::Result<()> {
        Ok(self.0.append(&group.0)?)
    }
}
