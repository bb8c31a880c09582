//! Threads: replies, who may read them, and how many there are.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::Client;

crate::on_both_stores![
    a_reply_belongs_to_the_root_of_its_thread,
    a_thread_is_read_in_pages,
    replies_are_counted_on_their_way_stored_and_deleted,
    a_reply_names_a_message_of_its_conversation_that_its_sender_sees,
    a_thread_is_for_who_sees_its_root,
    the_replies_to_a_deleted_message_stay,
    a_threads_parameters_are_checked,
];

fn replying(mut message: Value, id: &str) -> Value {
    message["reply_to"] = json!(id);
    message
}

async fn replied(client: &mut Client, to: &str, id: &str, text: &str) -> String {
    sent(client, replying(to_user(to, text), id)).await
}

async fn thread(app: &TestApp, user: &str, id: &str, query: &str) -> Value {
    let (status, body) = app.get(&format!("/threads/{id}?user_id={user}{query}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn ids(rows: &Value) -> Vec<String> {
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(id).collect()
}

async fn a_reply_belongs_to_the_root_of_its_thread(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let root = sent(&mut ann, to_user("bob", "lunch?")).await;
    let first = replied(&mut bob, "ann", &root, "yes").await;
    ann.next_event("message").await;
    assert_eq!(ann.next_event("message").await["reply_to"], json!(root));
    let second = replied(&mut ann, "bob", &first, "good").await;
    for _ in ["from the buffer", "from the store"] {
        let rows = app.direct("ann", "bob").await;
        assert_eq!(rows[0]["reply_to"], json!(root), "a reply to a reply");
        assert_eq!(rows[2]["reply_count"], json!(2));
        assert_eq!((rows[0].get("reply_count"), rows[2].get("reply_to")), (None, None));
        for id in [&root, &second] {
            let found = thread(&app, "bob", id, "").await;
            assert_eq!(found["root"], app.direct("ann", "bob").await[2]);
            assert_eq!(ids(&found["replies"]), [second.clone(), first.clone()]);
            assert_eq!(found["replies"][0], rows[0]);
            assert_eq!(found["reply_count"], json!(2));
        }
        app.flushed().await;
    }
}

async fn a_thread_is_read_in_pages(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    let root = sent(&mut ann, to_group(&group, "who comes?")).await;
    let mut all = Vec::new();
    for n in 0..12 {
        if n == 7 {
            app.flushed().await;
        }
        sent(&mut ann, to_group(&group, "aside")).await;
        all.push(sent(&mut ann, replying(to_group(&group, &n.to_string()), &root)).await);
    }
    all.reverse();
    let page = async |query: String| ids(&thread(&app, "bob", &root, &query).await["replies"]);
    for _ in ["partly stored", "stored"] {
        assert_eq!(page(String::new()).await, all);
        assert_eq!(page("&limit=3".to_owned()).await, all[..3]);
        assert_eq!(page(format!("&before={}&limit=3", all[2])).await, all[3..6]);
        assert_eq!(page(format!("&after={}&limit=3", all[6])).await, all[3..6]);
        assert_eq!(page(format!("&before={}", all[11])).await, [""; 0]);
        app.flushed().await;
    }
}

async fn replies_are_counted_on_their_way_stored_and_deleted(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let root = sent(&mut ann, to_user("bob", "lunch?")).await;
    let count = async || {
        let row = app.direct("ann", "bob").await.pop().unwrap();
        let found = thread(&app, "bob", &root, "").await;
        assert_eq!(row["reply_count"].as_u64().unwrap_or(0), found["reply_count"]);
        assert_eq!(row, found["root"]);
        found["reply_count"].as_u64().unwrap()
    };
    let mut replies = Vec::new();
    for n in 1..=20 {
        replies.push(replied(&mut ann, "bob", &root, "one more").await);
        assert_eq!(count().await, n, "whatever of it is stored");
    }
    app.flushed().await;
    assert_eq!(count().await, 20);
    replies.push(replied(&mut ann, "bob", &root, "and deleted at once").await);
    for (n, id) in replies.iter().rev().enumerate() {
        ann.emit_ack("delete_message", json!({"message_id": id})).await;
        assert_eq!(count().await, 20 - n as u64);
    }
    app.flushed().await;
    assert_eq!(count().await, 0);
    let id = replied(&mut ann, "bob", &root, "hidden").await;
    bob.emit_ack("delete_message", json!({"message_id": id, "delete_for": "me"})).await;
    assert_eq!(count().await, 1, "whoever sees it");
    assert_eq!(thread(&app, "bob", &root, "").await["replies"], json!([]));
}

async fn a_reply_names_a_message_of_its_conversation_that_its_sender_sees(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut eve = app.user("eve").await;
    let direct = sent(&mut ann, to_user("bob", "hello")).await;
    let in_group = sent(&mut ann, to_group(&group, "hello")).await;
    let nothing = "0123456789abcdef01234567";
    for _ in ["in the buffer", "stored"] {
        for (message, id) in [
            (to_user("bob", "x"), &*in_group),
            (to_user("bob", "x"), nothing),
            (to_user("eve", "x"), &direct),
            (to_group(&group, "x"), &direct),
            (to_group(&group, "x"), nothing),
        ] {
            refused(&mut ann, "send_message", replying(message, id), "not_found").await;
        }
        refused(&mut eve, "send_message", replying(to_user("bob", "x"), &direct), "not_found")
            .await;
        // Who is no member does not learn what is there.
        for id in [&*in_group, nothing] {
            let message = replying(to_group(&group, "x"), id);
            refused(&mut eve, "send_message", message, "forbidden").await;
        }
        app.flushed().await;
    }
    let odd = json!({"to": "bob", "content": "x", "type": "direct", "reply_to": {"$ne": 1}});
    refused(&mut ann, "send_message", odd, "invalid_payload").await;
    bob.emit_ack("delete_message", json!({"message_id": direct, "delete_for": "me"})).await;
    refused(&mut bob, "send_message", replying(to_user("ann", "x"), &direct), "not_found").await;
    replied(&mut ann, "bob", &direct, "for others it is there").await;
}

async fn a_thread_is_for_who_sees_its_root(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let root = sent(&mut ann, to_user("bob", "hello")).await;
    let reply = replied(&mut ann, "bob", &root, "again").await;
    for id in [&root, &reply] {
        let (status, _) = app.get(&format!("/threads/{id}?user_id=eve")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    bob.emit_ack("delete_message", json!({"message_id": root, "delete_for": "me"})).await;
    for id in [&*root, &*reply, "0123456789abcdef01234567"] {
        let (status, body) = app.get(&format!("/threads/{id}?user_id=bob")).await;
        assert_eq!((status, body), (StatusCode::NOT_FOUND, json!({"detail": "Message not found"})));
    }
    assert_eq!(thread(&app, "ann", &root, "").await["reply_count"], json!(1));
}

async fn the_replies_to_a_deleted_message_stay(app: TestApp) {
    let mut ann = app.user("ann").await;
    let root = sent(&mut ann, to_user("bob", "oops")).await;
    let reply = replied(&mut ann, "bob", &root, "I meant").await;
    ann.emit_ack("delete_message", json!({"message_id": root})).await;
    for _ in ["in the buffer", "stored"] {
        for id in [&root, &reply] {
            let (status, _) = app.get(&format!("/threads/{id}?user_id=bob")).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
        }
        let (status, _) = app.get(&format!("/threads/{reply}?user_id=eve")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "a stranger does not learn what became of it");
        let rows = app.direct("bob", "ann").await;
        assert_eq!((rows.len(), &rows[0]["reply_to"]), (1, &json!(root)));
        app.flushed().await;
    }
    refused(&mut ann, "send_message", replying(to_user("bob", "x"), &root), "not_found").await;
}

async fn a_threads_parameters_are_checked(app: TestApp) {
    let id = "0123456789abcdef01234567";
    for (path, place) in [
        (format!("/threads/{id}"), json!(["query", "user_id"])),
        ("/threads/a%20b?user_id=ann".to_owned(), json!(["path", "message_id"])),
        (format!("/threads/{id}?user_id=ann&around={id}"), json!(["query", "around"])),
        (format!("/threads/{id}?user_id=ann&before={id}&after={id}"), json!(["query", "after"])),
        (format!("/threads/{id}?user_id=ann&limit=0"), json!(["query", "limit"])),
    ] {
        let (status, body) = app.get(&path).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {body}");
        assert_eq!(body["detail"][0]["loc"], place, "{body}");
    }
}
