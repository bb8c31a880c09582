//! What groups are called, whose they are, who are admins, and who may not speak.

use std::sync::Arc;

use banter::model::{Group, GroupChange, GroupId, Silence, Timestamp, Until, UserId};
use banter::store::{Change, Store};

use super::catch_up::Follower;
use crate::make::{group, user};

fn admin(name: &str, is_admin: bool) -> GroupChange {
    GroupChange::Admin { user: user(name), is_admin }
}

fn owner(name: &str, former: Option<&str>) -> GroupChange {
    GroupChange::Owner { user: user(name), former: former.map(user) }
}

fn silence(name: &str, until: Option<Until>, now: i64) -> GroupChange {
    GroupChange::Silence { user: user(name), until, now: Timestamp(now) }
}

fn until(at: i64) -> Option<Until> {
    Some(Until::Time(Timestamp(at)))
}

async fn change(store: &dyn Store, id: GroupId, change: &GroupChange) {
    assert!(store.change_group(id, change).await.expect("the store answers"), "it is there");
}

/// The group as every way to read it has it.
async fn get(store: &dyn Store, id: GroupId, member: &UserId) -> Group {
    let found = store.group(id).await.expect("the store answers").expect("the group");
    let head = store.group_head(id).await.expect("the store answers");
    assert_eq!(head, Some(Group { members: Vec::new(), ..found.clone() }), "its head");
    let summary = store.group_summary(id, 1_000).await.expect("the store answers");
    assert_eq!(summary.map(|summary| summary.group), Some(found.clone()), "its summary");
    let of_user = store.groups_of(member, 10).await.expect("the store answers");
    let named = store.search_groups(&found.name, None, 10).await.expect("the store answers");
    for (list, groups) in [("of a user", of_user), ("a search", named)] {
        let listed = groups.into_iter().find(|group| group.id == id);
        assert_eq!(listed, Some(found.clone()), "in the list {list}");
    }
    let chats = store.chats(member, None, 10).await.expect("the store answers");
    let chat = chats.into_iter().filter_map(|chat| chat.group).find(|chat| chat.group.id == id);
    assert_eq!(chat.map(|chat| chat.group), Some(found.clone()), "among the chats");
    found
}

fn silences(group: &Group) -> Vec<(&str, Until)> {
    group.silenced.iter().map(|silence| (silence.user.as_str(), silence.until)).collect()
}

pub(crate) async fn a_group_with_roles_and_silences_comes_back_as_it_was_stored(
    store: Arc<dyn Store>,
) {
    let silenced = [("$eve", Until::Forever), ("ann", Until::Time(Timestamp(-7)))];
    let silenced = silenced.map(|(name, until)| Silence { user: user(name), until }).to_vec();
    let admins = vec![user("$cem"), user("ann")];
    let plain = group("team", &["ann", "bob", "$cem"], 1);
    let team = Group { owner: user("bob"), admins, silenced, ..plain };
    let other = group("team", &["ann", "bob"], 2);
    for group in [&team, &other] {
        store.create_group(group).await.expect("a new group");
    }
    assert_eq!(get(&*store, team.id, &user("bob")).await, team);
    assert_eq!(get(&*store, other.id, &user("bob")).await, other);
}

pub(crate) async fn each_change_makes_what_it_says_once_however_often_it_comes(
    store: Arc<dyn Store>,
) {
    let ann = user("ann");
    let mut team = group("team", &["ann", "bob", "cem", "dan"], 1);
    let other = group("other", &["ann", "bob", "cem", "dan"], 2);
    for group in [&team, &other] {
        store.create_group(group).await.expect("a new group");
    }
    for step in [
        GroupChange::Name("$name ÄÖ".to_owned()),
        GroupChange::Public(true),
        admin("cem", true),
        admin("bob", true),
        admin("dan", true),
        admin("cem", true),
        admin("bob", false),
        admin("bob", false),
        silence("bob", Some(Until::Forever), 10),
        silence("dan", until(50), 10),
        silence("eve", until(20), 10),
        silence("bob", until(90), 15),
        silence("bob", Some(Until::Forever), 15),
        silence("cem", until(60), 20),
        owner("dan", Some("ann")),
        GroupChange::Public(false),
        owner("bob", None),
        owner("ann", Some("bob")),
        silence("cem", None, 60),
        silence("nobody", None, 60),
    ] {
        step.make(&mut team);
        for _ in ["once", "again"] {
            change(&*store, team.id, &step).await;
            assert_eq!(get(&*store, team.id, &ann).await, team, "after {step:?}");
        }
    }
    assert_eq!(get(&*store, other.id, &ann).await, other, "another one is as it was");
    let found = store.search_groups("NAME äö", None, 10).await.expect("the store answers");
    assert_eq!(found, [team], "by the new name");
    assert_eq!(store.search_groups("team", None, 10).await.expect("the store answers"), []);
}

pub(crate) async fn admins_come_in_the_order_in_which_they_became_it(store: Arc<dyn Store>) {
    let team = group("team", &["ann", "bob", "cem", "dan", "eve"], 1);
    store.create_group(&team).await.expect("a new group");
    let admins = async || get(&*store, team.id, &user("ann")).await.admins;
    for name in ["eve", "bob", "dan", "cem"] {
        change(&*store, team.id, &admin(name, true)).await;
    }
    assert_eq!(admins().await, ["eve", "bob", "dan", "cem"].map(user));
    change(&*store, team.id, &admin("bob", false)).await;
    change(&*store, team.id, &admin("cem", false)).await;
    change(&*store, team.id, &admin("bob", true)).await;
    assert_eq!(admins().await, ["eve", "dan", "bob"].map(user));
    change(&*store, team.id, &owner("dan", Some("ann"))).await;
    assert_eq!(admins().await, ["eve", "bob", "ann"].map(user), "who hands it over stands last");
    change(&*store, team.id, &owner("eve", None)).await;
    let found = get(&*store, team.id, &user("ann")).await;
    assert_eq!((&found.owner, &found.created_by), (&user("eve"), &user("ann")));
    assert_eq!(found.admins, ["bob", "ann"].map(user), "an owner who has left gets nothing");
}

pub(crate) async fn a_silence_drops_those_that_have_run_out(store: Arc<dyn Store>) {
    let team = group("team", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a new group");
    let steps = [
        silence("bob", until(20), 10),
        silence("cem", until(21), 10),
        silence("$dan", Some(Until::Forever), 10),
    ];
    for step in &steps {
        change(&*store, team.id, step).await;
    }
    let found = get(&*store, team.id, &user("ann")).await;
    let (cem, dan) = (("cem", Until::Time(Timestamp(21))), ("$dan", Until::Forever));
    assert_eq!(silences(&found), [("bob", Until::Time(Timestamp(20))), cem, dan]);
    change(&*store, team.id, &silence("nobody", None, 20)).await;
    assert_eq!(silences(&get(&*store, team.id, &user("ann")).await), [cem, dan]);
    change(&*store, team.id, &silence("eve", until(1_000), 500)).await;
    let found = get(&*store, team.id, &user("ann")).await;
    assert_eq!(silences(&found), [dan, ("eve", Until::Time(Timestamp(1_000)))]);
}

pub(crate) async fn a_change_to_a_missing_group_makes_none(store: Arc<dyn Store>) {
    let gone = group("gone", &["ann", "bob"], 1);
    store.create_group(&gone).await.expect("a new group");
    change(&*store, gone.id, &silence("bob", Some(Until::Forever), 1)).await;
    store.delete_group(gone.id).await.expect("the store answers");
    for id in [gone.id, GroupId::mint()] {
        for step in [
            GroupChange::Name("new".to_owned()),
            GroupChange::Public(true),
            admin("bob", true),
            owner("bob", Some("ann")),
            silence("bob", Some(Until::Forever), 1),
        ] {
            assert!(!store.change_group(id, &step).await.expect("the store answers"), "{step:?}");
        }
        assert_eq!(store.group(id).await.expect("the store answers"), None);
    }
    let again = Group { id: gone.id, ..group("again", &["ann", "bob"], 2) };
    store.create_group(&again).await.expect("a new group");
    assert_eq!(get(&*store, gone.id, &user("ann")).await, again, "nothing is left of the first");
}

pub(crate) async fn changes_tell_each_member_that_the_group_is_another(store: Arc<dyn Store>) {
    let store = &*store;
    let team = group("team", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a new group");
    let mut members = ["ann", "bob"].map(|name| Follower::new(user(name), vec![team.id]));
    let mut stranger = Follower::new(user("eve"), Vec::new());
    for follower in members.iter_mut().chain([&mut stranger]) {
        follower.catch_up(store, 10).await;
    }
    for step in [
        GroupChange::Name("new".to_owned()),
        GroupChange::Public(true),
        GroupChange::Public(false),
        admin("bob", true),
        owner("bob", Some("ann")),
        silence("ann", Some(Until::Forever), 1),
    ] {
        change(store, team.id, &step).await;
        for follower in &mut members {
            let told = follower.catch_up(store, 10).await;
            assert_eq!(told, [Change::Group(team.id)], "of {step:?}");
        }
        assert_eq!(stranger.catch_up(store, 10).await, []);
    }
}

pub(crate) async fn whoever_leaves_is_no_admin_any_more_and_stays_silenced(store: Arc<dyn Store>) {
    let team = group("team", &["ann", "bob", "cem"], 1);
    store.create_group(&team).await.expect("a new group");
    for step in [
        admin("bob", true),
        admin("cem", true),
        silence("bob", Some(Until::Forever), 1),
        silence("ann", until(50), 1),
    ] {
        change(&*store, team.id, &step).await;
    }
    for name in ["bob", "ann"] {
        store.remove_member(team.id, &user(name)).await.expect("the store answers");
    }
    let found = get(&*store, team.id, &user("cem")).await;
    assert_eq!(found.admins, [user("cem")]);
    assert_eq!(found.owner, user("ann"), "it is still hers");
    let kept = [("bob", Until::Forever), ("ann", Until::Time(Timestamp(50)))];
    assert_eq!(silences(&found), kept);
    store.add_member(team.id, &user("bob")).await.expect("the store answers");
    let found = get(&*store, team.id, &user("cem")).await;
    assert_eq!(found.admins, [user("cem")], "back as a plain member");
    assert_eq!(silences(&found), kept);
}
