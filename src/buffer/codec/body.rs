//! An op as it is written down.

use std::borrow::Cow;
use std::sync::Arc;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::message::{ContentBody, ConversationBody, PinnedBody, ReactionBody, SendBody, user};
use crate::model::{GroupId, MessageId, Op, Timestamp};

/// An op in the shape in which it is written: borrowed where it is written, owned where it is read.
#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call, mostly as the large one")]
pub(super) enum Body<'a> {
    Send(SendBody<'a>),
    Read(ReadBody<'a>),
    Edit(EditBody<'a>),
    Delete(DeleteBody<'a>),
    Hide(HideBody<'a>),
    PurgeGroup(PurgeBody),
    Deliver(DeliverBody<'a>),
    React(ReactBody<'a>),
    Pin(PinBody<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReadBody<'a> {
    conversation: ConversationBody<'a>,
    messages: Vec<ObjectId>,
    reader: Cow<'a, str>,
    up_to_timestamp: i64,
    up_to_id: ObjectId,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EditBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    content: ContentBody<'a>,
    edited_at: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeleteBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    at: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HideBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    user: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeliverBody<'a> {
    conversation: ConversationBody<'a>,
    messages: Vec<ObjectId>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReactBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    #[serde(flatten)]
    reaction: ReactionBody<'a>,
    on: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PinBody<'a> {
    conversation: ConversationBody<'a>,
    message: ObjectId,
    #[serde(flatten)]
    pin: PinnedBody<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PurgeBody {
    group: ObjectId,
}

impl<'a> Body<'a> {
    pub(super) fn of(op: &'a Op) -> Self {
        match op {
            Op::Send(message) => Self::Send(SendBody::of(message)),
            Op::Read { conversation, messages, reader, up_to: (timestamp, id) } => {
                Self::Read(ReadBody {
                    conversation: ConversationBody::of(conversation),
                    messages: messages.iter().map(|id| id.0).collect(),
                    reader: reader.as_str().into(),
                    up_to_timestamp: timestamp.as_millis(),
                    up_to_id: id.0,
                })
            }
            Op::Edit { conversation, message, content, edited_at } => Self::Edit(EditBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                content: ContentBody::of(content),
                edited_at: edited_at.as_millis(),
            }),
            Op::Delete { conversation, message, at } => Self::Delete(DeleteBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                at: at.as_millis(),
            }),
            Op::Hide { conversation, message, user } => Self::Hide(HideBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                user: user.as_str().into(),
            }),
            Op::PurgeGroup(group) => Self::PurgeGroup(PurgeBody { group: group.0 }),
            Op::Deliver { conversation, messages } => Self::Deliver(DeliverBody {
                conversation: ConversationBody::of(conversation),
                messages: messages.iter().map(|id| id.0).collect(),
            }),
            Op::React { conversation, message, reaction, on } => Self::React(ReactBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                reaction: ReactionBody::of(reaction),
                on: *on,
            }),
            Op::Pin { conversation, message, pin } => Self::Pin(PinBody {
                conversation: ConversationBody::of(conversation),
                message: message.0,
                pin: PinnedBody::of(pin),
            }),
        }
    }

    pub(super) fn into_op(self) -> Result<Op, DecodeError> {
        Ok(match self {
            Self::Send(body) => Op::Send(Arc::new(body.into_message()?)),
            Self::Read(body) => Op::Read {
                conversation: body.conversation.into_conversation(),
                messages: body.messages.into_iter().map(MessageId).collect(),
                reader: user(&body.reader),
                up_to: (Timestamp(body.up_to_timestamp), MessageId(body.up_to_id)),
            },
            Self::Edit(body) => Op::Edit {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                content: body.content.into_content(),
                edited_at: Timestamp(body.edited_at),
            },
            Self::Delete(body) => Op::Delete {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                at: Timestamp(body.at),
            },
            Self::Hide(body) => Op::Hide {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                user: user(&body.user),
            },
            Self::PurgeGroup(body) => Op::PurgeGroup(GroupId(body.group)),
            Self::Deliver(body) => Op::Deliver {
                conversation: body.conversation.into_conversation(),
                messages: body.messages.into_iter().map(MessageId).collect(),
            },
            Self::React(body) => Op::React {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                reaction: body.reaction.into_reaction(),
                on: body.on,
            },
            Self::Pin(body) => Op::Pin {
                conversation: body.conversation.into_conversation(),
                message: MessageId(body.message),
                pin: body.pin.into_pin(),
            },
        })
    }
}
