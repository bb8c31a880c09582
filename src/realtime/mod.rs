//! The side of sockets, Socket.IO and plain: who connects, what their events do, and how events
//! reach them.

mod admin_ui;
mod connect;
mod fanout;
mod handlers;
mod incoming;
mod leases;
mod log;
mod metrics;
mod outlet;
mod pace;
mod plain;
mod receipts;
mod rooms;
mod traffic;
mod turns;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use socketioxide::handler::ConnectHandler;
use socketioxide::layer::SocketIoLayer;
use socketioxide::{ParserConfig, SocketIo};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Ended, SignIn};
use crate::buffer::Delivery;
use crate::chat::Chat;
use crate::cluster::Cluster;
use crate::limits::Limits;
use crate::shutdown::Tasks;

use leases::Leases;
use metrics::{ChatCollector, Metrics};
use plain::Plain;
use rooms::Rooms;
use traffic::Traffic;

pub use admin_ui::{AdminUiConfig, AdminUiMode};
pub use plain::{Door, Doors};

/// Packets that the library holds for one client; what comes on top waits in its [`outlet`].
const QUEUE_PACKETS: usize = 1_024;

/// Bytes that a WebSocket is read into, and holds for as long as it is connected: a few events of ordinary
/// length. Longer ones are read in pieces.
const READ_BUFFER: usize = 1_024;

/// Binary attachments of one event. The contract has none: these few are taken so that the client
/// can be told so, where the library would close the connection.
const MAX_ATTACHMENTS: usize = 8;

/// How long a client may take from opening a connection to joining the namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of the wire.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Wire")]
pub struct Config {
    /// How often a client is asked whether it is still there, in milliseconds (100 to 3600000)
    #[arg(long, value_name = "MS", default_value_t = 25_000,
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub ping_interval: u64,

    /// How long a client may take to answer that, in milliseconds (100 to 3600000)
    #[arg(long, value_name = "MS", default_value_t = 20_000,
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub ping_timeout: u64,

    /// Largest packet a client may send, in bytes, over WebSocket and polling alike
    /// (1000 to 100000000)
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub max_payload: u32,

    /// The admin UI.
    #[command(flatten)]
    pub admin_ui: AdminUiConfig,
}

/// The Socket.IO server, ready to be laid around the HTTP routes.
pub struct Realtime {
    /// Answers what comes in below `/socket.io/`. Each service that it makes knows its own sessions
    /// alone, so it must be laid once, and not on a router, which lays it on every route.
    pub layer: SocketIoLayer,
    /// Where plain WebSockets come in.
    pub doors: Doors,
    hub: Arc<Hub>,
    io: SocketIo,
    in_flight: TaskTracker,
    draining: TaskTracker,
    /// Ends what looks at the sockets.
    closing: CancellationToken,
}

/// What the Socket.IO side is connected to.
pub struct Links {
    /// The rules.
    pub chat: Arc<Chat>,
    /// How users sign in.
    pub sign_in: SignIn,
    /// How often and how many.
    pub limits: Arc<Limits>,
    /// What is to be told; the fan-out ends with it.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// Which tokens are void from now on.
    pub ended: mpsc::Receiver<Ended>,
    /// The other nodes.
    pub cluster: Cluster,
}

/// What every handler stands on.
struct Hub {
    chat: Arc<Chat>,
    sign_in: SignIn,
    leases: Leases,
    rooms: Rooms,
    limits: Arc<Limits>,
    cluster: Cluster,
    metrics: Metrics,
    traffic: Traffic,
    /// The plain WebSockets.
    plain: Plain,
    tasks: Tasks,
    /// The events that are being handled.
    in_flight: TaskTracker,
    /// The sockets for which packets wait in an outlet.
    draining: TaskTracker,
}

impl Realtime {
    /// Builds the server and starts the fan-out.
    pub fn start(config: &Config, links: Links, tasks: &Tasks, registry: &mut Registry) -> Self {
        let Links { chat, sign_in, limits, deliveries, ended, cluster } = links;
        let payload = config.max_payload as usize;
        let (layer, io) = SocketIo::builder()
            .ping_interval(Duration::from_millis(config.ping_interval))
            .ping_timeout(Duration::from_millis(config.ping_timeout))
            .connect_timeout(CONNECT_TIMEOUT)
            .max_buffer_size(QUEUE_PACKETS)
            .max_payload(u64::from(config.max_payload))
            .ws_read_buffer_size(READ_BUFFER)
            .ws_max_message_size(payload)
            .ws_max_frame_size(payload)
            .with_parser(
                ParserConfig::common()
                    .max_incoming_binaries(MAX_ATTACHMENTS)
                    .max_incoming_binary_buf_size(payload),
            )
            .build_layer();
        let (in_flight, draining) = (TaskTracker::new(), TaskTracker::new());
        in_flight.close();
        draining.close();
        registry.register_collector(Box::new(ChatCollector(Arc::clone(&chat))));
        let hub = Arc::new(Hub {
            chat,
            sign_in: sign_in.clone(),
            leases: Leases::default(),
            rooms: Rooms::default(),
            limits,
            cluster,
            metrics: Metrics::register(registry),
            traffic: Traffic::default(),
            plain: Plain::new(config),
            tasks: tasks.clone(),
            in_flight: in_flight.clone(),
            draining: draining.clone(),
        });
        let admit = connect::admit(Arc::clone(&hub));
        io.ns("/", connect::greet(Arc::clone(&hub)).with(admit));
        if let SignIn::Tokens(auth) = sign_in {
            let ends = leases::run(Arc::clone(&hub), io.clone(), auth, ended);
            tasks.spawn_worker("sign-out", ends);
        }
        tasks.spawn_worker("fan-out", fanout::run(Arc::clone(&hub), io.clone(), deliveries));
        let closing = CancellationToken::new();
        admin_ui::open(&config.admin_ui, &hub, &io, tasks, closing.clone());
        Self { layer, doors: Doors::of(&hub), hub, io, in_flight, draining, closing }
    }

    /// Waits until every event that came in has been answered.
    pub async fn settled(&self) {
        self.in_flight.wait().await;
    }

    /// Waits until the system, or the library, has taken all that waits for a socket; the library sends
    /// what it has before it ends a connection.
    pub async fn handed_on(&self) {
        self.draining.wait().await;
    }

    /// Ends every connection; clients reconnect elsewhere by themselves.
    pub async fn close(&self) {
        self.closing.cancel();
        tokio::join!(self.io.close(), self.hub.plain.close());
    }
}
