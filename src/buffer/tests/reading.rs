//! Reading what is on its way to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Bed, LIMIT, config, until};
use crate::buffer::Config;
use crate::buffer::testing::{
    Mood, content, delete, edit, group_text, hide, id_of, read, sent, text, user,
};
use crate::model::{GroupId, Message, MessageRef, Op};
use crate::store::{HistoryQuery, Store};

#[tokio::test]
async fn a_message_is_found_by_its_old_id_with_what_is_pending_on_it() {
    // The old id of a message may well look like the `_id` of another one.
    for old_id in ["5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11", "65f2c0ffee65f2c0ffee65f2"] {
        let bed = Bed::new(&config(), Mood::Stuck);
        let op = text("a");
        let stored = Message { old_id: Some(old_id.to_owned()), ..sent(&op).clone() };
        bed.store.state().model.insert(&stored);
        bed.commit(&[edit(&op, "b")]).await;
        let id = MessageRef::parse(old_id).expect("an id");
        let seen = bed.buffer.message(&id).await.expect("an answer").expect("found");
        assert_eq!((seen.content, seen.id), (content("b"), id_of(&op)));
        bed.commit(&[delete(&op)]).await;
        assert_eq!(bed.buffer.message(&id).await.expect("an answer"), None);
    }
}

#[tokio::test]
async fn history_and_messages_are_served_from_the_buffer_while_the_store_is_stuck() {
    let bed = Bed::new(&config(), Mood::Stuck);
    let group = GroupId::mint();
    let (first, second) = (group_text(group, "a"), group_text(group, "b"));
    bed.commit(&[first.clone(), second.clone(), hide(&second, "bob"), read(&first, "bob")]).await;
    assert_eq!(bed.message(&first).await.expect("there").read_by, [user("bob")]);
    let page = bed.buffer.pending(&first.conversation()).merge(vec![], &user("bob"), None, 10);
    assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), [id_of(&first)]);
    bed.commit(&[Op::PurgeGroup(group)]).await;
    assert_eq!(bed.message(&second).await, None);
}

#[tokio::test]
async fn history_shows_nothing_that_is_not_durable_yet_but_its_sender_can_change_it() {
    let (deliveries, _stuck_fan_out) = mpsc::channel(1);
    let bed = Bed::with_fan_out(&config(), Mood::Stuck, deliveries);
    let ops = [text("a"), text("b"), text("c")];
    // The second delivery does not fit: the committer stays with it, and commits nothing more.
    let _held = [bed.accept(&ops[0]), bed.accept(&ops[1])];
    until("two are committed", || bed.buffer.shared.lock().ring.committed() == 2).await;
    let _third = bed.accept(&ops[2]);
    let page = bed.buffer.pending(&ops[0].conversation()).merge(vec![], &user("bob"), None, 10);
    assert_eq!(page.iter().map(|m| m.id).collect::<Vec<_>>(), [id_of(&ops[1]), id_of(&ops[0])]);
    assert!(bed.message(&ops[2]).await.is_some());
}

#[tokio::test]
async fn whoever_waits_for_the_store_waits_for_these_conversations_alone() {
    let bed = Bed::new(&config(), Mood::Fast);
    let direct = text("a");
    let waits_for = async |op: &Op, limit| {
        bed.buffer.stored(|conversation| *conversation == op.conversation(), limit).await
    };
    bed.commit(std::slice::from_ref(&direct)).await;
    assert!(waits_for(&direct, LIMIT).await);
    assert_eq!(bed.store.state().model.messages.len(), 1);
    bed.store.set(Mood::Stuck);
    let in_group = group_text(GroupId::mint(), "b");
    bed.commit(std::slice::from_ref(&in_group)).await;
    assert!(waits_for(&direct, Duration::ZERO).await, "nothing of it is pending");
    assert!(!waits_for(&in_group, Duration::ZERO).await);
    bed.store.set(Mood::Fast);
    assert!(waits_for(&in_group, LIMIT).await);
}

/// Readers race the flusher on purpose: after each acknowledged change, the one who made it looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_read_their_writes_whatever_the_flusher_is_doing() {
    let config = Config { batch_size: 3, flush_interval: Duration::from_millis(1), ..config() };
    let bed = Arc::new(Bed::new(&config, Mood::Fast));
    for _ in 0..16 {
        let writer = Arc::clone(&bed);
        bed.tasks.spawn_worker("writer", async move {
            for _ in 0..20 {
                let op = text("0");
                writer.commit(std::slice::from_ref(&op)).await;
                let query = HistoryQuery {
                    conversation: op.conversation(),
                    viewer: user("bob"),
                    before: None,
                    limit: 1_000,
                };
                for n in 1..10 {
                    writer.commit(&[edit(&op, &n.to_string())]).await;
                    let seen = writer.message(&op).await.expect("there");
                    assert_eq!(seen.content, content(&n.to_string()));
                    let pending = writer.buffer.pending(&query.conversation);
                    let stored = writer.store.history(&query).await.expect("an answer");
                    let page = pending.merge(stored, &query.viewer, None, query.limit);
                    let row = page.iter().find(|row| row.id == seen.id).expect("in history");
                    assert_eq!(row.content, content(&n.to_string()));
                }
                writer.commit(&[delete(&op)]).await;
                assert_eq!(writer.message(&op).await, None);
            }
        });
    }
    let ended = timeout(LIMIT, async {
        until("all is done", || {
            bed.buffer.stats().current_buffer_size == 0 && Arc::strong_count(&bed) == 1
        })
        .await;
    });
    tokio::select! {
        ended = ended => ended.expect("in time"),
        () = bed.tasks.failed() => panic!("a writer did not read what it wrote"),
    }
    assert!(bed.store.state().model.messages.is_empty());
}
