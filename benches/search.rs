//! How long a search takes among 1,000,000 messages, on the embedded store and, where
//! MONGO_TEST_URL names a server, on MongoDB. SEARCH_MESSAGES sets another number of messages,
//! SEARCH_STORE=sqlite or mongodb one store alone.
//!
//! Messages have eight words each, out of 20,000 whose frequencies follow Zipf's law: the commonest
//! is in more than half of all messages, the rarest that is asked for in one of ten thousand.
//! 2,000 users write to each other, and, every fifth message, in 200 groups. `many` takes part in
//! one of twenty messages, in a thousand conversations and 50 groups; `few` has 200 messages.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement says what it finds")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use banter::model::{Batch, Conversation, Group, GroupId, Message, Target, Timestamp, UserId};
use banter::search::Words;
use banter::store::mongo::{Config, Durability, MongoStore};
use banter::store::sqlite::SqliteStore;
use banter::store::{SearchQuery, Store};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use self::support::message::message;

const USERS: usize = 2_000;
const GROUPS: usize = 200;
const VOCABULARY: usize = 20_000;
const BATCH: usize = 1_000;
/// Batches whose time is told.
const LAST_BATCHES: usize = 20;
const RUNS: usize = 100;
const RARE: &str = "zebrafish";

fn main() {
    // `cargo test` runs benches, too, to see that they work.
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let count = std::env::var("SEARCH_MESSAGES").ok().and_then(|n| n.parse().ok());
    let count = count.unwrap_or(if is_measuring { 1_000_000 } else { BATCH });
    let runs = if is_measuring { RUNS } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let only = std::env::var("SEARCH_STORE").unwrap_or_default();
        if only != "mongodb" {
            let folder = support::folder();
            let sqlite = SqliteStore::open(&folder.path().join("banter.db")).unwrap();
            measure("SQLite", Arc::new(sqlite), count, runs).await;
        }
        if only == "sqlite" {
            return;
        }
        let Ok(url) = std::env::var("MONGO_TEST_URL") else {
            println!("MongoDB is not measured: MONGO_TEST_URL names no server");
            return;
        };
        let name = format!("banter_bench_{}", bson::oid::ObjectId::new());
        let config = Config {
            mongo_url: Some(url.parse().unwrap()),
            mongodb_name: name.clone(),
            write_concern: Durability::Servers(1.try_into().unwrap()),
            min_pool_size: 1,
            max_pool_size: 10.try_into().unwrap(),
        };
        measure("MongoDB", Arc::new(MongoStore::connect(&config).await.unwrap()), count, runs)
            .await;
        mongodb::Client::with_uri_str(url).await.unwrap().database(&name).drop().await.unwrap();
    });
}

async fn measure(name: &str, store: Arc<dyn Store>, count: usize, runs: usize) {
    // MongoDB makes its indexes of what is there far faster than message by message.
    if name == "SQLite" {
        store.prepare().await.unwrap();
    }
    let mut data = Data::new();
    for group in &data.groups {
        store.create_group(group).await.unwrap();
    }
    let started = Instant::now();
    let (mut batches, mut indexed) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(BATCH) {
        if first == count.saturating_sub(LAST_BATCHES * BATCH) {
            store.prepare().await.unwrap();
            batches.clear();
            indexed.clear();
        }
        let inserts = (first..count.min(first + BATCH)).map(|n| Arc::new(data.message(n)));
        let batch = Batch { inserts: inserts.collect(), ..Batch::default() };
        let began = Instant::now();
        store.apply(&batch).await.unwrap();
        batches.push(began.elapsed());
        let began = Instant::now();
        store.index(&[Arc::new(batch)]).await.unwrap();
        indexed.push(began.elapsed());
    }
    println!(
        "{name}: {count} messages stored in {:.0} s; the last batches of {BATCH}: {}",
        started.elapsed().as_secs_f64(),
        figures(&mut batches)
    );
    println!(
        "  their part of the search index, where it is written later: {}",
        figures(&mut indexed)
    );
    for viewer in ["many", "few"] {
        for case in CASES {
            let mut times = Vec::new();
            let mut found = 0;
            for run in 0..runs {
                let query = data.query(viewer, case, run);
                let began = Instant::now();
                found += store.search(&query).await.unwrap().messages.len();
                times.push(began.elapsed());
            }
            println!(
                "  {viewer:4} {case:24} {}  {:.1} found",
                figures(&mut times),
                found as f64 / runs as f64
            );
        }
    }
    store.close().await;
}

const CASES: [&str; 9] = [
    "rare word",
    "common word",
    "commonest word",
    "one letter",
    "three letters",
    "two common words",
    "common and rare word",
    "in one conversation",
    "in one group",
];

fn figures(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    format!("p50 {:6.1} ms  p95 {:6.1} ms  p99 {:6.1} ms", at(0.5), at(0.95), at(0.99))
}

struct Data {
    random: SmallRng,
    vocabulary: Vec<String>,
    /// Sums of the frequencies.
    sums: Vec<f64>,
    groups: Vec<Group>,
}

impl Data {
    fn new() -> Self {
        let mut sum = 0.0;
        let sums = (1..=VOCABULARY).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let group = |n: usize| Group {
            id: GroupId::mint(),
            name: format!("Group {n}"),
            members: (0..50)
                .map(|m| user(n * 50 + m))
                .chain(n.is_multiple_of(4).then(|| UserId::parse("many").unwrap()))
                .collect(),
            created_by: user(n),
            owner: user(n),
            admins: Vec::new(),
            silenced: Vec::new(),
            is_public: false,
            created_at: Timestamp(n as i64),
        };
        Self {
            random: SmallRng::seed_from_u64(1),
            vocabulary: (0..VOCABULARY).map(word).collect(),
            sums: sums.collect(),
            groups: (0..GROUPS).map(group).collect(),
        }
    }

    fn word(&mut self) -> String {
        let place = self.random.random::<f64>() * self.sums[VOCABULARY - 1];
        self.vocabulary[self.sums.partition_point(|sum| *sum < place).min(VOCABULARY - 1)].clone()
    }

    fn message(&mut self, n: usize) -> Message {
        let mut words: Vec<String> = (0..8).map(|_| self.word()).collect();
        if self.random.next_u32().is_multiple_of(10_000) {
            words[0] = RARE.to_owned();
        }
        let someone = |random: &mut SmallRng| user(random.next_u32() as usize % USERS);
        let from = match n {
            n if n % 5_000 == 1 => UserId::parse("few").unwrap(),
            n if n % 20 == 2 => UserId::parse("many").unwrap(),
            _ => someone(&mut self.random),
        };
        let target = match n {
            n if n % 5_000 == 1 => Target::User(user(n / 5_000 % 3)),
            n if n % 5 == 0 => Target::Group(self.groups[n / 5 % GROUPS].id),
            _ => Target::User(user(self.random.next_u32() as usize % (USERS / 2))),
        };
        let at = Timestamp(1_700_000_000_000 + n as i64 * 1_000);
        message(from, target, words.join(" "), at)
    }

    fn query(&self, viewer: &str, case: &str, run: usize) -> SearchQuery {
        let viewer = UserId::parse(viewer).unwrap();
        let common = |n: usize| self.vocabulary[20 + n % 60].clone();
        let text = match case {
            "rare word" => RARE.to_owned(),
            "commonest word" => self.vocabulary[run % 3].clone(),
            "one letter" => common(run)[..1].to_owned(),
            "three letters" => common(run)[..3].to_owned(),
            "two common words" => format!("{} {}", common(run), common(run + 7)),
            "common and rare word" => format!("{} {RARE}", common(run)),
            _ => common(run),
        };
        let conversation = match case {
            "in one conversation" => Some(Conversation::direct(viewer.clone(), user(run % 3))),
            "in one group" => Some(Conversation::Group(self.groups[run % 50 * 4].id)),
            _ => None,
        };
        let words = Words::parse(&text).unwrap();
        SearchQuery { viewer, words, conversation, from: None, before: None, limit: 21 }
    }
}

fn user(n: usize) -> UserId {
    UserId::parse(&format!("user{}", n % USERS)).unwrap()
}

/// A word of its own for each number, of three syllables.
fn word(n: usize) -> String {
    const SYLLABLES: [&str; 28] = [
        "ka", "lo", "mi", "ne", "pu", "ra", "so", "ti", "ve", "wu", "ba", "do", "fi", "ge", "hu",
        "ja", "le", "mo", "ni", "pe", "qua", "ro", "si", "ta", "vo", "xi", "ya", "ze",
    ];
    let syllable = |n: usize| SYLLABLES[n % SYLLABLES.len()];
    format!("{}{}{}", syllable(n * 5 + n / 28), syllable(n / 28), syllable(n / 784))
}
