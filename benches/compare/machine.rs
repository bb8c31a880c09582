//! What was measured on, and with what.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process;

/// The machine, by what matters for such figures.
pub(crate) fn machine() -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = after(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let named = [
        ("processor", after(&read("/proc/cpuinfo"), "model name")),
        ("cores", Some(cores.to_string())),
        ("memory", memory.map(|kib| format!("{:.0} GB", kib * 1024.0 / 1e9))),
        ("kernel", Some(format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()))),
    ];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The versions of all parts that are there.
pub(crate) fn versions(banter: &Path) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            versions.insert(name.to_owned(), value);
        }
    };
    let last_word = |text: String| text.split_whitespace().last().map(str::to_owned);
    add("Banter", said(banter, &["--version"]).and_then(last_word));
    let revision =
        ["-C", &process::root().display().to_string(), "describe", "--always", "--dirty"];
    add("Banter's revision", said(Path::new("git"), &revision));
    add("Node.js", said(Path::new("node"), &["--version"]));
    add("Bun", process::bun().ok().and_then(|bun| said(&bun, &["--version"])));
    for package in ["socket.io", "ws", "mongodb", "@socket.io/bun-engine"] {
        add(&format!("{package} (npm)"), installed(package));
    }
    let names = ["python-socketio", "uvicorn", "uvloop", "websockets", "fastapi", "motor"];
    let script = "import sys, platform, importlib.metadata as m\n\
                  print('Python', platform.python_version())\n\
                  for n in sys.argv[1:]: print(n, m.version(n))";
    let words = [&["-c", script][..], &names].concat();
    for line in said_all(&process::python(), &words).unwrap_or_default().lines() {
        if let Some((name, version)) = line.split_once(' ') {
            add(name, Some(version.to_owned()));
        }
    }
    add("MongoDB", said(&crate::mongod::binary(), &["--version"]).and_then(last_word));
    versions
}

/// The first line that a program prints.
fn said(program: &Path, words: &[&str]) -> Option<String> {
    said_all(program, words)?.lines().next().map(str::to_owned)
}

fn said_all(program: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The version of a package beside the Node peer.
fn installed(package: &str) -> Option<String> {
    let path = format!("benches/peers/node/node_modules/{package}/package.json");
    let text = std::fs::read_to_string(process::root().join(path)).ok()?;
    let package: Value = serde_json::from_str(&text).ok()?;
    package["version"].as_str().map(str::to_owned)
}
