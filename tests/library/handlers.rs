//! When handlers run: order, and what is there for a client's first event.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, Event, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use tokio::sync::Notify;

use crate::serve;
use crate::sio::{Client, Packet, Transport};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_synchronous_part_of_a_handler_runs_in_frame_order() {
    const EVENTS: u64 = 5_000;
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seen_by_handler = seen.clone();
    io.ns("/", async move |socket: SocketRef| {
        socket.on("n", move |Data::<u64>(n), ack: AckSender| {
            seen_by_handler.lock().unwrap().push(n);
            async move {
                if n == EVENTS {
                    ack.send(&n).ok();
                }
            }
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    for n in 1..EVENTS {
        client.emit("n", json!(n)).await;
    }
    client.emit_ack("n", json!(EVENTS)).await;
    assert!(seen.lock().unwrap().iter().copied().eq(1..=EVENTS));
}

#[tokio::test]
async fn the_async_bodies_of_two_events_of_one_socket_overlap_and_may_end_in_another_order() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let release = Arc::new(Notify::new());
    io.ns("/", async move |socket: SocketRef| {
        let released = release.clone();
        socket.on("first", async move |socket: SocketRef| {
            released.notified().await;
            socket.emit("ended", "first").ok();
        });
        socket.on("second", async move |socket: SocketRef| {
            socket.emit("ended", "second").ok();
            release.notify_one();
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    client.emit("first", json!(null)).await;
    client.emit("second", json!(null)).await;
    assert_eq!(client.next_event("ended").await, "second");
    assert_eq!(client.next_event("ended").await, "first");
}

#[tokio::test]
async fn what_connect_middleware_registers_is_there_for_the_first_event() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let middleware = async |socket: SocketRef| -> Result<(), String> {
        // The answer to CONNECT waits for all of this.
        tokio::time::sleep(Duration::from_millis(20)).await;
        socket.join("room");
        socket.on("first", async |socket: SocketRef, ack: AckSender| {
            ack.send(&socket.rooms()).ok();
        });
        Ok(())
    };
    io.ns("/", (async || ()).with(middleware));
    let mut client = Client::connect(addr, json!({})).await;
    assert_eq!(client.emit_ack("first", json!(null)).await, json!(["room"]));
}

#[tokio::test]
async fn the_connect_handler_runs_after_connect_was_answered_so_it_is_too_late_to_register() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let (reached, register) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_reached, may_register) = (reached.clone(), register.clone());
    io.ns("/", async move |socket: SocketRef| {
        handler_reached.notify_one();
        may_register.notified().await;
        socket.on("event", async |ack: AckSender| {
            ack.send("heard").ok();
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    reached.notified().await;
    client.send_with_ack("event", &[json!("lost")]).await;
    client.settle().await;
    register.notify_one();
    client.next_event("registered").await;
    let second = client.send_with_ack("event", &[json!("kept")]).await;
    assert_eq!(
        client.next_packet().await,
        Packet::Ack { id: second, args: vec![json!("heard")] },
        "the first event is never answered"
    );
}

#[tokio::test]
async fn an_event_sent_before_the_answer_to_connect_closes_the_connection() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let never = Arc::new(Notify::new());
    let middleware = async move |_: SocketRef| -> Result<(), String> {
        never.notified().await;
        Ok(())
    };
    io.ns("/", (async || ()).with(middleware));
    let mut client = Client::open(Transport::WebSocket, addr).await;
    client.raw_send("40{}").await;
    client.emit("early", json!(null)).await;
    client.closed().await;
}

#[tokio::test]
async fn an_error_of_connect_middleware_refuses_with_its_text_as_data_message() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let middleware = async |socket: SocketRef, TryData(auth): TryData<Value>| {
        socket.join("room");
        match auth {
            Ok(auth) if auth["user_id"].is_string() => Ok(()),
            _ => Err("user_id is required"),
        }
    };
    io.ns("/", (async || ()).with(middleware));
    let refusal = Client::try_connect(Transport::WebSocket, addr, json!({})).await;
    assert_eq!(refusal.err(), Some(json!({"message": "user_id is required"})));
    assert!(io.rooms().await.unwrap().is_empty(), "the rooms it had joined are left again");
    Client::connect(addr, json!({"user_id": "a"})).await;
}

#[tokio::test]
async fn nothing_can_be_emitted_from_connect_middleware() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let middleware = async |socket: SocketRef| match socket.emit("early", &()) {
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(()),
    };
    io.ns("/", (async || ()).with(middleware));
    let refusal = Client::try_connect(Transport::WebSocket, addr, json!({})).await;
    let refusal = refusal.err().expect("the emit failed");
    assert!(refusal["message"].as_str().unwrap().contains("Closed"), "{refusal}");
}

#[tokio::test]
async fn unknown_events_reach_the_fallback_with_their_name_and_known_ones_do_not() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        socket.on("known", async |ack: AckSender| {
            ack.send("handler").ok();
        });
        socket.on_fallback(async |Event(name): Event, ack: AckSender| {
            ack.send(&format!("fallback: {name}")).ok();
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    assert_eq!(client.emit_ack("known", json!(1)).await, "handler");
    assert_eq!(client.emit_ack("unknown", json!(1)).await, "fallback: unknown");
}

#[tokio::test]
async fn a_panic_in_the_async_body_ends_that_event_alone() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    io.ns("/", async |socket: SocketRef| {
        socket.on("panics", async || panic!("on purpose"));
        socket.on("answers", async |ack: AckSender| {
            ack.send("yes").ok();
        });
        socket.emit("registered", &()).ok();
    });
    let mut client = Client::connect(addr, json!({})).await;
    client.next_event("registered").await;
    client.emit("panics", json!(null)).await;
    assert_eq!(client.emit_ack("answers", json!(null)).await, "yes");
}
