//! A client's event, decoded where the library hands it over.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use socketioxide::SendError;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;
use tokio::time::Instant;

use super::connect::Session;
use crate::error::Error;
use crate::limits::Verdict;
use crate::wire::events::{CLIENT_EVENTS, ClientEvent};

/// An event as it came in. The library would drop one that does not decode; this keeps the reason,
/// so that the client gets an answer.
pub(super) struct Incoming {
    /// Whether its socket sends too fast; such an event is not even read.
    pub(super) verdict: Verdict,
    /// Its name, one of [`CLIENT_EVENTS`] or [`UNKNOWN`].
    pub(super) name: &'static str,
    /// What it asks for; `None` for an event that the server does not know, or does not read.
    pub(super) event: Option<Result<ClientEvent, Error>>,
    /// The size of its frame.
    pub(super) bytes: usize,
    /// Where the answer goes, if the client wants one.
    pub(super) ack: Option<AckTo>,
}

/// The name under which all events are counted that the server does not know: names that clients
/// make up must not make up metrics.
pub(super) const UNKNOWN: &str = "unknown";

/// Where the answer to an event goes. The library gives a sender for one try; an answer may need
/// more than one.
#[derive(Debug, Clone)]
pub(super) struct AckTo {
    socket: Arc<Socket>,
    id: i64,
}

impl AckTo {
    /// Where the answer to an event of this socket goes, if it has an id for one.
    pub(super) fn of(socket: &Arc<Socket>, id: Option<i64>) -> Option<Self> {
        id.map(|id| Self { socket: Arc::clone(socket), id })
    }

    /// What the client calls it.
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// Tries to send the answer.
    pub(super) fn send(&self, answer: &RawValue) -> Result<(), SendError> {
        let mut unused = Value::Bytes(Bytes::new());
        let sender = AckSender::from_message_parts(&self.socket, &mut unused, &Some(self.id));
        match sender {
            Ok(sender) => sender.send(answer),
            Err(never) => match never {},
        }
    }
}

impl FromMessageParts<LocalAdapter> for Incoming {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket>,
        value: &mut Value,
        ack_id: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let (frame, has_attachments) = match value {
            Value::Str(frame, attachments) => {
                (frame.as_str(), attachments.as_ref().is_some_and(|a| !a.is_empty()))
            }
            // A frame of bytes alone is of another parser than ours.
            Value::Bytes(_) => ("", false),
        };
        let ack = AckTo::of(socket, *ack_id);
        let session = socket.extensions.get::<Arc<Session>>();
        let verdict = session.map(|session| session.events.lock().count(Instant::now()));
        let verdict = verdict.unwrap_or(Verdict::Taken);
        Ok(Self { ack, ..Self::read(frame, has_attachments, verdict) })
    }
}

impl Incoming {
    fn read(frame: &str, has_attachments: bool, verdict: Verdict) -> Self {
        let bytes = frame.len();
        let known =
            name_of(frame).and_then(|name| CLIENT_EVENTS.into_iter().find(|known| *known == name));
        let Some(name) = known else {
            return Self { verdict, name: UNKNOWN, event: None, bytes, ack: None };
        };
        let event = if verdict != Verdict::Taken {
            None
        } else if has_attachments {
            Some(Err(Error::Invalid("binary attachments are not taken; upload the file".into())))
        } else {
            ClientEvent::decode(name, frame)
        };
        Self { verdict, name, event, bytes, ack: None }
    }
}

/// The first element of `["name", ...]`, where it is written without escapes, as all known are.
fn name_of(frame: &str) -> Option<&str> {
    let inside = frame.trim_start().strip_prefix('[')?.trim_start().strip_prefix('"')?;
    inside.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_clients_make_up_are_one_name() {
        for frame in [r#"["drop_table"]"#, r#"["\u0073end_message"]"#, "[7]", "{}", "", "["] {
            let incoming = Incoming::read(frame, false, Verdict::Taken);
            assert_eq!(incoming.name, UNKNOWN, "{frame}");
            assert!(incoming.event.is_none());
        }
    }

    #[test]
    fn attachments_are_refused_with_a_reason() {
        let frame = r#"["send_message",{"_placeholder":true,"num":0}]"#;
        let incoming = Incoming::read(frame, true, Verdict::Taken);
        let refusal = incoming.event.unwrap().unwrap_err();
        assert!(refusal.to_string().contains("upload"), "{refusal}");
    }
}
