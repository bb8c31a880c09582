//! Real Redis servers for tests, which may kill, stop and start them again.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to answer after its start. Other tests run on the same machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a server is started anew when another process takes its port in the meantime.
const START_ATTEMPTS: usize = 5;
/// How often a server that starts is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A server in a folder of its own, which keeps nothing on the disk. It ends with this value.
pub(crate) struct Redis {
    process: Child,
    host: String,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts a server on a free port of the loopback interface, and waits until it answers.
    ///
    /// # Panics
    /// Where there is no `redis-server`, or it does not start.
    pub(crate) fn start() -> Self {
        Self::start_by(&[], "127.0.0.1")
    }

    /// The same by a command that runs it elsewhere, at this address. It can't be started again.
    pub(crate) fn start_by(by: &[&str], host: &str) -> Self {
        for _ in 0..START_ATTEMPTS {
            let folder = tempfile::tempdir().expect("a folder for the server");
            let port = free_port();
            let process = spawn(by, &folder, host, port);
            let mut server = Self { process, host: host.to_owned(), port, folder };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server did not start in {START_ATTEMPTS} attempts");
    }

    /// Its connection string.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once (SIGKILL), and all that it holds.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the server can be killed");
        self.process.wait().expect("it has ended");
    }

    /// Starts it again on its port after [`Redis::kill`], empty.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&[], &self.folder, &self.host, self.port);
        assert!(self.answers(), "redis-server starts again");
    }

    /// Stops it where it is; it answers nothing, and no connection is closed.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Redis::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill can be run").success());
    }

    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            if self.process.try_wait().expect("the process can be looked at").is_some() {
                return false;
            }
            if TcpStream::connect((self.host.as_str(), self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(by: &[&str], folder: &TempDir, host: &str, port: u16) -> Child {
    let command = [by, &["redis-server"]].concat();
    Command::new(command[0])
        .args(&command[1..])
        .args(["--bind", host, "--port", &port.to_string(), "--protected-mode", "no"])
        .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server can be run: `make real` fetches it")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
