//! What unit tests begin with.

use super::{Content, ContentType, Message, MessageId, Status, Target, Timestamp, UserId};

/// A message that says nothing and was only just sent.
pub(crate) fn message(from: &str, target: Target) -> Message {
    Message {
        id: MessageId::mint(),
        old_id: None,
        client_id: None,
        target,
        from: UserId::from_stored(from),
        content: Content::Text(String::new()),
        content_type: ContentType::Text,
        media_url: None,
        media_metadata: None,
        timestamp: Timestamp(1),
        status: Status::Sent,
        read_by: Vec::new(),
        deleted_for: Vec::new(),
        edited_at: None,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        pin: None,
        revisions: Vec::new(),
    }
}
