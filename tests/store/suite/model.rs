//! A store as simple as its contract: maps, and every question answered by looking at all.

use std::collections::BTreeMap;

use banter::model::{
    Batch, Conversation, Deletion, Group, GroupId, Message, MessageChange, MessageId, Status,
    Target, Timestamp, Unread, UserId,
};
use banter::store::HistoryQuery;

/// What a store holds.
#[derive(Debug, Default)]
pub(crate) struct Model {
    messages: BTreeMap<MessageId, Message>,
    cursors: BTreeMap<(UserId, GroupId), (Timestamp, MessageId)>,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for message in &batch.inserts {
            self.messages.entry(message.id).or_insert_with(|| Message::clone(message));
        }
        for change in &batch.changes {
            if let Some(message) = self.messages.get_mut(&change.id) {
                apply_change(message, change);
            }
        }
        for Deletion { id, .. } in &batch.deletes {
            self.messages.remove(id);
        }
        for group in &batch.purges {
            self.messages.retain(|_, message| message.target != Target::Group(*group));
        }
        for cursor in &batch.cursors {
            let key = (cursor.user.clone(), cursor.group);
            let place = self.cursors.entry(key).or_insert(cursor.up_to);
            *place = cursor.up_to.max(*place);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(crate) fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(&id)
    }

    pub(crate) fn history(&self, query: &HistoryQuery) -> Vec<Message> {
        let mut rows = self.conversation(&query.conversation);
        rows.retain(|row| !row.is_hidden_for(&query.viewer));
        rows.retain(|row| query.before.is_none_or(|place| row.position() < place));
        rows.truncate(query.limit);
        rows.into_iter().cloned().collect()
    }

    pub(crate) fn unread(&self, user: &UserId, groups: &[Group]) -> Unread {
        let to_user = Target::User(user.clone());
        let direct = self.messages.values().filter(|row| {
            let pending = row.target == to_user && row.status != Status::Read;
            pending && row.from != *user && !row.is_hidden_for(user)
        });
        let joined = groups.iter().filter(|group| group.has(user));
        Unread {
            direct: (direct.count() as u64).min(Unread::EXACT_TO),
            group: joined.map(|group| self.unread_in(user, group.id)).sum(),
        }
    }

    fn unread_in(&self, user: &UserId, group: GroupId) -> u64 {
        let mut rows = self.conversation(&Conversation::Group(group));
        match self.cursors.get(&(user.clone(), group)) {
            Some(place) => rows.retain(|row| row.position() > *place),
            None => rows.truncate(Unread::EXACT_TO as usize),
        }
        rows.retain(|row| row.from != *user);
        rows.retain(|row| !row.read_by.contains(user) && !row.is_hidden_for(user));
        (rows.len() as u64).min(Unread::EXACT_TO)
    }

    fn conversation(&self, conversation: &Conversation) -> Vec<&Message> {
        let of_it = |row: &&Message| row.conversation() == *conversation;
        let mut rows: Vec<&Message> = self.messages.values().filter(of_it).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.position()));
        rows
    }
}

fn apply_change(message: &mut Message, change: &MessageChange) {
    if let Some((content, edited_at)) = &change.edit {
        message.content = content.clone();
        message.edited_at = Some(*edited_at);
    }
    for reader in &change.readers {
        message.mark_read(reader);
    }
    for user in &change.hidden_for {
        if !message.is_hidden_for(user) {
            message.deleted_for.push(user.clone());
        }
    }
}
