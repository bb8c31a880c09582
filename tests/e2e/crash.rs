//! The server is killed under load (`kill -9`), again and again, with its database and without.

use crate::mongod::Mongod;
use crate::server::{Server, Store};
use crate::trial::Trial;

/// How often the server is killed on each store.
const KILLS: usize = 20;

/// After so many kills one comes twice in a row: the second meets what the first has left.
const TWICE_EVERY: usize = 5;

/// How often MongoDB goes away; the server is killed twice each time.
const OUTAGES: usize = 3;

async fn killed_again_and_again(store: Store) {
    let mut trial = Trial::start(Server::start(store).await, &[]);
    trial.goes_on().await;
    for round in 1..=KILLS {
        trial.crash(if round % TWICE_EVERY == 0 { 2 } else { 1 }).await;
    }
    trial.ends_well().await;
}

#[tokio::test]
async fn a_server_killed_again_and_again_loses_and_doubles_nothing_on_sqlite() {
    killed_again_and_again(Store::Sqlite).await;
}

#[tokio::test]
async fn a_server_killed_again_and_again_loses_and_doubles_nothing_on_mongodb() {
    killed_again_and_again(Store::Mongodb).await;
}

async fn beside(mongod: &Mongod) -> Trial {
    let url = mongod.url();
    let settings = [
        ("MONGO_URL", url.as_str()),
        ("MONGODB_NAME", "chatapp"),
        ("BREAKER_FAILURES", "1"),
        ("BREAKER_OPEN", "1"),
    ];
    Trial::start(Server::start_with(Store::Mongodb, &settings).await, &[])
}

/// The server is killed while MongoDB is away, and must serve without it.
async fn killed_without_mongodb(trial: &mut Trial) {
    trial.goes_on().await;
    trial.crash(1).await;
    trial.server.breaker_opens().await;
    trial.goes_on().await;
}

#[tokio::test]
async fn a_server_killed_while_mongodb_is_away_loses_and_doubles_nothing() {
    let mut mongod = Mongod::start().await;
    let mut trial = beside(&mongod).await;
    for _ in 0..OUTAGES {
        trial.goes_on().await;
        mongod.kill();
        killed_without_mongodb(&mut trial).await;
        mongod.restart().await;
        // It is killed while it catches up.
        trial.crash(1).await;
        trial.server.catches_up().await;
    }
    trial.ends_well().await;
}

#[tokio::test]
async fn a_server_killed_while_mongodb_is_frozen_loses_and_doubles_nothing() {
    let mongod = Mongod::start().await;
    let mut trial = beside(&mongod).await;
    for _ in 0..OUTAGES {
        trial.goes_on().await;
        mongod.freeze();
        killed_without_mongodb(&mut trial).await;
        // What the dead server asked for is done now, beside what the living one asks for.
        mongod.thaw();
        trial.crash(1).await;
        trial.server.catches_up().await;
    }
    trial.ends_well().await;
}
