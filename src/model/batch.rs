//! What one flush writes, folded so that each document is touched once.

use std::collections::HashSet;
use std::sync::Arc;

use super::{
    Content, Conversation, GroupId, Message, MessageId, Pin, Position, Reaction, Timestamp, UserId,
};

/// A run of ops, folded per document. A store applies the parts in the order of the fields;
/// applying a batch twice equals applying it once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// New messages, with the changes of the same batch already in them.
    pub inserts: Vec<Arc<Message>>,
    /// Changes to messages that are already stored, each message once.
    pub changes: Vec<MessageChange>,
    /// Messages that are gone for everyone, each once.
    pub deletes: Vec<Deletion>,
    /// Groups whose messages are all gone, each once.
    pub purges: Vec<GroupId>,
    /// How far users have read in groups, each pair of user and group once.
    pub cursors: Vec<ReadCursor>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.inserts.is_empty()
            && self.changes.is_empty()
            && self.deletes.is_empty()
            && self.purges.is_empty()
            && self.cursors.is_empty()
    }

    /// Whether it changes what searches find.
    pub fn changes_words(&self) -> bool {
        !self.inserts.is_empty()
            || self.changes.iter().any(|change| !change.edits.is_empty())
            || !self.deletes.is_empty()
            || !self.purges.is_empty()
    }

    /// The conversations whose messages it changes, each once.
    pub fn conversations(&self) -> HashSet<Conversation> {
        let sent = self.inserts.iter().map(|message| message.conversation());
        let changed = self.changes.iter().map(|change| change.conversation.clone());
        let deleted = self.deletes.iter().map(|deletion| deletion.conversation.clone());
        let purged = self.purges.iter().map(|group| Conversation::Group(*group));
        sent.chain(changed).chain(deleted).chain(purged).collect()
    }

    /// Documents that the batch touches.
    pub fn len(&self) -> usize {
        self.inserts.len()
            + self.changes.len()
            + self.deletes.len()
            + self.purges.len()
            + self.cursors.len()
    }
}

/// A message that is gone for everyone. The store remembers that for a while, so that the message's
/// own insert, should it come later or once more, does not bring it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Which message, by its `_id`; it may not be stored yet.
    pub id: MessageId,
    /// Where it was.
    pub conversation: Conversation,
    /// When it was deleted.
    pub at: Timestamp,
}

/// Everything that a batch changes on one stored message. A message that is not there (any more)
/// is left alone.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageChange {
    /// Which message, by its `_id`.
    pub id: MessageId,
    /// Where it is.
    pub conversation: Conversation,
    /// What it said, and since when, one edit after the other ([`Message::edit`]).
    pub edits: Vec<(Content, Timestamp)>,
    /// Whether it has come to a recipient's device.
    pub delivered: bool,
    /// Who has read it, to be added to `read_by` once each; if there is any, `status` is `read`.
    pub readers: Vec<UserId>,
    /// Who has hidden it, to be added to `deleted_for` once each.
    pub hidden_for: Vec<UserId>,
    /// Reactions that stand behind all others from now on (`true`) or are gone, each once.
    pub reactions: Vec<(Reaction, bool)>,
    /// Whether it is pinned. A store that has a later word keeps that one.
    pub pin: Option<Pin>,
}

impl MessageChange {
    /// A change that changes nothing yet.
    pub fn none(id: MessageId, conversation: Conversation) -> Self {
        Self {
            id,
            conversation,
            edits: Vec::new(),
            delivered: false,
            readers: Vec::new(),
            hidden_for: Vec::new(),
            reactions: Vec::new(),
            pin: None,
        }
    }

    /// Makes the change to a message in memory.
    pub fn make(&self, message: &mut Message) {
        self.edits.iter().for_each(|(content, at)| message.edit(content, *at));
        if self.delivered {
            message.mark_delivered();
        }
        self.readers.iter().for_each(|reader| message.mark_read(reader));
        self.hidden_for.iter().for_each(|user| message.hide_for(user));
        self.reactions.iter().for_each(|(reaction, on)| message.react(reaction, *on));
        if let Some(pin) = &self.pin {
            message.set_pin(pin);
        }
    }
}

/// How far a user has read in a group. A cursor only moves forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCursor {
    /// Who.
    pub user: UserId,
    /// In which group.
    pub group: GroupId,
    /// The place of the newest message read.
    pub up_to: Position,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Target;
    use crate::model::testing::message;

    #[test]
    fn a_batch_names_each_conversation_whose_messages_it_changes_once() {
        let user = |name| UserId::parse(name).unwrap();
        let with_ann = |name| Conversation::direct(user("ann"), user(name));
        let sent = |to| Arc::new(message("ann", Target::User(user(to))));
        let (purged, read) = (GroupId::mint(), GroupId::mint());
        let (id, at) = (MessageId::mint(), Timestamp(1));
        let batch = Batch {
            inserts: vec![sent("bob"), sent("bob"), sent("cem")],
            changes: vec![MessageChange::none(id, with_ann("dan"))],
            deletes: vec![Deletion { id, conversation: with_ann("eve"), at }],
            purges: vec![purged],
            cursors: vec![ReadCursor { user: user("ann"), group: read, up_to: (at, id) }],
        };
        let pairs = ["bob", "cem", "dan", "eve"].map(with_ann);
        let all = pairs.into_iter().chain([Conversation::Group(purged)]);
        assert_eq!(batch.conversations(), all.collect());
    }
}
