//! The end of a server: nothing accepted is lost.

use serde_json::json;

use crate::app::{TestApp, sent, to_user};
use crate::sio::Packet;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_stored_before_the_server_ends() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    for n in 0..500 {
        ann.send_with_ack("send_message", &[to_user("bob", &n.to_string())]).await;
    }
    let mut acknowledged = 0;
    loop {
        if acknowledged == 50 {
            app.begin_stop();
        }
        match ann.next_packet().await {
            Packet::Ack { args, .. } if args[0]["ok"] == json!(true) => acknowledged += 1,
            Packet::Ack { args, .. } => assert_eq!(args[0]["error"]["code"], "unavailable"),
            Packet::Closed(_) | Packet::Disconnect => break,
            _ => {}
        }
    }
    let folder = app.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("data/banter.db")).unwrap();
    let stored = count(&database);
    assert!(stored >= acknowledged, "{stored} of {acknowledged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sent_what_is_stored_hears_of_it_before_the_connection_ends() {
    const MESSAGES: usize = 6_000;
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    let filler = "x".repeat(1_000);
    for _ in 0..MESSAGES {
        ann.send_with_ack("send_message", &[to_user("ann", &filler)]).await;
    }
    // What is still on its way in when the server closes makes the network cut the connection.
    while app.metric("banter_events_in_total{event=\"send_message\"}").await < MESSAGES as f64 {
        tokio::task::yield_now().await;
    }
    app.begin_stop();
    let (mut acknowledged, mut heard) = (0, 0);
    loop {
        match ann.next_packet().await {
            Packet::Ack { args, .. } if args[0]["ok"] == json!(true) => acknowledged += 1,
            Packet::Event { name, .. } if name == "message" => heard += 1,
            Packet::Closed(_) | Packet::Disconnect => break,
            _ => {}
        }
    }
    let folder = app.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("data/banter.db")).unwrap();
    assert_eq!((acknowledged, heard), (count(&database), acknowledged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_waits_for_a_slow_store() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    let path = app.folder.path().join("data/banter.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    // While another process holds the file, nothing can be stored.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for n in 0..10 {
        sent(&mut ann, to_user("bob", &n.to_string())).await;
    }
    app.begin_stop();
    ann.closed().await;
    assert_eq!(count(&other), 0);
    other.execute_batch("ROLLBACK").unwrap();
    let _folder = app.stop().await;
    assert_eq!(count(&other), 10);
}

fn count(database: &rusqlite::Connection) -> usize {
    let count: i64 =
        database.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    usize::try_from(count).unwrap()
}
