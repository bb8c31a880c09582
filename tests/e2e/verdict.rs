//! What `crash_load.mjs` was told and has heard, held against what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::stored::Row;

/// Faults of one kind that are shown; all are counted.
const SHOWN: usize = 5;

/// Of a content, what is shown: the load begins each with its client id and what has changed.
const SHOWN_CHARS: usize = 60;

/// The load's last words.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct End {
    /// Every message that it has sent.
    pub(crate) messages: Vec<Sent>,
    /// Each `message` event, by the device that heard it, in order.
    heard: BTreeMap<String, Vec<Heard>>,
    /// Answers that it should not have got.
    failures: Vec<String>,
    /// Edits acknowledged.
    pub(crate) edits: usize,
    /// Deletions acknowledged.
    pub(crate) deletions: usize,
    /// Events that were answered after they had been sent more than once.
    pub(crate) repeats: usize,
}

/// A message as it must be in the end.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sent {
    client_id: String,
    /// The different `_id`s that its acknowledgements had.
    ids: Vec<String>,
    /// What the last acknowledged edit has left, to be filled up with `x` to the length.
    text: String,
    length: usize,
    deleted: bool,
}

/// The `_id` and the client id of a `message` event.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Heard(String, Option<String>);

impl End {
    /// `message` events of all devices.
    pub(crate) fn heard(&self) -> usize {
        self.heard.values().map(Vec::len).sum()
    }
}

impl Sent {
    fn content(&self) -> String {
        format!("{:x<1$}", self.text, self.length)
    }
}

/// What is wrong, by kind. Nothing may be.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<&'static str, Vec<String>>);

impl Faults {
    /// Holds what is stored, and what was heard, against what was acknowledged.
    pub(crate) fn find(end: &End, rows: &[Row]) -> Self {
        let mut faults = Self::default();
        for failure in &end.failures {
            faults.add("answered wrongly", failure);
        }
        faults.find_in_acknowledgements(&end.messages);
        faults.find_in_rows(&end.messages, rows);
        faults.find_in_heard(end);
        faults
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, kind: &'static str, detail: impl Into<String>) {
        self.0.entry(kind).or_default().push(detail.into());
    }

    fn find_in_acknowledgements(&mut self, messages: &[Sent]) {
        for message in messages {
            match message.ids.len() {
                0 => self.add("never acknowledged", &message.client_id),
                1 => {}
                _ => self.add(
                    "acknowledged under several ids",
                    format!("{} {:?}", message.client_id, message.ids),
                ),
            }
        }
    }

    fn find_in_rows(&mut self, messages: &[Sent], rows: &[Row]) {
        let mut by_id: BTreeMap<&str, &Row> = BTreeMap::new();
        let mut client_ids = BTreeSet::new();
        for row in rows {
            if by_id.insert(&row.id, row).is_some() {
                self.add("an id that is stored twice", &row.id);
            }
            if let Some(client_id) = &row.client_id
                && !client_ids.insert(client_id)
            {
                self.add("a client id that is stored twice", client_id);
            }
        }
        for message in messages {
            for id in &message.ids {
                self.compare(message, id, by_id.remove(id.as_str()));
            }
        }
        for row in by_id.values() {
            self.add("stored and not acknowledged", format!("{} {}", row.id, start(&row.content)));
        }
    }

    fn compare(&mut self, message: &Sent, id: &str, row: Option<&Row>) {
        let name = format!("{} {id}", message.client_id);
        match row {
            Some(_) if message.deleted => self.add("deleted and still stored", name),
            None if message.deleted => {}
            None => self.add("acknowledged and not stored", name),
            Some(row) => {
                if row.client_id.as_ref() != Some(&message.client_id) {
                    let other = &row.client_id;
                    self.add("stored under another client id", format!("{name} {other:?}"));
                }
                let (is, shall_be) = (&row.content, message.content());
                if *is != shall_be {
                    let detail = format!("{name} {} for {}", start(is), start(&shall_be));
                    self.add("stored with another content", detail);
                }
            }
        }
    }

    fn find_in_heard(&mut self, end: &End) {
        let mut acknowledged = BTreeMap::new();
        for message in &end.messages {
            acknowledged.extend(message.ids.iter().map(|id| (id, &message.client_id)));
        }
        for (device, heard) in &end.heard {
            let mut once = BTreeSet::new();
            for Heard(id, client_id) in heard {
                let detail = format!("{device}: {id} {client_id:?}");
                if !once.insert(id) {
                    self.add("heard twice", &detail);
                }
                if client_id.is_none() || acknowledged.get(id).copied() != client_id.as_ref() {
                    self.add("heard and not acknowledged", detail);
                }
            }
        }
    }
}

/// A content cut short, with its length.
fn start(content: &str) -> String {
    let start: String = content.chars().take(SHOWN_CHARS).collect();
    format!("{start:?} ({} bytes)", content.len())
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, details) in &self.0 {
            writeln!(f, "{kind}: {}", details.len())?;
            for detail in details.iter().take(SHOWN) {
                writeln!(f, "  {detail}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(client_id: &str, id: &str) -> Sent {
        let (client_id, text) = (client_id.to_owned(), format!("{client_id} says"));
        Sent { client_id, ids: vec![id.to_owned()], text, length: 12, deleted: false }
    }

    fn row(message: &Sent) -> Row {
        let (id, client_id) = (message.ids[0].clone(), Some(message.client_id.clone()));
        Row { id, client_id, content: message.content() }
    }

    /// Two messages, of which the second is deleted, as they should be.
    fn peace() -> (End, Vec<Row>) {
        let messages = vec![sent("a", "1"), Sent { deleted: true, ..sent("b", "2") }];
        let rows = vec![row(&messages[0])];
        let heard = messages.iter().map(|m| Heard(m.ids[0].clone(), Some(m.client_id.clone())));
        let heard = BTreeMap::from([("a phone".to_owned(), heard.collect())]);
        let failures = Vec::new();
        (End { messages, heard, failures, edits: 0, deletions: 1, repeats: 0 }, rows)
    }

    fn kinds(end: &End, rows: &[Row]) -> Vec<&'static str> {
        Faults::find(end, rows).0.into_keys().collect()
    }

    #[test]
    fn a_load_without_fault_passes() {
        let (end, rows) = peace();
        assert_eq!(rows[0].content, "a saysxxxxxx");
        assert_eq!(kinds(&end, &rows), Vec::<&str>::new());
    }

    #[test]
    fn faults_of_storing_are_found() {
        let (end, rows) = peace();
        let changed = |change: &dyn Fn(&mut Vec<Row>)| {
            let mut rows = rows.clone();
            change(&mut rows);
            kinds(&end, &rows)
        };
        assert_eq!(changed(&|rows| rows.clear()), ["acknowledged and not stored"]);
        assert_eq!(changed(&|rows| rows[0].content.clear()), ["stored with another content"]);
        assert_eq!(changed(&|rows| rows[0].client_id = None), ["stored under another client id"]);
        assert_eq!(changed(&|rows| rows.push(row(&end.messages[1]))), ["deleted and still stored"]);
        assert_eq!(
            changed(&|rows| rows.push(rows[0].clone())),
            ["a client id that is stored twice", "an id that is stored twice"]
        );
        assert_eq!(
            changed(&|rows| rows.push(row(&sent("a", "3")))),
            ["a client id that is stored twice", "stored and not acknowledged"]
        );
        assert_eq!(
            changed(&|rows| rows.push(row(&sent("c", "3")))),
            ["stored and not acknowledged"]
        );
    }

    #[test]
    fn faults_of_telling_are_found() {
        let (end, rows) = peace();
        let changed = |change: &dyn Fn(&mut End)| {
            let mut end = end.clone();
            change(&mut end);
            kinds(&end, &rows)
        };
        let hears = |id: &'static str, client_id: Option<&'static str>| {
            move |end: &mut End| {
                let heard = end.heard.get_mut("a phone").unwrap();
                heard.push(Heard(id.to_owned(), client_id.map(str::to_owned)));
            }
        };
        assert_eq!(changed(&hears("1", Some("a"))), ["heard twice"]);
        assert_eq!(changed(&hears("3", Some("a"))), ["heard and not acknowledged"]);
        assert_eq!(changed(&hears("3", None)), ["heard and not acknowledged"]);
        assert_eq!(changed(&|end| end.failures.push("no".to_owned())), ["answered wrongly"]);
        assert_eq!(
            changed(&|end| end.messages[1].ids.push("3".to_owned())),
            ["acknowledged under several ids"]
        );
        let unanswered = Sent { ids: Vec::new(), ..sent("c", "") };
        assert_eq!(changed(&|end| end.messages.push(unanswered.clone())), ["never acknowledged"]);
    }
}
