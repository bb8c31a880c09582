//! What the flusher says, and of which requests.

use std::ops::RangeInclusive;

use tracing::Level;

use super::Flusher;
use crate::buffer::Sequence;
use crate::correlation::RequestId;
use crate::store::StoreError;

/// What the flusher says, and at which level each batch is told of.
const BUFFER: &str = "banter::buffer";

impl Flusher {
    /// Ops were stored. Nobody's requests are even looked at, where nobody wants to know.
    pub(super) fn note_stored(&self, ops: RangeInclusive<Sequence>) {
        if tracing::enabled!(target: BUFFER, Level::DEBUG) {
            let (first, last) = (*ops.start(), *ops.end());
            let requests = self.shared.requests(ops);
            tracing::debug!(target: BUFFER, first, last, %requests, "ops were stored");
        }
    }

    /// The store takes no writes; what waits at the front is named.
    pub(super) fn note_away(&mut self, error: &StoreError) {
        if !self.away {
            let first = self.shared.lock().ring.flushed() + 1;
            let requests = self.shared.requests(first..=self.attempted);
            let to_wait = "the store takes no writes; they wait in the buffer";
            tracing::warn!(target: BUFFER, %error, %requests, "{to_wait}");
        }
        self.away = true;
    }

    /// The store takes writes.
    pub(super) fn note_back(&mut self) {
        if self.away {
            tracing::info!(target: BUFFER, "the store takes writes again");
        }
        self.away = false;
    }
}

/// An op became a dead letter.
pub(super) fn note_letter(sequence: Sequence, error: &str, request: Option<&RequestId>) {
    let request_id = request.map(tracing::field::display);
    tracing::error!(
        target: BUFFER,
        sequence,
        error,
        request_id,
        "the store refused an op; it is a dead letter now"
    );
}
