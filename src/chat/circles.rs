//! Who shares what with whom, as far as it matters for presence. Pure: what the store knows is put
//! in from outside.
//!
//! A user's circle is everyone with whom the user has a direct conversation or a group of bounded
//! size. Peers are remembered for many users, here or not, as long as there is room. Groups are
//! looked at from the other side: each has a list of its members who are here, so nobody has to go
//! through all members to find the few who would hear.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::model::{GroupId, UserId};

/// Peers of one user that are told of a change. Who has more is a service rather than a person.
pub(super) const MAX_PEERS: usize = 10_000;
/// Groups of one user whose members are told of a change, the newest ones.
pub(super) const MAX_GROUPS: usize = 1_000;
/// Peers and groups remembered over all users: at about 64 bytes each, below 64 MB.
const REMEMBERED: u64 = 1_000_000;
/// Users that the memory expects; it grows and shrinks by peers.
const USERS: usize = 10_000;
/// Members in the lists of all groups. Who comes on top hears of direct peers alone.
const MAX_LISTED: usize = 1_000_000;
/// Users who are remembered as those who came last.
const NEWCOMERS: usize = 256;

/// What is known of one user.
#[derive(Debug, Clone, Default)]
struct Known {
    peers: HashSet<UserId>,
    groups: HashSet<GroupId>,
    /// Whether the store has said all that it knows; all later is added as it happens.
    is_complete: bool,
    /// Groups that changed while the store was asked: its answer may be older than that.
    changed: HashSet<GroupId>,
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<UserId, Known> for BySize {
    fn weight(&self, _: &UserId, known: &Known) -> u64 {
        (known.peers.len() + known.groups.len() + known.changed.len()) as u64 + 1
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Circles {
    /// Most members of a group that counts.
    group_limit: usize,
    known: Cache<UserId, Known, BySize>,
    /// Those who hear, and the groups in whose lists they are.
    here: HashMap<UserId, HashSet<GroupId>>,
    /// Those who hear and came last, the last one first.
    newcomers: VecDeque<UserId>,
    lists: HashMap<GroupId, HashSet<UserId>>,
    listed: usize,
}

impl Circles {
    /// Nobody knows anybody.
    pub(super) fn new(group_limit: usize) -> Self {
        let known = Cache::with_weighter(USERS, REMEMBERED, BySize);
        let (here, lists) = (HashMap::new(), HashMap::new());
        Self { group_limit, known, here, newcomers: VecDeque::new(), lists, listed: 0 }
    }

    /// Most members of a group that counts.
    pub(super) fn group_limit(&self) -> usize {
        self.group_limit
    }

    /// Whether all is known of a user.
    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.known.peek(user).is_some_and(|known| known.is_complete)
    }

    /// The store is being asked about a user: what happens from here on is remembered beside its
    /// answer.
    pub(super) fn ask(&mut self, user: &UserId) {
        if self.known.peek(user).is_none() {
            self.known.insert(user.clone(), Known::default());
        }
    }

    /// The store has answered.
    pub(super) fn learn(&mut self, user: &UserId, peers: Vec<UserId>, groups: Vec<GroupId>) {
        let mut known = self.known.remove(user).map(|(_, known)| known).unwrap_or_default();
        known.peers.extend(peers);
        let changed = std::mem::take(&mut known.changed);
        known.groups.extend(groups.into_iter().filter(|group| !changed.contains(group)));
        known.is_complete = true;
        self.known.insert(user.clone(), known);
    }

    /// One user has written to another.
    pub(super) fn wrote(&mut self, from: &UserId, to: &UserId) {
        if from != to {
            self.add_peer(from, to);
            self.add_peer(to, from);
        }
    }

    fn add_peer(&mut self, user: &UserId, peer: &UserId) {
        match self.known.peek(user) {
            Some(known) if known.peers.contains(peer) || known.peers.len() >= MAX_PEERS => {}
            Some(_) => {
                if let Some(mut known) = self.known.get_mut(user) {
                    known.peers.insert(peer.clone());
                }
            }
            None => {
                let peers = HashSet::from([peer.clone()]);
                self.known.insert(user.clone(), Known { peers, ..Known::default() });
            }
        }
    }

    /// A group's members have changed from these to those; it is new or gone where one is empty.
    pub(super) fn regroup(&mut self, group: GroupId, before: &[UserId], after: &[UserId]) {
        let counts = after.len() <= self.group_limit;
        let stay: HashSet<&UserId> = if counts { after.iter().collect() } else { HashSet::new() };
        if before.len() <= self.group_limit {
            for user in before.iter().filter(|user| !stay.contains(user)) {
                self.note(user, group, false);
                self.unlist(user, group);
            }
        }
        for user in stay {
            self.note(user, group, true);
            if self.here.contains_key(user) {
                self.list(user, group);
            }
        }
    }

    /// Remembers of a user who is known that they are in a group, or no longer.
    fn note(&mut self, user: &UserId, group: GroupId, is_member: bool) {
        let Some(mut known) = self.known.get_mut(user) else { return };
        if !is_member {
            known.groups.remove(&group);
        } else if known.groups.len() < MAX_GROUPS {
            known.groups.insert(group);
        }
        if !known.is_complete {
            known.changed.insert(group);
        }
    }

    /// A user hears from now on. Called again, it adds what has been learned since.
    pub(super) fn enter(&mut self, user: &UserId) {
        if let Entry::Vacant(place) = self.here.entry(user.clone()) {
            place.insert(HashSet::new());
            self.newcomers.truncate(NEWCOMERS - 1);
            self.newcomers.push_front(user.clone());
        }
        let groups: Vec<GroupId> = match self.known.peek(user) {
            Some(known) => known.groups.iter().copied().collect(),
            None => Vec::new(),
        };
        for group in groups {
            self.list(user, group);
        }
    }

    /// A user hears no longer.
    pub(super) fn exit(&mut self, user: &UserId) {
        let Some(groups) = self.here.remove(user) else { return };
        self.newcomers.retain(|newcomer| newcomer != user);
        for group in groups {
            self.take_from_list(user, group);
        }
    }

    /// Forgets a user, and with whom they wrote.
    pub(super) fn forget_user(&mut self, user: &UserId) {
        self.known.remove(user);
        let peers = self.known.iter().filter(|(_, known)| known.peers.contains(user));
        let peers: Vec<_> = peers.map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            if let Some(mut known) = self.known.get_mut(&peer) {
                known.peers.remove(user);
            }
        }
    }

    /// Whether a user hears.
    pub(super) fn is_here(&self, user: &UserId) -> bool {
        self.here.contains_key(user)
    }

    fn list(&mut self, user: &UserId, group: GroupId) {
        let Some(groups) = self.here.get_mut(user) else { return };
        if self.listed < MAX_LISTED && groups.insert(group) {
            self.listed += 1;
            self.lists.entry(group).or_default().insert(user.clone());
        }
    }

    fn unlist(&mut self, user: &UserId, group: GroupId) {
        if self.here.get_mut(user).is_some_and(|groups| groups.remove(&group)) {
            self.take_from_list(user, group);
        }
    }

    fn take_from_list(&mut self, user: &UserId, group: GroupId) {
        self.listed -= 1;
        let Some(members) = self.lists.get_mut(&group) else { return };
        members.remove(user);
        if members.is_empty() {
            self.lists.remove(&group);
        }
    }

    /// Those of a user's circle who hear, the user left out.
    pub(super) fn around(&self, user: &UserId) -> HashSet<UserId> {
        let mut around = match self.here.get(user) {
            Some(groups) => self.hearing(self.peers(user), groups),
            None => self.hearing(self.peers(user), &self.groups(user).collect::<Vec<_>>()),
        };
        around.remove(user);
        around
    }

    /// Those of some users, and of the members of some groups, who hear.
    pub(super) fn hearing<'a>(
        &'a self,
        peers: impl IntoIterator<Item = &'a UserId>,
        groups: impl IntoIterator<Item = &'a GroupId>,
    ) -> HashSet<UserId> {
        let members = groups.into_iter().filter_map(|group| self.lists.get(group)).flatten();
        let peers = peers.into_iter().filter(|peer| self.here.contains_key(*peer));
        peers.chain(members).cloned().collect()
    }

    /// Those of who came last who have a conversation with a user.
    pub(super) fn newcomers_with<'a>(
        &'a self,
        user: &'a UserId,
    ) -> impl Iterator<Item = &'a UserId> {
        let knows =
            |peer: &UserId| self.known.peek(peer).is_some_and(|known| known.peers.contains(user));
        self.newcomers.iter().filter(move |peer| knows(peer))
    }

    /// With whom a user is known to have a conversation.
    pub(super) fn peers(&self, user: &UserId) -> impl Iterator<Item = &UserId> {
        self.known.peek(user).into_iter().flat_map(|known| &known.peers)
    }

    /// The groups in which a user is known to be, of those that count.
    pub(super) fn groups(&self, user: &UserId) -> impl Iterator<Item = GroupId> {
        self.known.peek(user).into_iter().flat_map(|known| known.groups.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn users(names: &[&str]) -> Vec<UserId> {
        names.iter().map(|name| user(name)).collect()
    }

    /// Circles in which these users are here, of whom the store knew nothing.
    fn with(names: &[&str]) -> Circles {
        let mut circles = Circles::new(3);
        for name in names {
            come(&mut circles, name, &[], &[]);
        }
        circles
    }

    fn come(circles: &mut Circles, name: &str, peers: &[&str], groups: &[GroupId]) {
        circles.ask(&user(name));
        circles.learn(&user(name), users(peers), groups.to_vec());
        circles.enter(&user(name));
    }

    fn around(circles: &Circles, name: &str) -> Vec<String> {
        let mut names: Vec<_> =
            circles.around(&user(name)).iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    const NOBODY: [&str; 0] = [];

    #[test]
    fn peers_who_are_here_hear() {
        let mut circles = with(&["bob", "eve"]);
        come(&mut circles, "ann", &["bob", "cem"], &[]);
        assert_eq!(around(&circles, "ann"), ["bob"]);
        circles.exit(&user("bob"));
        assert_eq!(around(&circles, "ann"), NOBODY);
    }

    #[test]
    fn whoever_writes_becomes_a_peer_on_both_sides() {
        let mut circles = with(&["ann", "bob"]);
        circles.wrote(&user("ann"), &user("bob"));
        circles.wrote(&user("ann"), &user("ann"));
        assert_eq!(around(&circles, "ann"), ["bob"]);
        assert_eq!(around(&circles, "bob"), ["ann"]);
    }

    #[test]
    fn who_came_last_and_is_there_still_is_found_by_a_peer() {
        let mut circles = with(&["eve", "dan"]);
        come(&mut circles, "ann", &["bob"], &[]);
        come(&mut circles, "cem", &["bob"], &[]);
        circles.exit(&user("cem"));
        let found = |circles: &Circles| {
            circles.newcomers_with(&user("bob")).map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(&circles), ["ann"]);
        for n in 0..NEWCOMERS {
            come(&mut circles, &format!("user{n}"), &[], &[]);
        }
        assert_eq!(found(&circles), NOBODY, "others came after her");
    }

    #[test]
    fn what_was_said_before_a_user_came_counts_without_the_store() {
        let mut circles = with(&["ann"]);
        circles.wrote(&user("ann"), &user("bob"));
        circles.enter(&user("bob"));
        assert_eq!(around(&circles, "bob"), ["ann"]);
        assert!(!circles.knows(&user("bob")), "the store may know more");
        circles.ask(&user("bob"));
        circles.learn(&user("bob"), users(&["cem"]), vec![]);
        assert!(circles.knows(&user("bob")));
        assert_eq!(around(&circles, "bob"), ["ann"]);
    }

    #[test]
    fn who_is_forgotten_is_nobodys_peer_any_more() {
        let mut circles = with(&["bob", "cem"]);
        come(&mut circles, "ann", &["bob", "cem"], &[]);
        circles.wrote(&user("bob"), &user("cem"));
        circles.forget_user(&user("bob"));
        assert_eq!(around(&circles, "ann"), ["cem"]);
        assert_eq!(around(&circles, "cem"), NOBODY, "nobody but Bob has written to Cem");
        assert_eq!(around(&circles, "bob"), NOBODY);
    }

    #[test]
    fn members_of_a_group_hear_each_other() {
        let group = GroupId::mint();
        let mut circles = with(&["eve"]);
        come(&mut circles, "ann", &["bob"], &[group]);
        come(&mut circles, "bob", &["ann"], &[group]);
        assert_eq!(around(&circles, "ann"), ["bob"], "once, however much they share");
        circles.exit(&user("bob"));
        assert_eq!(around(&circles, "ann"), NOBODY);
        circles.exit(&user("ann"));
        assert!(circles.lists.is_empty() && circles.listed == 0, "{circles:?}");
    }

    #[test]
    fn a_change_of_members_counts_at_once() {
        let group = GroupId::mint();
        let mut circles = with(&["ann", "bob", "cem"]);
        let (two, three) = (users(&["ann", "bob"]), users(&["ann", "bob", "cem"]));
        circles.regroup(group, &[], &two);
        assert_eq!(around(&circles, "ann"), ["bob"]);
        circles.regroup(group, &two, &three);
        assert_eq!(around(&circles, "cem"), ["ann", "bob"]);
        circles.regroup(group, &three, &two);
        assert_eq!(around(&circles, "cem"), NOBODY);
        circles.exit(&user("cem"));
        circles.enter(&user("cem"));
        assert_eq!(around(&circles, "cem"), NOBODY, "not after coming back either");
        circles.regroup(group, &two, &[]);
        assert_eq!(around(&circles, "ann"), NOBODY);
        assert!(circles.lists.is_empty() && circles.listed == 0, "{circles:?}");
    }

    #[test]
    fn a_group_counts_while_it_is_small() {
        let group = GroupId::mint();
        let mut circles = with(&["ann", "bob"]);
        let (small, large) = (users(&["ann", "bob", "c"]), users(&["ann", "bob", "c", "d"]));
        circles.regroup(group, &[], &small);
        assert_eq!(around(&circles, "ann"), ["bob"]);
        circles.regroup(group, &small, &large);
        assert_eq!(around(&circles, "ann"), NOBODY);
        circles.regroup(group, &large, &small);
        assert_eq!(around(&circles, "ann"), ["bob"]);
    }

    #[test]
    fn an_answer_of_the_store_undoes_no_change_that_came_meanwhile() {
        let group = GroupId::mint();
        let mut circles = with(&["bob"]);
        circles.ask(&user("ann"));
        circles.wrote(&user("cem"), &user("ann"));
        circles.regroup(group, &users(&["ann", "bob"]), &users(&["bob"]));
        circles.learn(&user("ann"), vec![], vec![group]);
        circles.enter(&user("ann"));
        come(&mut circles, "cem", &[], &[]);
        circles.regroup(group, &users(&["bob"]), &users(&["bob", "cem"]));
        assert_eq!(around(&circles, "ann"), ["cem"], "by the message, not by the group");
    }

    #[test]
    fn peers_are_bounded() {
        let mut circles = with(&["ann"]);
        for n in 0..=MAX_PEERS {
            circles.wrote(&user("ann"), &user(&n.to_string()));
        }
        assert_eq!(circles.known.peek(&user("ann")).unwrap().peers.len(), MAX_PEERS);
    }
}
