//! Changes whose message is not stored yet: set aside, and tried again.

use std::slice;
use std::sync::Arc;

use anyhow::anyhow;
use tokio::time::Instant;

use super::Flusher;
use crate::buffer::Sequence;
use crate::buffer::deferred::Waiting;
use crate::buffer::fold::{Attempt, fold};
use crate::buffer::overlay::messages_of;
use crate::model::{MessageId, Op};
use crate::store::{Result, StoreError};

impl Flusher {
    /// Keeps those of a run's ops that are about missing messages, and forgets older ones whose
    /// group the run has emptied.
    pub(super) fn defer(&mut self, first: Sequence, run: &[Arc<Op>], missing: &[MessageId]) {
        for op in run {
            if let Op::PurgeGroup(group) = **op {
                self.deferred.forget_group(group);
            }
        }
        let taken = self.deferred.take(first, run, missing, Instant::now());
        if !taken.is_empty() {
            let state = &mut *self.shared.lock();
            taken.iter().for_each(|op| state.pages.forget(&op.conversation()));
            self.deferred.name(first, |of| state.ring.requests(of..=of).next());
        }
        self.publish_deferred();
    }

    /// Tries deferred changes again, and gives up those that have waited for too long.
    pub(super) async fn retry_deferred(&mut self) -> Result<()> {
        if self.away {
            // It may be back just now.
            self.deferred.wait_anew(Instant::now());
        }
        let due = self.deferred.due(Instant::now());
        // Together, as most that wait do so for the same reason; and one by one, where one of them
        // is refused.
        if let Err(error) = self.try_again(&due).await {
            match error {
                StoreError::Permanent(_) if due.len() > 1 => {
                    for one in &due {
                        self.try_again(slice::from_ref(one)).await?;
                    }
                }
                error => return Err(error),
            }
        }
        let is_elsewhere = |id| self.shared.lock().elsewhere.sent(id).is_some();
        while let Some(waiting) = self.deferred.given_up(Instant::now(), is_elsewhere) {
            let reason = anyhow!("its message is not stored, and did not come");
            self.write_letter(waiting.sequence, &waiting.op, &reason, waiting.request).await?;
            self.deferred.remove(waiting.sequence);
        }
        self.publish_deferred();
        Ok(())
    }

    /// Tries some again; those that find their messages wait no longer. One that is refused alone
    /// becomes a dead letter.
    async fn try_again(&mut self, due: &[Waiting]) -> Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        let ops: Vec<_> = due.iter().map(|waiting| Arc::clone(&waiting.op)).collect();
        let (batch, count) = fold(&ops, Attempt::Again);
        let missing = match (self.apply(&batch, count).await, due) {
            (Ok(applied), _) => applied.missing,
            (Err(StoreError::Permanent(reason)), [one]) => {
                self.write_letter(one.sequence, &one.op, &reason, one.request.clone()).await?;
                self.shared.lock().pages.forget(&one.op.conversation());
                self.deferred.remove(one.sequence);
                return Ok(());
            }
            (Err(error), _) => return Err(error),
        };
        for Waiting { sequence, op, .. } in due {
            if messages_of(op).iter().any(|id| missing.contains(id)) {
                continue;
            }
            let run = slice::from_ref(op);
            self.late.take(run);
            self.shared.to_be_indexed(*sequence, run, fold(run, Attempt::Again).0).await;
            let state = &mut *self.shared.lock();
            state.elsewhere.note_deletion(op);
            state.pages.forget(&op.conversation());
            self.deferred.remove(*sequence);
        }
        Ok(())
    }

    fn publish_deferred(&self) {
        let ops = self.deferred.ops();
        let is_change = {
            let state = &mut *self.shared.lock();
            let before = std::mem::replace(&mut state.deferred, ops);
            before.first().map(|(first, _)| *first) != state.oldest_deferred()
        };
        if is_change {
            // Whoever waits for what is stored looks again.
            self.shared.flushed.send_modify(|_| {});
        }
    }
}
