//! What operators poll.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Timestamp;

/// The write buffer in front of the database.
// The old server's figures under their old names, and ours.
#[derive(Debug, Serialize, ToSchema)]
pub struct BufferHealth {
    /// `healthy`, or `unhealthy` while nothing is accepted, because the journal can't be written.
    /// The rest is in the figures.
    pub status: &'static str,
    /// The figures.
    pub stats: BufferStats,
}

/// The figures of the write buffer, counted from the start of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct BufferStats {
    /// Messages accepted.
    pub total_messages: u64,
    /// Batches that the database confirmed.
    pub successful_flushes: u64,
    /// Calls to the database that failed, repeated ones included.
    pub failed_flushes: u64,
    /// Batches sent once more right after they failed.
    pub retry_count: u64,
    /// How often the breaker opened; a failed try opens it again.
    pub circuit_breaker_trips: u64,
    /// Changes accepted and not yet stored.
    pub current_buffer_size: usize,
    /// Changes that the next batch takes at the most; it adapts.
    pub current_batch_size: usize,
    /// When the last batch was confirmed; null before the first.
    #[serde(serialize_with = "iso_or_null")]
    #[schema(value_type = Option<String>, required = true, format = DateTime)]
    pub last_flush: Option<Timestamp>,
    /// `closed`, or `open` while the database is left alone or being tried.
    pub circuit_breaker_status: &'static str,
    /// Failures since the last success.
    pub failure_count: u32,
    /// How long the oldest change has not been stored, in milliseconds; 0 for none.
    pub oldest_unflushed_ms: u64,
    /// Bytes that the changes not yet stored hold, about.
    pub buffer_bytes: usize,
    /// Changes that the database refused for good.
    pub dead_letters: u64,
    /// When a change counts as stored: `majority` of MongoDB's servers, a number of servers, or
    /// `disk`, for the embedded store.
    pub write_concern: String,
    /// When an accepted change is on the disk: `always` (before its ack), `interval` or `os`.
    pub journal_sync: &'static str,
    /// The journal's disk: `ok`, `full` or `failed`.
    pub journal_disk: &'static str,
    /// The journal's files.
    pub journal_segments: u64,
    /// Bytes in them.
    pub journal_bytes: u64,
}

fn iso_or_null<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(super::iso).serialize(to)
}

/// The database.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatabaseHealth {
    /// Messages stored; MongoDB estimates it.
    pub messages_count: u64,
    /// Groups stored; MongoDB estimates it.
    pub groups_count: u64,
    /// Per collection or table, per index.
    pub indexes: BTreeMap<String, BTreeMap<String, IndexInfo>>,
    /// Where messages are stored; never with a password.
    pub store: String,
    /// How long the database took to answer a ping, in milliseconds.
    pub round_trip_ms: f64,
    /// `closed`, or `open` while the database is left alone or being tried.
    pub circuit_breaker_status: &'static str,
    /// The connections to it; null where there is no pool.
    #[schema(required = true)]
    pub pool: Option<Pool>,
}

/// An index, as the old server's driver describes one: its keys as pairs of field and direction.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexInfo {
    /// The keys in their order.
    pub key: Vec<(String, i32)>,
}

/// The connections to the database.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pool {
    /// Connections that are open.
    pub open: u64,
    /// Of these, in use.
    pub in_use: u64,
    /// Calls that wait for one.
    pub waiting: u64,
    /// The most that may be open; on MongoDB per server.
    pub max: u64,
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`, `degraded` (serving from the buffer), `unhealthy` (the journal can't be written,
    /// so nothing is accepted) or `stopping`.
    pub status: &'static str,
    /// The version of the server.
    pub version: &'static str,
    /// How users sign in.
    pub auth_mode: &'static str,
    /// Where messages are stored; never with a password.
    pub store: String,
    /// The state of the breaker in front of it.
    pub circuit_breaker_status: &'static str,
}
