//! Groups and who is in them.

use std::sync::Arc;

use banter::model::{Conversation, Group, GroupId};
use banter::store::{MembershipChange, Store};

use crate::make::{group, in_group, insert, page, user};

async fn create<'a>(store: &dyn Store, groups: impl IntoIterator<Item = &'a Group>) {
    for group in groups {
        store.create_group(group).await.expect("a new group");
    }
}

async fn get(store: &dyn Store, id: GroupId) -> Option<Group> {
    store.group(id).await.expect("the store answers")
}

async fn found(store: &dyn Store, text: &str) -> Vec<String> {
    let groups = store.search_groups(text, None, 100).await.expect("the store answers");
    groups.into_iter().map(|group| group.name).collect()
}

async fn groups_of(store: &dyn Store, name: &str, limit: usize) -> Vec<Group> {
    store.groups_of(&user(name), limit).await.expect("the store answers")
}

pub(crate) async fn a_group_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let plain = group("team", &["alice", "bob"], 1_700_000_000_123);
    let odd = group("日本 \"q\" \\ '; -- 🎈", &["zoë", "{\"$ne\": 1}", "alice"], -5);
    let empty = Group { members: Vec::new(), ..group("nobody here", &["alice"], 7) };
    create(&*store, [&plain, &odd, &empty]).await;

    for group in [plain, odd, empty] {
        assert_eq!(get(&*store, group.id).await, Some(group));
    }
}

pub(crate) async fn a_part_of_a_group_is_its_first_members_and_their_number(store: Arc<dyn Store>) {
    let names: Vec<String> = (0..20).map(|n| format!("user{}", 99 - n)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (team, empty) = (group("team", &names, 7), group("empty", &["alice"], 7));
    let empty = Group { members: Vec::new(), ..empty };
    create(&*store, [&team, &empty]).await;
    store.add_member(team.id, &user("late")).await.expect("the store answers");
    store.remove_member(team.id, &user("user98")).await.expect("the store answers");
    let mut members = get(&*store, team.id).await.expect("the group").members;
    for first in [0, 1, 19, 20, 21, 1_000] {
        let found = store.group_summary(team.id, first).await.expect("the store answers");
        let found = found.expect("the group");
        assert_eq!(found.member_count, 20, "{first}");
        assert_eq!(found.group.members, members[..first.min(20)]);
        assert_eq!(found.group, Group { members: found.group.members.clone(), ..team.clone() });
    }
    let found = store.group_summary(empty.id, 9).await.expect("the store answers");
    assert_eq!(found.map(|found| (found.group, found.member_count)), Some((empty, 0)));

    members.clear();
    let head = store.group_head(team.id).await.expect("the store answers");
    assert_eq!(head, Some(Group { members, ..team }));
}

pub(crate) async fn a_missing_group_is_none(store: Arc<dyn Store>) {
    assert_eq!(get(&*store, GroupId::mint()).await, None);
    assert_eq!(store.group_head(GroupId::mint()).await.expect("the store answers"), None);
    assert_eq!(store.group_summary(GroupId::mint(), 9).await.expect("the store answers"), None);
    assert_eq!(groups_of(&*store, "alice", 10).await, []);
}

pub(crate) async fn members_keep_the_order_in_which_they_joined(store: Arc<dyn Store>) {
    let team = group("team", &["zed", "bob"], 1);
    create(&*store, [&team]).await;
    for name in ["yan", "alice", "carl"] {
        let change = store.add_member(team.id, &user(name)).await.expect("the store answers");
        assert_eq!(change, MembershipChange::Changed);
    }
    store.remove_member(team.id, &user("zed")).await.expect("the store answers");
    store.remove_member(team.id, &user("carl")).await.expect("the store answers");
    store.add_member(team.id, &user("zed")).await.expect("the store answers");

    let members = get(&*store, team.id).await.expect("the group").members;
    assert_eq!(members, ["bob", "yan", "alice", "zed"].map(user));
    assert_eq!(groups_of(&*store, "zed", 10).await[0].members, members);
    assert_eq!(groups_of(&*store, "carl", 10).await, []);
}

pub(crate) async fn joining_and_leaving_say_what_became_of_it(store: Arc<dyn Store>) {
    let team = group("team", &["alice"], 1);
    create(&*store, [&team]).await;
    let bob = user("bob");
    let missing = GroupId::mint();

    let added = [
        store.add_member(team.id, &bob).await.expect("the store answers"),
        store.add_member(team.id, &bob).await.expect("the store answers"),
        store.add_member(missing, &bob).await.expect("the store answers"),
    ];
    let removed = [
        store.remove_member(team.id, &bob).await.expect("the store answers"),
        store.remove_member(team.id, &bob).await.expect("the store answers"),
        store.remove_member(missing, &bob).await.expect("the store answers"),
    ];

    use MembershipChange::{Changed, NoGroup, Unchanged};
    assert_eq!(added, [Changed, Unchanged, NoGroup]);
    assert_eq!(removed, [Changed, Unchanged, NoGroup]);
    assert_eq!(get(&*store, team.id).await, Some(team));
    assert_eq!(get(&*store, missing).await, None, "adding to a missing group makes none");
}

pub(crate) async fn a_deleted_group_is_gone_and_its_messages_stay(store: Arc<dyn Store>) {
    let gone = group("gone", &["alice", "bob"], 1);
    let stays = group("stays", &["alice"], 2);
    create(&*store, [&gone, &stays]).await;
    let message = in_group(gone.id, "alice", 3);
    insert(&*store, [&message]).await;

    assert!(store.delete_group(gone.id).await.expect("the store answers"));
    assert!(!store.delete_group(gone.id).await.expect("the store answers"));

    assert_eq!(get(&*store, gone.id).await, None);
    assert_eq!(groups_of(&*store, "alice", 10).await, [stays]);
    assert_eq!(groups_of(&*store, "bob", 10).await, []);
    assert_eq!(found(&*store, "gone").await, [""; 0]);
    let change = store.add_member(gone.id, &user("dan")).await.expect("the store answers");
    assert_eq!(change, MembershipChange::NoGroup);
    let rows = page(&*store, Conversation::Group(gone.id), "bob", None, 10).await;
    assert_eq!(rows, [message], "messages go with a purge, in order");
    assert_eq!(store.health().await.expect("the store answers").groups_count, 1);
}

pub(crate) async fn groups_of_a_user_are_newest_first_up_to_the_limit(store: Arc<dyn Store>) {
    let old = group("old", &["alice", "bob"], 10);
    let new = group("new", &["bob", "alice"], 30);
    let middle = group("middle", &["alice"], 20);
    let twin = group("made in the same millisecond, later", &["alice"], 20);
    let other = group("other", &["bob"], 40);
    create(&*store, [&new, &twin, &old, &middle, &other]).await;

    let all = [new, twin, middle, old];
    assert_eq!(groups_of(&*store, "alice", 10).await, all);
    assert_eq!(groups_of(&*store, "alice", 3).await, all[..3]);
    assert_eq!(groups_of(&*store, "nobody", 10).await, []);
}

pub(crate) async fn a_search_finds_any_case_newest_first_up_to_the_limit(store: Arc<dyn Store>) {
    let groups = [
        group("Rust Berlin", &["alice"], 1),
        group("berlin trust", &["bob"], 3),
        group("BERLIN", &["alice"], 2),
        group("Paris", &["alice"], 4),
    ];
    create(&*store, &groups).await;

    assert_eq!(found(&*store, "BerLin").await, ["berlin trust", "BERLIN", "Rust Berlin"]);
    assert_eq!(found(&*store, "rust").await, ["berlin trust", "Rust Berlin"]);
    assert_eq!(found(&*store, "st B").await, ["Rust Berlin"]);
    assert_eq!(found(&*store, "london").await, [""; 0]);
    let newest = store.search_groups("berlin", None, 2).await.expect("the store answers");
    assert_eq!(newest, [groups[1].clone(), groups[2].clone()], "members and all");

    let alice = user("alice");
    let hers = store.search_groups("berlin", Some(&alice), 2).await.expect("the store answers");
    assert_eq!(hers, [groups[2].clone(), groups[0].clone()], "of one member alone");
    let newest = store.search_groups("berlin", Some(&alice), 1).await.expect("the store answers");
    assert_eq!(newest, [groups[2].clone()]);
    assert_eq!(store.search_groups("", Some(&user("eve")), 9).await.expect("an answer"), []);
}

pub(crate) async fn a_search_folds_case_beyond_ascii(store: Arc<dyn Store>) {
    let groups = [
        group("ÄRZTE in Köln", &["alice"], 3),
        group("Москва", &["alice"], 2),
        group("ΟΔΟΣ Αθήνα", &["alice"], 1),
    ];
    create(&*store, &groups).await;

    for (text, name) in [
        ("ärzte", "ÄRZTE in Köln"),
        ("KÖLN", "ÄRZTE in Köln"),
        ("МОСК", "Москва"),
        ("сква", "Москва"),
        ("οδοσ", "ΟΔΟΣ Αθήνα"),
        ("οδος", "ΟΔΟΣ Αθήνα"),
    ] {
        assert_eq!(found(&*store, text).await, [name], "{text}");
    }
}

pub(crate) async fn a_search_text_is_never_a_pattern(store: Arc<dyn Store>) {
    let names = [
        "plain",
        "dot.",
        "star*",
        "percent%",
        "under_score",
        "back\\slash",
        "caret^",
        "dollar$",
        "[set]",
        "(group)",
        "a+b",
        "what?",
        "pipe|",
        "{1,2}",
        "/slash/",
        "\"quote\"",
        "it's",
        "E",
    ];
    let groups: Vec<Group> = names.iter().map(|name| group(name, &["alice"], 1)).collect();
    create(&*store, &groups).await;

    for special in [
        ".", "*", "%", "_", "\\", "^", "$", "[", "]", "(", ")", "+", "?", "|", "{", "}", "/", "\"",
        "'", "\\E",
    ] {
        let with_it: Vec<&str> =
            names.into_iter().rev().filter(|name| name.contains(special)).collect();
        assert_eq!(found(&*store, special).await, with_it, "{special}");
    }
    for pattern in [".*", "%", "pl_in", "^plain", "plain$", "[a-z]", "pl.in", "p%n", "\\w", "(?s)"]
    {
        let with_it: Vec<&str> =
            names.into_iter().rev().filter(|name| name.contains(pattern)).collect();
        assert_eq!(found(&*store, pattern).await, with_it, "{pattern}");
    }
}
