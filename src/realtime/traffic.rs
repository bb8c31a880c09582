//! What went through Socket.IO's connections, as the admin UI counts it. Counted whether anybody looks
//! or not: it costs an addition.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts since the start.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    opened: AtomicU64,
    closed: AtomicU64,
    packets_in: AtomicU64,
    bytes_in: AtomicU64,
    packets_out: AtomicU64,
    bytes_out: AtomicU64,
}

impl Traffic {
    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// An event came in.
    pub(super) fn came_in(&self, bytes: usize) {
        self.packets_in.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An event, or an answer, is on its way to a client.
    pub(super) fn went_out(&self, bytes: usize) {
        self.packets_out.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// All counts, under the names that the admin UI has for them.
    pub(super) fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("rawConnection", &self.opened),
            ("rawDisconnection", &self.closed),
            ("packetsIn", &self.packets_in),
            ("bytesIn", &self.bytes_in),
            ("packetsOut", &self.packets_out),
            ("bytesOut", &self.bytes_out),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}
