//! Holds docs/WIRE.md against the code: it names every event, route, error code, metric and health
//! field that there is, and none that there is not.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use banter::app::App;
use banter::config::Config;
use banter::shutdown::Shutdown;
use banter::wire::events::CLIENT_EVENTS;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[path = "support/sio.rs"]
mod sio;
#[path = "support/sources.rs"]
mod sources;
#[path = "support/web.rs"]
mod web;

use sources::{between, error_codes, quoted, read, routes, server_events};

struct Document {
    /// The lines that are no examples, each with the `## ` heading above it.
    lines: Vec<(String, String)>,
}

impl Document {
    fn read() -> Self {
        let (mut lines, mut section, mut is_example) = (Vec::new(), String::new(), false);
        for line in read("docs/WIRE.md").lines() {
            if line.starts_with("```") {
                is_example = !is_example;
            } else if !is_example {
                if let Some(heading) = line.strip_prefix("## ") {
                    section = heading.to_owned();
                }
                lines.push((section.clone(), line.to_owned()));
            }
        }
        assert!(!is_example, "an example does not end");
        Self { lines }
    }

    /// What is set as code, in a line.
    fn code(&self) -> BTreeSet<String> {
        self.lines.iter().flat_map(|(_, line)| quoted(line, '`')).collect()
    }

    /// The names that a section's lines with this beginning start with.
    fn names(&self, section: &str, beginning: &str) -> BTreeSet<String> {
        let of_section = self.lines.iter().filter(|(of, _)| of == section);
        let rests = of_section.filter_map(|(_, line)| line.strip_prefix(beginning));
        rests.filter_map(|rest| Some(rest.split_once('`')?.0.to_owned())).collect()
    }
}

fn expect_same(what: &str, document: &BTreeSet<String>, code: &BTreeSet<String>) {
    assert!(code.len() > 2, "the {what} of the code were not found: {code:?}");
    let missing: Vec<_> = code.difference(document).collect();
    let made_up: Vec<_> = document.difference(code).collect();
    assert!(missing.is_empty(), "docs/WIRE.md does not name these {what}: {missing:?}");
    assert!(made_up.is_empty(), "docs/WIRE.md names {what} that do not exist: {made_up:?}");
}

#[test]
fn the_document_describes_the_events_that_exist() {
    let document = Document::read();
    let taken = CLIENT_EVENTS.map(str::to_owned).into();
    expect_same("client events", &document.names("Client events", "### `"), &taken);

    let sent = document.names("Server events", "### `");
    expect_same("server events", &sent, &server_events());
}

#[test]
fn the_document_names_the_kinds_of_each_event() {
    let kinds = between("src/wire/told.rs", "impl Serialize for Payload", "\n}");
    let kinds = kinds.lines().filter_map(|line| line.split_once(r#"entry("type", ""#));
    let kinds: Vec<_> = kinds.map(|(_, rest)| rest.split('"').next().unwrap()).collect();
    assert!(kinds.len() > 2, "the kinds were not found: {kinds:?}");
    let text = read("docs/WIRE.md");
    for kind in kinds {
        assert!(text.contains(&format!(r#"{{"type":"{kind}""#)), "there is no example of {kind}");
    }
}

#[test]
fn the_document_explains_the_error_codes_that_exist() {
    let document = Document::read().names("Acks and error codes", "| `");
    expect_same("error codes", &document, &error_codes());
}

#[test]
fn the_document_names_the_routes_that_exist() {
    let is_route = |code: &String| code.split_once(' ').is_some_and(|(_, p)| p.starts_with('/'));
    let document: BTreeSet<_> = Document::read().code().into_iter().filter(is_route).collect();
    expect_same("routes", &document, &routes());
}

#[test]
fn a_path_without_a_method_is_one_of_a_route_too() {
    let routes = routes();
    let is_known = |path: &str| {
        path == "/socket.io/"
            || routes.iter().any(|route| {
                let known: Vec<_> = route.split_once(' ').unwrap().1.split('/').collect();
                let named: Vec<_> = path.split('/').collect();
                let fits = |(k, n): (&&str, &&str)| k == n || k.starts_with('{');
                known.len() == named.len() && known.iter().zip(&named).all(fits)
            })
    };
    let code = Document::read().code();
    let unknown: Vec<_> = code.iter().filter(|c| c.starts_with('/') && !is_known(c)).collect();
    assert!(unknown.is_empty(), "docs/WIRE.md names paths that do not exist: {unknown:?}");
}

#[test]
fn the_document_names_settings_that_exist() {
    let is_setting = |code: &str| {
        code.len() > 3
            && code.contains('_')
            && code.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let code = Document::read().code();
    let named: Vec<_> = code.iter().filter(|name| is_setting(name)).collect();
    assert!(named.len() > 2, "the settings were not found: {named:?}");
    let settings = Config::setting_names();
    let unknown: Vec<_> = named.into_iter().filter(|name| !settings.contains(name)).collect();
    assert!(unknown.is_empty(), "docs/WIRE.md names settings that do not exist: {unknown:?}");
}

#[test]
fn links_inside_the_document_lead_somewhere() {
    let document = Document::read();
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    let headings = document.lines.iter().filter(|(_, line)| line.starts_with("##"));
    let anchors: BTreeSet<_> =
        headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim_start())).collect();
    let mut links = 0;
    for (_, line) in &document.lines {
        for target in line.split("](#").skip(1) {
            let target = target.split(')').next().unwrap();
            assert!(anchors.contains(target), "a link leads to #{target}, which is not there");
            links += 1;
        }
    }
    assert!(links > 10, "the links were not found");
}

/// A server on the embedded store, if nothing else is said; it goes with its folder.
#[expect(clippy::disallowed_methods, reason = "the server is this test's own task")]
async fn server(folder: &Path, more: Vec<(OsString, OsString)>) -> SocketAddr {
    let place = |name: &str| folder.join(name).into_os_string();
    let env = [("DATA_DIR", place("data")), ("UPLOAD_DIR", place("uploads"))];
    let env = env.map(|(name, value)| (name.into(), value)).into_iter().chain(more);
    let config = Config::load(["banter".into()], env, folder).unwrap();
    let app = App::start(&config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(app.serve(listener, Shutdown::default()));
    addr
}

async fn get(addr: SocketAddr, path: &str) -> String {
    web::get(format!("http://{addr}{path}")).await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_explains_the_metrics_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    // A node among others has figures of its own, whether the others can be reached or not.
    let nowhere = [("REDIS_URL", "redis://127.0.0.1:9"), ("MONGO_URL", "mongodb://127.0.0.1:9")];
    let nowhere = nowhere.map(|(name, url)| (name.into(), url.into()));
    let addr = server(folder.path(), nowhere.into()).await;
    // A metric with labels shows itself once something was counted.
    let mut ann = sio::Client::connect(addr, json!({"user_id": "ann"})).await;
    ann.emit_ack("send_message", json!({"to": "ann", "content": "", "type": "direct"})).await;
    ann.emit_ack("join_group", json!("none")).await;
    get(addr, "/health").await;

    let text = get(addr, "/metrics").await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let code = types.map(|(name, _)| name.to_owned()).collect();
    expect_same("metrics", &Document::read().names("Metrics", "| `"), &code);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_explains_every_field_of_health() {
    let folder = tempfile::tempdir().unwrap();
    let addr = server(folder.path(), Vec::new()).await;
    let mut fields = BTreeSet::new();
    for path in ["/health", "/health/live", "/health/ready", "/health/db", "/health/message-buffer"]
    {
        collect_fields(&serde_json::from_str(&get(addr, path).await).unwrap(), &mut fields);
    }
    assert!(fields.len() > 20, "{fields:?}");
    let named = Document::read().code();
    let missing: Vec<_> = fields.difference(&named).collect();
    assert!(missing.is_empty(), "docs/WIRE.md does not explain {missing:?}");

    let explained = Document::read().names("Health", "| `");
    let made_up: Vec<_> = explained.difference(&fields).collect();
    assert!(made_up.is_empty(), "docs/WIRE.md explains fields that do not exist: {made_up:?}");
}

fn collect_fields(answer: &Value, fields: &mut BTreeSet<String>) {
    for (name, value) in answer.as_object().into_iter().flatten() {
        fields.insert(name.clone());
        // What is below are names of collections and indexes.
        if name != "indexes" {
            collect_fields(value, fields);
        }
    }
}
