//! Dead letters: what the store refuses, as an operator sees it and tries it again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bson::{Document, doc};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{sent, to_user};
use crate::binary::{Banter, command};
use crate::mongod::{Mongod, TestDatabase};
use crate::sio::Client;

/// How long what must come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program in a folder, under settings.
struct Operator<'a> {
    folder: &'a TempDir,
    settings: &'a [(&'a str, &'a str)],
}

impl Operator<'_> {
    /// Runs a command; its exit code, and what it printed on standard output and error.
    async fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = command(self.folder, self.settings)
            .arg("dead-letter")
            .args(args)
            .output()
            .await
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
    }

    async fn list(&self) -> String {
        let (code, said, complaints) = self.run(&["list"]).await;
        assert_eq!((code, &*complaints), (0, ""), "{said}");
        said
    }

    fn letters(&self) -> PathBuf {
        self.folder.path().join("data/dead-letter")
    }
}

/// Waits for a letter, and reads it.
async fn letter_of(folder: &Path, id: &str) -> (String, Value) {
    let find = async {
        loop {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            if let Some(name) = names.find(|name| name.ends_with(&format!("-{id}.json"))) {
                return name;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let name = tokio::time::timeout(PATIENCE, find).await.expect("a letter comes");
    let text = std::fs::read_to_string(folder.join(&name)).expect("a file");
    (name, serde_json::from_str(&text).expect("a whole letter"))
}

/// A rule of the store against messages that say `poison`.
enum Rule<'a> {
    Mongo(&'a TestDatabase),
    Sqlite(PathBuf),
}

impl Rule<'_> {
    async fn set(&self, stands: bool) {
        match self {
            Self::Mongo(database) => {
                let validator = if stands {
                    doc! {"content": {"$ne": "poison"}}
                } else {
                    doc! {}
                };
                let rule = doc! {"collMod": "messages", "validator": validator};
                let database = database.raw().await;
                // Not before the server has made its collections and indexes.
                let is_set = async {
                    while database.run_command(rule.clone()).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                tokio::time::timeout(PATIENCE, is_set).await.expect("the rule is set");
            }
            Self::Sqlite(path) => {
                let database = rusqlite::Connection::open(path).expect("the database");
                let rule = if stands {
                    "CREATE TRIGGER rule BEFORE INSERT ON messages WHEN NEW.content LIKE '%poison%'
                     BEGIN SELECT RAISE(ABORT, 'no poison'); END"
                } else {
                    "DROP TRIGGER rule"
                };
                database.execute_batch(rule).expect("a rule");
            }
        }
    }
}

async fn history(banter: &Banter) -> Vec<Value> {
    let url = format!("http://{}/messages/bob/ann?message_type=direct", banter.addr);
    let rows: Value = crate::web::get(url).await.expect("an answer").json().await.expect("JSON");
    rows.as_array().expect("rows").iter().map(|row| row["content"].clone()).collect()
}

/// From the refusal to the letter's end, beside a server that runs all the time.
async fn a_refused_message_is_listed_refused_again_and_stored(
    banter: &Banter,
    rule: Rule<'_>,
    settings: &[(&str, &str)],
) {
    let operator = Operator { folder: &banter.folder, settings };
    assert_eq!(operator.list().await, "no dead letters in data/dead-letter\n");
    let mut ann = Client::connect(banter.addr, json!({"user_id": "ann"})).await;
    sent(&mut ann, to_user("bob", "before")).await;
    rule.set(true).await;
    let id = sent(&mut ann, to_user("bob", "poison")).await;
    sent(&mut ann, to_user("bob", "after")).await;

    let (name, letter) = letter_of(&operator.letters(), &id).await;
    assert_eq!((&letter["kind"], &letter["op"]["content"]), (&json!("send"), &json!("poison")));
    let reason = letter["reason"].as_str().expect("a reason");
    let said = operator.list().await;
    let line = format!("{name}  {}  send  {id}  {reason}", letter["at"].as_str().unwrap());
    assert_eq!(said, format!("{line}\n1 dead letter in data/dead-letter\n"));

    let (code, said, _) = operator.run(&["retry"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("{name}  stays: ")) && said.contains("0 stored, 1 left"),
        "{said}"
    );
    let (_, again) = letter_of(&operator.letters(), &id).await;
    assert_eq!(again["op"], letter["op"]);
    assert_ne!(again["at"], letter["at"], "it says when it was refused last");

    rule.set(false).await;
    let (code, said, complaints) = operator.run(&["retry", &name]).await;
    assert_eq!(code, 0, "{said}{complaints}");
    assert!(said.ends_with(&format!("{name}  stored\n1 stored, 0 left\n")), "{said}");
    assert_eq!(operator.list().await, "no dead letters in data/dead-letter\n");
    assert_eq!(history(banter).await, ["after", "poison", "before"]);
    let left = std::fs::read_dir(operator.letters()).unwrap().count();
    assert_eq!(left, 0, "nothing hidden is left either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_message_comes_back_from_its_letter_on_mongodb() {
    let database = TestDatabase::new();
    let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    let banter = Banter::start(&settings).await;
    let rule = Rule::Mongo(&database);
    a_refused_message_is_listed_refused_again_and_stored(&banter, rule, &settings).await;
    let rows = database.raw().await.collection::<Document>("messages");
    let stored = rows.count_documents(doc! {"content": "poison"}).await;
    assert_eq!(stored.expect("an answer"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_message_comes_back_from_its_letter_on_sqlite() {
    let banter = Banter::start(&[]).await;
    let rule = Rule::Sqlite(banter.folder.path().join("data/banter.db"));
    a_refused_message_is_listed_refused_again_and_stored(&banter, rule, &[]).await;
}

const NAME: &str = "00000000000000000009-65a000000000000000000001.json";

/// Puts a letter from ann to bob there, as a person might write it.
fn write_by_hand(operator: &Operator<'_>) {
    let letter = json!({
        "sequence": 9, "reason": "no", "at": "2026-01-02T03:04:05Z", "kind": "send",
        "op": {
            "id": {"$oid": "65a000000000000000000001"}, "from": "ann", "to_user": "bob",
            "timestamp": 1_767_323_045_678_i64, "content": "by hand", "content_type": "text",
            "status": "sent", "read_by": [], "deleted_for": [],
        },
    });
    std::fs::create_dir_all(operator.letters()).unwrap();
    std::fs::write(operator.letters().join(NAME), letter.to_string()).unwrap();
}

#[tokio::test]
async fn a_letter_written_by_hand_is_listed_and_stored_without_a_server() {
    let folder = TempDir::new().unwrap();
    let operator = Operator { folder: &folder, settings: &[] };
    write_by_hand(&operator);
    std::fs::write(operator.letters().join("notes.txt"), "ask Ann").unwrap();
    let said = operator.list().await;
    assert!(said.starts_with(&format!("{NAME}  2026-01-02T03:04:05Z  send  ")), "{said}");
    assert!(said.contains("notes.txt  can't be read as a letter"), "{said}");

    let outside = format!("../dead-letter/{NAME}");
    let (code, _, complaint) = operator.run(&["retry", &outside, NAME]).await;
    assert_eq!(code, 1);
    assert!(complaint.starts_with("banter: there is no letter"), "{complaint}");
    assert!(operator.letters().join(NAME).exists(), "one wrong name, and nothing is done");

    let (code, said, complaints) = operator.run(&["retry", NAME]).await;
    assert_eq!(code, 0, "{said}{complaints}");
    let database = rusqlite::Connection::open(folder.path().join("data/banter.db")).unwrap();
    let query = "SELECT count(*) FROM messages WHERE from_user = 'ann' AND timestamp = ?1";
    let stored: i64 = database.query_row(query, [1_767_323_045_678_i64], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1);
    let (code, said, _) = operator.run(&["retry"]).await;
    assert_eq!(code, 1, "what is no letter stays, and is told: {said}");
}

#[tokio::test]
async fn a_retry_keeps_nodes_off_the_history_that_they_share() {
    let (database, folder) = (TestDatabase::new(), TempDir::new().unwrap());
    let settings = [("MONGO_URL", &*database.url), ("MONGODB_NAME", &*database.name)];
    let operator = Operator { folder: &folder, settings: &settings };
    write_by_hand(&operator);
    // As a node has made it.
    let fences = database.raw().await.collection::<Document>("history_fence");
    let generation = bson::oid::ObjectId::new();
    let open =
        doc! {"_id": "history", "generation": generation, "closed_until": bson::DateTime::MIN};
    fences.insert_one(&open).await.unwrap();
    let (code, said, complaints) = operator.run(&["retry"]).await;
    assert_eq!(code, 0, "{said}{complaints}");
    let closed = fences.find_one(doc! {}).await.unwrap().expect("it is there");
    assert_ne!(closed.get("generation"), open.get("generation"));
    assert!(closed.get_datetime("closed_until").unwrap() > &bson::DateTime::now());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_stops_the_retry_and_loses_nothing() {
    let mut mongod = Mongod::start().await;
    let url = mongod.url();
    let folder = TempDir::new().unwrap();
    let operator = Operator { folder: &folder, settings: &[("MONGO_URL", &url)] };
    write_by_hand(&operator);
    let before = std::fs::read(operator.letters().join(NAME)).unwrap();
    mongod.kill();
    let (code, said, _) = operator.run(&["retry"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("stopped here: the store does not answer"), "{said}");
    assert!(said.ends_with("0 stored, 1 left; nothing is lost\n"), "{said}");
    assert_eq!(std::fs::read(operator.letters().join(NAME)).unwrap(), before);

    mongod.restart().await;
    let (code, said, _) = operator.run(&["retry"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(!operator.letters().join(NAME).exists());
}
