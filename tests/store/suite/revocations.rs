//! What tokens are worth.

use std::sync::Arc;

use banter::model::Revocation;
use banter::store::AccountStore;
use futures_util::future::join_all;

use super::sessions::at;
use crate::make::user;

async fn void(store: &dyn AccountStore, name: &str, until: i64) {
    store.void_tokens(&user(name), at(until)).await.expect("the store answers");
}

async fn ban(store: &dyn AccountStore, name: &str, banned: bool, now: i64) {
    store.set_banned(&user(name), banned, at(now)).await.expect("the store answers");
}

/// What is listed, by name.
async fn list(store: &dyn AccountStore, since: i64) -> Vec<Revocation> {
    let mut listed = store.revocations(at(since)).await.expect("the store answers");
    listed.sort_by(|a, b| a.user.cmp(&b.user));
    listed
}

fn voided(name: &str, until: i64) -> Revocation {
    Revocation { user: user(name), void_until: at(until), banned: false }
}

fn banned(name: &str, until: i64) -> Revocation {
    Revocation { banned: true, ..voided(name, until) }
}

pub(crate) async fn voiding_only_moves_forward(store: Arc<dyn AccountStore>) {
    assert_eq!(list(&*store, 0).await, []);
    for until in [20, 10, 20] {
        void(&*store, "ann", until).await;
        assert_eq!(list(&*store, 0).await, [voided("ann", 20)]);
    }
    void(&*store, "ann", 30).await;
    void(&*store, "$ne", 5).await;
    assert_eq!(list(&*store, 0).await, [voided("$ne", 5), voided("ann", 30)]);
}

pub(crate) async fn a_ban_voids_and_stays_until_it_is_taken_back(store: Arc<dyn AccountStore>) {
    ban(&*store, "ann", false, 1).await;
    assert_eq!(list(&*store, 0).await, [], "no ban to take back");
    ban(&*store, "ann", true, 10).await;
    assert_eq!(list(&*store, 0).await, [banned("ann", 10)]);
    void(&*store, "ann", 30).await;
    assert_eq!(list(&*store, 0).await, [banned("ann", 30)], "voiding takes no ban back");
    ban(&*store, "ann", true, 20).await;
    assert_eq!(list(&*store, 0).await, [banned("ann", 30)], "nor does a ban make tokens good");
    ban(&*store, "ann", true, 40).await;
    assert_eq!(list(&*store, 0).await, [banned("ann", 40)]);
    for now in [50, 60] {
        ban(&*store, "ann", false, now).await;
        assert_eq!(list(&*store, 0).await, [voided("ann", 40)], "old tokens stay void");
    }
    ban(&*store, "ann", true, 70).await;
    assert_eq!(list(&*store, 0).await, [banned("ann", 70)], "and it can be banned again");
}

pub(crate) async fn the_banned_and_the_recent_are_listed(store: Arc<dyn AccountStore>) {
    for (name, until) in [("a", 10), ("b", 20), ("c", 30)] {
        void(&*store, name, until).await;
    }
    for (name, now) in [("d", 5), ("e", 15), ("f", 25)] {
        ban(&*store, name, true, now).await;
    }
    ban(&*store, "f", false, 100).await;
    let all = [
        voided("a", 10),
        voided("b", 20),
        voided("c", 30),
        banned("d", 5),
        banned("e", 15),
        voided("f", 25),
    ];
    assert_eq!(list(&*store, 0).await, all);
    assert_eq!(list(&*store, 20).await, all[1..], "up to that very time");
    assert_eq!(list(&*store, 26).await, all[2..5]);
    assert_eq!(list(&*store, 31).await, all[3..5], "a ban is never old");
}

pub(crate) async fn users_are_voided_and_banned_at_once(store: Arc<dyn AccountStore>) {
    let store = &*store;
    let changes = (1..=20).map(|i| async move {
        if i % 5 == 0 {
            ban(store, "ann", true, i).await;
        } else {
            void(store, "ann", 2 * i).await;
        }
    });
    join_all(changes).await;
    assert_eq!(list(store, 0).await, [banned("ann", 38)], "whichever came first");
}
