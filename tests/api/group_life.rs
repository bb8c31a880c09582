//! Life in a group: its name, its roles, handing it over, leaving, silence and muting.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::Client;
use crate::sync::{cursor_now, of_type, sync};

crate::on_both_stores![
    a_group_gets_another_name_and_all_members_are_told,
    what_one_may_do_follows_from_the_role,
    a_group_is_handed_over_and_its_maker_may_leave,
    an_admin_who_comes_back_is_a_member_like_others,
    who_leaves_hears_nothing_more,
    who_is_silenced_is_heard_no_more,
    a_silence_ends_by_itself_and_outlasts_leaving,
    a_muted_group_is_in_no_alert_and_says_so_in_the_list,
    who_comes_back_finds_the_group_muted_as_before,
    who_was_away_learns_of_each_change,
    a_change_of_the_wrong_form_is_refused,
];

const QUIET: Duration = Duration::from_millis(150);
const FAR: &str = "2099-01-01T00:00:00+00:00";
const PAST: &str = "2020-01-01T00:00:00Z";

/// A request with a JSON body.
async fn with(app: &TestApp, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    app.send(method, path, Some(body.to_string())).await
}

async fn rename(app: &TestApp, group: &str, by: &str, name: &str) -> (StatusCode, Value) {
    let body = json!({"admin_id": by, "name": name});
    with(app, Method::PATCH, &format!("/groups/{group}"), body).await
}

async fn give(app: &TestApp, group: &str, by: &str, user: &str, role: &str) -> (StatusCode, Value) {
    let body = json!({"admin_id": by, "role": role});
    with(app, Method::PUT, &format!("/groups/{group}/members/{user}/role"), body).await
}

async fn silence(
    app: &TestApp,
    group: &str,
    by: &str,
    user: &str,
    until: Value,
) -> (StatusCode, Value) {
    let body = json!({"admin_id": by, "until": until});
    with(app, Method::PUT, &format!("/groups/{group}/members/{user}/silence"), body).await
}

async fn unsilence(app: &TestApp, group: &str, by: &str, user: &str) -> (StatusCode, Value) {
    app.delete(&format!("/groups/{group}/members/{user}/silence?admin_id={by}")).await
}

async fn leave(app: &TestApp, group: &str, user: &str) -> (StatusCode, Value) {
    app.request(Method::POST, &format!("/groups/{group}/leave?user_id={user}")).await
}

async fn remove(app: &TestApp, group: &str, by: &str, user: &str) -> (StatusCode, Value) {
    let path = format!("/groups/{group}/remove?user_id={user}&admin_id={by}");
    app.request(Method::POST, &path).await
}

async fn mute(app: &TestApp, group: &str, user: &str, until: Value) -> (StatusCode, Value) {
    let body = json!({"user_id": user, "until": until});
    with(app, Method::PUT, &format!("/groups/{group}/mute"), body).await
}

fn ok((status, answer): (StatusCode, Value)) -> Value {
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// The next notification, which has these fields beside its text and time.
async fn notified(user: &mut Client, group: &str, fields: Value) -> Value {
    let notice = user.next_event("notification").await;
    assert_eq!(notice["type"], "group_notification", "{notice}");
    assert_eq!(notice["group_id"], json!(group), "{notice}");
    assert!(notice["timestamp"].is_string() && notice["content"].is_string(), "{notice}");
    for (field, value) in fields.as_object().unwrap() {
        assert_eq!(notice[field], *value, "{field} of {notice}");
    }
    notice
}

async fn members(app: &TestApp, names: &[&str]) -> Vec<Client> {
    let mut members = Vec::new();
    for name in names {
        members.push(app.user(name).await);
    }
    members
}

async fn a_group_gets_another_name_and_all_members_are_told(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut all = members(&app, &["ann", "bob"]).await;
    let mut row = ok(rename(&app, &group, "ann", "  Colleagues ").await);
    assert_eq!((&row["_id"], &row["name"]), (&json!(group), &json!("Colleagues")));
    assert_eq!((&row["created_by"], &row["owner_id"]), (&json!("ann"), &json!("ann")));
    assert_eq!((&row["admin_ids"], &row["silenced"]), (&json!([]), &json!([])));
    for user in &mut all {
        // Nobody has joined the room: a notification goes to users.
        let fields = json!({"event": "renamed", "by": "ann", "name": "Colleagues"});
        let notice = notified(user, &group, fields).await;
        assert!(notice["content"].as_str().unwrap().contains("Colleagues"), "{notice}");
    }
    assert_eq!((&row["member_ids"], &row["member_count"]), (&json!(["ann", "bob"]), &json!(2)));
    row.as_object_mut().unwrap().remove("member_count");
    assert_eq!(app.rows("/groups/bob").await, [row]);
    assert_eq!(app.rows("/groups/search/colle").await.len(), 1, "found by its new name");
    assert_eq!(app.get("/groups/search/friends").await.0, StatusCode::NOT_FOUND);
    let chats = ok(app.get("/conversations/bob").await);
    assert_eq!(chats["conversations"][0]["group"]["name"], json!("Colleagues"));
}

/// Each act by each role, in a group of its own that is as it was before.
async fn what_one_may_do_follows_from_the_role(app: TestApp) {
    const ACTORS: [&str; 5] = ["owner", "admin", "member", "former", "stranger"];
    let acts: [(&str, [u16; 5]); 12] = [
        ("rename", [200, 200, 403, 403, 403]),
        ("make admin", [200, 403, 403, 403, 403]),
        ("unmake admin", [200, 403, 403, 403, 403]),
        ("hand over", [200, 403, 403, 403, 403]),
        ("remove member", [200, 200, 403, 403, 403]),
        ("remove admin", [200, 403, 403, 403, 403]),
        ("remove owner", [400, 403, 403, 403, 403]),
        ("silence member", [200, 200, 403, 403, 403]),
        ("silence admin", [200, 403, 403, 403, 403]),
        ("silence owner", [403, 403, 403, 403, 403]),
        ("unsilence member", [200, 200, 403, 403, 403]),
        ("mute", [200, 200, 200, 403, 403]),
    ];
    for (act, expected) in acts {
        for (actor, status) in ACTORS.into_iter().zip(expected) {
            let all = ["owner", "admin", "second", "member", "other", "former"];
            let group = app.group("owner", &all).await;
            for admin in ["admin", "second"] {
                ok(give(&app, &group, "owner", admin, "admin").await);
            }
            ok(leave(&app, &group, "former").await);
            let (found, answer) = match act {
                "rename" => rename(&app, &group, actor, "New").await,
                "make admin" => give(&app, &group, actor, "other", "admin").await,
                "unmake admin" => give(&app, &group, actor, "second", "member").await,
                "hand over" => give(&app, &group, actor, "other", "owner").await,
                "remove member" => remove(&app, &group, actor, "other").await,
                "remove admin" => remove(&app, &group, actor, "second").await,
                "remove owner" => remove(&app, &group, actor, "owner").await,
                "silence member" => silence(&app, &group, actor, "other", json!(null)).await,
                "silence admin" => silence(&app, &group, actor, "second", json!(null)).await,
                "silence owner" => silence(&app, &group, actor, "owner", json!(null)).await,
                "unsilence member" => unsilence(&app, &group, actor, "other").await,
                "mute" => mute(&app, &group, actor, json!(null)).await,
                _ => unreachable!("{act}"),
            };
            assert_eq!(found, status, "{act} by {actor}: {answer}");
        }
    }
}

async fn a_group_is_handed_over_and_its_maker_may_leave(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let mut all = members(&app, &["ann", "bob", "cem"]).await;
    let (status, answer) = leave(&app, &group, "ann").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(give(&app, &group, "ann", "zoe", "owner").await.0, StatusCode::NOT_FOUND);
    assert_eq!(give(&app, &group, "ann", "ann", "member").await.0, StatusCode::BAD_REQUEST);
    let row = ok(give(&app, &group, "ann", "bob", "owner").await);
    assert_eq!((&row["owner_id"], &row["created_by"]), (&json!("bob"), &json!("ann")));
    assert_eq!(row["admin_ids"], json!(["ann"]), "who had it stays an admin");
    for user in &mut all {
        notified(user, &group, json!({"event": "owner_changed", "user_id": "bob", "by": "ann"}))
            .await;
    }
    ok(leave(&app, &group, "ann").await);
    let [row] = &app.rows("/groups/bob").await[..] else { panic!("one group") };
    assert_eq!((&row["member_ids"], &row["admin_ids"]), (&json!(["bob", "cem"]), &json!([])));
    assert_eq!(leave(&app, &group, "bob").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(rename(&app, &group, "ann", "Mine").await.0, StatusCode::FORBIDDEN);
    ok(rename(&app, &group, "bob", "Ours").await);
}

async fn an_admin_who_comes_back_is_a_member_like_others(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    let row = ok(give(&app, &group, "ann", "bob", "admin").await);
    assert_eq!(row["admin_ids"], json!(["bob"]));
    let fields = json!({"event": "role_changed", "user_id": "bob", "by": "ann", "role": "admin"});
    notified(&mut ann, &group, fields).await;
    ok(give(&app, &group, "ann", "bob", "admin").await);
    ann.no_event("notification", QUIET).await;
    ok(leave(&app, &group, "bob").await);
    notified(&mut ann, &group, json!({"event": "member_left", "user_id": "bob"})).await;
    let (status, _) = app.request(Method::POST, &format!("/group/{group}/bob")).await;
    assert_eq!(status, StatusCode::OK);
    notified(&mut ann, &group, json!({"event": "member_added", "user_id": "bob"})).await;
    assert_eq!(rename(&app, &group, "bob", "Mine").await.0, StatusCode::FORBIDDEN);
}

async fn who_leaves_hears_nothing_more(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    let (mut phone, mut desk) = (app.user("bob").await, app.user("bob").await);
    for device in [&mut phone, &mut desk] {
        assert_eq!(device.emit_ack("join_group", json!(group)).await, json!({"ok": true}));
    }
    let answer = ok(leave(&app, &group, "bob").await);
    assert_eq!(answer["group_id"], json!(group));
    sent(&mut ann, to_group(&group, "he is gone")).await;
    for device in [&mut phone, &mut desk] {
        notified(device, &group, json!({"event": "member_left", "user_id": "bob"})).await;
        device.no_event("message", QUIET).await;
    }
    refused(&mut phone, "send_message", to_group(&group, "hello?"), "forbidden").await;
    refused(&mut phone, "join_group", json!(group), "forbidden").await;
    assert_eq!(leave(&app, &group, "bob").await.0, StatusCode::NOT_FOUND);
    assert_eq!(leave(&app, &"0".repeat(24), "bob").await.0, StatusCode::NOT_FOUND);
}

async fn who_is_silenced_is_heard_no_more(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for member in [&mut ann, &mut bob] {
        member.emit_ack("join_group", json!(group)).await;
    }
    let (by_ann, by_bob) = (
        sent(&mut ann, to_group(&group, "hello")).await,
        sent(&mut bob, to_group(&group, "hi")).await,
    );
    let row = ok(silence(&app, &group, "ann", "bob", json!(null)).await);
    assert_eq!(row["silenced"], json!([{"user_id": "bob", "until": null}]));
    for member in [&mut ann, &mut bob] {
        let fields = json!({"event": "silenced", "user_id": "bob", "by": "ann", "until": null});
        notified(member, &group, fields).await;
    }
    for (event, payload) in [
        ("send_message", to_group(&group, "again")),
        ("edit_message", json!({"message_id": by_bob, "content": "again"})),
        ("add_reaction", json!({"message_id": by_ann, "emoji": "👍"})),
        ("pin_message", json!({"message_id": by_ann})),
        ("typing_start", json!({"to": group, "type": "group"})),
    ] {
        refused(&mut bob, event, payload, "forbidden").await;
    }
    // Reading, and taking back what was said, is no speech; nor is what is said elsewhere.
    let read = json!({"message_id": by_ann});
    assert_eq!(bob.emit_ack("mark_read", read).await["ok"], json!(true));
    sent(&mut bob, to_user("ann", "why?")).await;
    let taken_back = bob.emit_ack("delete_message", json!({"message_id": by_bob})).await;
    assert_eq!(taken_back["ok"], json!(true), "{taken_back}");

    let row = ok(unsilence(&app, &group, "ann", "bob").await);
    assert_eq!(row["silenced"], json!([]));
    notified(&mut bob, &group, json!({"event": "unsilenced", "user_id": "bob", "by": "ann"})).await;
    sent(&mut bob, to_group(&group, "thank you")).await;
}

async fn a_silence_ends_by_itself_and_outlasts_leaving(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut bob, mut cem) = (app.user("bob").await, app.user("cem").await);
    let soon = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() + 700);
    let soon = soon.try_to_rfc3339_string().unwrap();
    ok(silence(&app, &group, "ann", "bob", json!(soon)).await);
    let mut heard = false;
    while !heard {
        let ack = bob.emit_ack("send_message", to_group(&group, "now?")).await;
        heard = ack["ok"] == json!(true);
        assert!(heard || ack["error"]["code"] == json!("forbidden"), "{ack}");
    }

    let row = ok(silence(&app, &group, "ann", "cem", json!(FAR)).await);
    let until = row["silenced"][0]["until"].as_str().unwrap();
    assert!(until.starts_with("2099-01-01T00:00:00"), "{row}");
    ok(leave(&app, &group, "cem").await);
    app.request(Method::POST, &format!("/group/{group}/cem")).await;
    refused(&mut cem, "send_message", to_group(&group, "back"), "forbidden").await;
}

async fn a_muted_group_is_in_no_alert_and_says_so_in_the_list(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let list = async || ok(app.get("/conversations/bob").await)["conversations"][0].clone();
    assert_eq!(
        (&list().await["muted"], &list().await["muted_until"]),
        (&json!(false), &json!(null))
    );

    let answer = ok(mute(&app, &group, "bob", json!(null)).await);
    assert_eq!(answer, json!({"group_id": group, "muted": true, "muted_until": null}));
    notified(&mut bob, &group, json!({"event": "muted", "until": null})).await;
    ann.no_event("notification", QUIET).await;
    sent(&mut ann, to_group(&group, "hello")).await;
    app.flushed().await;
    let row = list().await;
    assert_eq!((&row["muted"], &row["muted_until"]), (&json!(true), &json!(null)));
    assert_eq!(row["unread"], json!(1), "what was not read is counted there");
    let mut device = app.user("bob").await;
    device.no_event("notification", QUIET).await;

    let answer = ok(mute(&app, &group, "bob", json!(FAR)).await);
    assert!(answer["muted_until"].as_str().unwrap().starts_with("2099-01-01"), "{answer}");
    assert!(list().await["muted_until"].as_str().unwrap().starts_with("2099-01-01"));
    let answer = ok(app.delete(&format!("/groups/{group}/mute?user_id=bob")).await);
    assert_eq!(answer, json!({"group_id": group, "muted": false, "muted_until": null}));
    let mut device = app.user("bob").await;
    let notice = device.next_event("notification").await;
    assert_eq!(
        (&notice["type"], &notice["unread_group"]),
        (&json!("unread_notification"), &json!(1))
    );
}

async fn who_comes_back_finds_the_group_muted_as_before(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut bob = app.user("bob").await;
    ok(mute(&app, &group, "bob", json!(null)).await);
    ok(leave(&app, &group, "bob").await);
    let cursor = cursor_now(&mut bob).await;
    let (status, _) = app.request(Method::POST, &format!("/group/{group}/bob")).await;
    assert_eq!(status, StatusCode::OK);
    let (changes, _) = sync(&mut bob, &cursor, 200).await;
    let joined = of_type(&changes, "group_joined");
    let last = joined.last().unwrap_or_else(|| panic!("{changes:?}"));
    assert_eq!((&last["muted"], &last["muted_until"]), (&json!(true), &json!(null)), "{last}");
}

async fn who_was_away_learns_of_each_change(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let mut bob = app.user("bob").await;
    let mut cursor = cursor_now(&mut bob).await;
    for (field, expected) in [
        ("name", json!("Renamed")),
        ("admin_ids", json!(["cem"])),
        ("silenced", json!([{"user_id": "cem", "until": null}])),
        ("silenced", json!([])),
        ("owner_id", json!("cem")),
    ] {
        ok(match (field, &expected) {
            ("name", _) => rename(&app, &group, "ann", "Renamed").await,
            ("admin_ids", _) => give(&app, &group, "ann", "cem", "admin").await,
            ("silenced", silenced) if *silenced == json!([]) => {
                unsilence(&app, &group, "ann", "cem").await
            }
            ("silenced", _) => silence(&app, &group, "ann", "cem", json!(null)).await,
            _ => give(&app, &group, "ann", "cem", "owner").await,
        });
        let (changes, next) = sync(&mut bob, &cursor, 200).await;
        // A store may tell once more that he has entered it, and says how it is now in either case.
        let told = changes.iter().rfind(|change| change["group"].is_object());
        let group = told.unwrap_or_else(|| panic!("{field}: {changes:?}"));
        assert_eq!(group["group"][field], expected, "{changes:?}");
        cursor = next;
    }
    ok(mute(&app, &group, "bob", json!(FAR)).await);
    let (changes, next) = sync(&mut bob, &cursor, 200).await;
    let told = of_type(&changes, "group_muted");
    assert_eq!((&told[0]["group_id"], &told[0]["muted"]), (&json!(group), &json!(true)));
    assert!(told[0]["muted_until"].as_str().unwrap().starts_with("2099-01-01"));
    let mut ann = app.user("ann").await;
    let (changes, _) = sync(&mut ann, &next, 200).await;
    assert!(of_type(&changes, "group_muted").is_empty(), "that is bob's alone: {changes:?}");
}

async fn a_change_of_the_wrong_form_is_refused(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let long = "x".repeat(257);
    let of = |tail: &str| format!("/groups/{group}{tail}");
    for (method, path, body, status) in [
        (Method::PATCH, of(""), json!({"admin_id": "ann", "name": ""}), 400),
        (Method::PATCH, of(""), json!({"admin_id": "ann", "name": long}), 400),
        (Method::PATCH, of(""), json!({"name": "x"}), 422),
        (Method::PATCH, of(""), json!({"admin_id": "ann"}), 422),
        (Method::PATCH, "/groups/nope".to_owned(), json!({"admin_id": "ann", "name": "x"}), 422),
        (Method::PUT, of("/members/bob/role"), json!({"admin_id": "ann"}), 422),
        (Method::PUT, of("/members/bob/role"), json!({"admin_id": "ann", "role": "king"}), 422),
        (Method::PUT, of("/members/zoe/role"), json!({"admin_id": "ann", "role": "admin"}), 404),
        (Method::PUT, of("/members/bob/silence"), json!({"admin_id": "ann", "until": "soon"}), 422),
        (Method::PUT, of("/members/bob/silence"), json!({"admin_id": "", "until": null}), 422),
        (Method::PUT, of("/members/bob/silence"), json!({"admin_id": "ann", "until": PAST}), 400),
        (Method::PUT, of("/members/zoe/silence"), json!({"admin_id": "ann", "until": null}), 404),
        (Method::PUT, of("/mute"), json!({"user_id": "bob", "until": PAST}), 400),
        (Method::PUT, of("/mute"), json!({"user_id": "bob", "until": 7}), 422),
        (Method::PUT, of("/mute"), json!({"until": null}), 422),
    ] {
        let (found, answer) = with(&app, method.clone(), &path, body.clone()).await;
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
    }
    let nowhere = "0".repeat(24);
    assert_eq!(rename(&app, &nowhere, "ann", "x").await.0, StatusCode::NOT_FOUND);
    assert_eq!(mute(&app, &nowhere, "ann", json!(null)).await.0, StatusCode::NOT_FOUND);
    for tail in ["/leave", "/mute"] {
        let method = if tail == "/leave" { Method::POST } else { Method::DELETE };
        assert_eq!(app.request(method, &of(tail)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
}
