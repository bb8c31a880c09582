//! Receipts: what was read, and what has come.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Users;
use crate::model::{MessageId, Reading, UserId};

struct MessageIds<'a>(&'a [MessageId]);

impl Serialize for MessageIds<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

/// `{message_id, read_by, read_count?, message_ids?, reader?}`.
pub(super) fn reading<M: SerializeMap>(reading: &Reading, body: &mut M) -> Result<(), M::Error> {
    body.serialize_entry("message_id", &reading.newest.1.to_string())?;
    body.serialize_entry("read_by", &Users(&reading.read_by))?;
    if let Some(count) = reading.read_count {
        body.serialize_entry("read_count", &count)?;
    }
    if reading.messages.len() > 1 {
        body.serialize_entry("message_ids", &MessageIds(&reading.messages))?;
        body.serialize_entry("reader", reading.reader.as_str())?;
    }
    Ok(())
}

/// `{message_id, user_id, message_ids?}`.
pub(super) fn delivery<M: SerializeMap>(
    messages: &[MessageId],
    user: &UserId,
    body: &mut M,
) -> Result<(), M::Error> {
    body.serialize_entry("message_id", &messages.last().map(ToString::to_string))?;
    body.serialize_entry("user_id", user.as_str())?;
    if messages.len() > 1 {
        body.serialize_entry("message_ids", &MessageIds(messages))?;
    }
    Ok(())
}
