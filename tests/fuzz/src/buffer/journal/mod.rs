//! The parts of the journal that read its files.

#[path = "../../../../../src/buffer/journal/fs.rs"]
#[expect(dead_code, reason = "a segment is written through it, and here none is")]
mod fs;
#[path = "../../../../../src/buffer/journal/record.rs"]
mod record;
#[path = "../../../../../src/buffer/journal/segment.rs"]
#[expect(dead_code, reason = "it writes segments, too")]
mod segment;

pub(crate) mod damage;
pub(crate) mod reading;

use super::Sequence;

/// The number of a segment's first record.
const FIRST: Sequence = 7;
