//! nginx with the configuration that deploy/ has, in front of nodes of this machine.
#![allow(dead_code, reason = "each test binary uses the part it needs")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The nodes that the configuration names.
const NODES: [&str; 3] = ["banter-1:8001", "banter-2:8001", "banter-3:8001"];

/// How often to look whether it listens.
const POLL: Duration = Duration::from_millis(10);

/// Debian keeps it where users without rights don't look.
pub(crate) fn program() -> PathBuf {
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let found = std::env::split_paths(&paths).map(|dir| dir.join("nginx")).find(|at| at.exists());
    found.expect("nginx is not there: run `make real` once")
}

/// Writes the configuration into a folder, with these nodes, and with an address of this machine.
///
/// # Panics
/// When it has not exactly the places that are to be replaced.
pub(crate) fn configure(folder: &Path, port: u16, nodes: [SocketAddr; 3]) -> PathBuf {
    let mut text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx/nginx.conf"),
    )
    .unwrap();
    let mut put = |from: &str, to: &str, times: usize| {
        assert_eq!(text.matches(from).count(), times, "{from:?} in nginx.conf");
        text = text.replace(from, to);
    };
    let own = folder.to_str().unwrap();
    put("/tmp/", &format!("{own}/"), 6);
    put("/dev/stdout", &format!("{own}/access.log"), 1);
    put("error_log stderr crit;", &format!("error_log {own}/error.log info;"), 1);
    put("        listen 8080;", &format!("        listen 127.0.0.1:{port};"), 1);
    // A few connections; what a server of the net needs may be more than this process may have.
    put("worker_processes auto;", "worker_processes 2;", 1);
    put("worker_rlimit_nofile 262144;", "", 1);
    put("worker_connections 65536;", "worker_connections 512;", 1);
    for (name, address) in NODES.into_iter().zip(nodes) {
        put(name, &address.to_string(), 2);
    }
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).unwrap();
    path
}

/// A command that uses it with a configuration.
pub(crate) fn command(config: &Path) -> Command {
    let folder = config.parent().unwrap();
    let mut directives = "daemon off;".to_owned();
    // Root's workers would else be another user's, who may not enter the folder.
    if std::fs::metadata(folder).unwrap().uid() == 0 {
        directives += " user root;";
    }
    let mut command = Command::new(program());
    command.arg("-c").arg(config).arg("-p").arg(folder).args(["-g", &directives]);
    command.stdin(Stdio::null());
    command
}

/// A running nginx; it ends with this value.
pub(crate) struct Nginx {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Nginx {
    /// Starts it in front of these nodes.
    pub(crate) async fn start(nodes: [SocketAddr; 3]) -> Self {
        // Somebody else may take the port between the look and the start.
        for _ in 0..3 {
            if let Ok(nginx) = Self::try_start(nodes).await {
                return nginx;
            }
        }
        let last = Self::try_start(nodes).await;
        last.unwrap_or_else(|said| panic!("nginx does not start:\n{said}"))
    }

    /// The same once; else what it has said.
    async fn try_start(nodes: [SocketAddr; 3]) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = configure(folder.path(), port, nodes);
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        let process = command(&config)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("nginx starts");
        let mut nginx = Self { process, port, folder };
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if nginx.process.try_wait().unwrap().is_some() {
                return Err(nginx.said());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(nginx)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its access log.
    pub(crate) fn access_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("access.log")).unwrap()
    }

    /// What it has said of itself.
    pub(crate) fn said(&self) -> String {
        ["output", "error.log"]
            .map(|file| std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default())
            .concat()
    }
}

impl Drop for Nginx {
    /// It ends its workers when it is asked to; killed, it would leave them behind.
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        if asked.is_ok_and(|asked| asked.success()) {
            let _ = self.process.wait();
        }
    }
}

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
