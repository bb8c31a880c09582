//! Who asks too often or holds too much is refused, is told so, and nobody else notices. All of it
//! is in memory, so the store makes no difference here.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::app::{TestApp, refused, sent, to_group, to_user};
use crate::sio::{Client, Packet, Transport};

/// How long something may take to happen; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it has.
const POLL: Duration = Duration::from_millis(10);

/// A server that limits this machine, too.
async fn limited(settings: &[(&str, &str)]) -> TestApp {
    let all: Vec<_> = [("LIMIT_EXEMPT", "192.0.2.1")].iter().chain(settings).copied().collect();
    TestApp::with(&all).await
}

/// Asks from one of this machine's addresses.
pub(crate) struct Visitor {
    http: reqwest::Client,
    base: String,
}

impl Visitor {
    pub(crate) fn from(address: &str, app: &TestApp) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let http = crate::web::builder().local_address(address).build().unwrap();
        Self { http, base: format!("http://{}", app.addr) }
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, &[]).await
    }

    /// The status of an answer to a request that a proxy has forwarded for these.
    async fn forwarded(&self, for_whom: &str) -> StatusCode {
        let headers = [("x-forwarded-for", for_whom)];
        self.ask(Method::GET, "/groups/ann", &headers).await.status()
    }

    /// Asks until the answer has this status.
    async fn until(&self, path: &str, status: StatusCode) -> Response {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if answer.status() == status {
                    return answer;
                }
            }
        };
        timeout(PATIENCE, asking).await.expect("the status comes")
    }

    /// Connects by polling behind a proxy, and gives what CONNECT is answered with.
    async fn connect_forwarded(&self, for_whom: &str, user: &str) -> String {
        let headers = [("x-forwarded-for", for_whom)];
        let path = "/socket.io/?EIO=4&transport=polling";
        let open = self.ask(Method::GET, path, &headers).await.text().await.unwrap();
        let open: Value = serde_json::from_str(&open[1..]).unwrap();
        let path = format!("{path}&sid={}", open["sid"].as_str().unwrap());
        let connect = self.http.post(format!("{}{path}", self.base));
        connect.body(format!(r#"40{{"user_id":"{user}"}}"#)).send().await.unwrap();
        loop {
            let packets = self.get(&path).await.text().await.unwrap();
            // A ping may come first.
            if let Some(answer) = packets.split('\u{1e}').find(|packet| packet.starts_with('4')) {
                return answer.to_owned();
            }
        }
    }
}

fn header(answer: &Response, name: &str) -> u64 {
    let value = answer.headers().get(name).unwrap_or_else(|| panic!("no {name}"));
    value.to_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_tells_what_is_left_and_the_last_one_when_to_try_again() {
    let app = limited(&[("RATE_LIMIT_REQUESTS", "2"), ("RATE_LIMIT_WINDOW", "86400")]).await;
    let visitor = Visitor::from("127.0.0.1", &app);
    for (path, left) in [("/groups/ann", 1), ("/nowhere", 0)] {
        let answer = visitor.get(path).await;
        assert_ne!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(&answer, "x-ratelimit-limit"), 2);
        assert_eq!(header(&answer, "x-ratelimit-remaining"), left);
        assert!((1..=86_400).contains(&header(&answer, "x-ratelimit-reset")));
        assert!(!answer.headers().contains_key("retry-after"));
    }
    let origin = [("origin", "https://chat.example.com")];
    let answer = visitor.ask(Method::GET, "/groups/ann", &origin).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&answer, "x-ratelimit-remaining"), 0);
    let retry_after = header(&answer, "retry-after");
    assert!(retry_after <= 43_200 && retry_after > 40_000, "{retry_after}");
    assert!(header(&answer, "x-ratelimit-reset") > 80_000);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://chat.example.com");
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    let mine = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    for name in mine {
        assert!(exposed.contains(name), "{exposed}");
    }
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body, json!({"detail": format!("Too many requests; try again in {retry_after} s")}));

    for path in ["/health", "/health/live", "/metrics", "/socket.io/?EIO=4&transport=polling"] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(!answer.headers().contains_key("x-ratelimit-limit"), "{path}");
    }
    let other = Visitor::from("127.0.0.2", &app);
    assert_eq!(other.get("/groups/ann").await.status(), StatusCode::OK);
    assert_eq!(app.metric(r#"banter_limited_total{what="requests"}"#).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_does_not_count() {
    let app = limited(&[("RATE_LIMIT_REQUESTS", "1"), ("RATE_LIMIT_WINDOW", "86400")]).await;
    let visitor = Visitor::from("127.0.0.1", &app);
    let headers =
        [("origin", "https://chat.example.com"), ("access-control-request-method", "DELETE")];
    for _ in 0..3 {
        let answer = visitor.ask(Method::OPTIONS, "/groups/ann", &headers).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(visitor.get("/groups/ann").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_refused_is_served_again() {
    let app = limited(&[("RATE_LIMIT_REQUESTS", "2"), ("RATE_LIMIT_WINDOW", "1")]).await;
    let visitor = Visitor::from("127.0.0.1", &app);
    let refusal = visitor.until("/groups/ann", StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(header(&refusal, "retry-after"), 1);
    visitor.until("/groups/ann", StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_over_a_limit_is_so_alone() {
    let app = limited(&[
        ("RATE_LIMIT_REQUESTS", "1"),
        ("RATE_LIMIT_WINDOW", "86400"),
        ("EVENT_RATE", "1"),
        ("EVENT_BURST", "3"),
    ])
    .await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let visitor = Visitor::from("127.0.0.1", &app);
    visitor.until("/groups/ann", StatusCode::TOO_MANY_REQUESTS).await;
    for _ in 0..100 {
        ann.emit("leave_group", json!("none")).await;
    }
    ann.next_event("error").await;
    sent(&mut bob, to_user("carol", "I am still here")).await;
    let other = Visitor::from("127.0.0.2", &app);
    assert_eq!(other.get("/groups/bob").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_is_not_believed_of_anybody() {
    let app = limited(&[
        ("RATE_LIMIT_REQUESTS", "1"),
        ("RATE_LIMIT_WINDOW", "86400"),
        ("TRUSTED_PROXIES", "192.0.2.0/24,127.0.0.9"),
    ])
    .await;
    let visitor = Visitor::from("127.0.0.1", &app);
    assert_eq!(visitor.forwarded("203.0.113.1").await, StatusCode::OK);
    assert_eq!(visitor.forwarded("203.0.113.2").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(visitor.forwarded("192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_clients_count_each_for_themselves() {
    let app = limited(&[
        ("RATE_LIMIT_REQUESTS", "1"),
        ("RATE_LIMIT_WINDOW", "86400"),
        ("CONNECTIONS_PER_ADDRESS", "1"),
        ("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"),
    ])
    .await;
    let proxy = Visitor::from("127.0.0.1", &app);
    assert_eq!(proxy.forwarded("203.0.113.1").await, StatusCode::OK);
    assert_eq!(proxy.forwarded("203.0.113.2").await, StatusCode::OK);
    for made_up in ["203.0.113.1", "203.0.113.3, 203.0.113.1", "203.0.113.3,203.0.113.1,10.9.9.9"] {
        assert_eq!(proxy.forwarded(made_up).await, StatusCode::TOO_MANY_REQUESTS, "{made_up}");
    }
    assert_eq!(proxy.forwarded("2001:db8::1").await, StatusCode::OK);
    assert_eq!(proxy.forwarded("2001:db8::2").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(proxy.forwarded("192.0.2.1").await, StatusCode::OK);
    assert_eq!(proxy.forwarded("192.0.2.1").await, StatusCode::OK, "it is exempt");

    let other = Visitor::from("127.0.0.2", &app);
    let answer = proxy.connect_forwarded("203.0.113.1", "ann").await;
    assert!(answer.starts_with("40{"), "{answer}");
    let answer = other.connect_forwarded("203.0.113.1", "bob").await;
    assert!(
        answer.ends_with(r#"44{"message":"Too many connections from this address"}"#),
        "{answer}"
    );
    let answer = other.connect_forwarded("203.0.113.2", "bob").await;
    assert!(answer.starts_with("40{"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_is_refused_and_those_who_are_in_stay() {
    let app = limited(&[("HANDSHAKE_RATE", "2")]).await;
    let mut ann = app.user("ann").await;
    let visitor = Visitor::from("127.0.0.1", &app);
    let path = "/socket.io/?EIO=4&transport=polling";
    let refusal = visitor.until(path, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(header(&refusal, "retry-after"), 1);
    sent(&mut ann, to_user("bob", "I am still here")).await;
    let other = Visitor::from("127.0.0.2", &app);
    assert_eq!(other.get(path).await.status(), StatusCode::OK);
    visitor.until(path, StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_have_a_limit_of_their_own() {
    let app = limited(&[("UPLOAD_RATE", "1")]).await;
    let visitor = Visitor::from("127.0.0.1", &app);
    let first = visitor.ask(Method::POST, "/upload/", &[]).await;
    assert_eq!(first.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let second = visitor.ask(Method::POST, "/upload", &[]).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    let body: Value = second.json().await.unwrap();
    assert!(body["detail"].as_str().unwrap().starts_with("Too many uploads"), "{body}");
    assert_eq!(visitor.get("/groups/ann").await.status(), StatusCode::OK);
}

/// A socket, as soon as the server lets it in.
async fn let_in(app: &TestApp, user: &str) -> Client {
    let trying = async {
        loop {
            let auth = json!({"user_id": user});
            match Client::try_connect(Transport::WebSocket, app.addr, auth).await {
                Ok(client) => return client,
                Err(refusal) => {
                    assert_eq!(refusal["message"], "Too many connections of this user");
                }
            }
        }
    };
    timeout(PATIENCE, trying).await.expect("it is let in")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_sockets_and_another_one_when_one_has_left() {
    let app = limited(&[("HANDSHAKE_RATE", "0")]).await;
    let mut sockets = Vec::new();
    for _ in 0..32 {
        sockets.push(app.user("ann").await);
    }
    let too_many = async || {
        let auth = json!({"user_id": "ann"});
        let refusal = Client::try_connect(Transport::WebSocket, app.addr, auth).await.err();
        assert_eq!(refusal, Some(json!({"message": "Too many connections of this user"})));
    };
    too_many().await;
    let mut bob = app.user("bob").await;

    sockets.pop().unwrap().disconnect().await;
    sockets.push(let_in(&app, "ann").await);
    too_many().await;
    // One whose connection breaks says no goodbye.
    drop(sockets.pop());
    sockets.push(let_in(&app, "ann").await);
    too_many().await;
    sent(&mut bob, to_user("ann", "you are many")).await;
    for socket in &mut sockets {
        assert_eq!(socket.next_event("message").await["content"], "you are many");
    }
    assert!(app.metric(r#"banter_limited_total{what="connections"}"#).await >= 3.0);
}

/// A connection from one of this machine's addresses.
async fn stream(app: &TestApp, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(app.addr).await.unwrap()
}

/// Whether a connection is served; its answer is read.
async fn is_served(stream: &mut TcpStream) -> bool {
    let request = "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok_and(|_| answer == *b"HTTP/1.1 200")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_another_one_when_one_has_ended() {
    let app = limited(&[("CONNECTIONS_PER_ADDRESS", "2")]).await;
    let mut first = stream(&app, "127.0.0.1").await;
    assert!(is_served(&mut first).await);
    // A WebSocket is a connection like any other.
    let mut ann = app.user("ann").await;
    let mut third = stream(&app, "127.0.0.1").await;
    assert!(!is_served(&mut third).await);
    assert!(is_served(&mut stream(&app, "127.0.0.2").await).await);
    sent(&mut ann, to_user("bob", "I am still here")).await;

    drop(first);
    let again = async {
        while !is_served(&mut stream(&app, "127.0.0.1").await).await {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, again).await.expect("it is served");
    ann.disconnect().await;
    let metrics = Visitor::from("127.0.0.3", &app).get("/metrics").await.text().await.unwrap();
    let counted = metrics.split(r#"banter_limited_total{what="connections"} "#).nth(1).unwrap();
    assert!(!counted.starts_with('0'), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_events_is_refused_and_the_connection_lives() {
    let app = limited(&[("EVENT_RATE", "20"), ("EVENT_BURST", "5")]).await;
    let mut ann = app.user("ann").await;
    let mut acks = Vec::new();
    for _ in 0..1_000 {
        acks.push(ann.send_with_ack("send_message", &[to_user("bob", "spam")]).await);
    }
    let (mut taken, mut refused) = (0_usize, 0);
    for ack in acks {
        let ack = ann.ack(ack).await;
        if ack["ok"] == json!(true) {
            taken += 1;
        } else {
            assert_eq!(ack["error"]["code"], "rate_limited");
            let told = ann.next_event("error").await;
            assert_eq!(told["message"], ack["error"]["message"]);
            refused += 1;
        }
    }
    assert!(taken >= 5 && refused > 0, "{taken} {refused}");
    assert_eq!(app.metric(r#"banter_limited_total{what="events"}"#).await, f64::from(refused));
    // What was refused has not been done.
    let rows = app.rows("/messages/ann/bob?message_type=direct&limit=200").await;
    assert_eq!(rows.len(), taken.min(200));
    let again = async {
        while ann.emit_ack("no_such_event", json!(1)).await["error"]["code"] == "rate_limited" {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, again).await.expect("its events are taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_goes_on_and_on_is_closed() {
    let app = limited(&[("EVENT_RATE", "1"), ("EVENT_BURST", "1")]).await;
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let flooding = async {
        loop {
            for _ in 0..20 {
                ann.emit("leave_group", json!("none")).await;
            }
            let ended = |packet: &Packet| matches!(packet, Packet::Disconnect | Packet::Closed(_));
            if ann.so_far().iter().any(ended) {
                return;
            }
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, flooding).await.expect("it is closed");
    bob.emit_ack("leave_group", json!("none")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_joins_so_many_groups_and_another_one_when_it_has_left_one() {
    let app = limited(&[("ROOMS_PER_SOCKET", "2")]).await;
    let mut ann = app.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(app.group("ann", &["ann"]).await);
    }
    let mut join = async |group: &str| ann.emit_ack("join_group", json!(group)).await;
    assert_eq!(join(&groups[0]).await, json!({"ok": true}));
    assert_eq!(join(&groups[1]).await, json!({"ok": true}));
    let refusal = join(&groups[2]).await["error"]["message"].to_string();
    assert!(refusal.contains("2 groups") && refusal.contains("leave_group"), "{refusal}");
    assert_eq!(join(&groups[0]).await, json!({"ok": true}), "it is there already");
    ann.next_event("error").await;
    refused(&mut ann, "join_group", json!(groups[2]), "too_large").await;
    ann.emit_ack("leave_group", json!(groups[0])).await;
    assert_eq!(ann.emit_ack("join_group", json!(groups[2])).await, json!({"ok": true}));
    let mut other = app.user("ann").await;
    assert_eq!(other.emit_ack("join_group", json!(groups[0])).await, json!({"ok": true}));
    // A group that is gone takes up no place. What is told after its end has the socket out of it.
    assert_eq!(app.delete(&format!("/groups/{}", groups[2])).await.0, StatusCode::OK);
    sent(&mut ann, to_group(&groups[1], "one more")).await;
    let next = app.group("ann", &["ann"]).await;
    assert_eq!(ann.emit_ack("join_group", json!(next)).await, json!({"ok": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_turns_each_limit_off() {
    let app = limited(&[
        ("RATE_LIMIT_REQUESTS", "0"),
        ("UPLOAD_RATE", "0"),
        ("EVENT_RATE", "0"),
        ("EVENT_BURST", "1"),
        ("HANDSHAKE_RATE", "0"),
        ("CONNECTIONS_PER_ADDRESS", "0"),
        ("CONNECTIONS_PER_USER", "0"),
        ("ROOMS_PER_SOCKET", "0"),
    ])
    .await;
    let visitor = Visitor::from("127.0.0.1", &app);
    for _ in 0..150 {
        let answer = visitor.get("/groups/ann").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key("x-ratelimit-limit"));
    }
    for _ in 0..30 {
        let answer = visitor.ask(Method::POST, "/upload", &[]).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let mut sockets = Vec::new();
    for _ in 0..40 {
        sockets.push(app.user("ann").await);
    }
    let ann = &mut sockets[0];
    let group = app.group("ann", &["ann"]).await;
    assert_eq!(ann.emit_ack("join_group", json!(group)).await, json!({"ok": true}));
    let mut acks = Vec::new();
    for _ in 0..1_500 {
        acks.push(ann.send_with_ack("leave_group", &[json!(group)]).await);
    }
    for ack in acks {
        assert_eq!(ann.ack(ack).await, json!({"ok": true}));
    }
    for what in ["requests", "upload", "handshakes", "connections", "events", "rooms"] {
        let metric = format!(r#"banter_limited_total{{what="{what}"}}"#);
        assert_eq!(app.metric(&metric).await, 0.0, "{what}");
    }
}
