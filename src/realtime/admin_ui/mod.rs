//! The Socket.IO Admin UI (`@socket.io/admin-ui`): operators sign in to the namespace `/admin`, and are
//! shown the sockets, their rooms, and how much goes on.
//!
//! Nothing on the way of events and connections tells it anything: while an operator is there, a worker
//! looks at the sockets every two seconds and tells what has changed. What users send is never shown.

mod acts;
mod config;
mod sessions;
mod tell;
mod view;

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::sessions::Sessions;
use super::{Hub, log};
use crate::auth::AdminPassword;
use crate::correlation::RequestId;
use crate::error::Error;
use crate::limits::{ClientAddress, Exceeded, whole_seconds};
use crate::model::{Timestamp, UserId};
use crate::shutdown::Tasks;
use crate::wire::accounts::Hidden;
use crate::wire::admin_ui::{Credentials, Features};

pub use self::config::{AdminUiConfig, AdminUiMode};

/// The namespace in which the UI looks for its server.
const NAMESPACE: &str = "/admin";

/// Operators are few.
const MAX_OPERATORS: usize = 16;

/// What its connections speak, in the log.
const SPOKEN: &str = "admin ui";

/// What all operators share.
struct AdminUi {
    hub: Arc<Hub>,
    io: SocketIo,
    user: String,
    password: AdminPassword,
    mode: AdminUiMode,
    sessions: Mutex<Sessions>,
    /// An operator has come.
    came: Notify,
    /// One act at a time: it may concern all sockets.
    acts: Semaphore,
}

/// An operator who has signed in.
struct Operator {
    /// The session to tell, where this is a new one.
    session: Mutex<Option<String>>,
    since: Timestamp,
    connected_at: Instant,
    /// Whether the library takes packets for the socket by now.
    is_open: AtomicBool,
    /// Whether it has been told of what is there.
    is_shown: AtomicBool,
    /// How many events it has sent.
    heard: AtomicU32,
}

impl Operator {
    fn of(socket: &SocketRef) -> Option<Arc<Self>> {
        socket.extensions.get()
    }
}

/// Opens the namespace, where there is a password. It ends with `closing`.
pub(super) fn open(
    config: &AdminUiConfig,
    hub: &Arc<Hub>,
    io: &SocketIo,
    tasks: &Tasks,
    closing: CancellationToken,
) {
    let Some(password) = config.admin_ui_password.clone() else { return };
    let ui = Arc::new(AdminUi {
        hub: Arc::clone(hub),
        io: io.clone(),
        user: config.admin_ui_user.clone(),
        password,
        mode: config.admin_ui_mode,
        sessions: Mutex::default(),
        came: Notify::new(),
        acts: Semaphore::new(1),
    });
    io.ns(NAMESPACE, greet(Arc::clone(&ui)).with(admit(Arc::clone(&ui))));
    tracing::info!(mode = ?ui.mode, "the admin UI is open to who knows ADMIN_UI_PASSWORD");
    tasks.spawn_worker("admin ui", async move {
        closing.run_until_cancelled(tell::run(ui)).await;
    });
}

type Admission = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The middleware that runs before an operator's connection is answered.
fn admit(
    ui: Arc<AdminUi>,
) -> impl Fn(SocketRef, TryData<Credentials>) -> Admission + Clone + Send + Sync + 'static {
    move |socket, TryData(credentials)| {
        let ui = Arc::clone(&ui);
        Box::pin(async move {
            let outcome = ui.let_in(&socket, credentials.unwrap_or_default());
            if let Err(error) = &outcome {
                log::refused(log::name(&socket), &log::From::of(&socket), SPOKEN, error);
            }
            outcome
        })
    }
}

/// The handler that runs once the UI knows that it is connected.
fn greet(ui: Arc<AdminUi>) -> impl Fn(SocketRef) -> Ready<()> + Clone + Send + Sync + 'static {
    move |socket| {
        ui.greet(&socket);
        ready(())
    }
}

impl AdminUi {
    fn greet(&self, socket: &SocketRef) {
        let Some(operator) = Operator::of(socket) else { return };
        let user = UserId::from_stored(&self.user);
        log::connected(log::name(socket), &log::From::of(socket), &user, SPOKEN);
        if let Some(session) = operator.session.lock().take() {
            tell::send(&self.hub, socket, "session", &session);
        }
        let supported_features = self.mode.features();
        tell::send(&self.hub, socket, "config", &Features { supported_features });
        operator.is_open.store(true, Ordering::Release);
        self.came.notify_one();
    }

    fn let_in(self: &Arc<Self>, socket: &SocketRef, credentials: Credentials) -> Result<(), Error> {
        let session = self.sign_in(address(socket), credentials)?;
        if self.io.of(NAMESPACE).is_some_and(|there| there.sockets().len() >= MAX_OPERATORS) {
            let full = format!("{MAX_OPERATORS} operators are connected already");
            return Err(Error::RateLimited(full.into()));
        }
        socket.extensions.insert(Arc::new(Operator {
            session: Mutex::new(session),
            since: self.hub.chat.place().0,
            connected_at: Instant::now(),
            is_open: AtomicBool::new(false),
            is_shown: AtomicBool::new(false),
            heard: AtomicU32::new(0),
        }));
        let user = UserId::from_stored(&self.user);
        socket.on_disconnect(async move |socket: SocketRef, reason: DisconnectReason| {
            let stayed = Operator::of(&socket).map(|operator| operator.connected_at.elapsed());
            let (name, reason) = (log::name(&socket), log::reason(reason));
            log::disconnected(name, &user, stayed.unwrap_or_default(), reason);
        });
        let ui = Arc::clone(self);
        socket.on_fallback(move |socket: SocketRef, asked: acts::Asked| {
            let heard = Operator::of(&socket).map(|it| it.heard.fetch_add(1, Ordering::Relaxed));
            let id = RequestId::of_event(log::name(&socket), heard.unwrap_or_default());
            id.scope(acts::answer(Arc::clone(&ui), socket, asked))
        });
        Ok(())
    }

    /// Signs an operator in; the session that begins, where none was brought. Wrong passwords use up
    /// the address's tries; without one left the right one is refused, too, or whoever goes on guessing
    /// would still learn when it was right.
    fn sign_in(
        &self,
        address: Option<IpAddr>,
        Credentials { username, password, session_id }: Credentials,
    ) -> Result<Option<String>, Error> {
        // The UI knows this text: it shows the form.
        let wrong = || Error::Unauthorized("invalid credentials".into());
        let now = Instant::now();
        if session_id.is_some_and(|Hidden(id)| self.sessions.lock().has(&id, now)) {
            return Ok(None);
        }
        let (Some(username), Some(Hidden(password))) = (username, password) else {
            return Err(wrong());
        };
        let limits = &self.hub.limits;
        address.map_or(Ok(()), |address| limits.may_sign_in(address)).map_err(too_many)?;
        if self.password.is(&password) && username == self.user {
            let session = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
            self.sessions.lock().begin(session.clone(), now);
            return Ok(Some(session));
        }
        address.map_or(Ok(()), |address| limits.check_sign_in(address)).map_err(too_many)?;
        let client = address.map(tracing::field::display);
        tracing::warn!(client, "a wrong name or password was brought to the admin UI");
        Err(wrong())
    }
}

fn address(socket: &SocketRef) -> Option<IpAddr> {
    socket.req_parts().extensions.get().map(|&ClientAddress(address)| address)
}

fn too_many(exceeded: Exceeded) -> Error {
    let wait = whole_seconds(exceeded.retry_after);
    Error::RateLimited(format!("too many tries; try again in {wait} s").into())
}
