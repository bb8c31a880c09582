//! What the handle, the committer and the flusher share: one lock, and what wakes whom.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::elsewhere::{Elsewhere, Released};
use super::indexing::Queue;
use super::journal::{AppendError, Recovered};
use super::metrics::Metrics;
use super::overlay::{Overlay, Pending, PendingMessage, messages_of};
use super::pages::Pages;
use super::recent::Recent;
use super::ring::Ring;
use super::{Config, Sequence, SyncMode};
use crate::correlation::Named;
use crate::model::{Conversation, MessageId, Op, Timestamp};

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
    /// How many wait until something is stored.
    awaiting: AtomicUsize,
    /// Steps of other nodes' flushers that were heard, for whoever waits for the next one.
    pub(super) stored_elsewhere: watch::Sender<u64>,
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
    /// What other nodes have not stored.
    pub(super) elsewhere: Elsewhere,
    pub(super) recent: Recent,
    pub(super) pages: Pages,
    /// Ops that are flushed and wait for their message nevertheless, the oldest first.
    pub(super) deferred: Vec<(Sequence, Arc<Op>)>,
    /// What is flushed and waits for the search index.
    pub(super) indexing: Queue,
    pub(super) disk: Disk,
    pub(super) last_flush: Option<Timestamp>,
    pub(super) refusing: bool,
    /// The committer ends once it has committed what is there.
    pub(super) stopping: bool,
}

impl State {
    /// What is durable and not known to be stored in one conversation, on this node up to a number,
    /// and on the others.
    pub(super) fn pending(&self, id: &Conversation, through: Sequence) -> Pending {
        let elsewhere = self.elsewhere.conversation(id);
        let more = self.not_in_store(elsewhere, |op| op.conversation() == *id);
        self.overlay.conversation(id, through).with(more)
    }

    /// The same of one message, and on this node of what is not durable, too.
    pub(super) fn pending_message(&self, id: MessageId) -> PendingMessage {
        let elsewhere = self.elsewhere.message(id);
        let more = self.not_in_store(elsewhere, |op| messages_of(op).contains(&id));
        self.overlay.message(id).with(more)
    }

    /// The conversations in which anything is not known to be stored, each once.
    pub(super) fn unstored_conversations(&self) -> HashSet<Conversation> {
        self.overlay.conversations().into_iter().chain(self.elsewhere.conversations()).collect()
    }

    /// Takes note of what other nodes had and have no longer.
    pub(super) fn release_elsewhere(&mut self, released: &Released) {
        for op in &released.stored {
            self.note_stored(op);
            if let Op::Send(message) = &**op {
                self.recent.remember(message);
            }
        }
        for op in &released.forgotten {
            self.pages.forget(&op.conversation());
        }
    }

    /// Takes an op that has left the overlay, or what was remembered of other nodes, as stored. Where
    /// nodes share a store, a change may be known to be stored before its message is: what is in
    /// memory would miss it for ever, so the conversation is asked for again.
    fn note_stored(&mut self, op: &Arc<Op>) {
        self.elsewhere.note_deletion(op);
        let is_awaited =
            |id: &MessageId| self.elsewhere.sent(*id).is_some() || self.overlay.sent(*id).is_some();
        if !matches!(**op, Op::Send(_)) && messages_of(op).iter().any(is_awaited) {
            self.pages.forget(&op.conversation());
        } else {
            self.pages.stored(op);
        }
    }

    /// Up to where a start after a crash need not go back.
    pub(super) fn storable(&self) -> Sequence {
        let flushed = self.ring.flushed();
        let held = self.oldest_deferred().into_iter().chain(self.indexing.oldest()).min();
        held.map_or(flushed, |held| flushed.min(held - 1))
    }

    /// The number of the oldest op that waits for its message.
    pub(super) fn oldest_deferred(&self) -> Option<Sequence> {
        self.deferred.first().map(|(sequence, _)| *sequence)
    }

    /// Up to where the store has everything.
    pub(super) fn stored_through(&self) -> Sequence {
        let flushed = self.ring.flushed();
        self.oldest_deferred().map_or(flushed, |deferred| flushed.min(deferred - 1))
    }

    /// What waits for its message, of this node and of what others have not stored, if it is wanted.
    fn not_in_store(
        &self,
        mut elsewhere: Vec<Arc<Op>>,
        is_wanted: impl Fn(&Op) -> bool,
    ) -> Vec<Arc<Op>> {
        let deferred = self.deferred.iter().map(|(_, op)| op).filter(|op| is_wanted(op));
        elsewhere.extend(deferred.cloned());
        elsewhere
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
                elsewhere: Elsewhere::default(),
                recent,
                pages: Pages::default(),
                deferred: Vec::new(),
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
            awaiting: AtomicUsize::new(0),
            stored_elsewhere: watch::Sender::new(0),
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

    /// For which requests these ops were accepted, as a line of the log names them.
    pub(super) fn requests(&self, sequences: RangeInclusive<Sequence>) -> Named {
        self.lock().ring.requests(sequences).collect()
    }

    /// Waits until everything up to this number is stored.
    pub(super) async fn until_flushed(&self, sequence: Sequence) {
        let mut flushed = self.flushed.subscribe();
        if *flushed.borrow() >= sequence {
            return;
        }
        let _awaiting = Awaiting::begin(&self.awaiting);
        // It may be resting.
        self.committed.notify_one();
        let _ = flushed.wait_for(|flushed| *flushed >= sequence).await;
    }

    /// Whether anybody waits until something is stored.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaiting.load(Ordering::Relaxed) > 0
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
                    Fate::Stored if sequence > self.recovered => state.note_stored(op),
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

/// One who waits, counted for as long as this is held.
struct Awaiting<'a>(&'a AtomicUsize);

impl<'a> Awaiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
