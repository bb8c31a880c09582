//! A store that is away, hangs, lies about what it has written, or refuses.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Bed, LIMIT, config, texts, until};
use crate::buffer::journal::sim::SimFs;
use crate::buffer::late::LATE;
use crate::buffer::testing::{Mood, content, edit, group_text, id_of, read, text, user};
use crate::buffer::{Config, DeadLetter, Delivery};
use crate::correlation::RequestId;
use crate::model::{Audience, Dispatch, Event, GroupId};

#[tokio::test]
async fn a_store_that_hangs_is_a_store_that_failed() {
    let bed = Bed::new(&config(), Mood::Stuck);
    bed.commit(&texts(1)).await;
    until("a call", || bed.store.state().calls == 1).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(bed.buffer.stats().failed_flushes, 1);
}

#[tokio::test]
async fn nothing_is_lost_or_reordered_by_an_outage() {
    let bed = Bed::new(&config(), Mood::Away);
    let ops = texts(500);
    bed.commit(&ops[..200]).await;
    until("the breaker opens", || bed.buffer.stats().circuit_breaker_trips >= 2).await;
    let stats = bed.buffer.stats();
    assert_eq!((stats.current_buffer_size, stats.successful_flushes), (200, 0));
    assert!(stats.failed_flushes >= 4, "three failures and a failed probe: {stats:?}");
    assert_eq!((stats.retry_count, stats.last_flush), (2, None));

    bed.commit(&ops[200..]).await;
    bed.store.set(Mood::Fast);
    bed.flush().await;
    let stats = bed.buffer.stats();
    assert!(!stats.breaker_open && stats.failure_count == 0, "{stats:?}");
    assert_eq!((stats.current_buffer_size, stats.buffer_bytes), (0, 0));
    assert_eq!(bed.store.state().arrivals, ops.iter().map(id_of).collect::<Vec<_>>());
    assert!(bed.buffer.shared.lock().overlay.is_empty());
}

#[tokio::test]
async fn a_change_that_comes_after_an_ambiguous_insert_is_stored() {
    let bed = Bed::new(&config(), Mood::Ambiguous);
    let op = text("a");
    bed.commit(std::slice::from_ref(&op)).await;
    // Given up: the next run may be longer than the one that was, in truth, stored.
    until("the breaker opens", || bed.buffer.stats().circuit_breaker_trips >= 1).await;
    bed.store.set(Mood::Away);
    bed.commit(&[edit(&op, "b"), read(&op, "bob")]).await;
    bed.store.set(Mood::Fast);
    bed.flush().await;
    let stored = bed.store.state().model.messages[&id_of(&op)].clone();
    assert_eq!((stored.content, stored.read_by), (content("b"), vec![user("bob")]));
    assert_eq!(bed.store.state().arrivals.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_not_set_up_is_waited_for_and_costs_no_dead_letter() {
    let bed = Bed::new(&config(), Mood::Misconfigured);
    bed.commit(&texts(1)).await;
    until("the breaker opens", || bed.buffer.stats().breaker_open).await;
    bed.store.set(Mood::Fast);
    bed.flush().await;
    assert_eq!((bed.buffer.stats().dead_letters, bed.store.state().arrivals.len()), (0, 1));
}

#[tokio::test]
async fn a_refused_op_becomes_a_dead_letter_and_blocks_nothing() {
    let bed = Bed::new(&Config { batch_size: 1_000, ..config() }, Mood::Stuck);
    let ops = texts(300);
    let poison = [&ops[0], &ops[77], &ops[78], &ops[299]];
    bed.store.state().poison.extend(poison.map(id_of));
    bed.commit(&ops).await;
    bed.store.set(Mood::Fast);
    bed.flush().await;
    let stats = bed.buffer.stats();
    assert_eq!((stats.dead_letters, bed.store.state().model.messages.len()), (4, 296));
    assert_eq!((stats.circuit_breaker_trips, stats.retry_count), (0, 0));
    assert!(stats.failed_flushes < 100, "bisected, not one by one: {stats:?}");
    let letters = bed.dead_letters();
    let buried: Vec<_> = letters.iter().map(DeadLetter::concerns).collect();
    assert_eq!(buried, poison.map(|op| id_of(op).to_string()));
}

/// A log in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("logged").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_waits_at_the_front_when_the_store_goes_away_is_named_in_the_log() {
    let log = Kept::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let subscriber = subscriber.finish();
    // The flusher runs on this thread.
    let _logged = tracing::subscriber::set_default(subscriber);
    let bed = Bed::new(&config(), Mood::Misconfigured);
    let accept = async { bed.commit(&texts(2)).await };
    RequestId::given("r-1").expect("sane").scope(accept).await;
    until("the breaker opens", || bed.buffer.stats().breaker_open).await;
    let log = String::from_utf8(log.0.lock().expect("logged").clone()).expect("text");
    let line = log.lines().find(|line| line.contains("takes no writes")).expect("it is told");
    assert!(line.ends_with("requests=r-1"), "{line}");
}

#[tokio::test]
async fn a_dead_letter_names_the_request_that_it_was_accepted_for() {
    let bed = Bed::new(&config(), Mood::Fast);
    let ops = texts(3);
    bed.store.state().poison.insert(id_of(&ops[1]));
    for (op, request) in ops.iter().zip(["a", "b", "c"]) {
        let accept = async { bed.commit(std::slice::from_ref(op)).await };
        RequestId::given(request).expect("sane").scope(accept).await;
    }
    bed.flush().await;
    let [letter] = &bed.dead_letters()[..] else { panic!("one letter") };
    assert_eq!(letter.request(), Some("b"));
}

#[tokio::test]
async fn an_op_whose_dead_letter_cannot_be_written_is_kept() {
    let bed = Bed::new(&config(), Mood::Fast);
    let in_the_way = bed.directory.path().join("dead-letter");
    std::fs::write(&in_the_way, "").expect("a file in the way");
    let op = text("a");
    bed.store.state().poison.insert(id_of(&op));
    bed.commit(std::slice::from_ref(&op)).await;
    until("it is tried again", || bed.store.state().calls >= 2).await;
    assert_eq!(bed.buffer.stats().current_buffer_size, 1);
    std::fs::remove_file(in_the_way).expect("out of the way");
    bed.flush().await;
    assert_eq!((bed.buffer.stats().dead_letters, bed.dead_letters().len()), (1, 1));
}

/// Who is told to ask again, from now on until somebody is told of something else.
async fn told_to_sync(deliveries: &mut mpsc::Receiver<Delivery>) -> Vec<Audience> {
    let mut told = Vec::new();
    loop {
        let delivery = timeout(LIMIT, deliveries.recv()).await.expect("in time").expect("open");
        match &delivery.dispatch {
            Some(Dispatch { to, event: Event::SyncRequired }) => told.push(to.clone()),
            Some(_) => return told,
            // An op without an event.
            None => {}
        }
        delivery.done();
    }
}

/// Who is told to ask again next.
async fn told_to_sync_first(deliveries: &mut mpsc::Receiver<Delivery>) -> Audience {
    loop {
        let delivery = timeout(LIMIT, deliveries.recv()).await.expect("in time").expect("open");
        if let Some(Dispatch { to, event: Event::SyncRequired }) = &delivery.dispatch {
            return to.clone();
        }
    }
}

#[tokio::test]
async fn users_of_what_was_stored_late_are_told_once() {
    let (sender, mut deliveries) = mpsc::channel(1_000);
    let bed = Bed::with_fan_out(&config(), Mood::Stuck, sender.clone());
    let end = || {
        let (to, group) = (Audience::Users(vec![user("eve")]), GroupId::mint());
        Delivery::of(Dispatch { to, event: Event::Left { group } })
    };
    let group = GroupId::mint();
    let late = [text("a"), text("b"), group_text(group, "c")];
    late.iter().for_each(|op| drop(bed.accept(op)));
    until("they are committed", || bed.buffer.shared.lock().ring.committed() == 3).await;
    tokio::time::pause();
    tokio::time::sleep(LATE).await;
    tokio::time::resume();
    bed.store.set(Mood::Fast);
    bed.flush().await;
    // They are told before the next run is written.
    let _ = bed.accept(&group_text(group, "d"));
    bed.flush().await;
    sender.send(end()).await.expect("a place");
    let mut told = told_to_sync(&mut deliveries).await;
    told.sort_by_key(|to| matches!(to, Audience::Group(_)));
    told.truncate(2);
    let users = Audience::Users(vec![user("alice"), user("bob")]);
    assert_eq!(told, [users, Audience::Group(group)]);
}

#[tokio::test]
async fn users_of_what_a_journal_held_are_told_when_it_is_stored() {
    let fs = SimFs::new(0);
    {
        let bed = Bed::on(&fs, &config(), Mood::Away, mpsc::channel(1).0);
        bed.commit(&texts(3)).await;
    }
    let (sender, mut deliveries) = mpsc::channel(1_000);
    let bed = Bed::on(&fs, &config(), Mood::Fast, sender.clone());
    bed.flush().await;
    let told = told_to_sync_first(&mut deliveries).await;
    assert_eq!(told, Audience::Users(vec![user("alice"), user("bob")]));
}
