//! The write path: accepted -> durable -> stored. (Skeleton: the contract that callers lean on.)
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::error::Error;
use crate::model::{Conversation, Dispatch, Message, MessageId, MessageRef, Op, Timestamp, UserId};
use crate::shutdown::Tasks;
use crate::store::Store;

/// A sequence number: the place of an op in the order of everything accepted, from 1.
pub type Sequence = u64;

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
            let _ = receipt.send(Ok(self.sequence));
        }
    }
}

/// The promise of an accepted op.
#[derive(Debug)]
#[must_use = "an op is durable only once its receipt resolves"]
pub struct Receipt(pub(crate) oneshot::Receiver<Result<Sequence, Error>>);

impl Receipt {
    /// Waits until the op is durable and its event was handed to the sockets.
    pub async fn durable(self) -> Result<Sequence, Error> {
        self.0.await.unwrap_or(Err(Error::Unavailable(None)))
    }
}

/// Settings of the write buffer (clap Args in the real thing).
#[derive(Debug, Clone)]
pub struct Config {
    pub batch_size: usize,
    pub flush_interval: Duration,
    pub max_retries: u32,
    pub capacity: usize,
    pub bytes: usize,
}

/// What `/health/message-buffer` tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Messages accepted since the start (Op::Send).
    pub total_messages: u64,
    pub successful_flushes: u64,
    pub failed_flushes: u64,
    pub retry_count: u64,
    pub circuit_breaker_trips: u64,
    /// Ops not yet stored.
    pub current_buffer_size: usize,
    pub buffer_bytes: usize,
    pub current_batch_size: usize,
    pub last_flush: Option<Timestamp>,
    pub breaker_open: bool,
    /// Failures in a row.
    pub failure_count: u32,
    pub oldest_unflushed: Option<Duration>,
    pub dead_letters: u64,
}

/// A handle to the write buffer; cheap to clone.
#[derive(Clone)]
pub struct Buffer;

impl Buffer {
    /// Starts the committer thread and the flusher task.
    pub fn start(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        deliveries: mpsc::Sender<Delivery>,
        tasks: &Tasks,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let _ = (config, store, clock, deliveries, tasks, registry);
        todo!()
    }

    /// Takes an op and the event that goes out when it is durable. Never waits: refuses with
    /// [`Error::BufferFull`] at the limit and [`Error::Unavailable`] once stopping.
    pub fn accept(&self, op: Op, event: Option<Dispatch>) -> Result<Receipt, Error> {
        let _ = (op, event);
        todo!()
    }

    /// What is accepted (durable or not yet) and not yet known to be stored, on one message. Take
    /// it BEFORE reading the store, then [`PendingMessage::apply`] it to what the store says.
    pub fn pending_message(&self, id: &MessageRef) -> PendingMessage {
        let _ = id;
        todo!()
    }

    /// What is durable and not yet known to be stored, in one conversation. Take it BEFORE
    /// reading the store.
    pub fn pending(&self, conversation: &Conversation) -> Pending {
        let _ = conversation;
        todo!()
    }

    /// Waits until everything accepted so far is stored, at the most `limit`; whether it is.
    pub async fn flushed(&self, limit: Duration) -> bool {
        let _ = limit;
        todo!()
    }

    /// The figures.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// From now on `accept` answers `Unavailable`.
    pub fn refuse(&self) {
        todo!()
    }

    /// Waits until everything accepted is committed and handed to the fan-out.
    pub async fn drained(&self) {
        todo!()
    }

    /// Stops the flusher once all is stored, or at once when the breaker is open; call after
    /// `refuse` and `drained`. Ops left are counted in the answer.
    pub async fn close(&self) -> usize {
        todo!()
    }
}

/// See [`Buffer::pending_message`].
#[derive(Debug, Default)]
pub struct PendingMessage;

impl PendingMessage {
    /// Whether the message's own insert is still pending: the store need not be asked.
    pub fn is_insert(&self) -> bool {
        todo!()
    }

    /// The message as it is after everything pending.
    pub fn apply(self, stored: Option<Message>) -> Option<Message> {
        let _ = stored;
        todo!()
    }
}

/// See [`Buffer::pending`].
#[derive(Debug, Default)]
pub struct Pending;

impl Pending {
    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Stored rows that pending ops may take away from a page: ask the store for that many more.
    pub fn removals(&self) -> usize {
        todo!()
    }

    /// Merges pending inserts and changes into stored rows (newest first): the `limit` newest
    /// messages before `before` that `viewer` has not hidden.
    pub fn merge(
        self,
        stored: Vec<Message>,
        viewer: &UserId,
        before: Option<(Timestamp, MessageId)>,
        limit: usize,
    ) -> Vec<Message> {
        let _ = (stored, viewer, before, limit);
        todo!()
    }
}
