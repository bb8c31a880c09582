//! What a user asks of a store that grows: one database, filled to each size in turn (`shape.rs`).
//!
//! Each act is one call of the store, as the server makes it where nothing is in memory. A page has
//! 50 messages, the list of chats up to 50, a page of sync 100 changes: the last 100, and those behind
//! the middle of all that concern the user. Two searches look for a word, with up to 21 hits, as a
//! page of 20 asks for. Sizes are of all messages, not of the viewer's.

use std::sync::Arc;

use ::mongodb::Collection;
use banter::model::{Conversation, Place, UserId};
use banter::search::Words;
use banter::store::mongo::{self, Durability, MongoStore};
use banter::store::sqlite::SqliteStore;
use banter::store::{ChangesQuery, HistoryQuery, Range, SearchQuery, Store};
use bson::Document;
use bson::oid::ObjectId;
use criterion::{BenchmarkId, Criterion};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;

use crate::shape::{COMMON, RARE, Shape};
use crate::support::folder;

/// Messages of a batch, at the most.
const BATCH: usize = 1_000;

/// Messages after which to say how far it is.
const TELL: usize = 100_000;

/// Messages or conversations of a page.
const PAGE: usize = 50;

/// Changes that are read at once to find those places.
const WALK: usize = 10_000;

/// Changes of a page.
const SYNC_PAGE: usize = 100;

/// As `banter::chat` asks for.
const GROUPS: usize = 1_000;

pub(crate) fn sqlite(criterion: &mut Criterion, sizes: &[usize]) {
    let (runtime, folder) = (runtime(), folder());
    let store = Arc::new(SqliteStore::open(&folder.path().join("bench.db")).unwrap());
    grow(criterion, sizes, Grown::new("sqlite", store, &runtime));
}

pub(crate) fn mongodb(criterion: &mut Criterion, sizes: &[usize]) {
    let Ok(url) = std::env::var("MONGO_TEST_URL") else {
        eprintln!("growth/mongodb is left out: MONGO_TEST_URL names no server");
        return;
    };
    let runtime = runtime();
    let name = format!("banter_bench_{}", ObjectId::new());
    let config = mongo::Config {
        mongo_url: Some(url.parse().unwrap()),
        mongodb_name: name.clone(),
        write_concern: Durability::Servers(1.try_into().unwrap()),
        min_pool_size: 1,
        max_pool_size: 10.try_into().unwrap(),
    };
    let store = runtime.block_on(MongoStore::connect(&config)).unwrap();
    let client = runtime.block_on(::mongodb::Client::with_uri_str(url)).unwrap();
    let database = client.database(&name);
    let mut grown = Grown::new("mongodb", Arc::new(store), &runtime);
    grown.search = Some(database.collection("search"));
    grow(criterion, sizes, grown);
    runtime.block_on(async { database.drop().await.unwrap() });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn grow(criterion: &mut Criterion, sizes: &[usize], mut grown: Grown<'_>) {
    for size in sizes {
        grown.fill(*size);
        let scene = grown.scene();
        let mut group = criterion.benchmark_group(format!("growth/{}", grown.name));
        for (name, act) in ACTS {
            let rows = grown.runtime.block_on(act(&scene));
            // Smaller sizes only try whether it works.
            assert!(rows > 0 || *size < BATCH, "{name} finds something");
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| grown.runtime.block_on(act(&scene)));
            });
        }
    }
    grown.runtime.block_on(grown.store.close());
}

/// A store, and what is in it.
struct Grown<'a> {
    name: &'static str,
    store: Arc<dyn Store>,
    runtime: &'a Runtime,
    shape: Shape,
    /// MongoDB's search index.
    search: Option<Collection<Document>>,
}

impl<'a> Grown<'a> {
    fn new(name: &'static str, store: Arc<dyn Store>, runtime: &'a Runtime) -> Self {
        let grown = Self { name, store, runtime, shape: Shape::new(), search: None };
        grown.runtime.block_on(async {
            grown.store.prepare().await.unwrap();
            for group in &grown.shape.groups {
                grown.store.create_group(group).await.unwrap();
            }
        });
        grown
    }

    /// Fills the store to so many messages. MongoDB makes the keys of its search index anew when they
    /// are there: one by one they take it hours where they are more than it may keep in memory.
    fn fill(&mut self, size: usize) {
        if let Some(search) = &self.search {
            self.runtime.block_on(async { search.drop_indexes().await.unwrap() });
        }
        let at_once = BATCH.min(size.div_ceil(10));
        while self.shape.made < size {
            let made = self.shape.made;
            let batch = Arc::new(self.shape.batch(at_once.min(size - made)));
            self.runtime.block_on(async {
                let applied = self.store.apply(&batch).await.unwrap();
                assert!(applied.missing.is_empty());
                self.store.index(&[batch]).await.unwrap();
            });
            if self.shape.made.is_multiple_of(TELL) {
                eprintln!("growth/{}: {} messages are stored", self.name, self.shape.made);
            }
        }
        self.runtime.block_on(self.store.prepare()).unwrap();
    }

    fn query(&self, after: Place, limit: usize) -> ChangesQuery {
        let (user, groups) = (self.shape.viewer.clone(), self.shape.own_groups());
        ChangesQuery { user, groups, after, limit }
    }

    fn scene(&self) -> Scene {
        let shape = &self.shape;
        let changes = self.runtime.block_on(self.changes());
        let recent = changes[changes.len().saturating_sub(SYNC_PAGE + 1)];
        Scene {
            store: Arc::clone(&self.store),
            viewer: shape.viewer.clone(),
            direct: shape.largest(),
            group: Conversation::Group(shape.groups[0].id),
            middle: Range::Before(shape.places[shape.places.len() / 2]),
            recent: self.query(recent, SYNC_PAGE),
            half: self.query(changes[changes.len() / 2], SYNC_PAGE),
        }
    }

    /// The places of all changes that concern the viewer, in order, behind one before all of them.
    async fn changes(&self) -> Vec<Place> {
        let mut places = vec![Place::after(0)];
        loop {
            let query = self.query(places[places.len() - 1], WALK);
            let rows = self.store.changes(&query).await.unwrap().rows;
            places.extend(rows.iter().map(|(place, _)| *place));
            if rows.len() < WALK {
                return places;
            }
        }
    }
}

/// What is asked for at one size.
struct Scene {
    store: Arc<dyn Store>,
    viewer: UserId,
    direct: Conversation,
    group: Conversation,
    middle: Range,
    recent: ChangesQuery,
    half: ChangesQuery,
}

/// Does it, and says how much it has found.
type Act = fn(&Scene) -> BoxFuture<'_, usize>;

const ACTS: [(&str, Act); 11] = [
    ("history_newest", |scene| scene.history(&scene.direct, Range::Newest).boxed()),
    ("history_middle", |scene| scene.history(&scene.direct, scene.middle).boxed()),
    ("history_group", |scene| scene.history(&scene.group, Range::Newest).boxed()),
    ("unread", |scene| scene.unread().boxed()),
    ("chats", |scene| scene.chats().boxed()),
    ("groups", |scene| scene.groups().boxed()),
    ("rooms", |scene| scene.rooms().boxed()),
    ("sync_recent", |scene| scene.sync(&scene.recent).boxed()),
    ("sync_middle", |scene| scene.sync(&scene.half).boxed()),
    ("search_rare", |scene| scene.search(RARE).boxed()),
    ("search_common", |scene| scene.search(COMMON).boxed()),
];

impl Scene {
    async fn history(&self, conversation: &Conversation, range: Range) -> usize {
        let (conversation, viewer) = (conversation.clone(), Some(self.viewer.clone()));
        let query = HistoryQuery { conversation, viewer, range, limit: PAGE };
        self.store.history(&query).await.unwrap().len()
    }

    async fn unread(&self) -> usize {
        let unread = self.store.unread(&self.viewer, None, &[]).await.unwrap();
        (unread.direct + unread.group) as usize
    }

    async fn chats(&self) -> usize {
        self.store.chats(&self.viewer, None, PAGE).await.unwrap().len()
    }

    async fn groups(&self) -> usize {
        self.store.groups_of(&self.viewer, GROUPS).await.unwrap().len()
    }

    async fn rooms(&self) -> usize {
        self.store.rooms(&self.viewer, None, PAGE).await.unwrap().len()
    }

    async fn sync(&self, query: &ChangesQuery) -> usize {
        self.store.changes(query).await.unwrap().rows.len()
    }

    async fn search(&self, word: &str) -> usize {
        let (viewer, words) = (self.viewer.clone(), Words::parse(word).unwrap());
        let (conversation, from, before) = (None, None, None);
        let query = SearchQuery { viewer, words, conversation, from, before, limit: 21 };
        self.store.search(&query).await.unwrap().messages.len()
    }
}
