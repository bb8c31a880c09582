//! The connections of the driver's pools, as its events tell of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::ServerAddress;

use crate::store::PoolGauges;

/// Follows every connection by its server and number. Plain counters would drift: the driver
/// reports a connection as checked in that it never reported as checked out when a caller gave up
/// in between.
#[derive(Debug, Default)]
pub(super) struct PoolWatch {
    /// Each open connection, and whether it is in use.
    connections: Mutex<HashMap<(ServerAddress, u32), bool>>,
    /// Commands that have a connection or look for one.
    calls: AtomicU64,
    max: AtomicU64,
}

impl PoolWatch {
    /// The handler that the driver calls.
    pub(super) fn handler(self: &Arc<Self>) -> EventHandler<CmapEvent> {
        let watch = Arc::clone(self);
        EventHandler::callback(move |event| watch.observe(event))
    }

    /// Says how many connections each server's pool may have.
    pub(super) fn set_max(&self, max: u32) {
        self.max.store(max.into(), Ordering::Relaxed);
    }

    /// Counts a command until the guard is dropped.
    pub(super) fn enter(&self) -> CallGuard<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        CallGuard(self)
    }

    /// The figures now.
    pub(super) fn gauges(&self) -> PoolGauges {
        let connections = self.lock();
        let in_use = connections.values().filter(|in_use| **in_use).count() as u64;
        PoolGauges {
            open: connections.len() as u64,
            in_use,
            // Looking for a server counts as waiting for a connection to it.
            waiting: self.calls.load(Ordering::Relaxed).saturating_sub(in_use),
            max: self.max.load(Ordering::Relaxed),
        }
    }

    fn observe(&self, event: CmapEvent) {
        match event {
            CmapEvent::ConnectionCreated(e) => {
                self.lock().insert((e.address, e.connection_id), false);
            }
            CmapEvent::ConnectionClosed(e) => {
                self.lock().remove(&(e.address, e.connection_id));
            }
            CmapEvent::ConnectionCheckedOut(e) => self.mark((e.address, e.connection_id), true),
            CmapEvent::ConnectionCheckedIn(e) => self.mark((e.address, e.connection_id), false),
            _ => {}
        }
    }

    fn mark(&self, connection: (ServerAddress, u32), in_use: bool) {
        if let Some(entry) = self.lock().get_mut(&connection) {
            *entry = in_use;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ServerAddress, u32), bool>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`PoolWatch::enter`].
pub(super) struct CallGuard<'a>(&'a PoolWatch);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
