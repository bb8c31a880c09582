//! What messages said before they were edited.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group, to_user};

crate::on_both_stores![
    earlier_contents_are_told_oldest_first,
    only_who_sees_a_message_sees_what_it_said,
    what_a_deleted_message_said_is_gone,
];

async fn earlier_contents_are_told_oldest_first(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "1")).await;
    assert_eq!(app.rows(&format!("/edits/{id}?user_id=bob")).await, [Value::Null; 0]);
    let mut times = vec![app.direct("ann", "bob").await[0]["timestamp"].clone()];
    for content in [json!("2"), json!({"w": 3}), json!("4")] {
        let edit = json!({"message_id": id, "content": content});
        assert_eq!(ann.emit_ack("edit_message", edit).await, json!({"ok": true}));
        times.push(ann.next_event("message_update").await["edited_at"].clone());
    }
    let earlier = [json!("1"), json!("2"), json!({"w": 3})];
    let expected: Vec<_> = (earlier.iter().zip(&times))
        .map(|(content, at)| json!({"content": content, "edited_at": at}))
        .collect();
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(app.rows(&format!("/edits/{id}?user_id=bob")).await, expected);
        app.flushed().await;
    }
}

async fn only_who_sees_a_message_sees_what_it_said(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let direct = sent(&mut ann, to_user("bob", "x")).await;
    let in_group = sent(&mut ann, to_group(&group, "x")).await;
    for id in [&direct, &in_group] {
        let (status, _) = app.get(&format!("/edits/{id}?user_id=eve")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(app.rows(&format!("/edits/{id}?user_id=bob")).await.is_empty());
        bob.emit_ack("delete_message", json!({"message_id": id, "delete_for": "me"})).await;
        let (status, _) = app.get(&format!("/edits/{id}?user_id=bob")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let (status, _) = app.get(&format!("/edits/{direct}")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = app.get("/edits/a%20b?user_id=bob").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn what_a_deleted_message_said_is_gone(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "secret")).await;
    ann.emit_ack("edit_message", json!({"message_id": id, "content": "public"})).await;
    app.flushed().await;
    ann.emit_ack("delete_message", json!({"message_id": id})).await;
    for _ in ["in the buffer", "stored"] {
        let (status, _) = app.get(&format!("/edits/{id}?user_id=ann")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        app.flushed().await;
    }
}
