//! Three nodes under load, of which parts are killed: a node, Redis, the database's primary.

use std::time::Duration;

use rand::RngExt;

use crate::load::{Counts, Load};
use crate::mongod::{ReplicaSet, TestDatabase};
use crate::netns::Namespace;
use crate::redis_server::Redis;
use crate::server::{Server, Store};
use crate::stored;
use crate::verdict::{End, Faults};

/// How many nodes there are.
const NODES: usize = 3;

/// How long the load runs before the next thing happens.
const RUN: Duration = Duration::from_millis(700);

/// Messages that are acknowledged and heard in that time, at the least.
const RUN_MESSAGES: usize = 20;

/// How long Redis is away.
const OUTAGE: Duration = Duration::from_secs(30);

/// How often something is killed.
const KILLS: usize = 6;

/// Nodes, what they stand on, and their users.
struct Fleet {
    nodes: Vec<Server>,
    redis: Redis,
    load: Option<Load>,
    /// Dropped after the nodes.
    _database: Option<TestDatabase>,
}

impl Fleet {
    /// On the database that all tests share.
    async fn start() -> Self {
        let database = TestDatabase::new();
        let (url, name) = (database.url.clone(), database.name.clone());
        Self::start_on(&url, &name, Some(database)).await
    }

    async fn start_on(url: &str, name: &str, database: Option<TestDatabase>) -> Self {
        Self::start_beside(Redis::start(), url, name, database).await
    }

    async fn start_beside(
        redis: Redis,
        url: &str,
        name: &str,
        database: Option<TestDatabase>,
    ) -> Self {
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let (id, bus) = (format!("node-{number}"), redis.url());
            let settings = [
                ("AUTH_MODE", "open"),
                ("MONGO_URL", url),
                ("MONGODB_NAME", name),
                ("REDIS_URL", &bus),
                ("NODE_ID", &id),
                ("BREAKER_FAILURES", "1"),
                ("BREAKER_OPEN", "1"),
            ];
            nodes.push(Server::start_with(Store::Mongodb, &settings).await);
        }
        let urls: Vec<_> = nodes.iter().map(Server::url).collect();
        let urls = urls.join(",");
        let load = Load::start("crash_load.mjs", &nodes[0], &[("BANTER_URLS", &urls)]);
        Self { nodes, redis, load: Some(load), _database: database }
    }

    fn load(&mut self) -> &mut Load {
        self.load.as_mut().expect("the load was not stopped yet")
    }

    /// Lets the load run for a moment, in which more messages are accepted and arrive.
    async fn goes_on(&mut self) -> Counts {
        self.load().goes_on_for(RUN, RUN_MESSAGES).await
    }

    /// Lets everything outstanding be acknowledged and stored, and looks whether all is well.
    async fn ends_well(mut self) {
        let end: End = self.load.take().unwrap().stop().await;
        for node in &self.nodes {
            node.drained().await;
        }
        let rows = stored::messages(&self.nodes[0]).await;
        let faults = Faults::find(&end, &rows);
        let (sent, heard) = (end.messages.len(), end.heard());
        assert!(faults.is_empty(), "{sent} messages sent\n{faults}");
        assert!(heard >= sent && end.edits > 0 && end.deletions > 0, "{sent} {heard}");
        eprintln!("{sent} messages sent, {heard} heard, {} repeated", end.repeats);
        for mut node in std::mem::take(&mut self.nodes) {
            node.stop().await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, node) in self.nodes.iter().enumerate() {
                eprintln!("node-{number} said:\n{}", node.log_tail());
            }
        }
    }
}

#[tokio::test]
async fn nodes_that_are_killed_again_and_again_lose_and_double_nothing() {
    let mut fleet = Fleet::start().await;
    fleet.goes_on().await;
    for _ in 0..KILLS {
        let victim = rand::rng().random_range(0..NODES);
        fleet.nodes[victim].kill().await;
        // The others go on without it.
        fleet.goes_on().await;
        fleet.nodes[victim].restart().await;
        fleet.goes_on().await;
    }
    fleet.ends_well().await;
}

#[tokio::test]
async fn a_rolling_restart_is_not_noticed() {
    let mut fleet = Fleet::start().await;
    for number in 0..NODES {
        fleet.goes_on().await;
        fleet.nodes[number].stop().await;
        fleet.goes_on().await;
        fleet.nodes[number].restart().await;
    }
    fleet.goes_on().await;
    fleet.ends_well().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_loses_and_doubles_nothing() {
    let mut fleet = Fleet::start().await;
    for _ in 0..KILLS / 2 {
        fleet.goes_on().await;
        fleet.redis.kill();
        fleet.goes_on().await;
        fleet.redis.restart();
    }
    fleet.goes_on().await;
    fleet.redis.freeze();
    fleet.goes_on().await;
    fleet.redis.thaw();
    fleet.goes_on().await;
    fleet.ends_well().await;
}

#[tokio::test]
async fn a_redis_that_is_away_for_long_is_not_noticed() {
    let mut fleet = Fleet::start().await;
    fleet.goes_on().await;
    fleet.redis.kill();
    let refused = fleet.load().goes_on_for(OUTAGE, RUN_MESSAGES).await.refused;
    assert_eq!(refused, 0, "nobody is refused");
    fleet.redis.restart();
    fleet.goes_on().await;
    fleet.ends_well().await;
}

#[tokio::test]
async fn a_redis_that_is_cut_off_without_a_word_loses_and_doubles_nothing() {
    let network = Namespace::new();
    let redis = Redis::start_by(&network.inside(), network.host());
    let database = TestDatabase::new();
    let (url, name) = (database.url.clone(), database.name.clone());
    let mut fleet = Fleet::start_beside(redis, &url, &name, Some(database)).await;
    for _ in 0..KILLS / 2 {
        fleet.goes_on().await;
        network.pull_out();
        let refused = fleet.goes_on().await.refused;
        assert_eq!(refused, 0, "nobody is refused");
        network.plug_in();
    }
    fleet.goes_on().await;
    fleet.ends_well().await;
}

#[tokio::test]
async fn a_primary_that_is_killed_loses_and_doubles_nothing() {
    let mut set = ReplicaSet::start().await;
    let mut fleet = Fleet::start_on(&set.url(), "chatapp", None).await;
    for _ in 0..KILLS / 2 {
        fleet.goes_on().await;
        let killed = set.kill_primary().await;
        fleet.goes_on().await;
        set.primary().await;
        fleet.goes_on().await;
        set.restart(killed).await;
    }
    fleet.ends_well().await;
}
