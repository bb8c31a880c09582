//! The parts of the write buffer that read what was written down, where `src/` has them.

#[path = "../../../../src/buffer/codec/mod.rs"]
mod codec;

pub(crate) mod bodies;
pub(crate) mod journal;
pub(crate) mod seeds;

type Sequence = u64;
