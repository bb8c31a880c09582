//! The two text formats that metrics are asked for in.
//!
//! The registry writes OpenMetrics. Prometheus asks for that by name; what asks for nothing (a
//! person, `promtool check metrics`, older collectors) gets the older text format, in which a
//! metric's type stands under the name of its samples.

use std::fmt::{self, Write};

use super::Telemetry;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Text,
}

impl Format {
    /// The format that the `Accept` of a request asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        let wants = |media_type: &str| {
            let ranges = accept.unwrap_or_default().split(',');
            let weights = ranges.filter_map(|range| weight(range, media_type));
            weights.fold(0.0, f64::max)
        };
        let open_metrics = wants(OPEN_METRICS);
        if open_metrics > 0.0 && open_metrics >= wants("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The content type that says so.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The weight (`q`) that a range of an `Accept` gives to a type. `None` where it names another one,
/// or a version of OpenMetrics that isn't ours.
fn weight(range: &str, media_type: &str) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(media_type) {
        return None;
    }
    let mut weight = 1.0;
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "q" => weight = value.trim().parse().ok()?,
            "version" if media_type == OPEN_METRICS && value.trim() != "1.0.0" => return None,
            _ => {}
        }
    }
    Some(weight)
}

impl Telemetry {
    /// All metrics, in a format.
    ///
    /// # Errors
    /// A metric that can't be written as text; a fault of whoever registered it.
    pub fn write(&self, format: Format) -> Result<String, fmt::Error> {
        let text = self.encode()?;
        match format {
            Format::OpenMetrics => Ok(text),
            Format::Text => older(&text),
        }
    }
}

/// OpenMetrics as the older format: samples are the same, and what is said of them is said of
/// their own names (`requests_total`, not `requests`), without units and an end.
fn older(open_metrics: &str) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            writeln!(text, "# HELP {name}{ending} {help}\n# TYPE {name}{ending} {kind}")?;
        } else if !line.starts_with('#') {
            writeln!(text, "{line}")?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    /// What Prometheus 2.42 asks with.
    const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
        version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        for accept in [
            PROMETHEUS,
            "application/openmetrics-text",
            "text/plain;q=0.3, Application/OpenMetrics-Text; q=0.3",
        ] {
            assert_eq!(Format::accepted(Some(accept)), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn all_others_get_the_older_format() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("text/html,application/xhtml+xml,*/*;q=0.8"),
            Some("application/openmetrics-text;q=0"),
            Some("application/openmetrics-text;version=0.0.1"),
            Some("application/openmetrics-text;q=0.5,text/plain"),
            Some("application/openmetrics-text;q=much"),
        ] {
            assert_eq!(Format::accepted(accept), Format::Text, "{accept:?}");
        }
    }

    #[test]
    fn the_older_format_says_what_it_says_of_the_names_of_samples() {
        let mut telemetry = Telemetry { registry: Registry::default() };
        let (counter, gauge) = (Counter::<u64>::default(), Gauge::<i64>::default());
        telemetry.registry.register("events", "Events", counter.clone());
        telemetry.registry.register_with_unit("size", "Size", Unit::Bytes, gauge);
        telemetry.registry.register("mode", "Mode", Info::new([("mode", "open")]));
        counter.inc();
        let expected = "# HELP events_total Events.\n# TYPE events_total counter\nevents_total 1\n\
                        # HELP size_bytes Size.\n# TYPE size_bytes gauge\nsize_bytes 0\n\
                        # HELP mode_info Mode.\n# TYPE mode_info gauge\nmode_info{mode=\"open\"} 1\n";
        assert_eq!(telemetry.write(Format::Text).unwrap(), expected);
        assert!(telemetry.write(Format::OpenMetrics).unwrap().ends_with("# EOF\n"));
    }
}
