"""The write transactions of one connection: one at a time, and none left open by Ctrl-C.

Covers locking, beginning and ending, and waiting for other processes (in turns: ``turnstile.py``); what is written is everybody else's business. ``KeyboardInterrupt`` may be raised between any
two bytecodes of the main thread, so also between the last statement of a transaction and its end. Such a transaction would lock every
process of the host out; it is given up when the thread begins its next one, or calls :meth:`Transactions.settle`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from workbench.errors import StoreError
from workbench.store import commits
from workbench.store.turnstile import Turnstile

ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What a statement raises. The second is sqlite3's own way of telling of an error whose message has bytes of a damaged catalog."""
BUSY_TIMEOUT: Final = 30.0
"""Seconds; how long one write may wait for those of other processes."""


class Transactions:
    """Begins and ends transactions on a connection; whoever makes this object sets it, and the turnstile.

    Parameters
    ----------
    translate : callable
        Turns an error of SQLite into one of the workbench.
    """

    connection: sqlite3.Connection
    turnstile: Turnstile

    def __init__(self, translate: Callable[[sqlite3.Error | UnicodeDecodeError], StoreError]) -> None:
        self.translate = translate
        # Reentrant: the garbage collector may call a finalizer that uses the store in the middle of a transaction.
        self.lock = threading.RLock()
        self._owner: FrameType | None = None
        self._refuses_to_wait = False

    @property
    def running(self) -> bool:
        """Whether a transaction is open."""
        return self._owner is not None

    def begin(self, owner: FrameType) -> tuple[sqlite3.Connection, bool]:
        """Begin a transaction for :class:`Transaction`; the second value tells whether it joins one of this thread.

        Parameters
        ----------
        owner : frame
            Where the ``with`` statement is.
        """
        with self.lock:
            # If the owner is not None, this thread has the lock already: a finalizer runs in the middle of a transaction, or Ctrl-C came in
            # between the last statement of one and its end. Then its frame is gone.
            joins = self._owner is not None and _is_running(self._owner)
            if not joins:
                if self._owner is not None:
                    self._abandon()
                self._begin(owner)
            # Once more, until the end. Ctrl-C right after this leaves a transaction without a frame, as above.
            self.lock.acquire()
        return self.connection, joins

    def _begin(self, owner: FrameType) -> None:
        try:
            self._owner = owner
            self._run("BEGIN IMMEDIATE", ())
        except BaseException as error:
            self._roll_back()
            self._owner = None
            if isinstance(error, ERRORS):
                raise self.translate(error) from error
            raise

    def execute(self, statement: str, parameters: tuple[Any, ...], *, if_free: bool = False) -> int | None:
        """Run one statement as a transaction of its own; return the number of the row that it inserted last.

        Parameters
        ----------
        statement : str
        parameters : tuple
        if_free : bool
            Return None, and do nothing, where another process is writing: what the statement says may then be untrue already.

        Raises
        ------
        sqlite3.IntegrityError
            A constraint of the table refused it.
        """
        with self.lock:
            if self._owner is not None and not _is_running(self._owner):
                self._abandon()
            try:
                if not if_free:
                    return self._run(statement, parameters).lastrowid or 0
                if self.turnstile.until[0]:
                    self.turnstile.hold_back()
                return self.connection.execute(statement, parameters).lastrowid or 0
            except sqlite3.IntegrityError:
                raise
            except ERRORS as error:
                if if_free and _is_busy(error):
                    return None
                raise self.translate(error) from error

    def _run(self, statement: str, parameters: tuple[Any, ...]) -> sqlite3.Cursor:
        """Run a statement that begins a transaction, as soon as it is this process's turn."""
        turnstile = self.turnstile
        if turnstile.until[0]:
            turnstile.hold_back()
        try:
            return self.connection.execute(statement, parameters)
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
        since, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            if self._refuses_to_wait:
                raise sqlite3.ProgrammingError("Closed while it waited for another process.")
            turnstile.wait(since, attempt)
            try:
                cursor = self.connection.execute(statement, parameters)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() - since > BUSY_TIMEOUT:
                    raise
            else:
                turnstile.passed()
                return cursor

    def end(self, *, commit: bool, joins: bool) -> None:
        """End what :meth:`begin` began."""
        try:
            if commit and not joins:
                self.connection.execute("COMMIT")
        except ERRORS as error:
            raise self.translate(error) from error
        finally:
            if joins:
                self.lock.release()
            else:
                self._abandon()

    def refuse_to_wait(self) -> None:
        """From now on, a transaction that cannot begin at once fails: its store is being closed."""
        self._refuses_to_wait = True

    def close_connection(self) -> None:
        """Close the connection and the turnstile, when transactions of other threads have ended."""
        with self.lock, commits.lock():
            self.connection.close()
            self.turnstile.close()

    def settle(self) -> None:
        """Give up a transaction of this thread that Ctrl-C has cut off from its end, so that other processes can write."""
        if self._owner is not None and self.lock.acquire(blocking=False):
            try:
                if self._owner is not None and not _is_running(self._owner):
                    self._abandon()
            finally:
                self.lock.release()

    def _abandon(self) -> None:
        """Roll back what was not committed, and release the lock for the transaction."""
        self._roll_back()
        # Python looks for Ctrl-C when a function begins and after each call, so not between these two: nobody else could get in any more.
        self._owner = None
        self.lock.release()

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")


class Transaction:
    """A write transaction as a context manager; a class, because a suspended generator would outlive Ctrl-C."""

    __slots__ = ("_joins", "_transactions")

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._joins = False

    def __enter__(self) -> sqlite3.Connection:
        connection, self._joins = self._transactions.begin(sys._getframe(1))  # noqa: SLF001  # CPython's, and only compared
        return connection

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._transactions.end(commit=kind is None, joins=self._joins)
        if isinstance(error[0], ERRORS):
            raise self._transactions.translate(error[0]) from error[0]


def _is_busy(error: Exception) -> bool:
    """Tell whether an error means that another process is writing."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _is_running(frame: FrameType) -> bool:
    """Tell whether a frame is among the callers of this function."""
    caller: FrameType | None = sys._getframe(1)  # noqa: SLF001  # as above
    while caller is not None:
        if caller is frame:
            return True
        caller = caller.f_back
    return False
