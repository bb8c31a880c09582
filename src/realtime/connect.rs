//! Who gets in, and what is ready before the client hears of it.

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socketioxide::ProtocolVersion;
use socketioxide::extract::{SocketRef, TryData};

use super::incoming::Incoming;
use super::metrics::Connected;
use super::outlet::Outlet;
use super::turns::Turns;
use super::{Hub, fanout, handlers};
use crate::chat::Chat;
use crate::error::Error;
use crate::model::{Event, Position, UserId};
use crate::wire::events::Auth;

/// Version 4 of the Socket.IO protocol runs on Engine.IO 3.
const EIO3: ProtocolVersion = ProtocolVersion::V4;

/// One connected socket: whose it is, the order of what it asks, and of what it is told.
pub(super) struct Session {
    pub(super) user: UserId,
    /// The place at which it connected: what comes later is told live, and is no news from before.
    since: Position,
    pub(super) turns: Turns,
    pub(super) outlet: Outlet,
    /// The connection counts until nothing holds its session any more: what would keep a session
    /// of a client that has gone shows in the figure.
    _connected: Connected,
    chat: Arc<Chat>,
    has_left: AtomicBool,
}

impl Session {
    /// The session of a socket that was let in.
    pub(super) fn of(socket: &SocketRef) -> Option<Arc<Self>> {
        socket.extensions.get()
    }

    /// The user has one socket less. Called again, it does nothing.
    fn leave(&self) {
        if !self.has_left.swap(true, Ordering::Relaxed) {
            self.chat.leave(&self.user);
        }
    }
}

impl Drop for Session {
    /// A socket that was let in may end before it has connected; the library then tells nobody.
    fn drop(&mut self) {
        self.leave();
    }
}

/// Runs when a socket has disconnected. Events that are still being handled may hold its session
/// for a while.
fn depart(socket: SocketRef) -> Ready<()> {
    if let Some(session) = Session::of(&socket) {
        session.leave();
    }
    ready(())
}

/// Why a connection is refused; clients get the text in `connect_error`.
pub(super) struct Refusal(Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

type Admission = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// The middleware that runs before the client's connection is answered: who it is, its user's
/// room, its handlers. All are in place before its first event can arrive.
pub(super) fn admit(
    hub: Arc<Hub>,
) -> impl Fn(SocketRef, TryData<Auth>) -> Admission + Clone + Send + Sync + 'static {
    move |socket, TryData(auth)| {
        let hub = Arc::clone(&hub);
        Box::pin(async move {
            let user = identify(&socket, auth.ok()).map_err(Refusal)?;
            socket.join(fanout::user_room(&user));
            hub.chat.arrive(&user);
            socket.extensions.insert(Arc::new(Session {
                user,
                since: hub.chat.place(),
                turns: Turns::default(),
                outlet: Outlet::default(),
                _connected: hub.metrics.connected(),
                chat: Arc::clone(&hub.chat),
                has_left: AtomicBool::new(false),
            }));
            socket.on_disconnect(depart);
            listen(&socket, hub);
            Ok(())
        })
    }
}

/// The handler that runs once the client knows that it is connected: what has it missed?
pub(super) fn greet(
    hub: Arc<Hub>,
) -> impl Fn(SocketRef) -> Pin<Box<dyn Future<Output = ()> + Send>> + Clone + Send + Sync + 'static
{
    move |socket| {
        let hub = Arc::clone(&hub);
        Box::pin(async move {
            if let Some(session) = Session::of(&socket) {
                session.outlet.open(&hub, &socket);
                tell_unread(&hub, &socket, &session).await;
            }
        })
    }
}

fn identify(socket: &SocketRef, auth: Option<Auth>) -> Result<UserId, Error> {
    let given = auth.and_then(|auth| auth.user_id).or_else(|| query_user(socket));
    let user_id = given.ok_or(Error::Unauthorized("auth.user_id is required".into()))?;
    Ok(UserId::parse(&user_id)?)
}

/// Clients of Engine.IO 3 have no `auth`; what they are given instead is in their query.
fn query_user(socket: &SocketRef) -> Option<String> {
    let query = socket.req_parts().uri.query().filter(|_| socket.protocol() == EIO3)?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "user_id").map(|(_, user_id)| user_id.into_owned())
}

fn listen(socket: &SocketRef, hub: Arc<Hub>) {
    // One handler for all events: an idle connection holds one closure, not one per event.
    socket.on_fallback(move |socket: SocketRef, incoming: Incoming| {
        // This part runs in the order of the frames; the part that is returned does not.
        handlers::handle(Arc::clone(&hub), socket, incoming)
    });
}

async fn tell_unread(hub: &Arc<Hub>, socket: &SocketRef, session: &Session) {
    match hub.chat.unread(&session.user, session.since).await {
        Ok(unread) if unread.direct + unread.group > 0 => {
            let event = Event::Unread { unread, at: session.since.0 };
            fanout::emit(hub, slice::from_ref(socket), &event);
        }
        Ok(_) => {}
        Err(error) => error.log("counting unread messages"),
    }
}
