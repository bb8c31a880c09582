//! `GET /messages/...`.

use reqwest::StatusCode;
use serde_json::json;

use crate::app::{TestApp, sent, to_group, to_user};

crate::on_both_stores![
    a_page_is_the_newest_of_the_conversation_newest_first,
    a_page_marks_what_it_shows_as_read_without_a_word,
    a_groups_history_is_for_its_members,
    parameters_of_the_wrong_form_are_422,
];

async fn a_page_is_the_newest_of_the_conversation_newest_first(app: TestApp) {
    let mut ann = app.user("ann").await;
    for n in 0..60 {
        sent(&mut ann, to_user("bob", &n.to_string())).await;
        if n == 30 {
            app.flushed().await;
        }
    }
    sent(&mut ann, to_user("cem", "elsewhere")).await;
    let contents = |rows: Vec<serde_json::Value>| -> Vec<u32> {
        rows.iter().map(|row| row["content"].as_str().unwrap().parse().unwrap()).collect()
    };
    let newest = |count: u32| (60 - count..60).rev().collect::<Vec<_>>();
    assert_eq!(contents(app.direct("bob", "ann").await), newest(50));
    assert_eq!(contents(app.rows("/messages/ann/bob?limit=3").await), newest(3));
    assert_eq!(contents(app.rows("/messages/ann/bob?limit=9999").await), newest(60));
}

async fn a_page_marks_what_it_shows_as_read_without_a_word(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    sent(&mut ann, to_user("bob", "one")).await;
    app.direct("ann", "bob").await;
    assert_eq!(app.direct("bob", "ann").await[0]["read_by"], json!([]), "not by its sender");
    assert_eq!(app.direct("ann", "bob").await[0]["status"], "read");
    assert_eq!(app.direct("ann", "bob").await[0]["read_by"], json!(["bob"]));
    ann.settle().await;
    assert!(ann.events_so_far("message_update").await.is_empty());
    bob.settle().await;
}

async fn a_groups_history_is_for_its_members(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    sent(&mut ann, to_group(&group, "hi")).await;
    assert_eq!(app.of_group("bob", &group).await.len(), 1);
    let (status, _) = app.get(&format!("/messages/eve/{group}?message_type=group")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let nowhere = format!("/messages/ann/{}?message_type=group", "0".repeat(24));
    assert_eq!(app.get(&nowhere).await.0, StatusCode::NOT_FOUND);
}

async fn parameters_of_the_wrong_form_are_422(app: TestApp) {
    for (path, place) in [
        ("/messages/a/b?message_type=all", json!(["query", "message_type"])),
        ("/messages/a/b?limit=0", json!(["query", "limit"])),
        ("/messages/a/b?limit=many", json!(["query", "limit"])),
        ("/messages/a/nope?message_type=group", json!(["path", "other_id"])),
        ("/messages/a%0A/b", json!(["path", "user_id"])),
    ] {
        let (status, body) = app.get(path).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let wrong = &body["detail"][0];
        assert_eq!(wrong["loc"], place, "{path}");
        assert!(wrong["msg"].is_string() && wrong["type"].is_string(), "{wrong}");
    }
}
