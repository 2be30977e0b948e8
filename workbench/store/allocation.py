"""Getting room for one object's buffers, writing them, and giving the room back.

Covers the life of a segment from free or fresh to sealed or abandoned. States in the catalog, and who may leave them:

=========  =================================================  ==========================================================
state      meaning                                            a process that dies here leaves
=========  =================================================  ==========================================================
(file)     made inside the transaction that adds the row      an unlocked file without a row: removed by ``reclaim.py``
writing    its writer has the exclusive lock                  a lockable ``writing`` row: removed by ``reclaim.py``
sealed     objects refer to it, nobody writes                 a good segment
free       no object refers to it; maybe somebody maps it     the same
=========  =================================================  ==========================================================

The exclusive lock is taken only within a write transaction of the catalog, so the writer may turn its exclusive lock into
a shared one inside the sealing transaction (which flock(2) does not do atomically): nobody else can get in between.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import PAGESIZE
from pathlib import Path

from workbench.errors import StoreError, StoreFullError
from workbench.store import copying, segments, syscalls
from workbench.store.catalog import Catalog
from workbench.store.directory import available_nbytes
from workbench.store.headroom import Headroom
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


class OutOfRoomError(Exception):
    """The capacity (or, `file_system`, what lies below it: file system, control group, machine) does not allow these bytes now."""

    def __init__(self, nbytes: int, *, file_system: bool) -> None:
        super().__init__(nbytes)
        self.nbytes = nbytes
        self.file_system = file_system


@contextlib.contextmanager
def out_of_room(nbytes: int) -> Iterator[None]:
    """Turn what a full file system says into :class:`OutOfRoomError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
            raise OutOfRoomError(nbytes, file_system=True) from error
        raise


def most_for(nbytes: int) -> int:
    """Return how large a free segment may be that is given to so many bytes."""
    return nbytes + max(nbytes // 4, KEEP_FROM)


class Allocator:
    """Reserves, writes, seals and removes segments of one store.

    Parameters
    ----------
    directory : Path
    catalog : Catalog
    pool : Pool
    in_memory : bool
        The store lies in a tmpfs. Elsewhere a page may be dropped and come back from the disk, so recycled segments are
        not written through mappings.
    threads : int
        How many threads copy one large object.
    """

    def __init__(self, directory: Path, catalog: Catalog, pool: Pool, *, in_memory: bool, threads: int) -> None:
        self.directory = directory
        self.catalog = catalog
        self.pool = pool
        self.in_memory = in_memory
        self.threads = threads
        self.headroom = Headroom()

    def reserve(self, nbytes: int) -> Reservation:
        """Return a locked segment of at least `nbytes` bytes, recycled if a free one fits.

        Raises
        ------
        OutOfRoomError
            Nothing was changed.
        """
        nbytes = -(-nbytes // PAGESIZE) * PAGESIZE
        reservation: Reservation | None = None
        try:
            with self.catalog.write() as write:
                reservation = self._recycle(write, nbytes) or self._make(write, nbytes)
        except BaseException:
            # Rolled back: a renamed or new file has no row now, and without the lock the next reclaim removes it.
            if reservation is not None:
                _close(reservation)
            raise
        return reservation

    def _recycle(self, write: sqlite3.Connection, nbytes: int) -> Reservation | None:
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

    def make_free(self, nbytes: int) -> tuple[int, io.FileIO]:
        """Make a new segment that is free from the beginning, and locked; its pages are still to be allocated.

        Parameters
        ----------
        nbytes : int
            A multiple of the page size.

        Raises
        ------
        OutOfRoomError
            Nothing was changed.
        """
        file: io.FileIO | None = None
        try:
            with self.catalog.write() as write:
                made = self._make(write, nbytes)
                file = made.file
                write.execute(
                    "UPDATE segments SET state = 'free', freed = ? WHERE segment = ?", (time.time(), made.segment)
                )
        except BaseException:
            if file is not None:
                segments.close(file)
            raise
        return made.segment, made.file

    def remove_made(self, segment: int, file: io.FileIO) -> None:
        """Remove what :meth:`make_free` made, still under its lock."""
        try:
            with self.catalog.write() as write:
                write.execute("DELETE FROM segments WHERE segment = ?", (segment,))
                segments.remove(segments.segment_path(self.directory, segment), file)
        finally:
            segments.close(file)

    def _make(self, write: sqlite3.Connection, nbytes: int) -> Reservation:
        used, capacity = write.execute("SELECT used, capacity FROM usage").fetchone()
        if used + nbytes > capacity:
            raise OutOfRoomError(nbytes, file_system=False)
        if nbytes > available_nbytes(self.directory) or (self.in_memory and not self.headroom.take(nbytes)):
            raise OutOfRoomError(nbytes, file_system=True)
        number = write.execute(
            "INSERT INTO segments (inode, nbytes, state) VALUES (0, ?, 'writing')", (nbytes,)
        ).lastrowid
        path = segments.segment_path(self.directory, number or 0)
        file = segments.create(path)
        write.execute("UPDATE segments SET inode = ? WHERE segment = ?", (os.fstat(file.fileno()).st_ino, number))
        return Reservation(number or 0, path, nbytes, file, None)

    def write(self, reservation: Reservation, pieces: Sequence[memoryview], offsets: Sequence[int]) -> None:
        """Write pieces at their offsets.

        Raises
        ------
        OutOfRoomError
            The file system filled up since it was asked. The reservation is still to be abandoned.
        """
        warm = reservation.warm
        if warm is not None and segments.is_allocated(reservation.file, reservation.nbytes):
            copying.copy(warm.mapping, pieces, offsets, populate=not warm.populated, threads=self.threads)
            warm.populated = True
            return
        with out_of_room(reservation.nbytes):
            if self.in_memory and copying.is_large(reservation.nbytes):
                self._fill(reservation, pieces, offsets)
            else:
                segments.pwrite(reservation.file, pieces, offsets)

    def _fill(self, reservation: Reservation, pieces: Sequence[memoryview], offsets: Sequence[int]) -> None:
        file, nbytes = reservation.file, reservation.nbytes
        if os.fstat(file.fileno()).st_size < nbytes:
            os.ftruncate(file.fileno(), nbytes)
        reservation.warm = reservation.warm or map_writable(file, nbytes)
        if reservation.warm is None:
            segments.pwrite(file, pieces, offsets)
        else:
            copying.fill(file, reservation.warm.mapping, nbytes, pieces, offsets, threads=self.threads)

    def write_range(self, reservation: Reservation, piece: memoryview, offset: int) -> None:
        """Write one piece with a system call, so that several threads may write at once.

        Raises
        ------
        OutOfRoomError
            The file system filled up.
        """
        with out_of_room(reservation.nbytes):
            segments.pwrite(reservation.file, [piece], [offset])

    def seal(self, write: sqlite3.Connection, reservation: Reservation) -> None:
        """Make the segment read-only and mark it sealed, inside the caller's transaction."""
        file = reservation.file
        if os.fstat(file.fileno()).st_size < reservation.nbytes:
            # The last page is allocated already; this only sets the length that the catalog and mappings speak of.
            os.ftruncate(file.fileno(), reservation.nbytes)
        segments.stamp(file, reservation.segment)
        os.fchmod(file.fileno(), 0o400)
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        sealed = write.execute(
            "UPDATE segments SET state = 'sealed' WHERE segment = ? AND state = 'writing'", (reservation.segment,)
        ).rowcount
        if sealed != 1:
            raise StoreError(f"Segment {reservation.path} vanished while it was written. Put the object again.")

    def finish(self, reservation: Reservation) -> None:
        """After the commit: drop the lock, keep a large segment's mapping for the next time."""
        reservation.sealed = True
        warm = reservation.warm
        if warm is None and self.in_memory and reservation.nbytes >= KEEP_FROM:
            warm = map_writable(reservation.file, reservation.nbytes)
        if warm is None:
            segments.close(reservation.file)
            return
        fcntl.flock(reservation.file, fcntl.LOCK_UN)
        self.pool.keep(warm)

    def abandon(self, reservation: Reservation) -> None:
        """Give a segment up that was not sealed; nothing of it stays."""
        try:
            try:
                self._remove_unsealed(reservation)
            except StoreFullError:
                # The catalog needs a page to say so, and the file system had none: now it has the segment's own.
                if not reservation.file.closed and segments.try_exclusive(reservation.file):
                    syscalls.punch_hole(reservation.file.fileno(), reservation.nbytes)
                self._remove_unsealed(reservation)
        finally:
            _close(reservation)

    def _remove_unsealed(self, reservation: Reservation) -> None:
        with self.catalog.write() as write:
            is_there = not reservation.file.closed
            if is_there:
                # An interrupted sealing may have left a shared lock, which is turned back here, where nobody can get in between.
                segments.try_exclusive(reservation.file)
            statement = "DELETE FROM segments WHERE segment = ? AND state = 'writing'"
            # No such row: Ctrl-C came right after the seal was committed, and the object is there.
            if write.execute(statement, (reservation.segment,)).rowcount and is_there:
                segments.remove(reservation.path, reservation.file)

    def release_free(self, wanted: int | None = None, *, keep: int = 0, before: float | None = None) -> int:
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
                if self._remove_free(write, segment, inode):
                    released += nbytes
        return released

    def _remove_free(self, write: sqlite3.Connection, segment: int, inode: int) -> bool:
        path = segments.segment_path(self.directory, segment)
        file = segments.open_exclusive(path)
        if file is None and os.path.exists(path):
            return False
        self.pool.forget(inode)
        write.execute("DELETE FROM segments WHERE segment = ?", (segment,))
        if file is not None:
            segments.remove(path, file)
        return True

    def empty_free(self) -> int:
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


def _close(reservation: Reservation) -> None:
    if reservation.warm is not None:
        reservation.warm.close()
    else:
        segments.close(reservation.file)
