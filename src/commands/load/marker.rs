//! What a message of a run begins with, so that a delivery is known without parsing its JSON:
//! `load:<run>:<stream>:<number>:<intended µs>:`, then filler up to the size that was asked for.

use std::fmt::Write;

use memchr::memmem;

/// Longest number that is read; one that is longer was not written here.
const MAX_DIGITS: usize = 18;

/// Which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Who said it, to whom: see [`Tally`](super::tally::Tally).
    pub(super) stream: u32,
    /// Its place in the stream, from 1.
    pub(super) number: u64,
    /// When it was to be sent, in µs of the run.
    pub(super) at_us: u64,
}

/// Writes and finds the marks of one run.
#[derive(Debug)]
pub(super) struct Marker {
    start: String,
    finder: memmem::Finder<'static>,
}

impl Marker {
    /// `run` tells this run's messages from another's on the same server.
    pub(super) fn new(run: u32) -> Self {
        let start = format!("load:{run:x}:");
        let finder = memmem::Finder::new(start.as_bytes()).into_owned();
        Self { start, finder }
    }

    /// Appends content of this many bytes, or of as many as the mark needs.
    pub(super) fn write(&self, into: &mut String, mark: Mark, payload_bytes: usize) {
        let begin = into.len();
        let Mark { stream, number, at_us } = mark;
        // Writing to a string can't fail.
        let _ = write!(into, "{}{stream}:{number}:{at_us}:", self.start);
        let filler = payload_bytes.saturating_sub(into.len() - begin);
        into.extend(std::iter::repeat_n('x', filler));
    }

    /// The mark in a packet, wherever it stands.
    pub(super) fn find(&self, packet: &[u8]) -> Option<Mark> {
        let at = self.finder.find(packet)?;
        let rest = packet.get(at + self.start.len()..)?;
        let (stream, rest) = number(rest)?;
        let (number_, rest) = number(rest)?;
        let (at_us, _) = number(rest)?;
        Some(Mark { stream: u32::try_from(stream).ok()?, number: number_, at_us })
    }
}

/// The decimal number in front of a colon, and what follows that.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in text.iter().enumerate().take(MAX_DIGITS + 1) {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b':' if at > 0 => return Some((value, &text[at + 1..])),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { stream: 7, number: 1_234, at_us: 98_765_432_109 };

    fn written(payload_bytes: usize) -> String {
        let mut content = String::from("before ");
        Marker::new(0xab12).write(&mut content, MARK, payload_bytes);
        content.split_off("before ".len())
    }

    #[test]
    fn what_is_written_is_found_inside_a_packet() {
        let content = written(64);
        assert_eq!(content.len(), 64);
        assert!(content.starts_with("load:ab12:7:1234:98765432109:x"), "{content}");
        let packet = format!(r#"42["message",{{"id":"load:","content":"{content}"}}]"#);
        assert_eq!(Marker::new(0xab12).find(packet.as_bytes()), Some(MARK));
        assert_eq!(Marker::new(0xab1).find(packet.as_bytes()), None, "another run's");
    }

    #[test]
    fn a_mark_is_never_cut() {
        let content = written(1);
        assert_eq!(content, "load:ab12:7:1234:98765432109:");
        assert_eq!(Marker::new(0xab12).find(content.as_bytes()), Some(MARK));
    }

    #[test]
    fn what_is_no_mark_is_none() {
        for text in [
            "",
            "load:ab12:",
            "load:ab12:7:1:2",
            "load:ab12:7::2:",
            "load:ab12:-7:1:2:",
            "load:ab12:4294967296:1:2:",
            "load:ab12:7:1:9999999999999999999999999:",
        ] {
            assert_eq!(Marker::new(0xab12).find(text.as_bytes()), None, "{text}");
        }
        let longest = "load:ab12:7:1:999999999999999999:";
        assert!(Marker::new(0xab12).find(longest.as_bytes()).is_some());
    }
}
