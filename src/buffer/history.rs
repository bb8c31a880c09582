//! Pages of a conversation: what is on its way laid over what the store has, or over what is known
//! of that from memory.

use std::sync::Arc;

use tokio::time::Instant;

use super::Buffer;
use super::overlay::Pending;
use super::pages::{Limits, Page, Question};
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
            Ok(rows) => {
                metrics.pages_from_store.inc();
                return Ok(rows);
            }
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
        let sent = state.overlay.sent(id);
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
        let conversations = self.shared.lock().overlay.conversations();
        let pending = |conversation: Conversation| {
            let state = self.shared.lock();
            let pending = state.overlay.conversation(&conversation, state.ring.committed());
            drop(state);
            let (viewer, range) = (Some(user.clone()), Range::Newest);
            pending.merge([], &HistoryQuery { conversation, viewer, range, limit })
        };
        let mut rows: Vec<_> =
            conversations.into_iter().filter(|one| concern(one)).flat_map(pending).collect();
        rows.sort_unstable_by_key(|row| row.position());
        rows
    }

    fn known(&self, conversation: &Conversation, now: Instant) -> Known {
        let state = self.shared.lock();
        Known {
            pending: state.overlay.conversation(conversation, state.ring.committed()),
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
        let Known { pending, page, question, limits } = known;
        if needed > limits.rows {
            return Ok(None);
        }
        let before = page.as_ref().map_or(0, |page| page.len());
        let limit = (needed + SPARE_ROWS).max(before).min(limits.rows);
        let newest = HistoryQuery { viewer: None, limit, ..query.clone() };
        let rows = self.store.history(&newest).await?;
        let Some(page) = Page::of(rows, limit, *question, *limits) else { return Ok(None) };
        let page = Arc::new(page);
        self.shared.lock().pages.keep(&query.conversation, *question, &page);
        Ok(page.serve(pending, query))
    }
}
