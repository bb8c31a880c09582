//! `banter journal drain`: the write path of a server on a journal, without the server.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::journal::journal_in;
use super::{Outcome, counted, one_line};
use crate::buffer::{self, Buffer, Folders, Inspection};
use crate::clock::SystemClock;
use crate::cluster::History;
use crate::config::Config;
use crate::shutdown::{Shutdown, Tasks};
use crate::store::{self, Store};

/// How often to look how far it has come, and how often to say so.
const LOOK: Duration = Duration::from_millis(50);
const SAY: Duration = Duration::from_secs(1);

/// How long to wait before the store is asked again to make its tables or indexes.
const PREPARE_AGAIN: Duration = Duration::from_secs(2);

/// Stores what the journal of a folder holds.
pub(super) async fn run(
    dir: &Path,
    config: &Config,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let inspection = journal_in(dir)?;
    anyhow::ensure!(
        !inspection.in_use(),
        "the journal in {dir:?} is in use by another process, which stores it by itself: nothing was \
         done"
    );
    let total = inspection.verdict()?;
    if total == 0 {
        writeln!(out, "everything in {} is stored: there is nothing to do", dir.display())?;
        return Ok(Outcome::Done);
    }
    let tasks = Tasks::default();
    let shutdown = Shutdown::on_signals(&tasks)?;
    let store::Stores { store, .. } = store::open(&config.mongo, &config.server.data_dir).await?;
    let operations = counted(total, "operation");
    writeln!(out, "bringing {operations} of {} to {}", dir.display(), store.describe())?;
    let outcome = if is_prepared(&*store, &shutdown, out).await? {
        let drain = Drain { config, store: &store, folders: folders_of(dir)?, tasks, total };
        drain.run(&shutdown, out).await
    } else {
        writeln!(out, "stopped; nothing was stored, and nothing is lost")?;
        Ok(Outcome::Left)
    };
    store.close().await;
    outcome
}

/// The folders of the server whose journal this is.
fn folders_of(journal: &Path) -> io::Result<Folders> {
    let journal = match journal.file_name() {
        Some(_) => journal.to_owned(),
        // It is `.`, or ends with `..`.
        None => journal.canonicalize()?,
    };
    let data_dir = journal.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(Folders { journal, ..Folders::below(&data_dir) })
}

/// Waits until the store has its tables or indexes; `false` when told to stop meanwhile.
async fn is_prepared(
    store: &dyn Store,
    shutdown: &Shutdown,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let mut has_told = false;
    loop {
        let prepared = tokio::select! {
            prepared = store.prepare() => prepared,
            () = shutdown.soft.cancelled() => return Ok(false),
        };
        let Err(error) = prepared else { return Ok(true) };
        if !has_told {
            let error = one_line(&error.to_string());
            writeln!(out, "{error}; trying again until it does (Ctrl-C stops, nothing is lost)")?;
            has_told = true;
        }
        if timeout(PREPARE_AGAIN, shutdown.soft.cancelled()).await.is_ok() {
            return Ok(false);
        }
    }
}

/// A journal on its way to the store.
struct Drain<'a> {
    config: &'a Config,
    store: &'a Arc<dyn Store>,
    folders: Folders,
    tasks: Tasks,
    /// How many ops are in the journal.
    total: u64,
}

impl Drain<'_> {
    async fn run(&self, shutdown: &Shutdown, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        // Nothing is accepted, so nothing is told to anybody.
        let (deliveries, _nobody) = mpsc::channel(1);
        // Nodes may be at work beside this.
        let history = Some(History::away());
        let buffer = buffer::Config { history, ..self.config.buffer.clone() };
        let buffer = Buffer::start(
            &buffer,
            Arc::clone(self.store),
            Arc::new(SystemClock),
            deliveries,
            self.folders.clone(),
            &self.tasks,
            &mut Registry::default(),
        )?;
        buffer.refuse();
        tokio::select! {
            told = self.tell_until_settled(&buffer, out) => told?,
            () = shutdown.soft.cancelled() => {}
            () = self.tasks.failed() => {
                anyhow::bail!("a part of the write path has crashed; its panic is in the log")
            }
        }
        tokio::select! {
            _ = buffer.close() => {}
            () = shutdown.hard.cancelled() => {
                writeln!(out, "stopped at once; what is not stored is in the journal")?;
                return Ok(Outcome::Left);
            }
        }
        self.tell_end(buffer.stats().dead_letters, out)
    }

    async fn tell_until_settled(&self, buffer: &Buffer, out: &mut dyn Write) -> io::Result<()> {
        let (mut last, mut said_at, mut was_away, mut waits) = (0, Instant::now(), false, false);
        loop {
            let stats = buffer.stats();
            let left = stats.current_buffer_size as u64;
            if buffer.unsettled() == 0 {
                return Ok(());
            }
            let is_away = !buffer.store_answers();
            if is_away && !was_away {
                writeln!(
                    out,
                    "the store does not answer; trying again until it does (Ctrl-C stops, nothing is \
                     lost)"
                )?;
            }
            was_away = is_away;
            let done = self.total.saturating_sub(left);
            if done > last && left > 0 && said_at.elapsed() >= SAY {
                writeln!(out, "{done} of {} stored", self.total)?;
                (last, said_at) = (done, Instant::now());
            }
            if left == 0 && stats.unindexed == 0 && !waits && said_at.elapsed() >= SAY {
                writeln!(
                    out,
                    "changes wait for their messages, which are not stored, for a while"
                )?;
                waits = true;
            }
            sleep(LOOK).await;
        }
    }

    /// Reads in the journal itself what is left, as a start would.
    fn tell_end(&self, dead_letters: u64, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let Folders { journal, dead_letters: folder } = &self.folders;
        let left = Inspection::open(journal)?.verdict().context("the journal after all this")?;
        let total = self.total;
        if left > 0 {
            let done = total.saturating_sub(left);
            writeln!(out, "stopped: {done} of {total} stored, {left} still in the journal")?;
            return Ok(Outcome::Left);
        }
        let stored = total.saturating_sub(dead_letters);
        writeln!(out, "{stored} of {total} stored; the journal is empty")?;
        if dead_letters > 0 {
            let letters = counted(dead_letters, "dead letter");
            let data_dir = folder.parent().unwrap_or(Path::new("")).display();
            writeln!(
                out,
                "{letters} in {}: see banter dead-letter list --data-dir {data_dir}",
                folder.display()
            )?;
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_belong_beside_the_journal_however_it_is_named() {
        let letters = |dir: &str| folders_of(Path::new(dir)).unwrap().dead_letters;
        assert_eq!(letters("/srv/data/journal"), Path::new("/srv/data/dead-letter"));
        assert_eq!(letters("/srv/data/journal/"), Path::new("/srv/data/dead-letter"));
        assert_eq!(letters("journal"), Path::new("dead-letter"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(letters("."), here.parent().unwrap().join("dead-letter"));
    }
}
