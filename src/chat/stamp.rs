//! Ids and times for new messages, in the order in which they are accepted.

use std::time::Duration;

use bson::oid::ObjectId;

use crate::model::{MessageId, Timestamp};

/// Gives each message an id and a time so that the order by (time, id), which history uses, is the
/// order of acceptance: also for many messages in one millisecond, and when the clock steps back.
///
/// An id is an ObjectId (<https://www.mongodb.com/docs/manual/reference/bson-types/#objectid>):
/// four bytes of seconds, five random ones of this process, three of a counter.
#[derive(Debug)]
pub(super) struct Stamp {
    process: [u8; 5],
    last: Timestamp,
    /// The largest id that was given with that time.
    largest: Option<MessageId>,
    counter: u32,
}

/// The process part of an id.
pub(super) fn process_of(id: MessageId) -> [u8; 5] {
    let [_, _, _, _, process @ .., _, _, _] = id.0.bytes();
    process
}

/// How far the times may run ahead of the clock for the sake of the order. Only ids that were minted
/// earlier push them, a millisecond each time: of more than that many in a moment, two in the same
/// millisecond may be sorted by their ids instead.
const MAX_AHEAD: Duration = Duration::from_millis(50);

/// How far another node's clock may be ahead and is followed.
const MAX_FOLLOWED: Duration = Duration::from_secs(5);

/// The counter has three bytes.
const COUNTER_END: u32 = 1 << 24;

impl Stamp {
    /// Starts with the counter at zero, after `floor`: what another process has stamped there may
    /// have a larger id. The process part is as good as random, and that of no other run.
    pub(super) fn after(floor: Timestamp, process: [u8; 5]) -> Self {
        let last = Timestamp(floor.as_millis().saturating_add(1));
        Self { process, last, largest: None, counter: 0 }
    }

    /// The next id and time; the time is `now`, or later where that keeps the order.
    pub(super) fn next(&mut self, now: Timestamp) -> (MessageId, Timestamp) {
        let id = self.mint(now);
        (id, self.time_of(id, now))
    }

    /// The time of a message that is accepted now under an id that was minted before.
    pub(super) fn time_of(&mut self, id: MessageId, now: Timestamp) -> Timestamp {
        self.advance(now);
        if self.largest >= Some(id) && self.last < now.plus(MAX_AHEAD) {
            self.advance(Timestamp(self.last.as_millis() + 1));
        }
        self.largest = self.largest.max(Some(id));
        self.last
    }

    /// A message of this time was heard: what is accepted from now on is no earlier, so that an answer
    /// comes behind what it answers.
    pub(super) fn follow(&mut self, heard: Timestamp, now: Timestamp) {
        if heard <= now.plus(MAX_FOLLOWED) {
            self.advance(heard);
        }
    }

    /// Whether an id was minted by this run of this server.
    pub(super) fn is_own(&self, id: MessageId) -> bool {
        process_of(id) == self.process
    }

    fn advance(&mut self, to: Timestamp) {
        if to > self.last {
            self.last = to;
            self.largest = None;
        }
    }

    /// The next id.
    pub(super) fn mint(&mut self, now: Timestamp) -> MessageId {
        self.advance(now);
        if self.counter == COUNTER_END {
            // Within one millisecond a smaller counter would sort first: borrow from the next.
            self.counter = 0;
            self.advance(Timestamp(self.last.as_millis() + 1));
        }
        let [_, counter @ ..] = self.counter.to_be_bytes();
        self.counter += 1;
        let seconds = u32::try_from(self.last.as_millis() / 1_000).unwrap_or(u32::MAX);
        MessageId(ObjectId::from_parts(seconds, self.process, counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_sort_in_the_order_in_which_they_were_given() {
        let mut stamp = Stamp::after(Timestamp(0), rand::random());
        stamp.counter = COUNTER_END - 3;
        let clock = [5_000, 5_000, 5_000, 5_000, 5_001, 4_000, 4_000, 9_000];
        let given: Vec<_> =
            clock.map(|now| stamp.next(Timestamp(now))).map(|(id, at)| (at, id)).to_vec();
        let mut sorted = given.clone();
        sorted.sort();
        assert_eq!(given, sorted);
        sorted.dedup();
        assert_eq!(given.len(), sorted.len());
    }

    #[test]
    fn a_clock_that_has_stepped_back_over_a_restart_gives_no_earlier_time() {
        let mut before = Stamp::after(Timestamp(0), rand::random());
        let last = before.next(Timestamp(7_200_000));
        let mut after = Stamp::after(last.1, rand::random());
        let next = after.next(Timestamp(3_600_000));
        assert!((next.1, next.0) > (last.1, last.0));
    }

    #[test]
    fn an_id_that_was_minted_before_gets_a_time_that_keeps_the_order() {
        let (mut stamp, now) = (Stamp::after(Timestamp(0), rand::random()), Timestamp(5_000));
        let early: Vec<_> = (0..10).map(|_| stamp.mint(now)).collect();
        let foreign = MessageId(ObjectId::from_parts(u32::MAX, [255; 5], [255; 3]));
        let mut given = vec![stamp.next(now)];
        for id in early.into_iter().chain([foreign]) {
            given.push((id, stamp.time_of(id, now)));
            given.push(stamp.next(now));
        }
        let given: Vec<_> = given.into_iter().map(|(id, at)| (at, id)).collect();
        assert!(given.is_sorted(), "{given:?}");
        assert!(given.iter().all(|(at, _)| *at < now.plus(MAX_AHEAD)), "{given:?}");
    }

    #[test]
    fn times_do_not_run_ahead_without_end() {
        let (mut stamp, now) = (Stamp::after(Timestamp(0), rand::random()), Timestamp(5_000));
        let first = stamp.mint(now);
        for _ in 0..10_000 {
            stamp.next(now);
            assert!(stamp.time_of(first, now) <= now.plus(MAX_AHEAD));
        }
    }

    #[test]
    fn an_answer_comes_behind_what_was_heard_from_another_clock() {
        let (mut stamp, now) = (Stamp::after(Timestamp(0), rand::random()), Timestamp(5_000));
        stamp.follow(Timestamp(9_000), now);
        assert_eq!(stamp.next(now).1, Timestamp(9_000));
        stamp.follow(Timestamp(900_000), now);
        assert_eq!(stamp.next(now).1, Timestamp(9_000), "a clock that is wrong is not followed");
    }

    #[test]
    fn own_ids_are_known() {
        let (mut stamp, mut other) = (
            Stamp::after(Timestamp(0), rand::random()),
            Stamp::after(Timestamp(0), rand::random()),
        );
        let (own, theirs) = (stamp.mint(Timestamp(1)), other.mint(Timestamp(1)));
        assert!(stamp.is_own(own) && !stamp.is_own(theirs));
    }

    #[test]
    fn an_id_tells_its_time() {
        let (id, at) =
            Stamp::after(Timestamp(0), rand::random()).next(Timestamp(1_700_000_000_500));
        assert_eq!(at, Timestamp(1_700_000_000_500));
        assert_eq!(id.0.timestamp().timestamp_millis(), 1_700_000_000_000);
    }
}
