"""Taking turns at the catalog: whoever has waited long goes next, without a lock that everybody must take.

SQLite lets one connection write at a time, and has no queue. Those who ask again at once win over those who sleep between two attempts, so with
SQLite's own busy handler one process of four may wait for most of a second; and a file lock as a queue would cost every write two system calls, though hardly any has
to wait. Here a writer that has waited for :data:`PATIENCE` says so in a few bytes of shared memory, and while it does all others hold back before
they begin. The note is a time in the near future, so that a process that dies with it stops nobody for longer than that.

Covers only the note and the pauses; the transactions are in ``transactions.py``.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Final

PATIENCE: Final = 0.003
"""Seconds after which a waiting writer asks the others to hold back."""
_HOLD: Final = 0.002
"""Seconds for which one note is good; it is renewed as long as its writer waits."""
_PAUSES: Final = (0.00002, 0.0002)
"""Seconds between two attempts: the first pause and the longest. A transaction of one small object takes 0.00002."""


class Turnstile:
    """The note of one store.

    Attributes
    ----------
    until : memoryview of one float
        Until when (``time.monotonic``, which all processes of a host share) to hold back; 0: nobody has waited long.
    """

    def __init__(self, path: str) -> None:
        with open(path, "a+b", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
            if os.fstat(file.fileno()).st_size < mmap.PAGESIZE:
                # Allocated rather than only sized: a full file system must be an error here, not SIGBUS later.
                os.posix_fallocate(file.fileno(), 0, mmap.PAGESIZE)
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.until = memoryview(self._memory)[:8].cast("d")

    def close(self) -> None:
        """Unmap the note; whoever comes later need not hold back."""
        shared, self.until = self.until, memoryview(bytearray(8)).cast("d")
        shared.release()
        self._memory.close()

    def hold_back(self) -> None:
        """Before the first attempt: let those go first who have waited long."""
        pause = self.until[0] - time.monotonic()
        if 0 < pause <= _HOLD:
            time.sleep(pause)

    def wait(self, since: float, attempt: int) -> None:
        """After an attempt that failed: wait for the next one.

        Parameters
        ----------
        since : float
            When the first attempt was made (``time.monotonic``).
        attempt : int
            How many have failed.
        """
        now = time.monotonic()
        first, longest = _PAUSES
        if now - since > PATIENCE:
            self.until[0] = now + _HOLD
            time.sleep(first)
        else:
            time.sleep(min(longest, first * attempt))

    def passed(self) -> None:
        """After an attempt that succeeded at last: nobody has to hold back for this writer any more."""
        self.until[0] = 0.0
