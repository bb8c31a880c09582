//! What axum, hyper and tower-http do, and don't, for long-lived connections.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use socketioxide::SocketIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tower_http::cors::CorsLayer;

use crate::serve_router;
use crate::sio::Client;

const SHORT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_cors_layer_does_not_keep_a_foreign_page_from_opening_a_websocket() {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async || ());
    let only = CorsLayer::new().allow_origin(["https://chat.example.com".parse().unwrap()]);
    let addr = serve_router(Router::new().layer(layer).layer(only)).await;
    let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let stream = TcpStream::connect(addr).await.unwrap();
    let (_, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.status(), 101);
}

#[tokio::test]
async fn a_router_with_a_fallback_of_its_own_lays_the_layer_anew_for_each_request_it_catches() {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async || ());
    let not_found = async || axum::http::StatusCode::NOT_FOUND;
    let addr = serve_router(Router::new().fallback(not_found).layer(layer)).await;
    let url = format!("http://{addr}/socket.io/?EIO=4&transport=polling");
    let open = crate::web::get(&url).await.unwrap().text().await.unwrap();
    let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
    let next =
        crate::web::get(format!("{url}&sid={}", open["sid"].as_str().unwrap())).await.unwrap();
    assert_eq!(next.status(), 400, "the session is not known to the next request's service");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the server lives as long as the test")]
async fn axums_graceful_shutdown_does_not_wait_for_upgraded_connections() {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: socketioxide::extract::SocketRef| {
        socket.on("echo", async |ack: socketioxide::extract::AckSender| {
            ack.send("still here").ok();
        });
        socket.emit("registered", &()).ok();
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopping) = oneshot::channel::<()>();
    let server = axum::serve(listener, Router::new().layer(layer));
    let served = tokio::spawn(async move {
        server.with_graceful_shutdown(async { stopping.await.unwrap_or_default() }).await
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    stop.send(()).unwrap();
    timeout(PATIENCE, served).await.expect("it stops").unwrap().unwrap();
    assert_eq!(client.emit_ack("echo", json!(null)).await, "still here");
}

/// Serves one connection with hyper's own timer for heads.
#[expect(clippy::disallowed_methods, reason = "the server lives as long as the test")]
async fn hyper_with_head_timeout() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let app = Router::new().route("/", get(|| async { "hello" }));
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(SHORT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
            .await
            .ok();
    });
    addr
}

#[tokio::test]
async fn hypers_header_read_timeout_ends_a_slow_head_without_an_answer() {
    let mut stream = TcpStream::connect(hyper_with_head_timeout().await).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is cut").unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn hypers_header_read_timeout_ends_resting_connections_too() {
    let mut stream = TcpStream::connect(hyper_with_head_timeout().await).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is cut").unwrap();
    assert!(answer.ends_with(b"hello"));
}

#[tokio::test]
async fn an_accepted_connection_does_not_have_tcp_nodelay_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    assert!(!stream.nodelay().unwrap());
}
