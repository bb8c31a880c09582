//! The fence around the cache of history that nodes share outside the store: whether it may be used, as
//! the store says, which all of them ask, and which whoever changes messages can reach.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{Guard, Result, Store};
use crate::model::{Conversation, Message};

/// How long a node goes by what the store has said of the fence, from when it asked.
pub const BELIEVED_FOR: Duration = Duration::from_secs(2);

/// How long a fence that was closed stays so: far longer than a write that began under it takes, also
/// one that was given up and is still at work.
pub(super) const CLOSED_FOR: Duration = Duration::from_secs(120);

/// A write under a fence that was closed no longer ago needs it not to be closed again.
const GOOD_FOR: Duration = Duration::from_secs(30);

/// A fence that was closed no longer ago has not been open since.
const UNBROKEN_FOR: Duration = Duration::from_secs(90);

/// What a store says of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What was cached under another generation is worth nothing: it is of another database, or of
    /// before the fence was closed.
    pub generation: String,
    /// Whether the cache may be used and filled.
    pub is_open: bool,
}

/// A store that several nodes may have a cache in front of. One of a single server has no fence.
#[async_trait]
pub trait FencedStore: Send + Sync + 'static {
    /// The fence, made if there is none; `None` where there can be none.
    async fn fence(&self) -> Result<Option<Fence>> {
        Ok(None)
    }

    /// Closes the fence, if there is one; whether there is. It opens by itself.
    async fn close_fence(&self) -> Result<bool> {
        Ok(false)
    }

    /// [`Store::history`] of the newest messages, whoever sees them, with everything that was
    /// confirmed before: no server answers that may be behind. `None` where there is no fence.
    async fn newest(&self, _: &Conversation, _limit: usize) -> Result<Option<Vec<Message>>> {
        Ok(None)
    }
}

#[async_trait]
impl FencedStore for Guard {
    async fn fence(&self) -> Result<Option<Fence>> {
        self.store.fence().await
    }

    async fn close_fence(&self) -> Result<bool> {
        self.store.close_fence().await
    }

    async fn newest(&self, of: &Conversation, limit: usize) -> Result<Option<Vec<Message>>> {
        self.ask(self.store.newest(of, limit)).await
    }
}

/// Keeps a fence closed for somebody who changes messages and can't tell the cache of it.
pub struct FenceCloser {
    store: Arc<dyn Store>,
    closed_at: Mutex<Option<Instant>>,
}

impl FenceCloser {
    /// For this store, whose fence is left alone yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, closed_at: Mutex::default() }
    }

    /// When this returns, nobody uses the cache, nor fills it, for longer than a write takes. Call it
    /// before each. The first of several waits until nobody believes the fence to be open.
    ///
    /// # Errors
    /// Those of the store: then write nothing.
    pub async fn close(&self) -> Result<()> {
        let ago = self.closed_at.lock().map(|at| at.elapsed());
        if ago.is_some_and(|ago| ago < GOOD_FOR) {
            return Ok(());
        }
        let now = Instant::now();
        if !self.store.close_fence().await? {
            return Ok(());
        }
        if ago.is_none_or(|ago| ago >= UNBROKEN_FOR) {
            tracing::info!(
                "nodes share no history for a while: their cache can't be told of a change"
            );
            sleep(BELIEVED_FOR).await;
        }
        *self.closed_at.lock() = Some(now);
        Ok(())
    }
}
