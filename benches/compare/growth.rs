//! How the cost of Banter's own parts grows: what `benches/growth` has left behind, as a section of
//! the document.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{number, say};
use crate::process::root;

/// What all of its criterion groups begin with, and their folders.
const GROUP: &str = "growth/";
const FOLDER: &str = "growth_";

/// The sizes of the columns.
const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// What a part with an aim may cost at the largest size, as times of the smallest.
const MOST: f64 = 2.0;

pub(crate) const TITLE: &str = "How the cost grows";

/// What its note is named after.
pub(crate) const NAME: &str = "growth";

/// One figure of one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Growth {
    /// Criterion's group and function.
    pub(crate) part: String,
    pub(crate) size: u64,
    /// The median of one iteration.
    pub(crate) ns: f64,
    /// How many ops, records or deliveries one iteration has.
    pub(crate) per: u64,
    /// When it was measured.
    pub(crate) date: String,
}

/// A row of the table.
struct Part {
    part: &'static str,
    title: &'static str,
}

const fn part(part: &'static str, title: &'static str) -> Part {
    Part { part, title }
}

/// Rows that concern no store.
const PARTS: &[Part] = &[
    part("buffer/accept", "an op accepted and committed, with so many pending"),
    part("buffer/ring", "an op through the ring, with so many held"),
    part("buffer/overlay_look_up", "overlay: a message looked up"),
    part("buffer/overlay_insert_remove", "overlay: an op comes, one goes"),
    part("buffer/fold", "folding a run of so many ops, per op"),
    part(
        "history/one_conversation",
        "a page of a conversation in which so many are pending (the worst case)",
    ),
    part("history/many_conversations", "the same, so many pending in many conversations"),
    part("journal/append", "journal: 64 records appended behind so many"),
    part("journal/open", "journal: opened with so many records, per record"),
    part("fan_out/delivery", "so many deliveries of 100 messages, per delivery"),
];

/// Rows of each store, and whether there is an aim for them.
const ACTS: &[(Part, bool)] = &[
    (part("history_newest", "a page of history, the newest"), true),
    (part("history_middle", "a page of history in the middle"), true),
    (part("history_group", "a page of a group's history"), true),
    (part("unread", "unread counts"), true),
    (part("chats", "the list of chats"), false),
    (part("groups", "a user's groups"), true),
    (part("rooms", "the rooms"), false),
    (part("sync_recent", "sync: the last 100 changes"), true),
    (part("sync_middle", "sync: 100 changes in the middle"), true),
    (part("search_rare", "search for a rare word"), false),
    (part("search_common", "search for a common word"), false),
];

const STORES: [(&str, &str); 2] = [("sqlite", "SQLite"), ("mongodb", "MongoDB")];

/// Where criterion keeps its figures.
pub(crate) fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join("criterion")
}

/// All figures below criterion's folder; none where nothing was measured.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<Growth>> {
    let mut found = Vec::new();
    for group in entries(folder).into_iter().filter(|path| is_ours(path)) {
        for size in entries(&group).iter().flat_map(|function| entries(function)) {
            let new = size.join("new");
            if new.join("estimates.json").is_file() {
                found.push(figure(&new).with_context(|| new.display().to_string())?);
            }
        }
    }
    Ok(found)
}

fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOLDER))
}

/// What is in a folder, in order; nothing where it is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn figure(new: &Path) -> anyhow::Result<Growth> {
    let read = |name: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&fs::read_to_string(new.join(name))?)?)
    };
    let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let text = |name: &str| benchmark[name].as_str().context(name.to_owned());
    let group = text("group_id")?.trim_start_matches(GROUP);
    let measured = fs::metadata(new.join("estimates.json"))?.modified()?;
    Ok(Growth {
        part: format!("{group}/{}", text("function_id")?),
        size: text("value_str")?.parse()?,
        ns: estimates["median"]["point_estimate"].as_f64().context("median")?,
        per: benchmark["throughput"]["Elements"].as_u64().unwrap_or(1),
        date: jiff::Timestamp::try_from(measured)?.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    })
}

/// A figure of a part: of one op, record or delivery.
fn ns(growth: &[Growth], part: &str, size: u64) -> Option<f64> {
    let figure = growth.iter().find(|figure| figure.part == part && figure.size == size)?;
    Some(figure.ns / figure.per.max(1) as f64)
}

/// How many times as much the largest size costs as the smallest.
fn ratio(growth: &[Growth], part: &str) -> Option<f64> {
    Some(ns(growth, part, SIZES[SIZES.len() - 1])? / ns(growth, part, SIZES[0])?)
}

/// Lines for the table of aims: which aim, what was measured, the verdict.
pub(crate) fn aims(growth: &[Growth]) -> Vec<(String, String, &'static str)> {
    let is_measured = |store: &str| growth.iter().any(|figure| figure.part.starts_with(store));
    let mut lines = Vec::new();
    for (store, name) in STORES.into_iter().filter(|(store, _)| is_measured(store)) {
        for (act, _) in ACTS.iter().filter(|(_, has_aim)| *has_aim) {
            let (measured, verdict) = match ratio(growth, &format!("{store}/{}", act.part)) {
                Some(ratio) if ratio <= MOST => (format!("{} times", number(ratio)), "met"),
                Some(ratio) => (format!("{} times", number(ratio)), "**missed**"),
                None => ("-".to_owned(), "not measured"),
            };
            let aim = format!("{name}, {}: at 1,000,000 as at 1,000", act.title);
            lines.push((aim, format!("{measured} (aim: at most {MOST})"), verdict));
        }
    }
    lines
}

/// The section; nothing where nothing was measured.
pub(crate) fn section(text: &mut String, growth: &[Growth], note: Option<String>) {
    let dates: BTreeSet<_> = growth.iter().map(|figure| &*figure.date).collect();
    let (Some(first), Some(last)) = (dates.first(), dates.last()) else { return };
    say!(
        text,
        "\n## {TITLE}\n\nBanter's own parts, by themselves and in one process, at four sizes; medians, measured \
         from {first} to {last}. What each has around it is said in \
         [benches/growth](../benches/growth/main.rs). The stores hold so many messages, of which three of ten are \
         in conversations of the user who asks.\n"
    );
    let sizes = SIZES.map(|size| number(size as f64)).join(" | ");
    say!(text, "| | {sizes} | last/first |\n| --- |{}", " ---: |".repeat(SIZES.len() + 1));
    for Part { part, title } in PARTS {
        line(text, growth, part, title);
    }
    for (store, name) in STORES {
        for (act, _) in ACTS {
            let title = format!("{name}: {}", act.title);
            line(text, growth, &format!("{store}/{}", act.part), &title);
        }
    }
    if let Some(note) = note {
        say!(text, "\n{}", note.trim());
    }
    say!(
        text,
        "\n<details><summary>Commands</summary>\n\n```sh\ntests/real/with-real cargo bench --locked --bench \
         growth\n```\n\n</details>"
    );
}

fn line(text: &mut String, growth: &[Growth], part: &str, title: &str) {
    if growth.iter().any(|figure| figure.part == part) {
        let times = SIZES.map(|size| ns(growth, part, size).map_or("-".to_owned(), time));
        let ratio = ratio(growth, part).map_or("-".to_owned(), number);
        say!(text, "| {title} | {} | {ratio} |", times.join(" | "));
    }
}

/// A time in the unit that suits it.
fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{} ns", number(ns)),
        ns if ns < 1e6 => format!("{} µs", number(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", number(ns / 1e6)),
        ns => format!("{} s", number(ns / 1e9)),
    }
}
