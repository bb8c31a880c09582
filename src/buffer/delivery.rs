//! What leaves the buffer: an event for the sockets, and the promise that its op is durable.

use tokio::sync::oneshot;

use super::Sequence;
use crate::error::Error;
use crate::model::Dispatch;

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
    /// Those who came for the same op later.
    followers: Vec<oneshot::Sender<Result<Sequence, Error>>>,
    pub(super) sequence: Sequence,
}

impl Delivery {
    /// A dispatch that does not come from the buffer (a notification).
    pub fn of(dispatch: Dispatch) -> Self {
        let (more, followers) = (Vec::new(), Vec::new());
        Self { dispatch: Some(dispatch), more, receipt: None, followers, sequence: 0 }
    }

    pub(super) fn new(dispatch: Option<Dispatch>, sequence: Sequence) -> (Self, Receipt) {
        let (promise, receipt) = oneshot::channel();
        let (more, receipt_of, followers) = (Vec::new(), Some(promise), Vec::new());
        (Self { dispatch, more, receipt: receipt_of, followers, sequence }, Receipt(receipt))
    }

    #[cfg(test)]
    pub(super) fn for_tests(sequence: Sequence) -> Self {
        Self::new(None, sequence).0
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
