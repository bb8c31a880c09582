//! Examples of what is said over Socket.IO.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::sync::Arc;

use banter::error::Error;
use banter::model::{
    Chat, ClientId, Content, ContentType, Conversation, Emoji, EndReason, Event, Group, GroupId,
    GroupNotice, GroupSummary, Happened, Message, MessageId, News, Next, Pin, Presence, Reaction,
    Reading, Role, Silence, Status, SyncCursor, SyncPage, Target, Timestamp, Unread, Until, UserId,
};
use banter::wire::accounts::Hidden;
use banter::wire::ack::Ack;
use serde_json::{Value, json};

/// How many kinds of events there are.
pub(crate) const KINDS: usize = 17;

/// A number for each kind of event. A new kind does not compile until it has one, and then has to
/// have an example.
pub(crate) fn kind(event: &Event) -> usize {
    match event {
        Event::Sent(_) => 0,
        Event::Read(_) => 1,
        Event::Delivered { .. } => 2,
        Event::Edited { .. } => 3,
        Event::Reacted { .. } => 4,
        Event::Pinned { .. } => 5,
        Event::Mentioned(_) => 6,
        Event::Deleted { .. } => 7,
        Event::Hidden { .. } => 8,
        Event::GroupNotice(_) => 9,
        Event::Unread { .. } => 10,
        Event::SyncRequired => 11,
        Event::Typing { .. } => 12,
        Event::Presence(_) => 13,
        Event::TokenExpiring { .. } => 14,
        Event::SignedOut { .. } => 15,
        Event::Left { .. } => 16,
    }
}

const AT: Timestamp = Timestamp(1_769_860_800_123);

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn users<const N: usize>(names: [&str; N]) -> Vec<UserId> {
    names.map(user).to_vec()
}

/// A message with the fields that each has.
fn plain() -> Message {
    Message {
        id: MessageId::mint(),
        old_id: None,
        client_id: None,
        target: Target::User(user("bob")),
        from: user("ann"),
        content: Content::Text("hello".to_owned()),
        content_type: ContentType::Text,
        media_url: None,
        media_metadata: None,
        timestamp: AT,
        status: Status::Sent,
        read_by: Vec::new(),
        deleted_for: users(["eve"]),
        edited_at: None,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        pin: None,
        revisions: Vec::new(),
    }
}

/// A message with every field.
fn full() -> Message {
    let object = json!({"text": "hi", "more": [1, {"a": null}]});
    Message {
        old_id: Some("5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11".to_owned()),
        client_id: Some(ClientId::parse("1").unwrap()),
        target: Target::Group(GroupId::mint()),
        content: Content::Object(object.as_object().unwrap().clone()),
        content_type: ContentType::Voice,
        media_url: Some("/uploads/a.ogg".to_owned()),
        media_metadata: object.as_object().cloned(),
        status: Status::Read,
        read_by: users(["ann", "bob"]),
        edited_at: Some(AT),
        reply_to: Some(MessageId::mint()),
        mentions: users(["bob"]),
        reactions: reactions(),
        pin: Some(pin(true)),
        ..plain()
    }
}

fn reactions() -> Vec<Reaction> {
    let reaction =
        |(name, emoji)| Reaction { user: user(name), emoji: Emoji::parse(emoji).unwrap() };
    [("bob", "👍"), ("ann", "👍"), ("ann", "🎉")].map(reaction).to_vec()
}

fn pin(pinned: bool) -> Pin {
    Pin { pinned, by: user("ann"), at: AT }
}

fn group() -> GroupSummary {
    let silences = [Until::Forever, Until::Time(AT)];
    let silenced = silences.map(|until| Silence { user: user("eve"), until }).to_vec();
    let group = Group {
        id: GroupId::mint(),
        name: "Friends".to_owned(),
        members: users(["ann", "bob", "eve"]),
        created_by: user("ann"),
        created_at: AT,
        owner: user("ann"),
        admins: users(["bob"]),
        silenced,
        is_public: false,
    };
    GroupSummary { group, member_count: 3 }
}

fn reading(messages: Vec<MessageId>, read_count: Option<u64>) -> Event {
    let newest = (AT, *messages.last().unwrap());
    let conversation = Conversation::direct(user("ann"), user("bob"));
    let (reader, read_by) = (user("bob"), users(["bob"]));
    Event::Read(Reading { conversation, reader, messages, newest, read_by, read_count })
}

fn notices() -> impl Iterator<Item = Event> {
    let happened = [
        Happened::MemberAdded,
        Happened::MemberRemoved,
        Happened::MemberLeft,
        Happened::Renamed("Colleagues".to_owned()),
        Happened::MadePublic,
        Happened::MadePrivate,
        Happened::RoleChanged(Role::Admin),
        Happened::OwnerChanged,
        Happened::Silenced(Until::Forever),
        Happened::Unsilenced,
        Happened::Muted(Until::Time(AT)),
        Happened::Unmuted,
    ];
    happened.into_iter().enumerate().map(|(at, what)| {
        let (to, by) =
            if at % 2 == 0 { (None, None) } else { (Some(user("bob")), Some(user("ann"))) };
        let text = "Something has happened".to_owned();
        Event::GroupNotice(GroupNotice { group: GroupId::mint(), text, at: AT, what, user: to, by })
    })
}

/// Events of every kind, in each of its forms.
pub(crate) fn events() -> Vec<Event> {
    let (one, two) = (MessageId::mint(), MessageId::mint());
    let in_group = Target::Group(GroupId::mint());
    let bob = || user("bob");
    let mut events = vec![
        Event::Sent(Arc::new(plain())),
        Event::Sent(Arc::new(full())),
        reading(vec![one], None),
        reading(vec![one, two], Some(2)),
        Event::Delivered { messages: vec![one], user: bob() },
        Event::Delivered { messages: vec![one, two], user: bob() },
        Event::Edited { message: one, content: full().content, edited_at: AT },
        Event::Reacted { message: one, reactions: reactions() },
        Event::Reacted { message: one, reactions: Vec::new() },
        Event::Pinned { message: one, pin: pin(false) },
        Event::Mentioned(Arc::new(plain())),
        Event::Mentioned(Arc::new(full())),
        Event::Deleted { message: one, in_group: true, deleted_at: AT },
        Event::Hidden { message: one },
        Event::Unread { unread: Unread { direct: 1, group: 1_000 }, at: AT },
        Event::SyncRequired,
        Event::Typing { user: bob(), to: Target::User(user("ann")), is_typing: true },
        Event::Typing { user: bob(), to: in_group, is_typing: false },
        Event::Presence(Presence { user: bob(), is_online: true, last_seen: Some(AT) }),
        Event::Presence(Presence { user: bob(), is_online: false, last_seen: None }),
        Event::TokenExpiring { at: AT },
        Event::Left { group: GroupId::mint() },
    ];
    let reasons = [EndReason::SignedOut, EndReason::Banned, EndReason::Expired];
    events.extend(reasons.map(|reason| Event::SignedOut { reason }));
    events.extend(notices());
    events
}

fn page() -> SyncPage {
    let (direct, summary) = (Conversation::direct(user("ann"), user("bob")), group());
    let of_group = Conversation::Group(summary.group.id);
    let chat = |conversation: &Conversation, last, group, muted| Chat {
        conversation: conversation.clone(),
        place: (AT, MessageId::mint()),
        last,
        unread: 7,
        group,
        muted,
    };
    let chats = vec![
        chat(&direct, Some(plain()), None, None),
        chat(&of_group, Some(full()), Some(summary.clone()), Some(Until::Time(AT))),
        chat(&of_group, None, Some(summary.clone()), None),
    ];
    let (message, id) = (MessageId::mint(), summary.group.id);
    let joined = |muted| News::Joined { group: Box::new(summary.clone()), muted };
    let news = vec![
        News::Message(Box::new(full())),
        News::Deleted { message, conversation: direct, at: AT },
        News::Deleted { message, conversation: of_group, at: AT },
        News::Hidden(message),
        joined(None),
        joined(Some(Until::Forever)),
        News::Group(Box::new(summary.clone())),
        News::Left(id),
        News::Read { group: id, up_to: message },
        News::Muted { group: id, until: Some(Until::Forever) },
        News::Muted { group: id, until: None },
    ];
    let next = Next::Conversations((AT, message));
    let cursor = SyncCursor { issued: AT, settled: 4, next };
    SyncPage { chats: Some(chats), news, cursor, more: true, complete: false }
}

/// Acknowledgements of every kind.
pub(crate) fn acks() -> Vec<Ack> {
    let hidden = |text: &str| Hidden(text.to_owned());
    let text = || "a line for people".into();
    let short = SyncPage { chats: None, news: Vec::new(), ..page() };
    let mut acks = vec![
        Ack::Done,
        Ack::Success("Message deleted successfully"),
        Ack::Sent(Arc::new(full())),
        Ack::ReadBackTo(None),
        Ack::ReadBackTo(Some(MessageId::mint())),
        Ack::Synced(user("ann"), Box::new(page())),
        Ack::Synced(user("ann"), Box::new(short)),
        Ack::Renewed { expires_at: AT, tokens: None },
        Ack::Renewed { expires_at: AT, tokens: Some((hidden("access"), hidden("refresh"))) },
    ];
    let errors = [
        Error::Invalid(text()),
        Error::Unauthorized(text()),
        Error::Forbidden(text()),
        Error::NotFound(text()),
        Error::Gone(text()),
        Error::Conflict(text()),
        Error::TooLarge(text()),
        Error::RateLimited(text()),
        Error::BufferFull,
        Error::Unavailable(None),
        Error::Internal(anyhow::anyhow!("a fault")),
    ];
    acks.extend(errors.map(Ack::Failed));
    acks
}

/// Payloads that no client may send, by their events.
pub(crate) fn wrong_payloads() -> Vec<(&'static str, Value)> {
    let id = "6b00a063f0168cc486000000";
    let to_bob = |field: &str, value: Value| {
        let mut payload = json!({"to": "bob", "type": "direct", "content": "hello"});
        payload[field] = value;
        payload
    };
    let many: Vec<_> = (0..201).map(|_| id).collect();
    vec![
        ("join_group", json!(7)),
        ("join_group", json!("Friends")),
        ("leave_group", json!({"group_id": id})),
        ("send_message", json!("hello")),
        ("send_message", json!({"to": "bob", "type": "direct"})),
        ("send_message", json!({"type": "direct", "content": "hello"})),
        ("send_message", to_bob("type", json!("all"))),
        ("send_message", to_bob("type", json!("group"))),
        ("send_message", to_bob("to", json!(""))),
        ("send_message", to_bob("content", json!(1))),
        ("send_message", to_bob("content_type", json!("exe"))),
        ("send_message", to_bob("media_url", json!({}))),
        ("send_message", to_bob("media_metadata", json!([]))),
        ("send_message", to_bob("client_id", json!(""))),
        ("send_message", to_bob("client_id", json!("x".repeat(65)))),
        ("send_message", to_bob("reply_to", json!("a b"))),
        ("send_message", to_bob("mentions", json!(vec!["bob"; 51]))),
        ("mark_read", json!({})),
        ("mark_read", json!({"message_id": id, "up_to": id})),
        ("mark_read", json!({"message_ids": []})),
        ("mark_delivered", json!({"message_ids": many})),
        ("mark_delivered", json!({"message_ids": id})),
        ("edit_message", json!({"message_id": id})),
        ("edit_message", json!({"message_id": id, "content": [1]})),
        ("delete_message", json!({"delete_for": "me"})),
        ("delete_message", json!({"message_id": id, "delete_for": "all"})),
        ("add_reaction", json!({"message_id": id})),
        ("add_reaction", json!({"message_id": id, "emoji": ""})),
        ("remove_reaction", json!({"message_id": "$ne", "emoji": "👍"})),
        ("pin_message", json!({})),
        ("unpin_message", json!({"message_id": 1})),
        ("sync", json!({"limit": 0})),
        ("sync", json!({"cursor": 1})),
        ("refresh_token", json!({})),
        ("refresh_token", json!({"token": "a", "refresh_token": "b"})),
        ("typing_start", json!({"to": "bob"})),
        ("typing_start", json!({"to": "bob", "type": "group"})),
        ("typing_stop", json!({"to": 1, "type": "direct"})),
    ]
}
