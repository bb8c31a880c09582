//! The groups that are public, and what somebody sees of all groups.

use std::sync::Arc;

use banter::model::{Group, GroupChange, GroupId, Room, Timestamp};
use banter::store::Store;

use crate::make::{group, user};

async fn create(store: &dyn Store, groups: &[&Group]) {
    for group in groups {
        store.create_group(group).await.expect("a new group");
    }
}

fn public(group: Group) -> Group {
    Group { is_public: true, ..group }
}

/// What somebody sees of a group in the list.
fn room(group: &Group, viewer: &str) -> Room {
    let (member_count, is_member) = (group.members.len(), group.has(&user(viewer)));
    Room { group: Group { members: Vec::new(), ..group.clone() }, member_count, is_member }
}

async fn rooms(
    store: &dyn Store,
    viewer: &str,
    before: Option<(Timestamp, GroupId)>,
    limit: usize,
) -> Vec<Room> {
    store.rooms(&user(viewer), before, limit).await.expect("the store answers")
}

async fn names(store: &dyn Store, viewer: &str) -> Vec<String> {
    rooms(store, viewer, None, 100).await.into_iter().map(|room| room.group.name).collect()
}

async fn found(store: &dyn Store, text: &str, viewer: &str, limit: usize) -> Vec<Group> {
    store.search_groups(text, Some(&user(viewer)), limit).await.expect("the store answers")
}

async fn set_public(store: &dyn Store, group: &mut Group, is_public: bool) {
    let change = GroupChange::Public(is_public);
    change.make(group);
    assert!(store.change_group(group.id, &change).await.expect("the store answers"), "it is there");
}

pub(crate) async fn a_public_group_comes_back_public_until_it_is_made_private(
    store: Arc<dyn Store>,
) {
    let store = &*store;
    let mut open = public(group("open", &["ann"], 1));
    let mut closed = group("closed", &["ann"], 2);
    create(store, &[&open, &closed]).await;
    let get = async |id| store.group(id).await.expect("the store answers").expect("the group");
    assert_eq!((get(open.id).await, get(closed.id).await), (open.clone(), closed.clone()));
    assert_eq!(names(store, "eve").await, ["open"]);

    set_public(store, &mut open, false).await;
    set_public(store, &mut closed, true).await;
    assert_eq!((get(open.id).await, get(closed.id).await), (open.clone(), closed.clone()));
    assert_eq!(names(store, "eve").await, ["closed"]);
    assert_eq!(names(store, "ann").await, ["closed", "open"]);

    set_public(store, &mut open, true).await;
    assert_eq!(rooms(store, "eve", None, 9).await, [&closed, &open].map(|it| room(it, "eve")));
    store.delete_group(closed.id).await.expect("the store answers");
    assert_eq!(names(store, "ann").await, ["open"], "a deleted one is gone");
}

pub(crate) async fn rooms_are_the_public_ones_and_ones_own_each_once(store: Arc<dyn Store>) {
    let store = &*store;
    let hers = group("hers", &["ann", "bob", "cem"], 10);
    let mut open = public(group("open", &["bob"], 40));
    let both = public(group("both", &["bob", "ann"], 20));
    let others = group("of others", &["bob", "cem"], 30);
    let empty = public(Group { members: Vec::new(), ..group("empty", &["bob"], 5) });
    create(store, &[&hers, &both, &others, &open, &empty]).await;

    let seen = [&open, &both, &hers, &empty].map(|group| room(group, "ann"));
    assert_eq!(rooms(store, "ann", None, 100).await, seen);
    let stranger = [&open, &both, &empty].map(|group| room(group, "eve"));
    assert_eq!(rooms(store, "eve", None, 100).await, stranger, "nothing private");
    assert_eq!(names(store, "bob").await, ["open", "of others", "both", "hers", "empty"]);
    assert_eq!(rooms(store, "ann", None, 0).await, []);
    assert_eq!(rooms(store, "$ann", None, 100).await.len(), 3, "a name is only a name");

    for name in ["ann", "dan"] {
        store.add_member(open.id, &user(name)).await.expect("the store answers");
        open.members.push(user(name));
    }
    store.remove_member(hers.id, &user("ann")).await.expect("the store answers");
    let seen = [&open, &both, &empty].map(|group| room(group, "ann"));
    assert_eq!(rooms(store, "ann", None, 100).await, seen, "as she has joined and left");
    let count = rooms(store, "bob", None, 100).await.pop().map(|room| room.member_count);
    assert_eq!(count, Some(0), "in the last one is nobody");
}

/// Whose rooms are both kinds, mixed, with places that they share.
async fn many(store: &dyn Store) -> Vec<Group> {
    let mut groups: Vec<Group> = (0..24)
        .map(|n| {
            let members = if n % 3 == 0 { ["bob"] } else { ["ann"] };
            Group { is_public: n % 3 != 1, ..group(&format!("Room {n}"), &members, n / 6) }
        })
        .collect();
    let (theirs, private) = (group("Room of theirs", &["bob"], 2), group("Room", &["cem"], 0));
    create(store, &groups.iter().rev().chain([&theirs, &private]).collect::<Vec<_>>()).await;
    groups.sort_by_key(|group| std::cmp::Reverse((group.created_at, group.id)));
    groups
}

pub(crate) async fn rooms_come_in_pages_newest_first_and_ties_by_id(store: Arc<dyn Store>) {
    let store = &*store;
    let all: Vec<Room> = many(store).await.iter().map(|group| room(group, "ann")).collect();
    assert_eq!(rooms(store, "ann", None, usize::MAX).await, all);
    for limit in [1, 2, 5, 23, 24, 25] {
        let (mut before, mut pages) = (None, Vec::new());
        loop {
            let page = rooms(store, "ann", before, limit).await;
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit, "{limit}");
            before = Some((last.group.created_at, last.group.id));
            pages.extend(page);
        }
        assert_eq!(pages, all, "{limit} at a time");
    }
    let place = (all[7].group.created_at, all[7].group.id);
    assert_eq!(rooms(store, "ann", Some(place), 3).await, all[8..11]);
    let nowhere = (Timestamp(2), GroupId::mint());
    let older = all.iter().filter(|room| room.group.created_at <= Timestamp(2)).cloned();
    assert_eq!(rooms(store, "ann", Some(nowhere), 100).await, older.collect::<Vec<_>>());
}

pub(crate) async fn a_search_finds_public_groups_and_ones_own_each_once(store: Arc<dyn Store>) {
    let store = &*store;
    let all = many(store).await;
    let mut paris = public(group("Paris", &["bob", "ann"], 9));
    create(store, &[&paris]).await;
    assert_eq!(found(store, "rOOM", "ann", 100).await, all, "members and all");
    for limit in [0, 1, 2, 7, 23, 24] {
        assert_eq!(found(store, "room", "ann", limit).await, all[..limit]);
    }
    let open: Vec<Group> = all.iter().filter(|group| group.is_public).cloned().collect();
    assert_eq!(found(store, "room", "eve", 100).await, open, "nothing private");
    assert_eq!(found(store, "room", "eve", 3).await, open[..3]);
    for viewer in ["ann", "eve"] {
        assert_eq!(found(store, "PAR", viewer, 9).await, [paris.clone()]);
        assert_eq!(found(store, "p.r", viewer, 9).await, [], "no pattern");
    }
    assert_eq!(found(store, "", "eve", 100).await.len(), open.len() + 1);

    set_public(store, &mut paris, false).await;
    assert_eq!(found(store, "paris", "eve", 9).await, []);
    assert_eq!(found(store, "paris", "ann", 9).await, [paris]);
}
