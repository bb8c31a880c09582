//! The Socket.IO Admin UI: who gets in, what is shown, and what may be done.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::app::{BY_TOKEN, TestApp, sent, to_group, to_user};
use crate::binary::{command, log_while};
use crate::sio::{Client, Packet, Transport};

const PASSWORD: &str = "a plain but long sentence";
const ON: &[(&str, &str)] = &[("ADMIN_UI_PASSWORD", PASSWORD)];
const FULL: &[(&str, &str)] = &[("ADMIN_UI_PASSWORD", PASSWORD), ("ADMIN_UI_MODE", "full")];

/// How long what must come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(30);

fn credentials() -> Value {
    json!({"username": "admin", "password": PASSWORD})
}

/// An operator at the UI, as it talks to the server.
struct Operator {
    client: Client,
    acks: u64,
    /// All that was heard, as it came.
    heard: Vec<String>,
}

impl Operator {
    /// Signs in, or gives the reason why not.
    async fn try_connect(addr: SocketAddr, auth: Value) -> Result<Self, String> {
        let mut client = Client::open(Transport::WebSocket, addr).await;
        client.raw_send(format!("40/admin,{auth}")).await;
        let answer = match client.next_packet().await {
            Packet::Other(text) => text,
            other => panic!("{other:?}"),
        };
        if let Some(refusal) = answer.strip_prefix("44/admin,") {
            let refusal: Value = serde_json::from_str(refusal).unwrap();
            return Err(refusal["message"].as_str().unwrap().to_owned());
        }
        assert!(answer.starts_with("40/admin,"), "{answer}");
        Ok(Self { client, acks: 0, heard: Vec::new() })
    }

    async fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr, credentials()).await.unwrap()
    }

    async fn next(&mut self, prefix: &str) -> Option<Value> {
        match self.client.next_packet().await {
            Packet::Other(text) => {
                self.heard.push(text.clone());
                let rest = text.strip_prefix(prefix)?;
                Some(serde_json::from_str(rest).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    /// The arguments of the next event of this name that fits; what comes before it is skipped.
    async fn event(&mut self, name: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(Value::Array(mut event)) = self.next("42/admin,").await
                && event[0] == name
                && fits(&event[1..])
            {
                return event.split_off(1);
            }
        }
        panic!("no {name} in {:?}", self.heard);
    }

    /// Asks for something; the answer.
    async fn ask(&mut self, event: Value) -> Value {
        self.acks += 1;
        let id = self.acks;
        self.client.raw_send(format!("42/admin,{id}{event}")).await;
        let prefix = format!("43/admin,{id}");
        loop {
            if let Some(answer) = self.next(&prefix).await {
                return answer[0].clone();
            }
        }
    }

    /// Asks for something that must be refused; the code.
    async fn refused(&mut self, event: Value) -> String {
        let answer = self.ask(event.clone()).await;
        assert_eq!(answer["ok"], json!(false), "{event}: {answer}");
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Asks for something that must be done; with how many sockets.
    async fn done(&mut self, event: Value) -> u64 {
        let answer = self.ask(event.clone()).await;
        assert_eq!(answer["ok"], json!(true), "{event}: {answer}");
        answer["sockets"].as_u64().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_password_there_is_no_admin_ui() {
    let app = TestApp::on_sqlite().await;
    let refusal = Operator::try_connect(app.addr, credentials()).await.err().unwrap();
    assert_eq!(refusal, "Invalid namespace");
    let ui = TestApp::with(ON).await;
    assert!(Operator::try_connect(ui.addr, credentials()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_or_a_session_that_was_given_for_it_lets_in() {
    let app = TestApp::with(ON).await;
    for wrong in [
        json!({}),
        json!(null),
        json!([]),
        json!({"username": "admin"}),
        json!({"username": "admin", "password": null}),
        json!({"username": "admin", "password": ["x"]}),
        json!({"username": "admin", "password": ""}),
        json!({"username": "admin", "password": &PASSWORD[1..]}),
        json!({"username": "Admin", "password": PASSWORD}),
        json!({"username": "", "password": PASSWORD}),
        json!({"sessionId": null}),
        json!({"sessionId": ""}),
        json!({"sessionId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
        json!({"token": PASSWORD}),
    ] {
        let refusal = Operator::try_connect(app.addr, wrong.clone()).await.err();
        assert_eq!(refusal.as_deref(), Some("invalid credentials"), "{wrong}");
    }
    let mut operator = Operator::connect(app.addr).await;
    let session = operator.event("session", |_| true).await.remove(0);
    let config = operator.event("config", |_| true).await;
    assert_eq!(config, [json!({"supportedFeatures": ["AGGREGATED_EVENTS", "ALL_EVENTS"]})]);
    // The UI sends both when its page is loaded anew.
    let auth = json!({"sessionId": session});
    let mut again = Operator::try_connect(app.addr, auth).await.unwrap();
    again.event("config", |_| true).await;
    assert!(!again.heard.iter().any(|text| text.contains("session\"")), "{:?}", again.heard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_and_does_not_tell_when_it_was_right() {
    let limits = [("SIGN_IN_RATE", "3"), ("LIMIT_EXEMPT", "192.0.2.1")];
    let app = TestApp::with(&[ON, &limits].concat()).await;
    // Loading the page is no guess.
    for _ in 0..5 {
        let refusal = Operator::try_connect(app.addr, json!({"sessionId": null})).await.err();
        assert_eq!(refusal.unwrap(), "invalid credentials");
    }
    let guess = json!({"username": "admin", "password": "a wrong guess"});
    for _ in 0..3 {
        let refusal = Operator::try_connect(app.addr, guess.clone()).await.err();
        assert_eq!(refusal.unwrap(), "invalid credentials");
    }
    for auth in [guess, credentials()] {
        let refusal = Operator::try_connect(app.addr, auth).await.err().unwrap();
        assert!(refusal.starts_with("too many tries"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_few() {
    let app = TestApp::with(ON).await;
    let mut operators = Vec::new();
    for _ in 0..16 {
        operators.push(Operator::connect(app.addr).await);
    }
    let refusal = Operator::try_connect(app.addr, credentials()).await.err().unwrap();
    assert!(refusal.contains("16 operators"), "{refusal}");
    operators.pop().unwrap().client.raw_send("41/admin,").await;
    let let_in = async { while Operator::try_connect(app.addr, credentials()).await.is_err() {} };
    timeout(PATIENCE, let_in).await.expect("a place is free again");
}

fn of<'a>(rows: &'a Value, socket: &str) -> Option<&'a Value> {
    rows.as_array().unwrap().iter().find(|row| row["id"] == socket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_who_is_there_and_what_changes_and_no_message() {
    const SECRET: &str = "nobody-elses-business";
    let settings = [ON, BY_TOKEN, &[("ADMIN_UI_USER", "root")]].concat();
    let app = TestApp::with(&settings).await;
    let (ann, bob) = (app.sign_up("ann").await, app.sign_up("bob").await);
    let group = json!({"name": "club", "member_ids": [ann.id, bob.id]});
    let (_, group) =
        app.ask(Some(&ann.access), reqwest::Method::POST, "/groups/", Some(group)).await;
    let room = format!("group_{}", group["_id"].as_str().unwrap());
    let mut first = app.socket(&ann).await;
    let bearer = format!("Bearer {}", bob.access);
    let header = ("authorization", &*bearer);
    let second = Client::connect_with_header(app.addr, header, json!({})).await.unwrap();

    let auth = json!({"username": "root", "password": PASSWORD});
    let mut operator = Operator::try_connect(app.addr, auth).await.unwrap();
    let rows = operator.event("all_sockets", |_| true).await.remove(0);
    let row = of(&rows, &first.sid).unwrap();
    assert_eq!((&row["nsp"], &row["transport"]), (&json!("/"), &json!("websocket")));
    assert_eq!(row["data"], json!({"user_id": ann.id}));
    assert_eq!(row["rooms"].as_array().unwrap().len(), 2, "{row}");
    assert!(row["rooms"].as_array().unwrap().contains(&json!(format!("user_{}", ann.id))));
    assert_eq!(row["handshake"]["address"], "127.0.0.1");
    assert_eq!(row["handshake"]["query"], json!({"EIO": "4", "transport": "websocket"}));
    assert!(row["handshake"]["issued"].as_i64().unwrap() > 1_700_000_000_000, "{row}");
    let admin = rows.as_array().unwrap().iter().find(|row| row["nsp"] == "/admin");
    assert!(admin.is_some_and(|row| row["data"] == json!({})), "{rows}");

    let join = group["_id"].clone();
    assert_eq!(first.emit_ack("join_group", join.clone()).await["ok"], json!(true));
    let joined = operator.event("room_joined", |_| true).await;
    assert_eq!(joined[..3], [json!("/"), json!(room), json!(first.sid)]);
    sent(&mut first, to_user(&bob.id, SECRET)).await;
    let stats = operator.event("server_stats", |arguments| {
        let all = arguments[0]["aggregatedEvents"].as_array().unwrap();
        ["packetsIn", "bytesIn", "packetsOut", "bytesOut"]
            .iter()
            .all(|kind| all.iter().any(|event| event["type"] == *kind && event["count"].is_u64()))
    });
    let stats = stats.await.remove(0);
    let namespaces = json!([
        {"name": "/", "socketsCount": 2}, {"name": "/admin", "socketsCount": 1}
    ]);
    assert_eq!(stats["namespaces"], namespaces);
    assert_eq!((&stats["clientsCount"], &stats["pollingClientsCount"]), (&json!(3), &json!(0)));
    assert!(stats["pid"] == std::process::id() && stats["uptime"].is_number(), "{stats}");

    first.emit("leave_group", join).await;
    let left = operator.event("room_left", |_| true).await;
    assert_eq!(left[..3], [json!("/"), json!(room), json!(first.sid)]);
    let third = app.socket(&bob).await;
    let came = operator.event("socket_connected", |_| true).await.remove(0);
    assert_eq!((&came["id"], &came["data"]["user_id"]), (&json!(third.sid), &json!(bob.id)));
    let gone = second.sid.clone();
    second.disconnect().await;
    let went = operator.event("socket_disconnected", |_| true).await;
    assert_eq!(went[..2], [json!("/"), json!(gone)]);

    let all = operator.heard.join("\n");
    let secrets = [SECRET, PASSWORD, &*ann.access, &*bob.access, "authorization", "token"];
    assert!(secrets.iter().all(|secret| !all.contains(secret)), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_look_alone_changes_nothing() {
    let app = TestApp::with(ON).await;
    let mut ann = app.user("ann").await;
    let mut operator = Operator::connect(app.addr).await;
    for event in [
        json!(["_disconnect", "/", true]),
        json!(["join", "/", "x"]),
        json!(["leave", "/", "user_ann"]),
        json!(["emit", "/", "", "message", {}]),
    ] {
        assert_eq!(operator.refused(event).await, "forbidden");
    }
    // The UI wants no answer.
    operator.client.raw_send(r#"42/admin,["_disconnect","/",false]"#).await;
    assert_eq!(operator.refused(json!(["join", "/", "x"])).await, "forbidden");
    ann.settle().await;
    assert_eq!(ann.emit_ack("send_message", to_user("bob", "here")).await["ok"], json!(true));
}

async fn operators_act_within_the_rules(app: TestApp) {
    let group = app.group("ann", &["ann", "bob"]).await;
    let room = format!("group_{group}");
    let (mut ann, mut bob, mut eve) =
        (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let mut operator = Operator::connect(app.addr).await;
    let features = operator.event("config", |_| true).await.remove(0);
    assert_eq!(features["supportedFeatures"].as_array().unwrap().len(), 9);

    // A group's room is its members'.
    assert_eq!(operator.refused(json!(["join", "/", room, eve.sid])).await, "forbidden");
    assert_eq!(operator.done(json!(["join", "/", room])).await, 2);
    assert_eq!(ann.emit_ack("send_message", to_group(&group, "hello")).await["ok"], json!(true));
    assert_eq!(bob.next_event("message").await["content"], "hello");
    eve.settle().await;
    assert!(eve.events_so_far("message").await.is_empty());
    assert_eq!(operator.done(json!(["leave", "/", room, bob.sid])).await, 1);

    // A user's room is its user's, and a socket's its own.
    for event in ["join", "leave"] {
        for own in ["user_ann", &*ann.sid.clone()] {
            let refusal = operator.refused(json!([event, "/", own, ann.sid])).await;
            assert_eq!(refusal, "forbidden", "{event} {own}");
        }
    }
    for (event, code) in [
        (json!(["join", "/", "group_none"]), "invalid_payload"),
        (json!(["join", "/"]), "invalid_payload"),
        (json!(["drop", "/"]), "invalid_payload"),
        (json!(["emit", "/", null, "disconnect"]), "invalid_payload"),
        (json!(["join", "/elsewhere", "x"]), "not_found"),
        (json!(["join", "/admin", "x"]), "forbidden"),
    ] {
        assert_eq!(operator.refused(event.clone()).await, code, "{event}");
    }

    // Rooms of operators' own, and events that they make up.
    assert_eq!(operator.done(json!(["join", "/", "testers", eve.sid])).await, 1);
    assert_eq!(operator.done(json!(["emit", "/", "testers", "news", 1, {"a": [2]}])).await, 1);
    assert_eq!(operator.done(json!(["emit", "/", "", "all", "x"])).await, 3);
    let told = loop {
        match eve.next_packet().await {
            Packet::Event { name, args, .. } if name == "news" => break args,
            _ => {}
        }
    };
    assert_eq!(told, [json!(1), json!({"a": [2]})]);
    for client in [&mut ann, &mut bob, &mut eve] {
        assert_eq!(client.next_event("all").await, "x");
    }

    // Who is disconnected leaves nothing behind.
    assert_eq!(app.metric("banter_connections").await, 3.0);
    assert_eq!(operator.done(json!(["_disconnect", "/", true, bob.sid])).await, 1);
    bob.disconnected().await;
    let left = |told: &Value| told["user_id"] == "bob" && told["status"] == "offline";
    while !left(&ann.next_event("presence").await) {}
    assert_eq!(operator.done(json!(["_disconnect", "/", false, "user_eve"])).await, 1);
    eve.disconnected().await;
    assert_eq!(operator.done(json!(["_disconnect", "/", false])).await, 1);
    ann.disconnected().await;
    let gone = async { while app.metric("banter_connections").await > 0.0 {} };
    timeout(PATIENCE, gone).await.expect("nothing is left");

    let mut other = Operator::connect(app.addr).await;
    assert_eq!(other.done(json!(["emit", "/", null, "nobody"])).await, 0);
    other.client.raw_send(r#"42/admin,["_disconnect","/admin",false]"#).await;
    loop {
        match operator.client.next_packet().await {
            Packet::Other(text) if text.starts_with("41/admin") => break,
            Packet::Other(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

crate::on_both_stores! {
    with super::FULL;
    operators_act_within_the_rules,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_is_one_list_for_operators() {
    const CLIENTS: usize = 300;
    let app = TestApp::with(&[ON, &[("CONNECTIONS_PER_USER", "0")]].concat()).await;
    let mut operator = Operator::connect(app.addr).await;
    operator.event("all_sockets", |_| true).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(app.user("ann").await);
    }
    operator
        .event("server_stats", |arguments| {
            arguments[0]["namespaces"][0]["socketsCount"] == json!(CLIENTS)
        })
        .await;
    let connected: Vec<_> = operator.heard.iter().filter(|t| t.contains("_connected")).collect();
    assert!(connected.len() <= 2 * 200, "{}", connected.len());
    drop(clients);
}

#[tokio::test]
async fn a_password_that_is_too_short_ends_the_start_and_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let output = command(&folder, &[("ADMIN_UI_PASSWORD", "elevenchars")]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ADMIN_UI_PASSWORD is <hidden>") && said.contains("12 to 256"), "{said}");
    assert!(!said.contains("elevenchars"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_do_is_in_the_log_and_their_password_is_not() {
    let mut session = String::new();
    let log = log_while(&[FULL, &[("LOG_FORMAT", "json")]].concat(), async |addr| {
        let mut ann = Client::connect(addr, json!({"user_id": "ann"})).await;
        let wrong = json!({"username": "admin", "password": "a-wrong-guess"});
        assert!(Operator::try_connect(addr, wrong).await.is_err());
        let mut operator = Operator::connect(addr).await;
        session = operator.event("session", |_| true).await[0].as_str().unwrap().to_owned();
        operator.done(json!(["emit", "/", "", "news", "a-secret-text"])).await;
        operator.done(json!(["_disconnect", "/", false, ann.sid])).await;
        ann.disconnected().await;
    })
    .await;
    for secret in [PASSWORD, "a-wrong-guess", "a-secret-text", &*session] {
        assert!(log.lines().all(|line| !line.contains(secret)), "{secret}");
    }
    let done: Vec<Value> = log
        .stdout
        .lines()
        .filter(|line| line.contains("an operator's request by the admin UI"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let actions: Vec<_> = done.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["emit", "disconnect"]);
    assert!(done.iter().all(|line| line["client"] == "127.0.0.1" && line["sockets"] == 1));
    assert!(log.files["error.log"].contains("a wrong name or password was brought"));
    assert!(log.files["websocket.log"].contains("admin ui"));
}
