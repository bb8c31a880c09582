//! Which store the settings mean.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::mongo::{self, MongoStore};
use super::sqlite::SqliteStore;
use super::{AccountStore, Guard, Store};

/// One store, seen from two sides.
pub struct Stores {
    /// Messages and groups.
    pub store: Arc<dyn Store>,
    /// Who may sign in.
    pub accounts: Arc<dyn AccountStore>,
}

/// Opens MongoDB where its settings name one, else the embedded store below `data_dir`, which is
/// made where it is missing. MongoDB need not answer yet.
///
/// # Errors
/// The settings can't be used, or the embedded store's file; the text names the setting.
pub async fn open(mongo: &mongo::Config, data_dir: &Path) -> anyhow::Result<Stores> {
    if mongo.mongo_url.is_some() {
        let accounts = Arc::new(MongoStore::connect(mongo).await?);
        let store = Arc::new(Guard::new(Arc::clone(&accounts) as Arc<dyn Store>));
        return Ok(Stores { store, accounts });
    }
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("DATA_DIR {data_dir:?} can't be made"))?;
    let store = Arc::new(SqliteStore::open(&data_dir.join("banter.db"))?);
    store.prepare().await?;
    Ok(Stores { accounts: Arc::clone(&store) as Arc<dyn AccountStore>, store })
}
