//! How far a client has caught up.

use std::fmt;

use bson::oid::ObjectId;

use super::{MessageId, Position, Timestamp};

/// A place in the order of changes that a store keeps: a version, and among equal ones an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// MongoDB: a BSON Timestamp, its seconds in the upper half. SQLite: a counter.
    pub version: u64,
    /// The id of what was changed.
    pub id: ObjectId,
}

impl Place {
    /// The place after everything of a version.
    pub fn after(version: u64) -> Self {
        Self { version, id: ObjectId::from_bytes([u8::MAX; 12]) }
    }
}

/// What a client gives to hear what it has missed. To clients it is an opaque text.
///
/// While pages are read, what is behind the last one may not be settled yet, so a cursor keeps two
/// versions: where the next page begins, and up to where everything that ever will be was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncCursor {
    /// When `settled` was so.
    pub issued: Timestamp,
    /// The version up to which the client needs nothing any more.
    pub settled: u64,
    /// What is read next.
    pub next: Next,
}

/// What a cursor's owner reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Changes after this place.
    Changes(Place),
    /// Conversations whose last message lies before this place, and then changes.
    Conversations(Position),
}

/// Why a text is no cursor; the text is meant for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor that 'sync' has given; leave it out to start over")]
pub struct InvalidCursor;

impl SyncCursor {
    /// Longest text of a cursor, in bytes.
    const MAX_BYTES: usize = 96;

    /// The cursor of a client that has been told everything up to a version.
    pub fn at(version: u64, issued: Timestamp) -> Self {
        Self { issued, settled: version, next: Next::Changes(Place::after(version)) }
    }

    /// Reads what [`fmt::Display`] has written.
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        Self::read(text).filter(|cursor| cursor.to_string() == text).ok_or(InvalidCursor)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_BYTES {
            return None;
        }
        let mut parts = text.split('.');
        let kind = parts.next()?;
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let issued = Timestamp(i64::try_from(number()?).ok()?);
        let settled = number()?;
        let next = match kind {
            "c" => Next::Changes(Place { version: number()?, id: id(parts.next()?)? }),
            "l" => {
                let at = Timestamp(i64::try_from(number()?).ok()?);
                Next::Conversations((at, MessageId(id(parts.next()?)?)))
            }
            _ => return None,
        };
        Some(Self { issued, settled, next })
    }
}

fn id(text: &str) -> Option<ObjectId> {
    ObjectId::parse_str(text).ok()
}

/// `<kind>.<issued>.<settled>.<next>`, numbers in hexadecimal.
impl fmt::Display for SyncCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issued, settled) = (self.issued.as_millis(), self.settled);
        match self.next {
            Next::Changes(Place { version, id }) => {
                write!(f, "c.{issued:x}.{settled:x}.{version:x}.{id}")
            }
            Next::Conversations((at, MessageId(id))) => {
                write!(f, "l.{issued:x}.{settled:x}.{:x}.{id}", at.as_millis())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back(
            issued in 0_i64.., settled in any::<u64>(), version in any::<u64>(), at in 0_i64..,
            id in any::<[u8; 12]>(), is_list in any::<bool>()
        ) {
            let id = ObjectId::from_bytes(id);
            let next = if is_list {
                Next::Conversations((Timestamp(at), MessageId(id)))
            } else {
                Next::Changes(Place { version, id })
            };
            let cursor = SyncCursor { issued: Timestamp(issued), settled, next };
            let text = cursor.to_string();
            prop_assert!(text.len() <= SyncCursor::MAX_BYTES);
            prop_assert_eq!(SyncCursor::parse(&text), Ok(cursor));
        }

        #[test]
        fn what_is_no_cursor_is_refused(text in any::<String>()) {
            prop_assert_eq!(SyncCursor::parse(&text), Err(InvalidCursor));
        }
    }

    #[test]
    fn a_cursor_has_one_form() {
        let good = SyncCursor::at(255, Timestamp(16)).to_string();
        assert_eq!(good, format!("c.10.ff.ff.{}", "f".repeat(24)));
        for bad in [
            good.to_uppercase(),
            good.replace("c.", "x."),
            good.replace("c.10", "c.010"),
            format!("{good}.0"),
            good[..good.len() - 1].to_owned(),
            String::new(),
        ] {
            assert_eq!(SyncCursor::parse(&bad), Err(InvalidCursor), "{bad:?}");
        }
    }
}
