//! Who is told of a user, and when users were last there.

use std::sync::Arc;

use banter::model::{GroupId, Timestamp};
use banter::store::Store;

use crate::make::{delete, direct, group, in_group, insert, user};

async fn peers(store: &dyn Store, name: &str, limit: usize) -> Vec<String> {
    let found = store.peers(&user(name), limit).await.expect("the store answers");
    let mut names: Vec<_> = found.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

async fn small_groups(store: &dyn Store, name: &str, members: usize, limit: usize) -> Vec<GroupId> {
    store.small_groups_of(&user(name), members, limit).await.expect("the store answers")
}

async fn saw(store: &dyn Store, times: &[(&str, i64)]) {
    let times: Vec<_> = times.iter().map(|(name, at)| (user(name), Timestamp(*at))).collect();
    store.seen(&times).await.expect("the store answers");
}

async fn last_seen(store: &dyn Store, names: &[&str]) -> Vec<(String, i64)> {
    let users: Vec<_> = names.iter().map(|name| user(name)).collect();
    let found = store.last_seen(&users).await.expect("the store answers");
    let mut times: Vec<_> =
        found.iter().map(|(name, at)| (name.to_string(), at.as_millis())).collect();
    times.sort();
    times
}

pub(crate) async fn peers_are_those_of_both_directions_once(store: Arc<dyn Store>) {
    let gone = direct("mia", "gus", 9);
    let messages = [
        direct("mia", "ann", 1),
        direct("mia", "ann", 2),
        direct("ann", "mia", 3),
        direct("zoe", "mia", 4),
        direct("mia", "Zed", 5),
        direct("yan", "mia", 6),
        direct("mia", "yan", 7),
        direct("mia", "mia", 8),
        in_group(GroupId::mint(), "mia", 9),
        direct("ann", "zoe", 10),
        direct("mi", "miaa", 11),
    ];
    insert(&*store, messages.iter().chain([&gone])).await;
    delete(&*store, &[&gone]).await;

    assert_eq!(peers(&*store, "mia", 10).await, ["Zed", "ann", "yan", "zoe"]);
    assert_eq!(peers(&*store, "ann", 10).await, ["mia", "zoe"]);
    assert_eq!(peers(&*store, "gus", 10).await, Vec::<String>::new());
}

pub(crate) async fn peers_are_found_up_to_the_limit(store: Arc<dyn Store>) {
    let messages: Vec<_> = (0..20)
        .map(|n| match n % 2 {
            0 => direct("mia", &format!("a{n}"), n),
            _ => direct(&format!("z{n}"), "mia", n),
        })
        .collect();
    insert(&*store, &messages).await;
    for limit in [0, 1, 12, 20, 30] {
        assert_eq!(peers(&*store, "mia", limit).await.len(), limit.min(20), "{limit}");
    }
}

pub(crate) async fn groups_of_few_are_newest_first_up_to_the_limit(store: Arc<dyn Store>) {
    let two = group("two", &["ann", "bob"], 1);
    let three = group("three", &["ann", "bob", "cem"], 2);
    let four = group("four", &["ann", "bob", "cem", "dan"], 3);
    let others = group("others", &["bob"], 4);
    for group in [&two, &three, &four, &others] {
        store.create_group(group).await.expect("a new group");
    }
    assert_eq!(small_groups(&*store, "ann", 3, 10).await, [three.id, two.id]);
    assert_eq!(small_groups(&*store, "ann", 4, 2).await, [four.id, three.id]);
    assert_eq!(small_groups(&*store, "ann", 1, 10).await, []);
    assert_eq!(small_groups(&*store, "eve", 10, 10).await, []);
    assert_eq!(small_groups(&*store, "ann", 10, 0).await, []);
}

pub(crate) async fn the_last_time_only_moves_forward(store: Arc<dyn Store>) {
    saw(&*store, &[("ann", 5), ("bob", 7), ("ann", 6)]).await;
    saw(&*store, &[("bob", 6), ("ann", 9)]).await;
    saw(&*store, &[]).await;
    let times = last_seen(&*store, &["bob", "ann"]).await;
    assert_eq!(times, [("ann".to_owned(), 9), ("bob".to_owned(), 7)]);
}

pub(crate) async fn whoever_was_never_there_has_no_time(store: Arc<dyn Store>) {
    saw(&*store, &[("ann", 5)]).await;
    assert_eq!(last_seen(&*store, &["eve", "ann"]).await, [("ann".to_owned(), 5)]);
    assert_eq!(last_seen(&*store, &[]).await, []);
}
