//! Blocking: who hears nothing from whom, and that nobody is told.

use std::time::Duration;

use bson::doc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group, to_user};
use crate::mongod::Mongod;

crate::on_both_stores![
    a_blocked_user_is_not_heard_and_not_told,
    what_was_there_before_stays_and_what_was_sent_meanwhile_does_not_come,
    a_block_outlives_the_server,
    nothing_is_told_of_what_a_blocked_user_has_sent,
    typing_and_presence_stop_at_a_block,
    blocks_are_listed_and_taken_back,
    the_blocks_of_a_user_have_a_limit,
];

const QUIET: Duration = Duration::from_millis(150);

async fn block(app: &TestApp, user: &str, other: &str) {
    let (status, body) = app.request(Method::POST, &format!("/users/{user}/block/{other}")).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"message": "User blocked"})));
}

async fn unblock(app: &TestApp, user: &str, other: &str) {
    let (status, body) = app.delete(&format!("/users/{user}/block/{other}")).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"message": "User unblocked"})));
}

async fn conversations(app: &TestApp, user: &str) -> Vec<Value> {
    let (status, list) = app.get(&format!("/conversations/{user}")).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    list["conversations"].as_array().expect("a list").clone()
}

async fn a_blocked_user_is_not_heard_and_not_told(app: TestApp) {
    let group = app.group("ann", &["ann", "eve"]).await;
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    ann.emit_ack("join_group", json!(group)).await;
    block(&app, "ann", "eve").await;
    let ack = eve.emit_ack("send_message", to_user("ann", "listen!")).await;
    assert_eq!((&ack["ok"], &ack["message"]["status"]), (&json!(true), &json!("sent")));
    assert_eq!(ack["message"]["deleted_for"], json!([]), "nothing shows it");
    assert_eq!(eve.next_event("message").await, ack["message"]);
    // The other direction, and groups, are as they were; what comes is heard in order.
    let id = sent(&mut ann, to_user("eve", "no")).await;
    assert_eq!(eve.next_event("message").await["id"], json!(id));
    sent(&mut eve, to_group(&group, "all of you!")).await;
    let heard = [ann.next_event("message").await, ann.next_event("message").await];
    assert_eq!(heard.map(|message| message["content"].clone()), ["no", "all of you!"]);
    assert_eq!(ann.events_so_far("message").await, Vec::<Value>::new());
    for _ in ["from the buffer", "from the store"] {
        let texts = |rows: Vec<Value>| {
            rows.into_iter().map(|row| row["content"].as_str().unwrap().to_owned()).collect()
        };
        let of_ann: Vec<String> = texts(app.direct("ann", "eve").await);
        let of_eve: Vec<String> = texts(app.direct("eve", "ann").await);
        assert_eq!((of_ann, of_eve.len()), (vec!["no".to_owned()], 2));
        app.flushed().await;
    }
    let unread: Vec<_> =
        conversations(&app, "ann").await.iter().map(|chat| chat["unread"].clone()).collect();
    assert_eq!(unread, [1, 0], "the group's alone");
}

async fn what_was_there_before_stays_and_what_was_sent_meanwhile_does_not_come(app: TestApp) {
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    sent(&mut eve, to_user("ann", "before")).await;
    ann.next_event("message").await;
    block(&app, "ann", "eve").await;
    sent(&mut eve, to_user("ann", "meanwhile")).await;
    let chats = conversations(&app, "ann").await;
    let last = &chats[0]["last_message"];
    assert_eq!((&last["content"], &chats[0]["unread"]), (&json!("before"), &json!(1)));
    assert_eq!(chats[0]["updated_at"], last["timestamp"]);
    unblock(&app, "ann", "eve").await;
    sent(&mut eve, to_user("ann", "after")).await;
    assert_eq!(ann.next_event("message").await["content"], "after");
    app.flushed().await;
    let rows = app.direct("ann", "eve").await;
    let texts: Vec<_> = rows.iter().map(|row| row["content"].clone()).collect();
    assert_eq!(texts, ["after", "before"]);
}

async fn a_block_outlives_the_server(app: TestApp) {
    block(&app, "ann", "eve").await;
    let app = app.restarted().await;
    // Nobody was here yet, and nothing is in memory.
    let mut eve = app.user("eve").await;
    sent(&mut eve, to_user("ann", "listen!")).await;
    assert!(app.direct("ann", "eve").await.is_empty());
    assert!(conversations(&app, "ann").await.is_empty(), "there is no conversation to see");
    assert_eq!(conversations(&app, "eve").await.len(), 1);
    let mut ann = app.user("ann").await;
    let page = ann.emit_ack("sync", json!({})).await;
    assert_eq!(page["conversations"], json!([]), "{page}");
    ann.no_event("notification", QUIET).await;
}

async fn nothing_is_told_of_what_a_blocked_user_has_sent(app: TestApp) {
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    let page = ann.emit_ack("sync", json!({})).await;
    block(&app, "ann", "eve").await;
    let id = sent(&mut eve, to_user("ann", "listen!")).await;
    let edit = json!({"message_id": id, "content": "please"});
    assert_eq!(eve.emit_ack("edit_message", edit).await, json!({"ok": true}));
    assert_eq!(eve.next_event("message_update").await["new_content"], "please");
    let marks = json!({"message_ids": [id]});
    for event in ["mark_read", "mark_delivered"] {
        assert_eq!(ann.emit_ack(event, marks.clone()).await, json!({"ok": true}));
    }
    let second = sent(&mut eve, to_user("ann", "bye")).await;
    eve.emit_ack("delete_message", json!({"message_id": second})).await;
    assert_eq!(eve.next_event("message_deleted").await["message_id"], json!(second));
    ann.settle().await;
    for event in ["message", "message_update", "message_deleted"] {
        assert_eq!(ann.events_so_far(event).await, Vec::<Value>::new(), "{event}");
    }
    eve.no_event("message_update", QUIET).await;
    app.flushed().await;
    let missed = crate::sync::sync(&mut ann, page["cursor"].as_str().unwrap(), 200).await.0;
    let told = missed.iter().filter(|change| change["message_id"] != json!(second));
    assert_eq!(told.count(), 0, "{missed:?}");
}

async fn typing_and_presence_stop_at_a_block(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for name in ["eve", "bob"] {
        sent(&mut ann, to_user(name, "hi")).await;
    }
    bob.next_event("message").await;
    block(&app, "ann", "eve").await;
    let mut eve = app.user("eve").await;
    let to_ann = json!({"to": "ann", "type": "direct"});
    assert_eq!(eve.emit_ack("typing_start", to_ann.clone()).await, json!({"ok": true}));
    // Told in order: what comes of bob comes after what would have come of eve.
    bob.emit_ack("typing_start", to_ann).await;
    assert_eq!(ann.next_event("typing").await["user_id"], "bob");
    bob.disconnect().await;
    let gone = loop {
        let told = ann.next_event("presence").await;
        assert_ne!(told["user_id"], "eve", "{told}");
        if told["user_id"] == "bob" && told["status"] == "offline" {
            break told;
        }
    };
    assert!(gone["last_seen"].is_string());
    assert!(ann.events_so_far("typing").await.iter().all(|told| told["user_id"] != "eve"));
    let mut cem = app.user("cem").await;
    sent(&mut cem, to_user("eve", "hello")).await;
    ann.disconnect().await;
    cem.disconnect().await;
    loop {
        let told = eve.next_event("presence").await;
        assert_ne!(told["user_id"], "ann", "neither hears of the other: {told}");
        if told["user_id"] == "cem" && told["status"] == "offline" {
            break;
        }
    }
}

async fn blocks_are_listed_and_taken_back(app: TestApp) {
    assert_eq!(app.get("/users/ann/blocks").await, (StatusCode::OK, json!([])));
    for other in ["bob", "eve", "bob"] {
        block(&app, "ann", other).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (status, blocks) = app.get("/users/ann/blocks").await;
    assert_eq!(status, StatusCode::OK);
    let names: Vec<_> = blocks.as_array().unwrap().iter().map(|row| &row["user_id"]).collect();
    assert_eq!(names, ["eve", "bob"], "the first time counts");
    assert!(blocks[0]["blocked_at"].is_string());
    unblock(&app, "ann", "eve").await;
    unblock(&app, "ann", "eve").await;
    assert_eq!(app.get("/users/ann/blocks").await.1.as_array().unwrap().len(), 1);
    assert_eq!(app.get("/users/bob/blocks").await.1, json!([]));
    let own = app.request(Method::POST, "/users/ann/block/ann").await;
    assert_eq!(own.0, StatusCode::BAD_REQUEST);
    let bad = app.request(Method::POST, "/users/ann/block/a%0Ab").await;
    assert_eq!(bad.0, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Puts into the store that a user has blocked `user0` and so on.
async fn put_blocks(app: &TestApp, user: &str, count: i64) {
    if let Some(database) = app.mongodb().await {
        let rows = (0..count).map(|n| {
            let other = format!("user{n}");
            let at = bson::DateTime::from_millis(n);
            doc! {"_id": {"user": user, "other": &other}, "user": user, "other": &other, "at": at}
        });
        database.collection("blocks").insert_many(rows).await.unwrap();
    } else {
        let file = app.folder.path().join("data/banter.db");
        let put = "INSERT INTO blocks (user, other, at) WITH RECURSIVE n (at) AS \
                   (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at + 1 < ?2) \
                   SELECT ?1, 'user' || at, at FROM n";
        rusqlite::Connection::open(file).unwrap().execute(put, (user, count)).unwrap();
    }
}

async fn the_blocks_of_a_user_have_a_limit(app: TestApp) {
    put_blocks(&app, "ann", 9_999).await;
    block(&app, "ann", "eve").await;
    let (status, answer) = app.request(Method::POST, "/users/ann/block/zoe").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    assert_eq!(answer["detail"], "You can block 10000 users at the most");
    // Who is blocked already may be blocked again, and all of them are.
    block(&app, "ann", "user0").await;
    assert_eq!(app.get("/users/ann/blocks").await.1.as_array().unwrap().len(), 10_000);
    let (mut ann, mut user0, mut zoe) =
        (app.user("ann").await, app.user("user0").await, app.user("zoe").await);
    sent(&mut user0, to_user("ann", "listen!")).await;
    sent(&mut zoe, to_user("ann", "hi")).await;
    assert_eq!(ann.next_event("message").await["content"], "hi");
    unblock(&app, "ann", "user7").await;
    block(&app, "ann", "zoe").await;
}

/// What is known holds; who is not known has blocked nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_what_is_in_memory_holds() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let app = TestApp::with(&[("MONGO_URL", &url), ("BREAKER_OPEN", "0.5")]).await;
    for user in ["ann", "zoe"] {
        block(&app, user, "eve").await;
    }
    let app = app.restarted().await;
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    // When this is answered, Ann's blocks are in memory; Zoe's are not.
    sent(&mut eve, to_user("ann", "one")).await;
    app.flushed().await;
    mongod.kill();
    sent(&mut eve, to_user("ann", "two")).await;
    let to_ann = json!({"to": "ann", "type": "direct"});
    assert_eq!(eve.emit_ack("typing_start", to_ann).await, json!({"ok": true}));
    let mut zoe = app.user("zoe").await;
    let heard = sent(&mut eve, to_user("zoe", "three")).await;
    assert_eq!(zoe.next_event("message").await["id"], json!(heard));
    for method in [Method::POST, Method::DELETE] {
        let (status, _) = app.request(method, "/users/ann/block/bob").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(app.get("/users/ann/blocks").await.0, StatusCode::SERVICE_UNAVAILABLE);
    sent(&mut zoe, to_user("ann", "last")).await;
    for client in [&mut ann, &mut zoe] {
        assert_eq!(client.next_event("message").await["content"], "last");
    }
    assert_eq!(ann.events_so_far("typing").await, Vec::<Value>::new());

    mongod.restart().await;
    app.flushed().await;
    assert_eq!(app.direct("ann", "eve").await, Vec::<Value>::new(), "what was hidden stays so");
    assert_eq!(app.direct("zoe", "eve").await.len(), 1);
    sent(&mut eve, to_user("zoe", "four")).await;
    sent(&mut ann, to_user("zoe", "five")).await;
    assert_eq!(zoe.next_event("message").await["content"], "five", "now it is known again");
}
