//! What the WebSocket library does by itself under a split stream.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

const PATIENCE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<DuplexStream>;

/// Both ends of a connection whose server takes messages of so many bytes.
async fn pair(most: usize) -> (Socket, Socket) {
    let (ours, theirs) = duplex(64 * 1024);
    let config = WebSocketConfig::default().max_message_size(Some(most));
    let server = WebSocketStream::from_raw_socket(ours, Role::Server, Some(config));
    let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None);
    tokio::join!(server, client)
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    timeout(PATIENCE, socket.next()).await.expect("nothing comes")
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the server lives as long as the test")]
async fn a_ping_and_a_close_are_answered_by_the_half_that_reads() {
    let (server, mut client) = pair(1_000).await;
    let (never_written, mut reading) = server.split();
    let server = tokio::spawn(async move {
        let _kept = never_written;
        let mut seen = Vec::new();
        while let Some(Ok(message)) = reading.next().await {
            seen.push(message);
        }
        seen
    });
    client.send(Message::Ping("a".into())).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap().unwrap(), Message::Pong("a".into()));
    client.close(None).await.unwrap();
    assert!(matches!(next(&mut client).await, Some(Ok(Message::Close(_)))));
    assert!(!matches!(next(&mut client).await, Some(Ok(_))));
    let seen = timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(matches!(*seen, [Message::Ping(_), Message::Close(_)]), "{seen:?}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_an_error_and_a_close_can_still_be_sent() {
    let (server, mut client) = pair(1_000).await;
    let (mut writing, mut reading) = server.split();
    client.send(Message::text("x".repeat(1_001))).await.unwrap();
    let refused = timeout(PATIENCE, reading.next()).await.unwrap();
    assert!(matches!(refused, Some(Err(Error::Capacity(_)))), "{refused:?}");
    writing.send(Message::Close(None)).await.unwrap();
    assert!(matches!(next(&mut client).await, Some(Ok(Message::Close(_)))));
}
