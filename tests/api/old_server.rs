//! A database that the old server has filled, used in place through the wire: its messages have an
//! `id` that differs from their `_id`, and are known by either.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use futures_util::TryStreamExt;
use reqwest::StatusCode;
use serde_json::json;

use crate::app::{TestApp, refused};
use crate::mongod::TestDatabase;

/// Rows as the old server wrote them: each row's `_id` and `id`.
async fn filled(database: &TestDatabase, count: i64) -> Vec<(String, String)> {
    let ids: Vec<_> = (0..count).map(|_| (ObjectId::new(), ObjectId::new().to_hex())).collect();
    let rows = ids.iter().zip(0..).map(|((id, old_id), at)| {
        doc! {
            "_id": id, "id": old_id, "content": format!("m{at}"), "type": "direct",
            "content_type": "text", "media_url": null, "media_metadata": null,
            "from_user_id": "ann", "to_user_id": "bob", "status": "sent", "read_by": [],
            "timestamp": DateTime::from_millis(1_700_000_000_000 + at), "deleted_for": [],
        }
    });
    let messages = database.raw().await.collection::<Document>("messages");
    messages.insert_many(rows).await.expect("rows");
    ids.into_iter().map(|(id, old_id)| (id.to_hex(), old_id)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_message_is_read_edited_and_deleted_by_either_id() {
    let database = TestDatabase::new();
    let ids = filled(&database, 4).await;
    let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    let app = TestApp::with(&settings).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let notice = bob.next_event("notification").await;
    assert_eq!(notice["unread_direct"], json!(4));

    for (n, (id, old_id)) in ids[..2].iter().enumerate() {
        // The first by its `_id`, the second by its `id`: events name the `_id`.
        let name = if n == 0 { id } else { old_id };
        let read = json!({"message_id": name});
        assert_eq!(bob.emit_ack("mark_read", read).await, json!({"ok": true}));
        let receipt = ann.next_event("message_update").await;
        assert_eq!(
            (&receipt["message_id"], &receipt["type"]),
            (&json!(id), &json!("read_receipt"))
        );
        let edit = json!({"message_id": name, "content": format!("edited {n}")});
        assert_eq!(ann.emit_ack("edit_message", edit).await, json!({"ok": true}));
        for user in [&mut ann, &mut bob] {
            assert_eq!(user.next_event("message_update").await["message_id"], json!(id));
        }
    }
    for _ in ["from the buffer", "from the store"] {
        let rows = app.direct("ann", "bob").await;
        assert_eq!(rows.len(), 4);
        for (row, (id, old_id)) in rows.iter().rev().zip(&ids) {
            assert_eq!((&row["_id"], &row["id"]), (&json!(id), &json!(old_id)));
        }
        assert_eq!(rows[3]["content"], "edited 0");
        assert_eq!(
            (&rows[2]["content"], &rows[2]["read_by"]),
            (&json!("edited 1"), &json!(["bob"]))
        );
        app.flushed().await;
    }

    let hide = json!({"message_id": ids[2].1, "delete_for": "me"});
    assert_eq!(bob.emit_ack("delete_message", hide).await, json!({"ok": true}));
    assert_eq!(bob.next_event("message_deleted").await["message_id"], json!(ids[2].0));
    assert_eq!(app.direct("bob", "ann").await.len(), 3);
    for (n, (id, old_id)) in ids.iter().enumerate() {
        if n % 2 == 0 {
            ann.emit_ack("delete_message", json!({"message_id": old_id})).await;
        } else {
            let path = format!("/messages/{old_id}?user_id=ann&delete_for=everyone");
            assert_eq!(app.delete(&path).await.0, StatusCode::OK);
        }
        assert_eq!(ann.next_event("message_deleted").await["message_id"], json!(id));
        for gone in [id, old_id] {
            refused(&mut ann, "mark_read", json!({"message_id": gone}), "not_found").await;
        }
    }
    app.flushed().await;
    assert!(app.direct("ann", "bob").await.is_empty());
    // What keeps a deleted message from coming back says nothing but whose and from when it was.
    let left = database.raw().await.collection::<Document>("messages");
    let left: Vec<Document> = left.find(doc! {}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(left.len(), ids.len());
    for row in &left {
        assert_eq!(
            row.keys().collect::<Vec<_>>(),
            ["_id", "tombstone", "from_user_id", "parties", "sent_at", "version"],
            "{row}"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_message_is_found_once_the_search_index_has_caught_up() {
    let database = TestDatabase::new();
    let ids = filled(&database, 3).await;
    let app = caught_up(&database, 3).await;
    let (_, found) = app.get("/search?user_id=bob&q=M1").await;
    assert_eq!(found["results"][0]["message"]["_id"], json!(ids[1].0), "{found}");
    assert_eq!(app.metric("banter_search_backlog").await, 0.0);
}

/// A server on what the old one has left, once all of it can be searched for.
async fn caught_up(database: &TestDatabase, count: usize) -> TestApp {
    let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    let app = TestApp::with(&settings).await;
    let caught_up = async {
        while app.metric("banter_search_caught_up_total").await < count as f64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), caught_up).await.expect("it catches up");
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_behind_thousands_of_hidden_messages_goes_on_where_it_is_told_to() {
    let database = TestDatabase::new();
    let ids = filled(&database, 7_500).await;
    let messages = database.raw().await.collection::<Document>("messages");
    let hidden = doc! {"content": {"$nin": ["m2", "m7"]}};
    let hide = doc! {"$set": {"deleted_for": ["bob"]}};
    messages.update_many(hidden, hide).await.expect("an update");
    let app = caught_up(&database, 7_500).await;
    let (mut found, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (status, page) = app.get(&format!("/search?user_id=bob&q=m{next}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        pages += 1;
        let rows = page["results"].as_array().expect("results");
        found.extend(rows.iter().map(|row| row["message"]["_id"].clone()));
        assert_eq!(page["more"], json!(!page["next"].is_null()));
        let Some(id) = page["next"].as_str() else { break };
        next = format!("&before={id}");
    }
    assert_eq!(found, [&ids[7].0, &ids[2].0].map(|id| json!(id)));
    assert!(pages > 1, "so many are not looked at in one go");
}
