//! How fast one socket may send events.

use std::time::Duration;

use tokio::time::Instant;

use super::rate::Quota;

/// A socket that sends so many times more than it may, second after second, means harm.
const FLOOD_FACTOR: u32 = 10;

/// For how many seconds in a row.
const FLOOD_SECONDS: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Taken,
    /// It is refused.
    TooFast,
    /// It is refused, and its socket is closed: the sender goes on as if nobody had said no.
    Flood,
}

/// The events of one socket. The default limits nothing.
#[derive(Debug, Default)]
pub struct Events {
    quota: Option<Quota>,
    full_at: Option<Instant>,
    flood: Flood,
}

/// Counts events by the second.
#[derive(Debug, Default)]
struct Flood {
    /// More than these in one second are a flood.
    most: u32,
    second: Option<Instant>,
    events: u32,
    seconds: u32,
}

impl Events {
    /// `rate` events a second, and `burst` at once; a rate of 0 is no limit.
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        let flood = Flood { most: rate.saturating_mul(FLOOD_FACTOR), ..Flood::default() };
        Self { quota: Quota::per_second(rate, burst), full_at: None, flood }
    }

    /// Counts an event.
    pub fn count(&mut self, now: Instant) -> Verdict {
        let Some(quota) = self.quota else { return Verdict::Taken };
        let is_flood = self.flood.count(now);
        match quota.take(self.full_at, now) {
            Ok((_, full_at)) => {
                self.full_at = Some(full_at);
                Verdict::Taken
            }
            Err(_) if is_flood => Verdict::Flood,
            Err(_) => Verdict::TooFast,
        }
    }
}

impl Flood {
    /// Whether each of the last seconds, this one apart, had too many.
    fn count(&mut self, now: Instant) -> bool {
        let age = self.second.map(|second| now.saturating_duration_since(second));
        if age.is_none_or(|age| age >= SECOND) {
            let goes_on = age.is_some_and(|age| age < 2 * SECOND) && self.events > self.most;
            self.seconds = if goes_on { self.seconds + 1 } else { 0 };
            (self.second, self.events) = (Some(now), 0);
        }
        self.events = self.events.saturating_add(1);
        self.seconds >= FLOOD_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many events, evenly spread over so long; how many of each verdict there were.
    fn send(
        events: &mut Events,
        now: &mut Instant,
        count: u32,
        within: Duration,
    ) -> (u32, u32, u32) {
        let (mut taken, mut too_fast, mut flood) = (0, 0, 0);
        for _ in 0..count {
            *now += within / count;
            match events.count(*now) {
                Verdict::Taken => taken += 1,
                Verdict::TooFast => too_fast += 1,
                Verdict::Flood => flood += 1,
            }
        }
        (taken, too_fast, flood)
    }

    #[test]
    fn a_burst_is_taken_and_what_is_beyond_it_refused() {
        let (mut events, mut now) = (Events::new(100, 1_000), Instant::now());
        assert_eq!(send(&mut events, &mut now, 1_500, Duration::ZERO), (1_000, 500, 0));
        now += SECOND;
        assert_eq!(send(&mut events, &mut now, 150, Duration::ZERO), (100, 50, 0));
    }

    #[test]
    fn who_sends_at_the_rate_is_never_refused() {
        let (mut events, mut now) = (Events::new(100, 1), Instant::now());
        assert_eq!(send(&mut events, &mut now, 6_000, 60 * SECOND), (6_000, 0, 0));
    }

    #[test]
    fn a_flood_is_one_after_ten_seconds_in_a_row() {
        let (mut events, mut now) = (Events::new(100, 1_000), Instant::now());
        let (_, refused, flood) = send(&mut events, &mut now, 12_000, 10 * SECOND);
        assert!(refused > 9_000 && flood == 0, "{refused} {flood}");
        let (_, _, flood) = send(&mut events, &mut now, 3_600, 3 * SECOND);
        assert!(flood > 1_000, "{flood}");
    }

    #[test]
    fn ten_thousand_at_once_are_no_flood_nor_is_one_that_pauses() {
        let (mut events, mut now) = (Events::new(100, 1_000), Instant::now());
        for _ in 0..30 {
            assert_eq!(send(&mut events, &mut now, 10_000, Duration::ZERO).2, 0);
            now += 2 * SECOND;
        }
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let (mut events, mut now) = (Events::new(0, 1), Instant::now());
        assert_eq!(send(&mut events, &mut now, 10_000, Duration::ZERO), (10_000, 0, 0));
    }
}
