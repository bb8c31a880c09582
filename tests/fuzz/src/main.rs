//! Fuzzes what reads the journal: its files may hold anything after a crash, a bad disk or a hand.
//!
//! The first byte of an input says what the rest is. The sources are the server's own, included by
//! path: the crate as a whole would take minutes to build.

#![no_main]

#[path = "../../../src/model/mod.rs"]
#[expect(dead_code, unused_imports, reason = "made for the whole server")]
mod model;

mod buffer;

use std::alloc::System;
use std::panic;

use cap::Cap;
use libfuzzer_sys::fuzz_target;

use crate::buffer::{bodies, journal, seeds};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Does some work that may take so many bytes of memory, and some more for an error's text. At more
/// than that the process aborts.
fn within<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    const ERROR_BYTES: usize = 4 << 10;
    limit_memory(MEMORY.allocated() + bytes + ERROR_BYTES);
    let done = work();
    limit_memory(usize::MAX);
    done
}

fn limit_memory(bytes: usize) {
    MEMORY.set_limit(bytes).expect("more than is in use");
}

fn start() {
    // Who reports a panic needs memory for it.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        limit_memory(usize::MAX);
        report(panic);
    }));
    seeds::write();
}

/// What an input is.
#[derive(Debug, Clone, Copy)]
enum Mode {
    File,
    Records,
    Pieces,
    Changes,
    Body,
}

impl Mode {
    /// The mode of a byte, which is also its place in the order above.
    const ALL: [Self; 5] = [Self::File, Self::Records, Self::Pieces, Self::Changes, Self::Body];
}

fuzz_target!(init: start(), |input: &[u8]| {
    let Some((byte, rest)) = input.split_first() else { return };
    match Mode::ALL.get(usize::from(*byte)) {
        Some(Mode::File) => journal::reading::file(rest),
        Some(Mode::Records) => journal::reading::records(rest),
        Some(Mode::Pieces) => journal::reading::pieces(rest),
        Some(Mode::Changes) => journal::damage::changes(rest),
        Some(Mode::Body) => bodies::body(rest),
        None => {}
    }
});
