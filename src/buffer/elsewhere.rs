//! What other nodes have made durable and not yet stored, as far as it was heard. Pure.
//!
//! Each op is in the journal of its own node, which stores it; here it is only read, so that an edit
//! or a read that arrives at this node finds a message that another one still has in its buffer. Ops
//! come and go in the order of their lane (a node, and a part of what it does). One may be missing, if
//! the bus has lost it: then this node sees it when it is stored.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::Sequence;
use super::overlay::Overlay;
use crate::model::{ClientId, Conversation, Message, MessageId, Op, UserId};

/// Ops that are remembered over all lanes, and what they may hold. Beyond this the oldest of the lane
/// that grows is forgotten; it is read again when it is stored.
const MAX_OPS: usize = 100_000;
const MAX_BYTES: usize = 128 << 20;

/// Where ops come from in one order: the name of a node, and a part of what it does.
pub type Lane = (Arc<str>, u16);

#[derive(Debug, Default)]
struct Pending {
    overlay: Overlay,
    ops: VecDeque<(Sequence, Arc<Op>)>,
    /// The newest op that was heard, and the newest that is known to be stored.
    heard: Sequence,
    stored: Sequence,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    lanes: HashMap<Lane, Pending>,
    ops: usize,
    bytes: usize,
    /// Deletions that are stored, of messages that are remembered as not known to be.
    deletions: HashMap<MessageId, Arc<Op>>,
}

/// Ops that are remembered no longer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Released {
    /// The store has them.
    pub(super) stored: Vec<Arc<Op>>,
    /// Nobody knows whether it has.
    pub(super) forgotten: Vec<Arc<Op>>,
}

impl Elsewhere {
    /// An op was heard. What is to be done for it or others: one whose storing was heard before, and
    /// those that had to make room.
    pub(super) fn insert(&mut self, lane: &Lane, sequence: Sequence, op: Arc<Op>) -> Released {
        let mut released = Released::default();
        let pending = self.lanes.entry(lane.clone()).or_default();
        if sequence <= pending.heard {
            // The node's journal has begun anew: what is remembered is of another one.
            released.forgotten = self.forget_lane(lane);
            return self.insert_into(lane, sequence, op, released);
        }
        if sequence <= pending.stored {
            pending.heard = sequence;
            released.stored.push(op);
            return released;
        }
        self.insert_into(lane, sequence, op, released)
    }

    fn insert_into(
        &mut self,
        lane: &Lane,
        sequence: Sequence,
        op: Arc<Op>,
        mut released: Released,
    ) -> Released {
        let pending = self.lanes.entry(lane.clone()).or_default();
        pending.overlay.insert(sequence, &op);
        pending.heard = sequence;
        (self.ops, self.bytes) = (self.ops + 1, self.bytes + op.weight());
        pending.ops.push_back((sequence, op));
        while self.ops > MAX_OPS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.take_oldest(lane, Sequence::MAX) else { break };
            self.forget_deletions(std::slice::from_ref(&oldest));
            released.forgotten.push(oldest);
        }
        released
    }

    /// A node's ops up to a number are stored.
    pub(super) fn stored(&mut self, lane: &Lane, through: Sequence) -> Released {
        let mut released = Released::default();
        self.lanes.entry(lane.clone()).or_default().stored = through;
        while let Some(op) = self.take_oldest(lane, through) {
            match &*op {
                Op::Send(message) if self.deletions.remove(&message.id).is_some() => {
                    released.forgotten.push(op);
                }
                _ => released.stored.push(op),
            }
        }
        released
    }

    /// Another op is stored. The message that it deletes may be remembered here for a while yet, and is
    /// not seen again.
    pub(super) fn note_deletion(&mut self, op: &Arc<Op>) {
        if let Op::Delete { message, .. } = &**op
            && self.sent(*message).is_some()
        {
            self.deletions.insert(*message, Arc::clone(op));
        }
    }

    /// Forgets all: it is not heard any more what becomes of them.
    pub(super) fn forget_all(&mut self) -> Released {
        let lanes: Vec<_> = self.lanes.keys().cloned().collect();
        let forgotten = lanes.iter().flat_map(|lane| self.forget_lane(lane)).collect();
        Released { stored: Vec::new(), forgotten }
    }

    /// Forgets all of a node.
    pub(super) fn forget_node(&mut self, node: &str) -> Released {
        let lanes: Vec<_> = self.lanes.keys().filter(|lane| *lane.0 == *node).cloned().collect();
        let forgotten = lanes.iter().flat_map(|lane| self.forget_lane(lane)).collect();
        Released { stored: Vec::new(), forgotten }
    }

    /// The nodes of which something is remembered, each once.
    pub(super) fn nodes(&self) -> HashSet<Arc<str>> {
        self.lanes.keys().map(|(node, _)| Arc::clone(node)).collect()
    }

    fn forget_lane(&mut self, lane: &Lane) -> Vec<Arc<Op>> {
        let forgotten: Vec<_> =
            std::iter::from_fn(|| self.take_oldest(lane, Sequence::MAX)).collect();
        self.lanes.remove(lane);
        self.forget_deletions(&forgotten);
        forgotten
    }

    /// Forgets the deletions of messages that are remembered no longer.
    fn forget_deletions(&mut self, forgotten: &[Arc<Op>]) {
        for op in forgotten {
            if let Op::Send(message) = &**op {
                self.deletions.remove(&message.id);
            }
        }
    }

    fn take_oldest(&mut self, lane: &Lane, through: Sequence) -> Option<Arc<Op>> {
        let pending = self.lanes.get_mut(lane)?;
        let (sequence, op) = pending.ops.pop_front_if(|(sequence, _)| *sequence <= through)?;
        pending.overlay.remove(sequence, &op);
        (self.ops, self.bytes) = (self.ops - 1, self.bytes - op.weight());
        Some(op)
    }

    /// What is pending on one message.
    pub(super) fn message(&self, id: MessageId) -> Vec<Arc<Op>> {
        let lanes = self.lanes.values();
        let ops = lanes.flat_map(|lane| lane.overlay.message(id).into_ops());
        ops.chain(self.deletions.get(&id).cloned()).collect()
    }

    /// What is pending in one conversation.
    pub(super) fn conversation(&self, id: &Conversation) -> Vec<Arc<Op>> {
        let lanes = self.lanes.values();
        let ops = lanes.flat_map(|lane| lane.overlay.conversation(id, Sequence::MAX).into_ops());
        let deletions = self.deletions.values().filter(|op| op.conversation() == *id);
        ops.chain(deletions.cloned()).collect()
    }

    /// Every conversation in which something is pending.
    pub(super) fn conversations(&self) -> impl Iterator<Item = Conversation> {
        self.lanes.values().flat_map(|lane| lane.overlay.conversations())
    }

    /// The message that a user has sent under this client id.
    pub(super) fn sent_as(&self, user: &UserId, id: &ClientId) -> Option<Arc<Message>> {
        let lanes = self.lanes.values();
        lanes.filter_map(|lane| lane.overlay.sent_as(user, id)).map(|(_, sent)| sent).next()
    }

    /// A message whose insert is pending, as it was sent.
    pub(super) fn sent(&self, id: MessageId) -> Option<&Arc<Message>> {
        self.lanes.values().find_map(|lane| lane.overlay.sent(id))
    }

    /// Whether a message that is pending has this `media_url`.
    pub(super) fn names_media(&self, url: &str) -> bool {
        self.lanes.values().any(|lane| lane.overlay.names_media(url))
    }

    /// How many ops are remembered.
    pub(super) fn len(&self) -> usize {
        self.ops
    }

    /// What is pending now, for [`Elsewhere::has_stored`].
    pub(super) fn places(&self) -> Vec<(Lane, Sequence)> {
        let pending = self.lanes.iter().filter(|(_, lane)| !lane.ops.is_empty());
        pending.map(|(name, lane)| (name.clone(), lane.heard)).collect()
    }

    /// Whether what was pending then is stored, or forgotten.
    pub(super) fn has_stored(&self, places: &[(Lane, Sequence)]) -> bool {
        places.iter().all(|(lane, through)| {
            let oldest = self.lanes.get(lane).and_then(|lane| lane.ops.front());
            oldest.is_none_or(|(sequence, _)| sequence > through)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::{delete, edit, id_of, text};

    fn lane(node: &str) -> Lane {
        (node.into(), 0)
    }

    fn ops(elsewhere: &Elsewhere, id: MessageId) -> usize {
        elsewhere.message(id).len()
    }

    #[test]
    fn what_a_node_has_not_stored_is_seen_until_it_has() {
        let mut elsewhere = Elsewhere::default();
        let (sent, a) = (Arc::new(text("x")), lane("a"));
        let edited = Arc::new(edit(&sent, "y"));
        assert_eq!(elsewhere.insert(&a, 3, Arc::clone(&sent)), Released::default());
        elsewhere.insert(&lane("b"), 1, Arc::clone(&edited));
        elsewhere.insert(&a, 7, Arc::clone(&edited));
        assert_eq!(ops(&elsewhere, id_of(&sent)), 3);
        let then = elsewhere.places();
        assert!(!elsewhere.has_stored(&then));
        assert_eq!(elsewhere.stored(&a, 6).stored, [Arc::clone(&sent)]);
        assert_eq!(elsewhere.stored(&a, 7).stored, [Arc::clone(&edited)]);
        assert!(!elsewhere.has_stored(&then));
        elsewhere.stored(&lane("b"), 1);
        assert!(elsewhere.has_stored(&then));
        assert_eq!((ops(&elsewhere, id_of(&sent)), elsewhere.ops, elsewhere.bytes), (0, 0, 0));
    }

    #[test]
    fn what_is_deleted_in_the_store_is_not_seen_until_its_node_says_that_it_was_stored() {
        let mut elsewhere = Elsewhere::default();
        let (sent, other, a) = (Arc::new(text("x")), Arc::new(text("y")), lane("a"));
        let deleted = Arc::new(delete(&sent));
        elsewhere.note_deletion(&deleted);
        assert_eq!(ops(&elsewhere, id_of(&sent)), 0, "nothing is remembered that it deletes");
        elsewhere.insert(&a, 1, Arc::clone(&other));
        elsewhere.insert(&a, 2, Arc::clone(&sent));
        elsewhere.note_deletion(&deleted);
        assert_eq!(elsewhere.message(id_of(&sent)), [Arc::clone(&sent), Arc::clone(&deleted)]);
        assert_eq!(elsewhere.conversation(&sent.conversation()).len(), 3);
        let released = elsewhere.stored(&a, 2);
        assert_eq!((released.stored, released.forgotten), (vec![other], vec![Arc::clone(&sent)]));
        assert!(elsewhere.conversation(&sent.conversation()).is_empty());
        elsewhere.insert(&a, 3, Arc::clone(&sent));
        elsewhere.note_deletion(&deleted);
        elsewhere.forget_node("a");
        assert!(elsewhere.deletions.is_empty());
    }

    #[test]
    fn an_op_may_be_heard_after_it_was_stored() {
        let mut elsewhere = Elsewhere::default();
        let (sent, a) = (Arc::new(text("x")), lane("a"));
        elsewhere.stored(&a, 5);
        assert_eq!(elsewhere.insert(&a, 5, Arc::clone(&sent)).stored, [Arc::clone(&sent)]);
        assert_eq!(elsewhere.insert(&a, 6, sent), Released::default());
        assert_eq!(elsewhere.ops, 1);
    }

    #[test]
    fn a_journal_that_begins_anew_replaces_what_was_remembered() {
        let mut elsewhere = Elsewhere::default();
        let (first, second, a) = (Arc::new(text("x")), Arc::new(text("y")), lane("a"));
        elsewhere.insert(&a, 9, Arc::clone(&first));
        elsewhere.stored(&a, 3);
        assert_eq!(elsewhere.insert(&a, 1, second).forgotten, [first]);
        assert_eq!(elsewhere.ops, 1);
        assert_eq!(elsewhere.forget_all().forgotten.len(), 1);
        assert_eq!((elsewhere.ops, elsewhere.bytes), (0, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut elsewhere = Elsewhere::default();
        let a = lane("a");
        for sequence in 1..=MAX_OPS as Sequence {
            assert_eq!(elsewhere.insert(&a, sequence, Arc::new(text(""))), Released::default());
        }
        let more = elsewhere.insert(&a, MAX_OPS as Sequence + 1, Arc::new(text("")));
        assert_eq!((more.forgotten.len(), elsewhere.ops), (1, MAX_OPS));
    }
}
