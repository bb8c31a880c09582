//! One socket's way out: what it is sent stays in order and is not lost while the socket catches
//! its breath.
//!
//! A socket that has been a WebSocket from the start is written to directly, in frames that are made once
//! for all who get them ([`direct`]); any other one through the library, packet by packet ([`queue`]).
//! Both hold the same amount for a reader that is slower than what it is sent. What exceeds that is lost,
//! and counted. From the first event that is lost on no other is sent until all that waited has gone, and
//! then the client is told to `sync`. What is of the moment alone (typing, presence) does not wait: a
//! socket that is behind does without.

mod burst;
mod direct;
mod queue;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError};

use super::Hub;
use super::incoming::AckTo;
use super::log;
use crate::correlation::SocketName;
use crate::egress::{self, Egress, text_frame};
use crate::model::{Event, UserId};
use crate::wire::admin_ui::Arguments;
use crate::wire::told::Payload;
pub(super) use burst::Burst;
use direct::Direct;
use queue::Queue;

/// Packets that may wait for one socket beyond the library's, or the system's, own queue.
const MAX_WAITING: usize = egress::MAX_FRAMES;

/// Bytes that these may hold, those shared with other sockets included.
const MAX_WAITING_BYTES: usize = egress::MAX_BYTES;

/// What waits for a socket that takes nothing for this long is given up; the end of its connection
/// is near.
const STUCK: Duration = Duration::from_secs(10);

/// A packet, encoded once for all who get it.
#[derive(Debug, Clone)]
pub(super) enum Packet {
    /// An event.
    Event(Arc<Encoded>),
    /// An operator's event.
    Told(Arc<Told>),
    /// The answer to one of the client's events.
    Ack(AckTo, Arc<RawValue>),
}

/// An event with its payload.
#[derive(Debug)]
pub(super) struct Encoded {
    name: &'static str,
    payload: Box<RawValue>,
    /// The same as a frame, made for the first one who is written to directly.
    frame: OnceLock<Bytes>,
}

/// An event that an operator makes up.
#[derive(Debug)]
pub(super) struct Told {
    name: String,
    arguments: Vec<Value>,
    bytes: usize,
}

impl Told {
    pub(super) fn new(name: String, arguments: Vec<Value>) -> Self {
        let size = serde_json::to_string(&Arguments(&arguments)).map(|text| text.len());
        Self { name, arguments, bytes: size.unwrap_or_default() }
    }
}

/// What is sent, as JSON. Ours can always be encoded; should something not be, it is left out and logged.
pub(super) fn encode(name: &'static str, what: &impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(what)
        .inspect_err(|error| tracing::error!(event = name, %error, "an event could not be encoded"))
        .ok()
}

impl Packet {
    /// An event of this name.
    pub(super) fn event(name: &'static str, payload: &impl Serialize) -> Option<Self> {
        let payload = encode(name, payload)?;
        Some(Self::Event(Arc::new(Encoded { name, payload, frame: OnceLock::new() })))
    }

    /// What tells a client that it has lost events.
    fn gap() -> Option<Self> {
        Self::event("sync_required", &Payload(&Event::SyncRequired))
    }

    fn is_event(&self) -> bool {
        !matches!(self, Self::Ack(..))
    }

    fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event.payload.get().len(),
            Self::Ack(_, body) => body.get().len(),
            Self::Told(told) => told.bytes,
        }
    }

    /// Hands the packet to the library; `false` when its queue for the socket is full.
    fn try_send(&self, socket: &SocketRef) -> bool {
        let sent = match self {
            Self::Event(event) => socket.emit(event.name, &event.payload),
            Self::Told(told) => socket.emit(&told.name, &Arguments(&told.arguments)),
            Self::Ack(to, answer) => to.send(answer),
        };
        // Any other error is a socket that has just disconnected.
        !matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull)))
    }

    /// The packet as a frame: a message of Engine.IO (4) that is an event (2) or an answer (3).
    fn frame(&self) -> Bytes {
        match self {
            Self::Event(event) => {
                let Encoded { name, payload, frame } = &**event;
                let make = || text_frame(&["42[\"", name, "\",", payload.get(), "]"]);
                frame.get_or_init(make).clone()
            }
            Self::Told(told) => {
                let name = Value::from(told.name.as_str()).to_string();
                let mut text = format!("42[{name}");
                for argument in &told.arguments {
                    text.push(',');
                    text.push_str(&argument.to_string());
                }
                text_frame(&[&text, "]"])
            }
            Self::Ack(to, answer) => {
                text_frame(&["43", &to.id().to_string(), "[", answer.get(), "]"])
            }
        }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    /// It is lost, because the socket is too far behind, or let go.
    No,
    /// It is on its way.
    Yes,
    /// It is on its way once the outlet is flushed.
    Unflushed,
}

/// Whose way out it is.
#[derive(Debug)]
struct Owner {
    socket: SocketName,
    user: UserId,
}

/// See the module. Clones are the same way.
#[derive(Debug, Clone)]
pub(super) enum Outlet {
    /// Through the library.
    Library(Arc<Queue>),
    /// In frames.
    Direct(Arc<Direct>),
}

impl Outlet {
    /// The way out to a user's socket that is about to be let in.
    pub(super) fn of(socket: &SocketRef, user: &UserId) -> Self {
        let owner = Owner { socket: log::name(socket), user: user.clone() };
        let egress = socket.req_parts().extensions.get::<Arc<Egress>>();
        match egress.filter(|egress| direct::fits(socket) && egress.claim()) {
            Some(egress) => Self::Direct(Arc::new(Direct::new(owner, Arc::clone(egress)))),
            None => Self::Library(Arc::new(Queue::new(owner))),
        }
    }

    /// Whose it is.
    pub(super) fn user(&self) -> &UserId {
        &self.owner().user
    }

    fn owner(&self) -> &Owner {
        match self {
            Self::Library(queue) => queue.owner(),
            Self::Direct(direct) => direct.owner(),
        }
    }

    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::Direct(_))
    }

    /// Sends a packet after all that were sent before it; `false` when it is lost, because the
    /// socket is too far behind.
    pub(super) fn send(&self, hub: &Arc<Hub>, packet: &Packet) -> bool {
        let queued = self.queue(hub, packet);
        if queued == Queued::Unflushed {
            self.flush(hub);
        }
        queued != Queued::No
    }

    /// The same, but that it may have to be flushed.
    pub(super) fn queue(&self, hub: &Arc<Hub>, packet: &Packet) -> Queued {
        match self {
            Self::Library(queue) => Queued::yes_if(queue.send(hub, packet.clone())),
            Self::Direct(direct) => direct.queue(hub, packet),
        }
    }

    /// Queues events one after the other; what became of them, and how many are on their way.
    pub(super) fn queue_burst(&self, hub: &Arc<Hub>, burst: &Burst) -> (Queued, usize) {
        match self {
            Self::Library(queue) => {
                let is_sent = |packet: &&Packet| queue.send(hub, Packet::clone(packet));
                let sent = burst.packets().iter().filter(is_sent).count();
                (Queued::yes_if(sent > 0), sent)
            }
            Self::Direct(direct) => {
                let queued = direct.queue_burst(hub, burst);
                let sent = if queued == Queued::No { 0 } else { burst.packets().len() };
                (queued, sent)
            }
        }
    }

    /// Queues a packet that is of the moment alone, unless the socket is behind.
    pub(super) fn queue_ephemeral(&self, hub: &Arc<Hub>, packet: &Packet) -> Queued {
        match self {
            Self::Library(queue) => Queued::yes_if(queue.send_ephemeral(hub, packet.clone())),
            Self::Direct(direct) => direct.queue_ephemeral(hub, packet),
        }
    }

    /// Writes what is queued.
    pub(super) fn flush(&self, hub: &Arc<Hub>) {
        if let Self::Direct(direct) = self {
            direct.flush(hub);
        }
    }

    /// To be called once the library takes packets for the socket: hands on what came before. From here
    /// to its [`end`](Self::end) it may hold the socket.
    pub(super) fn open(&self, hub: &Arc<Hub>, socket: &SocketRef) {
        match self {
            Self::Library(queue) => queue.open(hub, socket),
            Self::Direct(direct) => direct.open(),
        }
    }

    /// Whether the library has taken packets for the socket, so that one for which it takes none
    /// has ended.
    pub(super) fn has_opened(&self) -> bool {
        match self {
            Self::Library(queue) => queue.has_opened(),
            Self::Direct(direct) => direct.has_opened(),
        }
    }

    /// The socket has ended: nothing more goes to it.
    pub(super) fn end(&self) {
        match self {
            Self::Library(queue) => queue.end(),
            Self::Direct(direct) => direct.end(),
        }
    }
}

#[cfg(test)]
impl Outlet {
    /// The way out to a socket that does not connect.
    pub(super) fn for_tests(socket: &str, user: &UserId) -> Self {
        let owner = Owner { socket: SocketName::of(socket), user: user.clone() };
        Self::Library(Arc::new(Queue::new(owner)))
    }

    /// The socket's name.
    pub(super) fn name(&self) -> String {
        self.owner().socket.to_string()
    }
}

impl Queued {
    fn yes_if(is_queued: bool) -> Self {
        if is_queued { Self::Yes } else { Self::No }
    }
}
