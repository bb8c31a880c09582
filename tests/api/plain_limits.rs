//! Plain WebSockets: how they end, and what they may not do.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::app::{TestApp, to_user};
use crate::ws::Plain;

/// Nobody is exempt from limits.
const LIMITED: (&str, &str) = ("LIMIT_EXEMPT", "192.0.2.1");

/// How long what is to come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_request_that_wants_no_websocket_is_told_what_is_there() {
    let app = TestApp::on_sqlite().await;
    for path in ["/ws", "/ws/ann", "/api/ws/62616e7465722d6c6f626279"] {
        let (status, body) = app.get(path).await;
        assert_eq!(status.as_u16(), 426, "{path}");
        assert!(body["detail"].as_str().unwrap().contains("WebSocket"), "{body}");
        let (status, _) = app.post(path, json!({})).await;
        assert_eq!(status.as_u16(), 426, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_gets_no_handshake() {
    let app = TestApp::with(&[("CORS_ORIGINS", "https://chat.example.com")]).await;
    for path in ["/ws?username=ann", "/ws/ann", "/api/ws/62616e7465722d6c6f626279?user_id=ann"] {
        let from = |origin| [("origin", origin)];
        let refused = Plain::try_open(app.addr, path, &from("https://evil.example.com")).await;
        assert_eq!(refused.err(), Some(403), "{path}");
        assert!(Plain::try_open(app.addr, path, &from("https://chat.example.com")).await.is_ok());
    }
}

#[tokio::test]
async fn a_client_is_asked_whether_it_is_there_and_ends_when_it_does_not_say_so() {
    let app = TestApp::with(&[("PING_INTERVAL", "100"), ("PING_TIMEOUT", "100")]).await;
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    ann.pinged().await;
    ann.pinged().await;
    ann.send("ann:ann:still here").await;
    assert_eq!(ann.text().await, "ann:still here");
    // From here on nobody reads what the server asks, and so nobody answers.
    let gone = async {
        while app.metric("banter_connections").await != 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_too_slowly_is_cut_off_with_1013_and_the_others_miss_nothing() {
    let app = TestApp::with(&[("PING_INTERVAL", "3600000")]).await;
    let (mut slow, mut bob) = (
        Plain::open(app.addr, "/ws?username=slow").await,
        Plain::open(app.addr, "/ws?username=bob").await,
    );
    bob.of_type("system").await;
    let filler = "x".repeat(16_000);
    let mut sent = 0;
    while app.metric("banter_plain_cut_total").await == 0.0 {
        assert!(sent < 6_000, "who reads nothing is not cut off");
        for n in sent..sent + 100 {
            bob.send(format!("{n} {filler}")).await;
            let heard = bob.of_type("message").await;
            let content = heard["content"].as_str().unwrap();
            assert_eq!(content.split(' ').next().unwrap(), n.to_string());
        }
        sent += 100;
    }
    assert!(app.metric("banter_dropped_packets_total").await > 0.0);
    assert_eq!(slow.closed().await, 1013);
    drop(slow);
    assert_eq!(bob.of_type("system").await["content"], "slow left");
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection() {
    let app = TestApp::with(&[("MAX_PAYLOAD", "1000")]).await;
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    ann.send(format!("ann:ann:{}", "x".repeat(900))).await;
    ann.text().await;
    ann.send(format!("ann:ann:{}", "x".repeat(1_000))).await;
    assert_eq!(ann.closed().await, 1009);
}

#[tokio::test]
async fn frames_have_a_rate_and_what_is_beyond_it_is_refused() {
    let app = TestApp::with(&[LIMITED, ("EVENT_RATE", "1"), ("EVENT_BURST", "3")]).await;
    let mut ann = Plain::open(app.addr, "/api/ws/62616e7465722d6c6f626279?user_id=ann").await;
    for _ in 0..3 {
        ann.send(json!({"type": "ping"})).await;
        ann.of_type("pong").await;
    }
    for _ in 0..10 {
        ann.send_message(Message::Ping(Default::default())).await;
        ann.send(json!({"type": "ping"})).await;
    }
    assert_eq!(ann.of_type("error").await["code"], "rate_limited");
}

#[tokio::test]
async fn connections_of_a_user_and_handshakes_of_an_address_are_counted_with_those_of_socket_io() {
    let app = TestApp::with(&[LIMITED, ("CONNECTIONS_PER_USER", "2")]).await;
    let modern = app.user("ann").await;
    let mut first = Plain::open(app.addr, "/ws/ann").await;
    first.send("ann:ann:hi").await;
    first.text().await;
    assert_eq!(Plain::open(app.addr, "/ws/ann").await.closed().await, 4429);
    modern.disconnect().await;
    while app.metric("banter_connections").await != 1.0 {
        tokio::task::yield_now().await;
    }
    let mut second = Plain::open(app.addr, "/ws/ann").await;
    second.send("ann:ann:hi").await;
    second.text().await;

    let app = TestApp::with(&[LIMITED, ("HANDSHAKE_RATE", "2")]).await;
    let mut refused = 0;
    for _ in 0..20 {
        match Plain::try_open(app.addr, "/ws/ann", &[]).await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_server_that_stops_says_so_behind_what_was_accepted() {
    let app = TestApp::on_sqlite().await;
    let mut ann = Plain::open(app.addr, "/ws/ann").await;
    ann.send("hello").await;
    ann.text().await;
    let mut bob = app.user("bob").await;
    bob.emit_ack("send_message", to_user("ann", "last words")).await;
    app.begin_stop();
    assert_eq!(ann.text().await, "bob:last words");
    assert_eq!(ann.closed().await, 1001);
    app.stop().await;
}
