//! The program itself: how it refuses to start, and how signals end it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::app::to_user;
use crate::mongod::TestDatabase;
use crate::sio::{Client, Packet, Transport};

/// How long a start or an end may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Banter {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// What it has logged up to where it listens.
    started: String,
    log: Lines<BufReader<ChildStdout>>,
    pub(crate) folder: TempDir,
}

/// The program, at work in a folder.
pub(crate) fn command(folder: &TempDir, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banter"));
    command
        .current_dir(folder.path())
        .env_remove("MONGO_URL")
        .env_remove("MONGODB_URL")
        .env("PORT", "0")
        .env("LIMIT_EXEMPT", "127.0.0.0/8")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Banter {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new().unwrap(), settings).await
    }

    /// Starts in a folder that another one may have left behind.
    pub(crate) async fn start_in(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        // What stands there is no part of the log: what a panic says.
        let mut child = command(&folder, settings);
        let mut child = child.stderr(Stdio::inherit()).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = Self::lines_to(&mut log, "listening on http://").await;
        let (_, addr) = started.rsplit_once("http://").unwrap();
        let addr: String = addr.chars().take_while(|c| "0123456789.:".contains(*c)).collect();
        Self { child, addr: addr.parse().unwrap(), started, log, folder }
    }

    /// The log's next lines, up to one with this text.
    async fn lines_to(log: &mut Lines<BufReader<ChildStdout>>, text: &str) -> String {
        let mut lines = String::new();
        let find = async {
            while let Some(line) = log.next_line().await.unwrap() {
                lines += &line;
                lines.push('\n');
                if line.contains(text) {
                    return lines;
                }
            }
            panic!("the program ended without saying {text:?}");
        };
        tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("no {text:?}"))
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("still running")
    }

    /// Ends at once, as in a crash (SIGKILL); what it leaves behind.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.child.kill().await.expect("it runs");
        self.folder
    }

    /// Stops it in an orderly way; what it leaves behind.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.terminate().await;
        // Nobody reads the log meanwhile, and it must not fill the pipe.
        while let Ok(Some(_)) = self.log.next_line().await {}
        self.ends_well().await;
        self.folder
    }

    async fn terminate(&self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    }

    async fn ends_well(&mut self) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        assert!(status.unwrap().success());
    }
}

#[tokio::test]
async fn a_wrong_setting_ends_the_start_and_is_named() {
    for (name, value) in [("PORT", "many"), ("BATCH_SIZE", "0"), ("CORS_ORIGINS", "not an origin")]
    {
        let folder = TempDir::new().unwrap();
        let output = command(&folder, &[(name, value)]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(name) && said.contains(value), "{said}");
    }
}

/// Sends until the program, told to stop in the middle, ends; the messages it has acknowledged.
async fn acknowledged_until_stopped(banter: &mut Banter) -> Vec<String> {
    const BURST: usize = 5_000;
    let mut ann = Client::connect(banter.addr, json!({"user_id": "ann"})).await;
    for n in 0..BURST {
        ann.send_with_ack("send_message", &[to_user("bob", &n.to_string())]).await;
    }
    let mut acknowledged = Vec::new();
    loop {
        match ann.next_packet().await {
            Packet::Ack { args, .. } if args[0]["ok"] == json!(true) => {
                acknowledged.push(args[0]["message"]["_id"].as_str().unwrap().to_owned());
                if acknowledged.len() == 100 {
                    banter.terminate().await;
                }
            }
            Packet::Ack { args, .. } => assert_eq!(args[0]["error"]["code"], "unavailable"),
            Packet::Closed(_) | Packet::Disconnect => break,
            _ => {}
        }
    }
    banter.ends_well().await;
    assert!(acknowledged.len() >= 100);
    acknowledged.sort();
    acknowledged
}

fn is_among(acknowledged: &[String], stored: &[String]) {
    for id in acknowledged {
        assert!(stored.binary_search(id).is_ok(), "{id} was acknowledged and is not stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_acknowledged_on_sqlite() {
    let mut banter = Banter::start(&[]).await;
    let acknowledged = acknowledged_until_stopped(&mut banter).await;
    let database = rusqlite::Connection::open(banter.folder.path().join("data/banter.db")).unwrap();
    let mut ids = database.prepare("SELECT lower(hex(id)) FROM messages ORDER BY id").unwrap();
    let stored: Result<Vec<String>, _> = ids.query_map([], |row| row.get(0)).unwrap().collect();
    is_among(&acknowledged, &stored.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_acknowledged_on_mongodb() {
    let database = TestDatabase::new();
    let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    let mut banter = Banter::start(&settings).await;
    let acknowledged = acknowledged_until_stopped(&mut banter).await;
    let rows = database.raw().await.collection::<Document>("messages").find(doc! {}).await.unwrap();
    let rows: Vec<Document> = rows.try_collect().await.unwrap();
    let mut stored: Vec<_> =
        rows.iter().map(|row| row.get_object_id("_id").unwrap().to_hex()).collect();
    stored.sort();
    is_among(&acknowledged, &stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_program_at_once() {
    // A client that reads nothing of what waits for it holds up a stop in phases.
    let mut banter = Banter::start(&[]).await;
    let mut ann = Client::connect(banter.addr, json!({"user_id": "ann"})).await;
    ann.stop_reading().await;
    let filler = "x".repeat(48_000);
    for _ in 0..400 {
        ann.emit("send_message", to_user("ann", &filler)).await;
    }
    banter.terminate().await;
    Banter::lines_to(&mut banter.log, "stopping").await;
    banter.terminate().await;
    Banter::lines_to(&mut banter.log, "told to stop at once").await;
    banter.ends_well().await;
}

/// What a program has logged.
pub(crate) struct Logged {
    /// On standard output.
    pub(crate) stdout: String,
    /// In its files, by their names.
    pub(crate) files: BTreeMap<String, String>,
}

impl Logged {
    /// All lines, wherever they stand.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.files.values().chain([&self.stdout]).flat_map(|text| text.lines())
    }
}

/// All that a program at its most talkative logs, from its start to its end, while something is done
/// with it.
pub(crate) async fn log_while(
    settings: &[(&str, &str)],
    doing: impl AsyncFnOnce(SocketAddr),
) -> Logged {
    logged_while(&[&[("RUST_LOG", "trace")], settings].concat(), doing).await
}

/// The same at the level that is set.
pub(crate) async fn logged_while(
    settings: &[(&str, &str)],
    doing: impl AsyncFnOnce(SocketAddr),
) -> Logged {
    let mut banter = Banter::start(&[&[("LOG_DIR", "log")], settings].concat()).await;
    let mut all = std::mem::take(&mut banter.started);
    let id = banter.child.id().expect("still running").to_string();
    let (log, addr) = (&mut banter.log, banter.addr);
    let act = async {
        doing(addr).await;
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    };
    let listen = async {
        while let Some(line) = log.next_line().await.unwrap() {
            all += &line;
            all.push('\n');
        }
    };
    tokio::join!(act, listen);
    banter.ends_well().await;
    assert!(all.contains("stopped"), "the log was read");
    Logged { stdout: all, files: files(&banter.folder.path().join("log")) }
}

/// All files of a folder that are not hidden, and what they hold.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let shown = named.filter(|(name, _)| !name.starts_with('.'));
    shown.map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect()
}

/// The log of a chat.
async fn log_of_a_chat(settings: &[(&str, &str)]) -> Logged {
    log_while(settings, async |addr| {
        for transport in [Transport::WebSocket, Transport::Polling] {
            let auth = json!({"user_id": "ann", "token": SECRET});
            let mut ann = Client::connect_by(transport, addr, auth).await;
            let ack = ann.emit_ack("send_message", to_user("bob", SECRET)).await;
            let edit = json!({"message_id": ack["message"]["id"], "content": SECRET});
            assert_eq!(ann.emit_ack("edit_message", edit).await, json!({"ok": true}));
            let wrong = json!({"to": [], "content": SECRET});
            assert_eq!(ann.emit_ack("send_message", wrong).await["ok"], json!(false));
            ann.disconnect().await;
        }
    })
    .await
}

const SECRET: &str = "nobody-elses-business";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_no_message_and_no_credential_at_any_level() {
    let database = TestDatabase::new();
    let mongodb = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    for settings in [&[][..], &mongodb[..]] {
        let log = log_of_a_chat(settings).await;
        let told = log.lines().find(|line| line.contains(SECRET));
        assert!(told.is_none(), "{told:?}");
    }
}

#[tokio::test]
async fn its_health_is_told_by_an_exit_code() {
    let banter = Banter::start(&[]).await;
    let port = banter.addr.port().to_string();
    let ask = async |folder: &TempDir| {
        let output = command(folder, &[("PORT", &port)]).arg("health").output().await.unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = ask(&banter.folder).await;
    assert_eq!((code, said.ends_with("is ready\n")), (Some(0), true), "{said}");
    let folder = banter.stop().await;
    let (code, said) = ask(&folder).await;
    assert_eq!((code, said.contains("no server answers on")), (Some(1), true), "{said}");
}
