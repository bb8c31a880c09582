//! The buffer and its journal on a simulated disk, stepped by hand beside a model: no thread, no
//! task, no clock. Whatever goes wrong in whichever order, nothing that was acknowledged is lost,
//! and the store ends up with what the ops say, one after the other.
//!
//! The real parts are the handle, the ring, the overlay, the journal, the committer and the
//! folding. The steps of the flusher, which is a task, are taken here.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tokio::sync::oneshot::error::TryRecvError;

use super::config;
use crate::buffer::committer::Committer;
use crate::buffer::fold::{Attempt, fold};
use crate::buffer::journal::sim::{Fault, SimFs};
use crate::buffer::journal::{Journal, Limits, OpenError};
use crate::buffer::shared::{Fate, Shared};
use crate::buffer::testing::{
    FakeStore, Model, Mood, delete, edit, hide, id_of, named, read, sent,
};
use crate::buffer::{Buffer, Config, Disk, Receipt, Sequence};
use crate::model::{ClientId, Message, MessageId, Op};

/// So short that a few ops fill a segment, and a few groups a disk.
const LIMITS: Limits = Limits { segment_bytes: 1_500, reserve_step: 256, min_reserve: 128 };

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody sends a message under this name, again perhaps.
    Send(u8),
    /// Somebody changes one of the messages: which, and how.
    Change(usize, u8),
    /// The committer makes a group durable.
    Commit,
    /// The committer moves the checkpoint and looks for room.
    KeepUp,
    /// The flusher brings so many ops to the store.
    Flush(usize, Weather),
    /// The disk has room for so many bytes more, or for all.
    Room(Option<usize>),
    /// A call to the disk goes wrong: the how-manyeth from now on.
    Break(u64, Fault),
    /// The process dies; the machine goes on.
    Kill,
    /// The machine goes down.
    Reboot,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy)]
enum Weather {
    Written,
    /// Nothing arrives.
    Away,
    /// A part arrives, and the call fails.
    HalfWritten,
    /// All arrives, and nobody hears of it.
    Unheard,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let weather = prop_oneof![
        4 => Just(Weather::Written), 1 => Just(Weather::Away),
        1 => Just(Weather::HalfWritten), 1 => Just(Weather::Unheard),
    ];
    let fault = prop_oneof![1 => Just(Fault::Fails), 3 => Just(Fault::Crash)];
    let step = prop_oneof![
        8 => (0..20_u8).prop_map(Step::Send),
        8 => (0..20_usize, 0..5_u8).prop_map(|(at, how)| Step::Change(at, how)),
        8 => Just(Step::Commit),
        4 => Just(Step::KeepUp),
        5 => (1..8_usize, weather).prop_map(|(ops, weather)| Step::Flush(ops, weather)),
        1 => prop::option::of(0..2_000_usize).prop_map(Step::Room),
        2 => (0..12_u64, fault).prop_map(|(n, fault)| Step::Break(n, fault)),
        1 => Just(Step::Kill),
        1 => Just(Step::Reboot),
    ];
    prop::collection::vec(step, 1..120)
}

/// A process: what is gone when it dies.
struct Process {
    buffer: Buffer,
    committer: Committer,
    /// Ops that nobody has heard of yet, in order.
    waiting: Vec<(Op, Receipt)>,
    /// Ops that were refused when the disk failed: whether they are on it nobody knows.
    doubtful: Vec<Op>,
    /// The newest op of which any part may be in the store.
    attempted: Sequence,
}

struct World {
    fs: SimFs,
    process: Process,
    /// The database, which outlives everything.
    store: Model,
    /// Every op that is durable, in order: the first one has number 1.
    log: Vec<Op>,
    /// Those of the log that are not acknowledged may have been lost; these may not.
    acknowledged: usize,
    messages: Vec<Op>,
}

fn buffer_config() -> Config {
    Config { buffer_capacity: 30, ..config() }
}

/// Starts on what the disk has; the ops that it had behind its checkpoint.
fn start(fs: &SimFs) -> (Process, Vec<Arc<Op>>) {
    let config = buffer_config();
    let (journal, recovered) = loop {
        match Journal::open(Arc::new(fs.clone()), LIMITS, config.journal_sync) {
            Ok(opened) => break opened,
            // A disk that fails once during the start: somebody starts the server again.
            Err(OpenError::Io { .. }) if fs.is_down() => fs.reboot(),
            Err(OpenError::Io { .. }) => {}
            Err(error) => panic!("no start: {error}"),
        }
    };
    let checkpoint = journal.checkpoint().sequence;
    let floor = recovered.floor.expect("known");
    let shared = Arc::new(Shared::new(&config, checkpoint, &recovered));
    let store = FakeStore::new(Mood::Away);
    let buffer = Buffer { shared: Arc::clone(&shared), store, cached: None, floor };
    let attempted = journal.last();
    let committer = Committer::new(shared, journal, floor);
    (
        Process { buffer, committer, waiting: Vec::new(), doubtful: Vec::new(), attempted },
        recovered.ops,
    )
}

impl World {
    fn new(seed: u64) -> Self {
        let fs = SimFs::new(seed);
        // The first start has nothing to tell of a floor.
        let opened = Journal::open(Arc::new(fs.clone()), LIMITS, config().journal_sync);
        drop(opened.expect("an empty disk"));
        let (process, _) = start(&fs);
        let (store, log, messages) = (Model::default(), Vec::new(), Vec::new());
        Self { fs, process, store, log, acknowledged: 0, messages }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send(name) => self.send(*name),
            Step::Change(at, how) => self.change(*at, *how),
            Step::Commit => self.commit(),
            Step::KeepUp => self.process.committer.keep_up(),
            Step::Flush(ops, weather) => self.flush(*ops, *weather),
            Step::Room(room) => {
                let used = self.fs.used();
                self.fs.set_capacity(room.map_or(usize::MAX, |room| used + room));
            }
            Step::Break(n, fault) => self.fs.break_call(*n, *fault),
            Step::Kill => self.restart(),
            Step::Reboot => {
                self.fs.reboot();
                self.restart();
            }
        }
        self.hear();
        if self.fs.is_down() {
            self.fs.reboot();
            self.restart();
        }
        self.check();
    }

    fn accept(&mut self, op: Op) -> bool {
        let disk = self.process.buffer.stats().disk;
        match self.process.buffer.accept(op.clone(), None) {
            Ok(receipt) => {
                assert_eq!(disk, Disk::Works, "accepted on a disk that takes nothing");
                self.process.waiting.push((op, receipt));
                true
            }
            Err(_) => false,
        }
    }

    /// As the rules do it: who has sent this already gets the first one.
    fn send(&mut self, name: u8) {
        let op = named("a", &name.to_string());
        let (from, id) = (&sent(&op).from, sent(&op).client_id.clone().expect("it has one"));
        let known = self.process.buffer.sent_as(from, &id).is_some() || self.is_stored_as(&id);
        if !known && self.accept(op.clone()) {
            self.messages.push(op);
        }
    }

    fn is_stored_as(&self, id: &ClientId) -> bool {
        let is_it = |message: &Message| message.client_id.as_ref() == Some(id);
        self.store.messages.values().any(is_it) || self.is_deleted(id)
    }

    /// A store knows the client ids of what is deleted, too.
    fn is_deleted(&self, id: &ClientId) -> bool {
        self.messages.iter().any(|op| {
            sent(op).client_id.as_ref() == Some(id) && self.store.tombstones.contains(&id_of(op))
        })
    }

    fn change(&mut self, at: usize, how: u8) {
        if self.messages.is_empty() {
            return;
        }
        let send = self.messages[at % self.messages.len()].clone();
        if self.seen(id_of(&send)).is_none() {
            return;
        }
        self.accept(match how {
            0 | 1 => edit(&send, &how.to_string()),
            2 => read(&send, "bob"),
            3 => hide(&send, "carl"),
            _ => delete(&send),
        });
    }

    /// A message as a reader sees it: what is pending laid over what is stored.
    fn seen(&self, id: MessageId) -> Option<Message> {
        let stored = self.store.messages.get(&id).cloned();
        self.process.buffer.shared.lock().overlay.message(id).apply(stored)
    }

    fn commit(&mut self) {
        for delivery in self.process.committer.commit().into_iter().flatten() {
            delivery.done();
        }
    }

    /// Looks which receipts have resolved: in order, the acknowledged ones first.
    fn hear(&mut self) {
        let disk = self.process.buffer.stats().disk;
        let waiting = std::mem::take(&mut self.process.waiting);
        let mut still = Vec::new();
        for (op, mut receipt) in waiting {
            match receipt.0.try_recv() {
                Ok(Ok(sequence)) => {
                    assert!(still.is_empty(), "acknowledged before an earlier one");
                    self.log.push(op);
                    assert_eq!(sequence, self.log.len() as Sequence, "numbers are contiguous");
                    self.acknowledged = self.log.len();
                }
                Ok(Err(_)) if disk == Disk::Failed => self.process.doubtful.push(op),
                Ok(Err(_)) => {}
                Err(TryRecvError::Empty) => still.push((op, receipt)),
                Err(TryRecvError::Closed) => panic!("a receipt was dropped"),
            }
        }
        self.process.waiting = still;
    }

    fn flush(&mut self, ops: usize, weather: Weather) {
        let (first, run) = {
            let ring = &self.process.buffer.shared.lock().ring;
            (ring.flushed() + 1, ring.run(ops, usize::MAX))
        };
        if run.is_empty() {
            return;
        }
        let again = first <= self.process.attempted;
        let attempt = if again { Attempt::Again } else { Attempt::First };
        let (mut batch, taken) = fold(&run, attempt);
        let last = first + taken as Sequence - 1;
        self.process.attempted = self.process.attempted.max(last);
        match weather {
            Weather::Away => return,
            Weather::HalfWritten => {
                batch.inserts.truncate(batch.inserts.len() / 2);
                batch.changes.truncate(batch.changes.len() / 2);
                batch.deletes.clear();
            }
            Weather::Written | Weather::Unheard => {}
        }
        let applied = self.store.apply(&batch);
        if let Weather::Written = weather {
            assert_eq!(applied.missing, [], "each message is there before its changes");
            self.process.buffer.shared.release(last, Fate::Stored);
        }
    }

    /// A new process on the same disk: it has everything that was acknowledged, and of the rest a
    /// first part.
    fn restart(&mut self) {
        let (process, recovered) = start(&self.fs);
        let dead = std::mem::replace(&mut self.process, process);
        self.log.extend(dead.doubtful);
        self.log.extend(dead.waiting.into_iter().map(|(op, _)| op));
        let last = self.process.committer.journal().last() as usize;
        assert!(
            (self.acknowledged..=self.log.len()).contains(&last),
            "{} acknowledged, {} accepted, {last} found",
            self.acknowledged,
            self.log.len()
        );
        self.log.truncate(last);
        self.acknowledged = last;
        let behind = &self.log[last - recovered.len()..];
        assert!(recovered.iter().map(|op| &**op).eq(behind), "what was found is what was written");
    }

    /// What everybody sees is what the ops say, also those that are not durable yet.
    fn check(&self) {
        let mut expected = Model::default();
        let waiting = self.process.waiting.iter().map(|(op, _)| op);
        self.log.iter().chain(waiting).for_each(|op| expected.apply_op(op));
        for send in &self.messages {
            let id = id_of(send);
            assert_eq!(self.seen(id).as_ref(), expected.messages.get(&id), "{send:?}");
        }
        let state = self.process.buffer.shared.lock();
        let checkpoint = self.process.committer.journal().checkpoint().sequence;
        assert!(checkpoint <= state.ring.flushed());
    }

    /// Everything is well again: all is stored, once, and the journal lets go of it.
    fn settle(&mut self) {
        self.fs.set_capacity(usize::MAX);
        self.take(&Step::Reboot);
        while self.process.buffer.stats().current_buffer_size > 0 {
            self.take(&Step::Flush(100, Weather::Written));
        }
        self.take(&Step::KeepUp);
        self.take(&Step::KeepUp);
        assert!(self.process.waiting.is_empty());
        let mut expected = Model::default();
        self.log.iter().for_each(|op| expected.apply_op(op));
        assert_eq!(self.store, expected);
        assert_eq!(self.process.committer.journal().checkpoint().sequence, self.log.len() as u64);
        let mut names: Vec<_> = self.messages.iter().map(|op| sent(op).client_id.clone()).collect();
        names.sort();
        // A send that was lost before anybody heard of it may be sent again.
        let stored = |op: &&Op| self.store.messages.contains_key(&id_of(op));
        let mut stored: Vec<_> =
            self.messages.iter().filter(stored).map(|op| sent(op).client_id.clone()).collect();
        let count = stored.len();
        stored.sort();
        stored.dedup();
        assert_eq!(stored.len(), count, "a name is stored once");
    }
}

fn run(seed: u64, steps: &[Step]) {
    let mut world = World::new(seed);
    for step in steps {
        world.take(step);
    }
    world.settle();
}

/// `SOAK_CASES` makes it more. Seeds that have failed once are kept beside this file, and tried
/// first.
fn cases() -> ProptestConfig {
    let cases = std::env::var("SOAK_CASES").ok().and_then(|cases| cases.parse().ok());
    let persistence = FileFailurePersistence::WithSource("regressions");
    ProptestConfig {
        cases: cases.unwrap_or(1_000),
        failure_persistence: Some(Box::new(persistence)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_acknowledged_is_lost_or_doubled_whatever_happens(
        seed in any::<u64>(), steps in steps()
    ) {
        run(seed, &steps);
    }
}

/// Sends, changes, commits, flushes: enough for several segments and checkpoints.
fn ordinary_day() -> Vec<Step> {
    let mut steps = Vec::new();
    for n in 0..20 {
        steps.extend([Step::Send(n), Step::Change(usize::from(n), n % 5), Step::Commit]);
        if n % 2 == 0 {
            steps.extend([Step::Flush(3, Weather::Written), Step::KeepUp]);
        }
    }
    steps
}

#[test]
fn whichever_call_to_the_disk_goes_wrong_nothing_acknowledged_is_lost() {
    let calls = {
        let mut world = World::new(0);
        ordinary_day().iter().for_each(|step| world.take(step));
        world.fs.calls()
    };
    assert!(calls > 80, "{calls}");
    for n in 0..calls {
        for fault in [Fault::Fails, Fault::Crash] {
            let steps: Vec<_> =
                std::iter::once(Step::Break(n, fault)).chain(ordinary_day()).collect();
            run(n, &steps);
        }
    }
}
