//! Presence: who is online, who is told, and what is left after a restart.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::{TestApp, sent, to_user};
use crate::mongod::Mongod;
use crate::sio::Client;

crate::on_both_stores![
    a_peer_is_told_once_and_strangers_and_oneself_are_not,
    a_user_is_offline_with_the_last_device_and_a_reload_is_no_blink,
    members_of_a_group_are_told_while_it_is_small,
    a_group_that_has_grown_too_large_counts_again_when_it_shrinks,
    after_a_restart_nobody_is_online_and_times_are_known,
    presence_is_asked_for_in_the_order_of_the_question,
];

const QUIET: Duration = Duration::from_millis(300);
/// How long a change may take at the most.
const SOON: Duration = Duration::from_secs(10);

async fn told(client: &mut Client, user: &str, status: &str) {
    let told = client.next_event_within("presence", SOON).await.expect("a change is told");
    assert_eq!((&told["user_id"], &told["status"]), (&json!(user), &json!(status)));
    assert!(told["last_seen"].is_string(), "{told}");
    assert_eq!(told.as_object().unwrap().len(), 3, "{told}");
}

async fn presence(app: &TestApp, users: &str) -> Vec<Value> {
    app.rows(&format!("/presence?user_ids={users}")).await
}

async fn statuses(app: &TestApp, users: &str) -> Vec<Value> {
    presence(app, users).await.into_iter().map(|row| row["status"].clone()).collect()
}

/// Two users have written to each other.
async fn know_each_other(app: &TestApp, a: &str, b: &str) {
    let mut client = app.user(a).await;
    sent(&mut client, to_user(b, "hello")).await;
    client.disconnect().await;
}

async fn a_peer_is_told_once_and_strangers_and_oneself_are_not(app: TestApp) {
    know_each_other(&app, "ann", "bob").await;
    know_each_other(&app, "cem", "bob").await;
    app.flushed().await;
    // Ann and Bob share a group, too.
    app.group("ann", &["ann", "bob"]).await;
    let app = app.restarted().await;
    let (mut ann, mut cem, mut eve) =
        (app.user("ann").await, app.user("cem").await, app.user("eve").await);
    let (mut ann_too, mut bob) = (app.user("ann").await, app.user("bob").await);
    for peer in [&mut ann, &mut ann_too, &mut cem] {
        told(peer, "bob", "online").await;
    }
    // A change reaches those who came before, and is not told again to those who come later.
    for socket in [&mut ann, &mut ann_too, &mut cem, &mut eve, &mut bob] {
        socket.no_event("presence", QUIET).await;
    }
    assert_eq!(
        statuses(&app, "ann,bob,cem,eve,dan").await,
        ["online", "online", "online", "online", "offline"]
    );
    assert_eq!(app.metric("banter_users_online").await, 4.0);
    // The connection is cut.
    let cut = Instant::now();
    drop(bob);
    for peer in [&mut ann, &mut ann_too, &mut cem] {
        told(peer, "bob", "offline").await;
    }
    assert!(cut.elapsed() < SOON);
    assert_eq!(app.metric("banter_users_online").await, 3.0);
    // The first word to somebody makes a peer.
    sent(&mut eve, to_user("ann", "hi")).await;
    eve.disconnect().await;
    told(&mut ann, "eve", "offline").await;
    cem.no_event("presence", QUIET).await;
}

async fn a_user_is_offline_with_the_last_device_and_a_reload_is_no_blink(app: TestApp) {
    know_each_other(&app, "ann", "bob").await;
    let mut ann = app.user("ann").await;
    let (phone, laptop) = (app.user("bob").await, app.user("bob").await);
    told(&mut ann, "bob", "online").await;
    phone.disconnect().await;
    laptop.disconnect().await;
    // A page that is loaded again is away for a moment.
    let laptop = app.user("bob").await;
    ann.no_event("presence", Duration::from_millis(3_500)).await;
    assert_eq!(statuses(&app, "bob").await, ["online"]);
    laptop.disconnect().await;
    assert_eq!(statuses(&app, "bob").await, ["online"], "for a moment");
    told(&mut ann, "bob", "offline").await;
    assert_eq!(statuses(&app, "bob").await, ["offline"]);
    let _laptop = app.user("bob").await;
    told(&mut ann, "bob", "online").await;
}

async fn members_of_a_group_are_told_while_it_is_small(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut cem) = (app.user("ann").await, app.user("cem").await);
    let bob = app.user("bob").await;
    told(&mut ann, "bob", "online").await;
    app.post(&format!("/group/{group}/cem"), json!({})).await;
    bob.disconnect().await;
    told(&mut ann, "bob", "offline").await;
    told(&mut cem, "bob", "offline").await;
    let path = format!("/groups/{group}/remove?user_id=cem&admin_id=ann");
    app.request(Method::POST, &path).await;
    let bob = app.user("bob").await;
    told(&mut ann, "bob", "online").await;
    cem.no_event("presence", QUIET).await;
    // With one member too many the group does not count any more.
    let many: Vec<_> = (0..255).map(|n| format!("m{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).chain(["ann", "dan"]).collect();
    app.group("ann", &many).await;
    let _dan = app.user("dan").await;
    ann.no_event("presence", QUIET).await;
    app.delete(&format!("/groups/{group}")).await;
    bob.disconnect().await;
    ann.no_event("presence", Duration::from_millis(3_500)).await;
}

async fn a_group_that_has_grown_too_large_counts_again_when_it_shrinks(app: TestApp) {
    let many: Vec<_> = (0..254).map(|n| format!("m{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).chain(["ann", "dan"]).collect();
    let group = app.group("ann", &many).await;
    let mut ann = app.user("ann").await;
    let dan = app.user("dan").await;
    told(&mut ann, "dan", "online").await;
    app.post(&format!("/group/{group}/zoe"), json!({})).await;
    dan.disconnect().await;
    ann.no_event("presence", Duration::from_millis(3_500)).await;
    let path = format!("/groups/{group}/remove?user_id=zoe&admin_id=ann");
    app.request(Method::POST, &path).await;
    let _dan = app.user("dan").await;
    told(&mut ann, "dan", "online").await;
}

async fn after_a_restart_nobody_is_online_and_times_are_known(app: TestApp) {
    know_each_other(&app, "ann", "bob").await;
    let (_ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let before = presence(&app, "ann").await;
    assert_eq!(before[0]["status"], "online");
    let app = app.restarted().await;
    // Nobody was told that anybody went.
    let mut events = bob.events_so_far("presence").await;
    events.retain(|event| event["status"] == "offline");
    assert_eq!(events, Vec::<Value>::new());
    let rows = presence(&app, "bob,ann,eve").await;
    for row in &rows[..2] {
        assert_eq!(row["status"], "offline");
        let (seen, was) = (&row["last_seen"], &before[0]["last_seen"]);
        assert!(seen.as_str() >= was.as_str(), "{seen} {was}");
    }
    assert_eq!(rows[2], json!({"user_id": "eve", "status": "offline", "last_seen": null}));
    let mut ann = app.user("ann").await;
    let _bob = app.user("bob").await;
    told(&mut ann, "bob", "online").await;
}

async fn presence_is_asked_for_in_the_order_of_the_question(app: TestApp) {
    let ann = app.user("ann").await;
    let rows = presence(&app, "zoe,ann,zoe,%C3%A4").await;
    let users: Vec<_> = rows.iter().map(|row| row["user_id"].as_str().unwrap()).collect();
    assert_eq!(users, ["zoe", "ann", "zoe", "ä"]);
    let hundred: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(presence(&app, &hundred.join(",")).await.len(), 100);
    for bad in [
        "/presence".to_owned(),
        "/presence?user_ids=".to_owned(),
        "/presence?user_ids=a,,b".to_owned(),
        "/presence?user_ids=a%0Ab".to_owned(),
        format!("/presence?user_ids={}", "x".repeat(200)),
        format!("/presence?user_ids={},one", hundred.join(",")),
    ] {
        let (status, body) = app.get(&bad).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {body}");
        assert_eq!(body["detail"][0]["loc"], json!(["query", "user_ids"]), "{bad}");
    }
    drop(ann);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_those_who_are_known_are_told() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let app = TestApp::with(&[("MONGO_URL", &url), ("BREAKER_OPEN", "0.5")]).await;
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    told(&mut ann, "bob", "online").await;
    bob.emit_ack("join_group", json!(group)).await;
    mongod.kill();
    let here = json!({"to": group, "type": "group"});
    assert_eq!(ann.emit_ack("typing_start", here).await, json!({"ok": true}));
    assert_eq!(bob.next_event("typing").await["is_typing"], true);
    bob.disconnect().await;
    told(&mut ann, "bob", "offline").await;
    let _bob = app.user("bob").await;
    told(&mut ann, "bob", "online").await;
    // Cem is known by a message that the database has not got.
    sent(&mut ann, to_user("cem", "hi")).await;
    let cem = app.user("cem").await;
    told(&mut ann, "cem", "online").await;
    cem.disconnect().await;
    told(&mut ann, "cem", "offline").await;
    let row = &presence(&app, "cem").await[0];
    assert!(row["status"] == "offline" && row["last_seen"].is_string(), "{row}");
    mongod.restart().await;
}
