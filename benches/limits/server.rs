//! The least that a server can do: it answers what a client needs to connect and to join, and writes
//! one prebuilt WebSocket frame per message to every socket. No rules, no journal, no heartbeats, no
//! limits.
//!
//! It is the floor under a measurement, made for one core: one thread, no locks.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Sink};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Frames that go out with one write; the system takes up to 1,024.
const MAX_SLICES: usize = 64;
/// Heartbeats stay away: an hour.
const OPEN: &str =
    "\"upgrades\":[],\"pingInterval\":3600000,\"pingTimeout\":3600000,\"maxPayload\":1000000}";

/// How frames leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Writes {
    /// One write for each frame of each socket.
    Each,
    /// Whatever waits for a socket in one write.
    Coalesced,
}

/// A socket's way out.
struct Outlet {
    write: OwnedWriteHalf,
    waiting: RefCell<VecDeque<Bytes>>,
    more: Notify,
}

impl Outlet {
    fn send(&self, frame: &Bytes, writes: Writes) {
        let mut waiting = self.waiting.borrow_mut();
        let mut rest = frame.clone();
        if writes == Writes::Each && waiting.is_empty() {
            // What the socket does not take now, and an error, are the writer's.
            let written = self.write.try_write(&rest).unwrap_or(0);
            rest.advance(written);
            if rest.is_empty() {
                return;
            }
        }
        waiting.push_back(rest);
        if waiting.len() == 1 {
            self.more.notify_one();
        }
    }

    /// Writes what waits, until the socket ends.
    async fn drain(&self) -> io::Result<()> {
        loop {
            self.more.notified().await;
            while !self.waiting.borrow().is_empty() {
                let written = {
                    let waiting = self.waiting.borrow();
                    let slices: Vec<_> =
                        waiting.iter().take(MAX_SLICES).map(|frame| IoSlice::new(frame)).collect();
                    self.write.try_write_vectored(&slices)
                };
                match written {
                    Ok(bytes) => self.take(bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.write.writable().await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn take(&self, mut bytes: usize) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.front_mut() {
            let taken = bytes.min(first.len());
            first.advance(taken);
            bytes -= taken;
            if !first.is_empty() {
                return;
            }
            waiting.pop_front();
        }
    }
}

/// See the module.
struct Server {
    writes: Writes,
    rooms: RefCell<HashMap<String, Vec<Rc<Outlet>>>>,
    minted: Cell<u64>,
}

#[derive(Deserialize)]
struct Draft<'a> {
    to: &'a str,
    #[serde(borrow)]
    content: &'a RawValue,
    r#type: &'a str,
}

/// Listens on this port of the loopback interface, says so, and serves until the process ends.
pub(crate) fn serve(port: u16, writes: Writes) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = listen(port)?;
        say(&format!("listening on http://{}", listener.local_addr()?))?;
        accept(listener, writes).await
    })
}

/// For whoever waits for it at the other end of a pipe.
fn say(line: &str) -> io::Result<()> {
    use std::io::Write;
    writeln!(io::stdout(), "{line}")
}

pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(4_096)
}

/// Serves for ever. Runs in a `LocalSet`.
pub(crate) async fn accept(listener: TcpListener, writes: Writes) -> io::Result<()> {
    let server = Rc::new(Server { writes, rooms: RefCell::default(), minted: Cell::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = Rc::clone(&server);
        // A connection that breaks off is the client's affair.
        spawn_local(async move { server.connection(stream).await.ok() });
    }
}

impl Server {
    /// An id of the form that Banter's have.
    fn mint(&self) -> String {
        self.minted.set(self.minted.get() + 1);
        format!("{:024x}", self.minted.get())
    }

    async fn connection(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let mut start = [0; 4];
        while stream.peek(&mut start).await? < start.len() {
            stream.readable().await?;
        }
        if &start == b"GET " { self.socket(stream).await } else { self.request(&mut stream).await }
    }

    /// `POST /groups/`: everybody is a member of everything here, so that only the id matters.
    async fn request(&self, stream: &mut TcpStream) -> anyhow::Result<()> {
        let mut read = Vec::new();
        let end = loop {
            anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "no request");
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
        while read.len() < end + length {
            anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "a cut request");
        }
        let mut group: Value = serde_json::from_slice(&read[end..]).unwrap_or_default();
        if let Value::Object(group) = &mut group {
            group.insert("_id".to_owned(), self.mint().into());
        }
        let body = group.to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        Ok(())
    }

    async fn socket(&self, stream: TcpStream) -> anyhow::Result<()> {
        let config = WebSocketConfig::default().read_buffer_size(4_096);
        let shaken = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await?;
        let (read, write) = shaken.into_inner().into_split();
        let outlet = Rc::new(Outlet { write, waiting: RefCell::default(), more: Notify::new() });
        let writer = {
            let outlet = Rc::clone(&outlet);
            spawn_local(async move { outlet.drain().await.ok() })
        };
        let heard = self.listen(read, config, &outlet).await;
        writer.abort();
        for room in self.rooms.borrow_mut().values_mut() {
            room.retain(|member| !Rc::ptr_eq(member, &outlet));
        }
        heard
    }

    async fn listen(
        &self,
        read: OwnedReadHalf,
        config: WebSocketConfig,
        outlet: &Rc<Outlet>,
    ) -> anyhow::Result<()> {
        let io: tokio::io::Join<OwnedReadHalf, Sink> = tokio::io::join(read, tokio::io::sink());
        let mut frames = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        outlet.send(&frame(&format!("0{{\"sid\":\"{}\",{OPEN}", self.mint())), Writes::Each);
        let mut user = String::new();
        while let Some(message) = frames.next().await {
            let message = message?;
            if message.is_close() {
                return Ok(());
            }
            let text = message.to_text()?;
            if let Some(auth) = text.strip_prefix("40") {
                let auth: Value = serde_json::from_str(auth)?;
                user = auth["user_id"].as_str().unwrap_or_default().to_owned();
                self.join(format!("user_{user}"), outlet);
                outlet.send(&frame(&format!("40{{\"sid\":\"{}\"}}", self.mint())), Writes::Each);
            } else if let Some(event) = text.strip_prefix("42") {
                self.event(event, &user, outlet)?;
            }
        }
        Ok(())
    }

    fn join(&self, room: String, outlet: &Rc<Outlet>) {
        self.rooms.borrow_mut().entry(room).or_default().push(Rc::clone(outlet));
    }

    fn event(&self, event: &str, user: &str, outlet: &Rc<Outlet>) -> anyhow::Result<()> {
        let (ack, event) = event.split_at(event.find('[').unwrap_or(event.len()));
        let mut answer = "[{\"ok\":true}]".to_owned();
        if event.starts_with("[\"send_message\"") {
            let (_, draft): (&str, Draft<'_>) = serde_json::from_str(event)?;
            let message = message(&self.mint(), user, &draft);
            self.tell(&frame(&format!("42[\"message\",{message}]")), user, &draft);
            if !ack.is_empty() {
                answer = format!("[{{\"ok\":true,\"message\":{message}}}]");
            }
        } else if event.starts_with("[\"join_group\"") {
            let (_, group): (&str, &str) = serde_json::from_str(event)?;
            self.join(format!("group_{group}"), outlet);
        }
        if !ack.is_empty() {
            outlet.send(&frame(&format!("43{ack}{answer}")), self.writes);
        }
        Ok(())
    }

    fn tell(&self, frame: &Bytes, user: &str, draft: &Draft<'_>) {
        let rooms = self.rooms.borrow();
        let tell = |room: &str| {
            for outlet in rooms.get(room).into_iter().flatten() {
                outlet.send(frame, self.writes);
            }
        };
        if draft.r#type == "group" {
            tell(&format!("group_{}", draft.to));
        } else {
            tell(&format!("user_{}", draft.to));
            if draft.to != user {
                tell(&format!("user_{user}"));
            }
        }
    }
}

/// The JSON of a `message`, of the same size as Banter's for the same payload.
fn message(id: &str, user: &str, draft: &Draft<'_>) -> String {
    let (content, kind, to) = (draft.content.get(), draft.r#type, draft.to);
    let (read_by, target) = match kind {
        "group" => (format!("\"{user}\""), "group_id"),
        _ => (String::new(), "to_user_id"),
    };
    format!(
        "{{\"_id\":\"{id}\",\"id\":\"{id}\",\"content\":{content},\"type\":\"{kind}\",\
         \"content_type\":\"text\",\"media_url\":null,\"media_metadata\":null,\
         \"from_user_id\":\"{user}\",\"timestamp\":\"2026-01-31T12:00:00.123000+00:00\",\
         \"status\":\"sent\",\"read_by\":[{read_by}],\"deleted_for\":[],\"{target}\":\"{to}\"}}"
    )
}

/// A text frame of a server (RFC 6455, 5.2).
fn frame(text: &str) -> Bytes {
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..65_536 => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame.into()
}

/// Bytes of the `message` that is told for such a send; for comparing them with Banter's.
pub(crate) fn message_bytes(user: &str, to: &str, kind: &str, content: &str) -> usize {
    let content = serde_json::value::to_raw_value(content).unwrap_or_default();
    message(&"0".repeat(24), user, &Draft { to, content: &content, r#type: kind }).len()
}
