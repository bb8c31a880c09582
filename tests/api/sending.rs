//! `send_message`: who gets it, what it looks like, who is refused.

use std::time::Duration;

use serde_json::json;

use crate::app::{TestApp, refused, sent, to_group, to_user};

crate::on_both_stores![
    a_direct_message_reaches_both_users_once_with_the_contracts_shape,
    a_message_to_oneself_arrives_once,
    a_group_message_reaches_those_who_joined_and_starts_read_by_its_sender,
    every_socket_of_a_user_gets_a_direct_message,
    who_is_no_member_can_neither_join_nor_send,
    leaving_a_room_ends_its_messages,
    a_media_file_must_be_there,
    content_may_be_an_object_and_stays_as_it_was,
    a_message_over_the_limit_is_refused,
];

const QUIET: Duration = Duration::from_millis(150);

async fn a_direct_message_reaches_both_users_once_with_the_contracts_shape(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let ack = ann.emit_ack("send_message", to_user("bob", "hello")).await;
    let message = bob.next_event("message").await;
    assert_eq!(ack, json!({"ok": true, "message": message}));
    assert_eq!(ann.next_event("message").await, message);
    let mut fields: Vec<_> = message.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "_id",
            "content",
            "content_type",
            "deleted_for",
            "from_user_id",
            "id",
            "media_metadata",
            "media_url",
            "read_by",
            "status",
            "timestamp",
            "to_user_id",
            "type",
        ]
    );
    assert_eq!(message["_id"], message["id"]);
    assert_eq!(message["type"], "direct");
    assert_eq!(message["content_type"], "text");
    assert_eq!(message["status"], "sent");
    assert_eq!((&message["from_user_id"], &message["to_user_id"]), (&json!("ann"), &json!("bob")));
    assert_eq!((&message["media_url"], &message["media_metadata"]), (&json!(null), &json!(null)));
    assert_eq!((&message["read_by"], &message["deleted_for"]), (&json!([]), &json!([])));
    assert!(message["timestamp"].as_str().unwrap().ends_with("+00:00"));
    bob.no_event("message", QUIET).await;
    ann.no_event("message", QUIET).await;
}

async fn a_message_to_oneself_arrives_once(app: TestApp) {
    let mut ann = app.user("ann").await;
    sent(&mut ann, to_user("ann", "note")).await;
    ann.next_event("message").await;
    ann.no_event("message", QUIET).await;
}

async fn a_group_message_reaches_those_who_joined_and_starts_read_by_its_sender(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob, mut cem) =
        (app.user("ann").await, app.user("bob").await, app.user("cem").await);
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.emit_ack("join_group", json!(group)).await, json!({"ok": true}));
    }
    sent(&mut ann, to_group(&group, "hi all")).await;
    let message = bob.next_event("message").await;
    assert_eq!(message["group_id"], json!(group));
    assert_eq!(message["read_by"], json!(["ann"]));
    assert!(message.get("to_user_id").is_none());
    assert_eq!(ann.next_event("message").await, message);
    cem.no_event("message", QUIET).await;
}

async fn every_socket_of_a_user_gets_a_direct_message(app: TestApp) {
    let mut ann = app.user("ann").await;
    let (mut phone, mut laptop) = (app.user("bob").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    assert_eq!(phone.next_event("message").await["id"], json!(id));
    assert_eq!(laptop.next_event("message").await["id"], json!(id));
}

async fn who_is_no_member_can_neither_join_nor_send(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    refused(&mut eve, "join_group", json!(group), "forbidden").await;
    refused(&mut eve, "send_message", to_group(&group, "let me in"), "forbidden").await;
    ann.emit_ack("join_group", json!(group)).await;
    sent(&mut ann, to_group(&group, "secret")).await;
    eve.no_event("message", QUIET).await;
    let nowhere = "0".repeat(24);
    refused(&mut ann, "send_message", to_group(&nowhere, "anyone?"), "not_found").await;
}

async fn leaving_a_room_ends_its_messages(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    bob.emit_ack("join_group", json!(group)).await;
    sent(&mut ann, to_group(&group, "one")).await;
    bob.next_event("message").await;
    assert_eq!(bob.emit_ack("leave_group", json!(group)).await, json!({"ok": true}));
    sent(&mut ann, to_group(&group, "two")).await;
    bob.no_event("message", QUIET).await;
}

async fn a_media_file_must_be_there(app: TestApp) {
    std::fs::write(app.folder.path().join("uploads/cat.png"), b"x").unwrap();
    let mut ann = app.user("ann").await;
    let picture = |url: &str| {
        json!({
            "to": "bob", "content": "", "type": "direct", "content_type": "image",
            "media_url": url, "media_metadata": {"width": 3, "ratio": 1.5},
        })
    };
    let ack = ann.emit_ack("send_message", picture("/uploads/cat.png")).await;
    assert_eq!(ack["message"]["media_url"], "/uploads/cat.png");
    assert_eq!(ack["message"]["media_metadata"], json!({"width": 3, "ratio": 1.5}));
    refused(&mut ann, "send_message", picture("/uploads/dog.png"), "not_found").await;
    refused(&mut ann, "send_message", picture("/uploads/../x"), "invalid_payload").await;
}

async fn content_may_be_an_object_and_stays_as_it_was(app: TestApp) {
    let content = json!({"url": "x", "sizes": [1, 2.5, -3], "deep": {"ok": true, "none": null}});
    let mut ann = app.user("ann").await;
    let payload = json!({"to": "bob", "content": content, "type": "direct"});
    let ack = ann.emit_ack("send_message", payload).await;
    assert_eq!(ack["message"]["content"], content);
    app.flushed().await;
    assert_eq!(app.direct("ann", "bob").await[0]["content"], content);
}

async fn a_message_over_the_limit_is_refused(app: TestApp) {
    let mut ann = app.user("ann").await;
    sent(&mut ann, to_user("bob", &"x".repeat(65_536))).await;
    refused(&mut ann, "send_message", to_user("bob", &"x".repeat(65_537)), "too_large").await;
    sent(&mut ann, to_user("bob", "still here")).await;
}
