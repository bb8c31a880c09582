//! Dead letters: ops that the store will never take, kept on disk for a person to look at, and to
//! be tried again once the cause is mended.
//!
//! A file each, `<sequence, 20 digits>-<id of what the op concerns>.json`:
//!
//! ```text
//! {
//!   "sequence": 7,                       its place in the order of everything accepted
//!   "reason": "...",                     what the store said when it last refused
//!   "at": "2026-01-02T03:04:05.678Z",    when that was
//!   "request": "...",                    for which request or event, where that is known
//!   "kind": "send", "op": {...}          the op, as `codec` writes it
//! }
//! ```
//!
//! A letter is in its folder whole and durable, or not at all: it is written under a hidden name,
//! synced, renamed, and the folder is synced. What a crash leaves behind stays hidden; nobody reads
//! it.
//!
//! The files are also what lets `banter dead-letter retry` run beside a server. The server only
//! adds letters; a retry takes away, or replaces, only files that it has read. Should both bring
//! the same op to the store (the server's after a crash), it is stored once, as every op applied
//! twice is.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Sequence;
use super::codec::{Kind, from_json, to_json};
use super::fold::{Attempt, fold};
use crate::model::{Batch, Op, Timestamp};

/// The dot keeps files that are being written apart from every letter.
const HIDDEN: char = '.';

/// The folder of dead letters; made when the first one comes.
#[derive(Debug)]
pub struct DeadLetters(PathBuf);

impl DeadLetters {
    /// The letters of this folder, which need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// All files of the folder that are there to be read, in the order in which their ops were
    /// accepted. One may turn out to be no letter.
    ///
    /// # Errors
    /// The folder is there and can't be read.
    pub fn list(&self) -> io::Result<Vec<LetterFile>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let file = LetterFile(entry?.path());
            if !file.name().starts_with(HIDDEN) {
                files.push(file);
            }
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// Writes one op down. When it returns `Ok`, the letter survives a crash; after an error there
    /// is none, as far as the disk still obeys. The same op under the same number again replaces
    /// its letter.
    pub(super) async fn keep(
        &self,
        sequence: Sequence,
        reason: &str,
        at: Timestamp,
        op: &Op,
        request: Option<String>,
    ) -> io::Result<()> {
        let (reason, at, op) = (reason.to_owned(), date(at), op.clone());
        let letter = DeadLetter { sequence, reason, at, request, op };
        let folder = self.0.clone();
        let kept = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            place_for(&folder, &letter)?.replace(&letter)
        });
        kept.await.map_err(io::Error::other)?
    }
}

/// Where a letter belongs. Numbers may have begun anew since another letter got this one, so that
/// a file that holds anything else is left alone.
fn place_for(folder: &Path, letter: &DeadLetter) -> io::Result<LetterFile> {
    let stem = format!("{:020}-{}", letter.sequence, letter.concerns());
    let mut file = LetterFile(folder.join(format!("{stem}.json")));
    for number in 2_u64.. {
        match file.read() {
            Ok(there) if there.op == letter.op => break,
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) if error.kind() != ErrorKind::InvalidData => return Err(error),
            _ => file = LetterFile(folder.join(format!("{stem}-{number}.json"))),
        }
    }
    Ok(file)
}

/// A file among the dead letters.
#[derive(Debug)]
pub struct LetterFile(PathBuf);

impl LetterFile {
    /// Its name, without the folder.
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`]: it is no letter. [`ErrorKind::NotFound`]: it is gone by now.
    pub fn read(&self) -> io::Result<DeadLetter> {
        DeadLetter::from_json(&fs::read(&self.0)?)
    }

    /// Puts a letter into its place, durably. After an error the old one is still there, where
    /// there was one, and nothing of the new one.
    pub fn replace(&self, letter: &DeadLetter) -> io::Result<()> {
        let part = self.0.with_file_name(format!("{HIDDEN}{}", Uuid::new_v4()));
        let replaced = write(&part, &letter.to_json()?).and_then(|()| fs::rename(&part, &self.0));
        if replaced.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&part);
        }
        replaced.and_then(|()| self.sync_folder())
    }

    /// Takes the letter away, durably; one that is gone already is no error.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.sync_folder()),
        }
    }

    /// A name comes and goes durably only once its folder is synced; the folder may be new itself,
    /// so the one around it is synced too.
    fn sync_folder(&self) -> io::Result<()> {
        for folder in self.0.ancestors().skip(1).take(2) {
            let here = folder.as_os_str().is_empty();
            File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// An op that the store has refused, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    sequence: Sequence,
    /// What the store said.
    pub reason: String,
    /// When it said so.
    pub at: jiff::Timestamp,
    /// The id of the request, or of the socket's event, for which it was accepted, as the log names
    /// it; what comes from a journal has none.
    request: Option<String>,
    op: Op,
}

/// A letter in the shape in which it is written; the op is what [`to_json`] makes.
#[derive(Serialize, Deserialize)]
struct Written {
    sequence: Sequence,
    reason: String,
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(flatten)]
    op: Value,
}

impl DeadLetter {
    /// What the op is, in a word: `send`, `read`, `edit`, `delete`, `hide` or `purge_group`.
    pub fn kind(&self) -> &'static str {
        Kind::of(&self.op).name()
    }

    /// The id of what the op concerns: a message (of several that were read the first), or the
    /// group of a purge.
    pub fn concerns(&self) -> String {
        concerns(&self.op)
    }

    /// The id of the request for which the op was accepted, where that is known.
    pub fn request(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// The op as a batch of its own.
    pub fn batch(&self) -> Batch {
        fold(&[Arc::new(self.op.clone())], Attempt::Again).0
    }

    /// The letter of the same op after one more refusal.
    pub fn refused_again(self, reason: String, at: Timestamp) -> Self {
        Self { reason, at: date(at), ..self }
    }

    fn to_json(&self) -> io::Result<Vec<u8>> {
        let written = Written {
            sequence: self.sequence,
            reason: self.reason.clone(),
            at: self.at.to_string(),
            request: self.request.clone(),
            op: to_json(&self.op)?,
        };
        let mut text = serde_json::to_vec_pretty(&written)?;
        text.push(b'\n');
        Ok(text)
    }

    fn from_json(text: &[u8]) -> io::Result<Self> {
        let Written { sequence, reason, at, request, op } =
            serde_json::from_slice(text).map_err(no_letter)?;
        let at = at.parse().map_err(no_letter)?;
        Ok(Self { sequence, reason, at, request, op: from_json(op).map_err(no_letter)? })
    }
}

/// See [`DeadLetter::concerns`].
pub(super) fn concerns(op: &Op) -> String {
    match op {
        Op::Send(message) => message.id.to_string(),
        Op::Read { messages, up_to, .. } => messages.first().unwrap_or(&up_to.1).to_string(),
        Op::Deliver { messages, conversation } => match messages.first() {
            Some(message) => message.to_string(),
            None => format!("{conversation:?}"),
        },
        Op::Edit { message, .. }
        | Op::React { message, .. }
        | Op::Pin { message, .. }
        | Op::Delete { message, .. }
        | Op::Hide { message, .. } => message.to_string(),
        Op::PurgeGroup(group) => group.to_string(),
    }
}

fn no_letter(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// A time as people read it.
pub(super) fn date(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use tempfile::TempDir;

    use super::*;
    use crate::buffer::testing::{delete, edit, group_text, hide, id_of, read, sent, text};
    use crate::model::GroupId;

    const AT: Timestamp = Timestamp(1_767_323_045_678);

    fn letters() -> (TempDir, DeadLetters) {
        let directory = TempDir::new().expect("a directory");
        let letters = DeadLetters::new(directory.path().join("dead-letter"));
        (directory, letters)
    }

    fn names(letters: &DeadLetters) -> Vec<String> {
        letters.list().expect("listed").iter().map(LetterFile::name).collect()
    }

    /// Everything in the folder, hidden or not.
    fn everything(letters: &DeadLetters) -> Vec<OsString> {
        let entries = fs::read_dir(letters.folder()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name()).collect()
    }

    fn one_of_each_kind() -> Vec<Op> {
        let (group, sent) = (GroupId::mint(), text("a \"quote\"\nand a line"));
        let purge = Op::PurgeGroup(group);
        let changes = [edit(&sent, "b"), read(&sent, "bob"), hide(&sent, "bob"), delete(&sent)];
        [vec![sent, group_text(group, "c")], changes.to_vec(), vec![purge]].concat()
    }

    #[tokio::test]
    async fn each_letter_is_a_file_with_its_number_reason_time_and_op() {
        let (_directory, letters) = letters();
        let sent = text("naïve");
        letters.keep(7, "too strange", AT, &sent, None).await.expect("written");
        let name = format!("00000000000000000007-{}.json", id_of(&sent));
        assert_eq!(names(&letters), [&*name]);

        let written = fs::read_to_string(letters.folder().join(name)).expect("a file");
        assert!(
            written.starts_with("{\n  \"sequence\": 7,\n  \"reason\""),
            "for people: {written}"
        );
        let written: Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(written["reason"], "too strange");
        assert_eq!(written["at"], "2026-01-02T03:04:05.678Z");
        assert_eq!(written["kind"], "send");
        assert_eq!(written["op"]["content"], "naïve");
    }

    #[tokio::test]
    async fn every_kind_of_op_reads_back_and_is_listed_in_order() {
        let (_directory, letters) = letters();
        let ops = one_of_each_kind();
        // Numbers of one digit and of two: they are sorted as numbers.
        for (number, op) in ops.iter().enumerate().rev() {
            letters.keep(number as Sequence + 5, "no", AT, op, None).await.expect("written");
        }
        let files = letters.list().expect("listed");
        let read: Vec<_> = files.iter().map(|file| file.read().expect("a letter")).collect();
        assert_eq!(
            read.iter().map(|letter| &letter.op).collect::<Vec<_>>(),
            ops.iter().collect::<Vec<_>>()
        );
        assert_eq!(read[2].kind(), "edit");
        assert_eq!(read[2].concerns(), id_of(&ops[0]).to_string());
        let Op::PurgeGroup(group) = &ops[6] else { panic!("a purge") };
        assert_eq!((read[6].kind(), read[6].concerns()), ("purge_group", group.to_string()));
    }

    #[tokio::test]
    async fn a_letter_is_a_batch_of_its_own() {
        let (_directory, letters) = letters();
        let op = text("a");
        letters.keep(1, "no", AT, &op, None).await.expect("written");
        let letter = letters.list().expect("listed")[0].read().expect("a letter");
        let batch = letter.batch();
        assert_eq!((batch.len(), &*batch.inserts[0]), (1, sent(&op)));
    }

    #[tokio::test]
    async fn the_same_letter_again_replaces_it() {
        let (_directory, letters) = letters();
        let sent = text("a");
        letters.keep(1, "no", AT, &sent, None).await.expect("written");
        letters.keep(1, "still no", AT, &sent, None).await.expect("written again");
        let [file] = letters.list().expect("listed").try_into().expect("one file");
        assert_eq!(file.read().expect("a letter").reason, "still no");
    }

    #[tokio::test]
    async fn another_op_with_the_same_number_replaces_no_letter() {
        let (_directory, letters) = letters();
        let sent = text("a");
        let ops = [edit(&sent, "b"), edit(&sent, "c"), delete(&sent)];
        for op in ops.iter().chain(&ops) {
            letters.keep(1, "no", AT, op, None).await.expect("written");
        }
        assert_eq!(names(&letters).len(), 3, "{:?}", names(&letters));
    }

    #[tokio::test]
    async fn a_letter_can_be_replaced_and_removed() {
        let (_directory, letters) = letters();
        letters.keep(1, "no", AT, &text("a"), None).await.expect("written");
        let [file] = letters.list().expect("listed").try_into().expect("one file");
        let letter = file.read().expect("a letter").refused_again("never".to_owned(), Timestamp(0));
        file.replace(&letter).expect("replaced");
        let read = file.read().expect("a letter");
        assert_eq!((&*read.reason, read.at), ("never", jiff::Timestamp::UNIX_EPOCH));
        file.remove().expect("removed");
        file.remove().expect("gone already");
        assert!(everything(&letters).is_empty());
        assert_eq!(file.read().expect_err("gone").kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn nothing_half_written_is_taken_for_a_letter() {
        let (_directory, letters) = letters();
        assert!(names(&letters).is_empty(), "the folder need not be there");
        letters.keep(1, "no", AT, &text("a"), None).await.expect("written");
        let [file] = letters.list().expect("listed").try_into().expect("one file");
        let whole = fs::read(&file.0).expect("a file");
        fs::write(letters.folder().join(".left-by-a-crash"), &whole[..9]).expect("written");
        assert_eq!(names(&letters).len(), 1);
        // The last byte is the line's end.
        for cut in 0..whole.len() - 1 {
            fs::write(&file.0, &whole[..cut]).expect("written");
            assert_eq!(file.read().expect_err("cut").kind(), ErrorKind::InvalidData, "at {cut}");
        }
    }

    #[tokio::test]
    async fn a_letter_that_cannot_be_written_leaves_nothing() {
        let (directory, letters) = letters();
        let file = LetterFile(letters.folder().join("in-the-way.json"));
        letters.keep(1, "no", AT, &text("a"), None).await.expect("written");
        let letter = letters.list().expect("listed")[0].read().expect("a letter");
        fs::create_dir(&file.0).expect("a folder in the way");
        file.replace(&letter).expect_err("the name is taken");
        assert_eq!(everything(&letters).len(), 2, "{:?}", everything(&letters));

        let blocked = directory.path().join("file");
        fs::write(&blocked, "").expect("a file in the way");
        assert!(DeadLetters::new(blocked).keep(1, "no", AT, &text("a"), None).await.is_err());
    }
}
