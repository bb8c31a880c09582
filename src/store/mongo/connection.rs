//! The way to the database, and how long its answers may take.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use mongodb::Client;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{Config, GROUPS, MESSAGES, MongoStore, Place, errors, options};
use crate::store::{Result, StoreError};

/// Longest wait for one read. A caller of ours has given up by then.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for one command that writes: well above the write concern's own limit, and enough
/// to delete a large group's messages. One that is cut off here is repeated and gets further.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(60);

impl MongoStore {
    /// Checks the settings and starts to connect, without waiting for a server. For a
    /// `mongodb+srv` URL DNS is asked; while it does not answer, each call asks it again.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] names the setting that is wrong, and never holds the URL's
    /// password.
    pub async fn connect(config: &Config) -> Result<Self> {
        let hosts = options::hosts(&config.connection_string()?);
        let store = Self {
            config: config.clone(),
            label: format!("MongoDB at {hosts}/{}", config.mongodb_name),
            pool: Arc::default(),
            place: OnceCell::new(),
            accounts_apart: OnceCell::new(),
            swept: Mutex::default(),
            writing_since: Mutex::default(),
        };
        match store.place().await {
            Err(error @ StoreError::Configuration(_)) => return Err(error),
            Err(error) => tracing::warn!(%error, "MongoDB's address is not known yet"),
            Ok(_) => {}
        }
        Ok(store)
    }

    pub(super) async fn place(&self) -> Result<&Place> {
        self.place.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Place> {
        let mut options = self.config.client_options().await?;
        options.cmap_event_handler = Some(self.pool.handler());
        self.pool.set_max(options.max_pool_size.unwrap_or(self.config.max_pool_size.get()));
        let write_concern = options.write_concern.clone().unwrap_or_default();
        let client = Client::with_options(options)
            .map_err(|error| StoreError::Configuration(error.into()))?;
        let database = client.database(&self.config.mongodb_name);
        Ok(Place {
            messages: database.collection(MESSAGES),
            groups: database.collection(GROUPS),
            client,
            database,
            write_concern,
        })
    }

    /// Runs one command of the driver: the inner result is the driver's own.
    pub(super) async fn timed<T>(
        &self,
        limit: Duration,
        command: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<mongodb::error::Result<T>> {
        let _call = self.pool.enter();
        tokio::time::timeout(limit, command.into_future())
            .await
            .map_err(|_| errors::no_answer(limit))
    }

    pub(super) async fn read<T>(
        &self,
        command: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        self.timed(READ_LIMIT, command).await?.map_err(errors::classify)
    }

    pub(super) async fn write<T>(
        &self,
        command: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        self.timed(WRITE_LIMIT, command).await?.map_err(errors::classify)
    }
}
