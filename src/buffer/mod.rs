//! The write path: accepted -> durable -> stored.
//!
//! ```text
//! accept -> ring + overlay -> committer (own thread) -> fan-out -> receipts
//!                                   |
//!                                   +-> flusher (task): breaker -> batch -> fold -> store.apply
//! ```
//!
//! **Invariants**, asserted where they are kept:
//!
//! - Sequence numbers are contiguous from 1. A refused op gets none.
//! - `checkpoint <= flushed <= committed <= accepted`; each only grows.
//! - Nothing is broadcast or acknowledged before it is committed. Deliveries leave in sequence
//!   order, so receipts resolve in it, too.
//! - An op and its overlay entry appear in one step and disappear in one step, the latter only
//!   after the store has confirmed the op, or after its dead letter is on disk. Every reader
//!   therefore finds an op in the overlay, in the store, or in both.
//! - Ops reach the store in sequence order, each at least once; each op and each batch applied
//!   twice equals applied once.
//! - The ring is bounded in ops and bytes. At a limit `accept` refuses; nothing is dropped.
//! - The lock is never held across an await, a disk or a notification.

mod batch;
mod breaker;
mod codec;
mod committer;
mod config;
mod dead_letter;
mod flusher;
mod fold;
mod metrics;
mod overlay;
mod ring;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub use self::config::Config;
pub use self::dead_letter::{DeadLetter, DeadLetters, LetterFile};
use self::flusher::Flusher;
pub use self::metrics::Stats;
use self::metrics::{Depth, Metrics};
pub use self::overlay::Pending;
use self::overlay::{Overlay, PendingMessage};
use self::ring::Ring;
use crate::clock::Clock;
use crate::error::Error;
use crate::model::{Conversation, Dispatch, Message, MessageId, MessageRef, Op, Timestamp};
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
    pub(crate) receipt: Option<oneshot::Sender<Result<Sequence, Error>>>,
    pub(crate) sequence: Sequence,
}

impl Delivery {
    /// A dispatch that does not come from the buffer (a notification).
    pub fn of(dispatch: Dispatch) -> Self {
        Self { dispatch: Some(dispatch), receipt: None, sequence: 0 }
    }

    /// The event is with the sockets: resolves the receipt.
    pub fn done(self) {
        if let Some(receipt) = self.receipt {
            // Who accepted the op may have stopped waiting: its connection has ended.
            let _ = receipt.send(Ok(self.sequence));
        }
    }
}

/// The promise of an accepted op.
#[derive(Debug)]
#[must_use = "an op is durable only once its receipt resolves"]
pub struct Receipt(pub(crate) oneshot::Receiver<Result<Sequence, Error>>);

impl Receipt {
    /// Waits until the op is durable and its event was handed to the sockets; its number. An
    /// error is [`Error::Unavailable`]: the op may or may not have been taken.
    pub async fn durable(self) -> Result<Sequence, Error> {
        self.0.await.unwrap_or(Err(Error::Unavailable(None)))
    }
}

/// A handle to the write buffer; cheap to clone.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
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
    metrics: Metrics,
}

struct State {
    ring: Ring,
    overlay: Overlay,
    last_flush: Option<Timestamp>,
    refusing: bool,
    /// The committer ends once it has committed what is there.
    stopping: bool,
}

impl Shared {
    fn new(config: &Config) -> Self {
        Self {
            state: Mutex::new(State {
                ring: Ring::new(config.buffer_capacity, config.buffer_bytes),
                overlay: Overlay::default(),
                last_flush: None,
                refusing: false,
                stopping: false,
            }),
            accepted: Condvar::new(),
            committed: Notify::new(),
            delivered: watch::Sender::new(0),
            flushed: watch::Sender::new(0),
            closing: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            ended: CancellationToken::new(),
            metrics: Metrics::default(),
        }
    }

    /// A panic under the lock is a broken invariant, and the part in which it happens stops the
    /// server. The lock stays usable meanwhile: stopping needs it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Starts the committer's thread and the flusher's task. Ops that the store refuses for good
    /// are written into `dead_letter_dir`, which is made when the first one comes.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        deliveries: mpsc::Sender<Delivery>,
        dead_letter_dir: PathBuf,
        tasks: &Tasks,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::new(config));
        shared.metrics.register(registry);
        registry.register_collector(Box::new(Depth(Arc::clone(&shared))));
        committer::start(Arc::clone(&shared), deliveries, tasks.clone())?;
        let flusher =
            Flusher::new(config, Arc::clone(&shared), Arc::clone(&store), clock, dead_letter_dir);
        tasks.spawn_worker("flusher", flusher.run());
        Ok(Self { shared, store })
    }

    /// Takes an op and the event that goes out when it is durable. Never waits.
    ///
    /// # Errors
    /// [`Error::BufferFull`] at the limit, [`Error::Unavailable`] once stopping.
    pub fn accept(&self, op: Op, event: Option<Dispatch>) -> Result<Receipt, Error> {
        let (promise, receipt) = oneshot::channel();
        let bytes = op.weight();
        let is_message = matches!(op, Op::Send(_));
        let op = Arc::new(op);
        let now = Instant::now();
        let committer_sleeps = {
            let mut state = self.shared.lock();
            if state.refusing {
                return Err(Error::Unavailable(None));
            }
            let Some(sequence) = state.ring.admit(bytes) else {
                return Err(Error::BufferFull);
            };
            let nothing_waited = !state.ring.has_uncommitted();
            let delivery = Delivery { dispatch: event, receipt: Some(promise), sequence };
            state.overlay.insert(sequence, &op);
            state.ring.push(op, delivery, bytes, now);
            nothing_waited
        };
        // While ops wait, the committer is awake: it looks again before it sleeps.
        if committer_sleeps {
            self.shared.accepted.notify_one();
        }
        if is_message {
            self.shared.metrics.messages.inc();
        }
        Ok(Receipt(receipt))
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
        let accepted = self.shared.lock().ring.accepted();
        let mut delivered = self.shared.delivered.subscribe();
        // The sender is in `shared`, so the wait ends only by the number.
        let _ = delivered.wait_for(|n| *n >= accepted).await;
    }

    /// Stops the committer, and the flusher once all is stored, at the latest after 10 s. With
    /// the store away it stops after a last attempt, with the breaker open at once. Call after
    /// `refuse` and `drained`. The answer is the number of ops that are not stored.
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
        self.shared.lock().ring.len()
    }
}
