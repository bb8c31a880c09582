//! The bodies of the HTTP routes.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::Users;
use crate::model::{Group, GroupId, Presence, UserId};

/// `POST /groups/`. All fields are required; which one is missing is told by whoever asks for it.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with name, member_ids and created_by")]
pub struct NewGroup {
    /// Its name.
    pub name: Option<String>,
    /// Who is in it.
    pub member_ids: Option<Vec<String>>,
    /// Who makes it.
    pub created_by: Option<String>,
}

/// A group as clients see it.
#[derive(Debug, Clone, Copy)]
pub struct GroupRow<'a>(pub &'a Group);

impl Serialize for GroupRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let group = self.0;
        let mut row = to.serialize_map(Some(5))?;
        row.serialize_entry("_id", &group.id.to_string())?;
        row.serialize_entry("name", &group.name)?;
        row.serialize_entry("member_ids", &Users(&group.members))?;
        row.serialize_entry("created_by", group.created_by.as_str())?;
        row.serialize_entry("created_at", &super::iso(group.created_at))?;
        row.end()
    }
}

/// How a user is: `{user_id, status, last_seen}`.
#[derive(Debug, Clone, Copy)]
pub struct PresenceRow<'a>(pub &'a Presence);

impl Serialize for PresenceRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Presence { user, is_online, last_seen } = self.0;
        let mut row = to.serialize_map(Some(3))?;
        row.serialize_entry("user_id", user.as_str())?;
        row.serialize_entry("status", if *is_online { "online" } else { "offline" })?;
        row.serialize_entry("last_seen", &last_seen.map(super::iso))?;
        row.end()
    }
}

/// `POST /groups/{group_id}/remove`.
#[derive(Debug, Serialize)]
pub struct Removed {
    message: &'static str,
    group_id: String,
    removed_user_id: String,
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
}

/// `POST /upload/`.
#[derive(Debug, Serialize)]
pub struct Uploaded {
    /// Where the file is: `/uploads/<name>`.
    pub url: String,
    /// `image`, `video`, `file` or `audio`.
    pub content_type: &'static str,
    /// The client's name for it.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
}
