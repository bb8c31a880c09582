//! Reading a journal again: at the start, and for people who look at one.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint, CheckpointFile};
use super::fs::{self, Fs};
use super::record::Record;
use super::segment::{self, Active, Scan, Tail};
use super::{Journal, Limits, OpenError, Sealed, SyncMode, repair};
use crate::buffer::Sequence;
use crate::buffer::codec::{self, Kind};
use crate::model::{Message, Op, Timestamp};

/// What a start found.
#[derive(Debug, Default)]
pub(in crate::buffer) struct Recovered {
    /// The ops behind the checkpoint, in order, the first one numbered one more than it.
    pub(in crate::buffer) ops: Vec<Arc<Op>>,
    /// Messages with a client id before the checkpoint, as far as their segment is still there.
    pub(in crate::buffer) stored: Vec<Arc<Message>>,
    /// The latest time of any message that the journal knows of.
    pub(in crate::buffer) floor: Option<Timestamp>,
    /// The file that holds what was cut off, and why it was.
    pub(in crate::buffer) torn: Option<(String, &'static str)>,
}

impl Journal {
    /// Opens the journal of a folder, and makes one where there is none.
    pub(in crate::buffer) fn open(
        fs: Arc<dyn Fs>,
        limits: Limits,
        mode: SyncMode,
    ) -> Result<(Self, Recovered), OpenError> {
        let recovery = Recovery { fs: &*fs, limits: &limits };
        recovery.expect_no_repair()?;
        let firsts = recovery.segments()?;
        let (checkpoint, sealed, active, recovered) = match firsts.split_last() {
            None => recovery.begin()?,
            Some((newest, earlier)) => recovery.go_on(earlier, *newest)?,
        };
        let last = checkpoint.value().sequence + recovered.ops.len() as Sequence;
        let journal = Self {
            limits: limits.clone(),
            mode,
            sealed,
            active,
            last,
            checkpoint,
            unsynced_since: None,
            has_failed: false,
            scratch: Vec::new(),
            fs,
        };
        Ok((journal, recovered))
    }
}

/// The parts of a journal, and what was in it.
type Opened = (CheckpointFile, VecDeque<Sealed>, Active, Recovered);

struct Recovery<'a> {
    fs: &'a dyn Fs,
    limits: &'a Limits,
}

/// What was read, in the order in which it was written.
struct Read {
    recovered: Recovered,
    after: Sequence,
}

impl Read {
    /// Takes a record's op; why it is none otherwise.
    fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        let op = op_of(record)?;
        self.recovered.floor = self.recovered.floor.max(time_of(&op));
        match op {
            op if record.sequence > self.after => self.recovered.ops.push(Arc::new(op)),
            Op::Send(message) if message.client_id.is_some() => self.recovered.stored.push(message),
            _ => {}
        }
        Ok(())
    }
}

/// A record's op; why it is none otherwise.
pub(super) fn op_of(record: &Record<'_>) -> Result<Op, String> {
    let Record { sequence, kind, .. } = *record;
    let known = Kind::from_code(kind).ok_or_else(|| {
        format!("record {sequence} is of kind {kind}, which only a newer version knows")
    })?;
    codec::decode(known, record.body).map_err(|error| format!("record {sequence}: {error}"))
}

/// The time of a new message.
pub(in crate::buffer) fn time_of(op: &Op) -> Option<Timestamp> {
    match op {
        Op::Send(message) => Some(message.timestamp),
        _ => None,
    }
}

impl Recovery<'_> {
    /// Between the old journal and the mended one, a folder holds parts of both.
    fn expect_no_repair(&self) -> Result<(), OpenError> {
        let names = self.fs.list().map_err(self.io("list its files"))?;
        if repair::is_under_way(&names) {
            return Err(OpenError::HalfRepaired { folder: self.folder() });
        }
        Ok(())
    }

    /// The numbers with which segments begin, in order.
    fn segments(&self) -> Result<Vec<Sequence>, OpenError> {
        let names = self.fs.list().map_err(self.io("list its files"))?;
        Ok(segment::firsts_of(&names))
    }

    /// A journal in a folder without segments. The first segment is made before the checkpoint, so
    /// a checkpoint without one means that somebody has taken it away.
    fn begin(&self) -> Result<Opened, OpenError> {
        if self.has_checkpoint()? {
            let first = self.read_checkpoint()?.value().sequence + 1;
            return Err(self.missing(first, first));
        }
        let made = Active::create(self.fs, 1)
            .and_then(|active| Ok((CheckpointFile::create(self.fs, Checkpoint::START)?, active)));
        let (checkpoint, active) = made.map_err(self.io("make its first files"))?;
        Ok((checkpoint, VecDeque::new(), active, Recovered::default()))
    }

    fn go_on(&self, earlier: &[Sequence], newest: Sequence) -> Result<Opened, OpenError> {
        // The names that were read may be in the system's memory alone, as contents may.
        self.fs.sync_dir().map_err(self.io("sync its folder"))?;
        let oldest = earlier.first().copied().unwrap_or(newest);
        let checkpoint = self.open_checkpoint(oldest)?;
        let value = checkpoint.value();
        // A crash may have undone the removal of some segments, and not of those behind them.
        let is_stored = |next: &Sequence| *next <= value.sequence + 1;
        let stored = earlier.iter().skip(1).chain([&newest]).take_while(|next| is_stored(next));
        let (stored, earlier) = earlier.split_at(stored.count().min(earlier.len()));
        self.remove(stored)?;

        let floor = Some(value.floor);
        let recovered = Recovered { floor, ..Recovered::default() };
        let mut read = Read { recovered, after: value.sequence };
        let first = earlier.first().copied().unwrap_or(newest);
        if !is_stored(&first) {
            return Err(self.missing(value.sequence + 1, first - 1));
        }
        let mut sealed = VecDeque::new();
        let follows = earlier.iter().skip(1).chain([&newest]);
        for (first, next) in earlier.iter().zip(follows) {
            sealed.push_back(self.earlier_segment(*first, *next, &mut read)?);
        }
        let active = self.last_segment(newest, &mut read)?;
        Ok((checkpoint, sealed, active, read.recovered))
    }

    /// Reads a segment that another one, which begins with `next`, follows. A crash may have torn
    /// its seal, and nothing else.
    fn earlier_segment(
        &self,
        first: Sequence,
        next: Sequence,
        read: &mut Read,
    ) -> Result<Sealed, OpenError> {
        let (scan, bytes) = self.scan(first, read)?;
        let damaged = |reason: &str| self.damaged(&segment::name(first), scan.end, reason.into());
        match scan.tail {
            Tail::Damaged(reason) => Err(damaged(reason)),
            _ if scan.last + 1 == next => {
                Ok(Sealed { first, last: scan.last, bytes: bytes.len() as u64 })
            }
            Tail::Torn(reason) => Err(damaged(reason)),
            _ if scan.last + 1 < next => Err(self.missing(scan.last + 1, next - 1)),
            _ => Err(damaged(segment::OVERLAPS)),
        }
    }

    /// Reads the last segment, cuts off what a crash has torn, and goes on in it.
    fn last_segment(&self, first: Sequence, read: &mut Read) -> Result<Active, OpenError> {
        let name = segment::name(first);
        let (scan, bytes) = self.scan(first, read)?;
        match scan.tail {
            Tail::Open => {}
            Tail::Torn(reason) => {
                read.recovered.torn = Some((self.keep_torn(first, &bytes[scan.end..]), reason));
            }
            Tail::Damaged(reason) => {
                return Err(self.damaged(&name, scan.end, reason.to_owned()));
            }
            Tail::Sealed => return Err(self.missing(scan.last + 1, scan.last + 1)),
        }
        if scan.last < read.after {
            // Without a sync per group, the machine's crash can take records that are stored
            // already.
            return Active::create(self.fs, read.after + 1)
                .and_then(|active| self.fs.remove(&name).map(|()| active))
                .map_err(self.io("begin a segment"));
        }
        Active::reopen(self.fs, first, &scan, &bytes).map_err(self.io("go on in its last segment"))
    }

    fn scan(&self, first: Sequence, read: &mut Read) -> Result<(Scan, Vec<u8>), OpenError> {
        let name = segment::name(first);
        let bytes = self.fs.read(&name, self.limits.longest_segment());
        let bytes = bytes.map_err(self.io("read a segment"))?;
        let (mut wrong, mut at) = (None, segment::HEADER_BYTES);
        let scan = segment::scan(&bytes, first, |record| {
            if wrong.is_none() {
                wrong = read.take(&record).err().map(|reason| (at, reason));
            }
            at += record.len();
        });
        let scan = scan.map_err(|reason| self.damaged(&name, 0, reason.to_owned()))?;
        match wrong {
            Some((offset, reason)) => Err(self.damaged(&name, offset, reason)),
            None => Ok((scan, bytes)),
        }
    }

    /// Keeps what is cut off a segment, for people. It was never acknowledged, so a disk without
    /// room for it does not stop the start. The answer is for people, too.
    fn keep_torn(&self, first: Sequence, rest: &[u8]) -> String {
        let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let name = format!("torn-{first:020}-{:08x}", crc32c::crc32c(&rest[..written]));
        let kept = self.fs.create(&name).and_then(|mut file| {
            file.write_at(&rest[..written], 0)?;
            file.sync()
        });
        match kept {
            Ok(()) => name,
            Err(error) => format!("no file: {error}"),
        }
    }

    /// The checkpoint. It is made after the first segment, so that one may be missing beside it.
    fn open_checkpoint(&self, oldest: Sequence) -> Result<CheckpointFile, OpenError> {
        if self.has_checkpoint()? {
            return self.read_checkpoint();
        }
        if oldest == 1 {
            return CheckpointFile::create(self.fs, Checkpoint::START)
                .map_err(self.io("make its checkpoint"));
        }
        Err(self.damaged(checkpoint::FILE_NAME, 0, "it is not there".to_owned()))
    }

    fn has_checkpoint(&self) -> Result<bool, OpenError> {
        let names = self.fs.list().map_err(self.io("list its files"))?;
        Ok(names.iter().any(|name| name == checkpoint::FILE_NAME))
    }

    fn read_checkpoint(&self) -> Result<CheckpointFile, OpenError> {
        let bytes = self.fs.read(checkpoint::FILE_NAME, checkpoint::FILE_BYTES);
        let bytes = bytes.map_err(self.io("read its checkpoint"))?;
        let file = CheckpointFile::open(self.fs, &bytes).map_err(self.io("open its checkpoint"))?;
        let reason = checkpoint::NOT_WHOLE.to_owned();
        file.ok_or_else(|| self.damaged(checkpoint::FILE_NAME, 0, reason))
    }

    fn remove(&self, firsts: &[Sequence]) -> Result<(), OpenError> {
        let removing = firsts.iter().try_for_each(|first| self.fs.remove(&segment::name(*first)));
        removing.map_err(self.io("remove segments that are stored"))
    }

    fn missing(&self, first: Sequence, last: Sequence) -> OpenError {
        OpenError::Missing { folder: self.folder(), first, last }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.fs.path().to_owned()
    }

    fn damaged(&self, file: &str, offset: usize, reason: String) -> OpenError {
        OpenError::Damaged { file: self.fs.path().join(file), offset, reason }
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> OpenError {
        let folder = self.folder();
        move |error| OpenError::Io { folder: folder.clone(), doing, error }
    }
}

impl OpenError {
    /// Why a folder can't be used.
    pub(in crate::buffer) fn of(error: fs::OpenError, folder: &std::path::Path) -> Self {
        let folder = folder.to_owned();
        match error {
            fs::OpenError::Locked => Self::Locked { folder },
            fs::OpenError::Io(error) => Self::Io { folder, doing: "open its folder", error },
        }
    }
}
