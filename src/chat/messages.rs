//! Sending.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::gate::Inside;
use super::{Accepted, Chat, not_a_member, parties};
use crate::error::Error;
use crate::model::{Dispatch, Draft, Event, GroupId, Message, Op, Status, Target, UserId};

impl Chat {
    /// Sends a message: to a user, or to a group by one of its members. A media file of ours that
    /// it names must be there.
    ///
    /// A draft with a client id that the user has sent already is the same message: it is answered
    /// with, and nothing else happens.
    pub async fn send(&self, from: &UserId, draft: Draft) -> Result<Accepted<Arc<Message>>, Error> {
        self.check_size(draft.weight())?;
        let Some(client_id) = draft.client_id.clone() else {
            return self.send_new(from, draft).await;
        };
        let _alone = self.sends.lock(&(from, &client_id)).await;
        if let Some(first) = self.sent_before(from, &client_id).await? {
            return Ok(first);
        }
        self.send_new(from, draft).await
    }

    async fn send_new(&self, from: &UserId, draft: Draft) -> Result<Accepted<Arc<Message>>, Error> {
        let accepted = self.accept_new(from, draft).await?;
        self.has_sent(&accepted.value);
        Ok(accepted)
    }

    async fn accept_new(
        &self,
        from: &UserId,
        draft: Draft,
    ) -> Result<Accepted<Arc<Message>>, Error> {
        if let Some(url) = &draft.media_url {
            self.media.check_url(url).await?;
        }
        let Target::Group(group) = draft.target else {
            return self.gate.enter(|inside| self.accept(inside, from, draft));
        };
        let mut draft = draft;
        loop {
            self.gate.load(&*self.store, group).await?;
            let decided = self.gate.enter(|inside| match inside.is_member(group, from) {
                Some(true) => ControlFlow::Break(self.accept(inside, from, draft)),
                Some(false) => ControlFlow::Break(Err(not_a_member())),
                None => ControlFlow::Continue(draft),
            });
            match decided {
                ControlFlow::Break(accepted) => return accepted,
                // The group has changed, or fallen out of memory, since it was loaded.
                ControlFlow::Continue(undecided) => draft = undecided,
            }
        }
    }

    /// Lets a member's socket into a group's room: `enter` runs at an instant at which the user is
    /// a member, so that a removal that follows finds the socket there.
    pub async fn join(&self, user: &UserId, group: GroupId, enter: impl Fn()) -> Result<(), Error> {
        loop {
            self.gate.load(&*self.store, group).await?;
            let member = self.gate.enter(|inside| {
                let member = inside.is_member(group, user);
                if member == Some(true) {
                    enter();
                }
                member
            });
            match member {
                Some(true) => return Ok(()),
                Some(false) => return Err(not_a_member()),
                None => {}
            }
        }
    }

    pub(super) async fn is_member(&self, group: GroupId, user: &UserId) -> Result<bool, Error> {
        Ok(self.gate.load(&*self.store, group).await?.contains(user))
    }

    pub(super) fn check_size(&self, bytes: usize) -> Result<(), Error> {
        let limit = self.config.max_content_size;
        if bytes <= limit as usize {
            return Ok(());
        }
        let text = format!("A message may hold {limit} bytes, this one has {bytes}");
        Err(Error::TooLarge(text.into()))
    }

    fn accept(
        &self,
        inside: &mut Inside<'_>,
        from: &UserId,
        draft: Draft,
    ) -> Result<Accepted<Arc<Message>>, Error> {
        let (id, timestamp) = inside.stamp(self.now());
        let read_by = match draft.target {
            Target::Group(_) => vec![from.clone()],
            Target::User(_) => Vec::new(),
        };
        let message = Arc::new(Message {
            id,
            old_id: None,
            client_id: draft.client_id,
            target: draft.target,
            from: from.clone(),
            content: draft.content,
            content_type: draft.content_type,
            media_url: draft.media_url,
            media_metadata: draft.media_metadata,
            timestamp,
            status: Status::Sent,
            read_by,
            deleted_for: Vec::new(),
            edited_at: None,
            reply_to: None,
            mentions: draft.mentions,
            reactions: Vec::new(),
            pin: None,
            revisions: Vec::new(),
        });
        let event = Dispatch { to: parties(&message), event: Event::Sent(Arc::clone(&message)) };
        let receipt = self.buffer.accept(Op::Send(Arc::clone(&message)), Some(event))?;
        Ok(Accepted { value: message, receipt: Some(receipt) })
    }
}
