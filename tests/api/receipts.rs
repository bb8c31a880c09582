//! Receipts: what has come to whom, and who has read what, one by one or many at once.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::Client;

crate::on_both_stores![
    what_has_come_is_told_to_its_sender,
    what_was_read_is_not_delivered_again,
    deliveries_in_a_group_are_told_to_each_sender_alone,
    what_can_not_be_marked_is_left_out,
    many_are_read_at_once,
    all_up_to_a_message_is_read,
    a_mark_up_to_a_message_moves_the_place_in_a_group,
    a_long_conversation_is_read_in_steps,
    receipts_of_one_reader_are_gathered,
    each_of_five_readers_is_heard,
    a_sender_without_a_conversation_hears_nothing,
    a_message_that_is_named_twice_is_told_once,
    up_to_a_hidden_message_that_one_is_left_out,
];

/// A server that calls groups of more than three members large.
mod in_large_groups {
    use crate::app::TestApp;

    const LIMIT: (&str, &str) = ("RECEIPT_GROUP_LIMIT", "3");

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_the_sender_is_told_on_sqlite() {
        super::only_the_sender_is_told(TestApp::with(&[LIMIT]).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_the_sender_is_told_on_mongodb() {
        super::only_the_sender_is_told(TestApp::on_mongodb_with(&[LIMIT]).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_the_limit_all_are_told_on_sqlite() {
        super::at_the_limit_all_are_told(TestApp::with(&[LIMIT]).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_the_limit_all_are_told_on_mongodb() {
        super::at_the_limit_all_are_told(TestApp::on_mongodb_with(&[LIMIT]).await).await;
    }
}

const QUIET: Duration = Duration::from_millis(150);

async fn sent_many(client: &mut Client, count: usize, payload: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(sent(client, payload.clone()).await);
    }
    ids
}

/// The messages that receipts tell of, until all of these have been told.
async fn told(client: &mut Client, wanted: &[String]) -> Vec<Value> {
    let (mut receipts, mut seen) = (Vec::new(), BTreeSet::new());
    while !wanted.iter().all(|id| seen.contains(id)) {
        let receipt = client.next_event("message_update").await;
        match receipt["message_ids"].as_array() {
            Some(ids) => seen.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned())),
            None => _ = seen.insert(receipt["message_id"].as_str().unwrap().to_owned()),
        }
        receipts.push(receipt);
    }
    receipts
}

async fn unread(app: &TestApp, user: &str) -> Vec<u64> {
    let (status, list) = app.get(&format!("/conversations/{user}")).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let chats = list["conversations"].as_array().expect("a list");
    chats.iter().map(|chat| chat["unread"].as_u64().unwrap()).collect()
}

async fn what_has_come_is_told_to_its_sender(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let ids = sent_many(&mut ann, 3, &to_user("bob", "hi")).await;
    let one = json!({"message_ids": [ids[0]]});
    assert_eq!(bob.emit_ack("mark_delivered", one.clone()).await, json!({"ok": true}));
    let receipt = json!({"type": "delivery_receipt", "message_id": ids[0], "user_id": "bob"});
    assert_eq!(ann.next_event("message_update").await, receipt);
    assert_eq!(bob.emit_ack("mark_delivered", json!({"message_ids": ids})).await["ok"], true);
    let receipt = ann.next_event("message_update").await;
    assert_eq!((&receipt["message_id"], &receipt["user_id"]), (&json!(ids[2]), &json!("bob")));
    assert_eq!(receipt["message_ids"], json!(ids[1..]), "what came before is not told again");
    assert_eq!(bob.emit_ack("mark_delivered", one).await, json!({"ok": true}));
    ann.no_event("message_update", QUIET).await;
    bob.no_event("message_update", Duration::ZERO).await;
    let statuses = async || {
        let rows = app.direct("ann", "bob").await;
        rows.iter().map(|row| row["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for _ in ["from the buffer", "from the store"] {
        assert_eq!(statuses().await, ["delivered"; 3]);
        app.flushed().await;
    }
}

async fn what_was_read_is_not_delivered_again(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let id = sent(&mut ann, to_user("bob", "hi")).await;
    bob.emit_ack("mark_read", json!({"message_id": id})).await;
    assert_eq!(ann.next_event("message_update").await["type"], "read_receipt");
    bob.emit_ack("mark_delivered", json!({"message_ids": [id]})).await;
    ann.no_event("message_update", QUIET).await;
    app.flushed().await;
    assert_eq!(app.direct("ann", "bob").await[0]["status"], "read");
}

async fn deliveries_in_a_group_are_told_to_each_sender_alone(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let mut users = [app.user("ann").await, app.user("bob").await, app.user("cem").await];
    for user in &mut users {
        user.emit_ack("join_group", json!(group)).await;
    }
    let [ann, bob, cem] = &mut users;
    let from_ann = sent(ann, to_group(&group, "a")).await;
    let from_bob = sent(bob, to_group(&group, "b")).await;
    let both = json!({"message_ids": [from_ann, from_bob]});
    for (reader, expects_bob) in [(&mut *cem, true), (&mut *bob, false)] {
        assert_eq!(reader.emit_ack("mark_delivered", both.clone()).await, json!({"ok": true}));
        let user = if expects_bob { "cem" } else { "bob" };
        let receipt =
            |id: &str| json!({"type": "delivery_receipt", "message_id": id, "user_id": user});
        assert_eq!(ann.next_event("message_update").await, receipt(&from_ann));
        if expects_bob {
            assert_eq!(reader.events_so_far("message_update").await, Vec::<Value>::new());
        }
    }
    let receipt = json!({"type": "delivery_receipt", "message_id": from_bob, "user_id": "cem"});
    assert_eq!(bob.next_event("message_update").await, receipt);
    bob.no_event("message_update", QUIET).await;
    assert_eq!(app.of_group("ann", &group).await[0]["status"], "delivered");
}

async fn what_can_not_be_marked_is_left_out(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let mut users = [app.user("ann").await, app.user("bob").await, app.user("eve").await];
    let [ann, bob, eve] = &mut users;
    let direct = sent(ann, to_user("bob", "hi")).await;
    let hidden = sent(ann, to_user("bob", "oops")).await;
    let of_group = sent(ann, to_group(&group, "hi all")).await;
    let hide = json!({"message_id": hidden, "delete_for": "me"});
    bob.emit_ack("delete_message", hide).await;
    let nowhere = "f".repeat(24);
    let all = json!({"message_ids": [direct, hidden, of_group, nowhere, "no-such-id"]});
    for event in ["mark_delivered", "mark_read"] {
        assert_eq!(eve.emit_ack(event, all.clone()).await, json!({"ok": true}));
        assert_eq!(ann.emit_ack(event, all.clone()).await, json!({"ok": true}));
    }
    ann.no_event("message_update", QUIET).await;
    assert_eq!(bob.emit_ack("mark_read", all).await, json!({"ok": true}));
    let receipt = ann.next_event("message_update").await;
    assert_eq!(
        receipt["message_id"],
        json!(direct),
        "of the group's the socket is not in its room"
    );
    ann.no_event("message_update", QUIET).await;
    assert_eq!(app.direct("ann", "bob").await[0]["status"], "sent", "the hidden one");
    for event in ["mark_delivered", "mark_read"] {
        refused(bob, event, json!({"message_ids": []}), "invalid_payload").await;
        refused(bob, event, json!({"message_ids": vec![&nowhere; 201]}), "invalid_payload").await;
    }
    refused(eve, "mark_read", json!({"up_to": direct}), "not_found").await;
    refused(eve, "mark_read", json!({"up_to": nowhere}), "not_found").await;
}

async fn many_are_read_at_once(app: TestApp) {
    let mut users = [app.user("ann").await, app.user("bob").await, app.user("cem").await];
    let [ann, bob, cem] = &mut users;
    let mut ids = sent_many(ann, 3, &to_user("bob", "hi")).await;
    ids.push(sent(cem, to_user("bob", "hello")).await);
    app.flushed().await;
    assert_eq!(bob.emit_ack("mark_read", json!({"message_ids": ids})).await, json!({"ok": true}));
    let receipt = json!({"type": "read_receipt", "message_id": ids[2], "read_by": ["bob"],
                         "message_ids": ids[..3], "reader": "bob"});
    assert_eq!(ann.next_event("message_update").await, receipt);
    let receipt = json!({"type": "read_receipt", "message_id": ids[3], "read_by": ["bob"]});
    assert_eq!(cem.next_event("message_update").await, receipt);
    assert_eq!(unread(&app, "bob").await, [0, 0]);
    bob.emit_ack("mark_read", json!({"message_ids": ids})).await;
    ann.no_event("message_update", 2 * QUIET).await;
}

async fn all_up_to_a_message_is_read(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let mut ids = sent_many(&mut ann, 5, &to_user("bob", "hi")).await;
    bob.emit_ack("mark_read", json!({"message_id": ids[1]})).await;
    assert_eq!(ann.next_event("message_update").await["message_id"], json!(ids[1]));
    let note = sent(&mut bob, to_user("ann", "mine")).await;
    app.flushed().await;
    ids.extend(sent_many(&mut ann, 3, &to_user("bob", "not stored yet")).await);
    let up_to = json!({"up_to": ids[6]});
    assert_eq!(bob.emit_ack("mark_read", up_to).await, json!({"ok": true}));
    let wanted: Vec<_> = ids[..7].iter().filter(|id| **id != ids[1]).cloned().collect();
    let receipts = told(&mut ann, &wanted).await;
    assert_eq!(receipts.last().unwrap()["message_ids"], json!(wanted), "{receipts:?}");
    assert_eq!(receipts.last().unwrap()["message_id"], json!(ids[6]));
    assert_eq!(unread(&app, "bob").await, [1]);
    let rows = app.direct("ann", "bob").await;
    let status = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap()["status"].clone();
    assert_eq!((status(&ids[6]), status(&ids[7])), (json!("read"), json!("sent")));
    assert_eq!(status(&note), "sent", "nobody reads for the other one");
}

async fn a_mark_up_to_a_message_moves_the_place_in_a_group(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    ann.emit_ack("join_group", json!(group)).await;
    let ids = sent_many(&mut ann, 4, &to_group(&group, "hi")).await;
    assert_eq!(unread(&app, "bob").await, [4]);
    assert_eq!(bob.emit_ack("mark_read", json!({"up_to": ids[2]})).await, json!({"ok": true}));
    let receipt = ann.next_event("message_update").await;
    assert_eq!(receipt["message_ids"], json!(ids[..3]));
    assert_eq!(receipt["read_by"], json!(["ann", "bob"]));
    assert_eq!(unread(&app, "bob").await, [1]);
    let last = sent(&mut bob, to_group(&group, "mine")).await;
    bob.emit_ack("mark_read", json!({"up_to": last})).await;
    assert_eq!(unread(&app, "bob").await, [0]);
    // Nothing is unread, and the place is further back all the same: other devices hear of it.
    let page = bob.emit_ack("sync", json!({})).await;
    let own = sent(&mut bob, to_group(&group, "mine, too")).await;
    bob.emit_ack("mark_read", json!({"up_to": own})).await;
    app.flushed().await;
    let changes = crate::sync::sync(&mut bob, page["cursor"].as_str().unwrap(), 200).await.0;
    let moved = json!({"type": "group_read", "group_id": group, "up_to": own});
    assert!(changes.contains(&moved), "{changes:?}");
}

async fn a_message_that_is_named_twice_is_told_once(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let ids = sent_many(&mut ann, 2, &to_user("bob", "hi")).await;
    let thrice = json!({"message_ids": [ids[1], ids[0], ids[1]]});
    for event in ["mark_delivered", "mark_read"] {
        assert_eq!(bob.emit_ack(event, thrice.clone()).await, json!({"ok": true}));
        assert_eq!(ann.next_event("message_update").await["message_ids"], json!(ids), "{event}");
    }
}

async fn up_to_a_hidden_message_that_one_is_left_out(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let ids = sent_many(&mut ann, 2, &to_user("bob", "hi")).await;
    let hide = json!({"message_id": ids[1], "delete_for": "me"});
    bob.emit_ack("delete_message", hide).await;
    assert_eq!(bob.emit_ack("mark_read", json!({"up_to": ids[1]})).await, json!({"ok": true}));
    let receipt = json!({"type": "read_receipt", "message_id": ids[0], "read_by": ["bob"]});
    assert_eq!(ann.next_event("message_update").await, receipt);
    let statuses = app.direct("ann", "bob").await.into_iter().map(|row| row["status"].clone());
    assert_eq!(statuses.collect::<Vec<_>>(), ["sent", "read"]);
}

/// More than one op of marks, and more than one call looks at.
async fn a_long_conversation_is_read_in_steps(app: TestApp) {
    const COUNT: usize = 10_003;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let (mut last, mut acks) = (String::new(), Vec::new());
    for n in 0..COUNT {
        acks.push(ann.send_with_ack("send_message", &[to_user("bob", "hi")]).await);
        if acks.len() == 100 || n + 1 == COUNT {
            for ack in acks.drain(..) {
                let ack = ann.ack(ack).await;
                last = ack["message"]["id"].as_str().expect("accepted").to_owned();
            }
            ann.so_far();
            bob.so_far();
        }
    }
    let mut steps = 0;
    let mut up_to = json!(last);
    while up_to.is_string() {
        let ack = bob.emit_ack("mark_read", json!({"up_to": up_to})).await;
        assert_eq!(ack["ok"], json!(true), "{ack}");
        up_to = ack["next"].clone();
        steps += 1;
        app.flushed().await;
        let left = if steps == 1 { 3 } else { 0 };
        assert_eq!(unread(&app, "bob").await, [left]);
    }
    assert_eq!(steps, 2);
    let mut told = 0;
    while told < COUNT {
        let receipt = ann.next_event("message_update").await;
        told += receipt["message_ids"].as_array().map_or(1, Vec::len);
    }
    assert_eq!(told, COUNT, "each is told once");
}

async fn receipts_of_one_reader_are_gathered(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let ids = sent_many(&mut ann, 40, &to_user("bob", "hi")).await;
    for id in &ids {
        bob.emit("mark_read", json!({"message_id": id})).await;
    }
    let receipts = told(&mut ann, &ids).await;
    let first = json!({"type": "read_receipt", "message_id": ids[0], "read_by": ["bob"]});
    assert_eq!(receipts[0], first, "the first goes out at once, as ever");
    assert!(receipts.len() < ids.len() / 2, "{} receipts", receipts.len());
    let last = receipts.last().unwrap();
    assert_eq!((&last["message_id"], &last["read_by"]), (&json!(ids[39]), &json!(["bob"])));
    let mut all: Vec<_> = receipts[1..]
        .iter()
        .flat_map(|told| told["message_ids"].as_array().cloned().unwrap_or_default())
        .collect();
    all.dedup();
    assert!(all.len() >= ids.len() - 2, "{receipts:?}");
}

async fn each_of_five_readers_is_heard(app: TestApp) {
    let readers = ["bob", "cem", "dan", "eve", "fay"];
    let group = app.group("ann", &[&["ann"], &readers[..]].concat()).await;
    let mut ann = app.user("ann").await;
    ann.emit_ack("join_group", json!(group)).await;
    let ids = sent_many(&mut ann, 5, &to_group(&group, "hi")).await;
    let mut sockets = Vec::new();
    for reader in readers {
        let mut socket = app.user(reader).await;
        for id in &ids {
            socket.emit("mark_read", json!({"message_id": id})).await;
        }
        sockets.push(socket);
    }
    let mut heard = BTreeSet::new();
    let mut lists = std::collections::HashMap::<String, usize>::new();
    while heard.len() < 5 * 5 {
        let receipt = ann.next_event("message_update").await;
        let read_by: Vec<_> = receipt["read_by"].as_array().unwrap().clone();
        let newest = receipt["message_id"].as_str().unwrap().to_owned();
        let longest = lists.entry(newest).or_default();
        assert!(read_by.len() >= *longest, "a list that goes back: {receipt}");
        *longest = read_by.len();
        let mut hear = |reader: &Value, message: &Value| {
            if reader != "ann" {
                heard.insert((reader.to_string(), message.to_string()));
            }
        };
        read_by.iter().for_each(|reader| hear(reader, &receipt["message_id"]));
        for message in receipt["message_ids"].as_array().into_iter().flatten() {
            hear(&receipt["reader"], message);
        }
    }
    app.flushed().await;
    for row in app.of_group("ann", &group).await {
        assert_eq!(row["read_by"].as_array().unwrap().len(), 6, "{row}");
    }
}

/// A mark on one's own note, or on what one has sent, is nothing.
async fn a_sender_without_a_conversation_hears_nothing(app: TestApp) {
    let mut ann = app.user("ann").await;
    let note = sent(&mut ann, to_user("ann", "a note")).await;
    for payload in [json!({"message_ids": [note]}), json!({"up_to": note})] {
        assert_eq!(ann.emit_ack("mark_read", payload).await, json!({"ok": true}));
    }
    let payload = json!({"message_ids": [note]});
    assert_eq!(ann.emit_ack("mark_delivered", payload).await, json!({"ok": true}));
    ann.settle().await;
    assert_eq!(ann.events_so_far("message_update").await, Vec::<Value>::new());
    assert_eq!(app.direct("ann", "ann").await[0]["status"], "sent");
}

async fn at_the_limit_all_are_told(app: TestApp) {
    let group = app.group("ann", &["ann", "bob", "cem"]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for socket in [&mut ann, &mut bob] {
        socket.emit_ack("join_group", json!(group)).await;
    }
    let id = sent(&mut ann, to_group(&group, "hi all")).await;
    app.user("cem").await.emit_ack("mark_read", json!({"message_id": id})).await;
    let receipt = json!({"type": "read_receipt", "message_id": id, "read_by": ["ann", "cem"]});
    for socket in [&mut ann, &mut bob] {
        assert_eq!(socket.next_event("message_update").await, receipt);
    }
    assert!(app.of_group("ann", &group).await[0].get("read_count").is_none());
}

async fn only_the_sender_is_told(app: TestApp) {
    let readers = ["bob", "cem", "dan", "eve", "fay"];
    let group = app.group("ann", &[&["ann"], &readers[..]].concat()).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    for socket in [&mut ann, &mut bob] {
        socket.emit_ack("join_group", json!(group)).await;
    }
    let ids = sent_many(&mut ann, 2, &to_group(&group, "hi all")).await;
    app.flushed().await;
    let lists = [&["ann", "bob"][..], &["ann", "bob", "cem"], &["ann", "bob", "cem"]];
    for (count, (reader, read_by)) in (1..).zip(readers.into_iter().zip(lists)) {
        let mut socket = app.user(reader).await;
        socket.emit_ack("mark_read", json!({"up_to": ids[1]})).await;
        let receipt = json!({"type": "read_receipt", "message_id": ids[1], "read_by": read_by,
                             "read_count": count, "message_ids": ids, "reader": reader});
        assert_eq!(ann.next_event("message_update").await, receipt);
        app.flushed().await;
        assert_eq!(unread(&app, reader).await, [0]);
    }
    let mut eve = app.user("eve").await;
    eve.emit_ack("mark_read", json!({"message_ids": [ids[0]]})).await;
    let receipt = json!({"type": "read_receipt", "message_id": ids[0], "read_count": 4,
                         "read_by": ["ann", "bob", "cem"]});
    assert_eq!(ann.next_event("message_update").await, receipt);
    bob.no_event("message_update", QUIET).await;
    assert_eq!(unread(&app, "eve").await, [1], "the place is at the first message");
    for _ in ["by reading the page, which is told to nobody", "and already counted"] {
        let rows = app.of_group("fay", &group).await;
        assert!(rows.iter().all(|row| row["read_by"] == json!(["ann", "bob", "cem"])), "{rows:?}");
        app.flushed().await;
    }
    // The sender's own mark is nobody's news and counts for nobody.
    ann.emit_ack("mark_read", json!({"message_id": ids[1]})).await;
    app.flushed().await;
    let rows = app.of_group("ann", &group).await;
    let counts: Vec<_> = rows.iter().map(|row| &row["read_count"]).collect();
    assert_eq!(counts, [4, 5], "{rows:?}");
    ann.no_event("message_update", QUIET).await;
    // Of those who get a message the sender of a large group hears the first alone.
    let id = sent(&mut ann, to_group(&group, "new")).await;
    for reader in ["bob", "cem"] {
        let mut socket = app.user(reader).await;
        socket.emit_ack("mark_delivered", json!({"message_ids": [id]})).await;
    }
    assert_eq!(ann.next_event("message_update").await["user_id"], "bob");
    ann.no_event("message_update", QUIET).await;
}
