//! What leaves the server: rooms, full channels, acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;
use socketioxide::{BroadcastError, SendError, SocketError, SocketIo};
use tokio::sync::mpsc;

use crate::serve;
use crate::sio::Client;

/// How many packets fit a socket's channel in these tests.
const CHANNEL: usize = 4;

/// How long the end of a connection may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server whose sockets have a channel of [`CHANNEL`] packets and are in the room `room`. The
/// test's runtime has one thread: nothing leaves a channel while a test does not await.
async fn small_channels() -> (std::net::SocketAddr, SocketIo) {
    let (addr, io) = serve(SocketIo::builder().max_buffer_size(CHANNEL).build_layer()).await;
    let middleware = async |socket: SocketRef| {
        socket.join("room");
        Ok::<_, String>(())
    };
    io.ns("/", (async || ()).with(middleware));
    (addr, io)
}

/// A client whose channel is empty, and stays so: no ping comes for a while, and nothing else.
async fn connected(addr: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(addr, json!({})).await;
    client.pinged().await;
    client.settle().await;
    client
}

/// Reads the packets that filled the channel.
async fn drained(client: &mut Client) {
    for n in 0..CHANNEL {
        assert_eq!(client.next_event("n").await, n);
    }
}

#[tokio::test]
async fn a_full_channel_refuses_the_packet_with_internal_channel_full_and_keeps_what_it_has() {
    let (addr, io) = small_channels().await;
    let mut client = connected(addr).await;
    let socket = io.sockets().remove(0);
    for n in 0..CHANNEL {
        socket.emit("n", &n).unwrap();
    }
    let refused = socket.emit("n", "one too many");
    assert!(matches!(refused, Err(SendError::Socket(SocketError::InternalChannelFull))));
    drained(&mut client).await;
    socket.emit("n", "there is room again").unwrap();
    assert_eq!(client.next_event("n").await, "there is room again");
}

#[tokio::test]
async fn a_heartbeat_that_finds_the_channel_full_ends_the_connection() {
    const PING_INTERVAL: Duration = Duration::from_secs(25);
    /// More than the kernel holds for one connection.
    const LARGE: usize = 12 * 1024 * 1024;
    let builder = SocketIo::builder().max_buffer_size(CHANNEL).ping_interval(PING_INTERVAL);
    let (addr, io) = serve(builder.build_layer()).await;
    let (ended, mut ends) = mpsc::channel(1);
    io.ns("/", async move |socket: SocketRef| {
        socket.on_disconnect(async move |reason: DisconnectReason| {
            ended.send(reason).await.ok();
        });
    });
    let mut client = connected(addr).await;
    client.stop_reading().await;
    let socket = io.sockets().remove(0);
    socket.emit("n", &"x".repeat(LARGE)).unwrap();
    tokio::time::pause();
    while socket.emit("n", "what the connection does not take").is_ok() {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(PING_INTERVAL).await;
    tokio::time::resume();
    // A ping with a place in the channel would be answered now. That the connection has ended is
    // told only once the write under way is over.
    client.read_again().await;
    let reason = tokio::time::timeout(PATIENCE, ends.recv()).await;
    assert_eq!(reason.unwrap(), Some(DisconnectReason::HeartbeatTimeout));
}

#[tokio::test]
async fn disconnect_of_a_socket_with_a_full_channel_fails_and_leaves_it_connected() {
    let (addr, io) = small_channels().await;
    let mut client = connected(addr).await;
    let socket = io.sockets().remove(0);
    for n in 0..CHANNEL {
        socket.emit("n", &n).unwrap();
    }
    assert!(matches!(socket.clone().disconnect(), Err(SocketError::InternalChannelFull)));
    assert!(socket.connected());
    drained(&mut client).await;
    socket.disconnect().unwrap();
}

#[tokio::test]
async fn a_broadcast_reports_one_error_per_full_socket_but_not_whose_and_serves_the_others() {
    let (addr, io) = small_channels().await;
    let mut full = connected(addr).await;
    let stalled = io.sockets().remove(0);
    let mut other = connected(addr).await;
    for n in 0..CHANNEL {
        stalled.emit("n", &n).unwrap();
    }
    // Without an adapter of several nodes, this never waits.
    let sent = io.to("room").emit("message", "hello").await;
    match sent {
        Err(BroadcastError::Socket(errors)) => {
            assert!(matches!(errors[..], [SocketError::InternalChannelFull]));
        }
        other => panic!("the loss is not reported: {other:?}"),
    }
    assert_eq!(other.next_event("message").await, "hello");
    drained(&mut full).await;
    full.settle().await;
    assert!(full.events_so_far("message").await.is_empty());
}

#[tokio::test]
async fn the_sockets_of_a_room_can_be_emitted_to_one_by_one_to_learn_which_is_full() {
    let (addr, io) = small_channels().await;
    let _client = connected(addr).await;
    for n in 0..CHANNEL {
        io.to("room").emit("n", &n).await.unwrap();
    }
    let sockets = io.to("room").sockets();
    let refused: Vec<_> = sockets.iter().filter(|s| s.emit("message", "hello").is_err()).collect();
    assert_eq!(refused.len(), 1);
}

#[tokio::test]
async fn a_volatile_packet_never_fills_the_channel_and_only_the_newest_is_kept() {
    let (addr, io) = small_channels().await;
    let mut client = connected(addr).await;
    for n in 0..10 * CHANNEL {
        io.to("room").volatile().emit("typing", &n).await.unwrap();
    }
    io.to("room").emit("message", "hello").await.unwrap();
    client.next_event("message").await;
    assert_eq!(client.next_event("typing").await, json!(10 * CHANNEL - 1));
    client.settle().await;
    assert!(client.events_so_far("typing").await.is_empty());
}

#[tokio::test]
async fn a_socket_in_several_rooms_gets_a_broadcast_to_all_of_them_once() {
    let (addr, io) = serve(SocketIo::builder().build_layer()).await;
    let middleware = async |socket: SocketRef| {
        socket.join(["user_a", "user_b"]);
        Ok::<_, String>(())
    };
    io.ns("/", (async || ()).with(middleware));
    let mut client = Client::connect(addr, json!({})).await;
    io.to(["user_a", "user_b"]).emit("message", "once").await.unwrap();
    client.settle().await;
    assert_eq!(client.events_so_far("message").await, ["once"]);
}

struct Counted(Arc<AtomicUsize>);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        serializer.serialize_str("payload")
    }
}

#[tokio::test]
async fn a_broadcast_is_encoded_as_often_for_ten_sockets_as_for_one() {
    let mut counts = Vec::new();
    for sockets in [1, 10] {
        let (addr, io) = small_channels().await;
        let mut clients = Vec::new();
        for _ in 0..sockets {
            clients.push(Client::connect(addr, json!({})).await);
        }
        let encoded = Arc::new(AtomicUsize::new(0));
        io.to("room").emit("message", &Counted(encoded.clone())).await.unwrap();
        for client in &mut clients {
            assert_eq!(client.next_event("message").await, "payload");
        }
        counts.push(encoded.load(Ordering::Relaxed));
    }
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test]
async fn a_broadcast_to_a_room_without_sockets_is_no_error() {
    let (_, io) = small_channels().await;
    io.to("nobody").emit("message", "hello").await.unwrap();
}

#[tokio::test]
async fn an_array_is_one_argument_and_a_tuple_is_several() {
    let (addr, io) = small_channels().await;
    let mut client = Client::connect(addr, json!({})).await;
    io.to("room").emit("array", &json!([1, 2])).await.unwrap();
    assert_eq!(client.next_event("array").await, json!([1, 2]));
    io.to("room").emit("tuple", &(1, 2)).await.unwrap();
    assert_eq!(client.next_event("tuple").await, json!(1));
}
