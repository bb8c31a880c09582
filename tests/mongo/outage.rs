//! Servers that are killed, frozen, or not there yet.

use std::time::Duration;

use banter::model::Timestamp;
use banter::store::mongo::MongoStore;
use banter::store::{AccountStore, Store, StoreError};

use crate::make::{between, direct, inserts, user};
use crate::mongod::Mongod;
use crate::stores::{config, history, idle_pool};

/// Far above the store's own limits: what is asserted is that no call hangs.
const NO_HANG: Duration = Duration::from_secs(60);

/// Runs a call that is to fail because the server is away.
async fn fails<T: std::fmt::Debug>(call: impl Future<Output = Result<T, StoreError>>) {
    let outcome = tokio::time::timeout(NO_HANG, call).await.expect("no call hangs");
    let error = outcome.expect_err("the server is away");
    assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
}

/// Tries until the driver has found the server again.
async fn stored(store: &dyn Store, batch: &banter::model::Batch) {
    let trying = async {
        while let Err(error) = store.apply(batch).await {
            assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
        }
    };
    tokio::time::timeout(NO_HANG, trying).await.expect("the server is found again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_gives_transient_errors_and_is_found_again() {
    let mut mongod = Mongod::start().await;
    let store = MongoStore::connect(&config(&mongod.url(), "chat")).await.expect("a store");
    store.prepare().await.expect("indexes");
    let (before, during) = (direct("ann", "bob", 1), direct("bob", "ann", 2));
    store.apply(&inserts([&before])).await.expect("stored");

    mongod.kill();
    fails(store.apply(&inserts([&during]))).await;
    fails(store.unread(&user("bob"), None, &[])).await;
    fails(store.health()).await;
    fails(store.prepare()).await;
    fails(store.accounts(None, 10)).await;
    fails(store.set_banned(&user("bob"), true, Timestamp(1))).await;
    idle_pool(&store).await;

    mongod.restart().await;
    stored(&store, &inserts([&before, &during])).await;
    assert_eq!(history(&store, between("ann", "bob")).await, [during, before]);
    store.prepare().await.expect("nothing to do");
    store.health().await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_hold_its_callers() {
    let mongod = Mongod::start().await;
    let store = MongoStore::connect(&config(&mongod.url(), "chat")).await.expect("a store");
    store.prepare().await.expect("indexes");
    let message = direct("ann", "bob", 1);

    mongod.freeze();
    fails(store.unread(&user("bob"), None, &[])).await;
    fails(store.apply(&inserts([&message]))).await;

    mongod.thaw();
    stored(&store, &inserts([&message])).await;
    assert_eq!(history(&store, between("ann", "bob")).await, [message]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_found() {
    let mut mongod = Mongod::start().await;
    mongod.kill();
    let store = MongoStore::connect(&config(&mongod.url(), "chat")).await.expect("no waiting");
    fails(store.prepare()).await;

    mongod.restart().await;
    let message = direct("ann", "bob", 1);
    stored(&store, &inserts([&message])).await;
    store.prepare().await.expect("indexes");
    assert_eq!(history(&store, between("ann", "bob")).await, [message]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_leaves_the_pool_and_the_store_whole() {
    let mongod = Mongod::start().await;
    let store = MongoStore::connect(&config(&mongod.url(), "chat")).await.expect("a store");
    let all: Vec<_> = (0..500).map(|at| direct("ann", "bob", at)).collect();
    let batch = inserts(&all);
    for millis in 0..20 {
        // Whether it gets far or not does not matter.
        let _ = tokio::time::timeout(Duration::from_millis(millis), store.apply(&batch)).await;
    }
    stored(&store, &batch).await;
    // Counted one by one: what the server's metadata says is an estimate as long as inserts that
    // were dropped are undone.
    let raw = mongodb::Client::with_uri_str(mongod.url()).await.expect("a client");
    let messages = raw.database("chat").collection::<bson::Document>("messages");
    assert_eq!(messages.count_documents(bson::doc! {}).await.expect("a count"), 500);
    idle_pool(&store).await;
}
