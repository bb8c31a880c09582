//! Edits, deletions and receipts, also on messages that are a moment old.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::app::{TestApp, refused, sent, to_group, to_user};

crate::on_both_stores![
    an_edit_is_told_to_both_and_seen_in_history,
    only_the_sender_may_edit_or_delete_for_everyone,
    a_deleted_message_is_gone_for_everyone,
    a_hidden_message_is_gone_for_one_user_alone,
    a_receipt_tells_the_sender_of_a_direct_message,
    receipts_of_a_group_add_up,
    a_stranger_may_change_nothing,
    deletion_over_http_follows_the_same_rules,
    everything_works_on_a_message_of_this_instant,
    what_is_gone_can_not_be_changed,
];

const QUIET: Duration = Duration::from_millis(150);

async fn an_edit_is_told_to_both_and_seen_in_history(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "helo")).await;
    app.flushed().await;
    let edit = json!({"message_id": id, "content": "hello"});
    assert_eq!(ann.emit_ack("edit_message", edit).await, json!({"ok": true}));
    let update = bob.next_event("message_update").await;
    assert_eq!(update["type"], "message_edit");
    assert_eq!((&update["message_id"], &update["new_content"]), (&json!(id), &json!("hello")));
    assert!(update["edited_at"].is_string());
    assert_eq!(ann.next_event("message_update").await, update);
    for _ in ["from the buffer", "from the store"] {
        let row = &app.direct("bob", "ann").await[0];
        assert_eq!((&row["content"], &row["edited_at"]), (&json!("hello"), &update["edited_at"]));
        app.flushed().await;
    }
}

async fn only_the_sender_may_edit_or_delete_for_everyone(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "mine")).await;
    let edit = json!({"message_id": id, "content": "yours"});
    refused(&mut bob, "edit_message", edit, "forbidden").await;
    refused(&mut bob, "delete_message", json!({"message_id": id}), "forbidden").await;
    assert_eq!(app.direct("ann", "bob").await[0]["content"], "mine");
}

async fn a_deleted_message_is_gone_for_everyone(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    bob.emit_ack("join_group", json!(group)).await;
    let id = sent(&mut ann, to_group(&group, "oops")).await;
    ann.emit_ack("delete_message", json!({"message_id": id})).await;
    let success = ann.next_event("success").await;
    assert_eq!(success, json!({"message": "Message deleted successfully"}));
    let deleted = bob.next_event("message_deleted").await;
    assert_eq!(deleted["type"], "message_deleted");
    assert_eq!((&deleted["message_id"], &deleted["chat_type"]), (&json!(id), &json!("group")));
    assert!(deleted["deleted_at"].is_string());
    assert!(app.of_group("bob", &group).await.is_empty());
    app.flushed().await;
    assert!(app.of_group("bob", &group).await.is_empty());
}

async fn a_hidden_message_is_gone_for_one_user_alone(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut laptop = app.user("bob").await;
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    let hide = json!({"message_id": id, "delete_for": "me"});
    assert_eq!(bob.emit_ack("delete_message", hide).await, json!({"ok": true}));
    bob.next_event("success").await;
    let hidden = json!({"type": "message_hidden", "message_id": id});
    assert_eq!(bob.next_event("message_deleted").await, hidden);
    assert_eq!(laptop.next_event("message_deleted").await, hidden);
    ann.no_event("message_deleted", QUIET).await;
    for _ in ["from the buffer", "from the store"] {
        assert!(app.direct("bob", "ann").await.is_empty());
        let row = &app.direct("ann", "bob").await[0];
        assert_eq!(row["deleted_for"], json!([]), "who hid it is their own affair");
        app.flushed().await;
    }
}

async fn a_receipt_tells_the_sender_of_a_direct_message(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    let read = json!({"message_id": id});
    assert_eq!(ann.emit_ack("mark_read", read.clone()).await, json!({"ok": true}));
    ann.no_event("message_update", QUIET).await;
    assert_eq!(bob.emit_ack("mark_read", read.clone()).await, json!({"ok": true}));
    let receipt = json!({"type": "read_receipt", "message_id": id, "read_by": ["bob"]});
    assert_eq!(ann.next_event("message_update").await, receipt);
    bob.no_event("message_update", QUIET).await;
    bob.emit_ack("mark_read", read).await;
    assert_eq!(ann.next_event("message_update").await, receipt, "a second time, and still once");
    app.flushed().await;
    let row = &app.direct("ann", "bob").await[0];
    assert_eq!((&row["status"], &row["read_by"]), (&json!("read"), &json!(["bob"])));
}

async fn receipts_of_a_group_add_up(app: TestApp) {
    let members = ["ann", "bob", "cem", "dan", "eve"];
    let group = app.group("ann", &members).await;
    let mut ann = app.user("ann").await;
    ann.emit_ack("join_group", json!(group)).await;
    let id = sent(&mut ann, to_group(&group, "who is there?")).await;
    let mut readers = Vec::new();
    for member in &members[1..] {
        let mut reader = app.user(member).await;
        reader.emit("mark_read", json!({"message_id": id})).await;
        readers.push(reader);
    }
    let mut last = json!(null);
    for count in 2..=members.len() {
        last = ann.next_event("message_update").await;
        assert_eq!(last["read_by"].as_array().unwrap().len(), count, "{last}");
    }
    app.flushed().await;
    let row = &app.of_group("ann", &group).await[0];
    assert_eq!(row["read_by"], last["read_by"]);
    assert_eq!(row["status"], "read");
}

async fn a_stranger_may_change_nothing(app: TestApp) {
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    refused(&mut eve, "mark_read", json!({"message_id": id}), "not_found").await;
    let hide = json!({"message_id": id, "delete_for": "me"});
    refused(&mut eve, "delete_message", hide, "not_found").await;
    refused(&mut eve, "delete_message", json!({"message_id": id}), "not_found").await;
    refused(&mut eve, "edit_message", json!({"message_id": id, "content": "x"}), "not_found").await;
    let nowhere = json!({"message_id": "f".repeat(24)});
    refused(&mut eve, "mark_read", nowhere, "not_found").await;
}

async fn deletion_over_http_follows_the_same_rules(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    let everyone = |user: &str| format!("/messages/{id}?user_id={user}&delete_for=everyone");
    assert_eq!(app.delete(&everyone("bob")).await.0, StatusCode::FORBIDDEN);
    let done = json!({"message": "Message deleted successfully"});
    let me = format!("/messages/{id}?user_id=bob");
    assert_eq!(app.delete(&me).await, (StatusCode::OK, done.clone()));
    assert_eq!(bob.next_event("message_deleted").await["type"], "message_hidden");
    assert_eq!(app.delete(&everyone("ann")).await, (StatusCode::OK, done));
    assert_eq!(ann.next_event("message_deleted").await["type"], "message_deleted");
    let (status, body) = app.delete(&everyone("ann")).await;
    assert_eq!((status, &body["detail"]), (StatusCode::NOT_FOUND, &json!("Message not found")));
    let (status, body) = app.delete(&format!("/messages/{id}")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["detail"][0]["loc"], json!(["query", "user_id"]));
}

async fn everything_works_on_a_message_of_this_instant(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for round in 0..50 {
        ann.emit("send_message", to_user("bob", "draft")).await;
        let id = bob.next_event("message").await["id"].clone();
        let read = bob.emit_ack("mark_read", json!({"message_id": id})).await;
        let text = format!("final {round}");
        let edit = json!({"message_id": id, "content": text});
        let edited = ann.emit_ack("edit_message", edit).await;
        assert_eq!((read, edited), (json!({"ok": true}), json!({"ok": true})));
        let row = app.direct("bob", "ann").await[0].clone();
        assert_eq!((&row["id"], &row["content"]), (&id, &json!(text)));
        assert_eq!((&row["status"], &row["read_by"]), (&json!("read"), &json!(["bob"])));
        if round % 2 == 0 {
            let gone = ann.emit_ack("delete_message", json!({"message_id": id})).await;
            assert_eq!(gone, json!({"ok": true}));
            assert!(app.direct("bob", "ann").await.iter().all(|row| row["id"] != id));
        }
    }
    app.flushed().await;
    let rows = app.direct("ann", "bob").await;
    let texts: Vec<_> = rows.iter().map(|row| row["content"].as_str().unwrap()).collect();
    let expected: Vec<_> =
        (0..50).rev().filter(|n| n % 2 == 1).map(|n| format!("final {n}")).collect();
    assert_eq!(texts, expected);
}

async fn what_is_gone_can_not_be_changed(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    ann.emit("delete_message", json!({"message_id": id})).await;
    let edit = json!({"message_id": id, "content": "ghost"});
    refused(&mut ann, "edit_message", edit, "not_found").await;
    app.flushed().await;
    assert!(app.direct("ann", "bob").await.is_empty());
}
