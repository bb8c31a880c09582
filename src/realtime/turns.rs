//! The order of one socket's events.
//!
//! The library runs the body of every handler in a task of its own, so two events of one socket
//! could overtake each other. The part before the body runs in the order of the frames: there an
//! event takes a turn, and in the body it waits until the turn before it has ended.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Events of one socket that may wait for their turn.
const MAX_WAITING: usize = 16_384;

/// Bytes of frames that may wait for their turn, per socket.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Resolves when a turn has ended.
type End = oneshot::Receiver<Ended>;

/// What a turn leaves behind: the end that it has not waited for itself, if it ended before it
/// began. The next turn waits for that instead.
#[derive(Debug)]
struct Ended {
    still_before: Option<End>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The end of the newest turn.
    newest: Option<End>,
    waiting: usize,
    bytes: usize,
}

/// The queue of one socket's turns; clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

/// A place in the queue. Dropping it, also by a panic, ends it.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<End>,
    end: Option<oneshot::Sender<Ended>>,
    queue: Turns,
    bytes: usize,
}

impl Turns {
    /// Takes the next place, in the order of the calls, for an event of so many bytes; `None`
    /// when too much is waiting already.
    pub(super) fn take(&self, bytes: usize) -> Option<Turn> {
        let mut queue = self.0.lock();
        if queue.waiting >= MAX_WAITING || queue.bytes + bytes > MAX_WAITING_BYTES {
            return None;
        }
        queue.waiting += 1;
        queue.bytes += bytes;
        let (end, newest) = oneshot::channel();
        let before = queue.newest.replace(newest);
        Some(Turn { before, end: Some(end), queue: self.clone(), bytes })
    }
}

impl Turn {
    /// Waits until every earlier turn has ended.
    pub(super) async fn begin(&mut self) {
        while let Some(before) = &mut self.before {
            // A turn always says that it has ended; an error would mean the same.
            self.before = before.await.ok().and_then(|ended| ended.still_before);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // Nobody may be waiting: this may have been the newest turn.
            let _ = end.send(Ended { still_before: self.before.take() });
        }
        let mut queue = self.queue.0.lock();
        queue.waiting -= 1;
        queue.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_begin_in_the_order_in_which_they_were_taken() {
        let turns = Turns::default();
        let taken: Vec<_> = (0..100).map(|n| (n, turns.take(1).unwrap())).collect();
        let (done, mut order) = tokio::sync::mpsc::channel(100);
        let tasks = crate::shutdown::Tasks::default();
        for (n, mut turn) in taken.into_iter().rev() {
            let done = done.clone();
            tasks.spawn(async move {
                turn.begin().await;
                tokio::task::yield_now().await;
                done.send(n).await.unwrap();
            });
        }
        for expected in 0..100 {
            assert_eq!(order.recv().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_turn_that_ends_before_it_began_lets_nobody_pass_those_before_it() {
        let turns = Turns::default();
        let first = turns.take(1).unwrap();
        let unused = [turns.take(1).unwrap(), turns.take(1).unwrap()];
        let mut last = turns.take(1).unwrap();
        drop(unused);
        assert!(futures_util::poll!(std::pin::pin!(last.begin())).is_pending());
        drop(first);
        last.begin().await;
    }

    #[test]
    fn what_waits_is_bounded_in_count_and_bytes() {
        let turns = Turns::default();
        let held: Vec<_> = (0..MAX_WAITING).map(|_| turns.take(0).unwrap()).collect();
        assert!(turns.take(0).is_none());
        drop(held);
        let large = turns.take(MAX_WAITING_BYTES).unwrap();
        assert!(turns.take(1).is_none());
        drop(large);
        assert!(turns.take(1).is_some());
    }
}
