//! A store as simple as its contract: maps, and every question answered by looking at all.

use std::collections::BTreeMap;

use banter::model::{
    Batch, ClientId, Conversation, Deletion, Group, GroupId, Message, MessageId, Status, Target,
    Timestamp, Unread, UserId,
};
use banter::store::{Applied, HistoryQuery, Range};

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    messages: BTreeMap<MessageId, Message>,
    /// Deleted messages, each with its sender and its client id, where it was there and had one.
    tombstones: BTreeMap<MessageId, Option<(UserId, ClientId)>>,
    /// When each of these was sent, where it was there.
    buried: BTreeMap<MessageId, Timestamp>,
    cursors: BTreeMap<(UserId, GroupId), (Timestamp, MessageId)>,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) -> Applied {
        for message in &batch.inserts {
            if !self.tombstones.contains_key(&message.id) {
                self.messages.entry(message.id).or_insert_with(|| Message::clone(message));
            }
        }
        let mut missing = Vec::new();
        for change in &batch.changes {
            match self.messages.get_mut(&change.id) {
                Some(message) => change.make(message),
                None if self.tombstones.contains_key(&change.id) => {}
                None => missing.push(change.id),
            }
        }
        for Deletion { id, .. } in &batch.deletes {
            let row = self.messages.remove(id);
            if let Some(row) = &row {
                self.buried.insert(*id, row.timestamp);
            }
            let name = row.and_then(|row| Some((row.from, row.client_id?)));
            self.tombstones.entry(*id).or_insert(name);
        }
        for group in &batch.purges {
            self.messages.retain(|_, message| message.target != Target::Group(*group));
        }
        for cursor in &batch.cursors {
            let key = (cursor.user.clone(), cursor.group);
            let place = self.cursors.entry(key).or_insert(cursor.up_to);
            *place = cursor.up_to.max(*place);
        }
        Applied { missing }
    }

    pub(crate) fn sent_as(&self, user: &UserId, client_id: &ClientId) -> Option<MessageId> {
        let mut rows = self.messages.values();
        let row = rows.find(|row| row.from == *user && row.client_id.as_ref() == Some(client_id));
        let name = Some((user.clone(), client_id.clone()));
        let deleted = || self.tombstones.iter().find(|(_, stone)| **stone == name);
        row.map(|row| row.id).or_else(|| deleted().map(|(id, _)| *id))
    }

    pub(crate) fn sent_at(&self, id: MessageId) -> Option<Timestamp> {
        let row = self.messages.get(&id).map(|row| row.timestamp);
        row.or_else(|| self.buried.get(&id).copied())
    }

    pub(crate) fn count(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(crate) fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(&id)
    }

    pub(crate) fn history(&self, query: &HistoryQuery) -> Vec<Message> {
        let mut rows = self.conversation(&query.conversation);
        rows.retain(|row| query.shows(row));
        if let Range::After(_) = query.range {
            rows.drain(..rows.len().saturating_sub(query.limit));
        }
        rows.truncate(query.limit);
        let row = |row: &Message| Message { revisions: Vec::new(), ..row.clone() };
        rows.into_iter().map(row).collect()
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
