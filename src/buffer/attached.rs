//! What users attach to messages, with everything durable in it: replies, pins, files.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Buffer;
use super::overlay::{Pending, messages_of};
use crate::model::{Conversation, Message, MessageId, Op, Position};
use crate::store::{self, HistoryQuery, REPLIES_EXACT_TO};

impl Buffer {
    /// A page of the replies to a message, newest first: see [`store::Store::replies`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn replies(
        &self,
        root: MessageId,
        query: &HistoryQuery,
    ) -> store::Result<Vec<Arc<Message>>> {
        let pending = self.pending(&query.conversation).without(|sent| sent.reply_to != Some(root));
        let limit = query.limit.saturating_add(pending.removals());
        let stored = self.store.replies(root, &HistoryQuery { limit, ..query.clone() }).await?;
        Ok(pending.merge(stored.into_iter().map(Arc::new), query))
    }

    /// How many replies messages of a conversation have, up to [`REPLIES_EXACT_TO`]; those without
    /// any are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reply_counts(
        &self,
        conversation: &Conversation,
        roots: &[MessageId],
    ) -> store::Result<HashMap<MessageId, usize>> {
        let (mut sent, mut deleted) = (HashMap::new(), HashSet::new());
        for op in self.pending(conversation).ops() {
            match &**op {
                Op::Send(message) => {
                    let root = message.reply_to.filter(|root| roots.contains(root));
                    sent.extend(root.map(|root| (message.id, root)));
                }
                Op::Delete { message, .. } => drop(deleted.insert(*message)),
                _ => {}
            }
        }
        // What is under way may have reached the store by now or not: it is counted here alone.
        let except: HashSet<_> = sent.keys().chain(&deleted).copied().collect();
        let except: Vec<_> = except.into_iter().collect();
        let stored = self.store.reply_counts(roots, &except).await?;
        let mut counts: HashMap<_, _> = stored.into_iter().collect();
        for (_, root) in sent.iter().filter(|(id, _)| !deleted.contains(*id)) {
            *counts.entry(*root).or_insert(0) += 1;
        }
        counts.retain(|_, count| *count > 0);
        counts.values_mut().for_each(|count| *count = (*count).min(REPLIES_EXACT_TO));
        Ok(counts)
    }

    /// The pinned messages of a conversation, the latest pinned first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pins(
        &self,
        conversation: &Conversation,
        limit: usize,
    ) -> store::Result<Vec<Message>> {
        self.pinned(self.pending(conversation), conversation, limit).await
    }

    /// How many messages of a conversation are pinned after everything accepted so far, up to
    /// `limit`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pin_count(
        &self,
        conversation: &Conversation,
        limit: usize,
    ) -> store::Result<usize> {
        let pending = {
            let state = self.shared.lock();
            state.pending(conversation, state.ring.accepted())
        };
        Ok(self.pinned(pending, conversation, limit).await?.len())
    }

    async fn pinned(
        &self,
        pending: Pending,
        conversation: &Conversation,
        limit: usize,
    ) -> store::Result<Vec<Message>> {
        let mut pins = HashMap::new();
        for op in pending.ops() {
            if let Op::Pin { message, pin, .. } = &**op {
                pins.insert(*message, pin.pinned);
            }
        }
        // Each of these may take away one of the store's rows.
        let more = pending.removals() + pins.values().filter(|pinned| !**pinned).count();
        let rows = self.store.pins(conversation, limit.saturating_add(more)).await?;
        let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id, Some(row))).collect();
        for (id, _) in pins.into_iter().filter(|(_, pinned)| *pinned) {
            if let Entry::Vacant(row) = rows.entry(id) {
                row.insert(self.store.message(&id.into()).await?);
            }
        }
        for op in pending.ops() {
            if let Op::PurgeGroup(_) = **op {
                rows.clear();
            }
            for id in messages_of(op) {
                if let Some(row) = rows.get_mut(id) {
                    *row = op.apply(row.take());
                }
            }
        }
        let rows = rows.into_values().flatten();
        let mut rows: Vec<_> = rows.filter(|row| pinned_at(row).is_some()).collect();
        rows.sort_by_key(|row| Reverse(pinned_at(row)));
        rows.truncate(limit);
        Ok(rows)
    }

    /// Whether a message that is accepted and not yet stored has this `media_url`. Ask this BEFORE
    /// asking the store.
    pub fn names_media(&self, url: &str) -> bool {
        let state = self.shared.lock();
        state.overlay.names_media(url) || state.elsewhere.names_media(url)
    }

    /// What is durable and pending in a conversation.
    fn pending(&self, conversation: &Conversation) -> Pending {
        let state = self.shared.lock();
        state.pending(conversation, state.ring.committed())
    }
}

/// The place of a pinned message among all of its conversation.
fn pinned_at(row: &Message) -> Option<Position> {
    row.pin.as_ref().filter(|pin| pin.pinned).map(|pin| (pin.at, row.id))
}
