//! A message, and what it is made of, as it is written down.

use std::borrow::Cow;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use super::DecodeError;
use crate::model::{
    ClientId, Content, ContentType, Conversation, Emoji, GroupId, JsonObject, Message, MessageId,
    Pin, Reaction, Revision, Status, Target, Timestamp, UserId,
};

#[derive(Serialize, Deserialize)]
pub(super) struct SendBody<'a> {
    id: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<Cow<'a, str>>,
    from: Cow<'a, str>,
    #[serde(flatten)]
    to: TargetBody<'a>,
    timestamp: i64,
    content: ContentBody<'a>,
    content_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_url: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_metadata: Option<Cow<'a, JsonObject>>,
    status: Cow<'a, str>,
    read_by: Users<'a>,
    deleted_for: Users<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edited_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mentions: Users<'a>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionBody<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<PinnedBody<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revisions: Vec<RevisionBody<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReactionBody<'a> {
    user: Cow<'a, str>,
    emoji: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PinnedBody<'a> {
    pinned: bool,
    by: Cow<'a, str>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RevisionBody<'a> {
    content: ContentBody<'a>,
    at: i64,
}

pub(super) type Users<'a> = Vec<Cow<'a, str>>;

#[derive(Serialize, Deserialize)]
pub(super) enum TargetBody<'a> {
    #[serde(rename = "to_user")]
    User(Cow<'a, str>),
    #[serde(rename = "to_group")]
    Group(ObjectId),
}

#[derive(Serialize, Deserialize)]
pub(super) enum ConversationBody<'a> {
    #[serde(rename = "users")]
    Direct(Cow<'a, str>, Cow<'a, str>),
    #[serde(rename = "group")]
    Group(ObjectId),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ContentBody<'a> {
    Text(Cow<'a, str>),
    Object(Cow<'a, JsonObject>),
}

impl<'a> SendBody<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self {
            id: message.id.0,
            old_id: message.old_id.as_deref().map(Cow::from),
            client_id: message.client_id.as_ref().map(|id| id.as_str().into()),
            from: message.from.as_str().into(),
            to: match &message.target {
                Target::User(to) => TargetBody::User(to.as_str().into()),
                Target::Group(group) => TargetBody::Group(group.0),
            },
            timestamp: message.timestamp.as_millis(),
            content: ContentBody::of(&message.content),
            content_type: message.content_type.as_str().into(),
            media_url: message.media_url.as_deref().map(Cow::from),
            media_metadata: message.media_metadata.as_ref().map(Cow::Borrowed),
            status: message.status.as_str().into(),
            read_by: names(&message.read_by),
            deleted_for: names(&message.deleted_for),
            edited_at: message.edited_at.map(Timestamp::as_millis),
            reply_to: message.reply_to.map(|id| id.0),
            mentions: names(&message.mentions),
            reactions: message.reactions.iter().map(ReactionBody::of).collect(),
            pin: message.pin.as_ref().map(PinnedBody::of),
            revisions: message.revisions.iter().map(RevisionBody::of).collect(),
        }
    }

    pub(super) fn into_message(self) -> Result<Message, DecodeError> {
        let content_type = ContentType::parse(&self.content_type);
        Ok(Message {
            id: MessageId(self.id),
            old_id: self.old_id.map(Cow::into_owned),
            client_id: self.client_id.map(|id| ClientId::from_stored(&id)),
            target: match self.to {
                TargetBody::User(to) => Target::User(user(&to)),
                TargetBody::Group(group) => Target::Group(GroupId(group)),
            },
            from: user(&self.from),
            content: self.content.into_content(),
            content_type: content_type.ok_or(DecodeError::Value("content_type"))?,
            media_url: self.media_url.map(Cow::into_owned),
            media_metadata: self.media_metadata.map(Cow::into_owned),
            timestamp: Timestamp(self.timestamp),
            status: Status::from_stored(&self.status),
            read_by: self.read_by.iter().map(|name| user(name)).collect(),
            deleted_for: self.deleted_for.iter().map(|name| user(name)).collect(),
            edited_at: self.edited_at.map(Timestamp),
            reply_to: self.reply_to.map(MessageId),
            mentions: self.mentions.iter().map(|name| user(name)).collect(),
            reactions: self.reactions.into_iter().map(ReactionBody::into_reaction).collect(),
            pin: self.pin.map(PinnedBody::into_pin),
            revisions: self.revisions.into_iter().map(RevisionBody::into_revision).collect(),
        })
    }
}

impl<'a> ReactionBody<'a> {
    pub(super) fn of(reaction: &'a Reaction) -> Self {
        Self { user: reaction.user.as_str().into(), emoji: reaction.emoji.as_str().into() }
    }

    pub(super) fn into_reaction(self) -> Reaction {
        Reaction { user: user(&self.user), emoji: Emoji::from_stored(&self.emoji) }
    }
}

impl<'a> PinnedBody<'a> {
    pub(super) fn of(pin: &'a Pin) -> Self {
        Self { pinned: pin.pinned, by: pin.by.as_str().into(), at: pin.at.as_millis() }
    }

    pub(super) fn into_pin(self) -> Pin {
        Pin { pinned: self.pinned, by: user(&self.by), at: Timestamp(self.at) }
    }
}

impl<'a> RevisionBody<'a> {
    pub(super) fn of(revision: &'a Revision) -> Self {
        Self { content: ContentBody::of(&revision.content), at: revision.at.as_millis() }
    }

    pub(super) fn into_revision(self) -> Revision {
        Revision { content: self.content.into_content(), at: Timestamp(self.at) }
    }
}

impl<'a> ConversationBody<'a> {
    pub(super) fn of(conversation: &'a Conversation) -> Self {
        match conversation {
            Conversation::Direct(a, b) => Self::Direct(a.as_str().into(), b.as_str().into()),
            Conversation::Group(group) => Self::Group(group.0),
        }
    }

    pub(super) fn into_conversation(self) -> Conversation {
        match self {
            Self::Direct(a, b) => Conversation::direct(user(&a), user(&b)),
            Self::Group(group) => Conversation::Group(GroupId(group)),
        }
    }
}

impl<'a> ContentBody<'a> {
    pub(super) fn of(content: &'a Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text.into()),
            Content::Object(object) => Self::Object(Cow::Borrowed(object)),
        }
    }

    pub(super) fn into_content(self) -> Content {
        match self {
            Self::Text(text) => Content::Text(text.into_owned()),
            Self::Object(object) => Content::Object(object.into_owned()),
        }
    }
}

pub(super) fn user(name: &str) -> UserId {
    UserId::from_stored(name)
}

pub(super) fn names(users: &[UserId]) -> Users<'_> {
    users.iter().map(|user| user.as_str().into()).collect()
}
