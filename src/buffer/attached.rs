//! What users attach to messages, with everything durable in it: replies.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Buffer;
use super::overlay::Pending;
use crate::model::{Conversation, Message, MessageId, Op};
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
        let pending = self.pending(&query.conversation);
        let pending = pending.without(|sent| sent.reply_to != Some(root));
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

    /// What is durable and pending in a conversation.
    fn pending(&self, conversation: &Conversation) -> Pending {
        let state = self.shared.lock();
        state.overlay.conversation(conversation, state.ring.committed())
    }
}
