//! One repetition of a case: the server, the load on it, and what can be learned from both.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bson::{Document, doc};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::mongod::Mongod;
use crate::plan::{Row, Server, Setting};
use crate::process::{self, Place, Running};
use crate::raw_insert::{Inserting, Through};
use crate::results::Run;

/// What the load generator may take beside the time that is measured.
const AROUND: Duration = Duration::from_secs(240);
/// When a count that stands still is the last one.
const STILL: Duration = Duration::from_secs(5);

/// What all repetitions share.
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) is_quick: bool,
    pub(crate) runtime: Runtime,
    mongod: Option<Mongod>,
    databases: usize,
}

impl Bench {
    pub(crate) fn new(place: Place, is_quick: bool) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        Ok(Self { place, is_quick, runtime, mongod: None, databases: 0 })
    }

    /// Measures; what goes wrong is in the outcome, so that it stands in the table.
    pub(crate) fn run(
        &mut self,
        row: &Row,
        (server, setting): (Server, &Setting),
        repetition: usize,
    ) -> Run {
        let case = setting.case(row, server);
        let mut run = Run {
            case,
            repetition,
            sitting: String::new(),
            commands: Vec::new(),
            load: Value::Null,
            extra: BTreeMap::new(),
            failure: None,
        };
        let through = match server {
            Server::InsertBare => Some(Through::Bare),
            Server::InsertDriver => Some(Through::Driver),
            Server::InsertStore => Some(Through::Store),
            _ => None,
        };
        let outcome = match through {
            Some(through) => self.insert(row, through, setting, &mut run),
            None => self.drive(row, server, setting, &mut run),
        };
        // Where the package lies is of this machine.
        let here = process::root().display().to_string();
        run.failure = outcome.err().map(|error| format!("{error:#}").replace(&here, "."));
        run
    }

    /// The database server of this sitting, for those who need one.
    fn mongo_url(&mut self) -> String {
        let runtime = &self.runtime;
        self.mongod.get_or_insert_with(|| runtime.block_on(Mongod::start())).url()
    }

    fn insert(
        &mut self,
        row: &Row,
        through: Through,
        setting: &Setting,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        let url = self.mongo_url();
        let writers = if setting.label == "1 writer" { 1 } else { 2 };
        let time = row.seconds(self.is_quick);
        let asked = Inserting { through, batch: 500, writers, time };
        let name = format!("{through:?}").to_lowercase();
        run.commands.push(format!(
            "cargo bench --bench limits -- insert --through {name} --batch 500 --writers {writers} --time {time}"
        ));
        let inserted = self.runtime.block_on(crate::raw_insert::measure(&url, asked))?;
        run.extra.insert("documents_per_second".to_owned(), inserted.documents_per_second);
        Ok(())
    }

    fn drive(
        &mut self,
        row: &Row,
        server: Server,
        setting: &Setting,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        let needs_database = row.is_counted || server == Server::BanterMongo;
        let database = needs_database.then(|| {
            self.databases += 1;
            (self.mongo_url(), format!("banter_bench_{}", self.databases))
        });
        let named = database.as_ref().map(|(url, name)| (&**url, &**name));
        let mut running = process::start(&self.place, server, setting.env, named)?;
        run.commands.push(running.command.clone());
        let warm_up = if self.is_quick { 1.0 } else { 3.0 };
        let outcome = match named.filter(|_| row.is_counted) {
            Some(database) => self.counted(row, setting, &running, database, warm_up, run),
            None => self.load(row, setting, &running, row.seconds(self.is_quick), warm_up, run),
        };
        if running.has_ended() {
            bail!("the server has ended: {}", running.complaint());
        }
        outcome?;
        if server == Server::Banter || server == Server::BanterMongo {
            run.extra.extend(commits(&running.get("/metrics")?));
        }
        drop(running);
        if let Some((url, name)) = named {
            self.runtime.block_on(async {
                mongodb::Client::with_uri_str(url).await?.database(name).drop().await
            })?;
        }
        Ok(())
    }

    /// Warms up, and then compares what is sent with what is in the database once it stands still.
    fn counted(
        &self,
        row: &Row,
        setting: &Setting,
        running: &Running,
        database: (&str, &str),
        warm_up: f64,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        self.load(row, setting, running, warm_up, 0.0, run)?;
        run.commands.truncate(1);
        let before = self.runtime.block_on(stored(database, None))?;
        self.load(row, setting, running, row.seconds(self.is_quick), 0.0, run)?;
        let sent = run.figure("sent").context("the report does not say what was sent")?
            - run.figure("refused").unwrap_or(0.0);
        let after = self.runtime.block_on(stored(database, Some(before + sent as u64)))?;
        let surplus = (after - before) as f64 - sent;
        run.extra.insert("not_stored".to_owned(), (-surplus).max(0.0));
        run.extra.insert("stored_twice".to_owned(), surplus.max(0.0));
        Ok(())
    }

    /// Runs the load generator; its report is the run's.
    fn load(
        &self,
        row: &Row,
        setting: &Setting,
        running: &Running,
        seconds: f64,
        warm_up: f64,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        let folder = process::folder()?;
        let (report, errors) =
            (folder.path().join("report.json"), folder.path().join("errors.txt"));
        let mut words: Vec<_> = row.load(setting).into_iter().map(str::to_owned).collect();
        words.extend(["--time".to_owned(), seconds.to_string()]);
        words.extend(["--warm-up".to_owned(), warm_up.to_string()]);
        run.commands.push(format!(
            "taskset -c {} banter load {} --url ... --pid ...",
            self.place.load_core,
            words.join(" ")
        ));
        let mut command = process::pinned(self.place.load_core, &self.place.banter, folder.path());
        command
            .arg("load")
            .args(&words)
            .args(["--url", &running.url, "--pid", &running.pid().to_string(), "--quiet"])
            .arg("--json")
            .arg(&report)
            .stdout(std::process::Stdio::null())
            .stderr(File::create(&errors)?);
        let mut loading = command.spawn()?;
        let limit = Duration::from_secs_f64(seconds + warm_up) + AROUND;
        if process::ended_within(&mut loading, limit).is_none() {
            loading.kill()?;
            loading.wait()?;
            bail!("the load generator did not end within {} s", limit.as_secs());
        }
        let said = || {
            let text = std::fs::read_to_string(&errors).unwrap_or_default();
            let is_error = |line: &&str| line.to_lowercase().contains("error");
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            let what = text.lines().find(is_error).or(last).unwrap_or("no report");
            anyhow!("the load generator: {}", what.chars().take(300).collect::<String>())
        };
        let text = std::fs::read_to_string(&report).map_err(|_| said())?;
        run.load = serde_json::from_str(&text)?;
        // What it may say is of this machine.
        if let Value::Object(load) = &mut run.load {
            load.remove("url");
        }
        Ok(())
    }
}

/// How many messages are in a database, once there are as many as this, or no more come.
async fn stored((url, name): (&str, &str), expected: Option<u64>) -> anyhow::Result<u64> {
    let database = mongodb::Client::with_uri_str(url).await?.database(name);
    let messages = database.collection::<Document>("messages");
    let (mut count, mut since) = (0, Instant::now());
    loop {
        let now = messages.count_documents(doc! {}).await?;
        if now != count {
            (count, since) = (now, Instant::now());
        }
        if since.elapsed() > STILL || (Some(now) == expected && since.elapsed() > STILL / 5) {
            return Ok(count);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The journal's group commits, from Banter's metrics.
pub(crate) fn commits(metrics: &str) -> Vec<(String, f64)> {
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<f64>().ok())
    };
    let mut found = Vec::new();
    let mut mean = |as_name: &str, name: &str, factor: f64| {
        let (sum, count) = (value(&format!("{name}_sum")), value(&format!("{name}_count")));
        if let (Some(sum), Some(count)) = (sum, count.filter(|count| *count > 0.0)) {
            found.push((as_name.to_owned(), sum / count * factor));
        }
    };
    mean("commit_mean_ms", "banter_journal_write_latency_seconds", 1e3);
    mean("commit_messages", "banter_journal_group_ops", 1.0);
    let count = value("banter_journal_write_latency_seconds_count").unwrap_or(0.0);
    let buckets = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("banter_journal_write_latency_seconds_bucket{le=\"")?;
        let (edge, counted) = rest.split_once("\"} ")?;
        Some((edge.parse::<f64>().ok()?, counted.trim().parse::<f64>().ok()?))
    });
    let p99 = buckets.into_iter().find(|(_, counted)| count > 0.0 && *counted >= 0.99 * count);
    found.extend(p99.map(|(edge, _)| ("commit_p99_ms".to_owned(), edge * 1e3)));
    found
}
