//! MongoDB is killed while clients send.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Client;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::mongod::Mongod;
use crate::server::{Server, Store};
use crate::suite::node_program;

const DATABASE: &str = "chatapp";

/// How long MongoDB is away.
const OUTAGE: Duration = Duration::from_secs(20);

/// The outage is looked at this many times: clients go on in each part of it.
const PARTS: u32 = 5;

/// How long to wait for what must come; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Counts { accepted: usize, refused: usize, received: usize },
    End { end: End },
}

#[derive(Debug, Deserialize)]
struct End {
    accepted: Vec<String>,
    refused: Vec<String>,
    received: Vec<String>,
}

struct Load {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let mut child = node_program("load.mjs")
            .env("BANTER_URL", server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> Line {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("the load hangs").unwrap().expect("the load has crashed");
        serde_json::from_str(&line).unwrap()
    }

    /// Watches for a while, and then until more messages were accepted and had arrived.
    async fn goes_on_for(&mut self, time: Duration) {
        let start = tokio::time::Instant::now();
        let mut first = None;
        loop {
            let Line::Counts { accepted, refused, received } = self.line().await else {
                panic!("the load ended by itself");
            };
            assert_eq!(refused, 0, "a message was refused");
            let (had_accepted, had_received) = *first.get_or_insert((accepted, received));
            if start.elapsed() >= time && accepted > had_accepted && received > had_received {
                return;
            }
        }
    }

    async fn stop(mut self) -> End {
        drop(self.child.stdin.take());
        loop {
            if let Line::End { end } = self.line().await {
                return end;
            }
        }
    }
}

async fn wait_until_drained(server: &Server) {
    let url = format!("{}/health/message-buffer", server.url());
    let drained = async {
        loop {
            let health: serde_json::Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
            if health["stats"]["current_buffer_size"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drained)
        .await
        .unwrap_or_else(|_| panic!("the buffer does not drain; it said:\n{}", server.log_tail()));
}

/// How often each content is stored, as the database itself says.
async fn stored(url: &str) -> BTreeMap<String, usize> {
    let client = Client::with_uri_str(url).await.unwrap();
    let messages = client.database(DATABASE).collection::<Document>("messages");
    let mut rows = messages.find(doc! {}).await.unwrap();
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.try_next().await.unwrap() {
        *counts.entry(row.get_str("content").unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn clients_do_not_notice_that_mongodb_is_killed_and_all_is_stored_once() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let settings = [("MONGO_URL", url.as_str()), ("MONGODB_NAME", DATABASE), ("BREAKER_OPEN", "2")];
    let mut server = Server::start_with(Store::Mongodb, &settings).await;
    let mut load = Load::start(&server);

    load.goes_on_for(Duration::from_secs(2)).await;
    mongod.kill();
    for _ in 0..PARTS {
        load.goes_on_for(OUTAGE / PARTS).await;
    }
    mongod.restart().await;
    load.goes_on_for(Duration::from_secs(3)).await;
    let end = load.stop().await;
    wait_until_drained(&server).await;

    assert_eq!(end.refused, Vec::<String>::new());
    let mut accepted = end.accepted.clone();
    let mut received = end.received;
    accepted.sort();
    received.sort();
    assert_eq!(received, accepted, "what was accepted and what arrived differ");
    let mut stored = stored(&url).await;
    for content in &accepted {
        assert_eq!(stored.remove(content), Some(1), "{content} is not stored exactly once");
    }
    // What is left is the reader's one message to itself.
    assert_eq!(stored.into_values().collect::<Vec<usize>>(), [1]);
    server.stop().await;
}
