//! Sign-ins as time passes, over the embedded store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Auth, Ended, Password, SignedIn, testing};
use crate::clock::{Clock, MockClock};
use crate::error::Error;
use crate::model::{AccountKey, Email, EndReason, Timestamp, UserId, Username};
use crate::store::sqlite::SqliteStore;
use crate::store::{AccountStore, Store};

/// Some time after 2026 began, in milliseconds.
const START: i64 = 1_770_000_000_000;

/// A server's sign-in, whose clock is moved by hand.
struct Bed {
    auth: Arc<Auth>,
    clock: Arc<MockClock>,
    ends: mpsc::Receiver<Ended>,
    store: Arc<SqliteStore>,
    _folder: TempDir,
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("banter.db")).unwrap());
        store.prepare().await.unwrap();
        let clock = Arc::new(MockClock::default());
        clock.set(START);
        let (auth, ends) = over(&store, &clock);
        Self { auth, clock, ends, store, _folder: folder }
    }

    fn pass(&self, time: Duration) {
        let now = self.clock.now().plus(time);
        self.clock.set(now.as_millis());
    }

    async fn sign_up(&self, name: &str) -> SignedIn {
        let username = Username::parse(name).unwrap();
        let email = Email::parse(&format!("{name}@example.com")).unwrap();
        self.auth.register(username, email, password()).await.unwrap()
    }

    async fn login(&self, name: &str) -> Result<SignedIn, Error> {
        let key = AccountKey::Username(Username::parse(name).unwrap());
        self.auth.login(Some(key), &password()).await
    }

    async fn is_good(&self, signed_in: &SignedIn) -> bool {
        is_good(&self.auth, signed_in).await
    }

    /// What was told to end so far.
    fn ended(&mut self) -> Vec<Ended> {
        std::iter::from_fn(|| self.ends.try_recv().ok()).collect()
    }
}

fn over(store: &Arc<SqliteStore>, clock: &Arc<MockClock>) -> (Arc<Auth>, mpsc::Receiver<Ended>) {
    let accounts = Arc::clone(store) as Arc<dyn AccountStore>;
    let config = testing::config(&["--secret-key", "q7Tn0Zk4Wd2LxVb9Rf6Hy3Mc8Js1Pg5UeAiOoNvX"]);
    let (auth, ends) = Auth::new(&config, accounts, Arc::clone(clock) as Arc<dyn Clock>).unwrap();
    (Arc::new(auth), ends)
}

async fn is_good(auth: &Auth, signed_in: &SignedIn) -> bool {
    match auth.verify(&signed_in.access_token).await {
        Ok(claims) => {
            assert_eq!(claims.user, signed_in.account.id);
            true
        }
        Err(Error::Unauthorized(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn password() -> Password {
    Password::parse("correct horse").unwrap()
}

fn is_stale(result: &Result<SignedIn, Error>) -> bool {
    matches!(result, Err(Error::Unauthorized(_)))
}

#[tokio::test]
async fn a_token_is_good_for_its_time_and_a_sign_in_for_longer() {
    let bed = Bed::new().await;
    let first = bed.sign_up("ann").await;
    bed.pass(Duration::from_millis(30 * 60 * 1_000 - 1));
    assert!(bed.is_good(&first).await);
    bed.pass(Duration::from_millis(1));
    assert!(!bed.is_good(&first).await);
    bed.pass(Duration::from_hours(29 * 24));
    let second = bed.auth.refresh(&first.refresh_token).await.unwrap();
    assert!(bed.is_good(&second).await);
    bed.pass(Duration::from_hours(30 * 24));
    assert!(is_stale(&bed.auth.refresh(&second.refresh_token).await), "each lasts thirty days");
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_late_was_stolen_and_ends_the_sign_in() {
    let mut bed = Bed::new().await;
    let first = bed.sign_up("ann").await;
    let second = bed.auth.refresh(&first.refresh_token).await.unwrap();
    bed.pass(Duration::from_secs(30));
    let third = bed.auth.refresh(&first.refresh_token).await.unwrap();
    assert!(is_stale(&bed.auth.refresh(&first.refresh_token).await), "two back it is unknown");
    assert_eq!(bed.ended(), [], "whoever guesses ends nothing");
    bed.pass(Duration::from_secs(31));
    assert!(is_stale(&bed.auth.refresh(&second.refresh_token).await));
    let session =
        bed.auth.tokens.verify(&third.access_token, bed.clock.now()).await.unwrap().session;
    let user = third.account.id.clone();
    assert_eq!(bed.ended(), [Ended { user, session, reason: EndReason::SignedOut }]);
    assert!(!bed.is_good(&third).await && !bed.is_good(&second).await);
    assert!(is_stale(&bed.auth.refresh(&third.refresh_token).await));
    assert!(bed.login("ann").await.is_ok());
}

#[tokio::test]
async fn a_ban_ends_everything_until_it_is_lifted() {
    let mut bed = Bed::new().await;
    let ann = bed.sign_up("ann").await;
    let id = ann.account.id.clone();
    bed.auth.ban(&id).await.unwrap();
    assert_eq!(bed.ended(), [Ended { user: id.clone(), session: None, reason: EndReason::Banned }]);
    bed.pass(Duration::from_secs(1));
    assert!(!bed.is_good(&ann).await);
    assert!(matches!(bed.login("ann").await, Err(Error::Forbidden(_))));
    assert!(bed.auth.refresh(&ann.refresh_token).await.is_err());
    let key = AccountKey::Username(Username::parse("ann").unwrap());
    let wrong = bed.auth.login(Some(key), &Password::any("wrong").unwrap()).await;
    assert!(is_stale(&wrong), "who does not know the password does not learn of it");
    bed.auth.unban(&id).await.unwrap();
    assert!(!bed.is_good(&ann).await, "the old ones stay void");
    assert!(bed.is_good(&bed.login("ann").await.unwrap()).await);
}

#[tokio::test(start_paused = true)]
async fn what_another_server_revokes_ends_here_too() {
    let mut bed = Bed::new().await;
    let (ann, bob) = (bed.sign_up("ann").await, bed.sign_up("bob").await);
    let (cem, dan) = (bed.sign_up("cem").await, bed.sign_up("dan").await);
    let (other, _other_ends) = over(&bed.store, &bed.clock);
    let stop = CancellationToken::new();
    let mut watch = std::pin::pin!(bed.auth.keep_revocations(stop.clone()));
    let mut next_reading = async || {
        let pause = tokio::time::sleep(Duration::from_secs(16));
        tokio::select! { () = &mut watch => panic!("it ended"), () = pause => {} }
    };
    next_reading().await;
    bed.pass(Duration::from_secs(1));
    other.ban(&ann.account.id).await.unwrap();
    other.sign_out_everywhere(&bob.account.id).await.unwrap();
    other.sign_out(&other.verify(&cem.access_token).await.unwrap()).await.unwrap();
    assert!(bed.is_good(&ann).await && bed.is_good(&bob).await && bed.is_good(&cem).await);
    next_reading().await;
    assert!(!bed.is_good(&ann).await && !bed.is_good(&bob).await && !bed.is_good(&cem).await);
    assert!(bed.is_good(&dan).await);
    let told: BTreeSet<UserId> =
        std::iter::from_fn(|| bed.ends.try_recv().ok()).map(|ended| ended.user).collect();
    assert_eq!(told, [&ann, &bob, &cem].map(|gone| gone.account.id.clone()).into());
    other.unban(&ann.account.id).await.unwrap();
    next_reading().await;
    bed.pass(Duration::from_secs(1));
    let key = AccountKey::Id(ann.account.id.clone());
    assert!(bed.auth.login(Some(key), &password()).await.is_ok());
    stop.cancel();
    watch.await;
}

#[tokio::test]
async fn a_start_learns_what_was_revoked_before_it() {
    let bed = Bed::new().await;
    let (ann, bob) = (bed.sign_up("ann").await, bed.sign_up("bob").await);
    bed.pass(Duration::from_secs(1));
    bed.auth.ban(&ann.account.id).await.unwrap();
    bed.auth.sign_out_with(&bob.refresh_token, false).await.unwrap();
    let (again, _ends) = over(&bed.store, &bed.clock);
    assert!(is_good(&again, &ann).await, "before it has read anything");
    again.read_revocations(None, bed.clock.now()).await.unwrap();
    assert!(!is_good(&again, &ann).await && !is_good(&again, &bob).await);
}

#[tokio::test]
async fn whose_account_is_gone_can_not_refresh() {
    let bed = Bed::new().await;
    let ann = bed.sign_up("ann").await;
    bed.store.delete_account(&ann.account.id).await.unwrap();
    assert!(is_stale(&bed.auth.refresh(&ann.refresh_token).await));
    assert!(is_stale(&bed.login("ann").await));
}

#[tokio::test]
async fn of_many_refreshes_at_once_one_wins_and_the_sign_in_stays() {
    let mut bed = Bed::new().await;
    let ann = bed.sign_up("ann").await;
    let tries = (0..20).map(|_| bed.auth.refresh(&ann.refresh_token));
    let results = futures_util::future::join_all(tries).await;
    let mut good = Vec::new();
    for result in results {
        match result {
            Ok(next) => good.push(next),
            Err(Error::Unauthorized(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(!good.is_empty());
    assert_eq!(bed.ended(), []);
    let still_work = futures_util::future::join_all(good.iter().map(|next| bed.is_good(next)));
    assert!(still_work.await.into_iter().all(|good| good));
    assert_eq!(bed.clock.now(), Timestamp(START));
}
