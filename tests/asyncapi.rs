//! Holds docs/asyncapi.yaml against the code: it has the events and error codes that there are, and
//! its schemas fit what the server encodes and decodes.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use banter::model::{GroupId, Timestamp, UserId, Username};
use banter::wire::ack::{Ack, Notice};
use banter::wire::events::{CLIENT_EVENTS, ClientEvent};
use banter::wire::plain::{self, Dialect, Form};
use banter::wire::told;
use serde_json::{Value, json};

#[path = "support/live.rs"]
mod live;
#[path = "support/schemas.rs"]
mod schemas;
#[path = "support/sources.rs"]
mod sources;

struct Document(Value);

impl Document {
    fn read() -> Self {
        Self(yaml_serde::from_str(&sources::read("docs/asyncapi.yaml")).unwrap())
    }

    /// The operations of Socket.IO in one direction, by the events' names.
    fn operations(&self, action: &str) -> Vec<(&str, &Value)> {
        let all = self.0["operations"].as_object().unwrap().iter();
        let of_socket_io =
            all.filter(|(_, operation)| operation["channel"]["$ref"] == "#/channels/socket");
        let of_action = of_socket_io.filter(|(_, operation)| operation["action"] == json!(action));
        of_action.map(|(name, operation)| (name.as_str(), operation)).collect()
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => self.resolved(self.0.pointer(&place[1..]).unwrap()),
            None => value,
        }
    }

    fn payload(&self, message: &str) -> &Value {
        let payload = &self.0["components"]["messages"][message]["payload"];
        assert!(!payload.is_null(), "{message} is not described");
        payload
    }

    /// Asserts that what the server sends is described, every field of it.
    fn describes(&self, message: &str, sent: &Value) {
        let faults = schemas::faults(&self.0, self.payload(message), sent, true);
        assert!(faults.is_empty(), "{message}: {sent}: {faults:?}");
    }

    fn examples(&self, message: &str) -> Vec<&Value> {
        let examples = self.0["components"]["messages"][message]["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{message}");
        examples.iter().map(|example| &example["payload"]).collect()
    }

    fn allows(&self, message: &str, payload: &Value) -> bool {
        schemas::faults(&self.0, self.payload(message), payload, false).is_empty()
    }
}

fn names(operations: &[(&str, &Value)]) -> BTreeSet<String> {
    operations.iter().map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn the_document_has_the_events_that_exist() {
    let document = Document::read();
    assert!(document.0["asyncapi"].as_str().unwrap().starts_with("3.0."));
    assert_eq!(document.0["info"]["version"], json!(env!("CARGO_PKG_VERSION")));
    let taken: BTreeSet<_> = CLIENT_EVENTS.map(str::to_owned).into();
    assert_eq!(
        names(&document.operations("receive")),
        taken,
        "the document (left), the code (right)"
    );
    let told = sources::server_events();
    assert_eq!(names(&document.operations("send")), told, "the document (left), the code (right)");

    let channel = document.0["channels"]["socket"]["messages"].as_object().unwrap();
    let on_it: BTreeSet<_> = channel.keys().cloned().collect();
    assert_eq!(on_it, taken.union(&told).cloned().collect());
    assert!(schemas::resolve_all(&document.0) > 100);
}

#[test]
fn an_operation_carries_the_message_of_its_name_and_is_acknowledged() {
    let document = Document::read();
    let by_name = |message: &Value| {
        let place = message["$ref"].as_str().unwrap();
        place.rsplit('/').next().unwrap().to_owned()
    };
    for (action, is_acknowledged) in [("receive", true), ("send", false)] {
        for (name, operation) in document.operations(action) {
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
            let messages = operation["messages"].as_array().unwrap();
            assert_eq!(messages.iter().map(by_name).collect::<Vec<_>>(), [name]);
            let described = &document.0["channels"]["socket"]["messages"][name];
            assert_eq!(by_name(described), name);
            assert_eq!(operation["reply"].is_null(), !is_acknowledged, "{name}");
            if is_acknowledged {
                let reply = document.resolved(&operation["reply"])["messages"].as_array().unwrap();
                let replies: Vec<_> = reply.iter().map(by_name).collect();
                assert!(replies.len() == 2 && replies[1] == "failed", "{name}: {replies:?}");
            }
        }
    }
}

#[test]
fn the_document_has_the_error_codes_that_exist() {
    let document = Document::read();
    let codes = document.0["components"]["schemas"]["ErrorCode"]["enum"].as_array().unwrap();
    let codes: BTreeSet<_> = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    assert_eq!(codes, sources::error_codes(), "the document (left), the code (right)");
}

#[test]
fn what_clients_are_told_is_as_described() {
    let document = Document::read();
    let (mut kinds, mut told_of) = (BTreeSet::new(), BTreeSet::new());
    for event in live::events() {
        kinds.insert(live::kind(&event));
        let Some(name) = told::name(&event) else { continue };
        document.describes(name, &serde_json::to_value(told::Payload(&event)).unwrap());
        told_of.insert(name.to_owned());
    }
    assert_eq!(kinds, (0..live::KINDS).collect(), "a kind of event has no example");
    for name in ["success", "error"] {
        let notice = Notice { message: "Message deleted successfully".to_owned() };
        document.describes(name, &serde_json::to_value(notice).unwrap());
        told_of.insert(name.to_owned());
    }
    assert_eq!(told_of, sources::server_events());
}

#[test]
fn acknowledgements_are_as_described() {
    let document = Document::read();
    for ack in live::acks() {
        let message = match &ack {
            Ack::Done | Ack::Success(_) => "done",
            Ack::Sent(_) => "sent",
            Ack::ReadBackTo(_) => "marked",
            Ack::Synced(..) => "synced",
            Ack::Renewed { .. } => "renewed",
            Ack::Failed(_) => "failed",
        };
        document.describes(message, &serde_json::to_value(&ack).unwrap());
    }
}

/// What the server makes of a client's payload.
fn is_decoded(event: &str, payload: &Value) -> bool {
    ClientEvent::decode(event, &json!([event, payload]).to_string()).unwrap().is_ok()
}

#[test]
fn what_the_document_gives_as_examples_is_understood() {
    let document = Document::read();
    for event in CLIENT_EVENTS {
        for payload in document.examples(event) {
            assert!(document.allows(event, payload), "{event}: {payload}");
            assert!(is_decoded(event, payload), "{event}: {payload}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_by_the_document_and_by_the_server() {
    let document = Document::read();
    let mut tried = BTreeSet::new();
    for (event, payload) in live::wrong_payloads() {
        assert!(!document.allows(event, &payload), "the document allows {event}: {payload}");
        assert!(!is_decoded(event, &payload), "the server takes {event}: {payload}");
        tried.insert(event);
    }
    assert_eq!(tried, CLIENT_EVENTS.into(), "of some events nothing wrong was tried");
}

/// The dialects of plain WebSockets, each with the messages that its clients send.
fn dialects() -> [(Dialect, &'static [&'static str]); 3] {
    [
        (Dialect::Pair(UserId::parse("ann").unwrap()), &["pair_text", "pair_json"]),
        (Dialect::Room(GroupId::mint()), &["room_frame"]),
        (Dialect::Lobby(Username::parse("ann").unwrap()), &["lobby_said"]),
    ]
}

/// A payload as it is written in a frame.
fn frame(payload: &Value) -> String {
    payload.as_str().map_or_else(|| payload.to_string(), str::to_owned)
}

#[test]
fn plain_examples_are_understood_and_what_is_wrong_is_not() {
    let document = Document::read();
    for (dialect, messages) in dialects() {
        for message in messages {
            for payload in document.examples(message) {
                assert!(document.allows(message, payload), "{message}: {payload}");
                let read = dialect.read(&frame(payload));
                assert!(read.asked.is_ok(), "{payload}: {read:?}");
            }
        }
    }
    let [(pair, _), (room, _), (lobby, _)] = dialects();
    for (dialect, message, wrong) in [
        (&pair, "pair_text", json!("hello")),
        (&pair, "pair_text", json!("ann:bob")),
        (&pair, "pair_json", json!({"sender_id": "ann", "receiver_id": "bob"})),
        (&pair, "pair_json", json!({"sender_id": "ann", "receiver_id": 7, "message": ""})),
        (&room, "room_frame", json!("hello")),
        (&room, "room_frame", json!({"content": "hello"})),
        (&room, "room_frame", json!({"type": "shout"})),
        (&room, "room_frame", json!({"type": "ping", "ref": "x".repeat(65)})),
        (&room, "room_frame", json!({"type": "ping", "ref": []})),
        (&lobby, "lobby_said", json!({"content": 7})),
    ] {
        assert!(!document.allows(message, &wrong), "the document allows {message}: {wrong}");
        assert!(dialect.read(&frame(&wrong)).asked.is_err(), "the server takes {wrong}");
    }
}

#[test]
fn what_plain_clients_are_told_is_as_described() {
    let document = Document::read();
    let mut kinds = BTreeSet::new();
    for event in live::events() {
        if let Some(told) = plain::event(Form::Room, &event, "") {
            let mut told: Value = serde_json::from_str(&told).unwrap();
            assert!(document.allows("room_event", &told), "{told}");
            kinds.insert(told["type"].as_str().unwrap().to_owned());
            let mut by_socket_io = serde_json::to_value(told::Payload(&event)).unwrap();
            for field in ["type", "delete_for"] {
                told.as_object_mut().unwrap().remove(field);
                by_socket_io.as_object_mut().unwrap().remove(field);
            }
            assert_eq!(told, by_socket_io);
        }
        for (form, message) in [(Form::PairJson, "pair_told_json"), (Form::Lobby, "lobby_told")] {
            let Some(told) = plain::event(form, &event, "ann") else { continue };
            document.describes(message, &serde_json::from_str(&told).unwrap());
        }
        if let Some(told) = plain::event(Form::PairText, &event, "") {
            document.describes("pair_told_text", &told.into());
        }
    }
    let described = &document.payload("room_event")["properties"]["type"]["enum"];
    let described: BTreeSet<_> = described
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, described, "the code (left), the document (right)");

    let notice = plain::lobby_notice(&Username::parse("ann").unwrap(), true, Timestamp(0));
    document.describes("lobby_told", &serde_json::from_str(&notice).unwrap());
    for ack in live::acks() {
        // These answer what no plain client can ask.
        if matches!(ack, Ack::Synced(..) | Ack::Renewed { .. }) {
            continue;
        }
        for reference in [Some(json!(1)), Some(json!("a")), None] {
            if let Some(answer) = plain::answer(Form::Room, reference, &ack) {
                document.describes("answer", &serde_json::from_str(&answer).unwrap());
            }
        }
    }
    document.describes("answer", &serde_json::from_str(&plain::pong(Some(json!(1)))).unwrap());
}
