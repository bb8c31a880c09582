//! The end of a socket, the end of the server, and namespaces nobody defined.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::serve;
use crate::sio::{Client, Packet, Transport};

/// A server that tells how each socket ended, and which rooms it was still in then.
async fn observed()
-> (std::net::SocketAddr, SocketIo, mpsc::Receiver<(Vec<String>, DisconnectReason)>) {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let (ended, ends) = mpsc::channel(8);
    let middleware = async move |socket: SocketRef| {
        socket.join("room");
        socket.on_disconnect(async move |socket: SocketRef, reason: DisconnectReason| {
            let rooms = socket.rooms().iter().map(ToString::to_string).collect();
            ended.send((rooms, reason)).await.ok();
        });
        Ok::<_, String>(())
    };
    io.ns("/", (async || ()).with(middleware));
    (addr, io, ends)
}

#[tokio::test]
async fn the_disconnect_handler_still_knows_the_rooms() {
    let (addr, _, mut ends) = observed().await;
    let mut client = Client::connect(addr, json!({})).await;
    client.raw_send("41").await;
    let (rooms, reason) = ends.recv().await.unwrap();
    assert_eq!((rooms, reason), (vec!["room".to_owned()], DisconnectReason::ClientNSDisconnect));
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_the_socket_with_a_transport_reason() {
    let (addr, _, mut ends) = observed().await;
    drop(Client::connect(addr, json!({})).await);
    let (rooms, reason) = ends.recv().await.unwrap();
    assert_eq!(rooms, ["room"]);
    assert!(
        matches!(reason, DisconnectReason::TransportClose | DisconnectReason::TransportError),
        "{reason:?}"
    );
}

#[tokio::test]
async fn the_server_may_disconnect_a_socket_from_the_namespace_and_keep_the_connection() {
    let (addr, io, mut ends) = observed().await;
    let mut client = Client::connect(addr, json!({})).await;
    io.sockets().remove(0).disconnect().unwrap();
    assert_eq!(client.next_packet().await, Packet::Disconnect);
    assert_eq!(ends.recv().await.unwrap().1, DisconnectReason::ServerNSDisconnect);
    client.raw_send("40{}").await;
    assert!(matches!(client.next_packet().await, Packet::Connect(_)));
}

#[tokio::test]
async fn close_ends_every_websocket_after_what_was_queued_but_calls_no_disconnect_handler() {
    let (addr, io, mut ends) = observed().await;
    let mut client = Client::connect(addr, json!({})).await;
    let socket = io.sockets().remove(0);
    for n in 0..10 {
        io.to("room").emit("n", &n).await.unwrap();
    }
    io.close().await;
    for n in 0..10 {
        assert_eq!(client.next_event("n").await, n);
    }
    client.closed().await;
    assert!(timeout(Duration::from_millis(200), ends.recv()).await.is_err());
    assert!(socket.connected(), "it does not even know that it has ended");
}

#[tokio::test]
async fn close_ends_every_polling_session() {
    let (addr, io, _ends) = observed().await;
    let mut client = Client::connect_by(Transport::Polling, addr, json!({})).await;
    io.close().await;
    client.closed().await;
}

#[tokio::test]
async fn after_close_the_default_namespace_is_gone_and_using_it_panics() {
    let (_, io, _) = observed().await;
    io.close().await;
    assert!(io.of("/").is_none(), "this is how to ask");
    let used = std::panic::AssertUnwindSafe(async { io.to("room").emit("n", &1).await.is_ok() });
    assert!(used.catch_unwind().await.is_err());
}

#[tokio::test]
async fn after_close_a_new_connection_is_refused_its_namespace() {
    let (addr, io, _) = observed().await;
    io.close().await;
    let mut client = Client::open(Transport::WebSocket, addr).await;
    client.raw_send("40{}").await;
    let refusal = Packet::ConnectError(json!({"message": "Invalid namespace"}));
    assert_eq!(client.next_packet().await, refusal);
}

#[tokio::test]
async fn a_socket_without_connect_is_closed_after_the_connect_timeout() {
    let (layer, io) = SocketIo::builder().connect_timeout(Duration::from_millis(50)).build_layer();
    io.ns("/", async || ());
    let (addr, _) = serve((layer, io)).await;
    Client::open(Transport::WebSocket, addr).await.closed().await;
}

#[tokio::test]
async fn twenty_thousand_unknown_namespaces_are_each_refused_and_none_is_kept() {
    const NAMESPACES: usize = 20_000;
    let (addr, io, _) = observed().await;
    let mut client = Client::connect(addr, json!({})).await;
    for n in 0..NAMESPACES {
        client.raw_send(format!("40/{n},")).await;
        let refused = format!(r#"44/{n},{{"message":"Invalid namespace"}}"#);
        assert_eq!(client.next_packet().await, Packet::Other(refused));
    }
    assert_eq!(io.nsps().len(), 1);
}

#[tokio::test]
async fn a_second_connect_of_the_same_connection_is_ignored() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let calls = Arc::new(Mutex::new(0));
    let called = calls.clone();
    let middleware = async move |_: SocketRef| {
        *called.lock().unwrap() += 1;
        Ok::<_, String>(())
    };
    io.ns("/", (async || ()).with(middleware));
    let mut client = Client::connect(addr, json!({"user_id": "a"})).await;
    client.raw_send(r#"40{"user_id":"b"}"#).await;
    client.settle().await;
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[tokio::test]
async fn the_request_that_opened_the_connection_is_known_to_its_socket() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        let query = socket.req_parts().uri.query().unwrap_or_default().to_owned();
        socket.emit("query", &query).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    assert_eq!(client.next_event("query").await, "EIO=4&transport=websocket");
}
