//! Mentions: who is mentioned, and who is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::{Client, Packet};

crate::on_both_stores![
    members_whom_a_message_mentions_are_told,
    in_a_direct_message_its_two_users_count,
    a_mention_comes_behind_its_message,
    a_list_of_mentions_has_a_limit,
    a_send_that_is_repeated_tells_nobody_again,
];

const QUIET: Duration = Duration::from_millis(150);

fn mentioning(mut message: Value, users: Value) -> Value {
    message["mentions"] = users;
    message
}

/// The next mention; other notifications are passed over.
async fn mention(client: &mut Client) -> Value {
    loop {
        let told = client.next_event("notification").await;
        if told["type"] == "mention" {
            return told;
        }
    }
}

async fn members_whom_a_message_mentions_are_told(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let (mut cem, mut eve) = (app.user("cem").await, app.user("eve").await);
    let users = json!(["bob", "eve", "ann", "bob"]);
    let id = sent(&mut ann, mentioning(to_group(&group, "hi"), users)).await;
    let told = mention(&mut bob).await;
    let row = &app.of_group("cem", &group).await[0];
    let expected = json!({"type": "mention", "content": "ann mentioned you", "message_id": id,
        "from_user_id": "ann", "group_id": group, "timestamp": row["timestamp"]});
    assert_eq!(told, expected, "also outside the group's room");
    for client in [&mut ann, &mut cem, &mut eve] {
        client.no_event("notification", QUIET).await;
    }
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(app.of_group("cem", &group).await[0]["mentions"], json!(["bob", "ann"]));
        app.flushed().await;
    }
}

async fn in_a_direct_message_its_two_users_count(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut eve = app.user("eve").await;
    let id = sent(&mut ann, mentioning(to_user("bob", "hi"), json!(["eve", "bob"]))).await;
    let told = mention(&mut bob).await;
    assert_eq!((&told["message_id"], told.get("group_id")), (&json!(id), None));
    eve.no_event("notification", QUIET).await;
    assert_eq!(app.direct("bob", "ann").await[0]["mentions"], json!(["bob"]));
    sent(&mut ann, mentioning(to_user("bob", "hi"), json!(["eve"]))).await;
    assert_eq!(app.direct("bob", "ann").await[0].get("mentions"), None);
}

async fn a_mention_comes_behind_its_message(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for n in ["1", "2", "3"] {
        sent(&mut ann, mentioning(to_user("bob", n), json!(["bob"]))).await;
    }
    bob.settle().await;
    let heard: Vec<_> = bob.so_far().iter().filter_map(kind).collect();
    assert_eq!(heard, ["message", "notification"].repeat(3));
}

fn kind(packet: &Packet) -> Option<String> {
    match packet {
        Packet::Event { name, .. } if name != "presence" => Some(name.clone()),
        _ => None,
    }
}

async fn a_list_of_mentions_has_a_limit(app: TestApp) {
    let mut ann = app.user("ann").await;
    let many = |count: usize| json!((0..count).map(|n| format!("u{n}")).collect::<Vec<_>>());
    sent(&mut ann, mentioning(to_user("bob", "hi"), many(50))).await;
    for wrong in [many(51), json!([7]), json!("bob"), json!([""])] {
        let message = mentioning(to_user("bob", "hi"), wrong);
        refused(&mut ann, "send_message", message, "invalid_payload").await;
    }
    sent(&mut ann, mentioning(to_user("bob", "hi"), Value::Null)).await;
}

async fn a_send_that_is_repeated_tells_nobody_again(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut message = mentioning(to_user("bob", "hi"), json!(["bob"]));
    message["client_id"] = json!("c-1");
    let id = sent(&mut ann, message.clone()).await;
    mention(&mut bob).await;
    assert_eq!(sent(&mut ann, message).await, id);
    bob.no_event("notification", QUIET).await;
}
