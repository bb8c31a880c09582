//! The ring: everything accepted and not yet known to be stored, in order. Pure: it does no I/O,
//! takes no lock and owns no clock.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio::time::Instant;

use super::journal::Entry;
use super::{Delivery, Receipt, Sequence};
use crate::correlation::RequestId;
use crate::model::Op;

/// The ops numbered `flushed + 1 ..= accepted`, and how far each stage of the write path has come.
///
/// Invariant: `checkpoint <= flushed <= committed <= accepted`, and each only grows; but `accepted`
/// falls back to `committed` when a group can't be written, which nobody was told of. Every assert
/// stands before the change that it guards, so a failed one leaves the ring as it was.
#[derive(Debug)]
pub(super) struct Ring {
    slots: VecDeque<Slot>,
    max_ops: usize,
    max_bytes: usize,
    bytes: usize,
    accepted: Sequence,
    committed: Sequence,
    flushed: Sequence,
    checkpoint: Sequence,
}

#[derive(Debug)]
struct Slot {
    op: Arc<Op>,
    /// What the journal writes; there until it is on its way.
    entry: Option<Entry>,
    /// There until the op is committed: from then on it is the fan-out's.
    delivery: Option<Delivery>,
    /// [`Op::weight`], and the entry's bytes while that is there.
    bytes: usize,
    accepted_at: Instant,
    /// For whom the op was accepted; for the log alone.
    request: Option<RequestId>,
}

impl Ring {
    pub(super) fn new(max_ops: usize, max_bytes: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            max_ops,
            max_bytes,
            bytes: 0,
            accepted: 0,
            committed: 0,
            flushed: 0,
            checkpoint: 0,
        }
    }

    /// The most ops that it takes, and the most bytes.
    pub(super) fn limits(&self) -> (usize, usize) {
        (self.max_ops, self.max_bytes)
    }

    /// A ring with what a journal held: ops that are committed already, behind its checkpoint. They
    /// are taken whatever the limits: it is later ones that are refused.
    pub(super) fn recovered(mut self, checkpoint: Sequence, ops: &[Arc<Op>], now: Instant) -> Self {
        assert!(self.accepted == 0, "a ring is recovered before it takes anything");
        self.slots = ops
            .iter()
            .map(|op| {
                let (op, bytes) = (Arc::clone(op), op.weight());
                Slot { op, entry: None, delivery: None, bytes, accepted_at: now, request: None }
            })
            .collect();
        self.bytes = self.slots.iter().map(|slot| slot.bytes).sum();
        (self.checkpoint, self.flushed) = (checkpoint, checkpoint);
        self.committed = checkpoint + ops.len() as Sequence;
        self.accepted = self.committed;
        self
    }

    /// The number that the next op gets, if it fits. An op that is not taken gets no number, so
    /// numbers stay contiguous.
    pub(super) fn admit(&self, bytes: usize) -> Option<Sequence> {
        let fits =
            self.slots.len() < self.max_ops && bytes <= self.max_bytes.saturating_sub(self.bytes);
        fits.then_some(self.accepted + 1)
    }

    /// Takes an op that was admitted with so many bytes, of which the entry's are a part.
    pub(super) fn push(
        &mut self,
        op: Arc<Op>,
        entry: Entry,
        delivery: Delivery,
        bytes: usize,
        now: Instant,
        request: Option<RequestId>,
    ) {
        assert_eq!(self.admit(bytes), Some(delivery.sequence), "sequence numbers are contiguous");
        self.accepted = delivery.sequence;
        self.bytes += bytes;
        let (entry, delivery) = (Some(entry), Some(delivery));
        self.slots.push_back(Slot { op, entry, delivery, bytes, accepted_at: now, request });
    }

    /// The entries of the next group to commit, at the most `max_ops` and about `max_bytes` of
    /// them.
    pub(super) fn take_group(&mut self, max_ops: usize, max_bytes: usize) -> Vec<Entry> {
        let held = self.accepted - self.flushed;
        assert_eq!(self.slots.len() as Sequence, held, "each number has its slot");
        let mut room = max_bytes;
        let uncommitted = self.offset(self.committed)..;
        let mut group = Vec::new();
        for slot in self.slots.range_mut(uncommitted).take(max_ops) {
            let Some(entry) = slot.entry.take() else { break };
            let bytes = entry.body.len();
            slot.bytes -= bytes;
            self.bytes -= bytes;
            group.push(entry);
            if bytes >= room {
                break;
            }
            room -= bytes;
        }
        group
    }

    /// Lets go of everything that is not committed, which could not be written; the ops and whom to
    /// tell, the newest first.
    pub(super) fn retract(&mut self) -> Vec<(Sequence, Arc<Op>, Delivery)> {
        let mut retracted = Vec::new();
        while self.accepted > self.committed {
            let Some(slot) = self.slots.pop_back() else { break };
            self.bytes -= slot.bytes;
            retracted.extend(slot.delivery.map(|delivery| (self.accepted, slot.op, delivery)));
            self.accepted -= 1;
        }
        retracted
    }

    /// Lets one more caller wait for an op; `None` where it is committed already.
    pub(super) fn follow(&mut self, sequence: Sequence) -> Option<Receipt> {
        if sequence <= self.flushed {
            return None;
        }
        let at = self.offset(sequence).checked_sub(1)?;
        let delivery = self.slots.get_mut(at)?.delivery.as_mut()?;
        Some(delivery.follow())
    }

    /// Marks everything up to `through` as durable; what the fan-out is to be told, in order.
    pub(super) fn commit(&mut self, through: Sequence) -> Vec<Delivery> {
        assert!(self.committed <= through && through <= self.accepted, "committed <= accepted");
        let group = self.offset(self.committed)..self.offset(through);
        self.committed = through;
        self.slots.range_mut(group).filter_map(|slot| slot.delivery.take()).collect()
    }

    /// The oldest committed ops, at the most `max_ops` and `max_bytes` of them, but at least one
    /// where there is any: an op that is too heavy for a batch makes a batch of its own.
    pub(super) fn run(&self, max_ops: usize, max_bytes: usize) -> Vec<Arc<Op>> {
        let mut room = max_bytes;
        let committed = self.slots.range(..self.offset(self.committed));
        let fitting = committed.take(max_ops.max(1)).enumerate().take_while(|(index, slot)| {
            let fits = *index == 0 || slot.bytes <= room;
            room = room.saturating_sub(slot.bytes);
            fits
        });
        fitting.map(|(_, slot)| Arc::clone(&slot.op)).collect()
    }

    /// What waits for the flusher, in order.
    pub(super) fn committed_ops(&self) -> impl DoubleEndedIterator<Item = &Op> {
        self.slots.range(..self.offset(self.committed)).map(|slot| &*slot.op)
    }

    /// Lets go of everything up to `through`, which the store has confirmed; the ops, in order.
    pub(super) fn flush(&mut self, through: Sequence) -> Vec<Arc<Op>> {
        assert!(self.flushed <= through && through <= self.committed, "flushed <= committed");
        let stored: Vec<_> = self.slots.drain(..self.offset(through)).collect();
        self.flushed = through;
        self.bytes -= stored.iter().map(|slot| slot.bytes).sum::<usize>();
        stored.into_iter().map(|slot| slot.op).collect()
    }

    /// Marks everything up to `through` as not needed any more after a crash.
    pub(super) fn advance_checkpoint(&mut self, through: Sequence) {
        assert!(self.checkpoint <= through && through <= self.flushed, "checkpoint <= flushed");
        self.checkpoint = through;
    }

    /// The number up to which the journal knows that all is stored.
    pub(super) fn checkpoint(&self) -> Sequence {
        self.checkpoint
    }

    pub(super) fn accepted(&self) -> Sequence {
        self.accepted
    }

    pub(super) fn committed(&self) -> Sequence {
        self.committed
    }

    pub(super) fn flushed(&self) -> Sequence {
        self.flushed
    }

    /// Whether an op waits for the committer.
    pub(super) fn has_uncommitted(&self) -> bool {
        self.committed < self.accepted
    }

    /// How many ops wait for the flusher.
    pub(super) fn flushable(&self) -> usize {
        self.offset(self.committed)
    }

    /// How many ops are held, committed or not.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest op that is held was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.accepted_at)
    }

    /// Counts an op that is not there: the next commit panics.
    #[cfg(test)]
    pub(super) fn break_for_tests(&mut self) {
        self.accepted += 1;
    }

    /// For which requests the ops with these numbers were accepted, as far as they are held.
    pub(super) fn requests(
        &self,
        sequences: RangeInclusive<Sequence>,
    ) -> impl Iterator<Item = RequestId> {
        let place = |sequence: Sequence| self.offset(sequence.clamp(self.flushed, self.accepted));
        let held = place(sequences.start().saturating_sub(1))..place(*sequences.end());
        self.slots.range(held).filter_map(|slot| slot.request.clone())
    }

    /// How many slots lie up to and including `sequence`; at the most as many as are held.
    fn offset(&self, sequence: Sequence) -> usize {
        usize::try_from(sequence - self.flushed).map_or(self.slots.len(), |n| n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::text;

    fn push(ring: &mut Ring, op: Op) -> Option<Sequence> {
        let (op, bytes) = (Arc::new(op), op_bytes(&text("")));
        let sequence = ring.admit(bytes)?;
        let delivery = Delivery::for_tests(sequence, Arc::clone(&op));
        let entry = Entry { kind: 1, body: vec![0; ENTRY_BYTES] };
        ring.push(op, entry, delivery, bytes, Instant::now(), None);
        Some(sequence)
    }

    const ENTRY_BYTES: usize = 100;

    fn op_bytes(op: &Op) -> usize {
        op.weight() + ENTRY_BYTES
    }

    #[test]
    fn the_requests_of_ops_are_known_as_long_as_the_ops_are_held() {
        let mut ring = Ring::new(100, usize::MAX);
        let ids = ["a", "b", "c", "d"].map(|id| RequestId::given(id).unwrap());
        for id in &ids {
            let sequence = ring.admit(100).unwrap();
            let entry = Entry { kind: 1, body: vec![0; ENTRY_BYTES] };
            let op = Arc::new(text(""));
            let delivery = Delivery::for_tests(sequence, Arc::clone(&op));
            ring.push(op, entry, delivery, 100, Instant::now(), Some(id.clone()));
        }
        push(&mut ring, text(""));
        ring.take_group(9, usize::MAX);
        ring.commit(5);
        let requests = |ring: &Ring, from, to| ring.requests(from..=to).collect::<Vec<_>>();
        assert_eq!(requests(&ring, 2, 3), ids[1..3]);
        ring.flush(2);
        assert_eq!(requests(&ring, 1, 99), ids[2..]);
        assert_eq!(requests(&ring, 1, 2), []);
    }

    #[test]
    fn a_group_takes_its_entries_along_and_gives_their_bytes_back() {
        let mut ring = Ring::new(100, usize::MAX);
        for _ in 0..5 {
            push(&mut ring, text(""));
        }
        let before = ring.bytes();
        assert_eq!(ring.take_group(2, usize::MAX).len(), 2);
        assert_eq!(before - ring.bytes(), 2 * ENTRY_BYTES);
        assert!(ring.take_group(9, usize::MAX).is_empty(), "a group is under way");
        ring.commit(2);
        assert_eq!(ring.take_group(9, 150).len(), 2, "the bytes are a limit, too");
        ring.commit(4);
        assert_eq!(ring.take_group(9, 1).len(), 1, "one is always taken");
    }

    #[test]
    fn what_could_not_be_written_leaves_no_trace() {
        let mut ring = Ring::new(100, usize::MAX);
        for _ in 0..2 {
            push(&mut ring, text(""));
        }
        ring.take_group(9, usize::MAX);
        ring.commit(2);
        let before = (ring.bytes(), ring.len());
        for _ in 0..3 {
            push(&mut ring, text(""));
        }
        ring.take_group(2, usize::MAX);
        let numbers: Vec<_> = ring.retract().iter().map(|(sequence, ..)| *sequence).collect();
        assert_eq!(numbers, [5, 4, 3]);
        assert_eq!(((ring.bytes(), ring.len()), ring.accepted()), (before, 2));
        assert_eq!(push(&mut ring, text("")), Some(3), "numbers stay contiguous");
    }

    #[test]
    fn a_recovered_ring_holds_more_than_its_limit_and_takes_nothing_until_there_is_room() {
        let ops: Vec<_> = (0..3).map(|_| Arc::new(text(""))).collect();
        let mut ring = Ring::new(2, usize::MAX).recovered(7, &ops, Instant::now());
        assert_eq!((ring.flushed(), ring.committed(), ring.flushable()), (7, 10, 3));
        assert_eq!(push(&mut ring, text("")), None);
        ring.flush(9);
        assert_eq!(push(&mut ring, text("")), Some(11));
    }

    #[tokio::test]
    async fn a_follower_waits_for_what_is_not_committed_yet() {
        let mut ring = Ring::new(100, usize::MAX);
        push(&mut ring, text(""));
        push(&mut ring, text(""));
        let receipt = ring.follow(2).expect("not committed");
        let delivery = ring.commit(2).pop().expect("the second");
        assert!(ring.follow(2).is_none() && ring.follow(9).is_none());
        delivery.done();
        assert_eq!(receipt.durable().await.expect("durable"), 2);
        ring.flush(2);
        assert!(ring.follow(1).is_none());
    }

    #[test]
    fn numbers_are_contiguous_across_a_refusal() {
        let mut ring = Ring::new(2, usize::MAX);
        assert_eq!(push(&mut ring, text("a")), Some(1));
        assert_eq!(push(&mut ring, text("b")), Some(2));
        assert_eq!(push(&mut ring, text("c")), None);
        assert_eq!(ring.commit(2).iter().map(|d| d.sequence).collect::<Vec<_>>(), [1, 2]);
        ring.flush(1);
        assert_eq!(push(&mut ring, text("c")), Some(3));
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let one = op_bytes(&text(""));
        let mut ring = Ring::new(100, 2 * one);
        assert!(push(&mut ring, text("a")).is_some() && push(&mut ring, text("b")).is_some());
        assert_eq!((ring.admit(1), ring.bytes()), (None, 2 * one));
        ring.take_group(2, usize::MAX);
        ring.commit(2);
        ring.flush(2);
        assert_eq!((ring.admit(2 * one), ring.bytes(), ring.len()), (Some(3), 0, 0));
        assert_eq!(ring.admit(2 * one + 1), None);
    }

    #[test]
    fn a_run_is_committed_bounded_and_never_empty_without_need() {
        let one = op_bytes(&text(""));
        let mut ring = Ring::new(100, usize::MAX);
        for _ in 0..5 {
            push(&mut ring, text("a"));
        }
        assert!(ring.run(10, usize::MAX).is_empty(), "nothing is committed yet");
        ring.commit(4);
        assert_eq!(ring.run(10, usize::MAX).len(), 4);
        assert_eq!(ring.run(3, usize::MAX).len(), 3);
        assert_eq!(ring.run(10, 2 * one + 1).len(), 2);
        assert_eq!(ring.run(10, 1).len(), 1);
    }

    #[test]
    fn a_delivery_leaves_once() {
        let mut ring = Ring::new(100, usize::MAX);
        push(&mut ring, text("a"));
        assert_eq!(ring.commit(1).len(), 1);
        assert!(ring.commit(1).is_empty());
    }

    #[test]
    #[should_panic(expected = "committed <= accepted")]
    fn nothing_is_committed_before_it_is_accepted() {
        Ring::new(1, usize::MAX).commit(1);
    }

    #[test]
    #[should_panic(expected = "flushed <= committed")]
    fn nothing_is_flushed_before_it_is_committed() {
        let mut ring = Ring::new(1, usize::MAX);
        push(&mut ring, text("a"));
        ring.flush(1);
    }

    #[test]
    #[should_panic(expected = "checkpoint <= flushed")]
    fn nothing_is_checkpointed_before_it_is_flushed() {
        let mut ring = Ring::new(1, usize::MAX);
        push(&mut ring, text("a"));
        ring.commit(1);
        ring.advance_checkpoint(1);
    }
}
