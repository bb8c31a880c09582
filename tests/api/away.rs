//! MongoDB goes away and comes back: nobody who chats has to know.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group, to_user};
use crate::mongod::Mongod;

/// How long what must come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

async fn on(mongod: &Mongod) -> TestApp {
    let url = mongod.url();
    TestApp::with(&[("MONGO_URL", &url), ("BREAKER_OPEN", "0.5")]).await
}

fn contents(rows: &[Value]) -> Vec<&str> {
    rows.iter().rev().map(|row| row["content"].as_str().unwrap()).collect()
}

async fn drained(app: &TestApp) {
    tokio::time::timeout(PATIENCE, app.flushed()).await.expect("the buffer drains by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_and_all_is_stored_once_and_in_order_after() {
    let mut mongod = Mongod::start().await;
    let app = on(&mongod).await;
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    bob.emit_ack("join_group", json!(group)).await;
    sent(&mut ann, to_user("bob", "before")).await;
    drained(&app).await;
    mongod.kill();

    let mut said = vec!["before".to_owned()];
    for n in 0..50 {
        said.push(format!("d{n}"));
        sent(&mut ann, to_user("bob", &format!("d{n}"))).await;
        sent(&mut ann, to_group(&group, &format!("g{n}"))).await;
    }
    assert_eq!(bob.next_event("message").await["content"], "before");
    for n in 0..50 {
        assert_eq!(bob.next_event("message").await["content"], json!(format!("d{n}")));
        assert_eq!(bob.next_event("message").await["content"], json!(format!("g{n}")));
    }
    let id = sent(&mut ann, to_user("bob", "helo")).await;
    let edit = json!({"message_id": id, "content": "hello"});
    assert_eq!(ann.emit_ack("edit_message", edit).await, json!({"ok": true}));
    said.push("hello".to_owned());

    assert_eq!(contents(&app.rows("/messages/bob/ann?limit=200").await), said[1..]);
    assert_eq!(app.of_group("bob", &group).await.len(), 50);
    let (status, body) = app.get("/messages/bob/cem").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nothing of it is in memory: {body}");
    for search in ["user_id=bob&q=d1", "user_id=cem&q=d1"] {
        let (status, body) = app.get(&format!("/search?{search}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{search}: {body}");
    }
    let (export, erasure) = (app.get("/users/ann/export").await, app.delete("/users/ann").await);
    assert_eq!(export.0, StatusCode::SERVICE_UNAVAILABLE, "{}", export.1);
    assert_eq!(erasure.0, StatusCode::SERVICE_UNAVAILABLE, "{}", erasure.1);
    let (status, body) = app.get("/health/db").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["detail"].is_string(), "{body}");
    assert_eq!(app.get("/health/ready").await.0, StatusCode::OK);
    let (status, _) = app.get("/groups/ann").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);

    mongod.restart().await;
    drained(&app).await;
    assert_eq!(contents(&app.rows("/messages/bob/ann?limit=200").await), said);
    let (_, found) = app.get("/search?user_id=bob&q=d1&in=ann&limit=50").await;
    assert_eq!(found["results"].as_array().expect("results").len(), 11, "d1, d10 to d19");
    let rows = app.of_group("bob", &group).await;
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|row| row["from_user_id"] == "ann"), "nobody was erased");
    assert_eq!(app.get("/health/db").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_without_its_database_serves_and_connects_later() {
    let mut mongod = Mongod::start().await;
    mongod.kill();
    let app = on(&mongod).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    sent(&mut ann, to_user("bob", "early")).await;
    assert_eq!(bob.next_event("message").await["content"], "early");
    assert_eq!(app.direct("bob", "ann").await[0]["content"], "early");

    mongod.restart().await;
    drained(&app).await;
    assert_eq!(contents(&app.direct("bob", "ann").await), ["early"]);
    let indexes_are_there = async {
        loop {
            let (_, health) = app.get("/health/db").await;
            let indexes = &health["indexes"];
            if indexes["messages"]["message_read_by"].is_object()
                && indexes["groups"]["group_members"].is_object()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, indexes_are_there).await.expect("indexes are made later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_do_not_queue_up_behind_a_database_that_is_away() {
    let mut mongod = Mongod::start().await;
    let app = on(&mongod).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let old = sent(&mut ann, to_user("bob", "old")).await;
    drained(&app).await;
    mongod.kill();
    // Each of these needs the database, which takes seconds to say that it is away.
    for _ in 0..200 {
        bob.emit("mark_read", json!({"message_id": old})).await;
    }
    bob.emit("send_message", to_user("ann", "new")).await;
    assert_eq!(ann.next_event("message").await["content"], "old");
    let new = ann.next_event_within("message", PATIENCE).await;
    assert_eq!(new.expect("the message goes out")["content"], "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_that_were_read_lately_are_there_while_mongodb_is_away() {
    let mut mongod = Mongod::start().await;
    let app = on(&mongod).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut ids = Vec::new();
    for n in 0..80 {
        ids.push(sent(&mut ann, to_user("bob", &n.to_string())).await);
    }
    drained(&app).await;
    let before = contents(&app.rows("/messages/bob/ann?limit=20").await).len();
    assert_eq!(before, 20);
    drained(&app).await;
    mongod.kill();
    for n in 80..84 {
        ids.push(sent(&mut ann, to_user("bob", &n.to_string())).await);
    }
    let delete = json!({"message_id": ids[81], "delete_for": "everyone"});
    assert_eq!(ann.emit_ack("delete_message", delete).await, json!({"ok": true}));

    let newest = app.rows("/messages/bob/ann?limit=6").await;
    assert_eq!(contents(&newest), ["77", "78", "79", "80", "82", "83"]);
    let around = app.rows(&format!("/messages/bob/ann?limit=6&around={}", ids[76])).await;
    assert_eq!(contents(&around), ["73", "74", "75", "76", "77", "78"]);
    let older = app.rows(&format!("/messages/bob/ann?limit=4&before={}", ids[80])).await;
    assert_eq!(contents(&older), ["76", "77", "78", "79"]);
    let newer = app.rows(&format!("/messages/bob/ann?limit=4&after={}", ids[78])).await;
    assert_eq!(contents(&newer), ["79", "80", "82", "83"]);
    // As far back as memory goes, and then not a word that could pass for the end.
    let mut oldest = ids[70].clone();
    loop {
        let (status, rows) = app.get(&format!("/messages/bob/ann?limit=9&before={oldest}")).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        let rows = rows.as_array().expect("rows").clone();
        oldest = rows.last().expect("never an empty page")["id"].as_str().unwrap().to_owned();
    }
    assert!(ids.iter().position(|id| *id == oldest).is_some_and(|n| (40..=60).contains(&n)));
    assert_eq!(bob.next_event("message").await["content"], "0");

    mongod.restart().await;
    drained(&app).await;
    let back = format!("/messages/bob/ann?limit=200&before={oldest}");
    let end: usize = ids.iter().position(|id| *id == oldest).unwrap();
    assert_eq!(app.rows(&back).await.len(), end, "the rest is there again");
    assert_eq!(app.rows("/messages/bob/ann?limit=200").await.len(), 83);
}
