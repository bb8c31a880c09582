//! Presence: who is online, and who is told when that changes.
//!
//! A change is told to the user's circle ([`super::circles`]), which the store may have to be asked
//! for. Several changes are prepared at the same time and told strictly in their order. A user who
//! comes hears every later change, because all later ones are told after the user has entered.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{OptionFuture, try_join};
use futures_util::stream::{self, FuturesOrdered};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Chat;
use super::circles::{Circles, MAX_GROUPS, MAX_PEERS};
use super::gate::Members;
use super::last_seen::Unsaved;
use super::people::{People, Settled, Status};
use crate::cluster::{Circle, News};
use crate::model::{Audience, Event, GroupId, Presence, Timestamp, UserId};

/// Changes that are prepared at the same time; each asks the store for two things at the most.
const AT_ONCE: usize = 8;
/// How long a change waits for the store. After that, those are told who are known.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the store is left alone when it has not answered in time.
const PAUSE: Duration = Duration::from_secs(3);

/// Users who may wait to be cleared up.
const MAX_UNCLEAR: usize = 100_000;

/// What is known of users, under one lock.
pub(super) struct Company {
    pub(super) people: People,
    pub(super) circles: Circles,
    pub(super) unsaved: Unsaved,
    /// Users who are here and of whose circle the store has not told yet.
    unclear: VecDeque<UserId>,
    /// When the store may be asked again after it has not answered.
    ask_again: Option<Instant>,
}

/// See the module.
pub(super) struct Watch {
    company: Mutex<Company>,
    /// Somebody came or left.
    pub(super) changed: Notify,
    /// There is something to save.
    pub(super) to_save: Notify,
    /// Nothing is told any more.
    pub(super) ended: CancellationToken,
}

impl Watch {
    pub(super) fn new(group_limit: usize) -> Self {
        let company = Company {
            people: People::default(),
            circles: Circles::new(group_limit),
            unsaved: Unsaved::default(),
            unclear: VecDeque::new(),
            ask_again: None,
        };
        let (changed, to_save) = (Notify::new(), Notify::new());
        Self { company: Mutex::new(company), changed, to_save, ended: CancellationToken::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Company> {
        self.company.lock()
    }

    /// One user has written to another.
    pub(super) fn wrote(&self, from: &UserId, to: &UserId) {
        self.lock().circles.wrote(from, to);
    }

    /// Those of a group's members who have a socket, on whatever node; whoever comes later finds all of
    /// now in the store. Looks through the members or through who is here, whichever are fewer.
    pub(super) fn here_of(&self, members: &Members) -> Vec<UserId> {
        let company = self.lock();
        let people = &company.people;
        if people.online_count() < members.len() || members.iter().next().is_none() {
            people.all_online().filter(|user| members.contains(user)).cloned().collect()
        } else {
            members.iter().filter(|user| people.is_online(user)).cloned().collect()
        }
    }

    /// The members of a group, unless it is so large that it counts for nobody's circle, whoever
    /// comes or goes.
    pub(super) fn if_small(&self, members: &Members) -> Option<Vec<UserId>> {
        let limit = self.lock().circles.group_limit();
        (!members.are_more_than(limit + 1)).then(|| members.iter().cloned().collect())
    }

    /// A group's members have changed from these to those; it is new or gone where one is empty.
    pub(super) fn regroup(&self, group: GroupId, before: &[UserId], after: &[UserId]) {
        self.lock().circles.regroup(group, before, after);
    }
}

impl Company {
    /// The next user of whom something may have to be told.
    fn next(&mut self, now: Instant) -> Option<UserId> {
        self.people.lapse(now);
        if let Some(user) = self.people.next() {
            return Some(user);
        }
        if self.may_ask(now) { self.unclear.pop_front() } else { None }
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.ask_again.is_none_or(|at| at <= now)
    }

    /// When to look again although nothing happens.
    fn next_look(&self) -> Option<Instant> {
        let unclear = self.ask_again.filter(|_| !self.unclear.is_empty());
        [self.people.next_lapse(), unclear].into_iter().flatten().min()
    }

    /// What is to be told of a user, and to whom, here and on other nodes. It counts as told.
    fn settle(&mut self, user: &UserId, now: Timestamp) -> Settlement {
        let before = self.circles.around(user);
        let heard_before = self.circles.is_here(user);
        let Settled { told: status, announced } = self.people.settle(user);
        let mut to = if status.is_some() { before.clone() } else { HashSet::new() };
        if self.people.is_here_still(user) {
            self.circles.enter(user);
            if status.is_some() || heard_before {
                to = self.circles.around(user);
            }
            if status.is_none() {
                // Only those hear whom the store has just added.
                to.retain(|peer| !before.contains(peer));
            }
            if !self.circles.knows(user) && self.unclear.len() < MAX_UNCLEAR {
                self.unclear.push_back(user.clone());
            }
        } else {
            self.circles.exit(user);
        }
        let circle = || status.map(|_| self.circle(user));
        let announced = announced.map(|announced| match announced {
            Status::Online => News::Came { user: user.clone(), circle: circle() },
            Status::Offline(at) => News::Went { user: user.clone(), at, circle: circle() },
        });
        let (is_online, last_seen) = match status {
            Some(Status::Offline(at)) => (false, at),
            _ => (true, now),
        };
        let presence = Presence { user: user.clone(), is_online, last_seen: Some(last_seen) };
        Settlement { presence, to: to.into_iter().collect(), announced }
    }

    /// Who hears of a user on other nodes.
    fn circle(&self, user: &UserId) -> Circle {
        let is_elsewhere = |peer: &&UserId| self.people.is_elsewhere(peer);
        let peers = self.circles.peers(user).filter(is_elsewhere).cloned().collect();
        Circle { peers, groups: self.circles.groups(user).collect() }
    }
}

/// What is to be told of a user, and to whom.
struct Settlement {
    presence: Presence,
    /// Those on this node; nobody, if they know.
    to: Vec<UserId>,
    /// What the other nodes do not know.
    announced: Option<News>,
}

impl Chat {
    /// A socket of a user has come.
    pub fn arrive(&self, user: &UserId) {
        self.watch.lock().people.arrive(user);
        self.watch.changed.notify_one();
    }

    /// A socket of a user has gone. With the last one the user stops typing, and is offline a
    /// moment later.
    pub fn leave(&self, user: &UserId) {
        let (now, at) = (Instant::now(), self.now());
        let was_last = {
            let mut company = self.watch.lock();
            let was_last = company.people.leave(user, now, at);
            if was_last {
                company.unsaved.add(user, at);
            }
            was_last
        };
        if was_last {
            self.stop_typing_everywhere(user, now);
            self.watch.changed.notify_one();
            self.watch.to_save.notify_one();
        }
    }

    /// How users are, in the order asked. `last_seen` is now for those who are online; for others
    /// it is `None` if they were never there, or if only the store knows and does not answer. Who
    /// has blocked `viewer`, or is blocked, shows nothing.
    pub async fn presence(&self, users: &[UserId], viewer: Option<&UserId>) -> Vec<Presence> {
        let mut found = self.all_presence(users).await;
        if let Some(viewer) = viewer {
            let mut shown = users.to_vec();
            let concerned = [viewer].into_iter().chain(users);
            let learn = |user| self.learn_blocks(user);
            stream::iter(concerned).for_each_concurrent(AT_ONCE, learn).await;
            self.blocks.part(viewer, &mut shown);
            for hidden in found.iter_mut().filter(|row| !shown.contains(&row.user)) {
                (hidden.is_online, hidden.last_seen) = (false, None);
            }
        }
        found
    }

    async fn all_presence(&self, users: &[UserId]) -> Vec<Presence> {
        let now = self.now();
        let mut found: Vec<Presence> = {
            let company = self.watch.lock();
            let look = |user: &UserId| {
                let (is_online, last_seen) = match company.people.status(user) {
                    Some(Status::Online) => (true, Some(now)),
                    Some(Status::Offline(at)) => (false, Some(at)),
                    None => (false, company.unsaved.of(user)),
                };
                Presence { user: user.clone(), is_online, last_seen }
            };
            users.iter().map(look).collect()
        };
        let unknown: HashSet<&UserId> =
            found.iter().filter(|p| p.last_seen.is_none()).map(|p| &p.user).collect();
        if unknown.is_empty() {
            return found;
        }
        let unknown: Vec<UserId> = unknown.into_iter().cloned().collect();
        if let Ok(Ok(times)) = timeout(PATIENCE, self.store.last_seen(&unknown)).await {
            for presence in found.iter_mut().filter(|presence| presence.last_seen.is_none()) {
                let time = times.iter().find(|(user, _)| *user == presence.user);
                presence.last_seen = time.map(|(_, at)| *at);
            }
        }
        found
    }

    /// How many users are online on this node.
    pub fn online_users(&self) -> usize {
        self.watch.lock().people.here_count()
    }

    /// Tells changes of presence until [`Chat::end_presence`].
    pub async fn tell_presence(&self) {
        let mut asked = FuturesOrdered::new();
        loop {
            while asked.len() < AT_ONCE {
                let next = self.watch.lock().next(Instant::now());
                let Some(user) = next else { break };
                asked.push_back(self.clear_up(user));
            }
            let has_room = asked.len() < AT_ONCE;
            let look = self.watch.lock().next_look().filter(|_| has_room);
            tokio::select! {
                () = self.watch.ended.cancelled() => return,
                Some(user) = asked.next() => self.tell_of(&user).await,
                () = self.watch.changed.notified(), if has_room => {}
                Some(()) = OptionFuture::from(look.map(sleep_until)) => {}
            }
        }
    }

    /// Asks the store for a user's circle, where it is not known.
    async fn clear_up(&self, user: UserId) -> UserId {
        let limit = {
            let mut company = self.watch.lock();
            if company.circles.knows(&user) || !company.may_ask(Instant::now()) {
                return user;
            }
            company.circles.ask(&user);
            company.circles.group_limit()
        };
        let peers = self.store.peers(&user, MAX_PEERS);
        let groups = self.store.small_groups_of(&user, limit, MAX_GROUPS);
        let answer = timeout(PATIENCE, try_join(peers, groups)).await;
        let mut company = self.watch.lock();
        match answer {
            Ok(Ok((peers, groups))) => company.circles.learn(&user, peers, groups),
            // That the store is away is logged where it is written to.
            Ok(Err(_)) | Err(_) => company.ask_again = Some(Instant::now() + PAUSE),
        }
        drop(company);
        user
    }

    async fn tell_of(&self, user: &UserId) {
        let Settlement { presence, to, .. } = {
            let mut company = self.watch.lock();
            let mut settlement = company.settle(user, self.now());
            // Under the lock, so that no list of who is here comes before the word of who has come.
            if let Some(news) = settlement.announced.take() {
                self.cluster.publish(news);
            }
            settlement
        };
        self.tell_presence_to(to, presence).await;
    }

    pub(super) async fn tell_presence_to(&self, mut to: Vec<UserId>, presence: Presence) {
        self.blocks.part(&presence.user, &mut to);
        if !to.is_empty() {
            self.notify(Audience::Users(to), Event::Presence(presence)).await;
        }
    }

    /// Tells nobody anything more of presence and typing: the server stops, and nobody is offline
    /// because of that.
    pub fn end_presence(&self) {
        self.watch.ended.cancel();
    }
}
