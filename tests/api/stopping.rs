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
