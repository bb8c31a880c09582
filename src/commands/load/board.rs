//! What all connections of a run share: the clock, the plan, the counters and the histograms. They
//! run on one thread, so that no counter needs a lock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use super::marker::{Mark, Marker};
use super::slow::SlowReaders;
use super::tally::{Tally, Verdict};

/// The stream of what is sent before the run to see who is in a room: in no books.
pub(super) const PROBE: u32 = u32::MAX;

/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Longest latency that is told apart from longer ones: an hour, in µs.
const MAX_US: u64 = 3_600_000_000;

/// When what happens, in µs of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Sending begins.
    pub(super) start_us: u64,
    /// The measured time: what is meant to be sent from here ...
    pub(super) from_us: u64,
    /// ... to before here.
    pub(super) to_us: u64,
}

impl Plan {
    /// Whether that time is measured.
    pub(super) fn measures(&self, at_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&at_us)
    }
}

/// A number that counts.
#[derive(Debug, Default)]
pub(super) struct Count(Cell<u64>);

impl Count {
    pub(super) fn get(&self) -> u64 {
        self.0.get()
    }

    pub(super) fn add(&self, more: u64) {
        self.0.set(self.0.get() + more);
    }

    /// Takes back what was counted too much.
    fn take(&self, less: u64) {
        self.0.set(self.0.get().saturating_sub(less));
    }
}

/// Latencies in µs.
#[derive(Debug)]
pub(super) struct Latency(RefCell<Histogram<u64>>);

impl Latency {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(RefCell::new(Histogram::new_with_bounds(1, MAX_US, DIGITS)?)))
    }

    pub(super) fn record(&self, us: u64) {
        self.0.borrow_mut().saturating_record(us);
    }

    /// The latency that this part of all (0 to 1) does not exceed, in ms; `None` without any.
    pub(super) fn ms(&self, part: f64) -> Option<f64> {
        let histogram = self.0.borrow();
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(part) as f64 / 1e3)
    }
}

/// What is shared.
#[derive(Debug)]
pub(super) struct Board {
    zero: Instant,
    plan: Cell<Option<Plan>>,
    /// Opens when the plan is there.
    pub(super) started: CancellationToken,
    pub(super) marker: Marker,
    pub(super) payload_bytes: usize,
    /// Whether due times are waited for awake.
    pub(super) is_exact: bool,
    pub(super) tally: RefCell<Tally>,
    /// Who has heard something of their group.
    in_room: RefCell<Vec<bool>>,
    pub(super) connected: Count,
    pub(super) disconnected: Count,
    pub(super) in_rooms: Count,
    /// Messages sent in all, and those of the measured time.
    pub(super) sent: Count,
    pub(super) sent_measured: Count,
    /// Those of them that were not refused.
    pub(super) taken_measured: Count,
    /// Deliveries of these, as there should be.
    pub(super) due: Count,
    pub(super) due_measured: Count,
    /// Deliveries of these, each counted once.
    pub(super) delivered: Count,
    pub(super) delivered_measured: Count,
    /// Deliveries that came within the measured time, whenever they were sent.
    pub(super) arrived: Count,
    pub(super) doubled: Count,
    pub(super) reordered: Count,
    pub(super) astray: Count,
    pub(super) refused: Count,
    pub(super) sync_required: Count,
    /// Messages whose sender has given up waiting for its own copy.
    pub(super) given_up: Count,
    /// Sends of the open loop that have left.
    pub(super) left: Count,
    /// Sends that had to wait because the server took nothing more.
    pub(super) held_back: Count,
    last_arrival_us: Cell<u64>,
    pub(super) slow: RefCell<SlowReaders>,
    /// What was done how often, of a scenario with several acts.
    pub(super) acts: RefCell<BTreeMap<&'static str, u64>>,
    /// Connections made in the measured time.
    pub(super) connects_measured: Count,
    pub(super) delivery: Latency,
    pub(super) ack: Latency,
    pub(super) connect: Latency,
    /// Of a page of history.
    pub(super) history: Latency,
    /// How late the generator itself was, open loop.
    pub(super) late: Latency,
    /// The first thing that the server complained of.
    complaint: RefCell<Option<String>>,
}

impl Board {
    pub(super) fn new(
        run: u32,
        users: usize,
        payload_bytes: usize,
        is_exact: bool,
    ) -> anyhow::Result<Self> {
        let count = Count::default;
        Ok(Self {
            zero: Instant::now(),
            plan: Cell::new(None),
            started: CancellationToken::new(),
            marker: Marker::new(run),
            payload_bytes,
            is_exact,
            tally: RefCell::new(Tally::new(users)),
            in_room: RefCell::new(vec![false; users]),
            connected: count(),
            disconnected: count(),
            in_rooms: count(),
            sent: count(),
            sent_measured: count(),
            taken_measured: count(),
            due: count(),
            due_measured: count(),
            delivered: count(),
            delivered_measured: count(),
            arrived: count(),
            doubled: count(),
            reordered: count(),
            astray: count(),
            refused: count(),
            sync_required: count(),
            given_up: count(),
            left: count(),
            held_back: count(),
            last_arrival_us: Cell::new(0),
            slow: RefCell::default(),
            acts: RefCell::default(),
            connects_measured: count(),
            delivery: Latency::new()?,
            ack: Latency::new()?,
            connect: Latency::new()?,
            history: Latency::new()?,
            late: Latency::new()?,
            complaint: RefCell::new(None),
        })
    }

    /// µs since the run began.
    pub(super) fn now_us(&self) -> u64 {
        self.zero.elapsed().as_micros() as u64
    }

    /// That time of the run, for a timer.
    pub(super) fn instant(&self, at_us: u64) -> tokio::time::Instant {
        (self.zero + Duration::from_micros(at_us)).into()
    }

    /// The plan, once there is one.
    pub(super) fn plan(&self) -> Option<Plan> {
        self.plan.get()
    }

    /// Lets all senders begin.
    pub(super) fn start(&self, plan: Plan) {
        self.plan.set(Some(plan));
        self.started.cancel();
    }

    /// Ends the sending now, if it has not ended.
    pub(super) fn stop(&self) {
        let now = self.now_us();
        if let Some(plan) = self.plan.get() {
            let to_us = plan.to_us.min(now);
            self.plan.set(Some(Plan { from_us: plan.from_us.min(to_us), to_us, ..plan }));
        }
    }

    /// A message goes out now that was to go out at this time: its number.
    pub(super) fn send(&self, stream: u32, at_us: u64) -> Option<u64> {
        let (number, audience) = self.tally.borrow_mut().send(stream)?;
        self.sent.add(1);
        self.due.add(audience);
        if self.plan.get().is_some_and(|plan| plan.measures(at_us)) {
            self.sent_measured.add(1);
            self.taken_measured.add(1);
            self.due_measured.add(audience);
        }
        Some(number)
    }

    /// A send that was to go out at this time was refused: what is not to come is not waited for.
    pub(super) fn refuse(&self, stream: u32, at_us: u64) {
        self.refused.add(1);
        let audience = self.tally.borrow_mut().refuse(stream);
        self.due.take(audience);
        if self.plan.get().is_some_and(|plan| plan.measures(at_us)) {
            self.due_measured.take(audience);
            self.taken_measured.take(1);
        }
    }

    /// A delivery has come to a user. To one who reads slowly nothing is owed.
    pub(super) fn receive(&self, user: u32, mark: Mark, is_slow: bool) -> Verdict {
        let now = self.now_us();
        let verdict = self.tally.borrow_mut().receive(user, mark.stream, mark.number);
        match verdict {
            Verdict::New => {}
            Verdict::Reordered => self.reordered.add(1),
            Verdict::Doubled => {
                self.doubled.add(1);
                return verdict;
            }
            Verdict::Astray => {
                self.astray.add(1);
                return verdict;
            }
        }
        self.last_arrival_us.set(now);
        if is_slow {
            self.slow.borrow_mut().delivered += 1;
            return verdict;
        }
        self.delivered.add(1);
        if let Some(plan) = self.plan.get() {
            if plan.measures(mark.at_us) {
                self.delivered_measured.add(1);
                self.delivery.record(now.saturating_sub(mark.at_us));
            }
            if plan.measures(now) {
                self.arrived.add(1);
            }
        }
        verdict
    }

    /// A user has heard something in the group.
    pub(super) fn is_in_room(&self, user: u32) {
        if let Some(known) = self.in_room.borrow_mut().get_mut(user as usize)
            && !std::mem::replace(known, true)
        {
            self.in_rooms.add(1);
        }
    }

    /// Deliveries that should have come and did not, also to slow readers who were not told so.
    pub(super) fn lost(&self) -> u64 {
        let tally = self.tally.borrow();
        tally.lost() + self.slow.borrow().untold(|user| tally.missed(user))
    }

    /// How many deliveries are still to come.
    pub(super) fn under_way(&self) -> u64 {
        self.due.get().saturating_sub(self.delivered.get())
    }

    /// µs since the last delivery.
    pub(super) fn quiet_us(&self) -> u64 {
        self.now_us().saturating_sub(self.last_arrival_us.get())
    }

    /// Keeps what the server said, if it is the first.
    pub(super) fn complain(&self, text: impl FnOnce() -> String) {
        self.complaint.borrow_mut().get_or_insert_with(text);
    }

    /// What the server said first when it refused something.
    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { start_us: 0, from_us: 0, to_us: u64::MAX };

    fn board() -> Board {
        let board = Board::new(1, 2, 64, false).unwrap();
        board.tally.borrow_mut().stream([0, 1]);
        board
    }

    #[test]
    fn latency_counts_from_the_intended_time_and_each_delivery_once() {
        let board = board();
        board.start(PLAN);
        let number = board.send(0, 0).unwrap();
        while board.now_us() < 2_000 {
            std::hint::spin_loop();
        }
        let mark = Mark { stream: 0, number, at_us: 0 };
        assert_eq!(board.receive(0, mark, false), Verdict::New);
        assert_eq!(board.receive(0, mark, false), Verdict::Doubled);
        assert_eq!((board.delivered.get(), board.doubled.get(), board.under_way()), (1, 1, 1));
        assert!(board.delivery.ms(0.0).unwrap() >= 2.0);
    }

    #[test]
    fn what_was_meant_for_the_warm_up_is_not_measured() {
        let board = board();
        board.start(Plan { from_us: u64::MAX - 1, ..PLAN });
        let number = board.send(0, 0).unwrap();
        board.receive(0, Mark { stream: 0, number, at_us: 0 }, false);
        assert_eq!((board.sent.get(), board.sent_measured.get()), (1, 0));
        assert_eq!((board.delivered.get(), board.delivered_measured.get()), (1, 0));
        assert_eq!((board.arrived.get(), board.delivery.ms(0.5)), (0, None));
    }

    #[test]
    fn stopping_early_shortens_what_is_measured() {
        let board = board();
        board.start(PLAN);
        board.stop();
        let plan = board.plan().unwrap();
        assert!(plan.to_us <= board.now_us() && plan.from_us <= plan.to_us);
    }

    #[test]
    fn what_is_refused_is_not_waited_for() {
        let board = board();
        board.start(PLAN);
        board.send(0, 0);
        assert_eq!(board.under_way(), 2);
        board.refuse(0, 0);
        assert_eq!((board.under_way(), board.refused.get(), board.due_measured.get()), (0, 1, 0));
        assert_eq!((board.sent_measured.get(), board.taken_measured.get()), (1, 0));
    }
}
