//! What users attach to messages: reactions and pins.

use tokio::sync::MutexGuard;

use super::{Accepted, Chat, parties};
use crate::error::Error;
use crate::model::{Emoji, Event, Message, MessageRef, Op, Reaction, UserId};

/// Most reactions to one message: a row and an event carry them all.
const MAX_REACTIONS: usize = 1_000;

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
            return Err(Error::NotFound("Message not found".into()));
        }
        Ok(())
    }

    /// An act that leaves a message as it is, which is durable once what made it so is.
    fn unchanged(&self, message: &Message) -> Accepted<()> {
        Accepted { value: (), receipt: self.buffer.follow(message.id) }
    }
}
