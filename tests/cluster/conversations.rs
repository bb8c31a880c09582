//! What is said on one node is heard on the others, and what one has not stored is known to all.

use serde_json::json;

use crate::app::{sent, to_group, to_user};
use crate::nodes::{BRIEFLY, Nodes, contents, joined};

const MANY: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_reach_users_of_other_nodes_once_and_in_their_senders_order() {
    let nodes = Nodes::start(3).await;
    let group = nodes.nodes[0].group("ann", &["ann", "bob", "cem"]).await;
    let mut ann = nodes.user(0, "ann").await;
    let mut bob = nodes.user(1, "bob").await;
    let mut cem = nodes.user(2, "cem").await;
    for client in [&mut ann, &mut bob, &mut cem] {
        joined(client, &group).await;
    }
    for n in 0..MANY {
        ann.emit("send_message", to_group(&group, &format!("a{n}"))).await;
        bob.emit("send_message", to_group(&group, &format!("b{n}"))).await;
    }
    for client in [&mut ann, &mut bob, &mut cem] {
        let heard = contents(client, 2 * MANY).await;
        for sender in ["a", "b"] {
            let of_sender = heard.iter().filter(|text| text.as_str().unwrap().starts_with(sender));
            let wanted: Vec<_> = (0..MANY).map(|n| json!(format!("{sender}{n}"))).collect();
            assert!(of_sender.eq(&wanted), "{heard:?}");
        }
    }
    let id = sent(&mut ann, to_user("cem", "last")).await;
    let message = cem.next_event("message").await;
    assert_eq!((&message["content"], &message["id"]), (&json!("last"), &json!(id)));
    assert_eq!(ann.next_event("message").await["content"], json!("last"), "her own copy");
    cem.no_event("message", BRIEFLY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_with_devices_on_two_nodes_hears_each_message_once_on_both() {
    let nodes = Nodes::start(2).await;
    let mut phone = nodes.user(0, "ann").await;
    let mut desk = nodes.user(1, "ann").await;
    sent(&mut phone, to_user("bob", "one")).await;
    sent(&mut desk, to_user("bob", "two")).await;
    let mut on_phone = contents(&mut phone, 2).await;
    on_phone.sort_by_key(|text| text.to_string());
    assert_eq!(on_phone, [json!("one"), json!("two")]);
    phone.no_event("message", BRIEFLY).await;
    contents(&mut desk, 2).await;
    desk.no_event("message", BRIEFLY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_on_one_node_is_read_edited_and_deleted_on_another() {
    let nodes = Nodes::start(2).await;
    let (mut ann, mut bob) = (nodes.user(0, "ann").await, nodes.user(1, "bob").await);
    let id = sent(&mut ann, to_user("bob", "first")).await;
    assert_eq!(bob.next_event("message").await["id"], json!(id));
    let rows = nodes.nodes[1].direct("bob", "ann").await;
    assert_eq!(rows[0]["content"], json!("first"), "{rows:?}");

    let ack = bob.emit_ack("mark_read", json!({"message_id": id})).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    let read = ann.next_event("message_update").await;
    assert_eq!((&read["type"], &read["read_by"]), (&json!("read_receipt"), &json!(["bob"])));
    let react = json!({"message_id": id, "emoji": "👍"});
    let ack = bob.emit_ack("add_reaction", react).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    assert_eq!(ann.next_event("message_update").await["type"], json!("reaction"));

    let mut elsewhere = nodes.user(1, "ann").await;
    let edit = json!({"message_id": id, "content": "second"});
    let ack = elsewhere.emit_ack("edit_message", edit).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    assert_eq!(ann.next_event("message_update").await["new_content"], json!("second"));
    let rows = nodes.nodes[0].direct("ann", "bob").await;
    assert_eq!((&rows[0]["content"], &rows[0]["read_by"]), (&json!("second"), &json!(["bob"])));

    let ack = elsewhere.emit_ack("delete_message", json!({"message_id": id})).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    // Who is told on a node finds it so on that node.
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.next_event("message_deleted").await["message_id"], json!(id));
    }
    assert!(nodes.nodes[0].direct("ann", "bob").await.is_empty());
    assert!(nodes.nodes[1].direct("bob", "ann").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_sent_again_to_another_node_is_the_first_one() {
    let nodes = Nodes::start(2).await;
    let (mut ann, mut again) = (nodes.user(0, "ann").await, nodes.user(1, "ann").await);
    let payload = json!({"to": "bob", "content": "x", "type": "direct", "client_id": "c-1"});
    let first = sent(&mut ann, payload.clone()).await;
    assert_eq!(again.next_event("message").await["id"], json!(first));
    assert_eq!(sent(&mut again, payload).await, first);
    again.no_event("message", BRIEFLY).await;
    nodes.nodes[0].flushed().await;
    assert_eq!(nodes.nodes[1].direct("ann", "bob").await.len(), 1);
}
