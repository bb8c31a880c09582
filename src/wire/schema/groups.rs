//! Groups, and rooms, which are groups under other names.

use utoipa::ToSchema;

use super::{GroupId, UserId};

/// A group with all its members.
#[derive(ToSchema)]
pub struct Group {
    /// The group's id.
    pub _id: GroupId,
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub member_ids: Vec<UserId>,
    /// Who has made it, or the alias of who was erased.
    pub created_by: UserId,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Whose it is.
    pub owner_id: UserId,
    /// The members who are admins, the owner not among them; at the most 100.
    pub admin_ids: Vec<UserId>,
    /// Who may not speak in it; at the most 1,000.
    pub silenced: Vec<Silence>,
    /// Whether only who is invited may join.
    pub is_private: bool,
}

/// A group with its first members.
#[derive(ToSchema)]
pub struct GroupSummary {
    /// The group's id.
    pub _id: GroupId,
    /// Its name.
    pub name: String,
    /// Its first 256 members.
    #[schema(max_items = 256)]
    pub member_ids: Vec<UserId>,
    /// How many there are.
    pub member_count: u32,
    /// Who has made it, or the alias of who was erased.
    pub created_by: UserId,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Whose it is.
    pub owner_id: UserId,
    /// The members who are admins, the owner not among them; at the most 100.
    pub admin_ids: Vec<UserId>,
    /// Who may not speak in it; at the most 1,000.
    pub silenced: Vec<Silence>,
    /// Whether only who is invited may join.
    pub is_private: bool,
}

/// A user who may not speak in a group.
#[derive(ToSchema)]
pub struct Silence {
    /// Who.
    pub user_id: UserId,
    /// Until when; null for good. A time that is over counts no more.
    #[schema(required = true, format = DateTime)]
    pub until: Option<String>,
}

/// Whether a user wants to be alerted of a group.
#[derive(ToSchema)]
pub struct Mute {
    /// Which group.
    pub group_id: GroupId,
    /// Whether it is muted.
    pub muted: bool,
    /// Until when; null also for good.
    #[schema(required = true, format = DateTime)]
    pub muted_until: Option<String>,
}

/// An invitation for who may make some.
#[derive(ToSchema)]
pub struct Invitation {
    /// What lets in whoever has it.
    pub token: String,
    /// Where to ask what it leads to: `/invitations/<token>`.
    pub url: String,
    /// The group.
    pub group_id: GroupId,
    /// Who has made it.
    pub created_by: UserId,
    /// When.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Until when it works.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// How many may come in with it; null for any number.
    #[schema(required = true)]
    pub max_uses: Option<u32>,
    /// How many have.
    pub uses: u32,
}

/// Where an invitation leads, for whoever has it.
#[derive(ToSchema)]
pub struct Invited {
    /// The group.
    pub group_id: GroupId,
    /// Its name.
    pub name: String,
    /// How many members it has.
    pub member_count: u32,
    /// Until when the invitation works.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A room, which is a group.
#[derive(ToSchema)]
pub struct Room {
    /// The group's id.
    pub id: GroupId,
    /// The same.
    pub _id: GroupId,
    /// Its name.
    pub name: String,
    /// Whether only who is invited may join.
    pub is_private: bool,
    /// Whose it is.
    pub owner_id: UserId,
    /// Who has made it.
    pub created_by: UserId,
    /// When.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// How many members it has.
    pub member_count: u32,
    /// Whether who asks is one of them.
    pub is_member: bool,
}
