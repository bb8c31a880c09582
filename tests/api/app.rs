//! A server of this process on a port of its own.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::SocketAddr;

use banter::app::App;
use banter::config::Config;
use banter::shutdown::Shutdown;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::mongod::TestDatabase;
use crate::sio::Client;

/// Where users sign in by token.
pub(crate) const BY_TOKEN: &[(&str, &str)] = &[("AUTH_MODE", "jwt"), ("SECRET_KEY", KEY)];
/// What signs them.
pub(crate) const KEY: &str = "q7Tn0Zk4Wd2LxVb9Rf6Hy3Mc8Js1Pg5UeAiOoNvX";
/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Person {
    /// From the answer to a sign-in.
    pub(crate) fn of(answer: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Self {
            id: text(&answer["user"]["user_id"]),
            access: text(&answer["access_token"]),
            refresh: text(&answer["refresh_token"]),
        }
    }

    /// What a socket connects with.
    pub(crate) fn auth(&self) -> Value {
        json!({"token": self.access})
    }
}

/// A running server; it goes with its value, and leaves nothing.
pub(crate) struct TestApp {
    pub(crate) addr: SocketAddr,
    /// Where operators' routes are, if not on the main address.
    pub(crate) operators: Option<SocketAddr>,
    pub(crate) folder: TempDir,
    http: reqwest::Client,
    shutdown: Shutdown,
    server: JoinHandle<anyhow::Result<()>>,
    database: Option<TestDatabase>,
    settings: Vec<(String, String)>,
}

impl TestApp {
    pub(crate) async fn on_sqlite() -> Self {
        Self::start(&[], None).await
    }

    /// A server on MongoDB with these settings.
    pub(crate) async fn on_mongodb_with(more: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new();
        let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
        let settings = settings.map(|(name, value)| (name, value.to_owned()));
        let settings = settings.iter().map(|(n, v)| (*n, v.as_str()));
        let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
        Self::start(&settings, Some(database)).await
    }

    /// Another server on the same database, with these settings beside those of the first.
    pub(crate) async fn beside(&self, more: &[(&str, &str)]) -> Self {
        let settings = self.settings.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
        Self::start(&settings, None).await
    }

    /// A server on the embedded store with these settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::start(settings, None).await
    }

    async fn start(settings: &[(&str, &str)], database: Option<TestDatabase>) -> Self {
        Self::start_in(TempDir::new().expect("a folder"), settings, database).await
    }

    /// Stops the server and starts another one on what it has stored.
    pub(crate) async fn restarted(mut self) -> Self {
        let (database, settings) = (self.database.take(), std::mem::take(&mut self.settings));
        let folder = self.stop().await;
        let settings: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        Self::start_in(folder, &settings, database).await
    }

    #[expect(clippy::disallowed_methods, reason = "the server is this test's own task")]
    async fn start_in(
        folder: TempDir,
        settings: &[(&str, &str)],
        database: Option<TestDatabase>,
    ) -> Self {
        let data = folder.path().join("data").to_str().unwrap().to_owned();
        let uploads = folder.path().join("uploads").to_str().unwrap().to_owned();
        let mut env = vec![("DATA_DIR", &*data), ("UPLOAD_DIR", &*uploads), ("MIN_POOL_SIZE", "1")];
        // All clients of all tests are on this machine, and none of them is slow.
        env.extend([
            ("LIMIT_EXEMPT", "127.0.0.0/8"),
            ("SIGN_IN_RATE", "0"),
            ("SPAM_REPEATS", "0"),
            ("SPAM_STRANGERS", "0"),
        ]);
        env.extend(settings);
        let env = env.into_iter().map(|(name, value)| (name.into(), value.into()));
        let config = Config::load(["banter".into()], env, folder.path()).expect("sound settings");
        let app = App::start(&config).await.expect("the server starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().unwrap();
        let (shutdown, operators) = (Shutdown::default(), app.operators_address());
        let server = tokio::spawn(app.serve(listener, shutdown.clone()));
        let http = crate::web::client();
        let settings = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self { addr, operators, folder, http, shutdown, server, database, settings }
    }

    /// A plain view of the server's database, where that is MongoDB.
    pub(crate) async fn mongodb(&self) -> Option<mongodb::Database> {
        match &self.database {
            Some(database) => Some(database.raw().await),
            None => None,
        }
    }

    /// A connected socket of a user.
    pub(crate) async fn user(&self, name: &str) -> Client {
        Client::connect(self.addr, json!({"user_id": name})).await
    }

    /// A request without a body; its status and its JSON, or its text as a JSON string.
    pub(crate) async fn request(&self, method: Method, path: &str) -> (StatusCode, Value) {
        self.send(method, path, None).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.request(Method::GET, path).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.request(Method::DELETE, path).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("http://{}{path}", self.addr));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        answer(request).await
    }

    /// A request with a token, where one is given.
    pub(crate) async fn ask(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("http://{}{path}", self.addr));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        answer(request).await
    }

    /// A new account, signed in.
    pub(crate) async fn sign_up(&self, name: &str) -> Person {
        let email = format!("{name}@example.com");
        let body = json!({"username": name, "email": email, "password": PASSWORD});
        let (status, answer) = self.post("/api/auth/register", body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        Person::of(&answer)
    }

    /// Another sign-in of an account.
    pub(crate) async fn sign_in(&self, name: &str) -> Person {
        let body = json!({"username": name, "password": PASSWORD});
        let (status, answer) = self.post("/api/auth/login", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        Person::of(&answer)
    }

    /// A connected socket of somebody who has signed in.
    pub(crate) async fn socket(&self, person: &Person) -> Client {
        Client::connect(self.addr, person.auth()).await
    }

    /// A new group; its id.
    pub(crate) async fn group(&self, creator: &str, members: &[&str]) -> String {
        let body = json!({"name": "Friends", "member_ids": members, "created_by": creator});
        let (status, group) = self.post("/groups/", body).await;
        assert_eq!(status, StatusCode::OK, "{group}");
        group["_id"].as_str().expect("an id").to_owned()
    }

    /// Messages of a direct conversation, newest first, as one of the two sees them.
    pub(crate) async fn direct(&self, viewer: &str, other: &str) -> Vec<Value> {
        self.rows(&format!("/messages/{viewer}/{other}?message_type=direct")).await
    }

    /// Messages of a group, newest first, as a member sees them.
    pub(crate) async fn of_group(&self, viewer: &str, group: &str) -> Vec<Value> {
        self.rows(&format!("/messages/{viewer}/{group}?message_type=group")).await
    }

    pub(crate) async fn rows(&self, path: &str) -> Vec<Value> {
        let (status, rows) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{rows}");
        rows.as_array().expect("a list").clone()
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let text = text.as_str().expect("text").to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
    }

    /// Waits until everything accepted is stored.
    pub(crate) async fn flushed(&self) {
        loop {
            let (_, health) = self.get("/health/message-buffer").await;
            if health["stats"]["current_buffer_size"] == json!(0) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(self) -> TempDir {
        self.shutdown.soft.cancel();
        self.server.await.expect("no panic").expect("a clean end");
        self.folder
    }

    /// Tells the server to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.soft.cancel();
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, json)
}

/// A direct message's payload.
pub(crate) fn to_user(user: &str, content: &str) -> Value {
    json!({"to": user, "content": content, "type": "direct"})
}

/// A group message's payload.
pub(crate) fn to_group(group: &str, content: &str) -> Value {
    json!({"to": group, "content": content, "type": "group"})
}

/// Sends a message that is accepted; its id.
pub(crate) async fn sent(client: &mut Client, payload: Value) -> String {
    let ack = client.emit_ack("send_message", payload).await;
    assert_eq!(ack["ok"], json!(true), "{ack}");
    ack["message"]["id"].as_str().expect("an id").to_owned()
}

/// Asserts that an event is refused with this code, by its ack and by an `error` event.
pub(crate) async fn refused(client: &mut Client, event: &str, payload: Value, code: &str) {
    let ack = client.emit_ack(event, payload).await;
    assert_eq!(ack["ok"], json!(false), "{event}: {ack}");
    assert_eq!(ack["error"]["code"], json!(code), "{event}: {ack}");
    let error = client.next_event("error").await;
    assert_eq!(error, json!({"message": ack["error"]["message"]}));
}
