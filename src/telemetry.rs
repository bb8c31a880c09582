//! What operators see: the log, and the registry of metrics.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use prometheus_client::registry::Registry;
use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt as log};

/// The content type of [`Telemetry::encode`].
pub const OPEN_METRICS_CONTENT_TYPE: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// These log what clients send, their credentials included, below `warn`: they are held there.
const NEVER_BELOW_WARN: [&str; 4] =
    ["socketioxide", "engineioxide", "tungstenite", "tokio_tungstenite"];

/// The metrics of all components, which register their own.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// Where components register.
    pub registry: Registry,
}

impl Telemetry {
    /// All metrics in the OpenMetrics text format, of [`OPEN_METRICS_CONTENT_TYPE`].
    ///
    /// # Errors
    /// A metric that can't be written as text; a fault of whoever registered it.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Operators")]
pub struct LogSettings {
    /// What is logged: a level (error, warn, info, debug, trace), or directives such as
    /// `info,banter::buffer=debug`.
    #[arg(long, default_value = "info")]
    pub rust_log: LogFilter,
    /// How a line of the log looks: text for people, json for machines, auto for text on a
    /// terminal and json elsewhere.
    #[arg(long, default_value = "auto")]
    pub log_format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text for an event.
    Text,
    /// One JSON object a line.
    Json,
}

/// Directives of the log, known to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// Why a text is no filter of the log.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLogFilter {
    /// It can't be read.
    #[error(transparent)]
    Form(#[from] ParseError),
    /// It would open a part of the log that holds what clients send.
    #[error("{0} logs what clients send, their credentials included; it can't be opened")]
    Secret(&'static str),
}

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, InvalidLogFilter> {
        EnvFilter::try_new(text)?;
        // A directive for a part of such a library would outdo the one that holds it back.
        let directives = text.split(',').map(str::trim);
        let mut opened = directives
            .flat_map(|text| NEVER_BELOW_WARN.into_iter().find(|name| text.starts_with(name)));
        match opened.next() {
            Some(name) => Err(InvalidLogFilter::Secret(name)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl LogFilter {
    fn build(&self) -> EnvFilter {
        let filter = EnvFilter::new(&self.0);
        NEVER_BELOW_WARN
            .iter()
            .filter_map(|name| format!("{name}=warn").parse().ok())
            .fold(filter, EnvFilter::add_directive)
    }
}

/// Sends the log of the whole process to its standard error.
///
/// # Errors
/// The process has a log already.
pub fn init_logs(settings: &LogSettings) -> Result<(), TryInitError> {
    let json = match settings.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let filter = settings.rust_log.build();
    if json {
        json_log(filter, io::stderr).try_init()
    } else {
        text_log(filter, io::stderr).try_init()
    }
}

fn json_log<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    log().json().flatten_event(true).with_env_filter(filter).with_writer(writer).finish()
}

fn text_log<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    log().compact().with_ansi(false).with_env_filter(filter).with_writer(OneLine(writer)).finish()
}

/// Writes each event as one line, its control characters escaped: a line break or a terminal's
/// escape sequence in what a client sent would else forge a line of the log.
struct OneLine<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = OneLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    /// `event` is a whole event: the formatter writes each at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.strip_suffix('\n').unwrap_or(&text).chars() {
            if c.is_control() || is_misleading(c) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What breaks lines for some readers, or lets a text be shown in another order than it has.
fn is_misleading(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use prometheus_client::metrics::counter::Counter;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Sink {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    const FORGED: &str = "a\n2026-01-01 ERROR forged\r\u{1b}[31mred\u{9b}2J\u{7f}\u{2028}x\u{202e}";

    fn log_forgery() {
        tracing::info!(user = %FORGED, debugged = ?FORGED, "{FORGED}");
    }

    fn filter(text: &str) -> EnvFilter {
        text.parse::<LogFilter>().unwrap().build()
    }

    #[test]
    fn a_filter_that_would_log_what_clients_send_is_refused() {
        for text in
            ["info,socketioxide::client=debug", "tungstenite::protocol=trace", " engineioxide"]
        {
            let refusal = text.parse::<LogFilter>();
            assert!(matches!(refusal, Err(InvalidLogFilter::Secret(_))), "{text}: {refusal:?}");
        }
        assert!("info,banter::realtime=trace".parse::<LogFilter>().is_ok());
        assert!(matches!("a=b=c".parse::<LogFilter>(), Err(InvalidLogFilter::Form(_))));
    }

    #[test]
    fn what_a_client_sent_can_forge_no_line_of_text() {
        let sink = Sink::default();
        with_default(text_log(filter("info"), sink.clone()), log_forgery);
        let text = sink.text();
        let line = text.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{2028}', '\u{202e}']), "{line:?}");
        assert!(line.contains("forged"), "{line:?}");
    }

    #[test]
    fn what_a_client_sent_can_forge_no_line_of_json() {
        let sink = Sink::default();
        with_default(json_log(filter("info"), sink.clone()), log_forgery);
        let text = sink.text();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["user"], FORGED);
    }

    #[test]
    fn what_clients_send_is_not_logged_even_where_everything_is() {
        let sink = Sink::default();
        with_default(text_log(filter("trace"), sink.clone()), || {
            tracing::debug!(target: "socketioxide::client", "auth: secret");
            tracing::trace!(target: "engineioxide::socket", "sending packet secret");
            tracing::debug!("ours");
        });
        assert!(sink.text().contains("ours"));
        assert!(!sink.text().contains("secret"));
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        assert!("banter=loud".parse::<LogFilter>().is_err());
    }

    #[test]
    fn metrics_are_encoded_as_open_metrics() {
        let mut telemetry = Telemetry::default();
        let counter: Counter = Counter::default();
        telemetry.registry.register("events", "Events", counter.clone());
        counter.inc();
        let text = telemetry.encode().unwrap();
        assert!(text.contains("events_total 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
