//! The MongoDB store against real servers: what the conformance suite can't ask of every store.

#![expect(clippy::expect_used, reason = "a test that can't go on says why")]

mod accounts;
mod claims;
mod explain;
mod fence;
mod groups;
#[path = "../support/make.rs"]
mod make;
#[path = "../support/mongod.rs"]
mod mongod;
mod old_server;
mod outage;
mod privacy;
mod search;
mod set_up;
mod stores;
mod tombstones;
mod writes;
