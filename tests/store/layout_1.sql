-- A file as layout 1 had it, with a little in it. Never changed: such files are out there.
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

INSERT INTO groups VALUES (x'000000000000000000000c01', 'Team', 'team', 'ann', 1);
INSERT INTO group_members VALUES
    (1, x'000000000000000000000c01', 'ann', 1),
    (2, x'000000000000000000000c01', 'bob', 1);
INSERT INTO messages (id, old_id, from_user, to_user, group_id, timestamp, status, edited_at,
    content_type, deleted_for, read_by, media_url, media_metadata, content)
VALUES
    (x'000000000000000000000a01', 'old-1', 'ann', 'bob', NULL, 5, 'sent', 7,
        'image', '["cem"]', '[]', '/uploads/a.png', '{"size":3}', '"hello"'),
    (x'000000000000000000000a02', NULL, 'ann', NULL, x'000000000000000000000c01', 6, 'read', NULL,
        'text', '[]', '["ann","bob"]', NULL, NULL, '{"w":3}'),
    (x'000000000000000000000a03', NULL, 'ann', NULL, x'000000000000000000000c01', 8, 'sent', NULL,
        'text', '[]', '["ann"]', NULL, NULL, '"hello"');
INSERT INTO cursors VALUES (x'000000000000000000000c01', 'bob', 6, x'000000000000000000000a02');
UPDATE counts SET n = 3 WHERE name = 'messages';
UPDATE counts SET n = 1 WHERE name = 'groups';
PRAGMA user_version = 1;
