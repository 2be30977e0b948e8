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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from workbench.store import segments, syscalls

KEEP_FROM: Final = 1 << 20
"""Bytes; smaller segments are written with one system call."""
_MOST: Final = 32
"""Mappings that one process keeps; each costs two descriptors."""


class WritableMapping:
    """A segment's memory for writing, where huge pages can be mapped; unmapped when it and the last view of it are gone."""

    __slots__ = ("address", "nbytes")

    def __init__(self, fd: int, nbytes: int) -> None:
        self.nbytes = nbytes
        self.address = syscalls.map_shared(fd, nbytes, mmap.PROT_READ | mmap.PROT_WRITE)

    def __del__(self, unmap: Callable[[int, int], None] = syscalls.unmap) -> None:
        if hasattr(self, "address"):
            unmap(self.address, self.nbytes)

    def __len__(self) -> int:
        return self.nbytes

    def close(self) -> None:
        """Let go of the segment at once: the traceback of a copy that failed, for example, may have views of it for long."""
        with contextlib.suppress(OSError):  # no address space left: then it goes with the last view
            syscalls.map_nothing_over(self.address, self.nbytes)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """How NumPy finds the bytes (NumPy's array interface, version 3)."""
        return {"shape": (self.nbytes,), "typestr": "|u1", "data": (self.address, False), "version": 3}


@dataclass(slots=True)
class WarmMapping:
    """A writable mapping of a segment's file; `file` is the open file description that carries the exclusive lock."""

    file: io.FileIO
    inode: int
    nbytes: int
    mapping: WritableMapping
    populated: bool

    def is_gone(self) -> bool:
        """Tell whether the file has no name any more."""
        # A finalizer that runs in the middle may have given it up already.
        return not self.file.closed and os.fstat(self.file.fileno()).st_nlink == 0

    def close(self) -> None:
        """Unmap and close, and drop the lock."""
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
        # Reentrant: the garbage collector may call a finalizer that puts or deletes something in the middle of each of these methods.
        self._lock = threading.RLock()
        self._kept: OrderedDict[int, WarmMapping] = OrderedDict()

    def inodes(self) -> set[int]:
        """Inodes of the segments whose mapping is kept."""
        with self._lock:
            return set(self._kept.copy())

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
            total = sum(old.nbytes for old in self._kept.copy().values())
            while self._kept and (total > self.limit or len(self._kept) > _MOST):
                old = self._kept.popitem(last=False)[1]
                total -= old.nbytes
                surplus.append(old)
        for old in surplus:
            old.close()

    def _take_gone(self) -> list[WarmMapping]:
        gone = [old for old in self._kept.copy().values() if old.is_gone()]
        return [old for old in gone if self._kept.pop(old.inode, None) is old]

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
        """Drop all mappings, and those that are put back later."""
        with self._lock:
            self.limit = 0
            kept, self._kept = list(self._kept.values()), OrderedDict()
        for warm in kept:
            warm.close()

    def reset_after_fork(self) -> None:
        """In a forked child: drop the parent's mappings, whose locks are the parent's."""
        self._lock = threading.RLock()
        kept, self._kept = list(self._kept.values()), OrderedDict()
        for warm in kept:
            # Without unlocking, which would be the parent's lock.
            warm.file.close()
            warm.mapping.close()


def map_writable(file: io.FileIO, nbytes: int) -> WarmMapping | None:
    """Map a segment for writing, under its exclusive lock or right after; None if the process has no descriptor left."""
    try:
        mapping = WritableMapping(file.fileno(), nbytes)
    except OSError:
        return None
    return WarmMapping(file, os.fstat(file.fileno()).st_ino, nbytes, mapping, populated=False)
