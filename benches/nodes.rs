//! What several nodes cost and bring: deliveries a second on one node and on three, and how long a message
//! takes to a user of the same node and of another one. Real servers, a real Redis and MongoDB:
//! `tests/real/with-real cargo bench --bench nodes`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that can't go on fails"
)]
#![expect(clippy::print_stdout, reason = "it prints what it has measured")]
#![expect(clippy::disallowed_methods, reason = "its clients live as long as it")]

#[path = "../tests/support/mongod.rs"]
mod mongod;
#[path = "../tests/support/redis.rs"]
mod redis_server;
#[path = "../tests/support/sio.rs"]
mod sio;
#[path = "../tests/support/web.rs"]
mod web;

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mongod::TestDatabase;
use redis_server::Redis;
use serde_json::{Value, json};
use sio::Client;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

/// Members of the group who listen, and those who speak.
const LISTENERS: usize = 120;
const SPEAKERS: usize = 6;

/// How long each measurement runs, and what is not counted before it.
#[derive(Clone, Copy)]
struct Times {
    run: Duration,
    warm_up: Duration,
}

impl Times {
    /// As a test it only shows that it works.
    fn find() -> Self {
        let is_test = !std::env::args().any(|argument| argument == "--bench");
        let [run, warm_up] = if is_test { [500, 300] } else { [6_000, 2_000] };
        let [run, warm_up] = [run, warm_up].map(Duration::from_millis);
        Self { run, warm_up }
    }
}

/// The time between two messages whose way is timed.
const PACE: Duration = Duration::from_millis(5);

struct Node {
    _process: Child,
    _folder: TempDir,
    addr: SocketAddr,
}

async fn node(database: &TestDatabase, redis: Option<&Redis>, number: usize) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_banter"));
    command
        .current_dir(folder.path())
        .envs([("PORT", "0"), ("AUTH_MODE", "open"), ("LOG_FORMAT", "text"), ("SPAM_REPEATS", "0")])
        .envs([("LIMIT_EXEMPT", "127.0.0.0/8"), ("MONGO_URL", &database.url)])
        .envs([("MONGODB_NAME", &*database.name), ("NODE_ID", &*format!("node-{number}"))])
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if let Some(redis) = redis {
        command.env("REDIS_URL", redis.url());
    }
    let mut process = command.spawn().unwrap();
    let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
    let addr = loop {
        let line = log.next_line().await.unwrap().expect("the server listens");
        if let Some((_, rest)) = line.split_once("listening on http://") {
            let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
            break rest[..end.unwrap_or(rest.len())].parse().unwrap();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    Node { _process: process, _folder: folder, addr }
}

async fn joined(node: &Node, user: &str, group: &str) -> Client {
    let mut client = Client::connect(node.addr, json!({"user_id": user})).await;
    let ack = client.emit_ack("join_group", json!(group)).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    client
}

async fn group(node: &Node, members: &[String]) -> String {
    let body = json!({"name": "All", "member_ids": members, "created_by": members[0]});
    let request = web::client().post(format!("http://{}/groups/", node.addr));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["_id"].as_str().unwrap().to_owned()
}

/// Deliveries a second: speakers send one message after the other, listeners count.
async fn deliveries(nodes: &[Node], times: Times) -> f64 {
    let users: Vec<_> = (0..LISTENERS + SPEAKERS).map(|n| format!("user{n}")).collect();
    let group = group(&nodes[0], &users).await;
    let (counted, mut clients) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for (n, user) in users[..LISTENERS].iter().enumerate() {
        let mut client = joined(&nodes[n % nodes.len()], user, &group).await;
        let counted = Arc::clone(&counted);
        clients.spawn(async move {
            while client.next_event_within("message", times.run * 2).await.is_some() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for (n, user) in users[LISTENERS..].iter().enumerate() {
        let mut client = joined(&nodes[n % nodes.len()], user, &group).await;
        let payload = json!({"to": group, "content": "x".repeat(100), "type": "group"});
        clients.spawn(async move {
            while client.emit_ack("send_message", payload.clone()).await["ok"] == json!(true) {}
        });
    }
    sleep(times.warm_up).await;
    let before = counted.load(Ordering::Relaxed);
    sleep(times.run).await;
    let rate = (counted.load(Ordering::Relaxed) - before) as f64 / times.run.as_secs_f64();
    clients.shutdown().await;
    rate
}

/// How long messages take from a user of one node to one of another, in milliseconds: the middle one, and
/// the longest but for one in a hundred.
async fn latency([from, to]: [&Node; 2], name: &str, times: Times) -> (f64, f64) {
    let (ann, bob) = (format!("ann-{name}"), format!("bob-{name}"));
    let mut sender = Client::connect(from.addr, json!({"user_id": ann})).await;
    let mut listener = Client::connect(to.addr, json!({"user_id": bob})).await;
    let started = Instant::now();
    let sending = tokio::spawn(async move {
        let mut pace = interval(PACE);
        while started.elapsed() < times.run {
            pace.tick().await;
            let now = started.elapsed().as_micros().to_string();
            let payload = json!({"to": bob, "content": now, "type": "direct"});
            sender.emit("send_message", payload).await;
        }
        sender
    });
    let mut taken = Vec::new();
    while let Some(message) = listener.next_event_within("message", Duration::from_secs(1)).await {
        let sent: u128 = message["content"].as_str().unwrap().parse().unwrap();
        taken.push((started.elapsed().as_micros() - sent) as f64 / 1e3);
    }
    sending.await.unwrap();
    taken.sort_by(f64::total_cmp);
    (taken[taken.len() / 2], taken[taken.len() * 99 / 100])
}

#[tokio::main]
async fn main() {
    let (redis, times) = (Redis::start(), Times::find());
    let mut rates = Vec::new();
    for count in [1, 3] {
        let database = TestDatabase::new();
        let mut nodes = Vec::new();
        for number in 0..count {
            nodes.push(node(&database, (count > 1).then_some(&redis), number).await);
        }
        sleep(times.warm_up).await;
        let rate = deliveries(&nodes, times).await;
        rates.push(rate);
        println!(
            "{count} node(s): {rate:.0} deliveries/s ({LISTENERS} listeners, {SPEAKERS} speakers)"
        );
    }
    println!(
        "3 nodes bring {:.2} times what one does, on the same processors",
        rates[1] / rates[0]
    );
    let database = TestDatabase::new();
    let nodes = [node(&database, Some(&redis), 0).await, node(&database, Some(&redis), 1).await];
    sleep(times.warm_up).await;
    let [one, two] = &nodes;
    let same = latency([one, one], "same", times).await;
    let other = latency([one, two], "other", times).await;
    println!("to a user of the same node: p50 {:.2} ms, p99 {:.2} ms", same.0, same.1);
    println!("to a user of another node:  p50 {:.2} ms, p99 {:.2} ms", other.0, other.1);
    println!("p50 is {:.2} times as long to another node", other.0 / same.0);
}
