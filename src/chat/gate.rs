//! The instant of acceptance: one lock under which membership is looked up, ids and times are
//! given, and ops enter the buffer. So the order of the times is the order of the buffer, and no
//! message enters a group after its sender has left it.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

use super::stamp::Stamp;
use crate::error::Error;
use crate::model::{GroupId, MessageId, Timestamp, UserId};
use crate::store::Store;

/// Members remembered over all groups. At about 64 bytes each, the cache stays below 64 MB.
const CACHED_MEMBERS: u64 = 1_000_000;

/// Groups that the cache expects; it grows and shrinks by members.
const CACHED_GROUPS: usize = 10_000;

/// Changes of one group wait for each other; groups rarely share a lock.
const STRIPES: usize = 64;

/// Who is in a group.
pub(super) type Members = HashSet<UserId>;

struct ByMembers;

impl Weighter<GroupId, Arc<Members>> for ByMembers {
    fn weight(&self, _: &GroupId, members: &Arc<Members>) -> u64 {
        members.len() as u64 + 1
    }
}

struct State {
    stamp: Stamp,
    groups: Cache<GroupId, Arc<Members>, ByMembers>,
}

/// See the module.
pub(super) struct Gate {
    state: Mutex<State>,
    stripes: Vec<AsyncMutex<()>>,
}

/// What can be done inside the gate; nothing in it waits.
pub(super) struct Inside<'a>(&'a mut State);

impl Inside<'_> {
    /// The next message's id and time.
    pub(super) fn stamp(&mut self, now: Timestamp) -> (MessageId, Timestamp) {
        self.0.stamp.next(now)
    }

    /// Whether a user is in a group; `None` when the group has to be loaded first.
    pub(super) fn is_member(&self, group: GroupId, user: &UserId) -> Option<bool> {
        self.0.groups.get(&group).map(|members| members.contains(user))
    }

    /// A user has become a member, or is one no longer. Who is in the group now, where that is in
    /// memory: a group of thousands is not read again for one of them.
    pub(super) fn set_member(
        &mut self,
        group: GroupId,
        user: &UserId,
        is_member: bool,
    ) -> Option<Arc<Members>> {
        let mut members = self.0.groups.get_mut(&group)?;
        let set = Arc::make_mut(&mut members);
        if is_member {
            set.insert(user.clone());
        } else {
            set.remove(user);
        }
        Some(Arc::clone(&members))
    }

    /// Forgets a group that is about to end, or of which nobody knows what became of a change.
    pub(super) fn forget(&mut self, group: GroupId) {
        self.0.groups.remove(&group);
    }
}

impl Gate {
    /// `floor` is the latest time of any message so far.
    pub(super) fn new(floor: Timestamp) -> Self {
        let groups = Cache::with_weighter(CACHED_GROUPS, CACHED_MEMBERS, ByMembers);
        let stripes = std::iter::repeat_with(AsyncMutex::default).take(STRIPES).collect();
        Self { state: Mutex::new(State { stamp: Stamp::after(floor), groups }), stripes }
    }

    /// Runs `act` alone inside the gate.
    pub(super) fn enter<T>(&self, act: impl FnOnce(&mut Inside<'_>) -> T) -> T {
        act(&mut Inside(&mut self.state.lock()))
    }

    /// Keeps other changes and loads of a group waiting. A change holds this from before it
    /// writes to the store until it has called [`Inside::set_member`] or [`Inside::forget`], so that
    /// no load can put back what it read before the change.
    pub(super) async fn change(&self, group: GroupId) -> AsyncMutexGuard<'_, ()> {
        let [.., low] = group.0.bytes();
        self.stripes[usize::from(low) % STRIPES].lock().await
    }

    /// A group's members, from memory or from the store; `NotFound` when there is no such group.
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
        if let Some(members) = self.cached(group) {
            return Ok(members);
        }
        let found = store.group(group).await?;
        let found = found.ok_or(Error::NotFound("Group not found".into()))?;
        let members: Arc<Members> = Arc::new(found.members.into_iter().collect());
        self.state.lock().groups.insert(group, Arc::clone(&members));
        Ok(members)
    }

    fn cached(&self, group: GroupId) -> Option<Arc<Members>> {
        self.state.lock().groups.get(&group).cloned()
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
        let group = Group { id: group, name, members, created_by, created_at };
        store.create_group(&group).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_group_that_has_changed_is_unknown_until_it_is_loaded_again() {
        let (group, ann) = (GroupId::mint(), UserId::parse("ann").unwrap());
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0));
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
    async fn a_member_who_comes_or_goes_is_known_without_the_store() {
        let (group, [ann, bob]) =
            (GroupId::mint(), ["ann", "bob"].map(|name| UserId::parse(name).unwrap()));
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0));
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
    async fn a_load_waits_for_the_change_of_its_group() {
        let (group, ann) = (GroupId::mint(), UserId::parse("ann").unwrap());
        let (_folder, store) = store(group, &ann).await;
        let gate = Gate::new(Timestamp(0));
        let change = gate.change(group).await;
        let mut load = std::pin::pin!(gate.load(&store, group));
        assert!(load.as_mut().now_or_never().is_none());
        store.remove_member(group, &ann).await.unwrap();
        drop(change);
        assert!(!load.await.unwrap().contains(&ann));
    }
}
