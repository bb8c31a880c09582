//! Every JSON shape that goes in or out: the one place that knows field names.

pub mod accounts;
pub mod ack;
pub mod admin_ui;
pub mod attach;
pub mod events;
pub mod groups;
pub mod health;
pub mod message;
pub mod nodes;
mod payload;
pub mod plain;
pub mod privacy;
mod receipts;
pub mod rest;
pub mod rooms;
pub mod schema;
pub mod search;
pub mod sync;
pub mod told;

use serde::{Serialize, Serializer};

use crate::model::{Timestamp, UserId};

/// A time as ISO 8601 in UTC with six digits of a second and an offset, as the old server wrote it:
/// `2026-01-31T12:00:00.123000+00:00`.
pub fn iso(at: Timestamp) -> String {
    let at =
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// Reads a time from outside: ISO 8601 with an offset, or `Z`.
pub fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

/// Users as a list of texts.
pub(crate) struct Users<'a>(pub &'a [UserId]);

impl Serialize for Users<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(UserId::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_the_old_servers_form() {
        assert_eq!(iso(Timestamp(0)), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(iso(Timestamp(1_769_860_800_123)), "2026-01-31T12:00:00.123000+00:00");
    }

    #[test]
    fn times_are_read_with_any_offset_and_not_without() {
        let at = Some(Timestamp(1_769_860_800_123));
        for text in [
            "2026-01-31T12:00:00.123000+00:00",
            "2026-01-31T12:00:00.123Z",
            "2026-01-31T13:30:00.123+01:30",
        ] {
            assert_eq!(time(text), at, "{text}");
        }
        for text in ["", "2026-01-31", "2026-01-31T12:00:00", "soon", "1769860800"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
