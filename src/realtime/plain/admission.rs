//! Who gets in by a plain WebSocket, and as whom.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use hyper::header::{CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tower::Service;

use super::line::{self, GRACE, Line};
use super::outbox::close_frame;
use super::registry::Place;
use super::{Endpoint, close_code};
use crate::auth::{Auth, SignIn, bearer};
use crate::correlation::{RequestId, SocketName};
use crate::error::{Error, ErrorCode};
use crate::limits::{ClientAddress, Connection};
use crate::model::{GroupId, UserId, Username};
use crate::realtime::connect::{find_in, whom};
use crate::realtime::metrics::Connected;
use crate::realtime::{Hub, log};
use crate::wire::accounts::Hidden;
use crate::wire::plain::{Dialect, lobby_notice};

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A buffer for reading, and one for writing, of each connection: larger ones save calls for large
/// frames, and cost memory for all.
const BUFFER: usize = 4 * 1024;

/// Takes in the connections of one endpoint.
#[derive(Clone)]
pub struct Door {
    pub(super) hub: Arc<Hub>,
    pub(super) endpoint: Endpoint,
}

impl<B> Service<Request<B>> for Door {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.open(request)))
    }
}

impl Door {
    /// Answers a handshake. Who asks is looked at behind it: a web page is shown the code with which
    /// a WebSocket closes, but not the status of a handshake that was refused.
    fn open<B>(&self, mut request: Request<B>) -> Response<String> {
        let Ok(mut response) = create_response_with_body(&request, String::new) else {
            return upgrade_required();
        };
        let mut caller = Caller::of(&request);
        if let Some(protocol) = caller.protocol.take() {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
            return upgrade_required();
        };
        let (hub, endpoint) = (Arc::clone(&self.hub), self.endpoint);
        let connection = async move {
            match upgrade.await {
                Ok(io) => run(&hub, endpoint, caller, io).await,
                Err(error) => tracing::debug!(%error, "a handshake came to nothing"),
            }
        };
        self.hub.tasks.spawn(self.hub.plain.connections.track_future(connection));
        response
    }
}

fn upgrade_required() -> Response<String> {
    let detail = "This is an endpoint for WebSockets (RFC 6455, version 13)";
    let mut response = Response::new(json!({ "detail": detail }).to_string());
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// What a handshake says of who makes it.
struct Caller {
    /// The last part of the path.
    place: String,
    user_id: Option<String>,
    username: Option<String>,
    token: Option<Hidden>,
    /// The subprotocol to agree to.
    protocol: Option<HeaderValue>,
    address: Option<ClientAddress>,
    /// The request that is the handshake.
    request: Option<RequestId>,
}

impl Caller {
    fn of<B>(request: &Request<B>) -> Self {
        let last = request.uri().path().rsplit('/').next().unwrap_or_default();
        let place = percent_decode_str(last).decode_utf8_lossy().into_owned();
        let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let offered = offered.map(Offered::of).unwrap_or_default();
        let in_query = |name| find_in(request.uri().query()?, name);
        let token = offered.token.map(str::to_owned);
        let token = token.or_else(|| in_query("token"));
        let token = token.or_else(|| in_header(request.headers()));
        let token = token.or_else(|| offered.first.map(str::to_owned));
        let protocol = offered.first.and_then(|first| HeaderValue::from_str(first).ok());
        Self {
            place,
            user_id: in_query("user_id"),
            username: in_query("username"),
            token: token.map(Hidden),
            protocol,
            address: request.extensions().get().copied(),
            request: request.extensions().get().cloned(),
        }
    }
}

fn in_header(headers: &HeaderMap) -> Option<String> {
    bearer(headers.get("authorization")?.to_str().ok()?).map(str::to_owned)
}

/// The subprotocols that a client offers.
#[derive(Debug, Default)]
struct Offered<'a> {
    /// The one to agree to: a browser ends a connection whose server agrees to none. Where it is all
    /// that there is, it may be the token.
    first: Option<&'a str>,
    /// What stands behind `bearer`.
    token: Option<&'a str>,
}

impl<'a> Offered<'a> {
    fn of(header: &'a HeaderValue) -> Self {
        let mut names = header.to_str().unwrap_or_default().split(',').map(str::trim);
        let first = names.next();
        let is_bearer = first.is_some_and(|first| first.eq_ignore_ascii_case("bearer"));
        Self { first, token: names.next().filter(|_| is_bearer) }
    }
}

/// Serves one connection, from the end of its handshake to its own.
async fn run(hub: &Arc<Hub>, endpoint: Endpoint, caller: Caller, io: Upgraded) {
    let mut config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    config.max_message_size = Some(hub.plain.max_payload);
    config.max_frame_size = Some(hub.plain.max_payload);
    let socket =
        WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
    let from = log::From { client: caller.address, handshake: caller.request.clone() };
    match admit(hub, endpoint, caller).await {
        Ok(presence) => {
            let (line, start) = (&presence.line, Instant::now());
            log::connected(line.name, &from, &line.user, endpoint.spoken());
            let reason = line::converse(hub, line, socket).await;
            log::disconnected(line.name, &line.user, start.elapsed(), reason);
        }
        Err(error) => {
            error.log(endpoint.as_str());
            log::refused(SocketName::mint(), &from, endpoint.spoken(), &error);
            turn_away(socket, &error).await;
        }
    }
}

async fn turn_away(mut socket: Socket, error: &Error) {
    let frame = close_frame(close_code(error), &error.to_string());
    let farewell = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // Who does not read it is no loss.
    let _ = timeout(GRACE, farewell).await;
}

/// A connection that is here: it counts, and its user is online, until this is dropped.
struct Presence {
    hub: Arc<Hub>,
    line: Arc<Line>,
    place: Place,
    _counts: Connection,
    _connected: Connected,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.hub.plain.registry.leave(&self.line, &self.place);
        self.hub.chat.leave(&self.line.user);
        tell_lobby(&self.hub, &self.line, false);
    }
}

fn tell_lobby(hub: &Hub, line: &Line, has_come: bool) {
    if let Dialect::Lobby(name) = &line.dialect {
        let notice = lobby_notice(name, has_come, hub.chat.place().0);
        hub.plain.tell_lobby(hub, notice.into());
    }
}

async fn admit(hub: &Arc<Hub>, endpoint: Endpoint, caller: Caller) -> Result<Presence, Error> {
    let named = match endpoint {
        Endpoint::Pair => Some(UserId::parse(&caller.place)?),
        Endpoint::Room => caller.user_id.as_deref().map(UserId::parse).transpose()?,
        // Who signs in by token is named by it.
        Endpoint::Lobby => match &hub.sign_in {
            SignIn::Open => Some(UserId::parse(caller.name()?.as_str())?),
            SignIn::Tokens(_) => None,
        },
    };
    let token = caller.token.as_ref().map(|Hidden(token)| token.clone());
    let (user, lease) = whom(&hub.sign_in, ("user_id", named), ("token", token)).await?;
    let dialect = match endpoint {
        Endpoint::Pair => Dialect::Pair(user.clone()),
        Endpoint::Room => Dialect::Room(GroupId::parse(&caller.place)?),
        Endpoint::Lobby => Dialect::Lobby(name_in_lobby(hub, &caller, &user).await?),
    };
    let counts = hub.limits.open_socket(caller.address, &user)?;
    let events = hub.limits.events(caller.address);
    let line = Arc::new(Line::new(user, dialect, lease.clone(), events));
    let place = enter(hub, &line).await?;
    hub.chat.arrive(&line.user);
    let connected = hub.metrics.connected_plain(endpoint);
    let hub = Arc::clone(hub);
    let presence = Presence { hub, line, place, _counts: counts, _connected: connected };
    let hub = &presence.hub;
    // What voids a token ends the connections in the registry: this one, too, from here on.
    if lease.is_some_and(|claims| hub.sign_in.is_void(&claims)) {
        return Err(Error::Unauthorized("The token has been revoked".into()));
    }
    hub.chat.learn_blocks(&presence.line.user).await;
    tell_lobby(hub, &presence.line, true);
    Ok(presence)
}

/// Puts a connection into the registry; into a group's at an instant at which its user is a member.
async fn enter(hub: &Arc<Hub>, line: &Arc<Line>) -> Result<Place, Error> {
    let Dialect::Room(room) = line.dialect else { return hub.plain.registry.enter(line) };
    let entered = Mutex::new(None);
    let enter = || *entered.lock() = Some(hub.plain.registry.enter(line));
    hub.chat.join(&line.user, room, enter).await?;
    entered.into_inner().unwrap_or(Err(Error::Unavailable(None)))
}

/// A user's name in the lobby: their account's, where users sign in by token.
async fn name_in_lobby(hub: &Hub, caller: &Caller, user: &UserId) -> Result<Username, Error> {
    let SignIn::Tokens(auth) = &hub.sign_in else { return caller.name() };
    let own = own_name(auth, user).await?;
    let wants_another = match &caller.username {
        Some(_) => caller.name()? != own,
        None => false,
    };
    if wants_another {
        let text = format!("Your name in the lobby is your account's: {}", own.as_str());
        return Err(Error::Forbidden(text.into()));
    }
    Ok(own)
}

/// The name of a user's account; where another server keeps it, the user's id.
async fn own_name(auth: &Auth, user: &UserId) -> Result<Username, Error> {
    match auth.account(user).await {
        Ok(account) => Ok(account.username),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(Username::parse(user.as_str())?),
        Err(error) => Err(error),
    }
}

impl Caller {
    fn name(&self) -> Result<Username, Error> {
        let given = self.username.as_deref();
        let given = given.ok_or(Error::Invalid("username is required".into()))?;
        Ok(Username::parse(given)?)
    }
}
