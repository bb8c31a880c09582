//! What leaves the buffer: an event for the sockets, and the promise that its op is durable.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Sequence;
use crate::error::Error;
use crate::model::{Dispatch, Op};

/// A committed op's event on its way to the sockets, and whom to tell once it is there. The
/// committer sends these in sequence order; the fan-out emits `dispatch`, then calls
/// [`Delivery::done`].
#[derive(Debug)]
pub struct Delivery {
    /// What to tell whom.
    pub dispatch: Option<Dispatch>,
    /// What else the same op causes, for others.
    pub more: Vec<Dispatch>,
    receipt: Option<oneshot::Sender<Result<Sequence, Error>>>,
    /// What was made durable here; the other nodes are told so.
    op: Option<Arc<Op>>,
    /// Whether another node has told it: then nobody else is.
    is_heard: bool,
    /// Those who came for the same op later.
    followers: Vec<oneshot::Sender<Result<Sequence, Error>>>,
    pub(super) sequence: Sequence,
}

impl Delivery {
    /// A dispatch that does not come from the buffer (a notification).
    pub fn of(dispatch: Dispatch) -> Self {
        Self {
            dispatch: Some(dispatch),
            more: Vec::new(),
            receipt: None,
            op: None,
            is_heard: false,
            followers: Vec::new(),
            sequence: 0,
        }
    }

    /// Dispatches that another node has told on its side, in order.
    pub fn heard(mut dispatches: Vec<Dispatch>) -> Self {
        let more = dispatches.split_off(dispatches.len().min(1));
        Self {
            dispatch: dispatches.pop(),
            more,
            receipt: None,
            op: None,
            is_heard: true,
            followers: Vec::new(),
            sequence: 0,
        }
    }

    pub(super) fn new(
        dispatch: Option<Dispatch>,
        sequence: Sequence,
        op: Arc<Op>,
    ) -> (Self, Receipt) {
        let (promise, receipt) = oneshot::channel();
        let delivery = Self {
            dispatch,
            more: Vec::new(),
            receipt: Some(promise),
            op: Some(op),
            is_heard: false,
            followers: Vec::new(),
            sequence,
        };
        (delivery, Receipt(receipt))
    }

    #[cfg(test)]
    pub(super) fn for_tests(sequence: Sequence, op: Arc<Op>) -> Self {
        Self::new(None, sequence, op).0
    }

    /// Whether another node has told it.
    pub fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// What was made durable on this node, with its number.
    pub fn written(&self) -> Option<(Sequence, &Arc<Op>)> {
        self.op.as_ref().map(|op| (self.sequence, op))
    }

    /// One more receipt for the same op.
    pub(super) fn follow(&mut self) -> Receipt {
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
    pub(super) fn refuse(self) {
        for receipt in self.receipt.into_iter().chain(self.followers) {
            let _ = receipt.send(Err(Error::Unavailable(None)));
        }
    }
}

/// The promise of an accepted op.
#[derive(Debug)]
#[must_use = "an op is durable only once its receipt resolves"]
pub struct Receipt(pub(super) oneshot::Receiver<Result<Sequence, Error>>);

impl Receipt {
    /// Waits until the op is durable and its event was handed to the sockets; its number. An
    /// error is [`Error::Unavailable`]: the op may or may not have been taken.
    pub async fn durable(self) -> Result<Sequence, Error> {
        self.0.await.unwrap_or(Err(Error::Unavailable(None)))
    }
}
