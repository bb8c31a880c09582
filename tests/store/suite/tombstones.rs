//! What is deleted stays deleted, in whichever order its ops arrive.

use std::sync::Arc;

use banter::model::{Batch, Conversation, Deletion, Message, MessageRef, Timestamp};
use banter::store::Store;

use crate::make::{
    between, delete, deletion, direct, edit, group, hide, in_group, insert, inserts, missing, page,
    read, stored, user,
};

/// Nothing shows the message, by whichever way.
async fn assert_gone(store: &dyn Store, message: &Message) {
    assert_eq!(stored(store, message.id).await, None);
    let name = MessageRef::parse(&message.public_id()).expect("a reference");
    assert_eq!(store.message(&name).await.expect("the store answers"), None);
    for viewer in ["alice", "bob"] {
        assert_eq!(page(store, message.conversation(), viewer, None, 10).await, []);
        let unread = store.unread(&user(viewer), None, &[]).await.expect("the store answers");
        assert_eq!((unread.direct, unread.group), (0, 0));
    }
    assert_eq!(store.health().await.expect("the store answers").messages_count, 0);
}

pub(crate) async fn an_insert_after_a_deletion_stays_deleted(store: Arc<dyn Store>) {
    let message = Message { old_id: Some("an-old-id".to_owned()), ..direct("alice", "bob", 1) };
    insert(&*store, [&message]).await;
    delete(&*store, &[&message]).await;

    insert(&*store, [&message]).await;

    assert_gone(&*store, &message).await;
}

pub(crate) async fn a_deletion_before_the_insert_wins(store: Arc<dyn Store>) {
    let team = group("team", &["alice", "bob"], 0);
    store.create_group(&team).await.expect("a new group");
    for message in [direct("alice", "bob", 1), in_group(team.id, "alice", 1)] {
        delete(&*store, &[&message]).await;
        assert_gone(&*store, &message).await;

        insert(&*store, [&message]).await;
        insert(&*store, [&message]).await;

        assert_gone(&*store, &message).await;
    }
}

pub(crate) async fn a_message_deleted_twice_is_deleted_once(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    let stays = direct("bob", "alice", 2);
    insert(&*store, [&message, &stays]).await;

    for later in [0, 1, -1] {
        let first = deletion(message.id);
        let deletes = vec![Deletion { at: Timestamp(first.at.as_millis() + later), ..first }];
        store.apply(&Batch { deletes, ..Batch::default() }).await.expect("a delete is taken");
        assert_eq!(stored(&*store, message.id).await, None);
        assert_eq!(store.health().await.expect("the store answers").messages_count, 1);
    }

    insert(&*store, [&message]).await;
    assert_eq!(page(&*store, between("alice", "bob"), "bob", None, 10).await, [stays]);
}

pub(crate) async fn a_change_of_a_deleted_message_is_neither_applied_nor_missing(
    store: Arc<dyn Store>,
) {
    let (message, unseen) = (direct("alice", "bob", 1), direct("alice", "bob", 2));
    insert(&*store, [&message]).await;
    delete(&*store, &[&message, &unseen]).await;

    for id in [message.id, unseen.id] {
        for change in [edit(id, "late"), read(id, &["bob"]), hide(id, &["bob"])] {
            assert_eq!(missing(&*store, vec![change]).await, []);
        }
    }
    insert(&*store, [&message, &unseen]).await;

    assert_gone(&*store, &message).await;
    assert_gone(&*store, &unseen).await;
}

pub(crate) async fn a_deletion_holds_in_its_own_batch_and_when_that_is_repeated(
    store: Arc<dyn Store>,
) {
    let (old, new) = (direct("alice", "bob", 1), direct("alice", "bob", 2));
    insert(&*store, [&old]).await;
    let deletes = vec![deletion(new.id), deletion(old.id)];
    let changes = vec![edit(old.id, "new")];
    let batch = Batch { changes, deletes, ..inserts([&new]) };

    for _ in 0..3 {
        let applied = store.apply(&batch).await.expect("the batch is taken");
        assert_eq!(applied.missing, []);
        assert_gone(&*store, &old).await;
        assert_gone(&*store, &new).await;
    }
}

pub(crate) async fn a_purge_leaves_no_tombstones_and_takes_none_away(store: Arc<dyn Store>) {
    let team = group("team", &["alice", "bob"], 0);
    store.create_group(&team).await.expect("a new group");
    let (purged, deleted) = (in_group(team.id, "alice", 1), in_group(team.id, "alice", 2));
    insert(&*store, [&purged, &deleted]).await;
    delete(&*store, &[&deleted]).await;
    let purge = Batch { purges: vec![team.id], ..Batch::default() };
    store.apply(&purge).await.expect("a purge is taken");
    assert_gone(&*store, &purged).await;
    let late = [&purged, &deleted].map(|message| read(message.id, &["bob"]));
    assert_eq!(missing(&*store, late.to_vec()).await, [purged.id]);

    insert(&*store, [&purged, &deleted]).await;

    let conversation = Conversation::Group(team.id);
    assert_eq!(page(&*store, conversation, "bob", None, 10).await, [purged]);
    assert_eq!(store.health().await.expect("the store answers").messages_count, 1);
}
