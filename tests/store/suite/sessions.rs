//! Sign-ins: how they begin, go on, and end.

use std::sync::Arc;

use banter::model::{LoginSession, SecretHash, SessionId, Timestamp, UserId};
use banter::store::AccountStore;
use futures_util::future::join_all;

use crate::make::user;

/// A time so many milliseconds after one that lies far ahead: MongoDB deletes by its own clock what
/// has expired.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp(4_000_000_000_000 + millis)
}

fn secret(byte: u8) -> SecretHash {
    SecretHash([byte; 32])
}

/// A sign-in with secret 1 that expires at 1000.
pub(crate) fn of(id: &str, created: i64) -> LoginSession {
    LoginSession {
        id: SessionId::mint(),
        user: user(id),
        secret: secret(1),
        previous: None,
        rotated_at: at(created),
        created_at: at(created),
        expires_at: at(1_000),
        ended_at: None,
    }
}

pub(crate) async fn create(store: &dyn AccountStore, session: &LoginSession, most: usize) {
    store.create_session(session, most).await.expect("the store answers");
}

async fn create_all<'a>(
    store: &dyn AccountStore,
    sessions: impl IntoIterator<Item = &'a LoginSession>,
) {
    for session in sessions {
        create(store, session, 100).await;
    }
}

async fn find(store: &dyn AccountStore, session: &LoginSession) -> LoginSession {
    let found = store.session(session.id).await.expect("the store answers");
    found.expect("the session is there")
}

async fn rotate(
    store: &dyn AccountStore,
    session: &LoginSession,
    [from, to]: [u8; 2],
    [now, expires]: [i64; 2],
) -> bool {
    let (from, to) = (secret(from), secret(to));
    let rotated = store.rotate_session(session.id, &from, &to, at(now), at(expires)).await;
    rotated.expect("the store answers")
}

async fn end(store: &dyn AccountStore, session: &LoginSession, now: i64) {
    store.end_session(session.id, at(now)).await.expect("the store answers");
}

/// When these were ended, in milliseconds after the beginning.
async fn ends(store: &dyn AccountStore, sessions: &[LoginSession]) -> Vec<Option<i64>> {
    let mut ends = Vec::new();
    for session in sessions {
        let ended_at = find(store, session).await.ended_at;
        ends.push(ended_at.map(|time| time.as_millis() - at(0).as_millis()));
    }
    ends
}

/// Which of these are told as ended, as their places.
async fn told(
    store: &dyn AccountStore,
    sessions: &[LoginSession],
    [since, now]: [i64; 2],
) -> Vec<usize> {
    let ended = store.ended_sessions(at(since), at(now)).await.expect("the store answers");
    let place = |(id, user): &(SessionId, UserId)| {
        sessions.iter().position(|session| session.id == *id && session.user == *user)
    };
    let mut places: Vec<_> = ended.iter().map(|one| place(one).expect("one of these")).collect();
    places.sort_unstable();
    places
}

pub(crate) async fn a_session_comes_back_as_it_was_stored(store: Arc<dyn AccountStore>) {
    let plain = of("ann", 1);
    let full = LoginSession {
        secret: SecretHash(std::array::from_fn(|i| 255 - i as u8)),
        previous: Some(secret(0)),
        rotated_at: at(7),
        ended_at: Some(at(8)),
        ..of("$ne", 2)
    };
    create_all(&*store, [&plain, &full, &plain]).await;
    for session in [&plain, &full] {
        assert_eq!(&find(&*store, session).await, session);
    }
    assert_eq!(store.session(SessionId::mint()).await.expect("the store answers"), None);
    create(&*store, &LoginSession { secret: secret(9), ..plain.clone() }, 100).await;
    assert_eq!(find(&*store, &plain).await, plain, "stored once it stays");
}

pub(crate) async fn a_rotation_makes_the_old_secret_the_previous_one(store: Arc<dyn AccountStore>) {
    let (session, other) = (of("ann", 1), of("ann", 2));
    create_all(&*store, [&session, &other]).await;
    assert!(rotate(&*store, &session, [1, 2], [10, 2_000]).await);
    let once = LoginSession {
        secret: secret(2),
        previous: Some(secret(1)),
        rotated_at: at(10),
        expires_at: at(2_000),
        ..session.clone()
    };
    assert_eq!(find(&*store, &session).await, once);
    assert!(!rotate(&*store, &session, [1, 3], [11, 3_000]).await, "that secret is spent");
    assert_eq!(find(&*store, &session).await, once);
    assert!(rotate(&*store, &session, [2, 3], [1_500, 3_000]).await, "it lives for longer");
    let twice = LoginSession {
        secret: secret(3),
        previous: Some(secret(2)),
        rotated_at: at(1_500),
        expires_at: at(3_000),
        ..session.clone()
    };
    assert_eq!(find(&*store, &session).await, twice);
    assert_eq!(find(&*store, &other).await, other);
}

pub(crate) async fn of_rotations_at_once_exactly_one_succeeds(store: Arc<dyn AccountStore>) {
    let session = of("ann", 1);
    create(&*store, &session, 100).await;
    let rotations = (0..20).map(|i| rotate(&*store, &session, [1, 100 + i], [10, 2_000]));
    let rotated = join_all(rotations).await;
    let won: Vec<_> = (0..20).filter(|i: &usize| rotated[*i]).collect();
    assert_eq!(won.len(), 1, "{rotated:?}");
    let found = find(&*store, &session).await;
    assert_eq!(found.secret, secret(100 + won[0] as u8));
    assert_eq!(found.previous, Some(secret(1)));
}

pub(crate) async fn only_a_live_session_with_that_secret_is_rotated(store: Arc<dyn AccountStore>) {
    let (live, ended) = (of("ann", 1), of("ann", 2));
    create_all(&*store, [&live, &ended]).await;
    end(&*store, &ended, 5).await;
    assert!(!rotate(&*store, &live, [2, 3], [10, 2_000]).await, "another secret");
    assert!(!rotate(&*store, &live, [1, 3], [1_000, 2_000]).await, "it has expired");
    assert!(!rotate(&*store, &ended, [1, 3], [10, 2_000]).await, "it was ended");
    assert!(!rotate(&*store, &of("ann", 3), [1, 3], [10, 2_000]).await, "there is none");
    assert_eq!(find(&*store, &live).await, live);
    assert_eq!(find(&*store, &ended).await, LoginSession { ended_at: Some(at(5)), ..ended });
    assert!(rotate(&*store, &live, [1, 3], [999, 2_000]).await, "just in time");
}

pub(crate) async fn the_oldest_live_sessions_beyond_the_most_end(store: Arc<dyn AccountStore>) {
    let expires = |session, expires| LoginSession { expires_at: at(expires), ..session };
    let sessions = [
        of("ann", 10),
        of("bob", 1),
        of("ann", 30),
        expires(of("ann", 5), 50),
        of("ann", 20),
        of("ann", 40),
    ];
    create_all(&*store, &sessions).await;
    end(&*store, &sessions[5], 45).await;

    let new = of("ann", 100);
    create(&*store, &new, 3).await;

    let mut all = sessions.to_vec();
    // Long ago expired, it may be gone.
    all.remove(3);
    all.push(new);
    let beyond = [Some(100), None, None, None, Some(45), None];
    assert_eq!(ends(&*store, &all).await, beyond, "neither ended nor expired ones count");
    let last = of("ann", 100);
    create(&*store, &last, 1).await;
    all.push(last);
    let beyond = [Some(100), None, Some(100), Some(100), Some(45), Some(100), None];
    assert_eq!(ends(&*store, &all).await, beyond, "of one moment, the later one is the newer");
    assert_eq!(told(&*store, &all, [100, 100]).await, [0, 2, 3, 5]);
}

pub(crate) async fn of_sign_ins_at_once_no_more_than_the_most_stay(store: Arc<dyn AccountStore>) {
    let sessions: Vec<_> = (0..20).map(|_| of("ann", 10)).collect();
    join_all(sessions.iter().map(|session| create(&*store, session, 3))).await;
    let ends = ends(&*store, &sessions).await;
    assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 3, "{ends:?}");
    assert_eq!(ends[17..], [None; 3], "the newest");
}

pub(crate) async fn a_session_ends_once(store: Arc<dyn AccountStore>) {
    let sessions = [of("ann", 1), of("ann", 2)];
    create_all(&*store, &sessions).await;
    for now in [20, 10, 30] {
        end(&*store, &sessions[0], now).await;
    }
    end(&*store, &of("ann", 3), 20).await;
    assert_eq!(ends(&*store, &sessions).await, [Some(20), None], "at the first time");
    store.end_sessions(&user("ann"), at(40)).await.expect("the store answers");
    assert_eq!(ends(&*store, &sessions).await, [Some(20), Some(40)]);
    let ended = LoginSession { ended_at: Some(at(40)), ..sessions[1].clone() };
    assert_eq!(find(&*store, &sessions[1]).await, ended, "nothing else has changed");
}

pub(crate) async fn all_live_sessions_of_a_user_end(store: Arc<dyn AccountStore>) {
    let sessions = [of("ann", 1), of("bob", 1), of("ann", 2), of("ann", 3)];
    create_all(&*store, &sessions).await;
    end(&*store, &sessions[2], 10).await;
    store.end_sessions(&user("ann"), at(20)).await.expect("the store answers");
    store.end_sessions(&user("ann"), at(30)).await.expect("the store answers");
    store.end_sessions(&user("$ne"), at(30)).await.expect("the store answers");
    assert_eq!(ends(&*store, &sessions).await, [Some(20), None, Some(10), Some(20)]);
    store.end_sessions(&user("bob"), at(1_000)).await.expect("the store answers");
    assert_eq!(ends(&*store, &sessions).await[1], None, "it had expired by then");
}

pub(crate) async fn ended_sessions_are_told_from_a_time_on_until_they_expire(
    store: Arc<dyn AccountStore>,
) {
    let short = LoginSession { expires_at: at(500), ..of("bob", 3) };
    let sessions = [of("ann", 1), of("ann", 2), short, of("cem", 4)];
    create_all(&*store, &sessions).await;
    for (session, now) in sessions.iter().zip([10, 20, 30]) {
        end(&*store, session, now).await;
    }
    for (times, expected) in [
        ([0, 100], &[0, 1, 2][..]),
        ([10, 100], &[0, 1, 2]),
        ([11, 100], &[1, 2]),
        ([21, 499], &[2]),
        ([21, 500], &[]),
        ([31, 100], &[]),
        ([0, 999], &[0, 1]),
        ([0, 1_000], &[]),
    ] {
        assert_eq!(told(&*store, &sessions, times).await, expected, "{times:?}");
    }
}

pub(crate) async fn the_live_sign_ins_of_a_user_are_listed_newest_first(
    store: Arc<dyn AccountStore>,
) {
    let [old, new, ended] = [1, 3, 2].map(|created| of("ann", created));
    create_all(&*store, [&old, &new, &ended, &of("bob", 4)]).await;
    store.end_session(ended.id, at(5)).await.expect("the store answers");
    let live = store.sessions(&user("ann"), at(6)).await.expect("the store answers");
    assert_eq!(live, [new, old]);
    assert_eq!(store.sessions(&user("ann"), at(1_000)).await.expect("none"), []);
}
