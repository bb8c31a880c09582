//! The log as an operator reads it: one id from a request or an event to the flush, and files that
//! say who was there and never fill the disk.

use std::net::SocketAddr;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{BY_TOKEN, PASSWORD, Person, TestApp, to_user};
use crate::binary::{Banter, Logged, command, logged_while};
use crate::mongod::TestDatabase;
use crate::sio::{Client, Transport};

/// An id as a proxy makes it.
const OWN: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

fn request(addr: SocketAddr, method: &str, path: &str) -> reqwest::RequestBuilder {
    let method = method.parse().unwrap();
    crate::web::client().request(method, format!("http://{addr}{path}"))
}

/// Makes an account, a room in which a message was sent under [`OWN`], and says hello by a socket;
/// who it was, and the socket's id.
async fn talk(addr: SocketAddr) -> (Person, String) {
    let account = json!({"username": "ann", "email": "ann@example.com", "password": PASSWORD});
    let answer = request(addr, "POST", "/api/auth/register").body(account.to_string()).send();
    let ann = Person::of(&answer.await.unwrap().json().await.unwrap());
    let room = json!({"name": "harbour", "member_ids": []}).to_string();
    let room = request(addr, "POST", "/api/rooms").bearer_auth(&ann.access).body(room);
    let room: Value = room.send().await.unwrap().json().await.unwrap();
    let path = format!(
        "/api/messages/{}?token=secret",
        room["_id"].as_str().unwrap_or_else(|| panic!("{room}"))
    );
    let message = request(addr, "POST", &path).bearer_auth(&ann.access).header("x-request-id", OWN);
    let message = message.body(json!({"content": "hello"}).to_string()).send().await.unwrap();
    assert!(message.status().is_success(), "{message:?}");
    assert_eq!(message.headers()["x-request-id"], OWN);
    let mut socket = Client::connect(addr, ann.auth()).await;
    let id = socket.sid.clone();
    for n in 0..3 {
        let ack = socket.emit_ack("send_message", to_user("bob", &n.to_string())).await;
        assert_eq!(ack["ok"], json!(true));
    }
    socket.disconnect().await;
    (ann, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_leads_from_a_request_or_an_event_to_the_flush() {
    let database = TestDatabase::new();
    let mongodb = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    for store in [&[][..], &mongodb] {
        let settings = [("RUST_LOG", "info,banter::buffer=debug"), ("LOG_FORMAT", "json")];
        let settings = [&settings, BY_TOKEN, store].concat();
        let mut socket = String::new();
        let log = logged_while(&settings, async |addr| socket = talk(addr).await.1).await;
        let stored: Vec<_> = lines(&log.stdout)
            .into_iter()
            .filter(|line| line["message"] == "ops were stored")
            .flat_map(|line| {
                let names = line["requests"].as_str().unwrap().to_owned();
                names.split(' ').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let events = (0..3).map(|n| format!("{socket}.{n}"));
        let wanted: Vec<_> = [OWN.to_owned()].into_iter().chain(events).collect();
        assert_eq!(stored, wanted);
    }
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let app = TestApp::with(&[("CORS_ORIGINS", "https://chat.example.com")]).await;
    let here = [("origin", "https://elsewhere.example")];
    for (method, path, headers, status) in [
        ("GET", "/health", &[][..], 200),
        ("GET", "/none", &[], 404),
        ("PATCH", "/health", &[], 405),
        ("OPTIONS", "/groups", &[("access-control-request-method", "POST")], 200),
        ("GET", "/socket.io/?EIO=4&transport=polling", &[], 200),
        ("GET", "/socket.io/?EIO=4&transport=polling", &here, 403),
        ("GET", "/ws", &[], 426),
    ] {
        for own in [None, Some(OWN), Some("not a sane one"), Some("\"\u{202e}")] {
            let mut request = request(app.addr, method, path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(own) = own {
                request = request.header("x-request-id", own.as_bytes());
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{method} {path}");
            let id = answer.headers()["x-request-id"].to_str().unwrap();
            assert!(if own == Some(OWN) { id == OWN } else { id.len() == 36 }, "{path}: {id}");
            assert_eq!(answer.headers().get_all("x-request-id").iter().count(), 1);
        }
    }
}

fn with<'a>(lines: &'a [Value], field: &str, value: &str) -> &'a Value {
    let found = lines.iter().find(|line| line[field] == value);
    found.unwrap_or_else(|| panic!("no line with {field} {value}: {lines:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_say_who_asked_and_who_was_there() {
    let settings =
        [BY_TOKEN, &[("LOG_FORMAT", "json"), ("ADMIN_TOKEN", "Zt6qWm1sXe8uRb3y")]].concat();
    let mut who = None;
    let Logged { stdout, files } = logged_while(&settings, async |addr| {
        who = Some(talk(addr).await);
        let refused = Client::try_connect(Transport::Polling, addr, json!({"token": "x"})).await;
        assert!(refused.is_err());
        let wrong =
            request(addr, "GET", "/metrics").bearer_auth("x").header("x-request-id", "wrong-1");
        assert_eq!(wrong.send().await.unwrap().status(), StatusCode::FORBIDDEN);
        let mut lobby = crate::ws::Plain::open(addr, "/ws?token=y").await;
        assert_eq!(lobby.text_or_end().await, Err(4401));
    })
    .await;
    let (ann, socket) = who.unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["access.log", "error.log", "websocket.log"]);
    let (access, sockets) = (lines(&files["access.log"]), lines(&files["websocket.log"]));

    let sent = with(&access, "request_id", OWN);
    assert_eq!(sent["route"], "/api/messages/{id}");
    assert_eq!((&sent["user"], &sent["client"]), (&json!(ann.id), &json!("127.0.0.1")));
    assert_eq!((&sent["method"], &sent["status"].as_u64().unwrap() / 100), (&json!("POST"), 2));
    assert!(sent["duration_ms"].is_f64() && sent["bytes"].is_u64(), "{sent}");
    assert!(!sent["path"].as_str().unwrap().contains('?'), "{sent}");

    let connected = with(&sockets, "message", "connected");
    assert_eq!((&connected["socket"], &connected["user"]), (&json!(socket), &json!(ann.id)));
    assert_eq!(connected["client"], "127.0.0.1");
    let opened = connected["handshake"].as_str().unwrap();
    assert_eq!(with(&access, "request_id", opened)["path"], "/socket.io/");
    let left = with(&sockets, "message", "disconnected");
    assert_eq!((&left["socket"], &left["reason"].is_string()), (&json!(socket), &true));
    let refused: Vec<_> = sockets.iter().filter(|line| line["message"] == "refused").collect();
    let spoken: Vec<_> = refused.iter().map(|line| line["spoken"].as_str().unwrap()).collect();
    assert_eq!(spoken, ["socket.io polling", "plain lobby"]);
    assert!(refused.iter().all(|line| line["code"] == "unauthorized"), "{refused:?}");

    let errors = lines(&files["error.log"]);
    assert_eq!(with(&errors, "request_id", "wrong-1")["level"], "WARN");
    // Nobody has asked for a line per request there.
    assert!(!stdout.contains("/socket.io/") && stdout.contains("wrong-1"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_put_aside_when_they_are_full_and_only_so_many_are_kept() {
    const BYTES: usize = 65_536;
    let settings = [("LOG_FILE_BYTES", "65536"), ("LOG_FILES", "3")];
    let ask = async |addr: SocketAddr| {
        for n in 0..400 {
            let path = format!("/{}/{n:04}", "x".repeat(900));
            request(addr, "GET", &path).send().await.unwrap();
        }
    };
    let Logged { files, .. } = logged_while(&settings, ask).await;
    let access: Vec<_> = files.iter().filter(|(name, _)| name.starts_with("access")).collect();
    let names: Vec<_> = access.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["access.log", "access.log.1", "access.log.2"]);
    assert!(access.iter().all(|(_, text)| text.len() <= BYTES));
    let newest = access[0].1.lines().last().unwrap();
    assert!(newest.contains("x/0399\""), "{newest}");
    assert!(lines(access[2].1).len() > 40, "what was put aside is whole");
}

#[tokio::test]
async fn a_folder_that_can_not_be_used_ends_the_start_and_is_named() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("taken"), "").unwrap();
    for path in ["taken", "taken/log"] {
        let output = command(&folder, &[("LOG_DIR", path)]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("LOG_DIR") && said.contains(path), "{said}");
    }
    let path = folder.path().join("log");
    let path = path.to_str().unwrap();
    let first = Banter::start(&[("LOG_DIR", path)]).await;
    let output = command(&folder, &[("LOG_DIR", path)]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("another server") && said.contains("LOG_DIR"), "{said}");
    // Commands have nothing to do with these files.
    let output = command(&folder, &[("LOG_DIR", path)]).args(["dead-letter", "list"]).output();
    assert!(output.await.unwrap().status.success());
    first.stop().await;
}
