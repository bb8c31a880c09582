//! Folding: a run of ops becomes one batch that touches each document once. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::overlay::messages_of;
use crate::model::{
    Batch, Conversation, Deletion, GroupId, Message, MessageChange, MessageId, Op, Position,
    ReadCursor, Timestamp, UserId,
};

/// Edits of one message that one batch keeps: earlier ones leave no trace in a message that has as
/// many revisions as it can have.
const MAX_EDITS: usize = Message::MAX_REVISIONS + 1;

/// Whether any part of a run may be in the store already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// No op of the run was ever sent to the store, by nobody: changes go into their message's insert.
    First,
    /// An earlier attempt, perhaps over a shorter run, or another node, which has taken a message over,
    /// may have stored any part. A message that
    /// is there already is not inserted again, so a change inside its insert would be lost:
    /// changes stay statements of their own.
    Again,
}

/// Folds as many of `ops`, from the first one, as one batch can express; the batch and how many
/// (at least one, where there is any).
///
/// A batch writes its inserts before its deletes and purges. A message that is sent into what the
/// same run has removed would go with it, so it begins the next batch.
pub(super) fn fold(ops: &[Arc<Op>], attempt: Attempt) -> (Batch, usize) {
    let mut folding = Folding::default();
    let folded = ops.iter().take_while(|op| folding.add(op)).count();
    (folding.finish(attempt), folded)
}

#[derive(Debug, Default)]
struct Folding {
    inserts: InOrder<MessageId, Arc<Message>>,
    changes: InOrder<MessageId, MessageChange>,
    deletes: InOrder<MessageId, (Conversation, Timestamp)>,
    purges: InOrder<GroupId, ()>,
    cursors: InOrder<(UserId, GroupId), Position>,
}

impl Folding {
    /// Takes an op, or says that it belongs into the next batch.
    fn add(&mut self, op: &Op) -> bool {
        match op {
            Op::Send(message) => return self.send(message),
            Op::Delete { conversation, message, at } => {
                // The delete stays even where the insert is dropped: an earlier attempt that
                // seemed to fail may have inserted it. With a client id the insert stays, too: what
                // the delete leaves behind must say that the id is taken.
                let insert = self.inserts.get(message);
                if insert.is_none_or(|insert| insert.client_id.is_none()) {
                    self.inserts.remove(message);
                }
                self.changes.remove(message);
                self.deletes.entry(*message, (conversation.clone(), *at));
            }
            Op::PurgeGroup(group) => {
                let purged = Conversation::Group(*group);
                self.inserts.entries.retain(|_, (_, message)| message.conversation() != purged);
                self.purges.entry(*group, ());
            }
            _ => self.change(op),
        }
        true
    }

    fn change(&mut self, op: &Op) {
        let conversation = op.conversation();
        for id in messages_of(op) {
            if !self.deletes.contains(id) {
                let none = MessageChange::none(*id, conversation.clone());
                add(self.changes.entry(*id, none), op);
            }
        }
        if let Op::Read { conversation: Conversation::Group(group), reader, up_to, .. } = op {
            let cursor = self.cursors.entry((reader.clone(), *group), *up_to);
            *cursor = (*cursor).max(*up_to);
        }
    }

    fn send(&mut self, message: &Arc<Message>) -> bool {
        let into_purged = match message.conversation() {
            Conversation::Group(group) => self.purges.contains(&group),
            Conversation::Direct(..) => false,
        };
        if into_purged || self.deletes.contains(&message.id) {
            return false;
        }
        self.inserts.entry(message.id, Arc::clone(message));
        true
    }

    fn finish(mut self, attempt: Attempt) -> Batch {
        if attempt == Attempt::First {
            for (id, (_, insert)) in &mut self.inserts.entries {
                if let Some(change) = self.changes.remove(id) {
                    change.make(Arc::make_mut(insert));
                }
            }
        }
        let cursor = |((user, group), up_to)| ReadCursor { user, group, up_to };
        let deletion = |(id, (conversation, at))| Deletion { id, conversation, at };
        Batch {
            inserts: self.inserts.into_entries().map(|(_, message)| message).collect(),
            changes: self.changes.into_entries().map(|(_, change)| change).collect(),
            deletes: self.deletes.into_entries().map(deletion).collect(),
            purges: self.purges.into_entries().map(|(group, ())| group).collect(),
            cursors: self.cursors.into_entries().map(cursor).collect(),
        }
    }
}

/// Adds to the change of a message what an op says of it.
fn add(change: &mut MessageChange, op: &Op) {
    match op {
        Op::Read { reader, .. } => add_once(&mut change.readers, reader),
        Op::Deliver { .. } => change.delivered = true,
        Op::Hide { user, .. } => add_once(&mut change.hidden_for, user),
        Op::React { reaction, on, .. } => {
            // The last word stands last, so that reactions keep the order in which they came.
            change.reactions.retain(|(there, _)| there != reaction);
            change.reactions.push((reaction.clone(), *on));
        }
        Op::Pin { pin, .. } => {
            if change.pin.as_ref().is_none_or(|last| last.at <= pin.at) {
                change.pin = Some(pin.clone());
            }
        }
        Op::Edit { content, edited_at, .. } => {
            if change.edits.last().is_none_or(|(_, last)| last <= edited_at) {
                change.edits.push((content.clone(), *edited_at));
                let excess = change.edits.len().saturating_sub(MAX_EDITS);
                change.edits.drain(..excess);
            }
        }
        Op::Send(_) | Op::Delete { .. } | Op::PurgeGroup(_) => {}
    }
}

fn add_once(users: &mut Vec<UserId>, user: &UserId) {
    if !users.contains(user) {
        users.push(user.clone());
    }
}

/// A map that gives its entries back in the order in which they came: messages reach the store in
/// the order in which they were accepted.
#[derive(Debug)]
struct InOrder<K, V> {
    entries: HashMap<K, (usize, V)>,
    /// The place of the next new entry; never given out twice, also after a removal.
    next: usize,
}

impl<K, V> Default for InOrder<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), next: 0 }
    }
}

impl<K: Eq + Hash, V> InOrder<K, V> {
    fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// The value that is there, or else `value`.
    fn entry(&mut self, key: K, value: V) -> &mut V {
        self.next += 1;
        &mut self.entries.entry(key).or_insert((self.next, value)).1
    }

    fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_unstable_by_key(|(_, (place, _))| *place);
        entries.into_iter().map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::testing::{Model, delete, edit, named, ops, read, text};

    fn fold_all(mut run: &[Arc<Op>], attempt: Attempt) -> Vec<Batch> {
        let mut batches = Vec::new();
        while !run.is_empty() {
            let (batch, taken) = fold(run, attempt);
            assert!(taken > 0, "folding goes on");
            batches.push(batch);
            run = &run[taken..];
        }
        batches
    }

    fn only(run: &[Op], attempt: Attempt) -> Batch {
        let run: Vec<_> = run.iter().cloned().map(Arc::new).collect();
        let [batch] = fold_all(&run, attempt).try_into().expect("one batch");
        batch
    }

    #[test]
    fn a_first_attempt_inserts_the_message_as_it_was_edited() {
        let sent = text("a");
        let batch = only(&[sent.clone(), edit(&sent, "b"), read(&sent, "bob")], Attempt::First);
        assert_eq!((batch.inserts.len(), batch.len()), (1, 1));
        assert_eq!(batch.inserts[0].content, crate::buffer::testing::content("b"));
    }

    #[test]
    fn a_deleted_insert_leaves_only_the_delete() {
        let sent = text("a");
        let batch = only(&[sent.clone(), edit(&sent, "b"), delete(&sent)], Attempt::First);
        assert_eq!((batch.deletes.len(), batch.len()), (1, 1));
    }

    #[test]
    fn a_deleted_insert_with_a_client_id_stays_so_that_the_id_is_known() {
        let sent = named("a", "c-1");
        let batch = only(&[sent.clone(), edit(&sent, "b"), delete(&sent)], Attempt::First);
        assert_eq!((batch.inserts.len(), batch.deletes.len(), batch.len()), (1, 1, 2));
    }

    #[test]
    fn changes_of_one_message_are_one_statement() {
        let sent = text("a");
        let run = [edit(&sent, "b"), read(&sent, "bob"), edit(&sent, "c"), read(&sent, "bob")];
        let batch = only(&run, Attempt::First);
        assert_eq!((batch.changes.len(), batch.len()), (1, 1));
        assert_eq!(batch.changes[0].readers.len(), 1);
    }

    #[test]
    fn inserts_keep_the_order_in_which_they_were_accepted() {
        let run: Vec<_> = (0..100).map(|n| text(&n.to_string())).collect();
        let sent: Vec<_> = run.iter().map(crate::buffer::testing::id_of).collect();
        let batch = only(&run, Attempt::First);
        assert_eq!(batch.inserts.iter().map(|m| m.id).collect::<Vec<_>>(), sent);
    }

    proptest! {
        /// The heart of "stored once": whatever was stored before, folded equals one by one.
        #[test]
        fn a_folded_run_equals_its_ops_one_by_one_and_twice_equals_once(
            run in ops(), stored in 0_usize..40
        ) {
            let (before, run) = run.split_at(stored.min(run.len()));
            let mut model = Model::default();
            before.iter().for_each(|op| model.apply_op(op));
            let mut folded = model.clone();
            run.iter().for_each(|op| model.apply_op(op));
            for batch in fold_all(run, Attempt::First) {
                folded.apply(&batch);
                folded.apply(&batch);
            }
            prop_assert_eq!(folded, model);
        }

        /// A failed attempt may have written any part of a batch, and the next run may be longer
        /// than the one that failed.
        #[test]
        fn a_longer_run_after_an_attempt_that_half_succeeded_loses_nothing(
            run in ops(), attempted in 1_usize..40, parts in any::<u8>()
        ) {
            let mut model = Model::default();
            run.iter().for_each(|op| model.apply_op(op));
            let mut store = Model::default();
            let (mut batch, _) = fold(&run[..attempted.min(run.len())], Attempt::First);
            let kept = |part: u32| parts & (1 << part) != 0;
            let half = if kept(0) { batch.inserts.len() } else { batch.inserts.len() / 2 };
            batch.inserts.truncate(half);
            if !kept(1) { batch.changes.clear() }
            if !kept(2) { batch.deletes.clear() }
            if !kept(3) { batch.purges.clear() }
            if !kept(4) { batch.cursors.clear() }
            store.apply(&batch);
            for batch in fold_all(&run, Attempt::Again) {
                store.apply(&batch);
            }
            prop_assert_eq!(store, model);
        }
    }
}
