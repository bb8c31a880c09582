//! The only wiring: builds the parts, starts them, and takes them down in order.

mod nodes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::auth::{Auth, AuthMode, Ended, RegistrationsCollector, SignIn};
use crate::buffer::{Buffer, Folders};
use crate::chat::Chat;
use crate::clock::{Clock, SystemClock};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::http::listen::{self, Door};
use crate::http::operators::Access;
use crate::http::serve::ServeConfig;
use crate::http::{self, HttpMetrics, Monitor};
use crate::limits::Limits;
use crate::media::MediaStore;
use crate::model::UserId;
use crate::realtime::{Links, Realtime};
use crate::shutdown::{Shutdown, Tasks};
use crate::store::{self, AccountStore, Indexer, PoolCollector, Store};
use crate::telemetry::Telemetry;
use crate::telemetry::host::HostCollector;

/// Events that may wait for the fan-out; past that the committer waits, and the buffer fills.
const DELIVERIES: usize = 4_096;

/// How long events that are being handled may take to be answered once the server stops.
const SETTLE: Duration = Duration::from_secs(5);
/// How long accepted ops may take to become durable.
const DRAIN: Duration = Duration::from_secs(5);
/// How long slow clients may take to be sent what waits for them.
const LEAVE: Duration = Duration::from_secs(2);
/// How long Redis may take to take what other nodes are told.
const TELL: Duration = Duration::from_secs(1);
/// How long sockets and requests may take to close.
const CLOSE: Duration = Duration::from_secs(2);
/// How long it may take to store when users were last seen.
const SEEN: Duration = Duration::from_secs(2);
/// How long the buffer may take to reach the store: a little longer than the limit that it sets
/// itself, so that it can still say what is left.
const FLUSH: Duration = Duration::from_secs(11);

/// Operators are few; their connections are counted apart, so that users can't keep them out.
const OPERATORS_CONNECTIONS: usize = 256;

/// How long to wait before the store is asked again to make its tables or indexes.
const PREPARE_AGAIN: Duration = Duration::from_secs(2);

/// A server whose parts have been started.
pub struct App {
    realtime: Realtime,
    chat: Arc<Chat>,
    buffer: Buffer,
    cluster: Cluster,
    store: Arc<dyn Store>,
    tasks: Tasks,
    stopping: CancellationToken,
    serving: Serving,
    mode: AuthMode,
}

/// What is served, and where.
struct Serving {
    main: Router,
    limits: ServeConfig,
    /// Where operators' routes are, if not on the main address.
    operators: Option<Door>,
    access: Access,
}

impl App {
    /// Builds and starts everything but the main listener. The store need not answer yet.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let mut telemetry = Telemetry::default();
        let tasks = Tasks::default();
        let stopping = CancellationToken::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store::Stores { store, accounts } =
            store::open(&config.mongo, &config.server.data_dir).await?;
        let media = MediaStore::open(&config.media)
            .with_context(|| format!("UPLOAD_DIR {:?} can't be used", config.media.upload_dir))?;

        let registry = &mut telemetry.registry;
        watch_what_is_below(config, &store, registry);
        let http_metrics = HttpMetrics::default();
        http_metrics.register(registry);
        let limits = limits(config, registry);
        let (deliveries, fan_out) = mpsc::channel(DELIVERIES);
        let buffer = Buffer::start(
            &nodes::buffer_config(config)?,
            Arc::clone(&store),
            Arc::clone(&clock),
            deliveries.clone(),
            Folders::below(&config.server.data_dir),
            &tasks,
            registry,
        )?;
        let (cluster, heard) = Cluster::start(&config.cluster, &tasks, registry)?;
        let chat = Arc::new(Chat::new(
            config.chat.clone(),
            Arc::clone(&store),
            buffer.clone(),
            media.clone(),
            Arc::clone(&clock),
            deliveries,
            cluster.clone(),
        ));
        let (sign_in, ended) = sign_in(config, accounts, clock, &tasks, &stopping)?;
        registry.register_collector(Box::new(RegistrationsCollector(sign_in.clone())));
        let links = Links {
            chat: Arc::clone(&chat),
            sign_in: sign_in.clone(),
            limits: Arc::clone(&limits),
            deliveries: fan_out,
            ended,
            cluster: cluster.clone(),
        };
        let realtime = Realtime::start(&config.realtime, links, &tasks, registry);
        care_for_users(&chat, &sign_in, &tasks, &stopping);
        prepare_when_there(&store, registry, &tasks, &stopping);

        let monitor = Monitor {
            store: Arc::clone(&store),
            buffer: buffer.clone(),
            telemetry: Arc::new(telemetry),
            auth_mode: config.auth.mode(),
            stopping: stopping.clone(),
        };
        let parts = http::Parts {
            chat: Arc::clone(&chat),
            media,
            monitor,
            sign_in,
            limits,
            tasks: tasks.clone(),
            cluster: cluster.clone(),
        };
        nodes::connect(&config.cluster, &parts, &buffer, heard, &stopping);
        let serving = serving(config, &parts, sockets(&realtime), &http_metrics).await?;
        let mode = config.auth.mode();
        Ok(Self { realtime, chat, buffer, cluster, store, tasks, stopping, serving, mode })
    }

    /// Where operators' routes are, if not on the main address.
    pub fn operators_address(&self) -> Option<SocketAddr> {
        self.serving.operators.as_ref().and_then(|door| door.listener.local_addr().ok())
    }

    /// Serves until it is told to stop, or a part of the server crashes, then stops in phases.
    pub async fn serve(mut self, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
        self.say_what_runs_where(listener.local_addr()?);
        let (router, config) = (self.serving.main.clone(), self.serving.limits.clone());
        let main = Door { listener, router, config };
        let doors = [Some(main), self.serving.operators.take()].into_iter().flatten();
        let served = listen::open(doors.collect(), &self.tasks, &self.stopping);
        tokio::select! {
            () = shutdown.soft.cancelled() => {}
            () = self.tasks.failed() => {}
        }
        tokio::select! {
            () = self.stop(served) => {}
            () = shutdown.hard.cancelled() => tracing::warn!("told to stop at once"),
        }
        let crashed = self.tasks.has_failed();
        anyhow::ensure!(!crashed, "a part of the server has crashed; its panic is in the log");
        Ok(())
    }

    fn say_what_runs_where(&self, address: SocketAddr) {
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!("Banter {version} listening on http://{address}");
        tracing::info!("messages and groups are stored in {}", self.store.describe());
        match self.mode {
            AuthMode::Open if address.ip().is_loopback() => {
                tracing::info!("sign-in is open: every user_id is believed, on this machine alone");
            }
            AuthMode::Jwt => tracing::info!("users sign in by token"),
            AuthMode::Open => tracing::warn!(
                "SIGN-IN IS OPEN: whoever reaches this server can act as any user (AUTH_MODE)"
            ),
        }
        self.say_where_operators_are();
    }

    fn say_where_operators_are(&self) {
        let place = match self.operators_address() {
            Some(address) => format!("http://{address}"),
            None => "the main address".into(),
        };
        match self.serving.access {
            Access::Token(_) => {
                tracing::info!("/metrics and /admin are on {place}, for who brings ADMIN_TOKEN");
            }
            Access::Local => {
                tracing::info!("/metrics and /admin are on {place}, for this machine alone");
            }
            Access::Nobody => tracing::warn!(
                "/metrics and /admin are for nobody, since other machines reach this server: give \
                 ADMIN_TOKEN, or ADMIN_PORT to have them on this machine alone"
            ),
        }
    }

    /// Takes the server down: nothing new, then everything accepted reaches its readers, then the
    /// store. Each phase has a deadline, so that the whole ends.
    async fn stop(&self, served: CancellationToken) {
        tracing::info!("stopping: no new connections, no new messages");
        self.stopping.cancel();
        self.buffer.refuse();
        self.chat.end_presence();
        phase("events in flight", SETTLE, self.realtime.settled()).await;
        phase("the commit of accepted messages", DRAIN, self.buffer.drained()).await;
        phase("events and answers on their way", LEAVE, self.realtime.handed_on()).await;
        phase("word to other nodes", TELL, self.cluster.published()).await;
        phase("sockets", CLOSE, self.realtime.close()).await;
        phase("requests", CLOSE, served.cancelled()).await;
        phase("when users were last seen", SEEN, self.chat.close_presence()).await;
        phase("the flush to the store", FLUSH, async {
            let left = self.buffer.close().await;
            if left > 0 {
                tracing::warn!(
                    left,
                    "stopped before the store has got everything; the journal has it, and the next \
                     start brings it there"
                );
            }
        })
        .await;
        // With it goes what of this node's the others have seen as not stored.
        phase("last word to other nodes", TELL, self.cluster.published()).await;
        self.cluster.close();
        self.store.close().await;
        tracing::info!("stopped");
    }
}

async fn phase(waits_for: &'static str, limit: Duration, phase: impl Future<Output = ()>) {
    if timeout(limit, phase).await.is_err() {
        let limit_ms = limit.as_millis() as u64;
        tracing::warn!(waits_for, limit_ms, "a phase of stopping took too long; going on");
    }
}

/// How users sign in, for who reads the figures, and how often and how many.
fn limits(config: &Config, registry: &mut Registry) -> Arc<Limits> {
    let mode = Info::new([("mode", config.auth.mode().as_str())]);
    registry.register("banter_auth_mode", "How users sign in", mode);
    let limits = Limits::new(config.limits.clone());
    let are_shared = config.cluster.redis_url.is_some();
    let limits = if are_shared { limits.shared() } else { limits };
    limits.register(registry);
    Arc::new(limits)
}

/// Where sockets of all kinds come in.
fn sockets(realtime: &Realtime) -> Router {
    let doors = &realtime.doors;
    Router::new()
        .route_service("/socket.io/", http::detached(realtime.layer.layer(Router::new())))
        .route_service("/ws", doors.lobby.clone())
        .route_service("/ws/{user_id}", doors.pair.clone())
        .route_service("/api/ws/{room_id}", doors.room.clone())
}

/// Puts all routes where they belong, and listens where operators' are, if not on the main address.
async fn serving(
    config: &Config,
    parts: &http::Parts,
    sockets: Router,
    metrics: &HttpMetrics,
) -> anyhow::Result<Serving> {
    let surround = |routes| http::surround(routes, &config.http, &parts.limits, metrics.clone());
    let main = config.server.address();
    let access = config.operators.access(main);
    let routes = http::routes(parts).merge(sockets);
    let (routes, operators) = match config.operators.own_address(main) {
        None => (routes.merge(http::operators(parts, access.clone())), None),
        Some(address) => {
            let router = surround(http::operators_alone(parts, access.clone()));
            (routes, Some(operators_door(address, router, &parts.limits).await?))
        }
    };
    let limits = ServeConfig {
        max_connections: config.http.max_connections as usize,
        limits: Arc::clone(&parts.limits),
        ..ServeConfig::default()
    };
    Ok(Serving { main: surround(routes), limits, operators, access })
}

/// Listens where operators' routes are.
async fn operators_door(
    address: SocketAddr,
    router: Router,
    limits: &Arc<Limits>,
) -> anyhow::Result<Door> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("ADMIN_HOST and ADMIN_PORT: can't listen on {address}"))?;
    let config = ServeConfig {
        max_connections: OPERATORS_CONNECTIONS,
        limits: Arc::clone(limits),
        ..ServeConfig::default()
    };
    Ok(Door { listener, router, config })
}

/// Starts what tells of users: who types, who is online, when they were last seen; and what cleans up
/// behind them.
fn care_for_users(chat: &Arc<Chat>, sign_in: &SignIn, tasks: &Tasks, stopping: &CancellationToken) {
    let (typing, presence, seen) = (Arc::clone(chat), Arc::clone(chat), Arc::clone(chat));
    tasks.spawn_worker("typing", async move { typing.tell_typing().await });
    tasks.spawn_worker("presence", async move { presence.tell_presence().await });
    tasks.spawn_worker("last seen", async move { seen.keep_last_seen().await });
    let files = Arc::clone(chat);
    tasks.spawn_worker("files of deleted messages", async move { files.remove_leftovers().await });
    let (chat, sign_in, stop) = (Arc::clone(chat), sign_in.clone(), stopping.clone());
    tasks.spawn_worker("erasures", async move {
        let forget = |user: UserId| {
            let sign_in = sign_in.clone();
            async move { sign_in.forget(&user).await }
        };
        stop.run_until_cancelled(chat.erase_users(forget)).await;
    });
}

/// Measures what the server stands on: its store, and its machine.
fn watch_what_is_below(config: &Config, store: &Arc<dyn Store>, registry: &mut Registry) {
    registry.register_collector(Box::new(PoolCollector(Arc::clone(store))));
    registry.register_collector(Box::new(HostCollector::new(&config.server.data_dir)));
}

/// Sets up how users sign in.
fn sign_in(
    config: &Config,
    accounts: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
    stopping: &CancellationToken,
) -> anyhow::Result<(SignIn, mpsc::Receiver<Ended>)> {
    if config.auth.mode() == AuthMode::Open {
        return Ok((SignIn::Open, mpsc::channel(1).1));
    }
    let (auth, ended) = Auth::new(&config.tokens, accounts, clock)?;
    let auth = Arc::new(auth);
    let (keys, revocations, stop) = (Arc::clone(&auth), Arc::clone(&auth), stopping.clone());
    tasks.spawn_worker("keys of tokens", async move {
        stop.run_until_cancelled(keys.keep_keys()).await;
    });
    let stop = stopping.clone();
    tasks.spawn_worker("revocations", async move { revocations.keep_revocations(stop).await });
    Ok((SignIn::Tokens(auth), ended))
}

/// Makes tables or indexes as soon as the store answers, and then keeps the search index complete;
/// the server does not wait for it.
fn prepare_when_there(
    store: &Arc<dyn Store>,
    registry: &mut Registry,
    tasks: &Tasks,
    stopping: &CancellationToken,
) {
    let indexer = Indexer::new(Arc::clone(store), registry);
    let (store, stopping) = (Arc::clone(store), stopping.clone());
    tasks.spawn_worker("store set-up", async move {
        while let Err(error) = store.prepare().await {
            tracing::warn!(%error, "the store is not ready yet; messages wait in the buffer");
            if timeout(PREPARE_AGAIN, stopping.cancelled()).await.is_ok() {
                return;
            }
        }
        indexer.run(stopping).await;
    });
}
