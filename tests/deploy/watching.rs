//! Prometheus' rules, Grafana's dashboards, and the metrics that both are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::sio::Client;
use crate::{balancer, containers, list, path, said, sources, succeed, text, web, yaml};

/// How long Prometheus may take to ask; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether it has.
const POLL: Duration = Duration::from_millis(50);

/// Metrics of the bus between nodes, which are there with `REDIS_URL` alone.
const OF_THE_BUS: [&str; 9] = [
    "banter_cluster_connected",
    "banter_cluster_nodes",
    "banter_cluster_published_total",
    "banter_cluster_received_total",
    "banter_cluster_queued",
    "banter_cluster_delayed_total",
    "banter_cluster_dropped_total",
    "banter_cluster_gaps_total",
    "banter_cluster_latency_seconds",
];

/// What Prometheus makes itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// What promtool has to say of our metrics: this name is the old dashboards', and stays.
const KNOWN_REMARK: &str = "memory_usage_mb metric names should not contain abbreviated units";

const DASHBOARDS: [&str; 4] = ["overview", "buffer", "realtime", "nodes"];

fn promtool(arguments: &[&str]) -> Command {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(path("deploy/prometheus"));
    command
}

fn rules() -> Vec<Value> {
    let rules = yaml("deploy/prometheus/alerts.yml");
    let groups = list(&rules["groups"]).iter();
    groups.flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

fn dashboards() -> Vec<Value> {
    let read = |name: &str| {
        let file = format!("deploy/grafana/dashboards/{name}.json");
        serde_json::from_str(&sources::read(&file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    };
    DASHBOARDS.map(read).into()
}

/// A dashboard's queries, with the data source of each.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let targets = list(&dashboard["panels"]).iter().flat_map(|panel| list(&panel["targets"]));
    let query = |t: &Value| (text(&t["datasource"]["uid"]).to_owned(), text(&t["expr"]).to_owned());
    targets.map(query).collect()
}

/// The metrics that an expression of PromQL names: words outside of texts, of lists of labels, and
/// of calls.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let mut bare = String::new();
    let (mut in_text, mut depth) = (false, 0);
    for c in expression.chars() {
        match c {
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => depth += 1,
            '}' | ']' if !in_text => depth -= 1,
            c if !in_text && depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    while let Some(start) = rest.find(is_word) {
        let word = &rest[start..];
        let (word, after) = word.split_at(word.find(|c| !is_word(c)).unwrap_or(word.len()));
        rest = after;
        if ["by", "without", "on", "ignoring"].contains(&word) {
            rest = rest.split_once(')').unwrap().1;
        } else if !rest.trim_start().starts_with('(')
            && !word.starts_with(|c: char| c.is_ascii_digit())
            && !["or", "and", "unless", "sum", "max", "min"].contains(&word)
        {
            names.insert(word.to_owned());
        }
    }
    names
}

#[test]
fn the_metrics_of_an_expression_are_found() {
    let of = |expression: &str| metrics_in(expression).into_iter().collect::<Vec<_>>();
    assert_eq!(
        of(r#"sum by (node) (rate(a_total{b="c {d"}[5m])) / e > 0.5 or f"#),
        ["a_total", "e", "f"]
    );
    assert_eq!(
        of(r#"histogram_quantile(0.9, sum by (le) (rate(x_bucket[$__rate])))"#),
        ["x_bucket"]
    );
}

/// The names of samples that there may be.
fn samples() -> BTreeSet<String> {
    let document = sources::read("docs/WIRE.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut names: BTreeSet<String> =
        OF_THE_BUS.into_iter().chain(OF_PROMETHEUS).map(str::to_owned).collect();
    let mut histograms = vec!["banter_cluster_latency_seconds"];
    for (name, rest) in rows {
        if rest.starts_with("histogram") {
            histograms.push(name);
        }
        if ["histogram", "counter", "gauge", "info"].iter().any(|kind| rest.starts_with(kind)) {
            names.insert(name.to_owned());
        }
    }
    for name in histograms {
        names.remove(name);
        names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
    }
    names
}

#[test]
fn what_alerts_and_dashboards_are_made_of_exists() {
    let samples = samples();
    let alerts =
        rules().into_iter().map(|rule| ("alerts.yml".to_owned(), text(&rule["expr"]).to_owned()));
    let mut used = BTreeSet::new();
    let of_dashboards = dashboards().into_iter().flat_map(|dashboard| {
        let queries = queries(&dashboard).into_iter().filter(|(source, _)| source == "prometheus");
        let title = text(&dashboard["title"]).to_owned();
        queries.map(move |(_, expression)| (title.clone(), expression)).collect::<Vec<_>>()
    });
    for (place, expression) in alerts.chain(of_dashboards) {
        for name in metrics_in(&expression) {
            assert!(
                samples.contains(&name),
                "{place} uses {name}, which does not exist: {expression}"
            );
            used.insert(name);
        }
    }
    for needed in OF_THE_BUS {
        let is_used = used.iter().any(|name| name.starts_with(needed));
        assert!(is_used, "nothing shows {needed}");
    }
}

/// All data sources that something names, however deep.
fn collect_sources<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("datasource"));
            fields.values().for_each(|value| collect_sources(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_sources(item, found)),
        _ => {}
    }
}

#[test]
fn dashboards_belong_to_the_data_sources_that_are_provisioned() {
    let provisioned = yaml("deploy/grafana/provisioning/datasources/datasources.yml");
    let sources: BTreeMap<_, _> = list(&provisioned["datasources"])
        .iter()
        .map(|source| (text(&source["uid"]), text(&source["type"])))
        .collect();
    let mut uids = BTreeSet::new();
    for dashboard in dashboards() {
        assert!(uids.insert(text(&dashboard["uid"]).to_owned()), "two have one uid");
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have one id");
            let is_row = panel["type"] == "row";
            assert!(is_row || panel["datasource"].is_object(), "{}", panel["title"]);
        }
        let mut used = Vec::new();
        collect_sources(&dashboard, &mut used);
        assert!(used.len() > 10, "the data sources were not found");
        for source in used {
            let kind = sources.get(text(&source["uid"]));
            assert_eq!(kind.copied(), source["type"].as_str(), "{source}");
        }
    }
    let folder = yaml("deploy/grafana/provisioning/dashboards/dashboards.yml");
    let folder = text(&folder["providers"][0]["options"]["path"]).to_owned();
    let composed = containers::composed();
    let mut mounts = list(&composed["services"]["grafana"]["volumes"]).iter().map(text);
    assert!(mounts.any(|mount| mount.contains(&format!("/grafana/dashboards:{folder}:"))));
}

/// Each expression of the dashboards, as a rule that promtool reads.
#[test]
fn the_expressions_of_the_dashboards_can_be_read() {
    let dashboards = dashboards();
    let expressions =
        dashboards.iter().flat_map(queries).filter(|(source, _)| source == "prometheus");
    let rule = |(at, (_, expression)): (usize, (String, String))| {
        let expression = expression.replace("$__rate_interval", "1m");
        json!({"record": format!("panel:{at}"), "expr": expression})
    };
    let rules: Vec<_> = expressions.enumerate().map(rule).collect();
    assert!(rules.len() > 30, "the expressions were not found");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let rules = json!({"groups": [{"name": "dashboards", "rules": rules}]});
    std::fs::write(&file, rules.to_string()).unwrap();
    succeed(promtool(&["check", "rules"]).arg(file));
}

#[test]
fn prometheus_takes_its_rules_and_its_configuration() {
    succeed(&mut promtool(&["check", "rules", "alerts.yml"]));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("admin_token");
    std::fs::write(&token, "token").unwrap();
    std::fs::copy(path("deploy/prometheus/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
    let config = sources::read("deploy/prometheus/prometheus.yml");
    assert_eq!(config.matches("/tmp/admin_token").count(), 1);
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config.replace("/tmp/admin_token", token.to_str().unwrap())).unwrap();
    succeed(promtool(&["check", "config"]).arg(file));
    for node in containers::NODES {
        assert!(config.contains(&format!("{node}:8002")), "{node} is not scraped");
    }
}

#[test]
fn alerts_fire_when_they_should_and_not_when_they_need_not() {
    succeed(&mut promtool(&["test", "rules", "alerts_test.yml"]));
    let tests = yaml("deploy/prometheus/alerts_test.yml");
    let (mut fire, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in list(&tests["tests"]) {
        for alert in list(&test["alert_rule_test"]) {
            let fires = !list(&alert["exp_alerts"]).is_empty();
            let set = if fires { &mut fire } else { &mut silent };
            set.insert(text(&alert["alertname"]).to_owned());
        }
    }
    let all: BTreeSet<_> = rules().iter().map(|rule| text(&rule["alert"]).to_owned()).collect();
    assert_eq!((&fire, &silent), (&all, &all), "each has a test of both kinds");
}

#[test]
fn each_alert_says_what_to_do() {
    let manual = sources::read("docs/OPERATIONS.md");
    let sections: BTreeSet<_> =
        manual.lines().filter_map(|line| line.strip_prefix("### Banter")).collect();
    let rules = rules();
    for rule in &rules {
        let name = text(&rule["alert"]);
        assert!(sections.contains(&name[6..]), "docs/OPERATIONS.md has no section {name}");
        let anchor = format!("docs/OPERATIONS.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook"], anchor);
        assert!(text(&rule["annotations"]["summary"]).contains("$labels.node"), "{name}");
        assert!(["critical", "warning"].contains(&text(&rule["labels"]["severity"])), "{name}");
        assert!(rule["for"].is_string(), "{name}");
    }
    assert_eq!(
        sections.len(),
        rules.len(),
        "docs/OPERATIONS.md explains alerts that are not there"
    );
}

/// A server on which something has happened.
struct Node {
    /// Killed when it is dropped.
    _process: Child,
    _folder: TempDir,
    address: String,
}

impl Node {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_banter"))
            .current_dir(folder.path())
            .env_remove("MONGO_URL")
            .env_remove("MONGODB_URL")
            .env("PORT", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = log.next_line().await.unwrap().expect("the server listens");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
                break rest[..end.unwrap_or(rest.len())].to_owned();
            }
        };
        let mut ann = Client::connect(address.parse().unwrap(), json!({"user_id": "ann"})).await;
        let message = json!({"to": "ann", "content": "", "type": "direct"});
        ann.emit_ack("send_message", message).await;
        ann.emit_ack("join_group", json!("none")).await;
        Self { _process: process, _folder: folder, address }
    }

    async fn metrics(&self, token: &str) -> String {
        let request = web::client().get(format!("http://{}/metrics", self.address));
        request.bearer_auth(token).send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_of_the_metrics() {
    let metrics = Node::start(&[]).await.metrics("").await;
    assert!(metrics.contains("banter_events_refused_total{"), "{metrics}");
    let mut lint = promtool(&["check", "metrics"]);
    lint.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = lint.spawn().expect("promtool: run `make real` once");
    process.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(said(&output).trim(), KNOWN_REMARK);
}

/// It asks for OpenMetrics, with a token, and finds what stands in the other format.
#[tokio::test]
async fn prometheus_finds_every_metric_of_a_node() {
    const TOKEN: &str = "a-token-of-operators";
    let node = Node::start(&[("ADMIN_TOKEN", TOKEN)]).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("admin_token");
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::copy(path("deploy/prometheus/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
    let config = sources::read("deploy/prometheus/prometheus.yml")
        .replace("/tmp/admin_token", token.to_str().unwrap())
        .replace("banter-1:8002", &node.address)
        .replace("scrape_interval: 15s", "scrape_interval: 1s");
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let port = balancer::free_port();
    let _prometheus = tokio::process::Command::new("prometheus")
        .current_dir(folder.path())
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("Prometheus, which comes with promtool: run `make real` once");

    let metrics = node.metrics(TOKEN).await;
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let expected: BTreeSet<_> = lines.map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    assert!(expected.len() > 50, "{metrics}");
    let url = format!(
        "http://127.0.0.1:{port}/api/v1/label/__name__/values?match[]={{node=\"banter-1\"}}"
    );
    let mut found = Value::Null;
    let all_are_there = async {
        loop {
            if let Ok(answer) = web::get(&url).await {
                found = answer.json().await.unwrap_or_default();
                let names: BTreeSet<_> = list(&found["data"]).iter().map(text).collect();
                if expected.is_subset(&names) {
                    return;
                }
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, all_are_there).await;
    assert!(in_time.is_ok(), "of {expected:?} Prometheus has {found}");
}
