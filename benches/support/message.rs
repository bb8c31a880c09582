//! A message, as benches need them.

use banter::model::{Content, ContentType, Message, MessageId, Status, Target, Timestamp, UserId};

/// A new text from a user.
pub(crate) fn message(from: UserId, target: Target, text: String, timestamp: Timestamp) -> Message {
    Message {
        id: MessageId::mint(),
        old_id: None,
        client_id: None,
        target,
        from,
        content: Content::Text(text),
        content_type: ContentType::Text,
        media_url: None,
        media_metadata: None,
        timestamp,
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
