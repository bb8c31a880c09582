//! The journal, as an operator sees it: a start that is refused, and what is done about it; and a
//! server that does not come back.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bson::{Document, doc};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::app::{sent, to_user};
use crate::binary::{Banter, command};
use crate::mongod::Mongod;
use crate::sio::Client;

/// How long what must come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the program in a folder; its exit code, and what it printed on standard output and error.
async fn run(folder: &TempDir, settings: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    let running = command(folder, settings).args(args).output();
    let output = tokio::time::timeout(PATIENCE, running).await.expect("it ends");
    let output = output.expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

fn journal_of(folder: &TempDir) -> PathBuf {
    folder.path().join("data/journal")
}

fn database(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join("data/banter.db")).unwrap()
}

/// What ann has sent to bob, in order.
fn contents(database: &Connection) -> Vec<String> {
    let mut rows = database
        .prepare("SELECT json_extract(content, '$') FROM messages ORDER BY timestamp, id")
        .unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Waits until as many messages are stored.
async fn stored(database: &Connection, count: usize) -> Vec<String> {
    let all = async {
        while contents(database).len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all is stored");
    contents(database)
}

async fn send(banter: &Banter, texts: &[&str]) {
    let mut ann = Client::connect(banter.addr, json!({"user_id": "ann"})).await;
    for text in texts {
        sent(&mut ann, to_user("bob", text)).await;
    }
}

/// What a server leaves behind that was killed while its embedded store took nothing.
async fn killed_with(texts: &[&str]) -> TempDir {
    let banter = Banter::start(&[]).await;
    let lock = database(&banter.folder);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    send(&banter, texts).await;
    banter.kill().await
}

const TEXTS: [&str; 9] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// Changes a bit in the middle of what a journal holds; the file.
fn damage(journal: &Path) -> &'static str {
    const FIRST: &str = "00000000000000000001.segment";
    let mut bytes = std::fs::read(journal.join(FIRST)).unwrap();
    let length = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[length / 2] ^= 0x10;
    std::fs::write(journal.join(FIRST), bytes).unwrap();
    FIRST
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_stops_the_start_until_it_is_repaired_and_the_rest_is_stored() {
    let folder = killed_with(&TEXTS).await;
    let (code, said, _) = run(&folder, &[], &["journal", "inspect", "--records"]).await;
    tells(&said, &["  9  send  ", "9 operations not stored", "a server would start on it\n"]);
    assert!(code == 0 && !said.contains("seven"), "no content is shown: {said}");

    let file = damage(&journal_of(&folder));
    let (code, refusal, _) = run(&folder, &[], &[]).await;
    assert_eq!(code, 1, "{refusal}");
    tells(&refusal, &[file, "damaged at byte ", "banter journal inspect", "banter journal repair"]);
    let (code, said, complaints) = run(&folder, &[], &["journal", "inspect"]).await;
    assert_eq!((code, &*complaints), (1, ""), "{said}");
    tells(&said, &[file, "damaged at byte ", "behind the damage", "would not start on it: "]);
    let (code, _, refusal) = run(&folder, &[], &["journal", "drain", "data/journal"]).await;
    assert_eq!(code, 1);
    tells(&refusal, &["banter: ", "damaged at byte "]);

    let (code, said, complaints) = run(&folder, &[], &["journal", "repair"]).await;
    assert_eq!((code, &*complaints), (0, ""), "{said}");
    tells(
        &said,
        &["saved: 8 operations", "lost: 5\n", "the old files are in data/journal/damaged-"],
    );
    let (_, aside) = said.trim_end().rsplit_once(' ').unwrap();
    let aside = folder.path().join(aside);
    assert!(aside.join(file).exists() && aside.join("checkpoint").exists());
    let (code, said, _) = run(&folder, &[], &["journal", "repair"]).await;
    assert_eq!(code, 0);
    tells(&said, &["as it is (8 operations not stored): nothing was changed"]);
    let (code, _, _) = run(&folder, &[], &["journal", "inspect"]).await;
    assert_eq!(code, 0);

    let banter = Banter::start_in(folder, &[]).await;
    let saved: Vec<_> = TEXTS.into_iter().filter(|text| *text != "five").collect();
    assert_eq!(stored(&database(&banter.folder), 8).await, saved);
    send(&banter, &["ten"]).await;
    let folder = banter.stop().await;
    assert_eq!(contents(&database(&folder)).len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_has_a_journal_and_others_may_look_at_it() {
    let banter = Banter::start(&[]).await;
    send(&banter, &["one"]).await;
    let folder = &banter.folder;
    for args in [&[][..], &["journal", "repair"], &["journal", "drain", "data/journal"]] {
        let (code, said, refusal) = run(folder, &[], args).await;
        // What a server says is its log; what a command says on standard output is its result.
        let is_server = args.is_empty();
        assert_eq!((code, said.is_empty(), refusal.is_empty()), (1, !is_server, is_server));
        let refusal = if is_server { said } else { refusal };
        tells(&refusal, &["the journal in ", " is in use by another process"]);
    }
    let (code, said, _) = run(folder, &[], &["journal", "inspect"]).await;
    assert_eq!(code, 0, "{said}");
    tells(&said, &["in use by a running server; what is below may already have changed"]);
    send(&banter, &["two"]).await;
    let folder = banter.stop().await;
    assert_eq!(contents(&database(&folder)), ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_without_a_journal_is_said_to_have_none() {
    let folder = killed_with(&["one"]).await;
    let (code, _, refusal) = run(&folder, &[], &["journal", "drain", "data"]).await;
    assert_eq!(code, 1);
    assert_eq!(
        refusal,
        "banter: there is no journal in \"data\"; there is one in \"data/journal\"\n"
    );
    let (code, _, refusal) = run(&folder, &[], &["journal", "inspect", "elsewhere"]).await;
    assert_eq!(code, 1);
    tells(&refusal, &["there is no journal in \"elsewhere\""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_has_left_is_stored_beside_a_server_that_runs() {
    let dead = killed_with(&["one", "poison", "three"]).await;
    let banter = Banter::start(&[]).await;
    let store = database(&banter.folder);
    let rule = "CREATE TRIGGER rule BEFORE INSERT ON messages WHEN NEW.content LIKE '%poison%'
                BEGIN SELECT RAISE(ABORT, 'no poison'); END";
    store.execute_batch(rule).unwrap();
    let dir = journal_of(&dead);
    let drain = ["journal", "drain", dir.to_str().unwrap()];
    let (code, said, complaints) = run(&banter.folder, &[], &drain).await;
    assert_eq!(code, 0, "{said}{complaints}");
    let letters = dead.path().join("data/dead-letter");
    let count = format!("1 dead letter in {}", letters.display());
    tells(&said, &["bringing 3 operations of ", "2 of 3 stored; the journal is empty", &count]);
    tells(&said, &[&format!("banter dead-letter list --data-dir {}/data", dead.path().display())]);
    assert_eq!(std::fs::read_dir(letters).unwrap().count(), 1);
    assert_eq!(contents(&store), ["one", "three"]);
    send(&banter, &["four"]).await;
    assert_eq!(stored(&store, 3).await, ["one", "three", "four"]);

    let (code, said, _) = run(&banter.folder, &[], &drain).await;
    assert_eq!(code, 0);
    tells(&said, &["is stored: there is nothing to do"]);
}

async fn count(mongod: &Mongod) -> u64 {
    let client = mongodb::Client::with_uri_str(mongod.url()).await.unwrap();
    let rows = client.database("chatapp").collection::<Document>("messages");
    rows.count_documents(doc! {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_its_store_can_be_stopped_and_doubles_nothing_when_the_node_is_back() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let settings = [("MONGO_URL", &*url), ("BREAKER_OPEN", "0.5")];
    let banter = Banter::start(&settings).await;
    send(&banter, &["zero"]).await;
    let first_is_stored = async {
        while count(&mongod).await < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, first_is_stored).await.expect("the store has it");
    // As nodes have it that share what they have read.
    let client = mongodb::Client::with_uri_str(mongod.url()).await.unwrap();
    let fences = client.database("chatapp").collection::<Document>("history_fence");
    let open = doc! {"_id": "history", "generation": bson::oid::ObjectId::new()};
    fences.insert_one(&open).await.unwrap();
    mongod.kill();
    send(&banter, &TEXTS).await;
    let folder = banter.kill().await;

    let elsewhere = TempDir::new().unwrap();
    let dir = journal_of(&folder);
    let drain = ["journal", "drain", dir.to_str().unwrap()];
    let spawn = || {
        let mut drain = command(&elsewhere, &settings).args(drain).stdout(Stdio::piped()).spawn();
        let out = drain.as_mut().unwrap().stdout.take().unwrap();
        (drain.unwrap(), BufReader::new(out).lines())
    };
    for is_stopped in [true, false] {
        let (mut child, mut out) = spawn();
        let mut said = Vec::new();
        let wait = async {
            while let Some(line) = out.next_line().await.unwrap() {
                let is_away = line.contains("trying again");
                said.push(line);
                match is_away {
                    true if is_stopped => {
                        let id = child.id().unwrap().to_string();
                        Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
                    }
                    true => mongod.restart().await,
                    false => {}
                }
            }
            child.wait().await.unwrap().code()
        };
        let code = tokio::time::timeout(PATIENCE, wait).await.expect("it ends");
        let said = said.join("\n");
        assert_eq!(code, Some(i32::from(is_stopped)), "{said}");
        let end = if is_stopped { "nothing is lost" } else { "the journal is empty" };
        assert!(said.ends_with(end), "{said}");
    }
    assert_eq!(count(&mongod).await, 10);
    let client = mongodb::Client::with_uri_str(mongod.url()).await.unwrap();
    let fences = client.database("chatapp").collection::<Document>("history_fence");
    let closed = fences.find_one(doc! {}).await.unwrap().expect("it is there");
    assert_ne!(closed.get("generation"), open.get("generation"), "the nodes are kept off");
    let (code, said, _) = run(&elsewhere, &settings, &drain).await;
    assert_eq!(code, 0);
    tells(&said, &["there is nothing to do"]);

    let banter = Banter::start_in(folder, &settings).await;
    send(&banter, &["ten"]).await;
    banter.stop().await;
    assert_eq!(count(&mongod).await, 11);
}
