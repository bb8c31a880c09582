//! Who is online. Pure: it is given the time and tells nobody itself.
//!
//! A user with a socket is online, and stays so for a moment after the last one has gone: a page
//! that is loaded again is no absence. Whoever's status is not what was told last waits in a queue,
//! once, in the order of the changes; what is told is how it is when their turn comes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Timestamp, UserId};

/// How long a user without a socket is online still.
const GRACE: Duration = Duration::from_secs(3);
/// Users in that state at the most; at one more, the first of them is offline at once.
const MAX_LEAVING: usize = 100_000;
/// Users who may wait to be told of. Who comes on top is told of with their next socket.
const MAX_QUEUED: usize = 100_000;

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
    /// When the last socket went.
    seen: Option<Timestamp>,
    leaves: Option<Leave>,
    /// Whether the others have been told that the user is online.
    is_told: bool,
    is_queued: bool,
}

impl Person {
    fn status(&self) -> Status {
        match self.seen {
            Some(at) if self.sockets == 0 && self.leaves.is_none() => Status::Offline(at),
            _ => Status::Online,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct People {
    people: HashMap<UserId, Person>,
    leaving: BTreeMap<Leave, UserId>,
    queue: VecDeque<UserId>,
    numbers: u64,
    online: usize,
}

impl People {
    /// A socket of a user has come.
    pub(super) fn arrive(&mut self, user: &UserId) {
        if !self.people.contains_key(user) {
            self.people.insert(user.clone(), Person::default());
            self.online += 1;
        }
        let Some(person) = self.people.get_mut(user) else { return };
        if matches!(person.status(), Status::Offline(_)) {
            self.online += 1;
        }
        person.sockets += 1;
        if let Some(leave) = person.leaves.take() {
            self.leaving.remove(&leave);
        }
        if !person.is_told {
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

    /// Those who have been without a socket for long enough are offline.
    pub(super) fn lapse(&mut self, now: Instant) {
        while self.next_lapse().is_some_and(|at| at <= now) {
            self.lapse_first();
        }
    }

    fn lapse_first(&mut self) {
        let Some((_, user)) = self.leaving.pop_first() else { return };
        let Some(person) = self.people.get_mut(&user) else { return };
        person.leaves = None;
        self.online -= 1;
        if person.is_told {
            self.enqueue(&user);
        } else if !person.is_queued {
            self.people.remove(&user);
        }
    }

    fn enqueue(&mut self, user: &UserId) {
        let Some(person) = self.people.get_mut(user) else { return };
        // The end of what was told is told in any case.
        let has_room = self.queue.len() < MAX_QUEUED || person.is_told;
        if has_room && !std::mem::replace(&mut person.is_queued, true) {
            self.queue.push_back(user.clone());
        }
    }

    /// The next user whose status may have changed. It is settled by [`People::settle`], in the
    /// order of these calls.
    pub(super) fn next(&mut self) -> Option<UserId> {
        self.queue.pop_front()
    }

    /// What the others are to be told of a user now, where they do not know it. It counts as told.
    pub(super) fn settle(&mut self, user: &UserId) -> Option<Status> {
        let person = self.people.get_mut(user)?;
        person.is_queued = false;
        let (status, was_told) = (person.status(), person.is_told);
        person.is_told = status == Status::Online;
        if status != Status::Online {
            self.people.remove(user);
        }
        (was_told != (status == Status::Online)).then_some(status)
    }

    /// How a user is; `None` for one who is not here and was not a moment ago.
    pub(super) fn status(&self, user: &UserId) -> Option<Status> {
        self.people.get(user).map(Person::status)
    }

    /// How many are online.
    pub(super) fn online(&self) -> usize {
        self.online
    }

    /// Whether a user has a socket.
    pub(super) fn is_here(&self, user: &UserId) -> bool {
        self.people.get(user).is_some_and(|person| person.sockets > 0)
    }

    /// Everybody who has a socket.
    pub(super) fn here(&self) -> impl Iterator<Item = &UserId> {
        self.people.iter().filter(|(_, person)| person.sockets > 0).map(|(user, _)| user)
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
                told.extend(self.people.settle(&user));
            }
            told
        }

        fn ends(&self) {
            let people = &self.people;
            assert!(people.people.is_empty() && people.leaving.is_empty(), "{people:?}");
            assert!(people.queue.is_empty() && people.online == 0, "{people:?}");
        }
    }

    #[test]
    fn a_user_is_online_at_once_and_offline_after_a_moment() {
        let mut bed = Bed::new();
        assert_eq!(bed.people.status(&ann()), None);
        bed.people.arrive(&ann());
        assert_eq!(bed.people.status(&ann()), Some(Status::Online));
        assert_eq!((bed.told(0), bed.people.online()), (vec![Status::Online], 1));
        assert!(bed.leaves(1_000));
        assert_eq!((bed.told(3_999), bed.people.online()), (vec![], 1));
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
        assert_eq!((bed.told(0), bed.people.online()), (vec![Status::Online], 1));
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
        assert_eq!(bed.people.online(), 1);
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
        assert_eq!(bed.people.settle(&user), None);
        bed.ends();
        bed.people.arrive(&ann());
        let user = bed.people.next().unwrap();
        assert_eq!(bed.people.settle(&user), Some(Status::Online));
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
