//! A message as its sender wrote it, before it is accepted.

use super::{ClientId, Content, ContentType, JsonObject, MessageRef, Target, UserId};

/// What a sender gives; the server adds the rest (see [`super::Message`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The client's name for the message, by which it may send it again.
    pub client_id: Option<ClientId>,
    /// Whom it is for.
    pub target: Target,
    /// What it says.
    pub content: Content,
    /// What kind of content that is.
    pub content_type: ContentType,
    /// Where its media file is.
    pub media_url: Option<String>,
    /// What the client says of its media file.
    pub media_metadata: Option<JsonObject>,
    /// The message that it answers.
    pub reply_to: Option<MessageRef>,
    /// Whom it mentions.
    pub mentions: Vec<UserId>,
}

impl Draft {
    /// Bytes of the parts that a client can make as large as it likes.
    pub fn weight(&self) -> usize {
        self.content.weight()
            + self.media_url.as_ref().map_or(0, String::len)
            + self.media_metadata.as_ref().map_or(0, super::content::object_weight)
    }
}
