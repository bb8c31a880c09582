//! Accounts: registering, signing in, refreshing, signing out.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{BY_TOKEN, PASSWORD, Person, TestApp, refused, sent, to_user};
use crate::on_both_stores;
use crate::sio::Transport;

on_both_stores! { with crate::app::BY_TOKEN;
    who_registers_is_signed_in_and_known,
    an_account_is_found_by_its_name_and_address_in_any_case,
    an_unknown_name_and_a_wrong_password_are_answered_alike,
    names_and_addresses_are_given_once,
    what_is_no_account_is_refused_with_a_reason,
    operators_of_a_database_are_texts,
    a_refresh_token_gives_the_next_two_and_works_once,
    signing_out_ends_one_sign_in_and_its_sockets,
    signing_out_everywhere_ends_them_all,
    a_new_password_ends_every_sign_in,
    the_old_names_of_the_routes_work,
    sign_ins_outlive_the_server,
    users_are_listed_in_pages_by_name,
}

async fn me(app: &TestApp, token: &str) -> (StatusCode, Value) {
    app.ask(Some(token), Method::GET, "/api/auth/me", None).await
}

async fn login(app: &TestApp, body: Value) -> (StatusCode, Value) {
    app.post("/api/auth/login", body).await
}

async fn refresh(app: &TestApp, token: &str) -> (StatusCode, Value) {
    app.post("/api/auth/refresh", json!({"refresh_token": token})).await
}

/// Whether a request with this access token is answered.
async fn is_in(app: &TestApp, person: &Person) -> bool {
    match me(app, &person.access).await.0 {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

async fn who_registers_is_signed_in_and_known(app: TestApp) {
    let body = json!({"username": "Ann", "email": "Ann@Example.com", "password": PASSWORD});
    let (status, answer) = app.post("/api/auth/register", body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["token_type"], "bearer");
    assert_eq!(answer["expires_in"], json!(30 * 60));
    assert_eq!(answer["refresh_expires_in"], json!(30 * 24 * 60 * 60));
    let user = &answer["user"];
    assert_eq!(user["username"], "Ann");
    assert_eq!(user["email"], "Ann@Example.com");
    assert_eq!(user["id"], user["user_id"]);
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(me(&app, token).await, (StatusCode::OK, user.clone()));
    assert!(!answer.to_string().contains(PASSWORD) && !answer.to_string().contains("argon2"));
}

async fn an_account_is_found_by_its_name_and_address_in_any_case(app: TestApp) {
    let ann = app.sign_up("ann").await;
    for (field, value) in [
        ("username", "ann"),
        ("username", "ANN"),
        ("email", "Ann@Example.COM"),
        ("username_or_email", "aNn"),
        ("username_or_email", "ann@example.com"),
    ] {
        let (status, answer) = login(&app, json!({field: value, "password": PASSWORD})).await;
        assert_eq!(status, StatusCode::OK, "{field} {value}: {answer}");
        let again = Person::of(&answer);
        assert_eq!(again.id, ann.id);
        assert!(is_in(&app, &again).await);
    }
    assert!(is_in(&app, &ann).await, "each device has a sign-in of its own");
}

async fn an_unknown_name_and_a_wrong_password_are_answered_alike(app: TestApp) {
    app.sign_up("ann").await;
    let mut answers = Vec::new();
    for name in ["ann", "nobody", "no name!", "ann@example.com", "a@b.c"] {
        answers.push(login(&app, json!({"username_or_email": name, "password": "wrong"})).await);
    }
    let (status, body) = &answers[0];
    assert_eq!(*status, StatusCode::UNAUTHORIZED, "{body}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

async fn names_and_addresses_are_given_once(app: TestApp) {
    app.sign_up("ann").await;
    for (name, email, word) in
        [("ANN", "other@example.com", "username"), ("other", "ANN@example.com", "email")]
    {
        let body = json!({"username": name, "email": email, "password": PASSWORD});
        let (status, answer) = app.post("/api/auth/register", body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(word), "{answer}");
    }
    let (one, two) = tokio::join!(
        register(&app, "bob", "bob1@example.com"),
        register(&app, "Bob", "bob2@example.com")
    );
    let mut both = [one, two];
    both.sort_unstable();
    assert_eq!(both, [StatusCode::CREATED, StatusCode::CONFLICT]);
    assert_eq!(app.metric("user_registrations_total").await, 2.0, "what is refused is not counted");
}

async fn register(app: &TestApp, name: &str, email: &str) -> StatusCode {
    let body = json!({"username": name, "email": email, "password": PASSWORD});
    app.post("/api/auth/register", body).await.0
}

async fn what_is_no_account_is_refused_with_a_reason(app: TestApp) {
    let good = json!({"username": "ann", "email": "ann@example.com", "password": PASSWORD});
    for (field, bad) in [
        ("username", json!("a")),
        ("username", json!("a b")),
        ("username", json!("x".repeat(33))),
        ("username", json!(null)),
        ("email", json!("ann")),
        ("email", json!("ann@nowhere")),
        ("password", json!("short")),
        ("password", json!("x".repeat(129))),
        ("password", json!(12_345_678)),
    ] {
        let mut body = good.clone();
        body[field] = bad.clone();
        let (status, answer) = app.post("/api/auth/register", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {bad}: {answer}");
        assert_eq!(answer["detail"][0]["loc"], json!(["body", field]), "{answer}");
        assert!(!answer.to_string().contains("12345678"), "a password is repeated: {answer}");
    }
    for body in [json!({"password": "x"}), json!({"username": "a", "email": "b", "password": "x"})]
    {
        assert_eq!(login(&app, body).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(login(&app, json!({"username": "ann"})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    for path in ["/api/auth/refresh", "/api/auth/register", "/api/auth/login"] {
        let (status, _) = app.send(Method::POST, path, Some("{".into())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

async fn operators_of_a_database_are_texts(app: TestApp) {
    app.sign_up("ann").await;
    for name in [json!({"$ne": ""}), json!(["ann"]), json!({"$regex": ".*"}), json!(true)] {
        for field in ["username", "email", "username_or_email"] {
            let (status, _) = login(&app, json!({field: name, "password": PASSWORD})).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        }
    }
    let (status, _) = login(&app, json!({"username": "ann", "password": {"$ne": ""}})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    for text in ["$ne", "ann' OR '1'='1", "ann\u{0}", ".*"] {
        let body = json!({"username_or_email": text, "password": PASSWORD});
        assert_eq!(login(&app, body).await.0, StatusCode::UNAUTHORIZED, "{text}");
    }
}

async fn a_refresh_token_gives_the_next_two_and_works_once(app: TestApp) {
    let first = app.sign_up("ann").await;
    let (status, answer) = refresh(&app, &first.refresh).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let second = Person::of(&answer);
    assert_eq!(second.id, first.id);
    assert_ne!((&second.access, &second.refresh), (&first.access, &first.refresh));
    assert!(is_in(&app, &second).await && is_in(&app, &first).await);
    // The second answer may have been lost: the token before it works a little longer.
    let (status, answer) = refresh(&app, &first.refresh).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let third = Person::of(&answer);
    assert_eq!(refresh(&app, &third.refresh).await.0, StatusCode::OK);
    assert_eq!(refresh(&app, &first.refresh).await.0, StatusCode::UNAUTHORIZED);

    let (id, secret) = third.refresh.split_once('.').unwrap();
    let turned: String = secret.chars().rev().collect();
    let other = format!("{}.{secret}", "0".repeat(24));
    for bad in ["", "x", id, &format!("{id}."), &format!("{id}.{turned}"), &other, &third.access] {
        let (status, answer) = refresh(&app, bad).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{bad}: {answer}");
    }
    assert!(!is_in(&app, &Person { access: third.refresh.clone(), ..third }).await);
}

async fn signing_out_ends_one_sign_in_and_its_sockets(app: TestApp) {
    let (phone, laptop) = (app.sign_up("ann").await, app.sign_in("ann").await);
    let (mut on_phone, mut on_laptop) = (app.socket(&phone).await, app.socket(&laptop).await);
    let out = json!({"message": "Signed out"});
    let answer = app.ask(Some(&phone.access), Method::POST, "/api/auth/logout", None).await;
    assert_eq!(answer, (StatusCode::OK, out.clone()));
    assert_eq!(on_phone.next_event("signed_out").await, json!({"reason": "signed_out"}));
    on_phone.disconnected().await;
    assert!(!is_in(&app, &phone).await);
    assert_eq!(refresh(&app, &phone.refresh).await.0, StatusCode::UNAUTHORIZED);
    crate::tokens::connecting_fails(&app, phone.auth()).await;

    assert!(is_in(&app, &laptop).await);
    sent(&mut on_laptop, to_user(&laptop.id, "still here")).await;
    // Without an access token the refresh token says which sign-in ends.
    let body = json!({"refresh_token": laptop.refresh});
    assert_eq!(app.post("/api/auth/logout", body).await, (StatusCode::OK, out));
    assert_eq!(on_laptop.next_event("signed_out").await, json!({"reason": "signed_out"}));
    assert!(!is_in(&app, &laptop).await);
    assert_eq!(app.post("/api/auth/logout", json!({})).await.0, StatusCode::UNAUTHORIZED);
}

async fn signing_out_everywhere_ends_them_all(app: TestApp) {
    let (phone, laptop) = (app.sign_up("ann").await, app.sign_in("ann").await);
    let bob = app.sign_up("bob").await;
    let mut sockets = [app.socket(&phone).await, app.socket(&laptop).await];
    let mut of_bob = app.socket(&bob).await;
    let everywhere = Some(json!({"everywhere": true}));
    let answer = app.ask(Some(&phone.access), Method::POST, "/api/auth/logout", everywhere).await;
    assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
    for socket in &mut sockets {
        assert_eq!(socket.next_event("signed_out").await, json!({"reason": "signed_out"}));
    }
    for person in [&phone, &laptop] {
        assert!(!is_in(&app, person).await);
        assert_eq!(refresh(&app, &person.refresh).await.0, StatusCode::UNAUTHORIZED);
    }
    assert!(is_in(&app, &app.sign_in("ann").await).await, "at once, and in the same millisecond");
    sent(&mut of_bob, to_user(&bob.id, "nothing happened to me")).await;
}

async fn a_new_password_ends_every_sign_in(app: TestApp) {
    let (phone, laptop) = (app.sign_up("ann").await, app.sign_in("ann").await);
    let mut on_laptop = app.socket(&laptop).await;
    let change = |old: &str, new: &str| Some(json!({"old_password": old, "new_password": new}));
    let path = "/api/auth/password";
    let next = "another horse";
    for (old, new, status) in [
        ("wrong", next, StatusCode::UNAUTHORIZED),
        (PASSWORD, "short", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = app.ask(Some(&phone.access), Method::PUT, path, change(old, new)).await;
        assert_eq!(answer.0, status, "{}", answer.1);
    }
    assert!(is_in(&app, &laptop).await);
    let (status, answer) =
        app.ask(Some(&phone.access), Method::PUT, path, change(PASSWORD, next)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(is_in(&app, &Person::of(&answer)).await);
    assert_eq!(on_laptop.next_event("signed_out").await, json!({"reason": "signed_out"}));
    assert!(!is_in(&app, &phone).await && !is_in(&app, &laptop).await);
    let with = |password: &str| json!({"username": "ann", "password": password});
    assert_eq!(login(&app, with(PASSWORD)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(login(&app, with(next)).await.0, StatusCode::OK);
}

async fn the_old_names_of_the_routes_work(app: TestApp) {
    let body = json!({"username": "ann", "email": "ann@example.com", "password": PASSWORD});
    let (status, answer) = app.post("/auth/user/signup", body.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let login = json!({"email": "ann@example.com", "password": PASSWORD});
    let (status, answer) = app.post("/auth/login", login).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let ann = Person::of(&answer);
    let (status, _) = app.ask(Some(&ann.access), Method::POST, "/auth/logout", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!is_in(&app, &ann).await);
}

async fn sign_ins_outlive_the_server(app: TestApp) {
    let (phone, laptop) = (app.sign_up("ann").await, app.sign_in("ann").await);
    app.ask(Some(&phone.access), Method::POST, "/api/auth/logout", None).await;
    let app = app.restarted().await;
    assert!(is_in(&app, &laptop).await);
    assert_eq!(refresh(&app, &laptop.refresh).await.0, StatusCode::OK);
    // What voids a token is read from the store behind the start.
    while is_in(&app, &phone).await {
        tokio::task::yield_now().await;
    }
    assert_eq!(refresh(&app, &phone.refresh).await.0, StatusCode::UNAUTHORIZED);
}

async fn users_are_listed_in_pages_by_name(app: TestApp) {
    let path = "/user/get-users";
    assert_eq!(app.get(path).await.0, StatusCode::UNAUTHORIZED);
    let cem = app.sign_up("cem").await;
    let (bob, ann) = (app.sign_up("Bob").await, app.sign_up("ann").await);
    let _here = app.socket(&bob).await;
    let row = |person: &Person, name: &str, is_online: bool| json!({"user_id": person.id, "username": name, "is_online": is_online});
    let list = async |query: &str| {
        let path = format!("{path}{query}");
        let (status, answer) = app.ask(Some(&cem.access), Method::GET, &path, None).await;
        assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!(true)), "{answer}");
        answer["users"].as_array().unwrap().clone()
    };
    let all = [row(&ann, "ann", false), row(&bob, "Bob", true), row(&cem, "cem", false)];
    assert_eq!(list("").await, all);
    assert_eq!(list("?limit=1").await, all[..1]);
    assert_eq!(list("?limit=1&after=ANN").await, all[1..2]);
    assert_eq!(list("?after=cem").await, [json!(null); 0]);
    // Who has blocked somebody shows them nothing.
    let block = format!("/users/{}/block/{}", bob.id, cem.id);
    assert_eq!(app.ask(Some(&bob.access), Method::POST, &block, None).await.0, StatusCode::OK);
    assert_eq!(list("?limit=1&after=ann").await, [row(&bob, "Bob", false)]);
    let asked = format!("/presence?user_ids={}", bob.id);
    let (_, rows) = app.ask(Some(&cem.access), Method::GET, &asked, None).await;
    assert_eq!(rows[0]["status"], "offline");
    let (_, rows) = app.ask(Some(&ann.access), Method::GET, &asked, None).await;
    assert_eq!(rows[0]["status"], "online");
}

/// Whether the next try to sign in with a wrong password is still looked at.
async fn may_try(app: &TestApp, name: &str) -> bool {
    match login(app, json!({"username": name, "password": "wrong"})).await {
        (StatusCode::UNAUTHORIZED, _) => true,
        (StatusCode::TOO_MANY_REQUESTS, answer) => {
            let told = answer["detail"].as_str().unwrap();
            assert!(told.starts_with("Too many tries to sign in; try again in "), "{told}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_tries_passwords_is_locked_out_and_others_are_not() {
    let settings = [BY_TOKEN, &[("SIGN_IN_RATE", "5"), ("LIMIT_EXEMPT", "192.0.2.255")]].concat();
    let app = TestApp::with(&settings).await;
    let ann = app.sign_up("ann").await;
    for name in ["ann", "bob", "ann", "nobody"] {
        assert!(may_try(&app, name).await);
    }
    assert!(!may_try(&app, "ann").await, "from this address it is enough, whatever the name");
    assert!(!may_try(&app, "cem").await);
    // Who is in goes on.
    assert!(is_in(&app, &ann).await);
    let (status, answer) = refresh(&app, &ann.refresh).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn an_account_is_not_tried_from_many_addresses_without_end() {
    let proxied =
        [("SIGN_IN_RATE", "2"), ("LIMIT_EXEMPT", "192.0.2.255"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::with(&[BY_TOKEN, &proxied].concat()).await;
    let try_from = async |name: &str, last: u8| {
        let request = crate::web::client().post(format!("http://{}/api/auth/login", app.addr));
        let body = json!({"username": name, "password": "wrong"}).to_string();
        let request = request.header("x-forwarded-for", format!("192.0.2.{last}")).body(body);
        request.send().await.unwrap().status()
    };
    // All at once: one more may try every three seconds, and a password takes its time to check.
    let tries = (0..60).map(|last| try_from(if last % 2 == 0 { "ann" } else { "ANN" }, last));
    let statuses = futures_util::future::join_all(tries).await;
    let refused = |status: &&StatusCode| **status == StatusCode::TOO_MANY_REQUESTS;
    let count = statuses.iter().filter(refused).count();
    assert!((1..=40).contains(&count), "20 may try: {statuses:?}");
    assert_eq!(try_from("bob", 99).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_open_sign_in_there_are_no_accounts() {
    let app = TestApp::on_sqlite().await;
    let body = json!({"username": "ann", "email": "ann@example.com", "password": PASSWORD});
    for path in ["register", "login", "refresh", "logout"] {
        let (status, answer) = app.post(&format!("/api/auth/{path}"), body.clone()).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(answer["detail"].as_str().unwrap().contains("AUTH_MODE"), "{answer}");
    }
    assert_eq!(app.get("/api/auth/me").await.0, StatusCode::NOT_FOUND);
    let mut ann = app.user("ann").await;
    refused(&mut ann, "refresh_token", json!({"token": "x"}), "invalid_payload").await;
    let auth = json!({"token": "x"});
    let refusal = crate::sio::Client::try_connect(Transport::WebSocket, app.addr, auth).await;
    assert_eq!(refusal.err().unwrap()["message"], "auth.user_id is required");
}
