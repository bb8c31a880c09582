//! A client that stops reading: it costs itself its events, and nobody else anything.

use std::time::Duration;

use serde_json::json;

use crate::app::{TestApp, sent, to_group};

/// More than the kernel, the library and the outlet hold together for one client, in 48 kB pieces.
const FLOOD: usize = 1_800;
const PIECE: usize = 48_000;

/// How long the end of a connection may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_dropped_and_the_others_miss_nothing() {
    let app = TestApp::with(&[("PING_INTERVAL", "1000"), ("PING_TIMEOUT", "1000")]).await;
    let group = app.group("ann", &["ann", "bob", "eve"]).await;
    let (mut ann, mut bob, mut eve) =
        (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    for member in [&mut bob, &mut eve] {
        assert_eq!(member.emit_ack("join_group", json!(group)).await, json!({"ok": true}));
    }
    eve.stop_reading().await;
    let filler = "x".repeat(PIECE);
    for n in 0..FLOOD {
        sent(&mut ann, to_group(&group, &format!("{n} {filler}"))).await;
        let heard = bob.next_event("message").await;
        let number = heard["content"].as_str().unwrap().split(' ').next().unwrap().to_owned();
        assert_eq!(number, n.to_string());
    }
    assert!(app.metric("banter_dropped_packets_total").await > 0.0);
    let gone = async {
        while app.metric("banter_connections").await != 2.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the connection of who reads nothing ends");
}
