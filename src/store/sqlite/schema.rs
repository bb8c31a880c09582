//! The tables, their indexes, and the number that says which of these a file holds.
//!
//! Times are milliseconds since 1970. Ids are the 12 bytes of an ObjectId, whose order as blobs is
//! their order as ids. Wide columns stand last: SQLite reads a row from its start, so whatever
//! filters a row is found before its content. What a later layout has added comes after that; the
//! indexes that need it hold it.

use rusqlite::{Connection, Transaction};

use crate::store::StoreError;

/// What makes each layout out of the one before it. A file says in `PRAGMA user_version` how many
/// of these it has seen; 0 is a file without tables. A step that has served is never changed.
const STEPS: [&str; 14] = [
    TABLES,
    TOMBSTONES,
    PLACES_OF_DELETED,
    CHANGES,
    PRESENCE,
    ATTACHED,
    READERS,
    BLOCKS,
    SEARCH,
    GROUP_LIFE,
    ACCOUNTS,
    PUBLIC_GROUPS,
    PRIVACY,
    ASKED_BEFORE,
];

/// The tables whose indexes [`super::health`] tells of, under the names of the collections.
pub(super) const COLLECTIONS: [&str; 15] = [
    "messages",
    "tombstones",
    "groups",
    "group_members",
    "group_changes",
    "group_silences",
    "invitations",
    "cursors",
    "presence",
    "blocks",
    "mutes",
    "accounts",
    "sessions",
    "revocations",
    "erasures",
];

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

/// The trigger makes one rule of two indexes: a client id is taken by a deleted message as well.
const TOMBSTONES: &str = "
ALTER TABLE messages ADD COLUMN client_id TEXT;
CREATE UNIQUE INDEX message_client_id ON messages (from_user, client_id)
    WHERE client_id IS NOT NULL;

CREATE TABLE tombstones (
    id BLOB NOT NULL PRIMARY KEY,
    deleted_at INTEGER NOT NULL,
    from_user TEXT,
    client_id TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone_time ON tombstones (deleted_at);
CREATE INDEX tombstone_client_id ON tombstones (from_user, client_id)
    WHERE client_id IS NOT NULL;

CREATE TRIGGER client_id_of_deleted BEFORE INSERT ON messages WHEN EXISTS
    (SELECT 1 FROM tombstones WHERE from_user = new.from_user AND client_id = new.client_id)
BEGIN
    SELECT raise(ABORT, 'a deleted message of this sender has this client_id');
END;
";

/// A page may begin where a message was that is deleted by now.
const PLACES_OF_DELETED: &str = "ALTER TABLE tombstones ADD COLUMN sent_at INTEGER;";

/// What users attach to messages, and the order in which everything was last changed. What was
/// stored before has version 0: nobody can have missed it.
const CHANGES: &str = "
ALTER TABLE messages ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN reply_to BLOB;
ALTER TABLE messages ADD COLUMN mentions TEXT;
ALTER TABLE messages ADD COLUMN reactions TEXT;
ALTER TABLE messages ADD COLUMN pinned INTEGER;
ALTER TABLE messages ADD COLUMN pin_by TEXT;
ALTER TABLE messages ADD COLUMN pin_at INTEGER;
ALTER TABLE messages ADD COLUMN revisions TEXT;
CREATE INDEX direct_peers ON messages (user_high, user_low) WHERE to_user IS NOT NULL;
DROP INDEX direct_unread;
CREATE INDEX direct_unread_from ON messages (to_user, from_user)
    WHERE status <> 'read' AND to_user IS NOT NULL;
CREATE INDEX message_changes_low ON messages (user_low, version, id)
    WHERE to_user IS NOT NULL;
CREATE INDEX message_changes_high ON messages (user_high, version, id)
    WHERE to_user IS NOT NULL;
CREATE INDEX message_changes_group ON messages (group_id, version, id)
    WHERE group_id IS NOT NULL;

ALTER TABLE tombstones ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tombstones ADD COLUMN user_low TEXT;
ALTER TABLE tombstones ADD COLUMN user_high TEXT;
ALTER TABLE tombstones ADD COLUMN group_id BLOB;
CREATE INDEX deletions_low ON tombstones (user_low, version, id) WHERE user_low IS NOT NULL;
CREATE INDEX deletions_high ON tombstones (user_high, version, id) WHERE user_high IS NOT NULL;
CREATE INDEX deletions_group ON tombstones (group_id, version, id) WHERE group_id IS NOT NULL;

ALTER TABLE cursors ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cursor_changes ON cursors (user, version, group_id);

-- Who has entered or left which group. Under the empty name, which no user has, the group itself.
CREATE TABLE group_changes (
    user TEXT NOT NULL,
    group_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (user, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_change ON group_changes (user, version, group_id);
CREATE INDEX group_itself ON group_changes (group_id, version) WHERE user = '';

INSERT INTO counts VALUES ('version', 0);
";

/// When users were last seen.
const PRESENCE: &str = "
CREATE TABLE presence (user TEXT PRIMARY KEY, last_seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// What leads to a message's replies, the pinned messages of a conversation, and the messages that
/// name a file.
const ATTACHED: &str = "
CREATE INDEX message_replies ON messages (reply_to, timestamp DESC, id DESC)
    WHERE reply_to IS NOT NULL;
CREATE INDEX direct_pins ON messages (user_low, user_high, pin_at DESC, id DESC)
    WHERE pinned = 1 AND to_user IS NOT NULL;
CREATE INDEX group_pins ON messages (group_id, pin_at DESC, id DESC)
    WHERE pinned = 1 AND group_id IS NOT NULL;
CREATE INDEX message_media ON messages (media_url) WHERE media_url IS NOT NULL;
";

/// The read cursors of a group, in order.
const READERS: &str = "
CREATE INDEX cursor_places ON cursors (group_id, timestamp DESC, message_id DESC, user);
";

/// Who has blocked whom.
const BLOCKS: &str = "
CREATE TABLE blocks (
    user TEXT NOT NULL,
    other TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (user, other)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_blocks ON blocks (user, at DESC, other DESC);
";

/// The index holds keys, no texts, and nothing of their places in a message. Words are split and
/// folded before they get here, so its own tokenizer takes what stands between two spaces. The
/// trigger lets a message's keys go with it, whatever deletes it. Filling the index from messages
/// that are there would hold up the start; it goes on in the background from `search_backlog`,
/// which has a row until that is done.
const SEARCH: &str = "
CREATE VIRTUAL TABLE search USING fts5
    (keys, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
CREATE TABLE search_rows (row INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE) STRICT;
CREATE TRIGGER keys_of_deleted AFTER DELETE ON messages BEGIN
    DELETE FROM search WHERE rowid = (SELECT row FROM search_rows WHERE message = old.id);
    DELETE FROM search_rows WHERE message = old.id;
END;

CREATE TABLE search_backlog (after BLOB NOT NULL) STRICT;
INSERT INTO search_backlog SELECT x'' WHERE EXISTS (SELECT 1 FROM messages);
";

/// Who may do what in a group, links into it, and who has muted it. A group without an owner is of
/// who has made it. `admin` and `silenced` grow, so their order is the order in which users became
/// it; a role is gone with the membership, a silence is not. A mute that was taken back stays as a
/// row, which tells of that.
const GROUP_LIFE: &str = "
ALTER TABLE groups ADD COLUMN owner TEXT;
ALTER TABLE group_members ADD COLUMN admin INTEGER;
CREATE INDEX group_admins ON group_members (group_id, admin) WHERE admin IS NOT NULL;

CREATE TABLE group_silences (
    silenced INTEGER PRIMARY KEY,
    group_id BLOB NOT NULL,
    user TEXT NOT NULL,
    until INTEGER
) STRICT;
CREATE UNIQUE INDEX group_silence ON group_silences (group_id, user);
CREATE INDEX group_silenced ON group_silences (group_id, silenced);

CREATE TABLE invitations (
    token TEXT NOT NULL PRIMARY KEY,
    group_id BLOB NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    max_uses INTEGER,
    uses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_invitations ON invitations (group_id, created_at DESC, token DESC);
CREATE INDEX invitation_end ON invitations (expires_at);

CREATE TABLE mutes (
    user TEXT NOT NULL,
    group_id BLOB NOT NULL,
    until INTEGER,
    muted INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (user, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mute_changes ON mutes (user, version, group_id);
";

/// Who may sign in, who has, and whose tokens are void. A key is a name or an address in the spelling
/// that stands for all of them. A session that was ended stays until it would have expired.
const ACCOUNTS: &str = "
CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    password TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX account_username ON accounts (username_key);
CREATE UNIQUE INDEX account_email ON accounts (email_key);

CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    user TEXT NOT NULL,
    secret BLOB NOT NULL,
    previous BLOB,
    rotated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX user_sessions ON sessions (user, created_at DESC, id DESC);
CREATE INDEX session_expiry ON sessions (expires_at);
CREATE INDEX session_end ON sessions (ended_at, expires_at) WHERE ended_at IS NOT NULL;

CREATE TABLE revocations (
    user TEXT NOT NULL PRIMARY KEY,
    void_until INTEGER NOT NULL,
    banned INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revocation_time ON revocations (banned, void_until);
";

/// Which groups everybody may see and join. Of those that were there before, none.
const PUBLIC_GROUPS: &str = "
ALTER TABLE groups ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0;
CREATE INDEX public_groups ON groups (created_at DESC, id DESC) WHERE is_public = 1;
";

/// Who is being erased, and what leads to where a user is named besides.
const PRIVACY: &str = "
CREATE TABLE erasures (
    user TEXT NOT NULL PRIMARY KEY,
    alias TEXT NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_messages_of_user ON messages (from_user, timestamp, id)
    WHERE group_id IS NOT NULL;
CREATE INDEX groups_of_creator ON groups (created_by);
CREATE INDEX groups_of_owner ON groups (owner) WHERE owner IS NOT NULL;
CREATE INDEX silences_of_user ON group_silences (user);
CREATE INDEX blocks_of_other ON blocks (other);
CREATE INDEX invitations_of_user ON invitations (created_by, created_at DESC, token DESC);
";

/// Whether a client id was a deleted message's is asked before an insert (`messages::insert`).
const ASKED_BEFORE: &str = "DROP TRIGGER client_id_of_deleted;";

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Refuses a file that a newer server has laid out.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let found = version(connection).map_err(super::errors::classify)?;
    let known = STEPS.len() as i64;
    if (0..=known).contains(&found) {
        return Ok(());
    }
    Err(StoreError::Configuration(anyhow::anyhow!(
        "its file has layout {found} and this server knows layouts up to {known}: \
         start the newer server, or give this one another folder"
    )))
}

/// Brings a file to the newest layout.
pub(super) fn lay_out(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let found = version(transaction)?;
    for (layout, step) in (1_i64..).zip(STEPS) {
        if layout > found {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", layout)?;
        }
    }
    Ok(())
}
