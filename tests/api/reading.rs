//! What a user has not read, told on connecting.

use std::time::Duration;

use serde_json::json;

use crate::app::{TestApp, sent, to_group, to_user};

crate::on_both_stores![
    whoever_connects_is_told_what_is_unread,
    what_was_read_hidden_or_deleted_is_not_unread,
];

async fn whoever_connects_is_told_what_is_unread(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    for n in 0..3 {
        sent(&mut ann, to_user("bob", &n.to_string())).await;
    }
    sent(&mut ann, to_group(&group, "hi")).await;
    let mut bob = app.user("bob").await;
    let notice = bob.next_event("notification").await;
    assert_eq!(notice["type"], "unread_notification");
    assert_eq!((&notice["unread_direct"], &notice["unread_group"]), (&json!(3), &json!(1)));
    assert_eq!(notice["content"], "You have 4 unread messages");
    assert!(notice["timestamp"].is_string());

    app.direct("bob", "ann").await;
    app.of_group("bob", &group).await;
    let mut again = app.user("bob").await;
    again.no_event("notification", Duration::from_millis(300)).await;
    bob.no_event("notification", Duration::from_millis(10)).await;
}

async fn what_was_read_hidden_or_deleted_is_not_unread(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(sent(&mut ann, to_user("bob", &n.to_string())).await);
    }
    bob.emit_ack("mark_read", json!({"message_id": ids[0]})).await;
    bob.emit_ack("delete_message", json!({"message_id": ids[1], "delete_for": "me"})).await;
    ann.emit_ack("delete_message", json!({"message_id": ids[2]})).await;
    let notice = app.user("bob").await.next_event("notification").await;
    assert_eq!((&notice["unread_direct"], &notice["unread_group"]), (&json!(1), &json!(0)));
    assert_eq!(notice["content"], "You have 1 unread message");
}
