//! The rooms API: groups and their messages under other names.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::message::ContentBody;
use super::schema;
use crate::model::{Message, Room, Target};

/// A room that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with name")]
pub struct NewRoom {
    /// Its name: without spaces at its ends 1 to 256 bytes without control characters.
    #[schema(value_type = String, required = true, min_length = 1)]
    pub name: Option<String>,
    /// Whether only who is invited may join.
    #[serde(default)]
    pub is_private: bool,
    /// Who is in it beside the one who makes it.
    #[serde(default)]
    #[schema(value_type = Vec<schema::UserId>)]
    pub member_ids: Vec<String>,
    /// Who makes it.
    #[schema(value_type = Option<schema::UserId>)]
    pub created_by: Option<String>,
}

/// An emoji that is to be put on a message, or taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "an object with emoji")]
pub struct React {
    /// One emoji with its modifiers, in up to 64 bytes.
    #[schema(value_type = String, required = true, example = "👍")]
    pub emoji: Option<String>,
    /// Whether it is there from now on; true where it is not given.
    pub on: Option<bool>,
}

/// A room: `{id, _id, name, is_private, owner_id, created_by, created_at, member_count, is_member}`.
#[derive(Debug, Clone, Copy)]
pub struct RoomRow<'a>(pub &'a Room);

impl Serialize for RoomRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Room { group, member_count, is_member } = self.0;
        let id = group.id.to_string();
        let mut row = to.serialize_map(Some(9))?;
        row.serialize_entry("id", &id)?;
        row.serialize_entry("_id", &id)?;
        row.serialize_entry("name", &group.name)?;
        row.serialize_entry("is_private", &!group.is_public)?;
        row.serialize_entry("owner_id", group.owner.as_str())?;
        row.serialize_entry("created_by", group.created_by.as_str())?;
        row.serialize_entry("created_at", &super::iso(group.created_at))?;
        row.serialize_entry("member_count", member_count)?;
        row.serialize_entry("is_member", is_member)?;
        row.end()
    }
}

/// A member of a room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberRow<'a> {
    /// Who.
    #[schema(value_type = schema::UserId)]
    pub user_id: &'a str,
    /// `owner`, `admin` or `member`.
    #[schema(value_type = schema::Role)]
    pub role: &'static str,
    /// Whether the member is here.
    pub is_online: bool,
}

/// A direct message under the names of `GET /chat/get-chats/{user1_id}/{user2_id}`.
#[derive(Debug, Clone, Copy)]
pub struct ChatRow<'a>(pub &'a Message);

impl Serialize for ChatRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        let mut row = to.serialize_map(Some(5))?;
        row.serialize_entry("_id", &message.id.to_string())?;
        row.serialize_entry("sender_id", message.from.as_str())?;
        row.serialize_entry("receiver_id", receiver(message))?;
        row.serialize_entry("message", &ContentBody(&message.content))?;
        row.serialize_entry("timestamp", &super::iso(message.timestamp))?;
        row.end()
    }
}

fn receiver(message: &Message) -> &str {
    match &message.target {
        Target::User(to) => to.as_str(),
        Target::Group(_) => "",
    }
}

/// `GET /chat/get-chats/{user1_id}/{user2_id}`.
#[derive(Debug, Serialize)]
pub struct Chats<'a> {
    /// The oldest first.
    pub messages: Vec<ChatRow<'a>>,
}
