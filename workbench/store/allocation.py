"""Getting room for one object's buffers, writing them, and giving the room back.

Covers the life of a segment that is being written, until it is sealed or abandoned; what becomes of free ones is in ``free_segments.py``. States in
the catalog, and who may leave them:

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
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from mmap import PAGESIZE
from pathlib import Path

from workbench.errors import StoreError, StoreFullError
from workbench.store import copying, segments, syscalls
from workbench.store.catalog import Catalog
from workbench.store.directory import available_nbytes
from workbench.store.free_segments import COUNT_FREE, FreeSegments, Reservation, most_for
from workbench.store.headroom import Headroom
from workbench.store.pool import KEEP_FROM, Pool, map_writable

__all__ = ["Allocator", "OutOfRoomError", "Reservation", "out_of_room"]


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


class Allocator:
    """Reserves, writes, seals and abandons segments of one store.

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

    Attributes
    ----------
    free : FreeSegments
        What is recycled and given back.
    """

    def __init__(self, directory: Path, catalog: Catalog, pool: Pool, *, in_memory: bool, threads: int) -> None:
        self.directory = directory
        self.catalog = catalog
        self.pool = pool
        self.in_memory = in_memory
        self.threads = threads
        self.headroom = Headroom()
        self.free = FreeSegments(directory, catalog, pool, in_memory=in_memory)

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
                reservation = self.free.recycle(write, nbytes) or self._make(write, nbytes)
        except BaseException:
            # Rolled back: a renamed or new file has no row now, and without the lock the next reclaim removes it.
            if reservation is not None:
                _close(reservation)
            raise
        return reservation

    def make_free(self, nbytes: int, wanted: int) -> tuple[int, io.FileIO] | None:
        """Make a new segment that is free from the beginning, and locked; its pages are still to be allocated.

        Parameters
        ----------
        nbytes : int
            A multiple of the page size.
        wanted : int
            How many free segments of this size there shall be. Two processes that want them at once do not make them twice: None, there are enough.

        Raises
        ------
        OutOfRoomError
            Nothing was changed.
        """
        file: io.FileIO | None = None
        try:
            with self.catalog.write() as write:
                if write.execute(COUNT_FREE, (nbytes, most_for(nbytes))).fetchone()[0] >= wanted:
                    return None
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


def _close(reservation: Reservation) -> None:
    if reservation.warm is not None:
        reservation.warm.close()
    else:
        segments.close(reservation.file)
