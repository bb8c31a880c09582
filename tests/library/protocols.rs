//! Which protocol versions and transports work.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::{ProtocolVersion, SocketIo, TransportType};
use tokio::time::timeout;

use crate::serve;
use crate::sio::{Client, Transport};

async fn echo() -> SocketAddr {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let middleware = async |socket: SocketRef, TryData(auth): TryData<Value>| {
        let auth = auth.ok();
        let query = socket.req_parts().uri.query().unwrap_or_default().to_owned();
        socket.on("echo", async |TryData(value): TryData<Value>, ack: AckSender| {
            ack.send(&value.unwrap_or_default()).ok();
        });
        socket.on(
            "about",
            async move |version: ProtocolVersion, transport: TransportType, ack: AckSender| {
                let version = match version {
                    ProtocolVersion::V4 => 4,
                    ProtocolVersion::V5 => 5,
                };
                let polling = transport == TransportType::Polling;
                ack.send(&json!({
                    "version": version, "polling": polling, "auth": auth, "query": query,
                }))
                .ok();
            },
        );
        Ok::<_, String>(())
    };
    io.ns("/", (async || ()).with(middleware));
    addr
}

#[tokio::test]
async fn eio_4_works_over_websocket() {
    let mut client = Client::connect(echo().await, json!({"user_id": "a"})).await;
    assert_eq!(client.emit_ack("echo", json!({"n": 1})).await, json!({"n": 1}));
    let about = client.emit_ack("about", json!(null)).await;
    assert_eq!(about["version"], 5);
    assert_eq!(about["auth"], json!({"user_id": "a"}));
    assert_eq!(about["polling"], false);
}

#[tokio::test]
async fn eio_4_works_over_polling() {
    let addr = echo().await;
    let mut client = Client::connect_by(Transport::Polling, addr, json!({"user_id": "a"})).await;
    assert_eq!(client.emit_ack("echo", json!("é")).await, "é");
    assert_eq!(client.emit_ack("about", json!(null)).await["polling"], true);
}

#[tokio::test]
async fn eio_3_works_over_websocket_and_has_no_auth_but_the_query() {
    let mut client = Client::connect_by(Transport::WebSocketV3, echo().await, json!({})).await;
    assert_eq!(client.emit_ack("echo", json!("é")).await, "é");
    let about = client.emit_ack("about", json!(null)).await;
    assert_eq!(about["version"], 4);
    assert_eq!(about["auth"], json!({}));
    assert_eq!(about["query"], "EIO=3&transport=websocket");
}

#[tokio::test]
async fn the_heartbeat_of_eio_3_is_the_clients_and_is_answered() {
    let mut client = Client::connect_by(Transport::WebSocketV3, echo().await, json!({})).await;
    client.raw_send("2").await;
    assert_eq!(client.emit_ack("echo", json!(1)).await, 1);
}

/// Sends `packet` with this length before it, as an EIO=3 payload, and gives what the server then
/// sends.
async fn echo_by_polling_v3(packet: &str, length: usize) -> (u16, String) {
    let http = crate::web::client();
    let url = format!("http://{}/socket.io/?EIO=3&transport=polling", echo().await);
    let open = http.get(&url).send().await.unwrap().text().await.unwrap();
    let open: Value = serde_json::from_str(open.split_once(":0").unwrap().1).unwrap();
    let url = format!("{url}&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(http.get(&url).send().await.unwrap().text().await.unwrap(), "2:40");
    let body = format!("{length}:{packet}");
    let posted = http.post(&url).header("content-type", "text/plain;charset=UTF-8").body(body);
    let status = posted.send().await.unwrap().status().as_u16();
    let next = timeout(Duration::from_secs(1), http.get(&url).send()).await;
    match next {
        Ok(answer) => (status, answer.unwrap().text().await.unwrap()),
        Err(_) => (status, "nothing".to_owned()),
    }
}

#[tokio::test]
async fn the_text_packets_of_eio_3_work_over_polling_too_with_lengths_in_utf_16() {
    let packet = r#"421["echo","😀"]"#;
    let utf_16 = packet.encode_utf16().count();
    let (status, answer) = echo_by_polling_v3(packet, utf_16).await;
    assert_eq!((status, answer.as_str()), (200, r#"9:431["😀"]"#));
    let (status, _) = echo_by_polling_v3(packet, utf_16 - 1).await;
    assert_eq!(status, 400);
}
