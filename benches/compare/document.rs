//! `docs/BENCHMARKS.md`, from the results alone.

use std::fmt::Write;
use std::path::Path;

use crate::growth;
use crate::plan::{Aim, Bound, Row, Server};
use crate::results::{Case, Results, Run};
use crate::rows::ROWS;

/// What must never happen, in each table.
const BROKEN: [(&str, &str); 4] = [
    ("lost", "lost"),
    ("doubled", "doubled"),
    ("reordered", "reordered"),
    ("told to sync", "sync_required"),
];

/// The document. `notes` has, for a row's name, what people have to say about its outcome.
pub(crate) fn document(results: &Results, notes: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    head(&mut text, results);
    aims(&mut text, results);
    for row in ROWS.iter().filter(|row| !results.cases(row.name).is_empty()) {
        section(&mut text, results, row, notes(row.name));
    }
    growth::section(&mut text, &results.growth, notes(growth::NAME));
    tail(&mut text, results);
    text
}

/// Puts what `write!` says into a text, which can't fail.
macro_rules! say {
    ($text:expr, $($said:tt)*) => { let _ = writeln!($text, $($said)*); };
}
pub(crate) use say;

fn head(text: &mut String, results: &Results) {
    let sitting = &results.sitting;
    let machine: Vec<_> =
        sitting.machine.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    say!(text, "# Measured side by side\n");
    say!(
        text,
        "Written by `make bench`; `docs/benchmarks/results.json` has every figure of every run.\n"
    );
    if sitting.is_quick {
        say!(
            text,
            "**A quick run: it shows that everything works. Its times are too short, and the machine may \
             have been busy: its figures are no results.**\n"
        );
    }
    say!(
        text,
        "Measured on {} ({}), {}. Servers are measured one at a time, in alternating order, each from a \
         fresh start; figures are medians.",
        sitting.date,
        machine.join(", "),
        times(sitting.repetitions)
    );
    say!(
        text,
        "Absolute figures of one machine mean nothing elsewhere; ratios in one sitting do. Banter runs with \
         its defaults unless a row says otherwise: every message is in the journal, on the disk, before anybody hears of it. The peers \
         ([benches/peers](../benches/peers/README.md)) keep what they tell in memory.\n"
    );
    for remark in &sitting.remarks {
        say!(text, "- {remark}");
    }
    for (date, row) in results.older() {
        say!(text, "- The row `{row}` was not measured in this sitting, but on {date}.");
    }
}

fn times(repetitions: usize) -> String {
    if repetitions == 1 { "once".to_owned() } else { format!("{repetitions} times") }
}

fn aims(text: &mut String, results: &Results) {
    say!(text, "\n## Aims\n");
    say!(text, "| row | aim | measured | |\n| --- | --- | --- | --- |");
    for row in ROWS.iter().filter(|row| !results.cases(row.name).is_empty()) {
        for aim in row.aims {
            let (measured, verdict) = match results.verdict(row, aim) {
                Some((measured, true)) => (Some(measured), "met"),
                Some((measured, false)) => (Some(measured), "**missed**"),
                None => (None, "not measured"),
            };
            let measured = with_bound(aim, measured);
            let link = format!("[{}](#{})", row.title, anchor(row.title));
            say!(text, "| {link} | {} | {measured} | {verdict} |", aim.text);
        }
    }
    let link = format!("[{}](#{})", growth::TITLE, anchor(growth::TITLE));
    for (aim, measured, verdict) in growth::aims(&results.growth) {
        say!(text, "| {link} | {aim} | {measured} | {verdict} |");
    }
    let ours: Vec<_> =
        results.runs.iter().filter(|run| run.case.server.starts_with("banter")).collect();
    let broken: f64 = ours.iter().map(|run| run.broken()).sum();
    let failed = ours.iter().filter(|run| run.failure.is_some()).count();
    let verdict = if broken == 0.0 && failed == 0 { "met" } else { "**missed**" };
    say!(
        text,
        "| all | Banter loses, doubles and reorders nothing | {broken} messages and {failed} failed runs of \
         {} | {verdict} |",
        ours.len()
    );
}

fn with_bound(aim: &Aim, measured: Option<f64>) -> String {
    let times = if aim.bottom.is_some() && measured.is_some() { " times" } else { "" };
    let measured = shown(measured);
    let (word, bound) = match aim.bound {
        Bound::AtLeast(bound) => ("at least", bound),
        Bound::AtMost(bound) => ("at most", bound),
    };
    format!("{measured}{times} (aim: {word} {bound})")
}

fn section(text: &mut String, results: &Results, row: &Row, note: Option<String>) {
    say!(text, "\n## {}\n\n{}\n", row.title, row.about);
    let titles = row.columns.iter().map(|(title, _)| *title);
    let broken = if is_load(results, row) { &BROKEN[..] } else { &[] };
    let titles: Vec<_> = titles.chain(broken.iter().map(|(title, _)| *title)).collect();
    say!(text, "| | {} |", titles.join(" | "));
    say!(text, "| --- |{}", " ---: |".repeat(titles.len()));
    for case in results.cases(row.name) {
        let values = row.columns.iter().map(|(_, figure)| shown(results.median(&case, figure)));
        let broken = broken.iter().map(|(_, figure)| {
            let has_report = results.of(&case).any(|run| run.figure(figure).is_some());
            shown(has_report.then(|| results.sum(&case, figure)))
        });
        let cells: Vec<_> = values.chain(broken).collect();
        say!(text, "| {} | {} |", named(&case, results, row), cells.join(" | "));
    }
    for case in results.cases(row.name) {
        remarks(text, results, &case);
    }
    say!(text, "\n![{}](benchmarks/{}.svg)", row.title, row.name);
    if let Some(note) = note {
        say!(text, "\n{}", note.trim());
    }
    commands(text, results, row);
}

/// What a reader has to know of a case beside its figures.
fn remarks(text: &mut String, results: &Results, case: &Case) {
    let title = format!("{}{}", Server::title(&case.server), setting(case));
    for run in results.of(case) {
        if let Some(failure) = &run.failure {
            say!(text, "\n{title}, repetition {}: failed. {failure}", run.repetition);
        }
    }
    let wrong = [
        ("refused", "messages were refused"),
        ("disconnected", "connections broke off"),
        ("astray", "deliveries went to the wrong user, or were never sent"),
        ("unsent", "messages of the schedule could not be sent"),
        ("given_up", "times a sender waited 5 s in vain for its own copy"),
    ];
    for (figure, what) in wrong {
        let sum = results.sum(case, figure);
        if sum > 0.0 {
            say!(text, "\n{title}: {} {what}.", number(sum));
        }
    }
    let is_late = |run: &Run| run.load["is_schedule_kept"] == serde_json::json!(false);
    if let Some(run) = results.of(case).find(|run| is_late(run)) {
        let late = shown(run.figure("generator_late_ms"));
        say!(
            text,
            "\n{title}: the load generator was late itself (p99 {late} ms), so that latencies are its own as \
             much as the server's."
        );
    }
}

fn is_load(results: &Results, row: &Row) -> bool {
    results.runs.iter().any(|run| run.case.row == row.name && !run.load.is_null())
}

fn setting(case: &Case) -> String {
    if case.setting.is_empty() { String::new() } else { format!(", {}", case.setting) }
}

/// A case's name in a table; of several settings of a peer the one that counts is marked.
fn named(case: &Case, results: &Results, row: &Row) -> String {
    let title = Server::title(&case.server);
    let others = results.cases(row.name).iter().filter(|other| other.server == case.server).count();
    let counts = results.best(row, &case.server).as_ref() == Some(case);
    let mark = if others > 1 && counts && row.name != "large-group" { " (counts)" } else { "" };
    format!("{title}{}{mark}", setting(case))
}

/// How each server is started, and what is then run beside it: the same for all of them, mostly.
fn commands(text: &mut String, results: &Results, row: &Row) {
    say!(text, "\n<details><summary>Commands</summary>\n\n```sh");
    let mut loads: Vec<(&String, Vec<String>)> = Vec::new();
    for case in results.cases(row.name) {
        let run = results.of(&case).max_by_key(|run| run.commands.len());
        let Some([start, rest @ ..]) = run.map(|run| &*run.commands) else { continue };
        let name = format!("{}{}", case.server, setting(&case));
        say!(text, "# {name}\n{start}");
        for load in rest {
            match loads.iter_mut().find(|(known, _)| *known == load) {
                Some((_, names)) => names.push(name.clone()),
                None => loads.push((load, vec![name.clone()])),
            }
        }
    }
    let is_one = loads.len() == 1;
    for (load, names) in loads {
        let whom = if is_one { "each of them".to_owned() } else { names.join("; ") };
        say!(text, "# beside {whom}\n{load}");
    }
    say!(text, "```\n\n`make bench ROWS={}` measures this row alone.\n\n</details>", row.name);
}

fn tail(text: &mut String, results: &Results) {
    say!(text, "\n## Versions\n\n| | |\n| --- | --- |");
    for (name, version) in &results.sitting.versions {
        say!(text, "| {name} | {version} |");
    }
}

/// A heading's anchor, as GitHub makes it.
fn anchor(title: &str) -> String {
    let kept = title.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

/// A figure with as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    let rounded = match value.abs() {
        // Not "-0".
        0.0 => return "0".to_owned(),
        size if size >= 1_000.0 => return thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if rounded.contains('.') {
        rounded.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        rounded
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

/// Writes the document and its plots below `docs/`.
pub(crate) fn write(results: &Results, docs: &Path) -> anyhow::Result<()> {
    let folder = docs.join("benchmarks");
    std::fs::create_dir_all(&folder)?;
    let note = |row: &str| std::fs::read_to_string(folder.join(format!("{row}.md"))).ok();
    std::fs::write(docs.join("BENCHMARKS.md"), document(results, note))?;
    for row in ROWS.iter().filter(|row| !results.cases(row.name).is_empty()) {
        crate::plots::draw(results, row, &folder.join(format!("{}.svg", row.name)))?;
    }
    Ok(())
}
