//! Requests that Schemathesis makes up from the server's own document, of what it allows and of
//! what it does not. No answer may be a 500, or another one than the document describes.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::server::{Server, SignIn, Store};
use crate::suite::{installed, root, succeed};

/// What an answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,negative_data_rejection";

/// What lets the requests of operators in.
const ADMIN_TOKEN: &str = "operators-of-the-tests";

/// A server with somebody on it, who has a room, a message and an upload.
struct World {
    server: Server,
    user: String,
    token: String,
}

impl World {
    async fn new(store: Store, sign_in: SignIn) -> Self {
        let more = [
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            // What is made up is much the same, and for everybody.
            ("SPAM_REPEATS", "0"),
            ("SPAM_STRANGERS", "0"),
        ];
        let server = Server::start_signing_in_with(store, sign_in, &more).await;
        let mut world = Self { server, user: "ann".to_owned(), token: String::new() };
        if sign_in == SignIn::Tokens {
            let ann = json!({
                "username": "ann", "email": "ann@example.com", "password": "correct horse"
            });
            let tokens = world.post("/api/auth/register", ann).await;
            world.user = text(&tokens["user"]["id"]);
            world.token = text(&tokens["access_token"]);
        }
        world
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = crate::web::client().post(format!("{}{path}", self.server.url()));
        let answer = request.bearer_auth(&self.token).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// The last part of a new upload's URL.
    async fn upload(&self) -> String {
        let gif = Part::bytes(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".as_slice()).file_name("a.gif");
        let form = Form::new().part("file", gif);
        let request = crate::web::client().post(format!("{}/upload/", self.server.url()));
        let answer = request.bearer_auth(&self.token).multipart(form).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        text(&answer["url"]).replace("/uploads/", "")
    }

    /// What Schemathesis is told, with all that there is on the server.
    async fn settings(&self) -> String {
        let room = json!({"name": "Lounge", "created_by": self.user, "member_ids": ["bob"]});
        let room = text(&self.post("/api/rooms/", room).await["id"]);
        let path = format!("/api/messages/{room}?user_id={}", self.user);
        let message = text(&self.post(&path, json!({"content": "hello"})).await["id"]);
        let upload = self.upload().await;
        let settings = std::fs::read_to_string(root().join("tests/e2e/schemathesis.toml")).unwrap();
        [
            ("USER_ID", &*self.user),
            ("ACCESS_TOKEN", &self.token),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("ROOM_ID", &room),
            ("MESSAGE_ID", &message),
            ("UPLOAD", &upload),
        ]
        .into_iter()
        .fold(settings, |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    /// How many requests of a route were answered with this status.
    async fn answered(&self, method: &str, route: &str, status: &str) -> u64 {
        let request = crate::web::client().get(format!("{}/metrics", self.server.url()));
        let metrics = request.bearer_auth(ADMIN_TOKEN).send().await.unwrap().text().await.unwrap();
        let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} ");
        let line = format!("http_requests_total{labels}");
        let count = metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok());
        count.unwrap_or_default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn made_up_requests(store: Store, sign_in: SignIn) {
    let mut world = World::new(store, sign_in).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, world.settings().await).unwrap();
    let program = root().join("target/real/venv/bin/schemathesis");
    installed(&program);
    let mut command = tokio::process::Command::new(program);
    command
        // It keeps what it has found in the folder where it runs.
        .current_dir(folder.path())
        .args(["--no-color", "--config-file"])
        .arg(&settings)
        .arg("run")
        .arg(format!("{}/openapi.json", world.server.url()))
        .args(["--checks", CHECKS, "--warnings", "off"]);
    succeed(command, &world.server).await;
    // They got further than to "no such room".
    let sent = world.answered("POST", "/api/messages/{id}", "201").await;
    assert!(sent > 1, "no message was sent");
    world.server.stop().await;
}

#[tokio::test]
async fn with_open_sign_in_made_up_requests_get_what_the_document_says() {
    made_up_requests(Store::Sqlite, SignIn::Open).await;
}

#[tokio::test]
async fn with_tokens_made_up_requests_get_what_the_document_says() {
    made_up_requests(Store::Mongodb, SignIn::Tokens).await;
}
