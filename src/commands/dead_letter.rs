//! `banter dead-letter`: looks at the writes that the store refused, and tries them again.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use anyhow::Context;

use super::{Outcome, counted, one_line};
use crate::buffer::{DeadLetters, Folders, LetterFile};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::store::{self, Applied, FenceCloser, Store, StoreError};

/// What the help of every command here ends with.
pub const AFTER_HELP: &str = "\
Settings come from where the server's do, and its flags work here too, before and after the
command (banter --help). DATA_DIR says where the letters are; MONGO_URL, MONGODB_NAME and
WRITE_CONCERN say which store takes them.";

/// Why a change is kept that the store has taken without a complaint.
const NOTHING_TO_CHANGE: &str = "a message that it changes is not stored, nor known to be deleted; \
    if that message's own letter is here, retry that first";

/// The commands of this family.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Show the dead letters: file, time, kind, what it concerns, and why the store refused it
    #[command(after_help = AFTER_HELP)]
    List,
    /// Bring dead letters to the store again, and remove those that it takes
    ///
    /// Each letter is a batch of its own, in the order in which they were accepted. A letter goes
    /// once the store has confirmed it. One that is refused again stays, with its new reason. When
    /// the store does not answer, the retry stops and what is left stays as it is.
    ///
    /// This is safe while a server runs, and can be cut off and run again: each letter is a file of
    /// its own, the server only adds files, and a write that reaches the store twice is stored
    /// once.
    ///
    /// The exit code is 0 when no letter is left of those that were asked for, else 1.
    #[command(after_help = AFTER_HELP, verbatim_doc_comment)]
    Retry {
        /// Names of letters, as `list` shows them; without any, all letters
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Does what was asked for.
///
/// # Errors
/// The letters can't be read, a name is no letter's, or the store can't be opened.
pub async fn run(
    command: &Command,
    config: &Config,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let letters = DeadLetters::new(Folders::below(&config.server.data_dir).dead_letters);
    match command {
        Command::List => list(&letters, out),
        Command::Retry { names } => {
            let files = chosen(&letters, names)?;
            if files.is_empty() {
                say_none(&letters, out)?;
                return Ok(Outcome::Done);
            }
            let store::Stores { store, .. } =
                store::open(&config.mongo, &config.server.data_dir).await?;
            writeln!(
                out,
                "trying {} on {}",
                counted(files.len() as u64, "letter"),
                store.describe()
            )?;
            let outcome = retry(&files, &store, &SystemClock, out).await;
            store.close().await;
            outcome
        }
    }
}

fn list(letters: &DeadLetters, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (mut count, mut others) = (0, 0);
    for file in all(letters)? {
        let name = one_line(&file.name());
        match file.read() {
            Ok(letter) => {
                let (at, kind, id) = (letter.at, letter.kind(), letter.concerns());
                writeln!(out, "{name}  {at}  {kind}  {id}  {}", one_line(&letter.reason))?;
                count += 1;
            }
            // A retry has just taken it away.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                writeln!(out, "{name}  can't be read as a letter: {error}")?;
                others += 1;
            }
        }
    }
    let folder = letters.folder().display();
    match (count, others) {
        (0, 0) => say_none(letters, out)?,
        (_, 0) => writeln!(out, "{} in {folder}", counted(count, "dead letter"))?,
        _ => {
            let (count, others) = (counted(count, "dead letter"), counted(others, "other file"));
            writeln!(out, "{count} and {others} in {folder}")?;
        }
    }
    Ok(Outcome::Done)
}

fn say_none(letters: &DeadLetters, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "no dead letters in {}", letters.folder().display())?;
    Ok(())
}

fn all(letters: &DeadLetters) -> anyhow::Result<Vec<LetterFile>> {
    letters.list().with_context(|| format!("{} can't be read", letters.folder().display()))
}

/// The letters of these names, or all. A name is compared with what is in the folder, never made
/// part of a path.
fn chosen(letters: &DeadLetters, names: &[String]) -> anyhow::Result<Vec<LetterFile>> {
    let mut files = all(letters)?;
    for name in names {
        let is_there = files.iter().any(|file| file.name() == *name);
        let folder = letters.folder().display();
        anyhow::ensure!(is_there, "there is no letter {name:?} in {folder}: nothing was retried");
    }
    files.retain(|file| names.is_empty() || names.contains(&file.name()));
    Ok(files)
}

/// Brings letters to the store, one after the other.
async fn retry(
    files: &[LetterFile],
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let (mut gone, fence) = (0, FenceCloser::new(Arc::clone(store)));
    for file in files {
        let name = one_line(&file.name());
        match retry_one(file, (&**store, &fence), clock).await.with_context(|| name.clone())? {
            Fate::Gone => {
                writeln!(out, "{name}  stored")?;
                gone += 1;
            }
            Fate::Stays(why) => writeln!(out, "{name}  stays: {}", one_line(&why))?,
            Fate::Stop(why) => {
                writeln!(out, "{name}  stopped here: {}", one_line(&why))?;
                break;
            }
        }
    }
    let left = files.len() - gone;
    writeln!(out, "{gone} stored, {left} left{}", if left > 0 { "; nothing is lost" } else { "" })?;
    Ok(if left == 0 { Outcome::Done } else { Outcome::Left })
}

/// What became of a letter.
enum Fate {
    /// The store has it, and the file is gone.
    Gone,
    /// It stays where it is.
    Stays(String),
    /// It stays, and there is no use in trying others.
    Stop(String),
}

/// # Errors
/// The file can't be removed or replaced; the letter is then as it was.
async fn retry_one(
    file: &LetterFile,
    (store, fence): (&dyn Store, &FenceCloser),
    clock: &dyn Clock,
) -> std::io::Result<Fate> {
    let letter = match file.read() {
        Ok(letter) => letter,
        // Another retry has stored it meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Fate::Gone),
        Err(error) => return Ok(Fate::Stays(format!("it can't be read as a letter: {error}"))),
    };
    // Nodes may be at work beside this, with a cache of what was there before.
    let applied = match fence.close().await {
        Ok(()) => store.apply(&letter.batch()).await,
        Err(error) => Err(error),
    };
    match refusal(applied) {
        Ok(None) => {
            file.remove()?;
            Ok(Fate::Gone)
        }
        Ok(Some(reason)) => {
            file.replace(&letter.refused_again(reason.clone(), clock.now()))?;
            Ok(Fate::Stays(reason))
        }
        Err(error) => Ok(Fate::Stop(error.to_string())),
    }
}

/// Why a letter stays after this answer of the store; `None` when it need not.
fn refusal(answer: store::Result<Applied>) -> store::Result<Option<String>> {
    match answer {
        Ok(applied) if applied.missing.is_empty() => Ok(None),
        Ok(_) => Ok(Some(NOTHING_TO_CHANGE.to_owned())),
        Err(StoreError::Permanent(reason)) => Ok(Some(format!("{reason:#}"))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::clock::MockClock;
    use crate::model::MessageId;
    use crate::store::sqlite::SqliteStore;

    const FIRST: &str = "00000000000000000001-65a000000000000000000001.json";
    const SECOND: &str = "00000000000000000002-65a000000000000000000002.json";

    /// Two letters from alice to bob, as a person might write them.
    fn two_letters() -> (TempDir, DeadLetters) {
        let folder = TempDir::new().unwrap();
        for (sequence, name) in [(1, FIRST), (2, SECOND)] {
            let id = json!({"$oid": format!("65a00000000000000000000{sequence}")});
            let op = json!({
                "id": id, "from": "alice", "to_user": "bob", "timestamp": sequence,
                "content": "hello", "content_type": "text", "status": "sent",
                "read_by": [], "deleted_for": [],
            });
            let letter = json!({
                "sequence": sequence, "reason": "no\nroom", "at": "2026-01-02T03:04:05Z",
                "kind": "send", "op": op,
            });
            fs::write(folder.path().join(name), letter.to_string()).unwrap();
        }
        let letters = DeadLetters::new(folder.path().to_owned());
        (folder, letters)
    }

    fn listed(letters: &DeadLetters) -> Vec<String> {
        let mut out = Vec::new();
        assert_eq!(list(letters, &mut out).unwrap(), Outcome::Done);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    /// Retries on an embedded store that has its tables, or not.
    async fn retried(letters: &DeadLetters, is_ready: bool) -> (Outcome, String) {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("banter.db")).unwrap();
        if is_ready {
            store.prepare().await.unwrap();
        }
        let mut out = Vec::new();
        let files = chosen(letters, &[]).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let outcome = retry(&files, &store, &MockClock::default(), &mut out).await.unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_letter_is_a_line_and_the_last_line_counts_them() {
        let (folder, letters) = two_letters();
        let lines = listed(&letters);
        let id = "65a000000000000000000001";
        assert_eq!(lines[0], format!("{FIRST}  2026-01-02T03:04:05Z  send  {id}  no\\nroom"));
        assert!(lines[1].starts_with(SECOND), "{lines:?}");
        assert_eq!(lines[2], format!("2 dead letters in {}", folder.path().display()));

        fs::write(folder.path().join(SECOND), "half a le").unwrap();
        let lines = listed(&letters);
        assert!(lines[1].contains("can't be read as a letter"), "{lines:?}");
        assert!(lines[2].starts_with("1 dead letter and 1 other file in "), "{lines:?}");
    }

    #[test]
    fn no_letters_are_said_to_be_none() {
        let letters = DeadLetters::new("no/such/folder".into());
        assert_eq!(listed(&letters), ["no dead letters in no/such/folder"]);
    }

    #[test]
    fn a_name_is_one_of_the_folders_own() {
        let (folder, letters) = two_letters();
        let inside = DeadLetters::new(folder.path().join("inside"));
        fs::create_dir(inside.folder()).unwrap();
        for outside in [format!("../{FIRST}"), folder.path().join(FIRST).display().to_string()] {
            let refused = chosen(&inside, &[outside]).unwrap_err().to_string();
            assert!(refused.contains("there is no letter"), "{refused}");
        }
        assert!(chosen(&letters, &[FIRST.to_owned(), "other".to_owned()]).is_err());
        let files = chosen(&letters, &[SECOND.to_owned()]).unwrap();
        assert_eq!(files.iter().map(LetterFile::name).collect::<Vec<_>>(), [SECOND]);
    }

    #[test]
    fn a_letter_goes_only_when_the_store_has_taken_all_of_it() {
        assert_eq!(refusal(Ok(Applied::default())).unwrap(), None);
        let missing = Applied { missing: vec![MessageId::mint()] };
        assert_eq!(refusal(Ok(missing)).unwrap().as_deref(), Some(NOTHING_TO_CHANGE));
        let refused = anyhow::anyhow!("inner").context("outer");
        let refused = refusal(Err(StoreError::Permanent(refused)));
        assert_eq!(refused.unwrap().as_deref(), Some("outer: inner"));
        assert!(refusal(Err(StoreError::Transient(anyhow::anyhow!("away")))).is_err());
    }

    #[tokio::test]
    async fn what_is_stored_is_removed_and_what_is_no_letter_stays() {
        let (folder, letters) = two_letters();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let (outcome, said) = retried(&letters, true).await;
        assert_eq!(outcome, Outcome::Left);
        assert!(said.ends_with("2 stored, 1 left; nothing is lost\n"), "{said}");
        assert_eq!(letters.list().unwrap().len(), 1);
        fs::remove_file(folder.path().join("notes.txt")).unwrap();
        assert_eq!(retried(&letters, true).await.0, Outcome::Done);
    }

    #[tokio::test]
    async fn a_store_that_takes_nothing_stops_the_retry_and_changes_no_letter() {
        let (folder, letters) = two_letters();
        let before = fs::read(folder.path().join(FIRST)).unwrap();
        let (outcome, said) = retried(&letters, false).await;
        assert_eq!(outcome, Outcome::Left);
        assert!(said.contains("stopped here") && said.contains("0 stored, 2 left"), "{said}");
        assert!(!said.contains(SECOND), "it is not even tried: {said}");
        assert_eq!(fs::read(folder.path().join(FIRST)).unwrap(), before);
    }
}
