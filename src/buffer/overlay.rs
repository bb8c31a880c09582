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

use std::collections::{HashMap, HashSet, VecDeque, hash_map};
use std::slice;
use std::sync::Arc;

use super::Sequence;
use crate::model::{ClientId, Conversation, Message, MessageId, Op, Position, UserId};
use crate::store::{HistoryQuery, Range};

/// An index of the ring's ops. Ops come and go in sequence order, so each queue is sorted and
/// costs O(1) at both ends.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    by_message: HashMap<MessageId, VecDeque<Entry>>,
    by_conversation: HashMap<Conversation, VecDeque<Entry>>,
    /// Messages by the names that their senders' clients gave them.
    by_client: HashMap<(UserId, ClientId), (Sequence, Arc<Message>)>,
    /// How many of the messages have each `media_url`.
    by_media: HashMap<String, usize>,
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
                if let Some(url) = &message.media_url {
                    *self.by_media.entry(url.clone()).or_default() += 1;
                }
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
                if let Some(url) = &message.media_url
                    && let hash_map::Entry::Occupied(mut count) = self.by_media.entry(url.clone())
                {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
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

    /// Whether a message that is pending has this `media_url`.
    pub(super) fn names_media(&self, url: &str) -> bool {
        self.by_media.contains_key(url)
    }

    /// What is pending on one message, committed or not.
    pub(super) fn message(&self, id: MessageId) -> PendingMessage {
        let own = self.by_message.get(&id).into_iter().flatten();
        let mut entries: Vec<_> = own.chain(&self.purges).collect();
        if !self.purges.is_empty() {
            // Order decides whether a purge takes the message along.
            entries.sort_by_key(|entry| entry.sequence);
        }
        let ops: Vec<_> = entries.into_iter().map(|entry| Arc::clone(&entry.op)).collect();
        let is_insert = ops.iter().any(|op| matches!(**op, Op::Send(_)));
        PendingMessage { ops, is_insert }
    }

    /// The number of the newest op that is pending on one message.
    pub(super) fn newest_on(&self, id: MessageId) -> Option<Sequence> {
        self.by_message.get(&id)?.back().map(|entry| entry.sequence)
    }

    /// A message whose own insert is pending, as it was sent.
    pub(super) fn sent(&self, id: MessageId) -> Option<&Arc<Message>> {
        self.by_message.get(&id)?.iter().find_map(|entry| match &*entry.op {
            Op::Send(message) => Some(message),
            _ => None,
        })
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

    /// The conversations in which anything is pending.
    pub(super) fn conversations(&self) -> Vec<Conversation> {
        self.by_conversation.keys().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_message.is_empty()
            && self.by_conversation.is_empty()
            && self.by_client.is_empty()
            && self.by_media.is_empty()
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
        Op::Read { messages, .. } | Op::Deliver { messages, .. } => messages,
        Op::Edit { message, .. }
        | Op::React { message, .. }
        | Op::Pin { message, .. }
        | Op::Delete { message, .. }
        | Op::Hide { message, .. } => slice::from_ref(message),
        Op::PurgeGroup(_) => &[],
    }
}

/// Ops of this node and of others in an order in which they can be applied: each node's own order
/// stays, but that no message is changed before it is there.
fn inserts_first(own: Vec<Arc<Op>>, elsewhere: Vec<Arc<Op>>) -> Vec<Arc<Op>> {
    if elsewhere.is_empty() {
        return own;
    }
    let all = elsewhere.into_iter().chain(own);
    let (mut inserts, changes): (Vec<_>, Vec<_>) = all.partition(|op| matches!(**op, Op::Send(_)));
    inserts.extend(changes);
    inserts
}

/// A snapshot of what is pending on one message, in order.
#[derive(Debug)]
pub(super) struct PendingMessage {
    ops: Vec<Arc<Op>>,
    is_insert: bool,
}

impl PendingMessage {
    /// The ops, in order.
    pub(super) fn into_ops(self) -> Vec<Arc<Op>> {
        self.ops
    }

    /// The same with what other nodes have not stored. Between nodes there is no order but that a
    /// message is there before it is changed.
    pub(super) fn with(mut self, elsewhere: Vec<Arc<Op>>) -> Self {
        self.ops = inserts_first(self.ops, elsewhere);
        self
    }

    /// Whether the message's own insert is still pending on this node: the store need not be asked.
    pub(super) fn is_insert(&self) -> bool {
        self.is_insert
    }

    /// Whether it is pending on another node.
    pub(super) fn is_insert_elsewhere(&self) -> bool {
        !self.is_insert && self.ops.iter().any(|op| matches!(**op, Op::Send(_)))
    }

    /// The message as it is after everything pending.
    pub(super) fn apply(&self, stored: Option<Message>) -> Option<Message> {
        self.ops.iter().fold(stored, |message, op| op.apply(message))
    }
}

/// A snapshot of what is durable and pending in one conversation. Take it BEFORE reading the store.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<Arc<Op>>);

impl Pending {
    /// The ops, in order.
    pub(super) fn ops(&self) -> &[Arc<Op>] {
        &self.0
    }

    /// The same, owned.
    pub(super) fn into_ops(self) -> Vec<Arc<Op>> {
        self.0
    }

    /// The same with what other nodes have not stored, as with [`PendingMessage::with`].
    pub(super) fn with(mut self, elsewhere: Vec<Arc<Op>>) -> Self {
        self.0 = inserts_first(self.0, elsewhere);
        self
    }

    /// The same without some of the new messages.
    pub(super) fn without(mut self, leave_out: impl Fn(&Message) -> bool) -> Self {
        self.0.retain(|op| !matches!(&**op, Op::Send(message) if leave_out(message)));
        self
    }

    /// The place of the oldest message whose insert is pending.
    pub(super) fn oldest_sent(&self) -> Option<Position> {
        let sent = self.0.iter().filter_map(|op| match &**op {
            Op::Send(message) => Some(message.position()),
            _ => None,
        });
        sent.min()
    }

    /// Stored rows that pending ops may take away from a page, in whichever direction it goes: ask
    /// the store for that many more.
    pub(super) fn removals(&self) -> usize {
        // A purge is not counted: it leaves no stored row that a longer page could add.
        let removed = self.0.iter().filter_map(|op| match **op {
            Op::Delete { message, .. } | Op::Hide { message, .. } => Some(message),
            _ => None,
        });
        removed.collect::<HashSet<_>>().len()
    }

    /// Merges pending inserts and changes into stored rows: what the query asks for, newest first.
    pub(super) fn merge(
        &self,
        stored: impl IntoIterator<Item = Arc<Message>>,
        query: &HistoryQuery,
    ) -> Vec<Arc<Message>> {
        let mut stored: HashMap<_, _> = stored.into_iter().map(|row| (row.id, row)).collect();
        let mut sent: Vec<&Arc<Message>> = Vec::new();
        let mut deleted: HashSet<MessageId> = HashSet::new();
        let mut changes: HashMap<MessageId, Vec<&Op>> = HashMap::new();
        for op in &self.0 {
            match &**op {
                Op::Send(message) => sent.push(message),
                Op::PurgeGroup(_) => {
                    stored.clear();
                    sent.clear();
                }
                Op::Delete { message, .. } => {
                    deleted.insert(*message);
                }
                _ => {
                    for id in messages_of(op) {
                        changes.entry(*id).or_default().push(op);
                    }
                }
            }
        }
        // A row of the store is at least as new as the insert.
        sent.retain(|row| !stored.contains_key(&row.id));
        let mut rows: Vec<_> = stored.values().chain(sent).collect();
        rows.retain(|row| query.range.holds(row.position()) && !deleted.contains(&row.id));
        // They are nearly in order already.
        rows.sort_by_key(|row| row.position());
        // Only what is on this page is touched, and only what is changed is copied: a busy
        // conversation may have many thousands pending.
        let seen = |row: &Arc<Message>| {
            let row = match changes.get(&row.id) {
                None => Arc::clone(row),
                Some(ops) => {
                    let row = Message::clone(row);
                    Arc::new(ops.iter().try_fold(row, |row, op| op.apply(Some(row)))?)
                }
            };
            query.shows(&row).then_some(row)
        };
        if let Range::After(_) = query.range {
            let mut page: Vec<_> = rows.into_iter().filter_map(seen).take(query.limit).collect();
            page.reverse();
            page
        } else {
            rows.into_iter().rev().filter_map(seen).take(query.limit).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::testing::{
        Model, content, delete, edit, group_text, hide, id_of, named, newest, ops, read, sent,
        text, user,
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
        let page = pending.merge([Arc::new(message(&stored))], &newest(&stored, "alice", 10));
        assert_eq!(page, [Arc::new(message(&after))]);
    }

    #[test]
    fn history_sees_only_what_is_committed() {
        let (first, second) = (text("a"), text("b"));
        let (overlay, _) = overlay(&[first.clone(), second]);
        let pending = overlay.conversation(&first.conversation(), 1);
        let page = pending.merge([], &newest(&first, "alice", 10));
        assert_eq!(page, [Arc::new(message(&first))]);
    }

    #[test]
    fn a_page_is_the_newest_of_stored_and_pending_without_what_is_gone() {
        let sends: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(text).collect();
        let rows: Vec<_> = sends.iter().map(message).collect();
        let stored = [2, 1, 0].map(|n: usize| Arc::new(rows[n].clone()));
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

        let page = |viewer: &str, range, limit| {
            let query = HistoryQuery { range, ..newest(&sends[0], viewer, limit) };
            pending().merge(stored.clone(), &query)
        };
        let ids = |page: Vec<Arc<Message>>| page.iter().map(|m| m.id).collect::<Vec<_>>();
        let of_bob = page("bob", Range::Newest, 10);
        assert_eq!(of_bob.last().expect("three rows").content, content("A"));
        assert_eq!(ids(of_bob), [rows[4].id, rows[2].id, rows[0].id]);
        let older = page("alice", Range::Before(rows[4].position()), 2);
        assert_eq!(ids(older), [rows[2].id, rows[1].id]);
        let newer = page("alice", Range::After(rows[0].position()), 2);
        assert_eq!(ids(newer), [rows[2].id, rows[1].id], "the oldest of those after it");
        let newer = page("bob", Range::After(rows[0].position()), 5);
        assert_eq!(ids(newer), [rows[4].id, rows[2].id]);
    }

    proptest! {
        /// Read-your-writes, whatever the store has got of it so far, and whichever way the page
        /// goes: all ops, then the page, equals the store's page with the pending ops over it.
        #[test]
        fn a_page_is_what_all_ops_together_make(
            run in ops(), stored in 0_usize..40, ahead in 0_usize..10,
            at in any::<prop::sample::Index>(), how in 0..3_u8, limit in 1_usize..6,
        ) {
            let stored = stored.min(run.len());
            // The store may have more than anybody knows of.
            let ahead = (stored + ahead).min(run.len());
            let (mut expected, mut store) = (Model::default(), Model::default());
            run.iter().for_each(|op| expected.apply_op(op));
            run[..ahead].iter().for_each(|op| store.apply_op(op));
            let is_here = |op: &&Arc<Op>| op.conversation() == run[0].conversation();
            let pending = Pending(run[stored..].iter().filter(is_here).cloned().collect());
            let places: Vec<_> = run.iter().filter(is_here).filter_map(|op| match &**op {
                Op::Send(message) => Some(message.position()),
                _ => None,
            }).collect();
            let place = *at.get(&places);
            let range = [Range::Newest, Range::Before(place), Range::After(place)][how as usize];
            for viewer in ["a", "b"] {
                let query = HistoryQuery { range, ..newest(&run[0], viewer, limit) };
                let more = HistoryQuery { limit: limit + pending.removals(), ..query.clone() };
                let rows = store.history(&more).into_iter().map(Arc::new);
                let page = pending.merge(rows, &query);
                let expected = expected.history(&query);
                prop_assert!(page.iter().map(|row| &**row).eq(&expected), "{page:?} {expected:?}");
            }
        }
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
    fn a_file_is_named_until_the_last_message_that_names_it_has_left() {
        let naming = |words| {
            let media_url = Some("/uploads/a.gif".to_owned());
            Op::Send(Arc::new(Message { media_url, ..sent(&text(words)).clone() }))
        };
        let (mut overlay, ops) = overlay(&[naming("a"), text("b"), naming("c")]);
        for (sequence, op) in (1..).zip(&ops) {
            assert!(overlay.names_media("/uploads/a.gif"), "before {sequence} leaves");
            assert!(!overlay.names_media("uploads/a.gif"));
            overlay.remove(sequence, op);
        }
        assert!(overlay.is_empty());
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
