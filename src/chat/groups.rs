//! Groups and who is in them. Groups are written to the store directly, so they need it to answer.

use std::sync::Arc;

use super::Chat;
use super::gate::Members;
use crate::cluster::{Member, News};
use crate::error::Error;
use crate::model::{
    Audience, Dispatch, Event, Group, GroupId, GroupNotice, Happened, Op, Role, Target, UserId,
};
use crate::store::{self, MembershipChange};

/// Longest name of a group, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Most groups that one request lists.
const MAX_GROUPS_LISTED: usize = 1_000;

impl Chat {
    /// Makes a group, which everybody may join where it is public, and tells its members. One who is
    /// named twice is a member once.
    pub async fn create_group(
        &self,
        name: &str,
        members: Vec<UserId>,
        created_by: UserId,
        is_public: bool,
    ) -> Result<Group, Error> {
        let group = Group {
            id: GroupId::mint(),
            name: group_name(name)?,
            members: self.unique(members)?,
            owner: created_by.clone(),
            created_by,
            created_at: self.now(),
            admins: Vec::new(),
            silenced: Vec::new(),
            is_public,
        };
        self.store.create_group(&group).await?;
        self.regroup(group.id, Vec::new(), group.members.clone());
        let notice = GroupNotice {
            group: group.id,
            text: format!("You have been added to group: {}", group.name),
            at: group.created_at,
            what: Happened::MemberAdded,
            user: None,
            by: Some(group.created_by.clone()),
        };
        let here = self.watch.here_of(&group.members.iter().cloned().collect());
        self.notify(Audience::Users(here), Event::GroupNotice(notice)).await;
        Ok(group)
    }

    fn unique(&self, members: Vec<UserId>) -> Result<Vec<UserId>, Error> {
        let mut seen = std::collections::HashSet::with_capacity(members.len());
        let members: Vec<_> =
            members.into_iter().filter(|member| seen.insert(member.clone())).collect();
        let limit = self.config.max_group_members as usize;
        if members.len() > limit {
            return Err(too_many_members(limit));
        }
        Ok(members)
    }

    /// The groups a user is in, newest first.
    pub async fn groups_of(&self, user: &UserId) -> Result<Vec<Group>, Error> {
        Ok(self.store.groups_of(user, MAX_GROUPS_LISTED).await?)
    }

    /// Groups whose name contains a text, in any case: of those that `viewer` is in or that are public,
    /// or of all, where nobody knows who asks. `NotFound` when there is none.
    pub async fn search_groups(
        &self,
        text: &str,
        viewer: Option<&UserId>,
    ) -> Result<Vec<Group>, Error> {
        let found = self.store.search_groups(text, viewer, MAX_GROUPS_LISTED).await?;
        if found.is_empty() { Err(Error::NotFound("No groups found".into())) } else { Ok(found) }
    }

    /// Makes a user a member and tells all members. One who is a member already stays one. Owner and
    /// admins may; and everybody, where nobody knows who asks.
    pub async fn add_member(
        &self,
        group: GroupId,
        user: &UserId,
        by: Option<&UserId>,
    ) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
        let found = self.led_by_known(group, by, Role::Admin).await?;
        // The store has the last word: what is in memory may be what was before another server's change.
        if !self.members(group).await?.contains(user) {
            self.check_room(group).await?;
        }
        self.admit(&found, user, "been added to").await
    }

    /// Refuses where a group has as many members as it may.
    pub(super) async fn check_room(&self, group: GroupId) -> Result<(), Error> {
        let limit = self.config.max_group_members as usize;
        let is_full = self.members(group).await?.len() >= limit;
        if is_full { Err(too_many_members(limit)) } else { Ok(()) }
    }

    /// Makes a user a member, for whoever holds [`super::gate::Gate::change`]. `has` says to the
    /// others how.
    pub(super) async fn admit(&self, group: &Group, user: &UserId, has: &str) -> Result<(), Error> {
        let members = self.members(group.id).await?;
        let before = self.watch.if_small(&members);
        // What the gate alone holds, it changes in place.
        drop(members);
        let change = self.store.add_member(group.id, user).await;
        let members = self.note_member(group.id, user, &change, true);
        match change? {
            MembershipChange::NoGroup => return Err(no_group()),
            MembershipChange::Unchanged => return Ok(()),
            MembershipChange::Changed => {}
        }
        if let Some(before) = before {
            let after: Vec<_> = before.iter().chain([user]).cloned().collect();
            self.regroup(group.id, before, after);
        }
        let to_user = format!("You have been added to group: {}", group.name);
        let told = |text| self.news_of(group.id, text, Happened::MemberAdded, user, None);
        self.tell(vec![user.clone()], told(to_user)).await;
        let others = self.others_here(group.id, members, user).await;
        self.tell(others, told(format!("{user} has {has} the group"))).await;
        Ok(())
    }

    /// Takes a user out of a group: by its owner, by an admin who is above the user, or by the
    /// user, who leaves. The owner stays. The user's sockets leave the group's room; those who
    /// stay, and the user, are told.
    pub async fn remove_member(
        &self,
        group: GroupId,
        user: &UserId,
        by: &UserId,
    ) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
        let found = self.group_head(group).await?;
        let members = self.members(group).await?;
        if by != user {
            let above = found.role(user, true).max(Some(Role::Member));
            let may = found.role(by, members.contains(by));
            if may < Some(Role::Admin) || (may < Some(Role::Owner) && may <= above) {
                let text =
                    "Only the group's owner, and admins for plain members, can remove members";
                return Err(Error::Forbidden(text.into()));
            }
        }
        if *user == found.owner {
            let text = "The group's owner can't leave it: hand the group over first, or delete it";
            return Err(Error::Invalid(text.into()));
        }
        let before = self.watch.if_small(&members);
        // What the gate alone holds, it changes in place.
        drop(members);
        let change = self.store.remove_member(group, user).await;
        let stay = self.note_member(group, user, &change, false);
        if change? != MembershipChange::Changed {
            return Err(not_among_members());
        }
        self.stop_typing(user, &Target::Group(group));
        self.notify(Audience::Users(vec![user.clone()]), Event::Left { group }).await;
        let (what, you, they) = if user == by {
            (Happened::MemberLeft, "left", "left the group")
        } else {
            (Happened::MemberRemoved, "been removed from", "been removed from the group")
        };
        let told = |text| self.news_of(group, text, what.clone(), user, Some(by));
        let to_user = told(format!("You have {you} group: {}", found.name));
        self.tell(vec![user.clone()], to_user).await;
        if let Some(before) = before {
            let after: Vec<_> = before.iter().filter(|member| *member != user).cloned().collect();
            self.regroup(group, before, after);
        }
        let stay = self.others_here(group, stay, user).await;
        self.tell(stay, told(format!("{user} has {they}"))).await;
        Ok(())
    }

    /// Who is in a group, for whoever holds [`super::gate::Gate::change`].
    pub(super) async fn members(&self, group: GroupId) -> Result<Arc<Members>, Error> {
        self.gate.load_alone(&*self.store, group).await
    }

    /// Those members of a group who have a socket, one left out. Where `members` have fallen out of
    /// memory and can't be had again, nobody: a notice that is missed is no harm.
    async fn others_here(
        &self,
        group: GroupId,
        members: Option<Arc<Members>>,
        except: &UserId,
    ) -> Vec<UserId> {
        let members = match members {
            Some(members) => Ok(members),
            None => self.members(group).await,
        };
        let mut here = members.map(|members| self.watch.here_of(&members)).unwrap_or_default();
        here.retain(|user| user != except);
        here
    }

    /// What happened to a user in a group, now.
    pub(super) fn news_of(
        &self,
        group: GroupId,
        text: String,
        what: Happened,
        user: &UserId,
        by: Option<&UserId>,
    ) -> GroupNotice {
        let (user, by) = (Some(user.clone()), by.cloned());
        GroupNotice { group, text, at: self.now(), what, user, by }
    }

    pub(super) async fn tell(&self, to: Vec<UserId>, notice: GroupNotice) {
        self.notify(Audience::Users(to), Event::GroupNotice(notice)).await;
    }

    /// Notes at the gate what has become of a change of members: from here on it counts. Who is in
    /// the group now, where that is in memory.
    fn note_member(
        &self,
        group: GroupId,
        user: &UserId,
        change: &store::Result<MembershipChange>,
        is_member: bool,
    ) -> Option<Arc<Members>> {
        let is_known = matches!(change, Ok(change) if *change != MembershipChange::NoGroup);
        if is_known {
            let now = self.gate.enter(|inside| inside.set_member(group, user, is_member));
            self.cluster.publish(News::Member(Member { group, user: user.clone(), is_member }));
            now
        } else {
            self.gate.enter(|inside| inside.forget(group));
            self.cluster.publish(News::Group(group));
            None
        }
    }

    /// A group's members have changed from these to those; it is new or gone where one is empty.
    fn regroup(&self, group: GroupId, before: Vec<UserId>, after: Vec<UserId>) {
        self.watch.regroup(group, &before, &after);
        self.cluster.publish(News::Regrouped { group, before, after });
    }

    /// Deletes a group and all its messages; its room is left empty. Its owner may; and everybody,
    /// where nobody knows who asks.
    pub async fn delete_group(&self, group: GroupId, by: Option<&UserId>) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
        self.led_by_known(group, by, Role::Owner).await?;
        let found = self.stored_group(group).await?;
        // From here on a send loads the group first, and so waits until it is gone from the store:
        // no message can follow the purge.
        let receipt = self.gate.enter(|inside| {
            inside.forget(group);
            let emptied = Dispatch { to: Audience::Group(group), event: Event::Left { group } };
            self.buffer.accept(Op::PurgeGroup(group), Some(emptied))
        })?;
        receipt.durable().await?;
        let was_there = self.store.delete_group(group).await?;
        self.cluster.publish(News::Group(group));
        self.regroup(group, found.members, Vec::new());
        if was_there { Ok(()) } else { Err(no_group()) }
    }

    /// As [`Chat::led_by`]; where nobody knows who asks, everybody leads every group.
    async fn led_by_known(
        &self,
        group: GroupId,
        by: Option<&UserId>,
        least: Role,
    ) -> Result<Group, Error> {
        match by {
            Some(by) => self.led_by(group, by, least).await,
            None => self.group_head(group).await,
        }
    }

    pub(super) async fn stored_group(&self, group: GroupId) -> Result<Group, Error> {
        self.store.group(group).await?.ok_or_else(no_group)
    }

    /// A group without its members.
    pub(super) async fn group_head(&self, group: GroupId) -> Result<Group, Error> {
        self.store.group_head(group).await?.ok_or_else(no_group)
    }
}

/// A group's name as it is kept.
pub(super) fn group_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let text =
            format!("A group's name is 1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(Error::Invalid(text.into()));
    }
    Ok(name.to_owned())
}

pub(super) fn no_group() -> Error {
    Error::NotFound("Group not found".into())
}

pub(super) fn not_among_members() -> Error {
    Error::NotFound("The user is not a member of this group".into())
}

fn too_many_members(limit: usize) -> Error {
    Error::TooLarge(format!("A group has {limit} members at the most").into())
}
