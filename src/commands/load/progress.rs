//! A line that tells how far a run is, written over itself once a second.

use std::io::{self, IsTerminal, Write};

use super::board::Board;
use super::options::Common;

/// Where it is shown, if at all.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    /// Counters of the second before.
    sent: u64,
    delivered: u64,
}

impl Progress {
    pub(super) fn new(common: &Common) -> Self {
        let is_wanted = common.progress || io::stderr().is_terminal();
        Self { is_shown: is_wanted && !common.quiet, sent: 0, delivered: 0 }
    }

    /// A second has passed.
    pub(super) fn show(&mut self, scenario: &str, board: &Board) {
        let (sent, delivered) = (board.sent.get(), board.delivered.get());
        let (sends, deliveries) = (sent - self.sent, delivered.saturating_sub(self.delivered));
        (self.sent, self.delivered) = (sent, delivered);
        if !self.is_shown {
            return;
        }
        let seconds = board.now_us() / 1_000_000;
        let connected = board.connected.get() - board.disconnected.get();
        let p99 = board.delivery.ms(0.99).map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        let lost = board.tally.borrow().overtaken();
        // The line is written over the one before, and what that had more is erased. Nothing is lost
        // when nobody sees it.
        let _ = write!(
            io::stderr(),
            "\r{scenario} {seconds} s: {connected} connected, {sends} sends/s, {deliveries} \
             deliveries/s, p99 {p99}, {lost} lost\x1b[K"
        );
    }

    /// Leaves the terminal to what follows.
    pub(super) fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
