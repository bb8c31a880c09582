//! A door for `benches/journal.rs` and `benches/growth`: parts of the write path without the buffer
//! around them. Nothing else uses it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::fold::{Attempt, fold};
use super::journal::{Checkpoint, Entry, Journal, Limits, RealFs, Record};
use super::overlay::Overlay;
use super::ring::Ring;
use super::{Delivery, Sequence, SyncMode, entry};
use crate::error::Error;
use crate::model::{Batch, Message, MessageId, Op, Timestamp};

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

/// A journal, and how many ops were in it when it was opened.
pub struct BareJournal(Journal, usize);

impl BareJournal {
    /// Opens the journal of a folder, and makes one where there is none.
    ///
    /// # Errors
    /// The folder can't be used.
    pub fn open(folder: &Path, mode: SyncMode) -> anyhow::Result<Self> {
        let fs = RealFs::open(folder)?;
        let (journal, recovered) = Journal::open(Arc::new(fs), Limits::default(), mode)?;
        Ok(Self(journal, recovered.ops.len()))
    }

    /// How many ops a start has found in it.
    pub fn found(&self) -> usize {
        self.1
    }

    /// Writes a group; it is as durable as the mode says when this returns.
    ///
    /// # Errors
    /// The disk fails or is full.
    pub fn append(&mut self, group: &Group) -> anyhow::Result<()> {
        Ok(self.0.append(&group.0)?)
    }

    /// Counts all but the newest `count` records as stored.
    ///
    /// # Errors
    /// The disk fails or is full.
    pub fn keep(&mut self, count: usize) -> anyhow::Result<()> {
        let sequence = self.0.last().saturating_sub(count as Sequence);
        Ok(self.0.advance(Checkpoint { sequence, floor: Timestamp(0) })?)
    }
}

/// A ring without limits.
pub struct BareRing(Ring);

impl BareRing {
    /// An empty one.
    pub fn empty() -> Self {
        Self(Ring::new(usize::MAX, usize::MAX))
    }

    /// Takes ops, and commits them as one group.
    ///
    /// # Errors
    /// An op can't be stored.
    pub fn commit(&mut self, ops: &[Arc<Op>]) -> Result<(), Error> {
        for op in ops {
            let entry = entry(op)?;
            let bytes = op.weight() + entry.body.len();
            // Nobody waits for it.
            let (delivery, _) = Delivery::new(None, self.0.accepted() + 1, Arc::clone(op));
            self.0.push(Arc::clone(op), entry, delivery, bytes, Instant::now(), None);
        }
        self.0.take_group(usize::MAX, usize::MAX);
        self.0.commit(self.0.accepted());
        Ok(())
    }

    /// Lets go of the oldest op, as after the store has confirmed it.
    pub fn flush_one(&mut self) -> Vec<Arc<Op>> {
        self.0.flush(self.0.flushed() + 1)
    }
}

/// An overlay, and the ops in it.
#[derive(Default)]
pub struct BareOverlay {
    overlay: Overlay,
    ops: VecDeque<Arc<Op>>,
    oldest: Sequence,
}

impl BareOverlay {
    /// Adds an op behind all others.
    pub fn insert(&mut self, op: Arc<Op>) {
        self.overlay.insert(self.oldest + self.ops.len() as Sequence, &op);
        self.ops.push_back(op);
    }

    /// Takes the oldest op out.
    pub fn remove_oldest(&mut self) -> Option<Arc<Op>> {
        let op = self.ops.pop_front()?;
        self.overlay.remove(self.oldest, &op);
        self.oldest += 1;
        Some(op)
    }

    /// A message whose insert is in it, as it is after all else that is in it.
    pub fn message(&self, id: MessageId) -> Option<Message> {
        self.overlay.message(id).apply(None)
    }
}

/// The batch that the flusher makes of a run's ops when it sends them for the first time, as far as
/// one batch can express them; and how many of them that are.
pub fn folded(ops: &[Arc<Op>]) -> (Batch, usize) {
    fold(ops, Attempt::First)
}
