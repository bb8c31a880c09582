//! The MongoDB store, as the suite gets it.

use std::sync::Arc;

use banter::store::Store;
use banter::store::mongo::{Config, Durability, MongoStore};

use crate::mongod::TestDatabase;

/// An empty store in a database of its own, which goes with the second value.
pub(crate) async fn fresh() -> (Arc<MongoStore>, TestDatabase) {
    let database = TestDatabase::new();
    let config = Config {
        mongo_url: Some(database.url.parse().expect("any text is taken")),
        mongodb_name: database.name.clone(),
        write_concern: Durability::Majority,
        // The tests share the server: one connection each is enough to begin with.
        min_pool_size: 1,
        max_pool_size: 10.try_into().expect("not zero"),
    };
    let store = MongoStore::connect(&config).await.expect("a sound configuration");
    store.prepare().await.expect("indexes");
    (Arc::new(store), database)
}
