//! WebSocket frames of a server: how one is made, and where a stream of them is.

use bytes::{BufMut, Bytes, BytesMut};

/// How the answer to a client's CONNECT to the main namespace begins: a message (4) of that type (0).
const CONNECTED: &[u8; 3] = b"40{";

/// A text frame of a server (RFC 6455, 5.2), of the parts of its text.
pub fn text_frame(parts: &[&str]) -> Bytes {
    const FINAL_TEXT: u8 = 0x81;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(length + 10);
    frame.put_u8(FINAL_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 126 => frame.put_u8(length),
        (_, Ok(length)) => {
            frame.put_u8(126);
            frame.put_u16(length);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    parts.iter().for_each(|part| frame.put_slice(part.as_bytes()));
    frame.freeze()
}

/// Where a stream of frames is: between two of them, or in one.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// The frame's head, as far as it has come.
    head: [u8; 10],
    has: usize,
    /// Whether the message before it goes on in a further frame (RFC 6455, 5.4).
    is_in_message: bool,
    /// Bytes of its payload that are still to come, once the head has come.
    left: Option<u64>,
    /// How its payload begins, as far as it has come.
    start: [u8; CONNECTED.len()],
    started: usize,
}

impl Boundary {
    pub(super) fn is_between(&self) -> bool {
        self.has == 0 && !self.is_in_message
    }

    /// Follows bytes of the stream; whether a frame has ended that answers a CONNECT.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut has_connected = false;
        while let Some((byte, rest)) = bytes.split_first() {
            if let Some(left) = self.left {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(length);
                for (place, byte) in self.start[self.started..].iter_mut().zip(payload) {
                    *place = *byte;
                    self.started += 1;
                }
                self.left = Some(left - length as u64);
                bytes = rest;
            } else {
                self.head[self.has] = *byte;
                self.has += 1;
                self.left = self.payload_length();
                bytes = rest;
            }
            if self.left == Some(0) {
                has_connected |= self.start == *CONNECTED;
                const FINAL: u8 = 0x80;
                const CONTROL: u8 = 0x08;
                let is_in_message = match self.head[0] {
                    first if first & CONTROL != 0 => self.is_in_message,
                    first => first & FINAL == 0,
                };
                *self = Self { is_in_message, ..Self::default() };
            }
        }
        has_connected
    }

    /// The length of the payload, once the head has come as a whole.
    fn payload_length(&self) -> Option<u64> {
        let [_, length, long @ ..] = &self.head;
        let (length, size) = match length & 0x7f {
            126 => (u64::from(u16::from_be_bytes([long[0], long[1]])), 4),
            127 => (u64::from_be_bytes(*long), 10),
            length => (u64::from(length), 2),
        };
        (self.has == size).then_some(length)
    }
}
