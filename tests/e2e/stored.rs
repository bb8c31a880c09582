//! The messages that are stored, as the database itself says.

use std::path::Path;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Client;
use rusqlite::OpenFlags;

use crate::server::{Server, Store};

/// One stored message whose content is a text.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its `_id`, in hexadecimal digits.
    pub(crate) id: String,
    /// The name that its sender's client gave it.
    pub(crate) client_id: Option<String>,
    /// What it says.
    pub(crate) content: String,
}

/// All messages in a server's database.
pub(crate) async fn messages(server: &Server) -> Vec<Row> {
    match server.store() {
        Store::Sqlite => in_sqlite(&Path::new(server.setting("DATA_DIR")).join("banter.db")),
        Store::Mongodb => {
            in_mongodb(server.setting("MONGO_URL"), server.setting("MONGODB_NAME")).await
        }
    }
}

fn in_sqlite(file: &Path) -> Vec<Row> {
    let database =
        rusqlite::Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows =
        database.prepare("SELECT lower(hex(id)), client_id, content FROM messages").unwrap();
    let rows = rows.query_map([], |row| {
        let content: String = row.get(2)?;
        let content = serde_json::from_str(&content).unwrap();
        Ok(Row { id: row.get(0)?, client_id: row.get(1)?, content })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

async fn in_mongodb(url: &str, name: &str) -> Vec<Row> {
    let client = Client::with_uri_str(url).await.unwrap();
    let messages = client.database(name).collection::<Document>("messages");
    // A deleted message may leave something behind, but nothing of what it said.
    let rows =
        messages.find(doc! {"content": {"$exists": true}}).await.unwrap().map_ok(|row| Row {
            id: row.get_object_id("_id").unwrap().to_hex(),
            client_id: row.get_str("client_id").ok().map(str::to_owned),
            content: row.get_str("content").unwrap().to_owned(),
        });
    rows.try_collect().await.unwrap()
}
