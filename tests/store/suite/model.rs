//! A store as simple as its contract: maps, and every question answered by looking at all.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use banter::model::{
    Batch, Chat, ClientId, Conversation, Deletion, Group, GroupId, GroupSummary, Message,
    MessageId, Position, Status, Target, Timestamp, Unread, UserId,
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
        page(self.conversation(&query.conversation), query)
    }

    pub(crate) fn replies(&self, root: MessageId, query: &HistoryQuery) -> Vec<Message> {
        page(self.rows(|row| row.reply_to == Some(root)), query)
    }

    pub(crate) fn pins(&self, conversation: &Conversation, limit: usize) -> Vec<Message> {
        let is_pinned = |row: &Message| row.pin.as_ref().is_some_and(|pin| pin.pinned);
        let mut rows = self.conversation(conversation);
        rows.retain(|row| is_pinned(row));
        rows.sort_by_key(|row| Reverse((row.pin.as_ref().map(|pin| pin.at), row.id)));
        rows.truncate(limit);
        rows.into_iter().map(bare).collect()
    }

    pub(crate) fn reply_counts(&self, except: &[MessageId]) -> BTreeMap<MessageId, usize> {
        let mut counts = BTreeMap::new();
        for row in self.messages.values().filter(|row| !except.contains(&row.id)) {
            if let Some(root) = row.reply_to {
                *counts.entry(root).or_default() += 1;
            }
        }
        counts
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

    /// A user's conversations, newest first, those before a place.
    pub(crate) fn chats(
        &self,
        user: &UserId,
        groups: &[Group],
        before: Option<Position>,
        limit: usize,
    ) -> Vec<Chat> {
        let mut chats = BTreeMap::new();
        for row in self.messages.values() {
            if let Conversation::Direct(a, b) = row.conversation()
                && (a == *user || b == *user)
            {
                let peer = if a == *user { b } else { a };
                let last: &mut Position = chats.entry((Some(peer), None)).or_insert(row.position());
                *last = row.position().max(*last);
            }
        }
        for group in groups.iter().filter(|group| group.has(user)) {
            let rows = self.conversation(&Conversation::Group(group.id));
            let made = (group.created_at, MessageId(group.id.0));
            let place = rows.first().map_or(made, |row| row.position());
            chats.insert((None, Some(group.id)), place);
        }
        let mut chats: Vec<_> = chats.into_iter().map(|(key, place)| (place, key)).collect();
        chats.retain(|(place, _)| before.is_none_or(|before| *place < before));
        chats.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        chats.truncate(limit);
        let chat = |(place, key)| match key {
            (Some(peer), _) => {
                self.chat(user, place, Conversation::direct(user.clone(), peer), None)
            }
            (None, id) => {
                let group = groups.iter().find(|group| Some(group.id) == id).expect("a group");
                self.chat(user, place, Conversation::Group(group.id), Some(group.clone()))
            }
        };
        chats.into_iter().map(chat).collect()
    }

    fn chat(
        &self,
        user: &UserId,
        place: Position,
        conversation: Conversation,
        group: Option<Group>,
    ) -> Chat {
        let viewer = Some(user.clone());
        let (range, limit) = (Range::Newest, 1);
        let last = HistoryQuery { conversation: conversation.clone(), viewer, range, limit };
        let last = self.history(&last).pop();
        let is_news = |row: &&Message| {
            row.from != *user && row.status != Status::Read && !row.is_hidden_for(user)
        };
        let unread = match &conversation {
            Conversation::Group(id) => self.unread_in(user, *id),
            Conversation::Direct(..) => {
                let rows = self.conversation(&conversation);
                (rows.into_iter().filter(is_news).count() as u64).min(Unread::EXACT_TO)
            }
        };
        let summary = |group: Group| GroupSummary { member_count: group.members.len(), group };
        let group = group.map(summary);
        Chat { conversation, place, last, unread, group, muted: None }
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
        self.rows(|row| row.conversation() == *conversation)
    }

    /// Some messages, newest first.
    fn rows(&self, which: impl Fn(&Message) -> bool) -> Vec<&Message> {
        let mut rows: Vec<&Message> = self.messages.values().filter(|row| which(row)).collect();
        rows.sort_by_key(|row| Reverse(row.position()));
        rows
    }
}

/// What a query asks for of some messages, which are newest first.
fn page(mut rows: Vec<&Message>, query: &HistoryQuery) -> Vec<Message> {
    rows.retain(|row| query.shows(row));
    if let Range::After(_) = query.range {
        rows.drain(..rows.len().saturating_sub(query.limit));
    }
    rows.truncate(query.limit);
    rows.into_iter().map(bare).collect()
}

/// A message as a page has it.
fn bare(row: &Message) -> Message {
    Message { revisions: Vec::new(), ..row.clone() }
}
