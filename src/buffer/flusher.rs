//! The flusher: one task that brings committed ops to the store, in order, until each is stored.
//!
//! It takes a run of the oldest ops, folds it into a batch and applies that. Ops leave the ring
//! only when the store has confirmed them, so whatever goes wrong, the same ops come up again:
//!
//! - **Away** (transient): the same batch is sent again after a jittered pause, up to `MAX_RETRIES`
//!   times. Then the run is given up, and a new one begins where it began. When the breaker opens,
//!   the next one is its probe.
//! - **Wrongly set up** (configuration): nothing but an operator can help. The breaker opens at
//!   once.
//! - **Refused** (permanent): the run is bisected until the refused op stands alone; that becomes
//!   a dead letter, and the rest goes on.
//! - **Missing** (a change whose message is not there): see `deferred.rs`.

mod log;
mod retrying;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::batch::BatchSizer;
use super::breaker::Breaker;
use super::cached::Cached;
use super::dead_letter::DeadLetters;
use super::deferred::Deferred;
use super::fold::{Attempt, fold};
use super::late::{LATE, Late};
use super::pauses;
use super::shared::{Fate, Shared};
use super::{Config, Delivery, Sequence};
use crate::clock::Clock;
use crate::correlation::RequestId;
use crate::model::{Batch, Op};
use crate::store::{Applied, Result, Store, StoreError};

/// The most that one batch weighs: half of what a BSON document may hold, because a store may
/// send many updates as one command, with its own fields around each.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A call that takes longer counts as failed, so that a connection which hangs can't hold up the
/// buffer for ever. It is far above what a loaded database takes: until then, waiting is better
/// than asking twice.
const APPLY_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Flusher {
    shared: Arc<Shared>,
    cached: Option<Arc<Cached>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sizer: BatchSizer,
    breaker: Breaker,
    dead_letters: DeadLetters,
    deferred: Deferred,
    late: Late,
    deliveries: mpsc::Sender<Delivery>,
    max_retries: u32,
    /// The newest op of which any part may be in the store already.
    attempted: Sequence,
    /// Whether another node may have stored a message that is stored here.
    is_shared: bool,
    /// The newest op that the journal held at the start: all up to it are late.
    recovered: Sequence,
    /// Whether the last run was given up: an outage is logged once, and its end.
    away: bool,
}

/// What the flusher does next.
enum Next {
    /// Write these.
    Write(Run),
    /// Look at the changes that wait for their messages.
    LookAtDeferred,
    /// Nothing more: the buffer is closed and empty.
    End,
}

/// Committed ops with consecutive numbers.
struct Run {
    first: Sequence,
    ops: Vec<Arc<Op>>,
}

impl Flusher {
    pub(super) fn new(
        config: &Config,
        shared: Arc<Shared>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        deliveries: mpsc::Sender<Delivery>,
        dead_letter_dir: PathBuf,
        cached: Option<Arc<Cached>>,
    ) -> Self {
        let observed = shared.metrics.breaker.clone();
        let attempted = shared.lock().ring.committed();
        let flusher = Self {
            sizer: BatchSizer::new(config.batch_size, config.flush_interval),
            breaker: Breaker::new(config.breaker_failures, config.breaker_open, observed),
            dead_letters: DeadLetters::new(dead_letter_dir),
            deferred: Deferred::default(),
            late: Late::default(),
            deliveries,
            max_retries: config.max_retries,
            // What a journal held may have been written before the crash.
            attempted,
            is_shared: config.is_shared,
            recovered: attempted,
            away: false,
            shared,
            cached,
            store,
            clock,
        };
        flusher.publish_size();
        flusher
    }

    /// Works until the buffer is closed.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _ended = shared.flusher_ended.clone().drop_guard();
        select! {
            () = self.work() => {}
            () = shared.abandoned.cancelled() => {}
        }
    }

    async fn work(&mut self) {
        let closing = self.shared.closing.clone();
        while self.permitted().await {
            let done = match self.next().await {
                Next::Write(run) => self.write(&run).await,
                Next::LookAtDeferred => self.retry_deferred().await,
                Next::End => return,
            };
            match done {
                Ok(()) => {
                    self.note_back();
                    self.tell_late().await;
                }
                Err(_) if closing.is_cancelled() => return,
                Err(error) => {
                    self.note_away(&error);
                    self.pause(pauses::jittered(pauses::LONGEST)).await;
                }
            }
        }
    }

    /// Waits while the breaker is open; `false` when the buffer is closed meanwhile.
    async fn permitted(&self) -> bool {
        while let Err(wait) = self.breaker.permit() {
            if self.shared.closing.is_cancelled() {
                return false;
            }
            self.pause(wait).await;
        }
        true
    }

    /// Sleeps, but not beyond the moment when the buffer is closed.
    async fn pause(&self, time: Duration) {
        select! {
            () = sleep(time) => {}
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// Waits for committed ops, and lingers for more of them as long as the sizer says; or for
    /// deferred changes to be due.
    async fn next(&self) -> Next {
        loop {
            let due = self.deferred.next_try();
            if due.is_some_and(|due| due <= Instant::now()) {
                return Next::LookAtDeferred;
            }
            let closing = self.shared.closing.is_cancelled();
            let is_awaited = self.shared.is_awaited();
            let linger = {
                let ring = &self.shared.lock().ring;
                let waiting = ring.flushable();
                let linger = self.sizer.linger(waiting, Instant::now(), is_awaited);
                let has_room = !self.deferred.is_full();
                if waiting > 0 && has_room && (closing || linger.is_zero()) {
                    let ops = ring.run(self.sizer.size(), MAX_BATCH_BYTES);
                    return Next::Write(Run { first: ring.flushed() + 1, ops });
                }
                if closing && ring.len() == 0 {
                    return Next::End;
                }
                (waiting > 0 && has_room).then_some(linger)
            };
            select! {
                () = self.shared.committed.notified() => {}
                () = self.shared.closing.cancelled(), if !closing => {}
                () = sleep(linger.unwrap_or_default()), if linger.is_some() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Brings a whole run to the store, or what of it the store takes before it goes away.
    async fn write(&mut self, run: &Run) -> Result<()> {
        let mut done = 0;
        let mut take = run.ops.len();
        while done < run.ops.len() {
            let first = run.first + done as Sequence;
            take = take.min(run.ops.len() - done);
            let again = self.is_shared || first <= self.attempted;
            let attempt = if again { Attempt::Again } else { Attempt::First };
            let (batch, ops) = fold(&run.ops[done..done + take], attempt);
            let last = first + ops as Sequence - 1;
            self.attempted = self.attempted.max(last);
            match self.apply(&batch, ops).await {
                Ok(applied) => {
                    let stored = &run.ops[done..done + ops];
                    self.defer(first, stored, &applied.missing);
                    if self.is_late(first) {
                        self.late.take(stored);
                    }
                    self.note_stored(first..=last);
                    self.shared.to_be_indexed(first, stored, batch).await;
                    self.shared.release(last, Fate::Stored);
                    done += ops;
                }
                Err(StoreError::Permanent(reason)) if ops == 1 => {
                    self.bury(first, &run.ops[done], &reason).await?;
                    done += 1;
                    // What was wrong is out: the rest may go in one piece.
                    take = run.ops.len();
                }
                Err(StoreError::Permanent(_)) => take = ops / 2,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether an op, the oldest that is held, was accepted long ago, or by a process before.
    fn is_late(&self, oldest: Sequence) -> bool {
        let accepted = self.shared.lock().ring.oldest();
        oldest <= self.recovered || accepted.is_some_and(|at| at.elapsed() >= LATE)
    }

    /// Once the store has caught up, tells whoever may have read it before that.
    async fn tell_late(&mut self) {
        let oldest = self.shared.lock().ring.flushed() + 1;
        if self.is_late(oldest) {
            return;
        }
        for dispatch in self.late.told() {
            // A fan-out that has ended has nobody to tell.
            let _ = self.deliveries.send(Delivery::of(dispatch)).await;
        }
    }

    /// Applies one batch, with retries as long as the store may come back and the breaker allows.
    async fn apply(&mut self, batch: &Batch, ops: usize) -> Result<Applied> {
        let mut pauses = pauses::between(self.max_retries);
        loop {
            let error = match self.attempt(batch, ops).await {
                Ok(applied) => return Ok(applied),
                Err(error) => error,
            };
            if !matches!(error, StoreError::Transient(_)) || self.breaker.permit().is_err() {
                return Err(error);
            }
            let Some(pause) = pauses.next() else { return Err(error) };
            sleep(pauses::jittered(pause)).await;
            self.shared.metrics.retries.inc();
        }
    }

    /// Calls the store once, and tells everybody who keeps accounts of it.
    async fn attempt(&mut self, batch: &Batch, ops: usize) -> Result<Applied> {
        let started = Instant::now();
        let call = timeout(APPLY_LIMIT, self.store.apply(batch)).map(|answer| {
            let late = |late| Err(late).context("no answer to a batch within the limit");
            answer.unwrap_or_else(|none| late(none).map_err(StoreError::Transient))
        });
        let outcome = Cached::around(self.cached.as_deref(), batch, call).await;
        let now = Instant::now();
        let metrics = &self.shared.metrics;
        match &outcome {
            Ok(_) => {
                self.breaker.answered();
                self.sizer.succeeded(ops, now - started, now);
                self.shared.lock().last_flush = Some(self.clock.now());
                metrics.succeeded.inc();
                metrics.flushed_ops.observe(ops as f64);
                metrics.flush_latency.observe((now - started).as_secs_f64());
            }
            Err(error) => {
                metrics.failed.inc();
                match error {
                    StoreError::Transient(_) => {
                        self.breaker.failed();
                        self.sizer.failed();
                    }
                    StoreError::Configuration(_) => self.breaker.trip(),
                    // A refusal is an answer: the store is there, and not overloaded.
                    StoreError::Permanent(_) => self.breaker.answered(),
                }
            }
        }
        self.publish_size();
        outcome
    }

    /// Puts a refused op where a person can find it. If that fails, the op stays in the ring.
    async fn bury(&self, sequence: Sequence, op: &Op, reason: &anyhow::Error) -> Result<()> {
        let request = self.shared.lock().ring.requests(sequence..=sequence).next();
        self.write_letter(sequence, op, reason, request).await?;
        self.shared.release(sequence, Fate::Refused);
        Ok(())
    }

    async fn write_letter(
        &self,
        sequence: Sequence,
        op: &Op,
        reason: &anyhow::Error,
        request: Option<RequestId>,
    ) -> Result<()> {
        let text = format!("{reason:#}");
        let (at, of) = (self.clock.now(), request.as_ref().map(RequestId::to_string));
        let kept = self.dead_letters.keep(sequence, &text, at, op, of).await;
        kept.context("a dead letter can't be written").map_err(StoreError::Transient)?;
        log::note_letter(sequence, &text, request.as_ref());
        self.shared.metrics.dead_letters.inc();
        Ok(())
    }

    fn publish_size(&self) {
        self.shared.metrics.batch_size.set(i64::try_from(self.sizer.size()).unwrap_or(i64::MAX));
    }
}
