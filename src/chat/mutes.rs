//! Groups that a user does not want to be alerted of.

use super::roles::check_ahead;
use super::{Chat, not_a_member};
use crate::error::Error;
use crate::model::{GroupId, Happened, Until, UserId};

/// Most muted groups of a user that are looked at.
const MAX_MUTES: usize = 1_000;

impl Chat {
    /// A user mutes a group, for a time or for good, or does so no longer; the user's own sockets
    /// are told.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a time that is over, [`Error::NotFound`] where there is no such
    /// group, [`Error::Forbidden`] for who is not in it.
    pub async fn mute(
        &self,
        group: GroupId,
        user: &UserId,
        until: Option<Until>,
    ) -> Result<(), Error> {
        check_ahead(until, self.now())?;
        let found = self.group_head(group).await?;
        if !self.is_member(group, user).await? {
            return Err(not_a_member());
        }
        self.store.mute(user, group, until).await?;
        let (what, text) = match until {
            Some(until) => (Happened::Muted(until), "You have muted group"),
            None => (Happened::Unmuted, "You have unmuted group"),
        };
        let text = format!("{text}: {}", found.name);
        let notice = self.news_of(group, text, what, user, Some(user));
        self.tell(vec![user.clone()], notice).await;
        Ok(())
    }

    /// The groups that a user has muted now, and until when.
    pub(super) async fn muted_by(&self, user: &UserId) -> Result<Vec<(GroupId, Until)>, Error> {
        let now = self.now();
        let mut mutes = self.store.mutes(user, MAX_MUTES).await?;
        mutes.retain(|(_, until)| until.holds_at(now));
        Ok(mutes)
    }
}
