//! What operators are shown of the sockets: a bounded number of them, compared with what they were
//! shown before. A flood of connections is one new list, not a flood of events. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// The most sockets that are shown; further ones are counted alone.
const MAX_SHOWN: usize = 1_000;

/// The most rooms that are shown of one.
pub(super) const MAX_ROOMS: usize = 32;

/// More changes than this at once are told by a new list.
const MAX_CHANGES: usize = 200;

/// The least time between two lists: a client that reads slowly holds few of them.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// What is shown of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) transport: &'static str,
    pub(super) rooms: BTreeSet<String>,
}

/// What has happened to a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change<K> {
    Came(K),
    Went(K),
    Joined(K, String),
    Left(K, String),
    Upgraded(K, &'static str),
}

/// What to tell those who were shown what was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News<K> {
    Changes(Vec<Change<K>>),
    /// All of it anew.
    List,
}

/// What was shown last.
#[derive(Debug)]
pub(super) struct View<K> {
    shown: BTreeMap<K, Shown>,
    listed_at: Option<Instant>,
}

impl<K> Default for View<K> {
    fn default() -> Self {
        Self { shown: BTreeMap::new(), listed_at: None }
    }
}

impl<K: Ord + Copy> View<K> {
    /// Which sockets are shown.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        self.shown.keys().copied()
    }

    /// Which of those that are there now are to be shown: those that were, and others while there is
    /// room.
    pub(super) fn pick(&self, now: impl Iterator<Item = K>) -> Vec<K> {
        let (mut known, others): (Vec<_>, Vec<_>) =
            now.partition(|key| self.shown.contains_key(key));
        known.extend(others.into_iter().take(MAX_SHOWN.saturating_sub(known.len())));
        known
    }

    /// Takes in how those sockets are now. Where too much has changed, and a list was told a moment
    /// ago, nothing is told, and nothing counts as shown, until the next time.
    pub(super) fn update(&mut self, now: BTreeMap<K, Shown>, at: Instant) -> News<K> {
        let changes = changes(&self.shown, &now);
        if changes.len() <= MAX_CHANGES {
            self.shown = now;
            return News::Changes(changes);
        }
        if self.listed_at.is_some_and(|last| at.saturating_duration_since(last) < LIST_AGAIN) {
            return News::Changes(Vec::new());
        }
        (self.shown, self.listed_at) = (now, Some(at));
        News::List
    }
}

fn changes<K: Ord + Copy>(before: &BTreeMap<K, Shown>, now: &BTreeMap<K, Shown>) -> Vec<Change<K>> {
    let mut changes: Vec<_> =
        before.keys().filter(|key| !now.contains_key(key)).map(|key| Change::Went(*key)).collect();
    for (key, is) in now {
        let Some(was) = before.get(key) else {
            changes.push(Change::Came(*key));
            continue;
        };
        let left = was.rooms.difference(&is.rooms).map(|room| Change::Left(*key, room.clone()));
        changes.extend(left);
        let joined = is.rooms.difference(&was.rooms).map(|room| Change::Joined(*key, room.clone()));
        changes.extend(joined);
        if was.transport != is.transport {
            changes.push(Change::Upgraded(*key, is.transport));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rooms: &[&str]) -> Shown {
        let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
        Shown { transport: "polling", rooms }
    }

    fn many(keys: std::ops::Range<usize>) -> BTreeMap<usize, Shown> {
        keys.map(|key| (key, with(&[]))).collect()
    }

    #[test]
    fn a_few_changes_are_told_one_by_one() {
        let (mut view, at) = (View::default(), Instant::now());
        let now = BTreeMap::from([(1, with(&["a"])), (2, with(&[]))]);
        let came = vec![Change::Came(1), Change::Came(2)];
        assert_eq!(view.update(now.clone(), at), News::Changes(came));
        assert_eq!(view.update(now, at), News::Changes(vec![]));
        let upgraded = Shown { transport: "websocket", ..with(&["b"]) };
        let changes = vec![
            Change::Went(2),
            Change::Left(1, "a".into()),
            Change::Joined(1, "b".into()),
            Change::Upgraded(1, "websocket"),
        ];
        assert_eq!(view.update([(1, upgraded)].into(), at), News::Changes(changes));
    }

    #[test]
    fn a_flood_is_one_list_and_the_next_comes_later() {
        let (mut view, at) = (View::default(), Instant::now());
        assert_eq!(view.update(many(0..900), at), News::List);
        let soon = at + LIST_AGAIN - Duration::from_secs(1);
        assert_eq!(view.update(many(0..0), soon), News::Changes(vec![]));
        assert_eq!(view.keys().count(), 900, "what nobody was told is not shown");
        assert_eq!(view.update(many(0..0), at + LIST_AGAIN), News::List);
    }

    #[test]
    fn so_many_are_shown_and_they_stay() {
        let (mut view, at) = (View::default(), Instant::now());
        let picked = view.pick(5_000..9_000);
        assert_eq!(picked.len(), MAX_SHOWN);
        view.update(picked.into_iter().map(|key| (key, with(&[]))).collect(), at);
        let picked: BTreeSet<_> = view.pick(0..5_500).into_iter().collect();
        assert_eq!(picked.len(), MAX_SHOWN);
        assert!((5_000..5_500).all(|key| picked.contains(&key)));
    }
}
