//! A server that speaks just enough Socket.IO for `banter load`, and delivers as badly as a test
//! wants it to.
#![expect(clippy::disallowed_methods, reason = "a connection's task lives as long as the test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Packets that wait for one client.
const QUEUE: usize = 65_536;
/// What says in a mark that a message is in no books.
const PROBE: u64 = u32::MAX as u64;

/// One delivery that is about to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Places of users, as their ids end.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) number: u64,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Once,
    Never,
    Twice,
    /// Behind the next one to the same receiver.
    Late,
    /// To this user instead.
    To(u64),
    /// Never, and the receiver is told to sync.
    Told,
    /// To nobody at all, and the sender is told: by its ack, or else by an error.
    Refused,
}

type Rule = fn(Delivery) -> Fate;

#[derive(Default)]
struct Users {
    queues: HashMap<u64, mpsc::Sender<String>>,
    /// What is late, by its receiver.
    late: HashMap<u64, String>,
}

impl Users {
    fn tell(&self, user: u64, packet: &str) {
        if let Some(queue) = self.queues.get(&user) {
            queue.try_send(packet.to_owned()).expect("room");
        }
    }

    fn deliver(&mut self, delivery: Delivery, packet: &str, fate: Fate) {
        let to = delivery.to;
        match fate {
            Fate::Once => self.tell(to, packet),
            Fate::Twice => [0, 1].into_iter().for_each(|_| self.tell(to, packet)),
            Fate::To(other) => self.tell(other, packet),
            Fate::Told => self.tell(to, "42[\"sync_required\",{}]"),
            Fate::Late => return drop(self.late.insert(to, packet.to_owned())),
            Fate::Never | Fate::Refused => {}
        }
        if let Some(late) = self.late.remove(&to) {
            self.tell(to, &late);
        }
    }
}

/// Serves until the test ends. A group is everybody.
pub(crate) async fn serve(rule: Rule) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let users = Arc::<Mutex<Users>>::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let users = Arc::clone(&users);
            tokio::spawn(async move {
                let mut start = [0; 4];
                stream.peek(&mut start).await.expect("a request");
                match &start {
                    b"POST" => answer(stream, &json!({"_id": "everybody"})).await,
                    _ => connection(stream, users, rule).await,
                }
            });
        }
    });
    addr
}

async fn answer(mut stream: TcpStream, body: &Value) {
    let mut request = vec![0; 65_536];
    let _ = stream.read(&mut request).await;
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn connection(stream: TcpStream, users: Arc<Mutex<Users>>, rule: Rule) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let (queue, mut todo) = mpsc::channel(QUEUE);
    let mut me = None;
    queue.try_send("0{\"sid\":\"x\"}".to_owned()).expect("room");
    loop {
        tokio::select! {
            packet = todo.recv() => {
                let packet = packet.expect("the queue is ours");
                if socket.send(Message::text(packet)).await.is_err() {
                    return;
                }
            }
            frame = socket.next() => {
                let Some(Ok(frame)) = frame else { return };
                let text = frame.into_text().unwrap_or_default();
                if let Some(auth) = text.strip_prefix("40") {
                    let auth: Value = serde_json::from_str(auth).expect("JSON");
                    me = last_number(auth["user_id"].as_str().expect("an id"), '-');
                    users.lock().unwrap().queues.insert(me.expect("a place"), queue.clone());
                    queue.try_send("40{\"sid\":\"x\"}".to_owned()).expect("room");
                } else if let (Some(event), Some(from)) = (text.strip_prefix("42"), me) {
                    take(event, from, &users, rule);
                }
            }
        }
    }
}

fn last_number(text: &str, separator: char) -> Option<u64> {
    text.rsplit(separator).next()?.parse().ok()
}

/// An event of a client: `<ack>["name",payload]`.
fn take(event: &str, from: u64, users: &Mutex<Users>, rule: Rule) {
    let (ack, event) = event.split_at(event.find('[').expect("an event"));
    let event: Value = serde_json::from_str(event).expect("JSON");
    if event[0] != "send_message" {
        return;
    }
    let payload = &event[1];
    let mark: Vec<&str> = payload["content"].as_str().expect("text").split(':').collect();
    let (stream, number): (u64, u64) = (mark[2].parse().unwrap(), mark[3].parse().unwrap());
    let mut users = users.lock().unwrap();
    let audience: Vec<u64> = match payload["type"].as_str() {
        Some("group") => users.queues.keys().copied().collect(),
        _ => vec![from, last_number(payload["to"].as_str().unwrap(), '-').unwrap()],
    };
    let packet = format!("42{}", json!(["message", {"id": "m", "content": payload["content"]}]));
    let mut is_refused = false;
    for to in audience {
        let delivery = Delivery { from, to, number };
        let fate = if stream == PROBE { Fate::Once } else { rule(delivery) };
        is_refused |= fate == Fate::Refused;
        users.deliver(delivery, &packet, fate);
    }
    match (is_refused, ack) {
        (true, "") => users.tell(from, "42[\"error\",{\"message\":\"no\"}]"),
        (true, ack) => {
            users.tell(from, "42[\"error\",{\"message\":\"no\"}]");
            users.tell(from, &format!("43{ack}[{{\"ok\":false,\"error\":{{\"code\":\"no\"}}}}]"));
        }
        (false, "") => {}
        (false, ack) => users.tell(from, &format!("43{ack}[]")),
    }
}
