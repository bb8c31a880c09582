//! Accounts, sign-ins and revocations in the database.

use std::time::Duration;

use banter::model::{
    Account, AccountKey, Email, LoginSession, PasswordHash, SecretHash, SessionId, Timestamp,
    Username,
};
use banter::store::mongo::{accounts, sessions};
use banter::store::{AccountStore, REVOCATION_LIFE, Registered, Store, StoreError};
use bson::{Binary, DateTime, Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::IndexOptions;

use crate::explain::{assert_index, assert_ordered_by_index, filled};
use crate::make::user;
use crate::mongod::TestDatabase;
use crate::stores::{bare, prepared};

/// Far ahead: what has expired the server deletes by its own clock.
const NOW: i64 = 4_000_000_000_000;

fn account(number: usize) -> Account {
    Account {
        id: user(&format!("user{number}")),
        username: Username::from_stored(&format!("Name{number}")),
        email: Email::from_stored(&format!("Name{number}@x.org")),
        password: PasswordHash("$argon2id$".to_owned()),
        created_at: Timestamp(NOW),
    }
}

fn session(name: &str, at: i64) -> LoginSession {
    LoginSession {
        id: SessionId::mint(),
        user: user(name),
        secret: SecretHash([1; 32]),
        previous: None,
        rotated_at: Timestamp(NOW + at),
        created_at: Timestamp(NOW + at),
        expires_at: Timestamp(NOW + 1_000),
        ended_at: None,
    }
}

async fn rows(database: &TestDatabase, collection: &str) -> Vec<Document> {
    let rows = database.raw().await.collection::<Document>(collection);
    let found = rows.find(doc! {}).sort(doc! {"_id": 1}).await.expect("an answer");
    found.try_collect().await.expect("documents")
}

async fn options(database: &TestDatabase, collection: &str, name: &str) -> IndexOptions {
    let rows = database.raw().await.collection::<Document>(collection);
    let indexes: Vec<_> =
        rows.list_indexes().await.expect("an answer").try_collect().await.expect("indexes");
    let options = indexes.into_iter().filter_map(|index| index.options);
    let named = |options: &IndexOptions| options.name.as_deref() == Some(name);
    options.into_iter().find(named).expect("an index")
}

#[tokio::test]
async fn names_and_addresses_are_unique_and_what_has_expired_goes() {
    let database = TestDatabase::new();
    prepared(&database).await;
    for name in ["account_username", "account_email"] {
        let options = options(&database, "accounts", name).await;
        assert_eq!((options.unique, options.sparse), (Some(true), None), "{name}");
        assert_eq!(options.partial_filter_expression, None, "{name}: all accounts are in it");
    }
    for (collection, name) in [("sessions", "session_expiry"), ("revocations", "revocation_expiry")]
    {
        let options = options(&database, collection, name).await;
        assert_eq!(options.expire_after, Some(Duration::ZERO), "{name}");
        assert_eq!(options.partial_filter_expression, None, "{name}");
    }
}

#[tokio::test]
async fn documents_have_the_fields_that_expire() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let date = |at: i64| DateTime::from_millis(NOW + at);
    let life = REVOCATION_LIFE.as_millis() as i64;
    let session = session("ann", 1);
    store.create_session(&session, 9).await.expect("stored");
    let secret = Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1; 32] };
    let mut stored = doc! {
        "_id": session.id.0, "user": "ann", "secret": secret, "rotated_at": date(1),
        "created_at": date(1), "expires_at": date(1_000),
    };
    assert_eq!(rows(&database, "sessions").await, std::slice::from_ref(&stored));
    store.end_session(session.id, Timestamp(NOW + 5)).await.expect("ended");
    stored.insert("ended_at", date(5));
    assert_eq!(rows(&database, "sessions").await, [stored]);

    let revocation = async |void_until: i64, banned: bool| {
        let stored = rows(&database, "revocations").await;
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].get_datetime("void_until").ok(), Some(&date(void_until)));
        assert_eq!(stored[0].get_bool("banned").ok(), Some(banned));
        let forget_at = stored[0].get("forget_at").and_then(bson::Bson::as_datetime).copied();
        assert_eq!(forget_at, (!banned).then(|| date(void_until + life)));
    };
    let ann = user("ann");
    let at = |at: i64| Timestamp(NOW + at);
    store.void_tokens(&ann, at(7)).await.expect("stored");
    revocation(7, false).await;
    store.set_banned(&ann, true, at(8)).await.expect("stored");
    revocation(8, true).await;
    store.void_tokens(&ann, at(9)).await.expect("stored");
    revocation(9, true).await;
    store.set_banned(&ann, false, at(10)).await.expect("stored");
    revocation(9, false).await;
    store.set_banned(&user("$set"), false, at(10)).await.expect("nothing to do");
    revocation(9, false).await;
}

#[tokio::test]
async fn accounts_are_kept_apart_before_all_indexes_are_made() {
    let database = TestDatabase::new();
    let store = bare(&database).await;
    let ann = account(1);
    assert_eq!(store.create_account(&ann).await.expect("an answer"), Registered::Done);
    let second = Account { id: user("other"), ..ann.clone() };
    let outcome = store.create_account(&second).await.expect("an answer");
    assert_eq!(outcome, Registered::UsernameTaken);
    store.prepare().await.expect("indexes");
    assert_eq!(store.accounts(None, 10).await.expect("an answer"), [ann]);
}

#[tokio::test]
async fn without_unique_indexes_no_account_is_made() {
    let database = TestDatabase::new();
    let raw = database.raw().await.collection::<Document>("accounts");
    let twins = [doc! {"username_key": "a", "email_key": 1}, doc! {"username_key": "a"}];
    raw.insert_many(twins).await.expect("rows");
    let store = prepared(&database).await;

    let error = store.create_account(&account(1)).await.expect_err("names could be given twice");

    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    assert!(error.to_string().contains("username_key"), "{error}");
    raw.delete_one(doc! {"email_key": 1}).await.expect("a row less");
    let outcome = store.create_account(&account(1)).await.expect("an answer");
    assert_eq!(outcome, Registered::Done, "once that is mended");
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_none() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let raw = database.raw().await.collection::<Document>("sessions");
    for odd in [
        doc! {"ended_at": "yesterday"},
        doc! {"secret": Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1; 31] }},
        doc! {"previous": 7},
    ] {
        let session = session("ann", 1);
        store.create_session(&session, 9).await.expect("stored");
        let id = doc! {"_id": session.id.0};
        raw.update_one(id, doc! {"$set": odd.clone()}).await.expect("changed");
        assert_eq!(store.session(session.id).await.expect("an answer"), None, "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_sessions_and_revocations_are_found_by_their_indexes() {
    let filled = filled().await;
    let store = prepared(&filled.database).await;
    for number in 0..50 {
        store.create_account(&account(number)).await.expect("an answer");
        let name = format!("user{}", number % 5);
        let session = session(&name, number as i64);
        store.create_session(&session, 9).await.expect("stored");
        let now = Timestamp(NOW + number as i64);
        if number % 3 == 0 {
            store.end_session(session.id, now).await.expect("ended");
        }
        store.set_banned(&user(&number.to_string()), number % 7 == 0, now).await.expect("stored");
        store.void_tokens(&user(&number.to_string()), now).await.expect("stored");
    }
    let (ann, now) = (user("user1"), Timestamp(NOW + 20));
    let find = async |query| filled.find(&query).await;

    let name = Username::from_stored("name7");
    let id = AccountKey::Id(ann.clone());
    assert_eq!(find(accounts::account(&id)).await, ["IDHACK"]);
    let key = AccountKey::Username(name.clone());
    assert_index(&find(accounts::account(&key)).await, "account_username");
    let key = AccountKey::Email(Email::from_stored("name7@x.org"));
    assert_index(&find(accounts::account(&key)).await, "account_email");
    for after in [None, Some(&name)] {
        let plan = find(accounts::accounts(after, 10)).await;
        assert_ordered_by_index(&plan, "account_username");
    }

    assert_eq!(find(sessions::session(SessionId::mint())).await, ["IDHACK"]);
    assert_ordered_by_index(&find(sessions::live_sessions(&ann, now)).await, "user_sessions");
    let ended = find(sessions::ended_sessions(now, now)).await;
    assert_index(&ended, "session_end");
    assert!(!ended.contains(&"FETCH".to_owned()), "sessions are read: {ended:?}");
    let all = filled.explain_delete("sessions", sessions::of_user(&ann)).await;
    assert_index(&all, "user_sessions");
    let live = sessions::live(sessions::of_user(&ann), now);
    assert_index(&filled.explain_delete("sessions", live).await, "user_sessions");

    assert_index(&find(accounts::banned()).await, "banned");
    assert_index(&find(accounts::voided(now)).await, "revocation_time");
}
