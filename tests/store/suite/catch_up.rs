//! What has changed, for those who were away.

use std::collections::BTreeMap;
use std::sync::Arc;

use banter::model::{
    Batch, Content, Conversation, Deletion, GroupId, Message, MessageChange, MessageId, Place,
    Timestamp, UserId,
};
use banter::store::{Change, ChangesQuery, Store};
use bson::oid::ObjectId;

use crate::make::{
    apply_changes, between, deletion_at, direct, edit, group, hide, in_group, insert, move_cursor,
    read, user,
};

/// A user's copy of what concerns them, kept up by asking for changes alone.
#[derive(Debug)]
pub(crate) struct Follower {
    user: UserId,
    groups: Vec<GroupId>,
    after: Place,
    pub(crate) messages: BTreeMap<MessageId, Message>,
}

impl Follower {
    /// One who has seen nothing.
    pub(crate) fn new(user: UserId, groups: Vec<GroupId>) -> Self {
        let after = Place { version: 0, id: ObjectId::from_bytes([0; 12]) };
        Self { user, groups, after, messages: BTreeMap::new() }
    }

    /// One who has seen everything so far, as the store sees it.
    async fn from_now(store: &dyn Store, name: &str, groups: &[GroupId]) -> Self {
        let mut follower = Self::new(user(name), groups.to_vec());
        follower.catch_up(store, 100).await;
        follower.messages.clear();
        follower
    }

    /// Asks for changes, so many at a time, until there are no more; all of them in order.
    pub(crate) async fn catch_up(&mut self, store: &dyn Store, limit: usize) -> Vec<Change> {
        let mut all = Vec::new();
        loop {
            let query = ChangesQuery {
                user: self.user.clone(),
                groups: self.groups.clone(),
                after: self.after,
                limit,
            };
            let changes = store.changes(&query).await.expect("the store answers");
            assert!(changes.rows.len() <= limit);
            assert!(changes.rows.is_sorted_by(|(a, _), (b, _)| a < b), "{changes:?}");
            assert!(changes.settled <= changes.latest);
            let is_last = changes.rows.len() < limit;
            for (place, change) in changes.rows {
                assert!(place > self.after && place.version <= changes.latest);
                self.after = place;
                self.take(&change);
                all.push(change);
            }
            if is_last {
                return all;
            }
        }
    }

    fn take(&mut self, change: &Change) {
        match change {
            Change::Message(message) => {
                self.messages.insert(message.id, Message::clone(message));
            }
            Change::Deleted { message, .. } => drop(self.messages.remove(message)),
            Change::Membership(_)
            | Change::Group(_)
            | Change::Read { .. }
            | Change::Mute { .. } => {}
        }
    }
}

async fn bury(store: &dyn Store, deletes: Vec<Deletion>) {
    store.apply(&Batch { deletes, ..Batch::default() }).await.expect("deletes are taken");
}

fn ids(changes: &[Change]) -> Vec<MessageId> {
    let id = |change: &Change| match change {
        Change::Message(message) => message.id,
        Change::Deleted { message, .. } => *message,
        other => panic!("no message: {other:?}"),
    };
    changes.iter().map(id).collect()
}

pub(crate) async fn new_changed_and_deleted_messages_come_in_order_to_their_users_alone(
    store: Arc<dyn Store>,
) {
    let store = &*store;
    let team = GroupId::mint();
    let mut alice = Follower::from_now(store, "alice", &[]).await;
    let mut bob = Follower::from_now(store, "bob", &[team]).await;
    let mut eve = Follower::from_now(store, "eve", &[]).await;

    let (first, second) = (direct("alice", "bob", 2), direct("bob", "alice", 1));
    let (to_team, note) = (in_group(team, "alice", 1), direct("bob", "bob", 1));
    insert(store, [&first]).await;
    insert(store, [&second, &to_team]).await;
    insert(store, [&note]).await;

    assert_eq!(ids(&alice.catch_up(store, 10).await), [first.id, second.id]);
    assert_eq!(ids(&bob.catch_up(store, 10).await), [first.id, second.id, to_team.id, note.id]);
    assert_eq!(eve.catch_up(store, 10).await, []);

    bury(store, vec![deletion_at(second.id, 7)]).await;
    apply_changes(store, vec![edit(first.id, "new")]).await;
    let seen = alice.catch_up(store, 10).await;
    let gone = Change::Deleted {
        message: second.id,
        conversation: between("alice", "bob"),
        at: Timestamp(7),
    };
    assert_eq!((ids(&seen), &seen[0]), (vec![second.id, first.id], &gone));
    assert_eq!(alice.messages[&first.id].content, Content::Text("new".to_owned()));
    assert_eq!(alice.catch_up(store, 10).await, [], "and nothing twice");

    let in_team = |id| Deletion { conversation: Conversation::Group(team), ..deletion_at(id, 8) };
    let unseen = MessageId::mint();
    let deletes = vec![in_team(to_team.id), in_team(unseen)];
    bury(store, deletes).await;
    bob.catch_up(store, 10).await;
    assert_eq!(bob.messages.keys().collect::<Vec<_>>(), {
        let mut left = [&first.id, &note.id];
        left.sort();
        left
    });
    assert_eq!(alice.catch_up(store, 10).await, []);
}

pub(crate) async fn a_message_comes_once_as_it_is_now(store: Arc<dyn Store>) {
    let store = &*store;
    let mut bob = Follower::from_now(store, "bob", &[]).await;
    let message = direct("alice", "bob", 1);
    insert(store, [&message]).await;
    apply_changes(store, vec![edit(message.id, "new")]).await;
    apply_changes(store, vec![read(message.id, &["bob"])]).await;
    let seen = bob.catch_up(store, 10).await;
    assert_eq!(ids(&seen), [message.id]);
    let row = &bob.messages[&message.id];
    assert_eq!((&row.content, row.read_by.len()), (&Content::Text("new".to_owned()), 1));
    assert_eq!(row.revisions, [], "what it said before is read one message at a time");
    apply_changes(store, vec![hide(message.id, &["bob"])]).await;
    bob.catch_up(store, 10).await;
    assert!(bob.messages[&message.id].is_hidden_for(&user("bob")));
}

pub(crate) async fn pages_go_on_where_the_last_one_ended(store: Arc<dyn Store>) {
    let store = &*store;
    let team = GroupId::mint();
    let mut bob = Follower::from_now(store, "bob", &[team]).await;
    let rows: Vec<_> = (0..25)
        .map(|at| match at % 3 {
            0 => direct("alice", "bob", at),
            1 => direct("bob", "carol", at),
            _ => in_group(team, "alice", at),
        })
        .collect();
    insert(store, &rows).await;
    let deletes = vec![deletion_at(rows[3].id, 1), deletion_at(rows[6].id, 1)];
    bury(store, deletes).await;
    for limit in [1, 4, 100] {
        let mut fresh = Follower {
            after: bob.after,
            messages: BTreeMap::new(),
            user: user("bob"),
            groups: vec![team],
        };
        assert_eq!(fresh.catch_up(store, limit).await.len(), 25);
        assert_eq!(fresh.messages.len(), 23);
    }
    bob.catch_up(store, 7).await;
    assert_eq!(bob.messages.len(), 23);
}

pub(crate) async fn memberships_and_cursors_come_too(store: Arc<dyn Store>) {
    let store = &*store;
    let (mut ann, mut bob, mut eve) = (
        Follower::from_now(store, "ann", &[]).await,
        Follower::from_now(store, "bob", &[]).await,
        Follower::from_now(store, "eve", &[]).await,
    );
    let team = group("Team", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a group");
    let news = [Change::Membership(team.id)];
    assert_eq!(ann.catch_up(store, 10).await, news);
    assert_eq!(bob.catch_up(store, 10).await, news);
    assert_eq!(eve.catch_up(store, 10).await, []);

    store.add_member(team.id, &user("eve")).await.expect("an answer");
    store.remove_member(team.id, &user("bob")).await.expect("an answer");
    assert_eq!(eve.catch_up(store, 10).await, news);
    assert_eq!(bob.catch_up(store, 10).await, news, "who has left is told so");
    ann.groups = vec![team.id];
    let other = [Change::Group(team.id)];
    assert_eq!(ann.catch_up(store, 10).await, other, "the group has other members now");

    let message = in_group(team.id, "ann", 5);
    insert(store, [&message]).await;
    move_cursor(store, "eve", team.id, &message).await;
    let moved = Change::Read { group: team.id, up_to: message.position() };
    assert_eq!(eve.catch_up(store, 10).await, [moved]);

    store.delete_group(team.id).await.expect("an answer");
    assert_eq!(eve.catch_up(store, 10).await, news);
    assert_eq!(bob.catch_up(store, 10).await, [], "who was gone before is not told");
    assert_eq!(store.group_ids_of(&user("eve"), 10).await.expect("an answer"), []);
}

pub(crate) async fn a_user_of_many_groups_misses_none(store: Arc<dyn Store>) {
    let store = &*store;
    let mut groups: Vec<_> = (0..230).map(|_| GroupId::mint()).collect();
    let mut bob = Follower::from_now(store, "bob", &groups).await;
    let rows: Vec<_> = groups.iter().map(|team| in_group(*team, "alice", 1)).collect();
    insert(store, &rows).await;
    assert_eq!(ids(&bob.catch_up(store, 9).await), rows.iter().map(|m| m.id).collect::<Vec<_>>());
    groups.sort();
    let teams = groups[..2].iter().enumerate().map(|(at, id)| {
        let team = group("Team", &["bob"], at as i64);
        banter::model::Group { id: *id, ..team }
    });
    for team in teams.collect::<Vec<_>>() {
        store.create_group(&team).await.expect("a group");
    }
    let found = store.group_ids_of(&user("bob"), 10).await.expect("an answer");
    assert_eq!(found, [groups[1], groups[0]], "newest first");
    assert_eq!(store.group_ids_of(&user("bob"), 1).await.expect("an answer"), [groups[1]]);
    let change = MessageChange { conversation: rows[0].conversation(), ..edit(rows[0].id, "new") };
    apply_changes(store, vec![change]).await;
    let seen = bob.catch_up(store, 100).await;
    assert!(seen.iter().any(|change| matches!(change, Change::Message(m) if m.id == rows[0].id)));
}
