"""Whether anything was committed to the catalog, told without a system call or a statement.

SQLite keeps the header of its WAL index in shared memory, the file ``catalog.sqlite-shm``, and a commit becomes visible by a new
header there (sqlite.org/walformat.html, "The WAL-Index File Format": 48 bytes, twice; a writer changes the second copy first). So whoever has
read a row, and finds the header as it was before that, need not read the row again. A header that is caught half written differs from both its predecessor and its successor:
that costs one statement more, and is never taken for "unchanged".

Closing any descriptor of that file would drop the locks that SQLite has on it in this process (fcntl(2)), so it is closed after the last of the connections, whichever
store opened them.
"""

from __future__ import annotations

import mmap
import os
import threading
from typing import Final

HEADER: Final = 48
"""Bytes of the first copy of the header."""

_lock = threading.RLock()
_open: dict[str, CommitSignal] = {}


def lock() -> threading.RLock:
    """Return the lock to hold while connections are opened and attached, or closed and detached."""
    return _lock


class CommitSignal:
    """The header of one catalog's WAL index; get it by :meth:`attach`, when a connection is open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._users = 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._memory = mmap.mmap(self._fd, HEADER, mmap.MAP_SHARED, mmap.PROT_READ)

    @classmethod
    def attach(cls, catalog: str) -> CommitSignal:
        """Return the signal of the catalog at a path, shared by all that this process has open there; under :func:`lock`."""
        path = f"{catalog}-shm"
        signal = _open.get(path)
        if signal is None:
            signal = _open[path] = cls(path)
        signal._users += 1
        return signal

    def detach(self) -> None:
        """Let go, after the connections were closed; under :func:`lock`."""
        self._users -= 1
        if self._users == 0:
            self._memory.close()
            os.close(self._fd)
            _open.pop(self._path, None)

    def now(self) -> bytes:
        """Return what changes with each commit of anybody; to be compared, and nothing else."""
        return self._memory[:HEADER]


def reset_after_fork() -> None:
    """In a forked child: forget the parent's signals. Its connections are closed, and its locks were never the child's."""
    global _lock  # noqa: PLW0603  # a thread that is not here may have had it
    _lock = threading.RLock()
