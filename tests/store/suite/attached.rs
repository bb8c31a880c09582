//! What users attach to messages: replies.

use std::collections::BTreeMap;
use std::sync::Arc;

use banter::model::{Message, MessageId};
use banter::store::{HistoryQuery, REPLIES_EXACT_TO, Range, Store};

use crate::make::{apply_changes, between, delete, direct, hide, insert, reply, user};

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
