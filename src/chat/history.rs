//! Reading back.

use std::sync::Arc;

use bson::oid::ObjectId;

use super::{Chat, no_message, not_a_member};
use crate::error::Error;
use crate::model::{Conversation, Message, MessageId, MessageRef, Op, Position, Timestamp, UserId};
use crate::store::{HistoryQuery, Range};

/// Which messages of a conversation somebody wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// The newest.
    Newest,
    /// The newest of those before a message, which may be deleted by now.
    Before(MessageRef),
    /// The oldest of those after a message, which may be deleted by now.
    After(MessageRef),
    /// A message with those on both sides of it.
    Around(MessageRef),
}

/// Where a message stands, or once stood.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    At(Position),
    /// Nobody knows more than the second in which its id was made.
    Within(Timestamp),
}

impl Chat {
    /// Most messages of one page.
    pub const MAX_PAGE: usize = 200;

    /// A page of a conversation, newest first, without the messages that the viewer has hidden; a
    /// group's only for its members. Marks as read by the viewer what it returns.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for who is not in the group, [`Error::NotFound`] where the group or the
    /// message is not there, [`Error::Unavailable`] if the store is needed and away.
    pub async fn history(
        &self,
        viewer: &UserId,
        conversation: Conversation,
        page: &Page,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, Error> {
        if let Conversation::Group(group) = conversation
            && !self.is_member(group, viewer).await?
        {
            return Err(not_a_member());
        }
        let newest = HistoryQuery {
            conversation: conversation.clone(),
            viewer: Some(viewer.clone()),
            range: Range::Newest,
            limit,
        };
        let rows = match page {
            Page::Newest => self.buffer.history(&newest).await?,
            Page::Before(id) => {
                let range = Range::Before(self.place_of(&conversation, id).await?.end());
                self.buffer.history(&HistoryQuery { range, ..newest }).await?
            }
            Page::After(id) => {
                let range = Range::After(self.place_of(&conversation, id).await?.start());
                self.buffer.history(&HistoryQuery { range, ..newest }).await?
            }
            Page::Around(id) => self.around(newest, id).await?,
        };
        self.mark_page_read(viewer, conversation, &rows).await;
        Ok(rows)
    }

    /// Half of the page lies before the message, where there is so much; the rest begins with it.
    async fn around(
        &self,
        query: HistoryQuery,
        id: &MessageRef,
    ) -> Result<Vec<Arc<Message>>, Error> {
        let Place::At(place) = self.place_of(&query.conversation, id).await? else {
            return Err(no_message());
        };
        let (range, limit) = (Range::Before(place), query.limit / 2);
        let mut older = Vec::new();
        if limit > 0 {
            older = self.buffer.history(&HistoryQuery { range, limit, ..query.clone() }).await?;
        }
        let (range, limit) = (Range::After(just_before(place)), query.limit - older.len());
        let mut page = self.buffer.history(&HistoryQuery { range, limit, ..query }).await?;
        // Who asks for a message, not for a place, is told that it is gone.
        if page.last().is_none_or(|oldest| oldest.position() != place) {
            return Err(no_message());
        }
        page.extend(older);
        Ok(page)
    }

    /// The place of a message in a conversation, also of one that is deleted: it may have been
    /// there when a client read the page that it goes on from. Only an id of the old server, and
    /// one of another conversation, lead nowhere.
    pub(super) async fn place_of(
        &self,
        conversation: &Conversation,
        id: &MessageRef,
    ) -> Result<Place, Error> {
        let own = id.as_id();
        let known = own.and_then(|own| self.buffer.place_in_memory(own, conversation));
        if let Some(place) = known {
            return Ok(Place::At(place));
        }
        // As it is stored: what is on its way does not change a place.
        if let Some(message) = self.store.message(id).await? {
            let is_here = message.conversation() == *conversation;
            return is_here.then(|| Place::At(message.position())).ok_or_else(no_message);
        }
        self.place_of_absent(id).await
    }

    /// Where a message was that is not there any more; by an id of ours at least the second is
    /// known.
    pub(super) async fn place_of_absent(&self, id: &MessageRef) -> Result<Place, Error> {
        let id = id.as_id().ok_or_else(no_message)?;
        Ok(match self.store.sent_at(id).await? {
            Some(at) => Place::At((at, id)),
            None => Place::Within(Timestamp(id.0.timestamp().timestamp_millis())),
        })
    }

    /// A page that can't be marked (the buffer is full) is a page all the same.
    async fn mark_page_read(
        &self,
        viewer: &UserId,
        conversation: Conversation,
        page: &[Arc<Message>],
    ) {
        let unread = |m: &&Arc<Message>| m.from != *viewer && !m.read_by.contains(viewer);
        let Some(newest) = page.iter().find(unread) else { return };
        if let Conversation::Group(group) = conversation {
            self.note_reader(group, viewer, newest.position());
        }
        let is_large = self.is_large(&conversation).await.unwrap_or(false);
        let names = |m: &Message| !is_large || self.names(m, viewer);
        let op = Op::Read {
            conversation,
            messages: page.iter().filter(|m| unread(m) && names(m)).map(|m| m.id).collect(),
            reader: viewer.clone(),
            up_to: newest.position(),
        };
        if let Ok(receipt) = self.buffer.accept(op, None) {
            let _ = receipt.durable().await;
        }
    }
}

impl Place {
    /// The place before which to look. Messages of the same second come again rather than be
    /// skipped.
    pub(super) fn end(self) -> Position {
        match self {
            Self::At(place) => place,
            Self::Within(second) => {
                (Timestamp(second.as_millis() + 1_000), MessageId(ObjectId::from_bytes([0; 12])))
            }
        }
    }

    /// The place after which to look.
    pub(super) fn start(self) -> Position {
        match self {
            Self::At(place) => place,
            Self::Within(second) => just_before((second, MessageId(ObjectId::from_bytes([0; 12])))),
        }
    }
}

/// The place next to another one: no message can be between the two.
fn just_before((at, id): Position) -> Position {
    let mut bytes = id.0.bytes();
    for byte in bytes.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            return (at, MessageId(ObjectId::from_bytes(bytes)));
        }
    }
    (Timestamp(at.as_millis().saturating_sub(1)), MessageId(ObjectId::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(hex: &str) -> MessageId {
        MessageId::parse(hex).unwrap()
    }

    #[test]
    fn nothing_fits_between_a_place_and_the_one_just_before_it() {
        let zeros = "000000000000000000000000";
        for (place, before) in [
            ((7, "65f2c0ffee65f2c0ffee65f2"), (7, "65f2c0ffee65f2c0ffee65f1")),
            ((7, "65f2c0ffee65f2c0ff000000"), (7, "65f2c0ffee65f2c0feffffff")),
            ((7, zeros), (6, "ffffffffffffffffffffffff")),
        ] {
            let [place, before] = [place, before].map(|(at, hex)| (Timestamp(at), id(hex)));
            assert!(before < place);
            assert_eq!(just_before(place), before);
        }
    }

    #[test]
    fn a_place_within_a_second_leaves_none_of_it_out() {
        let place = Place::Within(Timestamp(5_000));
        for at in [5_000, 5_999] {
            for hex in ["000000000000000000000000", "ffffffffffffffffffffffff"] {
                let message = (Timestamp(at), id(hex));
                assert!(place.start() < message && message < place.end());
            }
        }
        assert!(place.start() > (Timestamp(4_999), id("fffffffffffffffffffffffe")));
        assert!(place.end() <= (Timestamp(6_000), id("000000000000000000000000")));
    }
}
