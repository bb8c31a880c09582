//! Sending.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::dedup::Sent;
use super::gate::Inside;
use super::{Accepted, Chat, not_a_member, parties};
use crate::error::Error;
use crate::model::{
    Dispatch, Draft, Event, GroupId, Message, MessageId, MessageRef, Op, Status, Target, UserId,
};

impl Chat {
    /// Sends a message: to a user, or to a group by one of its members. A media file of ours that
    /// it names must be there.
    ///
    /// A draft with a client id that the user has sent already is the same message: it is answered
    /// with, and nothing else happens.
    ///
    /// # Errors
    /// [`Error::RateLimited`] for who says the same too often or writes to too many strangers, and
    /// those of the rules.
    pub async fn send(&self, from: &UserId, draft: Draft) -> Result<Accepted<Arc<Message>>, Error> {
        self.check_size(draft.weight())?;
        let Some(client_id) = draft.client_id.clone() else {
            return self.send_new(from, draft, None).await;
        };
        let _alone = self.sends.lock(&(from, &client_id)).await;
        match self.sent_before(from, &client_id).await? {
            Sent::Before(first) => Ok(first),
            Sent::Never(claimed) => self.send_new(from, draft, claimed).await,
        }
    }

    /// Sends what was not sent before, under an id that was claimed for it.
    async fn send_new(
        &self,
        from: &UserId,
        draft: Draft,
        claimed: Option<MessageId>,
    ) -> Result<Accepted<Arc<Message>>, Error> {
        self.check_spam(from, &draft).await?;
        let accepted = self.accept_new(from, draft, claimed).await?;
        self.has_sent(&accepted.value);
        Ok(accepted)
    }

    async fn accept_new(
        &self,
        from: &UserId,
        draft: Draft,
        claimed: Option<MessageId>,
    ) -> Result<Accepted<Arc<Message>>, Error> {
        let _file_stays = match &draft.media_url {
            Some(url) => self.use_file(url).await?,
            None => None,
        };
        let mut draft = draft;
        if let Some(id) = &draft.reply_to {
            draft.reply_to = Some(self.root_of(from, &draft.target, id).await?.into());
        }
        let Target::Group(group) = draft.target else {
            if let Target::User(to) = &draft.target {
                self.learn_blocks(to).await;
            }
            return self.gate.enter(|inside| self.accept(inside, from, draft, claimed));
        };
        loop {
            self.gate.load(&*self.store, group).await?;
            let decided =
                self.gate.enter(|inside| match inside.standing(group, from, self.now()) {
                    Some(standing) => ControlFlow::Break(
                        standing
                            .check_speaking_member()
                            .and_then(|()| self.accept(inside, from, draft, claimed)),
                    ),
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

    /// Refuses who may not speak where a message is, or would be.
    pub(super) async fn check_speaks(&self, target: &Target, user: &UserId) -> Result<(), Error> {
        let Target::Group(group) = *target else { return Ok(()) };
        loop {
            self.gate.load(&*self.store, group).await?;
            let standing = self.gate.enter(|inside| inside.standing(group, user, self.now()));
            if let Some(standing) = standing {
                return standing.check_speaks();
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
        mut draft: Draft,
        claimed: Option<MessageId>,
    ) -> Result<Accepted<Arc<Message>>, Error> {
        let (id, timestamp) = match claimed {
            Some(id) => (id, inside.stamp().time_of(id, self.now())),
            None => inside.stamp().next(self.now()),
        };
        let read_by = match &draft.target {
            Target::Group(group) => {
                draft.mentions.retain(|user| inside.is_member(*group, user) == Some(true));
                vec![from.clone()]
            }
            Target::User(to) => {
                draft.mentions.retain(|user| user == from || user == to);
                Vec::new()
            }
        };
        let hidden_for = match &draft.target {
            Target::User(to) if self.blocks.has(to, from) => vec![to.clone()],
            _ => Vec::new(),
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
            deleted_for: hidden_for,
            edited_at: None,
            reply_to: draft.reply_to.as_ref().and_then(MessageRef::as_id),
            mentions: draft.mentions,
            reactions: Vec::new(),
            pin: None,
            revisions: Vec::new(),
        });
        let event = Dispatch { to: parties(&message), event: Event::Sent(Arc::clone(&message)) };
        let receipt = self.buffer.accept(Op::Send(Arc::clone(&message)), Some(event))?;
        Ok(Accepted::with(message, receipt))
    }
}
