//! What users attach to messages: replies, pins, files.

use std::collections::BTreeMap;
use std::sync::Arc;

use banter::model::{Conversation, GroupId, Message, MessageChange, MessageId, Pin, Timestamp};
use banter::store::{HistoryQuery, REPLIES_EXACT_TO, Range, Store};

use crate::make::{
    apply_changes, between, change, delete, direct, hide, in_group, insert, reply, user,
};

async fn replies(
    store: &dyn Store,
    root: &Message,
    viewer: &str,
    range: Range,
    limit: usize,
) -> Vec<Message> {
    let (conversation, viewer) = (between("alice", "bob"), Some(user(viewer)));
    let query = HistoryQuery { conversation, viewer, range, limit };
    store.replies(root.id, &query).await.expect("the store answers")
}

async fn counts(
    store: &dyn Store,
    roots: &[&Message],
    except: &[MessageId],
) -> BTreeMap<MessageId, usize> {
    let roots: Vec<_> = roots.iter().map(|root| root.id).collect();
    let counts = store.reply_counts(&roots, except).await.expect("the store answers");
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

pub(crate) async fn replies_come_in_pages_newest_first(store: Arc<dyn Store>) {
    let [root, other] = [1, 2].map(|at| direct("alice", "bob", at));
    let all: Vec<_> = (3..9).map(|at| reply(direct("bob", "alice", at / 2), &root)).collect();
    let elsewhere = [reply(direct("bob", "alice", 5), &other), direct("bob", "alice", 5)];
    insert(&*store, [&root, &other].into_iter().chain(&all).chain(&elsewhere)).await;
    let mut newest = all.clone();
    newest.sort_by_key(|row| std::cmp::Reverse(row.position()));
    let at = newest[3].position();
    for (range, limit, expected) in [
        (Range::Newest, 10, &newest[..]),
        (Range::Newest, 2, &newest[..2]),
        (Range::Newest, 0, &[]),
        (Range::Before(at), 10, &newest[4..]),
        (Range::Before(at), 1, &newest[4..5]),
        (Range::After(at), 10, &newest[..3]),
        (Range::After(at), 2, &newest[1..3]),
    ] {
        assert_eq!(replies(&*store, &root, "bob", range, limit).await, expected, "{range:?}");
    }
    apply_changes(&*store, vec![hide(newest[0].id, &["bob"])]).await;
    delete(&*store, &[&newest[1]]).await;
    assert_eq!(replies(&*store, &root, "bob", Range::Newest, 2).await, newest[2..4]);
    let first = &replies(&*store, &root, "alice", Range::Newest, 1).await[0];
    assert_eq!(first.id, newest[0].id);
}

pub(crate) async fn replies_are_counted_up_to_their_bound(store: Arc<dyn Store>) {
    let [small, large, bare] = [1, 2, 3].map(|at| direct("alice", "bob", at));
    let few: Vec<_> = (0..3).map(|at| reply(direct("bob", "alice", 9 + at), &small)).collect();
    let many = REPLIES_EXACT_TO as i64 + 2;
    let many: Vec<_> = (0..many).map(|at| reply(direct("bob", "alice", at), &large)).collect();
    insert(&*store, [&small, &large, &bare].into_iter().chain(&few).chain(&many)).await;
    let roots = [&small, &large, &bare];
    let expected =
        |small_count| BTreeMap::from([(small.id, small_count), (large.id, REPLIES_EXACT_TO)]);
    assert_eq!(counts(&*store, &roots, &[]).await, expected(3));
    let except = [few[0].id, MessageId::mint()];
    assert_eq!(counts(&*store, &roots, &except).await, expected(2));
    // Whoever sees them.
    apply_changes(&*store, vec![hide(few[1].id, &["bob", "alice"])]).await;
    assert_eq!(counts(&*store, &roots, &[]).await, expected(3));
    delete(&*store, &[&few[0], &small]).await;
    assert_eq!(counts(&*store, &roots, &[]).await, expected(2));
    assert!(counts(&*store, &[&bare], &[]).await.is_empty());
    assert!(counts(&*store, &[], &[]).await.is_empty());
}

async fn pins(store: &dyn Store, conversation: &Conversation, limit: usize) -> Vec<MessageId> {
    let rows = store.pins(conversation, limit).await.expect("the store answers");
    assert!(rows.iter().all(|row| row.pin.as_ref().is_some_and(|pin| pin.pinned)));
    rows.iter().map(|row| row.id).collect()
}

pub(crate) async fn pins_are_those_of_the_conversation_the_latest_first(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let talk = [("alice", "bob"), ("bob", "alice"), ("alice", "bob"), ("bob", "alice")];
    let talk = talk.map(|(from, to)| direct(from, to, 1));
    let team = [1, 2, 3, 4].map(|at| in_group(group, "alice", at));
    let others = [direct("alice", "cem", 1), in_group(GroupId::mint(), "alice", 1)];
    insert(&*store, talk.iter().chain(&team).chain(&others)).await;
    let pin = |message: &Message, pinned, at| {
        let pin = Some(Pin { pinned, by: user("bob"), at: Timestamp(at) });
        MessageChange { pin, conversation: message.conversation(), ..change(message.id) }
    };
    let pinned = others.iter().map(|message| pin(message, true, 50));
    apply_changes(&*store, pinned.collect()).await;
    for rows in [&talk, &team] {
        let conversation = rows[0].conversation();
        assert!(pins(&*store, &conversation, 9).await.is_empty());
        let at = [20, 40, 10, 30];
        let pinned = rows.iter().zip(at).map(|(message, at)| pin(message, true, at));
        apply_changes(&*store, pinned.collect()).await;
        let [a, b, c, d] = [0, 1, 2, 3].map(|n: usize| rows[n].id);
        assert_eq!(pins(&*store, &conversation, 9).await, [b, d, a, c]);
        assert_eq!(pins(&*store, &conversation, 2).await, [b, d]);
        assert!(pins(&*store, &conversation, 0).await.is_empty());
        apply_changes(&*store, vec![pin(&rows[1], false, 60), pin(&rows[2], true, 70)]).await;
        delete(&*store, &[&rows[3]]).await;
        assert_eq!(pins(&*store, &conversation, 9).await, [c, a]);
    }
}

pub(crate) async fn a_file_is_named_by_what_is_stored(store: Arc<dyn Store>) {
    let names = async |url| store.names_media(url).await.expect("the store answers");
    let url = "/uploads/a.png";
    let with = |url: &str| {
        let media_url = Some(url.to_owned());
        Message { media_url, ..direct("alice", "bob", 1) }
    };
    let [first, second] = [with(url), with(url)];
    let others = [with("/uploads/a.png2"), with("/uploads/"), direct("alice", "bob", 1)];
    insert(&*store, &others).await;
    assert!(!names(url).await);
    insert(&*store, [&first, &second]).await;
    assert!(names(url).await);
    delete(&*store, &[&first]).await;
    assert!(names(url).await);
    delete(&*store, &[&second]).await;
    assert!(!names(url).await);
}
