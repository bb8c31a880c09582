//! How many documents a second MongoDB takes in batches: by the driver alone, and through Banter's
//! store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use banter::model::{Batch, Content, GroupId, Message, Target, Timestamp, UserId};
use banter::store::Store;
use banter::store::mongo::{Config, Durability, MongoStore};
use bson::oid::ObjectId;
use bson::{Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Client, Collection};
use serde::Serialize;
use tokio::task::JoinSet;

#[path = "../support/message.rs"]
mod message;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Through {
    /// `insert_many` of the driver, into a collection without indexes.
    Bare,
    /// `insert_many` of the driver, into a collection with the indexes that Banter's has.
    Driver,
    /// A flush: Banter's store, into its own collection.
    Store,
}

/// What is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Inserting {
    /// Who writes.
    #[arg(long, value_enum, default_value = "driver")]
    pub(crate) through: Through,
    /// Documents in a batch.
    #[arg(long, default_value_t = 500)]
    pub(crate) batch: usize,
    /// Batches under way at the same time.
    #[arg(long, default_value_t = 2)]
    pub(crate) writers: usize,
    /// Seconds.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) time: f64,
}

/// What came out of it.
#[derive(Debug, Serialize)]
pub(crate) struct Inserted {
    through: String,
    batch: usize,
    writers: usize,
    seconds: f64,
    documents: u64,
    pub(crate) documents_per_second: f64,
}

/// Measures in a database of its own, which is dropped afterwards.
pub(crate) async fn measure(url: &str, asked: Inserting) -> anyhow::Result<Inserted> {
    let name = format!("banter_limits_{}", ObjectId::new());
    let config = Config {
        mongo_url: Some(url.parse()?),
        mongodb_name: name.clone(),
        write_concern: Durability::Majority,
        min_pool_size: 2,
        max_pool_size: 10.try_into()?,
    };
    let database = Client::with_uri_str(url).await?.database(&name);
    let store = Arc::new(MongoStore::connect(&config).await?);
    let sample = Batch { inserts: vec![Arc::new(message(0))], ..Batch::default() };
    store.apply(&sample).await?;
    if asked.through != Through::Bare {
        store.prepare().await?;
    }
    let messages = database.collection::<Document>("messages");
    let template = messages.find_one(doc! {}).await?;
    let template = template.ok_or_else(|| anyhow::anyhow!("the sample is not stored"))?;
    let writer = Writer { through: asked.through, store, messages, template };
    let outcome = write(writer, asked).await;
    database.drop().await?;
    outcome
}

async fn write(writer: Writer, asked: Inserting) -> anyhow::Result<Inserted> {
    let (writer, documents) = (Arc::new(writer), Arc::new(AtomicU64::new(0)));
    let mut writers = JoinSet::new();
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(asked.time);
    for _ in 0..asked.writers {
        let (writer, documents) = (Arc::clone(&writer), Arc::clone(&documents));
        writers.spawn(async move {
            while Instant::now() < end {
                let first = documents.fetch_add(asked.batch as u64, Ordering::Relaxed);
                writer.batch(first, asked.batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    let (seconds, documents) = (started.elapsed().as_secs_f64(), documents.load(Ordering::Relaxed));
    Ok(Inserted {
        through: format!("{:?}", asked.through).to_lowercase(),
        batch: asked.batch,
        writers: asked.writers,
        seconds,
        documents,
        documents_per_second: documents as f64 / seconds,
    })
}

struct Writer {
    through: Through,
    store: Arc<MongoStore>,
    messages: Collection<Document>,
    /// A message as Banter stores it.
    template: Document,
}

impl Writer {
    async fn batch(&self, first: u64, count: usize) -> anyhow::Result<()> {
        let numbers = first..first + count as u64;
        if self.through == Through::Store {
            let inserts = numbers.map(|number| Arc::new(message(number))).collect();
            self.store.apply(&Batch { inserts, ..Batch::default() }).await?;
            return Ok(());
        }
        let documents = numbers.map(|_| {
            let (id, mut document) = (ObjectId::new(), self.template.clone());
            document.insert("_id", id);
            document.insert("id", id.to_hex());
            // The server sets it to its own time.
            document.insert("version", bson::Timestamp { time: 0, increment: 0 });
            document
        });
        // As Banter's `WRITE_CONCERN=majority`.
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let documents: Vec<_> = documents.collect();
        self.messages.insert_many(documents).ordered(false).write_concern(concern).await?;
        Ok(())
    }
}

/// The direct message that the load generator sends, of a hundred pairs.
#[expect(clippy::unwrap_used, reason = "the names are good ones")]
fn message(number: u64) -> Message {
    let pair = number % 100;
    let user = |number: u64| UserId::parse(&format!("user-{number}")).unwrap();
    let at = Timestamp(1_769_860_800_000 + number as i64);
    message::message(user(2 * pair), Target::User(user(2 * pair + 1)), "x".repeat(64), at)
}

/// What Banter tells of a group's message; for comparing its size.
pub(crate) fn told(to: &str, user: &str, content: &str) -> anyhow::Result<banter::model::Event> {
    let message = Message {
        target: Target::Group(GroupId::parse(to)?),
        from: UserId::parse(user)?,
        content: Content::Text(content.to_owned()),
        read_by: vec![UserId::parse(user)?],
        timestamp: Timestamp(1_769_860_800_123),
        ..message(0)
    };
    Ok(banter::model::Event::Sent(message.into()))
}
