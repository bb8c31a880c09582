//! Banter: a real-time chat server that speaks Socket.IO.
//!
//! The map of the crate, in the direction in which data flows:
//!
//! ```text
//! main -> app -> { http, realtime } -> chat -> buffer -> store -> model
//! http, realtime -> wire, auth;   chat -> media, clock
//! ```
//!
//! A line lives where its heaviest knowledge lives: HTTP in [`http`], Socket.IO in [`realtime`],
//! JSON field names in [`wire`], the write path in [`buffer`], a database in [`store`], and the
//! rules of a conversation, which know none of these, in [`chat`]. `tests/tidy.rs` holds the
//! arrows.

pub mod auth;
pub mod buffer;
pub mod chat;
pub mod clock;
pub mod config;
pub mod error;
pub mod http;
pub mod media;
pub mod model;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod wire;
