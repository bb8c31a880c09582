//! What conversations are called in Redis. Pure.

use crate::model::{Conversation, UserId};

/// The two keys of a conversation. Redis Cluster puts both into one place: it goes by the whole of the
/// first, and by what the second has in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// `chat_history:{a}:{b}`, or `group_history:{id}`.
    pub(super) rows: String,
    /// What it is worth.
    pub(super) state: String,
}

impl Keys {
    pub(super) fn of(conversation: &Conversation) -> Self {
        let rows = match conversation {
            Conversation::Direct(a, b) => format!("chat_history:{}:{}", plain(a), plain(b)),
            Conversation::Group(group) => format!("group_history:{group}"),
        };
        let state = format!("banter:history:{{{rows}}}");
        Self { rows, state }
    }
}

/// A user's id without the characters that part a key, or its place in Redis Cluster.
fn plain(user: &UserId) -> String {
    let mut plain = String::with_capacity(user.as_str().len());
    for c in user.as_str().chars() {
        match c {
            '%' => plain.push_str("%25"),
            ':' => plain.push_str("%3A"),
            '{' => plain.push_str("%7B"),
            '}' => plain.push_str("%7D"),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::GroupId;

    fn direct(a: &str, b: &str) -> Keys {
        let user = |name| UserId::parse(name).unwrap();
        Keys::of(&Conversation::direct(user(a), user(b)))
    }

    #[test]
    fn a_pair_has_the_name_that_is_known_whoever_asks() {
        assert_eq!(direct("bob", "ann").rows, "chat_history:ann:bob");
        assert_eq!(direct("ann", "bob").state, "banter:history:{chat_history:ann:bob}");
        assert_eq!(direct("jürgen@x.de", "ann").rows, "chat_history:ann:jürgen@x.de");
    }

    #[test]
    fn no_two_conversations_have_one_name() {
        let names = ["a", "a:b", "b", "b:c", "c", "a%3Ab", "%", "{a}", "a}", "group_history", ":"];
        let mut keys = HashSet::new();
        let mut pairs = 0;
        for (at, a) in names.iter().enumerate() {
            for b in &names[at..] {
                let Keys { rows, state } = direct(a, b);
                assert!(!rows.contains(['{', '}']) && rows.matches(':').count() == 2, "{rows}");
                keys.extend([rows, state]);
                pairs += 1;
            }
        }
        let Keys { rows, state } = Keys::of(&Conversation::Group(GroupId::mint()));
        keys.extend([rows, state]);
        assert_eq!(keys.len(), 2 * (pairs + 1));
    }
}
