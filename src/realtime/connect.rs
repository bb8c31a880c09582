//! Who gets in, and what is ready before the client hears of it.

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use socketioxide::ProtocolVersion;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::socket::{DisconnectReason, Sid};
use tokio::time::Instant;

use super::incoming::Incoming;
use super::metrics::Connected;
use super::outlet::Outlet;
use super::rooms::Seat;
use super::turns::Turns;
use super::{Hub, fanout, handlers, leases, log};
use crate::auth::{self, Claims, SignIn};
use crate::correlation::{RequestId, SocketName};
use crate::error::Error;
use crate::limits::{ClientAddress, Connection, Events};
use crate::model::{Event, Position, SessionId, Timestamp, UserId};
use crate::wire::accounts::Hidden;
use crate::wire::events::Auth;

/// Version 4 of the Socket.IO protocol runs on Engine.IO 3.
const EIO3: ProtocolVersion = ProtocolVersion::V4;

/// One connected socket: whose it is, the order of what it asks, and of what it is told.
pub(super) struct Session {
    pub(super) user: UserId,
    /// The token that it lives on, where users sign in by token.
    lease: Mutex<Option<Claims>>,
    /// Whether its token has ended: nothing that it asks is done any more.
    has_ended: AtomicBool,
    /// The place at which it connected: what comes later is told live, and is no news from before.
    since: Position,
    pub(super) turns: Turns,
    pub(super) outlet: Outlet,
    pub(super) seat: Seat,
    pub(super) events: Mutex<Events>,
    /// How many groups it may have joined.
    pub(super) rooms: Option<usize>,
    /// The connection counts until nothing holds its session any more: what would keep a session
    /// of a client that has gone shows in the figure.
    _connected: Connected,
    hub: Arc<Hub>,
    socket: Sid,
    connected_at: Instant,
    /// How many events it has sent.
    heard: AtomicU32,
    /// Its place among its user's and its address's connections, until it leaves.
    place: Mutex<Option<Connection>>,
}

impl Session {
    /// The session of a socket that was let in.
    pub(super) fn of(socket: &SocketRef) -> Option<Arc<Self>> {
        socket.extensions.get()
    }

    fn new(
        hub: &Arc<Hub>,
        socket: &SocketRef,
        user: UserId,
        lease: Option<Claims>,
        place: Connection,
    ) -> Self {
        let address = address(socket);
        if let Some(claims) = &lease {
            hub.leases.renew(socket.id, None, claims.expires_at);
        }
        hub.traffic.opened();
        let outlet = Outlet::of(socket, &user);
        let seat = hub.rooms.open(socket.id, &outlet);
        Self {
            user,
            lease: Mutex::new(lease),
            has_ended: AtomicBool::new(false),
            since: hub.chat.place(),
            turns: Turns::default(),
            _connected: hub.metrics.connected(outlet.is_direct()),
            outlet,
            seat,
            events: Mutex::new(hub.limits.events(address)),
            rooms: hub.limits.rooms(address),
            hub: Arc::clone(hub),
            socket: socket.id,
            connected_at: Instant::now(),
            heard: AtomicU32::new(0),
            place: Mutex::new(Some(place)),
        }
    }

    /// When it connected.
    pub(super) fn connected(&self) -> Timestamp {
        self.since.0
    }

    /// The id of the event that came in just now.
    pub(super) fn next_request(&self) -> RequestId {
        let number = self.heard.fetch_add(1, Ordering::Relaxed);
        RequestId::of_event(SocketName::of(self.socket.as_str()), number)
    }

    /// When the token that it lives on ends.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.lease.lock().as_ref().map(|claims| claims.expires_at)
    }

    /// Whether it lives on a token of this sign-in, or, without one, on any token.
    pub(super) fn lives_on(&self, sign_in: Option<SessionId>) -> bool {
        let lease = self.lease.lock();
        lease.as_ref().is_some_and(|claims| sign_in.is_none() || claims.session == sign_in)
    }

    /// It lives on another token from now on.
    pub(super) fn renew(&self, claims: Claims) {
        let mut lease = self.lease.lock();
        let before = lease.as_ref().map(|claims| claims.expires_at);
        self.hub.leases.renew(self.socket, before, claims.expires_at);
        *lease = Some(claims);
    }

    /// Ends it; whether it had not ended before.
    pub(super) fn end(&self) -> bool {
        !self.has_ended.swap(true, Ordering::SeqCst)
    }

    /// Whether its token has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Whether its socket has ended, or is about to.
    pub(super) fn is_over(&self, socket: &SocketRef) -> bool {
        self.has_ended() || (self.outlet.has_opened() && !socket.connected())
    }

    /// The user has one socket less. Called again, it does nothing.
    fn leave(&self) {
        if self.place.lock().take().is_some() {
            self.hub.traffic.closed();
            self.hub.chat.leave(&self.user);
            self.hub.rooms.close(self.seat);
            self.outlet.end();
            if let Some(expires_at) = self.expires_at() {
                self.hub.leases.end(self.socket, expires_at);
            }
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
fn depart(socket: SocketRef, reason: DisconnectReason) -> Ready<()> {
    if let Some(session) = Session::of(&socket) {
        session.leave();
        let stayed = session.connected_at.elapsed();
        log::disconnected(log::name(&socket), &session.user, stayed, log::reason(reason));
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
            let outcome = let_in(&hub, &socket, auth.ok()).await;
            if let Err(error) = &outcome {
                let from = log::From::of(&socket);
                log::refused(log::name(&socket), &from, log::spoken(&socket), error);
            }
            outcome.map_err(Refusal)
        })
    }
}

async fn let_in(hub: &Arc<Hub>, socket: &SocketRef, auth: Option<Auth>) -> Result<(), Error> {
    let (user, lease) = identify(hub, socket, auth).await?;
    let place = hub.limits.open_socket(address(socket), &user)?;
    socket.join(fanout::user_room(&user));
    hub.chat.arrive(&user);
    let session = Arc::new(Session::new(hub, socket, user, lease.clone(), place));
    socket.extensions.insert(Arc::clone(&session));
    // What voids a token ends the sockets in its user's room: this one, too, from here on.
    if let Some(claims) = lease
        && hub.sign_in.is_void(&claims)
    {
        hub.rooms.close(session.seat);
        socket.leave_all();
        return Err(Error::Unauthorized("The token has been revoked".into()));
    }
    socket.on_disconnect(depart);
    listen(socket, Arc::clone(hub));
    Ok(())
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
                let (from, spoken) = (log::From::of(&socket), log::spoken(&socket));
                log::connected(log::name(&socket), &from, &session.user, spoken);
                if session.has_ended() {
                    return leases::disconnect(&hub, &socket);
                }
                hub.chat.learn_blocks(&session.user).await;
                tell_unread(&hub, &session).await;
            }
        })
    }
}

fn address(socket: &SocketRef) -> Option<ClientAddress> {
    socket.req_parts().extensions.get().copied()
}

/// Whose a socket is, and the token that it lives on.
async fn identify(
    hub: &Hub,
    socket: &SocketRef,
    auth: Option<Auth>,
) -> Result<(UserId, Option<Claims>), Error> {
    let Auth { user_id, token } = auth.unwrap_or_default();
    let user_id = user_id.or_else(|| in_query(socket, "user_id"));
    let named = user_id.as_deref().map(UserId::parse).transpose()?;
    let token = token.map(|Hidden(token)| token);
    let token = token.or_else(|| in_query(socket, "token")).or_else(|| in_header(socket));
    whom(&hub.sign_in, ("auth.user_id", named), ("auth.token", token)).await
}

/// For whom a connection acts, given the user whom it names and the token that it brings, each with
/// the name under which it does.
pub(super) async fn whom(
    sign_in: &SignIn,
    (user_field, named): (&str, Option<UserId>),
    (token_field, token): (&str, Option<String>),
) -> Result<(UserId, Option<Claims>), Error> {
    let missing = |field: &str| Error::Unauthorized(format!("{field} is required").into());
    let SignIn::Tokens(auth) = sign_in else {
        return Ok((named.ok_or_else(|| missing(user_field))?, None));
    };
    let token = token.ok_or_else(|| missing(token_field))?;
    let claims = auth.verify(&token).await?;
    if named.is_some_and(|named| named != claims.user) {
        let other = format!("{user_field} is another user than the token's");
        return Err(Error::Forbidden(other.into()));
    }
    Ok((claims.user.clone(), Some(claims)))
}

/// Clients of Engine.IO 3 have no `auth`; what they are given instead is in their query.
fn in_query(socket: &SocketRef, wanted: &str) -> Option<String> {
    let query = socket.req_parts().uri.query().filter(|_| socket.protocol() == EIO3)?;
    find_in(query, wanted)
}

/// What stands under a name in a query.
pub(super) fn find_in(query: &str, wanted: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}

/// The token of the request that opened the connection.
fn in_header(socket: &SocketRef) -> Option<String> {
    let given = socket.req_parts().headers.get("authorization")?.to_str().ok()?;
    auth::bearer(given).map(str::to_owned)
}

fn listen(socket: &SocketRef, hub: Arc<Hub>) {
    // One handler for all events: an idle connection holds one closure, not one per event.
    socket.on_fallback(move |socket: SocketRef, incoming: Incoming| {
        // This part runs in the order of the frames; the part that is returned does not.
        handlers::handle(Arc::clone(&hub), socket, incoming)
    });
}

async fn tell_unread(hub: &Arc<Hub>, session: &Session) {
    match hub.chat.unread(&session.user, session.since).await {
        Ok(unread) if unread.direct + unread.group > 0 => {
            let event = Event::Unread { unread, at: session.since.0 };
            fanout::emit(hub, &session.outlet, &event);
        }
        Ok(_) => {}
        Err(error) => error.log("counting unread messages"),
    }
}
