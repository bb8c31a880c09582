//! `banter journal`: looks at a journal, mends one, and stores what is in one.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Outcome, counted, drain, one_line};
use crate::buffer::{
    CheckpointReport, Folders, Inspection, Part, RecordReport, Repair, Repaired, SegmentReport,
    SegmentState, repair,
};
use crate::clock::SystemClock;
use crate::config::Config;

/// What the help of the family ends with.
pub const AFTER_HELP: &str = "\
Examples:
  banter journal inspect                         the journal below DATA_DIR
  banter journal inspect --records               the same with a line for each record
  banter journal repair                          save what is whole of a damaged one
  banter journal drain /srv/node-2/data/journal  store what a dead server has left

Settings come from where the server's do, and its flags work here too, before and after the
command (banter --help).";

const DRAIN_AFTER_HELP: &str = "\
Example:
  MONGO_URL=mongodb://db banter journal drain /srv/node-2/data/journal

MONGO_URL, MONGODB_NAME and WRITE_CONCERN say which store takes it; without MONGO_URL it is the
embedded one below DATA_DIR.";

/// The commands of this family.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Show what a journal holds, and whether a server would start on it
    ///
    /// Nothing is changed or locked: this is safe beside a running server. What people wrote is
    /// not shown.
    ///
    /// The exit code is 0 when a server would start on it, else 1.
    #[command(verbatim_doc_comment)]
    Inspect {
        /// The journal's folder; without it, the one below DATA_DIR
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
        /// One line for each record: its number, kind, message or group, and bytes
        #[arg(long)]
        records: bool,
    },
    /// Mend a journal on which no server starts: save what is whole, keep the old files
    ///
    /// Operations that are whole and not stored yet go into a fresh journal, also those behind
    /// damage. The old files are moved into damaged-TIME/ inside the folder; nothing is deleted.
    /// What is lost is told by its numbers. Where a server would start, nothing is changed.
    ///
    /// A repair that was interrupted is completed by the next one; until then no server starts.
    ///
    /// The exit code is 0 when a server would start on it now, else 1.
    #[command(verbatim_doc_comment)]
    Repair {
        /// The journal's folder; without it, the one below DATA_DIR
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Store what a journal holds that no server uses
    ///
    /// For a server that will not come back, or not soon: its operations are brought to the store
    /// as it would have done. What the store refuses for good becomes a dead letter in the folder
    /// dead-letter beside the journal. While the store is away it is tried again and again.
    ///
    /// It can be stopped (Ctrl-C) and run again: what is stored already is stored once. The journal
    /// is empty and whole afterwards, so its server may come back.
    ///
    /// The exit code is 0 when nothing is left in the journal, else 1.
    #[command(after_help = DRAIN_AFTER_HELP, verbatim_doc_comment)]
    Drain {
        /// The journal's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Does what was asked for.
///
/// # Errors
/// There is no journal, somebody has it, or it, or the store, can't be used.
pub async fn run(
    command: &Command,
    config: &Config,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let default = || Folders::below(&config.server.data_dir).journal;
    match command {
        Command::Inspect { dir, records } => {
            inspect(&dir.clone().unwrap_or_else(default), *records, out)
        }
        Command::Repair { dir } => mend(&dir.clone().unwrap_or_else(default), out),
        Command::Drain { dir } => drain::run(dir, config, out).await,
    }
}

/// The journal of a folder.
pub(super) fn journal_in(dir: &Path) -> anyhow::Result<Inspection> {
    let inspection = match Inspection::open(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("there is no journal in {dir:?}: there is no such folder")
        }
        inspection => inspection.with_context(|| format!("{dir:?} can't be read"))?,
    };
    if !inspection.is_journal()? {
        let inside = dir.join("journal");
        let is_inside = Inspection::open(&inside).and_then(|inside| inside.is_journal());
        let hint = match is_inside {
            Ok(true) => format!("; there is one in {inside:?}"),
            _ => String::new(),
        };
        anyhow::bail!("there is no journal in {dir:?}{hint}");
    }
    Ok(inspection)
}

fn inspect(dir: &Path, with_records: bool, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let inspection = journal_in(dir)?;
    writeln!(out, "journal {}", dir.display())?;
    if inspection.in_use() {
        writeln!(out, "in use by a running server; what is below may already have changed")?;
    }
    writeln!(out, "checkpoint  {}", checkpoint_line(&inspection.checkpoint()))?;
    let mut unstored = 0;
    for part in inspection.parts()? {
        match part {
            Part::Missing { first, last: Some(last) } => {
                writeln!(out, "missing: records {}", run_of(first, last))?;
            }
            Part::Missing { first, last: None } => {
                writeln!(out, "missing: records from {first} on")?;
            }
            Part::Segment(segment) => {
                unstored += segment.unstored;
                writeln!(out, "{}", segment_line(&segment))?;
                if with_records {
                    segment.records().try_for_each(|record| tell_record(&record, out))?;
                }
            }
        }
    }
    for name in inspection.torn_files()? {
        writeln!(out, "{}  cut off after a crash, and kept", one_line(&name))?;
    }
    let verdict = inspection.verdict();
    let unstored = *verdict.as_ref().unwrap_or(&unstored);
    writeln!(out, "{} not stored", counted(unstored, "operation"))?;
    match verdict {
        Ok(_) => writeln!(out, "a server would start on it")?,
        Err(refusal) => {
            writeln!(out, "a server would not start on it: {}", one_line(&refusal.to_string()))?;
            return Ok(Outcome::Left);
        }
    }
    Ok(Outcome::Done)
}

fn checkpoint_line(checkpoint: &CheckpointReport) -> String {
    match checkpoint {
        CheckpointReport::At { sequence, floor: Some(floor) } => {
            format!("stored up to {sequence}; no message by then is later than {floor}")
        }
        CheckpointReport::At { sequence, floor: None } => format!("stored up to {sequence}"),
        CheckpointReport::Unreadable(reason) => format!("can't be read: {reason}"),
        CheckpointReport::Absent => "there is none".to_owned(),
    }
}

fn segment_line(segment: &SegmentReport) -> String {
    let SegmentReport { file, first, last, records, behind, unstored, bytes, .. } = segment;
    let numbers =
        if first <= last { format!("  {}", run_of(*first, *last)) } else { String::new() };
    let records = counted(*records, "record");
    let behind = if *behind > 0 { format!(" ({behind} behind the damage)") } else { String::new() };
    let state = match &segment.state {
        SegmentState::Whole => "whole".to_owned(),
        SegmentState::Sealed => "sealed".to_owned(),
        SegmentState::Torn { at, reason } => format!("torn at byte {at}: {}", one_line(reason)),
        SegmentState::Damaged { at, reason } => {
            format!("damaged at byte {at}: {}", one_line(reason))
        }
        SegmentState::Unreadable(reason) => format!("can't be read: {}", one_line(reason)),
    };
    let obsolete = if segment.is_obsolete { "; stored, so a start removes it" } else { "" };
    format!(
        "{file}{numbers}  {records}{behind}  {bytes} bytes  {unstored} not stored  {state}{obsolete}"
    )
}

fn tell_record(record: &RecordReport, out: &mut dyn Write) -> io::Result<()> {
    let RecordReport { sequence, kind, concerns, bytes } = record;
    // Why one can't be read may quote what is in it.
    let concerns = concerns.as_deref().unwrap_or("can't be read");
    writeln!(out, "  {sequence}  {kind}  {concerns}  {bytes} bytes")
}

/// `7`, `7 to 9`.
fn run_of(first: u64, last: u64) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

fn mend(dir: &Path, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    journal_in(dir)?;
    let not_stored = |unstored| format!("{} not stored", counted(unstored, "operation"));
    match repair(dir, &SystemClock)? {
        Repair::NotNeeded { unstored } => {
            let not_stored = not_stored(unstored);
            writeln!(
                out,
                "a server would start on it as it is ({not_stored}): nothing was changed"
            )?;
        }
        Repair::Completed { unstored, old_files } => {
            let not_stored = not_stored(unstored);
            writeln!(out, "an earlier repair was interrupted, and is complete now: {not_stored}")?;
            tell_old_files(&old_files, out)?;
        }
        Repair::Done { repaired: Repaired { saved, lost, notes }, old_files } => {
            for note in notes {
                writeln!(out, "{}", one_line(&note))?;
            }
            writeln!(out, "saved: {}", counted(saved, "operation"))?;
            for (first, last) in &lost {
                writeln!(out, "lost: {}", run_of(*first, *last))?;
            }
            if lost.is_empty() {
                writeln!(out, "lost: none of the numbers that are known")?;
            }
            tell_old_files(&old_files, out)?;
        }
    }
    Ok(Outcome::Done)
}

fn tell_old_files(folder: &Path, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "the old files are in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_one_is_a_number() {
        assert_eq!((run_of(7, 7), run_of(7, 9)), ("7".to_owned(), "7 to 9".to_owned()));
    }

    #[test]
    fn a_folder_that_is_no_journal_is_left_alone_and_the_right_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no");
        for dir in [folder.path(), &missing] {
            let mut out = Vec::new();
            for refused in [inspect(dir, true, &mut out), mend(dir, &mut out)] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.starts_with("there is no journal in "), "{refused}");
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::create_dir(folder.path().join("journal")).unwrap();
        std::fs::write(folder.path().join("journal/checkpoint"), "").unwrap();
        let refused = journal_in(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("; there is one in "), "{refused}");
    }
}
