//! What was sent, what came of it to whom, and so what was lost, doubled or reordered. Pure.
//!
//! A stream is what one sender says to one audience. Its messages are numbered from 1, and each of
//! its audience is to get each of them once, in this order.

/// Gaps kept for one receiver of one stream. Past that the oldest is given up: what it lacks stays
/// lost, and if it comes after all, counts as doubled.
const MAX_GAPS: usize = 4_096;

/// What a delivery was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The first of its number, in order or over a gap.
    New,
    /// The first of its number, after a higher one.
    Reordered,
    /// Its number had come before.
    Doubled,
    /// Nobody has sent it, or not to this receiver.
    Astray,
}

/// What one receiver has of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    highest: u64,
    /// Numbers below the highest that have not come, as ranges with both ends, in order.
    gaps: Vec<(u64, u64)>,
    /// Numbers of gaps that were given up.
    given_up: u64,
}

impl Seen {
    fn take(&mut self, number: u64) -> Verdict {
        if number > self.highest {
            if number > self.highest + 1 {
                self.gaps.push((self.highest + 1, number - 1));
                if self.gaps.len() > MAX_GAPS {
                    let (first, last) = self.gaps.remove(0);
                    self.given_up += last - first + 1;
                }
            }
            self.highest = number;
            return Verdict::New;
        }
        let at = self.gaps.partition_point(|(_, last)| *last < number);
        match self.gaps.get(at).copied() {
            Some((first, last)) if first <= number => {
                let left = [(first, number - 1), (number + 1, last)];
                self.gaps.splice(at..=at, left.into_iter().filter(|(first, last)| first <= last));
                Verdict::Reordered
            }
            _ => Verdict::Doubled,
        }
    }

    /// How many different numbers have come.
    fn count(&self) -> u64 {
        let open: u64 = self.gaps.iter().map(|(first, last)| last - first + 1).sum();
        self.highest - open - self.given_up
    }

    fn has(&self, number: u64) -> bool {
        let at = self.gaps.partition_point(|(_, last)| *last < number);
        number <= self.highest && self.gaps.get(at).is_none_or(|(first, _)| *first > number)
    }
}

/// One stream.
#[derive(Debug, Default)]
struct Stream {
    sent: u64,
    /// Sends of it that the server has refused.
    refused: u64,
    /// Who is to get it, and where each one's [`Seen`] of it is.
    audience: Vec<u32>,
}

/// The books of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    streams: Vec<Stream>,
    /// For each receiver the streams it is to get, by their numbers.
    receivers: Vec<Vec<(u32, Seen)>>,
}

impl Tally {
    /// For this many receivers.
    pub(super) fn new(receivers: usize) -> Self {
        Self { streams: Vec::new(), receivers: vec![Vec::new(); receivers] }
    }

    /// A further stream; its number. Receivers outside of the run are left out.
    pub(super) fn stream(&mut self, audience: impl IntoIterator<Item = u32>) -> u32 {
        let stream = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        let mut kept = Vec::new();
        for receiver in audience {
            if let Some(seen) = self.receivers.get_mut(receiver as usize) {
                // Streams are numbered upwards, so each list stays in order.
                seen.push((stream, Seen::default()));
                kept.push(receiver);
            }
        }
        self.streams.push(Stream { audience: kept, ..Stream::default() });
        stream
    }

    /// Lets others get a stream too, to whom it is not owed; what they get is kept all the same.
    /// Before the next stream is made.
    pub(super) fn also(&mut self, stream: u32, receivers: impl IntoIterator<Item = u32>) {
        for receiver in receivers {
            if let Some(seen) = self.receivers.get_mut(receiver as usize) {
                seen.push((stream, Seen::default()));
            }
        }
    }

    /// How many messages that went to this receiver, owed or not, have not come, but for refused ones.
    pub(super) fn missed(&self, receiver: u32) -> u64 {
        let streams = self.receivers.get(receiver as usize).into_iter().flatten();
        let missed = streams.filter_map(|(number, seen)| {
            let stream = self.streams.get(*number as usize)?;
            Some((stream.sent - seen.count()).saturating_sub(stream.refused))
        });
        missed.sum()
    }

    /// The next message of a stream goes out: its number, and to how many.
    pub(super) fn send(&mut self, stream: u32) -> Option<(u64, u64)> {
        let stream = self.streams.get_mut(stream as usize)?;
        stream.sent += 1;
        Some((stream.sent, stream.audience.len() as u64))
    }

    /// One of the messages of a stream was refused; to how many it does not go.
    pub(super) fn refuse(&mut self, stream: u32) -> u64 {
        let Some(stream) = self.streams.get_mut(stream as usize) else { return 0 };
        if stream.refused == stream.sent {
            return 0;
        }
        stream.refused += 1;
        stream.audience.len() as u64
    }

    /// A message has come.
    pub(super) fn receive(&mut self, receiver: u32, stream: u32, number: u64) -> Verdict {
        let sent = self.streams.get(stream as usize).map_or(0, |stream| stream.sent);
        let seen = self.seen(receiver, stream);
        match seen {
            Some(seen) if (1..=sent).contains(&number) => seen.take(number),
            _ => Verdict::Astray,
        }
    }

    fn seen(&mut self, receiver: u32, stream: u32) -> Option<&mut Seen> {
        let streams = self.receivers.get_mut(receiver as usize)?;
        let at = streams.binary_search_by_key(&stream, |(stream, _)| *stream).ok()?;
        Some(&mut streams[at].1)
    }

    /// Deliveries that should have come and did not. A message that came to nobody at all counts as
    /// one that was refused, as long as its sender was told of refusals.
    pub(super) fn lost(&self) -> u64 {
        let streams = self.streams.iter().zip(0..);
        streams.map(|(stream, number)| self.lost_of(stream, number)).sum()
    }

    /// Deliveries that later ones have overtaken, for the time being.
    pub(super) fn overtaken(&self) -> u64 {
        self.receivers.iter().flatten().map(|(_, seen)| seen.highest - seen.count()).sum()
    }

    fn lost_of(&self, stream: &Stream, number: u32) -> u64 {
        let seen: Vec<&Seen> =
            stream.audience.iter().filter_map(|r| self.got(*r, number)).collect();
        let missing: u64 = seen.iter().map(|seen| stream.sent - seen.count()).sum();
        if missing == 0 || stream.refused == 0 {
            return missing;
        }
        // What was refused came to nobody, so that the first receiver misses it too.
        let to_nobody = |number: &u64| seen.iter().all(|seen| !seen.has(*number));
        let refused = (1..=stream.sent).filter(to_nobody).take(stream.refused as usize).count();
        missing - refused as u64 * seen.len() as u64
    }

    fn got(&self, receiver: u32, stream: u32) -> Option<&Seen> {
        let streams = self.receivers.get(receiver as usize)?;
        let at = streams.binary_search_by_key(&stream, |(stream, _)| *stream).ok()?;
        Some(&streams[at].1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A stream of so many messages to two receivers.
    fn sent(count: u64) -> (Tally, u32) {
        let mut tally = Tally::new(3);
        let stream = tally.stream([0, 1]);
        for number in 1..=count {
            assert_eq!(tally.send(stream), Some((number, 2)));
        }
        (tally, stream)
    }

    fn take(
        tally: &mut Tally,
        receiver: u32,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Vec<Verdict> {
        numbers.into_iter().map(|number| tally.receive(receiver, 0, number)).collect()
    }

    #[test]
    fn all_in_order_is_all_well() {
        let (mut tally, _) = sent(3);
        for receiver in [0, 1] {
            assert_eq!(take(&mut tally, receiver, 1..=3), [Verdict::New; 3]);
        }
        assert_eq!(tally.lost(), 0);
    }

    #[test]
    fn what_never_comes_is_lost_once_for_each_who_misses_it() {
        let (mut tally, _) = sent(5);
        assert_eq!(take(&mut tally, 0, [1, 4]), [Verdict::New; 2]);
        assert_eq!(take(&mut tally, 1, 1..=5), [Verdict::New; 5]);
        assert_eq!((tally.lost(), tally.overtaken()), (3, 2));
        let (tally, _) = sent(4);
        assert_eq!(tally.lost(), 8, "nothing came to anybody");
    }

    #[test]
    fn a_second_one_is_doubled_and_a_late_one_reordered() {
        use Verdict::{Doubled, New, Reordered};
        let (mut tally, _) = sent(6);
        let numbers = [1, 1, 4, 3, 3, 2, 4, 6, 5];
        let verdicts = [New, Doubled, New, Reordered, Doubled, Reordered, Doubled, New, Reordered];
        assert_eq!(take(&mut tally, 0, numbers), verdicts);
        assert_eq!(tally.lost(), 6, "the other one's");
    }

    #[test]
    fn what_nobody_sent_or_not_to_this_one_is_astray() {
        let (mut tally, _) = sent(1);
        assert_eq!(take(&mut tally, 0, [0, 2, u64::MAX]), [Verdict::Astray; 3]);
        assert_eq!(take(&mut tally, 2, [1]), [Verdict::Astray]);
        assert_eq!(take(&mut tally, 9, [1]), [Verdict::Astray]);
        assert_eq!(tally.receive(0, 1, 1), Verdict::Astray);
    }

    #[test]
    fn a_refused_message_is_not_lost_and_a_lost_one_not_refused() {
        let (mut tally, stream) = sent(4);
        assert_eq!(tally.refuse(stream), 2);
        take(&mut tally, 0, [1, 3, 4]);
        take(&mut tally, 1, [1, 3]);
        assert_eq!(tally.lost(), 1, "2 was refused, 4 is lost to one");
        let (mut tally, stream) = sent(2);
        for _ in 0..2 {
            assert_eq!(tally.refuse(stream), 2);
        }
        assert_eq!(tally.refuse(stream), 0, "more refusals than messages");
        take(&mut tally, 0, [1]);
        assert_eq!(tally.lost(), 1, "a refusal does not excuse what came to somebody");
    }

    #[test]
    fn what_is_not_owed_is_never_lost_but_is_known_to_be_missed() {
        let mut tally = Tally::new(3);
        let stream = tally.stream([0]);
        tally.also(stream, [2, 7]);
        let other = tally.stream([0, 2]);
        for _ in 0..3 {
            assert_eq!(tally.send(stream).map(|(_, audience)| audience), Some(1));
        }
        take(&mut tally, 0, 1..=3);
        assert_eq!(take(&mut tally, 2, [2, 2]), [Verdict::New, Verdict::Doubled]);
        assert_eq!((tally.lost(), tally.missed(2), tally.missed(0), tally.missed(9)), (0, 2, 0, 0));
        tally.refuse(stream);
        assert_eq!(tally.missed(2), 1);
        tally.send(other);
        assert_eq!((tally.lost(), tally.missed(2)), (2, 2));
    }

    #[test]
    fn memory_is_bounded_and_what_is_given_up_stays_lost() {
        let mut seen = Seen::default();
        for number in (2..=20_000).step_by(2) {
            seen.take(number);
        }
        assert_eq!((seen.gaps.len(), seen.count()), (MAX_GAPS, 10_000));
        assert_eq!(seen.take(1), Verdict::Doubled);
        assert_eq!(seen.count(), 10_000);
    }

    proptest! {
        #[test]
        fn the_books_are_those_of_a_plain_set(numbers in prop::collection::vec(1..40_u64, 0..80)) {
            let (mut seen, mut plain, mut highest) = (Seen::default(), BTreeSet::new(), 0);
            for number in numbers {
                let expected = match plain.insert(number) {
                    false => Verdict::Doubled,
                    true if number < highest => Verdict::Reordered,
                    true => Verdict::New,
                };
                highest = highest.max(number);
                prop_assert_eq!(seen.take(number), expected);
                prop_assert_eq!(seen.count(), plain.len() as u64);
                prop_assert!((1..=40).all(|number| seen.has(number) == plain.contains(&number)));
            }
        }
    }
}
