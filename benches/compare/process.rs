//! Servers as processes of their own: started on one core, with what they need, and ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use tempfile::TempDir;

use crate::plan::Server;

/// Files and sockets that a process may have open.
pub(crate) const OPEN_FILES: usize = 65_536;
/// How long a server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What `make bench` fetches, below the package.
const PYTHON: &str = "target/real/venv-peers/bin/python";
const NODE: &str = "benches/peers/node";

/// Where programs are and on which cores they run.
pub(crate) struct Place {
    pub(crate) banter: PathBuf,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
}

/// The package's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An empty folder on the disk that holds `target/`: a system's temporary folder may be memory.
pub(crate) fn folder() -> std::io::Result<TempDir> {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))
}

/// Bun's binary, which lies in a package for each system.
pub(crate) fn bun() -> anyhow::Result<PathBuf> {
    let packages = root().join(NODE).join("node_modules/@oven");
    let found = std::fs::read_dir(packages).into_iter().flatten().flatten();
    let mut found: Vec<_> = found.map(|entry| entry.path().join("bin/bun")).collect();
    found.retain(|path| path.is_file());
    found.sort();
    found.into_iter().next().context("Bun is not there: run `make bench`, which fetches it")
}

/// The interpreter that has the Python peer's packages.
pub(crate) fn python() -> PathBuf {
    root().join(PYTHON)
}

/// A command on a core, with as many open files as the system lets it have.
pub(crate) fn pinned(core: usize, program: &Path, folder: &Path) -> Command {
    let script = format!(
        "ulimit -n {OPEN_FILES} 2>/dev/null || ulimit -n \"$(ulimit -H -n)\"; \
         exec taskset -c {core} \"$@\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(program).current_dir(folder).stdin(Stdio::null());
    command
}

/// How many files a process gets open that way.
pub(crate) fn open_files() -> usize {
    let script =
        format!("ulimit -n {OPEN_FILES} 2>/dev/null || ulimit -n \"$(ulimit -H -n)\"; ulimit -n");
    let output = Command::new("sh").args(["-c", &script]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(OPEN_FILES)
}

/// A server that listens. It ends with this value.
pub(crate) struct Running {
    process: Child,
    pub(crate) url: String,
    /// How it was started, without what is of this machine.
    pub(crate) command: String,
    folder: TempDir,
}

/// Starts a server and waits until it listens.
pub(crate) fn start(
    place: &Place,
    server: Server,
    env: &[(&str, &str)],
    database: Option<(&str, &str)>,
) -> anyhow::Result<Running> {
    let folder = folder()?;
    let (program, words) = program(place, server)?;
    let mut said: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut command = pinned(place.server_core, &program, folder.path());
    command.args(&words).env("PORT", "0").envs(env.iter().copied());
    if matches!(server, Server::Banter | Server::BanterMongo) {
        // Everything else is what an operator gets without a setting: JOURNAL_SYNC is `always`.
        let open = [
            ("AUTH_MODE", "open"),
            ("LIMIT_EXEMPT", "127.0.0.0/8"),
            ("EVENT_RATE", "0"),
            ("SPAM_REPEATS", "0"),
            ("SPAM_STRANGERS", "0"),
        ];
        command.env("LOG_FORMAT", "text").envs(open);
        said.extend(open.map(|(name, value)| format!("{name}={value}")));
    }
    if let Some((url, name)) = database {
        command.env("MONGO_URL", url).env("MONGODB_NAME", name);
        said.push("MONGO_URL=...".to_owned());
    }
    let errors = File::create(folder.path().join("errors.txt"))?;
    let mut process = command.stdout(Stdio::piped()).stderr(errors).spawn()?;
    said.push(format!("taskset -c {}", place.server_core));
    said.push(program_name(server).to_owned());
    let heard = listen(process.stdout.take().context("its output")?);
    let mut running = Running { process, url: String::new(), command: said.join(" "), folder };
    running.url = match heard.recv_timeout(PATIENCE) {
        Ok(url) => url,
        Err(RecvTimeoutError::Timeout) => return Err(anyhow!("it does not listen after 30 s")),
        Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("{}", running.complaint())),
    };
    Ok(running)
}

/// What a server is started by.
fn program(place: &Place, server: Server) -> anyhow::Result<(PathBuf, Vec<String>)> {
    let node = root().join(NODE).join("server.mjs").display().to_string();
    let raw = |writes: &str| {
        let words = ["--bench", "raw-server", writes].map(str::to_owned);
        anyhow::Ok((std::env::current_exe()?, words.to_vec()))
    };
    match server {
        Server::Banter | Server::BanterMongo => Ok((place.banter.clone(), Vec::new())),
        Server::Node => Ok(("node".into(), vec![node])),
        Server::Bun => Ok((bun()?, vec![node])),
        Server::Python => {
            let program = python();
            ensure!(program.is_file(), "the Python peer is not there: run `make bench`");
            Ok((program, vec![root().join("benches/peers/python/server.py").display().to_string()]))
        }
        Server::RawEach => raw("each"),
        Server::RawCoalesced => raw("coalesced"),
        Server::InsertBare | Server::InsertDriver | Server::InsertStore => {
            Err(anyhow!("it is no server"))
        }
    }
}

fn program_name(server: Server) -> &'static str {
    match server {
        Server::Node => "node benches/peers/node/server.mjs",
        Server::Bun => "bun benches/peers/node/server.mjs",
        Server::Python => "python benches/peers/python/server.py",
        Server::RawEach => "cargo bench --bench limits -- server --writes each",
        Server::RawCoalesced => "cargo bench --bench limits -- server --writes coalesced",
        _ => "banter",
    }
}

/// Passes on the address that a server says it listens on, and reads on for as long as it speaks.
fn listen(output: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, heard) = sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Some((_, rest)) = line.split_once("listening on http://") else { continue };
            let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
            // Only the first one is waited for.
            let _ = tell.try_send(format!("http://{}", &rest[..end.unwrap_or(rest.len())]));
        }
    });
    heard
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The end of what it has written to standard error.
    pub(crate) fn complaint(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("errors.txt"));
        let text = text.unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it has ended, and said nothing").chars().take(200).collect()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    /// What it answers to `GET` of this path.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        let patience = if told.is_ok() { PATIENCE } else { Duration::ZERO };
        if ended_within(&mut self.process, patience).is_none() {
            // It may have ended in between.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Waits for a process; how it ended, if it did in time.
pub(crate) fn ended_within(
    process: &mut Child,
    limit: Duration,
) -> Option<std::process::ExitStatus> {
    let until = Instant::now() + limit;
    loop {
        match process.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            _ => return None,
        }
    }
}
