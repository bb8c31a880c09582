//! The image, docker-compose, Kubernetes and systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{list, path, said, sources, stop_seconds, succeed, text};

/// The nodes of docker-compose.yml.
pub(crate) const NODES: [&str; 3] = ["banter-1", "banter-2", "banter-3"];

/// What docker-compose has to say of its file, given these variables.
fn compose(env: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    std::fs::write(&file, env).unwrap();
    let mut command = Command::new("docker-compose");
    command.arg("--env-file").arg(&file).arg("-f").arg(path("deploy/docker-compose.yml"));
    command.arg("config").output().expect("docker-compose: run `make real` once")
}

/// docker-compose.yml, as docker-compose understands it.
pub(crate) fn composed() -> Value {
    let secret = |name: &str| format!("{name}=qV3xT8mZr1LkWf5uYbN0cJ7hPsE2aGd9oRi4MwXt");
    let filled = sources::read("deploy/.env.example").lines().fold(String::new(), |env, line| {
        let line = line.strip_suffix('=').map_or_else(|| line.to_owned(), secret);
        env + &line + "\n"
    });
    let output = compose(&filled);
    assert!(output.status.success(), "{}", said(&output));
    yaml_serde::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// The documents of banter.yaml by their kinds; of two of a kind the last.
pub(crate) fn kubernetes() -> BTreeMap<String, Value> {
    let content = sources::read("deploy/kubernetes/banter.yaml");
    let documents = yaml_serde::Deserializer::from_str(&content);
    let documents = documents.map(|document| Value::deserialize(document).unwrap());
    documents.map(|document| (text(&document["kind"]).to_owned(), document)).collect()
}

/// The seconds in `45s` or `1m0s`.
fn seconds(value: &Value) -> u64 {
    let rest = text(value).strip_suffix('s').unwrap();
    let (minutes, seconds) = rest.split_once('m').unwrap_or(("0", rest));
    minutes.parse::<u64>().unwrap() * 60 + seconds.parse::<u64>().unwrap()
}

#[test]
fn docker_compose_takes_its_file_and_the_nodes_are_what_they_should_be() {
    let composed = composed();
    let services = composed["services"].as_object().unwrap();
    let nginx = sources::read("deploy/nginx/nginx.conf");
    let (mut data, mut uploads) = (BTreeSet::new(), BTreeSet::new());
    for name in NODES {
        let node = &services[name];
        for volume in list(&node["volumes"]).iter().map(text) {
            let (from, to) = volume.split_once(":/var/lib/banter/").unwrap();
            let which = if to.starts_with("data") { &mut data } else { &mut uploads };
            which.insert(from.to_owned());
        }
        assert!(seconds(&node["stop_grace_period"]) > stop_seconds());
        assert!(node["ulimits"]["nofile"]["soft"].as_u64().unwrap() > 50_000);
        assert_eq!(
            nginx.matches(&format!("server {name}:8001")).count(),
            2,
            "{name} in nginx.conf"
        );
    }
    assert_eq!((data.len(), uploads.len()), (3, 1), "a journal each, and uploads together");
    let proxy = &services["nginx"]["networks"]["front"]["ipv4_address"];
    assert_eq!(services["banter-1"]["environment"]["TRUSTED_PROXIES"], *proxy);
    for (name, service) in services {
        let image = text(&service["image"]);
        let tag = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version")).1;
        assert!(tag.chars().any(|c| c.is_ascii_digit()), "{image}");
        assert!(service["restart"].is_string(), "{name}");
    }
}

#[test]
fn without_secrets_docker_compose_says_what_is_missing() {
    let output = compose(&sources::read("deploy/.env.example"));
    assert!(!output.status.success());
    let said = said(&output);
    assert!(said.contains("deploy/.env"), "{said}");
}

#[test]
fn files_that_are_mounted_exist() {
    let composed = composed();
    let mut files = 0;
    for (name, service) in composed["services"].as_object().unwrap() {
        for volume in list(&service["volumes"]).iter().map(text) {
            let from = volume.split(':').next().unwrap();
            if from.contains("/deploy/") {
                assert!(std::path::Path::new(from).exists(), "{name}: {from}");
                files += 1;
            }
        }
    }
    assert!(files > 5, "the files were not found");
}

#[test]
fn the_image_is_built_of_files_that_are_let_in_and_runs_as_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let ignore = sources::read(".dockerignore");
    let let_in: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignore.lines().any(|line| line == "*") && let_in.len() > 3, "{let_in:?}");
    for name in let_in {
        succeed(Command::new("cp").arg("-r").arg(path(name)).arg(folder.path()));
    }
    // Cargo builds nothing when a file of any target is missing.
    let package: toml::Table = sources::read("Cargo.toml").parse().unwrap();
    let benches = package["bench"].as_array().unwrap().iter();
    let benches = benches.map(|bench| match bench.get("path") {
        Some(path) => path.as_str().unwrap().to_owned(),
        None => format!("benches/{}.rs", bench["name"].as_str().unwrap()),
    });
    let others = ["Cargo.lock", "src/lib.rs", "src/main.rs", "static/index.html"];
    for file in benches.chain(others.map(str::to_owned)) {
        assert!(folder.path().join(&file).exists(), "{file} is not let in");
    }

    let image = sources::read("deploy/Dockerfile");
    let value = |instruction: &str| {
        image.lines().rev().find_map(|line| line.strip_prefix(instruction)).unwrap().trim()
    };
    let user: u32 = value("USER ").split(':').next().unwrap().parse().unwrap();
    assert!(user > 0);
    let template = &kubernetes()["StatefulSet"]["spec"]["template"]["spec"];
    assert_eq!(template["securityContext"]["runAsUser"], json!(user));
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(image.contains(&format!("FROM rust:{rust}-")), "the image builds with Rust {rust}");
    assert!(image.contains(r#"CMD ["banter", "health"]"#));
    assert_eq!(value("STOPSIGNAL "), "SIGTERM");
}

#[test]
fn on_kubernetes_nodes_keep_their_journals_and_stop_in_peace() {
    let documents = kubernetes();
    let set = &documents["StatefulSet"]["spec"];
    let pod = &set["template"]["spec"];
    let container = &pod["containers"][0];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let before: u64 =
        text(&container["lifecycle"]["preStop"]["exec"]["command"][1]).parse().unwrap();
    assert!(grace > before + stop_seconds(), "{grace} s");

    let mounts = list(&container["volumeMounts"]).iter();
    let paths: Vec<_> = mounts.map(|m| (text(&m["name"]), text(&m["mountPath"]))).collect();
    assert!(paths.contains(&("data", "/var/lib/banter/data")), "{paths:?}");
    assert_eq!(set["volumeClaimTemplates"][0]["metadata"]["name"], "data");
    assert_eq!(set["persistentVolumeClaimRetentionPolicy"]["whenScaled"], "Retain");

    let routes = sources::api_routes();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let route = format!("GET {}", text(&container[probe]["httpGet"]["path"]));
        assert!(routes.contains(&route), "{probe} asks {route}");
    }
    let labels = &set["template"]["metadata"]["labels"];
    assert_eq!(set["selector"]["matchLabels"], *labels);
    assert_eq!(documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], *labels);
    assert_eq!(documents["Service"]["spec"]["selector"], *labels);
    let backend = documents["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"].clone();
    assert_eq!(backend["service"]["name"], documents["Service"]["metadata"]["name"]);
}

#[test]
fn systemd_takes_its_unit_and_gives_the_server_time_to_stop() {
    let unit = sources::read("deploy/systemd/banter.service");
    let value = |name: &str| {
        let found = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > stop_seconds());
    assert!(value("LimitNOFILE").parse::<u64>().unwrap() > 50_000);
    assert_eq!((value("KillSignal"), value("NoNewPrivileges")), ("SIGTERM", "yes"));
    assert!(unit.contains("DATA_DIR=/var/lib/banter/") && value("StateDirectory") == "banter");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("banter.service");
    // It wants a program that is there.
    let unit = unit.replace("/usr/local/bin/banter\n", concat!(env!("CARGO_BIN_EXE_banter"), "\n"));
    std::fs::write(&file, unit).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(&file);
    // There are machines without it, on which nothing of this runs either.
    match verify.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        _ => assert_eq!(succeed(&mut verify), ""),
    }
}
