//! The fence around the history that nodes share outside the database.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banter::model::{Batch, Conversation};
use banter::store::{Fence, FenceCloser, FencedStore, Store};
use bson::{Document, doc};
use futures_util::future::try_join_all;

use crate::make::{direct, user};
use crate::mongod::TestDatabase;
use crate::stores::prepared;

async fn documents(database: &TestDatabase) -> u64 {
    let fences = database.raw().await.collection::<Document>("history_fence");
    fences.count_documents(doc! {}).await.expect("counted")
}

async fn fence(store: &impl FencedStore) -> Fence {
    store.fence().await.expect("an answer").expect("a fence")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_make_one_fence_and_it_is_open() {
    let database = TestDatabase::new();
    let nodes = [prepared(&database).await, prepared(&database).await];
    let asked = (0..20).map(|n| nodes[n % 2].fence());
    let fences = try_join_all(asked).await.expect("answers");
    let all: HashSet<_> = fences.into_iter().map(|fence| fence.expect("one").generation).collect();
    assert_eq!((all.len(), documents(&database).await), (1, 1));
    assert!(fence(&nodes[0]).await.is_open && !all.contains(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_has_a_fence_none_is_made_to_close_it() {
    let database = TestDatabase::new();
    let store: Arc<dyn Store> = Arc::new(prepared(&database).await);
    assert!(!store.close_fence().await.expect("an answer"));
    FenceCloser::new(store).close().await.expect("nothing to do");
    assert_eq!(documents(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_is_closed_by_the_servers_clock_under_another_generation() {
    let database = TestDatabase::new();
    let store: Arc<dyn Store> = Arc::new(prepared(&database).await);
    let open = store.fence().await.expect("an answer").expect("a fence");
    let (closer, begun) = (FenceCloser::new(Arc::clone(&store)), Instant::now());
    closer.close().await.expect("closed");
    assert!(begun.elapsed() >= Duration::from_secs(2), "until nobody believes that it is open");
    let closed = store.fence().await.expect("an answer").expect("a fence");
    assert!(open.is_open && !closed.is_open && closed.generation != open.generation);
    closer.close().await.expect("closed");
    let again = store.fence().await.expect("an answer").expect("a fence");
    assert_eq!(again, closed, "what was closed a moment ago is good for the next write");

    let fences = database.raw().await.collection::<Document>("history_fence");
    let pipeline = doc! {"$project": {"ms": {"$subtract": ["$closed_until", "$$NOW"]}}};
    let mut found = fences.aggregate([pipeline]).await.expect("an answer");
    assert!(found.advance().await.expect("an answer"));
    let left = found.deserialize_current().expect("a document").get_i64("ms").expect("a time");
    assert!((1..=120_000).contains(&left), "{left}");
    let over = doc! {"$set": {"closed_until": bson::DateTime::now()}};
    fences.update_one(doc! {}, over).await.expect("changed");
    assert!(store.fence().await.expect("an answer").expect("a fence").is_open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fills_is_told_the_newest_rows_by_the_primary() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let sent: Vec<_> = (0..5).map(|n| direct("ann", "bob", n)).collect();
    let inserts = sent.iter().cloned().map(Arc::new).collect();
    store.apply(&Batch { inserts, ..Batch::default() }).await.expect("stored");
    let pair = Conversation::direct(user("ann"), user("bob"));
    let rows = store.newest(&pair, 3).await.expect("an answer").expect("rows");
    let newest: Vec<_> = sent.iter().rev().take(3).cloned().collect();
    assert_eq!(rows, newest);
}
