//! Brings into the search index what was stored without it: before there was an index, or by a
//! server that knows none.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Store;

/// How often the store is asked whether something is missing in the index.
const EVERY: Duration = Duration::from_secs(60);
/// How long the store is left alone after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often a long catch-up is told of in the log.
const PROGRESS: Duration = Duration::from_secs(10);

/// The worker that does it, a bounded step at a time.
pub struct Indexer {
    store: Arc<dyn Store>,
    behind: Gauge<i64, AtomicI64>,
    indexed: Counter,
}

impl Indexer {
    /// Sets it up for a store, with its figures.
    pub fn new(store: Arc<dyn Store>, registry: &mut Registry) -> Self {
        let (behind, indexed) = (Gauge::default(), Counter::default());
        registry.register(
            "banter_search_backlog",
            "1 while stored messages may wait for the search index",
            behind.clone(),
        );
        registry.register(
            "banter_search_caught_up",
            "Messages brought into the search index after they were stored",
            indexed.clone(),
        );
        Self { store, behind, indexed }
    }

    /// Catches up, and looks again from time to time, until it is told to stop.
    pub async fn run(self, stopping: CancellationToken) {
        loop {
            let pause = match self.catch_up(&stopping).await {
                Ok(()) => EVERY,
                Err(error) => {
                    tracing::debug!(%error, "the search index can't catch up now");
                    AFTER_FAILURE
                }
            };
            if timeout(pause, stopping.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Works half of the time, so that messages that are sent meanwhile find the store.
    async fn catch_up(&self, stopping: &CancellationToken) -> super::Result<()> {
        let (mut total, mut told) = (0, Instant::now());
        loop {
            let started = Instant::now();
            let step = self.store.index_backlog().await?;
            total += step.indexed;
            self.indexed.inc_by(step.indexed);
            self.behind.set(step.more.into());
            if !step.more {
                if total > 0 {
                    tracing::info!(messages = total, "the search index has caught up");
                }
                return Ok(());
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                tracing::info!(messages = total, "the search index is catching up");
            }
            if timeout(started.elapsed(), stopping.cancelled()).await.is_ok() {
                return Ok(());
            }
        }
    }
}
