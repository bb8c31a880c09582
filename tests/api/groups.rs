//! Groups: making, finding, joining, leaving, deleting, and who is told.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group};

crate::on_both_stores![
    a_group_is_made_once_per_member_and_its_members_are_told,
    groups_are_found_by_member_and_by_part_of_the_name,
    a_member_added_can_take_part_at_once,
    a_removed_member_hears_and_says_nothing_more,
    only_the_creator_removes_and_the_creator_stays,
    a_deleted_group_takes_its_messages_along,
    a_group_of_the_wrong_form_is_refused,
];

const QUIET: Duration = Duration::from_millis(150);

fn is_notice(notice: &Value, group: &str, text: &str) {
    assert_eq!(notice["type"], "group_notification");
    assert_eq!((&notice["content"], &notice["group_id"]), (&json!(text), &json!(group)));
    assert!(notice["timestamp"].is_string());
}

async fn a_group_is_made_once_per_member_and_its_members_are_told(app: TestApp) {
    let mut bob = app.user("bob").await;
    let body = json!({"name": "Team", "member_ids": ["ann", "bob", "ann"], "created_by": "ann"});
    let (status, group) = app.post("/groups/", body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(group["member_ids"], json!(["ann", "bob"]));
    assert_eq!((&group["name"], &group["created_by"]), (&json!("Team"), &json!("ann")));
    assert!(group["created_at"].is_string());
    let id = group["_id"].as_str().unwrap();
    is_notice(&bob.next_event("notification").await, id, "You have been added to group: Team");
    assert_eq!(app.rows("/groups/bob").await, std::slice::from_ref(&group));
}

async fn groups_are_found_by_member_and_by_part_of_the_name(app: TestApp) {
    for (name, member) in [("Rust.Users", "ann"), ("Crust", "bob"), ("Python", "ann")] {
        let body = json!({"name": name, "member_ids": [member], "created_by": member});
        assert_eq!(app.post("/groups", body).await.0, StatusCode::OK);
    }
    let names = |rows: Vec<Value>| -> Vec<String> {
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(app.rows("/groups/ann").await), ["Python", "Rust.Users"]);
    assert_eq!(names(app.rows("/groups/nobody").await), Vec::<String>::new());
    assert_eq!(names(app.rows("/groups/search/RUST").await), ["Crust", "Rust.Users"]);
    assert_eq!(names(app.rows("/groups/search/t.u").await), ["Rust.Users"]);
    assert_eq!(app.get("/groups/search/.*").await.0, StatusCode::NOT_FOUND);
}

async fn a_member_added_can_take_part_at_once(app: TestApp) {
    let group = app.group("ann", &[]).await;
    let mut bob = app.user("bob").await;
    refused(&mut bob, "send_message", to_group(&group, "hi"), "forbidden").await;
    let (status, body) = app.request(Method::POST, &format!("/group/{group}/bob")).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"message": "User added to group"})));
    is_notice(
        &bob.next_event("notification").await,
        &group,
        "You have been added to group: Friends",
    );
    assert_eq!(bob.emit_ack("join_group", json!(group)).await, json!({"ok": true}));
    sent(&mut bob, to_group(&group, "hi")).await;
    let (status, _) = app.request(Method::POST, &format!("/group/{group}/bob")).await;
    assert_eq!(status, StatusCode::OK, "a member who is added again stays one");
    bob.next_event("message").await;
    bob.no_event("notification", QUIET).await;
    let nowhere = format!("/group/{}/bob", "0".repeat(24));
    assert_eq!(app.request(Method::POST, &nowhere).await.0, StatusCode::NOT_FOUND);
}

async fn a_removed_member_hears_and_says_nothing_more(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob, mut cem) =
        (app.user("ann").await, app.user("bob").await, app.user("cem").await);
    bob.emit_ack("join_group", json!(group)).await;
    let path = format!("/groups/{group}/remove?user_id=bob&admin_id=ann");
    let (status, body) = app.request(Method::POST, &path).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({
            "message": "Successfully removed from group", "group_id": group,
            "removed_user_id": "bob", "removed_by": "ann",
        })
    );
    is_notice(&cem.next_event("notification").await, &group, "bob has been removed from the group");
    let to_bob = bob.next_event("notification").await;
    is_notice(&to_bob, &group, "You have been removed from group: Friends");
    sent(&mut ann, to_group(&group, "he is gone")).await;
    bob.no_event("message", QUIET).await;
    bob.no_event("notification", QUIET).await;
    refused(&mut bob, "send_message", to_group(&group, "hello?"), "forbidden").await;
    refused(&mut bob, "join_group", json!(group), "forbidden").await;
    assert_eq!(app.request(Method::POST, &path).await.0, StatusCode::NOT_FOUND);
}

async fn only_the_creator_removes_and_the_creator_stays(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let mut cem = app.user("cem").await;
    let remove = async |user: &str, by: &str| {
        let path = format!("/groups/{group}/remove?user_id={user}&admin_id={by}");
        app.request(Method::POST, &path).await.0
    };
    assert_eq!(remove("cem", "bob").await, StatusCode::FORBIDDEN);
    assert_eq!(remove("ann", "ann").await, StatusCode::BAD_REQUEST);
    assert_eq!(remove("zoe", "ann").await, StatusCode::NOT_FOUND);
    assert_eq!(remove("bob", "bob").await, StatusCode::OK, "who is no creator may leave");
    is_notice(&cem.next_event("notification").await, &group, "bob has left the group");
    let (status, body) = app.request(Method::POST, &format!("/groups/{group}/remove")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["detail"][0]["type"], "missing");
}

async fn a_deleted_group_takes_its_messages_along(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let other = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    let stored = sent(&mut ann, to_group(&group, "stored")).await;
    app.flushed().await;
    let buffered = sent(&mut ann, to_group(&group, "buffered")).await;
    sent(&mut ann, to_group(&other, "stays")).await;
    let (status, body) = app.delete(&format!("/groups/{group}")).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"message": "Group deleted successfully"})));
    refused(&mut ann, "send_message", to_group(&group, "hello?"), "not_found").await;
    for id in [stored, buffered] {
        refused(&mut ann, "mark_read", json!({"message_id": id}), "not_found").await;
    }
    assert_eq!(app.delete(&format!("/groups/{group}")).await.0, StatusCode::NOT_FOUND);
    app.flushed().await;
    assert_eq!(app.of_group("bob", &other).await.len(), 1);
    assert_eq!(app.get("/health/db").await.1["messages_count"], json!(1));
    assert_eq!(app.rows("/groups/bob").await.len(), 1);
}

async fn a_group_of_the_wrong_form_is_refused(app: TestApp) {
    let group = |name: &str, members: Value| {
        json!({"name": name, "member_ids": members, "created_by": "ann"}).to_string()
    };
    for (body, status) in [
        (group("", json!(["ann"])), StatusCode::BAD_REQUEST),
        (group(&"x".repeat(300), json!(["ann"])), StatusCode::BAD_REQUEST),
        (group("a", json!(null)), StatusCode::UNPROCESSABLE_ENTITY),
        (group("a", json!("ann")), StatusCode::UNPROCESSABLE_ENTITY),
        (group("a", json!([""])), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"name": "a"}).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        ("{".to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
        (group("a", json!(["ann"])) + "{}", StatusCode::UNPROCESSABLE_ENTITY),
        ("[".repeat(100_000), StatusCode::UNPROCESSABLE_ENTITY),
        (group("a", json!(vec!["x".repeat(90); 11_500])), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let (answer, detail) = app.send(Method::POST, "/groups/", Some(body)).await;
        assert_eq!(answer, status, "{detail}");
        assert!(!detail["detail"].is_null(), "{detail}");
    }
    for (body, loc, kind) in [
        (json!({"name": "a", "member_ids": []}), json!(["body", "created_by"]), "missing"),
        (json!({"name": 1}), json!(["body", "name"]), "value_error"),
        (
            json!({"name": "a", "member_ids": ["b", ""], "created_by": "c"}),
            json!(["body", "member_ids", 1]),
            "value_error",
        ),
        (
            json!({"name": "a", "member_ids": ["b", 2], "created_by": "c"}),
            json!(["body", "member_ids", 1]),
            "value_error",
        ),
        (json!("a"), json!(["body"]), "value_error"),
    ] {
        let (status, answer) = app.post("/groups/", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        let wrong = &answer["detail"][0];
        assert_eq!((&wrong["loc"], &wrong["type"]), (&loc, &json!(kind)), "{answer}");
    }
    let members: Vec<_> = (0..10_001).map(|n| n.to_string()).collect();
    let (status, _) = app.send(Method::POST, "/groups/", Some(group("a", json!(members)))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
