//! Who is online. Pure: it is given the time and tells nobody itself.
//!
//! A user with a socket is online, and stays so for a moment after the last one has gone: a page
//! that is loaded again is no absence. Whoever's status is not what was told last waits in a queue,
//! once, in the order of the changes; what is told is how it is when their turn comes.
//!
//! A user may be on other nodes, too, which say so. That a user is here is announced to them in the
//! same turn. Who comes from nowhere or goes to nowhere is told of by the node on which that happens;
//! of whom a node has lost, by every node to its own users.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Boot;
use crate::model::{Timestamp, UserId};

/// How long a user without a socket is online still.
const GRACE: Duration = Duration::from_secs(3);
/// Users in that state at the most; at one more, the first of them is offline at once.
const MAX_LEAVING: usize = 100_000;
/// Users who may wait to be told of. Who comes on top is told of with their next socket.
const MAX_QUEUED: usize = 100_000;
/// Users on other nodes that are remembered.
const MAX_ELSEWHERE: usize = 1_000_000;

/// How a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// A socket is there, or was a moment ago.
    Online,
    /// The last socket went then.
    Offline(Timestamp),
}

/// A place among those who leave; the number tells those of one instant apart.
type Leave = (Instant, u64);

#[derive(Debug, Default)]
struct Person {
    sockets: usize,
    /// The other nodes on which the user is.
    elsewhere: Vec<Boot>,
    /// When the last socket went.
    seen: Option<Timestamp>,
    leaves: Option<Leave>,
    /// Whether those on this node have been told that the user is online.
    is_told: bool,
    /// Whether the other nodes have been told that the user is here.
    is_announced: bool,
    is_queued: bool,
}

impl Person {
    /// Whether a socket is on this node, or was a moment ago.
    fn is_here(&self) -> bool {
        self.sockets > 0 || self.leaves.is_some()
    }

    fn status(&self) -> Status {
        match self.seen {
            Some(at) if !self.is_here() && self.elsewhere.is_empty() => Status::Offline(at),
            _ => Status::Online,
        }
    }

    fn is_over(&self) -> bool {
        let is_online = self.status() == Status::Online;
        !is_online && !self.is_told && !self.is_announced && !self.is_queued
    }
}

/// What is to be said of a user, and counts as said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// How the user is, where those on this node do not know it.
    pub(super) told: Option<Status>,
    /// Whether the user is on this node, where the other nodes do not know it; and since when not.
    pub(super) announced: Option<Status>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct People {
    people: HashMap<UserId, Person>,
    leaving: BTreeMap<Leave, UserId>,
    queue: VecDeque<UserId>,
    numbers: u64,
    here: usize,
    /// Lists of other nodes that are not complete yet.
    lists: HashMap<Boot, HashSet<UserId>>,
}

impl People {
    /// A socket of a user has come.
    pub(super) fn arrive(&mut self, user: &UserId) {
        let person = self.people.entry(user.clone()).or_default();
        self.here += usize::from(!person.is_here());
        person.sockets += 1;
        if let Some(leave) = person.leaves.take() {
            self.leaving.remove(&leave);
        }
        if !person.is_told || !person.is_announced {
            self.enqueue(user);
        }
    }

    /// A socket of a user has gone; whether it was the last one.
    pub(super) fn leave(&mut self, user: &UserId, now: Instant, at: Timestamp) -> bool {
        let Some(person) = self.people.get_mut(user).filter(|person| person.sockets > 0) else {
            return false;
        };
        person.sockets -= 1;
        if person.sockets > 0 {
            return false;
        }
        self.numbers += 1;
        let leave = (now + GRACE, self.numbers);
        person.seen = Some(at);
        person.leaves = Some(leave);
        self.leaving.insert(leave, user.clone());
        if self.leaving.len() > MAX_LEAVING {
            self.lapse_first();
        }
        true
    }

    /// When [`People::lapse`] has something to do.
    pub(super) fn next_lapse(&self) -> Option<Instant> {
        self.leaving.first_key_value().map(|((at, _), _)| *at)
    }

    /// Those who have been without a socket for long enough are not here any more.
    pub(super) fn lapse(&mut self, now: Instant) {
        while self.next_lapse().is_some_and(|at| at <= now) {
            self.lapse_first();
        }
    }

    fn lapse_first(&mut self) {
        let Some((_, user)) = self.leaving.pop_first() else { return };
        let Some(person) = self.people.get_mut(&user) else { return };
        person.leaves = None;
        self.here -= 1;
        self.look_at(&user);
    }

    /// A user is on another node. Their coming was told, or is told by that node.
    pub(super) fn come_elsewhere(&mut self, user: &UserId, boot: Boot) {
        if !self.people.contains_key(user) && self.people.len() >= MAX_ELSEWHERE {
            return;
        }
        let person = self.people.entry(user.clone()).or_default();
        if !person.elsewhere.contains(&boot) {
            person.elsewhere.push(boot);
        }
    }

    /// Those on this node know that a user is online, or not; whether that is news to them.
    pub(super) fn set_told(&mut self, user: &UserId, is_online: bool) -> bool {
        let Some(person) = self.people.get_mut(user) else { return false };
        let is_news = std::mem::replace(&mut person.is_told, is_online) != is_online;
        if person.is_over() {
            self.people.remove(user);
        }
        is_news
    }

    /// A user is on another node no longer. Whether that makes them offline.
    pub(super) fn leave_elsewhere(&mut self, user: &UserId, boot: Boot, at: Timestamp) -> bool {
        let Some(person) = self.people.get_mut(user) else { return false };
        let before = person.elsewhere.len();
        person.elsewhere.retain(|other| *other != boot);
        if person.elsewhere.len() == before {
            return false;
        }
        person.seen = person.seen.max(Some(at));
        person.status() != Status::Online
    }

    /// A part of another node's list of who is there. With the last part, whoever it does not name is
    /// not there.
    pub(super) fn list(&mut self, boot: Boot, users: Vec<UserId>, is_last: bool, at: Timestamp) {
        let listed = self.lists.entry(boot).or_default();
        listed.extend(users.into_iter().take(MAX_ELSEWHERE - listed.len()));
        if !is_last {
            return;
        }
        let listed = self.lists.remove(&boot).unwrap_or_default();
        self.lose(boot, at, |user| listed.contains(user));
        for user in &listed {
            self.come_elsewhere(user, boot);
            // Whoever was here before has asked, or been told.
            if let Some(person) = self.people.get_mut(user) {
                person.is_told = true;
            }
        }
    }

    /// A node is lost, and with it all who were there alone; those who are now offline.
    pub(super) fn lose_all(&mut self, boot: Boot, at: Timestamp) -> Vec<UserId> {
        self.lists.remove(&boot);
        self.lose(boot, at, |_| false)
    }

    fn lose(&mut self, boot: Boot, at: Timestamp, stays: impl Fn(&UserId) -> bool) -> Vec<UserId> {
        let there = self.people.iter().filter(|(_, person)| person.elsewhere.contains(&boot));
        let lost: Vec<_> =
            there.filter(|(user, _)| !stays(user)).map(|(user, _)| user.clone()).collect();
        let mut offline = Vec::new();
        for user in lost {
            if self.leave_elsewhere(&user, boot, at) {
                self.look_at(&user);
                offline.push(user);
            }
        }
        offline
    }

    /// Has it told of a user what others do not know, or forgets one of whom there is nothing to
    /// tell.
    pub(super) fn look_at(&mut self, user: &UserId) {
        let Some(person) = self.people.get(user) else { return };
        if person.is_over() {
            self.people.remove(user);
        } else if person.is_told || person.is_announced {
            self.enqueue(user);
        }
    }

    fn enqueue(&mut self, user: &UserId) {
        let Some(person) = self.people.get_mut(user) else { return };
        // The end of what was told is told in any case.
        let has_room = self.queue.len() < MAX_QUEUED || person.is_told || person.is_announced;
        if has_room && !std::mem::replace(&mut person.is_queued, true) {
            self.queue.push_back(user.clone());
        }
    }

    /// The next user of whom something may have to be said. It is settled by [`People::settle`], in
    /// the order of these calls.
    pub(super) fn next(&mut self) -> Option<UserId> {
        self.queue.pop_front()
    }

    /// What others are to be told of a user now, where they do not know it. It counts as told.
    pub(super) fn settle(&mut self, user: &UserId) -> Settled {
        let Some(person) = self.people.get_mut(user) else { return Settled::default() };
        person.is_queued = false;
        let (status, was_told) = (person.status(), person.is_told);
        let (is_here, was_announced) = (person.is_here(), person.is_announced);
        let here = match person.seen {
            Some(at) if !is_here => Status::Offline(at),
            _ => Status::Online,
        };
        person.is_told = status == Status::Online;
        person.is_announced = is_here;
        if person.is_over() {
            self.people.remove(user);
        }
        Settled {
            told: (was_told != (status == Status::Online)).then_some(status),
            announced: (was_announced != is_here).then_some(here),
        }
    }

    /// How a user is; `None` for one who is nowhere and was not a moment ago.
    pub(super) fn status(&self, user: &UserId) -> Option<Status> {
        self.people.get(user).map(Person::status)
    }

    /// How many are on this node, or were a moment ago.
    pub(super) fn here_count(&self) -> usize {
        self.here
    }

    /// How many are online, on whatever node.
    pub(super) fn online_count(&self) -> usize {
        self.people.len()
    }

    /// Whether a user has a socket on whatever node.
    pub(super) fn is_online(&self, user: &UserId) -> bool {
        self.people.get(user).is_some_and(|one| one.sockets > 0 || !one.elsewhere.is_empty())
    }

    /// Everybody who has a socket on whatever node.
    pub(super) fn all_online(&self) -> impl Iterator<Item = &UserId> {
        let online = self.people.iter();
        let online = online.filter(|(_, one)| one.sockets > 0 || !one.elsewhere.is_empty());
        online.map(|(user, _)| user)
    }

    /// Whether a user is on another node.
    pub(super) fn is_elsewhere(&self, user: &UserId) -> bool {
        self.people.get(user).is_some_and(|person| !person.elsewhere.is_empty())
    }

    /// Whether a user has a socket on this node.
    pub(super) fn is_here(&self, user: &UserId) -> bool {
        self.people.get(user).is_some_and(|person| person.sockets > 0)
    }

    /// Whether a user has a socket on this node, or had one a moment ago.
    pub(super) fn is_here_still(&self, user: &UserId) -> bool {
        self.people.get(user).is_some_and(Person::is_here)
    }

    /// Everybody who has a socket on this node.
    pub(super) fn here(&self) -> impl Iterator<Item = &UserId> {
        self.people.iter().filter(|(_, person)| person.sockets > 0).map(|(user, _)| user)
    }

    /// Of whom the other nodes have been told that they are here.
    pub(super) fn announced(&self) -> impl Iterator<Item = &UserId> {
        self.people.iter().filter(|(_, person)| person.is_announced).map(|(user, _)| user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ann() -> UserId {
        UserId::parse("ann").unwrap()
    }

    struct Bed {
        people: People,
        start: Instant,
    }

    impl Bed {
        fn new() -> Self {
            Self { people: People::default(), start: Instant::now() }
        }

        fn leaves(&mut self, ms: u32) -> bool {
            self.people.leave(&ann(), self.start + MS * ms, Timestamp(i64::from(ms)))
        }

        /// What is told of Ann by this time.
        fn told(&mut self, ms: u32) -> Vec<Status> {
            self.people.lapse(self.start + MS * ms);
            let mut told = Vec::new();
            while let Some(user) = self.people.next() {
                told.extend(self.people.settle(&user).told);
            }
            told
        }

        fn ends(&self) {
            let people = &self.people;
            assert!(people.people.is_empty() && people.leaving.is_empty(), "{people:?}");
            assert!(people.queue.is_empty() && people.here == 0, "{people:?}");
        }
    }

    #[test]
    fn a_user_is_online_at_once_and_offline_after_a_moment() {
        let mut bed = Bed::new();
        assert_eq!(bed.people.status(&ann()), None);
        bed.people.arrive(&ann());
        assert_eq!(bed.people.status(&ann()), Some(Status::Online));
        assert_eq!((bed.told(0), bed.people.here_count()), (vec![Status::Online], 1));
        assert!(bed.leaves(1_000));
        assert_eq!((bed.told(3_999), bed.people.here_count()), (vec![], 1));
        assert_eq!(bed.people.status(&ann()), Some(Status::Online));
        assert_eq!(bed.told(4_000), [Status::Offline(Timestamp(1_000))]);
        assert_eq!(bed.people.status(&ann()), None);
        bed.ends();
    }

    #[test]
    fn a_reload_is_no_blink() {
        let mut bed = Bed::new();
        bed.people.arrive(&ann());
        assert_eq!(bed.told(0), [Status::Online]);
        bed.leaves(1_000);
        bed.people.arrive(&ann());
        assert_eq!(bed.told(60_000), []);
        bed.leaves(61_000);
        assert_eq!(bed.told(63_999), []);
        assert_eq!(bed.told(64_000), [Status::Offline(Timestamp(61_000))]);
        bed.ends();
    }

    #[test]
    fn the_last_device_decides() {
        let mut bed = Bed::new();
        bed.people.arrive(&ann());
        bed.people.arrive(&ann());
        assert_eq!((bed.told(0), bed.people.here_count()), (vec![Status::Online], 1));
        assert!(!bed.leaves(1));
        assert_eq!(bed.told(60_000), []);
        assert!(bed.leaves(60_001));
        assert_eq!(bed.told(70_000), [Status::Offline(Timestamp(60_001))]);
        assert!(!bed.leaves(70_001), "nothing is left that could leave");
        bed.ends();
    }

    #[test]
    fn only_what_others_do_not_know_is_told() {
        let mut bed = Bed::new();
        bed.people.arrive(&ann());
        bed.leaves(0);
        bed.people.lapse(bed.start + GRACE);
        assert_eq!(bed.people.status(&ann()), Some(Status::Offline(Timestamp(0))));
        assert_eq!(bed.told(3_000), [], "came and went before anybody was told");
        bed.ends();
        bed.people.arrive(&ann());
        assert_eq!(bed.told(3_000), [Status::Online]);
        bed.leaves(4_000);
        bed.people.lapse(bed.start + MS * 7_000);
        bed.people.arrive(&ann());
        assert_eq!(bed.people.here_count(), 1);
        assert_eq!(bed.told(7_000), [], "is back before anybody was told");
        assert_eq!(bed.people.here().count(), 1);
    }

    #[test]
    fn a_status_that_changes_while_it_is_being_told_is_told_next() {
        let mut bed = Bed::new();
        bed.people.arrive(&ann());
        let user = bed.people.next().unwrap();
        bed.leaves(0);
        bed.people.lapse(bed.start + GRACE);
        assert_eq!(bed.people.settle(&user).told, None);
        bed.ends();
        bed.people.arrive(&ann());
        let user = bed.people.next().unwrap();
        assert_eq!(bed.people.settle(&user).told, Some(Status::Online));
        bed.leaves(1);
        bed.people.lapse(bed.start + MS + GRACE);
        assert_eq!(bed.told(0), [Status::Offline(Timestamp(1))]);
        bed.ends();
    }

    #[test]
    fn changes_are_told_in_their_order() {
        let mut people = People::default();
        let users: Vec<_> = ["a", "b", "c"].map(|name| UserId::parse(name).unwrap()).into();
        users.iter().for_each(|user| people.arrive(user));
        let queued: Vec<_> = std::iter::from_fn(|| people.next()).collect();
        assert_eq!(queued, users);
    }

    #[test]
    fn those_who_leave_are_bounded() {
        let mut bed = Bed::new();
        for n in 0..=MAX_LEAVING {
            let user = UserId::parse(&n.to_string()).unwrap();
            bed.people.arrive(&user);
            if let Some(next) = bed.people.next() {
                bed.people.settle(&next);
            }
            bed.people.leave(&user, bed.start, Timestamp(0));
        }
        assert_eq!(bed.people.leaving.len(), MAX_LEAVING);
        assert_eq!(bed.people.next().unwrap().as_str(), "0");
    }
}
