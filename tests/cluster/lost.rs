//! Parts that are lost: a node, and the database.

use serde_json::json;

use crate::app::{TestApp, sent, to_user};
use crate::mongod::Mongod;
use crate::nodes::{Nodes, PATIENCE, until};
use crate::redis_server::Redis;

const FROM_MEMORY: &str = "banter_history_pages_total{source=\"memory\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_on_a_node_that_is_lost_is_offline_and_types_no_more() {
    let mut nodes = Nodes::start(3).await;
    let mut ann = nodes.user(0, "ann").await;
    sent(&mut ann, to_user("bob", "hello")).await;
    sent(&mut ann, to_user("cem", "hello")).await;
    nodes.nodes[0].flushed().await;
    let mut bob = nodes.user(2, "bob").await;
    let cem = nodes.user(2, "cem").await;
    for name in [&ann.next_event("presence").await, &ann.next_event("presence").await] {
        assert_eq!(name["status"], json!("online"));
    }
    bob.emit("typing_start", json!({"to": "ann", "type": "direct"})).await;
    assert_eq!(ann.next_event("typing").await["is_typing"], json!(true));

    let (_, answer) = nodes.nodes[0].get("/admin/nodes").await;
    let listed: Vec<_> =
        answer["nodes"].as_array().unwrap().iter().map(|node| &node["node_id"]).collect();
    assert_eq!(listed, [&json!("node-0"), &json!("node-1"), &json!("node-2")]);
    let report = &answer["nodes"][2]["report"];
    assert_eq!(
        (&report["journal"], &report["stopping"]),
        (&json!("ok"), &json!(false)),
        "{report}"
    );

    // A node that stops takes nobody's leave: its users have the time to come elsewhere.
    let lost = nodes.nodes.pop().unwrap();
    lost.stop().await;
    drop((bob, cem));
    let _cem_elsewhere = nodes.user(1, "cem").await;
    let offline = ann.next_event_within("presence", PATIENCE).await.expect("the lease ends");
    assert_eq!((&offline["user_id"], &offline["status"]), (&json!("bob"), &json!("offline")));
    assert_eq!(ann.next_event("typing").await["is_typing"], json!(false));
    until(async || nodes.nodes[0].metric("banter_cluster_nodes").await == 2.0).await;
    let (_, presence) = nodes.nodes[0].get("/presence?user_ids=bob,cem").await;
    assert_eq!(
        (&presence[0]["status"], &presence[1]["status"]),
        (&json!("offline"), &json!("online"))
    );
    assert!(ann.events_so_far("presence").await.is_empty(), "cem has never been away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_a_message_of_one_node_is_read_and_changed_on_another() {
    let (redis, mut mongod) = (Redis::start(), Mongod::start().await);
    let (url, bus) = (mongod.url(), redis.url());
    let settings = [
        ("MONGO_URL", url.as_str()),
        ("REDIS_URL", bus.as_str()),
        ("NODE_ID", "node-0"),
        ("BREAKER_FAILURES", "1"),
        ("BREAKER_OPEN", "1"),
    ];
    let one = TestApp::with(&settings).await;
    let two = one.beside(&[("NODE_ID", "node-1")]).await;
    let nodes = Nodes { redis, nodes: vec![one, two] };
    nodes.hear_each_other().await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    let mut elsewhere = nodes.user(1, "ann").await;
    sent(&mut ann, to_user("bob", "stored")).await;
    nodes.nodes[0].flushed().await;
    bob.next_event("message").await;
    // What is read stays in memory, unless the word that it is stored came while it was read.
    for node in &nodes.nodes {
        let before = node.metric(FROM_MEMORY).await;
        until(async || {
            assert_eq!(node.direct("bob", "ann").await.len(), 1);
            node.metric(FROM_MEMORY).await > before
        })
        .await;
    }

    mongod.kill();
    let payload = json!({"to": "bob", "content": "first", "type": "direct", "client_id": "c-1"});
    let id = sent(&mut ann, payload.clone()).await;
    // Sent again to the other node, at once.
    assert_eq!(sent(&mut elsewhere, payload).await, id);
    assert_eq!(bob.next_event("message").await["id"], json!(id));
    let ack = bob.emit_ack("mark_read", json!({"message_id": id})).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    let edit = json!({"message_id": id, "content": "second"});
    let ack = elsewhere.emit_ack("edit_message", edit).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    let gone = sent(&mut ann, to_user("bob", "soon gone")).await;
    bob.next_event("message").await;
    let ack = elsewhere.emit_ack("delete_message", json!({"message_id": gone})).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    for (node, viewer, other) in [(0, "ann", "bob"), (1, "bob", "ann")] {
        until(async || {
            let rows = nodes.nodes[node].direct(viewer, other).await;
            let contents: Vec<_> = rows.iter().map(|row| row["content"].clone()).collect();
            contents == ["second", "stored"] && rows[0]["read_by"] == json!(["bob"])
        })
        .await;
    }

    mongod.restart().await;
    for node in &nodes.nodes {
        node.flushed().await;
    }
    let rows = nodes.nodes[1].direct("ann", "bob").await;
    let contents: Vec<_> = rows.iter().map(|row| row["content"].clone()).collect();
    assert_eq!(contents, ["second", "stored"]);
    assert_eq!(rows[0]["read_by"], json!(["bob"]));
}
