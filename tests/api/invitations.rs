//! Invitations: links that let whoever has them into a group.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group};

crate::on_both_stores![
    whoever_has_the_link_comes_in,
    an_invitation_that_has_run_out_is_gone,
    at_once_no_more_come_in_than_may,
    an_invitation_can_be_taken_back,
    only_who_may_invite_sees_invitations,
    an_invitation_into_a_full_group_lets_nobody_in,
    invitations_have_a_limit_and_end_with_the_group,
    an_invitation_of_the_wrong_form_is_refused,
];

async fn invite(app: &TestApp, group: &str, by: &str, more: Value) -> (StatusCode, Value) {
    let mut body = json!({"admin_id": by});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post(&format!("/groups/{group}/invitations"), body).await
}

async fn invited(app: &TestApp, group: &str, more: Value) -> String {
    let (status, invitation) = invite(app, group, "ann", more).await;
    assert_eq!(status, StatusCode::OK, "{invitation}");
    invitation["token"].as_str().expect("a token").to_owned()
}

async fn accept(app: &TestApp, token: &str, user: &str) -> (StatusCode, Value) {
    app.post(&format!("/invitations/{token}/accept"), json!({"user_id": user})).await
}

async fn listed(app: &TestApp, group: &str, by: &str) -> (StatusCode, Value) {
    app.get(&format!("/groups/{group}/invitations?admin_id={by}")).await
}

async fn whoever_has_the_link_comes_in(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let (status, invitation) = invite(&app, &group, "ann", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{invitation}");
    let token = invitation["token"].as_str().unwrap();
    assert!(token.len() >= 22, "128 bits: {token}");
    assert_eq!(invitation["url"], json!(format!("/invitations/{token}")));
    assert_eq!(
        (&invitation["group_id"], &invitation["created_by"]),
        (&json!(group), &json!("ann"))
    );
    assert_eq!((&invitation["max_uses"], &invitation["uses"]), (&json!(null), &json!(0)));
    assert!(invitation["created_at"].is_string() && invitation["expires_at"].is_string());

    let (status, shown) = app.get(&format!("/invitations/{token}")).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let expires_at = &invitation["expires_at"];
    assert_eq!(
        shown,
        json!({"group_id": group, "name": "Friends", "member_count": 1, "expires_at": expires_at}),
        "a stranger asks"
    );
    let (status, row) = accept(&app, token, "bob").await;
    assert_eq!((status, &row["_id"]), (StatusCode::OK, &json!(group)), "{row}");
    assert_eq!(row["member_ids"], json!(["ann", "bob"]));
    for user in [&mut ann, &mut bob] {
        let notice = user.next_event("notification").await;
        assert_eq!((&notice["event"], &notice["user_id"]), (&json!("member_added"), &json!("bob")));
    }
    sent(&mut bob, to_group(&group, "thank you")).await;

    assert_eq!(accept(&app, token, "bob").await.0, StatusCode::OK, "a member is in already");
    let (_, all) = listed(&app, &group, "ann").await;
    assert_eq!(all[0]["uses"], json!(1), "and uses nothing up: {all}");
}

async fn an_invitation_that_has_run_out_is_gone(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let once = invited(&app, &group, json!({"max_uses": 1})).await;
    assert_eq!(accept(&app, &once, "bob").await.0, StatusCode::OK);
    assert_eq!(accept(&app, &once, "cem").await.0, StatusCode::GONE);
    assert_eq!(app.get(&format!("/invitations/{once}")).await.0, StatusCode::GONE);

    let short = invited(&app, &group, json!({"expires_in": 1})).await;
    let runs_out = async {
        while app.get(&format!("/invitations/{short}")).await.0 == StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), runs_out).await.expect("it runs out");
    let (status, answer) = accept(&app, &short, "cem").await;
    assert_eq!(status, StatusCode::GONE, "{answer}");
    assert_eq!(app.rows("/groups/cem").await, Vec::<Value>::new());
    let (_, all) = listed(&app, &group, "ann").await;
    assert_eq!(all, json!([]), "those that work are listed");
}

async fn at_once_no_more_come_in_than_may(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let token = invited(&app, &group, json!({"max_uses": 3})).await;
    let names: Vec<_> = (0..12).map(|n| format!("user{n}")).collect();
    let all = names.iter().map(|name| accept(&app, &token, name));
    let all = futures_util::future::join_all(all).await;
    let came_in = all.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    let gone = all.iter().filter(|(status, _)| *status == StatusCode::GONE).count();
    assert_eq!((came_in, gone), (3, 9), "{all:?}");
    let [row] = &app.rows("/groups/ann").await[..] else { panic!("one group") };
    assert_eq!(row["member_ids"].as_array().unwrap().len(), 4);
}

async fn an_invitation_can_be_taken_back(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let token = invited(&app, &group, json!({})).await;
    let by = |user: &str| format!("/groups/{group}/invitations/{token}?admin_id={user}");
    assert_eq!(app.delete(&by("bob")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(app.delete(&by("ann")).await.0, StatusCode::OK);
    assert_eq!(accept(&app, &token, "cem").await.0, StatusCode::GONE);
    assert_eq!(listed(&app, &group, "ann").await.1, json!([]));
    let other = app.group("ann", &["ann"]).await;
    let elsewhere = format!("/groups/{other}/invitations/{token}?admin_id=ann");
    assert_eq!(app.delete(&elsewhere).await.0, StatusCode::NOT_FOUND);
}

async fn only_who_may_invite_sees_invitations(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let role = json!({"admin_id": "ann", "role": "admin"}).to_string();
    let path = format!("/groups/{group}/members/bob/role");
    assert_eq!(app.send(Method::PUT, &path, Some(role)).await.0, StatusCode::OK);
    for (user, status) in [("ann", 200), ("bob", 200), ("cem", 403), ("eve", 403)] {
        assert_eq!(invite(&app, &group, user, json!({})).await.0, status, "{user} invites");
        assert_eq!(listed(&app, &group, user).await.0, status, "{user} looks");
    }
    assert_eq!(invite(&app, &"0".repeat(24), "ann", json!({})).await.0, StatusCode::NOT_FOUND);
}

async fn an_invitation_into_a_full_group_lets_nobody_in(app: TestApp) {
    let names: Vec<_> = (0..9_999).map(|n| format!("user{n}")).collect();
    let mut members: Vec<_> = names.iter().map(String::as_str).collect();
    members.push("ann");
    let group = app.group("ann", &members).await;
    let token = invited(&app, &group, json!({"max_uses": 1})).await;
    let (status, answer) = accept(&app, &token, "bob").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    let left = format!("/groups/{group}/leave?user_id=user7");
    assert_eq!(app.request(Method::POST, &left).await.0, StatusCode::OK);
    assert_eq!(accept(&app, &token, "bob").await.0, StatusCode::OK, "the use was not used up");
}

async fn invitations_have_a_limit_and_end_with_the_group(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    let mut last = String::new();
    for _ in 0..100 {
        last = invited(&app, &group, json!({})).await;
    }
    let (status, answer) = invite(&app, &group, "ann", json!({})).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    let revoked = format!("/groups/{group}/invitations/{last}?admin_id=ann");
    assert_eq!(app.delete(&revoked).await.0, StatusCode::OK);
    last = invited(&app, &group, json!({})).await;
    assert_eq!(app.delete(&format!("/groups/{group}")).await.0, StatusCode::OK);
    assert_eq!(accept(&app, &last, "bob").await.0, StatusCode::NOT_FOUND);
}

async fn an_invitation_of_the_wrong_form_is_refused(app: TestApp) {
    let group = app.group("ann", &["ann"]).await;
    for more in [
        json!({"expires_in": 0}),
        json!({"expires_in": -1}),
        json!({"expires_in": 31_536_001}),
        json!({"expires_in": "soon"}),
        json!({"max_uses": 0}),
        json!({"max_uses": 10_001}),
        json!({"max_uses": 1.5}),
    ] {
        let (status, answer) = invite(&app, &group, "ann", more.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{more}: {answer}");
    }
    let (status, _) = app.post(&format!("/groups/{group}/invitations"), json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    for token in ["nope", "%24ne", &"0".repeat(32), &"x".repeat(5_000)] {
        assert_eq!(app.get(&format!("/invitations/{token}")).await.0, StatusCode::NOT_FOUND);
        assert_eq!(accept(&app, token, "bob").await.0, StatusCode::NOT_FOUND);
    }
    let token = invited(&app, &group, json!({})).await;
    let (status, _) = app.post(&format!("/invitations/{token}/accept"), json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}
