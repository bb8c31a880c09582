//! What a deleted message leaves in the database, and changes that meet it or come too early.

use banter::model::{Batch, Message, MessageId};
use banter::store::{Store, StoreError};
use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use mongodb::Collection;

use crate::make::{
    apply_changes, delete, deletion, deletion_at, direct, edit, hide, insert, inserts, missing,
    named, read, sent_as, stored, user,
};
use crate::mongod::TestDatabase;
use crate::stores::{bare, prepared};

async fn rows(database: &TestDatabase) -> Collection<Document> {
    database.raw().await.collection("messages")
}

async fn row(database: &TestDatabase, id: MessageId) -> Document {
    let found = rows(database).await.find_one(doc! {"_id": id.0}).await;
    found.expect("an answer").expect("a document")
}

/// When a helper of the tests says that the message was deleted.
fn at(id: MessageId) -> DateTime {
    DateTime::from_millis(deletion(id).at.as_millis())
}

#[tokio::test]
async fn a_stub_holds_the_date_and_what_the_message_had_of_sender_client_id_and_time() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let named = named(direct("ann", "bob", 1), "draft");
    let (plain, unseen) = (direct("ann", "bob", 2), direct("ann", "bob", 3));
    let old = ObjectId::new();
    let odd = doc! {"_id": old, "from_user_id": 7, "to_user_id": "bob", "client_id": null};
    rows(&database).await.insert_one(odd).await.expect("a row");
    insert(&store, [&named, &plain]).await;

    let deletes = vec![deletion_at(MessageId(old), at(unseen.id).timestamp_millis())];
    store.apply(&Batch { deletes, ..Batch::default() }).await.expect("deleted");
    delete(&store, &[&named, &plain, &unseen]).await;

    let sent_at = DateTime::from_millis;
    for (id, stub) in [
        (named.id, doc! {"from_user_id": "ann", "client_id": "draft", "sent_at": sent_at(1)}),
        (plain.id, doc! {"from_user_id": "ann", "sent_at": sent_at(2)}),
        (unseen.id, doc! {}),
        (MessageId(old), doc! {"from_user_id": 7, "client_id": null}),
    ] {
        let mut found = row(&database, id).await;
        assert_eq!(found.remove("_id"), Some(id.0.into()));
        assert!(matches!(found.remove("tombstone"), Some(bson::Bson::DateTime(_))), "{found}");
        assert!(matches!(found.remove("version"), Some(bson::Bson::Timestamp(_))), "{found}");
        assert_eq!(found.remove("parties"), Some(vec!["alice", "bob"].into()));
        assert_eq!(found, stub);
    }
}

#[tokio::test]
async fn the_first_deletion_dates_the_stub_and_nothing_is_written_into_it() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let message = named(direct("ann", "bob", 1), "draft");
    let id = message.id;
    insert(&store, [&message]).await;
    delete(&store, &[&message]).await;
    let stub = row(&database, id).await;
    assert_eq!(stub.get_datetime("tombstone").ok(), Some(&at(id)));

    let later = deletion(id).at.as_millis() + 5_000;
    let deletes = vec![deletion_at(id, later)];
    store.apply(&Batch { deletes, ..Batch::default() }).await.expect("deleted again");
    apply_changes(&store, vec![edit(id, "late")]).await;
    apply_changes(&store, vec![read(id, &["bob"])]).await;
    apply_changes(&store, vec![hide(id, &["bob"])]).await;
    insert(&store, [&message]).await;

    let mut now = row(&database, id).await;
    let version = |row: &mut bson::Document| row.remove("version").expect("a version");
    let mut stub = stub;
    assert_ne!(version(&mut now), version(&mut stub), "who has missed it is told again");
    assert_eq!(now, stub);
}

#[tokio::test]
async fn a_message_without_a_client_id_is_stored_as_it_always_was() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let message = direct("ann", "bob", 1);
    insert(&store, [&message]).await;

    let row = row(&database, message.id).await;

    let fields: Vec<_> = row.keys().map(String::as_str).collect();
    let expected = [
        "_id",
        "id",
        "content",
        "type",
        "content_type",
        "media_url",
        "media_metadata",
        "from_user_id",
        "to_user_id",
        "timestamp",
        "status",
        "read_by",
        "deleted_for",
        "parties",
        "version",
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn stubs_are_no_messages_once_their_index_is_there() {
    let database = TestDatabase::new();
    let store = bare(&database).await;
    let (stays, goes) = (direct("ann", "bob", 1), named(direct("ann", "bob", 2), "draft"));
    insert(&store, [&stays, &goes]).await;
    delete(&store, &[&goes]).await;
    let count = async || store.health().await.expect("an answer").messages_count;

    assert_eq!(count().await, 2, "nothing tells them apart cheaply yet");
    assert_eq!(stored(&store, goes.id).await, None);
    assert_eq!(sent_as(&store, "ann", "draft").await, Some(goes.id), "found without an index");

    store.prepare().await.expect("indexes");
    assert_eq!(count().await, 1);
    assert_eq!(sent_as(&store, "ann", "draft").await, Some(goes.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_may_delete_the_same_messages_at_once() {
    let database = TestDatabase::new();
    let (one, two) = (prepared(&database).await, prepared(&database).await);
    let all: Vec<Message> = (0..300).map(|at| direct("ann", "bob", at)).collect();
    let deletes = all.iter().map(|message| deletion(message.id)).collect();
    let batch = Batch { deletes, ..Batch::default() };
    let apply = async |store: &dyn Store| {
        while let Err(error) = store.apply(&batch).await {
            assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
        }
    };

    tokio::join!(apply(&one), apply(&two), insert(&one, &all));

    let left = rows(&database).await.count_documents(doc! {"tombstone": {"$exists": true}}).await;
    assert_eq!(left.expect("an answer"), 300);
    assert_eq!(one.health().await.expect("an answer").messages_count, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_in_meanwhile_takes_its_change_or_is_missing() {
    let database = TestDatabase::new();
    let (one, two) = (prepared(&database).await, prepared(&database).await);
    let all: Vec<Message> = (0..400).map(|at| direct("ann", "bob", at)).collect();
    let inserting = async {
        for run in all.chunks(4) {
            two.apply(&inserts(run)).await.expect("stored");
        }
    };
    let changing = async {
        let mut answers = Vec::new();
        for run in all.chunks(40) {
            let changes = run.iter().map(|message| read(message.id, &["bob"])).collect();
            answers.extend(missing(&one, changes).await);
        }
        answers
    };

    let ((), missing) = tokio::join!(inserting, changing);

    for message in &all {
        let read_by = stored(&one, message.id).await.expect("a message").read_by;
        assert!(
            missing.contains(&message.id) || read_by == [user("bob")],
            "{:?}",
            message.timestamp
        );
    }
}
