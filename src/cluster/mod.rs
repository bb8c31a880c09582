//! The bus between nodes: what one of them does, the others hear.
//!
//! ```text
//! publish -> outbox (per shard, bounded) -> publisher (task): XADD  -> stream banter:bus:{shard}
//! Heard   <- ledger (once, gaps)         <- reader (task):    XREAD <-
//! ```
//!
//! **What holds.**
//!
//! - [`Cluster::publish`] never waits. Who is on this node was told before, and hears nothing of how
//!   the bus is.
//! - Letters about one conversation, or else about one user, go into one stream, in order.
//! - Each letter has a number, counted per node's run and stream. A letter that was added twice (its
//!   answer was lost) counts once; a number that is missing is a gap, and is told as one
//!   ([`Heard::Gap`]), wherever it was lost: in a full outbox, in a Redis that came back empty, or
//!   in a stream that was trimmed before it was read. Every node says something on every stream
//!   every [`BEAT`], so that a gap shows by then.
//! - A reader that lost its connection goes on behind the last entry that it has read.
//! - A node that says nothing for [`LEASE`] is lost, but only while this node hears the bus: when
//!   Redis is away, nobody is.
//!
//! Without `REDIS_URL` there is one node, and all of this does nothing.

mod claims;
mod config;
mod connection;
mod history;
mod ledger;
mod metrics;
mod news;
mod nodes;
mod outbox;
mod publisher;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::claims::Claims;
use self::connection::Connections;
use self::metrics::Metrics;
use self::nodes::Nodes;
use self::outbox::Outbox;
use crate::model::{ClientId, MessageId, UserId};
use crate::shutdown::Tasks;

pub use config::{Config, InvalidNodeId, InvalidRedisUrl, NodeId, RedisUrl};
pub use history::{Filling, History, Look, Marks};
pub use news::{Circle, Member, News, NodeReport, Told, Written};
pub use nodes::{Boot, Node};

/// How often a node says that it is there.
pub const BEAT: Duration = Duration::from_secs(3);

/// A node that has said nothing for so long is lost. With a beat, and a look once a second, it is below
/// the 15 s within which users of a killed node are offline.
pub const LEASE: Duration = Duration::from_secs(11);

/// How often leases are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Letters that were read and that this node has not acted upon; past that the readers wait, and
/// what comes stays in the streams.
const HEARD: usize = 1_024;

/// Where a letter comes from: the run of a node, and the stream. Letters of one lane come in the
/// order in which they were published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Which node.
    pub node: NodeId,
    /// Which of its runs.
    pub boot: Boot,
    /// Which stream.
    pub shard: u16,
}

/// What a node hears.
#[derive(Debug)]
pub enum Heard {
    /// News of another node.
    News(Lane, News),
    /// Some news were missed: whatever rests on having heard all of them is worth nothing.
    Gap,
    /// Nothing is heard for now.
    Cut,
    /// A run of a node has ended, or is cut off.
    Lost(Boot),
}

/// A handle to the bus; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    known: Arc<Known>,
    bus: Option<Arc<Bus>>,
}

/// What is known of nodes; of one that is alone that is itself.
struct Known {
    node: NodeId,
    boot: Boot,
    nodes: Mutex<Nodes>,
    /// Nothing is said or heard any more.
    closed: CancellationToken,
}

struct Bus {
    known: Arc<Known>,
    shards: Vec<Shard>,
    connections: Connections,
    claims: Claims,
    metrics: Metrics,
}

/// One stream, from this node's side.
#[derive(Default)]
struct Shard {
    outbox: Mutex<Outbox>,
    filled: Notify,
}

impl Cluster {
    /// A node that is alone.
    pub fn alone() -> Self {
        Self::named(NodeId::of_host())
    }

    fn named(node: NodeId) -> Self {
        let (nodes, closed) = (Mutex::default(), CancellationToken::new());
        let known = Known { node, boot: Boot::random(), nodes, closed };
        Self { known: Arc::new(known), bus: None }
    }

    /// Starts the bus, where `REDIS_URL` is set; what is heard, which ends with the bus. Redis need
    /// not answer yet.
    ///
    /// # Errors
    /// The address is none that the client library takes.
    pub fn start(
        config: &Config,
        tasks: &Tasks,
        registry: &mut Registry,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Heard>)> {
        let (heard, hears) = mpsc::channel(HEARD);
        let mut cluster = Self::named(config.node_id());
        let Some(url) = &config.redis_url else { return Ok((cluster, hears)) };
        let shards: Vec<_> = (0..config.cluster_shards).map(|_| Shard::default()).collect();
        let bus = Arc::new(Bus {
            known: Arc::clone(&cluster.known),
            connections: Connections::new(url, shards.len())?,
            shards,
            claims: Claims::default(),
            metrics: Metrics::default(),
        });
        metrics::register(&bus, registry);
        tracing::info!(node = %bus.known.node, redis = %url, "this node is one of several");
        for shard in 0..config.cluster_shards {
            let publishing = publisher::run(Arc::clone(&bus), shard);
            tasks.spawn_worker("publishing to other nodes", bus.until_closed(publishing));
            let reading = reader::run(Arc::clone(&bus), shard, heard.clone());
            tasks.spawn_worker("hearing other nodes", bus.until_closed(reading));
        }
        let leases = keep_leases(Arc::clone(&bus), heard);
        tasks.spawn_worker("leases of nodes", bus.until_closed(leases));
        cluster.bus = Some(bus);
        Ok((cluster, hears))
    }

    /// Whether there is no other node, nor could be.
    pub fn is_alone(&self) -> bool {
        self.bus.is_none()
    }

    /// Tells the other nodes. Never waits: what can't be sent now waits in a bounded queue, and what
    /// falls out of that the others know to be missing.
    pub fn publish(&self, news: News) {
        let Some(bus) = &self.bus else { return };
        let shard = news.shard(bus.shards.len());
        bus.put(shard, news);
    }

    /// Tells the other nodes on every stream, each in its order.
    pub fn publish_everywhere(&self, news: &News) {
        let Some(bus) = &self.bus else { return };
        for shard in 0..bus.shards.len() {
            bus.put(shard, news.clone());
        }
    }

    /// Says that this node is there, and how it is.
    pub fn beat(&self, report: NodeReport) {
        let Known { node, boot, nodes, .. } = &*self.known;
        nodes.lock().know_own(node, *boot, report.clone());
        let Some(bus) = &self.bus else { return };
        for shard in 0..bus.shards.len() {
            // A beat tells of now, and behind others it would tell of a past: it is not queued.
            if bus.shards[shard].outbox.lock().is_empty() {
                bus.put(shard, News::Beat(report.clone()));
            }
        }
    }

    /// All nodes that are there, this one first, and how they were when they said so last.
    pub fn nodes(&self) -> Vec<Node> {
        self.known.nodes.lock().all(self.known.boot)
    }

    /// What the ids that this run mints have in common.
    pub fn process(&self) -> [u8; 5] {
        self.known.boot.process()
    }

    /// How many words were heard of the other node that mints such ids; `None` where none is known to.
    pub fn words_of(&self, process: [u8; 5]) -> Option<u64> {
        let is_other = process != self.process();
        is_other.then(|| self.known.nodes.lock().words_of(process)).flatten()
    }

    /// Whether this node hears the others. One that is alone has nobody to miss.
    pub fn is_connected(&self) -> bool {
        self.bus.as_ref().is_none_or(|bus| bus.connections.all_read())
    }

    /// Gives a sender's client id to a message that is about to be accepted, if it has none yet as far
    /// as Redis knows; the message that has it. `None` if Redis is away.
    pub async fn claim(
        &self,
        user: &UserId,
        client_id: &ClientId,
        id: MessageId,
    ) -> Option<MessageId> {
        let bus = self.bus.as_ref().filter(|bus| bus.connections.all_read())?;
        bus.claims.claim(&bus.connections, (user, client_id), id).await
    }

    /// Runs something for as long as there is a bus.
    pub async fn until_closed(&self, work: impl Future<Output = ()>) {
        self.known.closed.run_until_cancelled(work).await;
    }

    /// Says and hears nothing any more.
    pub fn close(&self) {
        self.known.closed.cancel();
    }

    /// Waits until everything published is with Redis. This takes as long as Redis is away; a limit
    /// is the caller's.
    pub async fn published(&self) {
        let Some(bus) = &self.bus else { return };
        let mut look = interval(Duration::from_millis(10));
        while bus.shards.iter().any(|shard| !shard.outbox.lock().is_settled()) {
            look.tick().await;
        }
    }
}

impl Bus {
    fn until_closed(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let closed = self.known.closed.clone();
        async move {
            closed.run_until_cancelled(work).await;
        }
    }

    fn put(&self, shard: usize, news: News) {
        let is_ephemeral = news.is_ephemeral();
        let shard = &self.shards[shard];
        let dropped = {
            let mut outbox = shard.outbox.lock();
            if is_ephemeral && outbox.is_stuck() {
                return;
            }
            outbox.push(news)
        };
        shard.filled.notify_one();
        self.metrics.dropped.inc_by(dropped);
    }
}

/// Finds out which nodes are lost, until nobody listens.
async fn keep_leases(bus: Arc<Bus>, heard: mpsc::Sender<Heard>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let hears = bus.connections.all_read();
        let lost = bus.known.nodes.lock().look(LOOK, hears);
        for (node, boot) in lost {
            tracing::warn!(%node, "a node says nothing any more: who was there alone is offline");
            if heard.send(Heard::Lost(boot)).await.is_err() {
                return;
            }
        }
    }
}
