//! Redis away: who is on one node notices nothing, and the others catch up.

use serde_json::json;

use crate::app::{sent, to_group, to_user};
use crate::nodes::{BRIEFLY, Nodes, contents, joined, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_one_node_notice_nothing_and_others_hear_it_when_redis_is_back() {
    let mut nodes = Nodes::start(2).await;
    let group = nodes.nodes[0].group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(0, "bob").await);
    let mut cem = nodes.user(1, "cem").await;
    for client in [&mut ann, &mut bob, &mut cem] {
        joined(client, &group).await;
    }
    nodes.redis.kill();
    for n in 0..50 {
        sent(&mut ann, to_group(&group, &format!("n{n}"))).await;
    }
    let wanted: Vec<_> = (0..50).map(|n| json!(format!("n{n}"))).collect();
    assert_eq!(contents(&mut bob, 50).await, wanted);
    until(async || nodes.nodes[1].metric("banter_cluster_connected").await == 0.0).await;
    assert!(nodes.nodes[0].metric("banter_cluster_delayed_total").await >= 1.0);
    nodes.redis.restart();
    assert_eq!(contents(&mut cem, 50).await, wanted, "what waited came, in order");
    nodes.hear_each_other().await;
    assert_eq!(nodes.nodes[0].metric("banter_cluster_dropped_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_doubles_nothing() {
    let nodes = Nodes::start(2).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    nodes.redis.freeze();
    for n in 0..50 {
        sent(&mut ann, to_user("bob", &format!("n{n}"))).await;
    }
    // Each try is with Redis, and it will do them all.
    until(async || nodes.nodes[0].metric("banter_cluster_delayed_total").await >= 1.0).await;
    until(async || nodes.nodes[1].metric("banter_cluster_connected").await == 0.0).await;
    nodes.redis.thaw();
    let wanted: Vec<_> = (0..50).map(|n| json!(format!("n{n}"))).collect();
    assert_eq!(contents(&mut bob, 50).await, wanted);
    bob.no_event("message", BRIEFLY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_misses_something_is_told_to_sync() {
    let nodes = Nodes::start(2).await;
    let mut bob = nodes.user(1, "bob").await;
    nodes.forge_letter().await;
    bob.next_event("sync_required").await;
    assert!(nodes.nodes[1].metric("banter_cluster_gaps_total").await >= 1.0);
}
