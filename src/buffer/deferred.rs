//! Changes whose message is nowhere yet: it may be on its way through another server's buffer. They
//! are tried again for a while and hold nothing up but the checkpoint, so that a crash does not
//! lose them. Pure: given the time, it owns no timer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Sequence;
use super::overlay::messages_of;
use crate::correlation::RequestId;
use crate::model::{Conversation, GroupId, MessageId, Op};

/// How long a message may be on its way while the store answers. Another server that is alive
/// stores it within a flush interval of that.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often one is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// With so many waiting, nothing else is stored until some have found their messages or are given up.
const MAX_WAITING: usize = 10_000;

/// One change that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) sequence: Sequence,
    pub(super) op: Arc<Op>,
    /// For whom it was accepted; for the log alone.
    pub(super) request: Option<RequestId>,
    since: Instant,
    next_try: Instant,
}

/// All changes that wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Deferred(VecDeque<Waiting>);

impl Deferred {
    /// Takes those of a run (with the number of its first op) that are about missing messages, and
    /// says which.
    pub(super) fn take(
        &mut self,
        first: Sequence,
        run: &[Arc<Op>],
        missing: &[MessageId],
        now: Instant,
    ) -> Vec<Arc<Op>> {
        let mut taken = Vec::new();
        if missing.is_empty() {
            return taken;
        }
        let is_change =
            |op: &Op| !matches!(op, Op::Send(_) | Op::Delete { .. } | Op::PurgeGroup(_));
        for (sequence, op) in (first..).zip(run) {
            if is_change(op) && messages_of(op).iter().any(|id| missing.contains(id)) {
                taken.push(Arc::clone(op));
                let op = Arc::clone(op);
                let next_try = now + RETRY;
                self.0.push_back(Waiting { sequence, op, request: None, since: now, next_try });
            }
        }
        taken
    }

    /// Notes for which requests those from `first` on were accepted.
    pub(super) fn name(
        &mut self,
        first: Sequence,
        request_of: impl Fn(Sequence) -> Option<RequestId>,
    ) {
        let newest = self.0.iter_mut().rev().take_while(|waiting| waiting.sequence >= first);
        newest.for_each(|waiting| waiting.request = request_of(waiting.sequence));
    }

    /// Lets go of changes in a group that is gone with all its messages.
    pub(super) fn forget_group(&mut self, group: GroupId) {
        self.0.retain(|waiting| waiting.op.conversation() != Conversation::Group(group));
    }

    /// All of them, with their numbers.
    pub(super) fn ops(&self) -> Vec<(Sequence, Arc<Op>)> {
        self.0.iter().map(|waiting| (waiting.sequence, Arc::clone(&waiting.op))).collect()
    }

    /// Whether no more should come.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_WAITING
    }

    #[cfg(test)]
    fn oldest(&self) -> Option<Sequence> {
        self.0.front().map(|waiting| waiting.sequence)
    }

    /// When the next one is to be tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.0.iter().map(|waiting| waiting.next_try).min()
    }

    /// Those that are to be tried again; each is put off to its next try.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Waiting> {
        let due = self.0.iter_mut().filter(|waiting| waiting.next_try <= now);
        due.map(|waiting| {
            waiting.next_try = now + RETRY;
            waiting.clone()
        })
        .collect()
    }

    /// Everybody's wait begins anew: while the store was away, nobody's message could come.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|waiting| waiting.since = now);
    }

    /// Lets go of one.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        self.0.retain(|waiting| waiting.sequence != sequence);
    }

    /// One that has waited for too long. A message that another node is known to have is waited for as
    /// long as that.
    pub(super) fn given_up(
        &self,
        now: Instant,
        is_elsewhere: impl Fn(MessageId) -> bool,
    ) -> Option<Waiting> {
        let mut over = self.0.iter().filter(|waiting| {
            now.saturating_duration_since(waiting.since) >= PATIENCE
                && !messages_of(&waiting.op).iter().any(|id| is_elsewhere(*id))
        });
        over.next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::{delete, edit, group_text, id_of, read, text};

    fn run(ops: &[Op]) -> Vec<Arc<Op>> {
        ops.iter().cloned().map(Arc::new).collect()
    }

    #[test]
    fn only_changes_of_missing_messages_wait() {
        let (here, gone) = (text("a"), text("b"));
        let run = run(&[here.clone(), edit(&here, "x"), edit(&gone, "y"), delete(&gone)]);
        let mut deferred = Deferred::default();
        deferred.take(10, &run, &[id_of(&gone)], Instant::now());
        assert_eq!((deferred.oldest(), deferred.0.len()), (Some(12), 1));
    }

    #[test]
    fn one_is_tried_again_each_second_until_it_is_given_up() {
        let (start, gone) = (Instant::now(), text("a"));
        let mut deferred = Deferred::default();
        deferred.take(1, &run(&[edit(&gone, "x")]), &[id_of(&gone)], start);
        assert!(deferred.due(start).is_empty());
        let later = start + RETRY;
        assert_eq!((deferred.due(later).len(), deferred.due(later).len()), (1, 0));
        assert_eq!(deferred.next_try(), Some(later + RETRY));
        assert!(deferred.given_up(later, |_| false).is_none());
        assert!(deferred.given_up(start + 9 * PATIENCE, |id| id == id_of(&gone)).is_none());
        assert_eq!(deferred.given_up(start + PATIENCE, |_| false).map(|w| w.sequence), Some(1));
        deferred.remove(1);
        assert_eq!((deferred.oldest(), deferred.next_try()), (None, None));
    }

    #[test]
    fn no_patience_is_lost_while_the_store_is_away() {
        let (start, gone) = (Instant::now(), text("a"));
        let mut deferred = Deferred::default();
        deferred.take(1, &run(&[edit(&gone, "x")]), &[id_of(&gone)], start);
        let back = start + 10 * PATIENCE;
        deferred.wait_anew(back);
        assert!(deferred.given_up(back + PATIENCE / 2, |_| false).is_none());
        assert!(deferred.given_up(back + PATIENCE, |_| false).is_some());
    }

    #[test]
    fn there_is_an_end_to_what_may_wait() {
        let (now, gone) = (Instant::now(), text("a"));
        let mut deferred = Deferred::default();
        let edits = run(&vec![edit(&gone, "x"); MAX_WAITING - 1]);
        deferred.take(1, &edits, &[id_of(&gone)], now);
        assert!(!deferred.is_full());
        let last = MAX_WAITING as Sequence;
        deferred.take(last, &run(&[read(&gone, "bob")]), &[id_of(&gone)], now);
        assert!(deferred.is_full() && deferred.given_up(now, |_| false).is_none());
        assert_eq!(deferred.ops().last().map(|(sequence, _)| *sequence), Some(last));
    }

    #[test]
    fn what_waits_in_a_group_goes_with_it() {
        let group = GroupId::mint();
        let (inside, outside) = (group_text(group, "a"), text("b"));
        let mut deferred = Deferred::default();
        let run = run(&[edit(&inside, "x"), edit(&outside, "x")]);
        deferred.take(1, &run, &[id_of(&inside), id_of(&outside)], Instant::now());
        deferred.forget_group(group);
        assert_eq!(deferred.oldest(), Some(2));
    }
}
