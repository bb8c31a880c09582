//! What operators poll.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Timestamp;

/// `GET /health/message-buffer`: the old server's figures under their old names, and ours.
#[derive(Debug, Serialize)]
pub struct BufferHealth {
    /// `healthy`, or `unhealthy` while nothing is accepted, because the journal can't be written.
    /// The rest is in the figures.
    pub status: &'static str,
    /// The figures.
    pub stats: BufferStats,
}

/// The figures of the write buffer.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's; buffer::Stats says what each counts")]
pub struct BufferStats {
    pub total_messages: u64,
    pub successful_flushes: u64,
    pub failed_flushes: u64,
    pub retry_count: u64,
    pub circuit_breaker_trips: u64,
    pub current_buffer_size: usize,
    pub current_batch_size: usize,
    #[serde(serialize_with = "iso_or_null")]
    pub last_flush: Option<Timestamp>,
    pub circuit_breaker_status: &'static str,
    pub failure_count: u32,
    pub oldest_unflushed_ms: u64,
    pub buffer_bytes: usize,
    pub dead_letters: u64,
    pub write_concern: String,
    pub journal_sync: &'static str,
    pub journal_disk: &'static str,
    pub journal_segments: u64,
    pub journal_bytes: u64,
}

fn iso_or_null<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(super::iso).serialize(to)
}

/// `GET /health/db`.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's; store::StoreHealth says what each is")]
pub struct DatabaseHealth {
    pub messages_count: u64,
    pub groups_count: u64,
    pub indexes: BTreeMap<String, BTreeMap<String, IndexInfo>>,
    pub store: String,
    pub round_trip_ms: f64,
    pub circuit_breaker_status: &'static str,
    pub pool: Option<Pool>,
}

/// An index, as the old server's driver describes one: its keys as pairs of field and direction.
#[derive(Debug, Serialize)]
pub struct IndexInfo {
    /// The keys in their order.
    pub key: Vec<(String, i32)>,
}

/// The connections to the database.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "store::PoolGauges says what each counts")]
pub struct Pool {
    pub open: u64,
    pub in_use: u64,
    pub waiting: u64,
    pub max: u64,
}

/// `GET /health`, `/health/live` and `/health/ready`.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `healthy`, `degraded` (serving from the buffer), `unhealthy` (the journal can't be written,
    /// so nothing is accepted) or `stopping`.
    pub status: &'static str,
    /// The version of the server.
    pub version: &'static str,
    /// How users sign in.
    pub auth_mode: &'static str,
    /// Where messages are stored, without credentials.
    pub store: String,
    /// The state of the breaker in front of it.
    pub circuit_breaker_status: &'static str,
}
