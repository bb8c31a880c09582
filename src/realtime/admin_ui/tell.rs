//! What operators are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use socketioxide::{SendError, SocketError, TransportType};
use tokio::time::{Instant, timeout};

use super::view::{Change, MAX_ROOMS, News, Shown, View};
use super::{AdminUi, NAMESPACE, Operator, address};
use crate::model::Timestamp;
use crate::realtime::connect::Session;
use crate::realtime::{Hub, leases, outlet};
use crate::wire::admin_ui::{
    AggregatedEvent, Handshake, NamespaceRow, ServerStats, SocketData, SocketRow, SocketUpdate,
};
use crate::wire::iso;

/// How often operators are told how things are.
const INTERVAL: Duration = Duration::from_secs(2);

/// The headers of a handshake that are shown, and so much of each.
const HEADERS: [&str; 3] = ["host", "origin", "user-agent"];
const MAX_HEADER: usize = 256;

/// The parameters of its query that are shown.
const PARAMETERS: [&str; 2] = ["EIO", "transport"];

/// A socket in its namespace.
type Key = (&'static str, Sid);

/// Which server this is.
struct Server {
    id: String,
    hostname: String,
    started: Instant,
}

impl Server {
    fn here() -> Self {
        let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = if read.trim().is_empty() { "banter" } else { read.trim() }.to_owned();
        let id = format!("{hostname}#{}", std::process::id());
        Self { id, hostname, started: Instant::now() }
    }
}

/// What was told so far, while operators are there.
struct Told {
    view: View<Key>,
    counts: BTreeMap<&'static str, u64>,
}

/// Tells operators what there is as long as any is there. Does not end by itself.
pub(super) async fn run(ui: Arc<AdminUi>) {
    let server = Server::here();
    loop {
        ui.came.notified().await;
        let counts = ui.hub.traffic.counts().into_iter().collect();
        let mut told = Told { view: View::default(), counts };
        while ui.tell(&server, &mut told) {
            // Whoever comes is told at once.
            let _ = timeout(INTERVAL, ui.came.notified()).await;
        }
    }
}

impl AdminUi {
    fn sockets(&self, namespace: &str) -> Vec<SocketRef> {
        // Once the server has closed its sockets, there is no namespace.
        self.io.of(namespace).map(|namespace| namespace.sockets()).unwrap_or_default()
    }

    /// Tells all operators how things are now; `false` when nobody is there.
    fn tell(&self, server: &Server, told: &mut Told) -> bool {
        let (main, admin) = (self.sockets("/"), self.sockets(NAMESPACE));
        let is_open = |socket: &SocketRef| {
            Operator::of(socket).is_some_and(|operator| operator.is_open.load(Ordering::Acquire))
        };
        let operators: Vec<_> = admin.iter().filter(|socket| is_open(socket)).cloned().collect();
        if operators.is_empty() {
            return false;
        }
        let now = self.hub.chat.place().0;
        let stats = stats(&self.hub, server, told, &main, &admin, now);
        let in_admin = admin.into_iter().map(|socket| ((NAMESPACE, socket.id), socket));
        let in_main = main.into_iter().map(|socket| (("/", socket.id), socket));
        let all: BTreeMap<Key, SocketRef> = in_admin.chain(in_main).collect();
        // Operators are few, and see each other however many others there are.
        let (operators_keys, keys) = all.keys().partition::<Vec<_>, _>(|key| key.0 == NAMESPACE);
        let picked = told.view.pick(keys.into_iter().copied()).into_iter();
        let picked = picked.chain(operators_keys.into_iter().copied());
        let shown = picked.map(|key| (key, shown(&all[&key]))).collect();
        let news = told.view.update(shown, Instant::now());
        let mut list = None;
        for operator in &operators {
            let is_new = Operator::of(operator)
                .is_some_and(|operator| !operator.is_shown.swap(true, Ordering::Relaxed));
            match &news {
                News::Changes(changes) if !is_new => {
                    for change in changes {
                        self.tell_change(operator, change, &all, &iso(now));
                    }
                }
                _ => {
                    let list = list.get_or_insert_with(|| listed(&told.view, &all));
                    if let Some(list) = list {
                        send(&self.hub, operator, "all_sockets", &**list);
                    }
                }
            }
            send(&self.hub, operator, "server_stats", &stats);
        }
        true
    }

    fn tell_change(
        &self,
        operator: &SocketRef,
        change: &Change<Key>,
        all: &BTreeMap<Key, SocketRef>,
        at: &str,
    ) {
        let hub = &self.hub;
        match change {
            Change::Came(key) => {
                if let Some(socket) = all.get(key) {
                    send(hub, operator, "socket_connected", &(row(key, socket), at));
                }
            }
            // Why is in the log.
            Change::Went((nsp, id)) => {
                send(hub, operator, "socket_disconnected", &(nsp, id.as_str(), "gone", at));
            }
            Change::Joined((nsp, id), room) => {
                send(hub, operator, "room_joined", &(nsp, room, id.as_str(), at));
            }
            Change::Left((nsp, id), room) => {
                send(hub, operator, "room_left", &(nsp, room, id.as_str(), at));
            }
            Change::Upgraded((nsp, id), transport) => {
                let update = SocketUpdate { id: id.to_string(), nsp, transport };
                send(hub, operator, "socket_updated", &update);
            }
        }
    }
}

/// Sends an operator something. One who reads too slowly is cut off.
pub(super) fn send<T: ?Sized + Serialize>(
    hub: &Hub,
    socket: &SocketRef,
    event: &'static str,
    payload: &T,
) {
    let sent = socket.emit(event, payload);
    if matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull))) {
        let Some(operator) = Operator::of(socket) else { return };
        if operator.is_open.swap(false, Ordering::AcqRel) {
            tracing::warn!("an operator of the admin UI who reads too slowly is cut off");
            leases::disconnect(hub, socket);
        }
    }
}

fn transport(socket: &SocketRef) -> &'static str {
    match socket.transport_type() {
        TransportType::Polling => "polling",
        TransportType::Websocket => "websocket",
    }
}

fn shown(socket: &SocketRef) -> Shown {
    let rooms: BTreeSet<_> = socket.rooms().iter().map(|room| room.to_string()).collect();
    // In order, so that of many it is always the same that are shown. The UI has a room for each
    // socket, under the socket's id.
    let shown = rooms.into_iter().take(MAX_ROOMS).chain([socket.id.to_string()]);
    Shown { transport: transport(socket), rooms: shown.collect() }
}

fn listed(view: &View<Key>, all: &BTreeMap<Key, SocketRef>) -> Option<Arc<RawValue>> {
    let rows = view.keys().filter_map(|key| Some(row(&key, all.get(&key)?)));
    outlet::encode("all_sockets", &rows.collect::<Vec<_>>()).map(Into::into)
}

fn row((nsp, id): &Key, socket: &SocketRef) -> SocketRow {
    let Shown { transport, rooms } = shown(socket);
    let session = Session::of(socket);
    let since = session.as_ref().map(|session| session.connected());
    let since = since.or_else(|| Operator::of(socket).map(|operator| operator.since));
    SocketRow {
        id: id.to_string(),
        client_id: id.to_string(),
        transport,
        nsp,
        data: SocketData { user_id: session.map(|session| session.user.to_string()) },
        handshake: handshake(socket, since.unwrap_or(Timestamp(0))),
        rooms: rooms.into_iter().collect(),
    }
}

/// The request that opened a connection: a token may stand in its query or its headers, so that only
/// what is known to hold none is shown.
fn handshake(socket: &SocketRef, since: Timestamp) -> Handshake {
    let parts = socket.req_parts();
    let mut headers = Map::new();
    for name in HEADERS {
        if let Some(value) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
            let value = &value[..value.len().min(MAX_HEADER)];
            headers.insert(name.to_owned(), value.into());
        }
    }
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let query = query.filter(|(name, _)| PARAMETERS.contains(&&**name));
    let query = query.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())));
    Handshake {
        address: address(socket).map(|address| address.to_string()).unwrap_or_default(),
        xdomain: headers.contains_key("origin"),
        headers,
        query: query.take(PARAMETERS.len()).collect(),
        issued: since.as_millis(),
        time: iso(since),
        secure: false,
        url: "/socket.io/",
    }
}

fn stats<'a>(
    hub: &Hub,
    server: &'a Server,
    told: &mut Told,
    main: &[SocketRef],
    admin: &[SocketRef],
    now: Timestamp,
) -> ServerStats<'a> {
    let timestamp = now.as_millis() / 1_000 * 1_000;
    let mut aggregated_events = Vec::new();
    for (kind, count) in hub.traffic.counts() {
        let before = told.counts.insert(kind, count).unwrap_or(count);
        if count > before {
            aggregated_events.push(AggregatedEvent { timestamp, kind, count: count - before });
        }
    }
    let all = || main.iter().chain(admin);
    let polling = all().filter(|socket| socket.transport_type() == TransportType::Polling);
    ServerStats {
        server_id: &server.id,
        hostname: &server.hostname,
        pid: std::process::id(),
        uptime: server.started.elapsed().as_secs_f64(),
        clients_count: main.len() + admin.len(),
        polling_clients_count: polling.count(),
        aggregated_events,
        namespaces: [
            NamespaceRow { name: "/", sockets_count: main.len() },
            NamespaceRow { name: NAMESPACE, sockets_count: admin.len() },
        ],
    }
}
