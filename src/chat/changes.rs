//! Editing, deleting and hiding.

use tokio::sync::MutexGuard;

use super::{Accepted, Chat, parties};
use crate::error::Error;
use crate::model::{
    Audience, Content, Dispatch, Event, Message, MessageRef, Op, Target, Timestamp, UserId,
};

impl Chat {
    /// Changes what a message says; only its sender may.
    pub async fn edit(
        &self,
        user: &UserId,
        id: &MessageRef,
        content: Content,
    ) -> Result<Accepted<()>, Error> {
        self.check_size(content.weight())?;
        let (_alone, message) = self.hold(id).await?;
        self.check_sender(&message, user, "You can only edit your own messages").await?;
        self.check_speaks(&message.target, user).await?;
        let edited_at = edit_time(&message, &content, self.now());
        let event = Event::Edited { message: message.id, content: content.clone(), edited_at };
        let op = Op::Edit {
            conversation: message.conversation(),
            message: message.id,
            content,
            edited_at,
        };
        self.change(op, parties(&message), event)
    }

    /// Deletes a message for everyone; only its sender may.
    pub async fn delete_for_everyone(
        &self,
        user: &UserId,
        id: &MessageRef,
    ) -> Result<Accepted<()>, Error> {
        let (_alone, message) = self.hold(id).await?;
        let refusal = "You can only delete your own messages for everyone";
        self.check_sender(&message, user, refusal).await?;
        let at = self.now();
        let event = Event::Deleted {
            message: message.id,
            in_group: matches!(message.target, Target::Group(_)),
            deleted_at: at,
        };
        let op = Op::Delete { conversation: message.conversation(), message: message.id, at };
        let accepted = self.change(op, parties(&message), event)?;
        self.leave_file(&message);
        Ok(accepted)
    }

    /// Hides a message for one user, who must be one of those it was for.
    pub async fn delete_for_me(
        &self,
        user: &UserId,
        id: &MessageRef,
    ) -> Result<Accepted<()>, Error> {
        let (_alone, message) = self.hold(id).await?;
        self.check_party(&message, user).await?;
        let op = Op::Hide {
            conversation: message.conversation(),
            message: message.id,
            user: user.clone(),
        };
        let event = Event::Hidden { message: message.id };
        self.change(op, Audience::Users(vec![user.clone()]), event)
    }

    /// A message, and the right to be the only one who decides a change to it.
    pub(super) async fn hold(
        &self,
        id: &MessageRef,
    ) -> Result<(MutexGuard<'_, ()>, Message), Error> {
        let mut key = match id.as_id() {
            Some(key) => key,
            None => self.find(id).await?.id,
        };
        loop {
            let alone = self.locks.lock(&key).await;
            let message = self.find(id).await?;
            if message.id == key {
                return Ok((alone, message));
            }
            // Found by the old server's id: changes meet at the lock of its `_id`.
            key = message.id;
        }
    }

    /// Refuses who has not sent a message; who can't see it is told that it is not there.
    async fn check_sender(
        &self,
        message: &Message,
        user: &UserId,
        refusal: &'static str,
    ) -> Result<(), Error> {
        if message.from == *user {
            return Ok(());
        }
        self.check_party(message, user).await?;
        Err(Error::Forbidden(refusal.into()))
    }

    pub(super) fn change(&self, op: Op, to: Audience, event: Event) -> Result<Accepted<()>, Error> {
        let receipt = self.buffer.accept(op, Some(Dispatch { to, event }))?;
        Ok(Accepted::with((), receipt))
    }
}

/// When an edit counts as made. Stores keep the later of two edits, so it must be later than the
/// last, also when the clock has stepped back. One that says what the last one said is that one,
/// repeated.
fn edit_time(message: &Message, content: &Content, now: Timestamp) -> Timestamp {
    match message.edited_at {
        Some(last) if message.content == *content => last,
        Some(last) => now.max(Timestamp(last.as_millis().saturating_add(1))),
        None => now,
    }
}
