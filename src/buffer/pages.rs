//! The newest messages of conversations that are read, as the store has them: they stand in for the
//! store's answer, also while it is away.
//!
//! **Why a page from here is right.** Under the buffer's lock, an op that is stored leaves the
//! overlay and is applied here in one step. So a snapshot of both, taken under one lock, has each
//! op at least once, as if the store had been asked. What the store has been asked for is kept only
//! if no op of that conversation left the overlay while the question was under way; else the answer
//! may lack an op that nobody would apply to it any more. When it is not certain what the store has
//! (an op was refused, did not find its message, or comes from a journal), the conversation is
//! forgotten.
//!
//! What other servers write into the same database is not seen here: hence [`Page::is_fresh`].

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::time::Instant;

use super::overlay::{Pending, messages_of};
use crate::model::{Conversation, Message, MessageId, Op, Position};
use crate::store::{HistoryQuery, Range};

/// What all of them may hold: some 500 conversations with all their rows, of ordinary length.
const MAX_BYTES: u64 = 64 << 20;

/// Conversations that the cache expects; it grows and shrinks by bytes.
const EXPECTED: usize = 1_000;

/// Places where it is noted when a conversation last changed. Two conversations that share one keep
/// each other's answers out now and then.
const NOTES: usize = 1_024;

/// How long a page is served without asking the store. Another server's messages reach the store
/// within about a second, so this is no more than what they take anyway; and a conversation that is
/// read many times a second costs one read in two.
const FRESH: Duration = Duration::from_secs(2);

/// How much is kept of one conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The longest page, with room for rows that are hidden from some viewers or deleted later.
    pub(super) rows: usize,
    /// One conversation with long messages must not push out many others.
    pub(super) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 256, bytes: 4 << 20 }
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Conversation, Arc<Page>> for ByBytes {
    fn weight(&self, _: &Conversation, page: &Arc<Page>) -> u64 {
        /// A conversation without rows: names and slots.
        const FIXED_BYTES: usize = 512;
        (FIXED_BYTES + page.bytes) as u64
    }
}

/// See the module.
pub(super) struct Pages {
    cache: Cache<Conversation, Arc<Page>, ByBytes>,
    limits: Limits,
    /// Counts what was noted.
    epoch: u64,
    /// The epoch in which a conversation last changed here, by its hash.
    notes: Box<[u64]>,
    hasher: RandomState,
}

/// A question to the store that is under way: when it was begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    epoch: u64,
    at: Instant,
}

impl Default for Pages {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Pages {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            cache: Cache::with_weighter(EXPECTED, MAX_BYTES, ByBytes),
            limits,
            epoch: 0,
            notes: vec![0; NOTES].into(),
            hasher: RandomState::new(),
        }
    }

    /// What is known of a conversation.
    pub(super) fn get(&self, conversation: &Conversation) -> Option<Arc<Page>> {
        self.cache.get(conversation).cloned()
    }

    /// Applies an op that the store has confirmed; in the same step it leaves the overlay.
    pub(super) fn stored(&mut self, op: &Op) {
        let conversation = op.conversation();
        self.note(&conversation);
        if let Op::PurgeGroup(_) = op {
            self.cache.remove(&conversation);
        } else if let Some(mut page) = self.cache.peek_mut(&conversation) {
            Arc::make_mut(&mut page).apply(op, self.limits);
        }
    }

    /// Forgets a conversation of which it is not certain what the store has.
    pub(super) fn forget(&mut self, conversation: &Conversation) {
        self.note(conversation);
        self.cache.remove(conversation);
    }

    /// Forgets every conversation: the store has changed behind the buffer.
    pub(super) fn forget_all(&mut self) {
        self.epoch += 1;
        self.notes.fill(self.epoch);
        self.cache.clear();
    }

    /// Begins a question to the store.
    pub(super) fn ask(&self, now: Instant) -> Question {
        Question { epoch: self.epoch, at: now }
    }

    /// Keeps what the store has answered, if nothing of the conversation has changed since it was
    /// asked.
    pub(super) fn keep(
        &mut self,
        conversation: &Conversation,
        question: Question,
        page: &Arc<Page>,
    ) {
        let is_newer = |known: &Arc<Page>| known.confirmed <= page.confirmed;
        let unchanged = self.notes[self.place(conversation)] <= question.epoch;
        if unchanged && self.cache.peek(conversation).is_none_or(is_newer) {
            self.cache.insert(conversation.clone(), Arc::clone(page));
        }
    }

    /// How much is kept of one conversation.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    fn note(&mut self, conversation: &Conversation) {
        self.epoch += 1;
        let place = self.place(conversation);
        self.notes[place] = self.epoch;
    }

    fn place(&self, conversation: &Conversation) -> usize {
        (self.hasher.hash_one(conversation) % NOTES as u64) as usize
    }
}

/// The end of a conversation, as the store has it.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Oldest first.
    rows: VecDeque<Arc<Message>>,
    /// All messages from this place on are here; `None`: all there are.
    from: Option<Position>,
    bytes: usize,
    /// When the store was asked for it.
    confirmed: Instant,
}

impl Page {
    /// The store's answer, newest first, to a question for so many of the newest rows, whoever sees
    /// them. `None` for rows that are not in their order: old ones without a time.
    pub(super) fn of(
        rows: Vec<Message>,
        asked: usize,
        question: Question,
        limits: Limits,
    ) -> Option<Self> {
        if !rows.is_sorted_by(|newer, older| newer.position() > older.position()) {
            return None;
        }
        let from = if rows.len() < asked { None } else { Some(rows.last()?.position()) };
        let bytes = rows.iter().map(bytes_of).sum();
        let rows = rows.into_iter().rev().map(Arc::new).collect();
        let mut page = Self { rows, from, bytes, confirmed: question.at };
        page.trim(limits);
        Some(page)
    }

    /// What is known of a conversation that was not read lately: it goes on from the oldest message
    /// that is on its way to the store, as messages reach the store in their order.
    pub(super) fn of_pending(pending: &Pending, at: Instant) -> Option<Self> {
        let from = Some(pending.oldest_sent()?);
        Some(Self { rows: VecDeque::new(), from, bytes: 0, confirmed: at })
    }

    /// Whether the store need not be asked.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.confirmed) < FRESH
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The place of a message.
    pub(super) fn place(&self, id: MessageId) -> Option<Position> {
        self.rows.iter().rev().find(|row| row.id == id).map(|row| row.position())
    }

    /// What a query asks for, if it is here as a whole.
    pub(super) fn serve(
        &self,
        pending: &Pending,
        query: &HistoryQuery,
    ) -> Option<Vec<Arc<Message>>> {
        let rows = self.reach(pending, query)?;
        (self.covers(query.range) || rows.len() == query.limit).then_some(rows)
    }

    /// As much as is here of what a query asks for, next to the place where it begins; `None` if
    /// nothing is known of it.
    pub(super) fn reach(
        &self,
        pending: &Pending,
        query: &HistoryQuery,
    ) -> Option<Vec<Arc<Message>>> {
        if matches!(query.range, Range::After(_)) && !self.covers(query.range) {
            return None;
        }
        let mut rows = pending.merge(self.rows.iter().cloned(), query);
        // Before the first row there may be others, also between those that are on their way.
        rows.retain(|row| self.from.is_none_or(|from| row.position() >= from));
        (!rows.is_empty() || self.covers(query.range)).then_some(rows)
    }

    /// Whether all of a range is here.
    fn covers(&self, range: Range) -> bool {
        self.from.is_none_or(|from| matches!(range, Range::After(start) if start >= from))
    }

    fn apply(&mut self, op: &Op, limits: Limits) {
        if let Op::Send(message) = op {
            self.insert(message);
            self.trim(limits);
            return;
        }
        let mut ids = messages_of(op).to_vec();
        ids.sort_unstable();
        let mut at = 0;
        while at < self.rows.len() {
            let is_meant = ids.binary_search(&self.rows[at].id).is_ok();
            let Some(row) = is_meant.then(|| self.rows.remove(at)).flatten() else {
                at += 1;
                continue;
            };
            self.bytes -= bytes_of(&row);
            if let Some(row) = op.apply(Some(Arc::unwrap_or_clone(row))) {
                self.bytes += bytes_of(&row);
                self.rows.insert(at, Arc::new(row));
                at += 1;
            }
        }
        self.trim(limits);
    }

    fn insert(&mut self, message: &Arc<Message>) {
        let place = message.position();
        if self.from.is_some_and(|from| place < from) {
            return;
        }
        let at = self.rows.partition_point(|row| row.position() < place);
        // A row of the store is at least as new as the insert.
        if self.rows.get(at).is_none_or(|row| row.id != message.id) {
            self.bytes += bytes_of(message);
            self.rows.insert(at, Arc::clone(message));
        }
    }

    fn trim(&mut self, limits: Limits) {
        while self.rows.len() > limits.rows || (self.rows.len() > 1 && self.bytes > limits.bytes) {
            let Some(row) = self.rows.pop_front() else { return };
            self.bytes -= bytes_of(&row);
            self.from = self.rows.front().map(|row| row.position()).or(self.from);
        }
    }
}

/// Bytes that a row holds, with its lists of users, which grow while it is here.
fn bytes_of(row: &Message) -> usize {
    /// A slot of the list, and the name behind it.
    const USER_BYTES: usize = 64;
    row.weight() + (row.read_by.len() + row.deleted_for.len()) * USER_BYTES
}

#[cfg(test)]
mod tests;
