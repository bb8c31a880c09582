//! The log: at its most talkative it holds no secret, and nothing that comes from outside breaks a
//! line of it.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{BY_TOKEN, KEY, PASSWORD, Person, sent, to_user};
use crate::binary::log_while;
use crate::mongod::TestDatabase;
use crate::sio::{Client, Transport};

const TOKEN: &str = "Zt6qWm1sXe8uRb3y";
/// What nobody but its receiver should read.
const TEXT: &str = "meet-me-at-the-harbour";
const NEW_PASSWORD: &str = "battery-staple-horse";
/// What is wrong may be another service's.
const WRONG: &str = "wrong-but-still-somebodys";

/// A client of the routes.
struct Http(SocketAddr);

impl Http {
    async fn ask(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = crate::web::client().request(method, format!("http://{}{path}", self.0));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// An answer that must be a good one.
    async fn get(&self, token: &str, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Some(token), method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// Uploads a file of this name; the answer's status and its URL.
    async fn upload(&self, token: &str, name: &str) -> (StatusCode, String) {
        let gif = "GIF89a\x01\0\x01\0\0\0\0;";
        let body = format!(
            "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n\
             {gif}\r\n--x--\r\n"
        );
        let request = crate::web::client().post(format!("http://{}/upload/", self.0));
        let request = request.bearer_auth(token).body(body);
        let request = request.header("content-type", "multipart/form-data; boundary=x");
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        (status, answer["url"].as_str().unwrap_or_default().to_owned())
    }
}

/// Registers, signs in and out, talks, uploads and is banned; what of it are secrets.
async fn a_life(addr: SocketAddr) -> Vec<String> {
    let http = Http(addr);
    let account = json!({"username": "ann", "email": "ann@example.com", "password": PASSWORD});
    let (_, answer) = http.ask(None, Method::POST, "/api/auth/register", account).await;
    let first = Person::of(&answer);
    let login = |password: &str| json!({"username": "ann", "password": password});
    let (status, _) = http.ask(None, Method::POST, "/api/auth/login", login(WRONG)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (_, answer) = http.ask(None, Method::POST, "/api/auth/login", login(PASSWORD)).await;
    let second = Person::of(&answer);
    let token = json!({"refresh_token": second.refresh});
    let (_, answer) = http.ask(None, Method::POST, "/api/auth/refresh", token).await;
    let third = Person::of(&answer);
    let wrong = json!({"refresh_token": WRONG});
    http.ask(None, Method::POST, "/api/auth/refresh", wrong).await;
    http.ask(Some(WRONG), Method::GET, "/api/auth/me", json!({})).await;

    talk(addr, &first, &third).await;

    let group = json!({"name": "club", "member_ids": []});
    let group = http.get(&third.access, Method::POST, "/groups/", group).await;
    let path = format!("/groups/{}/invitations", group["_id"].as_str().unwrap());
    let link = http.get(&third.access, Method::POST, &path, json!({})).await;
    let link = link["token"].as_str().unwrap().to_owned();
    http.get(&third.access, Method::GET, &format!("/invitations/{link}"), json!({})).await;
    let path = format!("{path}/{link}");
    http.get(&third.access, Method::DELETE, &path, json!({})).await;
    let (_, url) = http.upload(&third.access, "a.gif").await;
    http.get(&third.access, Method::GET, &url, json!({})).await;
    let path = format!("/search?q={TEXT}&token={WRONG}");
    http.get(&third.access, Method::GET, &path, json!({})).await;

    let change = json!({"old_password": PASSWORD, "new_password": NEW_PASSWORD});
    let answer = http.get(&third.access, Method::PUT, "/api/auth/password", change).await;
    let fourth = Person::of(&answer);
    http.get(TOKEN, Method::GET, "/metrics", json!({})).await;
    for (method, end) in [(Method::PUT, "/ban"), (Method::DELETE, "/ban"), (Method::GET, "")] {
        let path = format!("/admin/users/{}{end}", first.id);
        http.get(TOKEN, method.clone(), &path, json!({})).await;
        let (status, _) = http.ask(Some(WRONG), method, &path, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }

    let mut secrets: Vec<String> =
        [TOKEN, TEXT, WRONG, KEY, PASSWORD, NEW_PASSWORD, &*link].map(str::to_owned).into();
    secrets.push(url.rsplit('/').next().unwrap().to_owned());
    for person in [&first, &second, &third, &fourth] {
        // The part behind the last dot is what makes it worth something.
        let tokens = [&person.access, &person.refresh];
        secrets.extend(tokens.map(|token| token.rsplit('.').next().unwrap().to_owned()));
    }
    secrets
}

/// Connects with tokens in all ways, good and bad ones, and talks.
async fn talk(addr: SocketAddr, first: &Person, second: &Person) {
    for transport in [Transport::WebSocket, Transport::WebSocketV3, Transport::Polling] {
        let mut ann = Client::connect_by(transport, addr, first.auth()).await;
        let id = sent(&mut ann, to_user("bob", TEXT)).await;
        let edit = json!({"message_id": id, "content": format!("{TEXT} at noon")});
        assert_eq!(ann.emit_ack("edit_message", edit).await["ok"], json!(true));
        let wrong = json!({"to": [], "content": TEXT});
        assert_eq!(ann.emit_ack("send_message", wrong).await["ok"], json!(false));
        let renewed = ann.emit_ack("refresh_token", json!({"token": second.access})).await;
        assert_eq!(renewed["ok"], json!(true), "{renewed}");
        ann.disconnect().await;
        let refused = Client::try_connect(transport, addr, json!({"token": WRONG})).await;
        assert!(refused.is_err());
    }
    for token in [&*first.access, WRONG] {
        let bearer = format!("Bearer {token}");
        let header = ("authorization", &*bearer);
        let client = Client::connect_with_header(addr, header, json!({})).await;
        assert_eq!(client.is_ok(), token != WRONG);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_no_secret_at_any_level() {
    let database = TestDatabase::new();
    let mongodb = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    for (format, store) in [("text", &[][..]), ("json", &mongodb)] {
        let settings = [
            &[("ADMIN_TOKEN", TOKEN), ("LOG_FORMAT", format), ("SIGN_IN_RATE", "0")],
            BY_TOKEN,
            store,
        ]
        .concat();
        let mut secrets = Vec::new();
        let log = log_while(&settings, async |addr| secrets = a_life(addr).await).await;
        for secret in &secrets {
            let told = log.lines().find(|line| line.contains(secret));
            assert!(told.is_none(), "{secret} is in the log: {told:?}");
        }
        let banned: Vec<_> =
            log.stdout.lines().filter(|line| line.contains("an operator's request")).collect();
        assert_eq!(banned.len(), 3, "each once: {banned:?}");
        for (line, action) in banned.iter().zip(["ban", "unban", "look"]) {
            assert!(
                line.contains(&format!("\"{action}\"")) && line.contains("127.0.0.1"),
                "{line}"
            );
        }
        let access = &log.files["access.log"];
        for text in [&log.stdout, access] {
            assert!(text.contains("/invitations/{token}") && text.contains("/uploads/{filename}"));
        }
        for text in [&log.stdout, &log.files["error.log"]] {
            assert!(text.contains("a wrong ADMIN_TOKEN was brought"), "wrong tokens are told of");
        }
    }
}

/// Sends what no client library sends.
async fn send_raw(addr: SocketAddr, head: &str) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may close the connection in the middle of its answer.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Brings line breaks, escape sequences and quotation marks wherever something can be said.
async fn forge(addr: SocketAddr) {
    const FORGED: &str = "x\n2026-01-01T00:00:00Z  WARN forged\r\u{1b}[31m\u{2028}\", \"y\": \"";
    const ENCODED: &str = "x%0A2026-01-01%20WARN%20forged%0D%1B%5B31m%E2%80%A8%22";
    let http = Http(addr);
    for path in [
        format!("/{ENCODED}"),
        format!("/messages/{ENCODED}/ann"),
        format!("/uploads/{ENCODED}"),
        format!("/admin/users/{ENCODED}"),
        // This one is an id that somebody may have.
        "/admin/users/x%22%20action=%22none%22%E2%80%A8forged%E2%80%AE".to_owned(),
    ] {
        http.ask(None, Method::GET, &path, json!({})).await;
    }
    http.upload("none", &FORGED.replace('"', "%22")).await;
    for head in [
        format!("GET /{FORGED} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\nuser-agent: {FORGED}\r\nconnection: close\r\n\r\n"),
        format!("{FORGED} / HTTP/1.1\r\n\r\n"),
        "GET / HTTP/1.1\r\nhost: x\r\nuser-agent: a\u{1b}[31m\tb\r\nconnection: close\r\n\r\n"
            .into(),
        "GET / HTTP/1.1\r\nhost: x\r\nx-request-id: a\u{9b}b\r\nconnection: close\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: \u{9b}31m\r\nconnection: close\r\n\r\n"
            .into(),
    ] {
        send_raw(addr, &head).await;
    }
    let mut ann = Client::connect(addr, json!({"user_id": "x\" forged=\"y"})).await;
    let ack = ann.emit_ack("send_message", to_user(FORGED, FORGED)).await;
    assert_eq!(ack["ok"], json!(false));
    // The library reads no such name.
    ann.emit(FORGED, json!(FORGED)).await;
    ann.closed().await;
    let user = json!({"user_id": FORGED});
    assert!(Client::try_connect(Transport::WebSocket, addr, user).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_from_outside_breaks_a_line_of_the_log() {
    let log = log_while(&[("LOG_FORMAT", "text")], forge).await;
    for line in log.stdout.lines() {
        let is_line = line.starts_with("20") && line.get(26..27) == Some("Z");
        assert!(is_line && !line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
    }
    let looked = log.stdout.lines().find(|line| line.contains("an operator's request")).unwrap();
    assert!(looked.contains("action=\"look\"") && !looked.contains(" action=\"none\""), "{looked}");
    let log = log_while(&[("LOG_FORMAT", "json")], forge).await;
    for line in log.lines() {
        assert!(
            !line.contains(|c| ('\u{7f}'..'\u{a0}').contains(&c) || c == '\u{202e}'),
            "{line:?}"
        );
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
        assert!(event["timestamp"].is_string() && event["message"].is_string(), "{line}");
    }
    for text in [&log.stdout, &log.files["access.log"]] {
        assert!(text.contains("/messages/x%0A"), "paths are in the log");
    }
    let refused = &log.files["websocket.log"];
    assert!(refused.contains("\"refused\"") && refused.contains("x\\\" forged"), "{refused}");
}
