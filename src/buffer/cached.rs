//! The cache of history that nodes share, as the buffer uses it: read instead of the store, and right
//! after every write of this node.
//!
//! **Why a row from there is right.** The flusher says to Redis which conversations it is about to
//! change, before it calls the store, and once more when the store has confirmed and the ops have not
//! left the overlay yet (`cluster/history`). What is valid there is therefore what the store has for as
//! long as nobody is writing, and a node that reads it sees as much as if it had asked the store.
//!
//! A node that can't say it to Redis writes nevertheless: it closes the fence first, in the store, which
//! is what it writes to and what every other node asks each second ([`FenceCloser`]). So do those who
//! change messages past the flusher.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::pages::{Limits, Page, Question};
use crate::cluster::{Filling, History, Look, Marks};
use crate::model::{Batch, Conversation, Message};
use crate::store::{Applied, BELIEVED_FOR, FenceCloser, Result, Store, StoreError};

/// How often the fence is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Cached {
    history: History,
    store: Arc<dyn Store>,
    closer: FenceCloser,
    /// The generation of a fence that was open, and when the store was asked.
    open: Mutex<Option<(Instant, Arc<str>)>>,
}

/// What is known of a conversation's newest rows without the store, or what may be filled with its
/// answer.
pub(super) enum Cache {
    Page(Page),
    Miss(Filling),
    Nothing,
}

impl Cached {
    pub(super) fn new(history: History, store: Arc<dyn Store>) -> Self {
        let closer = FenceCloser::new(Arc::clone(&store));
        Self { history, store, closer, open: Mutex::default() }
    }

    /// Keeps up with the fence, for ever.
    pub(super) async fn watch(&self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.history.connect().await;
            let asked = Instant::now();
            let fence = match self.store.fence().await {
                Ok(fence) => fence.filter(|fence| fence.is_open),
                Err(error) => {
                    tracing::debug!(%error, "the fence around the cache of history is not known");
                    None
                }
            };
            *self.open.lock() = fence.map(|fence| (asked, fence.generation.into()));
        }
    }

    fn generation(&self) -> Option<Arc<str>> {
        let open = self.open.lock();
        let (_, generation) = open.as_ref().filter(|(asked, _)| asked.elapsed() < BELIEVED_FOR)?;
        Some(Arc::clone(generation))
    }

    /// The newest rows of a conversation: `limit`, or at least `wanted`, or all. What is pending must
    /// have been looked at before, as before the store is asked.
    pub(super) async fn look(
        &self,
        conversation: &Conversation,
        wanted: usize,
        limit: usize,
        (question, limits): (Question, Limits),
    ) -> Cache {
        let Some(generation) = self.generation() else { return Cache::Nothing };
        match self.history.look(conversation, &generation, wanted, limit).await {
            Look::Page(rows, is_all) => {
                let asked = if is_all { rows.len() + 1 } else { rows.len() };
                Page::of(rows, asked, question, limits).map_or(Cache::Nothing, Cache::Page)
            }
            Look::Miss(filling) => Cache::Miss(filling),
            Look::Nothing => Cache::Nothing,
        }
    }

    /// Asks the store in order to fill the cache.
    pub(super) async fn fill(
        &self,
        conversation: &Conversation,
        limit: usize,
        filling: Filling,
    ) -> Result<Option<Vec<Message>>> {
        let rows = self.store.newest(conversation, limit).await?;
        if let Some(rows) = &rows {
            self.history.fill(filling, rows, rows.len() < limit).await;
        }
        Ok(rows)
    }

    /// Makes a write to the store, if there is a cache in such a way that nobody reads there what was
    /// before: not while it is made, nor after that.
    pub(super) async fn around(
        cached: Option<&Self>,
        batch: &Batch,
        write: impl Future<Output = Result<Applied>>,
    ) -> Result<Applied> {
        let Some(cached) = cached else { return write.await };
        let marks = cached.begin(batch).await?;
        let outcome = write.await;
        // What is not answered may still be done: then the marks stay for as long as that may take.
        if !outcome.as_ref().is_err_and(StoreError::is_transient) {
            cached.end(marks).await?;
        }
        outcome
    }

    /// Takes conversations out.
    pub(super) async fn forget(&self, conversations: &[Conversation]) {
        if let Some(marks) = self.history.begin(conversations.iter()).await {
            marks.end().await;
        }
    }

    async fn begin(&self, batch: &Batch) -> Result<Option<Marks>> {
        let conversations = batch.conversations();
        if conversations.is_empty() {
            return Ok(None);
        }
        let marks = self.history.begin(conversations.iter()).await;
        if marks.is_none() {
            self.close().await?;
        }
        Ok(marks)
    }

    async fn end(&self, marks: Option<Marks>) -> Result<()> {
        if let Some(marks) = marks
            && !marks.end().await
        {
            self.close().await?;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if !self.history.is_away() {
            // One that is not there yet could be made, and be open, while this node writes.
            self.store.fence().await?;
        }
        self.closer.close().await
    }
}
