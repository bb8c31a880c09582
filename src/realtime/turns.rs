//! The order of one socket's events.
//!
//! The library runs the body of every handler in a task of its own, so two events of one socket
//! could overtake each other. The part before the body runs in the order of the frames: there an
//! event takes a turn, and in the body it waits until the turn before it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// Events of one socket that may wait for their turn.
const MAX_WAITING: usize = 16_384;

/// Bytes of frames that may wait for their turn, per socket.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Turns are numbered as they are taken. All below `current` have ended.
#[derive(Debug, Default)]
struct Queue {
    current: u64,
    next: u64,
    /// Turns that ended before they began, and before some that come earlier.
    ended_early: BTreeSet<u64>,
    wakers: BTreeMap<u64, Waker>,
    bytes: usize,
}

impl Queue {
    fn end(&mut self, number: u64) -> Option<Waker> {
        self.wakers.remove(&number);
        if number != self.current {
            self.ended_early.insert(number);
            return None;
        }
        self.current += 1;
        while self.ended_early.remove(&self.current) {
            self.current += 1;
        }
        self.wakers.remove(&self.current)
    }
}

/// The queue of one socket's turns; clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

/// A place in the queue. Dropping it, also by a panic, ends it; the next one begins when it and all
/// before it have ended.
#[derive(Debug)]
pub(super) struct Turn {
    number: u64,
    bytes: usize,
    queue: Turns,
}

impl Turns {
    /// Takes the next place, in the order of the calls, for an event of so many bytes; `None`
    /// when too much is waiting already.
    pub(super) fn take(&self, bytes: usize) -> Option<Turn> {
        let mut queue = self.0.lock();
        let is_full = queue.next - queue.current >= MAX_WAITING as u64;
        if is_full || queue.bytes + bytes > MAX_WAITING_BYTES {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        queue.bytes += bytes;
        Some(Turn { number, bytes, queue: self.clone() })
    }
}

impl Turn {
    /// Waits until every earlier turn has ended.
    pub(super) async fn begin(&self) {
        poll_fn(|context| {
            let mut queue = self.queue.0.lock();
            if queue.current == self.number {
                return Poll::Ready(());
            }
            queue.wakers.insert(self.number, context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.queue.0.lock();
            queue.bytes -= self.bytes;
            queue.end(self.number)
        };
        if let Some(next) = next {
            next.wake();
        }
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
        for (n, turn) in taken.into_iter().rev() {
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
        let last = turns.take(1).unwrap();
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
        // Whatever the order in which they end.
        let (early, late): (Vec<_>, Vec<_>) =
            held.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
        drop(late);
        assert!(turns.take(0).is_none(), "the first has not ended");
        drop(early);
        let large = turns.take(MAX_WAITING_BYTES).unwrap();
        assert!(turns.take(1).is_none());
        drop(large);
        assert!(turns.take(1).is_some());
    }
}
