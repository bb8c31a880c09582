//! The sign-ins of operators: an id in place of the password, for a time. Pure: it is given the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long a sign-in is good.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// The most sign-ins; one more ends the oldest.
const MAX_SESSIONS: usize = 64;

/// All sign-ins, the oldest first.
#[derive(Default)]
pub(super) struct Sessions(VecDeque<(String, Instant)>);

impl Sessions {
    /// Enters a new one.
    pub(super) fn begin(&mut self, id: String, now: Instant) {
        if self.0.len() == MAX_SESSIONS {
            self.0.pop_front();
        }
        self.0.push_back((id, now + LIFE));
    }

    /// Whether there is this one, and it is still good. Each is compared as a whole, whatever it
    /// begins with.
    pub(super) fn has(&mut self, id: &str, now: Instant) -> bool {
        self.0.retain(|(_, end)| *end > now);
        let is_same = |known: &str| {
            known.len() == id.len()
                && known.bytes().zip(id.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
        };
        self.0.iter().filter(|(known, _)| is_same(known)).count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_good_for_a_time() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        sessions.begin("abc".into(), now);
        assert!(sessions.has("abc", now + LIFE - Duration::from_secs(1)));
        for other in ["", "ab", "abd", "abcd"] {
            assert!(!sessions.has(other, now), "{other}");
        }
        assert!(!sessions.has("abc", now + LIFE));
        assert!(sessions.0.is_empty());
    }

    #[test]
    fn one_too_many_ends_the_oldest() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for n in 0..=MAX_SESSIONS {
            sessions.begin(n.to_string(), now);
        }
        assert!(!sessions.has("0", now) && sessions.has("1", now));
        assert_eq!(sessions.0.len(), MAX_SESSIONS);
    }
}
