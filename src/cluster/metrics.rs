//! What operators see of the bus.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Bus;

/// Upper bounds of the latency buckets, in seconds: from one machine to the other side of the earth.
const LATENCY_BOUNDS_SECONDS: [f64; 10] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 5.0];

/// What is counted.
pub(super) struct Metrics {
    pub(super) published: Counter,
    pub(super) delayed: Counter,
    pub(super) dropped: Counter,
    pub(super) gaps: Counter,
    received: Counter,
    latency: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            published: Counter::default(),
            delayed: Counter::default(),
            dropped: Counter::default(),
            gaps: Counter::default(),
            received: Counter::default(),
            latency: Histogram::new(LATENCY_BOUNDS_SECONDS),
        }
    }
}

impl Metrics {
    /// A letter of another node was heard, so long after it was sent.
    pub(super) fn heard(&self, micros: u64) {
        self.received.inc();
        self.latency.observe(micros as f64 / 1e6);
    }
}

/// Adds all to the registry.
pub(super) fn register(bus: &Arc<Bus>, registry: &mut Registry) {
    let Metrics { published, delayed, dropped, gaps, received, latency } = &bus.metrics;
    let counters = [
        ("published", "Letters published to the other nodes", published),
        ("received", "Letters of other nodes that were heard", received),
        ("delayed", "Letters that could not be published within 250 ms", delayed),
        ("dropped", "Letters that have fallen out of a full queue", dropped),
        ("gaps", "Times that letters of other nodes were missed", gaps),
    ];
    for (name, help, counter) in counters {
        registry.register(format!("banter_cluster_{name}"), help, counter.clone());
    }
    let help =
        "Time from a letter's way out of its node to its arrival here, by both nodes' clocks";
    registry.register_with_unit("banter_cluster_latency", help, Unit::Seconds, latency.clone());
    registry.register_collector(Box::new(State(Arc::clone(bus))));
}

/// What is so now.
struct State(Arc<Bus>);

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bus = &self.0;
        let queued: usize = bus.shards.iter().map(|shard| shard.outbox.lock().len()).sum();
        let figures = [
            (
                "connected",
                "Whether this node hears the others",
                i64::from(bus.connections.all_read()),
            ),
            (
                "nodes",
                "Nodes that are there, this one included",
                bus.known.nodes.lock().len() as i64,
            ),
            ("queued", "Letters that wait to be published", queued as i64),
        ];
        for (name, help, value) in figures {
            let gauge = ConstGauge::new(value);
            let name = format!("banter_cluster_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
