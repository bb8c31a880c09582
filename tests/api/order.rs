//! One order for everybody: a socket's events, a conversation's messages.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::json;

use crate::app::{TestApp, to_group, to_user};
use crate::sio::Packet;

crate::on_both_stores![
    events_of_one_socket_act_in_the_order_in_which_they_were_sent,
    bursts_in_groups_keep_their_places_among_all_else,
    two_senders_are_heard_and_stored_in_one_order,
    an_event_that_the_server_does_not_know_lets_none_overtake,
];

async fn events_of_one_socket_act_in_the_order_in_which_they_were_sent(app: TestApp) {
    const MESSAGES: usize = 1_000;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for n in 0..MESSAGES {
        ann.emit("send_message", to_user("bob", &n.to_string())).await;
    }
    for n in 0..MESSAGES {
        assert_eq!(bob.next_event("message").await["content"], json!(n.to_string()));
    }
    app.flushed().await;
    let rows = app.rows("/messages/ann/bob?limit=200").await;
    for (row, n) in rows.iter().zip((0..MESSAGES).rev()) {
        assert_eq!(row["content"], json!(n.to_string()));
    }
}

/// Messages to one group that come together go to a socket together: what else comes in between keeps
/// its place, and an ack comes after its message.
async fn bursts_in_groups_keep_their_places_among_all_else(app: TestApp) {
    const MESSAGES: usize = 1_000;
    let groups = [app.group("ann", &["ann", "bob"]).await, app.group("ann", &["ann", "bob"]).await];
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for group in &groups {
        ann.emit_ack("join_group", json!(group)).await;
        bob.emit_ack("join_group", json!(group)).await;
    }
    let mut acks = HashMap::new();
    for n in 0..MESSAGES {
        let text = n.to_string();
        let message = match n {
            n if n % 25 == 24 => to_user("bob", &text),
            n if n % 40 < 30 => to_group(&groups[0], &text),
            _ => to_group(&groups[1], &text),
        };
        acks.insert(ann.send_with_ack("send_message", &[message]).await, n);
    }
    for n in 0..MESSAGES {
        assert_eq!(bob.next_event("message").await["content"], json!(n.to_string()));
    }
    let (mut told, mut acknowledged) = (0, 0);
    while acknowledged < MESSAGES {
        match ann.next_packet().await {
            Packet::Event { name, args, .. } if name == "message" => {
                assert_eq!(args[0]["content"], json!(told.to_string()));
                told += 1;
            }
            Packet::Ack { id, args } => {
                assert_eq!(args[0]["ok"], true, "{args:?}");
                assert!(acks[&id] < told, "the ack of {} came before it", acks[&id]);
                acknowledged += 1;
            }
            _ => {}
        }
    }
}

async fn two_senders_are_heard_and_stored_in_one_order(app: TestApp) {
    const MESSAGES: usize = 100;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for n in 0..MESSAGES {
        ann.emit("send_message", to_user("bob", &format!("a{n}"))).await;
        bob.emit("send_message", to_user("ann", &format!("b{n}"))).await;
    }
    let mut heard_by_ann = Vec::new();
    let mut heard_by_bob = Vec::new();
    for _ in 0..2 * MESSAGES {
        heard_by_ann.push(ann.next_event("message").await["content"].clone());
        heard_by_bob.push(bob.next_event("message").await["content"].clone());
    }
    assert_eq!(heard_by_ann, heard_by_bob);
    for _ in ["from the buffer", "from the store"] {
        let rows = app.rows("/messages/ann/bob?limit=200").await;
        let stored: Vec<_> = rows.iter().rev().map(|row| row["content"].clone()).collect();
        assert_eq!(stored, heard_by_ann);
        app.flushed().await;
    }
}

async fn an_event_that_the_server_does_not_know_lets_none_overtake(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let mut ann = app.user("ann").await;
    ann.emit_ack("join_group", json!(group)).await;
    for n in 0..20 {
        // After a change of its members the group must be loaded: its message waits for the store.
        let path = format!("/group/{group}/member{n}");
        assert!(app.request(Method::POST, &path).await.0.is_success());
        ann.emit("send_message", to_group(&group, "first")).await;
        ann.emit("order_pizza", json!({})).await;
        ann.emit("send_message", to_user("ann", "second")).await;
        for expected in ["first", "second"] {
            assert_eq!(ann.next_event("message").await["content"], expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_10_000_arrives_in_order_and_each_is_acknowledged() {
    const MESSAGES: usize = 10_000;
    let app = TestApp::on_sqlite().await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut unanswered = HashMap::new();
    for n in 0..MESSAGES {
        let content = json!(n.to_string());
        let id = ann.send_with_ack("send_message", &[to_user("bob", &n.to_string())]).await;
        unanswered.insert(id, content);
    }
    for n in 0..MESSAGES {
        assert_eq!(bob.next_event("message").await["content"], json!(n.to_string()));
    }
    let mut heard = 0;
    while heard < MESSAGES || !unanswered.is_empty() {
        match ann.next_packet().await {
            Packet::Ack { id, args } => {
                let content = unanswered.remove(&id).expect("one answer each");
                assert_eq!(args[0]["message"]["content"], content);
            }
            Packet::Event { name, args, .. } if name == "message" => {
                assert_eq!(args[0]["content"], json!(heard.to_string()));
                heard += 1;
            }
            // Bob's arrival may be told after the first message has made the two peers; and on a
            // busy machine what was stored late is called for.
            Packet::Event { name, .. } if name == "presence" || name == "sync_required" => {}
            other => panic!("neither message nor answer: {other:?}"),
        }
    }
    assert_eq!(app.metric("banter_dropped_packets_total").await, 0.0);
}
