//! What operators see: the log, and the registry of metrics.

pub mod exposition;
mod format;
pub mod host;
mod log;
mod rotate;
mod spool;

use std::fmt;

use prometheus_client::registry::Registry;

pub use self::log::{InvalidLogFilter, Log, LogError, LogFilter, LogFormat, LogSettings};
pub use self::log::{init_log, init_log_of_command};

/// The metrics of all components, which register their own.
#[derive(Debug)]
pub struct Telemetry {
    /// Where components register.
    pub registry: Registry,
}

impl Default for Telemetry {
    /// A registry that has the log's own figures.
    fn default() -> Self {
        let mut registry = Registry::default();
        spool::register(&mut registry);
        Self { registry }
    }
}

impl Telemetry {
    /// All metrics in the OpenMetrics text format; [`Telemetry::write`] has the other one, too.
    ///
    /// # Errors
    /// A metric that can't be written as text; a fault of whoever registered it.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn metrics_are_encoded_as_open_metrics() {
        let mut telemetry = Telemetry::default();
        let counter: Counter = Counter::default();
        telemetry.registry.register("events", "Events", counter.clone());
        counter.inc();
        let text = telemetry.encode().unwrap();
        assert!(text.contains("events_total 1\n"), "{text}");
        assert!(text.contains("banter_log_lines_lost_total{output=\"stdout\"} "), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
