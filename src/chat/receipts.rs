//! What has come to whom, and who has read what.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::{Accepted, Chat};
use crate::error::Error;
use crate::model::{
    Audience, Conversation, Dispatch, Event, Message, MessageId, MessageRef, Op, Position, Reading,
    Status, Target, Unread, UserId,
};
use crate::store::{HistoryQuery, Range};

/// How long what is asked of the store alone waits for the buffer to reach it; after that it may
/// miss what is still on its way.
pub(super) const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// Messages that are looked up at the same time.
const LOOKUPS: usize = 16;

/// Messages of one op that marks all up to a message.
const CHUNK: usize = 500;

/// Messages that one such mark looks at, at the most.
const MAX_UP_TO: usize = 10_000;

impl Chat {
    /// Marks a message as read by one of its recipients, and tells the group, or the sender of a
    /// direct message. The sender's own mark on a direct message changes nothing.
    pub async fn mark_read(&self, user: &UserId, id: &MessageRef) -> Result<Accepted<()>, Error> {
        let (_alone, message) = self.hold(id).await?;
        self.check_party(&message, user).await?;
        if message.from == *user && matches!(message.target, Target::User(_)) {
            return Ok(Accepted::settled(()));
        }
        let mut accepted = Accepted::settled(());
        self.accept_reading(message.conversation(), &[&message], user, &mut accepted).await?;
        Ok(accepted)
    }

    /// Marks several messages as read, those of one conversation in one step. What is not there,
    /// not for this user, hidden, or read already is left out; that is no error.
    pub async fn mark_many_read(
        &self,
        user: &UserId,
        ids: &[MessageRef],
    ) -> Result<Accepted<()>, Error> {
        let mut accepted = Accepted::settled(());
        for (conversation, mut rows) in self.received(user, ids).await? {
            rows.retain(|row| !row.read_by.contains(user));
            let rows: Vec<_> = rows.iter().collect();
            self.accept_reading(conversation, &rows, user, &mut accepted).await?;
        }
        Ok(accepted)
    }

    /// Marks as read what others have said in a message's conversation up to that message, which is
    /// included: of the newest 10,000 of those messages. Where there are more, the oldest that was
    /// looked at is the answer: the next mark goes on from there.
    ///
    /// # Errors
    /// Those of [`Chat::mark_read`]. What was marked before an error stays marked.
    pub async fn mark_read_up_to(
        &self,
        user: &UserId,
        id: &MessageRef,
    ) -> Result<Accepted<Option<MessageId>>, Error> {
        let last = Arc::new(self.find(id).await?);
        self.check_party(&last, user).await?;
        let conversation = last.conversation();
        let mut accepted = Accepted::settled(());
        let (mut chunk, mut seen, mut oldest) = (vec![Arc::clone(&last)], 1, last.position());
        let next = loop {
            let older = HistoryQuery {
                conversation: conversation.clone(),
                viewer: Some(user.clone()),
                range: Range::Before(oldest),
                limit: (CHUNK - chunk.len()).min(MAX_UP_TO - seen),
            };
            let older = self.buffer.history(&older).await?;
            let is_start = older.is_empty();
            seen += older.len();
            oldest = older.last().map_or(oldest, |row| row.position());
            chunk.extend(older);
            self.mark_chunk(user, &conversation, &chunk, &mut accepted).await?;
            chunk.clear();
            if is_start {
                break None;
            }
            if seen >= MAX_UP_TO {
                break Some(oldest.1);
            }
        };
        // Where nothing was unread, the reader's place in a group may still be further back.
        if accepted.receipt.is_none() && matches!(conversation, Conversation::Group(_)) {
            let (messages, up_to) = (vec![last.id], last.position());
            let op = Op::Read { conversation, messages, reader: user.clone(), up_to };
            accepted.add(self.buffer.accept(op, None)?);
        }
        Ok(accepted.map(|()| next))
    }

    /// Marks what is unread in a run of a conversation, newest first.
    async fn mark_chunk(
        &self,
        user: &UserId,
        conversation: &Conversation,
        chunk: &[Arc<Message>],
        accepted: &mut Accepted<()>,
    ) -> Result<(), Error> {
        let is_news = |row: &&Message| row.from != *user && !row.read_by.contains(user);
        let unread = |row: &&Message| is_news(row) && !row.is_hidden_for(user);
        let rows: Vec<&Message> = chunk.iter().rev().map(|row| &**row).filter(unread).collect();
        self.accept_reading(conversation.clone(), &rows, user, accepted).await
    }

    /// Takes the mark of messages of one conversation, the newest last; of none there is none. Told
    /// are the group, or the other user, who has sent them; in a large group each sender alone.
    async fn accept_reading(
        &self,
        conversation: Conversation,
        rows: &[&Message],
        reader: &UserId,
        accepted: &mut Accepted<()>,
    ) -> Result<(), Error> {
        let Some(newest) = rows.last() else { return Ok(()) };
        let up_to = newest.position();
        let (messages, told) = if self.is_large(&conversation).await? {
            self.read_in_large_group(&conversation, rows, reader).await
        } else {
            let to = match &conversation {
                Conversation::Group(group) => Audience::Group(*group),
                Conversation::Direct(..) => Audience::Users(vec![newest.from.clone()]),
            };
            let event = Event::Read(reading(&conversation, rows, newest, reader, true));
            (rows.iter().map(|row| row.id).collect(), vec![Dispatch { to, event }])
        };
        let op = Op::Read { conversation, messages, reader: reader.clone(), up_to };
        accepted.add(self.buffer.accept_telling(op, told)?);
        Ok(())
    }

    /// Which messages name the reader, and what each sender is told, with how many have read the
    /// newest of theirs. The reader's own are nobody else's news.
    async fn read_in_large_group(
        &self,
        conversation: &Conversation,
        rows: &[&Message],
        reader: &UserId,
    ) -> (Vec<MessageId>, Vec<Dispatch>) {
        let mut senders: Vec<(&UserId, Vec<&Message>)> = Vec::new();
        for row in rows.iter().filter(|row| row.from != *reader) {
            match senders.iter_mut().find(|(sender, _)| **sender == row.from) {
                Some((_, of_sender)) => of_sender.push(row),
                None => senders.push((&row.from, vec![row])),
            }
        }
        let newest: Vec<_> = senders.iter().filter_map(|(_, rows)| rows.last().copied()).collect();
        let up_to = rows.last().map(|row| row.position());
        let counts = self.count_with(conversation, &newest, reader, up_to).await;
        let told =
            senders.iter().zip(newest).zip(counts).map(|(((sender, rows), newest), count)| {
                let is_named = self.names(newest, reader);
                let reading = reading(conversation, rows, newest, reader, is_named);
                let event = Event::Read(Reading { read_count: Some(count), ..reading });
                Dispatch { to: Audience::Users(vec![(*sender).clone()]), event }
            });
        let told = told.collect();
        (rows.iter().filter(|row| self.names(row, reader)).map(|row| row.id).collect(), told)
    }

    /// Whether a message of a large group names this reader, or has room to.
    pub(super) fn names(&self, message: &Message, reader: &UserId) -> bool {
        let limit = self.config.receipt_group_limit as usize;
        message.read_by.len() < limit || message.read_by.contains(reader)
    }

    /// Marks messages as having come to a device of one of their recipients, and tells each sender.
    /// What is not there, not for this user or hidden is left out, and so is what has come before:
    /// in a group of up to `RECEIPT_GROUP_LIMIT` members to this user, else to anyone.
    pub async fn mark_delivered(
        &self,
        user: &UserId,
        ids: &[MessageRef],
    ) -> Result<Accepted<()>, Error> {
        let mut accepted = Accepted::settled(());
        for (conversation, mut rows) in self.received(user, ids).await? {
            let is_group = matches!(conversation, Conversation::Group(_));
            let tells_each = is_group && !self.is_large(&conversation).await?;
            rows.retain(|row| {
                row.status == Status::Sent || (tells_each && !row.read_by.contains(user))
            });
            let told = deliveries(&rows, user);
            let sent = rows.iter().filter(|row| row.status == Status::Sent);
            let messages: Vec<_> = sent.map(|row| row.id).collect();
            if messages.is_empty() {
                for Dispatch { to, event } in told {
                    self.notify(to, event).await;
                }
            } else {
                let op = Op::Deliver { conversation, messages };
                accepted.add(self.buffer.accept_telling(op, told)?);
            }
        }
        Ok(accepted)
    }

    /// Those of these messages that others have sent to a user, or to a group with this member, and
    /// that the user has not hidden; per conversation, the oldest first.
    async fn received(
        &self,
        user: &UserId,
        ids: &[MessageRef],
    ) -> Result<Vec<(Conversation, Vec<Message>)>, Error> {
        let mut found: Vec<(Conversation, Vec<Message>)> = Vec::new();
        for ids in ids.chunks(LOOKUPS) {
            let rows = try_join_all(ids.iter().map(|id| self.buffer.message(id))).await?;
            for row in rows.into_iter().flatten() {
                if row.from == *user || row.is_hidden_for(user) {
                    continue;
                }
                let conversation = row.conversation();
                match found.iter_mut().find(|(known, _)| *known == conversation) {
                    Some((_, rows)) if rows.iter().any(|known| known.id == row.id) => {}
                    Some((_, rows)) => rows.push(row),
                    None => match self.check_party(&row, user).await {
                        Ok(()) => found.push((conversation, vec![row])),
                        Err(Error::NotFound(_)) => {}
                        Err(error) => return Err(error),
                    },
                }
            }
        }
        for (_, rows) in &mut found {
            rows.sort_unstable_by_key(Message::position);
        }
        Ok(found)
    }

    /// What a user has not read of all that was accepted before `until` (see [`Chat::place`]), but
    /// for groups that the user has muted.
    pub async fn unread(&self, user: &UserId, until: Position) -> Result<Unread, Error> {
        self.buffer.flushed(FLUSH_WAIT).await;
        let muted = self.muted_by(user).await?.into_iter().map(|(group, _)| group);
        let muted: Vec<_> = muted.collect();
        Ok(self.store.unread(user, Some(until), &muted).await?)
    }
}

/// What is told of messages that were read, the newest of which may name the reader.
fn reading(
    conversation: &Conversation,
    rows: &[&Message],
    newest: &Message,
    reader: &UserId,
    is_named: bool,
) -> Reading {
    let mut read_by = newest.read_by.clone();
    if is_named && !read_by.contains(reader) {
        read_by.push(reader.clone());
    }
    Reading {
        conversation: conversation.clone(),
        reader: reader.clone(),
        messages: rows.iter().map(|row| row.id).collect(),
        newest: newest.position(),
        read_by,
        read_count: None,
    }
}

/// What senders are told of their messages that have come to a user, one event each.
fn deliveries(rows: &[Message], user: &UserId) -> Vec<Dispatch> {
    let mut senders: Vec<(&UserId, Vec<MessageId>)> = Vec::new();
    for row in rows {
        match senders.iter_mut().find(|(sender, _)| **sender == row.from) {
            Some((_, messages)) => messages.push(row.id),
            None => senders.push((&row.from, vec![row.id])),
        }
    }
    let told = |(sender, messages): (&UserId, _)| Dispatch {
        to: Audience::Users(vec![sender.clone()]),
        event: Event::Delivered { messages, user: user.clone() },
    };
    senders.into_iter().map(told).collect()
}
