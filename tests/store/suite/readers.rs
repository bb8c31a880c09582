//! How far the members of a group have read.

use std::sync::Arc;

use banter::model::{Batch, GroupId, MessageId, Position, ReadCursor, Timestamp};
use banter::store::Store;

use crate::make::user;

fn place(at: i64, id: u8) -> Position {
    let mut bytes = [0; 12];
    bytes[11] = id;
    (Timestamp(at), MessageId(bson::oid::ObjectId::from_bytes(bytes)))
}

async fn read(store: &dyn Store, group: GroupId, places: &[(&str, Position)]) {
    let cursor =
        |(name, up_to): &(&str, Position)| ReadCursor { user: user(name), group, up_to: *up_to };
    let cursors = places.iter().map(cursor).collect();
    store.apply(&Batch { cursors, ..Batch::default() }).await.expect("stored");
}

async fn readers(store: &dyn Store, group: GroupId, from: Position, limit: usize) -> Vec<String> {
    let found = store.readers(group, from, limit).await.expect("the store answers");
    assert!(found.is_sorted_by(|(_, a), (_, b)| a >= b), "{found:?}");
    found.iter().map(|(name, (at, _))| format!("{name} {}", at.as_millis())).collect()
}

pub(crate) async fn readers_are_those_at_or_past_a_place_the_furthest_first(store: Arc<dyn Store>) {
    let (group, other) = (GroupId::mint(), GroupId::mint());
    let places =
        [("ann", place(3, 1)), ("bob", place(2, 5)), ("cem", place(2, 4)), ("dan", place(1, 9))];
    read(&*store, group, &places).await;
    read(&*store, other, &[("eve", place(9, 9))]).await;
    assert_eq!(readers(&*store, group, place(2, 5), 10).await, ["ann 3", "bob 2"]);
    assert_eq!(readers(&*store, group, place(2, 4), 10).await, ["ann 3", "bob 2", "cem 2"]);
    assert_eq!(readers(&*store, group, place(0, 0), 10).await.len(), 4);
    assert_eq!(readers(&*store, group, place(3, 2), 10).await, Vec::<String>::new());
    assert_eq!(readers(&*store, group, place(0, 0), 2).await, ["ann 3", "bob 2"]);
    assert_eq!(readers(&*store, group, place(0, 0), 0).await, Vec::<String>::new());
    read(&*store, group, &[("dan", place(4, 0))]).await;
    assert_eq!(readers(&*store, group, place(2, 5), 10).await, ["dan 4", "ann 3", "bob 2"]);
}
