//! What a store tells of itself.

use std::sync::Arc;

use banter::model::GroupId;
use banter::store::Store;

use crate::make::{direct, group, in_group, insert, stored};

pub(crate) async fn health_counts_and_names_indexes(store: Arc<dyn Store>) {
    let empty = store.health().await.expect("the store answers");
    assert_eq!((empty.messages_count, empty.groups_count), (0, 0));
    let messages = [direct("a", "b", 1), direct("b", "a", 2), in_group(GroupId::mint(), "a", 3)];
    insert(&*store, &messages).await;
    insert(&*store, &messages).await;
    let teams = [group("one", &["a"], 1), group("two", &["a"], 2)];
    for team in &teams {
        store.create_group(team).await.expect("a new group");
    }

    let health = store.health().await.expect("the store answers");

    assert_eq!((health.messages_count, health.groups_count), (3, 2));
    for collection in ["messages", "groups"] {
        let indexes = &health.indexes[collection];
        assert!(indexes.len() > 1, "{collection}: {indexes:?}");
        for (name, keys) in indexes {
            assert!(!keys.is_empty(), "{name} has keys");
            let plain = |(field, way): &(String, i32)| !field.is_empty() && way.abs() == 1;
            assert!(keys.iter().all(plain), "{name}: {keys:?}");
        }
    }
    let by_client = [("from_user", 1), ("client_id", 1)];
    let keys = &health.indexes["messages"]["message_client_id"];
    let fits = |(key, wanted): (&(String, i32), &(&str, i32))| {
        key.0.starts_with(wanted.0) && key.1 == wanted.1
    };
    assert!(keys.len() == 2 && keys.iter().zip(&by_client).all(fits), "{keys:?}");
    assert!(health.round_trip > std::time::Duration::ZERO);

    store.delete_group(teams[0].id).await.expect("the store answers");
    let health = store.health().await.expect("the store answers");
    assert_eq!(health.groups_count, 1);
}

pub(crate) async fn preparing_again_keeps_what_is_stored(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;

    store.prepare().await.expect("nothing to do");

    assert_eq!(stored(&*store, message.id).await, Some(message));
}

pub(crate) async fn the_description_names_the_store(store: Arc<dyn Store>) {
    let text = store.describe();
    assert!(text.starts_with("SQLite at ") || text.starts_with("MongoDB at "), "{text}");
}
