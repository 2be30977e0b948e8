"""The pool: free segments whose pages stay allocated, and the writable mappings that this process keeps of them.

Writing through a mapping that already has its pages is as fast as memory; a fresh file or a fresh mapping costs three to
four times as much (page faults and zeroing). So whoever wrote a large segment keeps its mapping, in the hope of
getting the same segment again once its object was deleted.

Covers the mappings of this process; which segments are free is in the catalog, and every use of one begins with the
exclusive lock. A kept mapping is only ever written to between that lock and the seal (invariants 1 and 2).
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from workbench.store import segments

KEEP_FROM: Final = 1 << 20
"""Bytes; smaller segments are written with one system call."""
_MOST: Final = 32
"""Mappings that one process keeps; each costs two descriptors."""


@dataclass(slots=True)
class WarmMapping:
    """A writable mapping of a segment's file; `file` is the open file description that carries the exclusive lock."""

    file: io.FileIO
    inode: int
    nbytes: int
    mapping: mmap.mmap
    populated: bool

    def close(self) -> None:
        """Unmap and close, and drop the lock."""
        # After Ctrl-C in the middle of a copy, the traceback still refers to the memory; it goes with the traceback.
        with contextlib.suppress(BufferError):
            self.mapping.close()
        segments.close(self.file)


class Pool:
    """The writable mappings that this process keeps, least recently used first.

    Parameters
    ----------
    limit : int
        Bytes that may stay mapped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, WarmMapping] = OrderedDict()

    def inodes(self) -> set[int]:
        """Inodes of the segments whose mapping is kept."""
        with self._lock:
            return set(self._kept)

    def take(self, inode: int) -> WarmMapping | None:
        """Hand the mapping of a segment to the caller, who puts it back with :meth:`keep`."""
        with self._lock:
            return self._kept.pop(inode, None)

    def keep(self, warm: WarmMapping) -> None:
        """Keep a mapping; the least recently used ones go when there are too many, or when their file is gone."""
        with self._lock:
            before = self._kept.pop(warm.inode, None)
            surplus = [] if before is None or before is warm else [before]
            self._kept[warm.inode] = warm
            surplus += self._take_gone()
            total = sum(old.nbytes for old in self._kept.values())
            while self._kept and (total > self.limit or len(self._kept) > _MOST):
                old = self._kept.popitem(last=False)[1]
                total -= old.nbytes
                surplus.append(old)
        for old in surplus:
            old.close()

    def _take_gone(self) -> list[WarmMapping]:
        gone = [old for old in self._kept.values() if os.fstat(old.file.fileno()).st_nlink == 0]
        for old in gone:
            del self._kept[old.inode]
        return gone

    def sweep(self) -> None:
        """Drop the mappings of files that others have removed."""
        with self._lock:
            gone = self._take_gone()
        for old in gone:
            old.close()

    def forget(self, inode: int) -> None:
        """Drop the mapping of a segment that is being removed."""
        warm = self.take(inode)
        if warm is not None:
            warm.close()

    def close(self) -> None:
        """Drop all mappings."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), OrderedDict()
        for warm in kept:
            warm.close()

    def reset_after_fork(self) -> None:
        """In a forked child: drop the parent's mappings, whose locks are the parent's."""
        self._lock = threading.Lock()
        kept, self._kept = list(self._kept.values()), OrderedDict()
        for warm in kept:
            # Without unlocking, which would be the parent's lock.
            warm.file.close()
            with contextlib.suppress(BufferError):
                warm.mapping.close()


def map_writable(file: io.FileIO, nbytes: int) -> WarmMapping | None:
    """Map a segment for writing, under its exclusive lock or right after; None if the process has no descriptor left."""
    try:
        mapping = mmap.mmap(file.fileno(), nbytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError:
        return None
    return WarmMapping(file, os.fstat(file.fileno()).st_ino, nbytes, mapping, populated=False)
