//! Invitations: links that let whoever has them into a group.

use std::time::Duration;

use super::Chat;
use super::groups::no_group;
use crate::error::Error;
use crate::model::{GroupId, GroupSummary, Invitation, Role, Timestamp, Token, UserId};

/// Invitations of a group that work at the same time.
const MAX_INVITATIONS: usize = 100;

impl Chat {
    /// How long an invitation works where nothing else is said.
    pub const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);

    /// Makes an invitation into a group; its owner and its admins may.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for one too many, [`Error::Forbidden`], [`Error::NotFound`].
    pub async fn invite(
        &self,
        group: GroupId,
        by: &UserId,
        life: Duration,
        max_uses: Option<u32>,
    ) -> Result<Invitation, Error> {
        let _alone = self.gate.change(group).await;
        self.led_by(group, by, Role::Admin).await?;
        let now = self.now();
        if self.store.invitations(group, now, MAX_INVITATIONS).await?.len() >= MAX_INVITATIONS {
            let text = format!("A group may have {MAX_INVITATIONS} invitations: end one of them");
            return Err(Error::TooLarge(text.into()));
        }
        let life = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        let invitation = Invitation {
            token: Token::mint().map_err(|error| Error::Internal(error.into()))?,
            group,
            created_by: by.clone(),
            created_at: now,
            expires_at: Timestamp(now.as_millis().saturating_add(life)),
            max_uses,
            uses: 0,
        };
        self.store.create_invitation(&invitation).await?;
        Ok(invitation)
    }

    /// The invitations into a group that work, the newest first, for who may make them.
    pub async fn invitations(&self, group: GroupId, by: &UserId) -> Result<Vec<Invitation>, Error> {
        let _alone = self.gate.change(group).await;
        self.led_by(group, by, Role::Admin).await?;
        Ok(self.store.invitations(group, self.now(), MAX_INVITATIONS).await?)
    }

    /// Ends an invitation into a group; its owner and its admins may.
    ///
    /// # Errors
    /// [`Error::NotFound`] for one that is none into this group, [`Error::Forbidden`].
    pub async fn end_invitation(
        &self,
        group: GroupId,
        by: &UserId,
        token: &Token,
    ) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
        self.led_by(group, by, Role::Admin).await?;
        let found = self.store.invitation(token).await?;
        found.filter(|found| found.group == group).ok_or_else(no_invitation)?;
        Ok(self.store.end_invitation(token, self.now()).await?)
    }

    /// An invitation that works, and where it leads; whoever has the link may ask.
    ///
    /// # Errors
    /// [`Error::Gone`] for one that works no longer, [`Error::NotFound`].
    pub async fn invitation(&self, token: &Token) -> Result<(Invitation, GroupSummary), Error> {
        let invitation = self.working(token).await?;
        let summary = self.store.group_summary(invitation.group, 0).await?;
        Ok((invitation, summary.ok_or_else(no_group)?))
    }

    /// Lets a user in who has the link, and tells all members. A member is in already, and uses
    /// nothing up.
    ///
    /// # Errors
    /// [`Error::Gone`] for an invitation that works no longer, [`Error::TooLarge`] where the group
    /// is full, [`Error::NotFound`].
    pub async fn accept_invitation(
        &self,
        token: &Token,
        user: &UserId,
    ) -> Result<GroupSummary, Error> {
        let group = self.working(token).await?.group;
        let _alone = self.gate.change(group).await;
        let found = self.group_head(group).await?;
        if !self.members(group).await?.contains(user) {
            self.check_room(group).await?;
            if !self.store.use_invitation(token, self.now()).await? {
                return Err(gone());
            }
            self.admit(&found, user, "joined").await?;
        }
        self.shown_group(group).await
    }

    async fn working(&self, token: &Token) -> Result<Invitation, Error> {
        let found = self.store.invitation(token).await?.ok_or_else(no_invitation)?;
        if found.works_at(self.now()) { Ok(found) } else { Err(gone()) }
    }
}

fn no_invitation() -> Error {
    Error::NotFound("Invitation not found".into())
}

fn gone() -> Error {
    Error::Gone("This invitation does not work any more; ask for another one".into())
}
