//! MongoDB is killed while clients send.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::load::Load;
use crate::mongod::Mongod;
use crate::server::{Server, Store};
use crate::stored;

/// How long MongoDB is away.
const OUTAGE: Duration = Duration::from_secs(20);

/// The outage is looked at this many times: clients go on in each part of it.
const PARTS: u32 = 5;

#[derive(Debug, Deserialize)]
struct End {
    accepted: Vec<String>,
    refused: Vec<String>,
    received: Vec<String>,
}

async fn goes_on_for(load: &mut Load, time: Duration) {
    assert_eq!(load.goes_on_for(time, 1).await.refused, 0, "a message was refused");
}

/// How often each content is stored.
async fn stored(server: &Server) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in stored::messages(server).await {
        *counts.entry(row.content).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn clients_do_not_notice_that_mongodb_is_killed_and_all_is_stored_once() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let settings =
        [("MONGO_URL", url.as_str()), ("MONGODB_NAME", "chatapp"), ("BREAKER_OPEN", "2")];
    let mut server = Server::start_with(Store::Mongodb, &settings).await;
    let mut load = Load::start("load.mjs", &server, &[]);

    goes_on_for(&mut load, Duration::from_secs(2)).await;
    mongod.kill();
    for _ in 0..PARTS {
        goes_on_for(&mut load, OUTAGE / PARTS).await;
    }
    mongod.restart().await;
    goes_on_for(&mut load, Duration::from_secs(3)).await;
    let end: End = load.stop().await;
    server.drained().await;

    assert_eq!(end.refused, Vec::<String>::new());
    let mut accepted = end.accepted.clone();
    let mut received = end.received;
    accepted.sort();
    received.sort();
    assert_eq!(received, accepted, "what was accepted and what arrived differ");
    let mut stored = stored(&server).await;
    for content in &accepted {
        assert_eq!(stored.remove(content), Some(1), "{content} is not stored exactly once");
    }
    // What is left is the reader's one message to itself.
    assert_eq!(stored.into_values().collect::<Vec<usize>>(), [1]);
    server.stop().await;
}
