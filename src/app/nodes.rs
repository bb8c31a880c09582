//! What connects this node with the others: what they say is done here, and they are told how this one
//! is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::auth::{Auth, SignIn};
use crate::buffer::{self, Buffer};
use crate::chat::Chat;
use crate::cluster::{BEAT, Cluster, Config, Heard, History, News, NodeReport};
use crate::config::Config as Settings;
use crate::http::Parts;
use crate::model::Timestamp;

/// How often the others are told what was taken here: a limit is exceeded over all nodes by what one can
/// take in that time on each of the others.
const TAKEN_EVERY: Duration = Duration::from_millis(500);

/// Of how many budgets one letter tells.
const TAKEN_A_LETTER: usize = 1_000;

/// The settings of a buffer whose store may be shared.
///
/// # Errors
/// Nodes that can share no store.
pub(super) fn buffer_config(config: &Settings) -> anyhow::Result<buffer::Config> {
    let is_shared = config.cluster.redis_url.is_some();
    anyhow::ensure!(
        !is_shared || config.mongo.mongo_url.is_some(),
        "REDIS_URL is for several nodes, which share a database: give MONGO_URL, too, or leave both out"
    );
    let history = config.cluster.redis_url.as_ref().map(History::in_redis).transpose()?;
    Ok(buffer::Config { is_shared, history, ..config.buffer.clone() })
}

/// Starts it, as far as there are other nodes.
pub(super) fn connect(
    config: &Config,
    parts: &Parts,
    buffer: &Buffer,
    heard: mpsc::Receiver<Heard>,
    stopping: &CancellationToken,
) {
    let Parts { chat, sign_in, tasks, cluster, .. } = parts;
    let spawn = |name, work| {
        let cluster = cluster.clone();
        tasks.spawn_worker(name, async move { cluster.until_closed(work).await });
    };
    let node = ThisNode {
        chat: Arc::clone(chat),
        buffer: buffer.clone(),
        shards: config.cluster_shards,
        started_at: chat.now(),
        stopping: stopping.clone(),
    };
    spawn("beats", beat(cluster.clone(), node).boxed());
    if cluster.is_alone() {
        return;
    }
    spawn("what other nodes say", hear(heard, parts.clone()).boxed());
    spawn("word of what was taken", tell_what_was_taken(parts.clone()).boxed());
    let tells = Arc::clone(chat);
    spawn("word of what is stored", async move { tells.tell_what_is_stored().await }.boxed());
    let cares = Arc::clone(chat);
    spawn("what is known of other nodes", async move { cares.keep_with_others().await }.boxed());
    if let SignIn::Tokens(auth) = sign_in {
        spawn("word of void tokens", tell_of_tokens(Arc::clone(auth), cluster.clone()).boxed());
    }
}

/// Does what other nodes say.
async fn hear(mut heard: mpsc::Receiver<Heard>, parts: Parts) {
    while let Some(heard) = heard.recv().await {
        match &heard {
            Heard::Gap | Heard::Cut | Heard::News(_, News::Tokens) => parts.sign_in.read_again(),
            Heard::News(_, News::Taken(taken)) => parts.limits.hear(taken),
            Heard::News(..) | Heard::Lost(_) => {}
        }
        parts.chat.hear(heard).await;
    }
}

/// Tells the others what was taken of budgets that all share.
async fn tell_what_was_taken(parts: Parts) {
    let mut words = interval(TAKEN_EVERY);
    words.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        words.tick().await;
        for taken in parts.limits.taken().chunks(TAKEN_A_LETTER) {
            parts.cluster.publish(News::Taken(taken.to_vec()));
        }
    }
}

async fn tell_of_tokens(auth: Arc<Auth>, cluster: Cluster) {
    let mut written = auth.written();
    while written.changed().await.is_ok() {
        cluster.publish(News::Tokens);
    }
}

/// Says that this node is there, to its end.
async fn beat(cluster: Cluster, node: ThisNode) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut has_stopped = false;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = node.stopping.cancelled(), if !has_stopped => has_stopped = true,
        }
        cluster.beat(node.report());
    }
}

/// What this node says of itself.
struct ThisNode {
    chat: Arc<Chat>,
    buffer: Buffer,
    shards: u16,
    started_at: Timestamp,
    stopping: CancellationToken,
}

impl ThisNode {
    fn report(&self) -> NodeReport {
        let stats = self.buffer.stats();
        NodeReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shards: self.shards,
            started_at: self.started_at,
            users: self.chat.online_users() as u64,
            unstored_ops: stats.current_buffer_size as u64,
            unstored_elsewhere: self.buffer.unstored_elsewhere() as u64,
            dead_letters: stats.dead_letters,
            journal: stats.disk.as_str().to_owned(),
            breaker: if stats.breaker_open { "open" } else { "closed" }.to_owned(),
            is_stopping: self.stopping.is_cancelled(),
        }
    }
}
