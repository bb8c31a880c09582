//! Identifiers, parsed once at the edge.

use serde::{Deserialize, Serialize};

use std::fmt;
use std::sync::Arc;

use bson::oid::ObjectId;

/// Why a text is not an identifier; the text is meant for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A user id is empty, too long or holds a control character.
    #[error("a user id is 1 to {max} bytes without control characters", max = UserId::MAX_BYTES)]
    User,
    /// A group id is not 24 hexadecimal digits.
    #[error("a group id is 24 hexadecimal digits")]
    Group,
    /// A message id is neither 24 hexadecimal digits nor an id of the old server.
    #[error("a message id is 1 to {max} letters, digits, '-' or '_'", max = MessageRef::MAX_BYTES)]
    Message,
    /// A session id is not 24 hexadecimal digits.
    #[error("a session id is 24 hexadecimal digits")]
    Session,
    /// A client id is empty, too long or holds a control character.
    #[error(
        "a client_id is 1 to {max} characters without control characters",
        max = ClientId::MAX_CHARS
    )]
    Client,
}

/// A user's id: an opaque text chosen by the client's application.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Longest user id, in bytes of UTF-8: it becomes part of room names and index keys.
    pub const MAX_BYTES: usize = 128;

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::User)
        }
    }

    /// Takes a text that a store already holds, whatever the old server let in.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An ObjectId in the 24 digits that clients and operators know it by.
mod hexadecimal {
    use bson::oid::ObjectId;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &ObjectId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&id.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectId, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        ObjectId::parse_str(text).map_err(D::Error::custom)
    }
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident, $error:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(#[serde(with = "hexadecimal")] pub ObjectId);

        impl $name {
            /// A new id; its first four bytes are the time in seconds.
            pub fn mint() -> Self {
                Self(ObjectId::new())
            }

            /// Reads 24 hexadecimal digits.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                ObjectId::parse_str(text).map(Self).map_err(|_| $error)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.to_hex())
            }
        }
    };
}

/// The name that a client gives to a message, its own for each: sending it again is the same
/// message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Longest client id, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Client)
        }
    }

    /// Takes a text that a store already holds.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

object_id!(
    /// The `_id` of a message, given when it is accepted.
    MessageId,
    InvalidId::Message
);
object_id!(
    /// The `_id` of a group.
    GroupId,
    InvalidId::Group
);
impl GroupId {
    /// The lobby: a group that everybody is in. Its id reads `banter-lobby`.
    pub const LOBBY: Self = Self(ObjectId::from_bytes(*b"banter-lobby"));
}

object_id!(
    /// The id of a sign-in, which its tokens name.
    SessionId,
    InvalidId::Session
);

/// How a client names a message: by its `_id`, or by the `id` under which the old server sent it
/// out live, which is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageRef(Arc<str>);

impl MessageRef {
    /// Longest id that the old server could have given (a UUID has 36).
    pub const MAX_BYTES: usize = 64;

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if fits && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Message)
        }
    }

    /// The text, as the old server's `id` field would hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `_id` that this text can be read as.
    pub fn as_id(&self) -> Option<MessageId> {
        MessageId::parse(&self.0).ok()
    }
}

impl From<MessageId> for MessageRef {
    fn from(id: MessageId) -> Self {
        Self(id.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_bounded_and_printable() {
        assert!(UserId::parse("alice").is_ok());
        assert!(UserId::parse(&"x".repeat(UserId::MAX_BYTES)).is_ok());
        for bad in ["", "a\nb", "a\0", &"x".repeat(UserId::MAX_BYTES + 1)] {
            assert_eq!(UserId::parse(bad), Err(InvalidId::User), "{bad:?}");
        }
    }

    #[test]
    fn a_client_id_is_counted_in_characters() {
        assert!(ClientId::parse(&"ж".repeat(ClientId::MAX_CHARS)).is_ok());
        for bad in ["", "a\nb", &"x".repeat(ClientId::MAX_CHARS + 1)] {
            assert_eq!(ClientId::parse(bad), Err(InvalidId::Client), "{bad:?}");
        }
    }

    #[test]
    fn a_message_ref_reads_both_kinds_of_id() {
        let id = MessageId::mint();
        assert_eq!(MessageRef::parse(&id.to_string()).unwrap().as_id(), Some(id));
        let uuid = MessageRef::parse("5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11").unwrap();
        assert_eq!(uuid.as_id(), None);
        for bad in ["", "a b", "$where", "{\"$ne\":1}", &"f".repeat(65)] {
            assert_eq!(MessageRef::parse(bad), Err(InvalidId::Message), "{bad:?}");
        }
    }
}
