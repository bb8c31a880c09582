//! The committer: makes accepted ops durable, a whole group at a time, and hands them on.
//!
//! It has a thread of its own: it waits for a disk, and a full fan-out holds it back. While it
//! commits one group the next one gathers, so groups grow with the load by themselves.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;

use super::{Delivery, Sequence, Shared};
use crate::shutdown::Tasks;

/// Starts the thread. It ends once the buffer is closed and everything accepted is handed on.
pub(super) fn start(
    shared: Arc<Shared>,
    deliveries: mpsc::Sender<Delivery>,
    tasks: Tasks,
) -> io::Result<()> {
    let committer = move || {
        if catch_unwind(AssertUnwindSafe(|| run(&shared, &deliveries))).is_err() {
            tracing::error!(worker = "committer", "a part of the server has crashed; stopping");
            // Nothing that comes now could ever be acknowledged.
            shared.lock().refusing = true;
            tasks.fail();
        }
    };
    thread::Builder::new().name("committer".to_owned()).spawn(committer).map(drop)
}

fn run(shared: &Shared, deliveries: &mpsc::Sender<Delivery>) {
    while let Some(through) = next_group(shared) {
        let group = commit(shared, through);
        shared.committed.notify_one();
        for delivery in group {
            if let Err(SendError(delivery)) = deliveries.blocking_send(delivery) {
                // The fan-out has gone: nobody is left to be told, but the op is durable.
                delivery.done();
            }
        }
        shared.delivered.send_replace(through);
    }
}

/// Waits for ops; the number of the newest one, or `None` when no more will come.
fn next_group(shared: &Shared) -> Option<Sequence> {
    let idle = |state: &mut super::State| !state.ring.has_uncommitted() && !state.stopping;
    let state = shared.accepted.wait_while(shared.lock(), idle);
    let state = state.unwrap_or_else(PoisonError::into_inner);
    state.ring.has_uncommitted().then(|| state.ring.accepted())
}

/// Makes every op up to `through` durable, then marks it so: from here on nothing may be lost.
/// Memory is what it is committed to; a journal's write and sync come before the mark.
fn commit(shared: &Shared, through: Sequence) -> Vec<Delivery> {
    shared.lock().ring.commit(through)
}
