//! The store's connections, read when the metrics are asked for.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::Store;

/// Gives a store's [`PoolGauges`](super::PoolGauges) as metrics.
pub struct PoolCollector(pub Arc<dyn Store>);

impl fmt::Debug for PoolCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolCollector")
    }
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(pool) = self.0.pool() else { return Ok(()) };
        let figures = [
            ("banter_store_connections_open", "Open connections to the store", pool.open),
            ("banter_store_connections_in_use", "Of these, in use", pool.in_use),
            ("banter_store_connections_waiting", "Callers that wait for one", pool.waiting),
            ("banter_store_connections_max", "The most that may be open", pool.max),
        ];
        for (name, help, value) in figures {
            let gauge = ConstGauge::new(value as f64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
