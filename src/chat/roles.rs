//! Who may do what in a group: its name, its owner and admins, and who may not speak.

use super::Chat;
use super::groups::{group_name, no_group, not_among_members};
use crate::cluster::News;
use crate::error::Error;
use crate::model::{
    Group, GroupChange, GroupId, GroupNotice, GroupSummary, Happened, Role, Timestamp, Until,
    UserId,
};

/// Most admins of a group, its owner not counted.
const MAX_ADMINS: usize = 100;
/// Most users who may not speak in a group.
const MAX_SILENCED: usize = 1_000;

impl Chat {
    /// Gives a group another name; its owner and its admins may.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no name, [`Error::Forbidden`], [`Error::NotFound`].
    pub async fn rename_group(
        &self,
        group: GroupId,
        by: &UserId,
        name: &str,
    ) -> Result<GroupSummary, Error> {
        let name = group_name(name)?;
        let _alone = self.gate.change(group).await;
        let found = self.led_by(group, by, Role::Admin).await?;
        if found.name == name {
            return self.shown_group(group).await;
        }
        let notice = GroupNotice {
            group,
            text: format!("{by} has renamed the group to: {name}"),
            at: self.now(),
            what: Happened::Renamed(name.clone()),
            user: None,
            by: Some(by.clone()),
        };
        self.make(group, GroupChange::Name(name), notice).await
    }

    /// Gives a member another role; the group's owner may. Who becomes the owner gets the group,
    /// and the former owner, if a member, stays as an admin.
    ///
    /// # Errors
    /// [`Error::NotFound`] for who is no member, [`Error::Invalid`] where the owner would be no
    /// longer, [`Error::TooLarge`] for one admin too many, [`Error::Forbidden`].
    pub async fn give_role(
        &self,
        group: GroupId,
        by: &UserId,
        user: &UserId,
        role: Role,
    ) -> Result<GroupSummary, Error> {
        let _alone = self.gate.change(group).await;
        let found = self.led_by(group, by, Role::Owner).await?;
        let members = self.members(group).await?;
        let had = found.role(user, members.contains(user)).ok_or_else(not_among_members)?;
        if had == role {
            return self.shown_group(group).await;
        }
        if had == Role::Owner {
            let text = "A group has an owner: give that role to another member instead";
            return Err(Error::Invalid(text.into()));
        }
        if role == Role::Admin && found.admins.len() >= MAX_ADMINS {
            return Err(Error::TooLarge(format!("A group may have {MAX_ADMINS} admins").into()));
        }
        let (change, what, text) = if role == Role::Owner {
            let former = members.contains(&found.owner).then(|| found.owner.clone());
            let change = GroupChange::Owner { user: user.clone(), former };
            (change, Happened::OwnerChanged, format!("The group belongs to {user} now"))
        } else {
            let is_admin = role == Role::Admin;
            let text = format!("{user} is {} of the group now", article(role));
            let change = GroupChange::Admin { user: user.clone(), is_admin };
            (change, Happened::RoleChanged(role), text)
        };
        drop(members);
        let notice = self.news_of(group, text, what, user, Some(by));
        self.make(group, change, notice).await
    }

    /// Lets a user not speak in a group, for a time or for good, or speak again. Its owner may
    /// silence anybody else, its admins plain members; also who has left, and may come back.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a time that is over, [`Error::NotFound`] for a stranger,
    /// [`Error::TooLarge`] for one too many, [`Error::Forbidden`].
    pub async fn silence(
        &self,
        group: GroupId,
        by: &UserId,
        user: &UserId,
        until: Option<Until>,
    ) -> Result<GroupSummary, Error> {
        let now = self.now();
        check_ahead(until, now)?;
        let _alone = self.gate.change(group).await;
        let found = self.led_by(group, by, Role::Admin).await?;
        let members = self.members(group).await?;
        let may = found.role(by, members.contains(by));
        let theirs = found.role(user, members.contains(user));
        drop(members);
        if theirs == Some(Role::Owner) || theirs >= may {
            return Err(Error::Forbidden("Only those below you can be silenced".into()));
        }
        let silence = found.silence_of(user, now);
        if silence == until {
            return self.shown_group(group).await;
        }
        if silence.is_none() && until.is_some() {
            theirs.ok_or_else(not_among_members)?;
            if found.silenced.len() >= MAX_SILENCED {
                let text = format!("{MAX_SILENCED} users may be silenced in a group");
                return Err(Error::TooLarge(text.into()));
            }
        }
        let (what, text) = match until {
            Some(until) => (Happened::Silenced(until), format!("{user} may not speak for now")),
            None => (Happened::Unsilenced, format!("{user} may speak again")),
        };
        let notice = self.news_of(group, text, what, user, Some(by));
        let change = GroupChange::Silence { user: user.clone(), until, now };
        self.make(group, change, notice).await
    }

    /// A group without its members, for who has at least this role in it.
    pub(super) async fn led_by(
        &self,
        group: GroupId,
        by: &UserId,
        least: Role,
    ) -> Result<Group, Error> {
        let found = self.group_head(group).await?;
        let role = found.role(by, self.members(group).await?.contains(by));
        if role >= Some(least) {
            return Ok(found);
        }
        let text = match least {
            Role::Owner => "Only the group's owner may do that",
            Role::Admin | Role::Member => "Only the group's owner and admins may do that",
        };
        Err(Error::Forbidden(text.into()))
    }

    /// Makes a change, for whoever holds [`super::gate::Gate::change`], and tells all members. The
    /// answer is the group as it is then.
    pub(super) async fn make(
        &self,
        group: GroupId,
        change: GroupChange,
        notice: GroupNotice,
    ) -> Result<GroupSummary, Error> {
        let made = self.store.change_group(group, &change).await;
        let changed = match made {
            Ok(true) => self.shown_group(group).await,
            Ok(false) => Err(no_group()),
            Err(error) => Err(error.into()),
        };
        self.gate.enter(|inside| match &changed {
            Ok(changed) => inside.set_silenced(group, changed.group.silenced.clone()),
            // Nobody knows what became of it.
            Err(_) => inside.forget(group),
        });
        self.cluster.publish(News::Group(group));
        let changed = changed?;
        let here = self.watch.here_of(&*self.members(group).await?);
        self.tell(here, notice).await;
        Ok(changed)
    }

    /// A group as new routes answer it: with its first members.
    pub(super) async fn shown_group(&self, group: GroupId) -> Result<GroupSummary, Error> {
        let found = self.store.group_summary(group, GroupSummary::MEMBERS_SHOWN).await?;
        found.ok_or_else(no_group)
    }
}

/// Refuses a time that is over.
pub(super) fn check_ahead(until: Option<Until>, now: Timestamp) -> Result<(), Error> {
    if until.is_none_or(|until| until.holds_at(now)) {
        return Ok(());
    }
    Err(Error::Invalid("The time given in `until` is over".into()))
}

fn article(role: Role) -> &'static str {
    match role {
        Role::Admin => "an admin",
        Role::Member => "a plain member",
        Role::Owner => "the owner",
    }
}
