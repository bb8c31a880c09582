//! What `GET /search` answers.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::message::MessageRow;
use crate::model::{Message, MessageId};

/// What a search has found.
#[derive(Debug, Clone, Copy)]
pub struct SearchResults<'a> {
    /// The messages, each with its excerpt.
    pub rows: &'a [(Message, String)],
    /// Whether there may be more.
    pub more: bool,
    /// What to give as `before` for these.
    pub next: Option<MessageId>,
}

impl Serialize for SearchResults<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            message: MessageRow<'a>,
            excerpt: &'a str,
        }
        let rows = self.rows.iter();
        let rows: Vec<_> =
            rows.map(|(message, excerpt)| Row { message: MessageRow(message), excerpt }).collect();
        let mut answer = to.serialize_map(Some(3))?;
        answer.serialize_entry("results", &rows)?;
        answer.serialize_entry("more", &self.more)?;
        answer.serialize_entry("next", &self.next.map(|id| id.to_string()))?;
        answer.end()
    }
}
