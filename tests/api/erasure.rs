//! A user's end: what becomes of it in the store, and what others see.

use std::sync::Arc;
use std::time::Duration;

use banter::model::{Batch, Content, Message, UserId};
use banter::store::Store;
use banter::store::mongo::{self, MongoStore};
use banter::store::sqlite::SqliteStore;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{TestApp, sent, to_group, to_user};
use crate::binary::Banter;
use crate::make;
use crate::mongod::TestDatabase;
use crate::on_both_stores;
use crate::privacy::lines;
use crate::sio::Client;

on_both_stores! {
    who_is_erased_is_named_nowhere,
    others_keep_the_conversation_under_the_alias,
    those_who_were_not_there_catch_up_with_the_alias,
    a_group_goes_to_its_oldest_admin_else_to_its_oldest_member,
    a_group_with_nobody_else_is_deleted,
    an_erasure_that_has_begun_is_taken_up_at_the_start,
    who_comes_again_under_the_same_id_is_a_new_user,
    an_export_needs_no_token_where_sign_in_is_open,
}

/// An id that stands in no other text.
const WANDA: &str = "wanda-7c41";

/// The tables or collections in which a text stands anywhere, in order.
pub(crate) async fn named_in(app: &TestApp, text: &str) -> Vec<String> {
    app.flushed().await;
    let mut found = match app.mongodb().await {
        Some(database) => collections_with(&database, text).await,
        None => tables_with(&app.folder.path().join("data/banter.db"), text),
    };
    found.sort();
    found
}

async fn collections_with(database: &mongodb::Database, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in database.list_collection_names().await.expect("the server answers") {
        let rows = database.collection::<bson::Document>(&name);
        let mut rows = rows.find(bson::doc! {}).await.expect("the server answers");
        while rows.advance().await.expect("the server answers") {
            if rows.deserialize_current().expect("a document").to_string().contains(text) {
                found.push(name);
                break;
            }
        }
    }
    found
}

fn tables_with(path: &std::path::Path, text: &str) -> Vec<String> {
    let file = rusqlite::Connection::open(path).expect("the file");
    let mut tables = file.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let tables: Vec<String> = tables.map(|name| name.unwrap()).collect();
    assert!(tables.iter().any(|name| name == "messages"), "{tables:?}");
    let holds = |table: &String| {
        let mut rows = file.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                let bytes = match row.get_ref(column).unwrap() {
                    rusqlite::types::ValueRef::Text(bytes)
                    | rusqlite::types::ValueRef::Blob(bytes) => bytes,
                    _ => continue,
                };
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    return true;
                }
            }
        }
        false
    };
    tables.into_iter().filter(holds).collect()
}

/// Waits until a user is named nowhere but among voided tokens.
pub(crate) async fn erased(app: &TestApp, user: &str) {
    let erased = async {
        while named_in(app, user).await.iter().any(|name| name != "revocations") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), erased).await.expect("the erasure ends");
}

async fn erase(app: &TestApp, user: &str) -> u64 {
    let (status, answer) = app.delete(&format!("/users/{user}")).await;
    assert_eq!((status, &answer["erased"]), (StatusCode::OK, &json!(true)), "{answer}");
    answer["messages"].as_u64().expect("a number")
}

async fn done(client: &mut Client, event: &str, payload: Value) {
    let ack = client.emit_ack(event, payload).await;
    assert_eq!(ack["ok"], json!(true), "{event}: {ack}");
}

async fn ask(app: &TestApp, method: Method, path: &str, body: Value) {
    let (status, answer) = app.send(method, path, Some(body.to_string())).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
}

async fn role(app: &TestApp, group: &str, by: &str, user: &str, role: &str) {
    let path = format!("/groups/{group}/members/{user}/role");
    ask(app, Method::PUT, &path, json!({"admin_id": by, "role": role})).await;
}

/// Leaves Wanda's name wherever a user can leave one.
async fn live(app: &TestApp) -> String {
    let group = app.group(WANDA, &[WANDA, "bob", "cat"]).await;
    let others = app.group("bob", &["bob", WANDA]).await;
    role(app, &others, "bob", WANDA, "admin").await;
    let (mut wanda, mut bob) = (app.user(WANDA).await, app.user("bob").await);
    for to in [to_user("bob", "hello"), to_user(WANDA, "a note"), to_group(&group, "hello")] {
        let mut named = to.clone();
        named["client_id"] =
            json!(to["content"].as_str().unwrap().to_owned() + &to["type"].to_string());
        sent(&mut wanda, named).await;
    }
    let mut mention = to_group(&group, "look");
    mention["mentions"] = json!([WANDA]);
    let (answer, mention) =
        (sent(&mut bob, to_user(WANDA, "hello")).await, sent(&mut bob, mention).await);
    for id in [&answer, &mention] {
        done(&mut wanda, "mark_read", json!({"message_id": id})).await;
        done(&mut wanda, "add_reaction", json!({"message_id": id, "emoji": "👍"})).await;
        done(&mut wanda, "pin_message", json!({"message_id": id})).await;
    }
    for hidden in [
        sent(&mut bob, to_user(WANDA, "hidden")).await,
        sent(&mut bob, to_group(&group, "hidden")).await,
    ] {
        let hide = json!({"message_id": hidden, "delete_for": "me"});
        done(&mut wanda, "delete_message", hide).await;
    }
    for to in [to_user("bob", "gone"), to_group(&group, "gone")] {
        let mut named = to;
        named["client_id"] = json!(format!("gone {}", named["type"]));
        let gone = sent(&mut wanda, named).await;
        done(&mut wanda, "delete_message", json!({"message_id": gone})).await;
    }
    let gone = sent(&mut bob, to_user(WANDA, "gone")).await;
    done(&mut bob, "delete_message", json!({"message_id": gone})).await;
    for (user, other) in [(WANDA, "eve"), ("cat", WANDA)] {
        ask(app, Method::POST, &format!("/users/{user}/block/{other}"), json!({})).await;
    }
    ask(app, Method::PUT, &format!("/groups/{group}/mute"), json!({"user_id": WANDA})).await;
    let links = format!("/groups/{group}/invitations");
    ask(app, Method::POST, &links, json!({"admin_id": WANDA})).await;
    let silence = format!("/groups/{others}/members/{WANDA}/silence");
    ask(app, Method::PUT, &silence, json!({"admin_id": "bob"})).await;
    wanda.disconnect().await;
    group
}

async fn who_is_erased_is_named_nowhere(app: TestApp) {
    live(&app).await;
    let saved = async {
        // When she was last there comes to the store a little later.
        while named_in(&app, WANDA).await.len() < 8 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), saved).await.expect("her name is everywhere");
    // Hello, a note, hello to all, two answers with all that hangs on them, two that are hidden.
    assert_eq!(erase(&app, WANDA).await, 7);
    assert_eq!(named_in(&app, WANDA).await, [""; 0]);
    assert_eq!(erase(&app, WANDA).await, 0, "done again, it does nothing");
    assert_eq!(erase(&app, "nobody").await, 0);
}

/// The alias in a conversation of two.
fn alias_of(rows: &[Value], other: &str) -> String {
    let from = |row: &Value| row["from_user_id"].as_str().unwrap().to_owned();
    let alias = rows.iter().map(from).find(|from| from != other).expect("an alias");
    assert!(alias.starts_with("deleted_") && alias.len() == 24, "{alias}");
    alias
}

async fn others_keep_the_conversation_under_the_alias(app: TestApp) {
    let (mut wanda, mut bob) = (app.user(WANDA).await, app.user("bob").await);
    let read = sent(&mut wanda, to_user("bob", "read")).await;
    let unread = sent(&mut wanda, to_user("bob", "not read")).await;
    let own = sent(&mut bob, to_user(WANDA, "from bob")).await;
    done(&mut bob, "mark_read", json!({"message_id": read})).await;
    wanda.disconnect().await;
    app.flushed().await;
    // From here on it is in memory, too.
    assert_eq!(app.direct(WANDA, "bob").await.len(), 3);
    let chats = app.get("/conversations/bob").await.1;
    assert_eq!(chats["conversations"][0]["user_id"], json!(WANDA));

    erase(&app, WANDA).await;
    bob.next_event("sync_required").await;
    let chats = app.get("/conversations/bob").await.1["conversations"].clone();
    assert_eq!(chats.as_array().expect("a list").len(), 1, "{chats}");
    let alias = chats[0]["user_id"].as_str().expect("an id").to_owned();
    assert_eq!(chats[0]["unread"], json!(1), "what was read stays so: {chats}");
    assert_eq!(chats[0]["last_message"]["_id"], json!(own));
    let rows = app.direct("bob", &alias).await;
    assert_eq!(alias_of(&rows, "bob"), alias);
    let shown: Vec<_> = rows.iter().map(|row| (&row["_id"], &row["content"])).collect();
    let expected = [
        (&json!(own), &json!("from bob")),
        (&json!(unread), &json!("not read")),
        (&json!(read), &json!("read")),
    ];
    assert_eq!(shown, expected);
    assert_eq!((&rows[2]["status"], &rows[2]["read_by"]), (&json!("read"), &json!(["bob"])));
    assert_eq!(app.direct("bob", WANDA).await, [] as [Value; 0]);
    let found = app.get("/search?user_id=bob&q=read").await.1;
    assert_eq!(found["results"].as_array().expect("a list").len(), 2, "{found}");
}

async fn those_who_were_not_there_catch_up_with_the_alias(app: TestApp) {
    let group = app.group(WANDA, &[WANDA, "bob"]).await;
    let mut wanda = app.user(WANDA).await;
    let direct = sent(&mut wanda, to_user("bob", "hello")).await;
    let in_group = sent(&mut wanda, to_group(&group, "hello")).await;
    wanda.disconnect().await;
    let mut bob = app.user("bob").await;
    let (mut page, mut changes) = (bob.emit_ack("sync", json!({})).await, Vec::new());
    for is_erased in [false, true] {
        changes.clear();
        loop {
            page = bob.emit_ack("sync", json!({"cursor": page["cursor"]})).await;
            changes.extend(page["changes"].as_array().expect("a list").clone());
            if page["more"] == json!(false) {
                break;
            }
        }
        if !is_erased {
            erase(&app, WANDA).await;
        }
    }
    let from = |id: &str| {
        let change = changes.iter().find(|change| change["message"]["_id"] == json!(id));
        change.unwrap_or_else(|| panic!("{changes:?}"))["message"]["from_user_id"].clone()
    };
    assert!(from(&direct).as_str().expect("an id").starts_with("deleted_"));
    assert_eq!(from(&direct), from(&in_group));
    // On MongoDB what was done just now is told once more: as having joined.
    let is_of_group =
        |c: &&Value| ["group_changed", "group_joined"].contains(&c["type"].as_str().unwrap());
    let group = &changes.iter().rfind(is_of_group).expect("the group has changed")["group"];
    assert_eq!((&group["member_ids"], &group["owner_id"]), (&json!(["bob"]), &json!("bob")));
    assert_eq!(group["created_by"], from(&direct));
}

async fn a_group_goes_to_its_oldest_admin_else_to_its_oldest_member(app: TestApp) {
    let led = app.group(WANDA, &["ann", WANDA, "bob", "cat"]).await;
    for admin in ["cat", "bob"] {
        role(&app, &led, WANDA, admin, "admin").await;
    }
    let plain = app.group(WANDA, &[WANDA, "bob", "ann"]).await;
    let from_outside = app.group(WANDA, &["cat", "bob"]).await;
    let mut bob = app.user("bob").await;
    erase(&app, WANDA).await;
    let mut heirs = Vec::new();
    for _ in 0..3 {
        let notice = loop {
            let notice = bob.next_event("notification").await;
            if notice["event"] == "owner_changed" {
                break notice;
            }
        };
        heirs.push((notice["group_id"].clone(), notice["user_id"].clone()));
    }
    for (group, heir) in [(&led, "cat"), (&plain, "bob"), (&from_outside, "cat")] {
        assert!(heirs.contains(&(json!(group), json!(heir))), "{heirs:?}");
    }
    let groups = app.get("/groups/bob").await.1;
    for group in groups.as_array().expect("a list") {
        assert!(!group.to_string().contains(WANDA), "{group}");
    }
}

async fn a_group_with_nobody_else_is_deleted(app: TestApp) {
    let group = app.group(WANDA, &[WANDA]).await;
    let mut wanda = app.user(WANDA).await;
    sent(&mut wanda, to_group(&group, "hello?")).await;
    wanda.disconnect().await;
    erase(&app, WANDA).await;
    let (status, answer) = app.get(&format!("/messages/bob/{group}?message_type=group")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let (_, health) = app.get("/health/db").await;
    assert_eq!((&health["groups_count"], &health["messages_count"]), (&json!(0), &json!(0)));
}

/// Writes into the store what a server has written that was killed right then.
async fn begin(app: &TestApp, user: &str) {
    let alias = "deleted_0123456789abcdef";
    if let Some(database) = app.mongodb().await {
        let row = bson::doc! {"_id": user, "alias": alias, "begun_at": bson::DateTime::now()};
        database.collection("erasures").insert_one(row).await.expect("stored");
        return;
    }
    let path = app.folder.path().join("data/banter.db");
    let file = rusqlite::Connection::open(path).expect("the file");
    let insert = "INSERT INTO erasures (user, alias, begun_at) VALUES (?1, ?2, 0)";
    file.execute(insert, [user, alias]).expect("stored");
}

async fn an_erasure_that_has_begun_is_taken_up_at_the_start(app: TestApp) {
    let group = live(&app).await;
    begin(&app, WANDA).await;
    let app = app.restarted().await;
    erased(&app, WANDA).await;
    let rows = app.of_group("bob", &group).await;
    assert_eq!(alias_of(&rows, "bob"), "deleted_0123456789abcdef");
}

async fn who_comes_again_under_the_same_id_is_a_new_user(app: TestApp) {
    let mut wanda = app.user(WANDA).await;
    let mut named = to_user("bob", "hello");
    named["client_id"] = json!("first");
    let old = sent(&mut wanda, named.clone()).await;
    ask(&app, Method::POST, &format!("/users/cat/block/{WANDA}"), json!({})).await;
    sent(&mut wanda, to_user("cat", "not heard")).await;
    wanda.disconnect().await;
    erase(&app, WANDA).await;
    let mut wanda = app.user(WANDA).await;
    let new = sent(&mut wanda, named).await;
    let heard = sent(&mut wanda, to_user("cat", "heard")).await;
    let of_cat = app.direct("cat", WANDA).await;
    assert_eq!(of_cat.iter().map(|row| &row["_id"]).collect::<Vec<_>>(), [&json!(heard)]);
    assert_ne!(new, old, "the name of a message is free again");
    let rows = app.direct("bob", WANDA).await;
    assert_eq!(rows.iter().map(|row| &row["_id"]).collect::<Vec<_>>(), [&json!(new)]);
    let chats = app.get("/conversations/bob").await.1;
    assert_eq!(chats["conversations"].as_array().expect("a list").len(), 2, "{chats}");
}

async fn an_export_needs_no_token_where_sign_in_is_open(app: TestApp) {
    let mut wanda = app.user(WANDA).await;
    sent(&mut wanda, to_user("bob", "hello")).await;
    let (status, text) = app.get(&format!("/users/{WANDA}/export")).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let lines = lines(&text);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["about", "presence", "message", "end"]);
}

/// A message from Wanda to Bob, which does not name her itself.
fn said(at: i64) -> Arc<Message> {
    let content = Content::Text("hello".to_owned());
    Arc::new(Message { content, ..make::direct(WANDA, "bob", at) })
}

async fn sender(store: &dyn Store, message: &Message) -> String {
    let found = store.message(&message.id.into()).await.expect("the store answers");
    found.expect("it stays").from.to_string()
}

/// Waits until it holds of a store.
async fn until(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting).await.expect("it comes to hold");
}

/// Kills a server while it erases a user of many messages.
async fn kill_and_start_again(store: &dyn Store, folder: TempDir, settings: &[(&str, &str)]) {
    store.prepare().await.expect("the store answers");
    let all: Vec<_> = (0..10_000).map(said).collect();
    for inserts in all.chunks(5_000) {
        let batch = Batch { inserts: inserts.to_vec(), ..Batch::default() };
        store.apply(&batch).await.expect("stored");
    }
    let (first, last) = (&all[0], &all[all.len() - 1]);
    let banter = Banter::start_in(folder, settings).await;
    let url = format!("http://{}/users/{WANDA}", banter.addr);
    // The answer does not come.
    let asked = crate::web::client().delete(url).send();
    tokio::select! {
        answer = asked => panic!("too soon: {answer:?}"),
        () = until(async || sender(store, first).await != WANDA) => {}
    }
    let folder = banter.kill().await;
    assert_eq!(sender(store, last).await, WANDA, "it was in the middle");
    let begun = store.erasures(10).await.expect("the store answers");
    assert_eq!(begun.len(), 1, "{begun:?}");

    let banter = Banter::start_in(folder, settings).await;
    until(async || store.erasures(10).await.expect("the store answers").is_empty()).await;
    let alias = begun[0].alias.as_str();
    assert_eq!(sender(store, first).await, alias);
    assert_eq!(sender(store, last).await, alias);
    let wanda = UserId::parse(WANDA).expect("a user id");
    assert_eq!(store.peers(&wanda, 10).await.expect("the store answers"), []);
    banter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_goes_on_erasing_on_sqlite() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("data/banter.db")).expect("a new file");
    kill_and_start_again(&store, folder, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_goes_on_erasing_on_mongodb() {
    let database = TestDatabase::new();
    let config = mongo::Config {
        mongo_url: Some(database.url.parse().expect("any text is taken")),
        mongodb_name: database.name.clone(),
        write_concern: mongo::Durability::Majority,
        min_pool_size: 1,
        max_pool_size: 10.try_into().expect("not zero"),
    };
    let store = MongoStore::connect(&config).await.expect("a sound configuration");
    let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    kill_and_start_again(&store, TempDir::new().unwrap(), &settings).await;
}
