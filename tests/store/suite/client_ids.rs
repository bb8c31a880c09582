//! Messages by what their senders' clients have named them.

use std::sync::Arc;

use banter::model::{Batch, GroupId, Message};
use banter::store::{Store, StoreError};

use crate::make::{
    apply_changes, delete, direct, edit, in_group, insert, inserts, named, page, read, sent_as,
    stored,
};

pub(crate) async fn a_message_is_found_by_sender_and_client_id(store: Arc<dyn Store>) {
    let first = named(direct("alice", "bob", 1), "draft 1");
    let second = named(in_group(GroupId::mint(), "alice", 2), "ж \"2\" $x");
    let others = [direct("alice", "bob", 3), direct("alice", "bob", 4)];
    insert(&*store, others.iter().chain([&first, &second])).await;

    assert_eq!(sent_as(&*store, "alice", "draft 1").await, Some(first.id));
    assert_eq!(sent_as(&*store, "alice", "ж \"2\" $x").await, Some(second.id));
    assert_eq!(sent_as(&*store, "bob", "draft 1").await, None);
    assert_eq!(sent_as(&*store, "alice", "draft").await, None);

    apply_changes(&*store, vec![edit(first.id, "new"), read(first.id, &["bob"])]).await;
    insert(&*store, [&first, &second]).await;
    let row = stored(&*store, first.id).await.expect("a message");
    assert_eq!(row.client_id, first.client_id, "changes leave it as it is");
    assert_eq!(sent_as(&*store, "alice", "draft 1").await, Some(first.id));
}

pub(crate) async fn a_deleted_message_is_still_found_by_its_client_id(store: Arc<dyn Store>) {
    let message = named(direct("alice", "bob", 1), "draft");
    insert(&*store, [&message]).await;

    for _ in 0..2 {
        delete(&*store, &[&message]).await;
        insert(&*store, [&message]).await;
        assert_eq!(sent_as(&*store, "alice", "draft").await, Some(message.id));
        assert_eq!(sent_as(&*store, "bob", "draft").await, None);
    }
    assert_eq!(stored(&*store, message.id).await, None);
}

/// The second message is refused, for good, and the first stays what it was.
async fn assert_taken(store: &dyn Store, first: &Message, second: &Message) {
    for _ in 0..2 {
        let error = store.apply(&inserts([second])).await.expect_err("the client id is taken");
        assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
        assert_eq!(stored(store, second.id).await, None);
        assert_eq!(sent_as(store, "alice", "draft").await, Some(first.id));
    }
}

pub(crate) async fn a_client_id_is_given_once_by_each_sender(store: Arc<dyn Store>) {
    let first = named(direct("alice", "bob", 1), "draft");
    let second = named(direct("alice", "carol", 2), "draft");
    let of_another = named(direct("bob", "alice", 3), "draft");
    insert(&*store, [&first]).await;

    assert_taken(&*store, &first, &second).await;
    insert(&*store, [&of_another]).await;

    assert_eq!(stored(&*store, first.id).await, Some(first.clone()));
    assert_eq!(sent_as(&*store, "bob", "draft").await, Some(of_another.id));
    assert_eq!(store.health().await.expect("the store answers").messages_count, 2);
}

pub(crate) async fn the_client_id_of_a_deleted_message_stays_taken(store: Arc<dyn Store>) {
    let first = named(direct("alice", "bob", 1), "draft");
    insert(&*store, [&first]).await;
    delete(&*store, &[&first]).await;

    assert_taken(&*store, &first, &named(direct("alice", "bob", 2), "draft")).await;

    insert(&*store, [&named(direct("carol", "bob", 3), "draft")]).await;
    insert(&*store, [&first]).await;
    assert_eq!(stored(&*store, first.id).await, None);
}

pub(crate) async fn the_client_ids_of_purged_messages_are_free_again(store: Arc<dyn Store>) {
    let group = GroupId::mint();
    let first = named(in_group(group, "alice", 1), "draft");
    insert(&*store, [&first]).await;
    let purge = Batch { purges: vec![group], ..Batch::default() };
    store.apply(&purge).await.expect("a purge is taken");
    assert_eq!(sent_as(&*store, "alice", "draft").await, None);

    let second = named(direct("alice", "bob", 2), "draft");
    insert(&*store, [&second]).await;

    assert_eq!(sent_as(&*store, "alice", "draft").await, Some(second.id));
    assert_eq!(page(&*store, second.conversation(), "bob", None, 10).await, [second]);
}
