//! Who is in a group counts on every node at once.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::app::{BY_TOKEN, refused, sent, to_group};
use crate::nodes::{BRIEFLY, Nodes, contents, joined, until};
use crate::sio::Client;

/// Sends to a group until that is answered as wanted; how often it was accepted. What a node is told of a
/// group comes in its own order, and a word to a user may be faster.
async fn sent_until(client: &mut Client, group: &str, content: &str, is_accepted: bool) -> usize {
    let mut accepted = 0;
    loop {
        let ack = client.emit_ack("send_message", to_group(group, content)).await;
        assert!(ack["ok"] == json!(true) || ack["error"]["code"] == json!("forbidden"), "{ack}");
        accepted += usize::from(ack["ok"] == json!(true));
        if ack["ok"] == json!(is_accepted) {
            return accepted;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_members_sockets_on_other_nodes_leave_and_say_nothing_more() {
    let nodes = Nodes::start(2).await;
    let group = nodes.nodes[0].group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    joined(&mut ann, &group).await;
    joined(&mut bob, &group).await;
    sent(&mut bob, to_group(&group, "hello")).await;
    assert_eq!(ann.next_event("message").await["content"], json!("hello"));
    assert_eq!(bob.next_event("message").await["content"], json!("hello"));

    let path = format!("/groups/{group}/remove?user_id=bob&admin_id=ann");
    let (status, answer) = nodes.nodes[0].post(&path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let notice = bob.next_event("notification").await;
    assert_eq!(notice["type"], json!("group_notification"), "{notice}");
    let late = sent_until(&mut bob, &group, "still here", false).await;
    bob.events_so_far("message").await;
    refused(&mut bob, "send_message", to_group(&group, "still here"), "forbidden").await;
    contents(&mut ann, late).await;
    sent(&mut ann, to_group(&group, "alone")).await;
    bob.no_event("message", BRIEFLY).await;

    let path = format!("/group/{group}/bob");
    let (status, answer) = nodes.nodes[0].post(&path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    bob.next_event("notification").await;
    sent_until(&mut bob, &group, "back", true).await;
    assert_eq!(ann.next_event("message").await["content"], json!("alone"));
    assert_eq!(ann.next_event("message").await["content"], json!("back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_one_node_deletes_is_gone_on_the_others() {
    let nodes = Nodes::start(2).await;
    let group = nodes.nodes[0].group("ann", &["ann", "bob"]).await;
    let mut bob = nodes.user(1, "bob").await;
    joined(&mut bob, &group).await;
    sent(&mut bob, to_group(&group, "hello")).await;
    let (status, _) = nodes.nodes[0].delete(&format!("/groups/{group}")).await;
    assert_eq!(status, StatusCode::OK);
    let gone = async || {
        let ack = nodes.user(1, "bob").await.emit_ack("send_message", to_group(&group, "x")).await;
        ack["error"]["code"] == json!("not_found")
    };
    until(gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_out_everywhere_is_out_on_every_node() {
    let nodes = Nodes::start_with(2, BY_TOKEN).await;
    let ann = nodes.nodes[0].sign_up("ann").await;
    let mut socket = nodes.nodes[1].socket(&ann).await;
    let (status, answer) = nodes.nodes[0]
        .ask(Some(&ann.access), Method::POST, "/api/auth/logout", Some(json!({"everywhere": true})))
        .await;
    assert!(status.is_success(), "{answer}");
    // Long before the store is asked by the clock.
    socket.next_event("signed_out").await;
    let refusal =
        Client::try_connect(crate::sio::Transport::WebSocket, nodes.nodes[1].addr, ann.auth());
    assert!(refusal.await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_blocked_on_one_node_is_not_heard_on_another() {
    let nodes = Nodes::start(2).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    sent(&mut bob, crate::app::to_user("ann", "before")).await;
    ann.next_event("message").await;
    let (status, answer) = nodes.nodes[0].request(Method::POST, "/users/ann/block/bob").await;
    assert!(status.is_success(), "{status} {answer}");
    let mut count = 0;
    let hidden = async || {
        // The word of it is under way; what is sent before it has come is heard.
        nodes.nodes[0].direct("ann", "bob").await.len()
            < nodes.nodes[0].direct("bob", "ann").await.len()
    };
    while !hidden().await {
        sent(&mut bob, crate::app::to_user("ann", &format!("n{count}"))).await;
        count += 1;
        assert!(count < 500, "the block is never heard");
    }
}
