//! One user's connection: reads what comes, answers heartbeats, keeps the books, and sends.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::board::{Board, PROBE};
use super::client::shown;
use super::link::Link;
use super::marker::Mark;
use super::slow::Told;

/// How a message begins. It is looked for in no other packet.
const MESSAGE: &[u8] = b"42[\"message\",";
const SYNC_REQUIRED: &[u8] = b"42[\"sync_required\"";
const ERROR: &[u8] = b"42[\"error\",";

/// Packets read in one turn, so that one connection leaves time for the others.
const MAX_AT_ONCE: usize = 256;

/// What a user does besides listening.
pub(super) trait Script {
    /// Does what is due, and has the task woken for the next thing.
    fn poll(&mut self, link: &mut Link, cx: &mut Context<'_>);

    /// The user has received a message, perhaps a copy of its own.
    fn heard(&mut self, mark: Mark, message: &[u8]);

    /// The acknowledgement of this number has come.
    fn acknowledged(&mut self, number: u64, is_ok: bool);

    /// The server has sent an `error` event.
    fn failed(&mut self);
}

/// A user's connection.
pub(super) struct Member {
    board: Rc<Board>,
    user: u32,
    link: Link,
    script: Option<Box<dyn Script>>,
    is_slow: bool,
}

impl Member {
    pub(super) fn new(board: &Rc<Board>, user: u32, link: Link) -> Self {
        Self { board: Rc::clone(board), user, link, script: None, is_slow: false }
    }

    /// Enters the room of a group.
    pub(super) fn join(&mut self, group_id: &str) {
        self.link.send(join(group_id));
    }

    /// What the user does once all have started.
    pub(super) fn follow(&mut self, script: impl Script + 'static) {
        self.script = Some(Box::new(script));
    }

    /// It reads slowly on purpose: what does not come to it is no loss, if it is told.
    pub(super) fn is_slow(&mut self) {
        self.is_slow = true;
    }

    /// Lives until the connection ends.
    pub(super) async fn run(mut self) {
        let why = poll_fn(|cx| self.poll(cx)).await;
        self.board.disconnected.add(1);
        if self.is_slow {
            self.board.slow.borrow_mut().told(self.user, Told::Disconnected);
        }
        self.board.complain(|| format!("a connection ended: {}", shown(why.as_bytes())));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        for _ in 0..MAX_AT_ONCE {
            if let Some(script) = &mut self.script {
                script.poll(&mut self.link, cx);
            }
            match self.link.poll(cx) {
                Poll::Ready(Ok(packet)) => {
                    if let Err(why) = self.take(&packet) {
                        return Poll::Ready(why);
                    }
                }
                Poll::Ready(Err(why)) => return Poll::Ready(why),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// # Errors
    /// The packet ends the connection.
    fn take(&mut self, packet: &[u8]) -> Result<(), String> {
        if let Some(message) = packet.strip_prefix(MESSAGE) {
            self.receive(message);
            return Ok(());
        }
        match packet {
            b"2" => self.link.send("3".to_owned()),
            b"1" | b"41" => return Err("the server has disconnected the client".to_owned()),
            [b'4', b'3', ack @ ..] => self.acknowledge(ack),
            _ if packet.starts_with(SYNC_REQUIRED) => {
                self.board.sync_required.add(1);
                if self.is_slow {
                    self.board.slow.borrow_mut().told(self.user, Told::ToSync);
                }
            }
            _ if packet.starts_with(ERROR) => {
                self.board.complain(|| shown(&packet[2..]));
                if let Some(script) = &mut self.script {
                    script.failed();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn receive(&mut self, message: &[u8]) {
        let Some(mark) = self.board.marker.find(message) else { return };
        if mark.stream == PROBE {
            self.board.is_in_room(self.user);
            return;
        }
        self.board.receive(self.user, mark, self.is_slow);
        if let Some(script) = &mut self.script {
            script.heard(mark, message);
        }
    }

    /// `<id>[{"ok":..}]`; servers of the first contract answer anything.
    fn acknowledge(&mut self, ack: &[u8]) {
        let digits = ack.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (id, answer) = ack.split_at(digits);
        let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        let is_ok = memchr::memmem::find(answer, b"\"ok\":false").is_none();
        if !is_ok {
            self.board.complain(|| shown(answer));
        }
        if let (Some(id), Some(script)) = (id, &mut self.script) {
            script.acknowledged(id, is_ok);
        }
    }
}

/// The packet that enters the room of a group.
pub(super) fn join(group_id: &str) -> String {
    format!("42[\"join_group\",{}]", serde_json::Value::from(group_id))
}
