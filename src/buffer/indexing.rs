//! What is stored and waits for the search index. The flusher hands it over and goes on; a task of
//! its own brings it there. Until it is there it holds the checkpoint back, so that after a crash
//! the same ops are stored once more, which changes nothing, and are indexed then.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::select;
use tokio::time::sleep;

use super::Sequence;
use super::pauses::{self, jittered};
use super::shared::Shared;
use crate::model::{Batch, Conversation, Op};
use crate::store::{Store, StoreError};

/// With so many ops or bytes waiting, the flusher waits, too.
const MAX_OPS: usize = 20_000;
const MAX_BYTES: usize = 32 << 20;

/// Ops that are brought to the index at once, but for one batch that has more.
const STEP: usize = 1_000;

/// A stored batch that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// Its oldest op.
    first: Sequence,
    /// Tells it apart: a change that has waited for its message comes a second time.
    ticket: u64,
    ops: usize,
    bytes: usize,
    batch: Arc<Batch>,
}

/// All that waits, the oldest first. Pure.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    ops: usize,
    bytes: usize,
    tickets: u64,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.ops < MAX_OPS && self.bytes < MAX_BYTES
    }

    /// How many ops wait.
    pub(super) fn ops(&self) -> usize {
        self.ops
    }

    /// The number of the oldest op.
    pub(super) fn oldest(&self) -> Option<Sequence> {
        self.waiting.front().map(|waiting| waiting.first)
    }

    fn push(&mut self, first: Sequence, ops: &[Arc<Op>], batch: Batch) {
        let bytes = ops.iter().map(|op| op.weight()).sum();
        let (ops, ticket, batch) = (ops.len(), self.tickets, Arc::new(batch));
        self.tickets += 1;
        self.ops += ops;
        self.bytes += bytes;
        let at = self.waiting.partition_point(|waiting| waiting.first <= first);
        self.waiting.insert(at, Waiting { first, ticket, ops, bytes, batch });
    }

    /// The oldest ones, which stay until they are [`Self::done`].
    fn next(&self) -> Vec<Waiting> {
        let mut ops = 0;
        let fits = |waiting: &&Waiting| {
            let is_first = ops == 0;
            ops += waiting.ops;
            is_first || ops <= STEP
        };
        self.waiting.iter().take_while(fits).cloned().collect()
    }

    fn done(&mut self, done: &[Waiting]) {
        self.waiting.retain(|waiting| done.iter().all(|done| done.ticket != waiting.ticket));
        self.ops -= done.iter().map(|waiting| waiting.ops).sum::<usize>();
        self.bytes -= done.iter().map(|waiting| waiting.bytes).sum::<usize>();
    }

    /// Everything, to be looked at outside the lock.
    pub(super) fn all(&self) -> Vec<Waiting> {
        self.waiting.iter().cloned().collect()
    }
}

impl Waiting {
    /// The number of its oldest op: it is indexed once nothing up to this op waits.
    pub(super) fn first(&self) -> Sequence {
        self.first
    }

    /// Whether it is about one of these conversations.
    pub(super) fn concerns(&self, conversations: impl Fn(&Conversation) -> bool) -> bool {
        let Batch { inserts, changes, deletes, purges, .. } = &*self.batch;
        inserts.iter().any(|message| conversations(&message.conversation()))
            || changes.iter().any(|change| conversations(&change.conversation))
            || deletes.iter().any(|deletion| conversations(&deletion.conversation))
            || purges.iter().any(|group| conversations(&Conversation::Group(*group)))
    }
}

impl Shared {
    /// Takes what a batch has changed for the index, before its ops are released; waits while too
    /// much is there already.
    pub(super) async fn to_be_indexed(&self, first: Sequence, ops: &[Arc<Op>], batch: Batch) {
        if !batch.changes_words() {
            return;
        }
        let mut indexed = self.indexed.subscribe();
        select! {
            _ = indexed.wait_for(|_| self.lock().indexing.has_room()) => {}
            // It stays where it is, and holds the checkpoint.
            () = self.indexing_ended.cancelled() => {}
        }
        self.lock().indexing.push(first, ops, batch);
        self.stored.notify_one();
    }

    /// Waits until nothing up to this op waits for the index.
    pub(super) async fn indexed(&self, through: Sequence) {
        let is_done = |_: &u64| self.lock().indexing.oldest().is_none_or(|first| first > through);
        // The sender is ours, so the wait ends only by the queue.
        let _ = self.indexed.subscribe().wait_for(is_done).await;
    }
}

/// The task that brings to the index what waits.
pub(super) struct IndexWriter {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
}

impl IndexWriter {
    pub(super) fn new(shared: Arc<Shared>, store: Arc<dyn Store>) -> Self {
        Self { shared, store }
    }

    /// Works until the flusher has ended and nothing waits. With the store away it ends at once
    /// when the buffer is closed; but never before the flusher, behind which the committer ends.
    pub(super) async fn run(self) {
        let shared = Arc::clone(&self.shared);
        let _ended = shared.ended.clone().drop_guard();
        {
            let _indexing_ended = shared.indexing_ended.clone().drop_guard();
            select! {
                () = self.work() => {}
                () = shared.abandoned.cancelled() => {}
            }
        }
        shared.flusher_ended.cancelled().await;
    }

    async fn work(&self) {
        while let Some(next) = self.next().await {
            let batches: Vec<_> = next.iter().map(|waiting| Arc::clone(&waiting.batch)).collect();
            if !self.write(&batches).await {
                return;
            }
            self.shared.lock().indexing.done(&next);
            self.shared.indexed.send_modify(|steps| *steps += 1);
        }
    }

    async fn next(&self) -> Option<Vec<Waiting>> {
        loop {
            let is_last = self.shared.flusher_ended.is_cancelled();
            let next = self.shared.lock().indexing.next();
            if !next.is_empty() {
                return Some(next);
            }
            if is_last {
                return None;
            }
            select! {
                () = self.shared.stored.notified() => {}
                () = self.shared.flusher_ended.cancelled() => {}
            }
        }
    }

    /// Tries until it is done; `false` when the buffer is closed meanwhile.
    async fn write(&self, batches: &[Arc<Batch>]) -> bool {
        let mut longest = pauses::between(u32::MAX);
        loop {
            match self.store.index(batches).await {
                Ok(()) => return true,
                Err(error @ StoreError::Permanent(_)) => {
                    tracing::error!(%error, "the search index refused messages; they are not found");
                    return true;
                }
                Err(error) => tracing::debug!(%error, "the search index takes no writes now"),
            }
            if self.shared.closing.is_cancelled() {
                return false;
            }
            select! {
                () = sleep(jittered(longest.next().unwrap_or(pauses::LONGEST))) => {}
                () = self.shared.closing.cancelled() => {}
            }
        }
    }
}
