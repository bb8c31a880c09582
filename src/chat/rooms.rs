//! Rooms: groups that can be found, and joined without an invitation, where they are public.

use super::groups::no_group;
use super::{Chat, not_a_member};
use crate::error::Error;
use crate::model::{
    Group, GroupChange, GroupId, GroupNotice, GroupSummary, Happened, Presence, Role, Room, UserId,
};

/// A member of a room, and what the member is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMember {
    /// What the member is.
    pub role: Role,
    /// Who, and whether they are here.
    pub presence: Presence,
}

impl Chat {
    /// Most rooms and members of a page.
    pub const MAX_ROOMS: usize = 200;

    /// The rooms that a user may see, newest first: public ones and those that the user is in; those
    /// made before one of them, where that is given.
    ///
    /// # Errors
    /// [`Error::NotFound`] where that one is not there, [`Error::Unavailable`].
    pub async fn rooms(
        &self,
        viewer: &UserId,
        before: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<Room>, Error> {
        let before = match before {
            Some(room) => Some((self.group_head(room).await?.created_at, room)),
            None => None,
        };
        Ok(self.store.rooms(viewer, before, limit).await?)
    }

    /// One room, for who may see it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a private one that the user is not in, [`Error::NotFound`].
    pub async fn room(&self, room: GroupId, viewer: &UserId) -> Result<Room, Error> {
        let summary = self.store.group_summary(room, 0).await?.ok_or_else(no_group)?;
        let GroupSummary { group, member_count } = summary;
        let is_member = self.is_member(room, viewer).await?;
        if group.is_public || is_member {
            return Ok(Room { group, member_count, is_member });
        }
        Err(not_a_member())
    }

    /// Lets a user into a public room and tells all members. A member is in already.
    ///
    /// # Errors
    /// [`Error::Forbidden`] where the room is private, [`Error::TooLarge`] where it is full,
    /// [`Error::NotFound`].
    pub async fn join_room(&self, room: GroupId, user: &UserId) -> Result<(), Error> {
        let _alone = self.gate.change(room).await;
        let found = self.group_head(room).await?;
        if self.members(room).await?.contains(user) {
            return Ok(());
        }
        if !found.is_public {
            return Err(Error::Forbidden("This room is private: ask for an invitation".into()));
        }
        self.check_room(room).await?;
        self.admit(&found, user, "joined").await
    }

    /// Members of a room in the order in which they came, for who may see it; those behind one of
    /// them, where that is given.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a private room that the user is not in, [`Error::NotFound`], also
    /// where that one is no member.
    pub async fn room_members(
        &self,
        room: GroupId,
        viewer: &UserId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<RoomMember>, Error> {
        self.room(room, viewer).await?;
        let group = self.stored_group(room).await?;
        let start = match after {
            None => 0,
            Some(after) => {
                let place = group.members.iter().position(|member| member == after);
                place.ok_or_else(super::groups::not_among_members)? + 1
            }
        };
        let page: Vec<_> = group.members.iter().skip(start).take(limit).cloned().collect();
        let found = self.presence(&page, Some(viewer)).await;
        let role = |user: &UserId| group.role(user, true).unwrap_or(Role::Member);
        let member = |presence: Presence| RoomMember { role: role(&presence.user), presence };
        Ok(found.into_iter().map(member).collect())
    }

    /// Makes a group public or private; its owner may. All members are told.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`].
    pub async fn set_public(
        &self,
        group: GroupId,
        by: &UserId,
        is_public: bool,
    ) -> Result<GroupSummary, Error> {
        let _alone = self.gate.change(group).await;
        let found = self.led_by(group, by, Role::Owner).await?;
        if found.is_public == is_public {
            return self.shown_group(group).await;
        }
        let notice = self.visibility_notice(&found, by, is_public);
        self.make(group, GroupChange::Public(is_public), notice).await
    }

    fn visibility_notice(&self, group: &Group, by: &UserId, is_public: bool) -> GroupNotice {
        let (what, word) = match is_public {
            true => (Happened::MadePublic, "public"),
            false => (Happened::MadePrivate, "private"),
        };
        GroupNotice {
            group: group.id,
            text: format!("{by} has made the group {word}"),
            at: self.now(),
            what,
            user: None,
            by: Some(by.clone()),
        }
    }
}
