//! Ops as they are written down: BSON in the journal, JSON in dead letters, field by field the
//! same.
//!
//! Times are milliseconds since 1970, ids are ObjectIds. A field that is not there reads as `None`
//! or empty, so that a later server can add fields and read what an earlier one wrote.

mod body;
mod message;

use serde::Deserialize;
use serde_json::{Value, json};

use self::body::Body;
use crate::model::Op;

/// What an op is; its number in the journal never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Send = 1,
    Read = 2,
    Edit = 3,
    Delete = 4,
    Hide = 5,
    PurgeGroup = 6,
    Deliver = 7,
    React = 8,
    Pin = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Send,
        Self::Read,
        Self::Edit,
        Self::Delete,
        Self::Hide,
        Self::PurgeGroup,
        Self::Deliver,
        Self::React,
        Self::Pin,
    ];

    /// The kind of an op.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Send(_) => Self::Send,
            Op::Read { .. } => Self::Read,
            Op::Edit { .. } => Self::Edit,
            Op::Delete { .. } => Self::Delete,
            Op::Hide { .. } => Self::Hide,
            Op::PurgeGroup(_) => Self::PurgeGroup,
            Op::Deliver { .. } => Self::Deliver,
            Op::React { .. } => Self::React,
            Op::Pin { .. } => Self::Pin,
        }
    }

    /// Its number in the journal.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// The kind of this number.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its name, for people and in dead letters.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Hide => "hide",
            Self::PurgeGroup => "purge_group",
            Self::Deliver => "deliver",
            Self::React => "react",
            Self::Pin => "pin",
        }
    }
}

/// Why something that was written down is no op.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// It is no BSON, or a field is missing or of another type.
    #[error("its body can't be read: {0}")]
    Bson(#[from] bson::error::Error),
    /// The same of JSON.
    #[error("it can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value that is none of those known.
    #[error("its field {0} has an unknown value")]
    Value(&'static str),
}

/// An op's body as BSON.
///
/// # Errors
/// An object in it has a key with a NUL character, or a number above 2^63 - 1.
pub(super) fn encode(op: &Op) -> bson::error::Result<Vec<u8>> {
    bson::serialize_to_vec(&Body::of(op))
}

/// Reads an op's body.
pub(super) fn decode(kind: Kind, body: &[u8]) -> Result<Op, DecodeError> {
    match kind {
        Kind::Send => Body::Send(bson::deserialize_from_slice(body)?),
        Kind::Read => Body::Read(bson::deserialize_from_slice(body)?),
        Kind::Edit => Body::Edit(bson::deserialize_from_slice(body)?),
        Kind::Delete => Body::Delete(bson::deserialize_from_slice(body)?),
        Kind::Hide => Body::Hide(bson::deserialize_from_slice(body)?),
        Kind::PurgeGroup => Body::PurgeGroup(bson::deserialize_from_slice(body)?),
        Kind::Deliver => Body::Deliver(bson::deserialize_from_slice(body)?),
        Kind::React => Body::React(bson::deserialize_from_slice(body)?),
        Kind::Pin => Body::Pin(bson::deserialize_from_slice(body)?),
    }
    .into_op()
}

/// An op as JSON: `{"kind": "send", "op": {...}}`.
pub(super) fn to_json(op: &Op) -> serde_json::Result<Value> {
    Ok(json!({"kind": Kind::of(op).name(), "op": serde_json::to_value(Body::of(op))?}))
}

/// Reads what [`to_json`] made.
pub(super) fn from_json(written: Value) -> Result<Op, DecodeError> {
    #[derive(Deserialize)]
    struct Written {
        kind: String,
        op: Value,
    }
    let Written { kind, op } = serde_json::from_value(written)?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    match kind.ok_or(DecodeError::Value("kind"))? {
        Kind::Send => Body::Send(serde_json::from_value(op)?),
        Kind::Read => Body::Read(serde_json::from_value(op)?),
        Kind::Edit => Body::Edit(serde_json::from_value(op)?),
        Kind::Delete => Body::Delete(serde_json::from_value(op)?),
        Kind::Hide => Body::Hide(serde_json::from_value(op)?),
        Kind::PurgeGroup => Body::PurgeGroup(serde_json::from_value(op)?),
        Kind::Deliver => Body::Deliver(serde_json::from_value(op)?),
        Kind::React => Body::React(serde_json::from_value(op)?),
        Kind::Pin => Body::Pin(serde_json::from_value(op)?),
    }
    .into_op()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::message::user;
    use super::*;
    use crate::buffer::testing::{group_text, ops, sent, text};
    use crate::model::{
        ClientId, Content, ContentType, Emoji, GroupId, Message, MessageId, Pin, Reaction,
        Revision, Status, Timestamp,
    };

    fn full() -> Op {
        let object = json!({
            "empty": {}, "list": [1, -1, i64::MAX, i64::MIN, 0.5, 1.0, true, null, "x", [{}]],
            "text": "naïve 漢字 🎈 \u{0}", "dotted.key": {"ключ": ""},
        });
        let object = object.as_object().unwrap().clone();
        let base = sent(&group_text(GroupId::mint(), "")).clone();
        Op::Send(Arc::new(Message {
            old_id: Some("old".to_owned()),
            client_id: Some(ClientId::parse("c-1").unwrap()),
            content: Content::Object(object.clone()),
            content_type: ContentType::Voice,
            media_url: Some("/uploads/a.png".to_owned()),
            media_metadata: Some(object),
            status: Status::Delivered,
            read_by: vec![user("zoë"), user("b")],
            deleted_for: vec![user("c")],
            edited_at: Some(Timestamp(-5)),
            reply_to: Some(MessageId::mint()),
            mentions: vec![user("zoë")],
            reactions: vec![Reaction { user: user("b"), emoji: Emoji::from_stored("👍🏽") }],
            pin: Some(Pin { pinned: true, by: user("b"), at: Timestamp(7) }),
            revisions: vec![Revision { content: Content::Text("x".to_owned()), at: Timestamp(1) }],
            ..base
        }))
    }

    fn check(op: &Op) {
        let body = encode(op).unwrap();
        assert_eq!(decode(Kind::of(op), &body).unwrap(), *op);
        assert_eq!(from_json(to_json(op).unwrap()).unwrap(), *op);
    }

    #[test]
    fn every_field_reads_back_as_it_was_written() {
        check(&full());
        check(&text(""));
    }

    #[test]
    fn a_kind_keeps_its_number() {
        let codes = Kind::ALL.map(|kind| (kind.code(), kind.name()));
        let known =
            ["send", "read", "edit", "delete", "hide", "purge_group", "deliver", "react", "pin"];
        assert_eq!(codes.to_vec(), (1..).zip(known).collect::<Vec<_>>());
        assert_eq!((Kind::from_code(0), Kind::from_code(10)), (None, None));
    }

    #[test]
    fn what_is_no_op_is_an_error() {
        let body = encode(&text("a")).unwrap();
        assert!(decode(Kind::Edit, &body).is_err(), "of another kind");
        for cut in 0..body.len() {
            assert!(decode(Kind::Send, &body[..cut]).is_err(), "cut at {cut}");
        }
        assert!(from_json(json!({"kind": "sing", "op": {}})).is_err());
        assert!(from_json(json!([])).is_err());
    }

    proptest! {
        #[test]
        fn every_op_reads_back(run in ops()) {
            run.iter().for_each(|op| check(op));
        }

        #[test]
        fn bytes_that_mean_nothing_are_refused_without_a_panic(
            code in 1_u8..10, body in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = decode(Kind::from_code(code).unwrap(), &body);
        }
    }
}
