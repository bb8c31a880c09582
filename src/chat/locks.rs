//! One change at a time per message, for changes that depend on what the message is.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::model::MessageId;

/// Two messages share a lock by chance; with this many, that hardly ever makes anyone wait.
const STRIPES: usize = 256;

/// A fixed set of locks, spread over all messages by a hash that clients can't predict.
pub(super) struct MessageLocks {
    hasher: RandomState,
    stripes: Vec<Mutex<()>>,
}

impl MessageLocks {
    pub(super) fn new() -> Self {
        let stripes = std::iter::repeat_with(Mutex::default).take(STRIPES).collect();
        Self { hasher: RandomState::new(), stripes }
    }

    /// Waits for earlier changes to the message, in their order, and holds back later ones.
    pub(super) async fn lock(&self, id: MessageId) -> MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one(id) as usize % STRIPES;
        self.stripes[stripe].lock().await
    }
}
