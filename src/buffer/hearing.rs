//! What is heard of other nodes' buffers, and what they hear of this one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::elsewhere::Released;
use super::shared::State;
use super::{Buffer, Lane, Sequence};
use crate::model::Op;

impl Buffer {
    /// Another node has made an op durable: from now on it is seen here as on that node.
    pub fn hear(&self, lane: &Lane, sequence: Sequence, op: Arc<Op>) {
        self.note(|state| state.elsewhere.insert(lane, sequence, op));
    }

    /// The store has confirmed another node's ops up to a number.
    pub fn hear_stored(&self, lane: &Lane, through: Sequence) {
        self.note(|state| state.elsewhere.stored(lane, through));
        self.shared.stored_elsewhere.send_modify(|steps| *steps += 1);
    }

    /// Other nodes are not heard any more, or not all that they say: what they have not stored is not
    /// known, and what is in memory of the store may lack what they have.
    pub fn forget_elsewhere(&self) {
        self.note(|state| {
            state.pages.forget_all();
            state.elsewhere.forget_all()
        });
        self.shared.stored_elsewhere.send_modify(|steps| *steps += 1);
    }

    /// The nodes of which it is known what they had not stored.
    pub fn nodes_elsewhere(&self) -> HashSet<Arc<str>> {
        self.shared.lock().elsewhere.nodes()
    }

    /// Nobody takes back any more what a node has said.
    pub fn forget_node(&self, node: &str) {
        self.note(|state| state.elsewhere.forget_node(node));
        self.shared.stored_elsewhere.send_modify(|steps| *steps += 1);
    }

    /// How many ops other nodes have not stored, as far as this one has heard.
    pub fn unstored_elsewhere(&self) -> usize {
        self.shared.lock().elsewhere.len()
    }

    /// Waits until the store may have more than before; up to which op it has everything then. `None`
    /// once that ends.
    pub async fn next_stored(&self, steps: &mut watch::Receiver<Sequence>) -> Option<Sequence> {
        steps.changed().await.ok()?;
        steps.mark_unchanged();
        Some(self.shared.lock().stored_through())
    }

    /// For [`Buffer::next_stored`].
    pub fn steps(&self) -> watch::Receiver<Sequence> {
        self.shared.flushed.subscribe()
    }

    /// Waits until what other nodes have not stored now is stored, at the most `limit`; whether it is.
    pub(super) async fn flushed_elsewhere(&self, limit: Duration) -> bool {
        let places = self.shared.lock().elsewhere.places();
        if places.is_empty() {
            return true;
        }
        let mut steps = self.shared.stored_elsewhere.subscribe();
        let is_stored = |_: &u64| self.shared.lock().elsewhere.has_stored(&places);
        matches!(timeout(limit, steps.wait_for(is_stored)).await, Ok(Ok(_)))
    }

    fn note(&self, change: impl FnOnce(&mut State) -> Released) {
        let released = {
            let mut state = self.shared.lock();
            let released = change(&mut state);
            state.release_elsewhere(&released);
            released
        };
        // Freed after the lock.
        drop(released);
    }
}
