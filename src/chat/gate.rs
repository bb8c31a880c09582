//! The instant of acceptance: one lock under which membership is looked up, ids and times are
//! given, and ops enter the buffer. So the order of the times is the order of the buffer, and no
//! message enters a group after its sender has left it.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

use super::not_a_member;
use super::stamp::Stamp;
use crate::error::Error;
use crate::model::{GroupId, Silence, Timestamp, Until, UserId};
use crate::store::Store;

/// Members remembered over all groups. At about 64 bytes each, the cache stays below 64 MB.
const CACHED_MEMBERS: u64 = 1_000_000;

/// Groups that the cache expects; it grows and shrinks by members.
const CACHED_GROUPS: usize = 10_000;

/// Changes of one group wait for each other; groups rarely share a lock.
const STRIPES: usize = 64;

/// Who is in a group.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    listed: HashSet<UserId>,
    /// Whether everybody is, listed or not.
    are_all: bool,
}

impl Members {
    /// Of a group that everybody is in, and that counts as large.
    fn everybody() -> Self {
        Self { listed: HashSet::new(), are_all: true }
    }

    pub(super) fn contains(&self, user: &UserId) -> bool {
        self.are_all || self.listed.contains(user)
    }

    /// Whether there are more of them than so many.
    pub(super) fn are_more_than(&self, number: usize) -> bool {
        self.are_all || self.listed.len() > number
    }

    /// How many are listed.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// Those who are listed.
    pub(super) fn iter(&self) -> impl Iterator<Item = &UserId> {
        self.listed.iter()
    }
}

impl FromIterator<UserId> for Members {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        Self { listed: users.into_iter().collect(), are_all: false }
    }
}

/// What is known of a group.
struct Known {
    members: Arc<Members>,
    /// Who may not speak, members or not. Some may have run out.
    silenced: Vec<Silence>,
}

impl Known {
    async fn load(store: &dyn Store, group: GroupId) -> Result<Self, Error> {
        if group == GroupId::LOBBY {
            return Ok(Self { members: Members::everybody().into(), silenced: Vec::new() });
        }
        let found = store.group(group).await?;
        let found = found.ok_or(Error::NotFound("Group not found".into()))?;
        let members: Members = found.members.into_iter().collect();
        Ok(Self { members: members.into(), silenced: found.silenced })
    }
}

/// What somebody is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    is_member: bool,
    /// Until when they may not speak; also of who has left.
    silenced: Option<Until>,
}

impl Standing {
    /// Refuses who may not speak, member or not.
    pub(super) fn check_speaks(self) -> Result<(), Error> {
        self.silenced.map_or(Ok(()), |until| Err(silenced(until)))
    }

    /// Refuses who is no member, or may not speak.
    pub(super) fn check_speaking_member(self) -> Result<(), Error> {
        if self.is_member { self.check_speaks() } else { Err(not_a_member()) }
    }
}

fn silenced(until: Until) -> Error {
    let text = match until {
        Until::Time(end) => {
            let end = jiff::Timestamp::from_millisecond(end.as_millis()).unwrap_or_default();
            format!("You may not speak in this group until {end}")
        }
        Until::Forever => "You may not speak in this group".to_owned(),
    };
    Error::Forbidden(text.into())
}

struct ByMembers;

impl Weighter<GroupId, Known> for ByMembers {
    fn weight(&self, _: &GroupId, known: &Known) -> u64 {
        (known.members.len() + known.silenced.len()) as u64 + 1
    }
}

struct State {
    /// How many changes of other nodes were heard, by the groups' stripes: what is loaded meanwhile
    /// may be what was before.
    heard: [u64; STRIPES],
    stamp: Stamp,
    groups: Cache<GroupId, Known, ByMembers>,
}

/// The stripe of a group.
fn stripe(group: GroupId) -> usize {
    let [.., low] = group.0.bytes();
    usize::from(low) % STRIPES
}

/// See the module.
pub(super) struct Gate {
    state: Mutex<State>,
    stripes: Vec<AsyncMutex<()>>,
}

/// What can be done inside the gate; nothing in it waits.
pub(super) struct Inside<'a>(&'a mut State);

impl Inside<'_> {
    /// What gives messages their ids and times.
    pub(super) fn stamp(&mut self) -> &mut Stamp {
        &mut self.0.stamp
    }

    /// Whether a user is in a group; `None` when the group has to be loaded first.
    pub(super) fn is_member(&self, group: GroupId, user: &UserId) -> Option<bool> {
        self.0.groups.get(&group).map(|known| known.members.contains(user))
    }

    /// What a user is in a group; `None` when the group has to be loaded first.
    pub(super) fn standing(
        &self,
        group: GroupId,
        user: &UserId,
        now: Timestamp,
    ) -> Option<Standing> {
        let known = self.0.groups.get(&group)?;
        let silence = known.silenced.iter().find(|silence| silence.user == *user);
        let silence = silence.filter(|silence| silence.until.holds_at(now));
        let is_member = known.members.contains(user);
        Some(Standing { is_member, silenced: silence.map(|silence| silence.until) })
    }

    /// Who may not speak in a group is another one now.
    pub(super) fn set_silenced(&mut self, group: GroupId, silenced: Vec<Silence>) {
        if let Some(mut known) = self.0.groups.get_mut(&group) {
            known.silenced = silenced;
        }
    }

    /// A user has become a member, or is one no longer. Who is in the group now, where that is in
    /// memory: a group of thousands is not read again for one of them.
    pub(super) fn set_member(
        &mut self,
        group: GroupId,
        user: &UserId,
        is_member: bool,
    ) -> Option<Arc<Members>> {
        let mut known = self.0.groups.get_mut(&group)?;
        let listed = &mut Arc::make_mut(&mut known.members).listed;
        if is_member {
            listed.insert(user.clone());
        } else {
            listed.remove(user);
        }
        Some(Arc::clone(&known.members))
    }

    /// Forgets a group that is about to end, or of which nobody knows what became of a change.
    pub(super) fn forget(&mut self, group: GroupId) {
        self.0.groups.remove(&group);
    }

    /// Forgets every group: the store has changed behind them.
    pub(super) fn forget_all(&mut self) {
        self.0.groups.clear();
    }
}

impl Gate {
    /// `floor` is the latest time of any message so far, `process` what the new ids have in common.
    pub(super) fn new(floor: Timestamp, process: [u8; 5]) -> Self {
        let groups = Cache::with_weighter(CACHED_GROUPS, CACHED_MEMBERS, ByMembers);
        let stripes = std::iter::repeat_with(AsyncMutex::default).take(STRIPES).collect();
        Self {
            state: Mutex::new(State {
                heard: [0; STRIPES],
                stamp: Stamp::after(floor, process),
                groups,
            }),
            stripes,
        }
    }

    /// Runs `act` alone inside the gate.
    pub(super) fn enter<T>(&self, act: impl FnOnce(&mut Inside<'_>) -> T) -> T {
        act(&mut Inside(&mut self.state.lock()))
    }

    /// Keeps other changes and loads of a group waiting. A change holds this from before it writes
    /// to the store until it has called [`Inside::set_member`] or [`Inside::forget`], so that no
    /// load can put back what it read before the change.
    pub(super) async fn change(&self, group: GroupId) -> AsyncMutexGuard<'_, ()> {
        self.stripes[stripe(group)].lock().await
    }

    /// A group's members, from memory or from the store; `NotFound` when there is no such group.
    /// Those of the lobby, which no store knows, are everybody.
    pub(super) async fn load(
        &self,
        store: &dyn Store,
        group: GroupId,
    ) -> Result<Arc<Members>, Error> {
        if let Some(members) = self.cached(group) {
            return Ok(members);
        }
        let _changes_wait = self.change(group).await;
        self.load_alone(store, group).await
    }

    /// The same for whoever holds [`Gate::change`].
    pub(super) async fn load_alone(
        &self,
        store: &dyn Store,
        group: GroupId,
    ) -> Result<Arc<Members>, Error> {
        loop {
            if let Some(members) = self.cached(group) {
                return Ok(members);
            }
            let heard = self.state.lock().heard[stripe(group)];
            let known = Known::load(store, group).await?;
            let members = Arc::clone(&known.members);
            let mut state = self.state.lock();
            if state.heard[stripe(group)] == heard {
                state.groups.insert(group, known);
                return Ok(members);
            }
        }
    }

    /// Another node has let a user in, or taken one out.
    pub(super) fn hear_member(&self, group: GroupId, user: &UserId, is_member: bool) {
        let mut state = self.state.lock();
        state.heard[stripe(group)] += 1;
        Inside(&mut state).set_member(group, user, is_member);
    }

    /// Another node has changed a group.
    pub(super) fn hear_change(&self, group: GroupId) {
        let mut state = self.state.lock();
        state.heard[stripe(group)] += 1;
        Inside(&mut state).forget(group);
    }

    /// Other nodes may have changed any group.
    pub(super) fn hear_gap(&self) {
        let mut state = self.state.lock();
        state.heard.iter_mut().for_each(|heard| *heard += 1);
        Inside(&mut state).forget_all();
    }

    fn cached(&self, group: GroupId) -> Option<Arc<Members>> {
        self.state.lock().groups.get(&group).map(|known| Arc::clone(&known.members))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::Group;
    use crate::store::sqlite::SqliteStore;

    async fn store(group: GroupId, member: &UserId) -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("test.db")).unwrap();
        store.prepare().await.unwrap();
        let (name, created_at) = ("Friends".to_owned(), Timestamp(0));
        let (members, created_by) = (vec![member.clone()], member.clone());
        let owner = created_by.clone();
        let (admins, silenced) = (Vec::new(), Vec::new());
        let group = Group {
            id: group,
            name,
            members,
            created_by,
            created_at,
            owner,
            admins,
            silenced,
            is_public: false,
        };
        store.create_group(&group).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_group_that_has_changed_is_unknown_until_it_is_loaded_again() {
        let (group, ann) = (GroupId::mint(), UserId::parse("ann").unwrap());
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0), rand::random());
        let is_member = || gate.enter(|inside| inside.is_member(group, &ann));
        assert_eq!(is_member(), None);
        gate.load(&store, group).await.unwrap();
        assert_eq!(is_member(), Some(true));
        store.remove_member(group, &ann).await.unwrap();
        gate.enter(|inside| inside.forget(group));
        assert_eq!(is_member(), None);
        gate.load(&store, group).await.unwrap();
        assert_eq!(is_member(), Some(false));
    }

    #[tokio::test]
    async fn everybody_is_in_the_lobby_which_no_store_knows() {
        let ann = UserId::parse("ann").unwrap();
        let (_folder, store) = store(GroupId::mint(), &ann).await;
        let gate = Gate::new(Timestamp(0), rand::random());
        let members = gate.load(&store, GroupId::LOBBY).await.unwrap();
        assert!(members.contains(&ann) && members.are_more_than(usize::MAX));
        assert_eq!(members.iter().count(), 0);
        let standing =
            gate.enter(|inside| inside.standing(GroupId::LOBBY, &ann, Timestamp(0))).unwrap();
        assert!(standing.check_speaking_member().is_ok());
    }

    #[tokio::test]
    async fn a_member_who_comes_or_goes_is_known_without_the_store() {
        let (group, [ann, bob]) =
            (GroupId::mint(), ["ann", "bob"].map(|name| UserId::parse(name).unwrap()));
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0), rand::random());
        let set = |user: &UserId, is_member| {
            gate.enter(|inside| inside.set_member(group, user, is_member)).map(|now| now.len())
        };
        let is_member = |user: &UserId| gate.enter(|inside| inside.is_member(group, user));
        assert_eq!(set(&bob, true), None, "of a group that is not in memory nothing is known");
        assert_eq!(is_member(&bob), None);
        let before = gate.load(&store, group).await.unwrap();
        assert_eq!(set(&bob, true), Some(2));
        assert_eq!(is_member(&bob), Some(true));
        assert_eq!(before.len(), 1, "who has looked before sees what was then");
        assert_eq!(set(&ann, false), Some(1));
        assert_eq!(is_member(&ann), Some(false));
    }

    #[tokio::test]
    async fn who_is_silenced_may_not_speak_member_or_not_until_it_is_over() {
        let (group, [ann, bob]) =
            (GroupId::mint(), ["ann", "bob"].map(|name| UserId::parse(name).unwrap()));
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0), rand::random());
        let standing =
            |user: &UserId, now| gate.enter(|inside| inside.standing(group, user, Timestamp(now)));
        let speaks = |user: &UserId, now| standing(user, now).unwrap().check_speaks().is_ok();
        assert_eq!(standing(&ann, 0), None, "nothing is known");
        gate.load(&store, group).await.unwrap();
        assert!(speaks(&ann, 0) && speaks(&bob, 0));
        assert!(standing(&ann, 0).unwrap().check_speaking_member().is_ok());
        assert!(standing(&bob, 0).unwrap().check_speaking_member().is_err(), "he is no member");

        let until = [(&ann, Until::Time(Timestamp(5))), (&bob, Until::Forever)];
        let silenced = until.map(|(user, until)| Silence { user: user.clone(), until });
        gate.enter(|inside| inside.set_silenced(group, silenced.to_vec()));
        assert!(!speaks(&ann, 4) && speaks(&ann, 5));
        assert!(!speaks(&bob, 5), "he may come back");
        assert!(standing(&ann, 4).unwrap().check_speaking_member().is_err());
    }

    #[tokio::test]
    async fn a_load_waits_for_the_change_of_its_group() {
        let (group, ann) = (GroupId::mint(), UserId::parse("ann").unwrap());
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0), rand::random());
        let change = gate.change(group).await;
        let mut load = std::pin::pin!(gate.load(&store, group));
        assert!(load.as_mut().now_or_never().is_none());
        store.remove_member(group, &ann).await.unwrap();
        drop(change);
        assert!(!load.await.unwrap().contains(&ann));
    }
}
