//! Pins: who may, what is told, and the list of a conversation.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::Client;

crate::on_both_stores![
    a_pin_is_told_to_both_and_listed_the_latest_first,
    a_groups_pins_are_its_members_affair,
    a_pin_that_changes_nothing_is_told_to_nobody,
    who_does_not_see_a_message_can_not_pin_it,
    pins_follow_edits_and_deletions_at_once,
    a_conversation_has_a_hundred_pins_at_the_most,
    pins_outlive_the_server,
];

const QUIET: Duration = Duration::from_millis(150);

async fn pin(client: &mut Client, id: &str) {
    assert_eq!(
        client.emit_ack("pin_message", json!({"message_id": id})).await,
        json!({"ok": true})
    );
}

async fn unpin(client: &mut Client, id: &str) {
    let ack = client.emit_ack("unpin_message", json!({"message_id": id})).await;
    assert_eq!(ack, json!({"ok": true}));
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

async fn pins(app: &TestApp, viewer: &str, other: &str) -> Vec<String> {
    ids(&app.rows(&format!("/pins/{viewer}/{other}")).await)
}

async fn a_pin_is_told_to_both_and_listed_the_latest_first(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut all = Vec::new();
    for text in ["a", "b", "c"] {
        all.push(sent(&mut ann, to_user("bob", text)).await);
    }
    app.flushed().await;
    let mut at = Value::Null;
    for n in [1, 2, 0] {
        pin(&mut bob, &all[n]).await;
        let told = ann.next_event("message_update").await;
        assert_eq!(bob.next_event("message_update").await, told);
        at = told["at"].clone();
        let expected =
            json!({"type": "pin", "message_id": all[n], "pinned": true, "by": "bob", "at": at});
        assert_eq!(told, expected);
    }
    for _ in ["from the buffer", "from the store"] {
        let rows = app.rows("/pins/ann/bob").await;
        assert_eq!(ids(&rows), [all[0].clone(), all[2].clone(), all[1].clone()]);
        assert_eq!(rows[0]["pinned"], json!({"by": "bob", "at": at}));
        assert_eq!(app.direct("bob", "ann").await[2]["pinned"], rows[0]["pinned"]);
        app.flushed().await;
    }
    unpin(&mut ann, &all[2]).await;
    let told = bob.next_event("message_update").await;
    assert_eq!((&told["pinned"], &told["by"]), (&json!(false), &json!("ann")));
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(pins(&app, "bob", "ann").await, [all[0].clone(), all[1].clone()]);
        assert_eq!(app.direct("bob", "ann").await[0].get("pinned"), None);
        app.flushed().await;
    }
}

async fn a_groups_pins_are_its_members_affair(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    bob.emit_ack("join_group", json!(group)).await;
    let id = sent(&mut ann, to_group(&group, "rules")).await;
    pin(&mut ann, &id).await;
    assert_eq!(bob.next_event("message_update").await["type"], json!("pin"));
    let path = |viewer: &str| format!("/pins/{viewer}/{group}?message_type=group");
    assert_eq!(ids(&app.rows(&path("bob")).await), [id]);
    let (status, _) = app.get(&path("eve")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = app.get("/pins/ann/0123456789abcdef01234567?message_type=group").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = app.get("/pins/ann/bob?message_type=all").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn a_pin_that_changes_nothing_is_told_to_nobody(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    unpin(&mut bob, &id).await;
    ann.no_event("message_update", QUIET).await;
    pin(&mut bob, &id).await;
    ann.next_event("message_update").await;
    pin(&mut ann, &id).await;
    ann.no_event("message_update", QUIET).await;
    assert_eq!(app.direct("ann", "bob").await[0]["pinned"]["by"], json!("bob"));
}

async fn who_does_not_see_a_message_can_not_pin_it(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut eve = app.user("eve").await;
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    for event in ["pin_message", "unpin_message"] {
        refused(&mut eve, event, json!({"message_id": id}), "not_found").await;
        let nothing = json!({"message_id": "0123456789abcdef01234567"});
        refused(&mut ann, event, nothing, "not_found").await;
        refused(&mut ann, event, json!({"message_id": 7}), "invalid_payload").await;
    }
    pin(&mut ann, &id).await;
    bob.emit_ack("delete_message", json!({"message_id": id, "delete_for": "me"})).await;
    refused(&mut bob, "unpin_message", json!({"message_id": id}), "not_found").await;
    for _ in ["from the buffer", "from the store"] {
        assert!(pins(&app, "bob", "ann").await.is_empty(), "hidden for this user alone");
        assert_eq!(pins(&app, "ann", "bob").await, std::slice::from_ref(&id));
        app.flushed().await;
    }
}

async fn pins_follow_edits_and_deletions_at_once(app: TestApp) {
    let mut ann = app.user("ann").await;
    let mut all = Vec::new();
    for n in 0..3 {
        let id = sent(&mut ann, to_user("bob", &n.to_string())).await;
        pin(&mut ann, &id).await;
        all.push(id);
    }
    for n in 0..3 {
        let edit = json!({"message_id": all[n], "content": "edited"});
        ann.emit_ack("edit_message", edit).await;
        assert_eq!(app.rows("/pins/ann/bob").await.last().unwrap()["content"], json!("edited"));
        ann.emit_ack("delete_message", json!({"message_id": all[n]})).await;
        let left: Vec<_> = all[n + 1..].iter().rev().cloned().collect();
        assert_eq!(pins(&app, "ann", "bob").await, left);
        app.flushed().await;
        assert_eq!(pins(&app, "ann", "bob").await, left);
    }
}

async fn a_conversation_has_a_hundred_pins_at_the_most(app: TestApp) {
    let mut ann = app.user("ann").await;
    let mut all = Vec::new();
    for n in 0..102 {
        all.push(sent(&mut ann, to_user("bob", &n.to_string())).await);
    }
    // All at once: each is to count those that are on their way.
    let mut wanted = Vec::new();
    for id in &all[..101] {
        wanted.push(ann.send_with_ack("pin_message", &[json!({"message_id": id})]).await);
    }
    let mut done = Vec::new();
    for ack in wanted {
        done.push(ann.ack(ack).await["ok"] == json!(true));
    }
    assert_eq!(done, [vec![true; 100], vec![false]].concat());
    for _ in ["in the buffer", "stored"] {
        let more = json!({"message_id": all[101]});
        let ack = ann.emit_ack("pin_message", more).await;
        assert_eq!(ack["error"]["code"], json!("too_large"));
        assert_eq!(pins(&app, "bob", "ann").await.len(), 100);
        app.flushed().await;
    }
    pin(&mut ann, &all[0]).await;
    unpin(&mut ann, &all[0]).await;
    pin(&mut ann, &all[101]).await;
    let elsewhere = sent(&mut ann, to_user("cem", "hello")).await;
    pin(&mut ann, &elsewhere).await;
    // Of two who want the last place at once, one gets it.
    let mut bob = app.user("bob").await;
    unpin(&mut ann, &all[1]).await;
    for _ in 0..10 {
        let wish = |id: &str| [json!({"message_id": id})];
        let of_ann = ann.send_with_ack("pin_message", &wish(&all[0])).await;
        let of_bob = bob.send_with_ack("pin_message", &wish(&all[1])).await;
        let done = [ann.ack(of_ann).await, bob.ack(of_bob).await].map(|ack| ack["ok"] == true);
        assert!(done == [true, false] || done == [false, true], "{done:?}");
        unpin(&mut ann, &all[usize::from(done[1])]).await;
    }
}

async fn pins_outlive_the_server(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    pin(&mut ann, &id).await;
    let app = app.restarted().await;
    assert_eq!(pins(&app, "bob", "ann").await, [id]);
}
