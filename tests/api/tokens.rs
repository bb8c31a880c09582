//! Tokens: what gets in with one, and how long.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{KEY, Person, TestApp, refused, sent, to_user};
use crate::on_both_stores;
use crate::sio::{Client, Transport};

on_both_stores! { with crate::app::BY_TOKEN;
    a_socket_is_its_tokens_user,
    without_a_good_token_nobody_gets_in,
    a_socket_ends_with_its_token,
    a_socket_lives_on_with_another_token,
    a_token_of_another_user_renews_nothing,
}

/// Connecting with this is refused; the text for the client.
pub(crate) async fn connecting_fails(app: &TestApp, auth: Value) -> String {
    match Client::try_connect(Transport::WebSocket, app.addr, auth).await {
        Ok(_) => panic!("it is let in"),
        Err(refusal) => refusal["message"].as_str().unwrap().to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a token is made by the real time")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What a token of a user says that is good for some seconds, and was made now.
fn claims(user: &str, seconds: f64) -> Value {
    let (iat, exp) = (now(), now() + seconds);
    json!({"sub": user, "iat": iat, "exp": exp, "iss": "banter", "aud": "banter"})
}

fn signed(claims: &Value, key: &str) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(key.as_bytes()))
        .unwrap()
}

/// A token as an application's own backend makes it.
pub(crate) fn token(user: &str, seconds: f64) -> String {
    signed(&claims(user, seconds), KEY)
}

fn without_signature(header: &Value, claims: &Value) -> String {
    use base64::Engine;
    let part = |value: &Value| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

async fn a_socket_is_its_tokens_user(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let mut of_bob = app.socket(&bob).await;
    let named = json!({"token": ann.access, "user_id": ann.id});
    let by_polling = Client::connect_by(Transport::Polling, app.addr, named).await;
    let v3 = Client::connect_by(Transport::WebSocketV3, app.addr, ann.auth()).await;
    for mut of_ann in [app.socket(&ann).await, by_polling, v3] {
        sent(&mut of_ann, to_user(&bob.id, "hello")).await;
        let message = of_bob.next_event("message").await;
        assert_eq!(message["from_user_id"], json!(ann.id));
    }
    let bearer = format!("Bearer {}", ann.access);
    let header = ("authorization", &*bearer);
    let mut by_header = Client::connect_with_header(app.addr, header, json!({})).await.unwrap();
    sent(&mut by_header, to_user(&bob.id, "hello")).await;
    let outside = token("an id of the application's own", 60.0);
    let mut outside = Client::connect(app.addr, json!({"token": outside})).await;
    sent(&mut outside, to_user(&bob.id, "hello")).await;
    let other = json!({"token": ann.access, "user_id": bob.id});
    let told = connecting_fails(&app, other).await;
    assert_eq!(told, "auth.user_id is another user than the token's");
}

/// Tokens that are not good, and why.
fn bad_tokens(user: &str) -> Vec<(&'static str, String)> {
    let good = claims(user, 60.0);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims, KEY)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signed(&claims, KEY)
    };
    let genuine = signed(&good, KEY);
    let (head, signature) = genuine.rsplit_once('.').unwrap();
    let cut = format!("{head}.{}", &signature[..signature.len() - 2]);
    vec![
        ("alg none", without_signature(&json!({"alg": "none", "typ": "JWT"}), &good)),
        ("alg NONE", without_signature(&json!({"alg": "NONE"}), &good)),
        ("no signature", format!("{head}.")),
        ("a cut signature", cut),
        ("another key", signed(&good, "another key of 32 bytes or more, as it must be")),
        ("expired", with("exp", json!(now() - 1.0))),
        ("no end", without("exp")),
        ("a text for an end", with("exp", json!("tomorrow"))),
        ("not good yet", with("nbf", json!(now() + 600.0))),
        ("another audience", with("aud", json!("elsewhere"))),
        ("no audience", without("aud")),
        ("another issuer", with("iss", json!("elsewhere"))),
        ("nobody", without("sub")),
        ("an empty user", with("sub", json!(""))),
        ("an operator", with("sub", json!({"$ne": null}))),
        ("no token", "x".into()),
        ("an empty one", String::new()),
        ("a long one", "x".repeat(7_000)),
        ("dots", "..".into()),
    ]
}

async fn without_a_good_token_nobody_gets_in(app: TestApp) {
    let ann = app.sign_up("ann").await;
    assert_eq!(connecting_fails(&app, json!({})).await, "auth.token is required");
    let told = connecting_fails(&app, json!({"user_id": ann.id})).await;
    assert_eq!(told, "auth.token is required");
    let groups = format!("/groups/{}", ann.id);
    assert_eq!(app.get(&groups).await.0, StatusCode::UNAUTHORIZED);
    for (why, bad) in bad_tokens(&ann.id) {
        let told = connecting_fails(&app, json!({"token": bad})).await;
        assert!(["The token has expired", "The token is not valid"].contains(&&*told), "{why}");
        let (status, answer) = app.ask(Some(&bad), Method::GET, &groups, None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{why}: {answer}");
    }
    for odd in [json!(7), json!(null), json!({"$ne": ""}), json!([ann.access])] {
        connecting_fails(&app, json!({"token": odd})).await;
    }
    let good = token(&ann.id, 60.0);
    assert_eq!(app.ask(Some(&good), Method::GET, &groups, None).await.0, StatusCode::OK);
}

async fn a_socket_ends_with_its_token(app: TestApp) {
    let ann = app.sign_up("ann").await;
    let mut short = Client::connect(app.addr, json!({"token": token(&ann.id, 1.5)})).await;
    let mut long = app.socket(&ann).await;
    let warning = short.next_event("token_expiring").await;
    assert!(warning["expires_at"].as_str().unwrap().ends_with("+00:00"), "{warning}");
    sent(&mut short, to_user(&ann.id, "still here")).await;
    assert_eq!(short.next_event("signed_out").await, json!({"reason": "token_expired"}));
    short.disconnected().await;
    sent(&mut long, to_user(&ann.id, "so am I")).await;
    assert_eq!(app.metric("banter_sockets_signed_out_total").await, 1.0);
}

async fn a_socket_lives_on_with_another_token(app: TestApp) {
    let ann = app.sign_up("ann").await;
    let brief = token(&ann.id, 2.0);
    let mut socket = Client::connect(app.addr, json!({"token": brief})).await;
    let mut watch = Client::connect(app.addr, json!({"token": token(&ann.id, 2.5)})).await;
    let ack = socket.emit_ack("refresh_token", json!({"token": token(&ann.id, 600.0)})).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    assert!(ack.get("access_token").is_none(), "{ack}");
    // What would have ended it before is over when a later one has ended.
    assert_eq!(watch.next_event("signed_out").await, json!({"reason": "token_expired"}));
    sent(&mut socket, to_user(&ann.id, "still here")).await;

    let ack = socket.emit_ack("refresh_token", json!({"refresh_token": ann.refresh})).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    let next = Person {
        access: ack["access_token"].as_str().unwrap().into(),
        refresh: ack["refresh_token"].as_str().unwrap().into(),
        ..ann
    };
    let (status, _) = app.ask(Some(&next.access), Method::GET, "/api/auth/me", None).await;
    assert_eq!(status, StatusCode::OK);
    // It lives on that sign-in now, and ends with it.
    app.ask(Some(&next.access), Method::POST, "/api/auth/logout", None).await;
    assert_eq!(socket.next_event("signed_out").await, json!({"reason": "signed_out"}));
}

async fn a_token_of_another_user_renews_nothing(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let mut socket = app.socket(&ann).await;
    refused(&mut socket, "refresh_token", json!({"token": bob.access}), "forbidden").await;
    refused(&mut socket, "refresh_token", json!({"token": "x"}), "unauthorized").await;
    refused(&mut socket, "refresh_token", json!({"refresh_token": "x"}), "unauthorized").await;
    for odd in [json!({}), json!({"token": ann.access, "refresh_token": ann.refresh}), json!(null)]
    {
        refused(&mut socket, "refresh_token", odd, "invalid_payload").await;
    }
    sent(&mut socket, to_user(&ann.id, "still me")).await;
}
