//! Messages with a client id that were stored lately: who sends one again is answered from memory.
//! Older ones are found in the store.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::model::{ClientId, Message, Target, UserId};

/// What all of them may hold: some 50,000 messages of ordinary length.
const MAX_BYTES: u64 = 32 << 20;

/// Messages that the cache expects; it grows and shrinks by bytes.
const EXPECTED: usize = 10_000;

type Key = (UserId, ClientId);

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Message>> for ByBytes {
    fn weight(&self, _: &Key, message: &Arc<Message>) -> u64 {
        message.weight() as u64
    }
}

/// See the module.
pub(super) struct Recent(Cache<Key, Arc<Message>, ByBytes>);

impl Default for Recent {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED, MAX_BYTES, ByBytes))
    }
}

impl Recent {
    /// Remembers a message that is stored, if it has a client id.
    pub(super) fn remember(&mut self, message: &Arc<Message>) {
        if let Some(id) = &message.client_id {
            self.0.insert((message.from.clone(), id.clone()), Arc::clone(message));
        }
    }

    /// Forgets what a user has sent, or was sent.
    pub(super) fn forget_user(&mut self, user: &UserId) {
        let to_user = Target::User(user.clone());
        self.0.retain(|(from, _), message| from != user && message.target != to_user);
    }

    /// The message that a user has sent under this client id.
    pub(super) fn sent_as(&self, user: &UserId, id: &ClientId) -> Option<Arc<Message>> {
        self.0.get(&(user.clone(), id.clone())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::{named, text, user};
    use crate::model::Op;

    #[test]
    fn what_is_remembered_is_bounded_in_bytes() {
        let mut recent = Recent::default();
        for n in 0..100 {
            let Op::Send(message) = named(&"x".repeat(1_000_000), &n.to_string()) else {
                panic!("a send");
            };
            recent.remember(&message);
        }
        assert!(recent.0.weight() <= MAX_BYTES);
        assert!((1..=33).contains(&recent.0.len()), "{}", recent.0.len());
    }

    #[test]
    fn a_message_without_a_name_is_not_remembered() {
        let mut recent = Recent::default();
        let Op::Send(message) = text("a") else { panic!("a send") };
        recent.remember(&message);
        assert_eq!(recent.0.len(), 0);
        let Op::Send(message) = named("a", "c") else { panic!("a send") };
        recent.remember(&message);
        let id = ClientId::parse("c").expect("a client id");
        assert_eq!(recent.sent_as(&user("alice"), &id), Some(message));
        assert_eq!(recent.sent_as(&user("bob"), &id), None);
    }

    #[test]
    fn of_a_user_who_is_forgotten_nothing_is_left_in_either_direction() {
        let mut recent = Recent::default();
        let Op::Send(message) = named("a", "c") else { panic!("a send") };
        let id = ClientId::parse("c").expect("a client id");
        for (forgotten, is_left) in [("cem", true), ("bob", false), ("alice", false)] {
            recent.remember(&message);
            recent.forget_user(&user(forgotten));
            let found = recent.sent_as(&user("alice"), &id);
            assert_eq!(found.is_some(), is_left, "{forgotten}");
        }
    }
}
