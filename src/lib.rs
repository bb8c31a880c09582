//! Banter: a real-time chat server that speaks Socket.IO.
//!
//! The map of the crate, in the direction in which data flows:
//!
//! ```text
//! main -> app -> { http, realtime } -> chat -> buffer -> store -> model
//! main -> commands -> { config, buffer, cluster, store, shutdown }
//! http, realtime, buffer, telemetry -> correlation;   http, realtime -> egress
//! http, realtime -> wire, auth, limits;   chat -> media, clock;   http, chat, store -> search -> model
//! http, realtime, chat, buffer -> cluster -> limits, model
//! ```
//!
//! A line lives where its heaviest knowledge lives: HTTP in [`http`], Socket.IO in [`realtime`],
//! JSON field names in [`wire`], the write path in [`buffer`], a database in [`store`], and the
//! rules of a conversation, which know none of these, in [`chat`]. What the program does besides
//! serving is in [`commands`]. `tests/tidy.rs` holds the arrows.

pub mod app;
pub mod auth;
pub mod buffer;
pub mod chat;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod correlation;
pub mod egress;
pub mod error;
pub mod http;
pub mod limits;
pub mod media;
pub mod model;
pub mod realtime;
pub mod search;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod wire;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::app::App;
use crate::config::Config;
use crate::shutdown::{Shutdown, Tasks};

/// Runs a server with these settings until a signal tells it to stop.
///
/// # Errors
/// When a part of the server can't start (its text says which setting to look at) or has crashed.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::on_signals(&Tasks::default())?;
        let app = App::start(config).await?;
        let address = config.server.address();
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("HOST and PORT: can't listen on {address}"))?;
        app.serve(listener, shutdown).await
    });
    // What is still running by now has had its time.
    runtime.shutdown_background();
    outcome
}
