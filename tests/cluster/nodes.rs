//! A few nodes, and the Redis between them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::app::TestApp;
use crate::redis_server::Redis;
use crate::sio::Client;

/// Longer than anything takes; only a failure waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long something that should not come is waited for.
pub(crate) const BRIEFLY: Duration = Duration::from_millis(300);

/// How often something is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Nodes that hear each other. They end with this value.
pub(crate) struct Nodes {
    pub(crate) redis: Redis,
    pub(crate) nodes: Vec<TestApp>,
}

impl Nodes {
    /// So many nodes.
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_with(count, &[]).await
    }

    /// So many nodes with these settings.
    pub(crate) async fn start_with(count: usize, settings: &[(&str, &str)]) -> Self {
        let redis = Redis::start();
        let url = redis.url();
        let mut first = vec![("REDIS_URL", url.as_str()), ("NODE_ID", "node-0")];
        first.extend(settings);
        let mut nodes = vec![TestApp::on_mongodb_with(&first).await];
        for number in 1..count {
            let name = format!("node-{number}");
            let node = nodes[0].beside(&[("NODE_ID", &name)]).await;
            nodes.push(node);
        }
        let nodes = Self { redis, nodes };
        nodes.hear_each_other().await;
        nodes
    }

    /// Waits until each node hears all of the others.
    pub(crate) async fn hear_each_other(&self) {
        for node in &self.nodes {
            let all = self.nodes.len() as f64;
            until(async || {
                node.metric("banter_cluster_connected").await == 1.0
                    && node.metric("banter_cluster_nodes").await == all
            })
            .await;
        }
    }

    /// Puts a letter of a node that nobody knows into a stream, with a number that says that others
    /// came before it, which nobody has heard.
    pub(crate) async fn forge_letter(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("XADD");
        command.arg(&["banter:bus:{1}", "*", "node", "forged", "boot", "00000000000000ff"]);
        command.arg(&["number", "7", "at", "0", "news", "\"ask\""]);
        let _: String = command.query_async(&mut connection).await.unwrap();
    }

    /// A user's socket on a node.
    pub(crate) async fn user(&self, node: usize, name: &str) -> Client {
        self.nodes[node].user(name).await
    }
}

/// Waits until something is so.
pub(crate) async fn until(is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it becomes so");
}

/// Joins a group's room.
pub(crate) async fn joined(client: &mut Client, group: &str) {
    let ack = client.emit_ack("join_group", json!(group)).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
}

/// The content of the next messages, so many.
pub(crate) async fn contents(client: &mut Client, count: usize) -> Vec<Value> {
    let mut contents = Vec::new();
    for _ in 0..count {
        contents.push(client.next_event("message").await["content"].clone());
    }
    contents
}
