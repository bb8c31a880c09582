//! The settings that deploy/ and docs/OPERATIONS.md name are those of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use banter::config::Config;
use serde_json::Value;

use crate::{containers, list, sources, text};

/// What looks like a setting and is one of somebody else's.
const OTHERS: [&str; 6] =
    ["GRAFANA_PASSWORD", "HTTP_PORT", "AF_INET", "AF_INET6", "AF_UNIX", "MIMALLOC_ALLOW_THP"];

/// The files that name settings.
const FILES: [&str; 8] = [
    "deploy/.env.example",
    "deploy/Dockerfile",
    "deploy/docker-compose.yml",
    "deploy/nginx/nginx.conf",
    "deploy/systemd/banter.service",
    "deploy/kubernetes/banter.yaml",
    "deploy/prometheus/prometheus.yml",
    "docs/OPERATIONS.md",
];

type Settings = BTreeMap<String, String>;

/// Whether these are settings, with values that the server takes.
fn check(what: &str, mut settings: Settings) {
    let known = Config::setting_names();
    let unknown: Vec<_> = settings.keys().filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{what} gives settings that do not exist: {unknown:?}");
    settings.retain(|name, _| known.contains(name));
    let env = settings.into_iter().map(|(name, value)| (name.into(), value.into()));
    if let Err(error) = Config::load(["banter".into()], env, Path::new("no such folder")) {
        panic!("{what} gives settings that the server refuses:\n{error}");
    }
}

fn of_map(map: &Value) -> Settings {
    let pairs = map.as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), text(value).to_owned())).collect()
}

/// `NAME=value` pairs, between spaces.
fn of_words(words: &str) -> Settings {
    let pairs = words.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_settings_of_the_containers_are_sound() {
    let image = sources::between("deploy/Dockerfile", "ENV ", "\nVOLUME");
    let image = of_words(&image.replace('\\', ""));
    assert_eq!(image["DATA_DIR"], "/var/lib/banter/data");

    let compose = containers::composed();
    for node in containers::NODES {
        let mut settings = image.clone();
        settings.extend(of_map(&compose["services"][node]["environment"]));
        assert_eq!(settings["NODE_ID"], node);
        check(node, settings);
    }

    let kubernetes = containers::kubernetes();
    let mut settings = image;
    settings.extend(of_map(&kubernetes["ConfigMap"]["data"]));
    let container = &kubernetes["StatefulSet"]["spec"]["template"]["spec"]["containers"][0];
    settings.extend(
        list(&container["env"])
            .iter()
            .map(|variable| (text(&variable["name"]).to_owned(), "given-by-kubernetes".to_owned())),
    );
    for name in ["SECRET_KEY", "ADMIN_TOKEN"] {
        settings.insert(name.into(), "qV3xT8mZr1LkWf5uYbN0cJ7hPsE2aGd9oRi4MwXt".into());
    }
    check("banter.yaml", settings);
}

#[test]
fn the_settings_of_the_unit_are_sound() {
    check(
        "banter.service",
        of_words(&sources::between("deploy/systemd/banter.service", "\nEnvironment=", "\n")),
    );
}

#[test]
fn every_setting_that_is_named_exists() {
    let known = Config::setting_names();
    let mut found = BTreeSet::new();
    for file in FILES {
        let content = sources::read(file);
        let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        for word in content.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let is_setting = word.len() > 3 && word.contains('_') && word.chars().all(is_part);
            let is_known = known.iter().any(|setting| setting == word)
                || OTHERS.contains(&word)
                || word.starts_with("GF_");
            assert!(!is_setting || is_known, "{file} names {word}, which does not exist");
            if is_setting {
                found.insert(word.to_owned());
            }
        }
    }
    assert!(found.contains("TRUSTED_PROXIES"), "the settings were not found: {found:?}");
}
