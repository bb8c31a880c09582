//! The rooms API: groups and messages under other names, on the same rules.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{Person, TestApp, sent, to_group, to_user};
use crate::on_both_stores;

on_both_stores! { with crate::app::BY_TOKEN;
    a_public_room_is_found_joined_and_left,
    a_private_room_is_for_those_who_are_invited,
    rooms_come_in_pages_newest_first,
    an_owner_opens_and_closes_a_room,
    members_are_listed_with_their_roles,
    messages_of_a_room_are_those_of_the_group,
    what_is_no_message_is_refused,
    what_two_users_said_is_read_under_the_old_names,
}

struct Asker<'a>(&'a TestApp, &'a Person);

impl Asker<'_> {
    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.0.ask(Some(&self.1.access), method, path, Some(body)).await
    }

    /// What is answered with 200 or 201.
    async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, json!({})).await
    }

    async fn room(&self, body: Value) -> String {
        let (status, room) = self.ask(Method::POST, "/api/rooms/", body).await;
        assert_eq!(status, StatusCode::CREATED, "{room}");
        room["id"].as_str().unwrap().to_owned()
    }

    async fn rooms(&self) -> Vec<Value> {
        self.get("/api/rooms/").await.as_array().unwrap().clone()
    }
}

async fn a_public_room_is_found_joined_and_left(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let (by_ann, by_bob) = (Asker(&app, &ann), Asker(&app, &bob));
    let room = by_ann.room(json!({"name": "Lounge"})).await;
    let mut of_ann = app.socket(&ann).await;
    let row = |members: usize, is_member: bool| {
        json!({"id": room, "_id": room, "name": "Lounge", "is_private": false, "owner_id": ann.id,
               "created_by": ann.id, "member_count": members, "is_member": is_member})
    };
    let without_time = |mut room: Value| {
        let at = room.as_object_mut().unwrap().remove("created_at").unwrap();
        assert!(at.as_str().unwrap().ends_with("+00:00"), "{at}");
        room
    };
    assert_eq!(without_time(by_bob.rooms().await.remove(0)), row(1, false));
    let join = format!("/api/rooms/{room}/join");
    let joined = by_bob.done(Method::POST, &join, json!({})).await;
    assert_eq!(without_time(joined), row(2, true));
    let notice = of_ann.next_event("notification").await;
    assert_eq!((&notice["event"], &notice["user_id"]), (&json!("member_added"), &json!(bob.id)));
    by_bob.done(Method::POST, &join, json!({})).await;
    assert_eq!(without_time(by_ann.rooms().await.remove(0)), row(2, true), "once");

    let mut of_bob = app.socket(&bob).await;
    sent(&mut of_bob, to_group(&room, "hello")).await;
    by_bob.done(Method::POST, &format!("/api/rooms/{room}/leave"), json!({})).await;
    assert_eq!(without_time(by_bob.rooms().await.remove(0)), row(1, false));
    let (status, _) = by_bob.ask(Method::GET, &format!("/api/messages/{room}"), json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "what is said there is for members");
    let nowhere = format!("/api/rooms/{}/join", "0".repeat(24));
    assert_eq!(by_bob.ask(Method::POST, &nowhere, json!({})).await.0, StatusCode::NOT_FOUND);
}

async fn a_private_room_is_for_those_who_are_invited(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let (by_ann, by_bob) = (Asker(&app, &ann), Asker(&app, &bob));
    let room = by_ann.room(json!({"name": "Cellar", "is_private": true})).await;
    assert!(by_bob.rooms().await.is_empty());
    assert_eq!(by_ann.rooms().await[0]["is_private"], json!(true));
    for (method, path) in [(Method::POST, "join"), (Method::GET, "members")] {
        let path = format!("/api/rooms/{room}/{path}");
        assert_eq!(by_bob.ask(method, &path, json!({})).await.0, StatusCode::FORBIDDEN);
    }
    let (status, _) = by_bob.ask(Method::GET, "/groups/search/cellar", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let links = format!("/groups/{room}/invitations");
    let link = by_ann.done(Method::POST, &links, json!({})).await;
    let accept = format!("/invitations/{}/accept", link["token"].as_str().unwrap());
    by_bob.done(Method::POST, &accept, json!({})).await;
    assert_eq!(by_bob.rooms().await[0]["is_member"], json!(true));
    by_bob.done(Method::POST, &format!("/api/rooms/{room}/join"), json!({})).await;
    assert_eq!(by_bob.get("/groups/search/cellar").await[0]["_id"], json!(room));
}

async fn rooms_come_in_pages_newest_first(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let by_ann = Asker(&app, &ann);
    let mut rooms = Vec::new();
    for number in 0..5 {
        let new = json!({"name": format!("Room {number}"), "is_private": number == 2,
                         "member_ids": [bob.id]});
        rooms.insert(0, by_ann.room(new).await);
    }
    let ids = |page: &Value| -> Vec<String> {
        let rows = page.as_array().unwrap().iter();
        rows.map(|room| room["id"].as_str().unwrap().to_owned()).collect()
    };
    for reader in [&by_ann, &Asker(&app, &bob)] {
        let mut found = ids(&reader.get("/api/rooms?limit=2").await);
        while let Some(last) = found.last().cloned().filter(|_| found.len() < 5) {
            let page = reader.get(&format!("/api/rooms?limit=2&before={last}")).await;
            found.extend(ids(&page));
        }
        assert_eq!(found, rooms);
    }
    for (query, status) in
        [("limit=0", 422), ("before=x", 422), ("before=000000000000000000000000", 404)]
    {
        let path = format!("/api/rooms?{query}");
        assert_eq!(by_ann.ask(Method::GET, &path, json!({})).await.0.as_u16(), status, "{query}");
    }
}

async fn an_owner_opens_and_closes_a_room(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let eve = app.sign_up("eve").await;
    let (by_ann, by_bob) = (Asker(&app, &ann), Asker(&app, &bob));
    let room =
        by_ann.room(json!({"name": "Hall", "is_private": true, "member_ids": [bob.id]})).await;
    let role = format!("/groups/{room}/members/{}/role", bob.id);
    by_ann.done(Method::PUT, &role, json!({"role": "admin"})).await;
    let mut of_bob = app.socket(&bob).await;
    let path = format!("/groups/{room}");
    let open = json!({"is_private": false});
    assert_eq!(by_bob.ask(Method::PATCH, &path, open.clone()).await.0, StatusCode::FORBIDDEN);
    let group = by_ann.done(Method::PATCH, &path, open).await;
    assert_eq!((&group["is_private"], &group["name"]), (&json!(false), &json!("Hall")));
    assert_eq!(of_bob.next_event("notification").await["event"], "made_public");
    let by_eve = Asker(&app, &eve);
    assert_eq!(by_eve.rooms().await.len(), 1);
    let both = json!({"is_private": true, "name": "Closed hall"});
    let group = by_ann.done(Method::PATCH, &path, both).await;
    assert_eq!((&group["is_private"], &group["name"]), (&json!(true), &json!("Closed hall")));
    assert_eq!(of_bob.next_event("notification").await["event"], "made_private");
    assert!(by_eve.rooms().await.is_empty());
    let (status, _) = by_ann.ask(Method::PATCH, &path, json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn members_are_listed_with_their_roles(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let (cem, by_ann) = (app.sign_up("cem").await, Asker(&app, &ann));
    let room = by_ann.room(json!({"name": "Hall", "member_ids": [bob.id, cem.id, ann.id]})).await;
    let role = format!("/groups/{room}/members/{}/role", bob.id);
    by_ann.done(Method::PUT, &role, json!({"role": "admin"})).await;
    let _here = app.socket(&cem).await;
    let row = |person: &Person, role: &str, is_online: bool| json!({"user_id": person.id, "role": role, "is_online": is_online});
    let all = [row(&ann, "owner", false), row(&bob, "admin", false), row(&cem, "member", true)];
    let eve = app.sign_up("eve").await;
    let path = format!("/api/rooms/{room}/members");
    assert_eq!(Asker(&app, &eve).get(&path).await, json!(all), "it is public");
    assert_eq!(by_ann.get(&format!("{path}?limit=1&after={}", ann.id)).await, json!(all[1..2]));
    let (status, _) = by_ann.ask(Method::GET, &format!("{path}?after=x"), json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

async fn messages_of_a_room_are_those_of_the_group(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let (by_ann, by_bob) = (Asker(&app, &ann), Asker(&app, &bob));
    let room = by_ann.room(json!({"name": "Lounge", "member_ids": [bob.id]})).await;
    let mut of_bob = app.socket(&bob).await;
    of_bob.emit_ack("join_group", json!(room)).await;
    let messages = format!("/api/messages/{room}");
    let new = json!({"content": "hello", "client_id": "c-1", "mentions": [bob.id]});
    let (status, message) = by_ann.ask(Method::POST, &messages, new.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{message}");
    assert_eq!(of_bob.next_event("message").await, message);
    assert_eq!((&message["type"], &message["group_id"]), (&json!("group"), &json!(room)));
    assert_eq!(by_ann.done(Method::POST, &messages, new).await, message, "sent once");
    let reply = json!({"content": "hi", "reply_to": message["id"]});
    let reply = by_bob.done(Method::POST, &messages, reply).await;

    let of = |what: &str| format!("/api/messages/{}{what}", message["id"].as_str().unwrap());
    let edited = by_ann.done(Method::PUT, &of(""), json!({"content": "hello!"})).await;
    assert_eq!(edited["content"], "hello!");
    assert_eq!(of_bob.next_event("message_update").await["new_content"], "hello!");
    let reacted = by_bob.done(Method::POST, &of("/react"), json!({"emoji": "👍"})).await;
    assert_eq!(reacted["reactions"], json!({"👍": [bob.id]}));
    let taken = by_bob.done(Method::POST, &of("/react"), json!({"emoji": "👍", "on": false})).await;
    assert!(taken.get("reactions").is_none(), "{taken}");
    assert_eq!(by_bob.get(&of("/edits")).await[0]["content"], "hello");
    let thread = by_bob.get(&of("/thread")).await;
    assert_eq!(
        (&thread["root"]["id"], &thread["replies"][0]["id"]),
        (&message["id"], &reply["id"])
    );
    app.flushed().await;
    let found = by_bob.get(&format!("{messages}/search?q=hel")).await;
    assert_eq!(found["results"].as_array().unwrap().len(), 1, "{found}");
    let page = by_bob.get(&format!("{messages}?limit=1")).await;
    assert_eq!(page[0]["id"], reply["id"]);
    let before = format!("{messages}?before={}", reply["id"].as_str().unwrap());
    assert_eq!(by_bob.get(&before).await[0]["id"], message["id"]);
    let gone = by_ann.done(Method::DELETE, &of(""), json!({})).await;
    assert_eq!(gone, json!({"message": "Message deleted successfully"}));
    assert_eq!(of_bob.next_event("message_deleted").await["message_id"], message["id"]);
    assert_eq!(by_bob.get(&messages).await.as_array().unwrap().len(), 1);
}

async fn what_is_no_message_is_refused(app: TestApp) {
    let ann = app.sign_up("ann").await;
    let by_ann = Asker(&app, &ann);
    let room = by_ann.room(json!({"name": "Lounge"})).await;
    let messages = format!("/api/messages/{room}");
    for (body, status) in [
        (json!({}), 422),
        (json!({"content": 7}), 400),
        (json!({"content": {"$ne": 1}}), 400),
        (json!({"content": "x", "content_type": "spell"}), 400),
        (json!({"content": "x", "media_url": "/uploads/none.gif"}), 404),
        (json!({"content": "x".repeat(70_000)}), 413),
    ] {
        let (found, answer) = by_ann.ask(Method::POST, &messages, body).await;
        assert_eq!(found.as_u16(), status, "{answer}");
    }
    let message = by_ann.done(Method::POST, &messages, json!({"content": "x"})).await;
    let react = format!("/api/messages/{}/react", message["id"].as_str().unwrap());
    for body in [json!({}), json!({"emoji": "ok"}), json!({"emoji": {"$ne": 1}})] {
        let (status, _) = by_ann.ask(Method::POST, &react, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    for path in ["/api/messages/x%20y", "/api/messages/%00", "/api/rooms/x/join"] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT] {
            let (status, _) = by_ann.ask(method, path, json!({"content": "x"})).await;
            assert!([405, 422].contains(&status.as_u16()), "{path}: {status}");
        }
    }
}

async fn what_two_users_said_is_read_under_the_old_names(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let (mut of_ann, mut of_bob) = (app.socket(&ann).await, app.socket(&bob).await);
    let first = sent(&mut of_ann, to_user(&bob.id, "hello")).await;
    let second = sent(&mut of_bob, to_user(&ann.id, "hi")).await;
    let path = format!("/chat/get-chats/{}/{}", ann.id, bob.id);
    let answer = Asker(&app, &ann).get(&path).await;
    let rows = answer["messages"].as_array().unwrap();
    let row = |row: &Value| {
        assert!(row["timestamp"].as_str().unwrap().ends_with("+00:00"), "{row}");
        ["_id", "sender_id", "receiver_id", "message"]
            .map(|field| row[field].as_str().unwrap().to_owned())
    };
    let expected = [[&first, &ann.id, &bob.id, "hello"], [&second, &bob.id, &ann.id, "hi"]];
    assert_eq!(rows.iter().map(row).collect::<Vec<_>>(), expected);
    let page = Asker(&app, &ann).get(&format!("{path}?limit=1&before={second}")).await;
    assert_eq!(page["messages"][0]["_id"], json!(first));
    let (status, _) = Asker(&app, &bob).ask(Method::GET, &path, json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn with_open_sign_in_the_request_names_who_asks() {
    let app = TestApp::on_sqlite().await;
    let new = json!({"name": "Lounge", "created_by": "ann"});
    let (status, room) = app.post("/api/rooms/", new).await;
    assert_eq!(status, StatusCode::CREATED, "{room}");
    let id = room["id"].as_str().unwrap();
    assert_eq!(
        app.post(&format!("/api/rooms/{id}/join?user_id=bob"), json!({})).await.0,
        StatusCode::OK
    );
    assert_eq!(
        app.post(&format!("/api/rooms/{id}/join"), json!({})).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let body = json!({"content": "hello"});
    let (status, sent) = app.post(&format!("/api/messages/{id}?user_id=bob"), body).await;
    assert_eq!((status, &sent["from_user_id"]), (StatusCode::CREATED, &json!("bob")));
    assert_eq!(app.of_group("ann", id).await.len(), 1);
}
