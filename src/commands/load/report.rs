//! What a run has shown: as JSON for programs, and as a table for people.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::board::{Board, Latency};
use super::options::{Common, Transport};
use super::slow::SlowReport;
use super::watch::Taken;

/// The schedule counts as kept while 99 of 100 sends left within this.
const LATE_MS: f64 = 20.0;

/// Latencies in ms; without any, there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Quantiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Quantiles {
    pub(super) fn of(latency: &Latency) -> Option<Self> {
        Some(Self {
            p50: latency.ms(0.5)?,
            p90: latency.ms(0.9)?,
            p99: latency.ms(0.99)?,
            p999: latency.ms(0.999)?,
            max: latency.ms(1.0)?,
        })
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Asked {
    pub(super) users: u32,
    pub(super) senders: Option<u32>,
    pub(super) groups: Option<u32>,
    pub(super) rate: Option<u32>,
    pub(super) window: Option<u32>,
    pub(super) seconds: f64,
    pub(super) warm_up_seconds: f64,
    pub(super) payload_bytes: u32,
    pub(super) transport: Transport,
    pub(super) acks: bool,
    pub(super) exact: bool,
    pub(super) seed: u64,
}

impl Asked {
    /// What every scenario is asked for, by this many users.
    pub(super) fn of(common: &Common, users: u32) -> Self {
        Self {
            users,
            senders: None,
            groups: None,
            rate: None,
            window: None,
            seconds: common.time.as_secs_f64(),
            warm_up_seconds: common.warm_up.as_secs_f64(),
            payload_bytes: common.payload,
            transport: common.transport,
            acks: common.acks,
            exact: common.exact,
            seed: common.seed,
        }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    scenario: &'static str,
    url: String,
    options: Asked,
    /// Measured.
    seconds: f64,
    sent: u64,
    refused: u64,
    delivered: u64,
    expected: u64,
    lost: u64,
    doubled: u64,
    reordered: u64,
    /// Deliveries to somebody who should not get them, or of what nobody sent.
    astray: u64,
    sync_required: u64,
    disconnected: u64,
    /// Without those that were refused.
    sends_per_second: f64,
    deliveries_per_second: f64,
    delivery_ms: Option<Quantiles>,
    ack_ms: Option<Quantiles>,
    connect_ms: Option<Quantiles>,
    /// Of a page of history.
    history_ms: Option<Quantiles>,
    /// At the same time.
    connections: u64,
    /// Those made in the measured time, where they are made then.
    connects_per_second: Option<f64>,
    servers: Vec<Taken>,
    cpu_us_per_delivery: Option<f64>,
    /// Of sends that were not refused.
    cpu_us_per_send: Option<f64>,
    memory_bytes_per_connection: Option<f64>,
    /// What users did how often, over the whole run, where they do several things.
    acts: Option<BTreeMap<&'static str, u64>>,
    /// What became of those who read slowly, where there are some.
    slow: Option<SlowReport>,
    /// How late 99 of 100 sends left through the generator's own fault, open loop.
    generator_late_ms: Option<f64>,
    generator_late_max_ms: Option<f64>,
    generator_cpu_seconds: Option<f64>,
    /// Sends of the schedule that never left.
    unsent: u64,
    /// Sends that waited because the server read nothing more.
    held_back: u64,
    /// Messages whose sender went on after five seconds without its own copy.
    given_up: u64,
    is_schedule_kept: bool,
    is_interrupted: bool,
    /// What the server said first when it refused something.
    first_complaint: Option<String>,
}

/// What a report is made of, beside the board.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) scenario: &'static str,
    pub(super) url: String,
    pub(super) asked: Asked,
    /// At the same time, and whether they last for the whole run.
    pub(super) connections: u32,
    pub(super) do_they_stay: bool,
    pub(super) servers: Vec<Taken>,
    pub(super) own_cpu_seconds: Option<f64>,
    pub(super) unsent: u64,
    pub(super) is_interrupted: bool,
}

impl Report {
    pub(super) fn new(board: &Board, facts: Facts) -> Self {
        let measured_us = board.plan().map_or(0, |plan| plan.to_us - plan.from_us);
        let seconds = measured_us as f64 / 1e6;
        let per_second =
            |count: u64| if seconds > 0.0 { round(count as f64 / seconds) } else { 0.0 };
        let cpu = sum(facts.servers.iter().map(|server| server.cpu_seconds));
        let cpu_us_per = |count: u64| Some(cpu? * 1e6 / (count > 0).then_some(count as f64)?);
        let grown = |server: &Taken| {
            let (before, after) = (server.memory_bytes_before?, server.memory_bytes_connected?);
            Some(after as f64 - before as f64)
        };
        let connections = facts.connections.into();
        let grown = sum(facts.servers.iter().map(grown));
        let connects = Some(board.connects_measured.get()).filter(|connects| *connects > 0);
        let (late, late_max) = (board.late.ms(0.99), board.late.ms(1.0));
        Self {
            scenario: facts.scenario,
            url: facts.url,
            options: facts.asked,
            seconds,
            sent: board.sent_measured.get(),
            refused: board.refused.get(),
            delivered: board.delivered_measured.get(),
            expected: board.due_measured.get(),
            lost: board.lost(),
            doubled: board.doubled.get(),
            reordered: board.reordered.get(),
            astray: board.astray.get(),
            sync_required: board.sync_required.get(),
            disconnected: board.disconnected.get(),
            sends_per_second: per_second(board.taken_measured.get()),
            deliveries_per_second: per_second(board.arrived.get()),
            delivery_ms: Quantiles::of(&board.delivery),
            ack_ms: Quantiles::of(&board.ack),
            connect_ms: Quantiles::of(&board.connect),
            history_ms: Quantiles::of(&board.history),
            connections,
            connects_per_second: connects.map(per_second),
            cpu_us_per_delivery: cpu_us_per(board.arrived.get()).map(round),
            cpu_us_per_send: cpu_us_per(board.taken_measured.get()).map(round),
            memory_bytes_per_connection: grown
                .filter(|_| facts.do_they_stay)
                .map(|grown| round(grown / f64::from(facts.connections))),
            servers: facts.servers,
            acts: Some(board.acts.borrow().clone()).filter(|acts| !acts.is_empty()),
            slow: board.slow.borrow().report(|user| board.tally.borrow().missed(user)),
            generator_late_ms: late,
            generator_late_max_ms: late_max,
            generator_cpu_seconds: facts.own_cpu_seconds.map(round),
            unsent: facts.unsent,
            held_back: board.held_back.get(),
            given_up: board.given_up.get(),
            is_schedule_kept: facts.unsent == 0 && late.is_none_or(|late| late <= LATE_MS),
            is_interrupted: facts.is_interrupted,
            first_complaint: board.complaint(),
        }
    }

    /// Whether every message came to each who should get it, once and in order.
    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.reordered + self.astray == 0
    }

    /// Writes one object.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)?;
        Ok(())
    }

    /// Writes what people read.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write_table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Self { scenario, url, seconds, connections, .. } = self;
        let by = match self.options.transport {
            Transport::Websocket => "WebSocket",
            Transport::Polling => "polling",
        };
        writeln!(out, "{scenario}: {connections} connections by {by} to {url}, {seconds:.2} s")?;
        if let Some(connects) = self.connects_per_second {
            row(out, "connects", &[per_second(connects)])?;
        }
        if self.sent > 0 {
            row(out, "sends", &[per_second(self.sends_per_second), count("in all", self.sent)])?;
            let came = format!("{} of {}", self.delivered, self.expected);
            row(out, "deliveries", &[per_second(self.deliveries_per_second), came])?;
        }
        if let Some(acts) = &self.acts {
            let acts: Vec<_> = acts.iter().map(|(name, times)| count(name, *times)).collect();
            row(out, "acts", &acts)?;
        }
        writeln!(out, "{:14}{}", "", Quantiles::HEAD)?;
        for (name, latency) in [
            ("delivery ms", self.delivery_ms),
            ("ack ms", self.ack_ms),
            ("connect ms", self.connect_ms),
            ("history ms", self.history_ms),
        ] {
            if let Some(latency) = latency {
                writeln!(out, "{name:14}{latency}")?;
            }
        }
        self.write_servers(out)?;
        if let Some(slow) = &self.slow {
            row(out, "slow readers", &[slow.to_string()])?;
        }
        row(
            out,
            "went wrong",
            &[
                count("lost", self.lost),
                count("doubled", self.doubled),
                count("reordered", self.reordered),
                count("astray", self.astray),
                count("refused", self.refused),
                count("told to sync", self.sync_required),
                count("disconnected", self.disconnected),
            ],
        )?;
        self.write_notes(out)
    }

    fn write_servers(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mib = |bytes: Option<u64>| {
            bytes.map_or("-".into(), |b| format!("{:.1}", b as f64 / 1048576.0))
        };
        for server in &self.servers {
            let cpu = server.cpu_seconds.map_or("-".into(), |seconds| format!("{seconds:.2} s"));
            let memory = format!(
                "MiB before {}, connected {}, peak {}, after {}",
                mib(server.memory_bytes_before),
                mib(server.memory_bytes_connected),
                mib(server.memory_bytes_peak),
                mib(server.memory_bytes_after)
            );
            row(out, &format!("pid {}", server.pid), &[format!("CPU {cpu}"), memory])?;
        }
        let of = |name: &str, value: Option<f64>, unit: &str| {
            Some(format!("{:.2} {unit} {name}", value?))
        };
        let each: Vec<_> = [
            of("CPU a delivery", self.cpu_us_per_delivery, "µs"),
            of("CPU a send", self.cpu_us_per_send, "µs"),
            of("a connection", self.memory_bytes_per_connection.map(|bytes| bytes / 1024.0), "KiB"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if each.is_empty() { Ok(()) } else { row(out, "each", &each) }
    }

    fn write_notes(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if let (Some(late), Some(max)) = (self.generator_late_ms, self.generator_late_max_ms) {
            let late =
                format!("99 of 100 sends left within {late:.2} ms, the last within {max:.2}");
            row(out, "generator", &[late])?;
        }
        if !self.is_schedule_kept {
            let unsent = self.unsent;
            writeln!(
                out,
                "The schedule was not kept ({unsent} sends never left): with a generator this late, \
                 the latencies are its own as much as the server's. Give it a core of its own, or a \
                 lower --rate."
            )?;
        }
        if self.held_back > 0 {
            let times = self.held_back;
            writeln!(out, "The server did not read on, so that sends had to wait: {times} times.")?;
        }
        if self.given_up > 0 {
            let times = self.given_up;
            writeln!(out, "A sender went on after 5 s without its own copy: {times} times.")?;
        }
        if let Some(complaint) = &self.first_complaint {
            writeln!(out, "The first that went wrong: {complaint}")?;
        }
        if self.is_interrupted {
            writeln!(out, "It was interrupted: these are the figures up to then.")?;
        }
        Ok(())
    }
}

impl Quantiles {
    const HEAD: &str = "       p50       p90       p99     p99.9       max";
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for value in [self.p50, self.p90, self.p99, self.p999, self.max] {
            write!(f, "{value:>10.2}")?;
        }
        Ok(())
    }
}

fn row(out: &mut dyn Write, name: &str, parts: &[String]) -> std::io::Result<()> {
    writeln!(out, "{name:14}{}", parts.join(", "))
}

fn count(name: &str, count: u64) -> String {
    format!("{count} {name}")
}

fn per_second(rate: f64) -> String {
    format!("{rate:.0} a second")
}

/// To a thousandth.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Their sum; `None` when one is missing, or there is none.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Option<Vec<f64>> = values.collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::board::Plan;
    use super::super::marker::Mark;
    use super::*;

    const ASKED: Asked = Asked {
        users: 2,
        senders: Some(1),
        groups: None,
        rate: Some(1),
        window: None,
        seconds: 2.0,
        warm_up_seconds: 0.0,
        payload_bytes: 64,
        transport: Transport::Websocket,
        acks: false,
        exact: false,
        seed: 1,
    };

    /// A run of 2 s in which one of two messages came to one of two.
    fn report(servers: Vec<Taken>, unsent: u64) -> Report {
        let board = Board::new(1, 2, 64, false).unwrap();
        let stream = board.tally.borrow_mut().stream([0, 1]);
        board.start(Plan { start_us: 0, from_us: 0, to_us: 2_000_000 });
        for _ in 0..2 {
            board.send(stream, 0);
        }
        board.receive(0, Mark { stream, number: 1, at_us: 0 }, false);
        let facts = Facts {
            scenario: "direct",
            url: "http://host/".to_owned(),
            asked: ASKED,
            connections: 2,
            do_they_stay: true,
            servers,
            own_cpu_seconds: None,
            unsent,
            is_interrupted: false,
        };
        Report::new(&board, facts)
    }

    fn json(report: &Report) -> Value {
        let mut out = Vec::new();
        report.write_json(&mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    fn table(report: &Report) -> String {
        let mut out = Vec::new();
        report.write_table(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_known_is_null() {
        let report = report(Vec::new(), 0);
        let json = json(&report);
        for absent in [
            "ack_ms",
            "connect_ms",
            "cpu_us_per_delivery",
            "cpu_us_per_send",
            "memory_bytes_per_connection",
            "slow",
            "acts",
        ] {
            assert_eq!(json[absent], Value::Null, "{absent}");
        }
        assert_eq!(
            (&json["sent"], &json["lost"], &json["seconds"]),
            (&json!(2), &json!(3), &json!(2.0))
        );
        assert!(!report.is_clean());
        assert!(!table(&report).contains("schedule"), "{}", table(&report));
    }

    #[test]
    fn what_a_server_took_is_spread_over_what_it_did() {
        let server = |cpu_seconds| Taken {
            cpu_seconds,
            memory_bytes_before: Some(1_000),
            memory_bytes_connected: Some(5_000),
            ..Taken::default()
        };
        let both = json(&report(vec![server(Some(0.5)), server(Some(1.5))], 0));
        assert_eq!(both["cpu_us_per_delivery"], 2e6);
        assert_eq!(both["cpu_us_per_send"], 1e6);
        assert_eq!(both["memory_bytes_per_connection"], 4_000.0);
        let gone = json(&report(vec![server(Some(0.5)), server(None)], 0));
        assert_eq!(gone["cpu_us_per_delivery"], Value::Null, "one of them has ended");
    }

    #[test]
    fn a_generator_that_fell_behind_says_so() {
        let late = report(Vec::new(), 7);
        assert_eq!(json(&late)["is_schedule_kept"], false);
        let table = table(&late);
        assert!(table.contains("The schedule was not kept (7 sends never left)"), "{table}");
        assert!(table.contains("3 lost, 0 doubled, 0 reordered"), "{table}");
    }
}
