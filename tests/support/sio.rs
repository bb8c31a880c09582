//! A small Socket.IO client that shows what the protocol carries: it connects over WebSocket
//! (EIO=4 and EIO=3) and over HTTP long polling, answers heartbeats by itself, and keeps what it
//! is not asked for, so that a test reads events in the order it cares about.
#![allow(dead_code, reason = "each test binary uses the part it needs")]
#![expect(clippy::expect_used, reason = "a test fails where its client does")]
#![expect(clippy::disallowed_methods, reason = "a client's reader lives as long as the client")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long an answer may take before a test is told that it did not come.
const PATIENCE: Duration = Duration::from_secs(10);
const QUEUE: usize = 65_536;
/// Between two packets of a client that reads slowly.
const SLOWLY: Duration = Duration::from_millis(40);

/// How to reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Engine.IO 4 over WebSocket: Socket.IO clients 3 and 4.
    WebSocket,
    /// Engine.IO 3 over WebSocket: Socket.IO clients 1 and 2.
    WebSocketV3,
    /// Engine.IO 4 over HTTP long polling.
    Polling,
}

/// One Socket.IO packet that the server sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Packet {
    Connect(Value),
    ConnectError(Value),
    Event {
        name: String,
        args: Vec<Value>,
        ack: Option<u64>,
    },
    Ack {
        id: u64,
        args: Vec<Value>,
    },
    Disconnect,
    /// What is none of the above, as it was sent.
    Other(String),
    /// The connection ended; the reason is for people.
    Closed(String),
}

enum Command {
    Text(String),
    Binary(Vec<u8>),
    StopReading,
    ReadSlowly,
    ReadAgain,
    Close,
}

/// A connected client.
pub(crate) struct Client {
    commands: mpsc::Sender<Command>,
    packets: mpsc::Receiver<Packet>,
    /// Whether a ping of the server has come.
    pinged: watch::Receiver<bool>,
    kept: VecDeque<Packet>,
    last_ack: u64,
    /// The socket's id; empty for EIO=3, whose CONNECT carries none.
    pub(crate) sid: String,
}

impl Client {
    /// Connects over WebSocket with this `auth`; panics when the server refuses.
    pub(crate) async fn connect(addr: SocketAddr, auth: Value) -> Self {
        Self::connect_by(Transport::WebSocket, addr, auth).await
    }

    /// Connects by the given transport; panics when the server refuses.
    pub(crate) async fn connect_by(transport: Transport, addr: SocketAddr, auth: Value) -> Self {
        match Self::try_connect(transport, addr, auth).await {
            Ok(client) => client,
            Err(refusal) => panic!("the server refused the connection: {refusal}"),
        }
    }

    /// Connects, or gives the data of `connect_error`.
    pub(crate) async fn try_connect(
        transport: Transport,
        addr: SocketAddr,
        auth: Value,
    ) -> Result<Self, Value> {
        if transport != Transport::WebSocketV3 {
            return Self::open(transport, addr).await.enter(Some(&auth)).await;
        }
        // The auth of an EIO=3 client is the query of its handshake; CONNECT is the server's.
        let query = {
            let mut query = form_urlencoded::Serializer::for_suffix(Self::query(transport), 0);
            for (name, value) in auth.as_object().expect("an object") {
                query.append_pair(name, value.as_str().expect("a text"));
            }
            query.finish()
        };
        Self::open_with(transport, addr, &query, None).await.enter(None).await
    }

    /// Connects over WebSocket with a header in the request that opens the connection.
    pub(crate) async fn connect_with_header(
        addr: SocketAddr,
        header: (&'static str, &str),
        auth: Value,
    ) -> Result<Self, Value> {
        let query = Self::query(Transport::WebSocket);
        let client = Self::open_with(Transport::WebSocket, addr, &query, Some(header)).await;
        client.enter(Some(&auth)).await
    }

    /// Joins the namespace, where the server does not do that by itself, or gives the data of
    /// `connect_error`.
    async fn enter(self, auth: Option<&Value>) -> Result<Self, Value> {
        let mut client = self;
        if let Some(auth) = auth {
            client.raw_send(format!("40{auth}")).await;
        }
        match client.next_packet().await {
            Packet::Connect(data) => {
                client.sid = data["sid"].as_str().unwrap_or_default().to_owned();
                Ok(client)
            }
            Packet::ConnectError(data) => Err(data),
            other => panic!("neither CONNECT nor connect_error but {other:?}"),
        }
    }

    /// Opens the Engine.IO session alone: no CONNECT is sent.
    pub(crate) async fn open(transport: Transport, addr: SocketAddr) -> Self {
        Self::open_with(transport, addr, &Self::query(transport), None).await
    }

    /// The query with which a handshake by this transport begins.
    fn query(transport: Transport) -> String {
        let (eio, name) = match transport {
            Transport::WebSocket => (4, "websocket"),
            Transport::WebSocketV3 => (3, "websocket"),
            Transport::Polling => (4, "polling"),
        };
        format!("EIO={eio}&transport={name}")
    }

    async fn open_with(
        transport: Transport,
        addr: SocketAddr,
        query: &str,
        header: Option<(&'static str, &str)>,
    ) -> Self {
        let (commands, todo) = mpsc::channel(QUEUE);
        let (found, packets) = mpsc::channel(QUEUE);
        let (ping, pinged) = watch::channel(false);
        match transport {
            Transport::WebSocket | Transport::WebSocketV3 => {
                let url = format!("ws://{addr}/socket.io/?{query}");
                let mut request = url.into_client_request().expect("a valid request");
                if let Some((name, value)) = header {
                    request.headers_mut().insert(name, value.parse().expect("a header's value"));
                }
                let stream = TcpStream::connect(addr).await.expect("the server accepts");
                stream.set_nodelay(true).expect("TCP_NODELAY can be set");
                let stream = MaybeTlsStream::Plain(stream);
                let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
                    .await
                    .expect("the server upgrades");
                match socket.next().await {
                    Some(Ok(Message::Text(open))) if open.starts_with('0') => {}
                    other => panic!("the first packet is not OPEN but {other:?}"),
                }
                tokio::spawn(run_websocket(socket, todo, found, ping));
            }
            Transport::Polling => {
                let http = crate::web::client();
                let url = format!("http://{addr}/socket.io/?{query}");
                let open = http.get(&url).send().await.expect("the server answers");
                let open = open.text().await.expect("a body");
                let open = open.strip_prefix('0').expect("the first packet is OPEN");
                let open: Value = serde_json::from_str(open).expect("OPEN is JSON");
                let url = format!("{url}&sid={}", open["sid"].as_str().expect("OPEN has a sid"));
                let polls =
                    run_polls(http.clone(), url.clone(), commands.clone(), found.clone(), ping);
                tokio::spawn(polls);
                tokio::spawn(run_posts(http, url, todo, found));
            }
        }
        let (kept, sid) = (VecDeque::new(), String::new());
        Self { commands, packets, pinged, kept, last_ack: 0, sid }
    }

    /// Sends an event with one argument.
    pub(crate) async fn emit(&mut self, event: &str, argument: Value) {
        self.emit_args(event, &[argument]).await;
    }

    /// Sends an event with any number of arguments.
    pub(crate) async fn emit_args(&mut self, event: &str, arguments: &[Value]) {
        self.raw_send(format!("42{}", event_json(event, arguments))).await;
    }

    /// Sends an event and waits for its acknowledgement's first argument (null when it has none).
    pub(crate) async fn emit_ack(&mut self, event: &str, argument: Value) -> Value {
        let id = self.send_with_ack(event, &[argument]).await;
        self.ack(id).await
    }

    /// Sends an event that asks for an acknowledgement; [`ack`](Self::ack) waits for it. Many may
    /// be under way at once.
    pub(crate) async fn send_with_ack(&mut self, event: &str, arguments: &[Value]) -> u64 {
        self.last_ack += 1;
        self.raw_send(format!("42{}{}", self.last_ack, event_json(event, arguments))).await;
        self.last_ack
    }

    /// The first argument of that acknowledgement (null when it has none).
    pub(crate) async fn ack(&mut self, wanted: u64) -> Value {
        let packet = self.find(
            Instant::now() + PATIENCE,
            |packet| matches!(packet, Packet::Ack { id, .. } if *id == wanted),
        );
        match packet.await {
            Some(Packet::Ack { args, .. }) => args.into_iter().next().unwrap_or(Value::Null),
            _ => panic!("no acknowledgement {wanted}; kept: {:?}", self.kept),
        }
    }

    /// The first argument of the next event of this name; other packets are kept for later.
    pub(crate) async fn next_event(&mut self, event: &str) -> Value {
        match self.next_event_within(event, PATIENCE).await {
            Some(argument) => argument,
            None => panic!("no event {event:?}; kept: {:?}", self.kept),
        }
    }

    /// Like [`next_event`](Self::next_event), or nothing when it does not come in time.
    pub(crate) async fn next_event_within(
        &mut self,
        event: &str,
        within: Duration,
    ) -> Option<Value> {
        let packet = self.find(
            Instant::now() + within,
            |packet| matches!(packet, Packet::Event { name, .. } if name == event),
        );
        match packet.await {
            Some(Packet::Event { args, .. }) => {
                Some(args.into_iter().next().unwrap_or(Value::Null))
            }
            _ => None,
        }
    }

    /// Panics when an event of this name has come or comes within that time. Prefer an answer
    /// that must come later over a wait, where there is one: see [`settle`](Self::settle).
    pub(crate) async fn no_event(&mut self, event: &str, within: Duration) {
        if let Some(argument) = self.next_event_within(event, within).await {
            panic!("unexpected event {event:?}: {argument}");
        }
    }

    /// Waits for the answer to a packet sent now (a refused namespace), so that what the server
    /// queued for this client before that answer has arrived. A full channel loses the answer too:
    /// read what fills it first.
    pub(crate) async fn settle(&mut self) {
        const NOWHERE: &str = "44/settle,";
        self.raw_send("40/settle,").await;
        let answer = self.find(
            Instant::now() + PATIENCE,
            |packet| matches!(packet, Packet::Other(text) if text.starts_with(NOWHERE)),
        );
        assert!(answer.await.is_some(), "the server did not answer");
    }

    /// Waits for the first ping, which the server sends a moment after it opened the connection:
    /// a ping needs a place in the channel of the socket, and the connection ends without one.
    pub(crate) async fn pinged(&mut self) {
        let ping = timeout(PATIENCE, self.pinged.wait_for(|pinged| *pinged)).await;
        assert!(matches!(ping, Ok(Ok(_))), "no ping; kept: {:?}", self.kept);
    }

    /// The events of this name that are here already, oldest first.
    pub(crate) async fn events_so_far(&mut self, event: &str) -> Vec<Value> {
        let mut found = Vec::new();
        while let Some(argument) = self.next_event_within(event, Duration::ZERO).await {
            found.push(argument);
        }
        found
    }

    /// All packets that are here already, oldest first.
    pub(crate) fn so_far(&mut self) -> Vec<Packet> {
        let mut packets: Vec<_> = self.kept.drain(..).collect();
        while let Ok(packet) = self.packets.try_recv() {
            packets.push(packet);
        }
        packets
    }

    /// The next packet of any kind, in the order of arrival.
    pub(crate) async fn next_packet(&mut self) -> Packet {
        self.find(Instant::now() + PATIENCE, |_| true).await.expect("the server sends a packet")
    }

    /// Waits until the connection has ended, and gives the reason.
    pub(crate) async fn closed(&mut self) -> String {
        let end = self
            .find(Instant::now() + PATIENCE, |packet| matches!(packet, Packet::Closed(_)))
            .await;
        match end {
            Some(Packet::Closed(reason)) => reason,
            _ => panic!("the connection is still open; kept: {:?}", self.kept),
        }
    }

    /// Waits until the server has said that the socket is out of the namespace.
    pub(crate) async fn disconnected(&mut self) {
        let end = self.find(Instant::now() + PATIENCE, |packet| *packet == Packet::Disconnect);
        assert!(end.await.is_some(), "the socket is still connected; kept: {:?}", self.kept);
    }

    /// Sends this Engine.IO text packet as it is.
    pub(crate) async fn raw_send(&mut self, text: impl Into<String>) {
        self.command(Command::Text(text.into())).await;
    }

    /// Sends a binary frame (an attachment); WebSocket only.
    pub(crate) async fn raw_send_binary(&mut self, bytes: Vec<u8>) {
        self.command(Command::Binary(bytes)).await;
    }

    /// Reads nothing from the connection any more, as a stalled client would; WebSocket only.
    pub(crate) async fn stop_reading(&mut self) {
        self.command(Command::StopReading).await;
    }

    /// Reads up to 25 packets a second, which keeps the connection, as a client on a bad line would;
    /// WebSocket only.
    pub(crate) async fn read_slowly(&mut self) {
        self.command(Command::ReadSlowly).await;
    }

    /// Goes on after [`stop_reading`](Self::stop_reading) and [`read_slowly`](Self::read_slowly).
    pub(crate) async fn read_again(&mut self) {
        self.command(Command::ReadAgain).await;
    }

    /// Leaves politely: DISCONNECT, then the end of the connection.
    pub(crate) async fn disconnect(mut self) {
        self.raw_send("41").await;
        self.command(Command::Close).await;
        self.closed().await;
    }

    async fn command(&mut self, command: Command) {
        // A connection that has ended takes nothing; the test finds that out by what it awaits.
        let _ = self.commands.send(command).await;
    }

    async fn find(
        &mut self,
        deadline: Instant,
        wanted: impl Fn(&Packet) -> bool,
    ) -> Option<Packet> {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        loop {
            let packet = match self.packets.try_recv() {
                Ok(packet) => packet,
                Err(_) => timeout_at(deadline, self.packets.recv()).await.ok()??,
            };
            if wanted(&packet) {
                return Some(packet);
            }
            self.kept.push_back(packet);
        }
    }
}

fn event_json(event: &str, arguments: &[Value]) -> Value {
    std::iter::once(json!(event)).chain(arguments.iter().cloned()).collect()
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The next message, after a pause where there is one.
async fn next_at(
    socket: &mut Socket,
    pace: Option<Duration>,
) -> Option<Result<Message, tungstenite::Error>> {
    if let Some(pause) = pace.filter(|pause| !pause.is_zero()) {
        tokio::time::sleep(pause).await;
    }
    socket.next().await
}

async fn run_websocket(
    mut socket: Socket,
    mut todo: mpsc::Receiver<Command>,
    found: mpsc::Sender<Packet>,
    ping: watch::Sender<bool>,
) {
    let mut pace = Some(Duration::ZERO);
    let reason = loop {
        tokio::select! {
            command = todo.recv() => match command {
                Some(Command::Text(text)) => {
                    if let Err(error) = socket.send(Message::text(text)).await {
                        break error.to_string();
                    }
                }
                Some(Command::Binary(bytes)) => {
                    if let Err(error) = socket.send(Message::binary(bytes)).await {
                        break error.to_string();
                    }
                }
                Some(Command::StopReading) => pace = None,
                Some(Command::ReadSlowly) => pace = Some(SLOWLY),
                Some(Command::ReadAgain) => pace = Some(Duration::ZERO),
                Some(Command::Close) => {
                    let _ = socket.close(None).await;
                    break "closed by the client".to_owned();
                }
                None => return,
            },
            message = next_at(&mut socket, pace), if pace.is_some() => match message {
                Some(Ok(Message::Text(text))) => {
                    if text.as_str() == "2" {
                        ping.send_replace(true);
                        if let Err(error) = socket.send(Message::text("3")).await {
                            break error.to_string();
                        }
                    } else if let Some(packet) = decode(&text) {
                        let _ = found.send(packet).await;
                    }
                }
                Some(Ok(Message::Close(_))) | None => break "closed by the server".to_owned(),
                Some(Ok(_)) => {}
                Some(Err(tungstenite::Error::ConnectionClosed)) => {
                    break "closed by the server".to_owned();
                }
                Some(Err(error)) => break error.to_string(),
            },
        }
    };
    let _ = found.send(Packet::Closed(reason)).await;
}

async fn run_polls(
    http: reqwest::Client,
    url: String,
    commands: mpsc::Sender<Command>,
    found: mpsc::Sender<Packet>,
    ping: watch::Sender<bool>,
) {
    loop {
        let answer = tokio::select! {
            answer = http.get(&url).send() => answer,
            () = found.closed() => return,
        };
        let body = match answer {
            Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
            Ok(answer) => {
                let _ = found.send(Packet::Closed(answer.status().to_string())).await;
                return;
            }
            Err(error) => {
                let _ = found.send(Packet::Closed(error.to_string())).await;
                return;
            }
        };
        for text in body.split('\u{1e}') {
            if text == "2" {
                ping.send_replace(true);
                let _ = commands.send(Command::Text("3".to_owned())).await;
            } else if let Some(packet) = decode(text) {
                let _ = found.send(packet).await;
            }
        }
    }
}

async fn run_posts(
    http: reqwest::Client,
    url: String,
    mut todo: mpsc::Receiver<Command>,
    found: mpsc::Sender<Packet>,
) {
    while let Some(command) = todo.recv().await {
        let text = match command {
            Command::Text(text) => text,
            Command::Close => "1".to_owned(),
            Command::Binary(_)
            | Command::StopReading
            | Command::ReadSlowly
            | Command::ReadAgain => continue,
        };
        let answer = timeout(PATIENCE, http.post(&url).body(text).send()).await;
        let refused = match answer {
            Ok(Ok(answer)) if answer.status().is_success() => continue,
            Ok(Ok(answer)) => answer.status().to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer to a POST".to_owned(),
        };
        let _ = found.send(Packet::Closed(refused)).await;
        return;
    }
}

/// Reads one Engine.IO packet; heartbeats are none of a test's business.
fn decode(text: &str) -> Option<Packet> {
    let Some(message) = text.strip_prefix('4') else {
        return match text.chars().next() {
            Some('1') => Some(Packet::Closed("the server sent CLOSE".to_owned())),
            None | Some('3' | '6') => None,
            Some(_) => Some(Packet::Other(text.to_owned())),
        };
    };
    let other = || Some(Packet::Other(text.to_owned()));
    let body = message.get(1..)?;
    if body.starts_with('/') {
        return other();
    }
    let json_at = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let (id, json) = body.split_at(json_at);
    let id: Option<u64> = id.parse().ok();
    let data: Value = serde_json::from_str(json).unwrap_or(Value::Null);
    let list = || data.as_array().cloned().unwrap_or_default();
    match message.as_bytes().first()? {
        b'0' => Some(Packet::Connect(data)),
        b'1' => Some(Packet::Disconnect),
        b'2' => {
            let mut args = list().into_iter();
            let name = args.next()?.as_str()?.to_owned();
            Some(Packet::Event { name, args: args.collect(), ack: id })
        }
        b'3' => Some(Packet::Ack { id: id?, args: list() }),
        b'4' => Some(Packet::ConnectError(data)),
        _ => other(),
    }
}
