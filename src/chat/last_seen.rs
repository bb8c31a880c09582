//! When users were last there, on its way to the store: at once when they leave, and once a minute
//! for those who stay, so that after a crash it is right to a minute.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Chat;
use crate::model::{Timestamp, UserId};

/// How often the time of those who stay is saved.
const EVERY: Duration = Duration::from_secs(60);
/// Users that one call to the store saves.
const BATCH: usize = 1_000;
/// Users whose time may wait for the store. Who comes on top is saved with the next minute, or the
/// next time.
const MAX_WAITING: usize = 200_000;
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait after a call that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// What the store does not know yet.
#[derive(Debug, Default)]
pub(super) struct Unsaved(HashMap<UserId, Timestamp>);

impl Unsaved {
    /// A user was there then.
    pub(super) fn add(&mut self, user: &UserId, at: Timestamp) {
        if let Some(known) = self.0.get_mut(user) {
            *known = at.max(*known);
        } else if self.0.len() < MAX_WAITING {
            self.0.insert(user.clone(), at);
        }
    }

    /// When a user was last there, if the store does not know yet.
    pub(super) fn of(&self, user: &UserId) -> Option<Timestamp> {
        self.0.get(user).copied()
    }

    /// A part of it. It stays until [`Unsaved::saved`], so that readers find it here or in the
    /// store.
    fn batch(&self) -> Vec<(UserId, Timestamp)> {
        self.0.iter().take(BATCH).map(|(user, at)| (user.clone(), *at)).collect()
    }

    /// The store knows these now.
    fn saved(&mut self, batch: &[(UserId, Timestamp)]) {
        for (user, at) in batch {
            if self.of(user) == Some(*at) {
                self.0.remove(user);
            }
        }
        if self.0.is_empty() {
            self.0.shrink_to(BATCH);
        }
    }
}

impl Chat {
    /// Saves when users were last there until [`Chat::end_presence`].
    pub async fn keep_last_seen(&self) {
        let mut minute = interval(EVERY);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.watch.ended.cancelled() => return,
                () = self.watch.to_save.notified() => {}
                _ = minute.tick() => self.note_all_here(),
            }
            if !self.save_last_seen().await {
                self.watch.to_save.notify_one();
                tokio::select! {
                    () = self.watch.ended.cancelled() => return,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }

    /// Saves the time of all who are here, and all that waits. To be called once their sockets are
    /// being closed.
    pub async fn close_presence(&self) {
        self.note_all_here();
        if !self.save_last_seen().await {
            tracing::warn!("the time at which users were last seen could not be saved for all");
        }
    }

    fn note_all_here(&self) {
        let now = self.now();
        let company = &mut *self.watch.lock();
        for user in company.people.here() {
            company.unsaved.add(user, now);
        }
    }

    /// Brings to the store what waits; whether it took all.
    async fn save_last_seen(&self) -> bool {
        loop {
            let batch = self.watch.lock().unsaved.batch();
            if batch.is_empty() {
                return true;
            }
            match timeout(PATIENCE, self.store.seen(&batch)).await {
                Ok(Ok(())) => self.watch.lock().unsaved.saved(&batch),
                Ok(Err(error)) if !error.is_transient() => {
                    tracing::warn!(%error, "the time at which users were last seen is not stored");
                    self.watch.lock().unsaved.saved(&batch);
                }
                // That the store is away is logged where messages are written to it.
                Ok(Err(_)) | Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[test]
    fn the_latest_time_waits_until_that_very_one_is_saved() {
        let (mut unsaved, ann) = (Unsaved::default(), user("ann"));
        unsaved.add(&ann, Timestamp(5));
        unsaved.add(&ann, Timestamp(4));
        let batch = unsaved.batch();
        assert_eq!(batch, [(ann.clone(), Timestamp(5))]);
        unsaved.add(&ann, Timestamp(6));
        unsaved.saved(&batch);
        assert_eq!(unsaved.of(&ann), Some(Timestamp(6)));
        unsaved.saved(&unsaved.batch());
        assert_eq!(unsaved.of(&ann), None);
    }

    #[test]
    fn what_waits_is_bounded_and_leaves_in_batches() {
        let mut unsaved = Unsaved::default();
        for n in 0..MAX_WAITING + 10 {
            unsaved.add(&user(&n.to_string()), Timestamp(1));
        }
        let mut batches = 0;
        loop {
            let batch = unsaved.batch();
            if batch.is_empty() {
                break;
            }
            assert_eq!(batch.len(), BATCH);
            unsaved.saved(&batch);
            batches += 1;
        }
        assert_eq!(batches, MAX_WAITING / BATCH);
    }
}
