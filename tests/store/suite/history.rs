//! Pages of a conversation.

use std::sync::Arc;

use banter::model::{Conversation, GroupId, Message};
use banter::store::{HistoryQuery, Range, Store};

use crate::make::{
    apply_changes, between, delete, direct, hide, in_group, insert, page, page_of, user,
};

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

pub(crate) async fn after_goes_forwards_and_before_goes_back_the_same_way(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let team: Vec<Message> = (0..23).map(|n| in_group(group, "alice", n / 4)).collect();
    let names = |n| if n % 3 == 0 { ("bob", "alice") } else { ("alice", "bob") };
    let talk: Vec<Message> = (0..23).map(|n| direct(names(n).0, names(n).1, n / 4)).collect();
    insert(&*store, team.iter().chain(&talk)).await;

    for (conversation, mut all) in
        [(Conversation::Group(group), team), (between("alice", "bob"), talk)]
    {
        all.sort_by_key(Message::position);
        let mut walked = vec![all[0].clone()];
        loop {
            let range = Range::After(walked[walked.len() - 1].position());
            let next = page_of(&*store, conversation.clone(), "bob", range, 5).await;
            if next.is_empty() {
                break;
            }
            assert!(next.is_sorted_by(|newer, older| newer.position() > older.position()));
            walked.extend(next.into_iter().rev());
        }
        assert_eq!(walked, all);

        let mut back = Vec::new();
        while back.len() < 22 {
            let end = back.last().unwrap_or(&all[22]);
            back.extend(page(&*store, conversation.clone(), "bob", Some(end), 4).await);
        }
        assert!(back.iter().eq(all[..22].iter().rev()));
    }
}

pub(crate) async fn a_page_after_a_place_is_the_oldest_there(store: Arc<dyn Store>) {
    let rows: Vec<Message> = (0..6).map(|at| direct("alice", "bob", at)).collect();
    insert(&*store, &rows).await;
    apply_changes(&*store, vec![hide(rows[2].id, &["bob"])]).await;
    let after = |viewer, place: &Message, limit| {
        let range = Range::After(place.position());
        page_of(&*store, between("alice", "bob"), viewer, range, limit)
    };
    let ids = |rows: Vec<Message>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(after("alice", &rows[0], 2).await), [rows[2].id, rows[1].id]);
    assert_eq!(ids(after("bob", &rows[0], 2).await), [rows[3].id, rows[1].id]);
    assert_eq!(ids(after("bob", &rows[5], 2).await), []);
    let not_stored = direct("alice", "bob", 3);
    assert_eq!(ids(after("bob", &not_stored, 9).await), [rows[5].id, rows[4].id]);
    assert_eq!(ids(after("bob", &rows[0], 0).await), []);
}

pub(crate) async fn without_a_viewer_nothing_is_hidden(store: Arc<dyn Store>) {
    let rows: Vec<Message> = (0..3).map(|at| direct("alice", "bob", at)).collect();
    insert(&*store, &rows).await;
    apply_changes(&*store, vec![hide(rows[1].id, &["bob", "alice"])]).await;
    for (range, count) in [
        (Range::Newest, 3),
        (Range::Before(rows[2].position()), 2),
        (Range::After(rows[0].position()), 2),
    ] {
        let conversation = between("alice", "bob");
        let query = HistoryQuery { conversation, viewer: None, range, limit: 9 };
        let all = store.history(&query).await.expect("the store answers");
        assert_eq!(all.len(), count, "{range:?}");
        let query = HistoryQuery { viewer: Some(user("bob")), ..query };
        assert_eq!(store.history(&query).await.expect("the store answers").len(), count - 1);
    }
}

pub(crate) async fn the_time_of_a_deleted_message_is_known(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let (kept, gone) = (direct("alice", "bob", 5), direct("alice", "bob", 7));
    let (unseen, purged) = (direct("alice", "bob", 9), in_group(group, "alice", 9));
    insert(&*store, [&kept, &gone, &purged]).await;
    delete(&*store, &[&gone, &unseen]).await;
    // A second deletion, and an insert that comes too late, change nothing.
    delete(&*store, &[&gone]).await;
    insert(&*store, [&gone, &unseen]).await;
    let batch = banter::model::Batch { purges: vec![group], ..Default::default() };
    store.apply(&batch).await.expect("a purge");
    for (message, known) in [(&kept, true), (&gone, true), (&unseen, false), (&purged, false)] {
        let sent_at = store.sent_at(message.id).await.expect("the store answers");
        assert_eq!(sent_at, known.then_some(message.timestamp), "{message:?}");
    }
}
