//! Two writers on one connection, through real sockets.

use std::future::poll_fn;
use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
const ANSWER: &str = "40{\"sid\":\"x\"}";
/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);

async fn connected() -> (Arc<Egress>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let (_, out) = server.into_split();
    (Egress::new(out), client)
}

/// What whoever serves the connection does with bytes, so many at a time.
async fn write(egress: &Egress, bytes: &[u8], at_once: usize) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let part = &rest[..at_once.min(rest.len())];
        let written = poll_fn(|cx| egress.poll_write(cx, &[IoSlice::new(part)])).await.unwrap();
        rest = &rest[written..];
    }
    poll_fn(|cx| egress.poll_flush(cx)).await.unwrap();
}

async fn open(egress: &Egress) {
    egress.upgrade();
    write(egress, HEAD.as_bytes(), 7).await;
    assert!(egress.claim() && !egress.claim(), "there is one to claim it");
    write(egress, &text_frame(&[ANSWER]), 3).await;
}

/// What the client is told, its connection opened and the head read.
async fn told(mut client: TcpStream) -> WebSocketStream<TcpStream> {
    let mut head = vec![0; HEAD.len()];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(head, HEAD.as_bytes());
    WebSocketStream::from_raw_socket(client, Role::Client, None).await
}

async fn next(client: &mut WebSocketStream<TcpStream>) -> String {
    let frame = timeout(LONG, client.next()).await.expect("a frame in time").expect("a frame");
    frame.expect("a whole frame").into_text().unwrap().to_string()
}

/// Sends a frame, and sees that it is written.
async fn send(egress: &Egress, frame: Bytes) {
    let sent = egress.send(frame);
    assert!(matches!(sent, Sent::Unflushed | Sent::Queued), "{sent:?}");
    if sent == Sent::Unflushed {
        while egress.flush() != Flushed::Done {
            egress.writable().await;
        }
    }
}

#[tokio::test]
async fn frames_of_any_length_are_read_as_they_were_made() {
    let (egress, client) = connected().await;
    open(&egress).await;
    let texts = [0, 1, 125, 126, 127, 65_535, 65_536].map(|length| "x".repeat(length));
    let mut client = told(client).await;
    assert_eq!(next(&mut client).await, ANSWER);
    for text in &texts {
        send(&egress, text_frame(&[&text[..text.len() / 2], &text[text.len() / 2..]])).await;
        assert_eq!(next(&mut client).await, *text);
    }
}

#[tokio::test]
async fn nothing_is_told_before_the_answer_to_connect() {
    let (egress, client) = connected().await;
    assert!(!egress.claim(), "it speaks HTTP");
    egress.upgrade();
    write(&egress, HEAD.as_bytes(), 100).await;
    assert!(egress.claim());
    send(&egress, text_frame(&["first"])).await;
    write(&egress, &text_frame(&["0{\"sid\":\"40{\"}"]), 100).await;
    send(&egress, text_frame(&["second"])).await;
    assert_eq!(egress.waiting(), 2);
    write(&egress, &text_frame(&[ANSWER]), 1).await;
    let mut client = told(client).await;
    for text in ["0{\"sid\":\"40{\"}", ANSWER, "first", "second"] {
        assert_eq!(next(&mut client).await, text);
    }
}

#[tokio::test]
async fn what_a_client_was_not_to_be_told_yet_is_not_told_to_the_next_one_on_its_connection() {
    let (egress, client) = connected().await;
    egress.upgrade();
    write(&egress, HEAD.as_bytes(), 100).await;
    assert!(egress.claim());
    send(&egress, text_frame(&["not for you"])).await;
    egress.release();
    assert_eq!(egress.send(text_frame(&["neither"])), Sent::Closed);
    assert!(!egress.claim());
    write(&egress, &text_frame(&[ANSWER]), 100).await;
    write(&egress, &text_frame(&["2"]), 100).await;
    let mut client = told(client).await;
    for text in [ANSWER, "2"] {
        assert_eq!(next(&mut client).await, text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_keep_their_frames_whole_and_in_order_whatever_the_client_takes() {
    // Together less than may wait.
    const FRAMES: usize = 400;
    let (egress, client) = connected().await;
    open(&egress).await;
    let text = |writer: &str, n: usize| format!("{writer}{n}:{}", "y".repeat(n * 997 % 70_000));
    let (one, other) = (Arc::clone(&egress), Arc::clone(&egress));
    let mut writers = tokio::task::JoinSet::new();
    writers.spawn(async move {
        for n in 0..FRAMES {
            send(&one, text_frame(&[&text("a", n)])).await;
        }
    });
    writers.spawn(async move {
        for n in 0..FRAMES {
            write(&other, &text_frame(&[&text("b", n)]), 1 + n * 31 % 5_000).await;
        }
    });
    let mut client = told(client).await;
    assert_eq!(next(&mut client).await, ANSWER);
    let mut seen = [0, 0];
    while seen != [FRAMES; 2] {
        let frame = next(&mut client).await;
        let writer = usize::from(frame.starts_with('b'));
        assert_eq!(frame, text(["a", "b"][writer], seen[writer]));
        seen[writer] += 1;
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(egress.waiting(), 0);
}

#[test]
fn between_the_frames_of_one_message_there_is_no_place_for_another() {
    let mut boundary = Boundary::default();
    let [first, ping, last] = [&[0x01, 1, b'a'], &[0x89, 1, b'p'], &[0x80, 1, b'b']];
    for (frame, is_between) in [(first, false), (ping, false), (last, true), (ping, true)] {
        boundary.pass(frame);
        assert_eq!(boundary.is_between(), is_between, "after {frame:?}");
    }
}

#[tokio::test]
async fn a_full_way_out_takes_no_more_and_one_that_is_cut_nothing() {
    let (egress, mut client) = connected().await;
    let frame = text_frame(&[&"z".repeat(MAX_BYTES / 4)]);
    let sent = std::iter::from_fn(|| Some(egress.send(frame.clone())));
    let taken = sent.take_while(|sent| *sent != Sent::Full).count();
    assert_eq!(taken, 3, "a frame is longer than its text");
    assert_eq!(egress.cut(), taken);
    assert_eq!((egress.send(frame), egress.flush()), (Sent::Closed, Flushed::Done));
    let mut rest = Vec::new();
    timeout(LONG, client.read_to_end(&mut rest)).await.expect("the connection ends").unwrap();
    assert!(rest.is_empty());
    let _ = client.shutdown().await;
}

proptest! {
    /// Wherever a stream of frames is cut into pieces, its follower knows when it is between two of
    /// them, and which of them was an answer to CONNECT.
    #[test]
    fn a_stream_is_followed_through_any_pieces(
        lengths in prop::collection::vec((0_usize..300, any::<bool>()), 1..12),
        pieces in prop::collection::vec(1_usize..200, 1..60),
    ) {
        let mut stream = Vec::new();
        let (mut ends, mut answers) = (vec![0], Vec::new());
        for (length, is_answer) in lengths {
            let text = if is_answer { format!("40{{{}", "x".repeat(length)) } else { "4".repeat(length) };
            stream.extend_from_slice(&text_frame(&[&text]));
            ends.push(stream.len());
            if is_answer {
                answers.push(stream.len());
            }
        }
        let (mut boundary, mut at) = (Boundary::default(), 0);
        for piece in pieces.into_iter().cycle() {
            let end = stream.len().min(at + piece);
            let has_connected = boundary.pass(&stream[at..end]);
            prop_assert_eq!(has_connected, answers.iter().any(|answer| (at + 1..=end).contains(answer)));
            prop_assert_eq!(boundary.is_between(), ends.contains(&end));
            at = end;
            if at == stream.len() {
                break;
            }
        }
    }
}
