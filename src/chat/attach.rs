//! What users attach to messages: reactions, pins, earlier contents.

use tokio::sync::MutexGuard;

use super::{Accepted, Chat, no_message, not_a_member, parties};
use crate::error::Error;
use crate::model::{
    Conversation, Emoji, Event, Message, MessageRef, Op, Pin, Reaction, Revision, Timestamp, UserId,
};

/// Most reactions to one message: a row and an event carry them all.
const MAX_REACTIONS: usize = 1_000;

/// Most pinned messages of one conversation: they are listed at once.
const MAX_PINS: usize = 100;

impl Chat {
    /// Puts a user's emoji on a message, or takes it back, and tells all who see the message.
    /// Nobody is told where nothing changes.
    pub async fn react(
        &self,
        user: &UserId,
        id: &MessageRef,
        emoji: Emoji,
        on: bool,
    ) -> Result<Accepted<()>, Error> {
        let (_alone, mut message) = self.hold_seen(user, id).await?;
        if on {
            self.check_speaks(&message.target, user).await?;
        }
        let reaction = Reaction { user: user.clone(), emoji };
        if message.reactions.contains(&reaction) == on {
            return Ok(self.unchanged(&message));
        }
        if on && message.reactions.len() >= MAX_REACTIONS {
            let text = format!("A message may have {MAX_REACTIONS} reactions");
            return Err(Error::TooLarge(text.into()));
        }
        message.react(&reaction, on);
        let (conversation, to) = (message.conversation(), parties(&message));
        let op = Op::React { conversation, message: message.id, reaction, on };
        let event = Event::Reacted { message: message.id, reactions: message.reactions };
        self.change(op, to, event)
    }

    /// Pins a message in its conversation, or unpins it, and tells all who see it. Nobody is told
    /// where nothing changes.
    pub async fn pin(
        &self,
        user: &UserId,
        id: &MessageRef,
        pinned: bool,
    ) -> Result<Accepted<()>, Error> {
        let conversation = self.find(id).await?.conversation();
        // Pins of one conversation wait for each other: each counts the others.
        let _counts = self.pins.lock(&conversation).await;
        let (_alone, message) = self.hold_seen(user, id).await?;
        self.check_speaks(&message.target, user).await?;
        if message.pin.as_ref().is_some_and(|pin| pin.pinned) == pinned {
            return Ok(self.unchanged(&message));
        }
        if pinned && self.buffer.pin_count(&conversation, MAX_PINS).await? >= MAX_PINS {
            let text = format!("A conversation may have {MAX_PINS} pinned messages");
            return Err(Error::TooLarge(text.into()));
        }
        let at = pin_time(message.pin.as_ref(), self.now());
        let (pin, to) = (Pin { pinned, by: user.clone(), at }, parties(&message));
        let event = Event::Pinned { message: message.id, pin: pin.clone() };
        self.change(Op::Pin { conversation, message: message.id, pin }, to, event)
    }

    /// The pinned messages of a conversation that somebody sees, the latest pinned first; a group's
    /// only for its members.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for who is not in the group, [`Error::NotFound`] where there is no such
    /// group, [`Error::Unavailable`] while the store is away.
    pub async fn pins(
        &self,
        viewer: &UserId,
        conversation: &Conversation,
    ) -> Result<Vec<Message>, Error> {
        if let Conversation::Group(group) = conversation
            && !self.is_member(*group, viewer).await?
        {
            return Err(not_a_member());
        }
        let mut rows = self.buffer.pins(conversation, MAX_PINS).await?;
        rows.retain(|row| !row.is_hidden_for(viewer));
        Ok(rows)
    }

    /// A message, for who sees it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not there or hidden, or for who is no party of it,
    /// [`Error::Unavailable`] if the store is needed and away.
    pub async fn message(&self, viewer: &UserId, id: &MessageRef) -> Result<Message, Error> {
        let message = self.find(id).await?;
        self.check_sees(&message, viewer).await?;
        Ok(message)
    }

    /// What a message said before it was edited, the oldest first, for who sees it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not there or hidden, or for who is no party of it,
    /// [`Error::Unavailable`] if the store is needed and away.
    pub async fn revisions(
        &self,
        viewer: &UserId,
        id: &MessageRef,
    ) -> Result<Vec<Revision>, Error> {
        Ok(self.message(viewer, id).await?.revisions)
    }

    /// As [`Chat::hold`], for somebody who sees the message.
    async fn hold_seen(
        &self,
        user: &UserId,
        id: &MessageRef,
    ) -> Result<(MutexGuard<'_, ()>, Message), Error> {
        let (alone, message) = self.hold(id).await?;
        self.check_sees(&message, user).await?;
        Ok((alone, message))
    }

    /// Refuses who is no party of a message; to who has hidden it, it is not there.
    pub(super) async fn check_sees(&self, message: &Message, user: &UserId) -> Result<(), Error> {
        self.check_party(message, user).await?;
        if message.is_hidden_for(user) {
            return Err(no_message());
        }
        Ok(())
    }

    /// An act that leaves a message as it is, which is durable once what made it so is.
    fn unchanged(&self, message: &Message) -> Accepted<()> {
        let receipt = self.buffer.follow(message.id);
        Accepted { value: (), receipt, earlier: Vec::new() }
    }
}

/// When a word on a pin counts as said. Stores keep the later of two, so it must be later than the
/// last, also when the clock has stepped back.
fn pin_time(last: Option<&Pin>, now: Timestamp) -> Timestamp {
    last.map_or(now, |last| now.max(Timestamp(last.at.as_millis().saturating_add(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_on_a_pin_comes_after_the_last_whatever_the_clock_says() {
        let last = Pin { pinned: true, by: UserId::from_stored("ann"), at: Timestamp(7) };
        for (now, at) in [(5, 8), (7, 8), (8, 8), (9, 9)] {
            assert_eq!(pin_time(Some(&last), Timestamp(now)), Timestamp(at));
        }
        assert_eq!(pin_time(None, Timestamp(5)), Timestamp(5));
    }
}
