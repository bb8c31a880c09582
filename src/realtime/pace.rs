//! When the fan-out writes. Pure: it is told the time.
//!
//! A call to the system costs about as much as five frames that go along with it. So where calls, one for each
//! frame, would take much of the time in which the frames come, what comes within a few milliseconds is
//! written together. Where they would not, nothing waits.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time from one write to the next.
const LONGEST: Duration = Duration::from_millis(5);

/// The shortest rest that the runtime's timer can make.
const SHORTEST: Duration = Duration::from_millis(1);

/// From one write to the next, as a multiple of what the first one took.
const SPACING: u32 = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last write began.
    began: Instant,
    next: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, next: now }
    }

    /// When it may be written again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// So many frames, which had come since the last time, were written to so many sockets.
    pub(super) fn wrote(&mut self, began: Instant, ended: Instant, sockets: usize, frames: u64) {
        let (took, came) = (ended.duration_since(began), began.duration_since(self.began));
        let one_by_one = took.as_secs_f64() * frames as f64 / sockets.max(1) as f64;
        let is_busy = one_by_one > came.as_secs_f64() / 2.0;
        let spacing = (took * SPACING).min(LONGEST);
        self.next = if is_busy && spacing >= SHORTEST { began + spacing } else { ended };
        self.began = began;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds from the beginning of the last of many writes until the next, where one comes every
    /// `every` µs, takes `took` µs, and has so many frames for each of 200 sockets.
    fn spacing(every: u64, took: u64, frames: u64) -> u128 {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut began = start;
        for _ in 0..10 {
            began += Duration::from_micros(every);
            pace.wrote(began, began + Duration::from_micros(took), 200, 200 * frames);
        }
        pace.next().duration_since(began).as_micros()
    }

    #[test]
    fn where_writing_takes_most_of_the_time_it_is_done_less_often() {
        assert_eq!(spacing(1_000, 900, 1), 3_600);
        assert_eq!(spacing(5_000, 3_000, 5), 5_000, "and stays so when that has helped");
    }

    #[test]
    fn where_it_does_not_nothing_waits() {
        assert_eq!(spacing(5_000, 1_600, 1), 1_600);
        assert_eq!(spacing(250_000, 40_000, 1), 40_000, "one message to very many");
        assert_eq!(spacing(100, 90, 1), 90, "a rest that is too short for the timer");
    }
}
