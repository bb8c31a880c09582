//! Inserts, and finding a message again.

use std::sync::Arc;

use banter::model::{
    Batch, Content, ContentType, Conversation, GroupId, JsonObject, Message, MessageId, MessageRef,
    Status, Timestamp,
};
use banter::store::Store;
use serde_json::{Value, json};

use crate::make::{between, client, direct, in_group, insert, inserts, page, stored, user};

fn object(value: Value) -> JsonObject {
    value.as_object().expect("an object").clone()
}

/// Every kind of JSON value, nested, with numbers at the edges of their types.
fn all_kinds() -> JsonObject {
    object(json!({
        "null": null,
        "bools": [true, false],
        "integers": [0, 1, -1, i64::from(i32::MAX) + 1, i64::MAX, i64::MIN],
        "floats": [1.0, -0.5, 0.1, 1e-300, 1.797_693_134_862_315_7e308, 52.123_456_789_012_34],
        "texts": ["", "naïve 漢字 🎈", "quote \" backslash \\ newline \n nul \u{0}"],
        "empty": {"object": {}, "array": []},
        "deep": [{"a": [{"b": [[]]}]}],
        "dotted.key": {"_id": 1, "ключ": "значение"},
    }))
}

pub(crate) async fn every_field_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let plain = direct("alice", "bob", 1_700_000_000_123);
    let full = Message {
        old_id: Some("5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11".to_owned()),
        client_id: Some(client("naïve 漢字 🎈 \"q\" $x")),
        content: Content::Object(all_kinds()),
        content_type: ContentType::Image,
        media_url: Some("/uploads/ä b.png".to_owned()),
        media_metadata: Some(all_kinds()),
        status: Status::Delivered,
        read_by: vec![user("zoë"), user("alice"), user("日本")],
        deleted_for: vec![user("carol \"c\" \\ o'hara")],
        edited_at: Some(Timestamp(1_700_000_001_001)),
        ..in_group(GroupId::mint(), "alice", -1)
    };
    let empty = Message {
        content: Content::Object(JsonObject::new()),
        media_metadata: Some(JsonObject::new()),
        ..direct("o'brien; --", "{\"$ne\": 1}", 0)
    };
    let blank = Message {
        content: Content::Text(String::new()),
        media_url: Some(String::new()),
        ..direct("a", "b", 1)
    };
    let text = Message {
        content: Content::Text("{\"not\": \"an object\"} 🎈 \u{0} end".to_owned()),
        ..direct("a", "b", 2)
    };
    let mut all = vec![plain, full, empty, blank, text];
    for kind in ContentType::ALL {
        all.push(Message { content_type: kind, ..direct("a", "b", 3) });
    }
    for status in [Status::Sent, Status::Delivered, Status::Read] {
        all.push(Message { status, ..direct("a", "b", 4) });
    }

    insert(&*store, &all).await;

    for message in &all {
        assert_eq!(stored(&*store, message.id).await.as_ref(), Some(message));
        let viewer = message.from.as_str();
        let rows = page(&*store, message.conversation(), viewer, None, 100).await;
        assert!(rows.contains(message), "history holds {message:?}");
    }
}

pub(crate) async fn a_second_insert_changes_nothing(store: Arc<dyn Store>) {
    let first = direct("alice", "bob", 1);
    let second = Message { content: Content::Text("another".to_owned()), ..first.clone() };
    let new = direct("alice", "bob", 2);
    insert(&*store, [&first]).await;

    insert(&*store, [&second, &new]).await;

    assert_eq!(stored(&*store, first.id).await, Some(first.clone()));
    let rows = page(&*store, between("alice", "bob"), "bob", None, 10).await;
    assert_eq!(rows, [new, first]);
}

pub(crate) async fn a_message_is_found_by_its_id_and_by_its_old_id(store: Arc<dyn Store>) {
    let plain = direct("alice", "bob", 1);
    let uuid = "0b8f5d2f-7f11-4a57-9f3c-5a0d6c1e93b4";
    let old = Message { old_id: Some(uuid.to_owned()), ..direct("alice", "bob", 2) };
    let hex = MessageId::mint().to_string();
    let old_hex = Message { old_id: Some(hex.clone()), ..direct("alice", "bob", 3) };
    let shadowed = Message { old_id: Some(plain.id.to_string()), ..direct("alice", "bob", 4) };
    insert(&*store, [&plain, &old, &old_hex, &shadowed]).await;
    let find = async |text: &str| {
        let name = MessageRef::parse(text).expect("a reference");
        store.message(&name).await.expect("the store answers")
    };

    assert_eq!(find(&plain.id.to_string()).await, Some(plain.clone()), "_id goes first");
    assert_eq!(find(&plain.id.to_string().to_uppercase()).await, Some(plain));
    assert_eq!(find(uuid).await, Some(old.clone()));
    assert_eq!(find(&old.id.to_string()).await, Some(old));
    assert_eq!(find(&hex).await, Some(old_hex));
    for missing in ["nothing", &uuid.to_uppercase(), &MessageId::mint().to_string()] {
        assert_eq!(find(missing).await, None, "{missing}");
    }
}

pub(crate) async fn an_empty_batch_is_taken(store: Arc<dyn Store>) {
    store.apply(&Batch::default()).await.expect("nothing to do");
    assert_eq!(store.health().await.expect("the store answers").messages_count, 0);
}

pub(crate) async fn ten_thousand_messages_are_one_batch(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let all: Vec<Message> = (0..10_000).map(|at| in_group(group, "alice", at)).collect();
    let batch = inserts(&all);
    store.apply(&batch).await.expect("a large batch is taken");
    store.apply(&batch).await.expect("and taken again");

    let rows = page(&*store, Conversation::Group(group), "bob", None, 20_000).await;

    assert!(rows.iter().eq(all.iter().rev()), "all, once, in order");
}

pub(crate) async fn a_call_given_up_half_way_leaves_the_store_consistent(store: Arc<dyn Store>) {
    let all: Vec<Message> = (0..500).map(|at| direct("alice", "bob", at)).collect();
    let batch = inserts(&all);
    for patience_micros in [0, 50, 500, 5_000] {
        let patience = std::time::Duration::from_micros(patience_micros);
        // Whether it ends in time is up to the machine; the state afterwards is not.
        let _ = tokio::time::timeout(patience, store.apply(&batch)).await;
        let _ = tokio::time::timeout(patience, store.unread(&user("bob"), None, &[])).await;
    }

    store.apply(&batch).await.expect("the batch is taken");

    let rows = page(&*store, between("alice", "bob"), "bob", None, 1_000).await;
    assert!(rows.iter().eq(all.iter().rev()), "all, once, in order");
    // MongoDB's count is an estimate, in which is what the calls that were given up have written and not
    // undone yet.
    let counted = async {
        while store.health().await.expect("the store answers").messages_count != 500 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, counted).await.expect("all, once");
}

pub(crate) async fn readers_go_on_while_batches_are_applied(store: Arc<dyn Store>) {
    const BATCHES: i64 = 40;
    const BATCH: usize = 25;
    let group = GroupId::mint();
    let writer = async {
        for number in 0..BATCHES {
            let first = number * BATCH as i64;
            let batch: Vec<_> =
                (0..BATCH as i64).map(|i| in_group(group, "alice", first + i)).collect();
            insert(&*store, &batch).await;
        }
    };
    let reader = async || {
        let mut seen = 0;
        while seen < BATCHES as usize * BATCH {
            let rows = page(&*store, Conversation::Group(group), "bob", None, 2_000).await;
            assert!(rows.len() >= seen, "{} rows after {seen}", rows.len());
            let newest_first = rows.windows(2).all(|pair| pair[0].position() > pair[1].position());
            assert!(newest_first, "a page is ordered while messages arrive");
            seen = rows.len();
        }
    };
    tokio::join!(writer, reader(), reader(), reader());
}
