//! Holds deploy/ against the code and against those who read it: docker-compose, nginx, systemd,
//! Prometheus.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../support/nginx.rs"]
mod balancer;
mod containers;
mod settings;
#[path = "../support/sio.rs"]
mod sio;
#[path = "../support/sources.rs"]
mod sources;
mod watching;
#[path = "../support/web.rs"]
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A file of the repository.
fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// A file with one YAML document.
fn yaml(below: &str) -> Value {
    yaml_serde::from_str(&sources::read(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}

/// The elements of a list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// What a command has said, on both its outputs.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// Runs a command that must succeed; what it has said.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?}: {error}: run `make real` once", command.get_program())
    });
    assert!(output.status.success(), "{command:?} failed:\n{}", said(&output));
    said(&output)
}

/// The seconds of all phases of stopping, from the code.
fn stop_seconds() -> u64 {
    let seconds = |name: &str| -> u64 {
        let start = format!("const {name}: Duration = Duration::from_secs(");
        sources::between("src/app.rs", &start, ")").parse().unwrap()
    };
    let phases = sources::between("src/app.rs", "async fn stop(", "\n    }");
    let limits = phases.split("phase(").skip(1).map(|call| call.split(", ").nth(1).unwrap());
    limits.map(|limit| seconds(limit.trim())).sum()
}

#[test]
fn every_file_of_yaml_can_be_read() {
    let mut files = 0;
    let provisioning = ["grafana/provisioning/datasources", "grafana/provisioning/dashboards"];
    for folder in ["", "prometheus", "loki", "kubernetes"].into_iter().chain(provisioning) {
        for entry in std::fs::read_dir(path("deploy").join(folder)).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_none_or(|ending| ending != "yml" && ending != "yaml") {
                continue;
            }
            let content = std::fs::read_to_string(&file).unwrap();
            for document in yaml_serde::Deserializer::from_str(&content) {
                let read = <Value as serde::Deserialize>::deserialize(document);
                assert!(read.is_ok_and(|value| value.is_object()), "{}", file.display());
            }
            files += 1;
        }
    }
    assert!(files > 5, "the files were not found");
}

#[test]
fn nginx_takes_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = [18_001, 18_002, 18_003].map(|port| ([127, 0, 0, 1], port).into());
    let config = balancer::configure(folder.path(), 8_080, nodes);
    let said = succeed(balancer::command(&config).arg("-t"));
    assert!(said.contains("test is successful") && !said.contains("[warn]"), "{said}");
}

#[test]
fn nginx_lets_through_what_the_server_takes() {
    let config = sources::read("deploy/nginx/nginx.conf");
    let number = |setting: &str| -> u64 {
        let values = sources::read("config/default.toml");
        let value = values.lines().find_map(|line| line.strip_prefix(&format!("{setting} = ")));
        value.unwrap().parse().unwrap()
    };
    let after = |directive: &str| -> Vec<u64> {
        let start = format!("{directive} ");
        let values = config.split(&start).skip(1);
        let numbers = values.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap());
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let [general, upload] = after("client_max_body_size")[..] else { panic!("two limits") };
    assert!(general * 1_048_576 > number("max_payload"));
    assert!(upload * 1_048_576 > number("max_upload_size"));
    let silence_ms = number("ping_interval") + number("ping_timeout");
    for seconds in [after("proxy_read_timeout"), after("proxy_send_timeout")].concat() {
        assert!(seconds * 1_000 > silence_ms);
    }
}
