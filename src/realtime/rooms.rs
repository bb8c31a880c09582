//! Who listens to what on this node: the sockets of each user, and those that have joined a group.
//!
//! The library has rooms, too, and operators are shown those. They hold names of sockets, each of which would have
//! to be looked up, and its session after it, for every message. Here what the fan-out needs of a
//! group's sockets stands in one piece, which it may hold on to while others join and leave.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::RwLock;
use socketioxide::socket::Sid;

use super::outlet::Outlet;
use crate::model::{Audience, GroupId, UserId};

/// A socket's own number. Its id is its connection's, and so that of whoever connects next on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Seat(u64);

/// Sockets that have joined a group, in no order.
type Members = IndexMap<Seat, Outlet>;

/// A socket, and what it has joined.
#[derive(Debug)]
struct Listener {
    socket: Sid,
    outlet: Outlet,
    groups: Vec<GroupId>,
}

#[derive(Debug, Default)]
struct Lists {
    next: u64,
    sockets: HashMap<Seat, Listener>,
    by_user: HashMap<UserId, Vec<Seat>>,
    by_group: HashMap<GroupId, Arc<Members>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rooms(RwLock<Lists>);

/// The sockets that hear something.
#[derive(Debug)]
pub(super) enum Hearers {
    /// Those of a group, without one user's.
    Members { all: Arc<Members>, but: Option<UserId> },
    /// These.
    These(Vec<Outlet>),
}

impl Hearers {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Members { all, .. } => all.is_empty(),
            Self::These(outlets) => outlets.is_empty(),
        }
    }

    pub(super) fn for_each(&self, act: impl FnMut(&Outlet)) {
        match self {
            Self::Members { all, but: None } => all.values().for_each(act),
            Self::Members { all, but: Some(user) } => {
                all.values().filter(|outlet| outlet.user() != user).for_each(act);
            }
            Self::These(outlets) => outlets.iter().for_each(act),
        }
    }
}

impl Rooms {
    /// From here on a socket hears what its user is told.
    pub(super) fn open(&self, socket: Sid, outlet: &Outlet) -> Seat {
        let lists = &mut *self.0.write();
        let seat = Seat(lists.next);
        lists.next += 1;
        let listener = Listener { socket, outlet: outlet.clone(), groups: Vec::new() };
        lists.sockets.insert(seat, listener);
        lists.by_user.entry(outlet.user().clone()).or_default().push(seat);
        seat
    }

    /// A socket hears nothing any more. Called again, it does nothing.
    pub(super) fn close(&self, seat: Seat) {
        let lists = &mut *self.0.write();
        let Some(Listener { outlet, groups, .. }) = lists.sockets.remove(&seat) else { return };
        groups.into_iter().for_each(|group| lists.remove_member(group, seat));
        if let Entry::Occupied(mut seats) = lists.by_user.entry(outlet.user().clone()) {
            seats.get_mut().retain(|other| *other != seat);
            if seats.get().is_empty() {
                seats.remove();
            }
        }
    }

    /// From here on a socket hears what a group is told, unless it is closed.
    pub(super) fn enter(&self, seat: Seat, group: GroupId) {
        let lists = &mut *self.0.write();
        let Some(listener) = lists.sockets.get_mut(&seat) else { return };
        if listener.groups.contains(&group) {
            return;
        }
        listener.groups.push(group);
        let members = Arc::make_mut(lists.by_group.entry(group).or_default());
        members.insert(seat, listener.outlet.clone());
    }

    /// A socket does not hear any more what a group is told.
    pub(super) fn leave(&self, seat: Seat, group: GroupId) {
        let lists = &mut *self.0.write();
        if let Some(listener) = lists.sockets.get_mut(&seat) {
            listener.groups.retain(|other| *other != group);
            lists.remove_member(group, seat);
        }
    }

    /// The sockets of an audience, each with its id.
    pub(super) fn sockets(&self, audience: &Audience) -> Vec<(Seat, Sid)> {
        let lists = self.0.read();
        let members = |group| lists.by_group.get(group).into_iter().flat_map(|all| all.iter());
        let seats: Vec<_> = match audience {
            Audience::Group(group) => members(group).map(|(seat, _)| *seat).collect(),
            Audience::Others { group, than } => {
                let others = members(group).filter(|(_, outlet)| outlet.user() != than);
                others.map(|(seat, _)| *seat).collect()
            }
            Audience::Users(users) => lists.of_users(users).copied().collect(),
            Audience::Everybody => lists.sockets.keys().copied().collect(),
        };
        let with_id = |seat| Some((seat, lists.sockets.get(&seat)?.socket));
        seats.into_iter().filter_map(with_id).collect()
    }

    /// Who hears what is told to an audience.
    pub(super) fn hearers(&self, audience: &Audience) -> Hearers {
        let lists = self.0.read();
        let members = |group| lists.by_group.get(group).map(Arc::clone).unwrap_or_default();
        match audience {
            Audience::Group(group) => Hearers::Members { all: members(group), but: None },
            Audience::Others { group, than } => {
                Hearers::Members { all: members(group), but: Some(than.clone()) }
            }
            Audience::Users(users) => {
                let outlet = |seat| lists.sockets.get(seat).map(|found| found.outlet.clone());
                Hearers::These(lists.of_users(users).filter_map(outlet).collect())
            }
            Audience::Everybody => {
                Hearers::These(lists.sockets.values().map(|found| found.outlet.clone()).collect())
            }
        }
    }
}

impl Lists {
    /// The sockets of users, each of whom counts once.
    fn of_users<'a>(&'a self, users: &[UserId]) -> impl Iterator<Item = &'a Seat> {
        let mut users: Vec<_> = users.iter().collect();
        users.sort_unstable();
        users.dedup();
        users.into_iter().filter_map(|user| self.by_user.get(user)).flatten()
    }

    fn remove_member(&mut self, group: GroupId, seat: Seat) {
        if let Entry::Occupied(mut members) = self.by_group.entry(group) {
            Arc::make_mut(members.get_mut()).swap_remove(&seat);
            if members.get().is_empty() {
                members.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, btree_map};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Open(usize),
        Close(usize),
        Enter(usize, usize),
        Leave(usize, usize),
    }

    const USERS: [&str; 3] = ["ann", "bob", "eve"];
    const GROUPS: usize = 3;
    /// Two of each user.
    const SOCKETS: usize = 2 * USERS.len();

    fn step() -> impl Strategy<Value = Step> {
        let socket = 0..SOCKETS;
        prop_oneof![
            socket.clone().prop_map(Step::Open),
            socket.clone().prop_map(Step::Close),
            (socket.clone(), 0..GROUPS).prop_map(|(socket, group)| Step::Enter(socket, group)),
            (socket, 0..GROUPS).prop_map(|(socket, group)| Step::Leave(socket, group)),
        ]
    }

    fn user(name: &str) -> UserId {
        UserId::from_stored(name)
    }

    fn owner(socket: usize) -> UserId {
        user(USERS[socket % USERS.len()])
    }

    struct Bed {
        rooms: Rooms,
        sockets: Vec<Sid>,
        groups: Vec<GroupId>,
        /// Which sockets are open, and what they have entered.
        model: BTreeMap<usize, BTreeSet<usize>>,
        /// Where each of them was seated last.
        seats: BTreeMap<usize, Seat>,
    }

    impl Bed {
        fn new() -> Self {
            let sockets = (0..SOCKETS).map(|_| Sid::new()).collect();
            let groups = (0..GROUPS).map(|_| GroupId::mint()).collect();
            Self {
                rooms: Rooms::default(),
                sockets,
                groups,
                model: BTreeMap::new(),
                seats: BTreeMap::new(),
            }
        }

        fn take(&mut self, step: &Step) {
            match *step {
                Step::Open(socket) => {
                    if let btree_map::Entry::Vacant(place) = self.model.entry(socket) {
                        place.insert(BTreeSet::new());
                        let id = self.sockets[socket];
                        let outlet = Outlet::for_tests(id.as_str(), &owner(socket));
                        self.seats.insert(socket, self.rooms.open(id, &outlet));
                    }
                }
                Step::Close(socket) => {
                    self.model.remove(&socket);
                    self.seats.get(&socket).inspect(|seat| self.rooms.close(**seat));
                }
                Step::Enter(socket, group) => {
                    self.model.get_mut(&socket).map(|entered| entered.insert(group));
                    let group = self.groups[group];
                    self.seats.get(&socket).inspect(|seat| self.rooms.enter(**seat, group));
                }
                Step::Leave(socket, group) => {
                    self.model.get_mut(&socket).map(|entered| entered.remove(&group));
                    let group = self.groups[group];
                    self.seats.get(&socket).inspect(|seat| self.rooms.leave(**seat, group));
                }
            }
        }

        /// Who hears it, by name.
        fn hear(&self, audience: &Audience) -> Vec<String> {
            names(&self.rooms.hearers(audience))
        }

        /// Who should.
        fn should_hear(&self, hears: impl Fn(usize, &BTreeSet<usize>) -> bool) -> Vec<String> {
            let hearing = self.model.iter().filter(|(socket, entered)| hears(**socket, entered));
            let mut names: Vec<_> =
                hearing.map(|(socket, _)| self.sockets[*socket].to_string()).collect();
            names.sort();
            names
        }

        fn check(&self) {
            for (number, group) in self.groups.iter().enumerate() {
                let (group, than) = (*group, user("ann"));
                let is_in = |entered: &BTreeSet<usize>| entered.contains(&number);
                self.check_one(&Audience::Group(group), |_, entered| is_in(entered));
                self.check_one(&Audience::Others { group, than }, |socket, entered| {
                    is_in(entered) && owner(socket) != user("ann")
                });
            }
            let two = vec![user("ann"), user("bob"), user("ann")];
            self.check_one(&Audience::Users(two.clone()), |socket, _| two.contains(&owner(socket)));
            self.check_one(&Audience::Everybody, |_, _| true);
        }

        fn check_one(&self, audience: &Audience, hears: impl Fn(usize, &BTreeSet<usize>) -> bool) {
            let expected = self.should_hear(hears);
            assert_eq!(self.hear(audience), expected);
            let sockets = self.rooms.sockets(audience).into_iter();
            let mut sockets: Vec<_> = sockets.map(|(_, socket)| socket.to_string()).collect();
            sockets.sort();
            assert_eq!(sockets, expected);
        }
    }

    fn names(hearers: &Hearers) -> Vec<String> {
        let mut names = Vec::new();
        hearers.for_each(|outlet| names.push(outlet.name()));
        names.sort();
        assert!(names.is_empty() || !hearers.is_empty());
        names
    }

    proptest! {
        #[test]
        fn whoever_listens_hears_and_nobody_else(steps in prop::collection::vec(step(), 0..60)) {
            let mut bed = Bed::new();
            for step in &steps {
                bed.take(step);
                bed.check();
            }
            for socket in 0..SOCKETS {
                bed.take(&Step::Close(socket));
            }
            let lists = bed.rooms.0.read();
            let left = (lists.sockets.len(), lists.by_user.len(), lists.by_group.len());
            prop_assert_eq!(left, (0, 0, 0), "nothing is left of who has gone");
        }
    }

    #[test]
    fn whoever_had_the_connection_before_takes_nothing_from_who_has_it_now() {
        let rooms = Rooms::default();
        let (connection, group) = (Sid::new(), GroupId::mint());
        let open = |name| rooms.open(connection, &Outlet::for_tests(name, &user("ann")));
        let (before, now) = (open("before"), open("now"));
        rooms.enter(now, group);
        rooms.leave(before, group);
        rooms.close(before);
        assert_eq!(names(&rooms.hearers(&Audience::Group(group)))[0][..3], *"now");
    }

    #[test]
    fn who_hears_a_message_is_settled_when_it_is_told() {
        let mut bed = Bed::new();
        let steps = [Step::Open(0), Step::Open(1), Step::Enter(0, 0)];
        steps.iter().for_each(|step| bed.take(step));
        let told = bed.rooms.hearers(&Audience::Group(bed.groups[0]));
        bed.take(&Step::Enter(1, 0));
        bed.take(&Step::Leave(0, 0));
        assert_eq!(names(&told), [bed.sockets[0].to_string()]);
        assert_eq!(bed.hear(&Audience::Group(bed.groups[0])), [bed.sockets[1].to_string()]);
    }
}
