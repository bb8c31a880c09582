//! The embedded store, as the suite gets it.

use std::sync::Arc;

use banter::store::Store;
use banter::store::sqlite::SqliteStore;
use tempfile::TempDir;

/// An empty store in a folder of its own, which goes with the second value.
pub(crate) async fn fresh() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = SqliteStore::open(&folder.path().join("banter.db")).expect("a new file");
    store.prepare().await.expect("tables");
    (Arc::new(store), folder)
}
