//! Short ways to make, store and read what the tests of the stores are about.
#![allow(dead_code, reason = "each test binary uses the part it needs")]
#![expect(clippy::expect_used, reason = "a test that can't go on fails")]

use std::sync::Arc;

use banter::model::{
    Batch, ClientId, Content, ContentType, Conversation, Deletion, Group, GroupId, Message,
    MessageChange, MessageId, ReadCursor, Status, Target, Timestamp, UserId,
};
use banter::store::{Applied, HistoryQuery, Range, Store};

/// A user.
pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

fn message(from: &str, target: Target, at: i64) -> Message {
    Message {
        id: MessageId::mint(),
        old_id: None,
        client_id: None,
        target,
        from: user(from),
        content: Content::Text(format!("{from} at {at}")),
        content_type: ContentType::Text,
        media_url: None,
        media_metadata: None,
        timestamp: Timestamp(at),
        status: Status::Sent,
        read_by: Vec::new(),
        deleted_for: Vec::new(),
        edited_at: None,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        pin: None,
        revisions: Vec::new(),
    }
}

/// A direct message.
pub(crate) fn direct(from: &str, to: &str, at: i64) -> Message {
    message(from, Target::User(user(to)), at)
}

/// A message that its sender's client has named.
pub(crate) fn named(message: Message, client_id: &str) -> Message {
    Message { client_id: Some(client(client_id)), ..message }
}

/// A message that answers another one.
pub(crate) fn reply(message: Message, root: &Message) -> Message {
    Message { reply_to: Some(root.id), ..message }
}

/// A client's name for a message.
pub(crate) fn client(id: &str) -> ClientId {
    ClientId::parse(id).expect("a client id")
}

/// A group message, which its sender has read.
pub(crate) fn in_group(group: GroupId, from: &str, at: i64) -> Message {
    let read_by = vec![user(from)];
    Message { read_by, ..message(from, Target::Group(group), at) }
}

/// A group made by its first member.
pub(crate) fn group(name: &str, members: &[&str], at: i64) -> Group {
    let members: Vec<UserId> = members.iter().map(|name| user(name)).collect();
    Group {
        id: GroupId::mint(),
        name: name.to_owned(),
        created_by: members[0].clone(),
        owner: members[0].clone(),
        members,
        created_at: Timestamp(at),
        admins: Vec::new(),
        silenced: Vec::new(),
        is_public: false,
    }
}

/// A change, to a message of Alice and Bob, that changes nothing yet.
pub(crate) fn change(id: MessageId) -> MessageChange {
    MessageChange::none(id, between("alice", "bob"))
}

/// The change of an edit.
pub(crate) fn edit(id: MessageId, text: &str) -> MessageChange {
    edit_at(id, text, 9)
}

/// The change of an edit that was made then.
pub(crate) fn edit_at(id: MessageId, text: &str, at: i64) -> MessageChange {
    MessageChange { edits: vec![(Content::Text(text.to_owned()), Timestamp(at))], ..change(id) }
}

/// The change of one or more readers.
pub(crate) fn read(id: MessageId, readers: &[&str]) -> MessageChange {
    MessageChange { readers: readers.iter().map(|name| user(name)).collect(), ..change(id) }
}

/// The change of one or more users who hide a message.
pub(crate) fn hide(id: MessageId, users: &[&str]) -> MessageChange {
    MessageChange { hidden_for: users.iter().map(|name| user(name)).collect(), ..change(id) }
}

/// A batch of inserts.
pub(crate) fn inserts<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Batch {
    let inserts = messages.into_iter().cloned().map(Arc::new).collect();
    Batch { inserts, ..Batch::default() }
}

/// Writes a batch, and its part of the search index.
pub(crate) async fn apply(store: &dyn Store, batch: Batch) -> Applied {
    let applied = store.apply(&batch).await.expect("the batch is taken");
    store.index(&[Arc::new(batch)]).await.expect("the index is written");
    applied
}

/// Stores messages.
pub(crate) async fn insert<'a>(store: &dyn Store, messages: impl IntoIterator<Item = &'a Message>) {
    apply(store, inserts(messages)).await;
}

/// Applies changes.
pub(crate) async fn apply_changes(store: &dyn Store, changes: Vec<MessageChange>) {
    apply(store, Batch { changes, ..Batch::default() }).await;
}

/// Moves a cursor to a message.
pub(crate) async fn move_cursor(store: &dyn Store, name: &str, group: GroupId, message: &Message) {
    let cursor = ReadCursor { user: user(name), group, up_to: message.position() };
    let batch = Batch { cursors: vec![cursor], ..Batch::default() };
    store.apply(&batch).await.expect("cursors are taken");
}

/// A message by its `_id`.
pub(crate) async fn stored(store: &dyn Store, id: MessageId) -> Option<Message> {
    store.message(&id.into()).await.expect("the store answers")
}

/// A page of a conversation.
pub(crate) async fn page(
    store: &dyn Store,
    conversation: Conversation,
    viewer: &str,
    before: Option<&Message>,
    limit: usize,
) -> Vec<Message> {
    let range = before.map_or(Range::Newest, |message| Range::Before(message.position()));
    page_of(store, conversation, viewer, range, limit).await
}

/// A page of any part of a conversation.
pub(crate) async fn page_of(
    store: &dyn Store,
    conversation: Conversation,
    viewer: &str,
    range: Range,
    limit: usize,
) -> Vec<Message> {
    let query = HistoryQuery { conversation, viewer: Some(user(viewer)), range, limit };
    store.history(&query).await.expect("the store answers")
}

/// The direct conversation of two users.
pub(crate) fn between(a: &str, b: &str) -> Conversation {
    Conversation::direct(user(a), user(b))
}

/// The deletion of a message of Alice and Bob, in the second in which it was made: a store forgets
/// deletions that are long past.
pub(crate) fn deletion(id: MessageId) -> Deletion {
    deletion_at(id, id.0.timestamp().timestamp_millis())
}

/// The deletion of a message of Alice and Bob.
pub(crate) fn deletion_at(id: MessageId, at: i64) -> Deletion {
    Deletion { id, conversation: between("alice", "bob"), at: Timestamp(at) }
}

/// Deletes messages.
pub(crate) async fn delete(store: &dyn Store, messages: &[&Message]) {
    let deletes = messages.iter().map(|message| deletion(message.id)).collect();
    apply(store, Batch { deletes, ..Batch::default() }).await;
}

/// Applies changes; the messages that were missing.
pub(crate) async fn missing(store: &dyn Store, changes: Vec<MessageChange>) -> Vec<MessageId> {
    let batch = Batch { changes, ..Batch::default() };
    store.apply(&batch).await.expect("changes are taken").missing
}

/// The message that a user has sent under a client id.
pub(crate) async fn sent_as(store: &dyn Store, name: &str, client_id: &str) -> Option<MessageId> {
    store.sent_as(&user(name), &client(client_id)).await.expect("the store answers")
}
