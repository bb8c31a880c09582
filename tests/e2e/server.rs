//! A real server: the `banter` binary in a process of its own.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::mongod::TestDatabase;
use crate::suite::root;

/// Longer than a start or a stop takes on a busy machine: only a server that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than it takes until everything is stored; only a failure waits.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(50);

/// Lines of the server's output that are kept for a failure.
const LOG_LINES: usize = 200;

/// What a server of the tests signs its tokens with.
pub(crate) const SECRET_KEY: &str = "qV3xT8mZr1LkWf5uYbN0cJ7hPsE2aGd9oRi4MwXt";

/// What operators sign in to the admin UI with, where it is open.
pub(crate) const ADMIN_UI_PASSWORD: &str = "a plain but long sentence";

/// How users sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// Whom a client names is believed.
    Open,
    /// Users have accounts, and clients bring tokens.
    Tokens,
}

impl SignIn {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Open => &[("AUTH_MODE", "open")],
            Self::Tokens => &[("AUTH_MODE", "jwt"), ("SECRET_KEY", SECRET_KEY)],
        }
    }
}

/// What the server stores in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// The embedded store.
    Sqlite,
    /// The MongoDB server that all tests share, in a database of this server's own.
    Mongodb,
}

/// What a server is told by its environment.
type Settings = BTreeMap<String, String>;

/// The last lines of a server's output, over all its lives.
type Log = Arc<Mutex<VecDeque<String>>>;

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    url: String,
    store: Store,
    settings: Settings,
    log: Log,
    /// Removed with this value, after the server has ended.
    _dir: tempfile::TempDir,
    /// As is this.
    database: Option<TestDatabase>,
}

impl Server {
    /// Starts a server on a store; sign-in is open.
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_signing_in(store, SignIn::Open).await
    }

    /// Starts a server on a store.
    pub(crate) async fn start_signing_in(store: Store, sign_in: SignIn) -> Self {
        Self::start_signing_in_with(store, sign_in, &[]).await
    }

    /// The same with further settings.
    pub(crate) async fn start_signing_in_with(
        store: Store,
        sign_in: SignIn,
        more: &[(&str, &str)],
    ) -> Self {
        let database = (store == Store::Mongodb).then(TestDatabase::new);
        let mut settings = sign_in.settings().to_vec();
        settings.extend(more);
        if let Some(database) = &database {
            settings.extend([("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)]);
        }
        let mut server = Self::start_with(store, &settings).await;
        server.database = database;
        server
    }

    /// Starts a server with further settings; `store` is what these settings make it store in.
    pub(crate) async fn start_with(store: Store, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = |name| dir.path().join(name).to_str().unwrap().to_owned();
        let (data, uploads) = (own("data"), own("uploads"));
        let settings = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DATA_DIR", data.as_str()),
            ("UPLOAD_DIR", uploads.as_str()),
            // Whatever asks is on this machine, and asks as fast as it can.
            ("LIMIT_EXEMPT", "127.0.0.0/8"),
            ("SIGN_IN_RATE", "0"),
        ];
        let settings = settings.iter().chain(more);
        let settings: Settings =
            settings.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let log = Log::default();
        let (child, url) = launch(&settings, &log).await;
        Self { child, url, store, settings, log, _dir: dir, database: None }
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("the server can be killed");
        note(&self.log, "--- it is killed".to_owned());
    }

    /// Starts it again after [`Server::kill`], on the same port and data.
    pub(crate) async fn restart(&mut self) {
        let (_, port) = self.url.rsplit_once(':').unwrap();
        self.settings.insert("PORT".to_owned(), port.to_owned());
        (self.child, self.url) = launch(&self.settings, &self.log).await;
    }

    /// Where it listens: `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it stores in.
    pub(crate) fn store(&self) -> Store {
        self.store
    }

    /// What it was told of a setting.
    ///
    /// # Panics
    /// When it was told nothing.
    pub(crate) fn setting(&self, name: &str) -> &str {
        &self.settings[name]
    }

    /// Where it keeps uploads.
    pub(crate) fn upload_dir(&self) -> PathBuf {
        self.setting("UPLOAD_DIR").into()
    }

    /// The last lines of its output.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Waits until everything accepted is stored.
    pub(crate) async fn drained(&self) {
        self.buffer_until("does not drain", |stats| stats["current_buffer_size"] == 0).await;
    }

    /// Waits until what was accepted a second ago is stored.
    pub(crate) async fn catches_up(&self) {
        let is_young = |stats: &Value| stats["oldest_unflushed_ms"].as_u64().unwrap() < 1_000;
        self.buffer_until("does not catch up", is_young).await;
    }

    /// Waits until its breaker is open: the store has not answered, and is left alone.
    pub(crate) async fn breaker_opens(&self) {
        let is_open = |stats: &Value| stats["circuit_breaker_status"] == "open";
        self.buffer_until("does not open its breaker", is_open).await;
    }

    async fn buffer_until(&self, what: &str, is_reached: impl Fn(&Value) -> bool) {
        let url = format!("{}/health/message-buffer", self.url);
        let mut health = Value::Null;
        let reached = async {
            loop {
                health = crate::web::get(&url).await.unwrap().json().await.unwrap();
                if is_reached(&health["stats"]) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let reached = tokio::time::timeout(DRAIN_PATIENCE, reached).await;
        assert!(reached.is_ok(), "the buffer {what}: {health}; it said:\n{}", self.log_tail());
    }

    /// Asks it to stop.
    ///
    /// # Panics
    /// When it does not end by itself, and in peace.
    pub(crate) async fn stop(&mut self) {
        let id = self.child.id().expect("the server has ended before it was asked to").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(asked.success(), "the server can't be asked to stop");
        let Ok(status) = tokio::time::timeout(PATIENCE, self.child.wait()).await else {
            panic!("the server does not stop; it said:\n{}", self.log_tail());
        };
        let status = status.unwrap();
        assert!(status.success(), "the server ended with {status}; it said:\n{}", self.log_tail());
    }
}

/// Starts a server and waits until it listens; where that is.
async fn launch(settings: &Settings, log: &Log) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banter"));
    command
        .current_dir(root())
        .env_remove("MONGO_URL")
        .env_remove("MONGODB_URL")
        .envs(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("the server's binary starts");
    let (found, mut addresses) = mpsc::channel(1);
    watch(child.stdout.take().unwrap(), log, found.clone());
    watch(child.stderr.take().unwrap(), log, found);
    let address = tokio::time::timeout(PATIENCE, addresses.recv()).await.ok().flatten();
    let Some(url) = address else {
        panic!("the server does not listen; it said:\n{}", tail(log));
    };
    (child, url)
}

/// Keeps what the server says, and passes on the address when it says that.
#[expect(clippy::disallowed_methods, reason = "ends with the server's output")]
fn watch<R>(output: R, log: &Log, found: mpsc::Sender<String>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, rest)) = line.split_once("listening on http://") {
                let address: String =
                    rest.chars().take_while(|c| matches!(c, '0'..='9' | '.' | ':')).collect();
                // Nobody waits any more once the address is known.
                found.try_send(format!("http://{address}")).ok();
            }
            note(&log, line);
        }
    });
}

fn note(log: &Log, line: String) {
    let mut log = log.lock().unwrap();
    if log.len() == LOG_LINES {
        log.pop_front();
    }
    log.push_back(line);
}

fn tail(log: &Log) -> String {
    log.lock().unwrap().iter().fold(String::new(), |text, line| text + line + "\n")
}
