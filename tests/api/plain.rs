//! Plain WebSockets: the same conversations as over Socket.IO.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::{Person, TestApp, sent, to_group, to_user};
use crate::on_both_stores;
use crate::tokens::token;
use crate::ws::Plain;

/// The group that everybody is in.
const LOBBY: &str = "62616e7465722d6c6f626279";

on_both_stores! {
    a_pair_talks_with_each_other_and_with_socket_io,
    a_pair_talks_in_json_where_that_came_first,
    a_pair_sends_nothing_twice_under_one_client_id,
    what_a_pair_sends_wrong_is_told,
    a_room_and_socket_io_see_the_same,
    a_rooms_frames_are_acknowledged_where_that_is_asked,
    a_room_is_for_its_members,
    the_lobby_is_one_conversation_with_its_group,
    a_name_in_the_lobby_is_used_once_at_a_time,
    who_connects_plainly_is_online,
}

async fn a_pair_talks_with_each_other_and_with_socket_io(app: TestApp) {
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    let mut bob = Plain::open(app.addr, "/ws/bob").await;
    let mut modern = app.user("bob").await;
    ann.send("ann:bob:at 12:30: lunch").await;
    assert_eq!(bob.text().await, "ann:at 12:30: lunch");
    let message = modern.next_event("message").await;
    assert_eq!(message["content"], "at 12:30: lunch");
    assert_eq!(message["from_user_id"], "ann");
    sent(&mut modern, to_user("ann", "fine")).await;
    // Her own message has not come back to her.
    assert_eq!(ann.text().await, "bob:fine");
    let history = app.direct("ann", "bob").await;
    assert_eq!(history.len(), 2);
    assert_eq!(history[1]["content"], "at 12:30: lunch");
    app.flushed().await;
    assert_eq!(app.direct("bob", "ann").await.len(), 2);
    app.stop().await;
}

async fn a_pair_talks_in_json_where_that_came_first(app: TestApp) {
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    let mut bob = Plain::open(app.addr, "/ws/bob").await;
    let said = |from: &str, to: &str, text: &str| json!({"sender_id": from, "receiver_id": to, "message": text});
    ann.send(said("ann", "bob", "hi")).await;
    assert_eq!(bob.text().await, "ann:hi", "he has said nothing so far");
    bob.send("bob:ann:hello").await;
    assert_eq!(ann.json().await, said("bob", "ann", "hello"));
    app.stop().await;
}

async fn a_pair_sends_nothing_twice_under_one_client_id(app: TestApp) {
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    let frame = json!({
        "sender_id": "ann", "receiver_id": "bob", "message": "hi", "client_id": "c1", "ref": "r",
    });
    ann.send(&frame).await;
    let first = ann.of_type("ack").await;
    assert_eq!((&first["ok"], &first["ref"]), (&json!(true), &json!("r")));
    ann.send(&frame).await;
    assert_eq!(ann.of_type("ack").await["message"]["_id"], first["message"]["_id"]);
    assert_eq!(app.direct("bob", "ann").await.len(), 1);
    app.stop().await;
}

async fn what_a_pair_sends_wrong_is_told(app: TestApp) {
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    ann.send("hello").await;
    assert!(ann.text().await.starts_with("error:a frame has the form"));
    ann.send("bob:ann:I am bob").await;
    assert!(ann.text().await.starts_with("error:sender_id is another user"));
    let mut json = Plain::open(app.addr, "/ws/ann").await;
    json.send(json!({"sender_id": "bob", "receiver_id": "ann", "message": "x"})).await;
    assert_eq!(json.json().await["code"], "forbidden");
    json.send_message(Message::binary(b"ann:bob:x".to_vec())).await;
    assert_eq!(json.json().await["code"], "invalid_payload");
    json.send(json!({"sender_id": "ann", "receiver_id": "bob", "message": "x".repeat(70_000)}))
        .await;
    assert_eq!(json.json().await["code"], "too_large");
    assert!(app.direct("ann", "bob").await.is_empty());
    app.stop().await;
}

async fn a_room_and_socket_io_see_the_same(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut plain = Plain::open(app.addr, &format!("/api/ws/{group}?user_id=ann")).await;
    let mut modern = app.user("bob").await;
    assert_eq!(modern.emit_ack("join_group", json!(group)).await, json!({"ok": true}));

    plain.send(json!({"type": "message", "content": "hi", "client_id": "1"})).await;
    let heard = modern.next_event("message").await;
    let mut own = plain.of_type("message").await;
    assert_eq!(own["type"].take(), "message");
    for field in ["_id", "id", "content", "from_user_id", "group_id", "timestamp", "client_id"] {
        assert_eq!(own[field], heard[field], "{field}");
    }
    let id = heard["_id"].as_str().unwrap();

    plain.send(json!({"type": "typing"})).await;
    assert_eq!(modern.next_event("typing").await["is_typing"], true);
    plain.send(json!({"type": "typing", "is_typing": false})).await;
    assert_eq!(modern.next_event("typing").await["is_typing"], false);
    plain.send(json!({"type": "edit", "message_id": id, "content": "hello"})).await;
    assert_eq!(modern.next_event("message_update").await["new_content"], "hello");
    assert_eq!(plain.of_type("edit").await["new_content"], "hello");
    plain.send(json!({"type": "react", "message_id": id, "emoji": "👍"})).await;
    assert_eq!(modern.next_event("message_update").await["reactions"], json!({"👍": ["ann"]}));
    assert_eq!(plain.of_type("react").await["reactions"], json!({"👍": ["ann"]}));

    modern.emit_ack("mark_read", json!({"message_id": id})).await;
    assert_eq!(plain.of_type("read").await["read_by"], json!(["ann", "bob"]));
    assert_eq!(modern.next_event("message_update").await["type"], "read_receipt");
    modern.emit_ack("typing_start", json!({"to": group, "type": "group"})).await;
    let typing = plain.of_type("typing").await;
    assert_eq!((&typing["user_id"], &typing["is_typing"]), (&json!("bob"), &json!(true)));
    let answer = sent(&mut modern, to_group(&group, "and you?")).await;
    assert_eq!(plain.of_type("message").await["_id"], answer.as_str());
    plain.send(json!({"type": "read", "message_id": answer})).await;
    let read = modern.next_event("message_update").await;
    assert_eq!((&read["message_id"], &read["read_by"]), (&json!(answer), &json!(["bob", "ann"])));

    plain.send(json!({"type": "delete", "message_id": answer, "delete_for": "me"})).await;
    let hidden = plain.of_type("delete").await;
    assert_eq!((&hidden["delete_for"], &hidden["message_id"]), (&json!("me"), &json!(answer)));
    plain.send(json!({"type": "delete", "message_id": id})).await;
    assert_eq!(modern.next_event("message_deleted").await["message_id"], id);
    assert_eq!(plain.of_type("delete").await["delete_for"], "everyone");
    app.stop().await;
}

async fn a_rooms_frames_are_acknowledged_where_that_is_asked(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = Plain::open(app.addr, &format!("/api/ws/{group}?user_id=ann")).await;
    ann.send(json!({"type": "message", "content": "hi", "ref": 1})).await;
    let ack = ann.of_type("ack").await;
    assert_eq!((&ack["ok"], &ack["ref"]), (&json!(true), &json!(1)));
    let id = ack["message"]["_id"].as_str().unwrap().to_owned();
    ann.send(json!({"type": "ping", "ref": 2})).await;
    assert_eq!(ann.of_type("pong").await, json!({"type": "pong", "ref": 2}));
    let mut bob = Plain::open(app.addr, &format!("/api/ws/{group}?user_id=bob")).await;
    for (frame, code) in [
        (json!({"type": "edit", "message_id": id, "content": "x", "ref": 3}), "forbidden"),
        (
            json!({"type": "edit", "message_id": "62616e7465722d6c6f626270", "content": "x", "ref": 3}),
            "not_found",
        ),
        (json!({"type": "read", "message_id": {"$ne": null}, "ref": 3}), "invalid_payload"),
        (json!({"type": "shout", "ref": 3}), "invalid_payload"),
    ] {
        bob.send(&frame).await;
        let error = bob.of_type("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!(code), &json!(3)), "{frame}");
        assert!(error["message"].is_string());
    }
    app.stop().await;
}

async fn a_room_is_for_its_members(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let room = |user: &str| format!("/api/ws/{group}?user_id={user}");
    assert_eq!(Plain::open(app.addr, &room("eve")).await.closed().await, 4403);
    assert_eq!(Plain::open(app.addr, "/api/ws/nonsense?user_id=ann").await.closed().await, 4400);
    let nowhere = "/api/ws/62616e7465722d6c6f626270?user_id=ann";
    assert_eq!(Plain::open(app.addr, nowhere).await.closed().await, 4404);
    assert_eq!(Plain::open(app.addr, &format!("/api/ws/{group}")).await.closed().await, 4401);
    let (mut ann, mut bob) =
        (Plain::open(app.addr, &room("ann")).await, Plain::open(app.addr, &room("bob")).await);
    ann.send(json!({"type": "message", "content": "hi"})).await;
    bob.of_type("message").await;
    let removal = format!("/groups/{group}/remove?user_id=bob&admin_id=ann");
    assert_eq!(app.post(&removal, Value::Null).await.0, StatusCode::OK);
    assert_eq!(bob.closed().await, 4403);
    assert_eq!(Plain::open(app.addr, &room("bob")).await.closed().await, 4403);
    let notice = ann.of_type("notification").await;
    assert_eq!(notice["group_id"], group.as_str(), "{notice}");
    app.stop().await;
}

async fn the_lobby_is_one_conversation_with_its_group(app: TestApp) {
    let mut ann = Plain::open(app.addr, "/ws?username=ann").await;
    let joined = ann.json().await;
    assert_eq!((&joined["type"], &joined["username"]), (&json!("system"), &json!("ann")));
    let mut bob = Plain::open(app.addr, "/ws?username=bob").await;
    assert_eq!(ann.json().await["content"], "bob joined");
    assert_eq!(bob.json().await["content"], "bob joined");
    let mut modern = app.user("cem").await;
    assert_eq!(modern.emit_ack("join_group", json!(LOBBY)).await, json!({"ok": true}));

    ann.send("hello").await;
    for plain in [&mut ann, &mut bob] {
        let frame = plain.json().await;
        let fields: Vec<_> = frame.as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["content", "timestamp", "type", "username"]);
        assert_eq!((&frame["username"], &frame["content"]), (&json!("ann"), &json!("hello")));
    }
    let heard = modern.next_event("message").await;
    assert_eq!((&heard["group_id"], &heard["from_user_id"]), (&json!(LOBBY), &json!("ann")));
    sent(&mut modern, to_group(LOBBY, "hi all")).await;
    assert_eq!(bob.json().await["username"], "cem");
    assert_eq!(ann.json().await["content"], "hi all");

    // There it stays, before and after it is stored.
    assert_eq!(app.of_group("dan", LOBBY).await.len(), 2);
    app.flushed().await;
    let rows = app.of_group("dan", LOBBY).await;
    assert_eq!((rows.len(), &rows[0]["content"]), (2, &json!("hi all")));
    let id = rows[0]["_id"].as_str().unwrap();
    let ack = modern.emit_ack("edit_message", json!({"message_id": id, "content": "hi"})).await;
    assert_eq!(ack["ok"], true, "{ack}");

    bob.close().await;
    let left = ann.json().await;
    assert_eq!((&left["type"], &left["content"]), (&json!("system"), &json!("bob left")));
    // It is nobody's to change.
    for (method, path) in [
        (Method::DELETE, format!("/groups/{LOBBY}?user_id=ann")),
        (Method::POST, format!("/groups/{LOBBY}/leave?user_id=ann")),
        (Method::POST, format!("/group/{LOBBY}/ann")),
    ] {
        let (status, body) = app.request(method, &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
    }
    app.stop().await;
}

async fn a_name_in_the_lobby_is_used_once_at_a_time(app: TestApp) {
    for (name, code) in [("a", 4400), ("a%20b", 4400), ("%C3%A9va", 4400), (&*"x".repeat(33), 4400)]
    {
        let mut refused = Plain::open(app.addr, &format!("/ws?username={name}")).await;
        assert_eq!(refused.closed().await, code, "{name}");
    }
    assert_eq!(Plain::open(app.addr, "/ws").await.closed().await, 4400);
    let mut ann = Plain::open(app.addr, "/ws?username=Ann").await;
    ann.of_type("system").await;
    let mut bob = Plain::open(app.addr, "/ws?username=bob").await;
    assert_eq!(bob.of_type("system").await["content"], "bob joined");
    let (code, reason) = Plain::open(app.addr, "/ws?username=aNN").await.closed_with().await;
    assert_eq!(code, 4409);
    assert!(reason.contains("in use"), "{reason}");
    ann.close().await;
    assert_eq!(bob.of_type("system").await["content"], "Ann left");
    let mut again = Plain::open(app.addr, "/ws?username=ann").await;
    assert_eq!(again.json().await["content"], "ann joined");
    app.stop().await;
}

async fn who_connects_plainly_is_online(app: TestApp) {
    let is_online = async |user: &str| {
        let rows = app.get(&format!("/presence?user_ids={user}&user_id=bob")).await.1;
        rows[0]["status"] == "online"
    };
    assert!(!is_online("ann").await);
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    ann.send("hello").await;
    ann.text().await;
    assert!(is_online("ann").await);
    assert_eq!(app.metric("banter_connections").await, 1.0);
    let metrics = app.get("/metrics").await.1;
    let counted = r#"banter_plain_connections{endpoint="pair"} 1"#;
    assert!(metrics.as_str().unwrap().contains(counted), "{metrics}");
    ann.close().await;
    while app.metric("banter_connections").await != 0.0 {
        tokio::task::yield_now().await;
    }
    app.stop().await;
}

mod with_tokens {
    use super::*;

    on_both_stores! { with crate::app::BY_TOKEN;
        a_token_is_taken_from_query_subprotocol_and_header,
        nobody_is_somebody_else,
        the_lobby_knows_its_users_by_their_accounts,
        a_connection_ends_with_its_token,
        a_connection_ends_when_its_user_signs_out_everywhere,
    }

    /// A new group of somebody who has signed in; its id.
    async fn group_of(app: &TestApp, owner: &Person, members: &[&str]) -> String {
        let body = json!({"name": "Friends", "member_ids": members});
        let (status, group) =
            app.ask(Some(&owner.access), Method::POST, "/groups/", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{group}");
        group["_id"].as_str().unwrap().to_owned()
    }

    async fn a_token_is_taken_from_query_subprotocol_and_header(app: TestApp) {
        let ann = app.sign_up("ann").await;
        let path = format!("/ws/{}", ann.id);
        let works = async |mut plain: Plain| {
            plain.send(format!("{0}:{0}:note", ann.id)).await;
            assert_eq!(plain.text().await, format!("{}:note", ann.id));
        };
        works(Plain::open(app.addr, &format!("{path}?token={}", ann.access)).await).await;
        let bearer = format!("Bearer {}", ann.access);
        let open = async |headers: &[(&'static str, &str)]| {
            Plain::try_open(app.addr, &path, headers).await.expect("a handshake")
        };
        works(open(&[("authorization", &bearer)]).await).await;
        let offered = format!("bearer, {}", ann.access);
        let plain = open(&[("sec-websocket-protocol", &offered)]).await;
        assert_eq!(plain.protocol.as_deref(), Some("bearer"));
        works(plain).await;
        let plain = open(&[("authorization", &bearer), ("sec-websocket-protocol", "chat")]).await;
        assert_eq!(plain.protocol.as_deref(), Some("chat"), "one of its own is no token");
        works(plain).await;
        let plain = open(&[("sec-websocket-protocol", &ann.access)]).await;
        assert_eq!(plain.protocol.as_ref(), Some(&ann.access));
        works(plain).await;
        app.stop().await;
    }

    async fn nobody_is_somebody_else(app: TestApp) {
        let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
        let group = group_of(&app, &ann, &[&ann.id]).await;
        let token = &bob.access;
        for (path, code) in [
            (format!("/ws/{}", ann.id), 4401),
            (format!("/ws/{}?token=nonsense", ann.id), 4401),
            (format!("/ws/{}?token={token}", ann.id), 4403),
            (format!("/api/ws/{group}"), 4401),
            (format!("/api/ws/{group}?user_id={}", ann.id), 4401),
            (format!("/api/ws/{group}?token={token}"), 4403),
            (format!("/api/ws/{group}?token={token}&user_id={}", ann.id), 4403),
            ("/ws?username=ann".into(), 4401),
            (format!("/ws?username=ann&token={token}"), 4403),
        ] {
            assert_eq!(Plain::open(app.addr, &path).await.closed().await, code, "{path}");
        }
        app.stop().await;
    }

    async fn the_lobby_knows_its_users_by_their_accounts(app: TestApp) {
        let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
        let path = format!("/ws?username=Ann&token={}", ann.access);
        let mut of_ann = Plain::open(app.addr, &path).await;
        assert_eq!(of_ann.json().await["content"], "ann joined");
        let mut of_bob = Plain::open(app.addr, &format!("/ws?token={}", bob.access)).await;
        of_bob.of_type("system").await;
        of_bob.send("hello").await;
        assert_eq!(of_ann.of_type("message").await["username"], "bob");
        app.stop().await;
    }

    async fn a_connection_ends_with_its_token(app: TestApp) {
        let ann = app.sign_up("ann").await;
        let group = group_of(&app, &ann, &[&ann.id]).await;
        let short = token(&ann.id, 2.0);
        let room = format!("/api/ws/{group}?token={short}");
        let mut room = Plain::open(app.addr, &room).await;
        let mut pair = Plain::open(app.addr, &format!("/ws/{}?token={short}", ann.id)).await;
        let mut long = Plain::open(app.addr, &format!("/ws/{}?token={}", ann.id, ann.access)).await;
        assert!(room.of_type("token_expiring").await["expires_at"].is_string());
        assert_eq!(room.of_type("signed_out").await["reason"], "token_expired");
        assert_eq!(room.closed().await, 4401);
        assert_eq!(pair.closed().await, 4401);
        long.send(format!("{0}:{0}:still here", ann.id)).await;
        assert_eq!(long.text().await, format!("{}:still here", ann.id));
        app.stop().await;
    }

    async fn a_connection_ends_when_its_user_signs_out_everywhere(app: TestApp) {
        let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
        let group = group_of(&app, &ann, &[&ann.id, &bob.id]).await;
        let room = |token: &str| format!("/api/ws/{group}?token={token}");
        let mut room_of_ann = Plain::open(app.addr, &room(&ann.access)).await;
        let mut pair = Plain::open(app.addr, &format!("/ws/{}?token={}", ann.id, ann.access)).await;
        let mut room_of_bob = Plain::open(app.addr, &room(&bob.access)).await;
        for plain in [&mut room_of_ann, &mut room_of_bob] {
            plain.send(json!({"type": "ping"})).await;
            plain.of_type("pong").await;
        }
        pair.send("x").await;
        pair.text().await;
        let everywhere = json!({"everywhere": true});
        let (status, body) =
            app.ask(Some(&ann.access), Method::POST, "/api/auth/logout", Some(everywhere)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(room_of_ann.of_type("signed_out").await["reason"], "signed_out");
        assert_eq!(room_of_ann.closed().await, 4401);
        assert_eq!(pair.closed().await, 4401);
        assert_eq!(Plain::open(app.addr, &room(&ann.access)).await.closed().await, 4401);
        room_of_bob.send(json!({"type": "ping"})).await;
        room_of_bob.of_type("pong").await;
        app.stop().await;
    }
}
