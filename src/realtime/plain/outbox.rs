//! What waits to be written to one plain WebSocket.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Frames that may wait for one connection.
const MAX_WAITING: usize = 1_024;

/// Bytes of frames that may wait for one connection.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// Where so many wait, what is of the moment alone is let go.
const BEHIND: usize = MAX_WAITING / 8;

/// Longest reason of a close frame, in bytes (RFC 6455, 5.5).
const MAX_REASON: usize = 123;

/// "Try again later": for who reads too slowly.
pub(super) const TOO_SLOW: u16 = 1013;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits to be written.
    Waits,
    /// The connection is about to be closed, and gets nothing more.
    Closing,
    /// It was one too many: what waited is lost, with it so many, and the connection is closed.
    Overflow(usize),
}

/// What is to be written next.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Utf8Bytes),
    /// And nothing after it.
    Close(CloseFrame),
}

/// What ends a connection, with as much of the reason as there is room for.
pub(super) fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
    CloseFrame { code: CloseCode::from(code), reason: reason.into() }
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    is_closing: bool,
    close: Option<CloseFrame>,
}

impl Waiting {
    fn close(&mut self, code: u16, reason: &str) {
        if std::mem::replace(&mut self.is_closing, true) {
            return;
        }
        self.close = Some(close_frame(code, reason));
    }
}

/// See the module. Has one reader.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
    closing: Notify,
}

impl Outbox {
    /// Adds a frame, behind all before it.
    pub(super) fn push(&self, frame: Utf8Bytes) -> Pushed {
        let mut waiting = self.waiting.lock();
        if waiting.is_closing {
            return Pushed::Closing;
        }
        let bytes = waiting.bytes + frame.len();
        if waiting.frames.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            let lost = std::mem::take(&mut waiting.frames).len() + 1;
            waiting.close(TOO_SLOW, "You read too slowly; connect again and read what you missed");
            drop(waiting);
            self.tell_closing();
            return Pushed::Overflow(lost);
        }
        waiting.bytes = bytes;
        waiting.frames.push_back(frame);
        drop(waiting);
        self.changed.notify_one();
        Pushed::Waits
    }

    /// Whether so much waits that what is of the moment alone would come too late.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.lock().frames.len() >= BEHIND
    }

    /// Closes the connection behind all that waits. The first to do so gives the reason.
    pub(super) fn close(&self, code: u16, reason: &str) {
        self.waiting.lock().close(code, reason);
        self.tell_closing();
    }

    fn tell_closing(&self) {
        self.changed.notify_one();
        self.closing.notify_one();
    }

    /// Whether the connection is about to be closed.
    pub(super) fn is_closing(&self) -> bool {
        self.waiting.lock().is_closing
    }

    /// Waits until [`Outbox::is_closing`].
    pub(super) async fn closing(&self) {
        while !self.is_closing() {
            self.closing.notified().await;
        }
    }

    /// What is to be written next, if there is anything.
    pub(super) fn next(&self) -> Option<Next> {
        let mut waiting = self.waiting.lock();
        match waiting.frames.pop_front() {
            Some(frame) => {
                waiting.bytes -= frame.len();
                Some(Next::Frame(frame))
            }
            None => waiting.close.take().map(Next::Close),
        }
    }

    /// Waits until there may be something to write.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(outbox: &Outbox) -> Vec<String> {
        let next = || outbox.next();
        std::iter::from_fn(next)
            .map(|next| match next {
                Next::Frame(frame) => frame.as_str().to_owned(),
                Next::Close(close) => format!("closed: {}", u16::from(close.code)),
            })
            .collect()
    }

    #[test]
    fn what_waits_goes_before_the_end_and_nothing_after_it() {
        let outbox = Outbox::default();
        assert_eq!(outbox.push("a".into()), Pushed::Waits);
        outbox.close(4401, "signed out");
        outbox.close(1001, "too late to be the reason");
        assert_eq!(outbox.push("b".into()), Pushed::Closing);
        assert_eq!(frames(&outbox), ["a", "closed: 4401"]);
        assert_eq!(frames(&outbox), [""; 0]);
    }

    #[test]
    fn it_is_bounded_in_count_and_bytes_and_what_is_too_much_ends_it() {
        let outbox = Outbox::default();
        assert!((0..MAX_WAITING).all(|_| outbox.push("a".into()) == Pushed::Waits));
        assert_eq!(outbox.push("b".into()), Pushed::Overflow(MAX_WAITING + 1));
        assert_eq!(frames(&outbox), ["closed: 1013"]);

        let (outbox, half) = (Outbox::default(), "x".repeat(MAX_WAITING_BYTES / 2));
        assert!((0..5).all(|_| {
            let waits = outbox.push((&half).into()) == Pushed::Waits;
            waits && outbox.next().is_some()
        }));
        assert_eq!(outbox.push((&half).into()), Pushed::Waits);
        assert_eq!(outbox.push((&half).into()), Pushed::Waits);
        assert_eq!(outbox.push("x".into()), Pushed::Overflow(3));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let outbox = Outbox::default();
        outbox.close(4400, &"é".repeat(100));
        let Some(Next::Close(close)) = outbox.next() else { panic!("no end") };
        assert_eq!(close.reason.len(), MAX_REASON - 1);
    }
}
