//! A network of a test's own: one address in a network namespace, and a cable to it that can be pulled.

#![expect(clippy::panic, reason = "a test that can't go on fails")]

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A namespace with one address, which this machine reaches. It ends with this value, and with it
/// whatever runs in it.
pub(crate) struct Namespace {
    name: String,
    host: String,
    as_root: &'static [&'static str],
}

impl Namespace {
    /// Makes one.
    ///
    /// # Panics
    /// Without the rights to do so.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed) << 10);
        let (net, ends) = (number % 250, [format!("bt{number}a"), format!("bt{number}b")]);
        let (name, host) = (format!("banter-test-{number}"), format!("10.231.{net}.2"));
        let as_root = [&[] as &'static [&'static str], &["sudo", "-n"]]
            .into_iter()
            .find(|as_root| run(as_root, &["netns", "add", &name]).status.success())
            .unwrap_or_else(|| {
                panic!("this test makes a network: let it run as root, or allow `sudo -n ip`")
            });
        let namespace = Self { name, host, as_root };
        let (name, [near, far]) = (&namespace.name, &ends);
        let near_address = format!("10.231.{net}.1/30");
        let far_address = format!("{}/30", namespace.host);
        namespace.ip(&["link", "add", near, "type", "veth", "peer", "name", far, "netns", name]);
        namespace.ip(&["-n", name, "link", "set", far, "name", "eth0"]);
        namespace.ip(&["address", "add", &near_address, "dev", near]);
        namespace.ip(&["-n", name, "address", "add", &far_address, "dev", "eth0"]);
        namespace.ip(&["link", "set", near, "up"]);
        namespace.plug_in();
        namespace
    }

    /// Its address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What runs a program in it: put before the program and its arguments.
    pub(crate) fn inside(&self) -> Vec<&str> {
        [self.as_root, &["ip", "netns", "exec", &self.name]].concat()
    }

    /// Nothing gets through any more, and nobody is told.
    pub(crate) fn pull_out(&self) {
        self.ip(&["-n", &self.name, "link", "set", "eth0", "down"]);
    }

    /// Everything gets through again.
    pub(crate) fn plug_in(&self) {
        self.ip(&["-n", &self.name, "link", "set", "eth0", "up"]);
    }

    fn ip(&self, arguments: &[&str]) {
        let output = run(self.as_root, arguments);
        assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let inside = run(self.as_root, &["netns", "pids", &self.name]);
        for pid in String::from_utf8_lossy(&inside.stdout).split_whitespace() {
            let kill = [self.as_root, &["kill", "-KILL", pid]].concat();
            let _ = Command::new(kill[0]).args(&kill[1..]).status();
        }
        run(self.as_root, &["netns", "delete", &self.name]);
    }
}

fn run(as_root: &[&str], arguments: &[&str]) -> Output {
    let command = [as_root, &["ip"], arguments].concat();
    let output = Command::new(command[0]).args(&command[1..]).output();
    output.unwrap_or_else(|error| panic!("{}: {error}: `make real` fetches it", command[0]))
}
