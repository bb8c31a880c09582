//! The way out of one connection. Two use it: whoever serves the connection (hyper, and then the
//! WebSocket of the Socket.IO library) writes bytes, and this server puts whole frames between them,
//! each made once for all connections that get it.
//!
//! The library would encode an event anew for every socket, copy it three times, and wake a task that
//! writes it; for what is told to many that costs more than the system's call that sends it.
//!
//! A frame may only stand between two frames, so what the other one writes is followed from the head of
//! the answer that makes the connection a WebSocket. And the client must not be told of
//! anything before the answer to its CONNECT: until that has gone, frames wait.
//!
//! Somebody is always responsible for frames that wait: whoever was told so by [`Egress::send`], until
//! [`Egress::flush`] says that all is written; or the other writer, while the connection is not open yet
//! or in the middle of one of its own frames.

mod frame;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use frame::Boundary;
pub use frame::text_frame;

/// Frames that may wait for one connection.
pub const MAX_FRAMES: usize = 32_768;

/// Bytes that these may hold, those shared with other connections included.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Pieces that one call hands to the system.
const PIECES_A_WRITE: usize = 64;

/// What ends the head of an HTTP message.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It waits, and whoever has sent it has to see that it is written.
    Unflushed,
    /// It waits, and somebody else sees to that.
    Queued,
    /// There was no room for it.
    Full,
    /// The connection has ended.
    Closed,
}

/// What became of the frames that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nobody has to do anything for them any more.
    Done,
    /// The client takes no more at the moment: some wait.
    Blocked {
        /// Whether it has taken any.
        took: bool,
    },
}

/// How far the other writer is.
#[derive(Debug)]
enum Stage {
    /// It speaks HTTP.
    Http,
    /// It is about to write, or in the middle of, the head after which frames follow; so many bytes of
    /// its end have been seen.
    Head(usize),
    /// It writes frames; the client has no answer to its CONNECT yet.
    Frames(Boundary),
    /// It has.
    Open(Boundary),
}

#[derive(Debug)]
struct State {
    /// `None` once the connection has ended.
    stream: Option<Arc<OwnedWriteHalf>>,
    stage: Stage,
    /// Pieces that wait, each of whole frames, and of how many.
    pieces: VecDeque<(Bytes, usize)>,
    frames: usize,
    bytes: usize,
    /// Bytes of the first piece that are written.
    written: usize,
    /// Whether somebody is to flush.
    is_unflushed: bool,
    is_blocked: bool,
    user: User,
}

/// Who sends frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Nobody,
    /// The one that has claimed the connection.
    One,
    /// It has gone.
    Gone,
}

/// See the module. Its handles are shared.
#[derive(Debug)]
pub struct Egress(Mutex<State>);

impl Egress {
    /// The way out of a new connection.
    pub fn new(stream: OwnedWriteHalf) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            stream: Some(Arc::new(stream)),
            stage: Stage::Http,
            pieces: VecDeque::new(),
            frames: 0,
            bytes: 0,
            written: 0,
            is_unflushed: false,
            is_blocked: false,
            user: User::Nobody,
        })))
    }

    /// The next head that is written makes the connection a WebSocket.
    pub fn upgrade(&self) {
        self.0.lock().stage = Stage::Head(0);
    }

    /// Takes the connection for the one whose CONNECT was not answered yet; `false` when there can't be
    /// one, or was one before.
    pub fn claim(&self) -> bool {
        let state = &mut *self.0.lock();
        let is_free = matches!(state.stage, Stage::Frames(_)) && state.user == User::Nobody;
        if is_free {
            state.user = User::One;
        }
        is_free
    }

    /// Whoever has claimed the connection sends nothing more. What the client was not yet to be told of
    /// is not told to the next one that it connects as.
    pub fn release(&self) {
        let state = &mut *self.0.lock();
        state.user = User::Gone;
        if !matches!(state.stage, Stage::Open(_)) {
            state.drop_frames();
        }
    }

    /// Has a frame written after all that were sent before it.
    pub fn send(&self, frame: Bytes) -> Sent {
        self.send_all(frame, 1)
    }

    /// Has so many frames written, which stand one behind the other in these bytes; all or none.
    pub fn send_all(&self, frames: Bytes, count: usize) -> Sent {
        let state = &mut *self.0.lock();
        if state.stream.is_none() || state.user == User::Gone {
            return Sent::Closed;
        }
        let bytes = state.bytes + frames.len();
        if state.frames >= MAX_FRAMES || bytes > MAX_BYTES {
            return Sent::Full;
        }
        state.bytes = bytes;
        state.frames += count;
        state.pieces.push_back((frames, count));
        match std::mem::replace(&mut state.is_unflushed, true) {
            true => Sent::Queued,
            false => Sent::Unflushed,
        }
    }

    /// Whether the client takes nothing at the moment: megabytes are under way to it.
    pub fn is_blocked(&self) -> bool {
        self.0.lock().is_blocked
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().frames
    }

    /// Writes what waits, as much as the client takes at once.
    pub fn flush(&self) -> Flushed {
        let state = &mut *self.0.lock();
        let before = state.bytes - state.written;
        let is_done = state.write_frames();
        let took = state.bytes - state.written < before;
        if is_done {
            state.is_unflushed = false;
            Flushed::Done
        } else {
            Flushed::Blocked { took }
        }
    }

    /// Waits until the client may take more.
    pub async fn writable(&self) {
        let stream = self.0.lock().stream.clone();
        if let Some(stream) = stream {
            // What is wrong with it shows when it is written to.
            let _ = stream.writable().await;
        }
    }

    /// Cuts the connection, in both directions; how many frames are lost with it.
    pub fn cut(&self) -> usize {
        let state = &mut *self.0.lock();
        if let Some(stream) = &state.stream {
            let _ = SockRef::from(stream.as_ref().as_ref()).shutdown(Shutdown::Both);
        }
        state.end()
    }

    /// Nothing is written any more.
    pub fn end(&self) {
        self.0.lock().end();
    }

    /// Writes bytes of the other writer.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.lock();
        ready!(state.poll_between(cx));
        let Some(stream) = state.stream.clone() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        loop {
            ready!(stream.as_ref().as_ref().poll_write_ready(cx))?;
            match stream.try_write_vectored(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(written) => {
                    let mut left = written;
                    for part in bytes {
                        let length = part.len().min(left);
                        state.follow(&part[..length]);
                        left -= length;
                    }
                    state.write_frames();
                    return Poll::Ready(Ok(written));
                }
            }
        }
    }

    /// Writes frames for which the other writer is responsible.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.lock();
        while !state.is_unflushed && !state.write_frames() {
            let Some(stream) = &state.stream else { break };
            ready!(stream.as_ref().as_ref().poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the direction to the client.
    pub fn shutdown(&self) -> io::Result<()> {
        let state = self.0.lock();
        let Some(stream) = &state.stream else { return Ok(()) };
        SockRef::from(stream.as_ref().as_ref()).shutdown(Shutdown::Write)
    }
}

impl State {
    /// Takes note of what the other writer has written.
    fn follow(&mut self, bytes: &[u8]) {
        match &mut self.stage {
            Stage::Http => {}
            Stage::Head(seen) => {
                for (at, byte) in (1..).zip(bytes) {
                    let is_next = END_OF_HEAD[*seen] == *byte;
                    *seen = if is_next { *seen + 1 } else { usize::from(*byte == END_OF_HEAD[0]) };
                    if *seen == END_OF_HEAD.len() {
                        self.stage = Stage::Frames(Boundary::default());
                        return self.follow(&bytes[at..]);
                    }
                }
            }
            Stage::Frames(boundary) => {
                if boundary.pass(bytes) {
                    self.stage = Stage::Open(std::mem::take(boundary));
                }
            }
            Stage::Open(boundary) => {
                boundary.pass(bytes);
            }
        }
    }

    /// Waits until no frame is written in part.
    fn poll_between(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.write_frames() && self.written > 0 {
            let Some(stream) = &self.stream else { break };
            if ready!(stream.as_ref().as_ref().poll_write_ready(cx)).is_err() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Writes what waits; `false` if some is left because the client takes no more. Where the other
    /// writer has to come first, there is nothing to do.
    fn write_frames(&mut self) -> bool {
        if !matches!(&self.stage, Stage::Open(boundary) if boundary.is_between()) {
            return true;
        }
        while let (Some(stream), Some(first)) = (&self.stream, self.pieces.front()) {
            let written = if self.pieces.len() == 1 {
                stream.try_write(&first.0[self.written..])
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES_A_WRITE];
                for (slice, (frames, _)) in slices.iter_mut().zip(&self.pieces) {
                    *slice = IoSlice::new(frames);
                }
                slices[0].advance(self.written);
                let count = self.pieces.len().min(PIECES_A_WRITE);
                stream.try_write_vectored(&slices[..count])
            };
            match written {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return false;
                }
                // The other side of the connection finds out by itself.
                Err(_) => drop(self.end()),
            }
        }
        self.is_blocked = false;
        true
    }

    fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some((first, frames)) =
            self.pieces.front().filter(|(first, _)| first.len() <= self.written)
        {
            self.written -= first.len();
            self.bytes -= first.len();
            self.frames -= frames;
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() && self.pieces.capacity() > PIECES_A_WRITE {
            self.pieces = VecDeque::new();
        }
    }

    fn end(&mut self) -> usize {
        self.stream = None;
        self.drop_frames()
    }

    fn drop_frames(&mut self) -> usize {
        self.pieces = VecDeque::new();
        (self.bytes, self.written) = (0, 0);
        std::mem::take(&mut self.frames)
    }
}

#[cfg(test)]
mod tests;
