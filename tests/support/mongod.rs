//! Real MongoDB servers for tests: a shared one, and private ones that a test may kill.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bson::doc;
use mongodb::Client;
use mongodb::options::ClientOptions;
use tempfile::TempDir;

/// How long a server may take to answer after its start. Other tests run on the same machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Lines of a member's log that are shown when its set does not become whole.
const LAST_LINES: usize = 40;
/// How often a server is started anew when another process takes its port in the meantime.
const START_ATTEMPTS: usize = 5;
/// Where `make test` puts MongoDB, below the package.
const FETCHED: &str = "target/real/mongod/bin/mongod";

/// The connection string of the server that all tests share, each with databases of its own.
///
/// # Panics
/// Where no such server is named.
pub(crate) fn shared_url() -> String {
    std::env::var("MONGO_TEST_URL").unwrap_or_else(|_| {
        panic!("no shared MongoDB: run `make test` (it starts one), or set MONGO_TEST_URL")
    })
}

/// A database of the shared server for one test; it is dropped with this value.
pub(crate) struct TestDatabase {
    /// The server's connection string.
    pub(crate) url: String,
    /// The database's name.
    pub(crate) name: String,
}

impl TestDatabase {
    /// A name that no other test uses, in this process or another.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = bson::oid::ObjectId::new();
        Self { url: shared_url(), name: format!("banter_test_{unique}_{number}") }
    }

    /// A plain client's view of the database, to put in and look at rows.
    pub(crate) async fn raw(&self) -> mongodb::Database {
        client(&self.url).await.database(&self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // A test's own runtime can't be waited for in here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async { client(&url).await.database(&name).drop().await })
        });
        let dropped = dropping.join();
        if !std::thread::panicking() {
            dropped.expect("no panic while dropping").expect("the test's database is dropped");
        }
    }
}

/// A client that gives up soon.
async fn client(url: &str) -> Client {
    let mut options = ClientOptions::parse(url).await.expect("a connection string");
    options.server_selection_timeout = Some(Duration::from_secs(5));
    Client::with_options(options).expect("a client")
}

/// A private server in a folder of its own. It ends with this value.
pub(crate) struct Mongod {
    process: Child,
    port: u16,
    folder: TempDir,
    options: &'static [&'static str],
}

impl Mongod {
    /// Starts a server on a free port of the loopback interface, and waits until it answers.
    ///
    /// # Panics
    /// Where there is no `mongod`, or it does not start.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(options: &'static [&'static str]) -> Self {
        for _ in 0..START_ATTEMPTS {
            let folder = tempfile::tempdir().expect("a folder for the database");
            let port = free_port();
            let process = spawn(folder.path(), port, options);
            let mut server = Self { process, port, folder, options };
            if server.answers().await {
                return server;
            }
        }
        panic!("mongod did not start in {START_ATTEMPTS} attempts");
    }

    /// Its connection string.
    pub(crate) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the server can be killed");
        self.process.wait().expect("the server has ended");
    }

    /// Starts it again after [`Mongod::kill`], on the same port and data.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.folder.path(), self.port, self.options);
        assert!(self.answers().await, "mongod did not start again");
    }

    /// Stops it where it is: connections stay open and nothing answers (SIGSTOP).
    ///
    /// Returns once each of its threads has stopped. The signal is only sent by then: a thread
    /// that runs on another core answers for a moment more, long enough for a query.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        while !self.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it go on after [`Mongod::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Whether the kernel shows every thread as stopped (`T`, proc_pid_stat(5)).
    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        threads.expect("the server's threads").flatten().all(|thread| {
            // A thread that ended meanwhile has no state, and answers nothing.
            std::fs::read_to_string(thread.path().join("stat"))
                .ok()
                .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('T')))
                .unwrap_or(true)
        })
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(status.success(), "kill {signal} {pid}");
    }

    fn log(&self) -> PathBuf {
        log(self.folder.path())
    }

    /// Waits until it answers; false when it has ended by itself.
    async fn answers(&mut self) -> bool {
        let client = client(&self.url()).await;
        let ping = async {
            while client.database("admin").run_command(doc! {"ping": 1}).await.is_err() {
                if self.process.try_wait().expect("the server's state").is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            true
        };
        tokio::time::timeout(START_LIMIT, ping).await.unwrap_or(false)
    }
}

/// Members of a replica set, which elect one of them.
pub(crate) struct ReplicaSet {
    members: Vec<Mongod>,
}

impl ReplicaSet {
    /// Starts three members, and waits until one is elected and the others have all that it has.
    pub(crate) async fn start() -> Self {
        let mut members = Vec::new();
        while members.len() < 3 {
            members.push(Mongod::start_with(&["--replSet", "rs0"]).await);
        }
        let set = Self { members };
        let hosts = set.members.iter().enumerate().map(|(number, member)| {
            doc! {"_id": number as i32, "host": format!("127.0.0.1:{}", member.port)}
        });
        // Votes come fast among processes of one machine: an outage is as short as it may be.
        let config = doc! {
            "_id": "rs0", "members": hosts.collect::<Vec<_>>(),
            "settings": {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 200},
        };
        let admin = client(&set.members[0].url()).await.database("admin");
        admin.run_command(doc! {"replSetInitiate": config}).await.expect("a replica set");
        set.whole().await;
        set
    }

    /// Its connection string.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> =
            self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
        format!("mongodb://{}/?replicaSet=rs0", hosts.join(","))
    }

    /// Kills the member that is elected (SIGKILL); which it was.
    pub(crate) async fn kill_primary(&mut self) -> usize {
        let primary = self.primary().await;
        self.members[primary].kill();
        primary
    }

    /// Starts a member again that was killed, and waits until it has all that the set has.
    pub(crate) async fn restart(&mut self, member: usize) {
        self.members[member].restart().await;
        self.whole().await;
    }

    /// Waits until the set can spare a member.
    async fn whole(&self) {
        let whole = async {
            while !self.is_whole().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(START_LIMIT, whole).await.is_err() {
            panic!("a member does not catch up: {}", self.describe());
        }
    }

    /// The member that is elected; waits until there is one.
    pub(crate) async fn primary(&self) -> usize {
        let find = async {
            loop {
                for (number, member) in self.members.iter().enumerate() {
                    let admin = client(&member.url()).await.database("admin");
                    let hello = admin.run_command(doc! {"hello": 1}).await;
                    if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
                    {
                        return number;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(START_LIMIT, find).await {
            Ok(primary) => primary,
            Err(_) => panic!("no member is elected: {}", self.describe()),
        }
    }

    /// Whether every member is the primary, or follows it and has written something of its term: one
    /// that was the primary itself has by then taken back what nobody else has.
    async fn is_whole(&self) -> bool {
        let primary = self.primary().await;
        let admin = client(&self.members[primary].url()).await.database("admin");
        let Ok(status) = admin.run_command(doc! {"replSetGetStatus": 1}).await else {
            return false;
        };
        let term = status.get_i64("term").unwrap_or_default();
        let members = status.get_array("members").into_iter().flatten();
        let is_well = |member: &bson::Bson| {
            let Some(member) = member.as_document() else { return false };
            let written = member.get_document("optime").and_then(|optime| optime.get_i64("t"));
            let state = member.get_str("stateStr").unwrap_or_default();
            matches!(state, "PRIMARY" | "SECONDARY") && written.is_ok_and(|written| written == term)
        };
        members.filter(|member| is_well(member)).count() == self.members.len()
    }

    /// What the members' logs say of their last changes of state, and of what went wrong.
    fn describe(&self) -> String {
        let mut all = String::new();
        for member in &self.members {
            let log = std::fs::read_to_string(member.log()).unwrap_or_default();
            let is_telling = |line: &&str| {
                ["\"s\":\"E\"", "\"s\":\"F\"", "state transition", "lection", "ollback"]
                    .iter()
                    .any(|sign| line.contains(sign))
            };
            let lines: Vec<_> = log.lines().filter(is_telling).collect();
            all.push_str(&format!("\n{}:\n", member.port));
            all.push_str(&lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"));
        }
        all
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("mongod.log")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}

fn spawn(folder: &Path, port: u16, options: &[&str]) -> Child {
    let binary = binary();
    Command::new(&binary)
        .arg("--dbpath")
        .arg(folder)
        .args(["--port", &port.to_string(), "--bind_ip", "127.0.0.1", "--nounixsocket"])
        .args(["--wiredTigerCacheSizeGB", "0.25", "--quiet"])
        .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
        .arg("--logappend")
        .arg("--logpath")
        .arg(log(folder))
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| complain(&binary, &error))
}

/// `mongod` by `BANTER_MONGOD`, else on the `PATH`, else where `make test` puts it.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("BANTER_MONGOD") {
        return path.into();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join("mongod"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(FETCHED))
}

fn complain(binary: &Path, error: &io::Error) -> ! {
    panic!(
        "{}: {error}: run `make test` (it fetches MongoDB), or set BANTER_MONGOD",
        binary.display()
    )
}
