//! Which limit covers which transport.

use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::{ParserConfig, SocketIo, SocketIoBuilder};

use crate::serve;
use crate::sio::{Client, Transport};

/// Ten times what the limits of these tests allow.
fn long_text() -> Value {
    json!("x".repeat(10_000))
}

async fn echo_length(builder: SocketIoBuilder) -> std::net::SocketAddr {
    let (addr, io) = serve(builder.build_layer()).await;
    let middleware = async |socket: SocketRef| {
        socket.on("length", async |TryData(text): TryData<String>, ack: AckSender| {
            ack.send(&text.map(|text| text.len()).unwrap_or_default()).ok();
        });
        socket.on("binary", async |ack: AckSender| {
            ack.send("complete").ok();
        });
        Ok::<_, String>(())
    };
    io.ns("/", (async || ()).with(middleware));
    addr
}

#[tokio::test]
async fn max_payload_limits_a_polling_body() {
    let addr = echo_length(SocketIo::builder().max_payload(1_000)).await;
    let mut client = Client::connect_by(Transport::Polling, addr, json!({})).await;
    assert_eq!(client.emit_ack("length", json!("short")).await, 5);
    client.emit("length", long_text()).await;
    client.closed().await;
}

#[tokio::test]
async fn max_payload_does_not_limit_a_websocket_message() {
    let addr = echo_length(SocketIo::builder().max_payload(1_000)).await;
    let mut client = Client::connect(addr, json!({})).await;
    assert_eq!(client.emit_ack("length", long_text()).await, 10_000);
}

#[tokio::test]
async fn ws_max_message_size_closes_a_websocket_and_does_not_limit_polling() {
    let builder = || SocketIo::builder().ws_max_message_size(1_000).ws_max_frame_size(1_000);
    let addr = echo_length(builder()).await;
    let mut client = Client::connect(addr, json!({})).await;
    assert_eq!(client.emit_ack("length", json!("short")).await, 5);
    client.emit("length", long_text()).await;
    client.closed().await;
    let mut polling = Client::connect_by(Transport::Polling, addr, json!({})).await;
    assert_eq!(polling.emit_ack("length", long_text()).await, 10_000);
}

#[tokio::test]
async fn ws_max_frame_size_alone_limits_a_message_of_one_frame() {
    let addr = echo_length(SocketIo::builder().ws_max_frame_size(1_000)).await;
    let mut client = Client::connect(addr, json!({})).await;
    client.emit("length", long_text()).await;
    client.closed().await;
}

#[tokio::test]
async fn parser_config_limits_the_number_of_binary_attachments() {
    let parser = ParserConfig::common().max_incoming_binaries(1);
    let addr = echo_length(SocketIo::builder().with_parser(parser)).await;
    let mut client = Client::connect(addr, json!({})).await;
    client.raw_send(r#"451-7["binary",{"_placeholder":true,"num":0}]"#).await;
    client.raw_send_binary(vec![1, 2, 3]).await;
    assert_eq!(client.ack(7).await, "complete");
    client.raw_send(r#"452-8["binary",{"_placeholder":true,"num":0}]"#).await;
    client.closed().await;
}

#[tokio::test]
async fn no_attachments_allowed_refuses_every_binary_event() {
    let parser = ParserConfig::common().max_incoming_binaries(0);
    let addr = echo_length(SocketIo::builder().with_parser(parser)).await;
    let mut client = Client::connect(addr, json!({})).await;
    client.raw_send(r#"451-["binary",{"_placeholder":true,"num":0}]"#).await;
    client.closed().await;
}

#[tokio::test]
async fn parser_config_limits_the_bytes_of_binary_attachments() {
    let parser = ParserConfig::common().max_incoming_binary_buf_size(1_000);
    let addr = echo_length(SocketIo::builder().with_parser(parser)).await;
    let mut client = Client::connect(addr, json!({})).await;
    client.raw_send(r#"451-["binary",{"_placeholder":true,"num":0}]"#).await;
    client.raw_send_binary(vec![0; 1_001]).await;
    client.closed().await;
}

#[tokio::test]
async fn a_binary_frame_that_no_event_announced_closes_the_connection() {
    let addr = echo_length(SocketIo::builder()).await;
    let mut client = Client::connect(addr, json!({})).await;
    client.raw_send_binary(vec![1]).await;
    client.closed().await;
}
