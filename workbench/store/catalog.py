"""Who has what on this host: one SQLite database in the store's directory.

Covers the schema, its version, the two connections and the transactions; what the rows mean for segments is in
``store.py``, and their files in ``segments.py``.

* WAL mode, synchronous off: the catalog lies in memory, so there is nothing to sync; a kill -9 loses no committed row.
* One connection reads, one writes, each behind a lock of its own: a reader in one thread does not wait for a writer
  in another. All writing happens in ``BEGIN IMMEDIATE`` transactions, so at most one process of the host writes.
* ``used`` is kept by triggers, so that no code path can forget a byte, and an insertion checks it in the same statement.
* ``seq`` numbers objects in the order in which they became visible, and is never used twice. The last one is kept beside ``used``: SQLite's own
  AUTOINCREMENT would write one page more in each put, of which a small one writes three.
* No connection is open across a fork (sqlite.org/howtocorrupt.html, 2.6): SQLite's bookkeeping of locks would be inherited, and a
  child's new connections would take no real lock. So both are closed before a fork, and opened again on both sides.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Final

from workbench.errors import StoreError, StoreFullError
from workbench.store.transactions import Transaction, Transactions

APPLICATION_ID: Final = 0x57424E43
VERSION: Final = 1
BUSY_TIMEOUT: Final = 30.0
"""Seconds; how long one write may wait for those of other processes."""

_KEEP_PAGES: Final = 1024
"""Free pages (4 KiB each) that the catalog may keep for the next objects."""

_SCHEMA = """
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
"""


class Catalog:
    """The catalog of one store; safe to use from several threads.

    Parameters
    ----------
    path : Path
        The database file.
    create : callable
        Called once, by the process that makes the catalog; returns its id and capacity in bytes.

    Raises
    ------
    StoreError
        If the file is not a catalog, is damaged, or was written by newer code.
    """

    def __init__(self, path: Path, create: Any) -> None:
        self.path = path
        self._create = create
        self._connect()

    def _connect(self) -> None:
        self._pid = os.getpid()
        # Both reentrant: the garbage collector may call a finalizer that uses the store in the middle of a statement.
        self._read_lock = threading.RLock()
        self._transactions = Transactions(self._translate)
        self._open_connections()

    def _open_connections(self) -> None:
        with contextlib.ExitStack() as opened:
            try:
                self._transactions.connection = self._open_connection(opened)
                self._check_version()
                self._reader = self._open_connection(opened)
                self.id: str = self._reader.execute("SELECT id FROM store").fetchone()[0]
            except sqlite3.Error as error:
                raise self._translate(error) from error
            opened.pop_all()

    def _open_connection(self, opened: contextlib.ExitStack) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        opened.callback(connection.close)
        # Only takes effect on a new file: freed pages can be given back.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _check_version(self) -> None:
        with self.write() as write:
            application, version = (
                write.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if (application, version) == (0, 0) and not write.execute("SELECT 1 FROM sqlite_schema").fetchone():
                self._create_schema(write)
            elif application != APPLICATION_ID:
                raise StoreError(
                    f"{self.path} is not a catalog of the workbench. Set WORKBENCH_DIR to another directory."
                )
            elif version > VERSION:
                raise StoreError(
                    f"The catalog {self.path} has version {version}, and this workbench reads up to {VERSION}: "
                    "upgrade shm-workbench in this environment, or use another store (WORKBENCH_DIR)."
                )

    def _create_schema(self, write: sqlite3.Connection) -> None:
        identity, capacity = self._create()
        # executescript would commit first, and two processes could both create.
        statement = ""
        for line in _SCHEMA.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                write.execute(statement)
                statement = ""
        write.execute("INSERT INTO store VALUES (1, ?, ?, 0, 0)", (identity, capacity))
        write.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        write.execute(f"PRAGMA user_version = {VERSION}")

    def _translate(self, error: sqlite3.Error) -> StoreError:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            return StoreFullError(
                f"The file system of {self.path.parent} is full, so the catalog cannot grow. Delete something there."
            )
        if name.startswith("SQLITE_BUSY"):
            return StoreError(
                f"The catalog {self.path} stayed locked for {BUSY_TIMEOUT:.0f} s: another process is stopped in the middle of a put. "
                "`workbench holders` names the processes."
            )
        if isinstance(error, sqlite3.ProgrammingError):
            return StoreError(f"The store {self.path.parent} is closed in this process ({error}). Open it again.")
        if name in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            return StoreError(
                f"The catalog {self.path} cannot be read ({error}). If it is damaged, no object in it can be found again: "
                f"remove {self.path.parent} and put your data anew."
            )
        return StoreError(
            f"The catalog {self.path} refused a statement ({error}). `workbench doctor` looks for damage."
        )

    def write(self) -> Transaction:
        """One write transaction: committed at the end, rolled back on any exception, Ctrl-C included."""
        return Transaction(self._transactions)

    def settle(self) -> None:
        """Give up a transaction of this thread that Ctrl-C has cut off from its end, so that other processes can write."""
        self._transactions.settle()

    def execute_write(self, statement: str, parameters: tuple[Any, ...]) -> int:
        """Run one statement as a transaction of its own; return how many rows it changed."""
        with self._transactions.lock:
            try:
                return self._transactions.connection.execute(statement, parameters).rowcount
            except sqlite3.Error as error:
                raise self._translate(error) from error

    def row(self, statement: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        try:
            with self._read_lock:
                row: tuple[Any, ...] | None = self._reader.execute(statement, parameters).fetchone()
            return row
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        try:
            with self._read_lock:
                return self._reader.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def data_version(self) -> int:
        """Return a number that changes when anybody changes the catalog; it means nothing to another process."""
        row = self.row("PRAGMA data_version")
        return int(row[0]) if row else 0

    @property
    def capacity(self) -> int:
        """Bytes that the store may use."""
        row = self.row("SELECT capacity FROM store")
        return int(row[0]) if row else 0

    @property
    def used(self) -> int:
        """Bytes that the store uses: segments in every state, and the objects that lie in the catalog."""
        row = self.row("SELECT used FROM store")
        return int(row[0]) if row else 0

    def set_capacity(self, nbytes: int) -> None:
        """Change the capacity, for every process."""
        self.execute_write("UPDATE store SET capacity = ? WHERE one = 1", (nbytes,))

    def suspend(self) -> None:
        """Before a fork: wait for what runs in other threads, and close both connections."""
        self._transactions.lock.acquire()
        self._read_lock.acquire()
        self._reader.close()
        self._transactions.connection.close()

    def resume(self) -> None:
        """After a fork, in the parent: open both again."""
        try:
            self._open_connections()
        finally:
            self._read_lock.release()
            self._transactions.lock.release()

    def resume_in_child(self) -> None:
        """After a fork, in the child: locks and connections of its own."""
        self._connect()

    def compact(self) -> None:
        """Give pages back that deleted objects have left, if there are many."""
        row = self.row("SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count")
        if row is not None and row[0] > _KEEP_PAGES and row[0] > row[1] // 4:
            with self._transactions.lock:
                if self._transactions.running:
                    return
                try:
                    # As a script, because `execute` frees one page and stops. The file shrinks when the log is written back.
                    self._transactions.connection.executescript(
                        "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(PASSIVE);"
                    )
                except sqlite3.Error as error:
                    raise self._translate(error) from error

    def close(self) -> None:
        """Close both connections."""
        if self._pid == os.getpid():
            self._reader.close()
            self._transactions.connection.close()


def expired(expires: float | None) -> bool:
    """Tell whether an object with this time of expiry is over."""
    return expires is not None and expires < time.time()
