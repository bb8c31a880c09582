//! Banter beside its peers and beside what the machine can do: `make bench`. Each server runs on
//! one core and the load generator on another; what comes out is `docs/BENCHMARKS.md` with its plots
//! and `results.json`.
//!
//! ```sh
//! cargo bench --bench compare -- --quick                     # does everything work?
//! cargo bench --bench compare -- --rows direct --servers banter --servers node --add
//! # The document again, without measuring:
//! cargo bench --bench compare -- --from docs/benchmarks/results.json
//! ```

#![expect(clippy::print_stderr, reason = "it takes long, and says how far it is")]

mod check;
mod document;
mod drive;
mod growth;
mod machine;
mod plan;
mod plots;
mod process;
mod results;
mod rows;

#[path = "../../tests/support/mongod.rs"]
#[expect(clippy::expect_used, reason = "it is the tests' own")]
mod mongod;
#[path = "../limits/insert.rs"]
#[expect(dead_code, reason = "the limits have a program of their own, which uses more")]
mod raw_insert;
#[path = "../limits/server.rs"]
#[expect(dead_code, reason = "the limits have a program of their own, which uses more")]
mod raw_server;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::drive::Bench;
use crate::plan::{Row, Server, Setting};
use crate::process::Place;
use crate::results::{Results, Run, Sitting};
use crate::rows::ROWS;

#[derive(Parser)]
#[command(about = "Measures Banter, its peers and the limits of the machine side by side")]
struct Cli {
    /// Rows to measure; without it all but the long ones.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    rows: Vec<String>,
    /// Servers to measure; without it all.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    servers: Vec<String>,
    /// How often each is measured: three times, or once with --quick.
    #[arg(long, value_name = "N")]
    repetitions: Option<usize>,
    /// Everything once, for seconds: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Keep the results of rows that are not measured now.
    #[arg(long)]
    add: bool,
    /// Write the document of these results; nothing is measured.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Where BENCHMARKS.md and benchmarks/ are written.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))]
    docs: PathBuf,
    /// Another binary than the one that was built with this.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_banter"))]
    banter: PathBuf,
    /// The core of the server that is measured.
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// The core of the load generator.
    #[arg(long, value_name = "N", default_value_t = 1)]
    load_core: usize,
    /// Cargo says so, and what is measured has to be optimised.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Is one of the servers that are measured.
    #[command(hide = true)]
    RawServer { writes: String },
}

fn main() -> anyhow::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return check::check();
    }
    let cli = Cli::parse();
    if let Some(Part::RawServer { writes }) = &cli.part {
        let writes = raw_server::Writes::from_str(writes, false).map_err(anyhow::Error::msg)?;
        return Ok(raw_server::serve(0, writes)?);
    }
    if let Some(path) = &cli.from {
        return document::write(&read(path)?, &cli.docs);
    }
    let kept = kept(&cli);
    let earlier = if cli.add && kept.exists() { Some(read(&kept)?) } else { None };
    measure(&cli, |measured| {
        let results =
            earlier.iter().fold(measured.clone(), |newer, older| older.clone().renew(newer));
        document::write(&results, &cli.docs)?;
        Ok(std::fs::write(&kept, serde_json::to_string_pretty(&results)? + "\n")?)
    })?;
    eprintln!("written: {}", cli.docs.join("BENCHMARKS.md").display());
    Ok(())
}

fn kept(cli: &Cli) -> PathBuf {
    cli.docs.join("benchmarks/results.json")
}

fn read(path: &Path) -> anyhow::Result<Results> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The rows that are asked for.
fn wanted(cli: &Cli) -> anyhow::Result<Vec<&'static Row>> {
    if cli.rows.is_empty() {
        return Ok(ROWS.iter().filter(|row| cli.quick || !row.is_long).collect());
    }
    let find = |name: &String| {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        Row::find(name).with_context(|| format!("--rows: {name} is none of {}", names.join(", ")))
    };
    cli.rows.iter().map(find).collect()
}

/// Measures row by row, and has what there is kept after each.
fn measure(cli: &Cli, keep: impl Fn(&Results) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let rows = wanted(cli)?;
    let repetitions = cli.repetitions.unwrap_or(if cli.quick { 1 } else { 3 });
    // A database's folder is on the disk that holds target/, too.
    tempfile::env::override_temp_dir(Path::new(env!("CARGO_TARGET_TMPDIR"))).ok();
    let place = Place {
        banter: cli.banter.clone(),
        server_core: cli.server_core,
        load_core: cli.load_core,
    };
    let sitting = Sitting {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        is_quick: cli.quick,
        repetitions,
        machine: machine::machine(),
        versions: machine::versions(&place.banter),
        remarks: remarks(&place),
    };
    let steps: usize = rows.iter().map(|row| row.cases(&cli.servers).len() * repetitions).sum();
    let mut bench = Bench::new(place, cli.quick)?;
    let growth = growth::read(&growth::folder())?;
    let mut results = Results { sitting, runs: Vec::new(), growth };
    for row in rows {
        for repetition in 1..=repetitions {
            let mut cases = row.cases(&cli.servers);
            if repetition % 2 == 0 {
                cases.reverse();
            }
            for (server, setting) in cases {
                let step = results.runs.len() + 1;
                eprint!("[{step}/{steps}] {} ", name(row, server, &setting));
                let mut run = bench.run(row, (server, &setting), repetition);
                run.sitting.clone_from(&results.sitting.date);
                eprintln!("{}", summary(row, &run));
                results.runs.push(run);
            }
        }
        keep(&results)?;
    }
    Ok(())
}

fn name(row: &Row, server: Server, setting: &Setting) -> String {
    let setting =
        if setting.label.is_empty() { String::new() } else { format!(" ({})", setting.label) };
    format!("{}: {}{setting}", row.name, server.name())
}

/// A line for whoever waits.
fn summary(row: &Row, run: &Run) -> String {
    let figures = row.columns.iter().filter_map(|(title, figure)| {
        Some(format!("{} {title}", document::number(run.figure(figure)?)))
    });
    let mut parts: Vec<_> = figures.collect();
    if run.broken() > 0.0 {
        parts.push(format!("{} messages lost, doubled or reordered", run.broken()));
    }
    parts.extend(run.failure.iter().map(|failure| format!("failed: {failure}")));
    parts.join(", ")
}

fn remarks(place: &Place) -> Vec<String> {
    let mut remarks = vec![format!(
        "Each server runs on core {}, the load generator on core {}; MongoDB, where there is one, on \
         whichever is free, so that it takes time from both.",
        place.server_core, place.load_core
    )];
    let files = process::open_files();
    if files < process::OPEN_FILES {
        remarks.push(format!(
            "A process may have {files} open files here, which could not be raised to {}: rows with \
             more connections than that fail.",
            process::OPEN_FILES
        ));
    }
    remarks
}
