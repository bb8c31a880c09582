//! The list of conversations.

use utoipa::ToSchema;

use super::groups::GroupSummary;
use super::messages::Message;
use super::{ChatType, GroupId, UserId};

/// A page of a user's conversations.
#[derive(ToSchema)]
pub struct ConversationList {
    /// The conversations, newest first.
    pub conversations: Vec<Conversation>,
    /// What to give as `cursor` for the next page; null where there is none.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A conversation as its user sees it.
#[derive(ToSchema)]
pub struct Conversation {
    /// Whether it is with a user or in a group.
    pub r#type: ChatType,
    /// Of a direct conversation: the other user; for notes to oneself, the same.
    #[schema(value_type = UserId, required = false)]
    pub user_id: Option<UserId>,
    /// Of a group's conversation: the group.
    #[schema(value_type = GroupId, required = false)]
    pub group_id: Option<GroupId>,
    /// The newest message that the user has not hidden.
    #[schema(required = true)]
    pub last_message: Option<Message>,
    /// What the user has not read, exact up to 1,000.
    pub unread: u64,
    /// Its place in the list.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Of a group's conversation: the group.
    #[schema(value_type = GroupSummary, required = false)]
    pub group: Option<GroupSummary>,
    /// Of a group's conversation: whether the user has muted it.
    #[schema(value_type = bool, required = false)]
    pub muted: Option<bool>,
    /// Of a group's conversation: until when; null also for good.
    #[schema(format = DateTime)]
    pub muted_until: Option<String>,
}
