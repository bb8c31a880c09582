//! What a search asks of a store, and who may see what it finds.

use crate::model::{Conversation, GroupId, Message, Position, Target, UserId};
use crate::search::{self, Words};

/// Groups of a user that are searched, the newest ones; each makes a search dearer.
pub(super) const MAX_GROUPS: usize = 1_000;

/// Which messages are searched for: those that a user may see now, that is, of the user's direct
/// conversations and of the groups the user is in, without those that the user has hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// Who asks.
    pub viewer: UserId,
    /// What has to be in the message.
    pub words: Words,
    /// Only in this conversation, where given.
    pub conversation: Option<Conversation>,
    /// Only from this user, where given.
    pub from: Option<UserId>,
    /// Only messages before this place, where given.
    pub before: Option<Position>,
    /// How many at the most.
    pub limit: usize,
}

impl SearchQuery {
    /// Whose keys to look for: one of these (16 hexadecimal digits each) has to be a party of the
    /// message. `groups` are those that the viewer is in.
    pub fn parties(&self, groups: &[GroupId]) -> Vec<String> {
        let is_wanted = |group: &&GroupId| match &self.conversation {
            None => true,
            Some(only) => *only == Conversation::Group(**group),
        };
        let of_groups = groups.iter().filter(is_wanted);
        let of_groups = of_groups.map(|g| search::conversation_party(&Conversation::Group(*g)));
        let direct = match &self.conversation {
            None => true,
            Some(Conversation::Direct(low, high)) => [low, high].contains(&&self.viewer),
            Some(Conversation::Group(_)) => false,
        };
        direct.then(|| search::user_party(&self.viewer)).into_iter().chain(of_groups).collect()
    }

    /// Keys that the message must have besides those of its words.
    pub(super) fn further_keys(&self) -> Vec<String> {
        let direct = self.conversation.as_ref().filter(|c| matches!(c, Conversation::Direct(..)));
        let conversation = direct.map(search::conversation_key);
        conversation.into_iter().chain(self.from.as_ref().map(search::sender_key)).collect()
    }

    /// Whether a candidate is what is searched for, and the viewer's to see.
    pub(super) fn admits(&self, groups: &[GroupId], message: &Message) -> bool {
        let is_party = match &message.target {
            Target::User(to) => message.from == self.viewer || *to == self.viewer,
            Target::Group(group) => groups.contains(group),
        };
        is_party
            && self.conversation.as_ref().is_none_or(|only| message.conversation() == *only)
            && self.from.as_ref().is_none_or(|from| message.from == *from)
            && self.before.is_none_or(|place| message.position() < place)
            && !message.is_hidden_for(&self.viewer)
            && self.words.fit(&message.content)
    }
}

/// What a search has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hits {
    /// The newest messages that are searched for, newest first.
    pub messages: Vec<Message>,
    /// Where the store has stopped looking before it had enough: of all from this place on nothing
    /// is left out.
    pub stopped_at: Option<Position>,
}

/// What one step of [`super::Store::index_backlog`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that are in the index from now on.
    pub indexed: u64,
    /// Whether more may wait: the next step is due at once.
    pub more: bool,
}
