//! The Socket.IO events that clients are told of.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::message::{ContentBody, MessageRow, chat_type};
use super::rest::PresenceRow;
use super::{attach, groups, receipts};
use crate::model::{Event, Target, Unread, UserId};

/// The name under which clients listen for an event; `None` where nothing is sent.
pub fn name(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Sent(_) => "message",
        Event::Read(_)
        | Event::Delivered { .. }
        | Event::Edited { .. }
        | Event::Reacted { .. }
        | Event::Pinned { .. } => "message_update",
        Event::Deleted { .. } | Event::Hidden { .. } => "message_deleted",
        Event::GroupNotice(_) | Event::Unread { .. } | Event::Mentioned(_) => "notification",
        Event::SyncRequired => "sync_required",
        Event::Typing { .. } => "typing",
        Event::Presence(_) => "presence",
        Event::TokenExpiring { .. } => "token_expiring",
        Event::SignedOut { .. } => "signed_out",
        Event::Left { .. } => return None,
    })
}

/// An event's payload.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a>(pub &'a Event);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Event::Sent(message) => return MessageRow(message).serialize(to),
            Event::Presence(presence) => return PresenceRow(presence).serialize(to),
            _ => {}
        }
        let mut body = to.serialize_map(None)?;
        match self.0 {
            Event::Sent(_) | Event::Presence(_) | Event::SyncRequired | Event::Left { .. } => {}
            Event::TokenExpiring { at } => {
                body.serialize_entry("expires_at", &super::iso(*at))?;
            }
            Event::SignedOut { reason } => body.serialize_entry("reason", reason.as_str())?,
            Event::Typing { user, to, is_typing } => typing(user, to, *is_typing, &mut body)?,
            Event::Read(reading) => {
                body.serialize_entry("type", "read_receipt")?;
                receipts::reading(reading, &mut body)?;
            }
            Event::Delivered { messages, user } => {
                body.serialize_entry("type", "delivery_receipt")?;
                receipts::delivery(messages, user, &mut body)?;
            }
            Event::Edited { message, content, edited_at } => {
                body.serialize_entry("type", "message_edit")?;
                body.serialize_entry("message_id", &message.to_string())?;
                body.serialize_entry("new_content", &ContentBody(content))?;
                body.serialize_entry("edited_at", &super::iso(*edited_at))?;
            }
            Event::Reacted { message, reactions } => {
                body.serialize_entry("type", "reaction")?;
                attach::reaction(*message, reactions, &mut body)?;
            }
            Event::Pinned { message, pin } => {
                body.serialize_entry("type", "pin")?;
                attach::pin(*message, pin, &mut body)?;
            }
            Event::Mentioned(message) => {
                body.serialize_entry("type", "mention")?;
                attach::mention(message, &mut body)?;
            }
            Event::Deleted { message, in_group, deleted_at } => {
                body.serialize_entry("type", "message_deleted")?;
                body.serialize_entry("message_id", &message.to_string())?;
                body.serialize_entry("chat_type", chat_type(*in_group))?;
                body.serialize_entry("deleted_at", &super::iso(*deleted_at))?;
            }
            Event::Hidden { message } => {
                body.serialize_entry("type", "message_hidden")?;
                body.serialize_entry("message_id", &message.to_string())?;
            }
            Event::GroupNotice(notice) => {
                body.serialize_entry("type", "group_notification")?;
                groups::notice(notice, &mut body)?;
            }
            Event::Unread { unread, at } => {
                body.serialize_entry("type", "unread_notification")?;
                body.serialize_entry("content", &unread_line(*unread))?;
                body.serialize_entry("unread_direct", &unread.direct)?;
                body.serialize_entry("unread_group", &unread.group)?;
                body.serialize_entry("timestamp", &super::iso(*at))?;
            }
        }
        body.end()
    }
}

fn typing<M: SerializeMap>(
    user: &UserId,
    to: &Target,
    is_typing: bool,
    body: &mut M,
) -> Result<(), M::Error> {
    body.serialize_entry("user_id", user.as_str())?;
    match to {
        Target::User(other) => body.serialize_entry("to", other.as_str())?,
        Target::Group(group) => body.serialize_entry("to", &group.to_string())?,
    }
    body.serialize_entry("type", chat_type(matches!(to, Target::Group(_))))?;
    body.serialize_entry("is_typing", &is_typing)
}

fn unread_line(unread: Unread) -> String {
    match unread.direct + unread.group {
        1 => "You have 1 unread message".to_owned(),
        many => format!("You have {many} unread messages"),
    }
}
