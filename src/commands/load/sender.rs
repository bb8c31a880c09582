//! What one user sends: messages to one audience, in a closed or an open loop.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Context;

use serde_json::Value;

use super::board::{Board, PROBE, Plan};
use super::link::Link;
use super::marker::Mark;
use super::member::Script;
use super::pace::Schedule;
use super::timing::Timing;

/// How long a closed loop waits for a sender's own copy before it goes on without it.
const PATIENCE_US: u64 = 5_000_000;
/// Between two messages to a room that see whether all are in it, in µs.
pub(super) const PROBE_EVERY_US: u64 = 500_000;
/// How often a closed loop looks whether it waits in vain, in µs.
const LOOK_EVERY_US: u64 = 1_000_000;
/// Sends whose acknowledgement is waited for; past that the oldest is not.
pub(super) const MAX_UNACKNOWLEDGED: usize = 1 << 20;
/// Sends in one turn, so that a sender far behind its schedule lets others go on in between.
pub(super) const MAX_AT_ONCE: usize = 64;

/// Whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To<'a> {
    Group(&'a str),
    User(&'a str),
}

impl To<'_> {
    /// What a packet has around its content, without its number in front.
    pub(super) fn around_content(self) -> (String, &'static str) {
        let (id, tail) = match self {
            To::Group(id) => (id, "\",\"type\":\"group\"}]"),
            To::User(id) => (id, "\",\"type\":\"direct\"}]"),
        };
        let head = format!("[\"send_message\",{{\"to\":{},\"content\":\"", Value::from(id));
        (head, tail)
    }
}

/// What sends when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// So many messages under way.
    Closed(u32),
    Open(Schedule),
}

/// One user's sending.
pub(super) struct Sender {
    board: Rc<Board>,
    stream: u32,
    pace: Pace,
    timing: Timing,
    /// A packet without its content, around it.
    head: String,
    tail: &'static str,
    /// Numbers of a closed loop's messages under way, and since when, in µs.
    under_way: VecDeque<(u64, u64)>,
    /// Those of messages that are not acknowledged, where acks are asked for.
    unacknowledged: Option<VecDeque<(u64, u64)>>,
    probes: bool,
}

impl Sender {
    /// `acks`: asks for acknowledgements.
    pub(super) fn new(board: &Rc<Board>, stream: u32, to: To<'_>, pace: Pace, acks: bool) -> Self {
        let (head, tail) = to.around_content();
        Self {
            board: Rc::clone(board),
            stream,
            pace,
            timing: Timing::new(board),
            head,
            tail,
            under_way: VecDeque::new(),
            unacknowledged: acks.then(VecDeque::new),
            probes: false,
        }
    }

    /// Lets it say something now and then before the start, for those in its room to hear.
    pub(super) fn probing(self) -> Self {
        Self { probes: true, ..self }
    }

    fn poll_closed(&mut self, plan: Plan, window: u32, link: &mut Link, cx: &mut Context<'_>) {
        let now = self.board.now_us();
        while self.under_way.len() < window as usize
            && now < plan.to_us
            && link.is_ready(cx)
            && let Some(number) = self.send(link, now)
        {
            self.under_way.push_back((number, now));
        }
        if now >= self.timing.wakes_at_us {
            while let Some((_, since)) = self.under_way.front()
                && since + PATIENCE_US < now
            {
                self.under_way.pop_front();
                self.board.given_up.add(1);
                cx.waker().wake_by_ref();
            }
            self.timing.wake_at(now + LOOK_EVERY_US, cx);
        }
    }

    fn poll_open(
        &mut self,
        plan: Plan,
        schedule: &Schedule,
        link: &mut Link,
        cx: &mut Context<'_>,
    ) {
        for _ in 0..MAX_AT_ONCE {
            let Some(due_us) = self.timing.due_us((plan, schedule), link, cx) else { return };
            self.send(link, due_us);
        }
        cx.waker().wake_by_ref();
    }

    /// Sends the next message, meant for this time; its number.
    fn send(&mut self, link: &mut Link, at_us: u64) -> Option<u64> {
        let number = self.board.send(self.stream, at_us)?;
        let mut packet = String::with_capacity(
            self.head.len() + self.tail.len() + self.board.payload_bytes + 32,
        );
        packet.push_str("42");
        if let Some(unacknowledged) = &mut self.unacknowledged {
            packet.push_str(&number.to_string());
            if unacknowledged.len() == MAX_UNACKNOWLEDGED {
                unacknowledged.pop_front();
            }
            unacknowledged.push_back((number, at_us));
        }
        packet.push_str(&self.head);
        let mark = Mark { stream: self.stream, number, at_us };
        self.board.marker.write(&mut packet, mark, self.board.payload_bytes);
        packet.push_str(self.tail);
        link.send(packet);
        Some(number)
    }
}

impl Script for Sender {
    fn poll(&mut self, link: &mut Link, cx: &mut Context<'_>) {
        let Some(plan) = self.timing.plan(cx) else {
            let now = self.board.now_us();
            if self.probes && now >= self.timing.wakes_at_us {
                link.send(probe(&self.board, &self.head, self.tail));
                self.timing.wake_at(now + PROBE_EVERY_US, cx);
            }
            return;
        };
        match self.pace {
            Pace::Closed(window) => self.poll_closed(plan, window, link, cx),
            Pace::Open(schedule) => self.poll_open(plan, &schedule, link, cx),
        }
    }

    fn heard(&mut self, mark: Mark, _message: &[u8]) {
        // Its own copy closes the loop.
        if mark.stream == self.stream {
            forget(&mut self.under_way, mark.number);
        }
    }

    fn acknowledged(&mut self, number: u64, is_ok: bool) {
        let Some(waiting) = &mut self.unacknowledged else { return };
        let Some(at_us) = forget(waiting, number) else { return };
        if !is_ok {
            self.board.refuse(self.stream, at_us);
            forget(&mut self.under_way, number);
        } else if self.board.plan().is_some_and(|plan| plan.measures(at_us)) {
            self.board.ack.record(self.board.now_us().saturating_sub(at_us));
        }
    }

    fn failed(&mut self) {
        // Without acks this is what a refusal looks like; with them, the ack says which it was.
        if self.unacknowledged.is_none() && self.board.plan().is_some() {
            // Which it was is not said; in a closed loop the oldest is as good as any.
            let oldest = self.under_way.pop_front().map(|(_, since)| since);
            self.board.refuse(self.stream, oldest.unwrap_or_else(|| self.board.now_us()));
        }
    }
}

/// A message to see who hears it, that is in no books.
pub(super) fn probe(board: &Board, head: &str, tail: &str) -> String {
    let mut packet = format!("42{head}");
    let mark = Mark { stream: PROBE, number: 1, at_us: board.now_us() };
    board.marker.write(&mut packet, mark, 0);
    packet + tail
}

/// Takes a number out of a list that is in order; what stands beside it.
pub(super) fn forget<T>(list: &mut VecDeque<(u64, T)>, number: u64) -> Option<T> {
    let at = list.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    list.remove(at).map(|(_, beside)| beside)
}
