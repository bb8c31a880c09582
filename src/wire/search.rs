//! What `GET /search` answers.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::message::MessageRow;
use crate::model::Message;

/// The messages that were found, each with its excerpt, and whether there are more.
#[derive(Debug, Clone, Copy)]
pub struct SearchResults<'a>(pub &'a [(Message, String)], pub bool);

impl Serialize for SearchResults<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            message: MessageRow<'a>,
            excerpt: &'a str,
        }
        let rows = self.0.iter();
        let rows: Vec<_> =
            rows.map(|(message, excerpt)| Row { message: MessageRow(message), excerpt }).collect();
        let mut answer = to.serialize_map(Some(2))?;
        answer.serialize_entry("results", &rows)?;
        answer.serialize_entry("more", &self.1)?;
        answer.end()
    }
}
