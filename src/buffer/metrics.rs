//! What the buffer counts: one set of figures behind `/metrics` and `/health/message-buffer`.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::breaker::{CLOSED, Observed};
use super::shared::Shared;
use super::{Disk, SyncMode};
use crate::model::Timestamp;

/// What `/health/message-buffer` tells. Counts are since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Messages accepted.
    pub total_messages: u64,
    /// Calls to the store that wrote their batch.
    pub successful_flushes: u64,
    /// Calls to the store that failed, retries included.
    pub failed_flushes: u64,
    /// Batches sent once more right after they failed.
    pub retry_count: u64,
    /// How often the breaker opened; a failed probe opens it again.
    pub circuit_breaker_trips: u64,
    /// Ops not yet stored.
    pub current_buffer_size: usize,
    /// Bytes that they hold, by [`Op::weight`](crate::model::Op::weight).
    pub buffer_bytes: usize,
    /// Ops that are stored and wait for the search index.
    pub unindexed: usize,
    /// Ops that the next batch takes at the most.
    pub current_batch_size: usize,
    /// When the store last confirmed a batch.
    pub last_flush: Option<Timestamp>,
    /// Whether the breaker is open, or half-open and not yet healed.
    pub breaker_open: bool,
    /// Failures since the last success.
    pub failure_count: u32,
    /// How long the oldest op that is not stored has waited.
    pub oldest_unflushed: Option<Duration>,
    /// Ops that the store refused for good.
    pub dead_letters: u64,
    /// When the journal is on the disk.
    pub journal_sync: SyncMode,
    /// How its disk is.
    pub disk: Disk,
    /// Its segments, and the bytes in them.
    pub journal_segments: u64,
    /// See above.
    pub journal_bytes: u64,
}

/// The figures that grow or are set where things happen; the rest is read from the ring.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) messages: Counter,
    pub(super) succeeded: Counter,
    pub(super) failed: Counter,
    pub(super) retries: Counter,
    pub(super) dead_letters: Counter,
    pub(super) batch_size: Gauge,
    pub(super) flushed_ops: Histogram,
    pub(super) flush_latency: Histogram,
    pub(super) breaker: Observed,
    pub(super) journal: JournalMetrics,
    pub(super) pages_from_memory: Counter,
    pub(super) pages_from_redis: Counter,
    pub(super) pages_from_store: Counter,
    pages: Family<[(&'static str, &'static str); 1], Counter>,
    flushes: Family<[(&'static str, &'static str); 1], Counter>,
}

/// The journal's figures.
#[derive(Debug)]
pub(super) struct JournalMetrics {
    mode: SyncMode,
    ops: Counter,
    group_ops: Histogram,
    latency: Histogram,
    disk: Gauge,
    segments: Gauge,
    bytes: Gauge,
}

impl JournalMetrics {
    fn new(mode: SyncMode) -> Self {
        Self {
            mode,
            ops: Counter::default(),
            // 1 to 8,192 ops, the most that a group has.
            group_ops: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            // 31 µs to 1 s: a sync takes from a fraction of a millisecond to many.
            latency: Histogram::new(exponential_buckets(0.000_031_25, 2.0, 16)),
            disk: Gauge::default(),
            segments: Gauge::default(),
            bytes: Gauge::default(),
        }
    }

    /// A group of ops was made durable.
    pub(super) fn group(&self, ops: usize, took: Duration) {
        self.ops.inc_by(ops as u64);
        self.group_ops.observe(ops as f64);
        self.latency.observe(took.as_secs_f64());
    }

    pub(super) fn disk(&self, disk: Disk) {
        self.disk.set(match disk {
            Disk::Works => 0,
            Disk::Full => 1,
            Disk::Failed => 2,
        });
    }

    pub(super) fn size(&self, segments: usize, bytes: u64) {
        self.segments.set(i64::try_from(segments).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("banter_journal");
        let mode = Info::new([("mode", self.mode.as_str())]);
        registry.register("sync", "When accepted changes are on the disk", mode);
        registry.register("ops", "Changes written", self.ops.clone());
        registry.register("group_ops", "Changes per write", self.group_ops.clone());
        let (help, latency) = ("Time of a write with its sync", self.latency.clone());
        registry.register_with_unit("write_latency", help, Unit::Seconds, latency);
        let help = "The disk: 0 works, 1 full, 2 failed";
        registry.register("disk_state", help, self.disk.clone());
        registry.register("segments", "Its files", self.segments.clone());
        registry.register_with_unit("size", "What is in them", Unit::Bytes, self.bytes.clone());
    }
}

impl Metrics {
    pub(super) fn new(mode: SyncMode) -> Self {
        let flushes = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let pages = Family::<[(&'static str, &'static str); 1], Counter>::default();
        Self {
            messages: Counter::default(),
            succeeded: flushes.get_or_create_owned(&[("outcome", "success")]),
            failed: flushes.get_or_create_owned(&[("outcome", "failure")]),
            retries: Counter::default(),
            dead_letters: Counter::default(),
            batch_size: Gauge::default(),
            // 1 to 16,384 ops: a batch has 10,000 at the most.
            flushed_ops: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            // 1 ms to 33 s: a call to the store ends after 30 s.
            flush_latency: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            breaker: Observed::default(),
            journal: JournalMetrics::new(mode),
            pages_from_memory: pages.get_or_create_owned(&[("source", "memory")]),
            pages_from_redis: pages.get_or_create_owned(&[("source", "redis")]),
            pages_from_store: pages.get_or_create_owned(&[("source", "store")]),
            pages,
            flushes,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.journal.register(registry);
        let (name, help) = ("banter_history_pages", "Pages of history, by where they came from");
        registry.register(name, help, self.pages.clone());
        let registry = registry.sub_registry_with_prefix("banter_buffer");
        registry.register("messages", "Messages accepted", self.messages.clone());
        registry.register("flushes", "Calls to the store, by outcome", self.flushes.clone());
        registry.register(
            "retries",
            "Batches sent once more after a failure",
            self.retries.clone(),
        );
        let help = "Ops that the store refused for good";
        registry.register("dead_letters", help, self.dead_letters.clone());
        let help = "Ops that the next batch takes at the most";
        registry.register("batch_size", help, self.batch_size.clone());
        registry.register("flushed_ops", "Ops per batch stored", self.flushed_ops.clone());
        let help = "Time of a call to the store";
        let latency = self.flush_latency.clone();
        registry.register_with_unit("flush_latency", help, Unit::Seconds, latency);
        let help = "The breaker: 0 closed, 1 half-open, 2 open";
        registry.register("breaker_state", help, self.breaker.state.clone());
        registry.register("breaker_trips", "How often it opened", self.breaker.trips.clone());
        let help = "Failures since the last success";
        registry.register("failures_in_a_row", help, self.breaker.failures.clone());
    }
}

impl Shared {
    /// The figures, all from one moment as far as the ring is concerned.
    pub(super) fn stats(&self) -> Stats {
        let metrics = &self.metrics;
        let state = self.lock();
        let now = Instant::now();
        Stats {
            total_messages: metrics.messages.get(),
            successful_flushes: metrics.succeeded.get(),
            failed_flushes: metrics.failed.get(),
            retry_count: metrics.retries.get(),
            circuit_breaker_trips: metrics.breaker.trips.get(),
            current_buffer_size: state.ring.len(),
            buffer_bytes: state.ring.bytes(),
            unindexed: state.indexing.ops(),
            current_batch_size: metrics.batch_size.get().try_into().unwrap_or(0),
            last_flush: state.last_flush,
            breaker_open: metrics.breaker.state.get() != CLOSED,
            failure_count: metrics.breaker.failures.get().try_into().unwrap_or(0),
            oldest_unflushed: state.ring.oldest().map(|oldest| now - oldest),
            dead_letters: metrics.dead_letters.get(),
            journal_sync: self.mode,
            disk: state.disk,
            journal_segments: metrics.journal.segments.get().try_into().unwrap_or(0),
            journal_bytes: metrics.journal.bytes.get().try_into().unwrap_or(0),
        }
    }
}

/// The ring's figures, read when they are asked for.
pub(super) struct Depth(pub(super) Arc<Shared>);

impl std::fmt::Debug for Depth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Depth")
    }
}

impl Collector for Depth {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let (max_ops, max_bytes) = self.0.lock().ring.limits();
        let age = stats.oldest_unflushed.unwrap_or_default().as_secs_f64();
        let figures = [
            ("banter_buffer_ops", "Ops not yet stored", None, stats.current_buffer_size as f64),
            ("banter_buffer_ops_max", "The most that there may be", None, max_ops as f64),
            ("banter_buffer", "What these hold", Some(&Unit::Bytes), stats.buffer_bytes as f64),
            ("banter_buffer_bytes_max", "The most that they may hold", None, max_bytes as f64),
            (
                "banter_search_unindexed",
                "Ops stored, not yet indexed",
                None,
                stats.unindexed as f64,
            ),
            ("banter_buffer_oldest_unflushed", "Their greatest age", Some(&Unit::Seconds), age),
        ];
        for (name, help, unit, value) in figures {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)?;
        }
        // `banter_buffer_messages`, as the old servers' dashboards call it.
        let messages = ConstCounter::new(stats.total_messages);
        let (name, help) = ("ws_messages", "Messages accepted");
        messages.encode(encoder.encode_descriptor(name, help, None, messages.metric_type())?)
    }
}
