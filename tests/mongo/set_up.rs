//! Indexes, and databases that are not as the store would make them.

use std::time::Duration;

use banter::model::Batch;
use banter::store::mongo::{MongoStore, indexes};
use banter::store::{Store, StoreError};
use bson::doc;
use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use crate::make::{between, direct, edit, group, inserts, sent_as, user};
use crate::mongod::TestDatabase;
use crate::stores::{bare, config, history, idle_pool, prepared};

fn named(name: &str, keys: bson::Document) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).build();
    IndexModel::builder().keys(keys).options(options).build()
}

#[tokio::test]
async fn the_old_indexes_are_there_under_their_names() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    store.prepare().await.expect("nothing to do");
    let indexes = store.health().await.expect("the store answers").indexes;
    for (collection, name, keys) in [
        ("messages", "user_messages", vec![("from_user_id", 1), ("to_user_id", 1)]),
        ("messages", "group_messages", vec![("group_id", 1)]),
        ("messages", "message_timestamp", vec![("timestamp", -1)]),
        ("messages", "message_type_status", vec![("type", 1), ("status", 1)]),
        ("messages", "message_read_by", vec![("read_by", 1)]),
        ("groups", "group_members", vec![("member_ids", 1)]),
        ("groups", "group_creation_time", vec![("created_at", -1)]),
        ("groups", "group_name", vec![("name", 1)]),
    ] {
        let keys: Vec<_> = keys.into_iter().map(|(field, way)| (field.to_owned(), way)).collect();
        assert_eq!(indexes[collection].get(name), Some(&keys), "{name}");
    }
}

#[tokio::test]
async fn an_index_under_another_name_is_accepted() {
    let database = TestDatabase::new();
    let raw = database.raw().await;
    let groups = raw.collection::<bson::Document>("groups");
    groups.create_index(named("by_name", doc! {"name": 1.0})).await.expect("an index");

    let store = prepared(&database).await;

    let indexes = store.health().await.expect("the store answers").indexes;
    assert!(indexes["groups"].contains_key("by_name"));
    assert!(!indexes["groups"].contains_key("group_name"));
    let team = group("Team", &["ann"], 1);
    store.create_group(&team).await.expect("a new group");
    assert_eq!(store.search_groups("TEAM", None, 5).await.expect("an answer"), [team]);
}

#[tokio::test]
async fn an_index_with_our_name_and_other_keys_is_left_alone() {
    let database = TestDatabase::new();
    let raw = database.raw().await;
    let messages = raw.collection::<bson::Document>("messages");
    messages.create_index(named("direct_order", doc! {"content": 1})).await.expect("an index");

    let store = prepared(&database).await;

    let indexes = store.health().await.expect("the store answers").indexes;
    assert_eq!(indexes["messages"]["direct_order"], [("content".to_owned(), 1)]);
    assert!(indexes["messages"].contains_key("group_order"), "the others are made");
    let message = direct("ann", "bob", 1);
    store.apply(&inserts([&message])).await.expect("stored");
    assert_eq!(history(&store, between("ann", "bob")).await, [message], "read without the index");
}

#[tokio::test]
async fn stubs_go_after_thirty_days_and_client_ids_are_unique_where_there_is_one() {
    let database = TestDatabase::new();
    prepared(&database).await;
    let raw = database.raw().await.collection::<bson::Document>("messages");
    let indexes: Vec<_> =
        raw.list_indexes().await.expect("an answer").try_collect().await.expect("indexes");
    let options = |name: &str| {
        let options = indexes.iter().filter_map(|index| index.options.clone());
        options.into_iter().find(|options| options.name.as_deref() == Some(name)).expect("an index")
    };

    let tombstone = options("message_tombstone");
    assert_eq!(tombstone.expire_after, Some(Duration::from_hours(720)));
    assert_eq!(tombstone.sparse, Some(true));
    let client_id = options("message_client_id");
    assert_eq!(client_id.unique, Some(true));
    let texts = doc! {"client_id": {"$type": "string"}};
    assert_eq!(client_id.partial_filter_expression, Some(texts));
}

#[tokio::test]
async fn what_is_in_the_way_of_one_index_does_not_stop_the_others() {
    let database = TestDatabase::new();
    let raw = database.raw().await.collection::<bson::Document>("messages");
    let twin = doc! {"from_user_id": "ann", "to_user_id": "bob", "client_id": "1"};
    let twins = [twin.clone(), twin];
    raw.insert_many(twins).await.expect("rows");
    raw.create_index(named("stones", doc! {"tombstone": 1})).await.expect("an index");

    let store = prepared(&database).await;

    let indexes = store.health().await.expect("the store answers").indexes;
    assert!(!indexes["messages"].contains_key("message_client_id"));
    assert!(indexes["groups"].contains_key("member_groups"), "the last one is made");
    assert!(sent_as(&store, "ann", "1").await.is_some(), "found without the index");
}

#[tokio::test]
async fn a_second_index_with_the_keys_of_ours_does_not_stop_reads() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let raw = database.raw().await.collection::<bson::Document>("messages");
    for (index, keys) in
        [("second", indexes::DIRECT_ORDER.keys()), ("third", indexes::DIRECT_UNREAD.keys())]
    {
        let mut sparse = named(index, keys);
        sparse.options.as_mut().expect("options").sparse = Some(true);
        raw.create_index(sparse).await.expect("an index");
    }
    let message = direct("ann", "bob", 1);
    store.apply(&inserts([&message])).await.expect("stored");

    assert_eq!(history(&store, between("ann", "bob")).await, [message]);
    assert_eq!(store.unread(&user("bob"), None, &[]).await.expect("an answer").direct, 1);
}

#[tokio::test]
async fn reads_work_before_the_indexes_are_made() {
    let database = TestDatabase::new();
    let store = bare(&database).await;
    assert_eq!(history(&store, between("ann", "bob")).await, []);
    let (message, team) = (direct("ann", "bob", 1), group("Team", &["bob"], 1));
    store.apply(&inserts([&message])).await.expect("stored");
    store.create_group(&team).await.expect("a new group");
    assert_eq!(history(&store, between("ann", "bob")).await, [message]);
    assert_eq!(store.unread(&user("bob"), None, &[]).await.expect("an answer").direct, 1);
    assert_eq!(
        store.groups_of(&user("bob"), 5).await.expect("an answer"),
        std::slice::from_ref(&team)
    );
    let rooms = store.rooms(&user("bob"), None, 5).await.expect("an answer");
    assert_eq!(rooms.into_iter().map(|room| room.group.id).collect::<Vec<_>>(), [team.id]);
}

#[tokio::test]
async fn the_description_holds_no_password() {
    let config = config("mongodb://ann:secret@one.example:1,two.example/?w=1", "chat");
    let store = MongoStore::connect(&config).await.expect("no server asked");
    assert_eq!(store.describe(), "MongoDB at one.example:1,two.example:27017/chat");
    assert!(!format!("{config:?}").contains("secret"));
}

#[tokio::test]
async fn the_pool_counts_its_connections() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let user = user("bob");
    let calls = (0..30).map(|_| store.unread(&user, None, &[]));
    futures_util::future::try_join_all(calls).await.expect("answers");
    let pool = idle_pool(&store).await;
    assert_eq!(pool.max, 10);
    assert!((1..=10).contains(&pool.open), "{pool:?}");
}

#[tokio::test]
async fn a_closed_store_answers_nothing_and_does_not_hang() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    store.close().await;
    let error = store.health().await.expect_err("it is closed");
    assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
    idle_pool(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_the_set_up() {
    let database = TestDatabase::new();
    let url = database.url.replace("mongodb://", "mongodb://nobody:secret@");
    let store = MongoStore::connect(&config(&url, &database.name)).await.expect("no server asked");
    let error = store.apply(&inserts([&direct("ann", "bob", 1)])).await.expect_err("nobody");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    assert!(!format!("{error:?} {}", store.describe()).contains("secret"));
}

#[tokio::test]
async fn a_write_concern_that_the_servers_cannot_satisfy_is_a_matter_of_the_set_up() {
    let database = TestDatabase::new();
    let mut config = config(&database.url, &database.name);
    config.write_concern = "2".parse().expect("a number");
    let store = MongoStore::connect(&config).await.expect("no server asked");
    let message = direct("ann", "bob", 1);
    let changes = vec![edit(message.id, "new")];
    for batch in [inserts([&message]), Batch { changes, ..Batch::default() }] {
        let error = store.apply(&batch).await.expect_err("there is one server");
        assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    }
}
