//! Catching up after an absence, and the list of conversations.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::mongod::Mongod;
use crate::sio::Client;

crate::on_both_stores![
    who_has_nothing_yet_gets_the_conversations_newest_first,
    conversations_come_in_pages_and_over_http,
    what_was_missed_comes_as_it_is_now,
    pages_of_changes_go_on_where_the_last_one_ended,
    memberships_that_changed_are_told,
    of_a_large_group_the_first_members_are_named,
    a_stranger_is_told_nothing,
    a_cursor_that_is_not_ours_is_refused,
    a_cursor_that_is_too_old_is_gone,
    what_was_said_this_instant_is_there,
];

/// Asks until there is no more; the changes, and the cursor for the next time.
pub(crate) async fn sync(client: &mut Client, cursor: &str, limit: usize) -> (Vec<Value>, String) {
    let (mut changes, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let page = client.emit_ack("sync", json!({"cursor": cursor, "limit": limit})).await;
        assert_eq!(page["ok"], json!(true), "{page}");
        assert_eq!(page["complete"], json!(true), "{page}");
        changes.extend(page["changes"].as_array().expect("changes").iter().cloned());
        cursor = page["cursor"].as_str().expect("a cursor").to_owned();
        if page["more"] == json!(false) {
            return (changes, cursor);
        }
    }
}

/// A cursor from which only what comes now is told.
pub(crate) async fn cursor_now(client: &mut Client) -> String {
    let page = client.emit_ack("sync", json!({})).await;
    let cursor = page["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(page["more"], json!(false), "{page}");
    sync(client, &cursor, 200).await.1
}

pub(crate) fn of_type<'a>(changes: &'a [Value], kind: &str) -> Vec<&'a Value> {
    changes.iter().filter(|change| change["type"] == kind).collect()
}

async fn who_has_nothing_yet_gets_the_conversations_newest_first(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let quiet = app.group("bob", &["bob", "cem"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    sent(&mut ann, to_user("bob", "first")).await;
    sent(&mut ann, to_group(&group, "hi all")).await;
    let hidden = sent(&mut ann, to_user("bob", "oops")).await;
    let last = sent(&mut bob, to_user("bob", "a note")).await;
    bob.emit_ack("delete_message", json!({"message_id": hidden, "delete_for": "me"})).await;

    let page = bob.emit_ack("sync", json!({})).await;
    assert_eq!((&page["ok"], &page["more"]), (&json!(true), &json!(false)), "{page}");
    assert_eq!((&page["changes"], &page["complete"]), (&json!([]), &json!(true)));
    let chats = page["conversations"].as_array().expect("a list");
    let [note, direct, team, silent] = chats.as_slice() else { panic!("{page}") };
    assert_eq!((&note["type"], &note["user_id"]), (&json!("direct"), &json!("bob")));
    assert_eq!((&note["last_message"]["id"], &note["unread"]), (&json!(last), &json!(0)));
    assert_eq!((&direct["user_id"], &direct["unread"]), (&json!("ann"), &json!(1)));
    assert_eq!(direct["last_message"]["content"], "first", "what is hidden is not shown");
    assert_eq!((&team["type"], &team["group_id"]), (&json!("group"), &json!(group)));
    assert_eq!((&team["last_message"]["content"], &team["unread"]), (&json!("hi all"), &json!(1)));
    assert_eq!(team["group"]["member_ids"], json!(["ann", "bob"]));
    assert_eq!((&silent["group_id"], &silent["last_message"]), (&json!(quiet), &json!(null)));
    assert!(note["updated_at"].as_str() > direct["updated_at"].as_str());

    bob.emit_ack("mark_read", json!({"message_id": team["last_message"]["id"]})).await;
    let page = bob.emit_ack("sync", json!({})).await;
    assert_eq!(page["conversations"][2]["unread"], json!(0));
}

async fn conversations_come_in_pages_and_over_http(app: TestApp) {
    let mut ann = app.user("ann").await;
    for n in 0..7 {
        sent(&mut ann, to_user(&format!("user{n}"), "hi")).await;
    }
    app.group("ann", &["ann"]).await;
    let mut seen = Vec::new();
    let (mut cursor, mut pages) = (json!(null), 0);
    loop {
        let page = ann.emit_ack("sync", json!({"cursor": cursor, "limit": 3})).await;
        pages += 1;
        seen.extend(page["conversations"].as_array().into_iter().flatten().cloned());
        cursor = page["cursor"].clone();
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (8, 3));
    assert_eq!(seen[1]["user_id"], "user6");
    let (changes, _) = sync(&mut ann, cursor.as_str().unwrap(), 200).await;
    assert!(changes.len() <= 8, "what is told of is at the most told once more: {changes:?}");

    let (mut listed, mut path) = (Vec::new(), "/conversations/ann?limit=3".to_owned());
    loop {
        let (status, page) = app.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        listed.extend(page["conversations"].as_array().expect("a list").iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/conversations/ann?limit=3&cursor={next}");
    }
    assert_eq!(listed, seen);
    for bad in ["limit=0", "cursor=x", &format!("cursor={}", cursor.as_str().unwrap())] {
        let (status, body) = app.get(&format!("/conversations/ann?{bad}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {body}");
    }
}

async fn what_was_missed_comes_as_it_is_now(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let old = sent(&mut ann, to_user("bob", "old")).await;
    let read = sent(&mut bob, to_user("ann", "read me")).await;
    let gone = sent(&mut ann, to_user("bob", "oops")).await;
    let hidden = sent(&mut ann, to_user("bob", "hide me")).await;
    let cursor = cursor_now(&mut bob).await;
    bob.disconnect().await;

    let new = sent(&mut ann, to_user("bob", "new")).await;
    for text in ["draft", "older"] {
        ann.emit_ack("edit_message", json!({"message_id": old, "content": text})).await;
    }
    ann.emit_ack("mark_read", json!({"message_id": read})).await;
    ann.emit_ack("delete_message", json!({"message_id": gone})).await;
    let hide = format!("/messages/{hidden}?user_id=bob");
    assert_eq!(app.delete(&hide).await.0, StatusCode::OK);

    let mut bob = app.user("bob").await;
    let (changes, _) = sync(&mut bob, &cursor, 200).await;
    let find = |id: &str| {
        let messages = of_type(&changes, "message").into_iter();
        messages.map(|change| &change["message"]).find(|row| row["id"] == id).expect("it is told")
    };
    assert_eq!(find(&new)["content"], "new");
    assert_eq!(find(&old)["content"], "older");
    assert_eq!(
        (&find(&read)["status"], &find(&read)["read_by"]),
        (&json!("read"), &json!(["ann"]))
    );
    let deleted = of_type(&changes, "message_deleted");
    assert_eq!(deleted.len(), 1);
    assert_eq!((&deleted[0]["message_id"], &deleted[0]["user_id"]), (&json!(gone), &json!("ann")));
    assert_eq!(deleted[0]["chat_type"], "direct");
    assert!(deleted[0]["deleted_at"].is_string());
    let told = json!([{"type": "message_hidden", "message_id": hidden}]);
    assert_eq!(json!(of_type(&changes, "message_hidden")), told);
    let row = app.direct("bob", "ann").await.into_iter().find(|row| row["id"] == old).unwrap();
    assert_eq!(find(&old), &row, "rows are those of history");
}

async fn pages_of_changes_go_on_where_the_last_one_ended(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let cursor = cursor_now(&mut bob).await;
    let mut expected = Vec::new();
    for n in 0..25 {
        expected.push(sent(&mut ann, to_user("bob", &n.to_string())).await);
    }
    for limit in [1, 7, 200] {
        let (changes, after) = sync(&mut bob, &cursor, limit).await;
        let ids: Vec<_> = changes.iter().map(|change| change["message"]["id"].clone()).collect();
        assert_eq!(json!(ids), json!(expected), "in the order in which they were sent");
        // A store may tell the latest once more, and never less.
        sent(&mut ann, to_user("bob", "later")).await;
        let (changes, _) = sync(&mut bob, &after, limit).await;
        let last = changes.last().expect("the latest");
        assert_eq!(last["message"]["content"], "later");
        expected.push(last["message"]["id"].as_str().unwrap().to_owned());
    }
}

async fn memberships_that_changed_are_told(app: TestApp) {
    let kept = app.group("ann", &["ann", "bob"]).await;
    let lost = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let cursor = cursor_now(&mut bob).await;
    let (status, _) =
        app.post(&format!("/groups/{lost}/remove?user_id=bob&admin_id=ann"), json!(null)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = app.post(&format!("/group/{kept}/cem"), json!(null)).await;
    assert_eq!(status, StatusCode::OK);
    let new = app.group("ann", &["ann", "bob"]).await;
    let said = sent(&mut ann, to_group(&new, "welcome")).await;
    sent(&mut ann, to_group(&lost, "he is gone")).await;

    let (changes, cursor) = sync(&mut bob, &cursor, 3).await;
    let joined = of_type(&changes, "group_joined");
    assert!(joined.iter().any(|told| told["group"]["_id"] == json!(new)), "{changes:?}");
    // A store may tell once more that he has entered it, and says how it is now in either case.
    let mut told = of_type(&changes, "group_changed").into_iter().chain(joined);
    let kept_now = told.find(|told| told["group"]["_id"] == json!(kept)).expect("it is told");
    assert_eq!(kept_now["group"]["member_ids"], json!(["ann", "bob", "cem"]));
    assert!(of_type(&changes, "group_left").iter().any(|change| change["group_id"] == json!(lost)));
    let heard: Vec<_> = of_type(&changes, "message").iter().map(|m| &m["message"]["id"]).collect();
    assert!(heard.contains(&&json!(said)), "{changes:?}");
    assert!(changes.iter().all(|change| change["message"]["content"] != "he is gone"));

    bob.emit_ack("join_group", json!(new)).await;
    bob.emit_ack("mark_read", json!({"message_id": said})).await;
    assert_eq!(app.delete(&format!("/groups/{kept}")).await.0, StatusCode::OK);
    let (changes, _) = sync(&mut bob, &cursor, 200).await;
    let read = of_type(&changes, "group_read");
    assert!(
        read.iter().any(|r| r["group_id"] == json!(new) && r["up_to"] == json!(said)),
        "{changes:?}"
    );
    assert!(of_type(&changes, "group_left").iter().any(|change| change["group_id"] == json!(kept)));
}

async fn of_a_large_group_the_first_members_are_named(app: TestApp) {
    let mut ann = app.user("ann").await;
    let cursor = cursor_now(&mut ann).await;
    let members: Vec<String> = (0..299).map(|n| format!("user{n}")).chain(["ann".into()]).collect();
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let large = app.group("ann", &names).await;
    let check = |group: &Value| {
        assert_eq!((&group["_id"], &group["member_count"]), (&json!(large), &json!(300)));
        assert_eq!(group["member_ids"], json!(names[..256]));
    };
    let list = ann.emit_ack("sync", json!({})).await;
    check(&list["conversations"][0]["group"]);
    let (changes, _) = sync(&mut ann, &cursor, 10).await;
    check(&of_type(&changes, "group_joined").first().expect("it is told")["group"]);
}

async fn a_stranger_is_told_nothing(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    let cursor = cursor_now(&mut eve).await;
    let id = sent(&mut ann, to_user("bob", "secret")).await;
    sent(&mut ann, to_group(&group, "secret")).await;
    ann.emit_ack("delete_message", json!({"message_id": id})).await;
    assert_eq!(sync(&mut eve, &cursor, 200).await.0, [] as [Value; 0]);
    let page = eve.emit_ack("sync", json!({})).await;
    assert_eq!(page["conversations"], json!([]));
    let (_, list) = app.get("/conversations/eve").await;
    assert_eq!(list, json!({"conversations": [], "next_cursor": null}));
}

async fn a_cursor_that_is_not_ours_is_refused(app: TestApp) {
    let mut ann = app.user("ann").await;
    for bad in [
        json!({"cursor": ""}),
        json!({"cursor": "c.1.2"}),
        json!({"cursor": "x".repeat(10_000)}),
        json!({"cursor": {"$gt": ""}}),
        json!({"cursor": 7}),
        json!({"limit": 0}),
        json!({"limit": -1}),
        json!("cursor"),
    ] {
        refused(&mut ann, "sync", bad, "invalid_payload").await;
    }
}

async fn a_cursor_that_is_too_old_is_gone(app: TestApp) {
    let mut ann = app.user("ann").await;
    let cursor = cursor_now(&mut ann).await;
    let mut parts: Vec<_> = cursor.split('.').map(str::to_owned).collect();
    let issued = u64::from_str_radix(&parts[1], 16).expect("a time");
    parts[1] = format!("{:x}", issued - 30 * 86_400_000);
    refused(&mut ann, "sync", json!({"cursor": parts.join(".")}), "gone").await;
    // Of a store that was set up anew since.
    let future = format!("c.{issued:x}.fffffffffffffff0.fffffffffffffff0.{}", "0".repeat(24));
    refused(&mut ann, "sync", json!({"cursor": future}), "gone").await;
}

async fn what_was_said_this_instant_is_there(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let cursor = cursor_now(&mut bob).await;
    for round in 0..30 {
        let id = sent(&mut ann, to_user("bob", "now")).await;
        let (changes, _) = sync(&mut bob, &cursor, 200).await;
        assert!(changes.iter().any(|change| change["message"]["id"] == json!(id)), "{round}");
    }
}

/// How long what must come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_memory_answers_and_later_tells_to_ask_again() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let app = TestApp::with(&[("MONGO_URL", &url), ("BREAKER_OPEN", "0.5")]).await;
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    bob.emit_ack("join_group", json!(group)).await;
    sent(&mut ann, to_user("bob", "before")).await;
    let cursor = cursor_now(&mut bob).await;
    mongod.kill();
    let direct = sent(&mut ann, to_user("bob", "meanwhile")).await;
    let in_group = sent(&mut ann, to_group(&group, "meanwhile")).await;
    ann.emit_ack("edit_message", json!({"message_id": direct, "content": "changed"})).await;
    sent(&mut ann, to_user("eve", "not for bob")).await;

    let page = bob.emit_ack("sync", json!({"cursor": cursor})).await;
    assert_eq!((&page["ok"], &page["complete"]), (&json!(true), &json!(false)), "{page}");
    assert_eq!((&page["more"], &page["cursor"]), (&json!(false), &json!(cursor)));
    let told: Vec<_> = page["changes"].as_array().unwrap().iter().map(|c| &c["message"]).collect();
    assert_eq!(told.len(), 2, "{page}");
    assert_eq!((&told[0]["id"], &told[0]["content"]), (&json!(direct), &json!("changed")));
    assert_eq!(told[1]["id"], json!(in_group));
    refused(&mut bob, "sync", json!({}), "unavailable").await;

    mongod.restart().await;
    bob.next_event_within("sync_required", PATIENCE).await.expect("it is told to ask again");
    let (changes, _) = sync(&mut bob, &cursor, 200).await;
    for id in [direct, in_group] {
        assert!(changes.iter().any(|change| change["message"]["id"] == json!(id)), "{changes:?}");
    }
}
