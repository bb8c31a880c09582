//! `GET /search`.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group, to_user};

crate::on_both_stores![
    a_message_just_sent_is_found_with_its_excerpt,
    a_search_is_for_those_who_may_see_the_message,
    edits_deletions_and_hiding_hold_at_once,
    a_search_is_narrowed_and_paged,
    a_search_goes_on_from_a_message_that_is_deleted_meanwhile,
    what_a_blocked_user_writes_is_not_found,
    the_best_come_first_where_asked_for,
    a_search_of_the_wrong_form_is_422,
];

async fn found(app: &TestApp, query: &str) -> Vec<Value> {
    let (status, answer) = app.get(&format!("/search?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["results"].as_array().expect("results").clone()
}

async fn ids(app: &TestApp, query: &str) -> Vec<String> {
    let rows = found(app, query).await;
    rows.iter().map(|row| row["message"]["_id"].as_str().unwrap().to_owned()).collect()
}

async fn a_message_just_sent_is_found_with_its_excerpt(app: TestApp) {
    let mut ann = app.user("ann").await;
    sent(&mut ann, to_user("bob", "nothing here")).await;
    for n in 0..50 {
        let id = sent(&mut ann, to_user("bob", &format!("Crème <b> n{n}x"))).await;
        let rows = found(&app, &format!("user_id=bob&q=creme%20N{n}x")).await;
        assert_eq!(rows.len(), 1, "at once");
        assert_eq!(rows[0]["message"]["_id"], json!(id));
        let excerpt = format!("<mark>Crème</mark> &lt;b&gt; <mark>n{n}x</mark>");
        assert_eq!(rows[0]["excerpt"], json!(excerpt));
    }
    let rows = found(&app, "user_id=ann&q=nothing").await;
    assert_eq!(rows[0]["message"], app.rows("/messages/ann/bob?limit=99").await[50]);
}

async fn a_search_is_for_those_who_may_see_the_message(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    let direct = sent(&mut ann, to_user("bob", "hello")).await;
    let shared = sent(&mut ann, to_group(&group, "hello")).await;
    assert_eq!(ids(&app, "user_id=bob&q=hello").await, [shared.clone(), direct.clone()]);
    assert!(found(&app, "user_id=eve&q=hello").await.is_empty(), "a stranger");
    assert!(found(&app, "user_id=eve&q=hello&in=ann").await.is_empty());
    let inside = format!("in={group}&type=group&q=hello");
    assert_eq!(ids(&app, &format!("user_id=bob&{inside}")).await, [shared]);
    let (status, _) = app.get(&format!("/search?user_id=eve&{inside}")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = app.get(&format!("/search?user_id=eve&q=hello&before={direct}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let nowhere = format!("/search?user_id=bob&q=a&type=group&in={}", "0".repeat(24));
    assert_eq!(app.get(&nowhere).await.0, StatusCode::NOT_FOUND);

    let removal = format!("/groups/{group}/remove?user_id=bob&admin_id=ann");
    assert_eq!(app.post(&removal, json!(null)).await.0, StatusCode::OK);
    assert_eq!(ids(&app, "user_id=bob&q=hello").await, [direct], "a former member");
    let (status, _) = app.get(&format!("/search?user_id=bob&{inside}")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

async fn edits_deletions_and_hiding_hold_at_once(app: TestApp) {
    let mut ann = app.user("ann").await;
    let id = sent(&mut ann, to_user("bob", "alpha")).await;
    let edit = json!({"message_id": id, "content": "beta"});
    assert_eq!(ann.emit_ack("edit_message", edit).await["ok"], json!(true));
    assert!(found(&app, "user_id=bob&q=alpha").await.is_empty());
    assert_eq!(ids(&app, "user_id=bob&q=beta").await, std::slice::from_ref(&id));
    let (status, _) = app.delete(&format!("/messages/{id}?user_id=bob&delete_for=me")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(found(&app, "user_id=bob&q=beta").await.is_empty());
    assert_eq!(ids(&app, "user_id=ann&q=beta").await, std::slice::from_ref(&id));
    let (status, _) = app.delete(&format!("/messages/{id}?user_id=ann&delete_for=everyone")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(found(&app, "user_id=ann&q=beta").await.is_empty());
}

async fn a_search_is_narrowed_and_paged(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(sent(&mut ann, to_user("bob", "hello")).await);
        all.push(sent(&mut bob, to_user("ann", "hello")).await);
        all.push(sent(&mut bob, to_user("cem", "hello")).await);
    }
    all.reverse();
    let (status, first) = app.get("/search?user_id=bob&q=hel&limit=4").await;
    assert_eq!((status, &first["more"]), (StatusCode::OK, &json!(true)));
    assert_eq!(first["next"], json!(all[3]));
    assert_eq!(ids(&app, "user_id=bob&q=hel&limit=4").await, all[..4]);
    let (_, rest) = app.get(&format!("/search?user_id=bob&q=hel&before={}", all[3])).await;
    assert_eq!((&rest["more"], &rest["next"]), (&json!(false), &json!(null)));
    assert_eq!(ids(&app, &format!("user_id=bob&q=hel&before={}", all[3])).await, all[4..]);
    let of_cem: Vec<_> = all.iter().step_by(3).cloned().collect();
    assert_eq!(ids(&app, "user_id=bob&q=hel&in=cem").await, of_cem);
    assert_eq!(ids(&app, "user_id=bob&q=hel&from=ann").await.len(), 3);
    assert_eq!(ids(&app, "user_id=bob&q=hel&from=ann&in=cem").await.len(), 0);
}

async fn a_search_goes_on_from_a_message_that_is_deleted_meanwhile(app: TestApp) {
    let mut ann = app.user("ann").await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(sent(&mut ann, to_user("bob", "hello")).await);
    }
    let (_, first) = app.get("/search?user_id=bob&q=hello&limit=2").await;
    assert_eq!(first["next"], json!(all[2]));
    let deletion = format!("/messages/{}?user_id=ann&delete_for=everyone", all[2]);
    assert_eq!(app.delete(&deletion).await.0, StatusCode::OK);
    let rest = format!("user_id=bob&q=hello&before={}", all[2]);
    assert_eq!(ids(&app, &rest).await, [all[1].clone(), all[0].clone()]);
}

async fn what_a_blocked_user_writes_is_not_found(app: TestApp) {
    let mut ann = app.user("ann").await;
    let before = sent(&mut ann, to_user("bob", "hello")).await;
    let (status, _) = app.post("/users/bob/block/ann", json!(null)).await;
    assert_eq!(status, StatusCode::OK);
    let while_blocked = sent(&mut ann, to_user("bob", "hello")).await;
    assert_eq!(ids(&app, "user_id=bob&q=hello").await, std::slice::from_ref(&before));
    assert_eq!(ids(&app, "user_id=ann&q=hello").await, [while_blocked, before]);
}

async fn the_best_come_first_where_asked_for(app: TestApp) {
    let mut ann = app.user("ann").await;
    let whole = sent(&mut ann, to_user("bob", "cat")).await;
    let later = sent(&mut ann, to_user("bob", "that is a cat")).await;
    let part = sent(&mut ann, to_user("bob", "category")).await;
    let all = [whole, later, part];
    assert_eq!(ids(&app, "user_id=bob&q=cat&order=best").await, all);
    assert_eq!(ids(&app, "user_id=bob&q=cat&order=best&limit=1").await, all[..1]);
    let newest: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(ids(&app, "user_id=bob&q=cat").await, newest);
}

async fn a_search_of_the_wrong_form_is_422(app: TestApp) {
    let long = format!("user_id=a&q={}", "x".repeat(257));
    for (query, field) in [
        ("q=a", "user_id"),
        ("user_id=a", "q"),
        ("user_id=a&q=", "q"),
        ("user_id=a&q=%22*%22", "q"),
        ("user_id=a&q=1+2+3+4+5+6+7+8+9", "q"),
        (&long, "q"),
        ("user_id=a&q=a&type=all", "type"),
        ("user_id=a&q=a&order=worst", "order"),
        ("user_id=a&q=a&limit=0", "limit"),
        ("user_id=a&q=a&in=", "in"),
        ("user_id=a&q=a&type=group&in=nope", "in"),
        ("user_id=a&q=a&from=%0A", "from"),
        ("user_id=a&q=a&before=%24ne", "before"),
    ] {
        let (status, body) = app.get(&format!("/search?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(body["detail"][0]["loc"], json!(["query", field]), "{query}");
    }
    let (status, _) = app.get("/search?user_id=a&q=a&before=unknown").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(found(&app, "user_id=a&q=%22a%22+OR+b*").await.is_empty());
}
