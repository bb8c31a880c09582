//! Replies and pins, however much of what is on its way the store has written without saying so.

use std::sync::Arc;

use super::{Bed, config};
use crate::buffer::testing::{Mood, delete, hide, id_of, newest, pin, sent, text};
use crate::model::{Message, MessageId, Op};
use crate::store::{HistoryQuery, Range};

fn reply(words: &str, root: &Op, at: i64) -> Op {
    let (reply_to, timestamp) = (Some(id_of(root)), crate::model::Timestamp(at));
    Op::Send(Arc::new(Message { reply_to, timestamp, ..sent(&text(words)).clone() }))
}

/// A buffer with these ops on their way, the first few of which the store has written.
async fn half_stored(ops: &[Op], stored: usize) -> Bed {
    let bed = Bed::new(&config(), Mood::Stuck);
    bed.commit(ops).await;
    let mut state = bed.store.state();
    ops[..stored].iter().for_each(|op| state.model.apply_op(op));
    drop(state);
    bed
}

#[tokio::test]
async fn replies_are_there_once_and_counted_once() {
    let root = text("root");
    let [a, b, c, d] = [1, 2, 3, 4].map(|at| reply("reply", &root, 1_000 + at));
    let elsewhere = reply("elsewhere", &a, 2_000);
    let ops = [
        root.clone(),
        a.clone(),
        b.clone(),
        elsewhere,
        text("aside"),
        c.clone(),
        delete(&b),
        d.clone(),
        hide(&d, "bob"),
    ];
    for stored in 0..=ops.len() {
        let bed = half_stored(&ops, stored).await;
        let counts = bed.buffer.reply_counts(&root.conversation(), &[id_of(&root)]).await;
        let counts = counts.expect("an answer");
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(id_of(&root), 3)], "{stored} stored");
        let before = Range::Before(sent(&c).position());
        for (range, limit, expected) in [
            (Range::Newest, 9, &[id_of(&c), id_of(&a)][..]),
            (Range::Newest, 1, &[id_of(&c)]),
            (before, 9, &[id_of(&a)]),
        ] {
            let query = HistoryQuery { range, ..newest(&root, "bob", limit) };
            let page = bed.buffer.replies(id_of(&root), &query).await.expect("a page");
            let page: Vec<MessageId> = page.iter().map(|row| row.id).collect();
            assert_eq!(page, expected, "{stored} stored, {range:?}");
        }
    }
}

#[tokio::test]
async fn pins_are_what_the_last_word_says() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(text);
    let ops = [
        a.clone(),
        b.clone(),
        pin(&a, true, 10),
        pin(&b, true, 20),
        c.clone(),
        pin(&c, true, 30),
        pin(&a, false, 40),
        d.clone(),
        pin(&d, true, 50),
        delete(&d),
        pin(&b, false, 60),
        pin(&b, true, 70),
    ];
    for stored in 0..=ops.len() {
        let bed = half_stored(&ops, stored).await;
        for (limit, expected) in [(9, &[id_of(&b), id_of(&c)][..]), (1, &[id_of(&b)])] {
            let rows = bed.buffer.pins(&a.conversation(), limit).await.expect("an answer");
            let ids: Vec<MessageId> = rows.iter().map(|row| row.id).collect();
            assert_eq!(ids, expected, "{stored} stored");
        }
        let count = bed.buffer.pin_count(&a.conversation(), 9).await.expect("an answer");
        assert_eq!(count, 2);
    }
}
