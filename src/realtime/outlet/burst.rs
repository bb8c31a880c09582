//! Events that go to the same sockets one right after the other.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};

use super::Packet;

/// Bytes after which the next event begins another burst: a socket takes one as a whole, or loses it.
const FULL: usize = 64 * 1024;

/// See the module. A socket that is written to directly gets them in one piece, which is made once.
#[derive(Debug, Default)]
pub(in crate::realtime) struct Burst {
    packets: Vec<Packet>,
    weight: usize,
    frames: OnceLock<Bytes>,
}

impl Burst {
    /// Packets in their order, in as few bursts as that makes.
    pub(in crate::realtime) fn of(packets: impl IntoIterator<Item = Packet>) -> Vec<Self> {
        let mut bursts: Vec<Self> = Vec::new();
        for packet in packets {
            match bursts.last_mut() {
                Some(last) if last.weight < FULL => last.push(packet),
                _ => {
                    let mut next = Self::default();
                    next.push(packet);
                    bursts.push(next);
                }
            }
        }
        bursts
    }

    fn push(&mut self, packet: Packet) {
        self.weight += packet.weight();
        self.packets.push(packet);
    }

    pub(super) fn packets(&self) -> &[Packet] {
        &self.packets
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// All of them, as frames.
    pub(super) fn frames(&self) -> Bytes {
        let make = || match &*self.packets {
            [one] => one.frame(),
            all => {
                let mut frames = BytesMut::new();
                all.iter().for_each(|packet| frames.extend_from_slice(&packet.frame()));
                frames.freeze()
            }
        };
        self.frames.get_or_init(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn packet(text: &str) -> Packet {
        Packet::event("message", &json!(text)).unwrap()
    }

    #[test]
    fn a_burst_is_its_frames_in_order() {
        let packets: Vec<_> = ["a", "b", "c"].map(packet).into();
        let frames: Vec<_> = packets.iter().map(Packet::frame).collect();
        let bursts = Burst::of(packets);
        assert_eq!((bursts.len(), bursts[0].packets().len()), (1, 3));
        assert_eq!(bursts[0].frames(), frames.concat());
    }

    #[test]
    fn large_events_are_no_burst() {
        let large = "x".repeat(FULL);
        let bursts = Burst::of(["a", &large, &large, "b", "c"].map(packet));
        let lengths: Vec<_> = bursts.iter().map(|burst| burst.packets().len()).collect();
        assert_eq!(lengths, [2, 1, 2]);
        assert!(Burst::of([]).is_empty());
    }
}
