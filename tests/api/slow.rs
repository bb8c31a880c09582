//! A client that stops reading: it costs itself its events, and nobody else anything.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group, to_user};

/// Messages of [`PIECE`] bytes: more than the kernel, the library and the outlet hold together for
/// one client.
const FLOOD: usize = 6_000;
const PIECE: usize = 16_000;
const BATCH: usize = 100;

/// How long the end of a connection may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_dropped_and_the_others_miss_nothing() {
    // It is not the heartbeat that notices: the next one is an hour away.
    let app = TestApp::with(&[("PING_INTERVAL", "3600000")]).await;
    let group = app.group("ann", &["ann", "bob", "eve"]).await;
    let (mut ann, mut bob, mut eve) =
        (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    for member in [&mut bob, &mut eve] {
        assert_eq!(member.emit_ack("join_group", json!(group)).await, json!({"ok": true}));
    }
    eve.stop_reading().await;
    let filler = "x".repeat(PIECE);
    let mut sent = 0;
    // Until something is lost to who reads nothing; on a machine so slow that ten seconds pass
    // before that, their connection is cut first.
    while app.metric("banter_dropped_packets_total").await == 0.0
        && app.metric("banter_connections").await == 3.0
    {
        assert!(sent < FLOOD, "who reads nothing lost nothing, and stays");
        for n in sent..sent + BATCH {
            ann.emit("send_message", to_group(&group, &format!("{n} {filler}"))).await;
        }
        for n in sent..sent + BATCH {
            let heard = bob.next_event("message").await;
            let number = heard["content"].as_str().unwrap().split(' ').next().unwrap().to_owned();
            assert_eq!(number, n.to_string());
        }
        sent += BATCH;
    }
    let gone = async {
        while app.metric("banter_connections").await != 2.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the connection of who reads nothing ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_late_hears_everything_in_order() {
    // Together more than the kernel holds for one client, and less than the outlet.
    const MESSAGES: usize = 1_700;
    const MORE: usize = 150;
    let filler = "x".repeat(8_000);
    let app = TestApp::on_sqlite().await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    bob.read_slowly().await;
    for n in 0..MESSAGES + MORE {
        let message = to_user("bob", &format!("{n} {filler}"));
        // Many at once, far faster than they are read.
        match n % 250 {
            0 => drop(sent(&mut ann, message).await),
            _ => ann.emit("send_message", message).await,
        }
        if n == MESSAGES {
            // What is of the moment does not wait behind all that.
            let here = json!({"to": "bob", "type": "direct"});
            ann.emit_ack("typing_start", here).await;
            let dropped = async {
                while app.metric("banter_dropped_ephemeral_packets_total").await == 0.0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, dropped).await.expect("it is let go");
            bob.read_again().await;
        }
    }
    for n in 0..MESSAGES + MORE {
        let message = bob.next_event("message").await;
        let number = message["content"].as_str().unwrap().split(' ').next().unwrap().to_owned();
        assert_eq!(number, n.to_string());
    }
    assert_eq!(app.metric("banter_dropped_packets_total").await, 0.0);
    assert_eq!(bob.events_so_far("typing").await, Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_on_after_a_loss_is_told_to_sync_and_then_has_it_all() {
    let app = TestApp::with(&[("PING_INTERVAL", "3600000")]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let cursor = bob.emit_ack("sync", json!({})).await["cursor"].as_str().unwrap().to_owned();
    // Whoever reads nothing at all is disconnected after ten seconds.
    bob.read_slowly().await;
    let filler = "x".repeat(PIECE);
    let mut sent_ids = Vec::new();
    while app.metric("banter_dropped_packets_total").await == 0.0 {
        assert!(sent_ids.len() < FLOOD, "who reads slowly lost nothing");
        for _ in 0..BATCH {
            ann.emit("send_message", to_user("bob", &filler)).await;
        }
        for _ in 0..BATCH {
            sent_ids.push(ann.next_event("message").await["id"].clone());
        }
    }
    bob.read_again().await;
    bob.next_event_within("sync_required", PATIENCE).await.expect("it is told to ask");
    let (mut told, mut cursor, mut more) = (Vec::<Value>::new(), cursor, true);
    while more {
        let page = bob.emit_ack("sync", json!({"cursor": cursor, "limit": 200})).await;
        if page["complete"] == json!(false) {
            // The store is behind with all this; once it is not, there is a call to ask again.
            let called = bob.next_event_within("sync_required", PATIENCE).await;
            called.expect("it is told to ask again");
            continue;
        }
        let changes = page["changes"].as_array().expect("changes");
        told.extend(changes.iter().map(|change| change["message"]["id"].clone()));
        cursor = page["cursor"].as_str().expect("a cursor").to_owned();
        more = page["more"] == json!(true);
    }
    assert_eq!(told, sent_ids);
    // And what comes now is heard again.
    let last = sent(&mut ann, to_user("bob", "last")).await;
    let mut heard = 1;
    while bob.next_event("message").await["id"] != json!(last) {
        heard += 1;
    }
    assert!(heard <= sent_ids.len(), "something was lost");
}
