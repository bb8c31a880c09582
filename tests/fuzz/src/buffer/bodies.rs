//! The body of a record of any kind: it is read without a panic, and what is taken for an op,
//! written again, is that op.

use super::codec::{self, Kind};
use crate::within;

/// The most memory that a byte of a body may take: an object with one field has 7 bytes at the
/// least, and here a node of a map with room for 11.
const MEMORY_PER_BYTE: usize = 128;

/// The input is a kind and a body.
pub(crate) fn body(input: &[u8]) {
    let Some((code, body)) = input.split_first() else { return };
    let Some(kind) = Kind::from_code(*code) else { return };
    let Ok(op) = within(MEMORY_PER_BYTE * body.len(), || codec::decode(kind, body)) else { return };
    assert_eq!(Kind::of(&op), kind);

    let written = codec::encode(&op).expect("what was read can be written");
    assert_eq!(codec::decode(kind, &written).expect("what was written can be read"), op);
    // A dead letter has it as JSON.
    let letter = codec::to_json(&op).expect("what was read can be written as JSON");
    assert_eq!(codec::from_json(letter).expect("and be read from it"), op);
}
