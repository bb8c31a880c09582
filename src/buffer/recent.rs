//! Messages with a client id that were stored lately: who sends one again is answered from memory.
//! Older ones are found in the store.
//!
//! The oldest goes first: a message is repeated soon, or not at all. Large ones push each other out within
//! seconds, so of a message that goes its id stays for a while. Who repeats it while the store is
//! away is asked to come again then, and nothing is sent twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::Receipt;
use crate::model::{ClientId, Message, MessageId, Target, UserId};

/// What the messages may hold: some 50,000 of ordinary length.
const MAX_BYTES: usize = 32 << 20;

/// Names that are known at the most. All of them take 13 MB.
const MAX_NAMES: usize = 200_000;

/// A user and a client id, hashed by keys that nobody outside knows: no two are alike.
type Name = u128;

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    known: HashMap<Name, Known>,
    /// All names, the oldest first.
    names: VecDeque<Name>,
    /// Of how many names, the oldest, nothing but the id is known.
    bare: usize,
    /// What the messages hold.
    bytes: usize,
    keys: [RandomState; 2],
}

/// A message that a user has sent under a client id.
#[derive(Debug)]
pub enum SentAs {
    /// It is in memory; with a receipt while it is not durable.
    Known(Arc<Message>, Option<Receipt>),
    /// It is in the store, under this id.
    Stored(MessageId),
}

/// What is known of a message that was stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    /// All.
    Message(Arc<Message>),
    /// Where it is.
    Id(MessageId),
}

impl Recent {
    /// Remembers a message that is stored, if it has a client id.
    pub(super) fn remember(&mut self, message: &Arc<Message>) {
        let Some(id) = &message.client_id else { return };
        let name = self.name(&message.from, id);
        if self.known.contains_key(&name) {
            return;
        }
        self.known.insert(name, Known::Message(Arc::clone(message)));
        self.names.push_back(name);
        self.bytes += message.weight();
        while self.bytes > MAX_BYTES {
            self.let_go_of_oldest_message();
        }
        if self.names.len() > MAX_NAMES {
            self.forget_oldest();
        }
    }

    /// Forgets what a user has sent, or was sent, and all of which only the id is known.
    pub(super) fn forget_user(&mut self, user: &UserId) {
        let to_user = Target::User(user.clone());
        self.bytes = 0;
        self.known.retain(|_, known| {
            let Known::Message(message) = known else { return false };
            let is_kept = message.from != *user && message.target != to_user;
            self.bytes += if is_kept { message.weight() } else { 0 };
            is_kept
        });
        self.names.retain(|name| self.known.contains_key(name));
        self.bare = 0;
    }

    /// What is known of the message that a user has sent under this client id.
    pub(super) fn sent_as(&self, user: &UserId, id: &ClientId) -> Option<Known> {
        self.known.get(&self.name(user, id)).cloned()
    }

    fn name(&self, user: &UserId, id: &ClientId) -> Name {
        let [high, low] = self.keys.each_ref().map(|key| key.hash_one((user, id)));
        (Name::from(high) << 64) | Name::from(low)
    }

    fn let_go_of_oldest_message(&mut self) {
        let Some(name) = self.names.get(self.bare) else { return };
        self.bare += 1;
        if let Some(known) = self.known.get_mut(name)
            && let Known::Message(message) = known
        {
            self.bytes -= message.weight();
            *known = Known::Id(message.id);
        }
    }

    fn forget_oldest(&mut self) {
        match self.names.pop_front().and_then(|name| self.known.remove(&name)) {
            Some(Known::Message(message)) => self.bytes -= message.weight(),
            Some(Known::Id(_)) => self.bare -= 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::{id_of, named, text, user};
    use crate::model::Op;

    fn name(text: &str) -> ClientId {
        ClientId::parse(text).expect("a client id")
    }

    fn remember(recent: &mut Recent, op: &Op) {
        let Op::Send(message) = op else { panic!("a send") };
        recent.remember(message);
    }

    fn is_whole(known: Option<Known>) -> bool {
        matches!(known, Some(Known::Message(_)))
    }

    #[test]
    fn of_large_messages_the_newest_are_whole_and_of_all_others_the_id_is_known() {
        let mut recent = Recent::default();
        let ops: Vec<_> = (0..100).map(|n| named(&"x".repeat(1_000_000), &n.to_string())).collect();
        for op in &ops {
            remember(&mut recent, op);
            assert!(recent.bytes <= MAX_BYTES);
        }
        let whole = MAX_BYTES / 1_010_000;
        for (n, op) in ops.iter().enumerate() {
            let known = recent.sent_as(&user("alice"), &name(&n.to_string()));
            match n {
                old if old < ops.len() - whole - 1 => assert_eq!(known, Some(Known::Id(id_of(op)))),
                new if new >= ops.len() - whole => assert!(is_whole(known), "{new}"),
                _ => {}
            }
        }
    }

    #[test]
    fn of_small_ones_as_many_are_known_as_there_may_be_names_the_newest() {
        let mut recent = Recent::default();
        let more = 1_000;
        for n in 0..MAX_NAMES + more {
            remember(&mut recent, &named("a", &n.to_string()));
        }
        let known = |n: usize| recent.sent_as(&user("alice"), &name(&n.to_string()));
        assert_eq!((recent.known.len(), recent.names.len()), (MAX_NAMES, MAX_NAMES));
        assert_eq!(known(more - 1), None);
        assert!(matches!(known(more), Some(Known::Id(_))));
        assert!(is_whole(known(MAX_NAMES + more - 1)));
    }

    #[test]
    fn a_message_without_a_name_is_not_remembered() {
        let mut recent = Recent::default();
        remember(&mut recent, &text("a"));
        assert_eq!(recent.known.len(), 0);
        remember(&mut recent, &named("a", "c"));
        assert!(is_whole(recent.sent_as(&user("alice"), &name("c"))));
        assert_eq!(recent.sent_as(&user("bob"), &name("c")), None);
    }

    #[test]
    fn of_a_user_who_is_forgotten_nothing_is_left_in_either_direction() {
        let mut recent = Recent::default();
        for (forgotten, is_left) in [("cem", true), ("bob", false), ("alice", false)] {
            remember(&mut recent, &named("a", "c"));
            recent.forget_user(&user(forgotten));
            let found = recent.sent_as(&user("alice"), &name("c"));
            assert_eq!(found.is_some(), is_left, "{forgotten}");
            assert_eq!((recent.bytes > 0, recent.names.len()), (is_left, usize::from(is_left)));
        }
    }
}
