//! Files of deleted messages: those that nobody needs go, all others stay.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{TestApp, sent, to_user};
use crate::sio::Client;

crate::on_both_stores![
    the_file_of_a_deleted_message_goes,
    a_file_that_another_message_names_stays,
    a_file_that_is_sent_again_in_time_stays,
    a_hidden_message_keeps_its_file,
    a_file_that_the_server_did_not_name_stays,
];

/// An upload that is there.
struct File {
    path: PathBuf,
    url: String,
}

impl File {
    fn new(app: &TestApp, name: &str) -> Self {
        let path = app.folder.path().join("uploads").join(name);
        std::fs::write(&path, b"GIF89a").unwrap();
        Self { path, url: format!("/uploads/{name}") }
    }

    fn numbered(app: &TestApp, number: u8) -> Self {
        Self::new(app, &format!("92ababae-460f-4eeb-96e2-14f3ba4222{number:02x}.gif"))
    }

    /// Waits until the file is gone.
    async fn gone(&self) {
        let start = Instant::now();
        while self.path.exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "{} stays", self.url);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn with(url: &str) -> Value {
    let mut message = to_user("bob", "look");
    message["media_url"] = json!(url);
    message
}

async fn delete(client: &mut Client, id: &str) {
    let ack = client.emit_ack("delete_message", json!({"message_id": id})).await;
    assert_eq!(ack, json!({"ok": true}));
}

/// Files go in the order in which their messages were deleted: once this one has gone, it is
/// decided what becomes of all before it.
async fn decided(app: &TestApp, client: &mut Client) {
    let last = File::numbered(app, 255);
    let id = sent(client, with(&last.url)).await;
    delete(client, &id).await;
    last.gone().await;
}

async fn the_file_of_a_deleted_message_goes(app: TestApp) {
    let mut ann = app.user("ann").await;
    let files = [File::numbered(&app, 1), File::numbered(&app, 2)];
    let stored = sent(&mut ann, with(&files[0].url)).await;
    app.flushed().await;
    delete(&mut ann, &stored).await;
    let on_its_way = sent(&mut ann, with(&files[1].url[1..])).await;
    let (status, _) =
        app.delete(&format!("/messages/{on_its_way}?user_id=ann&delete_for=everyone")).await;
    assert_eq!(status, StatusCode::OK);
    for file in &files {
        file.gone().await;
    }
    let (status, _) = app.get(&files[0].url).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

async fn a_file_that_another_message_names_stays(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let file = File::numbered(&app, 1);
    let first = sent(&mut ann, with(&file.url)).await;
    let mut other = to_user("cem", "look here, too");
    other["media_url"] = json!(&file.url[1..]);
    let second = sent(&mut bob, other).await;
    app.flushed().await;
    delete(&mut ann, &first).await;
    decided(&app, &mut ann).await;
    assert!(file.path.exists());
    delete(&mut bob, &second).await;
    file.gone().await;
}

async fn a_file_that_is_sent_again_in_time_stays(app: TestApp) {
    let mut ann = app.user("ann").await;
    let file = File::numbered(&app, 1);
    let first = sent(&mut ann, with(&file.url)).await;
    delete(&mut ann, &first).await;
    sent(&mut ann, with(&file.url)).await;
    decided(&app, &mut ann).await;
    assert!(file.path.exists());
}

async fn a_hidden_message_keeps_its_file(app: TestApp) {
    let (mut ann, mut bob) = (app.user("ann").await, app.user("bob").await);
    let file = File::numbered(&app, 1);
    let id = sent(&mut ann, with(&file.url)).await;
    for client in [&mut ann, &mut bob] {
        let hide = json!({"message_id": id, "delete_for": "me"});
        client.emit_ack("delete_message", hide).await;
    }
    decided(&app, &mut ann).await;
    assert!(file.path.exists());
}

async fn a_file_that_the_server_did_not_name_stays(app: TestApp) {
    let mut ann = app.user("ann").await;
    let file = File::new(&app, "cat.gif");
    let id = sent(&mut ann, with(&file.url)).await;
    delete(&mut ann, &id).await;
    decided(&app, &mut ann).await;
    assert!(file.path.exists());
}
