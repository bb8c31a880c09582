use super::*;
use crate::error::ErrorCode;
use crate::model::{ClientId, Draft, MessageId, Reading, testing};

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn ann() -> Dialect {
    Dialect::Pair(user("ann"))
}

fn lobby() -> Dialect {
    Dialect::Lobby(Username::parse("ann").unwrap())
}

fn event(dialect: &Dialect, frame: &str) -> Result<ClientEvent, Error> {
    match dialect.read(frame).asked? {
        Asked::Event(event) => Ok(event),
        Asked::Ping => panic!("a ping: {frame}"),
    }
}

fn sent(dialect: &Dialect, frame: &str) -> Draft {
    match event(dialect, frame) {
        Ok(ClientEvent::SendMessage(draft)) => draft,
        other => panic!("{frame}: {other:?}"),
    }
}

fn refused(dialect: &Dialect, frame: &str, code: ErrorCode, words: &str) {
    let error = event(dialect, frame).unwrap_err();
    assert_eq!(error.code(), code, "{frame}: {error}");
    assert!(error.to_string().contains(words), "{frame}: {error}");
}

fn message(from: &str, target: Target, content: Content) -> Message {
    let timestamp = Timestamp(1_769_860_800_123);
    Message { content, timestamp, ..testing::message(from, target) }
}

fn said(from: &str, target: Target, text: &str) -> Event {
    Event::Sent(message(from, target, Content::Text(text.into())).into())
}

fn written(form: Form, event: &Event) -> Value {
    serde_json::from_str(&super::event(form, event, "Ann").expect("has words")).unwrap()
}

#[test]
fn a_pair_is_split_at_its_first_two_colons() {
    let draft = sent(&ann(), "ann:bob:at 12:30: here");
    assert_eq!(draft.target, Target::User(user("bob")));
    assert_eq!(draft.content, Content::Text("at 12:30: here".into()));
    assert_eq!(sent(&ann(), "ann:bob:").content, Content::Text(String::new()));
}

#[test]
fn a_pair_may_be_json_with_a_client_id() {
    let frame = r#" {"sender_id": "ann", "receiver_id": "b:b", "message": "hi", "client_id": "1"}"#;
    let draft = sent(&ann(), frame);
    assert_eq!(draft.target, Target::User(user("b:b")));
    assert_eq!(draft.client_id, Some(ClientId::parse("1").unwrap()));
}

#[test]
fn a_pair_of_the_wrong_form_says_what_is_right() {
    use ErrorCode::{Forbidden, InvalidPayload};
    refused(&ann(), "hello", InvalidPayload, "sender_id:receiver_id:message");
    refused(&ann(), "ann:bob", InvalidPayload, "sender_id:receiver_id:message");
    refused(&ann(), "ann::hi", InvalidPayload, "user id");
    refused(&ann(), "bob:ann:hi", Forbidden, "sender_id");
    refused(&ann(), "{not json", InvalidPayload, "JSON object");
    refused(&ann(), r#"{"sender_id": "ann", "message": "hi"}"#, InvalidPayload, "receiver_id");
    let other = r#"{"sender_id": "eve", "receiver_id": "bob", "message": "hi"}"#;
    refused(&ann(), other, Forbidden, "sender_id");
    let operator = r#"{"sender_id": "ann", "receiver_id": {"$ne": 1}, "message": "hi"}"#;
    refused(&ann(), operator, InvalidPayload, "string");
}

#[test]
fn the_first_frame_tells_the_form() {
    assert_eq!(ann().form("ann:bob:hi"), Form::PairText);
    assert_eq!(ann().form(r#" {"sender_id": 1}"#), Form::PairJson);
    assert_eq!(lobby().form("{"), Form::Lobby);
}

#[test]
fn the_lobby_takes_text_and_json_with_content() {
    for (frame, content) in [
        ("hello", "hello"),
        (r#"{"content": "hello"}"#, "hello"),
        (r#"{"type": "message", "username": "eve", "content": "hello"}"#, "hello"),
        ("{hello", "{hello"),
        (r#"{"hello": 1}"#, r#"{"hello": 1}"#),
        ("[1]", "[1]"),
    ] {
        let draft = sent(&lobby(), frame);
        assert_eq!(draft.content, Content::Text(content.into()), "{frame}");
        assert_eq!(draft.target, Target::Group(GroupId::LOBBY));
    }
    refused(&lobby(), r#"{"content": 7}"#, ErrorCode::InvalidPayload, "a string or an object");
}

#[test]
fn a_rooms_frames_are_the_events_of_socket_io() {
    let group = GroupId::mint();
    let room = Dialect::Room(group);
    let draft = sent(&room, r#"{"type": "message", "content": "hi", "client_id": "c"}"#);
    assert_eq!(draft.target, Target::Group(group));
    let id = MessageId::mint().to_string();
    let names = [
        ("message", r#""content": "a""#.to_owned(), "send_message"),
        ("typing", r#""is_typing": true"#.into(), "typing_start"),
        ("typing", r#""is_typing": false"#.into(), "typing_stop"),
        ("read", format!(r#""message_ids": ["{id}"]"#), "mark_read"),
        ("edit", format!(r#""message_id": "{id}", "content": "b""#), "edit_message"),
        ("delete", format!(r#""message_id": "{id}", "delete_for": "me""#), "delete_message"),
        ("react", format!(r#""message_id": "{id}", "emoji": "👍""#), "add_reaction"),
        (
            "react",
            format!(r#""message_id": "{id}", "emoji": "👍", "on": false"#),
            "remove_reaction",
        ),
    ];
    for (kind, fields, name) in names {
        let frame = room.read(&format!(r#"{{"type": "{kind}", "ref": 7, {fields}}}"#));
        assert_eq!(frame.name, Some(name), "{frame:?}");
        assert_eq!(frame.reference, Some(json!(7)));
        assert!(matches!(frame.asked, Ok(Asked::Event(_))), "{frame:?}");
    }
    assert!(matches!(room.read(r#"{"type": "ping"}"#).asked, Ok(Asked::Ping)));
}

#[test]
fn a_rooms_frame_of_the_wrong_form_says_what_is_right() {
    let room = Dialect::Room(GroupId::mint());
    for (frame, words) in [
        ("hello", "JSON object"),
        ("[]", "JSON object"),
        ("{}", "type must be message"),
        (r#"{"type": "drop"}"#, "type must be message"),
        (r#"{"type": "edit", "message_id": "a"}"#, "content"),
        (r#"{"type": "read"}"#, "message_id"),
        (r#"{"type": "message", "content": {"$gt": 1}}"#, "must not start"),
        (r#"{"type": "react", "message_id": "a", "emoji": "text"}"#, "emoji"),
        (r#"{"type": "ping", "ref": {}}"#, "ref must be"),
    ] {
        refused(&room, frame, ErrorCode::InvalidPayload, words);
    }
    let long = format!(r#"{{"type": "ping", "ref": "{}"}}"#, "x".repeat(65));
    refused(&room, &long, ErrorCode::InvalidPayload, "ref has up to 64");
}

#[test]
fn a_message_to_a_user_in_both_forms() {
    let event = said("bob", Target::User(user("ann")), "at 12:30");
    assert_eq!(super::event(Form::PairText, &event, "").unwrap(), "bob:at 12:30");
    let json = json!({"sender_id": "bob", "receiver_id": "ann", "message": "at 12:30"});
    assert_eq!(written(Form::PairJson, &event), json);
    let object = Content::Object(json!({"caption": "x"}).as_object().unwrap().clone());
    let mut message = message("bob", Target::User(user("ann")), object);
    assert_eq!(text_of(&message), r#"{"caption":"x"}"#);
    message.content = Content::Text(String::new());
    message.media_url = Some("/uploads/a.png".into());
    assert_eq!(text_of(&message), "/uploads/a.png");
}

#[test]
fn a_message_in_the_lobby_has_four_fields() {
    let event = said("u1", LOBBY, "hi");
    let wanted = json!({
        "type": "message", "username": "Ann", "content": "hi",
        "timestamp": "2026-01-31T12:00:00.123000+00:00",
    });
    assert_eq!(written(Form::Lobby, &event), wanted);
    let notice = lobby_notice(&Username::parse("bob").unwrap(), true, Timestamp(0));
    let notice: Value = serde_json::from_str(&notice).unwrap();
    assert_eq!(notice["type"], "system");
    assert_eq!(notice["content"], "bob joined");
}

#[test]
fn what_happens_in_a_room_has_the_fields_of_socket_io_and_one_type() {
    let (group, id) = (GroupId::mint(), MessageId::mint());
    let event = written(Form::Room, &said("bob", Target::Group(group), "hi"));
    assert_eq!(event["type"], "message");
    assert_eq!(event["from_user_id"], "bob");
    assert_eq!(event["group_id"], group.to_string());
    let deleted = Event::Deleted { message: id, in_group: true, deleted_at: Timestamp(0) };
    let event = written(Form::Room, &deleted);
    assert_eq!((&event["type"], &event["delete_for"]), (&json!("delete"), &json!("everyone")));
    let event = written(Form::Room, &Event::Hidden { message: id });
    assert_eq!((&event["type"], &event["delete_for"]), (&json!("delete"), &json!("me")));
    assert_eq!(event["message_id"], id.to_string());
}

#[test]
fn each_dialect_hears_its_own() {
    let group = GroupId::mint();
    let (room, other) = (Dialect::Room(group), Dialect::Room(GroupId::mint()));
    let to_ann = said("bob", Target::User(user("ann")), "hi");
    let from_ann = said("ann", Target::User(user("bob")), "hi");
    assert!(ann().hears_as_user(&to_ann) && !ann().hears_as_user(&from_ann));
    assert!(!room.hears_as_user(&to_ann) && !lobby().hears_as_user(&to_ann));
    let read = Event::Read(Reading {
        conversation: Conversation::Group(group),
        reader: user("bob"),
        messages: vec![MessageId::mint()],
        newest: (Timestamp(0), MessageId::mint()),
        read_by: Vec::new(),
        read_count: None,
    });
    assert!(room.hears_as_user(&read) && !other.hears_as_user(&read));
    assert!(!ann().hears_as_user(&read));
    assert!(room.hears_in_group(&read) && !lobby().hears_in_group(&read));
    assert!(lobby().hears_in_group(&said("bob", LOBBY, "hi")));
}

#[test]
fn an_answer_carries_its_reference_and_an_error_its_code() {
    let json = |form, reference, ack: &Ack| {
        super::answer(form, reference, ack)
            .map(|text| serde_json::from_str::<Value>(&text).unwrap())
    };
    assert_eq!(json(Form::Room, None, &Ack::Done), None);
    let wanted = json!({"type": "ack", "ok": true, "ref": "a"});
    assert_eq!(json(Form::Room, Some(json!("a")), &Ack::Done), Some(wanted));
    let full = Ack::Failed(Error::BufferFull);
    let told = json(Form::PairJson, None, &full).unwrap();
    assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("buffer_full")));
    assert!(told.get("ref").is_none());
    assert_eq!(json(Form::Lobby, Some(json!(1)), &full).unwrap()["ref"], 1);
    let text = super::answer(Form::PairText, None, &full).unwrap();
    assert!(text.starts_with("error:"), "{text}");
    assert_eq!(pong(Some(json!(3))), r#"{"ref":3,"type":"pong"}"#);
}
