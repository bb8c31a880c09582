//! Batches: half applied, repeated, partly refused, larger than one command.

use banter::model::{Batch, Content, Conversation, GroupId, MessageChange, MessageRef};
use banter::store::{Store, StoreError};
use bson::{Document, doc};
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use crate::make::{between, deletion, direct, edit, in_group, inserts, named, read, user};
use crate::mongod::TestDatabase;
use crate::stores::{history, prepared};

#[tokio::test]
async fn a_batch_half_applied_and_repeated_is_stored_once() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let all: Vec<_> = (0..100).map(|at| direct("ann", "bob", at)).collect();
    let batch = Batch {
        changes: all.iter().map(|message| read(message.id, &["bob"])).collect(),
        ..inserts(&all)
    };
    // What a server that dies half-way leaves behind.
    store.apply(&inserts(&all[..50])).await.expect("stored");

    store.apply(&batch).await.expect("stored");
    store.apply(&batch).await.expect("stored again");

    assert_eq!(store.health().await.expect("an answer").messages_count, 100);
    let newest = history(&store, between("ann", "bob")).await.remove(0);
    assert_eq!((newest.id, newest.read_by), (all[99].id, vec![user("bob")]));
}

#[tokio::test]
async fn a_document_that_is_refused_does_not_stop_the_others() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let raw = database.raw().await;
    let rule = doc! {"collMod": "messages", "validator": {"content": {"$ne": "poison"}}};
    raw.run_command(rule).await.expect("a rule");
    let mut all: Vec<_> = (0..5).map(|at| direct("ann", "bob", at)).collect();
    store.apply(&inserts(&all[..1])).await.expect("stored");
    all[2].content = Content::Text("poison".to_owned());

    let error = store.apply(&inserts(&all)).await.expect_err("one is refused");
    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    assert_eq!(history(&store, between("ann", "bob")).await.len(), 4);

    let batch = Batch {
        changes: vec![edit(all[0].id, "poison"), edit(all[1].id, "new")],
        ..Batch::default()
    };
    let error = store.apply(&batch).await.expect_err("one is refused");
    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    let name = MessageRef::from(all[1].id);
    let changed = store.message(&name).await.expect("an answer").expect("a message");
    assert_eq!(changed.content, Content::Text("new".to_owned()));
}

#[tokio::test]
async fn only_a_duplicate_of_the_message_itself_counts_as_stored() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let unique = IndexModel::builder()
        .keys(doc! {"content": 1})
        .options(IndexOptions::builder().unique(true).build())
        .build();
    let raw = database.raw().await.collection::<Document>("messages");
    raw.create_index(unique).await.expect("an index");
    let first = direct("ann", "bob", 1);
    let mut twin = direct("ann", "bob", 2);
    twin.content = first.content.clone();
    store.apply(&inserts([&first])).await.expect("stored");

    store.apply(&inserts([&first])).await.expect("stored already");
    let error = store.apply(&inserts([&first, &twin])).await.expect_err("another one has its key");

    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
}

#[tokio::test]
async fn a_taken_client_id_does_not_keep_back_the_rest_of_its_batch() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let first = named(direct("ann", "bob", 1), "draft");
    let twin = named(direct("ann", "bob", 2), "draft");
    let others = [direct("ann", "bob", 3), named(direct("bob", "ann", 4), "draft")];
    store.apply(&inserts([&first])).await.expect("stored");

    let batch = inserts([&first, &twin].into_iter().chain(&others));
    let error = store.apply(&batch).await.expect_err("its client id is taken");

    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    let rows = history(&store, between("ann", "bob")).await;
    let [third, fourth] = others;
    assert_eq!(rows, [fourth, third, first]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_larger_than_one_command_are_split() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let group = GroupId::mint();
    // By count: more statements than one command of ours holds.
    let all: Vec<_> = (0..10_050).map(|at| in_group(group, "ann", at)).collect();
    let batch = Batch {
        changes: all.iter().map(|message| read(message.id, &["bob"])).collect(),
        ..inserts(&all)
    };
    store.apply(&batch).await.expect("stored");
    // By size: 40 MB of content, where one command holds 16.
    let long = "x".repeat(1 << 20);
    let changes: Vec<MessageChange> =
        all[10_010..].iter().map(|message| edit(message.id, &long)).collect();
    store.apply(&Batch { changes, ..Batch::default() }).await.expect("stored");

    let raw = database.raw().await.collection::<Document>("messages");
    let read = raw.count_documents(doc! {"read_by": "bob", "status": "read"}).await;
    assert_eq!(read.expect("an answer"), 10_050);
    let rows = history(&store, Conversation::Group(group)).await;
    let expected = Content::Text(long);
    assert_eq!(rows.iter().filter(|row| row.content == expected).count(), 40);

    let deletes = all.iter().map(|message| deletion(message.id)).collect();
    store.apply(&Batch { deletes, ..Batch::default() }).await.expect("deleted");
    assert_eq!(store.health().await.expect("an answer").messages_count, 0);
}

#[tokio::test]
async fn a_document_above_the_servers_limit_is_refused_for_good() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let mut large = direct("ann", "bob", 1);
    let small = direct("ann", "bob", 2);
    store.apply(&inserts([&small])).await.expect("stored");
    large.content = Content::Text("x".repeat(17 << 20));
    let changes = vec![edit(small.id, &"x".repeat(17 << 20))];
    for batch in [inserts([&large]), Batch { changes, ..Batch::default() }] {
        let error = store.apply(&batch).await.expect_err("it is too large");
        assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    }
}
