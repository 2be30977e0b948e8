"""Spilling: segments go from memory to disk; an object stays readable all the while.

A spilled segment is a file on disk, and its path in the store's directory is a symbolic link to that file (``spilled_files.py``). Readers open the
same path as before, lock and map what they find, and compare the same stamp: they need not know. What changes hands is one rename:

========================  =======================================================  ===============================================
step of a spill           what a reader finds at the segment's path                 a process that dies here leaves
========================  =======================================================  ===============================================
the copy is written       the file in memory                                        an unlocked file on disk that no link names
the link is renamed       before: the file in memory; after: the file on disk       a row that says ``sealed``, and a link
the row is committed      the file on disk                                          nothing
========================  =======================================================  ===============================================

``reclaim.py`` repairs what is left. The copy needs no lock: if the row is still ``sealed`` under the same number when it is done, and the file that was
copied still at its path, the bytes have not changed. The exclusive lock is taken in the transaction that renames, so nobody maps what is taken from memory.

Covers single segments, until they are deleted; the way back is in ``restore.py``, which ones make room is decided in ``eviction.py``, what a user
says is in ``residence.py``, the directory in ``spill_directory.py``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.store import segments, spilled_files, syscalls
from workbench.store.allocation import Allocator
from workbench.store.catalog import Catalog
from workbench.store.schema import MOVED
from workbench.store.spill_directory import SpillDirectory

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


class _OfThread(threading.local):
    """What one thread's spill or transaction leaves for its next step; the others of the process are in the middle of theirs."""

    def __init__(self) -> None:
        self.trouble = ""
        self.deleted: list[int] = []


class Spiller:
    """Moves segments of one store to disk.

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
        Why this thread's last :meth:`spill` could not write, as a sentence; else empty.
    """

    def __init__(self, directory: Path, catalog: Catalog, allocator: Allocator, place: SpillDirectory) -> None:
        self.directory = directory
        self.catalog = catalog
        self.allocator = allocator
        self.place = place
        self._recorded = False
        self._mine = _OfThread()

    @property
    def trouble(self) -> str:  # noqa: D102  # see above
        return self._mine.trouble

    @trouble.setter
    def trouble(self, text: str) -> None:
        self._mine.trouble = text

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
                        spilled_files.copy(draft.source, draft.file, draft.nbytes)
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
            if suffix.endswith(segments.SUFFIX) and not spilled_files.is_unlocked(f"{self.place.path}/{name}"):
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
            file = spilled_files.create(path)
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
        # Somebody else may have spilled it meanwhile, and brought it back: that is another file, and this one was emptied, perhaps under the copy.
        path = segments.segment_path(self.directory, draft.segment)
        return segments.try_exclusive(draft.source) and spilled_files.is_at(path, draft.source)

    def _exchange(self, write: sqlite3.Connection, draft: _Draft) -> None:
        last_used = os.fstat(draft.source.fileno()).st_atime_ns
        os.utime(draft.file.fileno(), ns=(last_used, draft.segment * 10**9))
        os.fchmod(draft.file.fileno(), 0o400)
        # From the exclusive lock to one that readers share, before they can find the file.
        fcntl.flock(draft.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        path = segments.segment_path(self.directory, draft.segment)
        spilled_files.link(draft.path, path)
        inode = os.fstat(draft.file.fileno()).st_ino
        write.execute("UPDATE segments SET state = 'spilled', inode = ? WHERE segment = ?", (inode, draft.segment))
        write.execute(MOVED, ("spilled", draft.segment))

    def _end(self, draft: _Draft) -> None:
        """Give memory back if the segment is on disk, else the disk; the locks go last."""
        try:
            if draft.committed:
                self.allocator.pool.forget(os.fstat(draft.source.fileno()).st_ino)
                _empty(draft.source, draft.nbytes)
            elif spilled_files.target(segments.segment_path(self.directory, draft.segment)) != draft.path:
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

    # -- deleting --------------------------------------------------------------------------------------------------

    def forget(self, write: sqlite3.Connection, number: int) -> bool:
        """In a transaction that deletes: remove the row of a spilled segment that nothing uses; False if it is not spilled."""
        if write.execute("DELETE FROM segments WHERE segment = ? AND state = 'spilled'", (number,)).rowcount != 1:
            return False
        self._mine.deleted.append(number)
        return True

    def discard_deleted(self) -> None:
        """After the commit: remove the files of the segments that were forgotten."""
        while self._mine.deleted:
            number = self._mine.deleted.pop()
            # A transaction that was rolled back has left the row.
            if self.catalog.row("SELECT 1 FROM segments WHERE segment = ?", (number,)) is None:
                spilled_files.discard(segments.segment_path(self.directory, number))


def _empty(source: io.FileIO, nbytes: int) -> None:
    """Give the pages of a file in memory back, which has no name any more, but maybe mappings in pools."""
    # A reader that opened the file a moment ago must not take the hole for the object.
    segments.stamp(source, 0)
    with contextlib.suppress(OSError):  # without /proc, they go with the last mapping
        os.fchmod(source.fileno(), 0o600)
        with io.FileIO(f"/proc/self/fd/{source.fileno()}", "r+") as writable:
            syscalls.punch_hole(writable.fileno(), nbytes)
