//! Stores on a real server, and what is asked of them.

use std::time::Duration;

use banter::model::{Conversation, Message};
use banter::store::mongo::{Config, Durability, MongoStore};
use banter::store::{HistoryQuery, PoolGauges, Range, Store};

use crate::make::user;
use crate::mongod::TestDatabase;

pub(crate) fn config(url: &str, name: &str) -> Config {
    Config {
        mongo_url: Some(url.parse().expect("any text is taken")),
        mongodb_name: name.to_owned(),
        write_concern: Durability::Majority,
        min_pool_size: 1,
        max_pool_size: 10.try_into().expect("not zero"),
    }
}

/// A store that has not made its indexes yet.
pub(crate) async fn bare(database: &TestDatabase) -> MongoStore {
    let config = config(&database.url, &database.name);
    MongoStore::connect(&config).await.expect("a sound configuration")
}

pub(crate) async fn prepared(database: &TestDatabase) -> MongoStore {
    let store = bare(database).await;
    store.prepare().await.expect("indexes");
    store
}

/// The newest fifty.
pub(crate) fn first_page(conversation: Conversation, viewer: &str) -> HistoryQuery {
    HistoryQuery { conversation, viewer: Some(user(viewer)), range: Range::Newest, limit: 50 }
}

pub(crate) async fn history(store: &dyn Store, conversation: Conversation) -> Vec<Message> {
    store.history(&first_page(conversation, "nobody")).await.expect("the store answers")
}

/// Waits until no connection is in use: the driver takes one back a little after its call.
pub(crate) async fn idle_pool(store: &dyn Store) -> PoolGauges {
    let settling = async {
        loop {
            let pool = store.pool().expect("a pool");
            if (pool.in_use, pool.waiting) == (0, 0) {
                return pool;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settling).await.expect("the pool is idle again")
}
