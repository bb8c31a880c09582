//! Reads one stream.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::streams::{StreamId, StreamInfoStreamReply, StreamReadReply};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::connection::READ_WAIT;
use super::ledger::{Ledger, Verdict};
use super::publisher::{micros_now, stream};
use super::{Boot, Bus, Heard, Lane, News};

/// Letters that are read at once.
const BATCH_LETTERS: usize = 512;

/// The pause before Redis is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a stream begins.
const BEGINNING: &str = "0-0";

/// The stream as it is heard.
struct Reader {
    bus: Arc<Bus>,
    shard: u16,
    stream: String,
    ledger: Ledger,
    /// The last entry that was read; `None` before the first connection.
    last: Option<String>,
}

/// One letter in the stream.
struct Entry {
    node: String,
    boot: Boot,
    number: u64,
    at: u64,
    news: String,
}

impl Entry {
    fn of(entry: &StreamId) -> Option<Self> {
        Some(Self {
            node: entry.get("node")?,
            boot: Boot::parse(&entry.get::<String>("boot")?)?,
            number: entry.get("number")?,
            at: entry.get("at")?,
            news: entry.get("news")?,
        })
    }
}

/// Runs until nobody listens.
pub(super) async fn run(bus: Arc<Bus>, shard: u16, heard: mpsc::Sender<Heard>) {
    let (stream, ledger) = (stream(shard), Ledger::default());
    Reader { bus, shard, stream, ledger, last: None }.read(&heard).await;
}

impl Reader {
    async fn read(mut self, heard: &mpsc::Sender<Heard>) {
        let mut connection = None;
        loop {
            match self.read_on(&mut connection).await {
                Ok(entries) => {
                    if self.bus.connections.set_reads(self.shard, true) {
                        tracing::info!(shard = self.shard, "this node hears the others");
                    }
                    for entry in entries {
                        for one in self.hear(entry) {
                            if heard.send(one).await.is_err() {
                                return;
                            }
                        }
                    }
                }
                Err(error) => {
                    connection = None;
                    if self.bus.connections.set_reads(self.shard, false) {
                        if heard.send(Heard::Cut).await.is_err() {
                            return;
                        }
                        tracing::warn!(
                            %error, shard = self.shard,
                            "this node does not hear the others; those on it notice nothing"
                        );
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next entries; none when there was none for a while.
    async fn read_on(
        &mut self,
        connection: &mut Option<ConnectionManager>,
    ) -> RedisResult<Vec<StreamId>> {
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let mut made = self.bus.connections.to_read()?;
                self.find_place(&mut made).await?;
                connection.insert(made)
            }
        };
        let last = self.last.as_deref().unwrap_or(BEGINNING);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(BATCH_LETTERS);
        command.arg("BLOCK").arg(READ_WAIT.as_millis() as u64);
        command.arg("STREAMS").arg(&self.stream).arg(last);
        let reply: Option<StreamReadReply> = command.query_async(connection).await?;
        let keys = reply.map(|reply| reply.keys).unwrap_or_default();
        let entries: Vec<_> = keys.into_iter().flat_map(|key| key.ids).collect();
        if let Some(entry) = entries.last() {
            self.last = Some(entry.id.clone());
        }
        Ok(entries)
    }

    /// Where to read on, on a new connection: behind what was read, or at the stream's end at first.
    /// A stream whose last entry lies before what was read is another one: Redis has lost the first.
    async fn find_place(&mut self, connection: &mut ConnectionManager) -> RedisResult<()> {
        let mut command = redis::cmd("XINFO");
        command.arg("STREAM").arg(&self.stream);
        let info: RedisResult<StreamInfoStreamReply> = command.query_async(connection).await;
        let end = match info {
            Ok(info) => info.last_generated_id,
            Err(error) if is_no_stream(&error) => BEGINNING.to_owned(),
            Err(error) => return Err(error),
        };
        match &self.last {
            Some(last) if place(last) <= place(&end) => {}
            Some(_) => self.last = Some(BEGINNING.to_owned()),
            None => self.last = Some(end),
        }
        Ok(())
    }

    /// What an entry says: nothing, if it is this node's own or was heard before.
    fn hear(&mut self, entry: StreamId) -> Vec<Heard> {
        let Some(entry) = Entry::of(&entry) else { return Vec::new() };
        if entry.boot == self.bus.known.boot {
            return Vec::new();
        }
        let mut heard = Vec::new();
        match self.ledger.hear(entry.boot, entry.number) {
            Verdict::Repeated => return heard,
            Verdict::New => {}
            Verdict::NewAfterGap => heard.push(self.gap()),
        }
        let Ok(node) = entry.node.parse() else { return heard };
        let is_new = self.bus.known.nodes.lock().hear(&node, entry.boot);
        if is_new {
            tracing::info!(%node, "there is another node");
        }
        let news: News = match serde_json::from_str(&entry.news) {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(%error, %node, "a letter of another node can't be read");
                heard.push(self.gap());
                return heard;
            }
        };
        self.bus.metrics.heard(micros_now().saturating_sub(entry.at));
        if let News::Beat(report) = &news {
            self.check(&node, report.shards, is_new);
            self.bus.known.nodes.lock().report(&node, report.clone());
        }
        let lane = Lane { node, boot: entry.boot, shard: self.shard };
        heard.push(Heard::News(lane, news));
        heard
    }

    fn gap(&self) -> Heard {
        self.bus.metrics.gaps.inc();
        Heard::Gap
    }

    fn check(&self, node: &super::NodeId, shards: u16, is_new: bool) {
        let own = self.bus.shards.len();
        if is_new && usize::from(shards) != own {
            tracing::error!(
                %node, shards, own,
                "CLUSTER_SHARDS differs between two nodes: they do not hear all of each other"
            );
        }
        if *node == self.bus.known.node && is_new {
            tracing::error!(%node, "another node has the same NODE_ID: each needs its own");
        }
    }
}

fn is_no_stream(error: &RedisError) -> bool {
    // Redis has no code of its own for that.
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
}

/// An entry's place in its stream.
fn place(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or(0), number.parse().unwrap_or(0))
}
