CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, capacity INTEGER NOT NULL, used INTEGER NOT NULL,
    latest INTEGER NOT NULL);
CREATE TABLE segments (
    segment INTEGER PRIMARY KEY AUTOINCREMENT, inode INTEGER NOT NULL, nbytes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('writing', 'sealed', 'free')));
CREATE INDEX segments_by_state ON segments (state, nbytes) WHERE state <> 'sealed';
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, description TEXT NOT NULL,
    nbytes INTEGER NOT NULL, charged INTEGER NOT NULL, created REAL NOT NULL, ttl REAL, expires REAL,
    pinned INTEGER NOT NULL, tags TEXT, header BLOB, layout BLOB, payload BLOB);
CREATE INDEX objects_by_expiry ON objects (expires) WHERE expires IS NOT NULL;
CREATE TABLE uses (object INTEGER NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY (object, segment)) WITHOUT ROWID;
CREATE INDEX uses_by_segment ON uses (segment);
CREATE TABLE names (name TEXT PRIMARY KEY, object INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX names_by_object ON names (object);
CREATE TABLE changes (version INTEGER PRIMARY KEY AUTOINCREMENT, object TEXT NOT NULL, what TEXT NOT NULL);
CREATE TRIGGER change_added AFTER INSERT ON changes BEGIN
    DELETE FROM changes WHERE version <= new.version - 10000; END;
CREATE TRIGGER name_added AFTER INSERT ON names BEGIN
    UPDATE store SET used = used + 2 * length(CAST(new.name AS BLOB)) + 64 WHERE one = 1; END;
CREATE TRIGGER name_removed AFTER DELETE ON names BEGIN
    UPDATE store SET used = used - 2 * length(CAST(old.name AS BLOB)) - 64 WHERE one = 1; END;
CREATE TRIGGER object_added AFTER INSERT ON objects BEGIN
    UPDATE store SET used = used + new.charged, latest = new.seq WHERE one = 1; END;
CREATE TRIGGER object_removed AFTER DELETE ON objects BEGIN
    UPDATE store SET used = used - old.charged WHERE one = 1;
    INSERT INTO changes (object, what) VALUES (old.id, 'removed'); END;
CREATE TRIGGER segment_added AFTER INSERT ON segments BEGIN
    UPDATE store SET used = used + new.nbytes WHERE one = 1; END;
CREATE TRIGGER segment_resized AFTER UPDATE OF nbytes ON segments BEGIN
    UPDATE store SET used = used + new.nbytes - old.nbytes WHERE one = 1; END;
CREATE TRIGGER segment_removed AFTER DELETE ON segments BEGIN
    UPDATE store SET used = used - old.nbytes WHERE one = 1; END;
PRAGMA application_id = 1463963203;
PRAGMA user_version = 1;
INSERT INTO store VALUES (1, '00112233445566778899aabbccddeeff', 268435456, 0, 0);
