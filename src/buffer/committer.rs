//! The committer: makes accepted ops durable, a whole group at a time, and hands them on.
//!
//! It has a thread of its own: it waits for a disk, and a full fan-out holds it back. While it
//! commits one group the next one gathers, so groups grow with the load by themselves. The journal
//! is its alone: it also moves the checkpoint on behind the flusher.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::time::Instant;

use super::journal::{AppendError, Checkpoint, Journal, time_of};
use super::shared::{Shared, State};
use super::{Delivery, Disk, Sequence};
use crate::correlation::Named;
use crate::model::Timestamp;
use crate::shutdown::Tasks;

/// A group has so many ops at the most: the cost of a sync is spread thin by then, and whoever
/// waits for this group waits for all of it.
const MAX_GROUP_OPS: usize = 8_192;

/// And about so many bytes.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// How often a full disk is looked at, and how far the checkpoint may lie behind the store: after a
/// crash, what was stored in that time is stored once more.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// While the buffer is closed: how often to look whether the flusher has ended.
const LOOK_FOR_END: Duration = Duration::from_millis(10);

/// Starts the thread. It ends once the buffer is closed, everything accepted is handed on, and the
/// flusher has ended.
pub(super) fn start(
    committer: Committer,
    deliveries: mpsc::Sender<Delivery>,
    tasks: Tasks,
) -> io::Result<()> {
    let shared = Arc::clone(&committer.shared);
    let run = move || {
        let _closed = shared.closed.clone().drop_guard();
        if catch_unwind(AssertUnwindSafe(|| run(committer, &deliveries))).is_err() {
            tracing::error!(worker = "committer", "a part of the server has crashed; stopping");
            // Nothing that comes now could ever be acknowledged.
            shared.lock().refusing = true;
            tasks.fail();
        }
    };
    thread::Builder::new().name("committer".to_owned()).spawn(run).map(drop)
}

fn run(mut committer: Committer, deliveries: &mpsc::Sender<Delivery>) {
    while committer.wait() {
        if let Some(group) = committer.commit() {
            for delivery in group {
                if let Err(SendError(delivery)) = deliveries.blocking_send(delivery) {
                    // The fan-out has gone: nobody is left to be told, but the op is durable.
                    delivery.done();
                }
            }
            committer.shared.delivered.send_replace(committer.journal.last());
        }
        committer.keep_up();
    }
    committer.finish();
}

/// The journal, and what is behind it.
pub(super) struct Committer {
    shared: Arc<Shared>,
    journal: Journal,
    /// The latest time of any message that is committed.
    floor: Timestamp,
}

impl Committer {
    /// `floor` is the latest time of any message that the journal knows of.
    pub(super) fn new(shared: Arc<Shared>, journal: Journal, floor: Timestamp) -> Self {
        let committer = Self { shared, journal, floor };
        committer.publish_size();
        committer
    }

    /// Waits until there is something to do; `false` once there will be nothing more.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.ring.has_uncommitted() && !state.stopping;
        let state = self.shared.lock();
        let limit = self.look_again_in(&state);
        let waiting = self.shared.accepted.wait_timeout_while(state, limit, idle);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let is_over = state.stopping && !state.ring.has_uncommitted();
        if is_over && !self.shared.ended.is_cancelled() {
            drop(state);
            thread::sleep(LOOK_FOR_END);
            return true;
        }
        !is_over
    }

    /// How long nothing needs to be looked at, if nothing is accepted meanwhile.
    fn look_again_in(&self, state: &State) -> Duration {
        let is_behind = self.journal.checkpoint().sequence < state.ring.committed();
        let behind = (is_behind || state.disk == Disk::Full).then_some(LOOK_AGAIN);
        let sync = self.journal.sync_due_in();
        behind.into_iter().chain(sync).min().unwrap_or(Duration::MAX)
    }

    /// Makes the next group durable, where there is one; what the fan-out is to be told, in order.
    /// A group that can't be written is taken back, with all that was accepted behind it, and its
    /// callers are told.
    pub(super) fn commit(&mut self) -> Option<Vec<Delivery>> {
        let group = self.shared.lock().ring.take_group(MAX_GROUP_OPS, MAX_GROUP_BYTES);
        if group.is_empty() {
            return None;
        }
        let started = Instant::now();
        if let Err(error) = self.journal.append(&group) {
            self.take_back(&error);
            return Some(Vec::new());
        }
        let metrics = &self.shared.metrics;
        metrics.journal.group(group.len(), started.elapsed());
        let deliveries = {
            let mut state = self.shared.lock();
            let deliveries = state.ring.commit(self.journal.last());
            // Times grow with the numbers.
            let newest = state.ring.committed_ops().rev().take(group.len()).find_map(time_of);
            self.floor = newest.map_or(self.floor, |newest| newest.max(self.floor));
            deliveries
        };
        self.shared.committed.notify_one();
        Some(deliveries)
    }

    fn take_back(&self, error: &AppendError) {
        let (requests, retracted) = {
            let state = &mut *self.shared.lock();
            state.disk = Disk::after(error);
            let refused = state.ring.committed() + 1..=state.ring.accepted();
            let requests: Named = state.ring.requests(refused).collect();
            let retracted = state.ring.retract();
            for (sequence, op, _) in &retracted {
                state.overlay.retract(*sequence, op);
            }
            (requests, retracted)
        };
        self.note(error, &requests);
        // In the order in which they were accepted, as ever.
        for (_, _, delivery) in retracted.into_iter().rev() {
            delivery.refuse();
        }
    }

    /// Does what is due beside the groups: moves the checkpoint on, syncs, and looks for room.
    pub(super) fn keep_up(&mut self) {
        let (storable, disk) = {
            let state = self.shared.lock();
            (state.storable(), state.disk)
        };
        let mut done = self.journal.sync_if_due();
        if storable > self.journal.checkpoint().sequence {
            done = done.and_then(|()| self.advance(storable));
        }
        if disk == Disk::Full {
            done = done.and_then(|()| self.journal.make_room());
        }
        self.publish_size();
        match done {
            Ok(()) if disk == Disk::Full => {
                self.shared.lock().disk = Disk::Works;
                self.shared.metrics.journal.disk(Disk::Works);
                tracing::info!("the disk of the journal has room again; messages are accepted");
            }
            // There is no room yet, which is known.
            Ok(()) | Err(AppendError::Full(_)) => {}
            Err(error) if disk != Disk::Failed => self.take_back(&error),
            Err(_) => {}
        }
    }

    fn advance(&mut self, sequence: Sequence) -> Result<(), AppendError> {
        self.journal.advance(Checkpoint { sequence, floor: self.floor })?;
        self.shared.lock().ring.advance_checkpoint(sequence);
        Ok(())
    }

    /// Leaves a journal behind that is as short as it can be.
    fn finish(&mut self) {
        self.keep_up();
        let works = self.shared.lock().disk != Disk::Failed;
        if let Some(error) = self.journal.sync().err().filter(|_| works) {
            self.note(&error, &Named::default());
        }
    }

    /// Says that the journal can't be written, and which requests are refused because of that.
    fn note(&self, error: &AppendError, requests: &Named) {
        let state = Disk::after(error);
        self.shared.metrics.journal.disk(state);
        match state {
            Disk::Full => tracing::error!(
                %error,
                %requests,
                "the journal can't be written: no message is accepted until there is room"
            ),
            _ => tracing::error!(
                %error,
                %requests,
                "the journal can't be written: no message is accepted until the server is started \
                 again; what was acknowledged is safe"
            ),
        }
    }

    #[cfg(test)]
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    fn publish_size(&self) {
        let (segments, bytes) = self.journal.size();
        self.shared.metrics.journal.size(segments, bytes);
    }
}
