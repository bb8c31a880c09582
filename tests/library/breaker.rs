//! The states of failsafe's breaker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failsafe::failure_policy::consecutive_failures;
use failsafe::{Instrument, StateMachine, backoff};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
    fn push(&self, change: &'static str) {
        self.0.lock().unwrap().push(change);
    }
}

impl Instrument for Log {
    fn on_call_rejected(&self) {
        self.push("rejected");
    }
    fn on_open(&self) {
        self.push("open");
    }
    fn on_half_open(&self) {
        self.push("half-open");
    }
    fn on_closed(&self) {
        self.push("closed");
    }
}

type Breaker = StateMachine<failsafe::failure_policy::ConsecutiveFailures<backoff::Constant>, Log>;

/// A breaker that three failures open.
fn breaker(open_for: Duration) -> (Breaker, Log) {
    let log = Log::default();
    let breaker =
        StateMachine::new(consecutive_failures(3, backoff::constant(open_for)), log.clone());
    (breaker, log)
}

fn fail(breaker: &Breaker, times: u32) {
    for _ in 0..times {
        breaker.on_error();
    }
}

/// Longer than the clock's resolution, which is what the end of the open state is compared with.
fn pass_the_open_state() {
    std::thread::sleep(Duration::from_millis(5));
}

#[test]
fn three_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again() {
    let (breaker, log) = breaker(Duration::from_secs(60));
    fail(&breaker, 2);
    breaker.on_success();
    fail(&breaker, 2);
    assert!(breaker.is_call_permitted());
    fail(&breaker, 1);
    assert!(!breaker.is_call_permitted());
    assert_eq!(log.take(), ["closed", "open", "rejected"]);
}

#[test]
fn half_open_lets_every_caller_through_until_one_has_an_outcome() {
    let (breaker, log) = breaker(Duration::from_millis(1));
    fail(&breaker, 3);
    pass_the_open_state();
    assert!((0..100).all(|_| breaker.is_call_permitted()));
    assert_eq!(log.take(), ["closed", "open", "half-open"], "and it is told once");
}

#[test]
fn it_turns_half_open_only_when_somebody_asks() {
    let (breaker, log) = breaker(Duration::from_millis(1));
    fail(&breaker, 3);
    pass_the_open_state();
    assert_eq!(log.take(), ["closed", "open"]);
    assert!(breaker.is_call_permitted());
    assert_eq!(log.take(), ["half-open"]);
}

#[test]
fn one_failure_opens_it_again_from_half_open_and_one_success_closes_it() {
    let (breaker, log) = breaker(Duration::from_millis(1));
    fail(&breaker, 3);
    for outcome in [StateMachine::on_error, StateMachine::on_success] {
        pass_the_open_state();
        assert!(breaker.is_call_permitted());
        outcome(&breaker);
    }
    assert_eq!(log.take(), ["closed", "open", "half-open", "open", "half-open", "closed"]);
}

#[test]
fn reset_closes_an_open_breaker_and_forgets_its_failures() {
    let (breaker, log) = breaker(Duration::from_secs(60));
    fail(&breaker, 3);
    breaker.reset();
    fail(&breaker, 2);
    assert!(breaker.is_call_permitted());
    assert_eq!(log.take(), ["closed", "open", "closed"]);
}

#[test]
fn reset_of_a_closed_breaker_does_not_forget_its_failures() {
    let (breaker, _) = breaker(Duration::from_secs(60));
    fail(&breaker, 2);
    breaker.reset();
    fail(&breaker, 1);
    assert!(!breaker.is_call_permitted());
}
