//! The breaker: after some failures in a row the store is left alone for a while, then probed.
//!
//! The state machine is failsafe's; this file makes its state visible and says how long to wait.
//! Half-open lets every caller through: one probe at a time reaches the store only because there
//! is one caller, the flusher.

use std::time::{Duration, Instant};

use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Instrument, StateMachine, backoff};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// The store is asked.
pub(super) const CLOSED: i64 = 0;
/// The store is asked once; the answer decides.
pub(super) const HALF_OPEN: i64 = 1;
/// The store is left alone.
pub(super) const OPEN: i64 = 2;

/// The shortest wait: failsafe opens the gate only after the deadline, not at it.
const TICK: Duration = Duration::from_millis(1);

/// What is seen of a breaker from outside; clones share the figures.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// [`CLOSED`], [`HALF_OPEN`] or [`OPEN`].
    pub(super) state: Gauge,
    /// How often it opened; a failed probe opens it again.
    pub(super) trips: Counter,
    /// Failures since the last success.
    pub(super) failures: Gauge,
}

impl Instrument for Observed {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.state.set(OPEN);
        self.trips.inc();
    }

    fn on_half_open(&self) {
        self.state.set(HALF_OPEN);
    }

    fn on_closed(&self) {
        self.state.set(CLOSED);
    }
}

/// Decides whether the store is asked. It reads the machine's monotonic clock, as failsafe does:
/// paused time does not move it.
pub(super) struct Breaker {
    machine: StateMachine<ConsecutiveFailures<backoff::Constant>, Observed>,
    observed: Observed,
    open_for: Duration,
    opened_at: Instant,
}

impl Breaker {
    /// Opens after `failures` in a row, for `open_for`.
    pub(super) fn new(failures: u32, open_for: Duration, observed: Observed) -> Self {
        let policy = consecutive_failures(failures, backoff::constant(open_for));
        let machine = StateMachine::new(policy, observed.clone());
        Self { machine, observed, open_for, opened_at: Instant::now() }
    }

    /// Whether the store may be asked now; if not, how long to wait before asking here again.
    pub(super) fn permit(&self) -> Result<(), Duration> {
        if self.machine.is_call_permitted() {
            return Ok(());
        }
        Err(self.open_for.saturating_sub(self.opened_at.elapsed()).max(TICK))
    }

    /// The store answered, be it with a refusal: it is there.
    pub(super) fn answered(&self) {
        self.observed.failures.set(0);
        self.machine.on_success();
    }

    /// The store answered that it is not set up for us: asking again soon is of no use.
    pub(super) fn trip(&mut self) {
        self.failed();
        while self.observed.state.get() != OPEN {
            self.machine.on_error();
        }
        self.opened_at = Instant::now();
    }

    /// The store did not answer.
    pub(super) fn failed(&mut self) {
        self.observed.failures.inc();
        self.machine.on_error();
        if self.observed.state.get() == OPEN {
            self.opened_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test runs.
    const LONG: Duration = Duration::from_secs(3_600);

    fn breaker(failures: u32, open_for: Duration) -> (Breaker, Observed) {
        let observed = Observed::default();
        (Breaker::new(failures, open_for, observed.clone()), observed)
    }

    fn wait_until_half_open(breaker: &Breaker) {
        while let Err(wait) = breaker.permit() {
            std::thread::sleep(wait);
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_says_for_how_long() {
        let (mut breaker, observed) = breaker(3, LONG);
        breaker.failed();
        breaker.failed();
        assert_eq!((breaker.permit(), observed.state.get()), (Ok(()), CLOSED));
        breaker.failed();
        let wait = breaker.permit().expect_err("open");
        assert!(wait <= LONG && wait > LONG / 2, "{wait:?}");
        assert_eq!((observed.state.get(), observed.trips.get()), (OPEN, 1));
        assert_eq!(observed.failures.get(), 3);
    }

    #[test]
    fn it_can_be_opened_at_once() {
        let (mut breaker, observed) = breaker(100, LONG);
        breaker.trip();
        assert!(breaker.permit().is_err());
        assert_eq!((observed.trips.get(), observed.failures.get()), (1, 1));
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let (mut breaker, observed) = breaker(2, LONG);
        breaker.failed();
        breaker.answered();
        breaker.failed();
        assert_eq!((breaker.permit(), observed.failures.get()), (Ok(()), 1));
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_one_that_succeeds_closes_it() {
        let (mut breaker, observed) = breaker(1, TICK);
        breaker.failed();
        wait_until_half_open(&breaker);
        assert_eq!(observed.state.get(), HALF_OPEN);
        breaker.failed();
        assert_eq!((observed.state.get(), observed.trips.get()), (OPEN, 2));
        wait_until_half_open(&breaker);
        breaker.answered();
        assert_eq!((observed.state.get(), observed.failures.get()), (CLOSED, 0));
    }
}
