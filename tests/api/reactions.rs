//! Reactions: who may, what is told, and what rows show.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::Client;

crate::on_both_stores![
    a_reaction_is_told_to_both_and_seen_in_history,
    a_group_hears_of_every_reaction_in_order,
    what_changes_nothing_is_told_to_nobody,
    who_does_not_see_a_message_can_not_react_to_it,
    a_reaction_to_a_message_of_this_instant_outlives_the_server,
    a_message_has_a_thousand_reactions_at_the_most,
    a_row_without_attachments_has_no_fields_for_them,
];

const QUIET: Duration = Duration::from_millis(150);

fn with(id: &str, emoji: &str) -> Value {
    json!({"message_id": id, "emoji": emoji})
}

async fn done(client: &mut Client, event: &str, payload: Value) {
    assert_eq!(client.emit_ack(event, payload).await, json!({"ok": true}));
}

async fn a_reaction_is_told_to_both_and_seen_in_history(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    app.flushed().await;
    done(&mut bob, "add_reaction", with(&id, "👍")).await;
    let told = json!({"type": "reaction", "message_id": id, "reactions": {"👍": ["bob"]}});
    assert_eq!(ann.next_event("message_update").await, told);
    assert_eq!(bob.next_event("message_update").await, told);
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(app.direct("ann", "bob").await[0]["reactions"], json!({"👍": ["bob"]}));
        app.flushed().await;
    }
    done(&mut bob, "remove_reaction", with(&id, "👍")).await;
    assert_eq!(ann.next_event("message_update").await["reactions"], json!({}));
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(app.direct("ann", "bob").await[0].get("reactions"), None);
        app.flushed().await;
    }
}

async fn a_group_hears_of_every_reaction_in_order(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut cem = app.user("cem").await;
    cem.emit_ack("join_group", json!(group)).await;
    let id = sent(&mut ann, to_group(&group, "lunch?")).await;
    done(&mut bob, "add_reaction", with(&id, "🎈")).await;
    done(&mut ann, "add_reaction", with(&id, "👍")).await;
    done(&mut ann, "add_reaction", with(&id, "🎈")).await;
    let all = json!({"🎈": ["bob", "ann"], "👍": ["ann"]});
    for reactions in [&json!({"🎈": ["bob"]}), &json!({"🎈": ["bob"], "👍": ["ann"]}), &all] {
        assert_eq!(&cem.next_event("message_update").await["reactions"], reactions);
    }
    app.flushed().await;
    let row = &app.of_group("cem", &group).await[0];
    assert_eq!(row["reactions"].to_string(), all.to_string(), "with its order");
}

async fn what_changes_nothing_is_told_to_nobody(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    done(&mut bob, "remove_reaction", with(&id, "👍")).await;
    ann.no_event("message_update", QUIET).await;
    done(&mut bob, "add_reaction", with(&id, "👍")).await;
    ann.next_event("message_update").await;
    done(&mut bob, "add_reaction", with(&id, "👍")).await;
    ann.no_event("message_update", QUIET).await;
    assert_eq!(app.direct("ann", "bob").await[0]["reactions"], json!({"👍": ["bob"]}));
}

async fn who_does_not_see_a_message_can_not_react_to_it(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut eve = app.user("eve").await;
    let direct = sent(&mut ann, to_user("bob", "hello")).await;
    let in_group = sent(&mut ann, to_group(&group, "hello")).await;
    for _ in ["in the buffer", "stored"] {
        for event in ["add_reaction", "remove_reaction"] {
            refused(&mut eve, event, with(&direct, "👍"), "not_found").await;
            refused(&mut eve, event, with(&in_group, "👍"), "not_found").await;
            refused(&mut eve, event, with("0123456789abcdef01234567", "👍"), "not_found").await;
            refused(&mut bob, event, with(&direct, "ok"), "invalid_payload").await;
        }
        app.flushed().await;
    }
    bob.emit_ack("delete_message", json!({"message_id": direct, "delete_for": "me"})).await;
    refused(&mut bob, "add_reaction", with(&direct, "👍"), "not_found").await;
    ann.emit_ack("delete_message", json!({"message_id": in_group})).await;
    refused(&mut bob, "add_reaction", with(&in_group, "👍"), "not_found").await;
}

async fn a_reaction_to_a_message_of_this_instant_outlives_the_server(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    done(&mut ann, "add_reaction", with(&id, "❤️")).await;
    let app = app.restarted().await;
    assert_eq!(app.direct("bob", "ann").await[0]["reactions"], json!({"❤️": ["ann"]}));
}

async fn a_message_has_a_thousand_reactions_at_the_most(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "hello")).await;
    // Every flag that two regional indicators make, known or not, is one picture.
    let letters = || (0x1f1e6..0x1f200).filter_map(char::from_u32);
    let flags = letters().flat_map(|a| letters().map(move |b| format!("{a}{b}")));
    let skins = (0x1f3fb..0x1f400).filter_map(char::from_u32);
    let hands = ["👍", "👎", "👋", "👏", "💪", "👆", "👇", "👈", "👉", "👊", "👌", "🙌", "🙏"];
    let more = skins.flat_map(|skin| hands.map(|hand| format!("{hand}{skin}")));
    let people = ["👩", "👨"].into_iter();
    let jobs = ["🌾", "🍳", "🎓", "🎤", "🎨", "🏫", "🏭", "💻", "💼", "🔧", "🔬", "🚀", "🚒"];
    let skins = || (0x1f3fb..0x1f400).filter_map(char::from_u32);
    let workers = people.flat_map(|who| {
        skins().flat_map(move |skin| jobs.map(|job| format!("{who}{skin}\u{200d}{job}")))
    });
    let faces = (0x1f600..0x1f650).filter_map(char::from_u32).map(String::from);
    let animals = (0x1f400..0x1f440).filter_map(char::from_u32).map(String::from);
    let mut emoji: Vec<_> =
        flags.chain(more).chain(workers).chain(faces).chain(animals).take(1_001).collect();
    assert_eq!(emoji.len(), 1_001);
    let last = emoji.pop().unwrap();
    for emoji in &emoji {
        done(&mut ann, "add_reaction", with(&id, emoji)).await;
    }
    refused(&mut ann, "add_reaction", with(&id, &last), "too_large").await;
    done(&mut ann, "add_reaction", with(&id, &emoji[0])).await;
    done(&mut ann, "remove_reaction", with(&id, &emoji[0])).await;
    done(&mut ann, "add_reaction", with(&id, &last)).await;
    app.flushed().await;
    let row = &app.direct("ann", "bob").await[0];
    assert_eq!(row["reactions"].as_object().unwrap().len(), 1_000);
}

async fn a_row_without_attachments_has_no_fields_for_them(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    sent(&mut ann, to_user("bob", "plain")).await;
    let told = bob.next_event("message").await;
    for row in [&told, &app.direct("bob", "ann").await[0]] {
        for field in ["reply_to", "mentions", "reactions", "pinned", "reply_count"] {
            assert_eq!(row.get(field), None, "{field}");
        }
    }
}
