//! How many of something one may hold at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

type Held<K> = Arc<Mutex<HashMap<K, u32>>>;

/// So many places for each. Who holds none costs nothing.
#[derive(Debug)]
pub(super) struct Places<K> {
    limit: u32,
    held: Held<K>,
}

/// A place, held until this is dropped.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash> {
    key: K,
    held: Held<K>,
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// A limit of 0 is none.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, held: Held::default() }
    }

    /// A place; `None` when all are held. Where there is no limit, an `Ok` of none.
    pub(super) fn take(&self, key: &K) -> Result<Option<Place<K>>, Full> {
        if self.limit == 0 {
            return Ok(None);
        }
        let mut all = self.held.lock();
        let held = all.entry(key.clone()).or_default();
        if *held >= self.limit {
            return Err(Full);
        }
        *held += 1;
        drop(all);
        Ok(Some(Place { key: key.clone(), held: Arc::clone(&self.held) }))
    }
}

/// All places are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut all = self.held.lock();
        let Some(held) = all.get_mut(&self.key) else { return };
        *held -= 1;
        if *held == 0 {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_makes_room() {
        let places = Places::new(2);
        let first = places.take(&"ann").unwrap();
        let _second = places.take(&"ann").unwrap();
        assert_eq!(places.take(&"ann").unwrap_err(), Full);
        assert!(places.take(&"bob").is_ok(), "another has places of their own");
        drop(first);
        assert!(places.take(&"ann").is_ok());
    }

    #[test]
    fn a_limit_of_zero_is_none_and_counts_nobody() {
        let places = Places::new(0);
        let held: Vec<_> = (0..1_000).map(|_| places.take(&"ann").unwrap()).collect();
        assert!(places.held.lock().is_empty());
        drop(held);
    }

    #[test]
    fn counts_are_exact_under_races_and_go_away() {
        const LIMIT: u32 = 5;
        let places = Places::new(LIMIT);
        let within = std::sync::atomic::AtomicU32::new(0);
        use std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let Ok(place) = places.take(&"ann") else { continue };
                        assert!(within.fetch_add(1, SeqCst) < LIMIT);
                        within.fetch_sub(1, SeqCst);
                        drop(place);
                    }
                });
            }
        });
        assert!(places.held.lock().is_empty());
        let held: Vec<_> = (0..LIMIT).map(|_| places.take(&"ann").unwrap()).collect();
        assert!(places.take(&"ann").is_err());
        drop(held);
        assert!(places.held.lock().is_empty());
    }
}
