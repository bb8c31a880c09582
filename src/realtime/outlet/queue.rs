//! The way out through the library, for a socket that polls, or did so once.
//!
//! The library holds a bounded number of packets per socket and loses what comes on top. A burst
//! (ten thousand messages that one client sends at once, and hears again) is larger than that, and
//! no fault of its reader. So what the library can't take waits here, in order, and is handed on as
//! the socket drains; only what exceeds these bounds, too, is lost, and counted. From the first
//! event that is lost on no other is sent until all that waited has gone, and then the client is
//! told to `sync`. What is of the moment alone (typing, presence) does not wait: a socket that is
//! behind does without.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socketioxide::extract::SocketRef;
use tokio::time::{Instant, sleep};

use super::{MAX_WAITING, MAX_WAITING_BYTES, Owner, Packet, STUCK};
use crate::realtime::{Hub, QUEUE_PACKETS, log};

/// Packets handed on in one turn: an eighth of the library's queue.
const TURN_PACKETS: usize = QUEUE_PACKETS / 8;

/// The pause between two turns: at the shortest 128,000 packets a second, at the longest 500. Who
/// takes less than that has seconds of packets before it in the library's queue alone.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(256);

/// How a turn of handing on went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing waits any more.
    Last,
    /// The library took a turn's worth, and more waits.
    Went,
    /// The library's queue is full.
    Full { handed_on: usize },
}

impl Turn {
    /// How long to wait for the next turn, given the last pause.
    ///
    /// The library's heartbeat needs a place in its queue, and ends the connection when it finds
    /// none. So the queue is kept from being full rather than kept full: turns come half as often
    /// after one that found no room, and a third more often after one that did.
    fn pause_after(self, pause: Duration) -> Duration {
        let pause = if matches!(self, Self::Full { .. }) { pause * 2 } else { pause * 3 / 4 };
        pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }
}

/// How far the socket is.
#[derive(Debug, Default)]
enum Link {
    /// The library takes no packets for it yet. It answers the client's CONNECT a moment before it does,
    /// and until then loses what it is given.
    #[default]
    Opening,
    /// The library takes packets for it.
    Open(SocketRef),
    /// It has ended.
    Ended,
}

#[derive(Debug, Default)]
struct Waiting {
    link: Link,
    packets: VecDeque<Packet>,
    bytes: usize,
    /// Whether a task is handing them on.
    is_draining: bool,
    /// Whether the loss of a packet has been logged.
    has_lost: bool,
    /// Whether events have been lost that the client has not been told of.
    is_behind: bool,
}

impl Waiting {
    /// Whether the library has taken a packet, before which none waited.
    fn has_sent(&self, packet: &Packet) -> bool {
        match &self.link {
            Link::Open(socket) => self.packets.is_empty() && packet.try_send(socket),
            Link::Opening | Link::Ended => false,
        }
    }

    /// Counts lost packets, and says so once per socket.
    fn lose(&mut self, packets: usize, hub: &Hub, owner: &Owner) {
        hub.metrics.dropped(packets as u64);
        if !std::mem::replace(&mut self.has_lost, true) {
            log::too_slow(owner.socket, &owner.user);
        }
    }

    /// Once all that came before a gap has gone, puts there what tells the client of the gap.
    fn tell_of_gap(&mut self) {
        if !self.is_behind || !self.packets.is_empty() {
            return;
        }
        if let Some(packet) = Packet::gap() {
            self.bytes += packet.weight();
            self.packets.push_back(packet);
        }
        self.is_behind = false;
    }

    /// Drops all that waits; there is nothing to hand on any more.
    fn let_go(&mut self) {
        self.packets = VecDeque::new();
        self.bytes = 0;
        self.is_draining = false;
    }
}

/// What waits for one socket. It holds the socket, which holds it, from [`open`](Self::open) to
/// [`end`](Self::end).
#[derive(Debug)]
pub(in crate::realtime) struct Queue {
    owner: Owner,
    waiting: Mutex<Waiting>,
}

impl Queue {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, waiting: Mutex::default() }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Sends a packet after all that were sent before it; `false` when it is lost, because the
    /// socket is too far behind, or has ended.
    pub(super) fn send(self: &Arc<Self>, hub: &Arc<Hub>, packet: Packet) -> bool {
        let mut waiting = self.waiting.lock();
        if matches!(waiting.link, Link::Ended) {
            return false;
        }
        waiting.tell_of_gap();
        let is_event = packet.is_event();
        let weight = packet.weight();
        let has_gap = waiting.is_behind && is_event;
        if !has_gap && waiting.has_sent(&packet) {
            hub.traffic.went_out(weight);
            return true;
        }
        let bytes = waiting.bytes + weight;
        if has_gap || waiting.packets.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            waiting.is_behind |= is_event;
            waiting.lose(1, hub, &self.owner);
            return false;
        }
        hub.traffic.went_out(weight);
        waiting.packets.push_back(packet);
        waiting.bytes = bytes;
        self.start_draining(hub, &mut waiting);
        true
    }

    /// Sends a packet that is of the moment alone, unless the socket is behind; `false` when it is
    /// let go.
    pub(super) fn send_ephemeral(self: &Arc<Self>, hub: &Arc<Hub>, packet: Packet) -> bool {
        {
            let waiting = self.waiting.lock();
            if matches!(waiting.link, Link::Open(_)) {
                let is_sent = waiting.has_sent(&packet);
                if is_sent {
                    hub.traffic.went_out(packet.weight());
                } else {
                    hub.metrics.let_go();
                }
                return is_sent;
            }
        }
        self.send(hub, packet)
    }

    /// To be called once the library takes packets for the socket: hands on what came before.
    pub(super) fn open(self: &Arc<Self>, hub: &Arc<Hub>, socket: &SocketRef) {
        let mut waiting = self.waiting.lock();
        if matches!(waiting.link, Link::Opening) {
            waiting.link = Link::Open(socket.clone());
            self.start_draining(hub, &mut waiting);
        }
    }

    /// Whether the library has taken packets for the socket, so that one for which it takes none
    /// has ended.
    pub(super) fn has_opened(&self) -> bool {
        !matches!(self.waiting.lock().link, Link::Opening)
    }

    /// The socket has ended.
    pub(super) fn end(&self) {
        // The socket may be let go of here, and with it whatever holds this: not under the lock.
        let link = std::mem::replace(&mut self.waiting.lock().link, Link::Ended);
        drop(link);
    }

    /// Has a task hand on what waits, unless nothing does, or one does so already.
    fn start_draining(self: &Arc<Self>, hub: &Arc<Hub>, waiting: &mut Waiting) {
        let Link::Open(socket) = &waiting.link else { return };
        if waiting.packets.is_empty() || waiting.is_draining {
            return;
        }
        let (queue, hub, socket) = (Arc::clone(self), Arc::clone(hub), socket.clone());
        let (tasks, draining) = (hub.tasks.clone(), hub.draining.clone());
        let drain = async move { queue.drain(&hub, &socket).await };
        tasks.spawn(draining.track_future(drain));
        waiting.is_draining = true;
    }

    /// Hands on what waits, as the socket takes it, until nothing waits any more.
    async fn drain(&self, hub: &Hub, socket: &SocketRef) {
        let mut pause = SHORTEST_PAUSE;
        let mut last_progress = Instant::now();
        loop {
            let turn = self.hand_on(socket);
            match turn {
                Turn::Last => return,
                Turn::Full { handed_on: 0 } if last_progress.elapsed() > STUCK => {
                    return self.give_up(hub);
                }
                Turn::Full { handed_on: 0 } => {}
                Turn::Full { .. } | Turn::Went => last_progress = Instant::now(),
            }
            pause = turn.pause_after(pause);
            sleep(pause).await;
        }
    }

    /// Hands on a turn's worth, or as much of it as the library takes. What waits for a socket that
    /// has disconnected is let go of at once.
    fn hand_on(&self, socket: &SocketRef) -> Turn {
        let mut waiting = self.waiting.lock();
        if !socket.connected() {
            waiting.let_go();
            return Turn::Last;
        }
        for handed_on in 0..TURN_PACKETS {
            let Some(packet) = waiting.packets.front() else { break };
            if !packet.try_send(socket) {
                return Turn::Full { handed_on };
            }
            waiting.bytes -= packet.weight();
            waiting.packets.pop_front();
        }
        waiting.tell_of_gap();
        if waiting.packets.is_empty() {
            waiting.is_draining = false;
            return Turn::Last;
        }
        Turn::Went
    }

    fn give_up(&self, hub: &Hub) {
        let mut waiting = self.waiting.lock();
        let lost = waiting.packets.len();
        waiting.lose(lost, hub, &self.owner);
        waiting.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how much of ten minutes the library's queue is full, when the reader of an outlet that
    /// is never empty takes a packet every `packet_us` microseconds.
    fn part_full(packet_us: u64) -> f64 {
        const END_US: u64 = 600_000_000;
        let (mut pause, mut queued, mut full_us) = (SHORTEST_PAUSE, QUEUE_PACKETS, 0);
        let (mut now_us, mut next_turn_us) = (0, 0);
        while now_us < END_US {
            if now_us >= next_turn_us {
                let handed_on = TURN_PACKETS.min(QUEUE_PACKETS - queued);
                queued += handed_on;
                let is_full = handed_on < TURN_PACKETS;
                let turn = if is_full { Turn::Full { handed_on } } else { Turn::Went };
                pause = turn.pause_after(pause);
                next_turn_us = now_us + pause.as_micros() as u64;
            }
            full_us += if queued == QUEUE_PACKETS { packet_us } else { 0 };
            queued = queued.saturating_sub(1);
            now_us += packet_us;
        }
        full_us as f64 / now_us as f64
    }

    #[test]
    fn the_librarys_queue_has_a_place_for_the_heartbeat_nearly_always() {
        for packets_a_second in [600, 1_000, 3_000, 10_000, 30_000, 100_000, 200_000] {
            let part = part_full(1_000_000 / packets_a_second);
            assert!(part < 0.01, "full for {part} of the time at {packets_a_second}/s");
        }
    }
}
