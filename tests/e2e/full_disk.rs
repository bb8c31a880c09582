//! The disk of the journal is full while MongoDB does not answer.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use std::{fs, io};

use crate::load::Counts;
use crate::mongod::Mongod;
use crate::server::{Server, Store};
use crate::trial::Trial;

/// The size of the disk: some hundred of the load's messages. All that are sent fit into the memory of
/// what was stored lately: while MongoDB does not answer, older ones are new when they are sent again
/// (decision 0014).
const DISK_BYTES: usize = 16 * 1024 * 1024;

/// The most that somebody else takes of it.
const FILLER_BYTES: usize = DISK_BYTES * 3 / 4;

/// Refused sends after which the disk counts as full: more than the load has devices, so that each
/// has tried again.
const REFUSALS: usize = 50;

/// How long what must come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk in memory, mounted on a folder; it is unmounted with this value.
struct Disk {
    folder: tempfile::TempDir,
    /// What makes a command run as root.
    as_root: &'static [&'static str],
}

impl Disk {
    /// Mounts a disk.
    ///
    /// # Panics
    /// Where this may not be done.
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let options = format!("size={DISK_BYTES},mode=0777");
        let mount = ["mount", "-t", "tmpfs", "-o", &options, "tmpfs", path];
        let mut said = Vec::new();
        for as_root in [&[] as &[&str], &["sudo", "-n"]] {
            match run(as_root, &mount) {
                Ok(output) if output.status.success() => return Self { folder, as_root },
                Ok(output) => said.push(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(error) => said.push(format!("{as_root:?}: {error}")),
            }
        }
        panic!(
            "this test mounts a small disk: let it run as root, or allow `sudo -n mount` ({said:?})"
        );
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes most of the disk, or what is left of it.
    fn fill(&self) {
        let _full = fs::write(self.filler(), vec![0; FILLER_BYTES]);
    }

    fn free_bytes(&self) -> usize {
        let output = run(&[], &["df", "-P", "-k", self.path().to_str().unwrap()]).unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let available = output.lines().nth(1).and_then(|line| line.split_whitespace().nth(3));
        available.unwrap().parse::<usize>().unwrap() * 1024
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A server that was killed a moment ago may have files open yet.
        let unmount = ["umount", "--lazy", self.path().to_str().unwrap()];
        let unmounted = run(self.as_root, &unmount).is_ok_and(|output| output.status.success());
        assert!(unmounted || std::thread::panicking(), "{:?} is still mounted", self.path());
    }
}

fn run(as_root: &[&str], command: &[&str]) -> io::Result<Output> {
    let words = [as_root, command].concat();
    Command::new(words[0]).args(&words[1..]).output()
}

async fn beside(mongod: &Mongod, disk: &Disk) -> Trial {
    let (url, data) = (mongod.url(), disk.path().join("data"));
    let settings = [
        ("MONGO_URL", url.as_str()),
        ("MONGODB_NAME", "chatapp"),
        ("BREAKER_OPEN", "1"),
        ("DATA_DIR", data.to_str().unwrap()),
        // The disk is full long before the memory.
        ("BUFFER_CAPACITY", "10000000"),
        ("BUFFER_BYTES", "4294967296"),
    ];
    let server = Server::start_with(Store::Mongodb, &settings).await;
    Trial::start(server, &[("LONG_EVERY", "1")])
}

/// Lets the load run until it is refused for want of room.
async fn is_refused(trial: &mut Trial, disk: &Disk) {
    let before = trial.load().counts().await;
    let refused = |now: Counts| now.refused >= before.refused + REFUSALS;
    trial.load().until("sends are refused", refused).await;
    let free = disk.free_bytes();
    assert!(free < DISK_BYTES / 8, "sends are refused while {free} bytes are free");
}

/// Waits until health says that nothing is accepted.
async fn is_told(server: &Server) {
    let told = async {
        loop {
            let url = server.url();
            let ready = crate::web::get(format!("{url}/health/ready")).await.unwrap().status();
            let buffer = crate::web::get(format!("{url}/health/message-buffer")).await.unwrap();
            let buffer: serde_json::Value = buffer.json().await.unwrap();
            let is_full = buffer["stats"]["journal_disk"] == "full";
            if ready == 503 && is_full && buffer["status"] == "unhealthy" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("health tells that the disk is full");
}

/// What was said since MongoDB is frozen can be read, by who has said it and by who marks it as
/// read.
async fn can_be_read(server: &Server) {
    let get = async |path: &str| {
        let answer = crate::web::get(format!("{}{path}", server.url())).await.unwrap();
        answer.error_for_status().unwrap()
    };
    get("/health/live").await;
    for conversation in ["hasty/reader0", "reader0/hasty"] {
        let page = get(&format!("/messages/{conversation}")).await;
        let page: Vec<serde_json::Value> = page.json().await.unwrap();
        assert!(!page.is_empty(), "{conversation} has messages");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_senders_until_there_is_room_again_and_loses_nothing() {
    let disk = Disk::mount();
    let mongod = Mongod::start().await;
    let mut trial = beside(&mongod, &disk).await;
    let start = trial.goes_on().await;
    assert_eq!(start.refused, 0);

    mongod.freeze();
    is_refused(&mut trial, &disk).await;
    is_told(&trial.server).await;
    can_be_read(&trial.server).await;
    // What is stored leaves the disk by itself.
    mongod.thaw();
    trial.goes_on().await;
    trial.server.catches_up().await;

    // Now somebody else fills it, and makes room again.
    mongod.freeze();
    trial.goes_on().await;
    disk.fill();
    is_refused(&mut trial, &disk).await;
    is_told(&trial.server).await;
    can_be_read(&trial.server).await;
    disk.make_room();
    trial.goes_on().await;
    mongod.thaw();
    trial.ends_well().await;
}
