//! Keeps what voids tokens in memory, also what other servers on the same database have written.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Auth;
use crate::model::{EndReason, Revocation, SessionId, Timestamp, UserId};
use crate::store::{self, REVOCATION_LIFE};

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(15);
/// How far back each question reaches beyond the one before: clocks of servers differ, and writes
/// take time to be seen.
const OVERLAP: Duration = Duration::from_secs(120);

impl Auth {
    /// Notes what a user's tokens are worth, and tells it where some are void now.
    pub(super) async fn revoke(&self, revocation: Revocation) {
        if self.revoked.lock().note(&revocation) {
            let reason = if revocation.banned { EndReason::Banned } else { EndReason::SignedOut };
            self.tell(&revocation.user, None, reason).await;
        }
    }

    /// Notes that a sign-in was ended, and tells it where that is news.
    pub(super) async fn void_session(&self, user: &UserId, session: SessionId, now: Timestamp) {
        if self.revoked.lock().note_session(session, now.plus(self.access_life)) {
            self.tell(user, Some(session), EndReason::SignedOut).await;
        }
    }

    pub(super) fn note_written(&self) {
        self.written.send_modify(|times| *times += 1);
    }

    /// Reads from the store which tokens are void, again and again until it is told to stop.
    pub async fn keep_revocations(&self, stop: CancellationToken) {
        let mut read_up_to = None;
        loop {
            let now = self.now();
            match self.read_revocations(read_up_to, now).await {
                Ok(true) => read_up_to = Some(now),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "which tokens are void can't be read for now");
                }
            }
            self.revoked.lock().forget(now);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.read_again.notified() => {}
                () = sleep(INTERVAL) => {}
            }
        }
    }

    /// Whether what was read counts: not where this server has changed a ban meanwhile.
    pub(super) async fn read_revocations(
        &self,
        read_up_to: Option<Timestamp>,
        now: Timestamp,
    ) -> store::Result<bool> {
        let since = |life| read_up_to.map_or(now.minus(life), |last| last.minus(OVERLAP));
        let changes = self.ban_changes.load(Ordering::SeqCst);
        let found = self.accounts.revocations(since(REVOCATION_LIFE)).await?;
        let ended = self.accounts.ended_sessions(since(self.access_life), now).await?;
        if self.ban_changes.load(Ordering::SeqCst) != changes {
            return Ok(false);
        }
        let banned = found.iter().filter(|found| found.banned).map(|found| &found.user);
        self.revoked.lock().keep_bans(&banned.collect());
        for revocation in found {
            self.revoke(revocation).await;
        }
        for (session, user) in ended {
            self.void_session(&user, session, now).await;
        }
        Ok(true)
    }
}
