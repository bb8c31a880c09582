//! The write path: accepted -> durable -> stored.
//!
//! ```text
//! accept -> ring + overlay -> committer (own thread): journal -> fan-out -> receipts
//!                                   |
//!                                   +-> flusher (task): breaker -> batch -> fold -> store.apply
//!                                                       -> index writer (task): store.index
//!                                                       -> checkpoint -> old segments go
//! ```
//!
//! **Invariants**, asserted where they are kept:
//!
//! - Sequence numbers are contiguous from 1. A refused op gets none.
//! - `checkpoint <= flushed <= committed <= accepted`; each only grows. Only what could not be
//!   written is taken back from `accepted`, and its callers are told so.
//! - Nothing is broadcast or acknowledged before it is committed: on the disk, as `JOURNAL_SYNC`
//!   says. Deliveries leave in sequence order, so receipts resolve in it, too.
//! - A record leaves the journal only when the store has confirmed its op and all before it, or
//!   their dead letters are on disk.
//! - An op and its overlay entry appear in one step and disappear in one step, the latter only
//!   after the store has confirmed the op, or after its dead letter is on disk. Every reader
//!   therefore finds an op in the overlay, in the store, or in both.
//! - What a stored op changes for the search index is handed over before the op leaves the ring,
//!   and holds the checkpoint until it is there.
//! - In the step in which a stored op leaves the overlay it is applied to the pages in memory. Before
//!   that, other nodes can't read any more what the store had before it (`cached.rs`).
//! - Ops reach the store in sequence order, each at least once; each op and each batch applied
//!   twice equals applied once.
//! - The ring is bounded in ops and bytes. At a limit `accept` refuses; nothing is dropped.
//! - The lock is never held across an await, a disk or a notification.

mod attached;
mod batch;
#[doc(hidden)]
pub mod bench;
mod breaker;
mod cached;
mod codec;
mod committer;
mod config;
mod dead_letter;
mod deferred;
mod delivery;
mod elsewhere;
mod flusher;
mod fold;
mod hearing;
mod history;
mod indexing;
mod journal;
mod late;
mod metrics;
mod overlay;
mod pages;
mod pauses;
mod recent;
mod ring;
mod shared;
mod start;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use self::cached::Cached;
pub use self::config::Config;
pub use self::dead_letter::{DeadLetter, DeadLetters, LetterFile};
pub use self::delivery::{Delivery, Receipt};
pub use self::elsewhere::Lane;
use self::indexing::Waiting;
pub use self::journal::{
    CheckpointReport, Inspection, Part, RecordReport, Repair, RepairError, Repaired, SegmentReport,
    SegmentState, SyncMode, repair,
};
use self::journal::{Entry, Journal, Limits, MAX_BODY_BYTES, RealFs};
pub use self::metrics::Stats;
use self::overlay::PendingMessage;
use self::recent::Known;
pub use self::recent::SentAs;
pub use self::shared::Disk;
use self::shared::Shared;
use self::start::Start;
use crate::clock::Clock;
use crate::correlation::RequestId;
use crate::error::Error;
use crate::model::{
    ClientId, Conversation, Dispatch, Message, MessageId, MessageRef, Op, Timestamp, UserId,
};
use crate::shutdown::Tasks;
use crate::store::{self, Store};

/// A sequence number: the place of an op in the order of everything accepted, from 1.
pub type Sequence = u64;

/// The longest that [`Buffer::close`] waits for the store.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Where a buffer keeps what must outlive the process.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The journal. Each process has its own.
    pub journal: PathBuf,
    /// Ops that the store refused for good; made when the first one comes.
    pub dead_letters: PathBuf,
}

impl Folders {
    /// Those below `DATA_DIR`.
    pub fn below(data_dir: &Path) -> Self {
        Self { journal: data_dir.join("journal"), dead_letters: data_dir.join("dead-letter") }
    }
}

/// A handle to the write buffer; cheap to clone.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    cached: Option<Arc<Cached>>,
    floor: Timestamp,
}

impl Buffer {
    /// Opens the journal, and starts the committer's thread and the flusher's task. What the
    /// journal holds is in the buffer when this returns.
    ///
    /// # Errors
    /// The journal can't be opened (its text says why, where, and what to do), or the thread can't
    /// be started.
    pub fn start(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        deliveries: mpsc::Sender<Delivery>,
        folders: Folders,
        tasks: &Tasks,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let Folders { journal, dead_letters } = folders;
        let fs = RealFs::open(&journal).map_err(|error| journal::OpenError::of(error, &journal))?;
        let opened = Journal::open(Arc::new(fs), Limits::default(), config.journal_sync)?;
        start::say_what_was_found(&opened.0, &opened.1, &journal);
        let start = Start { config, store, clock, deliveries, dead_letters, tasks, registry };
        Ok(start.on(opened)?)
    }

    /// The latest time of any message that the journal knew of at the start: new ones must not be
    /// earlier, whatever the clock says.
    pub fn floor(&self) -> Timestamp {
        self.floor
    }

    /// Takes an op and the event that goes out when it is durable. Never waits.
    ///
    /// # Errors
    /// [`Error::BufferFull`] at the limit, [`Error::Unavailable`] once stopping and while the
    /// journal can't be written, [`Error::TooLarge`] and [`Error::Invalid`] for what no store could
    /// take.
    pub fn accept(&self, op: Op, event: Option<Dispatch>) -> Result<Receipt, Error> {
        self.take(op, event, Vec::new())
    }

    /// [`Buffer::accept`] with any number of events.
    ///
    /// # Errors
    /// Those of [`Buffer::accept`].
    pub fn accept_telling(&self, op: Op, mut events: Vec<Dispatch>) -> Result<Receipt, Error> {
        let event = events.pop();
        self.take(op, event, events)
    }

    fn take(&self, op: Op, event: Option<Dispatch>, more: Vec<Dispatch>) -> Result<Receipt, Error> {
        let entry = entry(&op)?;
        let bytes = op.weight() + entry.body.len();
        let is_message = matches!(op, Op::Send(_));
        let op = Arc::new(op);
        let (now, request) = (Instant::now(), RequestId::current());
        let (receipt, committer_sleeps) = {
            let mut state = self.shared.lock();
            if state.refusing || state.disk != Disk::Works {
                return Err(Error::Unavailable(None));
            }
            let Some(sequence) = state.ring.admit(bytes) else {
                return Err(Error::BufferFull);
            };
            let nothing_waited = !state.ring.has_uncommitted();
            let (mut delivery, receipt) = Delivery::new(event, sequence, Arc::clone(&op));
            delivery.more = more;
            state.overlay.insert(sequence, &op);
            state.ring.push(op, entry, delivery, bytes, now, request);
            (receipt, nothing_waited)
        };
        // While ops wait, the committer is awake: it looks again before it sleeps.
        if committer_sleeps {
            self.shared.accepted.notify_one();
        }
        if is_message {
            self.shared.metrics.messages.inc();
        }
        Ok(receipt)
    }

    /// The message that a user has sent under this client id, if it is in the buffer or was lately.
    pub fn sent_as(&self, user: &UserId, id: &ClientId) -> Option<SentAs> {
        let mut state = self.shared.lock();
        if let Some((sequence, message)) = state.overlay.sent_as(user, id) {
            return Some(SentAs::Known(message, state.ring.follow(sequence)));
        }
        match state.recent.sent_as(user, id) {
            Some(Known::Message(message)) => Some(SentAs::Known(message, None)),
            Some(Known::Id(id)) => Some(SentAs::Stored(id)),
            None => state.elsewhere.sent_as(user, id).map(|message| SentAs::Known(message, None)),
        }
    }

    /// A receipt of the newest op on a message, while that is not durable.
    pub fn follow(&self, message: MessageId) -> Option<Receipt> {
        let mut state = self.shared.lock();
        let sequence = state.overlay.newest_on(message)?;
        state.ring.follow(sequence)
    }

    /// The newest op that is stored with all before it, or 0.
    pub fn stored_through(&self) -> Sequence {
        *self.shared.flushed.borrow()
    }

    /// Whether the store has answered the last time that something was written to it.
    pub fn store_answers(&self) -> bool {
        self.shared.metrics.breaker.failures.get() == 0
    }

    /// One message as it is after everything accepted, found by its `_id` or by the old server's
    /// `id`, wherever it is: in the buffer, in the store or on the way.
    ///
    /// # Errors
    /// Those of [`Store::message`]; none while the message's own insert is pending.
    pub async fn message(&self, id: &MessageRef) -> store::Result<Option<Message>> {
        let mut id = Cow::Borrowed(id);
        loop {
            let own = id.as_id();
            let pending = own.map(|own| self.pending_message(own));
            if let Some(pending) = pending.as_ref().filter(|pending| pending.is_insert()) {
                return Ok(pending.apply(None));
            }
            // Another node's message may be stored by now, and later changes of it, too.
            let sent = pending.as_ref().filter(|pending| pending.is_insert_elsewhere());
            let stored = match (self.store.message(&id).await, sent) {
                (Ok(None), Some(sent)) => return Ok(sent.apply(None)),
                (Err(error), Some(sent)) if error.is_transient() => return Ok(sent.apply(None)),
                (stored, _) => stored?,
            };
            let Some(stored) = stored else { return Ok(None) };
            if let Some(pending) = pending.filter(|_| own == Some(stored.id)) {
                return Ok(pending.apply(Some(stored)));
            }
            // Found by its old id. What is pending on it is filed under its `_id`, which is known
            // only now, and must be looked up before the row is read: read once more.
            id = Cow::Owned(stored.id.into());
        }
    }

    /// What is accepted and not yet known to be stored, on one message; taken before the store is
    /// read.
    fn pending_message(&self, id: MessageId) -> PendingMessage {
        self.shared.lock().pending_message(id)
    }

    /// Between whom there is something in the buffer that is not stored yet.
    pub fn direct_conversations(&self) -> Vec<(UserId, UserId)> {
        let all = self.shared.lock().unstored_conversations().into_iter();
        let users = |conversation| match conversation {
            Conversation::Direct(a, b) => Some((a, b)),
            Conversation::Group(_) => None,
        };
        all.filter_map(users).collect()
    }

    /// Waits until everything accepted so far is stored, here and as far as it was heard on other
    /// nodes, at the most `limit`; whether it is.
    pub async fn flushed(&self, limit: Duration) -> bool {
        let accepted = self.shared.lock().ring.accepted();
        let own = timeout(limit, self.shared.until_flushed(accepted));
        let (own, theirs) = tokio::join!(own, self.flushed_elsewhere(limit));
        own.is_ok() && theirs
    }

    /// Waits until everything accepted so far in these conversations is stored and in the search
    /// index, at the most `limit`; whether it is.
    pub async fn stored(&self, concerns: impl Fn(&Conversation) -> bool, limit: Duration) -> bool {
        let (pending, indexing) = {
            let state = self.shared.lock();
            (state.overlay.newest_by_conversation(), state.indexing.all())
        };
        // Asked outside the lock: it may take others.
        let pending = pending.iter().filter(|(conversation, _)| concerns(conversation));
        let indexing = indexing.iter().filter(|waiting| waiting.concerns(&concerns));
        let newest_pending = pending.map(|(_, newest)| *newest).max();
        let newest = newest_pending.into_iter().chain(indexing.map(Waiting::first)).max();
        let Some(newest) = newest else { return true };
        let settled = async {
            self.shared.until_flushed(newest_pending.unwrap_or(0)).await;
            self.shared.indexed(newest).await;
        };
        timeout(limit, settled).await.is_ok()
    }

    /// Waits until nothing that was accepted so far comes to the store again, nor late: all of it is
    /// stored, none waits for its message, and a start would find none of it in the journal. What other
    /// nodes had not stored by now is stored, too. At the most `limit`; whether it is so.
    pub async fn settled(&self, limit: Duration) -> bool {
        /// The committer moves the checkpoint on a few times a second.
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let accepted = self.shared.lock().ring.accepted();
        let settled = async {
            while self.shared.lock().ring.checkpoint() < accepted {
                sleep(LOOK_AGAIN).await;
            }
        };
        let (own, theirs) = tokio::join!(timeout(limit, settled), self.flushed_elsewhere(limit));
        own.is_ok() && theirs
    }

    /// Forgets what is in memory of what is stored, where it may name a user who is there no more.
    pub fn forget_user(&self, user: &UserId) {
        let mut state = self.shared.lock();
        state.recent.forget_user(user);
        state.pages.forget_all();
    }

    /// The figures.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How many ops a start would find in the journal if this process ended now: those that are not
    /// stored, and all behind a change that waits for its message or for the search index.
    pub fn unsettled(&self) -> u64 {
        let state = self.shared.lock();
        state.ring.accepted() - state.storable()
    }

    /// From now on `accept` answers `Unavailable`.
    pub fn refuse(&self) {
        self.shared.lock().refusing = true;
    }

    /// Waits until everything accepted is committed and handed to the fan-out. This takes as long
    /// as the fan-out does; a limit is the caller's.
    pub async fn drained(&self) {
        let mut delivered = self.shared.delivered.subscribe();
        // The sender is in `shared`, so the wait ends only by the number. What can't be written is
        // taken back meanwhile.
        let _ = delivered.wait_for(|n| *n >= self.shared.lock().ring.accepted()).await;
    }

    /// Stops the flusher once all is stored, and the search index's writer once all is indexed, at
    /// the latest after 10 s, and then the committer. With the store away it stops after a last
    /// attempt, with the breaker open at once. Call after `refuse` and `drained`. The answer is the
    /// number of ops that are not stored: the journal has them.
    pub async fn close(&self) -> usize {
        {
            let mut state = self.shared.lock();
            state.refusing = true;
            state.stopping = true;
        }
        self.shared.accepted.notify_one();
        self.shared.closing.cancel();
        if timeout(CLOSE_LIMIT, self.shared.ended.cancelled()).await.is_err() {
            self.shared.abandoned.cancel();
            self.shared.ended.cancelled().await;
        }
        self.shared.closed.cancelled().await;
        self.shared.lock().ring.len()
    }
}

/// An op as the journal writes it.
fn entry(op: &Op) -> Result<Entry, Error> {
    let body = codec::encode(op)
        .map_err(|error| Error::Invalid(format!("this can't be stored: {error}").into()))?;
    if body.len() > MAX_BODY_BYTES {
        return Err(Error::TooLarge("this is too large to be stored".into()));
    }
    Ok(Entry { kind: codec::Kind::of(op).code(), body })
}
