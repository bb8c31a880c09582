//! Every statement that the store runs on its tables. Values are always bound, never written in.

macro_rules! columns {
    () => {
        "id, old_id, from_user, to_user, group_id, timestamp, status, edited_at, content_type, \
         deleted_for, read_by, media_url, media_metadata, content, client_id"
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
    INSERT_MESSAGE = concat!("INSERT INTO messages (", columns!(), ") \
        SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15 \
        WHERE NOT EXISTS (SELECT 1 FROM messages WHERE id = ?1) \
        AND NOT EXISTS (SELECT 1 FROM tombstones WHERE id = ?1)");
    MESSAGE_LISTS = "SELECT deleted_for, read_by FROM messages WHERE id = ?1";
    EDIT_MESSAGE = "UPDATE messages SET content = ?2, edited_at = ?3 \
        WHERE id = ?1 AND (edited_at IS NULL OR edited_at <= ?3)";
    READ_MESSAGE = "UPDATE messages SET read_by = ?2, status = 'read' WHERE id = ?1";
    HIDE_MESSAGE = "UPDATE messages SET deleted_for = ?2 WHERE id = ?1";
    IS_DELETED = "SELECT 1 FROM tombstones WHERE id = ?1";
    BURY_MESSAGE = "INSERT INTO tombstones (id, deleted_at, from_user, client_id) \
        VALUES (?1, ?2, (SELECT from_user FROM messages WHERE id = ?1), \
        (SELECT client_id FROM messages WHERE id = ?1)) ON CONFLICT (id) DO NOTHING";
    FORGET_DELETED = "DELETE FROM tombstones WHERE deleted_at < ?1";
    DELETE_MESSAGE = "DELETE FROM messages WHERE id = ?1";
    PURGE_GROUP = "DELETE FROM messages WHERE group_id = ?1";
    PURGE_CURSORS = "DELETE FROM cursors WHERE group_id = ?1";
    MOVE_CURSOR = "INSERT INTO cursors (group_id, user, timestamp, message_id) \
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT (group_id, user) DO UPDATE \
        SET timestamp = excluded.timestamp, message_id = excluded.message_id \
        WHERE (excluded.timestamp, excluded.message_id) > (timestamp, message_id)";

    MESSAGE_BY_ID = concat!("SELECT ", columns!(), " FROM messages WHERE id = ?1");
    MESSAGE_BY_OLD_ID =
        concat!("SELECT ", columns!(), " FROM messages WHERE old_id = ?1 LIMIT 1");
    SENT_AS = "SELECT id FROM messages WHERE from_user = ?1 AND client_id = ?2 \
        UNION ALL SELECT id FROM tombstones WHERE from_user = ?1 AND client_id = ?2";
    DIRECT_HISTORY = concat!("SELECT ", columns!(), " FROM messages \
        WHERE user_low = ?1 AND user_high = ?2 AND to_user IS NOT NULL \
        AND (timestamp, id) < (?3, ?4) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?5) \
        ORDER BY timestamp DESC, id DESC LIMIT ?6");
    GROUP_HISTORY = concat!("SELECT ", columns!(), " FROM messages \
        WHERE group_id = ?1 AND (timestamp, id) < (?2, ?3) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?4) \
        ORDER BY timestamp DESC, id DESC LIMIT ?5");

    UNREAD_DIRECT = "SELECT count(*) FROM (SELECT 1 FROM messages \
        WHERE to_user = ?1 AND status <> 'read' AND from_user <> ?1 \
        AND (timestamp, id) <= (?3, ?4) \
        AND NOT EXISTS (SELECT 1 FROM json_each(deleted_for) WHERE value = ?1) LIMIT ?2)";
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

    NEWEST_SEARCH_ROW = "SELECT max(row) FROM search_rows WHERE row BETWEEN ?1 AND ?2";
    INSERT_SEARCH_ROW = "INSERT INTO search_rows (row, message) VALUES (?1, ?2)";
    INSERT_SEARCH_KEYS = "INSERT INTO search (rowid, keys) VALUES (?1, ?2)";
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
    GROUP_IDS_OF_USER = "SELECT group_id FROM group_members \
        WHERE user = ?1 ORDER BY created_at DESC, group_id DESC LIMIT ?2";

    INSERT_GROUP = "INSERT INTO groups (id, name, name_folded, created_by, created_at) \
        VALUES (?1, ?2, ?3, ?4, ?5)";
    GROUP_BY_ID = "SELECT id, name, created_by, created_at FROM groups WHERE id = ?1";
    GROUPS_OF_USER = "SELECT g.id, g.name, g.created_by, g.created_at \
        FROM group_members AS m JOIN groups AS g ON g.id = m.group_id \
        WHERE m.user = ?1 ORDER BY m.created_at DESC, m.group_id DESC LIMIT ?2";
    /// A part of a name can be anywhere in it, so no index leads to it: this reads names, newest
    /// group first, until it has found enough.
    SEARCH_GROUPS = "SELECT id, name, created_by, created_at FROM groups \
        WHERE instr(name_folded, ?1) > 0 ORDER BY created_at DESC, id DESC LIMIT ?2";
    DELETE_GROUP = "DELETE FROM groups WHERE id = ?1";
    MEMBERS = "SELECT user FROM group_members WHERE group_id = ?1 ORDER BY joined";
    INSERT_MEMBER = "INSERT INTO group_members (group_id, user, created_at) \
        VALUES (?1, ?2, ?3) ON CONFLICT (group_id, user) DO NOTHING";
    DELETE_MEMBER = "DELETE FROM group_members WHERE group_id = ?1 AND user = ?2";
    DELETE_MEMBERS = "DELETE FROM group_members WHERE group_id = ?1";

    ADD_TO_COUNT = "UPDATE counts SET n = n + ?2 WHERE name = ?1";
    COUNT = "SELECT n FROM counts WHERE name = ?1";
    INDEX_KEYS = "SELECT i.name, k.name, k.\"desc\" FROM pragma_index_list(?1) AS i, \
        pragma_index_xinfo(i.name) AS k WHERE k.key = 1";
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn empty_tables() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        let transaction = connection.transaction().unwrap();
        super::super::schema::lay_out(&transaction).unwrap();
        transaction.commit().unwrap();
        connection
    }

    /// Whether a step reads no more rows than it needs: it seeks, or it walks what a seek found
    /// or what is no table.
    fn seeks(step: &str) -> bool {
        !step.contains("TEMP B-TREE")
            && (!step.starts_with("SCAN")
                || step.starts_with("SCAN (subquery")
                || step == "SCAN CONSTANT ROW"
                || step.contains(" VIRTUAL TABLE "))
    }

    #[test]
    fn no_statement_reads_a_whole_table_or_sorts() {
        let connection = empty_tables();
        for (name, sql) in ALL {
            let steps = plan(&connection, sql);
            if *name == "SEARCH_GROUPS" {
                assert_eq!(steps, ["SCAN groups USING INDEX group_creation_time"]);
            } else {
                assert!(steps.iter().all(|step| seeks(step)), "{name}: {steps:#?}");
            }
        }
    }

    #[test]
    fn each_query_seeks_in_the_index_made_for_it() {
        let connection = empty_tables();
        for (sql, index) in [
            (MESSAGE_BY_OLD_ID, "message_old_id (old_id=?)"),
            (SENT_AS, "message_client_id (from_user=? AND client_id=?)"),
            (SENT_AS, "tombstone_client_id (from_user=? AND client_id=?)"),
            (FORGET_DELETED, "tombstone_time (deleted_at<?)"),
            (
                DIRECT_HISTORY,
                "direct_history (user_low=? AND user_high=? AND (timestamp,id)<(?,?))",
            ),
            (GROUP_HISTORY, "group_history (group_id=? AND (timestamp,id)<(?,?))"),
            (PURGE_GROUP, "group_history (group_id=?)"),
            (UNREAD_DIRECT, "direct_unread (to_user=?)"),
            (
                UNREAD_AFTER_CURSOR,
                "group_history (group_id=? AND (timestamp,id)>(?,?) AND (timestamp,id)<(?,?))",
            ),
            (UNREAD_OF_NEWEST, "group_history (group_id=? AND (timestamp,id)<(?,?))"),
            (GROUPS_OF_USER, "member_groups (user=?)"),
            (MEMBERS, "group_joined (group_id=?)"),
        ] {
            let steps = plan(&connection, sql);
            let found = steps.iter().any(|step| step.ends_with(&format!("INDEX {index}")));
            assert!(found, "{index}: {steps:#?}");
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
            "SELECT DISTINCT user FROM cursors WHERE user = ?1",
        ] {
            let steps = plan(&connection, sql);
            assert!(!steps.iter().all(|step| seeks(step)), "{sql}: {steps:#?}");
        }
    }
}
