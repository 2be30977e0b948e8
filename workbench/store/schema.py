"""The tables of a catalog, their version, and how an older catalog becomes one of today.

Covers statements only; who runs them, and in which transaction, is in ``catalog.py``.

* An object is a row of ``objects``. ``seq`` numbers them in the order in which they became visible, and is never used twice. The id of an
  object that was put here is its ``seq`` in 12 hexadecimal digits and the 20 random ones in its column ``id``; one that came from elsewhere with an id
  keeps all 32 there, and ``aliases`` finds it. So a small put needs no index of ids, whose page each commit would write.
* The view ``usage`` tells how many bytes are used. Each object carries the sum of what all objects until then were charged (``total``), so
  that an insertion changes no other page than its own; everything else is summed up in ``store.base``, by triggers, so that no code path can forget
  a byte. ``store.total`` and ``store.latest`` remember the newest object when it is deleted.
* ``uses`` says which segments an object's buffers lie in; ``layout`` has the places. The oldest object that uses a segment owns its bytes, and
  ``objects.shared`` counts those that an object has in the segments of others.
* ``objects_by_kind`` is made when somebody first asks a large store for one kind: each put pays for it from then on.
* ``cached`` lists the objects of which another node has an ordinary replica, so that this one may be dropped when there is no room (``caching.py``).
* ``gone`` lists the objects that were deleted in the whole cluster (``burying.py``), and ``store.drained`` says that this node is being emptied.
* ``changes`` is a history of at most 10,000 entries, for those who want to know what changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

APPLICATION_ID: Final = 0x57424E43
VERSION: Final = 4
GONE: Final = 20_000
"""Objects deleted everywhere that are remembered, some 100 bytes each; as many may be deleted in a cluster while a node is away, and it brings none of them back."""


def object_id(row: str) -> str:
    """Return the id of an object as an SQL expression over its row, which is called `row` (``o.``) in the statement."""
    return f"CASE length({row}id) WHEN 20 THEN printf('%012x', {row}seq) || {row}id ELSE {row}id END"


MOVED: Final = f"""
INSERT INTO changes (object, what, name) SELECT {object_id("o.")}, ?, (SELECT min(name) FROM names WHERE object = o.seq)
FROM uses JOIN objects o ON o.seq = object WHERE segment = ?"""
"""Notes that the objects of a segment were ``spilled`` or ``restored``: that word, then the segment."""

_STORE = """
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, capacity INTEGER NOT NULL, base INTEGER NOT NULL,
    latest INTEGER NOT NULL, total INTEGER NOT NULL);
CREATE TABLE spills (directory TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE aliases (id TEXT PRIMARY KEY, object INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX aliases_by_object ON aliases (object);
"""
_SEGMENTS = """
CREATE TABLE segments (
    segment INTEGER PRIMARY KEY AUTOINCREMENT, inode INTEGER NOT NULL, nbytes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('writing', 'sealed', 'free', 'spilled')), freed REAL, was TEXT);
CREATE INDEX segments_by_state ON segments (state, nbytes) WHERE state <> 'sealed';
"""
_OBJECTS = """
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, description TEXT NOT NULL,
    nbytes INTEGER NOT NULL, shared INTEGER NOT NULL, charged INTEGER NOT NULL, total INTEGER NOT NULL, created REAL NOT NULL,
    ttl REAL, expires REAL, pinned INTEGER NOT NULL, tags TEXT, header BLOB, layout BLOB, payload BLOB);
CREATE INDEX objects_by_expiry ON objects (expires) WHERE expires IS NOT NULL;
"""
_LINKS = """
CREATE TABLE uses (object INTEGER NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY (object, segment)) WITHOUT ROWID;
CREATE INDEX uses_by_segment ON uses (segment);
CREATE TABLE names (name TEXT PRIMARY KEY, object INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX names_by_object ON names (object);
"""
_CHANGES = """
CREATE TABLE changes (
    version INTEGER PRIMARY KEY AUTOINCREMENT, object TEXT NOT NULL, what TEXT NOT NULL, name TEXT);
"""
_RULES = f"""
CREATE VIEW usage AS SELECT store.id, capacity,
    base + max(total, coalesce((SELECT o.total FROM objects o ORDER BY o.seq DESC LIMIT 1), 0)) AS used,
    max(latest, coalesce((SELECT max(o.seq) FROM objects o), 0)) AS latest FROM store;
CREATE TRIGGER change_added AFTER INSERT ON changes BEGIN
    DELETE FROM changes WHERE version <= new.version - 10000; END;
CREATE TRIGGER name_added AFTER INSERT ON names BEGIN
    UPDATE store SET base = base + 2 * length(CAST(new.name AS BLOB)) + 64 WHERE one = 1; END;
CREATE TRIGGER name_removed AFTER DELETE ON names BEGIN
    UPDATE store SET base = base - 2 * length(CAST(old.name AS BLOB)) - 64 WHERE one = 1; END;
CREATE TRIGGER object_removed AFTER DELETE ON objects BEGIN
    UPDATE store SET base = base - old.charged, latest = max(latest, old.seq), total = max(total, old.total) WHERE one = 1;
    INSERT INTO changes (object, what, name)
        SELECT {object_id("old.")}, 'removed', (SELECT min(name) FROM names WHERE object = old.seq);
    DELETE FROM aliases WHERE object = old.seq; END;
CREATE TRIGGER segment_added AFTER INSERT ON segments WHEN new.state <> 'spilled' BEGIN
    UPDATE store SET base = base + new.nbytes WHERE one = 1; END;
CREATE TRIGGER segment_changed AFTER UPDATE OF nbytes, state ON segments BEGIN
    UPDATE store SET base = base + (new.state <> 'spilled') * new.nbytes - (old.state <> 'spilled') * old.nbytes WHERE one = 1; END;
CREATE TRIGGER segment_removed AFTER DELETE ON segments WHEN old.state <> 'spilled' BEGIN
    UPDATE store SET base = base - old.nbytes WHERE one = 1; END;
"""

_CACHED = """
CREATE TABLE cached (object INTEGER PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER cached_removed AFTER DELETE ON objects BEGIN DELETE FROM cached WHERE object = old.seq; END;
"""

_CLUSTER = f"""
ALTER TABLE store ADD COLUMN drained INTEGER NOT NULL DEFAULT 0;
CREATE TABLE gone (number INTEGER PRIMARY KEY AUTOINCREMENT, object TEXT NOT NULL UNIQUE);
CREATE TRIGGER gone_added AFTER INSERT ON gone BEGIN DELETE FROM gone WHERE number <= new.number - {GONE}; END;
"""

_FROM_1 = f"""
DROP TRIGGER change_added; DROP TRIGGER name_added; DROP TRIGGER name_removed;
DROP TRIGGER object_added; DROP TRIGGER object_removed;
DROP TRIGGER segment_added; DROP TRIGGER segment_resized; DROP TRIGGER segment_removed;
DROP INDEX segments_by_state; DROP INDEX objects_by_expiry;
ALTER TABLE store RENAME TO old_store; ALTER TABLE segments RENAME TO old_segments; ALTER TABLE objects RENAME TO old_objects;
{_STORE}{_SEGMENTS}{_OBJECTS}
INSERT INTO segments (segment, inode, nbytes, state, freed) SELECT segment, inode, nbytes, state,
    CASE state WHEN 'free' THEN (julianday('now') - 2440587.5) * 86400 END FROM old_segments;
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'old_segments') WHERE name = 'segments';
INSERT INTO sqlite_sequence (name, seq) SELECT 'segments', seq FROM sqlite_sequence
    WHERE name = 'old_segments' AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'segments');
INSERT INTO objects SELECT seq, id, kind, description, nbytes, 0, charged, sum(charged) OVER (ORDER BY seq), created, ttl, expires,
    pinned, tags, header, layout, payload FROM old_objects;
INSERT INTO aliases SELECT id, seq FROM objects;
INSERT INTO store SELECT 1, id, capacity, used - (SELECT coalesce(sum(charged), 0) FROM objects), latest,
    (SELECT coalesce(sum(charged), 0) FROM objects) FROM old_store;
ALTER TABLE changes ADD COLUMN name TEXT;
DROP TABLE old_objects; DROP TABLE old_segments; DROP TABLE old_store;
{_RULES}
"""

_MIGRATIONS: Final = {1: _FROM_1, 2: _CACHED, 3: _CLUSTER}
"""Version to the statements that make the next one of it."""


KIND_INDEX: Final = "CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind)"
"""Made by :meth:`Catalog.index_kinds`."""


def create(write: sqlite3.Connection, identity: str, capacity: int) -> None:
    """Make the tables in an empty database, within the caller's transaction.

    Parameters
    ----------
    write : sqlite3.Connection
    identity : str
        The node's id.
    capacity : int
        Bytes.
    """
    for statement in _statements(_STORE + _SEGMENTS + _OBJECTS + _LINKS + _CHANGES + _RULES + _CACHED + _CLUSTER):
        write.execute(statement)
    write.execute(
        "INSERT INTO store (one, id, capacity, base, latest, total) VALUES (1, ?, ?, 0, 0, 0)", (identity, capacity)
    )
    write.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    write.execute(f"PRAGMA user_version = {VERSION}")


def migrate(write: sqlite3.Connection, version: int) -> None:
    """Turn a catalog of an older version into one of today, within the caller's transaction: all of it, or nothing."""
    for step in range(version, VERSION):
        for statement in _statements(_MIGRATIONS[step]):
            write.execute(statement)
    write.execute(f"PRAGMA user_version = {VERSION}")


def _statements(script: str) -> Iterator[str]:
    # executescript would commit first, and two processes could both create.
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""
