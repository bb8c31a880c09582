//! One user of a mixed day.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use memchr::memmem;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::acts::Act;
use super::link::Link;
use super::marker::Mark;
use super::member::{Script, join};
use super::pace::Schedule;
use super::sender::{MAX_AT_ONCE, MAX_UNACKNOWLEDGED, PROBE_EVERY_US, To, forget, probe};
use super::stage::{Errand, Stage};
use super::timing::Timing;

/// How long a second device stays.
const STAY: Duration = Duration::from_secs(1);
/// Requests and devices of one user under way; what would be more is left out and counted.
const MAX_ERRANDS: usize = 4;
/// Longest id of a message that is taken up: servers choose their own.
const MAX_ID: usize = 64;

/// Who the user is, and who is around.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) user: u32,
    pub(super) user_id: String,
    pub(super) partner_id: String,
    pub(super) group_id: String,
    /// The user's streams.
    pub(super) direct: u32,
    pub(super) group: u32,
    pub(super) seed: u64,
    /// Whether the user sees who is in the group's room, for all.
    pub(super) probes: bool,
}

/// One of the user's two conversations.
struct Conversation {
    stream: u32,
    /// A packet without its content, around it.
    head: String,
    tail: &'static str,
}

/// A user, and what it knows by now.
pub(super) struct Person {
    stage: Stage,
    around: Surroundings,
    direct: Conversation,
    group: Conversation,
    schedule: Schedule,
    timing: Timing,
    nth: u64,
    /// What it has said last, and what it has heard last from somebody else.
    own_id: Option<String>,
    other_id: Option<String>,
    last_ack: u64,
    /// By their numbers, the acks that are waited for: when that was due, and of which stream it was,
    /// if of one.
    unacknowledged: VecDeque<(u64, (u64, Option<u32>))>,
    errands: FuturesUnordered<Errand>,
}

impl Person {
    pub(super) fn new(stage: &Stage, schedule: Schedule, around: Surroundings) -> Self {
        let conversation = |stream, to: To<'_>| {
            let (head, tail) = to.around_content();
            Conversation { stream, head, tail }
        };
        Self {
            stage: stage.clone(),
            direct: conversation(around.direct, To::User(&around.partner_id)),
            group: conversation(around.group, To::Group(&around.group_id)),
            around,
            schedule,
            timing: Timing::new(&stage.board),
            nth: 0,
            own_id: None,
            other_id: None,
            last_ack: 0,
            unacknowledged: VecDeque::new(),
            errands: FuturesUnordered::new(),
        }
    }

    fn act(&mut self, link: &mut Link, at_us: u64) {
        let chosen = Act::choose(self.around.seed, self.around.user, self.nth);
        self.nth += 1;
        // Who has nothing yet to mark, to change or to take back says something.
        let done = self.try_act(chosen, link, at_us).unwrap_or_else(|| {
            self.say(link, false, at_us);
            Act::Direct
        });
        *self.stage.board.acts.borrow_mut().entry(done.name()).or_default() += 1;
    }

    /// Does it; `None` where there is nothing to do it with.
    fn try_act(&mut self, act: Act, link: &mut Link, at_us: u64) -> Option<Act> {
        match act {
            Act::Direct => self.say(link, false, at_us),
            Act::Group => self.say(link, true, at_us),
            Act::Typing => {
                let payload = json!({"to": self.around.partner_id, "type": "direct"});
                self.emit(link, "typing_start", &payload, at_us);
            }
            Act::Receipt => {
                let id = self.other_id.take()?;
                self.emit(link, "mark_read", &json!({"message_id": id}), at_us);
            }
            Act::Edit => {
                let payload = json!({"message_id": self.own_id.as_ref()?, "content": "changed"});
                self.emit(link, "edit_message", &payload, at_us);
            }
            Act::Delete => {
                let id = self.own_id.take()?;
                self.emit(link, "delete_message", &json!({"message_id": id}), at_us);
            }
            Act::History => self.begin(read_history(self.stage.clone(), self.pair(), at_us)),
            Act::Reconnect => {
                let group_id = self.around.group_id.clone();
                self.begin(come_again(self.stage.clone(), self.pair(), group_id));
            }
        }
        Some(act)
    }

    fn say(&mut self, link: &mut Link, is_to_group: bool, at_us: u64) {
        let stream = if is_to_group { self.group.stream } else { self.direct.stream };
        let Some(number) = self.stage.board.send(stream, at_us) else { return };
        let mut packet = self.numbered(at_us, Some(stream));
        let Conversation { head, tail, .. } = if is_to_group { &self.group } else { &self.direct };
        packet.push_str(head);
        let (board, mark) = (&self.stage.board, Mark { stream, number, at_us });
        board.marker.write(&mut packet, mark, board.payload_bytes);
        packet.push_str(tail);
        link.send(packet);
    }

    fn emit(&mut self, link: &mut Link, event: &str, payload: &Value, at_us: u64) {
        let packet = self.numbered(at_us, None);
        link.send(format!("{packet}[\"{event}\",{payload}]"));
    }

    /// The beginning of an event's packet, which asks for an ack if that is wanted.
    fn numbered(&mut self, at_us: u64, stream: Option<u32>) -> String {
        if !self.stage.acks {
            return "42".to_owned();
        }
        self.last_ack += 1;
        if self.unacknowledged.len() == MAX_UNACKNOWLEDGED {
            self.unacknowledged.pop_front();
        }
        self.unacknowledged.push_back((self.last_ack, (at_us, stream)));
        format!("42{}", self.last_ack)
    }

    fn pair(&self) -> (String, String) {
        (self.around.user_id.clone(), self.around.partner_id.clone())
    }

    fn begin(&mut self, errand: impl Future<Output = ()> + 'static) {
        if self.errands.len() < MAX_ERRANDS {
            self.errands.push(Box::pin(errand));
        } else {
            self.stage.board.held_back.add(1);
        }
    }
}

impl Script for Person {
    fn poll(&mut self, link: &mut Link, cx: &mut Context<'_>) {
        let Some(plan) = self.timing.plan(cx) else {
            let now = self.stage.board.now_us();
            if self.around.probes && now >= self.timing.wakes_at_us {
                link.send(probe(&self.stage.board, &self.group.head, self.group.tail));
                self.timing.wake_at(now + PROBE_EVERY_US, cx);
            }
            return;
        };
        while let Poll::Ready(Some(())) = self.errands.poll_next_unpin(cx) {}
        let schedule = self.schedule;
        for _ in 0..MAX_AT_ONCE {
            let Some(due_us) = self.timing.due_us((plan, &schedule), link, cx) else { return };
            self.act(link, due_us);
        }
        cx.waker().wake_by_ref();
    }

    fn heard(&mut self, mark: Mark, message: &[u8]) {
        let Some(id) = id_of(message) else { return };
        if mark.stream == self.around.direct || mark.stream == self.around.group {
            self.own_id = Some(id);
        } else {
            self.other_id = Some(id);
        }
    }

    fn acknowledged(&mut self, number: u64, is_ok: bool) {
        let Some((at_us, stream)) = forget(&mut self.unacknowledged, number) else { return };
        let board = &self.stage.board;
        match (is_ok, stream) {
            (false, Some(stream)) => board.refuse(stream, at_us),
            (false, None) => board.refused.add(1),
            (true, Some(_)) if board.plan().is_some_and(|plan| plan.measures(at_us)) => {
                board.ack.record(board.now_us().saturating_sub(at_us));
            }
            (true, _) => {}
        }
    }

    fn failed(&mut self) {
        // With acks, they say it.
        if !self.stage.acks && self.stage.board.plan().is_some() {
            self.stage.board.refused.add(1);
        }
    }
}

/// The `id` of a message as it came.
fn id_of(message: &[u8]) -> Option<String> {
    let at = memmem::find(message, b"\"id\":\"")? + b"\"id\":\"".len();
    let rest = message.get(at..)?;
    let end = rest.iter().take(MAX_ID + 1).position(|byte| *byte == b'"')?;
    let id = &rest[..end];
    let is_plain = id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    (is_plain && !id.is_empty()).then(|| String::from_utf8_lossy(id).into_owned())
}

async fn read_history(stage: Stage, (user_id, other_id): (String, String), at_us: u64) {
    let board = &stage.board;
    match stage.server.read_history(&user_id, &other_id).await {
        Ok(()) => {
            if board.plan().is_some_and(|plan| plan.measures(at_us)) {
                board.history.record(board.now_us().saturating_sub(at_us));
            }
        }
        Err(why) => {
            board.refused.add(1);
            board.complain(|| why);
        }
    }
}

/// A second device comes, looks around, and leaves.
async fn come_again(stage: Stage, pair: (String, String), group_id: String) {
    let board = &stage.board;
    let began_us = board.now_us();
    let mut link = match stage.server.connect(&pair.0, None).await {
        Ok(link) => link,
        Err(error) => {
            board.refused.add(1);
            return board.complain(|| error.to_string());
        }
    };
    if board.plan().is_some_and(|plan| plan.measures(began_us)) {
        board.connects_measured.add(1);
        board.connect.record(board.now_us().saturating_sub(began_us));
    }
    link.send(join(&group_id));
    read_history(stage.clone(), pair, board.now_us()).await;
    let leaves = Instant::now() + STAY;
    while let Ok(Ok(packet)) = timeout_at(leaves, poll_fn(|cx| link.poll(cx))).await {
        if &*packet == b"2" {
            link.send("3".to_owned());
        }
    }
    link.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_and_is_plain() {
        let id = |message: &str| id_of(message.as_bytes());
        assert_eq!(id(r#"{"_id":"a1","id":"a1","content":"x"}]"#).as_deref(), Some("a1"));
        assert_eq!(id(r#"{"id":"a-1_B","x":1}]"#).as_deref(), Some("a-1_B"));
        let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(MAX_ID + 1));
        for none in [r#"{"_id":"a1"}"#, r#"{"id":""}"#, r#"{"id":"a"#, r#"{"id":"a\u0000"}"#, &long]
        {
            assert_eq!(id(none), None, "{none}");
        }
    }
}
