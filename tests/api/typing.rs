//! Typing: who hears it, when it ends by itself, and how often it is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::Client;

crate::on_both_stores![
    the_other_user_hears_a_start_and_a_stop_and_the_typist_nothing,
    a_group_hears_its_members_without_the_typist,
    who_falls_silent_has_stopped,
    a_message_and_a_disconnect_are_stops,
    a_start_after_a_stop_waits_for_its_two_seconds,
    a_member_who_is_removed_types_no_longer,
    typing_of_the_wrong_form_is_refused,
];

const QUIET: Duration = Duration::from_millis(300);
/// Well before silence would be a stop.
const SOON: Duration = Duration::from_secs(3);

fn to_bob() -> Value {
    json!({"to": "bob", "type": "direct"})
}

fn typing(user: &str, to: &str, kind: &str, is_typing: bool) -> Value {
    json!({"user_id": user, "to": to, "type": kind, "is_typing": is_typing})
}

async fn done(client: &mut Client, event: &str, payload: Value) {
    assert_eq!(client.emit_ack(event, payload).await, json!({"ok": true}), "{event}");
}

/// The next stop, which is not that of silence.
async fn stop(client: &mut Client) -> Value {
    let typing = client.next_event_within("typing", SOON).await.expect("a stop is told");
    assert_eq!(typing["is_typing"], false, "{typing}");
    typing
}

async fn the_other_user_hears_a_start_and_a_stop_and_the_typist_nothing(app: TestApp) {
    let mut ann = app.user("ann").await;
    let (mut ann_too, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut bob_too = app.user("bob").await;
    done(&mut ann, "typing_start", to_bob()).await;
    for socket in [&mut bob, &mut bob_too] {
        assert_eq!(socket.next_event("typing").await, typing("ann", "bob", "direct", true));
    }
    done(&mut ann_too, "typing_stop", to_bob()).await;
    for socket in [&mut bob, &mut bob_too] {
        assert_eq!(stop(socket).await, typing("ann", "bob", "direct", false));
    }
    done(&mut ann, "typing_stop", to_bob()).await;
    done(&mut ann, "typing_start", json!({"to": "ann", "type": "direct"})).await;
    for socket in [&mut bob, &mut bob_too, &mut ann, &mut ann_too] {
        socket.no_event("typing", QUIET).await;
    }
}

async fn a_group_hears_its_members_without_the_typist(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob, mut cem, mut eve) = (
        app.user("ann").await,
        app.user("bob").await,
        app.user("cem").await,
        app.user("eve").await,
    );
    let mut ann_too = app.user("ann").await;
    for socket in [&mut ann, &mut ann_too, &mut bob] {
        done(socket, "join_group", json!(group)).await;
    }
    let here = json!({"to": group, "type": "group"});
    done(&mut ann, "typing_start", here.clone()).await;
    assert_eq!(bob.next_event("typing").await, typing("ann", &group, "group", true));
    refused(&mut eve, "typing_start", here.clone(), "forbidden").await;
    let nowhere = json!({"to": "0123456789abcdef01234567", "type": "group"});
    refused(&mut eve, "typing_start", nowhere, "not_found").await;
    sent(&mut ann, to_group(&group, "hi")).await;
    assert_eq!(stop(&mut bob).await, typing("ann", &group, "group", false));
    // Cem is a member and has not entered the room.
    for socket in [&mut ann, &mut ann_too, &mut bob, &mut cem, &mut eve] {
        socket.no_event("typing", QUIET).await;
    }
}

async fn who_falls_silent_has_stopped(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let begun = Instant::now();
    done(&mut ann, "typing_start", to_bob()).await;
    assert_eq!(bob.next_event("typing").await["is_typing"], true);
    let stop = bob.next_event_within("typing", Duration::from_secs(30)).await;
    assert_eq!(stop, Some(typing("ann", "bob", "direct", false)));
    assert!(begun.elapsed() >= Duration::from_secs(6), "{:?}", begun.elapsed());
}

async fn a_message_and_a_disconnect_are_stops(app: TestApp) {
    let mut ann = app.user("ann").await;
    let (ann_too, mut bob) = (app.user("ann").await, app.user("bob").await);
    done(&mut ann, "typing_start", to_bob()).await;
    sent(&mut ann, to_user("cem", "elsewhere")).await;
    sent(&mut ann, to_user("bob", "hi")).await;
    assert_eq!(bob.next_event("typing").await["is_typing"], true);
    stop(&mut bob).await;
    done(&mut ann, "typing_start", to_bob()).await;
    assert_eq!(bob.next_event("typing").await["is_typing"], true);
    ann_too.disconnect().await;
    bob.no_event("typing", QUIET).await;
    // The connection is cut.
    drop(ann);
    stop(&mut bob).await;
}

async fn a_start_after_a_stop_waits_for_its_two_seconds(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let begun = Instant::now();
    done(&mut ann, "typing_start", to_bob()).await;
    assert_eq!(bob.next_event("typing").await["is_typing"], true);
    for _ in 0..5 {
        done(&mut ann, "typing_stop", to_bob()).await;
        done(&mut ann, "typing_start", to_bob()).await;
    }
    // Whether a stop was told in between is a matter of chance; nobody is told of a second start
    // too soon, and in the end everybody knows that Ann types.
    let mut last = true;
    let again = loop {
        match bob.next_event_within("typing", Duration::from_secs(3)).await {
            Some(typing) if typing["is_typing"] == true => break Some(begun.elapsed()),
            Some(_) => last = false,
            None => break None,
        }
    };
    match again {
        Some(after) => assert!(after >= Duration::from_millis(1_990), "{after:?}"),
        None => assert!(last, "Bob is stuck"),
    }
}

async fn a_member_who_is_removed_types_no_longer(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    done(&mut ann, "join_group", json!(group)).await;
    done(&mut bob, "typing_start", json!({"to": group, "type": "group"})).await;
    assert_eq!(ann.next_event("typing").await["is_typing"], true);
    let path = format!("/groups/{group}/remove?user_id=bob&admin_id=ann");
    app.request(Method::POST, &path).await;
    assert_eq!(stop(&mut ann).await, typing("bob", &group, "group", false));
    refused(&mut bob, "typing_start", json!({"to": group, "type": "group"}), "forbidden").await;
}

async fn typing_of_the_wrong_form_is_refused(app: TestApp) {
    let mut ann = app.user("ann").await;
    for event in ["typing_start", "typing_stop"] {
        for payload in [
            json!(null),
            json!("bob"),
            json!({"to": "bob"}),
            json!({"type": "direct"}),
            json!({"to": "", "type": "direct"}),
            json!({"to": "x".repeat(200), "type": "direct"}),
            json!({"to": "bob", "type": "group"}),
            json!({"to": "bob", "type": "everybody"}),
            json!({"to": {"$ne": 1}, "type": "direct"}),
        ] {
            refused(&mut ann, event, payload, "invalid_payload").await;
        }
    }
    for n in 0..64 {
        done(&mut ann, "typing_start", json!({"to": format!("u{n}"), "type": "direct"})).await;
    }
    refused(&mut ann, "typing_start", to_bob(), "rate_limited").await;
}
