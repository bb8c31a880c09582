//! When a user does its next thing: not before the start, then by the schedule of an open loop.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::board::{Board, Plan};
use super::link::Link;
use super::pace::Schedule;

/// How late the runtime's timer may be, in µs.
const TIMER_US: u64 = 2_000;

/// One user's timer.
pub(super) struct Timing {
    board: Rc<Board>,
    gate: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    timer: Pin<Box<Sleep>>,
    /// The timer will wake the task at this time of the run, in µs, or has.
    pub(super) wakes_at_us: u64,
    /// What was due so far.
    nth: u64,
    /// What is due could not be sent when it was.
    is_held_back: bool,
}

impl Timing {
    pub(super) fn new(board: &Rc<Board>) -> Self {
        Self {
            board: Rc::clone(board),
            gate: Some(Box::pin(board.started.clone().cancelled_owned())),
            timer: Box::pin(sleep(Duration::ZERO)),
            wakes_at_us: 0,
            nth: 0,
            is_held_back: false,
        }
    }

    /// The plan, once all have started; if they have not, the task is woken when they do.
    pub(super) fn plan(&mut self, cx: &mut Context<'_>) -> Option<Plan> {
        if let Some(gate) = &mut self.gate {
            if gate.as_mut().poll(cx).is_pending() {
                return None;
            }
            self.gate = None;
        }
        self.board.plan()
    }

    /// Has the task woken at that time, once: a timer costs too much to be asked for each packet.
    pub(super) fn wake_at(&mut self, at_us: u64, cx: &mut Context<'_>) {
        if self.wakes_at_us != at_us {
            self.wakes_at_us = at_us;
            self.timer.as_mut().reset(self.board.instant(at_us));
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Has the task woken when something is due, or again and again shortly before.
    fn wait_until(&mut self, due_us: u64, now_us: u64, cx: &mut Context<'_>) {
        if !self.board.is_exact {
            self.wake_at(due_us, cx);
        } else if due_us - now_us > TIMER_US {
            self.wake_at(due_us - TIMER_US, cx);
        } else {
            cx.waker().wake_by_ref();
        }
    }

    /// When the next thing was due, if it is and the link takes it; it counts as done then. If not,
    /// the task is woken when it is.
    pub(super) fn due_us(
        &mut self,
        (plan, schedule): (Plan, &Schedule),
        link: &mut Link,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let due_us = plan.start_us.saturating_add(schedule.due_us(self.nth));
        if due_us >= plan.to_us {
            return None;
        }
        let now_us = self.board.now_us();
        if due_us > now_us {
            self.wait_until(due_us, now_us, cx);
            return None;
        }
        if !link.is_ready(cx) {
            self.is_held_back = true;
            return None;
        }
        // Late through the server's fault is no lateness of the generator.
        if std::mem::take(&mut self.is_held_back) {
            self.board.held_back.add(1);
        } else if plan.measures(due_us) {
            self.board.late.record(now_us - due_us);
        }
        self.nth += 1;
        self.board.left.add(1);
        Some(due_us)
    }
}
