//! How many ops a flush takes, and how long it waits for more. Pure: told of each outcome, it
//! answers with a size and a linger; it owns no timer.
//!
//! The size follows the rule of TCP's congestion control, additive increase and multiplicative
//! decrease: it feels its way up while the store keeps pace, and gives way fast when it does not.

use std::time::Duration;

use tokio::time::Instant;

/// A probe of a store in trouble still moves this many ops per call, so that a store which is
/// slow whatever the size is not starved of work.
pub(super) const MIN_BATCH: usize = 10;

/// Larger batches gain nothing (the cost per call is spread thin by then), and make a failed one
/// costly to repeat.
pub(super) const MAX_BATCH: usize = 10_000;

/// Each full and quick batch raises the size by as much as the default start: a burst of 100,000
/// ops reaches a thousand per batch within 40 flushes.
const GROWTH: usize = 25;

/// A batch that takes longer has outgrown the store: it delays whatever waits behind it by a time
/// that people notice.
const SLOW: Duration = Duration::from_secs(1);

/// The weight of the newest latency in the average; one slow call alone among quick ones weighs
/// too little to halve a batch, unless it is very slow.
const SMOOTHING: f64 = 0.3;

/// How long the store rests after a flush, as a multiple of what that took. At a thousand messages a
/// second a flush of the embedded store has ten of them then, not two, and takes little more.
const REST: u32 = 4;

/// The longest rest that is longer than a flush.
const LONG: Duration = Duration::from_millis(50);

/// The adaptive size of a batch.
#[derive(Debug)]
pub(super) struct BatchSizer {
    size: usize,
    min: usize,
    max_linger: Duration,
    /// Average time of a flush; none before the first one, and after a change for the worse, when
    /// the old measure says nothing about the new size.
    latency: Option<Duration>,
    /// The end of the last flush.
    last_flush: Option<Instant>,
}

impl BatchSizer {
    /// Starts at `size` ops per batch; `max_linger` is the longest wait for more.
    pub(super) fn new(size: usize, max_linger: Duration) -> Self {
        let min = MIN_BATCH.min(size);
        Self { size: size.min(MAX_BATCH), min, max_linger, latency: None, last_flush: None }
    }

    /// How many ops the next batch takes at the most.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How long to wait for more when `waiting` ops are there.
    ///
    /// The store rests at least as long as its last flush took, and some times longer where that is
    /// no time that anybody notices and nobody waits for it (`is_awaited`): so under a trickle of ops it
    /// leaves the disk and the processor to the journal. Whoever comes to a rested store, and a full
    /// batch, does not wait at all.
    pub(super) fn linger(&self, waiting: usize, now: Instant, is_awaited: bool) -> Duration {
        match (self.last_flush, self.latency) {
            (Some(last), Some(latency)) if waiting < self.size => {
                let longer = if is_awaited { Duration::ZERO } else { (latency * REST).min(LONG) };
                let rest = latency.max(longer).min(self.max_linger);
                rest.saturating_sub(now.saturating_duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }

    /// A flush of `ops` ops succeeded at `now` after `took`.
    pub(super) fn succeeded(&mut self, ops: usize, took: Duration, now: Instant) {
        let latency = self
            .latency
            .map_or(took, |average| took.mul_f64(SMOOTHING) + average.mul_f64(1.0 - SMOOTHING));
        self.latency = Some(latency);
        self.last_flush = Some(now);
        if latency > SLOW {
            self.halve();
        } else if ops >= self.size {
            self.size = (self.size + GROWTH).min(MAX_BATCH);
        }
    }

    /// A flush failed, for a reason that may pass.
    pub(super) fn failed(&mut self) {
        self.halve();
    }

    fn halve(&mut self) {
        self.size = (self.size / 2).max(self.min);
        self.latency = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    fn sizer(size: usize) -> (BatchSizer, Instant) {
        (BatchSizer::new(size, Duration::from_secs(1)), Instant::now())
    }

    #[test]
    fn full_quick_batches_raise_the_size_step_by_step_to_its_limit() {
        let (mut sizer, now) = sizer(25);
        for n in 1..=3 {
            sizer.succeeded(sizer.size(), QUICK, now);
            assert_eq!(sizer.size(), 25 + n * GROWTH);
        }
        for _ in 0..1_000 {
            sizer.succeeded(sizer.size(), QUICK, now);
        }
        assert_eq!(sizer.size(), MAX_BATCH);
    }

    #[test]
    fn a_batch_that_was_not_full_proves_nothing() {
        let (mut sizer, now) = sizer(25);
        sizer.succeeded(24, QUICK, now);
        assert_eq!(sizer.size(), 25);
    }

    #[test]
    fn slowness_and_failure_halve_the_size_down_to_its_limit() {
        let (mut sizer, now) = sizer(400);
        sizer.succeeded(400, SLOW * 2, now);
        assert_eq!(sizer.size(), 200);
        sizer.failed();
        assert_eq!(sizer.size(), 100);
        for _ in 0..10 {
            sizer.failed();
        }
        assert_eq!(sizer.size(), MIN_BATCH);
    }

    #[test]
    fn one_slow_call_among_quick_ones_does_not_halve() {
        let (mut sizer, now) = sizer(400);
        sizer.succeeded(1, QUICK, now);
        sizer.succeeded(1, SLOW * 2, now);
        assert_eq!(sizer.size(), 400);
        sizer.succeeded(1, SLOW * 2, now);
        assert_eq!(sizer.size(), 200);
    }

    #[test]
    fn a_start_below_the_usual_limit_is_not_raised_by_failure() {
        let (mut sizer, _) = sizer(3);
        sizer.failed();
        assert_eq!(sizer.size(), 3);
    }

    #[test]
    fn an_idle_store_is_asked_at_once_and_a_busy_one_rests_longer_than_it_worked() {
        let (mut sizer, now) = sizer(25);
        assert_eq!(sizer.linger(1, now, false), Duration::ZERO);
        sizer.succeeded(1, QUICK, now);
        assert_eq!(sizer.linger(1, now, false), QUICK * 4);
        assert_eq!(sizer.linger(1, now + QUICK, false), QUICK * 3);
        assert_eq!(sizer.linger(1, now + QUICK * 4, false), Duration::ZERO);
        assert_eq!(sizer.linger(1, now, true), QUICK, "somebody waits for it");
        assert_eq!(sizer.linger(25, now, false), Duration::ZERO, "a full batch does not wait");
    }

    #[test]
    fn a_slow_store_rests_no_longer_than_it_worked() {
        for (took, rest) in [(20, 50), (50, 50), (300, 300)] {
            let (mut sizer, now) = sizer(25);
            sizer.succeeded(1, Duration::from_millis(took), now);
            assert_eq!(sizer.linger(1, now, false), Duration::from_millis(rest), "{took} ms");
        }
    }

    #[test]
    fn the_linger_never_exceeds_the_flush_interval() {
        let mut sizer = BatchSizer::new(25, Duration::from_millis(100));
        let now = Instant::now();
        sizer.succeeded(1, SLOW, now);
        assert_eq!(sizer.linger(1, now, false), Duration::from_millis(100));
    }
}
