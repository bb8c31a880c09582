//! Redis Streams through redis-rs: what the bus between nodes stands on.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::streams::{StreamInfoStreamReply, StreamReadReply};
use redis::{Client, RedisResult};
use tokio::time::{Instant, sleep, timeout};

use crate::redis_server::Redis;

/// Longer than anything here takes; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(30);

fn manager(server: &Redis, response: Option<Duration>) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(response)
        .set_connection_timeout(Some(Duration::from_millis(500)))
        .set_number_of_retries(1);
    let client = Client::open(server.url()).unwrap();
    ConnectionManager::new_lazy_with_config(client, config).unwrap()
}

async fn add(manager: &mut ConnectionManager, value: &str) -> RedisResult<String> {
    redis::cmd("XADD").arg(&["s", "*", "v", value]).query_async(manager).await
}

/// The values behind an id, and the id of the last one.
async fn read(manager: &mut ConnectionManager, after: &str) -> RedisResult<Vec<String>> {
    let mut command = redis::cmd("XREAD");
    command.arg(&["COUNT", "100", "BLOCK", "1000", "STREAMS", "s", after]);
    let reply: Option<StreamReadReply> = command.query_async(manager).await?;
    let keys = reply.map(|reply| reply.keys).unwrap_or_default();
    let entries = keys.into_iter().flat_map(|key| key.ids);
    Ok(entries.filter_map(|entry| entry.get("v")).collect())
}

#[tokio::test]
async fn a_manager_comes_back_by_itself_after_the_server_was_killed() {
    let mut server = Redis::start();
    let mut manager = manager(&server, Some(Duration::from_secs(5)));
    add(&mut manager, "a").await.unwrap();
    server.kill();
    assert!(timeout(PATIENCE, add(&mut manager, "b")).await.unwrap().is_err(), "it does not hang");
    server.restart();
    let back = async { while add(&mut manager, "c").await.is_err() {} };
    timeout(PATIENCE, back).await.expect("the manager connects again");
}

#[tokio::test]
async fn a_server_that_is_frozen_fails_a_command_at_its_limit_and_may_do_it_later() {
    let server = Redis::start();
    let mut manager = manager(&server, Some(Duration::from_millis(250)));
    add(&mut manager, "a").await.unwrap();
    server.freeze();
    let begun = Instant::now();
    assert!(add(&mut manager, "b").await.unwrap_err().is_timeout());
    assert!(begun.elapsed() >= Duration::from_millis(250));
    server.thaw();
    let late = async {
        loop {
            match read(&mut manager, "0").await {
                Ok(values) if values.len() == 2 => return,
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, late).await.expect("what has failed for us was done: it must count once");
}

#[tokio::test]
async fn a_pipeline_adds_in_its_order_and_a_blocked_reader_wakes() {
    let server = Redis::start();
    let mut writer = manager(&server, Some(Duration::from_secs(5)));
    // A reader that waits needs a connection of its own, without a limit below its patience.
    let mut reader = manager(&server, None);
    add(&mut writer, "first").await.unwrap();
    let waits = async { read(&mut reader, "$").await };
    let writes = async {
        sleep(Duration::from_millis(50)).await;
        let mut pipeline = redis::pipe();
        for n in 0..50 {
            pipeline.cmd("XADD").arg(&["s", "*", "v", &n.to_string()]);
        }
        pipeline.query_async::<Vec<String>>(&mut writer).await
    };
    let (_, ids) = tokio::join!(waits, writes);
    assert_eq!(ids.unwrap().len(), 50);
    let all = read(&mut reader, "0").await.unwrap();
    let in_order: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(all[1..], in_order);
}

#[tokio::test]
async fn a_server_that_comes_back_empty_tells_by_its_last_id() {
    let mut server = Redis::start();
    let mut manager = manager(&server, Some(Duration::from_secs(5)));
    let last = add(&mut manager, "a").await.unwrap();
    server.kill();
    server.restart();
    let info: RedisResult<StreamInfoStreamReply> = loop {
        let info = redis::cmd("XINFO").arg(&["STREAM", "s"]).query_async(&mut manager).await;
        match info {
            Err(error) if error.is_io_error() => sleep(Duration::from_millis(20)).await,
            other => break other,
        }
    };
    assert!(info.unwrap_err().to_string().contains("no such key"), "the stream is gone");
    // Ids are times: what is added now is later than what was there.
    add(&mut manager, "b").await.unwrap();
    assert_eq!(read(&mut manager, &last).await.unwrap(), ["b"]);
}
