//! Cuts a connection whose request head takes too long, or whose client takes nothing any more.
//!
//! hyper has one timer for both the rest between two requests and the head of the next; a
//! connection may rest for longer than a head may take, so the head is timed here, where its first
//! byte is seen.
//!
//! Nobody above has a timer for writes. A WebSocket's heartbeat does notice a client that reads
//! nothing, but the library then waits for the write under way, which such a client can hold up for
//! ever, and with it all that is queued for it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::StatusCode;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::egress::Egress;
use crate::limits::Connection;

/// A connection's place among all that are allowed, and among those of its address.
pub(super) struct Slot {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _counted: Connection,
}

/// What the connection and its requests know of each other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    touched: AtomicBool,
    in_request: AtomicBool,
    requests: AtomicU64,
}

impl Watch {
    /// Whether the client has sent nothing at all so far.
    pub(super) fn is_untouched(&self) -> bool {
        !self.touched.load(Ordering::Relaxed)
    }

    /// A head is complete; bytes are the request's own until what is returned is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_request.store(true, Ordering::Relaxed);
        RequestGuard { watch: self.clone(), is_first: before == 0, upgrades: false }
    }
}

/// Held while a request is under way.
#[derive(Debug)]
pub(super) struct RequestGuard {
    watch: Arc<Watch>,
    is_first: bool,
    /// What is read from now on is another protocol's, never a head.
    upgrades: bool,
}

impl RequestGuard {
    /// Keeps the request under way until its response is sent; for ever, when the response hands
    /// the connection over to another protocol.
    pub(super) fn hold_until_sent(mut self, response: Response, egress: &Egress) -> Response {
        self.upgrades = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        // The head of a later response may come behind parts of earlier ones.
        if self.upgrades && self.is_first {
            egress.upgrade();
        }
        response.map(|body| Body::new(GuardedBody { body, _guard: self }))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.watch.in_request.store(self.upgrades, Ordering::Relaxed);
    }
}

/// A response's body that lets go of the request when hyper has taken all of it.
struct GuardedBody {
    body: Body,
    _guard: RequestGuard,
}

impl hyper::body::Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A head that has begun and must be complete in time.
struct PendingHead {
    /// The requests before it: a head of another count is complete already.
    requests: u64,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A connection whose reads fail with [`io::ErrorKind::TimedOut`] when a head takes too long, and
/// whose writes do, and every read after them, when the client takes nothing for too long.
pub(super) struct Watched {
    io: OwnedReadHalf,
    egress: Arc<Egress>,
    /// Kept when it is handed to another protocol.
    _slot: Slot,
    watch: Arc<Watch>,
    head_timeout: Duration,
    head: Option<PendingHead>,
    write_timeout: Duration,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// The first head is timed from now on: a client connects in order to ask for something.
    pub(super) fn new(
        io: TcpStream,
        slot: Slot,
        head_timeout: Duration,
        write_timeout: Duration,
    ) -> (Self, Arc<Watch>, Arc<Egress>) {
        let (io, out) = io.into_split();
        let egress = Egress::new(out);
        let watch = Arc::new(Watch::default());
        let head =
            PendingHead { requests: 0, deadline: Instant::now() + head_timeout, timer: None };
        let watched = Self {
            io,
            egress: Arc::clone(&egress),
            _slot: slot,
            watch: watch.clone(),
            head_timeout,
            head: Some(head),
            write_timeout,
            stalled: None,
        };
        (watched, watch, egress)
    }

    /// Passes on what became of a write, or that it has waited too long.
    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.write_timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        // Who reads must end, too: the library goes on after a failed write, and would lose one
        // packet after the other while the client still sends.
        self.egress.cut();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(head) = &mut self.head else { return Poll::Pending };
        let deadline = head.deadline;
        let timer = head.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(cx)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let requests = this.watch.requests.load(Ordering::Relaxed);
        if this.head.as_ref().is_some_and(|head| head.requests != requests) {
            this.head = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if read.is_pending() {
            ready!(this.poll_head_deadline(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if buffer.filled().len() > before {
            this.watch.touched.store(true, Ordering::Relaxed);
            if this.head.is_none() && !this.watch.in_request.load(Ordering::Relaxed) {
                let deadline = Instant::now() + this.head_timeout;
                this.head = Some(PendingHead { requests, deadline, timer: None });
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.egress.poll_write(cx, &[IoSlice::new(buffer)]);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.egress.poll_write(cx, buffers);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.egress.poll_flush(cx);
        self.poll_written(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.egress.shutdown())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.egress.end();
    }
}
