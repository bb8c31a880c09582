//! Who wants to hear nothing from whom.
//!
//! What a blocked user sends is accepted as ever, but hidden for the one who has blocked them: so
//! whatever leaves out what is hidden leaves it out, too. Blocks are written to the store directly,
//! and those of users who are here, or are written to, are kept in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::time::timeout;

use super::Chat;
use super::locks::Locks;
use crate::cluster::News;
use crate::error::Error;
use crate::model::{Block, Timestamp, UserId};

/// Most users that one user blocks.
const MAX_BLOCKS: usize = 10_000;
/// Blocks remembered over all users: at about 64 bytes each, the memory stays below 64 MB.
const REMEMBERED: u64 = 1_000_000;
/// Users that the memory expects; it grows and shrinks by blocks.
const USERS: usize = 10_000;
/// How long a message waits for the store to say whether it is blocked.
const PATIENCE: Duration = Duration::from_secs(1);

type Blocked = HashMap<UserId, Timestamp>;

struct BySize;

impl Weighter<UserId, Arc<Blocked>> for BySize {
    fn weight(&self, _: &UserId, blocked: &Arc<Blocked>) -> u64 {
        blocked.len() as u64 + 1
    }
}

/// See the module.
pub(super) struct Blocks {
    known: Mutex<Cache<UserId, Arc<Blocked>, BySize>>,
    /// Loads and changes of one user's blocks wait for each other, so that no load can put back
    /// what it read before a change.
    locks: Locks,
}

impl Default for Blocks {
    fn default() -> Self {
        let known = Mutex::new(Cache::with_weighter(USERS, REMEMBERED, BySize));
        Self { known, locks: Locks::default() }
    }
}

impl Blocks {
    fn of(&self, user: &UserId) -> Option<Arc<Blocked>> {
        self.known.lock().get(user).cloned()
    }

    fn keep(&self, user: &UserId, blocked: Blocked) {
        self.known.lock().insert(user.clone(), Arc::new(blocked));
    }

    /// Whether a user has blocked another one, as far as that is in memory.
    pub(super) fn has(&self, user: &UserId, other: &UserId) -> bool {
        self.known.lock().get(user).is_some_and(|blocked| blocked.contains_key(other))
    }

    /// Forgets whom a user has blocked; whether that was known.
    pub(super) fn forget(&self, user: &UserId) -> bool {
        self.known.lock().remove(user).is_some()
    }

    /// Forgets all of it.
    pub(super) fn forget_all(&self) {
        self.known.lock().clear();
    }

    /// Forgets a user, whom others may have blocked. Of those the other blocks stay.
    pub(super) fn forget_user(&self, user: &UserId) {
        let mut known = self.known.lock();
        known.remove(user);
        let blocking = known.iter().filter(|(_, blocked)| blocked.contains_key(user));
        let blocking: Vec<_> = blocking.map(|(other, _)| other.clone()).collect();
        for other in blocking {
            if let Some(mut blocked) = known.get_mut(&other) {
                Arc::make_mut(&mut blocked).remove(user);
            }
        }
    }

    /// Takes out of a list who has blocked a user or is blocked by them.
    pub(super) fn part(&self, user: &UserId, others: &mut Vec<UserId>) {
        let known = self.known.lock();
        let own = known.peek(user).filter(|blocked| !blocked.is_empty());
        others.retain(|other| {
            let is_blocked = own.is_some_and(|blocked| blocked.contains_key(other));
            !is_blocked && !known.peek(other).is_some_and(|theirs| theirs.contains_key(user))
        });
    }
}

impl Chat {
    /// From now on a user hears nothing from another one. A block that is there stays as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] for oneself, [`Error::TooLarge`] beyond 10,000, [`Error::Unavailable`]
    /// while the store is away.
    pub async fn block(&self, user: &UserId, other: &UserId) -> Result<(), Error> {
        if user == other {
            return Err(Error::Invalid("You can't block yourself".into()));
        }
        let _alone = self.blocks.locks.lock(user).await;
        let mut blocked = self.stored_blocks(user).await?;
        if !blocked.contains_key(other) {
            if blocked.len() >= MAX_BLOCKS {
                let text = format!("You can block {MAX_BLOCKS} users at the most");
                return Err(Error::TooLarge(text.into()));
            }
            let block = Block { user: other.clone(), at: self.now() };
            self.store.block(user, &block).await?;
            blocked.insert(block.user, block.at);
        }
        // At the gate: every message that is accepted later is hidden.
        self.gate.enter(|_| self.blocks.keep(user, blocked));
        self.cluster.publish(News::Blocks(user.clone()));
        Ok(())
    }

    /// A user hears another one again; what was sent meanwhile stays hidden.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the store is away.
    pub async fn unblock(&self, user: &UserId, other: &UserId) -> Result<(), Error> {
        let _alone = self.blocks.locks.lock(user).await;
        self.store.unblock(user, other).await?;
        let mut blocked = self.stored_blocks(user).await?;
        blocked.remove(other);
        self.gate.enter(|_| self.blocks.keep(user, blocked));
        self.cluster.publish(News::Blocks(user.clone()));
        Ok(())
    }

    /// Whom a user has blocked, the last one first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the store is away.
    pub async fn blocks(&self, user: &UserId) -> Result<Vec<Block>, Error> {
        Ok(self.store.blocks(user, MAX_BLOCKS).await?)
    }

    /// Has a user's blocks in memory, if the store says them soon. Who is not known is taken for
    /// somebody who has blocked nobody.
    pub async fn learn_blocks(&self, user: &UserId) {
        if self.blocks.of(user).is_some() || !self.buffer.store_answers() {
            return;
        }
        // In vain, too, where another load or a change of the same user waits for the store.
        let _ = timeout(PATIENCE, async {
            let _alone = self.blocks.locks.lock(user).await;
            if self.blocks.of(user).is_none()
                && let Ok(blocked) = self.stored_blocks(user).await
            {
                self.blocks.keep(user, blocked);
            }
        })
        .await;
    }

    async fn stored_blocks(&self, user: &UserId) -> Result<Blocked, Error> {
        let found = self.store.blocks(user, MAX_BLOCKS).await?;
        Ok(found.into_iter().map(|block| (block.user, block.at)).collect())
    }
}
