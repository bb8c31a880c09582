//! Groups, who may do what in them, and what a user has not read.

use serde::{Deserialize, Serialize};

use super::{GroupId, Timestamp, UserId};

/// A group of users who share a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its `_id`.
    pub id: GroupId,
    /// Its name, as shown.
    pub name: String,
    /// Its members, each once, in the order in which they joined.
    pub members: Vec<UserId>,
    /// Who made it: a fact, which stays; or the alias of who was erased.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whose it is now; who has made it, until it is handed over. Need not be a member.
    pub owner: UserId,
    /// Members who are admins, in the order in which they became it; never the owner.
    pub admins: Vec<UserId>,
    /// Who may not speak in it, members or former ones, each once. Some may have run out.
    pub silenced: Vec<Silence>,
    /// Whether everybody may see it in the list of rooms, and join it.
    pub is_public: bool,
}

/// What a user may do in a group; each may do all that those before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Reads, speaks and leaves.
    Member,
    /// Names the group, invites, and takes care of plain members.
    Admin,
    /// Gives and takes roles, also this one.
    Owner,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.as_str() == word)
    }
}

/// Until when something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// Until this time.
    Time(Timestamp),
    /// Until it is taken back.
    Forever,
}

impl Until {
    /// Whether it still holds.
    pub fn holds_at(self, now: Timestamp) -> bool {
        match self {
            Self::Time(end) => end > now,
            Self::Forever => true,
        }
    }

    /// As stores keep it: nothing for one that does not end by itself.
    pub fn to_stored(self) -> Option<Timestamp> {
        match self {
            Self::Time(end) => Some(end),
            Self::Forever => None,
        }
    }

    /// What [`Until::to_stored`] has made.
    pub fn from_stored(end: Option<Timestamp>) -> Self {
        end.map_or(Self::Forever, Self::Time)
    }
}

/// A user who may not speak in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Who.
    pub user: UserId,
    /// For how long.
    pub until: Until,
}

impl Group {
    /// Whether the user is a member.
    pub fn has(&self, user: &UserId) -> bool {
        self.members.contains(user)
    }

    /// What a user is in it, who need not be among the members that are known here; `None` for a
    /// stranger. The owner is that, member or not.
    pub fn role(&self, user: &UserId, is_member: bool) -> Option<Role> {
        if *user == self.owner {
            return Some(Role::Owner);
        }
        let is_admin = self.admins.contains(user);
        is_member.then_some(if is_admin { Role::Admin } else { Role::Member })
    }

    /// Until when a user may not speak, as far as that still holds.
    pub fn silence_of(&self, user: &UserId, now: Timestamp) -> Option<Until> {
        let silence = self.silenced.iter().find(|silence| silence.user == *user)?;
        silence.until.holds_at(now).then_some(silence.until)
    }
}

/// What becomes of a group; its members aside, which change one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// It has this name from now on.
    Name(String),
    /// Everybody may see and join it from now on, or only who is invited.
    Public(bool),
    /// A member is an admin from now on, or is none.
    Admin {
        /// Who.
        user: UserId,
        /// Whether they are one.
        is_admin: bool,
    },
    /// It is somebody else's. The new owner is no admin, and not silenced.
    Owner {
        /// Whose it is from now on.
        user: UserId,
        /// Who becomes an admin in return: the former owner, if that is a member.
        former: Option<UserId>,
    },
    /// A user may not speak until then; may again, where there is nothing. What had run out `now`
    /// is dropped with it.
    Silence {
        /// Who.
        user: UserId,
        /// For how long.
        until: Option<Until>,
        /// When this is said.
        now: Timestamp,
    },
}

impl GroupChange {
    /// Makes the change; made twice it is made once.
    pub fn make(&self, group: &mut Group) {
        match self {
            Self::Name(name) => group.name.clone_from(name),
            Self::Public(is_public) => group.is_public = *is_public,
            Self::Admin { user, is_admin } => {
                group.admins.retain(|admin| admin != user);
                group.admins.extend(is_admin.then(|| user.clone()));
            }
            Self::Owner { user, former } => {
                group.owner = user.clone();
                group.admins.retain(|admin| admin != user && Some(admin) != former.as_ref());
                group.admins.extend(former.clone());
                group.silenced.retain(|silence| silence.user != *user);
            }
            Self::Silence { user, until, now } => {
                let holds =
                    |silence: &Silence| silence.user != *user && silence.until.holds_at(*now);
                group.silenced.retain(holds);
                let silence = until.map(|until| Silence { user: user.clone(), until });
                group.silenced.extend(silence);
            }
        }
    }
}

/// A group without all its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    /// The group, with its first members.
    pub group: Group,
    /// How many members it has.
    pub member_count: usize,
}

impl GroupSummary {
    /// Members that a list of groups names: with all of those of large groups it would be megabytes
    /// long.
    pub const MEMBERS_SHOWN: usize = 256;
}

/// A group as somebody sees it in the list of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The group, without its members.
    pub group: Group,
    /// How many members it has.
    pub member_count: usize,
    /// Whether who looks is one of them.
    pub is_member: bool,
}

/// How many messages a user has not read, each number exact up to [`Unread::EXACT_TO`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Direct messages.
    pub direct: u64,
    /// Messages of groups that the user is in.
    pub group: u64,
}

impl Unread {
    /// Counting stops here per kind (direct) and per group, so that its cost has a bound.
    pub const EXACT_TO: u64 = 1_000;
}
