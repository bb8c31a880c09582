//! Reading what is on its way to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Bed, LIMIT, config, until};
use crate::buffer::testing::{
    Mood, content, delete, edit, group_text, hide, id_of, newest, read, sent, text, user,
};
use crate::buffer::{Config, Lane};
use crate::model::{Content, GroupId, Message, MessageRef, Op};
use crate::store::HistoryQuery;

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
    let page = bed.buffer.history(&newest(&first, "bob", 10)).await.expect("a page");
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
    let page = bed.buffer.history(&newest(&ops[0], "bob", 10)).await.expect("a page");
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
    // The longer pages are read from the store, the shorter ones mostly from memory.
    for limit in [20, 1_000].repeat(8) {
        let writer = Arc::clone(&bed);
        bed.tasks.spawn_worker("writer", async move {
            for _ in 0..20 {
                let op = text("0");
                writer.commit(std::slice::from_ref(&op)).await;
                let query = newest(&op, "bob", limit);
                for n in 1..10 {
                    writer.commit(&[edit(&op, &n.to_string())]).await;
                    let seen = writer.message(&op).await.expect("there");
                    assert_eq!(seen.content, content(&n.to_string()));
                    let page = writer.buffer.history(&query).await.expect("an answer");
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

async fn contents(bed: &Bed, query: &HistoryQuery) -> Vec<Content> {
    let page = bed.buffer.history(query).await.expect("a page");
    page.iter().map(|row| row.content.clone()).collect()
}

fn pages(bed: &Bed) -> (u64, u64) {
    let metrics = &bed.buffer.shared.metrics;
    (metrics.pages_from_memory.get(), metrics.pages_from_store.get())
}

#[tokio::test(start_paused = true)]
async fn a_page_comes_from_memory_until_it_is_old_and_longer_while_the_store_is_away() {
    let bed = Bed::new(&config(), Mood::Fast);
    let ops = [text("a"), text("b"), text("c")];
    bed.commit(&ops).await;
    bed.flush().await;
    let query = newest(&ops[0], "bob", 9);
    let known = ["c", "b", "a"].map(content);
    assert_eq!(contents(&bed, &query).await, known);
    assert_eq!(pages(&bed), (0, 1));
    bed.store.state().model.insert(sent(&text("by another server")));
    assert_eq!(contents(&bed, &query).await, known);
    assert_eq!(pages(&bed), (1, 1));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(contents(&bed, &query).await.len(), 4, "it is asked for again");
    assert_eq!(pages(&bed), (1, 2));

    bed.store.set(Mood::Stuck);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    bed.commit(&[text("d"), delete(&ops[1])]).await;
    let page = contents(&bed, &query).await;
    assert_eq!((page.len(), &page[0], page.contains(&content("b"))), (4, &content("d"), false));
    assert_eq!(pages(&bed), (2, 2));
    let nobody_read_this = newest(&group_text(GroupId::mint(), "x"), "bob", 9);
    assert!(bed.buffer.history(&nobody_read_this).await.is_err());
}

#[tokio::test]
async fn a_page_is_forgotten_when_an_op_of_its_conversation_is_refused() {
    let bed = Bed::new(&config(), Mood::Fast);
    let (first, poison) = (text("a"), text("poison"));
    bed.store.state().poison.insert(id_of(&poison));
    bed.commit(std::slice::from_ref(&first)).await;
    bed.flush().await;
    let query = newest(&first, "bob", 9);
    assert_eq!(contents(&bed, &query).await, [content("a")]);
    bed.commit(&[poison]).await;
    bed.flush().await;
    assert!(bed.buffer.shared.lock().pages.get(&query.conversation).is_none());
    assert_eq!(contents(&bed, &query).await, [content("a")]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waits_for_its_message_is_seen_with_it_at_once() {
    let bed = Bed::new(&config(), Mood::Fast);
    let late = text("a");
    bed.commit(&[edit(&late, "b")]).await;
    bed.flush().await;
    bed.store.state().model.insert(sent(&late));
    let query = newest(&late, "bob", 9);
    assert!(!bed.buffer.shared.lock().deferred.is_empty(), "it waits for its next try");
    assert_eq!(contents(&bed, &query).await, [content("b")]);
    until("the change is stored", || {
        bed.store.state().model.messages[&id_of(&late)].content == content("b")
            && bed.buffer.shared.lock().deferred.is_empty()
    })
    .await;
    assert_eq!(contents(&bed, &query).await, [content("b")]);
}

/// Another node's lane.
fn lane() -> Lane {
    ("other".into(), 0)
}

#[tokio::test]
async fn a_change_that_is_stored_before_its_message_is_known_to_be_is_not_missed() {
    let bed = Bed::new(&config(), Mood::Fast);
    let (old, theirs) = (text("old"), text("theirs"));
    bed.commit(std::slice::from_ref(&old)).await;
    bed.flush().await;
    let query = newest(&old, "bob", 9);
    assert_eq!(contents(&bed, &query).await, [content("old")], "it is in memory");
    bed.buffer.hear(&lane(), 1, Arc::new(theirs.clone()));
    bed.store.state().model.insert(sent(&theirs));
    bed.commit(&[edit(&theirs, "changed here")]).await;
    until("the change is stored", || bed.buffer.stats().current_buffer_size == 0).await;
    for heard in [0, 1] {
        bed.buffer.hear_stored(&lane(), heard);
        let page = contents(&bed, &query).await;
        assert_eq!(page, [content("changed here"), content("old")], "stored up to {heard}");
    }
}
