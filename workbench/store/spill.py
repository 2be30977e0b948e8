"""Spilling segments to disk and restoring them; an object stays readable all the while.

A spilled segment is a file on disk, and its path in the store's directory is a symbolic link to that file. Readers open the same path as
before, lock and map what they find, and compare the same stamp: they need not know. What changes hands is one rename:

========================  =======================================================  ===============================================
step of a spill           what a reader finds at the segment's path                 a process that dies here leaves
========================  =======================================================  ===============================================
the copy is written       the file in memory                                        an unlocked file on disk that no link names
the link is renamed       before: the file in memory; after: the file on disk       a row that says ``sealed``, and a link
the row is committed      the file on disk                                          nothing
========================  =======================================================  ===============================================

A restore is the same the other way round: a reserved segment is filled, and renamed over the link. ``reclaim.py`` repairs
what is left. The copy needs no lock: if the row is still ``sealed`` under the same number when it is done, the bytes have not changed. The exclusive
lock is taken in the transaction that renames, so nobody maps what is taken from memory.

Covers single segments; which ones make room is decided in ``eviction.py``, what a user says is in ``store.py``, the directory in ``spill_directory.py``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.errors import StoreError
from workbench.store import damage, segments, syscalls
from workbench.store.allocation import Allocator, Reservation, out_of_room
from workbench.store.catalog import Catalog
from workbench.store.schema import object_id
from workbench.store.spill_directory import SpillDirectory

_STEP: Final = 64 << 20
"""Bytes that one system call copies: Ctrl-C is heard in between."""
LINK: Final = ".link"
"""End of the name of a link that is being made."""
_CHANGED: Final = f"""
INSERT INTO changes (object, what, name) SELECT {object_id("o.")}, ?, (SELECT min(name) FROM names WHERE object = o.seq)
FROM uses JOIN objects o ON o.seq = object WHERE segment = ?"""  # an expression of our own
_PINNED: Final = "SELECT 1 FROM uses JOIN objects ON seq = object WHERE segment = ? AND pinned"


@dataclass(slots=True)
class _Draft:
    """A copy on disk in the making; `file` is locked, so that nobody takes it for a dead process's."""

    segment: int
    source: io.FileIO
    file: io.FileIO
    path: str
    nbytes: int
    committed: bool = False


class Spiller:
    """Moves segments of one store between memory and disk.

    Parameters
    ----------
    directory : Path
        The store's.
    catalog : Catalog
    allocator : Allocator
    place : SpillDirectory

    Attributes
    ----------
    trouble : str
        Why the last :meth:`spill` could not write, as a sentence; else empty.
    """

    def __init__(self, directory: Path, catalog: Catalog, allocator: Allocator, place: SpillDirectory) -> None:
        self.directory = directory
        self.catalog = catalog
        self.allocator = allocator
        self.place = place
        self.trouble = ""
        self._recorded = False
        self._deleted: list[int] = []

    # -- to disk ---------------------------------------------------------------------------------------------------

    def spill(self, numbers: Sequence[int]) -> int:
        """Move sealed segments to disk; those that are mapped, pinned or gone stay as they are.

        Returns
        -------
        int
            Bytes of memory given back. If it is less than expected, :attr:`trouble` says whether the disk is the reason.
        """
        self.trouble = ""
        drafts: list[_Draft] = []
        try:
            try:
                self._record()
                for number in numbers:
                    draft = self._draft(number)
                    if draft is not None:
                        drafts.append(draft)
                        _copy(draft.source, draft.file, draft.nbytes)
                for draft in drafts:
                    # What a delayed allocation or a network file system cannot keep is said here at the latest.
                    os.fsync(draft.file.fileno())
            except OSError as error:
                self.trouble = self._describe(error)
                return 0
            self._commit(drafts)
            return sum(os.fstat(draft.source.fileno()).st_blocks * 512 for draft in drafts if draft.committed)
        finally:
            for draft in drafts:
                self._end(draft)

    def _record(self) -> None:
        """Note in the catalog where this store spills to, before there is anything: so it is found, whatever happens."""
        if not self._recorded:
            self.place.make(self.directory)
            self.catalog.execute_write("INSERT OR IGNORE INTO spills VALUES (?)", (str(self.place.path),))
            self._recorded = True

    def claimed(self) -> set[int]:
        """Return the segments that somebody is spilling at this moment: their files on disk are locked, exclusively."""
        if self.place.path is None or not self.place.path.exists():
            return set()
        found = set()
        for name in os.listdir(self.place.path):
            number, _, suffix = name.partition("-")
            if suffix.endswith(segments.SUFFIX) and not is_unlocked(f"{self.place.path}/{name}"):
                found.add(int(number))
        return found

    def _draft(self, number: int) -> _Draft | None:
        try:
            fd = os.open(segments.segment_path(self.directory, number), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # gone, or spilled already
                return None
            raise
        source = io.FileIO(fd)
        try:
            status = os.fstat(fd)
            if status.st_mtime != number:
                source.close()
                return None
            path = f"{self.place.make(self.directory)}/{number:010d}-{os.urandom(4).hex()}{segments.SUFFIX}"
            file = _create(path)
            return _Draft(number, source, file, path, status.st_size)
        except BaseException:
            source.close()
            raise

    def _commit(self, drafts: Sequence[_Draft]) -> None:
        done: list[_Draft] = []
        with self.catalog.write() as write:
            for draft in drafts:
                if self._is_free_to_go(write, draft):
                    self._exchange(write, draft)
                    done.append(draft)
        for draft in done:
            draft.committed = True

    def _is_free_to_go(self, write: sqlite3.Connection, draft: _Draft) -> bool:
        row = write.execute("SELECT state FROM segments WHERE segment = ?", (draft.segment,)).fetchone()
        if row != ("sealed",) or write.execute(_PINNED, (draft.segment,)).fetchone() is not None:
            return False
        if self.place.nbytes is not None and self.spilled_nbytes(write) + draft.nbytes > self.place.nbytes:
            return False
        return segments.try_exclusive(draft.source)

    def _exchange(self, write: sqlite3.Connection, draft: _Draft) -> None:
        last_used = os.fstat(draft.source.fileno()).st_atime_ns
        os.utime(draft.file.fileno(), ns=(last_used, draft.segment * 10**9))
        os.fchmod(draft.file.fileno(), 0o400)
        # From the exclusive lock to one that readers share, before they can find the file.
        fcntl.flock(draft.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        path = segments.segment_path(self.directory, draft.segment)
        _link(draft.path, path)
        inode = os.fstat(draft.file.fileno()).st_ino
        write.execute("UPDATE segments SET state = 'spilled', inode = ? WHERE segment = ?", (inode, draft.segment))
        write.execute(_CHANGED, ("spilled", draft.segment))

    def _end(self, draft: _Draft) -> None:
        """Give memory back if the segment is on disk, else the disk; the locks go last."""
        try:
            if draft.committed:
                self.allocator.pool.forget(os.fstat(draft.source.fileno()).st_ino)
                _empty(draft.source, draft.nbytes)
            elif _target(segments.segment_path(self.directory, draft.segment)) != draft.path:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(draft.path)
            # Else the transaction was rolled back after the rename: readers use the file on disk, and reclaim.py repairs the row.
        finally:
            segments.close(draft.source)
            segments.close(draft.file)

    def _describe(self, error: OSError) -> str:
        place = self.place.path or self.directory
        left = ""
        with contextlib.suppress(OSError):
            status = os.statvfs(place)
            left = f", {status.f_bavail * status.f_frsize >> 20} MiB left"
        return f"Nothing was spilled: writing to {place} failed ({error.strerror}{left})."

    def spilled_nbytes(self, write: sqlite3.Connection | None = None) -> int:
        """Return how many bytes of this store lie on disk."""
        statement = "SELECT coalesce(sum(nbytes), 0) FROM segments WHERE state = 'spilled'"
        row = self.catalog.row(statement) if write is None else write.execute(statement).fetchone()
        return int(row[0]) if row else 0

    # -- back to memory --------------------------------------------------------------------------------------------

    def restore(self, number: int) -> bool:
        """Bring a segment back to memory; False if there is nothing to bring: it is there already, or gone.

        Raises
        ------
        OutOfRoomError
            There is no room in memory; nothing was changed.
        StoreError
            The file on disk cannot be read; nothing was changed.
        """
        row = self.catalog.row("SELECT nbytes FROM segments WHERE segment = ? AND state = 'spilled'", (number,))
        path = segments.segment_path(self.directory, number)
        disk = _target(path)
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
                _copy(source, reservation.file, os.fstat(source.fileno()).st_size)
        except OSError as error:
            raise StoreError(
                f"Segment {number} cannot be read from the disk: {source.name!r} ({error.strerror}). "
                "`workbench doctor` names the objects that it belongs to."
            ) from error

    def _take_place(self, reservation: Reservation, number: int, disk: str) -> bool:
        file, path = reservation.file, segments.segment_path(self.directory, number)
        with self.catalog.write() as write:
            row = write.execute("SELECT state FROM segments WHERE segment = ?", (number,)).fetchone()
            if row != ("spilled",) or _target(path) != disk:
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
            write.execute(_CHANGED, ("restored", number))
            os.rename(reservation.path, path)
        return True

    def _end_restore(self, reservation: Reservation, path: str) -> None:
        if _is_at(path, reservation.file):
            # Also after a rollback that came behind the rename: readers use the file in memory, and reclaim.py repairs the row.
            self.allocator.finish(reservation)
        else:
            self.allocator.abandon(reservation)

    # -- deleting --------------------------------------------------------------------------------------------------

    def forget(self, write: sqlite3.Connection, number: int) -> bool:
        """In a transaction that deletes: remove the row of a spilled segment that nothing uses; False if it is not spilled."""
        if write.execute("DELETE FROM segments WHERE segment = ? AND state = 'spilled'", (number,)).rowcount != 1:
            return False
        self._deleted.append(number)
        return True

    def discard_deleted(self) -> None:
        """After the commit: remove the files of the segments that were forgotten."""
        while self._deleted:
            number = self._deleted.pop()
            # A transaction that was rolled back has left the row.
            if self.catalog.row("SELECT 1 FROM segments WHERE segment = ?", (number,)) is None:
                discard(segments.segment_path(self.directory, number))


def discard(path: str) -> None:
    """Remove a spilled segment that has no row: the file on disk, then the link; who maps it keeps what it has."""
    disk = _target(path)
    for gone in (disk, path):
        if gone is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(gone)


def is_unlocked(path: str) -> bool:
    """Tell whether nobody is writing a file on disk; one that is gone counts as locked."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Who writes has the exclusive lock. Readers share theirs, and need the file no longer to have a name.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _create(path: str) -> io.FileIO:
    """Make a locked file on disk; one without a lock and without a link may be removed by anybody."""
    while True:
        file = io.FileIO(path, "x+")
        os.fchmod(file.fileno(), 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _copy(source: io.FileIO, target: io.FileIO, nbytes: int) -> None:
    """Copy a file, leaving out its holes: nothing uses what was there."""
    if os.fstat(target.fileno()).st_size < nbytes:
        os.ftruncate(target.fileno(), nbytes)
    position = 0
    while position < nbytes:
        try:
            start = os.lseek(source.fileno(), position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from here to the end
                return
            raise
        stop = min(nbytes, os.lseek(source.fileno(), start, os.SEEK_HOLE))
        os.lseek(target.fileno(), start, os.SEEK_SET)
        position = start
        while position < stop:
            sent = os.sendfile(target.fileno(), source.fileno(), position, min(_STEP, stop - position))
            if sent == 0:
                raise OSError(errno.EIO, "the file is shorter than it was")
            position += sent


def _link(target: str, path: str) -> None:
    """Put a link in the place of a file, atomically; only within a write transaction, so the name in between is nobody else's."""
    partial = path + LINK
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    os.symlink(target, partial)
    os.rename(partial, path)


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _is_at(path: str, file: io.FileIO) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except OSError:
        return False


def _empty(source: io.FileIO, nbytes: int) -> None:
    """Give the pages of a file in memory back, which has no name any more, but maybe mappings in pools."""
    # A reader that opened the file a moment ago must not take the hole for the object.
    segments.stamp(source, 0)
    with contextlib.suppress(OSError):  # without /proc, they go with the last mapping
        os.fchmod(source.fileno(), 0o600)
        with io.FileIO(f"/proc/self/fd/{source.fileno()}", "r+") as writable:
            syscalls.punch_hole(writable.fileno(), nbytes)
