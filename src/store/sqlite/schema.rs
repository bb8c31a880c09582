//! The tables, their indexes, and the number that says which of these a file holds.
//!
//! Times are milliseconds since 1970. Ids are the 12 bytes of an ObjectId, whose order as blobs is
//! their order as ids. Wide columns stand last: SQLite reads a row from its start, so whatever
//! filters a row is found before its content.

use rusqlite::{Connection, Transaction};

use crate::store::StoreError;

/// The layout below, as `PRAGMA user_version`; 0 is a file without tables.
const VERSION: i64 = 1;

/// The tables whose indexes [`super::health`] tells of, under the names of the collections.
pub(super) const COLLECTIONS: [&str; 4] = ["messages", "groups", "group_members", "cursors"];

const TABLES: &str = "
CREATE TABLE messages (
    id BLOB NOT NULL PRIMARY KEY,
    old_id TEXT,
    from_user TEXT NOT NULL,
    to_user TEXT,
    group_id BLOB,
    user_low TEXT AS (min(from_user, to_user)) VIRTUAL,
    user_high TEXT AS (max(from_user, to_user)) VIRTUAL,
    timestamp INTEGER NOT NULL,
    status TEXT NOT NULL,
    edited_at INTEGER,
    content_type TEXT NOT NULL,
    deleted_for TEXT NOT NULL,
    read_by TEXT NOT NULL,
    media_url TEXT,
    media_metadata TEXT,
    content TEXT NOT NULL,
    CHECK ((to_user IS NULL) <> (group_id IS NULL))
) STRICT;
CREATE INDEX message_old_id ON messages (old_id) WHERE old_id IS NOT NULL;
CREATE INDEX direct_history ON messages (user_low, user_high, timestamp DESC, id DESC)
    WHERE to_user IS NOT NULL;
CREATE INDEX group_history ON messages (group_id, timestamp DESC, id DESC)
    WHERE group_id IS NOT NULL;
CREATE INDEX direct_unread ON messages (to_user) WHERE status <> 'read' AND to_user IS NOT NULL;

CREATE TABLE groups (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX group_creation_time ON groups (created_at DESC, id DESC);

-- joined grows with each joining, so its order is the order of members. created_at is the
-- group's, repeated so that the groups of a user come from the index in order.
CREATE TABLE group_members (
    joined INTEGER PRIMARY KEY,
    group_id BLOB NOT NULL,
    user TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX group_member ON group_members (group_id, user);
CREATE INDEX group_joined ON group_members (group_id, joined);
CREATE INDEX member_groups ON group_members (user, created_at DESC, group_id DESC);

CREATE TABLE cursors (
    group_id BLOB NOT NULL,
    user TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    PRIMARY KEY (group_id, user)
) STRICT, WITHOUT ROWID;

-- Counting the rows of a table would read all of it.
CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counts VALUES ('messages', 0), ('groups', 0);
";

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Refuses a file that a newer server has laid out.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let found = version(connection).map_err(super::errors::classify)?;
    if (0..=VERSION).contains(&found) {
        return Ok(());
    }
    Err(StoreError::Configuration(anyhow::anyhow!(
        "its file has layout {found} and this server knows layouts up to {VERSION}: \
         start the newer server, or give this one another folder"
    )))
}

/// Makes the tables of a file that has none.
pub(super) fn create(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    if version(transaction)? == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(())
}
