//! Operators' routes: who may use them, where they are, and what they do.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{BY_TOKEN, PASSWORD, Person, TestApp, sent, to_user};
use crate::limits::Visitor;
use crate::on_both_stores;
use crate::sio::Client;
use crate::tokens::connecting_fails;

on_both_stores! { with crate::app::BY_TOKEN;
    who_is_banned_is_out_and_stays_out,
    who_is_let_in_again_signs_in_anew,
    a_ban_outlives_the_server,
    a_user_is_shown_with_what_is_known,
    a_user_id_that_can_be_none_is_refused,
}

const TOKEN: &str = "q8fJ2hXv0wKz5bRn";

/// Every route of operators.
const ROUTES: [(Method, &str); 5] = [
    (Method::GET, "/metrics"),
    (Method::GET, "/admin/users/ann"),
    (Method::DELETE, "/admin/users/ann"),
    (Method::PUT, "/admin/users/ann/ban"),
    (Method::DELETE, "/admin/users/ann/ban"),
];

async fn ban(app: &TestApp, user: &str) {
    let answer = app.ask(None, Method::PUT, &format!("/admin/users/{user}/ban"), None).await;
    assert_eq!(answer, (StatusCode::OK, json!({"message": "User banned"})));
}

async fn unban(app: &TestApp, user: &str) {
    let answer = app.delete(&format!("/admin/users/{user}/ban")).await;
    assert_eq!(answer, (StatusCode::OK, json!({"message": "User unbanned"})));
}

async fn login(app: &TestApp, name: &str) -> StatusCode {
    app.post("/api/auth/login", json!({"username": name, "password": PASSWORD})).await.0
}

async fn refresh(app: &TestApp, person: &Person) -> StatusCode {
    app.post("/api/auth/refresh", json!({"refresh_token": person.refresh})).await.0
}

async fn me(app: &TestApp, person: &Person) -> StatusCode {
    app.ask(Some(&person.access), Method::GET, "/api/auth/me", None).await.0
}

async fn who_is_banned_is_out_and_stays_out(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let laptop = app.sign_in("ann").await;
    let mut sockets = [app.socket(&ann).await, app.socket(&laptop).await];
    let mut of_bob = app.socket(&bob).await;
    ban(&app, &ann.id).await;
    for socket in &mut sockets {
        assert_eq!(socket.next_event("signed_out").await, json!({"reason": "banned"}));
        socket.disconnected().await;
    }
    for sign_in in [&ann, &laptop] {
        assert_eq!(me(&app, sign_in).await, StatusCode::UNAUTHORIZED);
        assert_eq!(refresh(&app, sign_in).await, StatusCode::UNAUTHORIZED);
        connecting_fails(&app, sign_in.auth()).await;
    }
    assert_eq!(login(&app, "ann").await, StatusCode::FORBIDDEN);
    // Twice is once, and nobody else is concerned.
    ban(&app, &ann.id).await;
    assert_eq!((me(&app, &bob).await, login(&app, "bob").await), (StatusCode::OK, StatusCode::OK));
    sent(&mut of_bob, to_user(&ann.id, "hello")).await;
}

async fn who_is_let_in_again_signs_in_anew(app: TestApp) {
    let ann = app.sign_up("ann").await;
    ban(&app, &ann.id).await;
    unban(&app, &ann.id).await;
    assert_eq!(me(&app, &ann).await, StatusCode::UNAUTHORIZED);
    assert_eq!(refresh(&app, &ann).await, StatusCode::UNAUTHORIZED);
    let again = app.sign_in("ann").await;
    assert_eq!(me(&app, &again).await, StatusCode::OK);
    app.socket(&again).await;
    // Who was never banned loses nothing but the tokens.
    unban(&app, &ann.id).await;
    assert_eq!(login(&app, "ann").await, StatusCode::OK);
}

async fn a_ban_outlives_the_server(app: TestApp) {
    let ann = app.sign_up("ann").await;
    ban(&app, &ann.id).await;
    let app = app.restarted().await;
    // Which tokens are void is read while the server already serves.
    let path = format!("/admin/users/{}", ann.id);
    while app.get(&path).await.1["banned"] != json!(true) {
        tokio::task::yield_now().await;
    }
    assert_eq!(login(&app, "ann").await, StatusCode::FORBIDDEN);
    assert_eq!(me(&app, &ann).await, StatusCode::UNAUTHORIZED);
}

async fn a_user_is_shown_with_what_is_known(app: TestApp) {
    let ann = app.sign_up("ann").await;
    let path = format!("/admin/users/{}", ann.id);
    let (status, row) = app.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{row}");
    let created_at = row["created_at"].clone();
    assert!(created_at.is_string(), "{row}");
    let mut known = json!({
        "user_id": ann.id, "username": "ann", "email": "ann@example.com",
        "created_at": created_at, "banned": false, "is_online": false, "last_seen": null,
    });
    assert_eq!(row, known);
    let socket = app.socket(&ann).await;
    let (_, row) = app.get(&path).await;
    assert_eq!(row["is_online"], json!(true));
    assert!(row["last_seen"].is_string(), "{row}");
    drop(socket);
    ban(&app, &ann.id).await;
    let (_, row) = app.get(&path).await;
    assert_eq!(row["banned"], json!(true));
    for field in ["user_id", "username", "email", "created_at"] {
        assert_eq!(row[field], known[field], "{field}");
    }
    // Somebody whom another issuer signs in can be banned as well.
    ban(&app, "somebody%20else").await;
    for field in ["username", "email", "created_at"] {
        known[field] = Value::Null;
    }
    (known["user_id"], known["banned"]) = (json!("somebody else"), json!(true));
    assert_eq!(app.get("/admin/users/somebody%20else").await, (StatusCode::OK, known));
}

async fn a_user_id_that_can_be_none_is_refused(app: TestApp) {
    for id in ["a%0ab", "%1b[31m", &"x".repeat(129)] {
        for (method, end) in [(Method::GET, ""), (Method::PUT, "/ban"), (Method::DELETE, "/ban")] {
            let (status, answer) = app.request(method, &format!("/admin/users/{id}{end}")).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
            assert_eq!(answer["detail"][0]["loc"], json!(["path", "user_id"]));
        }
    }
    assert_eq!(app.get("/admin/users/%ff").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = app.request(Method::POST, "/admin/users/ann/ban").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

/// What the routes answer to a visitor of the main address.
async fn answers(app: &TestApp, headers: &[(&str, &str)]) -> [StatusCode; 5] {
    let visitor = Visitor::from("127.0.0.1", app);
    let mut answers = [StatusCode::IM_A_TEAPOT; 5];
    for ((method, path), answer) in ROUTES.into_iter().zip(&mut answers) {
        *answer = visitor.ask(method, path, headers).await.status();
    }
    answers
}

const OPEN: [StatusCode; 5] = [StatusCode::OK; 5];
const SHUT: [StatusCode; 5] = [StatusCode::NOT_FOUND; 5];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_they_are_for_this_machine_alone() {
    let proxies = [("TRUSTED_PROXIES", "127.0.0.1")];
    for proxies in [&proxies[..], &[]] {
        let app = TestApp::with(&[BY_TOKEN, proxies].concat()).await;
        assert_eq!(answers(&app, &[]).await, OPEN);
        assert_eq!(answers(&app, &[("authorization", "Bearer anything")]).await, OPEN);
        for header in [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("via", "1.1 proxy"),
            ("origin", "https://elsewhere.example.com"),
            ("host", "elsewhere.example.com"),
        ] {
            assert_eq!(answers(&app, &[header]).await, SHUT, "{header:?} {proxies:?}");
        }
        let (status, answer) = app.get("/nowhere").await;
        let visitor = Visitor::from("127.0.0.1", &app);
        let hidden = visitor.ask(Method::POST, "/metrics", &[("x-real-ip", "::1")]).await;
        assert_eq!((hidden.status(), hidden.json::<Value>().await.unwrap()), (status, answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_they_are_for_nobody_where_others_reach_the_server() {
    let app = TestApp::with(&[BY_TOKEN, &[("HOST", "0.0.0.0")]].concat()).await;
    assert_eq!(answers(&app, &[]).await, SHUT);
    assert_eq!(app.get("/health").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_they_are_for_who_brings_it() {
    for host in ["127.0.0.1", "0.0.0.0"] {
        let more = [("HOST", host), ("ADMIN_TOKEN", TOKEN), ("TRUSTED_PROXIES", "127.0.0.1")];
        let app = TestApp::with(&[BY_TOKEN, &more].concat()).await;
        let right = format!("Bearer {TOKEN}");
        assert_eq!(answers(&app, &[("authorization", &right)]).await, OPEN);
        let forwarded = [("authorization", &*right), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(answers(&app, &forwarded).await, OPEN);
        let none = [StatusCode::UNAUTHORIZED; 5];
        assert_eq!(answers(&app, &[]).await, none);
        assert_eq!(answers(&app, &[("authorization", TOKEN)]).await, none);
        assert_eq!(answers(&app, &[("authorization", &format!("Basic {TOKEN}"))]).await, none);
        let wrong = [StatusCode::FORBIDDEN; 5];
        let user = app.sign_up("ann").await.access;
        for token in ["q8fJ2hXv0wKz5bR", "q8fJ2hXv0wKz5bRm", "q8fJ2hXv0wKz5bRnn", &user] {
            let header = format!("Bearer {token}");
            assert_eq!(answers(&app, &[("authorization", &header)]).await, wrong, "{token}");
        }
        let visitor = Visitor::from("127.0.0.1", &app);
        let refused = visitor.ask(Method::GET, &format!("/metrics?token={TOKEN}"), &[]).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        let detail: Value = refused.json().await.unwrap();
        assert!(detail["detail"].as_str().unwrap().contains("ADMIN_TOKEN"), "{detail}");
        assert_eq!(app.get("/health").await.0, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_has_few_tries() {
    let settings = [("ADMIN_TOKEN", TOKEN), ("SIGN_IN_RATE", "2"), ("LIMIT_EXEMPT", "192.0.2.1")];
    let app = TestApp::with(&settings).await;
    let visitor = Visitor::from("127.0.0.2", &app);
    let metrics = async |visitor: &Visitor, token: &str| {
        let header = format!("Bearer {token}");
        visitor.ask(Method::GET, "/metrics", &[("authorization", &header)]).await
    };
    for _ in 0..5 {
        assert_eq!(metrics(&visitor, TOKEN).await.status(), StatusCode::OK);
    }
    for _ in 0..2 {
        assert_eq!(metrics(&visitor, "wrong").await.status(), StatusCode::FORBIDDEN);
    }
    // Whether the next one is right is not told.
    for token in ["wrong", TOKEN] {
        let refused = metrics(&visitor, token).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "{token}");
        assert!(refused.headers().contains_key("retry-after"));
    }
    let elsewhere = Visitor::from("127.0.0.3", &app);
    assert_eq!(metrics(&elsewhere, TOKEN).await.status(), StatusCode::OK);
}

/// What an address answers, of operators' routes and of others.
async fn status(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = crate::web::client().get(format!("http://{addr}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_address_of_their_own_they_are_there_alone() {
    let token = [("ADMIN_TOKEN", TOKEN)];
    let bearer = format!("Bearer {TOKEN}");
    let bearer = [("authorization", &*bearer)];
    for (settings, headers) in [(&[][..], &[][..]), (&token, &bearer)] {
        let port = [("ADMIN_PORT", "0")];
        let app = TestApp::with(&[BY_TOKEN, &port, settings].concat()).await;
        let operators = app.operators.expect("an address of their own");
        assert!(operators.ip().is_loopback());
        assert_eq!(answers(&app, headers).await, SHUT);
        for path in ["/metrics", "/admin/users/ann", "/health", "/health/ready"] {
            assert_eq!(status(operators, path, headers).await, StatusCode::OK, "{path}");
        }
        for path in ["/", "/groups/ann", "/api/auth/me", "/socket.io/?EIO=4&transport=polling"] {
            assert_eq!(status(operators, path, headers).await, StatusCode::NOT_FOUND, "{path}");
        }
        let refused = if settings.is_empty() { 404 } else { 401 };
        let forwarded = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(status(operators, "/metrics", &forwarded).await.as_u16(), refused);
        assert_eq!(app.get("/health").await.0, StatusCode::OK);

        let mut ann = app.socket(&app.sign_up("ann").await).await;
        let id = sent(&mut ann, to_user("ann", "x")).await;
        assert!(!id.is_empty());
        app.stop().await;
        assert!(tokio::net::TcpStream::connect(operators).await.is_err(), "it has stopped too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_sign_in_is_open_there_is_nobody_to_ban() {
    let app = TestApp::on_sqlite().await;
    let _ann: Client = app.user("ann").await;
    for method in [Method::PUT, Method::DELETE] {
        let (status, answer) = app.request(method, "/admin/users/ann/ban").await;
        let (_, told) = app.get("/api/auth/me").await;
        assert_eq!((status, answer), (StatusCode::NOT_FOUND, told));
    }
    let (status, row) = app.get("/admin/users/ann").await;
    assert_eq!(
        (status, &row["is_online"], &row["banned"]),
        (StatusCode::OK, &json!(true), &json!(false))
    );
}
