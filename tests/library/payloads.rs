//! What extractors make of what a client sends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use socketioxide::handler::{self, FromMessageParts};
use socketioxide::socket::Socket;

use crate::serve;
use crate::sio::Client;

#[derive(Debug, Deserialize)]
struct Named {
    #[expect(dead_code, reason = "it is read by its debug form")]
    name: String,
}

/// A server whose event `probe` answers with the debug form of what `TryData<T>` gives.
async fn probe<T>() -> SocketAddr
where
    T: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        socket.on("probe", async |TryData(data): TryData<T>, ack: AckSender| {
            let outcome = data.map_or_else(|_| "error".to_owned(), |data| format!("{data:?}"));
            ack.send(&outcome).ok();
        });
        socket.emit("registered", &()).ok();
    });
    addr
}

async fn outcomes<T>(calls: &[&[Value]]) -> Vec<String>
where
    T: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let mut client = Client::connect(probe::<T>().await, json!({})).await;
    client.next_event("registered").await;
    let mut outcomes = Vec::new();
    for arguments in calls {
        let id = client.send_with_ack("probe", arguments).await;
        outcomes.push(client.ack(id).await.as_str().expect("a text").to_owned());
    }
    outcomes
}

#[tokio::test]
async fn a_payload_that_does_not_decode_into_data_drops_the_event_without_an_answer() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        socket.on("strict", async |Data(n): Data<u32>, socket: SocketRef| {
            socket.emit("heard", &n).ok();
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    client.emit("strict", json!("no number")).await;
    client.emit("strict", json!(7)).await;
    assert_eq!(client.next_event("heard").await, 7);
    assert!(client.events_so_far("heard").await.is_empty());
}

#[tokio::test]
async fn try_data_takes_the_first_argument_and_ignores_the_others() {
    let named = json!({"name": "a", "unknown": 1});
    let calls: [&[Value]; 5] = [
        std::slice::from_ref(&named),
        &[named.clone(), json!("extra")],
        &[],
        &[json!("bare")],
        &[json!(null)],
    ];
    let outcomes = outcomes::<Named>(&calls).await;
    assert_eq!(
        outcomes,
        [r#"Named { name: "a" }"#, r#"Named { name: "a" }"#, "error", "error", "error"]
    );
}

#[tokio::test]
async fn try_data_of_a_string_takes_a_bare_string() {
    let calls: [&[Value]; 3] = [&[json!("id")], &[json!({"id": 1})], &[]];
    assert_eq!(outcomes::<String>(&calls).await, [r#""id""#, "error", "error"]);
}

#[tokio::test]
async fn try_data_of_any_value_takes_everything_but_no_argument_at_all() {
    let calls: [&[Value]; 4] = [&[json!("id")], &[json!([1, 2])], &[json!(null)], &[]];
    let outcomes = outcomes::<Value>(&calls).await;
    assert_eq!(outcomes, [r#"String("id")"#, "Array [Number(1), Number(2)]", "Null", "error"]);
}

#[tokio::test]
async fn try_data_of_a_tuple_takes_exactly_as_many_arguments() {
    let calls: [&[Value]; 4] = [
        &[json!("id"), json!(1)],
        &[json!("id")],
        &[json!("id"), json!(1), json!("extra")],
        &[json!(["id", 1])],
    ];
    let outcomes = outcomes::<(String, u32)>(&calls).await;
    assert_eq!(outcomes, [r#"("id", 1)"#, "error", "error", "error"]);
}

#[tokio::test]
async fn deeply_nested_json_is_an_error_and_not_a_crash() {
    let (addr, depth) = (probe::<Value>().await, 10_000);
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    client.raw_send(format!(r#"427["probe",{nested}]"#)).await;
    assert_eq!(client.ack(7).await, "error");
}

#[tokio::test]
async fn a_packet_that_is_no_event_at_all_closes_the_connection() {
    for broken in ["42{}", "42[]", "42[1]", "42", "4", "49", "44{}", "hello"] {
        let mut client = Client::connect(probe::<Value>().await, json!({})).await;
        client.raw_send(broken).await;
        client.closed().await;
    }
}

/// Whether the client asked for an acknowledgement: the library does not say, the raw parts do.
struct AckRequested(bool);

impl<A: Adapter> FromMessageParts<A> for AckRequested {
    type Error = Infallible;
    fn from_message_parts(
        _: &Arc<Socket<A>>,
        _: &mut handler::Value,
        ack_id: &Option<i64>,
    ) -> Result<Self, Infallible> {
        Ok(Self(ack_id.is_some()))
    }
}

/// The packet's whole JSON text, `["event", ...arguments]`.
struct Raw(String);

impl<A: Adapter> FromMessageParts<A> for Raw {
    type Error = Infallible;
    fn from_message_parts(
        _: &Arc<Socket<A>>,
        value: &mut handler::Value,
        _: &Option<i64>,
    ) -> Result<Self, Infallible> {
        Ok(Self(value.as_str().map(|text| text.as_str().to_owned()).unwrap_or_default()))
    }
}

#[tokio::test]
async fn an_own_extractor_sees_whether_an_ack_was_asked_for_and_the_raw_arguments() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        socket.on(
            "probe",
            async |AckRequested(asked): AckRequested, Raw(raw), socket: SocketRef| {
                socket.emit("probed", &json!([asked, raw])).ok();
            },
        );
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    client.emit_args("probe", &[json!(1), json!("x")]).await;
    assert_eq!(client.next_event("probed").await, json!([false, r#"["probe",1,"x"]"#]));
    client.send_with_ack("probe", &[]).await;
    assert_eq!(client.next_event("probed").await, json!([true, r#"["probe"]"#]));
}

#[tokio::test]
async fn an_ack_that_was_not_asked_for_is_not_sent_and_is_no_error() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        socket.on("event", async |ack: AckSender, socket: SocketRef| {
            let sent = ack.send("an answer");
            socket.emit("sent", &sent.is_ok()).ok();
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    client.emit("event", json!(null)).await;
    assert_eq!(
        client.next_packet().await,
        crate::sio::Packet::Event { name: "sent".into(), args: vec![json!(true)], ack: None }
    );
}
