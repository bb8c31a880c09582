//! The embedded store: how the suite gets one, and what only a file can go through.

use std::path::Path;
use std::sync::Arc;

use banter::model::{
    Batch, GroupId, Invitation, LoginSession, Message, SecretHash, SessionId, Timestamp, Token,
};
use banter::search::Words;
use banter::store::sqlite::SqliteStore;
use banter::store::{AccountStore, PoolGauges, REVOCATION_LIFE, SearchQuery, Store, StoreError};
use tempfile::TempDir;

use crate::make::{
    between, delete, deletion_at, direct, group, insert, named, page, sent_as, stored, user,
};

/// An empty store in a folder of its own, which goes with the second value.
pub(crate) async fn fresh() -> (Arc<SqliteStore>, TempDir) {
    let folder = folder();
    (Arc::new(open(&folder).await), folder)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

async fn open(folder: &TempDir) -> SqliteStore {
    let store = SqliteStore::open(&folder.path().join("data/banter.db")).expect("a database");
    store.prepare().await.expect("tables");
    store
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = folder();
    let message = direct("alice", "bob", 1);
    let team = group("team", &["zed", "alice"], 2);
    let first = open(&folder).await;
    insert(&first, [&message]).await;
    first.create_group(&team).await.expect("a new group");
    first.close().await;

    let second = open(&folder).await;

    assert_eq!(stored(&second, message.id).await, Some(message));
    assert_eq!(second.group(team.id).await.expect("the store answers"), Some(team));
    let health = second.health().await.expect("the store answers");
    assert_eq!((health.messages_count, health.groups_count), (1, 1));
}

#[tokio::test]
async fn a_batch_is_in_the_file_once_it_is_applied() {
    let folder = folder();
    let message = direct("alice", "bob", 1);
    let first = open(&folder).await;
    insert(&first, [&message]).await;

    let second = open(&folder).await;

    assert_eq!(stored(&second, message.id).await, Some(message), "without a close before");
}

#[tokio::test]
async fn a_file_of_a_newer_server_is_refused_and_left_alone() {
    let folder = folder();
    open(&folder).await.close().await;
    let path = folder.path().join("data/banter.db");
    let newer = rusqlite::Connection::open(&path).expect("a database");
    newer.pragma_update(None, "user_version", 1_000).expect("a newer layout");
    drop(newer);

    let error = SqliteStore::open(&path).expect_err("the file is too new");

    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    assert!(error.to_string().contains("layout 1000"), "{error}");
}

/// The tables, indexes and triggers of a file, as statements.
fn layout(path: &Path) -> Vec<String> {
    let file = rusqlite::Connection::open(path).expect("a database");
    let query = "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name";
    let mut statement = file.prepare(query).expect("a schema");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

#[tokio::test]
async fn a_file_of_the_first_layout_is_brought_up_to_date_and_keeps_what_is_in_it() {
    let (folder, new) = (self::folder(), self::folder());
    let path = folder.path().join("data/banter.db");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    let first = rusqlite::Connection::open(&path).expect("a database");
    first.execute_batch(include_str!("layout_1.sql")).expect("the first layout");
    drop(first);

    let store = open(&folder).await;
    open(&new).await;

    assert_eq!(layout(&path), layout(&new.path().join("data/banter.db")));
    let talk = page(&store, between("ann", "bob"), "bob", None, 10).await;
    assert_eq!(talk.len(), 1);
    assert_eq!((talk[0].old_id.as_deref(), talk[0].edited_at), (Some("old-1"), Some(Timestamp(7))));
    assert_eq!((talk[0].deleted_for.clone(), &talk[0].client_id), (vec![user("cem")], &None));
    let teams = store.groups_of(&user("bob"), 10).await.expect("the store answers");
    assert_eq!(teams[0].members, ["ann", "bob"].map(user));
    assert_eq!((&teams[0].owner, &teams[0].admins[..]), (&teams[0].created_by, &[][..]));
    assert!(!teams[0].is_public);
    let unread = store.unread(&user("bob"), None, &[]).await.expect("the store answers");
    assert_eq!((unread.direct, unread.group), (1, 1), "the cursor is there");
    let backlog = store.index_backlog().await.expect("the store answers");
    assert_eq!((backlog.indexed > 0, backlog.more), (true, false));
    let query = SearchQuery {
        viewer: user("bob"),
        words: Words::parse("hello").expect("a word"),
        conversation: None,
        from: None,
        before: None,
        limit: 9,
    };
    let found = store.search(&query).await.expect("the store answers").messages;
    assert_eq!(found.len(), 2, "what was there before the index is searched: {found:?}");
    delete(&store, &[&talk[0]]).await;
    insert(&store, [&talk[0]]).await;
    assert_eq!(stored(&store, talk[0].id).await, None);
    assert_eq!(store.search(&query).await.expect("the store answers").messages.len(), 1);
    assert_eq!(store.health().await.expect("the store answers").messages_count, 2);
}

#[tokio::test]
async fn a_tombstone_goes_when_a_message_is_deleted_thirty_days_later() {
    let folder = folder();
    let store = open(&folder).await;
    let delete_at = async |message: &Message, at: i64| {
        let deletes = vec![deletion_at(message.id, at)];
        store.apply(&Batch { deletes, ..Batch::default() }).await.expect("deletes are taken");
    };
    let days = |days: i64| days * 86_400_000;
    let all = [1, 2, 3].map(|at| named(direct("alice", "bob", at), &at.to_string()));
    let [old, younger, last] = &all;
    insert(&store, &all).await;
    delete_at(old, 5).await;
    delete_at(younger, 6).await;
    delete_at(last, days(30) + 6).await;

    insert(&store, [younger, last]).await;
    let sent = sent_as(&store, "alice", "1").await;
    insert(&store, [old]).await;

    assert_eq!(sent, None, "forgotten");
    let talk = page(&store, between("alice", "bob"), "bob", None, 10).await;
    assert_eq!(talk, std::slice::from_ref(old));
    assert_eq!(sent_as(&store, "alice", "2").await, Some(younger.id));
}

#[tokio::test]
async fn an_invitation_goes_when_another_one_is_made_thirty_days_after_its_end() {
    let folder = folder();
    let store = open(&folder).await;
    let days = |days: i64| days * 86_400_000;
    let link = |created_at: i64, expires_at: i64| Invitation {
        token: Token::mint().expect("randomness"),
        group: GroupId::mint(),
        created_by: user("ann"),
        created_at: Timestamp(created_at),
        expires_at: Timestamp(expires_at),
        max_uses: Some(1),
        uses: 1,
    };
    let links = [link(1, 5), link(1, 6), link(1, days(40)), link(days(30) + 6, days(31))];
    let mut there = Vec::new();
    for link in &links {
        store.create_invitation(link).await.expect("a new invitation");
    }
    for link in &links {
        there.push(store.invitation(&link.token).await.expect("the store answers").is_some());
    }
    assert_eq!(there, [false, true, true, true]);
}

#[tokio::test]
async fn expired_sessions_go_when_users_sign_in() {
    let folder = folder();
    let store = open(&folder).await;
    let session = |created_at: i64, expires_at: i64| LoginSession {
        id: SessionId::mint(),
        user: user("ann"),
        secret: SecretHash([1; 32]),
        previous: None,
        rotated_at: Timestamp(created_at),
        created_at: Timestamp(created_at),
        expires_at: Timestamp(expires_at),
        ended_at: None,
    };
    let mut sessions: Vec<_> = (0..150).map(|at| session(at, 1_000)).collect();
    sessions.extend([session(150, 1_001), session(1_000, 2_000), session(1_000, 2_000)]);
    let mut there = Vec::new();
    for session in &sessions {
        store.create_session(session, 200).await.expect("a new session");
        let mut left = 0;
        for session in &sessions {
            let found = store.session(session.id).await.expect("the store answers");
            left += usize::from(found.is_some());
        }
        there.push(left);
    }
    assert_eq!(there[..151], (1..=151).collect::<Vec<_>>());
    assert_eq!(there[151..], [52, 3], "some with each, so that none takes long");
    let ended = store.session(sessions[150].id).await.expect("the store answers");
    assert_eq!(ended.as_ref(), Some(&sessions[150]));
}

#[tokio::test]
async fn a_revocation_goes_when_another_one_is_made_long_after_it_unless_it_is_a_ban() {
    let folder = folder();
    let store = open(&folder).await;
    let life = REVOCATION_LIFE.as_millis() as i64;
    for (name, until) in [("ann", 5), ("bob", 6), ("dan", 5)] {
        store.void_tokens(&user(name), Timestamp(until)).await.expect("stored");
    }
    for name in ["cem", "dan"] {
        store.set_banned(&user(name), true, Timestamp(1)).await.expect("stored");
    }
    let names = async || {
        let all = store.revocations(Timestamp(0)).await.expect("the store answers");
        let mut names: Vec<_> = all.into_iter().map(|one| one.user.to_string()).collect();
        names.sort();
        names
    };

    store.void_tokens(&user("eve"), Timestamp(life + 6)).await.expect("stored");
    assert_eq!(names().await, ["bob", "cem", "dan", "eve"]);

    store.set_banned(&user("cem"), false, Timestamp(life + 7)).await.expect("stored");
    store.set_banned(&user("eve"), true, Timestamp(life + 7)).await.expect("stored");
    assert_eq!(names().await, ["dan", "eve"], "it is no ban any more");
}

#[tokio::test]
async fn what_is_no_database_is_refused_as_a_matter_of_set_up() {
    let folder = folder();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, ".repeat(100)).expect("a file");

    for path in [&text, &text.join("banter.db"), folder.path()] {
        let error = SqliteStore::open(path).expect_err("no database");
        assert!(matches!(error, StoreError::Configuration(_)), "{}: {error:?}", path.display());
    }
    let kept = std::fs::read_to_string(&text).expect("the file");
    assert!(kept.starts_with("not a database, "), "it is left alone");
}

#[tokio::test]
async fn a_group_stored_twice_is_refused_for_good_and_the_first_stays() {
    let folder = folder();
    let store = open(&folder).await;
    let team = group("team", &["alice"], 1);
    store.create_group(&team).await.expect("a new group");

    let error = store.create_group(&team).await.expect_err("it is there already");

    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    assert_eq!(store.group(team.id).await.expect("the store answers"), Some(team));
    assert_eq!(store.health().await.expect("the store answers").groups_count, 1);
}

#[tokio::test]
async fn a_batch_that_fails_half_way_leaves_nothing_behind() {
    let folder = folder();
    let store = open(&folder).await;
    let good = direct("alice", "bob", 1);
    let bad = direct("alice", "carol", 2);
    let saboteur = rusqlite::Connection::open(folder.path().join("data/banter.db")).expect("open");
    let trigger = "CREATE TRIGGER fail BEFORE INSERT ON messages WHEN new.to_user = 'carol'
        BEGIN SELECT raise(ABORT, 'no'); END";
    saboteur.execute_batch(trigger).expect("a trigger");
    let inserts = [&good, &bad].map(|message| Arc::new(Message::clone(message))).to_vec();

    let error = store.apply(&Batch { inserts, ..Batch::default() }).await.expect_err("the trigger");

    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    assert_eq!(stored(&store, good.id).await, None);
    assert_eq!(store.health().await.expect("the store answers").messages_count, 0);
    insert(&store, [&good]).await;
    assert_eq!(stored(&store, good.id).await, Some(good), "the store goes on");
}

#[tokio::test]
async fn connections_are_bounded_and_counted() {
    let folder = folder();
    let store = open(&folder).await;
    let before = store.pool().expect("a pool");
    assert_eq!(before, PoolGauges { open: 0, in_use: 0, waiting: 0, max: before.max });

    let name = user("alice");
    let calls = (0..100).map(|_| store.unread(&name, None, &[]));
    for answer in futures_util::future::join_all(calls).await {
        answer.expect("each call gets its turn");
    }

    let after = store.pool().expect("a pool");
    assert!((1..=after.max).contains(&after.open), "{after:?}");
    assert_eq!((after.in_use, after.waiting), (0, 0));
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_closed() {
    let folder = folder();
    let store = open(&folder).await;
    store.close().await;
    store.close().await;

    let error = store.unread(&user("alice"), None, &[]).await.expect_err("it is closed");
    assert!(error.is_transient(), "{error:?}");
    let error = store.apply(&Batch::default()).await.expect_err("it is closed");
    assert!(error.is_transient(), "{error:?}");
    let left = std::fs::read_dir(folder.path().join("data")).expect("the folder").count();
    assert_eq!(left, 1, "the log has gone into the file");
}

#[tokio::test]
async fn the_description_says_where_the_file_is() {
    let folder = folder();
    let store = open(&folder).await;
    let path = folder.path().join("data").join("banter.db");
    assert_eq!(store.describe(), format!("SQLite at {}", path.display()));
}
