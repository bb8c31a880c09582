//! Who has read what.

use std::time::Duration;

use super::{Accepted, Chat};
use crate::error::Error;
use crate::model::{Audience, Event, MessageRef, Op, Position, Target, Unread, UserId};

/// How long what is asked of the store alone waits for the buffer to reach it; after that it may miss
/// what is still on its way.
pub(super) const FLUSH_WAIT: Duration = Duration::from_secs(2);

impl Chat {
    /// Marks a message as read by one of its recipients, and tells the group, or the sender of a
    /// direct message. The sender's own mark on a direct message changes nothing.
    pub async fn mark_read(&self, user: &UserId, id: &MessageRef) -> Result<Accepted<()>, Error> {
        let (_alone, mut message) = self.hold(id).await?;
        self.check_party(&message, user).await?;
        let audience = match &message.target {
            Target::Group(group) => Audience::Group(*group),
            Target::User(to) if to == user => Audience::Users(vec![message.from.clone()]),
            Target::User(_) => return Ok(Accepted::settled(())),
        };
        message.mark_read(user);
        let op = Op::Read {
            conversation: message.conversation(),
            messages: vec![message.id],
            reader: user.clone(),
            up_to: message.position(),
        };
        self.change(op, audience, Event::Read { message: message.id, read_by: message.read_by })
    }

    /// What a user has not read of all that was accepted before `until`; see [`Chat::place`].
    pub async fn unread(&self, user: &UserId, until: Position) -> Result<Unread, Error> {
        self.buffer.flushed(FLUSH_WAIT).await;
        Ok(self.store.unread(user, Some(until)).await?)
    }
}
