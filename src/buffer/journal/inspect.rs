//! Looking at a journal: what is in it, and whether a server would start on it. Nothing is changed
//! or locked, so a server may write at the same time; and whatever bytes are there, they are told.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint};
use super::fs::{Fs, RealFs};
use super::recovery::op_of;
use super::segment::{self, Scan, Tail};
use super::views::ReadOnly;
use super::{Journal, Limits, OpenError, SyncMode, repair};
use crate::buffer::Sequence;
use crate::buffer::codec::Kind;
use crate::buffer::dead_letter::{concerns, date};

/// A server may remove and begin segments between two looks at its folder: what seems wrong is
/// looked at so often.
const LOOKS_WHILE_IN_USE: usize = 3;

/// A journal's folder, to be looked at.
pub struct Inspection {
    fs: Arc<dyn Fs>,
    limits: Limits,
    in_use: bool,
}

/// What the checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointReport {
    /// Up to which number everything is stored, and the latest time of any message by then.
    At {
        /// The number; 0 when nothing is stored yet.
        sequence: Sequence,
        /// The time; none before the first message.
        floor: Option<jiff::Timestamp>,
    },
    /// It can't be read, and why.
    Unreadable(String),
    /// There is none.
    Absent,
}

/// A part of a journal, in order.
#[derive(Debug)]
pub enum Part {
    /// A segment.
    Segment(SegmentReport),
    /// Records that must be here and are in no file.
    Missing {
        /// The first one's number.
        first: Sequence,
        /// The last one's; unknown behind the last segment.
        last: Option<Sequence>,
    },
}

/// One segment.
#[derive(Debug)]
pub struct SegmentReport {
    /// Its file's name.
    pub file: String,
    /// The number of its first record.
    pub first: Sequence,
    /// The number of the last record that can be reached from the first one; one less than that
    /// when there is none.
    pub last: Sequence,
    /// Whole records, also behind damage.
    pub records: u64,
    /// Of these, behind damage.
    pub behind: u64,
    /// Of all, not known to be stored.
    pub unstored: u64,
    /// The file's length; what is reserved counts.
    pub bytes: u64,
    /// How it is.
    pub state: SegmentState,
    /// It lies before the checkpoint: a start removes it without a look.
    pub is_obsolete: bool,
    content: Vec<u8>,
}

/// How a segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentState {
    /// All records are there, and it may go on.
    Whole,
    /// All records are there, and another segment follows.
    Sealed,
    /// A crash has cut its last record short; a start cuts it off.
    Torn {
        /// Where in the file.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is not as it was written.
    Damaged {
        /// Where in the file.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It can't be read, and why.
    Unreadable(String),
}

/// One record, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordReport {
    /// Its number.
    pub sequence: Sequence,
    /// What it is, in a word.
    pub kind: String,
    /// The id of the message or group that it concerns, or why that can't be said.
    pub concerns: Result<String, String>,
    /// Its length in the file.
    pub bytes: usize,
}

impl Inspection {
    /// Looks at a folder.
    ///
    /// # Errors
    /// It is not there, or can't be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let in_use = RealFs::is_locked(folder)?;
        let inspection = Self::on(Arc::new(RealFs::unlocked(folder)), Limits::default(), in_use);
        inspection.fs.list()?;
        Ok(inspection)
    }

    pub(super) fn on(fs: Arc<dyn Fs>, limits: Limits, in_use: bool) -> Self {
        Self { fs: Arc::new(ReadOnly(fs)), limits, in_use }
    }

    /// Whether a process has it, so that what is told may be past.
    pub fn in_use(&self) -> bool {
        self.in_use
    }

    /// Whether there is anything of a journal.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn is_journal(&self) -> io::Result<bool> {
        let names = self.fs.list()?;
        let has =
            |name: &String| name == checkpoint::FILE_NAME || segment::first_of(name).is_some();
        Ok(names.iter().any(has) || repair::is_under_way(&names))
    }

    /// What the checkpoint says.
    pub fn checkpoint(&self) -> CheckpointReport {
        match self.fs.read(checkpoint::FILE_NAME, checkpoint::FILE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => CheckpointReport::Absent,
            Err(error) => CheckpointReport::Unreadable(error.to_string()),
            Ok(bytes) => match checkpoint::read(&bytes) {
                Some(value) => CheckpointReport::of(value),
                None => CheckpointReport::Unreadable(checkpoint::NOT_WHOLE.to_owned()),
            },
        }
    }

    /// Segments and what is missing between them, in order. Each file is read when its turn comes.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn parts(&self) -> io::Result<impl Iterator<Item = Part>> {
        let firsts = segment::firsts_of(&self.fs.list()?);
        let stored = match self.checkpoint() {
            CheckpointReport::At { sequence, .. } => Some(sequence),
            CheckpointReport::Absent if firsts.first() == Some(&1) => Some(0),
            _ => None,
        };
        let lead = stored.map(|stored| stored + 1).and_then(|wanted| match firsts.first() {
            Some(first) if *first <= wanted => None,
            first => Some(Part::Missing { first: wanted, last: first.map(|first| first - 1) }),
        });
        let nexts: Vec<_> = firsts.iter().skip(1).copied().map(Some).chain([None]).collect();
        let parts = firsts.into_iter().zip(nexts).flat_map(move |(first, next)| {
            let segment = self.segment(first, next, stored);
            let gap = segment.gap(next);
            [Some(Part::Segment(segment)), gap].into_iter().flatten()
        });
        Ok(lead.into_iter().chain(parts))
    }

    /// What crashes have torn and starts have kept: the files' names.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn torn_files(&self) -> io::Result<Vec<String>> {
        let mut names = self.fs.list()?;
        names.retain(|name| name.starts_with("torn-"));
        names.sort();
        Ok(names)
    }

    /// Whether a server would start on it, and how many ops it would find there to be stored.
    ///
    /// # Errors
    /// Why it would not, in the words in which the start is refused.
    pub fn verdict(&self) -> anyhow::Result<u64> {
        let mut verdict = self.try_open();
        for _ in 1..LOOKS_WHILE_IN_USE {
            if verdict.is_ok() || !self.in_use {
                break;
            }
            verdict = self.try_open();
        }
        Ok(verdict?)
    }

    pub(super) fn try_open(&self) -> Result<u64, OpenError> {
        let (fs, limits) = (Arc::clone(&self.fs), self.limits.clone());
        let (_, recovered) = Journal::open(fs, limits, SyncMode::Always)?;
        Ok(recovered.ops.len() as u64)
    }

    fn segment(
        &self,
        first: Sequence,
        next: Option<Sequence>,
        stored: Option<Sequence>,
    ) -> SegmentReport {
        let file = segment::name(first);
        let is_obsolete = next.zip(stored).is_some_and(|(next, stored)| next <= stored + 1);
        let mut report = SegmentReport {
            file,
            first,
            last: first - 1,
            records: 0,
            behind: 0,
            unstored: 0,
            bytes: 0,
            state: SegmentState::Whole,
            is_obsolete,
            content: Vec::new(),
        };
        match self.fs.read(&report.file, self.limits.longest_segment()) {
            Ok(bytes) => report.fill(bytes, next, stored.unwrap_or(0)),
            Err(error) => report.state = SegmentState::Unreadable(error.to_string()),
        }
        report
    }
}

impl CheckpointReport {
    fn of(value: Checkpoint) -> Self {
        let floor = Some(value.floor).filter(|floor| *floor > Checkpoint::START.floor).map(date);
        Self::At { sequence: value.sequence, floor }
    }
}

impl SegmentReport {
    fn fill(&mut self, bytes: Vec<u8>, next: Option<Sequence>, stored: Sequence) {
        self.bytes = bytes.len() as u64;
        let (mut wrong, mut at) = (None, segment::HEADER_BYTES);
        let scan = segment::scan(&bytes, self.first, |record| {
            if wrong.is_none() {
                wrong = op_of(&record).err().map(|reason| (at, reason));
            }
            at += record.len();
        });
        self.state = match scan {
            Err(reason) => SegmentState::Damaged { at: 0, reason: reason.to_owned() },
            Ok(scan) => {
                self.last = scan.last;
                let state = state_of(&scan, next);
                wrong.map_or(state, |(at, reason)| SegmentState::Damaged { at, reason })
            }
        };
        // What a start cuts off was never acknowledged.
        let counts = !matches!(self.state, SegmentState::Torn { .. });
        for (_, record) in segment::whole_records(&bytes, self.first).into_iter().flatten() {
            if record.kind == segment::SEAL {
                continue;
            }
            let is_behind = record.sequence > self.last;
            self.records += 1;
            self.behind += u64::from(is_behind);
            self.unstored += u64::from(record.sequence > stored && (counts || !is_behind));
        }
        self.content = bytes;
    }

    /// What is missing behind it.
    fn gap(&self, next: Option<Sequence>) -> Option<Part> {
        let first = self.last + 1;
        let last = next.map(|next| next - 1);
        let is_gap = match self.state {
            SegmentState::Whole => last.is_some_and(|last| first <= last),
            SegmentState::Sealed => last.is_none_or(|last| first <= last),
            _ => false,
        };
        (is_gap && !self.is_obsolete).then_some(Part::Missing { first, last })
    }

    /// Its whole records, also behind damage.
    pub fn records(&self) -> impl Iterator<Item = RecordReport> {
        let records = segment::whole_records(&self.content, self.first).into_iter().flatten();
        records.filter(|(_, record)| record.kind != segment::SEAL).map(|(_, record)| {
            let kind = Kind::from_code(record.kind);
            RecordReport {
                sequence: record.sequence,
                kind: kind.map_or_else(|| format!("kind {}", record.kind), |k| k.name().to_owned()),
                concerns: op_of(&record).map(|op| concerns(&op)),
                bytes: record.len(),
            }
        })
    }
}

/// How a segment is that reads like this. Another one that goes on where it ends vouches for its
/// end.
fn state_of(scan: &Scan, next: Option<Sequence>) -> SegmentState {
    let (at, end) = (scan.end, scan.last + 1);
    let damaged = |reason: &str| SegmentState::Damaged { at, reason: reason.to_owned() };
    match scan.tail {
        Tail::Damaged(reason) => damaged(reason),
        Tail::Sealed if next.is_none_or(|next| end <= next) => SegmentState::Sealed,
        Tail::Torn(reason) if next.is_none() => {
            SegmentState::Torn { at, reason: reason.to_owned() }
        }
        _ if next == Some(end) => SegmentState::Whole,
        Tail::Torn(reason) => damaged(reason),
        _ if next.is_none_or(|next| end <= next) => SegmentState::Whole,
        _ => damaged(segment::OVERLAPS),
    }
}
