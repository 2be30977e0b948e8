"""Restoring: spilled segments come back from disk to memory; an object stays readable all the while.

A restore is a spill (``spill.py``) the other way round: a reserved segment is filled from the file on disk, and renamed over the link to it.

========================  =======================================================  ===============================================
step of a restore         what a reader finds at the segment's path                 a process that dies here leaves
========================  =======================================================  ===============================================
the copy is written       the file on disk                                          a lockable ``writing`` row
the segment is renamed    before: the file on disk; after: the file in memory       a row that says ``spilled``, and a file in memory
the row is committed      the file in memory                                        a file on disk that no link names
the disk is given back    the file in memory                                        nothing
========================  =======================================================  ===============================================

Covers single segments, and that a damaged file is not brought back; when to restore is decided in ``residence.py``, and ``reclaim.py`` repairs
what is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from pathlib import Path

from workbench.errors import StoreError
from workbench.store import damage, segments, spilled_files
from workbench.store.allocation import Allocator, Reservation, out_of_room
from workbench.store.catalog import Catalog
from workbench.store.schema import MOVED


class Restorer:
    """Brings spilled segments of one store back to memory.

    Parameters
    ----------
    directory : Path
        The store's.
    catalog : Catalog
    allocator : Allocator
    """

    def __init__(self, directory: Path, catalog: Catalog, allocator: Allocator) -> None:
        self.directory = directory
        self.catalog = catalog
        self.allocator = allocator

    def restore(self, number: int) -> bool:
        """Bring a segment back to memory; False if there is nothing to bring: it is there already, or gone.

        Raises
        ------
        OutOfRoomError
            There is no room in memory; nothing was changed.
        StoreError
            The file on disk cannot be read; nothing was changed.
        """
        path = segments.segment_path(self.directory, number)
        with self.catalog.write() as write:  # in which nobody moves it, so that both are of one file
            statement = "SELECT nbytes FROM segments WHERE segment = ? AND state = 'spilled'"
            row = write.execute(statement, (number,)).fetchone()
            disk = spilled_files.target(path)
        if row is None or disk is None:
            return False
        try:
            source = io.FileIO(disk)
        except FileNotFoundError:
            self._refuse_damaged(number, int(row[0]))
            return False  # somebody else restored or deleted it
        with source:
            self._refuse_damaged(number, int(row[0]))
            reservation = self.allocator.reserve(int(row[0]))
            try:
                self._fill(reservation, source, number)
                done = self._take_place(reservation, number, disk)
            finally:
                self._end_restore(reservation, path)
        if done:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(disk)
        return done

    def _refuse_damaged(self, number: int, nbytes: int) -> None:
        """See that the file on disk is what was spilled: in memory, nothing would tell any more that it was not."""
        state = damage.of_segment(self.directory, number, nbytes)
        # Looked at again: somebody else may have restored or deleted it.
        if state is not None and self.catalog.row(
            "SELECT 1 FROM segments WHERE segment = ? AND state = 'spilled'", (number,)
        ):
            raise StoreError(
                f"Segment {number} of {self.directory} cannot be restored: its file on disk {state}. "
                "`workbench doctor` names the objects that it belongs to."
            )

    def _fill(self, reservation: Reservation, source: io.FileIO, number: int) -> None:
        try:
            status = os.fstat(source.fileno())
            if status.st_blocks * 512 < status.st_size:
                # It was trimmed: only the pages that are written may exist, and none of a recycled segment.
                os.ftruncate(reservation.file.fileno(), 0)
            with out_of_room(reservation.nbytes):
                spilled_files.copy(source, reservation.file, os.fstat(source.fileno()).st_size)
        except OSError as error:
            raise StoreError(
                f"Segment {number} cannot be read from the disk: {source.name!r} ({error.strerror}). "
                "`workbench doctor` names the objects that it belongs to."
            ) from error

    def _take_place(self, reservation: Reservation, number: int, disk: str) -> bool:
        file, path = reservation.file, segments.segment_path(self.directory, number)
        with self.catalog.write() as write:
            row = write.execute("SELECT state FROM segments WHERE segment = ?", (number,)).fetchone()
            if row != ("spilled",) or spilled_files.target(path) != disk:
                return False
            if os.fstat(file.fileno()).st_size < reservation.nbytes:
                os.ftruncate(file.fileno(), reservation.nbytes)
            segments.stamp(file, number)
            os.fchmod(file.fileno(), 0o400)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            write.execute("DELETE FROM segments WHERE segment = ?", (reservation.segment,))
            write.execute(
                "UPDATE segments SET state = 'sealed', inode = ?, nbytes = ? WHERE segment = ?",
                (os.fstat(file.fileno()).st_ino, reservation.nbytes, number),
            )
            write.execute(MOVED, ("restored", number))
            os.rename(reservation.path, path)
        return True

    def _end_restore(self, reservation: Reservation, path: str) -> None:
        if spilled_files.is_at(path, reservation.file):
            # Also after a rollback that came behind the rename: readers use the file in memory, and reclaim.py repairs the row.
            self.allocator.finish(reservation)
        else:
            self.allocator.abandon(reservation)
