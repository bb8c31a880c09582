//! Sockets that live on a token: they are told before its time is over, and end with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use parking_lot::Mutex;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::connect::Session;
use super::{Hub, fanout};
use crate::auth::{Auth, Ended};
use crate::model::{Audience, EndReason, Event, Timestamp};

/// How long before its token's end a client is told.
pub(super) const WARNING: Duration = Duration::from_secs(60);

/// How often the time of day is looked at while nothing is due: it may be set.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How soon the end of a socket is tried again whose queue has no room for the word of it.
const AGAIN: Duration = Duration::from_millis(100);

/// What is due for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Warning,
    End,
}

/// What is due, and when, for all sockets that live on a token. Pure: it is given the time.
#[derive(Debug, Default)]
struct Calendar(BTreeSet<(Timestamp, Due, Sid)>);

impl Calendar {
    fn enter(&mut self, socket: Sid, expires_at: Timestamp) {
        self.0.insert((expires_at.minus(WARNING), Due::Warning, socket));
        self.0.insert((expires_at, Due::End, socket));
    }

    fn strike(&mut self, socket: Sid, expires_at: Timestamp) {
        self.0.remove(&(expires_at.minus(WARNING), Due::Warning, socket));
        self.0.remove(&(expires_at, Due::End, socket));
    }

    fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, ..)| *at)
    }

    fn pop(&mut self, now: Timestamp) -> Option<(Due, Sid)> {
        let (at, due, socket) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some((due, socket))
    }
}

/// The leases of all sockets.
#[derive(Debug, Default)]
pub(super) struct Leases {
    calendar: Mutex<Calendar>,
    changed: Notify,
}

impl Leases {
    /// A socket lives on a token with this end, instead of one with another.
    pub(super) fn renew(&self, socket: Sid, before: Option<Timestamp>, expires_at: Timestamp) {
        let mut calendar = self.calendar.lock();
        if let Some(before) = before {
            calendar.strike(socket, before);
        }
        calendar.enter(socket, expires_at);
        drop(calendar);
        self.changed.notify_one();
    }

    /// A socket has gone.
    pub(super) fn end(&self, socket: Sid, expires_at: Timestamp) {
        self.calendar.lock().strike(socket, expires_at);
    }
}

/// Warns and ends sockets as their tokens end, by themselves or because they are void.
pub(super) async fn run(
    hub: Arc<Hub>,
    io: SocketIo,
    auth: Arc<Auth>,
    mut ended: mpsc::Receiver<Ended>,
) {
    loop {
        let now = auth.now();
        let wait = hub.leases.calendar.lock().next().map(|at| at.since(now).min(LONGEST_WAIT));
        tokio::select! {
            ended = ended.recv() => {
                let Some(ended) = ended else { return };
                end_all(&hub, &io, &ended);
            }
            () = hub.leases.changed.notified() => {}
            Some(()) = OptionFuture::from(wait.map(sleep)) => {}
        }
        let now = auth.now();
        loop {
            let Some((due, socket)) = hub.leases.calendar.lock().pop(now) else { break };
            let Some(socket) = io.of("/").and_then(|sockets| sockets.get_socket(socket)) else {
                continue;
            };
            match due {
                Due::Warning => warn(&hub, &socket),
                Due::End => end(&hub, &socket, EndReason::Expired),
            }
        }
    }
}

fn warn(hub: &Arc<Hub>, socket: &SocketRef) {
    if let Some(session) = Session::of(socket)
        && let Some(at) = session.expires_at()
    {
        fanout::emit(hub, &session.outlet, &Event::TokenExpiring { at });
    }
}

fn end_all(hub: &Arc<Hub>, io: &SocketIo, ended: &Ended) {
    hub.plain.end(hub, ended);
    let Some(sockets) = io.of("/") else { return };
    let ids = hub.rooms.sockets(&Audience::Users(vec![ended.user.clone()]));
    for socket in ids.into_iter().filter_map(|(_, id)| sockets.get_socket(id)) {
        let lives = Session::of(&socket).is_some_and(|session| session.lives_on(ended.session));
        if lives {
            end(hub, &socket, ended.reason);
        }
    }
}

/// Ends a socket: nothing it asks is done any more, nothing but the reason is told to it.
pub(super) fn end(hub: &Arc<Hub>, socket: &SocketRef, reason: EndReason) {
    let Some(session) = Session::of(socket).filter(|session| session.end()) else { return };
    fanout::emit(hub, &session.outlet, &Event::SignedOut { reason });
    hub.rooms.close(session.seat);
    socket.leave_all();
    hub.metrics.signed_out();
    disconnect(hub, socket);
}

/// Disconnects a socket as soon as the library does it: only while its queue has room for the word
/// of it.
pub(super) fn disconnect(hub: &Hub, socket: &SocketRef) {
    let socket = socket.clone();
    hub.tasks.spawn(async move {
        while socket.connected() && socket.clone().disconnect().is_err() {
            sleep(AGAIN).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp(secs * 1_000)
    }

    fn due(calendar: &mut Calendar, now: i64) -> Vec<(Due, Sid)> {
        std::iter::from_fn(|| calendar.pop(at(now))).collect()
    }

    #[test]
    fn a_socket_is_warned_a_minute_before_its_end_and_once() {
        let (mut calendar, socket) = (Calendar::default(), Sid::new());
        calendar.enter(socket, at(100));
        assert_eq!(calendar.next(), Some(at(40)));
        assert_eq!(due(&mut calendar, 39), []);
        assert_eq!(due(&mut calendar, 40), [(Due::Warning, socket)]);
        assert_eq!(due(&mut calendar, 99), []);
        assert_eq!(due(&mut calendar, 100), [(Due::End, socket)]);
        assert_eq!(calendar.next(), None);
    }

    #[test]
    fn a_renewed_socket_is_due_at_its_new_times_alone() {
        let (leases, socket) = (Leases::default(), Sid::new());
        leases.renew(socket, None, at(100));
        leases.renew(socket, Some(at(100)), at(300));
        let mut calendar = leases.calendar.lock();
        assert_eq!(due(&mut calendar, 200), []);
        assert_eq!(due(&mut calendar, 300), [(Due::Warning, socket), (Due::End, socket)]);
    }

    #[test]
    fn a_socket_that_has_gone_leaves_nothing() {
        let (leases, socket) = (Leases::default(), Sid::new());
        leases.renew(socket, None, at(100));
        leases.end(socket, at(100));
        assert_eq!(leases.calendar.lock().next(), None);
    }
}
