//! Who has blocked whom.

use std::sync::Arc;

use banter::model::{Block, Timestamp};
use banter::store::Store;

use crate::make::user;

async fn block(store: &dyn Store, name: &str, other: &str, at: i64) {
    let block = Block { user: user(other), at: Timestamp(at) };
    store.block(&user(name), &block).await.expect("stored");
}

async fn blocks(store: &dyn Store, name: &str, limit: usize) -> Vec<String> {
    let found = store.blocks(&user(name), limit).await.expect("the store answers");
    found.iter().map(|block| format!("{} {}", block.user, block.at.as_millis())).collect()
}

pub(crate) async fn blocks_of_a_user_are_listed_the_last_one_first(store: Arc<dyn Store>) {
    for (name, other, at) in
        [("ann", "bob", 1), ("ann", "dan", 2), ("ann", "cem", 2), ("bob", "ann", 9)]
    {
        block(&*store, name, other, at).await;
    }
    assert_eq!(blocks(&*store, "ann", 10).await, ["dan 2", "cem 2", "bob 1"]);
    assert_eq!(blocks(&*store, "ann", 2).await, ["dan 2", "cem 2"]);
    assert_eq!(blocks(&*store, "ann", 0).await, Vec::<String>::new());
    assert_eq!(blocks(&*store, "nobody", 10).await, Vec::<String>::new());
}

pub(crate) async fn a_block_keeps_its_time_until_it_is_taken_back(store: Arc<dyn Store>) {
    block(&*store, "ann", "bob", 1).await;
    block(&*store, "ann", "bob", 5).await;
    assert_eq!(blocks(&*store, "ann", 10).await, ["bob 1"]);
    for _ in 0..2 {
        store.unblock(&user("ann"), &user("bob")).await.expect("the store answers");
        assert_eq!(blocks(&*store, "ann", 10).await, Vec::<String>::new());
    }
    block(&*store, "ann", "bob", 7).await;
    assert_eq!(blocks(&*store, "ann", 10).await, ["bob 7"]);
}
