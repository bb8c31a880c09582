//! One connection's packets, over WebSocket or polling: nothing here waits for one direction while
//! the other has something to do.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::polling::Polling;

/// How long a server may take to read that a client leaves.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// A connection that has joined the namespace.
pub(super) enum Link {
    WebSocket(Box<WebSocket>),
    Polling(Polling),
}

impl Link {
    /// The next packet, while what was taken is sent on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        self.poll_flush(cx);
        self.poll_packet(cx)
    }

    /// The next packet; an error when there will be none.
    fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        match self {
            Self::WebSocket(socket) => socket.poll_packet(cx),
            Self::Polling(polling) => polling.poll_packet(cx),
        }
    }

    /// Whether what was sent before has gone; if not, the task is woken when it has.
    pub(super) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::WebSocket(socket) => Pin::new(&mut socket.stream).poll_ready(cx).is_ready(),
            Self::Polling(polling) => polling.is_ready(),
        }
    }

    /// Takes a packet to be sent; [`poll`](Self::poll) sends it.
    pub(super) fn send(&mut self, packet: String) {
        match self {
            Self::WebSocket(socket) => socket.send(packet),
            Self::Polling(polling) => polling.send(packet),
        }
    }

    /// Sends on what was taken, as far as the server takes it; whether that is all.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::WebSocket(socket) => socket.poll_flush(cx),
            Self::Polling(polling) => polling.poll_flush(cx),
        }
    }
}

impl Link {
    /// Takes leave of the server, so that it need not wait for a heartbeat to fail.
    pub(super) async fn close(mut self) {
        self.send("41".to_owned());
        if let Self::Polling(_) = self {
            self.send("1".to_owned());
        }
        let flushed =
            poll_fn(|cx| if self.poll_flush(cx) { Poll::Ready(()) } else { Poll::Pending });
        // Who does not take it finds out.
        let _ = timeout(LEAVE_PATIENCE, flushed).await;
    }
}

/// A WebSocket.
pub(super) struct WebSocket {
    stream: WebSocketStream<Socket>,
    has_unsent: bool,
}

impl WebSocket {
    pub(super) fn new(stream: WebSocketStream<Socket>) -> Self {
        Self { stream, has_unsent: false }
    }

    fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Ok(text.into()),
                Some(Ok(Message::Close(frame))) => {
                    Err(frame.map_or_else(String::new, |frame| frame.to_string()))
                }
                // Pings of the WebSocket itself are answered by the library, with the next flush.
                Some(Ok(_)) => {
                    self.has_unsent = true;
                    continue;
                }
                Some(Err(error)) => Err(error.to_string()),
                None => Err(String::new()),
            });
        }
    }

    fn send(&mut self, packet: String) {
        // What fails here fails when reading, too, and is told there.
        let _ = Pin::new(&mut self.stream).start_send(Message::text(packet));
        self.has_unsent = true;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_unsent && Pin::new(&mut self.stream).poll_flush(cx).is_ready() {
            self.has_unsent = false;
        }
        !self.has_unsent
    }
}

/// A TCP connection that may be read slowly on purpose.
pub(super) struct Socket {
    stream: TcpStream,
    brake: Option<Brake>,
}

impl Socket {
    /// `brake`: how fast it is read, if not at once.
    pub(super) fn new(stream: TcpStream, brake: Option<Brake>) -> Self {
        Self { stream, brake }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, brake } = &mut *self;
        match brake {
            None => Pin::new(stream).poll_read(cx, buffer),
            Some(brake) => brake.poll_read(stream, cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Keeps reading to a number of bytes a second.
pub(super) struct Brake {
    bytes_per_second: u32,
    /// From when on all is read at once.
    released: Rc<Cell<bool>>,
    /// Until when nothing is read, as what was read last has used it up.
    rest: Pin<Box<Sleep>>,
}

impl Brake {
    /// Read at once: a tenth of a second's bytes.
    const PARTS: usize = 10;

    pub(super) fn new(bytes_per_second: u32, released: &Rc<Cell<bool>>) -> Self {
        let rest = Box::pin(tokio::time::sleep(Duration::ZERO));
        let released = Rc::clone(released);
        Self { bytes_per_second: bytes_per_second.max(1), released, rest }
    }

    fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.rest.as_mut().poll(cx));
        if self.released.get() {
            return Pin::new(stream).poll_read(cx, buffer);
        }
        let most = (self.bytes_per_second as usize / Self::PARTS).max(1).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(stream).poll_read(cx, &mut part))?;
        let length = part.filled().len();
        buffer.advance(length);
        let rest = Duration::from_secs_f64(length as f64 / f64::from(self.bytes_per_second));
        self.rest.as_mut().reset(Instant::now() + rest);
        Poll::Ready(Ok(()))
    }
}
