//! Ids and times for new messages, in the order in which they are accepted.

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
    counter: u32,
}

/// The counter has three bytes.
const COUNTER_END: u32 = 1 << 24;

impl Stamp {
    /// Starts with a random process part and the counter at zero, after `floor`: what another
    /// process has stamped there may have a larger id.
    pub(super) fn after(floor: Timestamp) -> Self {
        let last = Timestamp(floor.as_millis().saturating_add(1));
        Self { process: rand::random(), last, counter: 0 }
    }

    /// The next id and time; the time is `now`, or later where that keeps the order.
    pub(super) fn next(&mut self, now: Timestamp) -> (MessageId, Timestamp) {
        if now > self.last {
            self.last = now;
        }
        if self.counter == COUNTER_END {
            // Within one millisecond a smaller counter would sort first: borrow from the next.
            self.counter = 0;
            self.last = Timestamp(self.last.as_millis() + 1);
        }
        let [_, counter @ ..] = self.counter.to_be_bytes();
        self.counter += 1;
        let seconds = u32::try_from(self.last.as_millis() / 1_000).unwrap_or(u32::MAX);
        (MessageId(ObjectId::from_parts(seconds, self.process, counter)), self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_sort_in_the_order_in_which_they_were_given() {
        let mut stamp = Stamp::after(Timestamp(0));
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
        let mut before = Stamp::after(Timestamp(0));
        let last = before.next(Timestamp(7_200_000));
        let mut after = Stamp::after(last.1);
        let next = after.next(Timestamp(3_600_000));
        assert!((next.1, next.0) > (last.1, last.0));
    }

    #[test]
    fn an_id_tells_its_time() {
        let (id, at) = Stamp::after(Timestamp(0)).next(Timestamp(1_700_000_000_500));
        assert_eq!(at, Timestamp(1_700_000_000_500));
        assert_eq!(id.0.timestamp().timestamp_millis(), 1_700_000_000_000);
    }
}
