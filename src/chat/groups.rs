//! Groups and who is in them. Groups are written to the store directly, so they need it to answer.

use std::sync::Arc;

use super::Chat;
use super::gate::Members;
use crate::error::Error;
use crate::model::{Audience, Dispatch, Event, Group, GroupId, Op, Target, Timestamp, UserId};
use crate::store::{self, MembershipChange};

/// Longest name of a group, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Most groups that one request lists.
const MAX_GROUPS_LISTED: usize = 1_000;

impl Chat {
    /// Makes a group and tells its members. A member who is named twice is a member once.
    pub async fn create_group(
        &self,
        name: &str,
        members: Vec<UserId>,
        created_by: UserId,
    ) -> Result<Group, Error> {
        let name = name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let text =
                format!("A group's name is 1 to {MAX_NAME_BYTES} bytes without control characters");
            return Err(Error::Invalid(text.into()));
        }
        let group = Group {
            id: GroupId::mint(),
            name: name.to_owned(),
            members: self.unique(members)?,
            created_by,
            created_at: self.now(),
        };
        self.store.create_group(&group).await?;
        self.watch.regroup(group.id, &[], &group.members);
        let text = format!("You have been added to group: {}", group.name);
        let here = self.watch.here_of(&group.members.iter().cloned().collect());
        self.notice(here, group.id, text, group.created_at).await;
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

    /// Groups whose name contains a text, in any case; `NotFound` when there is none.
    pub async fn search_groups(&self, text: &str) -> Result<Vec<Group>, Error> {
        let found = self.store.search_groups(text, MAX_GROUPS_LISTED).await?;
        if found.is_empty() { Err(Error::NotFound("No groups found".into())) } else { Ok(found) }
    }

    /// Makes a user a member and tells that user. One who is a member already stays one.
    pub async fn add_member(&self, group: GroupId, user: &UserId) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
        let found = self.group_head(group).await?;
        let members = self.gate.load_alone(&*self.store, group).await?;
        let limit = self.config.max_group_members as usize;
        if members.len() >= limit && !members.contains(user) {
            return Err(too_many_members(limit));
        }
        let before = self.watch.if_small(&members);
        // What the gate alone holds, it changes in place.
        drop(members);
        let change = self.store.add_member(group, user).await;
        self.note_member(group, user, &change, true);
        match change? {
            MembershipChange::NoGroup => Err(no_group()),
            MembershipChange::Unchanged => Ok(()),
            MembershipChange::Changed => {
                if let Some(before) = before {
                    let after: Vec<_> = before.iter().chain([user]).cloned().collect();
                    self.watch.regroup(group, &before, &after);
                }
                let text = format!("You have been added to group: {}", found.name);
                self.notice(vec![user.clone()], group, text, self.now()).await;
                Ok(())
            }
        }
    }

    /// Takes a user out of a group: by its creator, or by the user, who leaves. The creator stays.
    /// The user's sockets leave the group's room; those who stay, and the user, are told.
    pub async fn remove_member(
        &self,
        group: GroupId,
        user: &UserId,
        by: &UserId,
    ) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
        let found = self.group_head(group).await?;
        if *by != found.created_by && by != user {
            return Err(Error::Forbidden("Only the group's creator can remove members".into()));
        }
        if *user == found.created_by {
            return Err(Error::Invalid("The group's creator can't leave the group".into()));
        }
        let before = self.watch.if_small(&*self.gate.load_alone(&*self.store, group).await?);
        let change = self.store.remove_member(group, user).await;
        let stay = self.note_member(group, user, &change, false);
        if change? != MembershipChange::Changed {
            return Err(Error::NotFound("The user is not a member of this group".into()));
        }
        self.stop_typing(user, &Target::Group(group));
        self.tell_removed(&found, user, by).await;
        if let Some(before) = before {
            let after: Vec<_> = before.iter().filter(|member| *member != user).cloned().collect();
            self.watch.regroup(group, &before, &after);
        }
        // It may have fallen out of memory meanwhile.
        let stay = match stay {
            Some(stay) => Ok(stay),
            None => self.gate.load_alone(&*self.store, group).await,
        };
        if let Ok(stay) = stay {
            let text = if user == by { "left" } else { "been removed from" };
            let text = format!("{user} has {text} the group");
            self.notice(self.watch.here_of(&stay), group, text, self.now()).await;
        }
        Ok(())
    }

    async fn tell_removed(&self, group: &Group, user: &UserId, by: &UserId) {
        self.notify(Audience::Users(vec![user.clone()]), Event::Left { group: group.id }).await;
        let text = if user == by { "left group" } else { "been removed from group" };
        let text = format!("You have {text}: {}", group.name);
        self.notice(vec![user.clone()], group.id, text, self.now()).await;
    }

    /// Notes at the gate what has become of a change of members: from here on it counts. Who is in the
    /// group now, where that is in memory.
    fn note_member(
        &self,
        group: GroupId,
        user: &UserId,
        change: &store::Result<MembershipChange>,
        is_member: bool,
    ) -> Option<Arc<Members>> {
        self.gate.enter(|inside| match change {
            Ok(MembershipChange::Changed | MembershipChange::Unchanged) => {
                inside.set_member(group, user, is_member)
            }
            Ok(MembershipChange::NoGroup) | Err(_) => {
                inside.forget(group);
                None
            }
        })
    }

    /// Deletes a group and all its messages; its room is left empty.
    pub async fn delete_group(&self, group: GroupId) -> Result<(), Error> {
        let _alone = self.gate.change(group).await;
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
        self.watch.regroup(group, &found.members, &[]);
        if was_there { Ok(()) } else { Err(no_group()) }
    }

    async fn stored_group(&self, group: GroupId) -> Result<Group, Error> {
        self.store.group(group).await?.ok_or_else(no_group)
    }

    async fn group_head(&self, group: GroupId) -> Result<Group, Error> {
        self.store.group_head(group).await?.ok_or_else(no_group)
    }

    async fn notice(&self, to: Vec<UserId>, group: GroupId, text: String, at: Timestamp) {
        self.notify(Audience::Users(to), Event::GroupNotice { group, text, at }).await;
    }
}

fn no_group() -> Error {
    Error::NotFound("Group not found".into())
}

fn too_many_members(limit: usize) -> Error {
    Error::TooLarge(format!("A group has {limit} members at the most").into())
}
