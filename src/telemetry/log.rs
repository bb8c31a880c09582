//! The log: what is logged, how, and where to.

use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal};
use std::panic;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use super::format::{OneLine, Shape};
use super::rotate::RotatingFile;
use super::spool::{Output, Spool};

/// These log what clients send, their credentials included, below `warn`: they are held there.
const NEVER_BELOW_WARN: [&str; 4] =
    ["socketioxide", "engineioxide", "tungstenite", "tokio_tungstenite"];

/// The target of a line for each request, which `http` writes.
const ACCESS: &str = "banter::access";
/// The target of lines about sockets, which `realtime` writes.
const WEBSOCKET: &str = "banter::websocket";

/// Held by the server that writes below `LOG_DIR`: two would put each other's files aside.
const LOCK: &str = ".lock";

/// What is logged, how, and where to.
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
    /// Directory of access.log, error.log and websocket.log, which are written beside the log on
    /// standard output; it is made when it is not there
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Bytes that a file below LOG_DIR may have before it is put aside (65536 to 10000000000)
    #[arg(long, value_name = "BYTES", default_value_t = 50_000_000,
          value_parser = clap::value_parser!(u64).range(65_536..=10_000_000_000))]
    pub log_file_bytes: u64,
    /// Files that are kept of each log below LOG_DIR, the one that is written among them (1 to 1000)
    #[arg(long, value_name = "NUMBER", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub log_files: u32,
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

impl LogFormat {
    fn shape(self, to: &impl IsTerminal) -> Shape {
        match self {
            Self::Json => Shape::Json,
            Self::Text => Shape::Text,
            Self::Auto if to.is_terminal() => Shape::Text,
            Self::Auto => Shape::Json,
        }
    }
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

/// Why there is no log; the text is meant to be printed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The files can't be where the settings put them.
    #[error("LOG_DIR {0:?} can't be used: {1}")]
    Folder(PathBuf, #[source] io::Error),
    /// Another process has it.
    #[error("LOG_DIR {0:?}: another server writes its log there; give each one its own")]
    Taken(PathBuf),
    /// The log on standard output can't be.
    #[error("the log can't be written: {0}")]
    Stdout(#[source] io::Error),
    /// The process has a log already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// The log of a server. When this is dropped, what was logged up to then is written.
#[must_use = "dropping this writes what was logged; that belongs at the end of the process"]
pub struct Log {
    spools: Vec<Spool>,
    /// Locked while the files are this process's.
    _lock: Option<File>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.spools.iter().for_each(Spool::flush);
    }
}

type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sends the log of the whole process to standard output, and to files where there are to be any.
///
/// # Errors
/// The files can't be used, or the process has a log already.
pub fn init_log(settings: &LogSettings) -> Result<Log, LogError> {
    let stdout = Spool::start(Output::Stdout, io::stdout()).map_err(LogError::Stdout)?;
    let shape = settings.log_format.shape(&io::stdout());
    let mut layers = vec![console(shape, &settings.rust_log, stdout.clone())];
    let mut log = Log { spools: vec![stdout], _lock: None };
    if let Some(folder) = &settings.log_dir {
        log._lock = Some(lock(folder)?);
        for output in [Output::Access, Output::Error, Output::WebSocket] {
            let file = open(folder, output, settings);
            let file = file.map_err(|error| LogError::Folder(folder.clone(), error))?;
            layers.push(file_of(output, file.clone()));
            log.spools.push(file);
        }
    }
    tracing_subscriber::registry().with(layers).try_init()?;
    note_panics();
    Ok(log)
}

/// Sends the log of the whole process to standard error: a command prints what it was asked for on
/// its standard output. A server's files are not its own.
///
/// # Errors
/// The process has a log already.
pub fn init_log_of_command(settings: &LogSettings) -> Result<(), TryInitError> {
    let shape = settings.log_format.shape(&io::stderr());
    let layer = console(shape, &settings.rust_log, io::stderr);
    tracing_subscriber::registry().with(layer).try_init()
}

fn open(folder: &Path, output: Output, settings: &LogSettings) -> io::Result<Spool> {
    let path = folder.join(format!("{}.log", output.name()));
    let file = RotatingFile::open(path, settings.log_file_bytes, settings.log_files)?;
    Spool::start(output, file)
}

/// Makes the folder, and makes sure that no other process writes its log there.
fn lock(folder: &Path) -> Result<File, LogError> {
    let locked = fs::create_dir_all(folder).and_then(|()| File::create(folder.join(LOCK)));
    let lock = locked.map_err(|error| LogError::Folder(folder.to_owned(), error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(LogError::Taken(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(LogError::Folder(folder.to_owned(), error)),
    }
}

/// What a person or a collector reads.
fn console<W>(shape: Shape, filter: &LogFilter, to: W) -> AnyLayer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = layer().with_ansi(false).with_writer(to);
    let filter = filter.build();
    match shape {
        Shape::Text => {
            let layer = layer.compact().map_event_format(|format| OneLine(shape, format));
            layer.with_filter(filter).boxed()
        }
        Shape::Json => {
            let layer = layer.json().flatten_event(true);
            layer.map_event_format(|format| OneLine(shape, format)).with_filter(filter).boxed()
        }
    }
}

/// What one of the files gets, whatever `RUST_LOG` says.
fn file_of<W>(output: Output, to: W) -> AnyLayer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = layer().with_ansi(false).with_writer(to).json().flatten_event(true);
    let layer = layer.with_current_span(false).with_span_list(false);
    let one_line = |format| OneLine(Shape::Json, format);
    let only = |target: &str| Targets::new().with_target(target, LevelFilter::DEBUG);
    match output {
        Output::Access => {
            let layer = layer.with_level(false).with_target(false).map_event_format(one_line);
            layer.with_filter(only(ACCESS)).boxed()
        }
        Output::WebSocket => {
            let layer = layer.with_target(false).map_event_format(one_line);
            layer.with_filter(only(WEBSOCKET)).boxed()
        }
        Output::Stdout | Output::Error => {
            layer.map_event_format(one_line).with_filter(LevelFilter::WARN).boxed()
        }
    }
}

/// Has panics in the log, too: where they were. What they say stays on standard error, since it may
/// quote what a user has written.
fn note_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(tracing::field::display);
        tracing::error!(place, "a panic; what it says is on standard error");
        print(info);
    }));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;
    use tracing::subscriber::with_default;

    use super::*;
    use crate::correlation::RequestId;

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
        tracing::warn!(user = %FORGED, debugged = ?FORGED, "{FORGED}");
    }

    fn logged(layers: impl FnOnce(Sink) -> AnyLayer, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        with_default(tracing_subscriber::registry().with(layers(sink.clone())), log);
        sink.text()
    }

    fn printed(shape: Shape, filter: &str, log: impl FnOnce()) -> String {
        let filter: LogFilter = filter.parse().unwrap();
        logged(|sink| console(shape, &filter, sink), log)
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
        let text = printed(Shape::Text, "info", log_forgery);
        let line = text.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{2028}', '\u{202e}']), "{line:?}");
        assert!(line.contains("forged"), "{line:?}");
    }

    #[test]
    fn what_a_client_sent_can_forge_no_line_of_json() {
        let printed = printed(Shape::Json, "info", log_forgery);
        let filed = logged(|sink| file_of(Output::Error, sink), log_forgery);
        for text in [printed, filed] {
            let line = text.strip_suffix('\n').expect("a whole line");
            assert!(line.is_ascii() && !line.contains(|c: char| c.is_control()), "{line:?}");
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["user"], FORGED);
        }
    }

    #[test]
    fn what_clients_send_is_not_logged_even_where_everything_is() {
        let text = printed(Shape::Text, "trace", || {
            tracing::debug!(target: "socketioxide::client", "auth: secret");
            tracing::trace!(target: "engineioxide::socket", "sending packet secret");
            tracing::debug!("ours");
        });
        assert!(text.contains("ours"));
        assert!(!text.contains("secret"));
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        assert!("banter=loud".parse::<LogFilter>().is_err());
    }

    #[tokio::test]
    async fn a_line_has_the_id_of_what_its_task_serves() {
        for (shape, tail) in
            [(Shape::Text, " request_id=r-1"), (Shape::Json, ",\"request_id\":\"r-1\"}")]
        {
            let sink = Sink::default();
            let layer = console(shape, &"info".parse().unwrap(), sink.clone());
            let subscriber = tracing_subscriber::registry().with(layer);
            let _guard = tracing::subscriber::set_default(subscriber);
            let serve = async { tracing::info!(n = 1, "served") };
            RequestId::given("r-1").unwrap().scope(serve).await;
            tracing::info!("alone");
            let text = sink.text();
            let lines: Vec<_> = text.lines().collect();
            assert!(lines[0].ends_with(tail) && !lines[1].contains("request_id"), "{text}");
        }
    }

    #[test]
    fn each_file_gets_its_own_lines_whatever_else_is_logged() {
        let log = || {
            tracing::debug!(target: ACCESS, status = 200, "a request");
            tracing::debug!(target: WEBSOCKET, "connected");
            tracing::warn!(target: WEBSOCKET, "too slow");
            tracing::info!("something else");
            tracing::error!("broken");
        };
        for (output, messages) in [
            (Output::Access, &["a request"][..]),
            (Output::WebSocket, &["connected", "too slow"]),
            (Output::Error, &["too slow", "broken"]),
        ] {
            let text = logged(|sink| file_of(output, sink), log);
            let found: Vec<String> = text
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .map(|line| line["message"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(found, messages, "{output:?}");
        }
    }

    #[test]
    fn two_servers_do_not_share_a_folder() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log");
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(LogError::Taken(_))));
        drop(held);
        assert!(lock(&path).is_ok());
        let refused = lock(&path.join(LOCK)).unwrap_err().to_string();
        assert!(refused.starts_with("LOG_DIR "), "{refused}");
    }
}
