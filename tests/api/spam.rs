//! Who says the same again and again, or writes to many strangers, is refused; nobody else is.

use serde_json::json;

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::on_both_stores;

on_both_stores! { with &[("SPAM_REPEATS", "5"), ("SPAM_STRANGERS", "3")];
    the_same_content_is_refused_when_it_comes_too_often,
    a_message_that_is_sent_again_does_not_count,
    a_message_that_was_refused_may_be_sent_again,
    too_many_strangers_are_refused_and_acquaintances_are_not,
}

async fn the_same_content_is_refused_when_it_comes_too_often(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for number in 0..5 {
        let here = if number % 2 == 0 { to_group(&group, "buy!") } else { to_user("bob", "buy!") };
        sent(&mut ann, here).await;
    }
    refused(&mut ann, "send_message", to_user("bob", "buy!"), "rate_limited").await;
    refused(&mut ann, "send_message", to_group(&group, "buy!"), "rate_limited").await;
    sent(&mut ann, to_user("bob", "something else")).await;
    sent(&mut bob, to_user("ann", "buy!")).await;
    assert_eq!(app.metric("banter_spam_repeats_total").await, 2.0);
    app.flushed().await;
    assert_eq!(app.of_group("ann", &group).await.len(), 3);
}

async fn a_message_that_is_sent_again_does_not_count(app: TestApp) {
    let mut ann = app.user("ann").await;
    let message = json!({"to": "bob", "content": "x", "type": "direct", "client_id": "c-1"});
    for _ in 0..20 {
        sent(&mut ann, message.clone()).await;
    }
    assert_eq!(app.direct("ann", "bob").await.len(), 1);
}

async fn a_message_that_was_refused_may_be_sent_again(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let mut bob = app.user("bob").await;
    let mut message = to_group(&group, "let me in");
    message["client_id"] = json!("c-1");
    for _ in 0..20 {
        refused(&mut bob, "send_message", message.clone(), "forbidden").await;
    }
    app.post(&format!("/group/{group}/bob"), json!({})).await;
    sent(&mut bob, message).await;
}

async fn too_many_strangers_are_refused_and_acquaintances_are_not(app: TestApp) {
    let (mut ann, mut eve) = (app.user("ann").await, app.user("eve").await);
    for friend in ["f1", "f2", "f3", "f4"] {
        let mut friend_here = app.user(friend).await;
        sent(&mut friend_here, to_user("ann", &format!("hello from {friend}"))).await;
    }
    app.flushed().await;
    for name in ["a", "b", "c"] {
        sent(&mut ann, to_user(name, &format!("hello {name}"))).await;
        sent(&mut ann, to_user(name, &format!("again {name}"))).await;
    }
    refused(&mut ann, "send_message", to_user("d", "hello d"), "rate_limited").await;
    for friend in ["f1", "f2", "f3", "f4"] {
        sent(&mut ann, to_user(friend, &format!("hello {friend}"))).await;
    }
    sent(&mut ann, to_user("ann", "a note to myself")).await;
    sent(&mut eve, to_user("d", "hello d")).await;
    assert_eq!(app.metric("banter_spam_strangers_total").await, 1.0);
    assert!(app.direct("d", "ann").await.is_empty());
}
