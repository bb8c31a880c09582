//! Messages, and what hangs on them.

use std::collections::HashMap;

use utoipa::ToSchema;

use super::{ChatType, Content, GroupId, MessageId, UserId};

/// A message: the same shape live, in acknowledgements and in history.
#[derive(ToSchema)]
pub struct Message {
    /// The message's id.
    #[schema(pattern = "^[0-9a-f]{24}$", example = "6b00a063f0168cc486000000")]
    pub _id: String,
    /// The same; of a message that the old server stored, its other id.
    pub id: String,
    /// The sender's own name for it, where one was given.
    #[schema(value_type = String, required = false)]
    pub client_id: Option<String>,
    /// What it says.
    pub content: Content,
    /// Whether it is to a user or to a group.
    pub r#type: ChatType,
    /// Of what kind the content is.
    pub content_type: ContentType,
    /// A file: `/uploads/<file>`, or a URL.
    #[schema(required = true)]
    pub media_url: Option<String>,
    /// What its sender says of the file.
    #[schema(required = true, value_type = Option<Object>)]
    pub media_metadata: Option<HashMap<String, String>>,
    /// Who sent it.
    pub from_user_id: UserId,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// Whether it has come to one recipient at least, and whether one has read it.
    pub status: Status,
    /// Who has read it, in that order; a group message starts with its sender. In a large group the
    /// first readers alone.
    pub read_by: Vec<UserId>,
    /// Always empty: who has hidden a message is their own affair.
    #[schema(max_items = 0)]
    pub deleted_for: Vec<UserId>,
    /// Of a direct message: the receiver.
    #[schema(value_type = UserId, required = false)]
    pub to_user_id: Option<UserId>,
    /// Of a group message: the group.
    #[schema(value_type = GroupId, required = false)]
    pub group_id: Option<GroupId>,
    /// When it was edited last, where it was.
    #[schema(value_type = String, required = false, format = DateTime)]
    pub edited_at: Option<String>,
    /// Of a reply: the first message of its thread, which may be deleted by now.
    #[schema(value_type = String, required = false)]
    pub reply_to: Option<String>,
    /// Whom it mentions, where it mentions somebody.
    #[schema(value_type = Vec<UserId>, required = false, min_items = 1, max_items = 50)]
    pub mentions: Option<Vec<UserId>>,
    /// Where there are any: from each emoji to the users who have put it there, in the order in
    /// which they came.
    #[schema(value_type = HashMap<String, Vec<UserId>>, required = false)]
    pub reactions: Option<HashMap<String, Vec<UserId>>>,
    /// While it is pinned: by whom, and since when.
    #[schema(value_type = Pin, required = false)]
    pub pinned: Option<Pin>,
    /// In pages of history and threads, of a message with replies: how many there are, up to 1,000.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub reply_count: Option<u32>,
    /// In the history of large groups: how many have read it, its sender not counted, exact up to
    /// 10,000.
    #[schema(value_type = u64, required = false)]
    pub read_count: Option<u64>,
}

/// What somebody says, to whomever. `content`, `media_url` and `media_metadata` together hold up to
/// 65,536 bytes (`MAX_CONTENT_SIZE`).
#[derive(ToSchema)]
pub struct NewMessage {
    /// What the message says; may be empty.
    pub content: Content,
    /// Of what kind the content is; `text` where it is not given.
    pub content_type: Option<ContentType>,
    /// `/uploads/<file>`, which must be there, or any `http` or `https` URL, which is taken unseen;
    /// an empty one counts as none.
    #[schema(max_length = 2048)]
    pub media_url: Option<String>,
    /// What is to be said of the file; kept as it is.
    #[schema(value_type = Option<Object>)]
    pub media_metadata: Option<HashMap<String, String>>,
    /// The sender's own name for the message, another one for each: sent again under the same one,
    /// it is the message that was sent first.
    #[schema(min_length = 1, max_length = 64)]
    pub client_id: Option<String>,
    /// The message that this one answers, in the same conversation.
    pub reply_to: Option<MessageId>,
    /// Whom it mentions: up to 50 users. Who is not in the conversation is left out.
    #[schema(max_items = 50)]
    pub mentions: Option<Vec<UserId>>,
}

/// What a message is to say.
#[derive(ToSchema)]
pub struct NewContent {
    /// The content; may be empty.
    pub content: Content,
}

/// Of what kind a message's content is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum ContentType {
    Text,
    Image,
    Video,
    File,
    Emoji,
    Voice,
    Audio,
}

/// How far a message has come.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum Status {
    Sent,
    Delivered,
    Read,
}

/// Who has pinned a message, and when.
#[derive(ToSchema)]
pub struct Pin {
    /// Who.
    pub by: UserId,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// A message and the replies to it.
#[derive(ToSchema)]
pub struct Thread {
    /// The message that was answered.
    pub root: Message,
    /// Replies, newest first.
    pub replies: Vec<Message>,
    /// How many there are, whoever sees them, up to 1,000.
    pub reply_count: u32,
}

/// What a message said.
#[derive(ToSchema)]
pub struct Revision {
    /// What it said.
    pub content: Content,
    /// When it was edited to say this; of the first content, when it was sent.
    #[schema(format = DateTime)]
    pub edited_at: String,
}

/// What a search has found.
#[derive(ToSchema)]
pub struct SearchResults {
    /// The messages, at the most 50.
    pub results: Vec<Found>,
    /// Whether there may be further ones.
    pub more: bool,
    /// What to give as `before` for these; null where there are none, and with `order=best`.
    #[schema(required = true)]
    pub next: Option<MessageId>,
}

/// A message that a search has found.
#[derive(ToSchema)]
pub struct Found {
    /// The message.
    pub message: Message,
    /// HTML: about 160 characters of the text around the first hit, escaped, with every hit in
    /// `<mark>`.
    pub excerpt: String,
}

/// What two users have said to each other.
#[derive(ToSchema)]
pub struct Chats {
    /// The messages, the oldest first.
    pub messages: Vec<ChatMessage>,
}

/// A direct message under other names.
#[derive(ToSchema)]
pub struct ChatMessage {
    /// The message's id.
    pub _id: String,
    /// Who sent it.
    pub sender_id: UserId,
    /// To whom.
    pub receiver_id: UserId,
    /// What it says.
    pub message: Content,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub timestamp: String,
}
