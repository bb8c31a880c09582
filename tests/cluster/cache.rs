//! The rows that nodes share in Redis, without the nodes: who may use them, and who may fill them.

use banter::cluster::{Filling, History, Look, RedisUrl};
use banter::model::{Content, Conversation, Message};
use redis::aio::MultiplexedConnection;

use crate::make::{direct, user};
use crate::nodes::until;
use crate::redis_server::Redis;

const STATE: &str = "banter:history:{chat_history:ann:bob}";

fn conversation() -> Conversation {
    Conversation::direct(user("ann"), user("bob"))
}

/// Rows, newest first, several of one time.
fn rows(count: i64) -> Vec<Message> {
    let row = |at: i64| Message {
        content: Content::Text(format!("n{at}")),
        ..direct("ann", "bob", 1_700_000_000_000 + at / 3)
    };
    let mut rows: Vec<_> = (0..count).map(row).collect();
    rows.reverse();
    rows
}

async fn connected(server: &Redis) -> History {
    let history = History::in_redis(&server.url().parse::<RedisUrl>().unwrap()).unwrap();
    until(async || {
        history.connect().await;
        !matches!(look(&history).await, Look::Nothing)
    })
    .await;
    history
}

async fn look(history: &History) -> Look {
    history.look(&conversation(), "1", 10, 20).await
}

async fn miss(history: &History) -> Filling {
    match look(history).await {
        Look::Miss(filling) => filling,
        other => panic!("{other:?}"),
    }
}

async fn page(history: &History) -> (Vec<Message>, bool) {
    match look(history).await {
        Look::Page(rows, is_all) => (rows, is_all),
        other => panic!("{other:?}"),
    }
}

async fn raw(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn rows_are_read_as_they_were_kept_by_whoever_goes_by_the_same_generation() {
    let server = Redis::start();
    let (one, two) = (connected(&server).await, connected(&server).await);
    let kept = rows(30);
    assert!(one.fill(miss(&one).await, &kept, true).await);
    assert_eq!(page(&two).await, (kept[..20].to_vec(), false));
    let all = two.look(&conversation(), "1", 10, 30).await;
    assert!(matches!(all, Look::Page(rows, true) if rows == kept));
    assert!(matches!(two.look(&conversation(), "2", 10, 20).await, Look::Miss(_)));
    // It goes by itself.
    let life: i64 = redis::cmd("TTL")
        .arg("chat_history:ann:bob")
        .query_async(&mut raw(&server).await)
        .await
        .unwrap();
    assert!((86_000..=86_400).contains(&life), "{life}");
}

#[tokio::test]
async fn a_short_page_is_used_only_if_there_is_no_more() {
    let server = Redis::start();
    let history = connected(&server).await;
    let kept = rows(9);
    assert!(history.fill(miss(&history).await, &kept, false).await);
    assert!(history.fill(miss(&history).await, &kept, true).await, "who asks for more fills it");
    assert_eq!(page(&history).await, (kept, true));
    assert!(history.fill(miss_at(&history, "2").await, &[], true).await);
    assert!(
        matches!(history.look(&conversation(), "2", 1, 1).await, Look::Page(rows, true) if rows.is_empty())
    );
}

async fn miss_at(history: &History, generation: &str) -> Filling {
    match history.look(&conversation(), generation, 10, 20).await {
        Look::Miss(filling) => filling,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_asked_before_a_change_is_not_kept_after_it() {
    let server = Redis::start();
    let (reader, writer) = (connected(&server).await, connected(&server).await);
    let (early, kept, all) = (miss(&reader).await, rows(20), [conversation()]);
    let again = miss(&reader).await;
    assert!(reader.fill(again, &kept, true).await);
    let marks = writer.begin(all.iter()).await.unwrap();
    assert!(matches!(look(&reader).await, Look::Nothing), "it is being changed");
    assert!(!reader.fill(early, &kept, true).await, "nobody fills it meanwhile");
    assert!(marks.end().await);

    let before = miss(&reader).await;
    let marks = writer.begin(all.iter()).await.unwrap();
    assert!(marks.end().await);
    assert!(!reader.fill(before, &kept, true).await, "nor after that");
    let after = miss(&reader).await;
    assert!(reader.fill(after, &kept, true).await);
    assert_eq!(page(&reader).await.0, kept);
}

#[tokio::test]
async fn each_of_several_writers_keeps_readers_off() {
    let server = Redis::start();
    let (reader, all) = (connected(&server).await, [conversation()]);
    let (one, two) = (connected(&server).await, connected(&server).await);
    let (first, second) =
        (one.begin(all.iter()).await.unwrap(), two.begin(all.iter()).await.unwrap());
    assert!(first.end().await);
    assert!(matches!(look(&reader).await, Look::Nothing));
    assert!(second.end().await);
    miss(&reader).await;
}

#[tokio::test]
async fn a_writer_that_died_keeps_readers_off_until_its_write_is_over() {
    let server = Redis::start();
    let (reader, writer) = (connected(&server).await, connected(&server).await);
    let before = miss(&reader).await;
    drop(writer.begin([conversation()].iter()).await.unwrap());
    assert!(matches!(look(&reader).await, Look::Nothing));
    let mut raw = raw(&server).await;
    let fields: Vec<(String, i64)> =
        redis::cmd("HGETALL").arg(STATE).query_async(&mut raw).await.unwrap();
    let [(mark, until)] = &*fields else { panic!("{fields:?}") };
    let (seconds, _): (i64, i64) = redis::cmd("TIME").query_async(&mut raw).await.unwrap();
    assert!((115..=121).contains(&(until / 1000 - seconds)), "{until}");
    let _: i64 = redis::cmd("HSET")
        .arg(STATE)
        .arg(mark)
        .arg(seconds * 1000 - 1)
        .query_async(&mut raw)
        .await
        .unwrap();
    let after = miss(&reader).await;
    assert!(!reader.fill(before, &rows(3), true).await);
    assert!(reader.fill(after, &rows(3), true).await);
}

#[tokio::test]
async fn a_server_that_has_lost_a_mark_keeps_nothing_that_came_meanwhile() {
    let server = Redis::start();
    let (reader, writer) = (connected(&server).await, connected(&server).await);
    let marks = writer.begin([conversation()].iter()).await.unwrap();
    let _: String = redis::cmd("FLUSHALL").query_async(&mut raw(&server).await).await.unwrap();
    let late = miss(&reader).await;
    let meanwhile = miss(&reader).await;
    assert!(reader.fill(meanwhile, &rows(3), true).await, "nobody knows any better");
    assert!(marks.end().await);
    miss(&reader).await;
    assert!(!reader.fill(late, &rows(3), true).await);
}

#[tokio::test]
async fn another_server_in_its_place_holds_nothing_that_is_believed() {
    let server = Redis::start();
    let history = connected(&server).await;
    assert!(history.fill(miss(&history).await, &rows(3), true).await);
    page(&history).await;
    let (other, mut from) = (Redis::start(), raw(&server).await);
    let mut to = raw(&other).await;
    for key in ["chat_history:ann:bob", STATE] {
        let copy: Vec<u8> = redis::cmd("DUMP").arg(key).query_async(&mut from).await.unwrap();
        let _: String =
            redis::cmd("RESTORE").arg(key).arg(0).arg(copy).query_async(&mut to).await.unwrap();
    }
    miss(&connected(&other).await).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_by_nobody_and_used_again() {
    let mut server = Redis::start();
    let (history, all) = (connected(&server).await, [conversation()]);
    let marks = history.begin(all.iter()).await.unwrap();
    server.freeze();
    assert!(matches!(look(&history).await, Look::Nothing));
    assert!(history.begin(all.iter()).await.is_none());
    assert!(!marks.end().await);
    server.thaw();
    let is_back = async || {
        history.connect().await;
        history.begin(all.iter()).await.is_some()
    };
    until(is_back).await;
    server.kill();
    assert!(matches!(look(&history).await, Look::Nothing));
    assert!(history.begin(all.iter()).await.is_none());
    server.restart();
    until(is_back).await;
}
