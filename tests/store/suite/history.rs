//! Pages of a conversation.

use std::sync::Arc;

use banter::model::{Conversation, GroupId, Message};
use banter::store::Store;

use crate::make::{apply_changes, between, direct, hide, in_group, insert, page};

pub(crate) async fn a_page_is_newest_first_up_to_the_limit(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let mut talk: Vec<Message> = [5, 1, 4, 2, 3].map(|at| direct("alice", "bob", at)).to_vec();
    let mut team: Vec<Message> = [5, 1, 4, 2, 3].map(|at| in_group(group, "alice", at)).to_vec();
    insert(&*store, talk.iter().chain(&team)).await;
    talk.sort_by_key(|message| std::cmp::Reverse(message.timestamp));
    team.sort_by_key(|message| std::cmp::Reverse(message.timestamp));

    for (conversation, rows) in
        [(between("alice", "bob"), talk), (Conversation::Group(group), team)]
    {
        for limit in [1, 3, 5, 6, usize::MAX] {
            let expected = &rows[..limit.min(5)];
            assert_eq!(page(&*store, conversation.clone(), "bob", None, limit).await, expected);
        }
    }
}

pub(crate) async fn equal_timestamps_are_ordered_by_id(store: Arc<dyn Store>) {
    let mut rows: Vec<Message> = (0..20).map(|_| direct("alice", "bob", 7)).collect();
    insert(&*store, rows.iter().rev()).await;
    rows.sort_by_key(|message| std::cmp::Reverse(message.id));

    assert_eq!(page(&*store, between("alice", "bob"), "bob", None, 50).await, rows);
    for (index, row) in rows.iter().enumerate() {
        let older = page(&*store, between("alice", "bob"), "bob", Some(row), 2).await;
        assert!(older.iter().eq(rows[index + 1..].iter().take(2)), "before {index}");
    }
}

pub(crate) async fn before_continues_where_a_page_ended(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let all: Vec<Message> = (0..23).map(|n| in_group(group, "alice", n / 4)).collect();
    insert(&*store, &all).await;

    let mut walked = Vec::new();
    loop {
        let last = walked.last();
        let next = page(&*store, Conversation::Group(group), "bob", last, 5).await;
        if next.is_empty() {
            break;
        }
        walked.extend(next);
    }

    let mut expected = all;
    expected.sort_by_key(|message| std::cmp::Reverse(message.position()));
    assert_eq!(walked, expected);
    let not_stored = in_group(group, "alice", 3);
    let older = page(&*store, Conversation::Group(group), "bob", Some(&not_stored), 100).await;
    let count = expected.iter().filter(|row| row.position() < not_stored.position()).count();
    assert_eq!(older.len(), count, "the place need not hold a message");
}

pub(crate) async fn hidden_messages_are_left_out_and_take_no_place(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let all: Vec<Message> = (0..10).map(|at| in_group(group, "alice", at)).collect();
    insert(&*store, &all).await;
    let changes = all.iter().skip(4).map(|message| hide(message.id, &["x", "bob"])).collect();
    apply_changes(&*store, changes).await;
    let ids = |rows: Vec<Message>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let conversation = || Conversation::Group(group);

    let of_bob = ids(page(&*store, conversation(), "bob", None, 3).await);
    assert_eq!(of_bob, [all[3].id, all[2].id, all[1].id]);
    let of_carol = ids(page(&*store, conversation(), "carol", None, 3).await);
    assert_eq!(of_carol, [all[9].id, all[8].id, all[7].id]);
    let similar = ids(page(&*store, conversation(), "bo", None, 100).await);
    assert_eq!(similar.len(), 10, "a part of a hider's name is another user");
    let older = ids(page(&*store, conversation(), "bob", Some(&all[8]), 2).await);
    assert_eq!(older, [all[3].id, all[2].id]);
}

pub(crate) async fn both_directions_are_one_conversation(store: Arc<dyn Store>) {
    let rows = [
        direct("bob", "alice", 4),
        direct("alice", "bob", 3),
        direct("alice", "bob", 2),
        direct("bob", "alice", 1),
    ];
    insert(&*store, &rows).await;

    assert_eq!(page(&*store, between("alice", "bob"), "alice", None, 10).await, rows);
    assert_eq!(page(&*store, between("bob", "alice"), "bob", None, 10).await, rows);
    let older = page(&*store, between("alice", "bob"), "alice", Some(&rows[1]), 10).await;
    assert_eq!(older, rows[2..]);
}

pub(crate) async fn conversations_do_not_mix(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let named_like_the_group = group.to_string();
    let pairs = [
        direct("a", "bc", 1),
        direct("ab", "c", 2),
        direct("a", "b", 3),
        direct("A", "b", 4),
        direct("a", "c", 5),
        direct("a", &named_like_the_group, 6),
        in_group(group, "a", 7),
        in_group(GroupId::mint(), "a", 8),
    ];
    insert(&*store, &pairs).await;

    for message in &pairs {
        let rows = page(&*store, message.conversation(), "a", None, 10).await;
        assert_eq!(rows, std::slice::from_ref(message));
    }
    assert_eq!(page(&*store, between("b", "c"), "b", None, 10).await, []);
}

pub(crate) async fn a_conversation_with_oneself_holds_only_own_notes(store: Arc<dyn Store>) {
    let notes = [direct("alice", "alice", 2), direct("alice", "alice", 1)];
    let others = [direct("alice", "bob", 3), direct("bob", "alice", 4), direct("bob", "bob", 5)];
    insert(&*store, notes.iter().chain(&others)).await;

    assert_eq!(page(&*store, between("alice", "alice"), "alice", None, 10).await, notes);
}
