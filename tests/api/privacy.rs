//! What is kept of a user, for the user; and the user's end, where sign-in is by token.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{PASSWORD, Person, TestApp, sent, to_group, to_user};
use crate::erasure::{erased, named_in};
use crate::on_both_stores;
use crate::tokens::connecting_fails;

on_both_stores! { with crate::app::BY_TOKEN;
    an_export_holds_all_that_is_kept_and_no_secret,
    an_export_is_for_its_user_alone,
    an_export_of_several_pages_is_whole,
    what_was_said_just_now_is_in_an_export,
    who_is_erased_is_out_for_good,
    an_operator_erases_a_user,
}

/// The lines of an export.
pub(crate) fn lines(text: &Value) -> Vec<Value> {
    let text = text.as_str().unwrap_or_else(|| panic!("{text}"));
    assert!(text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// How many lines there are of each kind.
fn kinds(lines: &[Value]) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for line in lines {
        *kinds.entry(line["kind"].as_str().expect("a kind")).or_default() += 1;
    }
    kinds
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

async fn export(app: &TestApp, person: &Person) -> Vec<Value> {
    let path = format!("/users/{}/export", person.id);
    let (status, text) = app.ask(Some(&person.access), Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    lines(&text)
}

async fn done(app: &TestApp, person: &Person, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = app.ask(Some(&person.access), method, path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn an_export_holds_all_that_is_kept_and_no_secret(app: TestApp) {
    let (ann, bob, eve) =
        (app.sign_up("ann").await, app.sign_up("bob").await, app.sign_up("eve").await);
    app.sign_in("ann").await;
    let body = json!({"name": "Friends", "member_ids": [ann.id, bob.id, eve.id]});
    let group = done(&app, &ann, Method::POST, "/groups/", body).await;
    let group = group["_id"].as_str().expect("an id");
    let links = format!("/groups/{group}/invitations");
    let invitation = done(&app, &ann, Method::POST, &links, json!({})).await;
    let block = format!("/users/{}/block/{}", ann.id, eve.id);
    done(&app, &ann, Method::POST, &block, json!({})).await;
    done(&app, &ann, Method::PUT, &format!("/groups/{group}/mute"), json!({})).await;

    let (mut of_ann, mut of_bob) = (app.socket(&ann).await, app.socket(&bob).await);
    let first = sent(&mut of_ann, to_user(&bob.id, "to bob")).await;
    let answer = sent(&mut of_bob, to_user(&ann.id, "to ann")).await;
    let hidden = sent(&mut of_bob, to_user(&ann.id, "hidden")).await;
    sent(&mut of_ann, to_user(&ann.id, "a note")).await;
    sent(&mut of_ann, to_group(group, "to all")).await;
    let in_group = sent(&mut of_bob, to_group(group, "from bob, to all")).await;
    let hide = json!({"message_id": hidden, "delete_for": "me"});
    assert_eq!(of_ann.emit_ack("delete_message", hide).await["ok"], json!(true));
    let edit = json!({"message_id": first, "content": "to bob, again"});
    assert_eq!(of_ann.emit_ack("edit_message", edit).await["ok"], json!(true));
    let read = json!({"message_id": in_group});
    assert_eq!(of_ann.emit_ack("mark_read", read).await["ok"], json!(true));

    let lines = export(&app, &ann).await;
    let about = lines.first().expect("a line");
    assert_eq!((&about["kind"], &about["format"]), (&json!("about"), &json!(1)));
    assert_eq!(about["user_id"], json!(ann.id));
    let end = lines.last().expect("a line");
    assert_eq!(end["kind"], "end");
    let mut kinds = kinds(&lines);
    assert_eq!((kinds.remove("about"), kinds.remove("end")), (Some(1), Some(1)));
    assert_eq!(json!(kinds), end["counts"]);
    let expected = json!({
        "account": 1, "session": 2, "presence": 1, "block": 1, "mute": 1, "group": 1,
        "read_cursor": 1, "invitation": 1, "message": 3, "received": 1,
    });
    assert_eq!(end["counts"], expected);

    let account = of_kind(&lines, "account")[0];
    assert_eq!(
        (&account["username"], &account["email"]),
        (&json!("ann"), &json!("ann@example.com"))
    );
    assert_eq!(of_kind(&lines, "block")[0]["user_id"], json!(eve.id));
    let membership = of_kind(&lines, "group")[0];
    assert_eq!((&membership["name"], &membership["role"]), (&json!("Friends"), &json!("owner")));
    assert_eq!(of_kind(&lines, "read_cursor")[0]["up_to"], json!(in_group));
    let own: Vec<_> = of_kind(&lines, "message").iter().map(|row| row["content"].clone()).collect();
    assert!(
        ["to bob, again", "a note", "to all"].iter().all(|said| own.contains(&json!(said))),
        "{own:?}"
    );
    let edited = of_kind(&lines, "message").into_iter().find(|row| row["_id"] == json!(first));
    assert_eq!(edited.expect("it is there")["revisions"][0]["content"], "to bob");
    let mut row = of_kind(&lines, "received")[0].clone();
    row.as_object_mut().expect("a row").remove("kind");
    let path = format!("/messages/{}/{}?after={first}", ann.id, bob.id);
    let history = app.ask(Some(&ann.access), Method::GET, &path, None).await.1;
    assert_eq!((&row["_id"], &history), (&json!(answer), &json!([row])));

    let text = format!("{lines:?}");
    let link = invitation["token"].as_str().expect("a token");
    for secret in ["argon2", "secret", PASSWORD, &ann.access, &ann.refresh, link, "member_ids"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

async fn an_export_is_for_its_user_alone(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let path = format!("/users/{}/export", ann.id);
    let of_bob = app.ask(Some(&bob.access), Method::GET, &path, None).await;
    assert_eq!(of_bob.0, StatusCode::FORBIDDEN, "{}", of_bob.1);
    assert_eq!(app.get(&path).await.0, StatusCode::UNAUTHORIZED);
    let url = format!("http://{}{path}", app.addr);
    let answer = crate::web::client().get(url).bearer_auth(&ann.access).send().await.expect("it");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "application/x-ndjson");
    assert_eq!(header("cache-control"), "no-store");
    assert!(header("content-disposition").starts_with("attachment; filename="));
}

async fn an_export_of_several_pages_is_whole(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let body = json!({"name": "Friends", "member_ids": [ann.id, bob.id]});
    let group = done(&app, &ann, Method::POST, "/groups/", body).await;
    let group = group["_id"].as_str().expect("an id");
    let (mut of_ann, mut of_bob) = (app.socket(&ann).await, app.socket(&bob).await);
    let (mut own, mut received) = (Vec::new(), Vec::new());
    for n in 0..230 {
        own.push(sent(&mut of_ann, to_user(&bob.id, &format!("to bob {n}"))).await);
        received.push(sent(&mut of_bob, to_user(&ann.id, &format!("to ann {n}"))).await);
        own.push(sent(&mut of_ann, to_group(group, &format!("to all {n}"))).await);
        sent(&mut of_bob, to_group(group, &format!("of bob {n}"))).await;
    }
    let lines = export(&app, &ann).await;
    let ids = |kind| {
        let ids = of_kind(&lines, kind).into_iter().map(|row| row["_id"].as_str().expect("an id"));
        let mut ids: Vec<_> = ids.map(str::to_owned).collect();
        ids.sort_unstable();
        ids
    };
    own.sort_unstable();
    received.sort_unstable();
    assert_eq!(ids("message"), own);
    assert_eq!(ids("received"), received);
    let counts = &lines.last().expect("a line")["counts"];
    assert_eq!((&counts["message"], &counts["received"]), (&json!(460), &json!(230)));
}

async fn what_was_said_just_now_is_in_an_export(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let mut socket = app.socket(&ann).await;
    for n in 1..=9 {
        sent(&mut socket, to_user(&bob.id, "hello")).await;
        assert_eq!(of_kind(&export(&app, &ann).await, "message").len(), n);
    }
    export(&app, &ann).await;
    let path = format!("/users/{}/export", ann.id);
    let (status, answer) = app.ask(Some(&ann.access), Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "ten in an hour: {answer}");
    export(&app, &bob).await;
}

async fn is_in(app: &TestApp, person: &Person) -> bool {
    app.ask(Some(&person.access), Method::GET, "/api/auth/me", None).await.0 == StatusCode::OK
}

async fn login(app: &TestApp, name: &str) -> StatusCode {
    app.post("/api/auth/login", json!({"username": name, "password": PASSWORD})).await.0
}

async fn who_is_erased_is_out_for_good(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let laptop = app.sign_in("ann").await;
    let mut sockets = [app.socket(&ann).await, app.socket(&laptop).await];
    let mut of_bob = app.socket(&bob).await;
    sent(&mut sockets[0], to_user(&bob.id, "hello")).await;
    sent(&mut of_bob, to_user(&ann.id, "hello")).await;
    let path = format!("/users/{}", ann.id);
    let of_bob_too = app.ask(Some(&bob.access), Method::DELETE, &path, None).await;
    assert_eq!(of_bob_too.0, StatusCode::FORBIDDEN, "{}", of_bob_too.1);
    assert_eq!(app.delete(&path).await.0, StatusCode::UNAUTHORIZED);
    assert!(is_in(&app, &ann).await);

    let answer = app.ask(Some(&ann.access), Method::DELETE, &path, None).await;
    let row = json!({"user_id": ann.id, "erased": true, "messages": 2});
    assert_eq!(answer, (StatusCode::OK, row));
    for socket in &mut sockets {
        assert_eq!(socket.next_event("signed_out").await, json!({"reason": "signed_out"}));
        socket.disconnected().await;
    }
    for person in [&ann, &laptop] {
        assert!(!is_in(&app, person).await);
        let refresh = json!({"refresh_token": person.refresh});
        assert_eq!(app.post("/api/auth/refresh", refresh).await.0, StatusCode::UNAUTHORIZED);
        connecting_fails(&app, person.auth()).await;
    }
    assert_eq!(login(&app, "ann").await, StatusCode::UNAUTHORIZED);
    // What voids the tokens has to know whose they are, until the last of them is over.
    assert_eq!(named_in(&app, &ann.id).await, ["revocations"]);
    assert_eq!(named_in(&app, "ann@example.com").await, [""; 0]);

    assert!(is_in(&app, &bob).await);
    let new = app.sign_up("ann").await;
    assert_ne!(new.id, ann.id, "the name is free, for somebody else");
    assert_eq!(of_kind(&export(&app, &new).await, "message").len(), 0);
}

async fn an_operator_erases_a_user(app: TestApp) {
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let mut of_ann = app.socket(&ann).await;
    sent(&mut of_ann, to_user(&bob.id, "hello")).await;
    let path = format!("/admin/users/{}", ann.id);
    for messages in [1, 0] {
        let row = json!({"user_id": ann.id, "erased": true, "messages": messages});
        assert_eq!(app.delete(&path).await, (StatusCode::OK, row));
    }
    assert!(!is_in(&app, &ann).await && is_in(&app, &bob).await);
    let (status, known) = app.get(&path).await;
    assert_eq!((status, &known["username"]), (StatusCode::OK, &json!(null)));
    erased(&app, &ann.id).await;
}
