//! Every statement that the store runs on its tables. Values are always bound, never written in.

macro_rules! columns {
    () => {
        "id, old_id, from_user, to_user, group_id, timestamp, status, edited_at, content_type, \
         deleted_for, read_by, media_url, media_metadata, content, client_id, reply_to, mentions, \
         reactions, pinned, pin_by, pin_at"
    };
}

/// A group but for its members; of two tables, `g` is the groups. A list within a row is a JSON
/// array in the order of the index that leads to it.
macro_rules! group_columns {
    () => {
        "g.id, g.name, g.created_by, g.created_at, coalesce(g.owner, g.created_by), \
         (SELECT json_group_array(user) FROM (SELECT user FROM group_members \
         INDEXED BY group_admins WHERE group_id = g.id AND admin IS NOT NULL ORDER BY admin)), \
         (SELECT json_group_array(json_array(user, until)) FROM (SELECT user, until \
         FROM group_silences WHERE group_id = g.id ORDER BY silenced)), g.is_public"
    };
}

macro_rules! account_columns {
    () => {
        "id, username, email, password, created_at"
    };
}

macro_rules! session_columns {
    () => {
        "id, user, secret, previous, rotated_at, created_at, expires_at, ended_at"
    };
}

macro_rules! statements {
    ($($(#[doc = $doc:literal])* $name:ident = $sql:expr;)*) => {
        $($(#[doc = $doc])* pub(super) const $name: &str = $sql;)*

        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    /// The values are in the order of the columns of every select. Looking first makes sure that
    /// a message that is stored already is no conflict of client ids with itself.
    INSERT_MESSAGE = concat!("INSERT INTO messages (", columns!(), ", revisions, version) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
        ?19, ?20, ?21, ?22, ?23)");
    IS_KNOWN = "SELECT 1 FROM messages WHERE id = ?1 \
        UNION ALL SELECT 1 FROM tombstones WHERE id = ?1";
    IS_CLIENT_ID_OF_DELETED = "SELECT 1 FROM tombstones WHERE from_user = ?1 AND client_id = ?2";
    UPDATE_MESSAGE = "UPDATE messages SET content = ?2, edited_at = ?3, status = ?4, read_by = ?5, \
        deleted_for = ?6, reactions = ?7, pinned = ?8, pin_by = ?9, pin_at = ?10, \
        revisions = ?11, version = ?12 WHERE id = ?1";
    REVISIONS = "SELECT revisions FROM messages WHERE id = ?1";
    IS_DELETED = "SELECT 1 FROM tombstones WHERE id = ?1";
    BURY_MESSAGE = "INSERT INTO tombstones (id, deleted_at, version, user_low, user_high, group_id, \
        from_user, client_id, sent_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT from_user FROM messages WHERE id = ?1), \
        (SELECT client_id FROM messages WHERE id = ?1), \
        (SELECT timestamp FROM messages WHERE id = ?1)) \
        ON CONFLICT (id) DO UPDATE SET version = excluded.version, user_low = excluded.user_low, \
        user_high = excluded.user_high, group_id = excluded.group_id";
    FORGET_DELETED = "DELETE FROM tombstones WHERE deleted_at < ?1";
    DELETE_MESSAGE = "DELETE FROM messages WHERE id = ?1";
    PURGE_GROUP = "DELETE FROM messages WHERE group_id = ?1";
    PURGE_CURSORS = "DELETE FROM cursors WHERE group_id = ?1";
    MOVE_CURSOR = "INSERT INTO cursors (group_id, user, timestamp, message_id, version) \
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (group_id, user) DO UPDATE \
        SET timestamp = excluded.timestamp, message_id = excluded.message_id, \
        version = excluded.version \
        WHERE (excluded.timestamp, excluded.message_id) > (timestamp, message_id)";

    MESSAGE_BY_ID = concat!("SELECT ", columns!(), " FROM messages WHERE id = ?1");
    MESSAGE_BY_OLD_ID =
        concat!("SELECT ", columns!(), " FROM messages WHERE old_id = ?1 LIMIT 1");
    SENT_AS = "SELECT id FROM messages WHERE from_user = ?1 AND client_id = ?2 \
        UNION ALL SELECT id FROM tombstones WHERE from_user = ?1 AND client_id = ?2";
    SENT_AT = "SELECT timestamp FROM messages WHERE id = ?1 \
        UNION ALL SELECT sent_at FROM tombstones WHERE id = ?1";
    /// Without a viewer (NULL) no row is hidden. So in all four.
    DIRECT_HISTORY = concat!("SELECT ", columns!(), " FROM messages \
        WHERE user_low = ?1 AND user_high = ?2 AND to_user IS NOT NULL \
        AND (timestamp, id) < (?3, ?4) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?5) \
        ORDER BY timestamp DESC, id DESC LIMIT ?6");
    GROUP_HISTORY = concat!("SELECT ", columns!(), " FROM messages \
        WHERE group_id = ?1 AND (timestamp, id) < (?2, ?3) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?4) \
        ORDER BY timestamp DESC, id DESC LIMIT ?5");
    DIRECT_AFTER = concat!("SELECT ", columns!(), " FROM messages \
        WHERE user_low = ?1 AND user_high = ?2 AND to_user IS NOT NULL \
        AND (timestamp, id) > (?3, ?4) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?5) \
        ORDER BY timestamp, id LIMIT ?6");
    GROUP_AFTER = concat!("SELECT ", columns!(), " FROM messages \
        WHERE group_id = ?1 AND (timestamp, id) > (?2, ?3) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?4) \
        ORDER BY timestamp, id LIMIT ?5");
    REPLIES = concat!("SELECT ", columns!(), " FROM messages \
        WHERE reply_to = ?1 AND (timestamp, id) < (?2, ?3) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?4) \
        ORDER BY timestamp DESC, id DESC LIMIT ?5");
    REPLIES_AFTER = concat!("SELECT ", columns!(), " FROM messages \
        WHERE reply_to = ?1 AND (timestamp, id) > (?2, ?3) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?4) \
        ORDER BY timestamp, id LIMIT ?5");
    COUNT_REPLIES = "SELECT count(*) FROM (SELECT 1 FROM messages WHERE reply_to = ?1 \
        AND hex(id) NOT IN (SELECT value FROM json_each(?2)) LIMIT ?3)";
    DIRECT_PINS = concat!("SELECT ", columns!(), " FROM messages \
        WHERE user_low = ?1 AND user_high = ?2 AND to_user IS NOT NULL AND pinned = 1 \
        ORDER BY pin_at DESC, id DESC LIMIT ?3");
    GROUP_PINS = concat!("SELECT ", columns!(), " FROM messages \
        WHERE group_id = ?1 AND pinned = 1 ORDER BY pin_at DESC, id DESC LIMIT ?2");
    NAMES_MEDIA = "SELECT 1 FROM messages WHERE media_url = ?1 LIMIT 1";

    UNREAD_DIRECT = "SELECT count(*) FROM (SELECT 1 FROM messages \
        WHERE to_user = ?1 AND status <> 'read' AND from_user <> ?1 \
        AND (timestamp, id) <= (?3, ?4) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?1) LIMIT ?2)";
    UNREAD_FROM = "SELECT count(*) FROM (SELECT 1 FROM messages \
        WHERE to_user = ?1 AND from_user = ?2 AND status <> 'read' AND from_user <> to_user \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?1) LIMIT ?3)";
    CURSOR_IN_GROUP = "SELECT timestamp, message_id FROM cursors WHERE group_id = ?1 AND user = ?2";
    NEWEST_DIRECT = "SELECT timestamp, id FROM messages \
        WHERE user_low = ?1 AND user_high = ?2 AND to_user IS NOT NULL \
        ORDER BY timestamp DESC, id DESC LIMIT 1";
    NEWEST_IN_GROUP = "SELECT timestamp, id FROM messages WHERE group_id = ?1 \
        ORDER BY timestamp DESC, id DESC LIMIT 1";
    BLOCK = "INSERT INTO blocks (user, other, at) VALUES (?1, ?2, ?3) \
        ON CONFLICT (user, other) DO NOTHING";
    UNBLOCK = "DELETE FROM blocks WHERE user = ?1 AND other = ?2";
    BLOCKS_OF = "SELECT other, at FROM blocks WHERE user = ?1 \
        ORDER BY at DESC, other DESC LIMIT ?2";
    READERS = "SELECT user, timestamp, message_id FROM cursors \
        WHERE group_id = ?1 AND (timestamp, message_id) >= (?2, ?3) \
        ORDER BY timestamp DESC, message_id DESC LIMIT ?4";
    GROUPS_AND_CURSORS = "SELECT m.group_id, c.timestamp, c.message_id \
        FROM group_members AS m LEFT JOIN cursors AS c \
        ON c.group_id = m.group_id AND c.user = m.user WHERE m.user = ?1";
    UNREAD_AFTER_CURSOR = "SELECT count(*) FROM (SELECT 1 FROM messages \
        WHERE group_id = ?1 AND (timestamp, id) > (?2, ?3) AND (timestamp, id) <= (?6, ?7) \
        AND from_user <> ?4 \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?4) \
        AND NOT EXISTS (SELECT 1 FROM json_each(read_by) WHERE value = ?4) LIMIT ?5)";
    UNREAD_OF_NEWEST = "SELECT count(*) FROM (SELECT from_user, deleted_for, read_by \
        FROM messages WHERE group_id = ?1 AND (timestamp, id) <= (?4, ?5) \
        ORDER BY timestamp DESC, id DESC LIMIT ?3) \
        WHERE from_user <> ?2 \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?2) \
        AND NOT EXISTS (SELECT 1 FROM json_each(read_by) WHERE value = ?2)";

    CHANGED_OF_LOW = concat!("SELECT ", columns!(), ", version FROM messages \
        WHERE user_low = ?1 AND to_user IS NOT NULL \
        AND (version, id) > (?2, ?3) ORDER BY version, id LIMIT ?4");
    CHANGED_OF_HIGH = concat!("SELECT ", columns!(), ", version FROM messages \
        WHERE user_high = ?1 AND to_user IS NOT NULL \
        AND (version, id) > (?2, ?3) AND user_low <> user_high ORDER BY version, id LIMIT ?4");
    CHANGED_IN_GROUP = concat!("SELECT ", columns!(), ", version FROM messages \
        WHERE group_id = ?1 AND (version, id) > (?2, ?3) \
        ORDER BY version, id LIMIT ?4");
    DELETED_OF_LOW = "SELECT id, deleted_at, version, user_low, user_high, group_id \
        FROM tombstones WHERE user_low = ?1 AND (version, id) > (?2, ?3) \
        ORDER BY version, id LIMIT ?4";
    DELETED_OF_HIGH = "SELECT id, deleted_at, version, user_low, user_high, group_id \
        FROM tombstones WHERE user_high = ?1 AND (version, id) > (?2, ?3) \
        AND user_low <> user_high ORDER BY version, id LIMIT ?4";
    DELETED_IN_GROUP = "SELECT id, deleted_at, version, user_low, user_high, group_id \
        FROM tombstones WHERE group_id = ?1 AND (version, id) > (?2, ?3) \
        ORDER BY version, id LIMIT ?4";
    CHANGED_CURSORS = "SELECT group_id, version, timestamp, message_id FROM cursors \
        WHERE user = ?1 AND (version, group_id) > (?2, ?3) ORDER BY version, group_id LIMIT ?4";
    CHANGED_MEMBERSHIPS = "SELECT group_id, version FROM group_changes \
        WHERE user = ?1 AND (version, group_id) > (?2, ?3) ORDER BY version, group_id LIMIT ?4";
    CHANGED_GROUP = "SELECT group_id, version FROM group_changes \
        WHERE user = '' AND group_id = ?1 AND (version, group_id) > (?2, ?3) LIMIT ?4";
    NOTE_GROUP_CHANGE = "INSERT INTO group_changes (user, group_id, version) VALUES (?1, ?2, ?3) \
        ON CONFLICT (user, group_id) DO UPDATE SET version = excluded.version";
    GROUP_IDS_OF_USER = "SELECT group_id FROM group_members WHERE user = ?1 \
        ORDER BY created_at DESC, group_id DESC LIMIT ?2";
    VERSION = "SELECT n FROM counts WHERE name = 'version'";
    SET_VERSION = "UPDATE counts SET n = ?1 WHERE name = 'version'";

    NEWEST_SEARCH_ROW = "SELECT max(row) FROM search_rows WHERE row BETWEEN ?1 AND ?2";
    INSERT_SEARCH_ROW = "INSERT INTO search_rows (row, message) VALUES (?1, ?2)";
    INSERT_SEARCH_KEYS = "INSERT INTO search (rowid, keys) \
        SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
    DELETE_SEARCH_KEYS = "DELETE FROM search \
        WHERE rowid = (SELECT row FROM search_rows WHERE message = ?1)";
    DELETE_SEARCH_ROW = "DELETE FROM search_rows WHERE message = ?1";
    IS_IN_SEARCH = "SELECT 1 FROM search_rows WHERE message = ?1";
    SEARCH_BACKLOG = "SELECT after FROM search_backlog WHERE rowid = 1";
    MOVE_SEARCH_BACKLOG = "UPDATE search_backlog SET after = ?1 WHERE rowid = 1";
    END_SEARCH_BACKLOG = "DELETE FROM search_backlog WHERE rowid = 1";
    MESSAGES_AFTER =
        concat!("SELECT ", columns!(), " FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2");
    /// The index is asked first, in the order of its rows; CROSS keeps it so.
    SEARCH = concat!("SELECT ", columns!(), " FROM search \
        CROSS JOIN search_rows ON row = search.rowid CROSS JOIN messages ON id = message \
        WHERE search MATCH ?1 AND search.rowid < ?2 ORDER BY search.rowid DESC");

    INSERT_GROUP = "INSERT INTO groups (id, name, name_folded, created_by, created_at, owner, \
        is_public) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    GROUP_CREATED_AT = "SELECT created_at FROM groups WHERE id = ?1";
    GROUP_BY_ID = concat!("SELECT ", group_columns!(), " FROM groups AS g WHERE g.id = ?1");
    GROUPS_OF_USER = concat!("SELECT ", group_columns!(), " \
        FROM group_members AS m JOIN groups AS g ON g.id = m.group_id \
        WHERE m.user = ?1 ORDER BY m.created_at DESC, m.group_id DESC LIMIT ?2");
    /// A part of a name can be anywhere in it, so no index leads to it: this reads names, newest
    /// group first, until it has found enough.
    SEARCH_GROUPS = concat!("SELECT ", group_columns!(), " FROM groups AS g \
        WHERE instr(g.name_folded, ?1) > 0 ORDER BY g.created_at DESC, g.id DESC LIMIT ?2");
    SEARCH_GROUPS_OF_USER = concat!("SELECT ", group_columns!(), " \
        FROM group_members AS m JOIN groups AS g ON g.id = m.group_id \
        WHERE m.user = ?3 AND instr(g.name_folded, ?1) > 0 \
        ORDER BY m.created_at DESC, m.group_id DESC LIMIT ?2");
    /// The same of public groups: those alone are read.
    SEARCH_PUBLIC_GROUPS = concat!("SELECT ", group_columns!(), " \
        FROM groups AS g INDEXED BY public_groups \
        WHERE g.is_public = 1 AND instr(g.name_folded, ?1) > 0 \
        ORDER BY g.created_at DESC, g.id DESC LIMIT ?2");
    PUBLIC_ROOMS = concat!("SELECT ", group_columns!(), " \
        FROM groups AS g INDEXED BY public_groups \
        WHERE g.is_public = 1 AND (g.created_at, g.id) < (?1, ?2) \
        ORDER BY g.created_at DESC, g.id DESC LIMIT ?3");
    ROOMS_OF_USER = concat!("SELECT ", group_columns!(), " \
        FROM group_members AS m JOIN groups AS g ON g.id = m.group_id \
        WHERE m.user = ?4 AND (m.created_at, m.group_id) < (?1, ?2) \
        ORDER BY m.created_at DESC, m.group_id DESC LIMIT ?3");
    RENAME_GROUP = "UPDATE groups SET name = ?2, name_folded = ?3 WHERE id = ?1";
    SET_PUBLIC = "UPDATE groups SET is_public = ?2 WHERE id = ?1";
    SET_OWNER = "UPDATE groups SET owner = ?2 WHERE id = ?1";
    /// Who is no member has no row, so becomes no admin.
    ADD_ADMIN = "UPDATE group_members SET admin = (SELECT coalesce(max(admin), 0) + 1 \
        FROM group_members INDEXED BY group_admins \
        WHERE group_id = ?1 AND admin IS NOT NULL) \
        WHERE group_id = ?1 AND user = ?2";
    REMOVE_ADMIN = "UPDATE group_members SET admin = NULL WHERE group_id = ?1 AND user = ?2";
    SILENCE = "INSERT INTO group_silences (group_id, user, until) VALUES (?1, ?2, ?3)";
    END_SILENCE = "DELETE FROM group_silences WHERE group_id = ?1 AND user = ?2";
    END_SILENCES_UNTIL = "DELETE FROM group_silences WHERE group_id = ?1 AND until <= ?2";
    DELETE_SILENCES = "DELETE FROM group_silences WHERE group_id = ?1";
    DELETE_GROUP = "DELETE FROM groups WHERE id = ?1";
    MEMBERS = "SELECT user FROM group_members WHERE group_id = ?1 ORDER BY joined \
        LIMIT ?2";
    COUNT_MEMBERS = "SELECT count(*) FROM group_members WHERE group_id = ?1";
    INSERT_MEMBER = "INSERT INTO group_members (group_id, user, created_at) \
        VALUES (?1, ?2, ?3) ON CONFLICT (group_id, user) DO NOTHING";
    DELETE_MEMBER = "DELETE FROM group_members WHERE group_id = ?1 AND user = ?2";
    DELETE_MEMBERS = "DELETE FROM group_members WHERE group_id = ?1";

    INSERT_INVITATION = "INSERT INTO invitations (token, group_id, created_by, created_at, \
        expires_at, max_uses, uses) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
        ON CONFLICT (token) DO NOTHING";
    FORGET_INVITATIONS = "DELETE FROM invitations WHERE expires_at < ?1";
    INVITATION = "SELECT token, group_id, created_by, created_at, expires_at, max_uses, uses \
        FROM invitations WHERE token = ?1";
    INVITATIONS_INTO = "SELECT token, group_id, created_by, created_at, expires_at, max_uses, uses \
        FROM invitations WHERE group_id = ?1 AND +expires_at > ?2 \
        AND (max_uses IS NULL OR uses < max_uses) ORDER BY created_at DESC, token DESC LIMIT ?3";
    USE_INVITATION = "UPDATE invitations SET uses = uses + 1 \
        WHERE token = ?1 AND expires_at > ?2 AND (max_uses IS NULL OR uses < max_uses)";
    END_INVITATION = "UPDATE invitations SET expires_at = ?2 WHERE token = ?1 AND expires_at > ?2";
    DELETE_INVITATIONS = "DELETE FROM invitations WHERE group_id = ?1";

    MUTE = "INSERT INTO mutes (user, group_id, until, muted, version) VALUES (?1, ?2, ?3, 1, ?4) \
        ON CONFLICT (user, group_id) DO UPDATE \
        SET until = excluded.until, muted = 1, version = excluded.version";
    UNMUTE = "UPDATE mutes SET until = NULL, muted = 0, version = ?3 \
        WHERE user = ?1 AND group_id = ?2 AND muted = 1";
    MUTES_OF = "SELECT group_id, until FROM mutes WHERE user = ?1 AND muted = 1 \
        ORDER BY version DESC, group_id DESC LIMIT ?2";
    CHANGED_MUTES = "SELECT group_id, version, until, muted FROM mutes \
        WHERE user = ?1 AND (version, group_id) > (?2, ?3) ORDER BY version, group_id LIMIT ?4";

    /// A step per peer, each a seek: the messages of a conversation are not read.
    PEERS_ABOVE = "WITH RECURSIVE peers (user) AS (\
        SELECT * FROM (SELECT user_high FROM messages WHERE user_low = ?1 AND user_high > ?1 \
        AND to_user IS NOT NULL ORDER BY user_high LIMIT 1) UNION ALL \
        SELECT (SELECT m.user_high FROM messages AS m WHERE m.user_low = ?1 \
        AND m.user_high > peers.user AND m.to_user IS NOT NULL ORDER BY m.user_high LIMIT 1) \
        FROM peers WHERE peers.user IS NOT NULL) \
        SELECT user FROM peers WHERE user IS NOT NULL LIMIT ?2";
    PEERS_BELOW = "WITH RECURSIVE peers (user) AS (\
        SELECT * FROM (SELECT user_low FROM messages WHERE user_high = ?1 AND user_low < ?1 \
        AND to_user IS NOT NULL ORDER BY user_low LIMIT 1) UNION ALL \
        SELECT (SELECT m.user_low FROM messages AS m WHERE m.user_high = ?1 \
        AND m.user_low > peers.user AND m.user_low < ?1 AND m.to_user IS NOT NULL \
        ORDER BY m.user_low LIMIT 1) FROM peers WHERE peers.user IS NOT NULL) \
        SELECT user FROM peers WHERE user IS NOT NULL LIMIT ?2";
    SMALL_GROUPS_OF = "SELECT m.group_id FROM group_members AS m WHERE m.user = ?1 \
        AND (SELECT count(*) FROM (SELECT 1 FROM group_members AS g \
        WHERE g.group_id = m.group_id LIMIT ?2 + 1)) <= ?2 \
        ORDER BY m.created_at DESC, m.group_id DESC LIMIT ?3";
    SEEN = "INSERT INTO presence (user, last_seen) VALUES (?1, ?2) ON CONFLICT (user) DO UPDATE \
        SET last_seen = excluded.last_seen WHERE excluded.last_seen > last_seen";
    LAST_SEEN = "SELECT last_seen FROM presence WHERE user = ?1";

    INSERT_ACCOUNT = concat!("INSERT INTO accounts (", account_columns!(), ", username_key, \
        email_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    ACCOUNT_BY_ID = concat!("SELECT ", account_columns!(), " FROM accounts WHERE id = ?1");
    ACCOUNT_BY_USERNAME =
        concat!("SELECT ", account_columns!(), " FROM accounts WHERE username_key = ?1");
    ACCOUNT_BY_EMAIL =
        concat!("SELECT ", account_columns!(), " FROM accounts WHERE email_key = ?1");
    /// No key is empty, so all names lie behind the empty one.
    ACCOUNTS_AFTER = concat!("SELECT ", account_columns!(), " FROM accounts \
        WHERE username_key > ?1 ORDER BY username_key LIMIT ?2");
    SET_PASSWORD = "UPDATE accounts SET password = ?2 WHERE id = ?1";
    DELETE_ACCOUNT = "DELETE FROM accounts WHERE id = ?1";
    DELETE_SESSIONS = "DELETE FROM sessions WHERE user = ?1";

    INSERT_SESSION = concat!("INSERT INTO sessions (", session_columns!(), ") \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING");
    SESSION = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1");
    LIVE_SESSIONS = concat!("SELECT ", session_columns!(), " FROM sessions \
        WHERE user = ?1 AND ended_at IS NULL AND +expires_at > ?2 \
        ORDER BY created_at DESC, id DESC");
    /// The oldest live ones of a user, but for the newest few.
    END_OLD_SESSIONS = "UPDATE sessions SET ended_at = ?2 WHERE id IN (SELECT id FROM sessions \
        WHERE user = ?1 AND ended_at IS NULL AND expires_at > ?2 \
        ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?3)";
    ROTATE_SESSION = "UPDATE sessions SET secret = ?3, previous = ?2, rotated_at = ?4, \
        expires_at = ?5 \
        WHERE id = ?1 AND secret = ?2 AND ended_at IS NULL AND expires_at > ?4";
    END_SESSION = "UPDATE sessions SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL";
    END_SESSIONS = "UPDATE sessions SET ended_at = ?2 \
        WHERE user = ?1 AND ended_at IS NULL AND expires_at > ?2";
    ENDED_SESSIONS = "SELECT id, user FROM sessions \
        WHERE ended_at >= ?1 AND expires_at > ?2";
    FORGET_SESSIONS = "DELETE FROM sessions \
        WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 LIMIT ?2)";

    VOID_TOKENS = "INSERT INTO revocations (user, void_until, banned) VALUES (?1, ?2, 0) \
        ON CONFLICT (user) DO UPDATE \
        SET void_until = excluded.void_until WHERE excluded.void_until > void_until";
    BAN = "INSERT INTO revocations (user, void_until, banned) VALUES (?1, ?2, 1) \
        ON CONFLICT (user) DO UPDATE \
        SET void_until = max(void_until, excluded.void_until), banned = 1";
    UNBAN = "UPDATE revocations SET banned = 0 WHERE user = ?1";
    REVOCATIONS = "SELECT user, void_until, banned FROM revocations WHERE banned = 1 UNION ALL \
        SELECT user, void_until, banned FROM revocations WHERE banned = 0 AND void_until >= ?1";
    FORGET_REVOCATIONS = "DELETE FROM revocations WHERE user IN \
        (SELECT user FROM revocations WHERE banned = 0 AND void_until < ?1 LIMIT ?2)";

    GROUP_MESSAGES_OF = concat!("SELECT ", columns!(), " FROM messages \
        WHERE from_user = ?1 AND group_id IS NOT NULL AND (timestamp, id) > (?2, ?3) \
        ORDER BY timestamp, id LIMIT ?4");
    INVITATIONS_BY = "SELECT token, group_id, created_by, created_at, expires_at, max_uses, uses \
        FROM invitations WHERE created_by = ?1 ORDER BY created_at DESC, token DESC LIMIT ?2";
    GROUPS_OF_OWNER = "SELECT id FROM groups WHERE owner = ?1 LIMIT ?2";
    GROUPS_KEPT_BY_CREATOR =
        "SELECT id FROM groups WHERE created_by = ?1 AND owner IS NULL LIMIT ?2";
    BEGIN_ERASURE = "INSERT INTO erasures (user, alias, begun_at) VALUES (?1, ?2, ?3) \
        ON CONFLICT (user) DO NOTHING";
    ERASURE = "SELECT user, alias, begun_at FROM erasures WHERE user = ?1";
    /// No user id is empty.
    ERASURES = "SELECT user, alias, begun_at FROM erasures WHERE user > '' LIMIT ?1";
    END_ERASURE = "DELETE FROM erasures WHERE user = ?1";
    /// The second parameter is the id as it stands in a list.
    NAMED_IN_MESSAGES = "SELECT id, from_user = ?1 OR coalesce(to_user = ?1, 0) \
        OR instr(deleted_for, ?2) OR instr(read_by, ?2) OR coalesce(instr(mentions, ?2), 0) \
        OR coalesce(instr(reactions, ?2), 0) OR coalesce(pin_by = ?1, 0) \
        FROM messages WHERE id > ?3 ORDER BY id LIMIT ?4";
    NAMED_IN_TOMBSTONES = "SELECT id, coalesce(from_user = ?1, 0) OR coalesce(user_low = ?1, 0) \
        OR coalesce(user_high = ?1, 0) FROM tombstones WHERE id > ?2 ORDER BY id LIMIT ?3";
    ANONYMISE_MESSAGE = "UPDATE messages SET from_user = ?2, to_user = ?3, client_id = ?4, \
        read_by = ?5, deleted_for = ?6, mentions = ?7, reactions = ?8, pin_by = ?9, \
        version = ?10 WHERE id = ?1";
    ANONYMISE_TOMBSTONE = "UPDATE tombstones SET \
        client_id = iif(from_user = ?2, NULL, client_id), \
        from_user = iif(from_user = ?2, ?3, from_user), \
        user_low = min(iif(user_low = ?2, ?3, user_low), iif(user_high = ?2, ?3, user_high)), \
        user_high = max(iif(user_low = ?2, ?3, user_low), iif(user_high = ?2, ?3, user_high)) \
        WHERE id = ?1";
    ERASE_BLOCKS = "DELETE FROM blocks WHERE user = ?1";
    ERASE_BLOCKS_OF_OTHERS = "DELETE FROM blocks WHERE other = ?1";
    ERASE_MUTES = "DELETE FROM mutes WHERE user = ?1";
    ERASE_CURSORS = "DELETE FROM cursors WHERE user = ?1";
    ERASE_GROUP_CHANGES = "DELETE FROM group_changes WHERE user = ?1";
    ERASE_PRESENCE = "DELETE FROM presence WHERE user = ?1";
    ERASE_INVITATIONS = "DELETE FROM invitations WHERE created_by = ?1";
    GROUPS_OF_CREATOR = "SELECT id FROM groups WHERE created_by = ?1 LIMIT ?2";
    GROUPS_SILENCING = "SELECT group_id FROM group_silences WHERE user = ?1 LIMIT ?2";
    ANONYMISE_CREATOR = "UPDATE groups SET created_by = ?2 WHERE created_by = ?1";
    ANONYMISE_OWNER = "UPDATE groups SET owner = ?2 WHERE owner = ?1";
    ERASE_SILENCES = "DELETE FROM group_silences WHERE user = ?1";

    ADD_TO_COUNT = "UPDATE counts SET n = n + ?2 WHERE name = ?1";
    COUNT = "SELECT n FROM counts WHERE name = ?1";
    INDEX_KEYS = "SELECT i.name, k.name, k.\"desc\" FROM pragma_index_list(?1) AS i, \
        pragma_index_xinfo(i.name) AS k WHERE k.key = 1";
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, StatementStatus};

    use super::*;

    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn empty_tables() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::connections::keep_prepared(&connection).unwrap();
        let transaction = connection.transaction().unwrap();
        super::super::schema::lay_out(&transaction).unwrap();
        transaction.commit().unwrap();
        connection
    }

    /// Whether a step reads no more rows than it needs: it seeks, or it walks what a seek found
    /// (also as a recursion does) or what is no table.
    fn seeks(step: &str) -> bool {
        !step.contains("TEMP B-TREE")
            && (!step.starts_with("SCAN")
                || step.starts_with("SCAN (subquery")
                || step == "SCAN peers"
                || step == "SCAN CONSTANT ROW"
                || step.contains(" VIRTUAL TABLE "))
    }

    #[test]
    fn no_statement_reads_a_whole_table_or_sorts() {
        let connection = empty_tables();
        for (name, sql) in ALL {
            let steps = plan(&connection, sql);
            let by_name = match *name {
                "SEARCH_GROUPS" => Some("group_creation_time"),
                "SEARCH_PUBLIC_GROUPS" => Some("public_groups"),
                _ => None,
            };
            if let Some(index) = by_name {
                assert_eq!(steps[0], format!("SCAN g USING INDEX {index}"));
                assert!(steps[1..].iter().all(|step| seeks(step)), "{name}: {steps:#?}");
            } else {
                assert!(steps.iter().all(|step| seeks(step)), "{name}: {steps:#?}");
            }
        }
    }

    /// What is bound to a statement, and taken away after it, is no reason to plan it again.
    #[test]
    fn a_statement_is_prepared_once() {
        let connection = empty_tables();
        for (name, sql) in ALL {
            let mut statement = connection.prepare(sql).unwrap();
            for value in 1..4 {
                for parameter in 1..=statement.parameter_count() {
                    statement.raw_bind_parameter(parameter, value).unwrap();
                }
                // What such values are refused for does not matter.
                let mut rows = statement.raw_query();
                while let Ok(Some(_)) = rows.next() {}
                drop(rows);
                statement.clear_bindings();
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{name}");
        }
    }

    /// Queries, and the index made for each.
    const MADE_FOR: &[(&str, &str)] = &[
        (MESSAGE_BY_OLD_ID, "message_old_id (old_id=?)"),
        (SENT_AS, "message_client_id (from_user=? AND client_id=?)"),
        (SENT_AS, "tombstone_client_id (from_user=? AND client_id=?)"),
        (IS_CLIENT_ID_OF_DELETED, "tombstone_client_id (from_user=? AND client_id=?)"),
        (FORGET_DELETED, "tombstone_time (deleted_at<?)"),
        (GROUP_HISTORY, "group_history (group_id=? AND (timestamp,id)<(?,?))"),
        (GROUP_AFTER, "group_history (group_id=? AND (timestamp,id)>(?,?))"),
        (PURGE_GROUP, "message_changes_group (group_id=?)"),
        (UNREAD_FROM, "direct_unread_from (to_user=? AND from_user=?)"),
        (CHANGED_OF_LOW, "message_changes_low (user_low=? AND (version,id)>(?,?))"),
        (CHANGED_OF_HIGH, "message_changes_high (user_high=? AND (version,id)>(?,?))"),
        (CHANGED_IN_GROUP, "message_changes_group (group_id=? AND (version,id)>(?,?))"),
        (REPLIES, "message_replies (reply_to=? AND (timestamp,id)<(?,?))"),
        (REPLIES_AFTER, "message_replies (reply_to=? AND (timestamp,id)>(?,?))"),
        (COUNT_REPLIES, "message_replies (reply_to=?)"),
        (DIRECT_PINS, "direct_pins (user_low=? AND user_high=?)"),
        (GROUP_PINS, "group_pins (group_id=?)"),
        (NAMES_MEDIA, "message_media (media_url=?)"),
        (
            UNREAD_AFTER_CURSOR,
            "group_history (group_id=? AND (timestamp,id)>(?,?) AND (timestamp,id)<(?,?))",
        ),
        (UNREAD_OF_NEWEST, "group_history (group_id=? AND (timestamp,id)<(?,?))"),
        (BLOCKS_OF, "user_blocks (user=?)"),
        (READERS, "cursor_places (group_id=? AND (timestamp,message_id)>(?,?))"),
        (PEERS_ABOVE, "direct_history (user_low=? AND user_high>?)"),
        (PEERS_BELOW, "direct_peers (user_high=? AND user_low>? AND user_low<?)"),
        (SMALL_GROUPS_OF, "member_groups (user=?)"),
        (GROUPS_OF_USER, "member_groups (user=?)"),
        (SEARCH_GROUPS_OF_USER, "member_groups (user=?)"),
        (PUBLIC_ROOMS, "public_groups ((created_at,id)<(?,?))"),
        (ROOMS_OF_USER, "member_groups (user=? AND (created_at,group_id)<(?,?))"),
        (GROUPS_OF_USER, "group_admins (group_id=? AND admin>?)"),
        (GROUPS_OF_USER, "group_silenced (group_id=?)"),
        (ADD_ADMIN, "group_member (group_id=? AND user=?)"),
        (ADD_ADMIN, "group_admins (group_id=? AND admin>?)"),
        (END_SILENCE, "group_silence (group_id=? AND user=?)"),
        (FORGET_INVITATIONS, "invitation_end (expires_at<?)"),
        (INVITATIONS_INTO, "group_invitations (group_id=?)"),
        (DELETE_INVITATIONS, "group_invitations (group_id=?)"),
        (MUTES_OF, "mute_changes (user=?)"),
        (CHANGED_MUTES, "mute_changes (user=? AND (version,group_id)>(?,?))"),
        (ACCOUNT_BY_USERNAME, "account_username (username_key=?)"),
        (ACCOUNT_BY_EMAIL, "account_email (email_key=?)"),
        (ACCOUNTS_AFTER, "account_username (username_key>?)"),
        (DELETE_SESSIONS, "user_sessions (user=?)"),
        (LIVE_SESSIONS, "user_sessions (user=?)"),
        (END_OLD_SESSIONS, "user_sessions (user=?)"),
        (END_SESSIONS, "user_sessions (user=?)"),
        (ENDED_SESSIONS, "session_end (ended_at>?)"),
        (FORGET_SESSIONS, "session_expiry (expires_at<?)"),
        (REVOCATIONS, "revocation_time (banned=?)"),
        (REVOCATIONS, "revocation_time (banned=? AND void_until>?)"),
        (FORGET_REVOCATIONS, "revocation_time (banned=? AND void_until<?)"),
        (GROUP_MESSAGES_OF, "group_messages_of_user (from_user=? AND (timestamp,id)>(?,?))"),
        (INVITATIONS_BY, "invitations_of_user (created_by=?)"),
        (GROUPS_OF_OWNER, "groups_of_owner (owner=?)"),
        (GROUPS_KEPT_BY_CREATOR, "groups_of_creator (created_by=?)"),
        (ERASE_CURSORS, "cursor_changes (user=?)"),
        (ERASE_BLOCKS_OF_OTHERS, "blocks_of_other (other=?)"),
        (ERASE_SILENCES, "silences_of_user (user=?)"),
        (ANONYMISE_OWNER, "groups_of_owner (owner=?)"),
        (MEMBERS, "group_joined (group_id=?)"),
        (COUNT_MEMBERS, "group_joined (group_id=?)"),
    ];

    #[test]
    fn each_query_seeks_in_the_index_made_for_it() {
        let connection = empty_tables();
        for (sql, index) in MADE_FOR {
            let steps = plan(&connection, sql);
            let found = steps.iter().any(|step| step.ends_with(&format!("INDEX {index}")));
            assert!(found, "{index}: {steps:#?}");
        }
    }

    /// Two indexes serve these alike; which one is taken depends on their order in memory.
    #[test]
    fn what_two_indexes_serve_alike_seeks_in_either() {
        let connection = empty_tables();
        let steps = plan(&connection, UNREAD_DIRECT);
        let seeks =
            |step: &String| step.contains("INDEX direct_unread") && step.ends_with("(to_user=?)");
        assert!(steps.iter().any(seeks), "{steps:#?}");
        let steps = plan(&connection, NEWEST_DIRECT);
        assert!(steps[0].contains("INDEX direct_history"), "{steps:#?}");
        for (sql, end) in [(DIRECT_HISTORY, '<'), (DIRECT_AFTER, '>')] {
            let steps = plan(&connection, sql);
            let place = format!("=? AND (timestamp,id){end}(?,?))");
            let seeks = |step: &String| step.contains("direct_history") && step.ends_with(&place);
            assert!(steps.iter().any(seeks), "{steps:#?}");
        }
    }

    #[test]
    fn a_search_asks_the_index_of_keys_first_and_sorts_nothing() {
        let steps = plan(&empty_tables(), SEARCH);
        assert_eq!(steps.len(), 3, "{steps:#?}");
        // 192: by number, downwards; M1: what matches; <: up to a number.
        assert_eq!(steps[0], "SCAN search VIRTUAL TABLE INDEX 192:M1<");
        assert_eq!(steps[1], "SEARCH search_rows USING INTEGER PRIMARY KEY (rowid=?)");
        assert!(steps[2].starts_with("SEARCH messages USING INDEX"), "{steps:#?}");
    }

    #[test]
    fn the_check_of_plans_knows_bad_ones() {
        let connection = empty_tables();
        for sql in [
            "SELECT * FROM messages WHERE content = ?1",
            "SELECT count(*) FROM messages",
            "SELECT * FROM messages WHERE group_id = ?1 ORDER BY content",
            "SELECT DISTINCT timestamp FROM cursors WHERE user = ?1",
        ] {
            let steps = plan(&connection, sql);
            assert!(!steps.iter().all(|step| seeks(step)), "{sql}: {steps:#?}");
        }
    }
}
