//! A database that the old server has filled is read, and changed, in place.

use banter::model::{
    Batch, Content, Conversation, GroupId, MessageChange, MessageId, MessageRef, Status, Target,
};
use banter::store::{HistoryQuery, Range, Store};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};

use crate::make::{between, edit, missing, read, stored, user};
use crate::mongod::TestDatabase;
use crate::stores::{first_page, history, prepared};

async fn put(database: &TestDatabase, collection: &str, rows: Vec<Document>) {
    let raw = database.raw().await;
    raw.collection::<Document>(collection).insert_many(rows).await.expect("rows");
}

/// A row as the old server wrote it: its `id` is another one than its `_id`.
fn old_row(old_id: &str, at: i64) -> Document {
    doc! {
        "id": old_id, "content": "hello", "type": "direct", "content_type": "text",
        "media_url": null, "media_metadata": null, "from_user_id": "ann", "to_user_id": "bob",
        "timestamp": DateTime::from_millis(at), "status": "sent", "read_by": [], "deleted_for": [],
    }
}

#[tokio::test]
async fn a_message_is_found_and_changed_by_either_id() {
    let database = TestDatabase::new();
    let mut row = old_row("5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11", 5);
    let id = ObjectId::new();
    row.insert("_id", id);
    row.insert("unknown", "kept");
    put(&database, "messages", vec![row]).await;
    let store = prepared(&database).await;

    for name in ["5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11", &id.to_hex()] {
        let name = MessageRef::parse(name).expect("a reference");
        let found = store.message(&name).await.expect("an answer").expect("a message");
        assert_eq!(found.id.0, id);
        assert_eq!(found.public_id(), "5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11");
        let batch = Batch { changes: vec![edit(found.id, name.as_str())], ..Batch::default() };
        store.apply(&batch).await.expect("stored");
        let changed = store.message(&name).await.expect("an answer").expect("a message");
        assert_eq!(changed.content, Content::Text(name.as_str().to_owned()));
    }

    let raw = database.raw().await.collection::<Document>("messages");
    let row = raw.find_one(doc! {"_id": id}).await.expect("an answer").expect("a row");
    assert_eq!(row.get_str("unknown").ok(), Some("kept"), "other fields are left alone");
}

#[tokio::test]
async fn a_row_whose_lists_are_no_lists_takes_changes() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    for odd in [Bson::Null, Bson::from("bob"), doc! {"bob": true}.into()] {
        let mut row = old_row("1", 5);
        let id = ObjectId::new();
        row.extend(doc! {"_id": id, "read_by": &odd, "deleted_for": &odd, "edited_at": &odd});
        row.remove("status");
        put(&database, "messages", vec![row]).await;
        let id = MessageId(id);
        let all = MessageChange {
            readers: vec![user("cem"), user("bob")],
            hidden_for: vec![user("dan")],
            ..edit(id, "new")
        };

        assert_eq!(missing(&store, vec![all]).await, [], "{odd}");
        assert_eq!(missing(&store, vec![read(id, &["eve", "bob"])]).await, [], "{odd}");

        let row = stored(&store, id).await.expect("a message");
        assert_eq!(row.read_by, ["cem", "bob", "eve"].map(user), "{odd}");
        assert_eq!((row.deleted_for, row.status), (vec![user("dan")], Status::Read), "{odd}");
        assert_eq!(row.content, Content::Text("new".to_owned()), "{odd}");
    }
}

#[tokio::test]
async fn rows_with_missing_and_odd_fields_are_read_and_the_unreadable_left_out() {
    let database = TestDatabase::new();
    let group = ObjectId::new();
    put(
        &database,
        "messages",
        vec![
            old_row("1", 1),
            doc! {"from_user_id": "bob", "to_user_id": "ann", "timestamp": DateTime::from_millis(2),
            "content": {"text": "naive", "n": 1_i64, "id": group}, "status": "odd",
            "content_type": "odd"},
            doc! {"_id": "no ObjectId", "from_user_id": "ann", "to_user_id": "bob",
            "timestamp": DateTime::from_millis(3), "type": "direct"},
            doc! {"from_user_id": "ann", "group_id": group, "timestamp": DateTime::from_millis(4)},
            doc! {"group_id": group, "timestamp": DateTime::from_millis(5), "type": "group"},
        ],
    )
    .await;
    let store = prepared(&database).await;

    let direct = history(&store, between("ann", "bob")).await;
    assert_eq!(direct.len(), 2, "{direct:?}");
    let expected = serde_json::json!({"text": "naive", "n": 1, "id": group.to_hex()});
    let expected = expected.as_object().expect("an object").clone();
    assert_eq!(direct[0].content, Content::Object(expected));
    assert_eq!((direct[0].status, direct[0].read_by.len()), (Status::Sent, 0));
    assert_eq!(direct[1].old_id.as_deref(), Some("1"));

    let in_group = history(&store, Conversation::Group(GroupId(group))).await;
    assert_eq!(in_group.len(), 1);
    assert_eq!(in_group[0].target, Target::Group(GroupId(group)));
}

#[tokio::test]
async fn both_directions_of_old_rows_page_in_order() {
    let database = TestDatabase::new();
    let rows = (0..40).map(|at| {
        let mut row = old_row(&at.to_string(), at / 4);
        if at % 2 == 1 {
            row.insert("from_user_id", "bob");
            row.insert("to_user_id", "ann");
        }
        row
    });
    put(&database, "messages", rows.collect()).await;
    let store = prepared(&database).await;

    let all = history(&store, between("ann", "bob")).await;
    assert_eq!(all.len(), 40);
    assert!(all.windows(2).all(|pair| pair[0].position() > pair[1].position()));
    let query =
        |range| HistoryQuery { range, limit: 7, ..first_page(between("ann", "bob"), "ann") };
    let (mut paged, mut range) = (Vec::new(), Range::Newest);
    loop {
        let rows = store.history(&query(range)).await.expect("an answer");
        let Some(last) = rows.last() else { break };
        range = Range::Before(last.position());
        paged.extend(rows);
    }
    assert_eq!(paged, all, "no row twice, none lost, across equal timestamps");

    let mut forwards = vec![all[39].clone()];
    loop {
        let range = Range::After(forwards[0].position());
        let mut rows = store.history(&query(range)).await.expect("an answer");
        if rows.is_empty() {
            break;
        }
        rows.extend(forwards);
        forwards = rows;
    }
    assert_eq!(forwards, all);
}

/// A page that is shorter than its limit says that there are no more.
#[tokio::test]
async fn rows_that_are_no_messages_do_not_make_a_page_shorter() {
    let database = TestDatabase::new();
    let group = ObjectId::new();
    let row = |at: i64| {
        let mut row = doc! {"group_id": group, "timestamp": DateTime::from_millis(at)};
        if at % 4 == 0 {
            row.insert("from_user_id", "ann");
        }
        row
    };
    put(&database, "messages", (0..40).map(row).collect()).await;
    let store = prepared(&database).await;
    let conversation = Conversation::Group(GroupId(group));
    let times = |rows: Vec<banter::model::Message>| -> Vec<i64> {
        rows.iter().map(|row| row.timestamp.as_millis()).collect()
    };
    let query = HistoryQuery { limit: 3, ..first_page(conversation, "ann") };
    let newest = store.history(&query).await.expect("an answer");
    let place = newest[2].position();
    assert_eq!(times(newest), [36, 32, 28]);
    let query = HistoryQuery { range: Range::After(place), limit: 2, ..query };
    assert_eq!(times(store.history(&query).await.expect("an answer")), [36, 32]);
}

#[tokio::test]
async fn unread_messages_of_old_rows_count() {
    let database = TestDatabase::new();
    let group = ObjectId::new();
    let row = doc! {"_id": group, "name": "Old", "member_ids": ["ann", "bob", 7]};
    put(&database, "groups", vec![row]).await;
    let mut rows: Vec<_> = (0..3).map(|at| old_row(&at.to_string(), at)).collect();
    rows.push(doc! {"from_user_id": "cem", "to_user_id": "bob", "type": "direct"});
    for at in 0..4 {
        let reader = if at == 0 { "bob" } else { "ann" };
        rows.push(doc! {"from_user_id": "ann", "group_id": group, "type": "group",
        "timestamp": DateTime::from_millis(at), "read_by": [reader]});
    }
    put(&database, "messages", rows).await;
    let store = prepared(&database).await;

    let unread = store.unread(&user("bob"), None, &[]).await.expect("an answer");
    assert_eq!((unread.direct, unread.group), (4, 3));

    let last = history(&store, between("cem", "bob")).await.remove(0);
    let batch = Batch { changes: vec![read(last.id, &["bob"])], ..Batch::default() };
    store.apply(&batch).await.expect("stored");
    assert_eq!(store.unread(&user("bob"), None, &[]).await.expect("an answer").direct, 3);
    let group = store.group(GroupId(group)).await.expect("an answer").expect("a group");
    assert_eq!(group.members, [user("ann"), user("bob"), user("7")]);
}
