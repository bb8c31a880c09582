//! `before`, `after` and `around` of `GET /messages/...`.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_group, to_user};
use crate::sio::Client;

crate::on_both_stores![
    pages_go_back_and_forth_over_what_is_stored_and_what_is_not,
    a_groups_pages_go_back_and_forth_too,
    a_page_around_a_message_has_both_sides_of_it,
    a_message_that_is_gone_still_leads_on,
    what_leads_nowhere_is_not_found,
    an_id_that_nobody_knows_stands_for_its_time,
    one_place_at_a_time,
    pages_are_whole_while_others_write,
    an_older_page_is_marked_as_read_too,
    what_was_acknowledged_is_in_the_next_page_from_memory_as_well,
];

/// Messages of ann to bob, `0`, `1`, ...; their ids. The first ones are stored.
async fn said(app: &TestApp, ann: &mut Client, count: usize, stored: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(sent(ann, to_user("bob", &n.to_string())).await);
        if n + 1 == stored {
            app.flushed().await;
        }
    }
    ids
}

fn numbers(rows: &[Value]) -> Vec<usize> {
    rows.iter().map(|row| row["content"].as_str().unwrap().parse().unwrap()).collect()
}

async fn page(app: &TestApp, query: &str) -> Vec<usize> {
    numbers(&app.rows(&format!("/messages/bob/ann?{query}")).await)
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Everything before a message, page by page, newest first.
async fn back(app: &TestApp, path: &str, from: &str, limit: usize) -> Vec<String> {
    let mut walked = vec![from.to_owned()];
    loop {
        let last = &walked[walked.len() - 1];
        let rows = app.rows(&format!("{path}&before={last}&limit={limit}")).await;
        if rows.is_empty() {
            return walked.split_off(1);
        }
        walked.extend(ids(&rows));
    }
}

/// Everything after a message, page by page, oldest first.
async fn forth(app: &TestApp, path: &str, from: &str, limit: usize) -> Vec<String> {
    let mut walked = vec![from.to_owned()];
    loop {
        let last = &walked[walked.len() - 1];
        let rows = app.rows(&format!("{path}&after={last}&limit={limit}")).await;
        if rows.is_empty() {
            return walked.split_off(1);
        }
        walked.extend(ids(&rows).into_iter().rev());
    }
}

async fn pages_go_back_and_forth_over_what_is_stored_and_what_is_not(app: TestApp) {
    let mut ann = app.user("ann").await;
    let all = said(&app, &mut ann, 60, 40).await;
    let path = "/messages/bob/ann?message_type=direct";
    for limit in [1, 7, 200] {
        let mut older = back(&app, path, &all[59], limit).await;
        older.reverse();
        assert_eq!(older, all[..59]);
        assert_eq!(forth(&app, path, &all[0], limit).await, all[1..]);
    }
    assert_eq!(page(&app, &format!("after={}&limit=3", all[10])).await, [13, 12, 11]);
    assert_eq!(page(&app, &format!("before={}&limit=3", all[10])).await, [9, 8, 7]);
    let fifty = page(&app, &format!("before={}", all[59])).await;
    assert_eq!(fifty, (9..59).rev().collect::<Vec<_>>());
}

async fn a_groups_pages_go_back_and_forth_too(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut ann = app.user("ann").await;
    let mut all = Vec::new();
    for n in 0..20 {
        all.push(sent(&mut ann, to_group(&group, &n.to_string())).await);
    }
    let path = format!("/messages/bob/{group}?message_type=group");
    let mut older = back(&app, &path, &all[19], 6).await;
    older.reverse();
    assert_eq!(older, all[..19]);
    assert_eq!(forth(&app, &path, &all[0], 6).await, all[1..]);
    let (status, _) = app.get(&format!("{path}&around={}", all[3]).replace("bob", "eve")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

async fn a_page_around_a_message_has_both_sides_of_it(app: TestApp) {
    let mut ann = app.user("ann").await;
    let all = said(&app, &mut ann, 20, 12).await;
    for (n, limit, page_of_it) in [
        (10, 1, 10..11),
        (10, 2, 9..11),
        (10, 6, 7..13),
        (1, 6, 0..6),
        (18, 6, 15..20),
        (0, 200, 0..20),
    ] {
        let found = page(&app, &format!("around={}&limit={limit}", all[n])).await;
        assert_eq!(found, page_of_it.rev().collect::<Vec<_>>(), "around {n}, {limit}");
    }
}

async fn a_message_that_is_gone_still_leads_on(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let all = said(&app, &mut ann, 12, 10).await;
    let delete = |n: usize, who: &str| json!({"message_id": all[n], "delete_for": who});
    ann.emit_ack("delete_message", delete(5, "everyone")).await;
    bob.emit_ack("delete_message", delete(7, "me")).await;
    for _ in ["on its way", "stored"] {
        let (gone, hidden) = (&all[5], &all[7]);
        assert_eq!(page(&app, &format!("before={gone}&limit=2")).await, [4, 3]);
        assert_eq!(page(&app, &format!("after={gone}&limit=2")).await, [8, 6]);
        assert_eq!(page(&app, &format!("before={hidden}&limit=2")).await, [6, 4]);
        assert_eq!(page(&app, &format!("after={hidden}&limit=2")).await, [9, 8]);
        for id in [gone, hidden] {
            let (status, body) = app.get(&format!("/messages/bob/ann?around={id}")).await;
            assert_eq!((status, body), (StatusCode::NOT_FOUND, not_found()));
        }
        app.flushed().await;
    }
}

fn not_found() -> Value {
    json!({"detail": "Message not found"})
}

async fn what_leads_nowhere_is_not_found(app: TestApp) {
    let mut ann = app.user("ann").await;
    said(&app, &mut ann, 2, 1).await;
    let elsewhere = [
        sent(&mut ann, to_user("cem", "1")).await,
        "5a0d6c1e-93b4-4a57-9f3c-0b8f5d2f7f11".to_owned(),
    ];
    for id in &elsewhere {
        app.flushed().await;
        for place in ["before", "after", "around"] {
            let (status, body) = app.get(&format!("/messages/bob/ann?{place}={id}")).await;
            assert_eq!((status, body), (StatusCode::NOT_FOUND, not_found()), "{place} {id}");
        }
    }
}

async fn an_id_that_nobody_knows_stands_for_its_time(app: TestApp) {
    let mut ann = app.user("ann").await;
    let all = said(&app, &mut ann, 4, 2).await;
    let early = "5a0d6c1e0000000000000000";
    let late = "ff0d6c1e0000000000000000";
    assert_eq!(page(&app, &format!("after={early}&limit=2")).await, [1, 0]);
    assert_eq!(page(&app, &format!("before={late}&limit=2")).await, [3, 2]);
    assert!(page(&app, &format!("before={early}")).await.is_empty());
    assert!(page(&app, &format!("after={late}")).await.is_empty());
    // Of the second in which it was made nothing is left out.
    let same_second = format!("{}0000000000000000", &all[0][..8]);
    assert_eq!(page(&app, &format!("after={same_second}")).await, [3, 2, 1, 0]);
    assert!(page(&app, &format!("before={same_second}")).await.contains(&0));
    let (status, _) = app.get(&format!("/messages/bob/ann?around={early}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

async fn one_place_at_a_time(app: TestApp) {
    let id = "5a0d6c1e0000000000000000";
    for (query, place) in [
        (format!("before={id}&after={id}"), "after"),
        (format!("around={id}&before={id}"), "around"),
        (format!("after={id}&around={id}"), "around"),
        ("before=".to_owned(), "before"),
        ("after=a%20b".to_owned(), "after"),
        ("around=%7B%22%24ne%22%3A1%7D".to_owned(), "around"),
        (format!("before={id}&limit=0"), "limit"),
    ] {
        let (status, body) = app.get(&format!("/messages/bob/ann?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {body}");
        assert_eq!(body["detail"][0]["loc"], json!(["query", place]), "{body}");
    }
}

async fn pages_are_whole_while_others_write(app: TestApp) {
    const COUNT: usize = 200;
    let mut ann = app.user("ann").await;
    let first = said(&app, &mut ann, 30, 10).await;
    let path = "/messages/bob/ann?message_type=direct";
    let writing = async {
        let mut more = Vec::new();
        for n in 30..COUNT {
            more.push(sent(&mut ann, to_user("bob", &n.to_string())).await);
            if n % 3 == 0 {
                let edit = json!({"message_id": first[n % 30], "content": "edited"});
                ann.emit_ack("edit_message", edit).await;
            }
        }
        more
    };
    let reading = async {
        let mut walked = vec![first[0].clone()];
        while walked.len() < COUNT {
            let last = &walked[walked.len() - 1];
            let rows = app.rows(&format!("{path}&after={last}&limit=9")).await;
            walked.extend(ids(&rows).into_iter().rev());
        }
        walked
    };
    let going_back = async {
        let mut walks = Vec::new();
        for limit in [2, 3, 5, 30] {
            walks.push(back(&app, path, &first[29], limit).await);
        }
        walks
    };
    let (more, walked, walks) = tokio::join!(writing, reading, going_back);
    let all: Vec<String> = first.iter().cloned().chain(more).collect();
    assert_eq!(walked, all, "forwards");
    for walk in walks {
        assert!(walk.iter().eq(first[..29].iter().rev()), "backwards: {walk:?}");
    }
}

async fn an_older_page_is_marked_as_read_too(app: TestApp) {
    let mut ann = app.user("ann").await;
    let all = said(&app, &mut ann, 9, 5).await;
    page(&app, &format!("before={}&limit=1", all[3])).await;
    page(&app, &format!("after={}&limit=1", all[3])).await;
    page(&app, &format!("around={}&limit=1", all[6])).await;
    let rows = app.direct("ann", "bob").await;
    let read: Vec<_> = rows.iter().filter(|row| row["status"] == "read").cloned().collect();
    assert_eq!(numbers(&read), [6, 4, 2]);
}

async fn what_was_acknowledged_is_in_the_next_page_from_memory_as_well(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let metric = "banter_history_pages_total{source=\"memory\"}";
    let mut n = 0;
    while n < 100 || app.metric(metric).await < 20.0 {
        let id = sent(&mut ann, to_user("bob", "new")).await;
        let path = "/messages/bob/ann?limit=4";
        assert_eq!(ids(&app.rows(path).await)[0], id);
        let edit = json!({"message_id": id, "content": "edited"});
        ann.emit_ack("edit_message", edit).await;
        assert_eq!(app.rows(path).await[0]["content"], "edited");
        if n % 2 == 0 {
            bob.emit_ack("delete_message", json!({"message_id": id, "delete_for": "me"})).await;
            assert!(!ids(&app.rows(path).await).contains(&id));
            assert_eq!(ids(&app.rows("/messages/ann/bob?limit=4").await)[0], id);
            ann.emit_ack("delete_message", json!({"message_id": id})).await;
            assert!(!ids(&app.rows("/messages/ann/bob?limit=4").await).contains(&id));
        }
        n += 1;
    }
}
