"""Who has what on this host: one SQLite database in the store's directory.

Covers the connections, their checks and the statements that everybody needs; the tables are in ``schema.py``, the transactions in
``transactions.py``, and what the rows mean for segments in ``allocation.py``.

* WAL mode, synchronous off: the catalog lies in memory, so there is nothing to sync; a kill -9 loses no committed row.
* One connection reads, one writes, each behind a lock of its own: a reader in one thread does not wait for a writer
  in another. All writing happens in ``BEGIN IMMEDIATE`` transactions, so at most one process of the host writes.
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
from workbench.store import commits, schema
from workbench.store.transactions import BUSY_TIMEOUT, ERRORS, Transaction, Transactions
from workbench.store.turnstile import Turnstile

_KEEP_PAGES: Final = 1024
"""Free pages (4 KiB each) that the catalog may keep for the next objects."""
_INDEXED_FROM: Final = 10_000
"""Objects; fewer are looked through in some milliseconds."""
_TURN: Final = 0.01
"""Seconds that a fork waits for those who read before it lets others write."""
TURNSTILE: Final = "turnstile"
"""Name of the file beside the catalog by which writers take turns."""


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
        self._closed = False
        self._connect()

    def _connect(self) -> None:
        self._pid = os.getpid()
        # Both reentrant: the garbage collector may call a finalizer that uses the store in the middle of a statement.
        self._read_lock = threading.RLock()
        self._transactions = Transactions(self._translate)
        self._open_connections()

    def _open_connections(self) -> None:
        with commits.lock(), contextlib.ExitStack() as opened:
            try:
                writer = self._open_connection(opened)
                # Not in an empty directory: the first file of a store is its catalog.
                turnstile = Turnstile(str(self.path.parent / TURNSTILE))
                opened.callback(turnstile.close)
                self._transactions.connection, self._transactions.turnstile = writer, turnstile
                # Its statements wait in turns, rather than in SQLite.
                writer.execute("PRAGMA busy_timeout = 0")
                self._check_version()
                self._reader = self._open_connection(opened)
                self.id: str = self._reader.execute("SELECT id FROM store").fetchone()[0]
                self._signal = commits.CommitSignal.attach(str(self.path))
            except ERRORS as error:
                raise self._translate(error) from error
            except StoreError:
                raise
            except OSError as error:
                raise StoreError(f"The store {self.path.parent} cannot be opened: {error.strerror}.") from error
            opened.pop_all()

    def _close_connections(self) -> None:
        # Each when no other thread is in the middle of a statement on it: sqlite3 would go on with memory that is freed.
        self._transactions.close_connection()
        with self._read_lock, commits.lock():
            self._reader.close()
            self._signal.detach()

    def version(self) -> bytes:
        """Return what changes whenever anybody commits something; it costs no statement, and is only to be compared."""
        with contextlib.suppress(
            ValueError
        ):  # its memory is not mapped any more, or just not while another thread forks
            return self._signal.now()
        try:
            with self._read_lock:
                return self._signal.now()
        except ValueError:
            raise StoreError(f"The store {self.path.parent} is closed in this process. Open it again.") from None

    def _open_connection(self, opened: contextlib.ExitStack) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        opened.callback(connection.close)
        # Only takes effect on a new file: freed pages can be given back.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        # Some builds of SQLite overwrite what is deleted with zeros.
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    def _check_version(self) -> None:
        with self.write() as write:
            application, version = (
                write.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if (application, version) == (0, 0) and not write.execute("SELECT 1 FROM sqlite_schema").fetchone():
                schema.create(write, *self._create())
            elif application != schema.APPLICATION_ID:
                raise StoreError(
                    f"{self.path} is not a catalog of the workbench. Set WORKBENCH_DIR to another directory."
                )
            elif version > schema.VERSION:
                raise StoreError(
                    f"The catalog {self.path} has version {version}, and this workbench reads up to {schema.VERSION}: "
                    "upgrade shm-workbench in this environment, or use another store (WORKBENCH_DIR)."
                )
            elif version < schema.VERSION:
                schema.migrate(write, version)

    def _translate(self, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
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
        if name.startswith("SQLITE_CORRUPT") or name == "SQLITE_NOTADB" or isinstance(error, UnicodeDecodeError):
            return self.unreadable(error)
        return StoreError(
            f"The catalog {self.path} refused a statement ({error}). `workbench doctor` looks for damage."
        )

    def unreadable(self, error: Exception) -> StoreError:
        """Return the error for a catalog in which something makes no sense."""
        return StoreError(
            f"The catalog {self.path} cannot be read ({error}). If it is damaged, no object in it can be found again: "
            f"remove {self.path.parent} and put your data anew."
        )

    def write(self) -> Transaction:
        """One write transaction: committed at the end, rolled back on any exception, Ctrl-C included."""
        return Transaction(self._transactions)

    def settle(self) -> None:
        """Give up a transaction of this thread that Ctrl-C has cut off from its end, so that other processes can write."""
        self._transactions.settle()

    def execute_write(self, statement: str, parameters: tuple[Any, ...]) -> int:
        """Run one statement as a transaction of its own; return the number of the row that it inserted last."""
        return self._transactions.execute(statement, parameters) or 0

    def write_if_free(self, statement: str, parameters: tuple[Any, ...]) -> bool:
        """Run one statement as a transaction of its own, unless another process is writing; tell whether it was run."""
        return self._transactions.execute(statement, parameters, if_free=True) is not None

    def row(self, statement: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        try:
            with self._read_lock:
                row: tuple[Any, ...] | None = self._reader.execute(statement, parameters).fetchone()
            return row
        except ERRORS as error:
            raise self._translate(error) from error

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        try:
            with self._read_lock:
                return self._reader.execute(statement, parameters).fetchall()
        except ERRORS as error:
            raise self._translate(error) from error

    @property
    def capacity(self) -> int:
        """Bytes that the store may use."""
        row = self.row("SELECT capacity FROM store")
        return int(row[0]) if row else 0

    @property
    def used(self) -> int:
        """Bytes that the store uses: segments in every state, and the objects that lie in the catalog."""
        row = self.row("SELECT used FROM usage")
        return int(row[0]) if row else 0

    def set_capacity(self, nbytes: int) -> None:
        """Change the capacity, for every process."""
        self.execute_write("UPDATE store SET capacity = ? WHERE one = 1", (nbytes,))

    def index_kinds(self) -> None:
        """Make sure that objects of one kind are found by an index, where there are so many that it matters."""
        row = self.row("SELECT latest, EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'objects_by_kind') FROM usage")
        if row is not None and row[0] >= _INDEXED_FROM and not row[1]:
            self.execute_write(schema.KIND_INDEX, ())

    def suspend(self) -> None:
        """Before a fork: wait for what runs in other threads, and close both connections."""
        while True:
            self._transactions.lock.acquire()
            # Who reads may have to write before it is done, in a finalizer that the garbage collector calls in the middle.
            if self._read_lock.acquire(timeout=_TURN):
                break
            self._transactions.lock.release()
        self._close_connections()

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

    def free_nbytes(self, write: sqlite3.Connection | None = None) -> int:
        """Return how many bytes of the file's pages are free for new rows; within a transaction, it is asked by that."""
        statement = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
        row = self.row(statement) if write is None else write.execute(statement).fetchone()
        return int(row[0]) if row else 0

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
                except sqlite3.OperationalError as error:
                    # Busy: another process writes at this moment, and the pages can wait for the next deletion.
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise self._translate(error) from error

    def close(self) -> None:
        """Close both connections; what other threads have begun ends before, and what they begin after that is an error."""
        if self._pid == os.getpid() and not self._closed:
            self._closed = True
            self._transactions.refuse_to_wait()
            self._close_connections()


def expired(expires: float | None) -> bool:
    """Tell whether an object with this time of expiry is over."""
    return expires is not None and expires < time.time()
