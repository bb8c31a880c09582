//! Tokens that are worth nothing although their time is not over. Pure: it is given the time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Claims;
use crate::model::{Revocation, SessionId, Timestamp, UserId};
use crate::store::REVOCATION_LIFE;

#[derive(Debug, Clone, Copy)]
struct Void {
    until: Timestamp,
    banned: bool,
}

/// What is known of void tokens.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    users: HashMap<UserId, Void>,
    /// Sign-ins that were ended, and when their last access token is over.
    sessions: HashMap<SessionId, Timestamp>,
}

impl Revoked {
    /// Whether a token is void.
    pub(super) fn voids(&self, claims: &Claims) -> bool {
        let of_user = self.users.get(&claims.user);
        of_user.is_some_and(|void| void.banned || claims.issued_at <= void.until)
            || claims.session.is_some_and(|session| self.sessions.contains_key(&session))
    }

    /// Whether a user is banned.
    pub(super) fn is_banned(&self, user: &UserId) -> bool {
        self.users.get(user).is_some_and(|void| void.banned)
    }

    /// When a token for a user can be made that is not void.
    pub(super) fn after_void(&self, user: &UserId, now: Timestamp) -> Timestamp {
        let until = self.users.get(user).map(|void| void.until);
        until.map_or(now, |until| now.max(until.plus(Duration::from_millis(1))))
    }

    /// Notes what a user's tokens are worth; whether tokens are void now that were not. A time only
    /// moves forward; a ban is as it is said.
    pub(super) fn note(&mut self, revocation: &Revocation) -> bool {
        let Revocation { user, void_until, banned } = revocation;
        match self.users.entry(user.clone()) {
            Entry::Vacant(place) => {
                place.insert(Void { until: *void_until, banned: *banned });
                true
            }
            Entry::Occupied(mut place) => {
                let known = *place.get();
                let until = known.until.max(*void_until);
                place.insert(Void { until, banned: *banned });
                until > known.until || (*banned && !known.banned)
            }
        }
    }

    /// Notes that a sign-in was ended, whose tokens are all over at a time; whether that is new.
    pub(super) fn note_session(&mut self, session: SessionId, over_at: Timestamp) -> bool {
        self.sessions.insert(session, over_at).is_none()
    }

    /// Lifts all bans but these.
    pub(super) fn keep_bans(&mut self, banned: &HashSet<&UserId>) {
        for (user, void) in &mut self.users {
            void.banned &= banned.contains(user);
        }
    }

    /// Forgets what concerns no token any more.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let old = now.minus(REVOCATION_LIFE);
        self.users.retain(|_, void| void.banned || void.until > old);
        self.sessions.retain(|_, over_at| *over_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::parse("ann").unwrap()
    }

    fn claims(issued_at: i64, session: Option<SessionId>) -> Claims {
        let (issued_at, expires_at) = (Timestamp(issued_at), Timestamp(i64::MAX));
        Claims { user: user(), session, issued_at, expires_at }
    }

    fn void(until: i64, banned: bool) -> Revocation {
        Revocation { user: user(), void_until: Timestamp(until), banned }
    }

    #[test]
    fn tokens_up_to_a_time_are_void_and_later_ones_are_not() {
        let mut revoked = Revoked::default();
        assert!(!revoked.voids(&claims(10, None)));
        assert!(revoked.note(&void(10, false)));
        assert!(revoked.voids(&claims(10, None)) && !revoked.voids(&claims(11, None)));
        assert_eq!(revoked.after_void(&user(), Timestamp(10)), Timestamp(11));
        assert_eq!(revoked.after_void(&user(), Timestamp(20)), Timestamp(20));
        assert!(!revoked.note(&void(5, false)), "time only moves forward");
        assert!(revoked.voids(&claims(10, None)));
    }

    #[test]
    fn a_ban_voids_every_token_until_it_is_lifted() {
        let mut revoked = Revoked::default();
        assert!(revoked.note(&void(10, true)));
        assert!(revoked.voids(&claims(99, None)) && revoked.is_banned(&user()));
        revoked.keep_bans(&HashSet::from([&user()]));
        assert!(revoked.is_banned(&user()));
        assert!(!revoked.note(&void(10, true)), "it is no news");
        revoked.keep_bans(&HashSet::new());
        assert!(!revoked.voids(&claims(99, None)) && revoked.voids(&claims(10, None)));
    }

    #[test]
    fn an_ended_sign_in_voids_its_own_tokens() {
        let (one, other) = (SessionId::mint(), SessionId::mint());
        let mut revoked = Revoked::default();
        assert!(revoked.note_session(one, Timestamp(50)));
        assert!(!revoked.note_session(one, Timestamp(50)));
        assert!(revoked.voids(&claims(1, Some(one))));
        assert!(!revoked.voids(&claims(1, Some(other))) && !revoked.voids(&claims(1, None)));
    }

    #[test]
    fn what_concerns_no_token_is_forgotten_and_bans_are_not() {
        let (session, mut revoked) = (SessionId::mint(), Revoked::default());
        revoked.note(&void(10, false));
        revoked.note_session(session, Timestamp(50));
        revoked.forget(Timestamp(49));
        assert!(revoked.voids(&claims(1, Some(session))));
        revoked.forget(Timestamp(11).plus(REVOCATION_LIFE));
        assert!(!revoked.voids(&claims(1, Some(session))));
        revoked.note(&void(10, true));
        revoked.forget(Timestamp(11).plus(REVOCATION_LIFE));
        assert!(revoked.is_banned(&user()));
    }
}
