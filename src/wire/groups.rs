//! Groups, and what happens in them.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{Users, schema};
use crate::model::{
    Group, GroupId, GroupNotice, GroupSummary, Happened, Invitation, Silence, Until, UserId,
};

/// A group that is to be made.
// All fields are required; which one is missing is told by whoever asks for it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with name, member_ids and created_by")]
pub struct NewGroup {
    /// Its name: without spaces at its ends 1 to 256 bytes without control characters.
    #[schema(value_type = String, required = true, min_length = 1)]
    pub name: Option<String>,
    /// Who is in it: up to 10,000 users (`MAX_GROUP_MEMBERS`), or nobody yet. One who is named twice
    /// is a member once; who makes the group is a member only if named.
    #[schema(value_type = Vec<schema::UserId>, required = true)]
    pub member_ids: Option<Vec<String>>,
    /// Who makes it.
    #[schema(value_type = Option<schema::UserId>)]
    pub created_by: Option<String>,
}

/// What a group is to be called, or whether it is to be private, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with admin_id, and name or is_private")]
#[schema(as = GroupChange)]
pub struct Rename {
    /// Who does it.
    #[schema(value_type = Option<schema::UserId>)]
    pub admin_id: Option<String>,
    /// The new name.
    pub name: Option<String>,
    /// Whether only who is invited may join from now on.
    pub is_private: Option<bool>,
}

/// The role that a member is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with admin_id and role")]
#[schema(as = NewRole)]
pub struct GiveRole {
    /// Who does it.
    #[schema(value_type = Option<schema::UserId>)]
    pub admin_id: Option<String>,
    /// `owner`, `admin` or `member`.
    #[schema(value_type = schema::Role, required = true)]
    pub role: Option<String>,
}

/// Until when a member may not speak.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with admin_id and until")]
#[schema(as = NewSilence)]
pub struct PutSilence {
    /// Who does it.
    #[schema(value_type = Option<schema::UserId>)]
    pub admin_id: Option<String>,
    /// Until when, a time with an offset that is not over; for good, where it is null or missing.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// Until when a user is not to be alerted of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with user_id and until")]
#[schema(as = NewMute)]
pub struct PutMute {
    /// Who does it.
    #[schema(value_type = Option<schema::UserId>)]
    pub user_id: Option<String>,
    /// Until when, a time with an offset that is not over; for good, where it is null or missing.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// An invitation that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with admin_id, expires_in and max_uses")]
pub struct NewInvitation {
    /// Who makes it.
    #[schema(value_type = Option<schema::UserId>)]
    pub admin_id: Option<String>,
    /// For how many seconds it works: up to a year; a week where it is not given.
    #[schema(minimum = 1, maximum = 31536000, default = 604800)]
    pub expires_in: Option<u64>,
    /// How many may come in with it; any number where it is not given.
    #[schema(minimum = 1, maximum = 10000)]
    pub max_uses: Option<u64>,
}

/// Who accepts an invitation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with user_id")]
pub struct Accept {
    /// Who comes in.
    #[schema(value_type = Option<schema::UserId>)]
    pub user_id: Option<String>,
}

/// A group as clients see it: the old server's fields, then ours.
#[derive(Debug, Clone, Copy)]
pub struct GroupRow<'a>(pub &'a Group);

impl Serialize for GroupRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(8))?;
        group(self.0, None, &mut row)?;
        row.end()
    }
}

/// A group with its first members, and how many it has.
#[derive(Debug, Clone, Copy)]
pub struct SummaryRow<'a>(pub &'a GroupSummary);

impl Serialize for SummaryRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(9))?;
        group(&self.0.group, Some(self.0.member_count), &mut row)?;
        row.end()
    }
}

fn group<M: SerializeMap>(
    group: &Group,
    member_count: Option<usize>,
    row: &mut M,
) -> Result<(), M::Error> {
    row.serialize_entry("_id", &group.id.to_string())?;
    row.serialize_entry("name", &group.name)?;
    row.serialize_entry("member_ids", &Users(&group.members))?;
    if let Some(count) = member_count {
        row.serialize_entry("member_count", &count)?;
    }
    row.serialize_entry("created_by", group.created_by.as_str())?;
    row.serialize_entry("created_at", &super::iso(group.created_at))?;
    row.serialize_entry("owner_id", group.owner.as_str())?;
    row.serialize_entry("admin_ids", &Users(&group.admins))?;
    let silenced: Vec<_> = group.silenced.iter().map(SilenceRow).collect();
    row.serialize_entry("silenced", &silenced)?;
    row.serialize_entry("is_private", &!group.is_public)
}

struct SilenceRow<'a>(&'a Silence);

impl Serialize for SilenceRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(2))?;
        row.serialize_entry("user_id", self.0.user.as_str())?;
        row.serialize_entry("until", &end(self.0.until))?;
        row.end()
    }
}

/// A time, or null for what does not end by itself.
fn end(until: Until) -> Option<String> {
    until.to_stored().map(super::iso)
}

/// Whether and until when a group is muted: `{muted, muted_until}`.
pub(super) fn muted<M: SerializeMap>(until: Option<Until>, row: &mut M) -> Result<(), M::Error> {
    row.serialize_entry("muted", &until.is_some())?;
    row.serialize_entry("muted_until", &until.and_then(end))
}

/// What happened in a group, behind the type of a notification.
pub(super) fn notice<M: SerializeMap>(notice: &GroupNotice, body: &mut M) -> Result<(), M::Error> {
    body.serialize_entry("content", &notice.text)?;
    body.serialize_entry("group_id", &notice.group.to_string())?;
    body.serialize_entry("timestamp", &super::iso(notice.at))?;
    body.serialize_entry("event", notice.what.as_str())?;
    if let Some(user) = &notice.user {
        body.serialize_entry("user_id", user.as_str())?;
    }
    if let Some(by) = &notice.by {
        body.serialize_entry("by", by.as_str())?;
    }
    match &notice.what {
        Happened::Renamed(name) => body.serialize_entry("name", name),
        Happened::RoleChanged(role) => body.serialize_entry("role", role.as_str()),
        Happened::Silenced(until) | Happened::Muted(until) => {
            body.serialize_entry("until", &end(*until))
        }
        Happened::MemberAdded
        | Happened::MemberRemoved
        | Happened::MemberLeft
        | Happened::OwnerChanged
        | Happened::MadePublic
        | Happened::MadePrivate
        | Happened::Unsilenced
        | Happened::Unmuted => Ok(()),
    }
}

/// The answer to muting: `{group_id, muted, muted_until}`.
#[derive(Debug, Clone, Copy)]
pub struct MuteRow {
    /// Which group.
    pub group: GroupId,
    /// Until when it is muted; not at all, where there is nothing.
    pub until: Option<Until>,
}

impl Serialize for MuteRow {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(3))?;
        row.serialize_entry("group_id", &self.group.to_string())?;
        muted(self.until, &mut row)?;
        row.end()
    }
}

/// An invitation for who may make some.
#[derive(Debug, Clone, Copy)]
pub struct InvitationRow<'a>(pub &'a Invitation);

impl Serialize for InvitationRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let invitation = self.0;
        let token = invitation.token.as_str();
        let mut row = to.serialize_map(Some(8))?;
        row.serialize_entry("token", token)?;
        row.serialize_entry("url", &format!("/invitations/{token}"))?;
        row.serialize_entry("group_id", &invitation.group.to_string())?;
        row.serialize_entry("created_by", invitation.created_by.as_str())?;
        row.serialize_entry("created_at", &super::iso(invitation.created_at))?;
        row.serialize_entry("expires_at", &super::iso(invitation.expires_at))?;
        row.serialize_entry("max_uses", &invitation.max_uses)?;
        row.serialize_entry("uses", &invitation.uses)?;
        row.end()
    }
}

/// Where an invitation leads, for whoever has the link.
#[derive(Debug, Clone, Copy)]
pub struct InvitedRow<'a> {
    /// The invitation.
    pub invitation: &'a Invitation,
    /// The group, without its members.
    pub group: &'a GroupSummary,
}

impl Serialize for InvitedRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(4))?;
        row.serialize_entry("group_id", &self.invitation.group.to_string())?;
        row.serialize_entry("name", &self.group.group.name)?;
        row.serialize_entry("member_count", &self.group.member_count)?;
        row.serialize_entry("expires_at", &super::iso(self.invitation.expires_at))?;
        row.end()
    }
}

/// A user who is out of a group now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Removed {
    /// A line for people.
    message: &'static str,
    /// Out of which group.
    #[schema(value_type = schema::GroupId)]
    group_id: String,
    /// Who is out.
    #[schema(value_type = schema::UserId)]
    removed_user_id: String,
    /// Who has done it.
    #[schema(value_type = schema::UserId)]
    removed_by: String,
}

impl Removed {
    /// The answer to a removal that was done.
    pub fn new(group: GroupId, user: &UserId, by: &UserId) -> Self {
        Self {
            message: "Successfully removed from group",
            group_id: group.to_string(),
            removed_user_id: user.to_string(),
            removed_by: by.to_string(),
        }
    }

    /// The answer to a member who has left.
    pub fn by_themselves(group: GroupId, user: &UserId) -> Self {
        Self { message: "Successfully left the group", ..Self::new(group, user, user) }
    }
}
