//! Pages of a conversation: what is on its way laid over what the store has, or over what is known
//! of that from memory.

use std::sync::Arc;

use tokio::time::Instant;

use super::Buffer;
use super::cached::Cache;
use super::overlay::Pending;
use super::pages::{Limits, Page, Question};
use crate::cluster::Filling;
use crate::model::{Conversation, Message, MessageId, Position, UserId};
use crate::store::{self, HistoryQuery, Range};

/// So many rows more than a page needs are read, so that it can still be served from memory when a
/// few of them are hidden or deleted.
const SPARE_ROWS: usize = 8;

/// What is known without asking the store; all of one moment.
struct Known {
    pending: Pending,
    page: Option<Arc<Page>>,
    question: Question,
    limits: Limits,
}

impl Buffer {
    /// A page of a conversation with everything durable in it, newest first: see
    /// [`Store::history`](store::Store::history). While the store is away it may be shorter than
    /// the limit though there are more messages; it is empty only if there are none.
    ///
    /// # Errors
    /// Those of the store, if nothing of the page is in memory.
    pub async fn history(&self, query: &HistoryQuery) -> store::Result<Vec<Arc<Message>>> {
        let now = Instant::now();
        let known = self.known(&query.conversation, now);
        let metrics = &self.shared.metrics;
        let fresh = known.page.as_ref().filter(|page| page.is_fresh(now));
        if let Some(rows) = fresh.and_then(|page| page.serve(&known.pending, query)) {
            metrics.pages_from_memory.inc();
            return Ok(rows);
        }
        let error = match self.ask(query, &known).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        if !error.is_transient() {
            return Err(error);
        }
        // A dead database is not an outage.
        let Known { pending, page, .. } = known;
        let page = page.or_else(|| Page::of_pending(&pending, now).map(Arc::new));
        let rows = page.and_then(|page| page.reach(&pending, query)).ok_or(error)?;
        metrics.pages_from_memory.inc();
        Ok(rows)
    }

    /// The place of a message of this conversation, if it is in memory.
    pub fn place_in_memory(&self, id: MessageId, conversation: &Conversation) -> Option<Position> {
        let state = self.shared.lock();
        let sent = state.overlay.sent(id).or_else(|| state.elsewhere.sent(id));
        let sent = sent.filter(|message| message.conversation() == *conversation);
        sent.map(|message| message.position()).or_else(|| state.pages.get(conversation)?.place(id))
    }

    /// Messages that are durable and not yet known to be stored, as they are now, in those
    /// conversations that `concern` a user: the newest `limit` of each, the earliest first. Take
    /// them BEFORE reading the store.
    pub fn unstored(
        &self,
        user: &UserId,
        concern: impl Fn(&Conversation) -> bool,
        limit: usize,
    ) -> Vec<Arc<Message>> {
        // The caller may take its time to tell, and may look into the buffer: not under the lock.
        let conversations = self.shared.lock().unstored_conversations();
        let pending = |conversation: Conversation| {
            let state = self.shared.lock();
            let pending = state.pending(&conversation, state.ring.committed());
            drop(state);
            let (viewer, range) = (Some(user.clone()), Range::Newest);
            pending.merge([], &HistoryQuery { conversation, viewer, range, limit })
        };
        let mut rows: Vec<_> =
            conversations.into_iter().filter(|one| concern(one)).flat_map(pending).collect();
        rows.sort_unstable_by_key(|row| row.position());
        rows
    }

    /// Takes conversations out of what nodes share, as far as that can be reached. Else they go by
    /// themselves within a day.
    pub async fn forget_shared(&self, conversations: &[Conversation]) {
        if let Some(cached) = &self.cached {
            cached.forget(conversations).await;
        }
    }

    fn known(&self, conversation: &Conversation, now: Instant) -> Known {
        let state = self.shared.lock();
        Known {
            pending: state.pending(conversation, state.ring.committed()),
            page: state.pages.get(conversation),
            question: state.pages.ask(now),
            limits: state.pages.limits(),
        }
    }

    async fn ask(&self, query: &HistoryQuery, known: &Known) -> store::Result<Vec<Arc<Message>>> {
        if query.range == Range::Newest
            && let Some(rows) = self.ask_for_all(query, known).await?
        {
            return Ok(rows);
        }
        let limit = query.limit.saturating_add(known.pending.removals());
        let stored = self.store.history(&HistoryQuery { limit, ..query.clone() }).await?;
        self.shared.metrics.pages_from_store.inc();
        Ok(known.pending.merge(stored.into_iter().map(Arc::new), query))
    }

    /// Reads the newest rows, also those that the viewer has hidden, and keeps them. `None` if that
    /// does not make a page.
    async fn ask_for_all(
        &self,
        query: &HistoryQuery,
        known: &Known,
    ) -> store::Result<Option<Vec<Arc<Message>>>> {
        let needed = query.limit.saturating_add(known.pending.removals());
        let Known { page, question, limits, .. } = known;
        if needed > limits.rows {
            return Ok(None);
        }
        let before = page.as_ref().map_or(0, |page| page.len());
        let limit = (needed + SPARE_ROWS).max(before).min(limits.rows);
        let filling = match self.look(&query.conversation, (needed, limit), known).await {
            Cache::Page(page) => {
                let rows = self.keep(query, known, page);
                self.shared.metrics.pages_from_redis.inc_by(u64::from(rows.is_some()));
                return Ok(rows);
            }
            Cache::Miss(filling) => Some(filling),
            Cache::Nothing => None,
        };
        let rows = self.ask_store(&query.conversation, limit, filling).await?;
        let Some(page) = Page::of(rows, limit, *question, *limits) else { return Ok(None) };
        let rows = self.keep(query, known, page);
        self.shared.metrics.pages_from_store.inc_by(u64::from(rows.is_some()));
        Ok(rows)
    }

    /// What other nodes have read lately, if it may be used.
    async fn look(
        &self,
        conversation: &Conversation,
        (wanted, limit): (usize, usize),
        known: &Known,
    ) -> Cache {
        let Some(cached) = &self.cached else { return Cache::Nothing };
        cached.look(conversation, wanted, limit, (known.question, known.limits)).await
    }

    /// The newest rows of the store, also for the other nodes where they may have them.
    async fn ask_store(
        &self,
        conversation: &Conversation,
        limit: usize,
        filling: Option<Filling>,
    ) -> store::Result<Vec<Message>> {
        if let (Some(cached), Some(filling)) = (&self.cached, filling) {
            match cached.fill(conversation, limit, filling).await {
                Ok(Some(rows)) => return Ok(rows),
                // Others may answer that are no good for the cache.
                Ok(None) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
        }
        let (conversation, range) = (conversation.clone(), Range::Newest);
        self.store.history(&HistoryQuery { conversation, viewer: None, range, limit }).await
    }

    /// Keeps a page in memory, and what of it was asked for.
    fn keep(&self, query: &HistoryQuery, known: &Known, page: Page) -> Option<Vec<Arc<Message>>> {
        let page = Arc::new(page);
        self.shared.lock().pages.keep(&query.conversation, known.question, &page);
        page.serve(&known.pending, query)
    }
}
