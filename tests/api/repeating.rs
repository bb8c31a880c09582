//! A message that is sent again under its client id is the message that was sent.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::mongod::Mongod;
use crate::sio::Client;

crate::on_both_stores![
    a_repeated_send_answers_with_the_first_message_and_does_nothing_else,
    sends_of_the_same_name_at_once_are_one_message,
    another_user_may_give_the_same_name,
    a_repeated_send_to_a_group_needs_no_membership_any_more,
    a_deleted_message_is_not_sent_again,
    a_name_of_the_wrong_form_is_refused,
    a_repeated_edit_is_the_edit_that_was_made,
    the_name_is_on_the_message_wherever_it_is_seen,
];

fn named(payload: Value, client_id: &str) -> Value {
    let mut payload = payload;
    payload["client_id"] = json!(client_id);
    payload
}

async fn ack(client: &mut Client, payload: Value) -> Value {
    let ack = client.emit_ack("send_message", payload).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    ack["message"].clone()
}

async fn a_repeated_edit_is_the_edit_that_was_made(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "helo")).await;
    let edit = json!({"message_id": id, "content": "hello"});
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(ann.emit_ack("edit_message", edit.clone()).await, json!({"ok": true}));
        app.flushed().await;
    }
    let first = bob.next_event("message_update").await;
    assert_eq!(bob.next_event("message_update").await, first);
    assert_eq!(app.direct("bob", "ann").await[0]["edited_at"], first["edited_at"]);
    let again = json!({"message_id": id, "content": "helo"});
    ann.emit_ack("edit_message", again).await;
    assert_ne!(bob.next_event("message_update").await["edited_at"], first["edited_at"]);
}

async fn a_repeated_send_answers_with_the_first_message_and_does_nothing_else(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let first = ack(&mut ann, named(to_user("bob", "hello"), "c-1")).await;
    for stored in [false, true] {
        if stored {
            app.flushed().await;
        }
        // Whatever else it says, also on another connection.
        let mut other = app.user("ann").await;
        for client in [&mut ann, &mut other] {
            let again = ack(client, named(to_user("carl", "another"), "c-1")).await;
            assert_eq!(again, first);
        }
        other.disconnect().await;
    }
    let next = ack(&mut ann, named(to_user("bob", "next"), "c-2")).await;
    assert_ne!(next["_id"], first["_id"]);
    assert_eq!(bob.next_event("message").await["_id"], first["_id"]);
    assert_eq!(bob.next_event("message").await["_id"], next["_id"], "nothing in between");
    assert_eq!(app.direct("bob", "ann").await.len(), 2);
    assert!(app.direct("carl", "ann").await.is_empty());
}

async fn sends_of_the_same_name_at_once_are_one_message(app: TestApp) {
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(app.user("ann").await);
    }
    let payload = [named(to_user("bob", "x"), "c-1")];
    let mut wanted = Vec::new();
    for socket in &mut sockets {
        wanted.push(socket.send_with_ack("send_message", &payload).await);
    }
    let mut ids = Vec::new();
    for (socket, wanted) in sockets.iter_mut().zip(wanted) {
        let ack = socket.ack(wanted).await;
        ids.push(ack["message"]["_id"].as_str().expect("an id").to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(app.direct("bob", "ann").await.len(), 1);
}

async fn another_user_may_give_the_same_name(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let first = ack(&mut ann, named(to_user("carl", "a"), "c-1")).await;
    let second = ack(&mut bob, named(to_user("carl", "b"), "c-1")).await;
    assert_ne!(first["_id"], second["_id"]);
    app.flushed().await;
    assert_eq!(app.direct("carl", "ann").await.len() + app.direct("carl", "bob").await.len(), 2);
}

async fn a_repeated_send_to_a_group_needs_no_membership_any_more(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut bob = app.user("bob").await;
    let first = ack(&mut bob, named(to_group(&group, "x"), "c-1")).await;
    let path = format!("/groups/{group}/remove?user_id=bob&admin_id=ann");
    assert_eq!(app.post(&path, json!({})).await.0, StatusCode::OK);
    let again = ack(&mut bob, named(to_group(&group, "x"), "c-1")).await;
    assert_eq!(again["_id"], first["_id"], "it was accepted then");
    refused(&mut bob, "send_message", named(to_group(&group, "y"), "c-2"), "forbidden").await;
    // What was refused has taken no name.
    ack(&mut bob, named(to_user("ann", "z"), "c-2")).await;
}

async fn a_deleted_message_is_not_sent_again(app: TestApp) {
    let mut ann = app.user("ann").await;
    for stored in [false, true] {
        let name = format!("c-{stored}");
        let first = ack(&mut ann, named(to_user("bob", "x"), &name)).await;
        if stored {
            app.flushed().await;
        }
        let gone = json!({"message_id": first["_id"]});
        assert_eq!(ann.emit_ack("delete_message", gone).await, json!({"ok": true}));
        app.flushed().await;
        let again = ann.emit_ack("send_message", named(to_user("bob", "x"), &name)).await;
        let is_the_first = again["message"]["_id"] == first["_id"];
        assert!(is_the_first || again["error"]["code"] == "not_found", "{again}");
    }
    app.flushed().await;
    assert!(app.direct("bob", "ann").await.is_empty());
}

async fn a_name_of_the_wrong_form_is_refused(app: TestApp) {
    let mut ann = app.user("ann").await;
    for bad in [json!(""), json!("x".repeat(65)), json!("a\nb"), json!(7), json!({"$ne": 1})] {
        let mut payload = to_user("bob", "x");
        payload["client_id"] = bad;
        refused(&mut ann, "send_message", payload, "invalid_payload").await;
    }
    ack(&mut ann, named(to_user("bob", "x"), &"ж".repeat(64))).await;
    let mut none = to_user("bob", "x");
    none["client_id"] = json!(null);
    let (first, second) = (sent(&mut ann, none.clone()).await, sent(&mut ann, none).await);
    assert_ne!(first, second, "no name is no name");
}

async fn the_name_is_on_the_message_wherever_it_is_seen(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    ack(&mut ann, named(to_user("bob", "x"), "c-1")).await;
    assert_eq!(bob.next_event("message").await["client_id"], "c-1");
    for stored in [false, true] {
        if stored {
            app.flushed().await;
        }
        assert_eq!(app.direct("bob", "ann").await[0]["client_id"], "c-1");
    }
    sent(&mut ann, to_user("bob", "y")).await;
    assert!(app.direct("bob", "ann").await[0].get("client_id").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_named_messages_go_out_and_are_still_sent_once() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let app = TestApp::with(&[("MONGO_URL", &url), ("BREAKER_OPEN", "0.5")]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let early = ack(&mut ann, named(to_user("bob", "early"), "early")).await;
    app.flushed().await;
    mongod.kill();
    let mut ids = vec![early["_id"].clone()];
    for n in 0..20 {
        let name = format!("c-{n}");
        let first = ack(&mut ann, named(to_user("bob", &name), &name)).await;
        assert_eq!(ack(&mut ann, named(to_user("bob", &name), &name)).await, first);
        ids.push(first["_id"].clone());
    }
    // Stored before the database went, and still known.
    assert_eq!(ack(&mut ann, named(to_user("bob", "early"), "early")).await, early);
    for id in &ids {
        assert_eq!(bob.next_event("message").await["_id"], *id);
    }
    mongod.restart().await;
    tokio::time::timeout(Duration::from_secs(60), app.flushed()).await.expect("it drains");
    assert_eq!(app.direct("bob", "ann").await.len(), ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_in_memory_is_not_sent_twice_while_the_database_is_away() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let settings = [("MONGO_URL", &*url), ("BREAKER_OPEN", "0.5"), ("MAX_CONTENT_SIZE", "1000000")];
    let app = TestApp::with(&settings).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    // More than what is kept of messages that were stored lately.
    let text = "x".repeat(900_000);
    let mut sent = Vec::new();
    for n in 0..40 {
        let first = ack(&mut ann, named(to_user("bob", &text), &format!("c-{n}"))).await;
        assert_eq!(bob.next_event("message").await["_id"], first["_id"]);
        sent.push(first["_id"].clone());
    }
    app.flushed().await;
    mongod.kill();
    let again = ann.emit_ack("send_message", named(to_user("bob", &text), "c-0")).await;
    assert_eq!(again["error"]["code"], "unavailable", "{again}");
    let last = ack(&mut ann, named(to_user("bob", "new"), "new")).await;
    assert_eq!(bob.next_event("message").await["_id"], last["_id"]);
    mongod.restart().await;
    tokio::time::timeout(Duration::from_secs(60), app.flushed()).await.expect("it drains");
    let again = ack(&mut ann, named(to_user("bob", &text), "c-0")).await;
    assert_eq!(again["_id"], sent[0]);
    assert_eq!(app.direct("bob", "ann").await.len(), sent.len() + 1);
}
