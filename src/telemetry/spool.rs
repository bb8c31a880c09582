//! Writes lines of the log in a thread of its own: whoever logs waits for no disk and no reader.
//! What does not fit into the queue, or can't be written, is lost, and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for one output: a second of a busy server that logs a few lines a request.
const MAX_LINES: usize = 16_384;

/// Bytes that these may have: a client can make its lines long.
const MAX_BYTES: usize = 8 << 20;

/// About so many bytes are written at once.
const BATCH_BYTES: usize = 32 << 10;

/// How long the end of the process may be held up by what waits for one output.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How often a full queue is tried again then.
const TRY_AGAIN: Duration = Duration::from_millis(2);

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Output {
    Stdout,
    Access,
    Error,
    WebSocket,
}

impl Output {
    pub(super) const ALL: [Self; 4] = [Self::Stdout, Self::Access, Self::Error, Self::WebSocket];

    /// Its name in metrics; that of a file ends in `.log`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Access => "access",
            Self::Error => "error",
            Self::WebSocket => "websocket",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutputLabel {
    output: &'static str,
}

/// A process has one log, and it may be set up before there is a registry.
static LOST: LazyLock<Family<OutputLabel, Counter>> = LazyLock::new(|| {
    let lost = Family::default();
    for output in Output::ALL {
        drop(Family::get_or_create(&lost, &OutputLabel { output: output.name() }));
    }
    lost
});

/// Adds the log's figures to a registry.
pub(super) fn register(registry: &mut Registry) {
    registry.register(
        "banter_log_lines_lost",
        "Lines of the log that could not be written, or came faster than they could be",
        LOST.clone(),
    );
}

enum Job {
    Line(Vec<u8>),
    /// Everything before this is to be written; tells when it is.
    Flush(SyncSender<()>),
}

/// The way to one output's thread; clones lead to the same.
#[derive(Clone)]
pub(super) struct Spool {
    jobs: SyncSender<Job>,
    waiting_bytes: Arc<AtomicUsize>,
    lost: Counter,
}

impl Spool {
    /// Starts the thread. It ends with the process.
    pub(super) fn start(output: Output, to: impl Write + Send + 'static) -> io::Result<Self> {
        let label = OutputLabel { output: output.name() };
        Self::counting(LOST.get_or_create(&label).clone(), output, to)
    }

    fn counting(
        lost: Counter,
        output: Output,
        to: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(MAX_LINES);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let spool = Self { jobs, waiting_bytes: Arc::clone(&waiting_bytes), lost: lost.clone() };
        let run = move || write_all(&queue, &waiting_bytes, &lost, to);
        thread::Builder::new().name(format!("log {}", output.name())).spawn(run)?;
        Ok(spool)
    }

    fn put(&self, line: &[u8]) {
        let bytes = line.len();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_taken = waiting + bytes <= MAX_BYTES && {
            self.jobs.try_send(Job::Line(line.to_vec())).is_ok()
        };
        if !is_taken {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.inc();
        }
    }

    /// Waits until everything that was logged so far is written, at the most [`FLUSH_LIMIT`].
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_LIMIT;
        let (done, is_done) = sync_channel(1);
        let mut job = Job::Flush(done);
        while let Err(TrySendError::Full(back)) = self.jobs.try_send(job) {
            if Instant::now() >= deadline {
                return;
            }
            job = back;
            thread::sleep(TRY_AGAIN);
        }
        // Whether it is written or not, the process ends.
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// Writes what comes, as much at once as there is. Ends when nothing can come any more.
fn write_all(queue: &Receiver<Job>, waiting: &AtomicUsize, lost: &Counter, mut to: impl Write) {
    while let Ok(first) = queue.recv() {
        let (mut batch, mut lines, mut flushed) = (Vec::new(), 0, None);
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Line(line) => {
                    lines += 1;
                    batch.extend_from_slice(&line);
                }
                Job::Flush(done) => {
                    flushed = Some(done);
                    break;
                }
            }
            if batch.len() < BATCH_BYTES {
                next = queue.try_recv().ok();
            }
        }
        if to.write_all(&batch).and_then(|()| to.flush()).is_err() {
            lost.inc_by(lines);
        }
        waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        if let Some(done) = flushed {
            // Who asked may have stopped waiting.
            let _ = done.try_send(());
        }
    }
}

impl Write for Spool {
    /// `line` is a whole line: the formatter writes each at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Spool {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes on what is written, after it was let.
    struct Gate {
        let_through: Receiver<io::Result<()>>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.let_through.recv().unwrap()?;
            self.written.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Spool, Counter, SyncSender<io::Result<()>>, Receiver<Vec<u8>>) {
        let (open, let_through) = sync_channel(100_000);
        let (sender, written) = sync_channel(100_000);
        let (lost, gate) = (Counter::default(), Gate { let_through, written: sender });
        let spool = Spool::counting(lost.clone(), Output::Stdout, gate).unwrap();
        (spool, lost, open, written)
    }

    #[test]
    fn an_output_that_hangs_holds_nobody_up_and_what_is_lost_is_counted() {
        let (spool, lost, open, written) = gated();
        let more = 10_000;
        for n in 0..MAX_LINES + more {
            spool.put(format!("{n:06}\n").as_bytes());
        }
        // At the most a batch is on its way, and the rest waits.
        let (lost, batch) = (lost.get() as usize, BATCH_BYTES / 7 + 1);
        assert!((more - batch..=more).contains(&lost), "{lost}");
        drop((0..50_000).try_for_each(|_| open.try_send(Ok(()))));
        spool.flush();
        let all: Vec<u8> = written.try_iter().flatten().collect();
        let lines: Vec<_> = str::from_utf8(&all).unwrap().lines().collect();
        assert_eq!(lines.len(), MAX_LINES + more - lost);
        assert!(lines.is_sorted(), "in the order in which they were logged");
    }

    #[test]
    fn a_few_long_lines_do_not_fill_the_memory() {
        let (spool, lost, _open, _written) = gated();
        let long = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            spool.put(&long);
        }
        assert!(lost.get() >= 100 - 2 * (MAX_BYTES >> 20) as u64, "{}", lost.get());
        assert!(spool.waiting_bytes.load(Ordering::Relaxed) <= MAX_BYTES);
    }

    #[test]
    fn what_can_not_be_written_is_lost_and_the_next_line_is_tried() {
        let (mut spool, lost, open, written) = gated();
        open.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
        spool.write_all(b"one\n").unwrap();
        spool.flush();
        assert_eq!(lost.get(), 1);
        open.send(Ok(())).unwrap();
        spool.write_all(b"two\n").unwrap();
        spool.flush();
        assert_eq!(written.try_iter().collect::<Vec<_>>(), [b"two\n"]);
        assert_eq!(spool.waiting_bytes.load(Ordering::Relaxed), 0);
    }
}
