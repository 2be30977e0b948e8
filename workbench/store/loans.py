"""A capacity that a store has only as long as somebody lives: a ``LocalCluster`` gives the user's own store another one for its time.

Covers one file in the store's directory, ``capacity.json``, with the capacity before and during the loan. Its lock is the borrower's, so that whoever opens the store
after the borrower was killed sees that, and ends the loan.

====================================  ==============================================================================
the borrower dies ...                 what the next one to open the store does
====================================  ==============================================================================
before the file has its name          nothing; the next loan writes over it
before the capacity is set            the capacity is none of the loan's: only the file goes
while it has the loan                 gives the capacity back, unless somebody has set another one since; the file goes
after the capacity is given back      as before the capacity is set
====================================  ==============================================================================
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Final

from workbench.errors import StoreError
from workbench.objects import format_nbytes
from workbench.store.catalog import Catalog

FILE: Final = "capacity.json"


class Loan:
    """The right to a capacity until :meth:`end`, or until this process ends."""

    def __init__(self, directory: Path, before: int, during: int) -> None:
        self._path = directory / FILE
        self._before, self._during = before, during
        temporary = directory / f".{FILE}.{os.getpid()}"
        self._lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._lock, json.dumps({"before": before, "during": during}).encode())
            temporary.rename(self._path)
        except BaseException as error:
            os.close(self._lock)
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise StoreError(f"{self._path} cannot be written: {error.strerror}.") from error
            raise

    def end(self, catalog: Catalog) -> None:
        """Give the capacity back, unless somebody has wished for another one since."""
        try:
            _give_back(catalog, self._before, self._during)
            self._path.unlink(missing_ok=True)
        finally:
            self.forget()

    def forget(self) -> None:
        """Let go of a loan whose store has gone."""
        os.close(self._lock)


def _give_back(catalog: Catalog, before: int, during: int) -> bool:
    with catalog.write() as write:
        changed = write.execute("UPDATE store SET capacity = ? WHERE one = 1 AND capacity = ?", (before, during))
        return changed.rowcount > 0


def end_dead(directory: Path, catalog: Catalog) -> str | None:
    """End the loan of a process that died with it; return a sentence if the capacity is another one now."""
    path = directory / FILE
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # there is none, or we may not look
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(lock).st_nlink:
            return None  # somebody else was faster
        said = json.loads(os.read(lock, 1000))
        before, during = int(said["before"]), int(said["during"])
        given_back = _give_back(catalog, before, during)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return None  # its borrower lives
    except (ValueError, KeyError, TypeError):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return None
    finally:
        os.close(lock)
    if not given_back:
        return None
    return f"The capacity is {format_nbytes(before)} again: {format_nbytes(during)} was a cluster's that does not run any more."
