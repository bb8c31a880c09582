//! Who gets in, by which transport.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::app::{TestApp, sent, to_group, to_user};
use crate::sio::{Client, Packet, Transport};

#[tokio::test]
async fn without_a_user_id_the_connection_is_refused() {
    let app = TestApp::on_sqlite().await;
    let long = "x".repeat(200);
    for auth in [
        json!({}),
        json!(null),
        json!({"user_id": null}),
        json!({"user_id": 7}),
        json!({"user_id": ""}),
        json!({"user_id": {"$ne": 1}}),
        json!({"user_id": long}),
        json!("ann"),
    ] {
        for transport in [Transport::WebSocket, Transport::Polling] {
            let refusal = Client::try_connect(transport, app.addr, auth.clone()).await.err();
            let refusal = refusal.unwrap_or_else(|| panic!("{auth} got in"));
            assert!(refusal["message"].as_str().unwrap().contains("user"), "{refusal}");
        }
    }
    assert_eq!(app.metric("banter_connections").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_transports_talk_to_each_other() {
    let app = TestApp::on_sqlite().await;
    let mut ann = app.user("ann").await;
    let mut bob = Client::connect_by(Transport::Polling, app.addr, json!({"user_id": "bob"})).await;
    sent(&mut ann, to_user("bob", "hello")).await;
    assert_eq!(bob.next_event("message").await["content"], "hello");
    sent(&mut bob, to_user("ann", "hi")).await;
    assert_eq!(ann.next_event("message").await["content"], "hello");
    assert_eq!(ann.next_event("message").await["content"], "hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_as_another_user_on_one_connection_is_that_user() {
    let app = TestApp::on_sqlite().await;
    let (mut client, mut eve) = (app.user("ann").await, app.user("eve").await);
    sent(&mut eve, to_user("ann", "to the first")).await;
    assert_eq!(client.next_event("message").await["content"], "to the first");
    client.raw_send("41").await;
    while app.metric("banter_connections").await != 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.so_far();
    client.raw_send(r#"40{"user_id":"bob"}"#).await;
    let answer = client.next_packet().await;
    assert!(matches!(answer, Packet::Connect(_)), "{answer:?}");
    for (to, content) in [("ann", "to the one who has left"), ("bob", "to the second")] {
        sent(&mut eve, to_user(to, content)).await;
    }
    assert_eq!(client.next_event("message").await["content"], "to the second");
    assert_eq!(client.emit_ack("join_group", json!("x")).await["ok"], json!(false));
}

/// The library answers CONNECT a moment before it takes packets for the socket. Many clients at
/// once make that moment long enough to be met.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_event_of_a_connection_is_heard_and_answered() {
    let app = TestApp::on_sqlite().await;
    for round in 0..20 {
        let clients = (0..32).map(async |n| {
            let name = format!("user{round}_{n}");
            let mut user = app.user(&name).await;
            sent(&mut user, to_user(&name, "first")).await;
            assert_eq!(user.next_event("message").await["content"], "first");
        });
        futures_util::future::join_all(clients).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_clients_that_have_gone() {
    let app = TestApp::on_sqlite().await;
    let group = app.group("ann", &["ann", "bob"]).await;
    for n in 0..300 {
        let mut client = app.user("ann").await;
        client.emit("join_group", json!(group)).await;
        client.send_with_ack("send_message", &[to_group(&group, "bye")]).await;
        match n % 3 {
            0 => client.disconnect().await,
            // The connection is cut.
            1 => drop(client),
            _ => {
                client.raw_send("41").await;
                drop(client);
            }
        }
    }
    while app.metric("banter_connections").await != 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn connections_are_counted() {
    let app = TestApp::on_sqlite().await;
    let (ann, _bob) = (app.user("ann").await, app.user("bob").await);
    while app.metric("banter_connections").await != 2.0 {
        tokio::task::yield_now().await;
    }
    ann.disconnect().await;
    while app.metric("banter_connections").await != 1.0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pages_of_foreign_origins_get_in_by_no_transport() {
    const HOME: &str = "https://chat.example.com";
    let app = TestApp::with(&[("CORS_ORIGINS", HOME)]).await;
    let http = crate::web::client();
    for (origin, is_let_in) in [
        (Some("https://evil.example.com"), false),
        (Some("https://chat.example.com.evil.example"), false),
        (Some("null"), false),
        (Some(HOME), true),
        (None, true),
    ] {
        let url = format!("{}/socket.io/?EIO=4&transport=", app.addr);
        let mut request = format!("ws://{url}websocket").into_client_request().unwrap();
        let mut polling = http.get(format!("http://{url}polling"));
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
            polling = polling.header("origin", origin);
        }
        let upgraded = tokio_tungstenite::connect_async(request).await;
        assert_eq!(upgraded.is_ok(), is_let_in, "{origin:?}");
        let status = polling.send().await.unwrap().status();
        assert_eq!(status.is_success(), is_let_in, "{origin:?}");
        assert!(is_let_in || status == reqwest::StatusCode::FORBIDDEN, "{origin:?}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_from_the_start_are_written_to_past_the_library() {
    let app = TestApp::on_sqlite().await;
    let kinds = async || {
        (app.metric("banter_connections").await, app.metric("banter_direct_connections").await)
    };
    let ann = app.user("ann").await;
    assert_eq!(kinds().await, (1.0, 1.0));
    let polling = Client::connect_by(Transport::Polling, app.addr, json!({"user_id": "bob"})).await;
    assert_eq!(kinds().await, (2.0, 1.0), "a long poll is an answer of HTTP");
    let old = Client::connect_by(Transport::WebSocketV3, app.addr, json!({"user_id": "cid"})).await;
    assert_eq!(kinds().await, (3.0, 1.0), "protocol 3 has other packets");
    ann.disconnect().await;
    while kinds().await != (2.0, 0.0) {
        tokio::task::yield_now().await;
    }
    drop((polling, old));
    app.stop().await;
}
