//! The way out past the library, for a socket that has been a WebSocket from the start: whole frames,
//! which the connection's [`Egress`] puts between those that the library writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socketioxide::ProtocolVersion;
use socketioxide::TransportType;
use socketioxide::extract::SocketRef;
use tokio::time::{Instant, timeout_at};

use bytes::Bytes;

use super::{Burst, Owner, Packet, Queued, STUCK};
use crate::egress::{Egress, Flushed, Sent};
use crate::realtime::{Hub, log};

/// Whether a socket can be written to in this way: the other protocols write packets in other forms.
pub(super) fn fits(socket: &SocketRef) -> bool {
    socket.protocol() == ProtocolVersion::V5 && socket.transport_type() == TransportType::Websocket
}

/// Frames that are queued together.
struct Piece {
    frames: Bytes,
    count: usize,
    /// Bytes of what they say.
    weight: usize,
}

/// See the module.
#[derive(Debug)]
pub(in crate::realtime) struct Direct {
    owner: Owner,
    egress: Arc<Egress>,
    has_opened: AtomicBool,
    /// Whether the loss of a packet has been logged.
    has_lost: AtomicBool,
    /// Whether events have been lost that the client has not been told of.
    is_behind: AtomicBool,
}

impl Direct {
    pub(super) fn new(owner: Owner, egress: Arc<Egress>) -> Self {
        let [has_opened, has_lost, is_behind] = [false; 3].map(AtomicBool::new);
        Self { owner, egress, has_opened, has_lost, is_behind }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn queue(&self, hub: &Hub, packet: &Packet) -> Queued {
        let piece = Piece { frames: packet.frame(), count: 1, weight: packet.weight() };
        self.queue_piece(hub, piece, packet.is_event())
    }

    /// Queues events, all or none.
    pub(super) fn queue_burst(&self, hub: &Hub, burst: &Burst) -> Queued {
        let count = burst.packets().len();
        let piece = Piece { frames: burst.frames(), count, weight: burst.weight() };
        self.queue_piece(hub, piece, true)
    }

    fn queue_piece(
        &self,
        hub: &Hub,
        Piece { frames, count, weight }: Piece,
        is_event: bool,
    ) -> Queued {
        let mut has_told = false;
        if is_event && self.is_behind.load(Ordering::Relaxed) {
            if self.egress.waiting() > 0 {
                self.lose(count, hub);
                return Queued::No;
            }
            has_told = self.tell_of_gap();
        }
        let queued = match self.egress.send_all(frames, count) {
            Sent::Unflushed => Queued::Unflushed,
            Sent::Queued if has_told => Queued::Unflushed,
            Sent::Queued => Queued::Yes,
            Sent::Closed => return Queued::No,
            Sent::Full => {
                self.is_behind.fetch_or(is_event, Ordering::Relaxed);
                self.lose(count, hub);
                return Queued::No;
            }
        };
        hub.traffic.went_out(weight);
        queued
    }

    pub(super) fn queue_ephemeral(&self, hub: &Hub, packet: &Packet) -> Queued {
        if self.egress.is_blocked() {
            hub.metrics.let_go();
            return Queued::No;
        }
        self.queue(hub, packet)
    }

    /// Writes what the client takes now, and the rest as it takes it.
    pub(super) fn flush(self: &Arc<Self>, hub: &Arc<Hub>) {
        if self.egress.flush() == Flushed::Done {
            return;
        }
        let (direct, hub) = (Arc::clone(self), Arc::clone(hub));
        let (tasks, draining) = (hub.tasks.clone(), hub.draining.clone());
        let drain = async move { direct.drain(&hub).await };
        tasks.spawn(draining.track_future(drain));
    }

    async fn drain(&self, hub: &Hub) {
        let mut last_progress = Instant::now();
        loop {
            if timeout_at(last_progress + STUCK, self.egress.writable()).await.is_err() {
                return self.lose(self.egress.cut(), hub);
            }
            match self.egress.flush() {
                Flushed::Blocked { took: false } => {}
                Flushed::Blocked { took: true } => last_progress = Instant::now(),
                Flushed::Done if self.tell_of_gap() => {}
                Flushed::Done => return,
            }
        }
    }

    /// Puts what tells the client of a gap behind all that came before it; whether there is something to
    /// flush.
    fn tell_of_gap(&self) -> bool {
        if !self.is_behind.swap(false, Ordering::Relaxed) {
            return false;
        }
        let sent = Packet::gap().map(|packet| self.egress.send(packet.frame()));
        sent == Some(Sent::Unflushed)
    }

    fn lose(&self, packets: usize, hub: &Hub) {
        hub.metrics.dropped(packets as u64);
        if !self.has_lost.swap(true, Ordering::Relaxed) {
            log::too_slow(self.owner.socket, &self.owner.user);
        }
    }

    pub(super) fn open(&self) {
        self.has_opened.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_opened(&self) -> bool {
        self.has_opened.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.egress.release();
    }
}
