//! What the design leans on in the libraries it is built with, each fact held against the real
//! library with a client that speaks the bare protocol. A fact that changes with an update of a
//! library shows here, by name, before it shows in the server.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/sio.rs"]
mod sio;
#[path = "../support/web.rs"]
mod web;

mod breaker;
mod fan_out;
mod handlers;
mod http;
mod limits;
mod payloads;
mod plain;
mod protocols;
mod sockets;
mod streams;

use std::net::SocketAddr;

use axum::Router;
use socketioxide::SocketIo;
use socketioxide::layer::SocketIoLayer;
use tokio::net::TcpListener;

/// Serves what the builder built on a free port of the loopback interface.
async fn serve((layer, io): (SocketIoLayer, SocketIo)) -> (SocketAddr, SocketIo) {
    (serve_router(Router::new().layer(layer)).await, io)
}

#[expect(clippy::disallowed_methods, reason = "the server lives as long as the test")]
async fn serve_router(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound listener has an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}
