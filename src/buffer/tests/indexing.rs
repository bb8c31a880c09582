//! The search index behind the flush: slow, away, cut off by a crash.

use std::time::Duration;

use tokio::sync::mpsc;

use super::disk::kill;
use super::{Bed, CLOSE_LIMIT, LIMIT, config, texts, until};
use crate::buffer::Config;
use crate::buffer::journal::sim::SimFs;
use crate::buffer::testing::{Mood, content, delete, edit, id_of, text};
use crate::model::{Conversation, Op};

fn bed(fs: &SimFs) -> Bed {
    let (deliveries, _) = mpsc::channel(1);
    Bed::on(fs, &config(), Mood::Fast, deliveries)
}

async fn is_indexed(bed: &Bed) -> bool {
    bed.buffer.stored(|_| true, LIMIT).await
}

#[tokio::test]
async fn a_slow_index_holds_up_the_checkpoint_and_not_the_flush() {
    let bed = bed(&SimFs::new(0));
    bed.store.set_index(Mood::Stuck);
    let ops = texts(300);
    bed.commit(&ops).await;
    bed.flush().await;
    assert_eq!(bed.store.state().model.messages.len(), 300);
    let stats = bed.buffer.stats();
    assert_eq!((stats.current_buffer_size, stats.unindexed), (0, 300));
    assert_eq!(bed.buffer.unsettled(), 300);
    assert!(!bed.buffer.settled(Duration::ZERO).await, "a start would find it in the journal");
    bed.store.set_index(Mood::Fast);
    assert!(is_indexed(&bed).await);
    assert!(bed.buffer.settled(LIMIT).await);
    assert_eq!((bed.buffer.unsettled(), bed.buffer.stats().unindexed), (0, 0));
    assert_eq!(bed.store.state().index.len(), 300);
}

#[tokio::test]
async fn what_a_crash_kept_from_the_index_is_indexed_afterwards() {
    let fs = SimFs::new(0);
    let (first, second) = (text("a"), text("b"));
    let ops = [first.clone(), second.clone(), edit(&first, "A"), delete(&second)];
    let before = bed(&fs);
    before.store.set_index(Mood::Stuck);
    before.commit(&ops).await;
    before.flush().await;
    assert_eq!(before.store.state().model.messages.len(), 1);
    kill(before).await;

    let after = bed(&fs);
    assert!(is_indexed(&after).await);
    let index = after.store.state().index.clone();
    assert_eq!(index.into_iter().collect::<Vec<_>>(), [(id_of(&first), content("A"))]);
    kill(after).await;
    let settled = bed(&fs);
    assert_eq!(settled.buffer.unsettled(), 0, "nothing is brought a third time");
}

#[tokio::test]
async fn a_change_that_has_found_its_message_late_is_indexed() {
    let bed = bed(&SimFs::new(0));
    let late = text("a");
    bed.commit(&[edit(&late, "b")]).await;
    bed.flush().await;
    bed.store.state().model.insert(crate::buffer::testing::sent(&late));
    until("the change is indexed", || {
        bed.store.state().index.get(&id_of(&late)) == Some(&content("b"))
    })
    .await;
}

#[tokio::test]
async fn an_index_that_is_away_is_tried_again() {
    for mood in [Mood::Away, Mood::Ambiguous] {
        let bed = bed(&SimFs::new(0));
        bed.store.set_index(mood);
        bed.commit(&texts(3)).await;
        bed.flush().await;
        assert_eq!(bed.buffer.stats().unindexed, 3);
        assert!(!bed.buffer.stats().breaker_open);
        bed.store.set_index(Mood::Fast);
        assert!(is_indexed(&bed).await);
        assert_eq!(bed.store.state().index.len(), 3);
    }
}

#[tokio::test]
async fn whoever_searches_waits_for_the_index_of_their_own_conversations() {
    let bed = bed(&SimFs::new(0));
    bed.store.set_index(Mood::Stuck);
    let op = text("a");
    bed.commit(std::slice::from_ref(&op)).await;
    bed.flush().await;
    let own = |conversation: &Conversation| *conversation == op.conversation();
    assert!(!bed.buffer.stored(own, Duration::ZERO).await);
    let others = |conversation: &Conversation| *conversation != op.conversation();
    assert!(bed.buffer.stored(others, Duration::ZERO).await);
    bed.store.set_index(Mood::Fast);
    assert!(bed.buffer.stored(own, LIMIT).await);
    assert!(bed.store.state().index.contains_key(&id_of(&op)));
}

#[tokio::test]
async fn with_much_waiting_the_flusher_waits_and_goes_on_by_itself() {
    let config = Config { buffer_capacity: 100_000, batch_size: 1_000, ..config() };
    let (deliveries, _) = mpsc::channel(1);
    let bed = Bed::on(&SimFs::new(0), &config, Mood::Fast, deliveries);
    bed.store.set_index(Mood::Stuck);
    let large = text(&"x".repeat(60_000));
    let ops: Vec<Op> = (0..1_000).map(|_| fresh(&large)).collect();
    bed.commit(&ops).await;
    until("the flusher waits", || {
        let stats = bed.buffer.stats();
        stats.unindexed > 500 && stats.current_buffer_size > 0
    })
    .await;
    assert!(!bed.buffer.flushed(Duration::from_millis(100)).await);
    assert!(bed.buffer.stats().unindexed < 1_000);
    bed.store.set_index(Mood::Fast);
    assert!(is_indexed(&bed).await);
    assert_eq!(bed.store.state().index.len(), 1_000);
}

/// Another message that says the same.
fn fresh(op: &Op) -> Op {
    let Op::Send(message) = op else { panic!("not a message") };
    let mut message = crate::model::Message::clone(message);
    message.id = crate::model::MessageId::mint();
    Op::Send(message.into())
}

#[tokio::test]
async fn close_leaves_to_the_journal_what_the_index_does_not_take() {
    let away = bed(&SimFs::new(0));
    away.store.set_index(Mood::Away);
    away.commit(&texts(7)).await;
    away.flush().await;
    let at_once = tokio::time::timeout(CLOSE_LIMIT / 2, away.buffer.close()).await;
    assert_eq!(at_once.expect("not only at the limit"), 0);
    assert_eq!(away.buffer.unsettled(), 7);

    let works = bed(&SimFs::new(0));
    works.store.set_index(Mood::Slow(Duration::from_millis(20)));
    works.commit(&texts(7)).await;
    assert_eq!(works.buffer.close().await, 0);
    assert_eq!((works.buffer.unsettled(), works.store.state().index.len()), (0, 7));
}
