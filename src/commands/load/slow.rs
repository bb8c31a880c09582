//! `banter load slow`: a group some of whose members read slowly. What they cost the others is in
//! the figures; what does not come to themselves is no loss, as long as they are told so.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use super::group::Groups;
use super::link::Brake;
use super::member::Member;
use super::options::{Common, Slow, Transport};
use super::report::Asked;
use super::stage::{Scenario, Stage};

/// How a slow reader hears that it has missed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// By `sync_required`.
    ToSync,
    /// By the end of its connection.
    Disconnected,
}

/// The books of those who read slowly.
#[derive(Debug, Default)]
pub(super) struct SlowReaders {
    /// For each, whether it was told in either way.
    told: BTreeMap<u32, (bool, bool)>,
    pub(super) delivered: u64,
}

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct SlowReport {
    members: u64,
    /// Deliveries to them, over the whole run.
    delivered: u64,
    /// Deliveries that did not come to them.
    missed: u64,
    /// Of these, those of members who were told nothing; they count as lost.
    missed_untold: u64,
    /// Members that were told to sync, and those whose connection was ended.
    told_to_sync: u64,
    disconnected: u64,
}

impl SlowReaders {
    /// There is such a reader.
    pub(super) fn add(&mut self, user: u32) {
        self.told.entry(user).or_default();
    }

    /// One was told.
    pub(super) fn told(&mut self, user: u32, how: Told) {
        let (to_sync, disconnected) = self.told.entry(user).or_default();
        match how {
            Told::ToSync => *to_sync = true,
            Told::Disconnected => *disconnected = true,
        }
    }

    /// What those missed who were told nothing, from what each has missed.
    pub(super) fn untold(&self, missed: impl Fn(u32) -> u64) -> u64 {
        let untold = self.told.iter().filter(|(_, told)| **told == (false, false));
        untold.map(|(user, _)| missed(*user)).sum()
    }

    /// What became of them; `None` where there are none.
    pub(super) fn report(&self, missed: impl Fn(u32) -> u64) -> Option<SlowReport> {
        let count =
            |is: fn(&(bool, bool)) -> bool| self.told.values().filter(|t| is(t)).count() as u64;
        (!self.told.is_empty()).then(|| SlowReport {
            members: self.told.len() as u64,
            delivered: self.delivered,
            missed: self.told.keys().map(|user| missed(*user)).sum(),
            missed_untold: self.untold(&missed),
            told_to_sync: count(|(to_sync, _)| *to_sync),
            disconnected: count(|(_, disconnected)| *disconnected),
        })
    }
}

impl std::fmt::Display for SlowReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { members, delivered, missed, told_to_sync, disconnected, missed_untold } = self;
        write!(
            f,
            "{members} members, {delivered} deliveries and {missed} missed, {told_to_sync} told to \
             sync, {disconnected} disconnected, {missed_untold} missed untold"
        )
    }
}

/// A group, and how slowly its last members read.
#[derive(Debug)]
pub(super) struct SlowGroup {
    groups: Groups,
    users: u32,
    bytes_per_second: u32,
    /// When the measured time is over they read what waits for them.
    released: Rc<Cell<bool>>,
}

impl SlowGroup {
    /// # Errors
    /// The numbers don't fit each other.
    pub(super) fn new(asked: &Slow) -> anyhow::Result<Self> {
        anyhow::ensure!(
            asked.group.common.transport == Transport::Websocket,
            "slow readers are there over WebSocket alone"
        );
        Ok(Self {
            groups: Groups::new(&asked.group)?.with_slow(asked.slow)?,
            users: asked.group.users,
            bytes_per_second: asked.slow_rate,
            released: Rc::default(),
        })
    }
}

impl Scenario for SlowGroup {
    const NAME: &'static str = "slow";

    fn asked(&self, common: &Common) -> Asked {
        self.groups.asked(common)
    }

    fn users(&self) -> u32 {
        self.groups.users()
    }

    fn in_rooms(&self) -> u64 {
        self.groups.in_rooms()
    }

    fn brake(&self, user: u32) -> Option<Brake> {
        let is_slow = self.groups.is_slow(user);
        is_slow.then(|| Brake::new(self.bytes_per_second, &self.released))
    }

    async fn prepare(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let slow = (0..self.users).filter(|user| self.groups.is_slow(*user));
        slow.for_each(|user| stage.board.slow.borrow_mut().add(user));
        self.groups.prepare(stage).await
    }

    fn cast(&self, stage: &Stage, user: u32, member: &mut Member) {
        self.groups.cast(stage, user, member);
    }

    fn end(&self) {
        self.released.set(true);
    }

    fn is_drained(&self, stage: &Stage) -> bool {
        let tally = stage.board.tally.borrow();
        (0..self.users)
            .filter(|user| self.groups.is_slow(*user))
            .all(|user| tally.missed(user) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_counts_as_lost_only_where_nobody_was_told() {
        let mut readers = SlowReaders::default();
        assert!(readers.report(|_| 0).is_none());
        for user in 1..=4 {
            readers.add(user);
        }
        readers.told(2, Told::ToSync);
        readers.told(3, Told::Disconnected);
        let missed = |user| [0, 10, 20, 30, 0][user as usize];
        assert_eq!(readers.untold(missed), 10);
        let report = readers.report(missed).unwrap();
        assert_eq!((report.members, report.missed, report.missed_untold), (4, 60, 10));
        assert_eq!((report.told_to_sync, report.disconnected), (1, 1));
    }
}
