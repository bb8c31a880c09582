//! The bodies of the HTTP routes.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::model::{Block, Presence};

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

/// Who is blocked: `{user_id, blocked_at}`.
#[derive(Debug, Clone, Copy)]
pub struct BlockRow<'a>(pub &'a Block);

impl Serialize for BlockRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(2))?;
        row.serialize_entry("user_id", self.0.user.as_str())?;
        row.serialize_entry("blocked_at", &super::iso(self.0.at))?;
        row.end()
    }
}

/// A form with a file.
#[derive(Debug, ToSchema)]
pub struct UploadForm {
    /// The file, with its name.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
}

/// The content of a file.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct FileContent(pub Vec<u8>);

/// A file that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uploaded {
    /// Where the file is: `/uploads/<name>`, which goes into the `media_url` of a message.
    pub url: String,
    /// `image`, `video`, `file` or `audio`.
    pub content_type: &'static str,
    /// The client's name for it.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
}
