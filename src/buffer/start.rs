//! Starting a buffer on a journal, with what is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use super::cached::Cached;
use super::committer::{self, Committer};
use super::flusher::Flusher;
use super::indexing::IndexWriter;
use super::journal::{Journal, Recovered};
use super::metrics::Depth;
use super::shared::Shared;
use super::{Buffer, Config, Delivery};
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::shutdown::Tasks;
use crate::store::Store;

/// What a buffer is started with.
pub(super) struct Start<'a> {
    pub(super) config: &'a Config,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) deliveries: mpsc::Sender<Delivery>,
    pub(super) dead_letters: PathBuf,
    pub(super) tasks: &'a Tasks,
    pub(super) registry: &'a mut Registry,
}

impl Start<'_> {
    /// Starts on a journal, with what was in it.
    pub(super) fn on(self, (journal, recovered): (Journal, Recovered)) -> std::io::Result<Buffer> {
        let Self { config, store, clock, deliveries, dead_letters, tasks, registry } = self;
        let floor = recovered.floor.unwrap_or(Timestamp(0));
        let checkpoint = journal.checkpoint().sequence;
        let shared = Arc::new(Shared::new(config, checkpoint, &recovered));
        shared.metrics.register(registry);
        registry.register_collector(Box::new(Depth(Arc::clone(&shared))));
        let cached = config.history.clone();
        let cached = cached.map(|history| Arc::new(Cached::new(history, Arc::clone(&store))));
        let flusher = Flusher::new(
            config,
            Arc::clone(&shared),
            Arc::clone(&store),
            clock,
            deliveries.clone(),
            dead_letters,
            cached.clone(),
        );
        committer::start(
            Committer::new(Arc::clone(&shared), journal, floor),
            deliveries,
            tasks.clone(),
        )?;
        let index_writer = IndexWriter::new(Arc::clone(&shared), Arc::clone(&store));
        tasks.spawn_worker("flusher", flusher.run());
        tasks.spawn_worker("search index writer", index_writer.run());
        if let Some(cached) = cached.clone() {
            let ended = shared.ended.clone();
            tasks.spawn_worker("the shared cache of history", async move {
                ended.run_until_cancelled(cached.watch()).await;
            });
        }
        Ok(Buffer { shared, store, cached, floor })
    }
}

pub(super) fn say_what_was_found(journal: &Journal, recovered: &Recovered, folder: &Path) {
    let (mode, unstored) = (journal.mode(), recovered.ops.len());
    if let Some((file, reason)) = &recovered.torn {
        tracing::warn!(
            ?folder,
            file,
            reason,
            "a crash has cut the journal short while it was written, before what is behind that \
             place was synced; it is kept in this file"
        );
    }
    tracing::info!(?folder, journal_sync = %mode, unstored, "the journal is open");
}
