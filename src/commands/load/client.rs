//! Reaches a server: opens Socket.IO connections and asks by HTTP.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::http::{Answer, FetchError, fetch, whole};
use super::link::{Brake, Link, Socket, WebSocket};
use super::options::Transport;
use super::polling::Polling;
use crate::commands::{counted, one_line};

/// How long the server may take to let somebody in, or to answer a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest packet that is read.
const MAX_PACKET_BYTES: usize = 16 << 20;
/// Connections from which on each has a small buffer only.
const MANY: u32 = 1_000;
/// Read at once: thirty deliveries where they come together. The library zeroes it before each read,
/// so that a larger one costs more where they come one by one (with 16 KiB, a tenth of all time).
const LARGE_BUFFER: usize = 8 << 10;
const SMALL_BUFFER: usize = 4 << 10;
/// Of the kernel, for one who reads slowly: it would else hide that for megabytes.
const SLOW_RECEIVE_BUFFER: u32 = 8 << 10;

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("nobody listens there: {0}")]
    NotThere(io::Error),
    #[error(
        "this machine has no port left for it: about 28,000 connections fit between two addresses \
         (net.ipv4.ip_local_port_range), and those closed lately count"
    )]
    NoPort,
    #[error("too many open files: raise the limit (ulimit -n), or take fewer --users")]
    NoFile,
    #[error("the server answers {0} to the request that opens the connection{hint}", hint = hint(*.0))]
    Status(u16),
    #[error("the server refuses the connection: {0}{hint}", hint = hint_of_refusal(.0))]
    Refused(String),
    #[error("what answers there does not speak Socket.IO 4: {0}")]
    Strange(String),
    #[error("no answer for {} s", PATIENCE.as_secs())]
    Silent,
}

/// What to do about a status.
fn hint(status: u16) -> &'static str {
    match status {
        429 => {
            ": it limits how often; LIMIT_EXEMPT (HANDSHAKE_RATE, RATE_LIMIT_REQUESTS) of a \
                Banter exempts this address"
        }
        401 | 403 => {
            ": only a server that believes a user_id can be driven (of a Banter, \
                      AUTH_MODE=open)"
        }
        413 => ": it is too long for the server (of a Banter, MAX_PAYLOAD and MAX_GROUP_MEMBERS)",
        _ => "",
    }
}

/// What to do about the text of a `connect_error`.
fn hint_of_refusal(text: &str) -> &'static str {
    if text.contains("Too many") {
        " (of a Banter: LIMIT_EXEMPT exempts this address)"
    } else if text.contains("token") {
        " (only a server that believes a user_id can be driven: of a Banter, AUTH_MODE=open)"
    } else {
        ""
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        /// The system's numbers for "too many open files", of all and of this process.
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        match error.raw_os_error() {
            Some(ENFILE | EMFILE) => Self::NoFile,
            _ if error.kind() == ErrorKind::AddrNotAvailable => Self::NoPort,
            _ => Self::NotThere(error),
        }
    }
}

impl From<WsError> for ConnectError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Io(error) => error.into(),
            WsError::Http(response) => Self::Status(response.status().as_u16()),
            other => Self::Strange(other.to_string()),
        }
    }
}

impl From<FetchError> for ConnectError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Failed(error) => match io_error(&error) {
                Some(source) => source.into(),
                None => Self::Strange(whole(&error)),
            },
            FetchError::TooLong => Self::Strange("the answer is too long".to_owned()),
        }
    }
}

/// The system's error behind one of the HTTP client.
fn io_error(error: &reqwest::Error) -> Option<io::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => error.kind().into(),
            });
        }
        source = error.source();
    }
    None
}

/// A server, and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: Url,
    address: SocketAddr,
    transport: Transport,
    read_buffer_bytes: usize,
    pub(super) http: Client,
}

impl Server {
    /// # Errors
    /// The URL names nothing that can be reached this way.
    pub(super) async fn find(url: &Url, transport: Transport, users: u32) -> anyhow::Result<Self> {
        let host = url.host_str().context("--url names no host")?.trim_matches(['[', ']']);
        let port = url.port_or_known_default().context("--url names no port")?;
        let mut found = lookup_host((host, port))
            .await
            .with_context(|| format!("--url: {host} has no address"))?;
        let address = found.next().with_context(|| format!("--url: {host} has no address"))?;
        // An error says that the process has it already. There is no TLS here, but the library
        // makes no client without something to do it with.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(PATIENCE)
            .build()
            .context("no HTTP client can be made")?;
        let read_buffer_bytes = if users < MANY { LARGE_BUFFER } else { SMALL_BUFFER };
        Ok(Self { url: url.clone(), address, transport, read_buffer_bytes, http })
    }

    /// Connects as a user, and joins the namespace. One with a brake reads slowly.
    ///
    /// # Errors
    /// The server can't be reached, refuses, or is none.
    pub(super) async fn connect(
        &self,
        user_id: &str,
        brake: Option<Brake>,
    ) -> Result<Link, ConnectError> {
        let connecting = async {
            let mut link = match self.transport {
                Transport::Websocket => self.open_websocket(brake).await?,
                Transport::Polling => self.open_polling().await?,
            };
            link.send(format!("40{}", json!({ "user_id": user_id })));
            loop {
                let packet = next(&mut link).await?;
                match packet.get(..2) {
                    Some(b"40") => return Ok(link),
                    Some(b"44") => return Err(ConnectError::Refused(reason(&packet[2..]))),
                    // Some servers send events before they say that the client is in.
                    _ if packet.starts_with(b"42") => {}
                    _ if &*packet == b"2" => link.send("3".to_owned()),
                    _ => return Err(ConnectError::Strange(shown(&packet))),
                }
            }
        };
        timeout(PATIENCE, connecting).await.map_err(|_| ConnectError::Silent)?
    }

    /// A page of what two users have said, as one of them sees it.
    ///
    /// # Errors
    /// There is none, and why.
    pub(super) async fn read_history(&self, user_id: &str, other_id: &str) -> Result<(), String> {
        let mut url = self.url.clone();
        url.set_path(&format!("/messages/{user_id}/{other_id}"));
        url.set_query(Some("message_type=direct&limit=50"));
        match timeout(PATIENCE, fetch(self.http.get(url))).await {
            Ok(Ok(Answer { status: 200, .. })) => Ok(()),
            Ok(Ok(Answer { status, .. })) => {
                Err(format!("the server answers {status} to GET /messages/{}", hint(status)))
            }
            Ok(Err(error)) => Err(whole(&error)),
            Err(_) => Err(ConnectError::Silent.to_string()),
        }
    }

    async fn open_websocket(&self, brake: Option<Brake>) -> Result<Link, ConnectError> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if brake.is_some() {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER)?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let host = self.url.authority();
        let request = format!("ws://{host}/socket.io/?EIO=4&transport=websocket");
        let config = WebSocketConfig::default()
            .read_buffer_size(self.read_buffer_bytes)
            .write_buffer_size(self.read_buffer_bytes)
            .max_message_size(Some(MAX_PACKET_BYTES))
            .max_frame_size(Some(MAX_PACKET_BYTES));
        let stream = Socket::new(stream, brake);
        let (stream, _) = client_async_with_config(request, stream, Some(config)).await?;
        let mut link = Link::WebSocket(Box::new(WebSocket::new(stream)));
        let open = next(&mut link).await?;
        if open.starts_with(b"0{") { Ok(link) } else { Err(ConnectError::Strange(shown(&open))) }
    }

    async fn open_polling(&self) -> Result<Link, ConnectError> {
        let mut url = self.url.clone();
        url.set_path("/socket.io/");
        url.set_query(Some("EIO=4&transport=polling"));
        let answer = fetch(self.http.get(url.clone())).await?;
        if answer.status != 200 {
            return Err(ConnectError::Status(answer.status));
        }
        let open = answer.text();
        let session = open.strip_prefix('0').and_then(|open| {
            let open: Value = serde_json::from_str(open).ok()?;
            Some(open.get("sid")?.as_str()?.to_owned())
        });
        let session = session.ok_or_else(|| ConnectError::Strange(shown(open.as_bytes())))?;
        url.query_pairs_mut().append_pair("sid", &session);
        Ok(Link::Polling(Polling::new(self.http.clone(), url.into())))
    }

    /// Makes a group of these users; its id.
    ///
    /// # Errors
    /// The server can't be reached, refuses, or answers something else.
    pub(super) async fn make_group(
        &self,
        name: &str,
        members: &[String],
    ) -> anyhow::Result<String> {
        let mut url = self.url.clone();
        url.set_path("/groups/");
        let owner = members.first().context("a group has a member")?;
        let body = json!({ "name": name, "member_ids": members, "created_by": owner });
        let asked = self.http.post(url).header("content-type", "application/json");
        let answer = timeout(PATIENCE, fetch(asked.body(body.to_string()))).await;
        let answer = answer.map_err(anyhow::Error::from).and_then(|answer| Ok(answer?));
        let answer = answer.with_context(|| format!("{} can't be reached", self.url))?;
        let (status, text) = (answer.status, answer.text());
        anyhow::ensure!(
            (200..300).contains(&status),
            "the server answers {status} to POST /groups/ with {}: {}{}",
            counted(members.len() as u64, "member"),
            shown(text.as_bytes()),
            hint(status)
        );
        let id = serde_json::from_str::<Value>(&text).ok();
        let id = id.and_then(|group| Some(group.get("_id")?.as_str()?.to_owned()));
        id.with_context(|| format!("POST /groups/ answers no group: {}", shown(text.as_bytes())))
    }
}

/// The next packet of a connection that is being opened.
async fn next(link: &mut Link) -> Result<Bytes, ConnectError> {
    poll_fn(|cx| link.poll(cx)).await.map_err(ConnectError::Strange)
}

/// The `message` of a `connect_error`.
fn reason(data: &[u8]) -> String {
    let data: Option<Value> = serde_json::from_slice(data).ok();
    match data.as_ref().and_then(|data| data.get("message")?.as_str()) {
        Some(message) => shown(message.as_bytes()),
        None => "it says no reason".to_owned(),
    }
}

/// The beginning of what somebody sent, for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    if text.is_empty() { "nothing".to_owned() } else { one_line(&text) }
}
