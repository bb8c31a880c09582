//! The answers to a client's events.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::accounts::Hidden;
use super::message::MessageRow;
use crate::error::Error;
use crate::model::{Message, MessageId, SyncPage, Timestamp, UserId};

/// What an event's acknowledgement carries: `{ok: true, ...}` or
/// `{ok: false, error: {code, message}}`.
#[derive(Debug)]
pub enum Ack {
    /// It was done.
    Done,
    /// It was done, and a `success` event says so in these words.
    Success(&'static str),
    /// A message was accepted.
    Sent(Arc<Message>),
    /// It was done; where a message is named, as far back as that one.
    ReadBackTo(Option<MessageId>),
    /// What a user has missed.
    Synced(UserId, Box<SyncPage>),
    /// The socket lives on until then.
    Renewed {
        /// Until when.
        expires_at: Timestamp,
        /// The tokens that were given for a refresh token: the next access and refresh token.
        tokens: Option<(Hidden, Hidden)>,
    },
    /// It was not done.
    Failed(Error),
}

impl From<Result<Self, Error>> for Ack {
    fn from(result: Result<Self, Error>) -> Self {
        result.unwrap_or_else(Self::Failed)
    }
}

impl Serialize for Ack {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut ack = to.serialize_map(None)?;
        ack.serialize_entry("ok", &!matches!(self, Self::Failed(_)))?;
        match self {
            Self::Done | Self::Success(_) | Self::ReadBackTo(None) => {}
            Self::ReadBackTo(Some(next)) => ack.serialize_entry("next", &next.to_string())?,
            Self::Sent(message) => ack.serialize_entry("message", &MessageRow(message))?,
            Self::Renewed { expires_at, tokens } => {
                ack.serialize_entry("expires_at", &super::iso(*expires_at))?;
                if let Some((Hidden(access), Hidden(refresh))) = tokens {
                    ack.serialize_entry("access_token", access)?;
                    ack.serialize_entry("refresh_token", refresh)?;
                }
            }
            Self::Synced(user, page) => super::sync::page(page, user, &mut ack)?,
            Self::Failed(error) => ack.serialize_entry("error", &Failure::from(error))?,
        }
        ack.end()
    }
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { code: error.code().as_str(), message: error.to_string() }
    }
}

/// A line for people, as `error` and `success` events carry it: `{message}`.
#[derive(Debug, Serialize)]
pub struct Notice {
    /// The line.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_has_a_code_and_a_text() {
        let ack = Ack::Failed(Error::BufferFull);
        let body = serde_json::to_value(&ack).unwrap();
        assert_eq!(body["ok"], json!(false));
        assert_eq!(body["error"]["code"], json!("buffer_full"));
        assert_eq!(serde_json::to_value(Ack::Done).unwrap(), json!({"ok": true}));
    }
}
