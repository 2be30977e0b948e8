"""Free segments, which no object refers to: taken again for another object, or given back.

Whoever wants one takes its exclusive lock, within a write transaction of the catalog and without waiting: one that somebody still maps is left as it
is. Taking it gives it a new number, by which readers of the old one see that what they look for is gone.

=========================  ============================================  ================================================================
step of recycling          what others find                              a process that dies here leaves
=========================  ============================================  ================================================================
the file is locked, cut    a free segment that is busy                   a ``free`` row whose file may be shorter than the row says
the file is renamed        a ``free`` row without a file                 the same, and an unlocked file without a row
the row is committed       a ``writing`` row whose file is locked        a lockable ``writing`` row
=========================  ============================================  ================================================================

Covers one store's free segments, whoever left them; which of them this process keeps mapped is in ``pool.py``, how they are made ready before they are
needed in ``upkeep.py``, what is done with one that was taken in ``allocation.py``. ``reclaim.py`` repairs what is left.
"""

from __future__ import annotations

import io
import math
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.store import segments, syscalls
from workbench.store.catalog import Catalog
from workbench.store.pool import KEEP_FROM, Pool, WarmMapping, map_writable


@dataclass(slots=True)
class Reservation:
    """A segment that this process is writing; `file` has the exclusive lock, `warm` is there when it may be copied into."""

    segment: int
    path: str
    nbytes: int
    file: io.FileIO
    warm: WarmMapping | None
    sealed: bool = False


COUNT_FREE: Final = "SELECT count(*) FROM segments WHERE state = 'free' AND nbytes BETWEEN ? AND ?"
"""How many free segments an object of some size would get: its size, and :func:`most_for` it."""


def most_for(nbytes: int) -> int:
    """Return how large a free segment may be that is given to so many bytes."""
    return nbytes + max(nbytes // 4, KEEP_FROM)


class FreeSegments:
    """Takes and gives back the free segments of one store.

    Parameters
    ----------
    directory : Path
    catalog : Catalog
    pool : Pool
    in_memory : bool
        The store lies in a tmpfs, so that a recycled segment may be written through a mapping.
    """

    def __init__(self, directory: Path, catalog: Catalog, pool: Pool, *, in_memory: bool) -> None:
        self.directory = directory
        self.catalog = catalog
        self.pool = pool
        self.in_memory = in_memory

    def recycle(self, write: sqlite3.Connection, nbytes: int) -> Reservation | None:
        """Take a free segment that fits, under a new number; None if there is none. It is the caller's, locked, if the transaction is committed."""
        most = most_for(nbytes)
        # One that was never used (made when the pool was warmed up) may be larger: it is cut to size. Cutting off more than three
        # quarters costs more than new memory.
        rows = write.execute(
            "SELECT segment, inode, nbytes FROM segments WHERE state = 'free' AND nbytes >= ? "
            "AND (nbytes <= ? OR (was IS NULL AND freed IS NOT NULL AND nbytes <= ?)) ORDER BY nbytes",
            (nbytes, most, 4 * nbytes if nbytes >= KEEP_FROM else 0),
        ).fetchall()
        mapped = self.pool.inodes()
        for segment, inode, size in sorted(rows, key=lambda row: (row[2] > most, row[1] not in mapped)):
            path = segments.segment_path(self.directory, segment)
            locked = self._lock_free(path, inode)
            if locked is None:
                continue
            file, warm = locked
            if size > most or os.fstat(file.fileno()).st_size > size:
                # Made to be cut, or trimmed in its former life and longer than what it is charged for.
                size = self._cut(file, warm, nbytes if size > most else size)  # noqa: PLW2901  # it has another size now
            number = write.execute(
                "INSERT INTO segments (inode, nbytes, state) VALUES (?, ?, 'writing')", (inode, size)
            ).lastrowid
            write.execute("DELETE FROM segments WHERE segment = ?", (segment,))
            renamed = segments.segment_path(self.directory, number or 0)
            segments.stamp(file, number or 0)
            os.rename(path, renamed)
            if warm is None and self.in_memory and size >= KEEP_FROM:
                warm = map_writable(file, size)
            return Reservation(number or 0, renamed, size, file, warm)
        return None

    def _cut(self, file: io.FileIO, warm: WarmMapping | None, nbytes: int) -> int:
        """Make a free segment shorter, under its exclusive lock; mappings of it in pools stay as long as they were.

        Nobody touches what is beyond the new end: pools are only written to, under this lock, within the length in the catalog, and after
        asking how long the file is (:func:`segments.is_allocated`).
        """
        os.ftruncate(file.fileno(), nbytes)
        if warm is not None:
            warm.nbytes = nbytes
        return nbytes

    def _lock_free(self, path: str, inode: int) -> tuple[io.FileIO, WarmMapping | None] | None:
        warm = self.pool.take(inode)
        if warm is None:
            file = segments.open_exclusive(path)
            return None if file is None else (file, None)
        if not segments.try_exclusive(warm.file):
            self.pool.keep(warm)
            return None
        if not _names(path, inode):
            # A process that died between renaming the file and its commit: the next reclaim removes it.
            warm.close()
            return None
        os.fchmod(warm.file.fileno(), 0o600)
        return warm.file, warm

    def release(self, wanted: int | None = None, *, keep: int = 0, before: float | None = None) -> int:
        """Remove free segments that nobody maps, oldest first.

        Parameters
        ----------
        wanted : int, optional
            Stop when so many bytes are released; None: all that `keep` allows.
        keep : int
            Bytes of free segments that may stay.
        before : float, optional
            Only what became free before that time, in seconds since the epoch.

        Returns
        -------
        int
            Bytes released.
        """
        released = 0
        with self.catalog.write() as write:
            rows = write.execute(
                "SELECT segment, inode, nbytes FROM segments WHERE state = 'free' AND coalesce(freed, 0) < ? ORDER BY segment",
                (math.inf if before is None else before,),
            ).fetchall()
            total = sum(row[2] for row in rows)
            for segment, inode, nbytes in rows:
                if total - released <= keep or (wanted is not None and released >= wanted):
                    break
                if self._remove(write, segment, inode):
                    released += nbytes
        return released

    def _remove(self, write: sqlite3.Connection, segment: int, inode: int) -> bool:
        path = segments.segment_path(self.directory, segment)
        file = segments.open_exclusive(path)
        if file is None and os.path.exists(path):
            return False
        self.pool.forget(inode)
        write.execute("DELETE FROM segments WHERE segment = ?", (segment,))
        if file is not None:
            segments.remove(path, file)
        return True

    def empty(self) -> int:
        """Take the pages of free segments that nobody maps, without writing to the catalog: the file system is full.

        The rows stay; such a segment is written with system calls when it is recycled, which allocate its pages anew.

        Returns
        -------
        int
            How many segments were emptied.
        """
        emptied = 0
        with self.catalog.write() as write:
            for (segment,) in write.execute("SELECT segment FROM segments WHERE state = 'free'").fetchall():
                file = segments.open_exclusive(segments.segment_path(self.directory, segment))
                if file is not None:
                    segments.stamp(file, 0)
                    syscalls.punch_hole(file.fileno(), os.fstat(file.fileno()).st_size)
                    segments.close(file)
                    emptied += 1
        return emptied


def _names(path: str, inode: int) -> bool:
    try:
        return os.stat(path).st_ino == inode
    except FileNotFoundError:
        return False
