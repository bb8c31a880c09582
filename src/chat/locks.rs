//! One act at a time per message or other key, for acts that depend on what is there.

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// Two keys share a lock by chance; with this many, that hardly ever makes anyone wait.
const STRIPES: usize = 256;

/// A fixed set of locks, spread over all keys by a hash that clients can't predict.
pub(super) struct Locks {
    hasher: RandomState,
    stripes: Vec<Mutex<()>>,
}

impl Default for Locks {
    fn default() -> Self {
        let stripes = std::iter::repeat_with(Mutex::default).take(STRIPES).collect();
        Self { hasher: RandomState::new(), stripes }
    }
}

impl Locks {
    /// Waits for earlier acts on the key, in their order, and holds back later ones.
    pub(super) async fn lock(&self, key: &impl Hash) -> MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        self.stripes[stripe].lock().await
    }
}
