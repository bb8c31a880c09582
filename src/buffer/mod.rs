//! The write path: accepted -> durable -> stored.
//!
//! ```text
//! accept -> ring + overlay -> committer (own thread): journal -> fan-out -> receipts
//!                                   |
//!                                   +-> flusher (task): breaker -> batch -> fold -> store.apply
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
//! - A record leaves the journal only when the store has confirmed its op and all before it, or their
//!   dead letters are on disk.
//! - An op and its overlay entry appear in one step and disappear in one step, the latter only
//!   after the store has confirmed the op, or after its dead letter is on disk. Every reader
//!   therefore finds an op in the overlay, in the store, or in both.
//! - Ops reach the store in sequence order, each at least once; each op and each batch applied
//!   twice equals applied once.
//! - The ring is bounded in ops and bytes. At a limit `accept` refuses; nothing is dropped.
//! - The lock is never held across an await, a disk or a notification.

mod batch;
#[doc(hidden)]
pub mod bench;
mod breaker;
mod codec;
mod committer;
mod config;
mod dead_letter;
mod deferred;
mod flusher;
mod fold;
mod journal;
mod metrics;
mod overlay;
mod recent;
mod ring;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::committer::Committer;
pub use self::config::Config;
pub use self::dead_letter::{DeadLetter, DeadLetters, LetterFile};
use self::flusher::Flusher;
pub use self::journal::SyncMode;
use self::journal::{AppendError, Entry, Journal, Limits, MAX_BODY_BYTES, RealFs, Recovered};
pub use self::metrics::Stats;
use self::metrics::{Depth, Metrics};
pub use self::overlay::Pending;
use self::overlay::{Overlay, PendingMessage};
use self::recent::Recent;
use self::ring::Ring;
use crate::clock::Clock;
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

/// A committed op's event on its way to the sockets, and whom to tell once it is there. The
/// committer sends these in sequence order; the fan-out emits `dispatch`, then calls
/// [`Delivery::done`].
#[derive(Debug)]
pub struct Delivery {
    /// What to tell whom.
    pub dispatch: Option<Dispatch>,
    receipt: Option<oneshot::Sender<Result<Sequence, Error>>>,
    /// Those who came for the same op later.
    followers: Vec<oneshot::Sender<Result<Sequence, Error>>>,
    sequence: Sequence,
}

impl Delivery {
    /// A dispatch that does not come from the buffer (a notification).
    pub fn of(dispatch: Dispatch) -> Self {
        Self { dispatch: Some(dispatch), receipt: None, followers: Vec::new(), sequence: 0 }
    }

    fn new(dispatch: Option<Dispatch>, sequence: Sequence) -> (Self, Receipt) {
        let (promise, receipt) = oneshot::channel();
        let (receipt_of, followers) = (Some(promise), Vec::new());
        (Self { dispatch, receipt: receipt_of, followers, sequence }, Receipt(receipt))
    }

    #[cfg(test)]
    fn for_tests(sequence: Sequence) -> Self {
        Self::new(None, sequence).0
    }

    /// One more receipt for the same op.
    fn follow(&mut self) -> Receipt {
        let (promise, receipt) = oneshot::channel();
        self.followers.push(promise);
        Receipt(receipt)
    }

    /// The event is with the sockets: resolves the receipts.
    pub fn done(self) {
        for receipt in self.receipt.into_iter().chain(self.followers) {
            // Who accepted the op may have stopped waiting: its connection has ended.
            let _ = receipt.send(Ok(self.sequence));
        }
    }

    /// The op was not made durable.
    fn refuse(self) {
        for receipt in self.receipt.into_iter().chain(self.followers) {
            let _ = receipt.send(Err(Error::Unavailable(None)));
        }
    }
}

/// The promise of an accepted op.
#[derive(Debug)]
#[must_use = "an op is durable only once its receipt resolves"]
pub struct Receipt(oneshot::Receiver<Result<Sequence, Error>>);

impl Receipt {
    /// Waits until the op is durable and its event was handed to the sockets; its number. An
    /// error is [`Error::Unavailable`]: the op may or may not have been taken.
    pub async fn durable(self) -> Result<Sequence, Error> {
        self.0.await.unwrap_or(Err(Error::Unavailable(None)))
    }
}

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

    fn after(error: &AppendError) -> Self {
        match error {
            AppendError::Full(_) => Self::Full,
            AppendError::Failed(_) => Self::Failed,
        }
    }
}

/// A handle to the write buffer; cheap to clone.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    floor: Timestamp,
}

/// What the handle, the committer and the flusher share.
struct Shared {
    state: Mutex<State>,
    /// Wakes the committer: there is something to commit, or nothing will come any more.
    accepted: Condvar,
    /// Wakes the flusher: there is something to store.
    committed: Notify,
    /// The newest op that was handed to the fan-out.
    delivered: watch::Sender<Sequence>,
    /// The newest op that is stored, with all before it.
    flushed: watch::Sender<Sequence>,
    /// Tells the flusher to store what it can, and end.
    closing: CancellationToken,
    /// Tells the flusher to end now.
    abandoned: CancellationToken,
    /// The flusher has ended.
    ended: CancellationToken,
    /// The committer has ended, and with it the journal.
    closed: CancellationToken,
    mode: SyncMode,
    metrics: Metrics,
}

struct State {
    ring: Ring,
    overlay: Overlay,
    recent: Recent,
    /// The oldest op that is flushed and waits for its message nevertheless.
    deferred: Option<Sequence>,
    disk: Disk,
    last_flush: Option<Timestamp>,
    refusing: bool,
    /// The committer ends once it has committed what is there.
    stopping: bool,
}

impl State {
    /// Up to where a start after a crash need not go back.
    fn storable(&self) -> Sequence {
        let flushed = self.ring.flushed();
        self.deferred.map_or(flushed, |deferred| flushed.min(deferred - 1))
    }
}

impl Shared {
    fn new(config: &Config, checkpoint: Sequence, recovered: &Recovered) -> Self {
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
                deferred: None,
                disk: Disk::Works,
                last_flush: None,
                refusing: false,
                stopping: false,
            }),
            accepted: Condvar::new(),
            committed: Notify::new(),
            delivered: watch::Sender::new(committed),
            flushed: watch::Sender::new(checkpoint),
            closing: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            ended: CancellationToken::new(),
            closed: CancellationToken::new(),
            mode: config.journal_sync,
            metrics: Metrics::new(config.journal_sync),
        }
    }

    /// A panic under the lock is a broken invariant, and the part in which it happens stops the
    /// server. The lock stays usable meanwhile: stopping needs it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Opens the journal, and starts the committer's thread and the flusher's task. What the journal
    /// holds is in the buffer when this returns.
    ///
    /// # Errors
    /// The journal can't be opened (its text says why, where, and what to do), or the thread can't be
    /// started.
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
        say_what_was_found(&opened.0, &opened.1, &journal);
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
    /// [`Error::BufferFull`] at the limit, [`Error::Unavailable`] once stopping and while the journal
    /// can't be written, [`Error::TooLarge`] and [`Error::Invalid`] for what no store could take.
    pub fn accept(&self, op: Op, event: Option<Dispatch>) -> Result<Receipt, Error> {
        let entry = entry(&op)?;
        let bytes = op.weight() + entry.body.len();
        let is_message = matches!(op, Op::Send(_));
        let op = Arc::new(op);
        let now = Instant::now();
        let (receipt, committer_sleeps) = {
            let mut state = self.shared.lock();
            if state.refusing || state.disk != Disk::Works {
                return Err(Error::Unavailable(None));
            }
            let Some(sequence) = state.ring.admit(bytes) else {
                return Err(Error::BufferFull);
            };
            let nothing_waited = !state.ring.has_uncommitted();
            let (delivery, receipt) = Delivery::new(event, sequence);
            state.overlay.insert(sequence, &op);
            state.ring.push(op, entry, delivery, bytes, now);
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

    /// The message that a user has sent under this client id, if it is in the buffer or was lately;
    /// with a receipt while it is not durable.
    pub fn sent_as(&self, user: &UserId, id: &ClientId) -> Option<(Arc<Message>, Option<Receipt>)> {
        let mut state = self.shared.lock();
        match state.overlay.sent_as(user, id) {
            Some((sequence, message)) => Some((message, state.ring.follow(sequence))),
            None => state.recent.sent_as(user, id).map(|message| (message, None)),
        }
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
            let Some(stored) = self.store.message(&id).await? else { return Ok(None) };
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
        self.shared.lock().overlay.message(id)
    }

    /// What is durable and not yet known to be stored, in one conversation. Take it BEFORE
    /// reading the store.
    pub fn pending(&self, conversation: &Conversation) -> Pending {
        let state = self.shared.lock();
        state.overlay.conversation(conversation, state.ring.committed())
    }

    /// Waits until everything accepted so far is stored, at the most `limit`; whether it is.
    pub async fn flushed(&self, limit: Duration) -> bool {
        let accepted = self.shared.lock().ring.accepted();
        let mut flushed = self.shared.flushed.subscribe();
        matches!(timeout(limit, flushed.wait_for(|n| *n >= accepted)).await, Ok(Ok(_)))
    }

    /// The figures.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
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

    /// Stops the flusher once all is stored, at the latest after 10 s, and then the committer. With the
    /// store away it stops after a last attempt, with the breaker open at once. Call after `refuse` and
    /// `drained`. The answer is the number of ops that are not stored: the journal has them.
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

/// What a buffer is started with.
struct Start<'a> {
    config: &'a Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    deliveries: mpsc::Sender<Delivery>,
    dead_letters: PathBuf,
    tasks: &'a Tasks,
    registry: &'a mut Registry,
}

impl Start<'_> {
    /// Starts on a journal, with what was in it.
    fn on(self, (journal, recovered): (Journal, Recovered)) -> std::io::Result<Buffer> {
        let Self { config, store, clock, deliveries, dead_letters, tasks, registry } = self;
        let floor = recovered.floor.unwrap_or(Timestamp(0));
        let checkpoint = journal.checkpoint().sequence;
        let shared = Arc::new(Shared::new(config, checkpoint, &recovered));
        shared.metrics.register(registry);
        registry.register_collector(Box::new(Depth(Arc::clone(&shared))));
        let flusher =
            Flusher::new(config, Arc::clone(&shared), Arc::clone(&store), clock, dead_letters);
        committer::start(
            Committer::new(Arc::clone(&shared), journal, floor),
            deliveries,
            tasks.clone(),
        )?;
        tasks.spawn_worker("flusher", flusher.run());
        Ok(Buffer { shared, store, floor })
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

fn say_what_was_found(journal: &Journal, recovered: &Recovered, folder: &Path) {
    let (mode, unstored) = (journal.mode(), recovered.ops.len());
    if let Some((file, reason)) = &recovered.torn {
        tracing::warn!(
            ?folder,
            file,
            reason,
            "the journal's last record was cut short by a crash; it was never acknowledged, and is              kept in this file"
        );
    }
    tracing::info!(?folder, journal_sync = %mode, unstored, "the journal is open");
}
