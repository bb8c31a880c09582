//! A message as clients see it: live and in history, in one shape.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Users;
use crate::model::{Content, Message, Target};

/// A message on the way to a client. Who has hidden it is nobody else's affair: `deleted_for` is
/// always empty, as it is for those who get the message at all.
#[derive(Debug, Clone, Copy)]
pub struct MessageRow<'a>(pub &'a Message);

impl Serialize for MessageRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        CountedRow(self.0, None).serialize(to)
    }
}

/// The same with how many have read it, where that is counted.
#[derive(Debug, Clone, Copy)]
pub struct CountedRow<'a>(pub &'a Message, pub Option<u64>);

impl Serialize for CountedRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(message, read_count) = *self;
        let mut row = to.serialize_map(None)?;
        let id = message.id.to_string();
        row.serialize_entry("_id", &id)?;
        row.serialize_entry("id", message.old_id.as_deref().unwrap_or(&id))?;
        if let Some(client_id) = &message.client_id {
            row.serialize_entry("client_id", client_id.as_str())?;
        }
        row.serialize_entry("content", &ContentBody(&message.content))?;
        row.serialize_entry("type", chat_type(matches!(message.target, Target::Group(_))))?;
        row.serialize_entry("content_type", message.content_type.as_str())?;
        row.serialize_entry("media_url", &message.media_url)?;
        row.serialize_entry("media_metadata", &message.media_metadata)?;
        row.serialize_entry("from_user_id", message.from.as_str())?;
        row.serialize_entry("timestamp", &super::iso(message.timestamp))?;
        row.serialize_entry("status", message.status.as_str())?;
        row.serialize_entry("read_by", &Users(&message.read_by))?;
        if let Some(count) = read_count {
            row.serialize_entry("read_count", &count)?;
        }
        row.serialize_entry("deleted_for", &[(); 0])?;
        match &message.target {
            Target::User(to) => row.serialize_entry("to_user_id", to.as_str())?,
            Target::Group(group) => row.serialize_entry("group_id", &group.to_string())?,
        }
        if let Some(at) = message.edited_at {
            row.serialize_entry("edited_at", &super::iso(at))?;
        }
        row.end()
    }
}

/// The word for a conversation's kind.
pub(crate) fn chat_type(in_group: bool) -> &'static str {
    if in_group { "group" } else { "direct" }
}

/// Content as it was sent: a string or an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContentBody<'a>(pub &'a Content);

impl Serialize for ContentBody<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Content::Text(text) => to.serialize_str(text),
            Content::Object(object) => object.serialize(to),
        }
    }
}
