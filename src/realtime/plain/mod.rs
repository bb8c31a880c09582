//! Plain WebSockets, for clients that know no Socket.IO: other frames, and the same rules, buffer
//! and fan-out.
//!
//! An endpoint has a dialect (`wire::plain`). A connection is one task: it reads, writes, asks
//! whether the client is there, and ends with its token. The fan-out finds connections in the
//! registry as it finds sockets in the library's rooms, and writes each event once per form.

mod admission;
mod line;
mod outbox;
mod registry;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use self::line::Line;
use self::registry::Registry;
use super::{Config, Hub};
use crate::auth::Ended;
use crate::error::{Error, ErrorCode};
use crate::model::{Audience, Dispatch, Event, GroupId};
use crate::wire::plain::{self, Form};

pub use self::admission::Door;

/// "Going away" (RFC 6455, 7.4.1): clients connect again, perhaps to another server.
const GOING_AWAY: u16 = 1001;

/// Where plain WebSockets connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Pair,
    Room,
    Lobby,
}

impl Endpoint {
    pub(super) const ALL: [Self; 3] = [Self::Pair, Self::Room, Self::Lobby];

    /// The word for it in metrics and the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Room => "room",
            Self::Lobby => "lobby",
        }
    }

    /// What its connections speak, in the log.
    fn spoken(self) -> &'static str {
        match self {
            Self::Pair => "plain pair",
            Self::Room => "plain room",
            Self::Lobby => "plain lobby",
        }
    }
}

/// The doors of all endpoints: services for requests that want to become a WebSocket. What is
/// refused behind the handshake is told by a close code, the HTTP status and 4000.
pub struct Doors {
    /// `/ws/{user_id}`
    pub pair: Door,
    /// `/api/ws/{room_id}`
    pub room: Door,
    /// `/ws`
    pub lobby: Door,
}

impl Doors {
    pub(super) fn of(hub: &Arc<Hub>) -> Self {
        let door = |endpoint| Door { hub: Arc::clone(hub), endpoint };
        Self {
            pair: door(Endpoint::Pair),
            room: door(Endpoint::Room),
            lobby: door(Endpoint::Lobby),
        }
    }
}

/// What all plain connections share.
pub(super) struct Plain {
    registry: Registry,
    connections: TaskTracker,
    ping_interval: Duration,
    ping_timeout: Duration,
    max_payload: usize,
}

impl Plain {
    pub(super) fn new(config: &Config) -> Self {
        let connections = TaskTracker::new();
        connections.close();
        Self {
            registry: Registry::default(),
            connections,
            ping_interval: Duration::from_millis(config.ping_interval),
            ping_timeout: Duration::from_millis(config.ping_timeout),
            max_payload: config.max_payload as usize,
        }
    }

    /// Tells an event to the connections of its audience; to how many.
    pub(super) fn tell(&self, hub: &Hub, Dispatch { to, event }: &Dispatch) -> u64 {
        if self.registry.is_empty() {
            return 0;
        }
        let author = match event {
            Event::Sent(message) if *to == Audience::Group(GroupId::LOBBY) => {
                let name = self.registry.name_in_lobby(&message.from);
                name.unwrap_or_else(|| message.from.to_string())
            }
            _ => String::new(),
        };
        let mut told = Telling { hub, event, author, frames: Default::default(), told: 0 };
        match to {
            Audience::Group(group) => self.registry.in_group(*group, |line| told.in_group(line)),
            Audience::Others { group, than } => self.registry.in_group(*group, |line| {
                if line.user != *than {
                    told.in_group(line);
                }
            }),
            Audience::Everybody => self.registry.everybody(|line| told.as_user(line)),
            Audience::Users(users) => {
                for user in users.iter().collect::<HashSet<_>>() {
                    self.registry.of_user(user, |line| told.as_user(line));
                }
            }
        }
        told.told
    }

    fn tell_lobby(&self, hub: &Hub, notice: Utf8Bytes) {
        self.registry.in_group(GroupId::LOBBY, |line| {
            if line.form() == Form::Lobby {
                line.tell_ephemeral(hub, notice.clone());
            }
        });
    }

    /// Ends the connections that live on tokens that are void.
    pub(super) fn end(&self, hub: &Hub, ended: &Ended) {
        self.registry.of_user(&ended.user, |line| {
            if line.lives_on(ended.session) {
                line.sign_out(hub, ended.reason);
            }
        });
    }

    /// Lets nobody in any more, and ends all connections, behind what waits for them.
    pub(super) async fn close(&self) {
        self.registry.close(|line| line.close(GOING_AWAY, "The server stops; connect again"));
        self.connections.wait().await;
    }
}

/// An event on its way, written once per form.
struct Telling<'a> {
    hub: &'a Hub,
    event: &'a Event,
    author: String,
    frames: [Option<Option<Utf8Bytes>>; Form::COUNT],
    told: u64,
}

impl Telling<'_> {
    fn in_group(&mut self, line: &Line) {
        if line.dialect.hears_in_group(self.event) {
            self.tell(line);
        }
    }

    fn as_user(&mut self, line: &Line) {
        match (self.event, &line.dialect) {
            (Event::Left { group }, plain::Dialect::Room(room)) if group == room => {
                let gone = Error::Forbidden("You are not in this room any more".into());
                line.close(close_code(&gone), &gone.to_string());
            }
            _ if line.dialect.hears_as_user(self.event) => self.tell(line),
            _ => {}
        }
    }

    fn tell(&mut self, line: &Line) {
        let form = line.form();
        let frame = self.frames[form as usize].get_or_insert_with(|| {
            plain::event(form, self.event, &self.author).map(Utf8Bytes::from)
        });
        let Some(frame) = frame.clone() else { return };
        let is_told = if self.event.is_ephemeral() {
            line.tell_ephemeral(self.hub, frame)
        } else {
            line.tell(self.hub, frame)
        };
        self.told += u64::from(is_told);
    }
}

/// The code with which a connection is closed for an error: 4000 and the HTTP status.
fn close_code(error: &Error) -> u16 {
    match error.code() {
        ErrorCode::InvalidPayload => 4400,
        ErrorCode::Unauthorized => 4401,
        ErrorCode::Forbidden => 4403,
        ErrorCode::NotFound => 4404,
        ErrorCode::Conflict => 4409,
        ErrorCode::Gone => 4410,
        ErrorCode::TooLarge => 4413,
        ErrorCode::RateLimited => 4429,
        ErrorCode::BufferFull | ErrorCode::Unavailable => 4503,
        ErrorCode::Internal => 4500,
    }
}
