//! The overlay: what is accepted and not yet known to be stored, found by message and by
//! conversation, and laid over what the store says.
//!
//! **Why laying it over is right.** An op leaves the overlay only after the store has confirmed
//! it, and a reader takes its snapshot before it asks the store. So each op accepted before the
//! snapshot is in the snapshot, in the store's answer, or in both; both is harmless, because an op
//! applied twice equals the op applied once. That is read-your-writes.
//!
//! **Why a stale snapshot is right, too.** While the store is being asked, newer ops may be
//! accepted and even stored, and the older ops of the snapshot are then laid over them: an edit
//! undoes, in this answer alone, a later edit. That later edit was accepted after this read had
//! begun, so its writer and this reader overlap, and an answer from the moment of the snapshot is
//! one that either order allows. Nothing that was acknowledged before the read began is missed,
//! and nothing of the answer is written back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::slice;
use std::sync::Arc;

use super::Sequence;
use crate::model::{ClientId, Conversation, Message, MessageId, Op, Position, UserId};

/// An index of the ring's ops. Ops come and go in sequence order, so each queue is sorted and
/// costs O(1) at both ends.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    by_message: HashMap<MessageId, VecDeque<Entry>>,
    by_conversation: HashMap<Conversation, VecDeque<Entry>>,
    /// Messages by the names that their senders' clients gave them.
    by_client: HashMap<(UserId, ClientId), (Sequence, Arc<Message>)>,
    /// Purges concern messages that nobody can list here: they are laid over every message.
    purges: VecDeque<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    sequence: Sequence,
    op: Arc<Op>,
}

impl Overlay {
    /// Adds an op, which must be newer than all that are there.
    pub(super) fn insert(&mut self, sequence: Sequence, op: &Arc<Op>) {
        let entry = || Entry { sequence, op: Arc::clone(op) };
        for id in messages_of(op) {
            self.by_message.entry(*id).or_default().push_back(entry());
        }
        self.by_conversation.entry(op.conversation()).or_default().push_back(entry());
        match &**op {
            Op::PurgeGroup(_) => self.purges.push_back(entry()),
            Op::Send(message) => {
                if let Some(key) = client_key(message) {
                    self.by_client.insert(key, (sequence, Arc::clone(message)));
                }
            }
            _ => {}
        }
    }

    /// Removes the oldest op.
    pub(super) fn remove(&mut self, sequence: Sequence, op: &Op) {
        self.take_out(sequence, op, VecDeque::pop_front);
    }

    /// Removes the newest op, as if it had never been there.
    pub(super) fn retract(&mut self, sequence: Sequence, op: &Op) {
        self.take_out(sequence, op, VecDeque::pop_back);
    }

    fn take_out(&mut self, sequence: Sequence, op: &Op, pop: Pop) {
        for id in messages_of(op) {
            take_out(&mut self.by_message, id, sequence, pop);
        }
        take_out(&mut self.by_conversation, &op.conversation(), sequence, pop);
        match op {
            Op::PurgeGroup(_) => drop(pop(&mut self.purges)),
            Op::Send(message) => {
                if let Some(key) = client_key(message) {
                    self.by_client.remove(&key);
                }
            }
            _ => {}
        }
    }

    /// The message that a user has sent under this client id, and its number.
    pub(super) fn sent_as(&self, user: &UserId, id: &ClientId) -> Option<(Sequence, Arc<Message>)> {
        self.by_client.get(&(user.clone(), id.clone())).cloned()
    }

    /// What is pending on one message, committed or not.
    pub(super) fn message(&self, id: MessageId) -> PendingMessage {
        let own = self.by_message.get(&id).into_iter().flatten();
        let mut entries: Vec<_> = own.chain(&self.purges).collect();
        if !self.purges.is_empty() {
            // Order decides whether a purge takes the message along.
            entries.sort_by_key(|entry| entry.sequence);
        }
        PendingMessage(entries.into_iter().map(|entry| Arc::clone(&entry.op)).collect())
    }

    /// What is pending in one conversation, up to and including the number `committed`.
    pub(super) fn conversation(&self, id: &Conversation, committed: Sequence) -> Pending {
        let entries = self.by_conversation.get(id).into_iter().flatten();
        let durable = entries.take_while(|entry| entry.sequence <= committed);
        Pending(durable.map(|entry| Arc::clone(&entry.op)).collect())
    }

    /// Every conversation in which something is pending, with the number of its newest op.
    pub(super) fn newest_by_conversation(&self) -> Vec<(Conversation, Sequence)> {
        let all = self.by_conversation.iter();
        all.filter_map(|(id, ops)| Some((id.clone(), ops.back()?.sequence))).collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_message.is_empty()
            && self.by_conversation.is_empty()
            && self.by_client.is_empty()
            && self.purges.is_empty()
    }
}

/// Takes an entry from one of the ends of a queue.
type Pop = fn(&mut VecDeque<Entry>) -> Option<Entry>;

fn take_out<K: Eq + std::hash::Hash>(
    map: &mut HashMap<K, VecDeque<Entry>>,
    key: &K,
    sequence: Sequence,
    pop: Pop,
) {
    let taken = map.get_mut(key).and_then(pop);
    assert!(taken.is_some_and(|entry| entry.sequence == sequence), "ops leave in order");
    if map.get(key).is_some_and(VecDeque::is_empty) {
        map.remove(key);
    }
}

fn client_key(message: &Message) -> Option<(UserId, ClientId)> {
    Some((message.from.clone(), message.client_id.clone()?))
}

/// The messages that an op names; a purge names none.
pub(super) fn messages_of(op: &Op) -> &[MessageId] {
    match op {
        Op::Send(message) => slice::from_ref(&message.id),
        Op::Read { messages, .. } => messages,
        Op::Edit { message, .. } | Op::Delete { message, .. } | Op::Hide { message, .. } => {
            slice::from_ref(message)
        }
        Op::PurgeGroup(_) => &[],
    }
}

/// A snapshot of what is pending on one message, in order.
#[derive(Debug)]
pub(super) struct PendingMessage(Vec<Arc<Op>>);

impl PendingMessage {
    /// Whether the message's own insert is still pending: the store need not be asked.
    pub(super) fn is_insert(&self) -> bool {
        self.0.iter().any(|op| matches!(**op, Op::Send(_)))
    }

    /// The message as it is after everything pending.
    pub(super) fn apply(&self, stored: Option<Message>) -> Option<Message> {
        self.0.iter().fold(stored, |message, op| op.apply(message))
    }
}

/// A snapshot of what is durable and pending in one conversation: see
/// [`Buffer::pending`](super::Buffer::pending).
#[derive(Debug, Default)]
pub struct Pending(Vec<Arc<Op>>);

impl Pending {
    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stored rows that pending ops may take away from a page: ask the store for that many more.
    pub fn removals(&self) -> usize {
        // A purge is not counted: it leaves no stored row that a longer page could add.
        let removed = self.0.iter().filter_map(|op| match **op {
            Op::Delete { message, .. } | Op::Hide { message, .. } => Some(message),
            _ => None,
        });
        removed.collect::<HashSet<_>>().len()
    }

    /// Merges pending inserts and changes into stored rows (newest first): the `limit` newest
    /// messages before `before` that `viewer` has not hidden.
    pub fn merge(
        self,
        stored: Vec<Message>,
        viewer: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Vec<Message> {
        let mut rows: HashMap<_, _> = stored.into_iter().map(|m| (m.id, Arc::new(m))).collect();
        let mut changes: HashMap<MessageId, Vec<&Op>> = HashMap::new();
        for op in &self.0 {
            match &**op {
                Op::Send(message) => {
                    // A row of the store is at least as new as the insert.
                    rows.entry(message.id).or_insert_with(|| Arc::clone(message));
                }
                Op::PurgeGroup(_) => rows.clear(),
                Op::Delete { message, .. } => {
                    rows.remove(message);
                }
                Op::Read { .. } | Op::Edit { .. } | Op::Hide { .. } => {
                    for id in messages_of(op) {
                        changes.entry(*id).or_default().push(op);
                    }
                }
            }
        }
        let mut rows: Vec<_> = rows.into_values().collect();
        rows.retain(|row| before.is_none_or(|place| row.position() < place));
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.position()));
        // Only what is returned is copied: a busy conversation may have many thousands pending.
        let visible = rows.into_iter().filter_map(|row| {
            let mut ops = changes.get(&row.id).into_iter().flatten();
            let row = ops.try_fold(Arc::unwrap_or_clone(row), |row, op| op.apply(Some(row)));
            row.filter(|row| !row.is_hidden_for(viewer))
        });
        visible.take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::{
        content, delete, edit, group_text, hide, id_of, named, read, text, user,
    };
    use crate::model::GroupId;

    fn overlay(ops: &[Op]) -> (Overlay, Vec<Arc<Op>>) {
        let mut overlay = Overlay::default();
        let ops: Vec<_> = ops.iter().cloned().map(Arc::new).collect();
        for (sequence, op) in (1..).zip(&ops) {
            overlay.insert(sequence, op);
        }
        (overlay, ops)
    }

    fn message(op: &Op) -> Message {
        op.apply(None).expect("a send")
    }

    #[test]
    fn pending_ops_are_laid_over_the_stored_message_in_order() {
        let sent = text("a");
        let (overlay, _) = overlay(&[edit(&sent, "b"), edit(&sent, "c"), read(&sent, "bob")]);
        let pending = overlay.message(id_of(&sent));
        assert!(!pending.is_insert());
        let seen = pending.apply(Some(message(&sent))).expect("still there");
        assert_eq!((seen.content, seen.read_by), (content("c"), vec![user("bob")]));
    }

    #[test]
    fn a_pending_insert_needs_no_store() {
        let sent = text("a");
        let (overlay, _) = overlay(&[sent.clone(), edit(&sent, "b")]);
        let pending = overlay.message(id_of(&sent));
        assert!(pending.is_insert());
        assert_eq!(pending.apply(None).expect("pending").content, content("b"));
    }

    #[test]
    fn a_pending_purge_hides_what_came_before_it_and_only_that() {
        let group = GroupId::mint();
        let (before, after) = (group_text(group, "a"), group_text(group, "b"));
        let stored = group_text(group, "stored");
        let elsewhere = group_text(GroupId::mint(), "c");
        let (overlay, _) = overlay(&[before.clone(), Op::PurgeGroup(group), after.clone()]);
        assert_eq!(overlay.message(id_of(&before)).apply(None), None);
        assert_eq!(overlay.message(id_of(&stored)).apply(Some(message(&stored))), None);
        assert!(overlay.message(id_of(&after)).apply(None).is_some());
        let untouched = overlay.message(id_of(&elsewhere)).apply(Some(message(&elsewhere)));
        assert!(untouched.is_some());

        let pending = overlay.conversation(&Conversation::Group(group), 3);
        let page = pending.merge(vec![message(&stored)], &user("alice"), None, 10);
        assert_eq!(page, [message(&after)]);
    }

    #[test]
    fn history_sees_only_what_is_committed() {
        let (first, second) = (text("a"), text("b"));
        let (overlay, _) = overlay(&[first.clone(), second]);
        let pending = overlay.conversation(&first.conversation(), 1);
        assert_eq!(pending.merge(vec![], &user("alice"), None, 10), [message(&first)]);
    }

    #[test]
    fn a_page_is_the_newest_of_stored_and_pending_without_what_is_gone() {
        let sends: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(text).collect();
        let rows: Vec<_> = sends.iter().map(message).collect();
        let stored = vec![rows[2].clone(), rows[1].clone(), rows[0].clone()];
        let (overlay, _) = overlay(&[
            sends[2].clone(),
            sends[3].clone(),
            sends[4].clone(),
            delete(&sends[3]),
            hide(&sends[1], "bob"),
            edit(&sends[0], "A"),
        ]);
        let pending = || overlay.conversation(&sends[0].conversation(), 6);
        assert_eq!(pending().removals(), 2);

        let ids = |page: Vec<Message>| page.iter().map(|m| m.id).collect::<Vec<_>>();
        let page = pending().merge(stored.clone(), &user("bob"), None, 10);
        assert_eq!(page.last().expect("three rows").content, content("A"));
        assert_eq!(ids(page), [rows[4].id, rows[2].id, rows[0].id]);
        let page = pending().merge(stored.clone(), &user("alice"), Some(rows[4].position()), 2);
        assert_eq!(ids(page), [rows[2].id, rows[1].id]);
    }

    #[test]
    fn what_is_retracted_leaves_no_trace() {
        let sent = named("a", "c-1");
        let (mut overlay, ops) = overlay(&[sent.clone(), edit(&sent, "b"), edit(&sent, "c")]);
        overlay.retract(3, &ops[2]);
        let seen = overlay.message(id_of(&sent)).apply(None).expect("there");
        assert_eq!(seen.content, content("b"));
        overlay.retract(2, &ops[1]);
        overlay.retract(1, &ops[0]);
        assert!(overlay.is_empty());
    }

    #[test]
    fn a_message_is_found_by_its_clients_name_for_its_sender_alone() {
        let sent = named("a", "c-1");
        let (overlay, _) = overlay(&[text("x"), sent.clone()]);
        let name = |text| ClientId::parse(text).expect("a client id");
        let (sequence, found) = overlay.sent_as(&user("alice"), &name("c-1")).expect("found");
        assert_eq!((sequence, found.id), (2, id_of(&sent)));
        assert!(overlay.sent_as(&user("bob"), &name("c-1")).is_none());
        assert!(overlay.sent_as(&user("alice"), &name("c-2")).is_none());
    }

    #[test]
    fn nothing_stays_behind_once_all_is_stored() {
        let sent = group_text(GroupId::mint(), "a");
        let Conversation::Group(group) = sent.conversation() else { panic!("a group") };
        let ops = [sent.clone(), read(&sent, "bob"), edit(&sent, "b"), Op::PurgeGroup(group)];
        let (mut overlay, ops) = overlay(&ops);
        for (sequence, op) in (1..).zip(&ops) {
            overlay.remove(sequence, op);
        }
        assert!(overlay.is_empty());
    }
}
