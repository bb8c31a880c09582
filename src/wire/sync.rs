//! Catching up, and the list of conversations.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::groups::{SummaryRow, muted};
use super::message::{MessageRow, chat_type};
use crate::model::{Chat, Conversation, News, Next, Position, SyncCursor, SyncPage, UserId};

/// What an acknowledgement of `sync` carries beside `ok`.
pub(super) fn page<M: SerializeMap>(
    page: &SyncPage,
    user: &UserId,
    body: &mut M,
) -> Result<(), M::Error> {
    if let Some(chats) = &page.chats {
        let rows: Vec<_> = shown(chats, user).collect();
        body.serialize_entry("conversations", &rows)?;
    }
    let changes: Vec<_> = page.news.iter().map(|news| NewsRow { news, user }).collect();
    body.serialize_entry("changes", &changes)?;
    body.serialize_entry("cursor", &page.cursor.to_string())?;
    body.serialize_entry("more", &page.more)?;
    body.serialize_entry("complete", &page.complete)
}

/// The conversations that a user sees: with another user there is one as long as something is
/// shown.
fn shown<'a>(chats: &'a [Chat], user: &'a UserId) -> impl Iterator<Item = ChatRow<'a>> {
    let is_shown =
        |chat: &&Chat| chat.last.is_some() || matches!(chat.conversation, Conversation::Group(_));
    chats.iter().filter(is_shown).map(move |chat| ChatRow { chat, user })
}

/// A conversation as its user sees it.
struct ChatRow<'a> {
    chat: &'a Chat,
    user: &'a UserId,
}

impl Serialize for ChatRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(None)?;
        conversation(&self.chat.conversation, self.user, &mut row)?;
        row.serialize_entry("last_message", &self.chat.last.as_ref().map(MessageRow))?;
        row.serialize_entry("unread", &self.chat.unread)?;
        // What is hidden for the user does not show in the time either.
        let last = self.chat.last.as_ref().map(|message| message.timestamp);
        row.serialize_entry("updated_at", &super::iso(last.unwrap_or(self.chat.place.0)))?;
        if let Some(group) = &self.chat.group {
            row.serialize_entry("group", &SummaryRow(group))?;
            muted(self.chat.muted, &mut row)?;
        }
        row.end()
    }
}

/// Which conversation: `{type: "direct", user_id}` with the other user, or `{type: "group",
/// group_id}`.
fn conversation<M: SerializeMap>(
    conversation: &Conversation,
    user: &UserId,
    row: &mut M,
) -> Result<(), M::Error> {
    match conversation {
        Conversation::Direct(a, b) => {
            row.serialize_entry("type", "direct")?;
            row.serialize_entry("user_id", if a == user { b.as_str() } else { a.as_str() })
        }
        Conversation::Group(group) => {
            row.serialize_entry("type", "group")?;
            row.serialize_entry("group_id", &group.to_string())
        }
    }
}

/// A page of `GET /conversations/{user_id}`.
#[derive(Debug, Clone, Copy)]
pub struct ChatList<'a> {
    /// The conversations.
    pub chats: &'a [Chat],
    /// Whose list it is.
    pub user: &'a UserId,
    /// The place before which the next page begins, where there may be one.
    pub next: Option<Position>,
}

impl Serialize for ChatList<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<_> = shown(self.chats, self.user).collect();
        let next = self.next.map(|place| {
            let next = Next::Conversations(place);
            SyncCursor { issued: place.0, settled: 0, next }.to_string()
        });
        let mut list = to.serialize_map(Some(2))?;
        list.serialize_entry("conversations", &rows)?;
        list.serialize_entry("next_cursor", &next)?;
        list.end()
    }
}

struct NewsRow<'a> {
    news: &'a News,
    user: &'a UserId,
}

impl Serialize for NewsRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(None)?;
        match self.news {
            News::Message(message) => {
                row.serialize_entry("type", "message")?;
                row.serialize_entry("message", &MessageRow(message))?;
            }
            News::Deleted { message, conversation, at } => {
                row.serialize_entry("type", "message_deleted")?;
                row.serialize_entry("message_id", &message.to_string())?;
                let in_group = matches!(conversation, Conversation::Group(_));
                row.serialize_entry("chat_type", chat_type(in_group))?;
                match conversation {
                    Conversation::Direct(a, b) => {
                        let peer = if a == self.user { b } else { a };
                        row.serialize_entry("user_id", peer.as_str())?;
                    }
                    Conversation::Group(group) => {
                        row.serialize_entry("group_id", &group.to_string())?;
                    }
                }
                row.serialize_entry("deleted_at", &super::iso(*at))?;
            }
            News::Hidden(message) => {
                row.serialize_entry("type", "message_hidden")?;
                row.serialize_entry("message_id", &message.to_string())?;
            }
            News::Joined { group, muted: until } => {
                row.serialize_entry("type", "group_joined")?;
                row.serialize_entry("group", &SummaryRow(group))?;
                muted(*until, &mut row)?;
            }
            News::Group(group) => {
                row.serialize_entry("type", "group_changed")?;
                row.serialize_entry("group", &SummaryRow(group))?;
            }
            News::Left(group) => {
                row.serialize_entry("type", "group_left")?;
                row.serialize_entry("group_id", &group.to_string())?;
            }
            News::Read { group, up_to } => {
                row.serialize_entry("type", "group_read")?;
                row.serialize_entry("group_id", &group.to_string())?;
                row.serialize_entry("up_to", &up_to.to_string())?;
            }
            News::Muted { group, until } => {
                row.serialize_entry("type", "group_muted")?;
                row.serialize_entry("group_id", &group.to_string())?;
                muted(*until, &mut row)?;
            }
        }
        row.end()
    }
}
