//! The end of a server: nothing accepted is lost.

use serde_json::json;

use crate::app::{TestApp, to_user};
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
    let stored: i64 =
        database.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
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
    let stored: i64 =
        database.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!((acknowledged, heard), (usize::try_from(stored).unwrap(), acknowledged));
}
