//! History that nodes share through Redis: read there, and never as it was before what was acknowledged.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Document, doc};
use redis::aio::MultiplexedConnection;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_user};
use crate::mongod::Mongod;
use crate::nodes::{Nodes, until};
use crate::redis_server::Redis;
use crate::sio::Client;

const FROM_REDIS: &str = "banter_history_pages_total{source=\"redis\"}";
const FROM_STORE: &str = "banter_history_pages_total{source=\"store\"}";

/// Conversations that are changed at the same time, and how many pages from Redis must have been seen
/// meanwhile.
const CONVERSATIONS: usize = 12;
const PAGES: f64 = 25.0;

/// Waits until what one node reads is there for the next.
async fn ready(nodes: &Nodes) {
    let (turn, before) = (Cell::new(0), nodes.nodes[1].metric(FROM_REDIS).await);
    until(async || {
        turn.set(turn.get() + 1);
        let other = format!("nobody-{before}-{}", turn.get());
        nodes.nodes[0].direct("nobody", &other).await;
        nodes.nodes[1].direct("nobody", &other).await;
        nodes.nodes[1].metric(FROM_REDIS).await > before
    })
    .await;
}

async fn redis(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// What is kept beside the rows of a conversation: the names of the fields.
async fn state(server: &Redis, pair: &str) -> Vec<String> {
    let state = format!("banter:history:{{chat_history:{pair}}}");
    redis::cmd("HKEYS").arg(state).query_async(&mut redis(server).await).await.unwrap()
}

async fn rows_in(server: &Redis, pair: &str) -> usize {
    let rows = format!("chat_history:{pair}");
    redis::cmd("ZCARD").arg(rows).query_async(&mut redis(server).await).await.unwrap()
}

async fn fence(database: &mongodb::Database) -> Document {
    let fences = database.collection::<Document>("history_fence");
    fences.find_one(doc! {}).await.unwrap().expect("there is a fence")
}

/// Opens a fence before its time.
async fn open_fence(database: &mongodb::Database) {
    let open = doc! {"$set": {"closed_until": bson::DateTime::MIN}};
    database.collection::<Document>("history_fence").update_one(doc! {}, open).await.unwrap();
}

async fn done(client: &mut Client, event: &str, payload: Value) {
    let ack = client.emit_ack(event, payload).await;
    assert_eq!(ack["ok"], json!(true), "{event}: {ack}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_has_read_the_next_one_reads_in_redis() {
    let nodes = Nodes::start(2).await;
    ready(&nodes).await;
    let ann = tokio::sync::Mutex::new(nodes.user(0, "ann").await);
    let turn = Cell::new(0);
    until(async || {
        turn.set(turn.get() + 1);
        let other = format!("bob:{}", turn.get());
        for n in 0..20 {
            sent(&mut *ann.lock().await, to_user(&other, &format!("n{n}"))).await;
        }
        nodes.nodes[0].flushed().await;
        let first = nodes.nodes[0].direct("ann", &other).await;
        let store = nodes.nodes[1].metric(FROM_STORE).await;
        let cached = nodes.nodes[1].metric(FROM_REDIS).await;
        assert_eq!(nodes.nodes[1].direct("ann", &other).await, first);
        assert_eq!(first.len(), 20);
        let asked = nodes.nodes[1].metric(FROM_STORE).await - store;
        let spared = nodes.nodes[1].metric(FROM_REDIS).await - cached;
        assert_eq!(asked + spared, 1.0);
        let pair = format!("ann:bob%3A{}", turn.get());
        spared == 1.0 && rows_in(&nodes.redis, &pair).await == 20
    })
    .await;
}

/// Waits until a socket is told of a change to a message.
async fn heard(client: &mut Client, id: &str, field: &str, value: &Value) {
    loop {
        let update = client.next_event("message_update").await;
        if update["message_id"] == json!(id) && update[field] == *value {
            return;
        }
    }
}

/// One conversation, whose two users are on two nodes, and what it must look like.
struct Pair<'a> {
    nodes: &'a Nodes,
    names: (String, String),
    ann: Client,
    bob: Client,
    /// Newest first: id, content, reactions, who has read it, whether it is pinned.
    rows: Vec<(String, String, usize, bool, bool)>,
    round: usize,
}

impl<'a> Pair<'a> {
    async fn new(nodes: &'a Nodes, number: usize) -> Self {
        let names = (format!("ann-{number}"), format!("bob-{number}"));
        let (ann, bob) = (nodes.user(0, &names.0).await, nodes.user(1, &names.1).await);
        Self { nodes, names, ann, bob, rows: Vec::new(), round: 0 }
    }

    /// One change after the other, each looked at on the other node as soon as that has told of it, and
    /// on both once it is stored.
    async fn change_all(&mut self) {
        self.round += 1;
        let text = format!("first of {}", self.round);
        let id = sent(&mut self.ann, to_user(&self.names.1, &text)).await;
        assert_eq!(self.bob.next_event("message").await["id"], json!(id));
        self.rows.insert(0, (id.clone(), text, 0, false, false));
        self.look(&[1]).await;
        // A change that comes to the store before its message waits for it there, unseen.
        self.stored().await;

        done(&mut self.bob, "add_reaction", json!({"message_id": id, "emoji": "👍"})).await;
        heard(&mut self.ann, &id, "type", &json!("reaction")).await;
        self.rows[0].2 = 1;
        self.look(&[0]).await;
        self.stored().await;

        let text = format!("second of {}", self.round);
        done(&mut self.ann, "edit_message", json!({"message_id": id, "content": text})).await;
        heard(&mut self.bob, &id, "new_content", &json!(text)).await;
        self.rows[0].1 = text;
        self.look(&[1]).await;
        self.stored().await;

        done(&mut self.bob, "mark_read", json!({"message_id": id})).await;
        heard(&mut self.ann, &id, "type", &json!("read_receipt")).await;
        self.rows[0].3 = true;
        self.look(&[0]).await;

        done(&mut self.ann, "pin_message", json!({"message_id": id})).await;
        heard(&mut self.bob, &id, "pinned", &json!(true)).await;
        self.rows[0].4 = true;
        self.look(&[1]).await;
        self.stored().await;

        if self.rows.len() > 3 {
            let (oldest, ..) = self.rows.pop().unwrap();
            done(&mut self.ann, "delete_message", json!({"message_id": oldest})).await;
            assert_eq!(self.bob.next_event("message_deleted").await["message_id"], json!(oldest));
            self.look(&[1]).await;
            self.stored().await;
        }
    }

    async fn stored(&self) {
        self.nodes.nodes[0].flushed().await;
        self.nodes.nodes[1].flushed().await;
        self.look(&[0, 1]).await;
    }

    async fn look(&self, on: &[usize]) {
        for &node in on {
            let rows = self.nodes.nodes[node].direct(&self.names.0, &self.names.1).await;
            let seen: Vec<_> = rows
                .iter()
                .map(|row| {
                    let id = row["id"].as_str().unwrap().to_owned();
                    let text = row["content"].as_str().unwrap().to_owned();
                    let reactions = row["reactions"].as_object().map_or(0, |all| all.len());
                    let is_read = row["read_by"] == json!([self.names.1]);
                    (id, text, reactions, is_read, row["pinned"].is_object())
                })
                .collect();
            assert_eq!(seen, self.rows, "on node {node}, in round {}: {rows:?}", self.round);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_as_it_was_before_what_was_acknowledged() {
    let nodes = Nodes::start_with(2, &[("FLUSH_INTERVAL", "0.02")]).await;
    ready(&nodes).await;
    let mut pairs = Vec::new();
    for number in 0..CONVERSATIONS {
        pairs.push(Pair::new(&nodes, number).await);
    }
    let (is_over, nodes) = (AtomicBool::new(false), &nodes);
    let is_over = &is_over;
    // Whoever reads fills, at any moment.
    let readers = (0..2 * CONVERSATIONS).map(|reader| async move {
        let (ann, bob) = (format!("ann-{}", reader / 2), format!("bob-{}", reader / 2));
        while !is_over.load(Ordering::Relaxed) {
            nodes.nodes[reader % 2].direct(&ann, &bob).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let changes = pairs.iter_mut().map(|pair| async move {
        while !is_over.load(Ordering::Relaxed) {
            pair.change_all().await;
        }
    });
    let ends = async {
        let before = nodes.nodes[1].metric(FROM_REDIS).await;
        until(async || nodes.nodes[1].metric(FROM_REDIS).await >= before + PAGES).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(
        futures_util::future::join_all(readers),
        futures_util::future::join_all(changes),
        ends
    );
}

/// A message that one node has read into Redis.
async fn shared_message(nodes: &Nodes, ann: &mut Client, other: &str) -> String {
    let id = sent(ann, to_user(other, "first")).await;
    nodes.nodes[0].flushed().await;
    until(async || {
        nodes.nodes[0].direct("ann", other).await;
        rows_in(&nodes.redis, &format!("ann:{other}")).await == 1
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_die_or_freeze_while_something_is_changed() {
    for is_frozen in [true, false] {
        let mut nodes = Nodes::start_with(2, &[("FLUSH_INTERVAL", "0.02")]).await;
        let database = nodes.nodes[0].mongodb().await.unwrap();
        let mut ann = nodes.user(0, "ann").await;
        ready(&nodes).await;
        let id = shared_message(&nodes, &mut ann, "bob").await;
        let before = fence(&database).await;
        if is_frozen {
            nodes.redis.freeze()
        } else {
            nodes.redis.kill()
        }
        let edit = json!({"message_id": id, "content": "second"});
        done(&mut ann, "edit_message", edit).await;
        // What can't be said to Redis is said in the store.
        nodes.nodes[0].flushed().await;
        assert_ne!(fence(&database).await.get("generation"), before.get("generation"));
        if is_frozen {
            nodes.redis.thaw()
        } else {
            nodes.redis.restart()
        }
        let rows = nodes.nodes[1].direct("bob", "ann").await;
        assert_eq!(rows[0]["content"], json!("second"), "frozen: {is_frozen}");
        nodes.hear_each_other().await;
        open_fence(&database).await;
        ready(&nodes).await;
        let rows = nodes.nodes[1].direct("bob", "ann").await;
        assert_eq!(rows[0]["content"], json!("second"), "frozen: {is_frozen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_redis_alone_keeps_the_others_from_what_was_before() {
    let nodes = Nodes::start_with(2, &[("FLUSH_INTERVAL", "0.02")]).await;
    ready(&nodes).await;
    let mut elsewhere = Redis::start();
    let url = elsewhere.url();
    let alone = nodes.nodes[0].beside(&[("NODE_ID", "node-9"), ("REDIS_URL", &url)]).await;
    elsewhere.kill();
    let mut ann = nodes.user(0, "ann").await;
    let id = shared_message(&nodes, &mut ann, "bob").await;
    let mut there = alone.user("ann").await;
    done(&mut there, "edit_message", json!({"message_id": id, "content": "second"})).await;
    alone.flushed().await;
    // Node 1 has read nothing of it before, and would have found the page in Redis.
    assert_eq!(rows_in(&nodes.redis, "ann:bob").await, 1);
    let rows = nodes.nodes[1].direct("bob", "ann").await;
    assert_eq!(rows[0]["content"], json!("second"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_in_no_page_that_nodes_share() {
    let nodes = Nodes::start_with(2, &[("FLUSH_INTERVAL", "0.02")]).await;
    ready(&nodes).await;
    let mut ann = nodes.user(0, "ann").await;
    let group = nodes.nodes[0].group("bob", &["ann", "bob"]).await;
    sent(&mut ann, json!({"to": group, "content": "x", "type": "group"})).await;
    nodes.nodes[0].flushed().await;
    let key = format!("group_history:{group}");
    let kept = async || {
        let ask = redis::cmd("ZCARD").arg(&key).to_owned();
        ask.query_async::<usize>(&mut redis(&nodes.redis).await).await.unwrap()
    };
    until(async || {
        nodes.nodes[0].of_group("bob", &group).await;
        kept().await >= 1
    })
    .await;
    ann.disconnect().await;
    let (status, answer) = nodes.nodes[0].request(Method::DELETE, "/users/ann").await;
    assert_eq!((status, &answer["erased"]), (StatusCode::OK, &json!(true)), "{answer}");
    assert_eq!(kept().await, 0, "nor does Redis name them");
    let rows = nodes.nodes[1].of_group("bob", &group).await;
    assert!(!rows.is_empty() && !json!(rows).to_string().contains("\"ann\""), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_write_is_not_confirmed_nobody_uses_what_was_before_it() {
    let mongod = Mongod::start().await;
    let server = Redis::start();
    let (url, redis_url) = (mongod.url(), server.url());
    let settings = [
        ("MONGO_URL", &*url),
        ("REDIS_URL", &*redis_url),
        ("FLUSH_INTERVAL", "0.02"),
        ("NODE_ID", "node-0"),
    ];
    let first = TestApp::with(&settings).await;
    let second = first.beside(&[("NODE_ID", "node-1")]).await;
    let nodes = Nodes { redis: server, nodes: vec![first, second] };
    nodes.hear_each_other().await;
    ready(&nodes).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    let first = shared_message(&nodes, &mut ann, "bob").await;
    mongod.freeze();
    let second = sent(&mut ann, to_user("bob", "second")).await;
    // The first one is told, too.
    bob.next_event("message").await;
    assert_eq!(bob.next_event("message").await["id"], json!(second));
    until(async || rows_in(&nodes.redis, "ann:bob").await == 0).await;
    let marks = state(&nodes.redis, "ann:bob").await;
    assert!(matches!(&*marks, [mark] if mark.starts_with("m:")), "{marks:?}");
    mongod.thaw();
    nodes.nodes[0].flushed().await;
    let rows = nodes.nodes[1].direct("bob", "ann").await;
    assert_eq!((rows.len(), &rows[0]["id"], &rows[1]["id"]), (2, &json!(second), &json!(first)));
}
