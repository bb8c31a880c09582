//! Input that is wrong, on purpose or not: it is answered, and nobody else notices.

use reqwest::StatusCode;
use serde_json::json;

use crate::app::{TestApp, refused, sent, to_user};
use crate::sio::{Client, Transport};

#[tokio::test]
async fn a_payload_of_the_wrong_form_is_answered_and_the_connection_lives_on() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    let deep = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    for (event, payload) in [
        ("send_message", json!(null)),
        ("send_message", json!("hi")),
        ("send_message", json!([])),
        ("send_message", json!({"to": "bob"})),
        ("send_message", json!({"to": {"$gt": ""}, "content": "x", "type": "direct"})),
        ("send_message", json!({"to": "bob", "content": {"$set": 1}, "type": "direct"})),
        ("send_message", json!({"to": "bob", "content": deep, "type": "direct"})),
        ("send_message", json!({"to": "nope", "content": "x", "type": "group"})),
        ("send_message", json!({"to": "bob", "content": "x", "type": "direct", "media_url": 1})),
        (
            "send_message",
            json!({"to": "b", "content": "x", "type": "direct", "media_metadata": {"a\0b": 1}}),
        ),
        ("join_group", json!({"$ne": null})),
        ("join_group", json!("../etc")),
        ("leave_group", json!(5)),
        ("mark_read", json!({"message_id": {"$ne": null}})),
        ("mark_read", json!({})),
        ("edit_message", json!({"message_id": "x"})),
        ("delete_message", json!({"message_id": "x", "delete_for": "them"})),
    ] {
        refused(&mut ann, event, payload, "invalid_payload").await;
    }
    sent(&mut ann, to_user("bob", "still here")).await;
}

#[tokio::test]
async fn a_frame_without_a_payload_or_with_an_attachment_is_answered() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    ann.raw_send(r#"42100["send_message"]"#).await;
    assert_eq!(ann.ack(100).await["error"]["code"], "invalid_payload");
    ann.raw_send(r#"451-101["send_message",{"_placeholder":true,"num":0}]"#).await;
    ann.raw_send_binary(vec![1, 2, 3]).await;
    let answer = ann.ack(101).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("upload"), "{answer}");
    sent(&mut ann, to_user("bob", "still here")).await;
}

#[tokio::test]
async fn events_that_the_server_does_not_know_are_ignored_and_counted() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    for name in ["order_pizza", "__proto__", "connect", ""] {
        ann.emit(name, json!({"x": 1})).await;
    }
    sent(&mut ann, to_user("bob", "still here")).await;
    let unknown = app.metric("banter_events_in_total{event=\"unknown\"}").await;
    assert!(unknown >= 3.0, "{unknown}");
    let answer = ann.emit_ack("order_pizza", json!({})).await;
    assert_eq!(answer["error"]["code"], "invalid_payload", "who waits for an answer gets one");
    ann.settle().await;
    assert_eq!(ann.events_so_far("error").await, [] as [serde_json::Value; 0]);
}

#[tokio::test]
async fn frames_that_are_no_packets_end_their_own_connection_alone() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    for frame in ["4", "42", "42[", "42[1]", "42{}", "4é", "99", "45", "451-", "42[\"a\"", "43[]"]
    {
        let mut eve = app.user("eve").await;
        eve.raw_send(frame).await;
        sent(&mut ann, to_user("bob", "still here")).await;
    }
    let mut eve = app.user("eve").await;
    eve.raw_send_binary(vec![0, 159, 146, 150]).await;
    sent(&mut ann, to_user("bob", "still here")).await;
}

#[tokio::test]
async fn a_packet_over_the_limit_ends_its_connection_by_both_transports() {
    let app = TestApp::with(&[("MAX_PAYLOAD", "10000")]).await;
    let mut ann = app.user("ann").await;
    ann.raw_send(format!("42[\"x\",\"{}\"]", "x".repeat(20_000))).await;
    ann.closed().await;
    let mut bob = Client::connect_by(Transport::Polling, app.addr, json!({"user_id": "bob"})).await;
    bob.raw_send(format!("42[\"x\",\"{}\"]", "x".repeat(20_000))).await;
    bob.closed().await;
    let mut cem = app.user("cem").await;
    sent(&mut cem, to_user("bob", "still here")).await;
}

#[tokio::test]
async fn other_namespaces_are_refused() {
    let app = TestApp::on_sqlite().await;
    let mut client = Client::open(Transport::WebSocket, app.addr).await;
    for n in 0..1_000 {
        client.raw_send(format!("40/room{n},{{\"user_id\":\"ann\"}}")).await;
    }
    let mut ann = app.user("ann").await;
    sent(&mut ann, to_user("bob", "still here")).await;
    assert_eq!(app.metric("banter_connections").await, 1.0);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_answered_in_json() {
    let app = TestApp::on_sqlite().await;
    assert_eq!(app.get("/nope").await, (StatusCode::NOT_FOUND, json!({"detail": "Not Found"})));
    let (status, body) = app.delete("/groups/search/x").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(body, json!({"detail": "Method Not Allowed"}));
    for path in ["/uploads/..%2f..%2fCargo.toml", "/uploads/%00", "/groups/%ff", "/messages/a"] {
        let (status, _) = app.get(path).await;
        assert!(status.is_client_error(), "{path}: {status}");
    }
    for path in ["/groups/%ff", "/messages/%ff/b", "/groups/search/%ff"] {
        let (status, body) = app.get(path).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(body["detail"][0]["loc"], json!(["path"]), "{path}: {body}");
    }
}
