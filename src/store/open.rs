//! Which store the settings mean.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::mongo::{self, MongoStore};
use super::sqlite::SqliteStore;
use super::{Guard, Store};

/// Opens MongoDB where its settings name one, else the embedded store below `data_dir`, which is
/// made where it is missing. MongoDB need not answer yet.
///
/// # Errors
/// The settings can't be used, or the embedded store's file; the text names the setting.
pub async fn open(mongo: &mongo::Config, data_dir: &Path) -> anyhow::Result<Arc<dyn Store>> {
    if mongo.mongo_url.is_some() {
        let store = MongoStore::connect(mongo).await?;
        return Ok(Arc::new(Guard::new(Arc::new(store))));
    }
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("DATA_DIR {data_dir:?} can't be made"))?;
    let store = SqliteStore::open(&data_dir.join("banter.db"))?;
    store.prepare().await?;
    Ok(Arc::new(store))
}
