//! The journal's disk under the whole buffer: starts, a disk that is full, a disk that fails.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Bed, LIMIT, config, texts, until};
use crate::buffer::journal::sim::{Fault, SimFs};
use crate::buffer::testing::{
    Mood, content, delete, edit, id_of, named, newest, read, sent, text, user,
};
use crate::buffer::{Config, Disk, SentAs};
use crate::error::ErrorCode;
use crate::model::{ClientId, Op};

fn bed(fs: &SimFs, mood: Mood) -> Bed {
    let (deliveries, _) = mpsc::channel(1);
    Bed::on(fs, &config(), mood, deliveries)
}

/// What dies with the process.
pub(super) async fn kill(bed: Bed) {
    // The thread must have let go of the journal before another one opens it.
    let shared = std::sync::Arc::clone(&bed.buffer.shared);
    shared.abandoned.cancel();
    drop(bed);
    shared.closed.cancelled().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_read_and_stored_after_the_process_was_killed() {
    let fs = SimFs::new(0);
    let (first, second, third) = (text("a"), text("b"), text("c"));
    let ops = [first.clone(), edit(&first, "A"), second.clone(), third.clone(), delete(&third)];
    let before = bed(&fs, Mood::Stuck);
    before.commit(&ops).await;
    kill(before).await;

    let after = bed(&fs, Mood::Stuck);
    assert_eq!(after.buffer.stats().current_buffer_size, ops.len());
    assert_eq!(after.message(&first).await.expect("seen").content, content("A"));
    assert_eq!(after.message(&third).await, None);
    let page = after.buffer.history(&newest(&first, "bob", 10)).await.expect("a page");
    assert_eq!(page.len(), 2, "history has it at once");
    let in_memory = || after.buffer.shared.lock().pages.get(&first.conversation()).is_some();
    after.store.set(Mood::Misconfigured);
    after.buffer.history(&newest(&first, "bob", 10)).await.expect("a page");
    assert!(in_memory());
    after.store.set(Mood::Fast);
    after.flush().await;
    assert_eq!(after.store.state().model.messages.len(), 2);
    assert!(after.buffer.stored(|_| true, LIMIT).await);
    assert!(!in_memory(), "what a journal held is not taken for what the store has");
    kill(after).await;

    let stored = bed(&fs, Mood::Fast);
    assert_eq!(stored.buffer.stats().current_buffer_size, 0, "what is stored is not read again");
}

#[tokio::test]
async fn replay_undoes_nothing_that_others_have_done_meanwhile() {
    let fs = SimFs::new(0);
    let (edited, deleted) = (text("a"), text("b"));
    let ours = [edited.clone(), edit(&edited, "ours"), deleted.clone(), read(&deleted, "bob")];
    let before = bed(&fs, Mood::Stuck);
    before.commit(&ours).await;
    kill(before).await;

    // It had been stored before the process died, and another server went on with it.
    let after = bed(&fs, Mood::Stuck);
    {
        let state = &mut *after.store.state();
        ours.iter().for_each(|op| state.model.apply_op(op));
        let mut later = edit(&edited, "theirs");
        if let Op::Edit { edited_at, .. } = &mut later {
            edited_at.0 += 1;
        }
        state.model.apply_op(&later);
        state.model.apply_op(&delete(&deleted));
    }
    after.store.set(Mood::Fast);
    after.flush().await;
    assert_eq!(after.message(&edited).await.expect("there").content, content("theirs"));
    assert_eq!(after.message(&deleted).await, None, "it stays deleted");
    assert_eq!(after.buffer.stats().dead_letters, 0);
}

#[tokio::test]
async fn a_name_is_known_over_a_restart_pending_and_stored() {
    let fs = SimFs::new(0);
    let (stored, pending) = (named("a", "stored"), named("b", "pending"));
    let before = bed(&fs, Mood::Fast);
    before.commit(std::slice::from_ref(&stored)).await;
    before.flush().await;
    let id = sent(&stored).client_id.clone().expect("it has one");
    assert!(before.buffer.sent_as(&user("alice"), &id).is_some(), "stored lately");
    before.store.set(Mood::Stuck);
    before.commit(std::slice::from_ref(&pending)).await;
    kill(before).await;

    let after = bed(&fs, Mood::Away);
    for op in [&stored, &pending] {
        let message = sent(op);
        let id = message.client_id.clone().expect("it has one");
        let Some(SentAs::Known(found, None)) = after.buffer.sent_as(&message.from, &id) else {
            panic!("{id:?} is not known, or not durable");
        };
        assert_eq!(found.id, message.id);
    }
    let unknown = ClientId::parse("unknown").expect("a client id");
    assert!(after.buffer.sent_as(&user("alice"), &unknown).is_none());
}

#[tokio::test]
async fn a_failed_sync_fails_the_waiting_and_stops_the_accepting_and_nothing_else() {
    let fs = SimFs::new(0);
    let bed = bed(&fs, Mood::Stuck);
    let safe = text("safe");
    bed.commit(std::slice::from_ref(&safe)).await;
    fs.break_call(1, Fault::Fails);
    let refused = bed.accept(&text("lost")).durable().await.expect_err("not durable");
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert_eq!(bed.buffer.stats().disk, Disk::Failed);
    let refused = bed.buffer.accept(text("later"), None).expect_err("refused");
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    let calls = fs.calls();
    // What was acknowledged is served and stored as ever.
    bed.store.set(Mood::Fast);
    bed.flush().await;
    assert!(bed.message(&safe).await.is_some());
    assert_eq!(bed.store.state().model.messages.len(), 1);
    timeout(LIMIT, bed.buffer.drained()).await.expect("a stop does not wait for what was refused");
    assert_eq!(timeout(LIMIT, bed.buffer.close()).await.expect("it ends"), 0);
    assert_eq!(fs.calls(), calls, "the disk is left alone");
}

#[tokio::test]
async fn a_full_disk_refuses_and_is_taken_up_again_by_itself() {
    let fs = SimFs::new(0);
    let bed = bed(&fs, Mood::Stuck);
    bed.commit(&texts(3)).await;
    fs.set_capacity(fs.used());
    // What is reserved takes some more.
    let refused = loop {
        let text = text(&"x".repeat(50_000));
        if let Err(error) = bed.accept(&text).durable().await {
            break error;
        }
    };
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert_eq!(bed.buffer.stats().disk, Disk::Full);
    assert!(bed.buffer.accept(text("x"), None).is_err());
    // Edits of what was refused are gone with it; the rest is as it was.
    let held = bed.buffer.stats().current_buffer_size;
    bed.store.set(Mood::Fast);
    bed.flush().await;
    assert_eq!(bed.store.state().model.messages.len(), held);
    fs.set_capacity(usize::MAX);
    until("there is room", || bed.buffer.stats().disk == Disk::Works).await;
    bed.commit(&texts(1)).await;
}

#[tokio::test]
async fn whoever_comes_for_the_same_message_is_told_the_same() {
    let fs = SimFs::new(0);
    let bed = bed(&fs, Mood::Stuck);
    bed.commit(&texts(1)).await;
    fs.break_call(1, Fault::Fails);
    let op = named("a", "c-1");
    // The lock keeps the committer from being faster.
    let (first, second) = {
        let first = bed.accept(&op);
        let id = sent(&op).client_id.clone().expect("it has one");
        (first, bed.buffer.sent_as(&sent(&op).from, &id))
    };
    assert!(first.durable().await.is_err());
    if let Some(SentAs::Known(_, Some(second))) = second {
        assert!(second.durable().await.is_err());
    }
    assert_eq!(bed.message(&op).await, None);
}

#[tokio::test]
async fn a_change_whose_message_comes_later_is_kept_and_made() {
    let fs = SimFs::new(0);
    let before = bed(&fs, Mood::Fast);
    let (theirs, other) = (text("theirs"), text("other"));
    before.commit(&[edit(&theirs, "edited"), other.clone()]).await;
    before.flush().await;
    assert_eq!(before.store.state().model.messages.len(), 1, "it holds nothing up");
    kill(before).await;

    // It outlives the process.
    let after = bed(&fs, Mood::Fast);
    assert!(after.buffer.stats().current_buffer_size > 0);
    after.flush().await;
    after.store.state().model.insert(sent(&theirs));
    let is_made =
        || after.store.state().model.messages[&id_of(&theirs)].content == content("edited");
    until("the edit is made", is_made).await;
    let lets_go = || after.buffer.shared.lock().storable() == 2;
    until("the journal lets go of it", lets_go).await;
    assert_eq!(after.buffer.stats().dead_letters, 0);
}

#[tokio::test]
async fn a_change_whose_message_never_comes_becomes_a_dead_letter() {
    let bed = bed(&SimFs::new(0), Mood::Fast);
    bed.commit(&[edit(&text("nowhere"), "x")]).await;
    bed.flush().await;
    tokio::time::pause();
    until("it is given up", || bed.buffer.stats().dead_letters == 1).await;
    tokio::time::resume();
    let [letter] = &bed.dead_letters()[..] else { panic!("one letter") };
    assert!(letter.reason.contains("did not come"), "{}", letter.reason);
    assert_eq!(bed.buffer.shared.lock().storable(), 1);
}

#[tokio::test]
async fn a_store_that_is_not_set_up_is_left_alone_at_once() {
    let config = Config { breaker_open: Duration::from_secs(3_600), ..config() };
    let (deliveries, _) = mpsc::channel(1);
    let bed = Bed::on(&SimFs::new(0), &config, Mood::Misconfigured, deliveries);
    bed.commit(&texts(1)).await;
    until("the breaker opens", || bed.buffer.stats().breaker_open).await;
    assert_eq!(bed.store.state().calls, 1);
}
