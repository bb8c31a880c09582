//! Who is online, and who types, over all nodes.

use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_user};
use crate::nodes::{BRIEFLY, Nodes, until};
use crate::sio::Client;

async fn status(node: &TestApp, user: &str) -> Value {
    let (_, answer) = node.get(&format!("/presence?user_ids={user}")).await;
    answer[0]["status"].clone()
}

/// The next word of a user.
async fn presence_of(client: &mut Client, user: &str) -> Value {
    loop {
        let presence = client.next_event("presence").await;
        if presence["user_id"] == json!(user) {
            return presence["status"].clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_on_other_nodes_hear_who_comes_and_goes_once() {
    let nodes = Nodes::start(3).await;
    let mut ann = nodes.user(0, "ann").await;
    sent(&mut ann, to_user("bob", "hello")).await;
    nodes.nodes[0].flushed().await;
    let bob = nodes.user(1, "bob").await;
    assert_eq!(presence_of(&mut ann, "bob").await, json!("online"));
    for node in &nodes.nodes {
        until(async || status(node, "bob").await == json!("online")).await;
        until(async || status(node, "ann").await == json!("online")).await;
    }
    // One of two devices goes.
    let second = nodes.user(2, "bob").await;
    until(async || nodes.nodes[2].metric("banter_users_online").await == 1.0).await;
    bob.disconnect().await;
    until(async || nodes.nodes[1].metric("banter_users_online").await == 0.0).await;
    assert_eq!(status(&nodes.nodes[0], "bob").await, json!("online"));
    second.disconnect().await;
    assert_eq!(presence_of(&mut ann, "bob").await, json!("offline"));
    for node in &nodes.nodes {
        until(async || status(node, "bob").await == json!("offline")).await;
    }
    ann.no_event("presence", BRIEFLY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_later_knows_who_is_there() {
    let nodes = Nodes::start(2).await;
    let _ann = nodes.user(0, "ann").await;
    until(async || status(&nodes.nodes[1], "ann").await == json!("online")).await;
    let late = nodes.nodes[0].beside(&[("NODE_ID", "late")]).await;
    until(async || status(&late, "ann").await == json!("online")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_is_seen_on_other_nodes() {
    let nodes = Nodes::start(2).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    ann.emit("typing_start", json!({"to": "bob", "type": "direct"})).await;
    let typing = bob.next_event("typing").await;
    assert_eq!((&typing["user_id"], &typing["is_typing"]), (&json!("ann"), &json!(true)));
    ann.emit("typing_stop", json!({"to": "bob", "type": "direct"})).await;
    assert_eq!(bob.next_event("typing").await["is_typing"], json!(false));
}
