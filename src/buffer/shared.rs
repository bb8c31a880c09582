//! What the handle, the committer and the flusher share: one lock, and what wakes whom.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::indexing::Queue;
use super::journal::{AppendError, Recovered};
use super::metrics::Metrics;
use super::overlay::Overlay;
use super::pages::Pages;
use super::recent::Recent;
use super::ring::Ring;
use super::{Config, Sequence, SyncMode};
use crate::model::{Op, Timestamp};

/// How the journal's disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Ops are accepted.
    Works,
    /// There is no room: ops are refused until there is.
    Full,
    /// It has failed: ops are refused until the process starts anew.
    Failed,
}

impl Disk {
    /// Its name in figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Works => "ok",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }

    pub(super) fn after(error: &AppendError) -> Self {
        match error {
            AppendError::Full(_) => Self::Full,
            AppendError::Failed(_) => Self::Failed,
        }
    }
}

/// How ops have become safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The store has confirmed them.
    Stored,
    /// The store takes them never; they are dead letters on the disk.
    Refused,
}

/// What the handle, the committer and the flusher share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Wakes the committer: there is something to commit, or nothing will come any more.
    pub(super) accepted: Condvar,
    /// Wakes the flusher: there is something to store.
    pub(super) committed: Notify,
    /// Wakes the writer of the search index: something waits for it.
    pub(super) stored: Notify,
    /// The newest op that was handed to the fan-out.
    pub(super) delivered: watch::Sender<Sequence>,
    /// The newest op that is stored, with all before it.
    pub(super) flushed: watch::Sender<Sequence>,
    /// Steps of the search index's writer, for whoever waits for the next one.
    pub(super) indexed: watch::Sender<u64>,
    /// Tells the flusher to store what it can, and end.
    pub(super) closing: CancellationToken,
    /// Tells the flusher to end now.
    pub(super) abandoned: CancellationToken,
    /// The flusher has ended.
    pub(super) flusher_ended: CancellationToken,
    /// Nothing is brought to the search index any more.
    pub(super) indexing_ended: CancellationToken,
    /// Both have ended.
    pub(super) ended: CancellationToken,
    /// The committer has ended, and with it the journal.
    pub(super) closed: CancellationToken,
    /// The newest op that a journal held at the start: others may have undone it since, or this
    /// server itself, if the end of its journal was lost.
    recovered: Sequence,
    pub(super) mode: SyncMode,
    pub(super) metrics: Metrics,
}

pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) overlay: Overlay,
    pub(super) recent: Recent,
    pub(super) pages: Pages,
    /// The oldest op that is flushed and waits for its message nevertheless.
    pub(super) deferred: Option<Sequence>,
    /// What is flushed and waits for the search index.
    pub(super) indexing: Queue,
    pub(super) disk: Disk,
    pub(super) last_flush: Option<Timestamp>,
    pub(super) refusing: bool,
    /// The committer ends once it has committed what is there.
    pub(super) stopping: bool,
}

impl State {
    /// Up to where a start after a crash need not go back.
    pub(super) fn storable(&self) -> Sequence {
        let flushed = self.ring.flushed();
        let held = self.deferred.into_iter().chain(self.indexing.oldest()).min();
        held.map_or(flushed, |held| flushed.min(held - 1))
    }
}

impl Shared {
    pub(super) fn new(config: &Config, checkpoint: Sequence, recovered: &Recovered) -> Self {
        let ring = Ring::new(config.buffer_capacity, config.buffer_bytes);
        let (mut overlay, mut recent) = (Overlay::default(), Recent::default());
        for (sequence, op) in (checkpoint + 1..).zip(&recovered.ops) {
            overlay.insert(sequence, op);
        }
        recovered.stored.iter().for_each(|message| recent.remember(message));
        let committed = checkpoint + recovered.ops.len() as Sequence;
        Self {
            state: Mutex::new(State {
                ring: ring.recovered(checkpoint, &recovered.ops, Instant::now()),
                overlay,
                recent,
                pages: Pages::default(),
                deferred: None,
                indexing: Queue::default(),
                disk: Disk::Works,
                last_flush: None,
                refusing: false,
                stopping: false,
            }),
            accepted: Condvar::new(),
            committed: Notify::new(),
            stored: Notify::new(),
            delivered: watch::Sender::new(committed),
            flushed: watch::Sender::new(checkpoint),
            indexed: watch::Sender::new(0),
            closing: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            flusher_ended: CancellationToken::new(),
            indexing_ended: CancellationToken::new(),
            ended: CancellationToken::new(),
            closed: CancellationToken::new(),
            recovered: committed,
            mode: config.journal_sync,
            metrics: Metrics::new(config.journal_sync),
        }
    }

    /// A panic under the lock is a broken invariant, and the part in which it happens stops the
    /// server. The lock stays usable meanwhile: stopping needs it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of ops that are safe.
    pub(super) fn release(&self, through: Sequence, fate: Fate) {
        let ops = {
            let state = &mut *self.lock();
            let first = state.ring.flushed() + 1;
            let ops = state.ring.flush(through);
            for (sequence, op) in (first..).zip(&ops) {
                state.overlay.remove(sequence, op);
                match fate {
                    Fate::Stored if sequence > self.recovered => state.pages.stored(op),
                    Fate::Stored | Fate::Refused => state.pages.forget(&op.conversation()),
                }
                if let Op::Send(message) = &**op {
                    state.recent.remember(message);
                }
            }
            ops
        };
        self.flushed.send_replace(through);
        // Messages may be large and many: they are freed after the lock, and after the waiters.
        drop(ops);
    }
}
