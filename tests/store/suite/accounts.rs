//! Users who sign in with a name and a password.

use std::sync::Arc;

use banter::model::{Account, AccountKey, Email, PasswordHash, Timestamp, Username};
use banter::store::{AccountStore, Registered};
use futures_util::future::join_all;

use super::sessions;
use crate::make::user;

fn account(id: &str, name: &str, address: &str) -> Account {
    Account {
        id: user(id),
        username: Username::from_stored(name),
        email: Email::from_stored(address),
        password: PasswordHash(format!("$argon2id$v=19$m=19456,t=2,p=1$salt$of {id}")),
        created_at: Timestamp(1_700_000_000_123),
    }
}

fn by_name(name: &str) -> AccountKey {
    AccountKey::Username(Username::from_stored(name))
}

fn by_address(address: &str) -> AccountKey {
    AccountKey::Email(Email::from_stored(address))
}

async fn create(store: &dyn AccountStore, account: &Account) -> Registered {
    store.create_account(account).await.expect("the store answers")
}

async fn find(store: &dyn AccountStore, key: &AccountKey) -> Option<Account> {
    store.account(key).await.expect("the store answers")
}

async fn list(store: &dyn AccountStore, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(Username::from_stored);
    let found = store.accounts(after.as_ref(), limit).await.expect("the store answers");
    found.iter().map(|account| account.username.as_str().to_owned()).collect()
}

/// Two spellings of a name are equal: what was written is to come back.
fn texts(account: &Account) -> [&str; 4] {
    [
        account.id.as_str(),
        account.username.as_str(),
        account.email.as_str(),
        account.password.0.as_str(),
    ]
}

pub(crate) async fn an_account_comes_back_as_it_was_stored(store: Arc<dyn AccountStore>) {
    let ann = account("1", "Ann", "Ann@X.example");
    let odd = Account { created_at: Timestamp(-5), ..account("$ne", "B_-9", "ü'\"$@b.c") };
    for account in [&ann, &odd, &ann] {
        assert_eq!(create(&*store, account).await, Registered::Done, "also when tried again");
    }
    for account in [&ann, &odd] {
        let found = find(&*store, &AccountKey::Id(account.id.clone())).await.expect("an account");
        assert_eq!(&found, account);
        assert_eq!(texts(&found), texts(account));
    }
    assert_eq!(list(&*store, None, 10).await, ["Ann", "B_-9"], "each is there once");
}

pub(crate) async fn an_account_is_found_by_id_and_by_name_and_address_in_any_case(
    store: Arc<dyn AccountStore>,
) {
    let ann = account("Id1", "Ann_Lee", "Ann@Exämple.ORG");
    let bob = account("id1", "bob", "bob@exämple.org");
    create(&*store, &ann).await;
    create(&*store, &bob).await;
    let keys = [
        AccountKey::Id(user("Id1")),
        by_name("Ann_Lee"),
        by_name("ann_lee"),
        by_name("ANN_LEE"),
        by_address("Ann@Exämple.ORG"),
        by_address("ann@exämple.org"),
        by_address("ANN@EXÄMPLE.org"),
    ];
    for key in keys {
        assert_eq!(find(&*store, &key).await.as_ref(), Some(&ann), "{key:?}");
    }
    assert_eq!(find(&*store, &AccountKey::Id(user("id1"))).await, Some(bob));
    let nobody = [
        AccountKey::Id(user("ID1")),
        AccountKey::Id(user("ann_lee")),
        by_name("ann_le"),
        by_name("Id1"),
        by_name("ann@exämple.org"),
        by_address("ann_lee"),
        by_address("xann@exämple.org"),
    ];
    for key in nobody {
        assert_eq!(find(&*store, &key).await, None, "{key:?}");
    }
}

pub(crate) async fn a_name_and_an_address_are_given_once_in_any_case(store: Arc<dyn AccountStore>) {
    create(&*store, &account("1", "Ann", "ann@x.org")).await;
    create(&*store, &account("2", "Bob", "bob@x.org")).await;
    for (name, address, outcome) in [
        ("Ann", "new@x.org", Registered::UsernameTaken),
        ("aNN", "new@x.org", Registered::UsernameTaken),
        ("New", "ann@x.org", Registered::EmailTaken),
        ("New", "ANN@X.org", Registered::EmailTaken),
        ("ann", "Ann@x.org", Registered::UsernameTaken),
        ("ann", "bob@x.org", Registered::UsernameTaken),
        ("bob", "ann@x.org", Registered::UsernameTaken),
    ] {
        let created = create(&*store, &account("3", name, address)).await;
        assert_eq!(created, outcome, "{name} {address}");
    }
    assert_eq!(find(&*store, &AccountKey::Id(user("3"))).await, None);
    assert_eq!(list(&*store, None, 10).await, ["Ann", "Bob"]);
    assert_eq!(create(&*store, &account("3", "New", "new@x.org")).await, Registered::Done);
    let again = store.create_account(&account("3", "Other", "other@x.org")).await;
    assert!(again.is_err_and(|error| !error.is_transient()), "no id is given twice");
    let found = find(&*store, &AccountKey::Id(user("3"))).await;
    assert_eq!(found, Some(account("3", "New", "new@x.org")));
}

pub(crate) async fn of_registrations_at_once_exactly_one_is_done(store: Arc<dyn AccountStore>) {
    let of_name: Vec<_> = (0..20)
        .map(|i| {
            let name = if i % 2 == 0 { "Ann" } else { "ANN" };
            account(&format!("a{i}"), name, &format!("{i}@x.org"))
        })
        .collect();
    let of_address: Vec<_> =
        (0..20).map(|i| account(&format!("b{i}"), &format!("n{i}"), "bob@x.org")).collect();
    for (accounts, refusal, key) in [
        (of_name, Registered::UsernameTaken, by_name("ann")),
        (of_address, Registered::EmailTaken, by_address("bob@x.org")),
    ] {
        let outcomes = join_all(accounts.iter().map(|account| create(&*store, account))).await;
        let done: Vec<_> = (0..20).filter(|i: &usize| outcomes[*i] == Registered::Done).collect();
        assert_eq!(done.len(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == refusal).count(), 19);
        assert_eq!(find(&*store, &key).await.as_ref(), Some(&accounts[done[0]]));
    }
    assert_eq!(list(&*store, None, 100).await.len(), 2);
}

pub(crate) async fn accounts_come_in_the_order_of_names_and_in_pages(store: Arc<dyn AccountStore>) {
    assert_eq!(list(&*store, None, 10).await, [""; 0]);
    for (id, name) in ["bob", "Zed", "ann", "Bo", "b-b", "Ann2", "b_b", "9"].iter().enumerate() {
        let id = id.to_string();
        create(&*store, &account(&id, name, &format!("{id}@x.org"))).await;
    }
    let all = ["9", "ann", "Ann2", "b-b", "b_b", "Bo", "bob", "Zed"];
    assert_eq!(list(&*store, None, 100).await, all);
    assert_eq!(list(&*store, None, 3).await, all[..3]);
    assert_eq!(list(&*store, Some("Ann2"), 3).await, all[3..6], "after it");
    assert_eq!(list(&*store, Some("ANN2"), 3).await, all[3..6], "in any case");
    assert_eq!(list(&*store, Some("anna"), 1).await, all[3..4], "a name that nobody has");
    assert_eq!(list(&*store, Some("zed"), 3).await, [""; 0]);
    assert_eq!(list(&*store, None, 0).await, [""; 0]);
}

pub(crate) async fn a_password_is_changed_where_there_is_an_account(store: Arc<dyn AccountStore>) {
    let (ann, bob) = (account("1", "ann", "ann@x.org"), account("2", "bob", "bob@x.org"));
    create(&*store, &ann).await;
    create(&*store, &bob).await;
    let new = PasswordHash("$argon2id$new".to_owned());
    for _ in 0..2 {
        assert!(store.set_password(&ann.id, &new).await.expect("the store answers"));
    }
    assert!(!store.set_password(&user("3"), &new).await.expect("the store answers"));
    let key = AccountKey::Id(ann.id.clone());
    assert_eq!(find(&*store, &key).await, Some(Account { password: new, ..ann }));
    assert_eq!(find(&*store, &by_name("bob")).await, Some(bob), "nobody else's");
    assert_eq!(find(&*store, &AccountKey::Id(user("3"))).await, None);
}

pub(crate) async fn a_deleted_account_frees_its_name_and_takes_its_sessions_along(
    store: Arc<dyn AccountStore>,
) {
    let (ann, bob) = (account("1", "ann", "ann@x.org"), account("2", "bob", "bob@x.org"));
    create(&*store, &ann).await;
    create(&*store, &bob).await;
    let signed_in = [("1", 1), ("1", 2), ("2", 3)].map(|(id, at)| sessions::of(id, at));
    for session in &signed_in {
        sessions::create(&*store, session, 10).await;
    }
    store.end_session(signed_in[1].id, sessions::at(5)).await.expect("the store answers");

    assert!(store.delete_account(&ann.id).await.expect("the store answers"));
    assert!(!store.delete_account(&ann.id).await.expect("the store answers"));
    assert!(!store.delete_account(&user("3")).await.expect("the store answers"));

    for key in [AccountKey::Id(ann.id.clone()), by_name("ann"), by_address("ann@x.org")] {
        assert_eq!(find(&*store, &key).await, None, "{key:?}");
    }
    for (session, is_there) in signed_in.iter().zip([false, false, true]) {
        let found = store.session(session.id).await.expect("the store answers");
        assert_eq!(found.is_some(), is_there, "{session:?}");
    }
    let ended = store.ended_sessions(sessions::at(0), sessions::at(5)).await;
    assert_eq!(ended.expect("the store answers"), []);
    assert_eq!(find(&*store, &by_name("bob")).await, Some(bob));
    let next = account("3", "Ann", "Ann@x.org");
    assert_eq!(create(&*store, &next).await, Registered::Done, "name and address are free");
    assert_eq!(find(&*store, &by_name("ann")).await, Some(next));
}

pub(crate) async fn no_text_is_an_operator(store: Arc<dyn AccountStore>) {
    create(&*store, &account("1", "ann", "ann@x.org")).await;
    let texts = ["$ne", "$gt", r#"{"$gt":""}"#, r#"{"$ne":null}"#, "$username", "' OR 1=1 --", "%"];
    for text in texts {
        for key in [AccountKey::Id(user(text)), by_name(text), by_address(text)] {
            assert_eq!(find(&*store, &key).await, None, "{key:?}");
        }
        let hash = PasswordHash(text.to_owned());
        assert!(!store.set_password(&user(text), &hash).await.expect("the store answers"));
        assert!(!store.delete_account(&user(text)).await.expect("the store answers"));
    }
    assert_eq!(list(&*store, Some(r#"{"$gt":""}"#), 10).await, [""; 0], "'{{' is behind 'a'");
    assert_eq!(list(&*store, Some("$ne"), 10).await, ["ann"]);
    let hash = PasswordHash("$username_key".to_owned());
    assert!(store.set_password(&user("1"), &hash).await.expect("the store answers"));
    assert_eq!(find(&*store, &by_name("ann")).await.expect("an account").password, hash);
    for (i, text) in texts.iter().enumerate() {
        let odd = account(text, text, &format!("{text}{i}"));
        assert_eq!(create(&*store, &odd).await, Registered::Done, "{text}");
        assert_eq!(find(&*store, &by_name(text)).await, Some(odd), "{text}");
    }
}
