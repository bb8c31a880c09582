//! Stores, messages and batches for the tests.

use std::sync::Arc;
use std::time::Duration;

use banter::model::{
    Batch, Content, ContentType, Conversation, Group, GroupId, Message, MessageChange, MessageId,
    Status, Target, Timestamp, UserId,
};
use banter::store::mongo::{Config, Durability, MongoStore};
use banter::store::{HistoryQuery, PoolGauges, Store};

use crate::mongod::TestDatabase;

pub(crate) fn config(url: &str, name: &str) -> Config {
    Config {
        mongo_url: Some(url.parse().expect("any text is taken")),
        mongodb_name: name.to_owned(),
        write_concern: Durability::Majority,
        min_pool_size: 1,
        max_pool_size: 10.try_into().expect("not zero"),
    }
}

/// A store that has not made its indexes yet.
pub(crate) async fn bare(database: &TestDatabase) -> MongoStore {
    let config = config(&database.url, &database.name);
    MongoStore::connect(&config).await.expect("a sound configuration")
}

pub(crate) async fn prepared(database: &TestDatabase) -> MongoStore {
    let store = bare(database).await;
    store.prepare().await.expect("indexes");
    store
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

fn message(target: Target, from: &str, at: i64) -> Message {
    Message {
        id: MessageId::mint(),
        old_id: None,
        target,
        from: user(from),
        content: Content::Text(format!("at {at}")),
        content_type: ContentType::Text,
        media_url: None,
        media_metadata: None,
        timestamp: Timestamp(at),
        status: Status::Sent,
        read_by: Vec::new(),
        deleted_for: Vec::new(),
        edited_at: None,
    }
}

pub(crate) fn direct(from: &str, to: &str, at: i64) -> Message {
    message(Target::User(user(to)), from, at)
}

pub(crate) fn in_group(group: GroupId, from: &str, at: i64) -> Message {
    message(Target::Group(group), from, at)
}

pub(crate) fn group(name: &str, members: &[&str], at: i64) -> Group {
    Group {
        id: GroupId::mint(),
        name: name.to_owned(),
        members: members.iter().map(|member| user(member)).collect(),
        created_by: user(members[0]),
        created_at: Timestamp(at),
    }
}

pub(crate) fn inserts<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Batch {
    Batch { inserts: messages.into_iter().cloned().map(Arc::new).collect(), ..Batch::default() }
}

pub(crate) fn edit(id: MessageId, text: &str) -> MessageChange {
    MessageChange {
        id,
        edit: Some((Content::Text(text.to_owned()), Timestamp(9))),
        readers: Vec::new(),
        hidden_for: Vec::new(),
    }
}

pub(crate) fn read(id: MessageId, reader: &str) -> MessageChange {
    MessageChange { id, edit: None, readers: vec![user(reader)], hidden_for: Vec::new() }
}

pub(crate) fn between(a: &str, b: &str) -> Conversation {
    Conversation::direct(user(a), user(b))
}

pub(crate) fn page(conversation: Conversation, viewer: &str) -> HistoryQuery {
    HistoryQuery { conversation, viewer: user(viewer), before: None, limit: 50 }
}

pub(crate) async fn history(store: &dyn Store, conversation: Conversation) -> Vec<Message> {
    store.history(&page(conversation, "nobody")).await.expect("the store answers")
}

/// Waits until no connection is in use: the driver takes one back a little after its call.
pub(crate) async fn idle_pool(store: &dyn Store) -> PoolGauges {
    let settling = async {
        loop {
            let pool = store.pool().expect("a pool");
            if (pool.in_use, pool.waiting) == (0, 0) {
                return pool;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settling).await.expect("the pool is idle again")
}
