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

#[derive(Debug, Default)]
struct Queue {
    /// Resolves, by its sender being dropped, when the newest turn has ended.
    newest: Option<oneshot::Receiver<()>>,
    waiting: usize,
    bytes: usize,
}

/// The queue of one socket's turns; clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

/// A place in the queue. Dropping it, also by a panic, lets the next one begin.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _ended: oneshot::Sender<()>,
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
        let (ended, newest) = oneshot::channel();
        let before = queue.newest.replace(newest);
        Some(Turn { before, _ended: ended, queue: self.clone(), bytes })
    }
}

impl Turn {
    /// Waits until every earlier turn has ended.
    pub(super) async fn begin(&mut self) {
        if let Some(before) = self.before.take() {
            // The sender is never used, only dropped: the error is the signal.
            let _ = before.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
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
    async fn a_turn_that_ends_unused_lets_the_next_one_begin() {
        let turns = Turns::default();
        let first = turns.take(1).unwrap();
        let second = turns.take(1).unwrap();
        let mut third = turns.take(1).unwrap();
        drop(first);
        drop(second);
        third.begin().await;
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
