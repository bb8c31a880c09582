//! The whole buffer in simulated time: the real flusher, committer and journal, clients that repeat
//! what was not acknowledged, a database and a disk that misbehave, and a process that dies again
//! and again, at any moment. A seed decides everything, so a failure can be played again:
//! `SOAK_FROM=<seed> SOAK_SEEDS=1 cargo test --lib simulation`.
//!
//! The breaker is left out (it reads the machine's clock); it has tests of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use crate::buffer::committer::Committer;
use crate::buffer::flusher::Flusher;
use crate::buffer::indexing::IndexWriter;
use crate::buffer::journal::sim::{Fault, SimFs};
use crate::buffer::journal::{Journal, Limits, OpenError};
use crate::buffer::shared::Shared;
use crate::buffer::testing::{FakeStore, Mood, content, id_of, named_by, sent, user};
use crate::buffer::{Buffer, Config, SentAs};
use crate::clock::{Clock, MockClock};
use crate::model::{Content, Message, MessageId, Op, Timestamp};
use crate::store::Store;

/// So many seeds are played in 60 s on two slow cores, with room to spare.
const SEEDS: u64 = 1_000;

/// Lives of the process per seed, before the one in which everything is well.
const LIVES: usize = 4;

const CLIENTS: usize = 3;

/// How long a client waits for an acknowledgement before it repeats what it asked.
const ACK_TIMEOUT: Duration = Duration::from_millis(300);

/// Segments so short that they are rolled and removed all the time.
const LIMITS: Limits = Limits { segment_bytes: 4_000, reserve_step: 512, min_reserve: 256 };

fn config() -> Config {
    Config { breaker_failures: 1_000, buffer_capacity: 40, ..Config::default() }
}

/// What outlives the process.
struct World {
    random: SmallRng,
    fs: SimFs,
    store: Arc<FakeStore>,
    clock: Arc<MockClock>,
}

/// Somebody who sends, edits and deletes messages of their own, and repeats each act until it is
/// acknowledged.
struct Client {
    name: String,
    random: SmallRng,
    /// By their client ids: each message that was acknowledged, and what it must say.
    messages: BTreeMap<String, Known>,
    /// What is not acknowledged yet.
    intent: Option<Intent>,
    sends: usize,
    acknowledged: usize,
}

struct Known {
    id: MessageId,
    /// `None` when it is deleted.
    says: Option<String>,
}

#[derive(Clone)]
enum Intent {
    Send { name: String, words: String },
    Edit { name: String, words: String },
    Delete { name: String },
}

/// It was not done, or nobody knows.
struct Unacknowledged;

impl Client {
    fn new(number: usize, seed: u64) -> Self {
        Self {
            name: format!("client{number}"),
            random: SmallRng::seed_from_u64(seed ^ (number as u64 + 1)),
            messages: BTreeMap::new(),
            intent: None,
            sends: 0,
            acknowledged: 0,
        }
    }

    /// Acts until it is dropped; or, when `is_last`, until nothing is left unacknowledged.
    async fn act(&mut self, buffer: &Buffer, clock: &MockClock, is_last: bool) {
        loop {
            let Some(intent) = self.intent.clone() else {
                if is_last {
                    return;
                }
                sleep(Duration::from_millis(self.random.random_range(0..10))).await;
                self.intent = Some(self.next_intent());
                continue;
            };
            match timeout(ACK_TIMEOUT, self.attempt(buffer, clock, &intent)).await {
                Ok(Ok(())) => {
                    self.intent = None;
                    self.acknowledged += 1;
                }
                Ok(Err(Unacknowledged)) | Err(_) => {
                    sleep(Duration::from_millis(self.random.random_range(1..40))).await;
                }
            }
        }
    }

    fn next_intent(&mut self) -> Intent {
        let words = self.random.random_range(0..1_000).to_string();
        let alive: Vec<_> =
            self.messages.iter().filter(|(_, known)| known.says.is_some()).collect();
        let at = self.random.random_range(0..alive.len().max(1));
        match (alive.get(at), self.random.random_range(0..10)) {
            (Some((name, _)), 0..=3) => Intent::Edit { name: (*name).clone(), words },
            (Some((name, _)), 4) => Intent::Delete { name: (*name).clone() },
            _ => {
                self.sends += 1;
                Intent::Send { name: format!("m{}", self.sends), words }
            }
        }
    }

    async fn attempt(
        &mut self,
        buffer: &Buffer,
        clock: &MockClock,
        intent: &Intent,
    ) -> Result<(), Unacknowledged> {
        match intent {
            Intent::Send { name, words } => {
                let id = self.send(buffer, clock, name, words).await?;
                self.messages.insert(name.clone(), Known { id, says: Some(words.clone()) });
            }
            Intent::Edit { name, words } => {
                let message = self.read(buffer, name).await?;
                let message = message.expect("what is acknowledged and not deleted is there");
                // As the rules have it: later than the last one.
                let after = message.edited_at.map_or(0, |last| last.as_millis() + 1);
                let edited_at = Timestamp(clock.now().as_millis().max(after));
                accept(
                    buffer,
                    Op::Edit {
                        conversation: message.conversation(),
                        message: message.id,
                        content: content(words),
                        edited_at,
                    },
                )
                .await?;
                self.known(name).says = Some(words.clone());
            }
            Intent::Delete { name } => {
                // Gone already: an earlier attempt has done it.
                if let Some(message) = self.read(buffer, name).await? {
                    let (conversation, at) = (message.conversation(), clock.now());
                    accept(buffer, Op::Delete { conversation, message: message.id, at }).await?;
                }
                self.known(name).says = None;
            }
        }
        Ok(())
    }

    fn known(&mut self, name: &str) -> &mut Known {
        self.messages.get_mut(name).expect("it was acknowledged")
    }

    /// As the rules do it: what was sent under this name is answered with, wherever it is.
    async fn send(
        &self,
        buffer: &Buffer,
        clock: &MockClock,
        name: &str,
        words: &str,
    ) -> Result<MessageId, Unacknowledged> {
        let op = named_by(&self.name, words, name, clock.now());
        let id = sent(&op).client_id.clone().expect("it has one");
        match buffer.sent_as(&user(&self.name), &id) {
            Some(SentAs::Known(message, receipt)) => {
                if let Some(receipt) = receipt {
                    receipt.durable().await.map_err(|_| Unacknowledged)?;
                }
                return Ok(message.id);
            }
            Some(SentAs::Stored(id)) => return Ok(id),
            None => {}
        }
        let stored = buffer.store.sent_as(&user(&self.name), &id).await;
        if let Some(stored) = stored.map_err(|_| Unacknowledged)? {
            return Ok(stored);
        }
        let id = id_of(&op);
        accept(buffer, op).await.map(|()| id)
    }

    async fn read(&self, buffer: &Buffer, name: &str) -> Result<Option<Message>, Unacknowledged> {
        let id = self.messages[name].id;
        buffer.message(&id.into()).await.map_err(|_| Unacknowledged)
    }
}

async fn accept(buffer: &Buffer, op: Op) -> Result<(), Unacknowledged> {
    let receipt = buffer.accept(op, None).map_err(|_| Unacknowledged)?;
    receipt.durable().await.map(drop).map_err(|_| Unacknowledged)
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
            fs: SimFs::new(seed),
            store: FakeStore::new(Mood::Fast),
            clock: Arc::new(MockClock::default()),
        }
    }

    fn open(&self) -> (Journal, crate::buffer::journal::Recovered) {
        loop {
            match Journal::open(Arc::new(self.fs.clone()), LIMITS, config().journal_sync) {
                Ok(opened) => return opened,
                Err(OpenError::Io { .. }) if self.fs.is_down() => self.fs.reboot(),
                // Somebody makes room, and starts it again.
                Err(OpenError::Io { .. }) => self.fs.set_capacity(usize::MAX),
                Err(error) => panic!("no start: {error}"),
            }
        }
    }

    /// One life of the process. It ends as `end` does.
    async fn live<E: Future<Output = ()>>(
        &self,
        clients: &mut [Client],
        is_last: bool,
        end: impl FnOnce(Buffer) -> E,
    ) {
        let (journal, recovered) = self.open();
        let floor = recovered.floor.unwrap_or(Timestamp(0));
        let checkpoint = journal.checkpoint().sequence;
        let shared = Arc::new(Shared::new(&config(), checkpoint, &recovered));
        let store: Arc<dyn Store> = Arc::<FakeStore>::clone(&self.store);
        let buffer =
            Buffer { shared: Arc::clone(&shared), store: Arc::clone(&store), cached: None, floor };
        let clock: Arc<dyn Clock> = Arc::<MockClock>::clone(&self.clock);
        // Nothing is refused for good here, so nothing is ever written there.
        let letters = PathBuf::from("nowhere");
        // Who would be told of what came late is not looked at.
        let (deliveries, _) = tokio::sync::mpsc::channel(1);
        let flusher =
            Flusher::new(&config(), Arc::clone(&shared), store, clock, deliveries, letters, None);
        let index_writer = IndexWriter::new(Arc::clone(&shared), Arc::clone(&buffer.store));
        let committer = Committer::new(shared, journal, floor);
        let acts = clients.iter_mut().map(|client| client.act(&buffer, &self.clock, is_last));
        let everybody = async {
            join_all(acts).await;
            end(buffer.clone()).await;
        };
        let random = SmallRng::seed_from_u64(checkpoint);
        tokio::select! {
            () = everybody => {}
            () = commit_for_ever(committer, random) => {}
            () = flusher.run() => {}
            () = index_writer.run() => {}
            () = end_of(&self.fs, is_last, &self.random) => {}
        }
    }

    /// The database and the disk behave as they please, until this is dropped.
    async fn misbehave(&self, mut random: SmallRng) {
        loop {
            let mood = match random.random_range(0..10) {
                0..=3 => Mood::Fast,
                4 | 5 => Mood::Slow(Duration::from_millis(random.random_range(1..60))),
                6 | 7 => Mood::Ambiguous,
                8 => Mood::Away,
                _ => Mood::Stuck,
            };
            self.store.set(mood);
            if random.random() {
                let pause = Duration::from_millis(random.random_range(1..400));
                self.store.set_index(Mood::Slow(pause));
            }
            match random.random_range(0..12) {
                0 => self.fs.set_capacity(self.fs.used() + random.random_range(0..2_000)),
                1 => self.fs.break_call(random.random_range(0..20), Fault::Fails),
                2 | 3 => self.fs.break_call(random.random_range(0..20), Fault::Crash),
                _ => self.fs.set_capacity(usize::MAX),
            }
            let hour = 3_600_000;
            self.clock.set(1_700_000_000_000 + random.random_range(-hour..hour));
            sleep(Duration::from_millis(random.random_range(5..100))).await;
        }
    }
}

/// What the committer's thread does, as a task.
async fn commit_for_ever(mut committer: Committer, mut random: SmallRng) {
    loop {
        for delivery in committer.commit().into_iter().flatten() {
            delivery.done();
        }
        committer.keep_up();
        sleep(Duration::from_micros(random.random_range(100..4_000))).await;
    }
}

/// The end of a life that does not end by itself.
async fn end_of(fs: &SimFs, is_last: bool, random: &SmallRng) {
    let life = Duration::from_millis(random.clone().random_range(20..500));
    let end = Instant::now() + life;
    while is_last || Instant::now() < end {
        if fs.is_down() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

async fn simulate(seed: u64) -> usize {
    let mut world = World::new(seed);
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    for _ in 0..LIVES {
        let weather = SmallRng::seed_from_u64(world.random.random());
        tokio::select! {
            () = world.live(&mut clients, false, |_| std::future::pending()) => {}
            () = world.misbehave(weather) => {}
        }
        // The machine with the process, or the process alone.
        if world.fs.is_down() || world.random.random() {
            world.fs.reboot();
        }
    }
    world.fs.reboot();
    world.fs.set_capacity(usize::MAX);
    world.store.set(Mood::Fast);
    let drained = |buffer: Buffer| async move {
        let all = buffer.stored(|_| true, Duration::from_secs(60)).await;
        assert!(all, "it drains by itself");
    };
    world.live(&mut clients, true, drained).await;
    check(&world, &clients);
    clients.iter().map(|client| client.acknowledged).sum()
}

fn check(world: &World, clients: &[Client]) {
    let state = world.store.state();
    let stored = &state.model.messages;
    let mut expected = 0;
    for client in clients {
        assert!(client.intent.is_none(), "everything was acknowledged in the end");
        for (name, known) in &client.messages {
            let says = stored.get(&known.id).map(|message| &message.content);
            let should = known.says.as_ref().map(|words| Content::Text(words.clone()));
            assert_eq!(says, should.as_ref(), "{} of {}", name, client.name);
            expected += usize::from(should.is_some());
        }
    }
    for (id, message) in stored {
        assert_eq!(state.index.get(id), Some(&message.content), "what is stored is indexed");
    }
    assert_eq!(stored.len(), expected, "nothing is stored twice, or that nobody has sent");
}

fn play(seed: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(simulate(seed))
}

fn number_from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_in_any_life() {
    let (from, count) = (number_from_env("SOAK_FROM", 0), number_from_env("SOAK_SEEDS", SEEDS));
    let mut acknowledged = 0;
    for seed in from..from + count {
        let played = std::panic::catch_unwind(|| play(seed));
        acknowledged += played.unwrap_or_else(|_| panic!("seed {seed} fails: SOAK_FROM={seed}"));
    }
    assert!(acknowledged as u64 > 20 * count, "too little happens: {acknowledged}");
}
