//! For tests of the buffer: ops with few words, a model of a store, and a store that behaves as
//! it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::sync::watch;

use crate::model::{
    Batch, Block, Chat, ClientId, Content, Conversation, Emoji, Erasure, Group, GroupChange,
    GroupId, GroupSummary, Invitation, Message, MessageId, MessageRef, Op, Pin, Position, Reaction,
    Room, Target, Timestamp, Token, Traces, Unread, Until, UserId, testing,
};
use crate::store::{
    Anonymised, Applied, Backlog, Changes, ChangesQuery, FencedStore, HistoryQuery, Hits,
    MembershipChange, PoolGauges, PrivacyStore, Range, Result, SearchQuery, Store, StoreError,
    StoreHealth,
};

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

pub(super) fn content(text: &str) -> Content {
    Content::Text(text.to_owned())
}

/// A direct message from alice to bob.
pub(super) fn text(text: &str) -> Op {
    send(Target::User(user("bob")), text)
}

/// A direct message from alice to bob, under her client's name for it.
pub(super) fn named(words: &str, client_id: &str) -> Op {
    let client_id = Some(ClientId::parse(client_id).expect("a client id"));
    Op::Send(Arc::new(Message { client_id, ..sent(&text(words)).clone() }))
}

/// A direct message to bob.
pub(super) fn named_by(from: &str, words: &str, client_id: &str, timestamp: Timestamp) -> Op {
    let named = named(words, client_id);
    Op::Send(Arc::new(Message { from: user(from), timestamp, ..sent(&named).clone() }))
}

/// A message from alice to a group.
pub(super) fn group_text(group: GroupId, text: &str) -> Op {
    send(Target::Group(group), text)
}

fn send(target: Target, text: &str) -> Op {
    Op::Send(Arc::new(Message {
        content: content(text),
        timestamp: Timestamp(1_000),
        ..testing::message("alice", target)
    }))
}

/// The message that a send is about.
pub(super) fn sent(op: &Op) -> &Message {
    let Op::Send(message) = op else { panic!("a send") };
    message
}

pub(super) fn id_of(op: &Op) -> MessageId {
    sent(op).id
}

pub(super) fn edit(op: &Op, text: &str) -> Op {
    edit_at(op, text, 2_000)
}

pub(super) fn edit_at(op: &Op, text: &str, at: i64) -> Op {
    let (conversation, message) = (op.conversation(), id_of(op));
    Op::Edit { conversation, message, content: content(text), edited_at: Timestamp(at) }
}

pub(super) fn read(op: &Op, reader: &str) -> Op {
    let message = sent(op);
    let (messages, up_to) = (vec![message.id], message.position());
    Op::Read { conversation: op.conversation(), messages, reader: user(reader), up_to }
}

pub(super) fn hide(op: &Op, name: &str) -> Op {
    Op::Hide { conversation: op.conversation(), message: id_of(op), user: user(name) }
}

pub(super) fn delete(op: &Op) -> Op {
    Op::Delete { conversation: op.conversation(), message: id_of(op), at: Timestamp(3_000) }
}

pub(super) fn deliver(op: &Op) -> Op {
    Op::Deliver { conversation: op.conversation(), messages: vec![id_of(op)] }
}

pub(super) fn react(op: &Op, name: &str, emoji: &str, on: bool) -> Op {
    let reaction = Reaction { user: user(name), emoji: Emoji::parse(emoji).expect("an emoji") };
    Op::React { conversation: op.conversation(), message: id_of(op), reaction, on }
}

pub(super) fn pin(op: &Op, pinned: bool, at: i64) -> Op {
    let pin = Pin { pinned, by: user("bob"), at: Timestamp(at) };
    Op::Pin { conversation: op.conversation(), message: id_of(op), pin }
}

/// The newest messages of an op's conversation, as somebody sees them.
pub(super) fn newest(op: &Op, viewer: &str, limit: usize) -> HistoryQuery {
    let (conversation, viewer) = (op.conversation(), Some(user(viewer)));
    HistoryQuery { conversation, viewer, range: Range::Newest, limit }
}

/// Runs of up to 40 ops over few messages, users and groups, so that they collide. As in life, a
/// message is sent once, before anything else happens to it.
pub(super) fn ops() -> impl Strategy<Value = Vec<Arc<Op>>> {
    let groups = [GroupId::mint(), GroupId::mint()];
    let mut sends: Vec<_> = (0..4).map(|n| text(&n.to_string())).collect();
    sends.extend((0..8).map(|n| group_text(groups[n % 2], &n.to_string())));
    let step = (0..16_u8, 0..sends.len(), "[a-c]");
    prop::collection::vec(step, 1..40).prop_map(move |steps| {
        let mut known = BTreeSet::new();
        let op = |(kind, at, word): (u8, usize, String)| {
            let send = &sends[at];
            let is_new = known.insert(at);
            let op = match kind {
                _ if is_new => send.clone(),
                0..=1 => edit(send, &word),
                2 => edit_at(send, &word, 3_000 - i64::from(word.as_bytes()[0])),
                3..=5 => read(send, &word),
                6..=7 => hide(send, &word),
                8 => delete(send),
                9 => deliver(send),
                10..=13 => react(send, &word, if kind < 12 { "👍" } else { "🎈" }, kind % 2 == 0),
                14 => pin(send, word == "a", 10),
                15 if word != "c" => pin(send, word == "b", i64::from(word.as_bytes()[0])),
                _ => Op::PurgeGroup(groups[at % 2]),
            };
            Arc::new(op)
        };
        steps.into_iter().map(op).collect()
    })
}

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) messages: BTreeMap<MessageId, Message>,
    /// Deleted messages, which no insert brings back.
    pub(super) tombstones: BTreeSet<MessageId>,
    cursors: HashMap<(UserId, GroupId), Position>,
}

impl Model {
    /// Does what an op says, by the definition of [`Op::apply`].
    pub(super) fn apply_op(&mut self, op: &Op) {
        match op {
            Op::Send(message) => self.insert(message),
            Op::Delete { message, .. } => drop(self.tombstones.insert(*message)),
            _ => {}
        }
        if let Op::Read { conversation: Conversation::Group(group), reader, up_to, .. } = op {
            self.move_cursor(reader, *group, *up_to);
        }
        let messages = std::mem::take(&mut self.messages);
        let rows = messages.into_iter();
        self.messages = rows.filter_map(|(id, row)| Some((id, op.apply(Some(row))?))).collect();
    }

    /// Does what a batch says, as the contract of [`Store::apply`] orders it.
    pub(super) fn apply(&mut self, batch: &Batch) -> Applied {
        let mut missing = Vec::new();
        batch.inserts.iter().for_each(|message| self.insert(message));
        for change in &batch.changes {
            match self.messages.get_mut(&change.id) {
                Some(message) => change.make(message),
                None if self.tombstones.contains(&change.id) => {}
                None => missing.push(change.id),
            }
        }
        for deletion in &batch.deletes {
            self.messages.remove(&deletion.id);
            self.tombstones.insert(deletion.id);
        }
        for group in &batch.purges {
            self.messages.retain(|_, row| row.target != Target::Group(*group));
        }
        for cursor in &batch.cursors {
            self.move_cursor(&cursor.user, cursor.group, cursor.up_to);
        }
        Applied { missing }
    }

    /// A page, as the contract of [`Store::history`] has it.
    pub(super) fn history(&self, query: &HistoryQuery) -> Vec<Message> {
        let of_it = |row: &&Message| row.conversation() == query.conversation && query.shows(row);
        let mut page: Vec<_> = self.messages.values().filter(of_it).cloned().collect();
        page.sort_by_key(|row| std::cmp::Reverse(row.position()));
        if let Range::After(_) = query.range {
            page.drain(..page.len().saturating_sub(query.limit));
        }
        page.truncate(query.limit);
        page
    }

    pub(super) fn insert(&mut self, message: &Message) {
        if !self.tombstones.contains(&message.id) {
            self.messages.entry(message.id).or_insert_with(|| message.clone());
        }
    }

    fn move_cursor(&mut self, user: &UserId, group: GroupId, to: Position) {
        let cursor = self.cursors.entry((user.clone(), group)).or_insert(to);
        *cursor = (*cursor).max(to);
    }
}

/// How a [`FakeStore`] behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mood {
    /// Writes at once.
    Fast,
    /// Writes after a while.
    Slow(Duration),
    /// Does not answer until the mood changes.
    Stuck,
    /// Writes nothing and says that it is away.
    Away,
    /// Writes everything and says that it was away.
    Ambiguous,
    /// Writes nothing and says that it is not set up.
    Misconfigured,
}

/// A store in memory. It never writes a message of `poison`, whatever its mood, but says so with a
/// permanent error after it has written the rest of the inserts.
pub(super) struct FakeStore {
    mood: watch::Sender<Mood>,
    index_mood: watch::Sender<Mood>,
    state: Mutex<FakeState>,
}

#[derive(Debug, Default)]
pub(super) struct FakeState {
    pub(super) model: Model,
    pub(super) poison: BTreeSet<MessageId>,
    /// The order in which messages came in, each with every time that it was new.
    pub(super) arrivals: Vec<MessageId>,
    /// How many calls to `apply` there were.
    pub(super) calls: usize,
    /// The search index: what it knows each message to say.
    pub(super) index: BTreeMap<MessageId, Content>,
}

impl FakeState {
    fn index(&mut self, batch: &Batch) {
        for message in &batch.inserts {
            self.index.entry(message.id).or_insert_with(|| message.content.clone());
        }
        for change in batch.changes.iter().filter(|change| !change.edits.is_empty()) {
            if let Some(message) = self.model.messages.get(&change.id) {
                self.index.insert(change.id, message.content.clone());
            }
        }
        for deletion in &batch.deletes {
            self.index.remove(&deletion.id);
        }
    }
}

impl FakeStore {
    pub(super) fn new(mood: Mood) -> Arc<Self> {
        let index_mood = watch::Sender::new(mood);
        Arc::new(Self { mood: watch::Sender::new(mood), index_mood, state: Mutex::default() })
    }

    pub(super) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
        self.set_index(mood);
    }

    /// How its search index behaves.
    pub(super) fn set_index(&self, mood: Mood) {
        self.index_mood.send_replace(mood);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().expect("no test fails in here")
    }

    fn write(&self, batch: &Batch) -> Result<Applied> {
        let mut batch = batch.clone();
        let state = &mut *self.state();
        let whole = batch.inserts.len();
        batch.inserts.retain(|message| !state.poison.contains(&message.id));
        let refused = batch.inserts.len() < whole;
        if refused {
            batch = Batch { inserts: batch.inserts, ..Batch::default() };
        }
        let new = batch.inserts.iter().map(|message| message.id);
        state.arrivals.extend(new.filter(|id| !state.model.messages.contains_key(id)));
        let applied = state.model.apply(&batch);
        if refused { Err(StoreError::Permanent(anyhow::anyhow!("poison"))) } else { Ok(applied) }
    }
}

#[async_trait]
impl Store for FakeStore {
    fn describe(&self) -> String {
        "a fake store".to_owned()
    }

    fn write_concern(&self) -> String {
        "memory".to_owned()
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        self.state().calls += 1;
        let away = || anyhow::anyhow!("away");
        let mut moods = self.mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Stuck).await.expect("the sender is ours");
        match mood {
            Mood::Fast | Mood::Stuck => self.write(batch),
            Mood::Slow(time) => {
                tokio::time::sleep(time).await;
                self.write(batch)
            }
            Mood::Away => Err(StoreError::Transient(away())),
            Mood::Misconfigured => Err(StoreError::Configuration(away())),
            Mood::Ambiguous => {
                self.write(batch)?;
                Err(StoreError::Transient(away()))
            }
        }
    }

    async fn message(&self, id: &MessageRef) -> Result<Option<Message>> {
        // A reader may be overtaken by the flusher here: that is what the tests look for.
        tokio::task::yield_now().await;
        let messages = &self.state().model.messages;
        let by_id = id.as_id().and_then(|id| messages.get(&id));
        let old = Some(id.as_str());
        let found = by_id.or_else(|| messages.values().find(|m| m.old_id.as_deref() == old));
        Ok(found.cloned())
    }

    async fn sent_as(&self, user: &UserId, client_id: &ClientId) -> Result<Option<MessageId>> {
        let state = self.state();
        let mut rows = state.model.messages.values();
        let found = rows.find(|m| m.from == *user && m.client_id.as_ref() == Some(client_id));
        Ok(found.map(|message| message.id))
    }

    async fn sent_at(&self, _: MessageId) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Message>> {
        tokio::task::yield_now().await;
        if let Mood::Away | Mood::Stuck = *self.mood.borrow() {
            return Err(StoreError::Transient(anyhow::anyhow!("away")));
        }
        let page = self.state().model.history(query);
        tokio::task::yield_now().await;
        Ok(page)
    }

    async fn replies(&self, root: MessageId, query: &HistoryQuery) -> Result<Vec<Message>> {
        let all = HistoryQuery { limit: usize::MAX, ..query.clone() };
        let mut page = self.state().model.history(&all);
        page.retain(|row| row.reply_to == Some(root));
        if let Range::After(_) = query.range {
            page.drain(..page.len().saturating_sub(query.limit));
        }
        page.truncate(query.limit);
        Ok(page)
    }

    async fn reply_counts(
        &self,
        roots: &[MessageId],
        except: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>> {
        let state = self.state();
        let rows = state.model.messages.values().filter(|row| !except.contains(&row.id));
        let rows: Vec<_> = rows.collect();
        let count =
            |root: &MessageId| rows.iter().filter(|row| row.reply_to == Some(*root)).count();
        Ok(roots.iter().map(|root| (*root, count(root))).collect())
    }

    async fn pins(&self, conversation: &Conversation, limit: usize) -> Result<Vec<Message>> {
        let state = self.state();
        let rows = state.model.messages.values().filter(|row| row.conversation() == *conversation);
        let place = |row: &Message| Some((row.pin.as_ref().filter(|pin| pin.pinned)?.at, row.id));
        let mut rows: Vec<_> = rows.filter(|row| place(row).is_some()).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn names_media(&self, url: &str) -> Result<bool> {
        let state = self.state();
        Ok(state.model.messages.values().any(|row| row.media_url.as_deref() == Some(url)))
    }

    async fn changes(&self, _: &ChangesQuery) -> Result<Changes> {
        Ok(Changes { rows: Vec::new(), settled: 0, latest: 0 })
    }

    async fn chats(&self, _: &UserId, _: Option<Position>, _: usize) -> Result<Vec<Chat>> {
        Ok(Vec::new())
    }

    async fn group_ids_of(&self, _: &UserId, _: usize) -> Result<Vec<GroupId>> {
        Ok(Vec::new())
    }

    async fn unread(&self, _: &UserId, _: Option<Position>, _: &[GroupId]) -> Result<Unread> {
        Ok(Unread::default())
    }

    async fn index(&self, batches: &[Arc<Batch>]) -> Result<()> {
        let mut moods = self.index_mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Stuck).await.expect("the sender is ours");
        if let Mood::Slow(time) = mood {
            tokio::time::sleep(time).await;
        }
        if let Mood::Away | Mood::Misconfigured = mood {
            return Err(StoreError::Transient(anyhow::anyhow!("away")));
        }
        batches.iter().for_each(|batch| self.state().index(batch));
        match mood {
            Mood::Ambiguous => Err(StoreError::Transient(anyhow::anyhow!("away"))),
            _ => Ok(()),
        }
    }

    async fn search(&self, _: &SearchQuery) -> Result<Hits> {
        Ok(Hits::default())
    }

    async fn index_backlog(&self) -> Result<Backlog> {
        Ok(Backlog::default())
    }

    async fn create_group(&self, _: &Group) -> Result<()> {
        Ok(())
    }

    async fn group(&self, _: GroupId) -> Result<Option<Group>> {
        Ok(None)
    }

    async fn change_group(&self, _: GroupId, _: &GroupChange) -> Result<bool> {
        Ok(false)
    }

    async fn create_invitation(&self, _: &Invitation) -> Result<()> {
        Ok(())
    }

    async fn invitation(&self, _: &Token) -> Result<Option<Invitation>> {
        Ok(None)
    }

    async fn invitations(&self, _: GroupId, _: Timestamp, _: usize) -> Result<Vec<Invitation>> {
        Ok(Vec::new())
    }

    async fn use_invitation(&self, _: &Token, _: Timestamp) -> Result<bool> {
        Ok(false)
    }

    async fn end_invitation(&self, _: &Token, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn mute(&self, _: &UserId, _: GroupId, _: Option<Until>) -> Result<()> {
        Ok(())
    }

    async fn mutes(&self, _: &UserId, _: usize) -> Result<Vec<(GroupId, Until)>> {
        Ok(Vec::new())
    }

    async fn group_head(&self, _: GroupId) -> Result<Option<Group>> {
        Ok(None)
    }

    async fn group_summary(&self, _: GroupId, _: usize) -> Result<Option<GroupSummary>> {
        Ok(None)
    }

    async fn groups_of(&self, _: &UserId, _: usize) -> Result<Vec<Group>> {
        Ok(Vec::new())
    }

    async fn search_groups(&self, _: &str, _: Option<&UserId>, _: usize) -> Result<Vec<Group>> {
        Ok(Vec::new())
    }

    async fn rooms(
        &self,
        _: &UserId,
        _: Option<(Timestamp, GroupId)>,
        _: usize,
    ) -> Result<Vec<Room>> {
        Ok(Vec::new())
    }

    async fn add_member(&self, _: GroupId, _: &UserId) -> Result<MembershipChange> {
        Ok(MembershipChange::NoGroup)
    }

    async fn remove_member(&self, _: GroupId, _: &UserId) -> Result<MembershipChange> {
        Ok(MembershipChange::NoGroup)
    }

    async fn delete_group(&self, _: GroupId) -> Result<bool> {
        Ok(false)
    }

    async fn peers(&self, _: &UserId, _: usize) -> Result<Vec<UserId>> {
        Ok(Vec::new())
    }

    async fn readers(&self, _: GroupId, _: Position, _: usize) -> Result<Vec<(UserId, Position)>> {
        Ok(Vec::new())
    }

    async fn small_groups_of(&self, _: &UserId, _: usize, _: usize) -> Result<Vec<GroupId>> {
        Ok(Vec::new())
    }

    async fn block(&self, _: &UserId, _: &Block) -> Result<()> {
        Ok(())
    }

    async fn unblock(&self, _: &UserId, _: &UserId) -> Result<()> {
        Ok(())
    }

    async fn blocks(&self, _: &UserId, _: usize) -> Result<Vec<Block>> {
        Ok(Vec::new())
    }

    async fn seen(&self, _: &[(UserId, Timestamp)]) -> Result<()> {
        Ok(())
    }

    async fn last_seen(&self, _: &[UserId]) -> Result<Vec<(UserId, Timestamp)>> {
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<StoreHealth> {
        Err(StoreError::Transient(anyhow::anyhow!("a fake store is never well")))
    }

    fn pool(&self) -> Option<PoolGauges> {
        None
    }

    async fn close(&self) {}
}

impl FencedStore for FakeStore {}

#[async_trait]
impl PrivacyStore for FakeStore {
    async fn group_messages_of(&self, _: &UserId, _: Position, _: usize) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn traces(&self, _: &UserId, _: usize) -> Result<Traces> {
        Ok(Traces::default())
    }

    async fn groups_owned_by(&self, _: &UserId, _: usize) -> Result<Vec<GroupId>> {
        Ok(Vec::new())
    }

    async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure> {
        Ok(erasure.clone())
    }

    async fn erasures(&self, _: usize) -> Result<Vec<Erasure>> {
        Ok(Vec::new())
    }

    async fn anonymise(&self, _: &Erasure, _: Option<MessageId>) -> Result<Anonymised> {
        Ok(Anonymised::default())
    }

    async fn remove_traces(&self, _: &Erasure) -> Result<()> {
        Ok(())
    }

    async fn end_erasure(&self, _: &UserId) -> Result<()> {
        Ok(())
    }
}
