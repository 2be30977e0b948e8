"""Mapped segments: the memory that readers see, with the lease that keeps it from being reused.

Covers mapping a segment's file once per process, and telling which segment an address lies in (structural sharing); which
object lies where is the catalog's. Read next: ``segments.py`` (the file), ``reading.py``.

The lease is a shared ``flock`` on the open file description that is mapped. On a tmpfs, the mapping keeps that description (and with it the lock) alive
by itself. So the descriptor is closed at once, and a process may map as many segments as it likes; Python's own ``mmap`` would keep one descriptor for each. Elsewhere
the descriptor stays open: overlayfs maps the file beneath instead, and would drop the lock with the last descriptor. A forked child shares the lease either way.
"""

from __future__ import annotations

import bisect
import mmap
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from workbench.store import segments, syscalls
from workbench.store.directory import is_memory


class _Memory:
    """The addresses of a mapping, and the descriptor that has its lease where one is needed.

    Only its :class:`Mapping` refers to it, and no weak reference does. Python runs ``__del__`` while weak references to the same object still work: another thread
    that asked for the segment in that moment would get memory that goes away under it.
    """

    __slots__ = ("address", "fd", "nbytes")

    def __init__(self, fd: int, nbytes: int, *, keep: bool) -> None:
        self.fd = fd if keep else -1
        self.nbytes = nbytes
        self.address = syscalls.map_shared(fd, nbytes, mmap.PROT_READ)

    def __del__(
        self, unmap: Callable[[int, int], None] = syscalls.unmap, close: Callable[[int], None] = os.close
    ) -> None:
        # Bound as defaults, because at the end of a process the module's names may be gone. There is no address if mapping failed.
        if hasattr(self, "address"):
            unmap(self.address, self.nbytes)
        if self.fd >= 0:
            close(self.fd)


class Mapping:
    """One segment in memory, read-only; unmapped, and its lease gone, when the last view of it is.

    Parameters
    ----------
    segment : int
    fd : int
        Has the lease.
    status : os.stat_result
        Of the file.
    keep : bool
        The lease goes with the descriptor, so it stays open; else the caller may close it.

    Attributes
    ----------
    segment, address, nbytes : int
    inode, device : int
        Of the file that has the lease.
    last_used : float
        When somebody mapped the segment before, in seconds since the epoch.
    """

    __slots__ = ("__weakref__", "_memory", "address", "device", "inode", "last_used", "nbytes", "segment")

    def __init__(self, segment: int, fd: int, status: os.stat_result, *, keep: bool) -> None:
        self.segment = segment
        self.nbytes = status.st_size
        self.inode = status.st_ino
        self.device = status.st_dev
        self.last_used = status.st_atime
        self._memory = _Memory(fd, status.st_size, keep=keep)
        self.address = self._memory.address

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """How NumPy finds the bytes, and that they are read-only (NumPy's array interface, version 3)."""
        return {"shape": (self.nbytes,), "typestr": "|u1", "data": (self.address, True), "version": 3}

    def view(self) -> memoryview:
        """Return all bytes, read-only; the view keeps the mapping alive."""
        view: memoryview = np.asarray(self).data
        return view


class Mappings:
    """The segments of one store that this process has mapped; each once, however often it is asked for.

    Get it by :meth:`of`: every :class:`~workbench.store.store.Store` that a process has open on the same directory shares one.
    """

    _all: ClassVar[weakref.WeakValueDictionary[str, Mappings]] = weakref.WeakValueDictionary()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._device = directory.stat().st_dev if is_memory(directory) else None
        # A plain dict of weak references: half the time of a WeakValueDictionary. Dead ones go in _forget_dead.
        self._mappings: dict[int, weakref.ref[Mapping]] = {}
        self._forget_at = 100
        self._sorted: tuple[list[int], list[weakref.ref[Mapping]]] | None = None

    @classmethod
    def of(cls, directory: Path, store_id: str) -> Mappings:
        """Return the mappings of the store with an id, in this process."""
        with _lock:
            found = cls._all.get(store_id)
            if found is None or found.directory != directory:
                found = cls._all[store_id] = cls(directory)
            return found

    def get(self, segment: int) -> tuple[Mapping, bool]:
        """Map a segment; the second value tells whether it is a new lease.

        Raises
        ------
        FileNotFoundError
            The segment was recycled or removed.
        SegmentBusyError
            Ask the catalog again: either the object is gone, or the lock is free in a moment.
        """
        mapping = self.held(segment)
        if mapping is not None:
            return mapping, False
        fd, status = segments.open_leased(segments.segment_path(self.directory, segment), segment)
        # A spilled segment lies on another device.
        keep = status.st_dev != self._device
        try:
            mapping = Mapping(segment, fd, status, keep=keep)
        finally:
            if not keep:
                os.close(fd)
        with _lock:
            # Another thread may have mapped it at the same time: all have one, so that whatever of it is put again is found.
            found = self.held(segment)
            if found is not None:
                return found, False
            self._mappings[segment] = weakref.ref(mapping)
            self._sorted = None
            if len(self._mappings) > self._forget_at:
                self._forget_dead()
        return mapping, True

    def _forget_dead(self) -> None:
        for segment, reference in self._mappings.copy().items():
            if reference() is None and self._mappings.get(segment) is reference:
                del self._mappings[segment]
        self._forget_at = 2 * len(self._mappings) + 100

    def held(self, segment: int) -> Mapping | None:
        """Return the mapping of a segment if there is one."""
        reference = self._mappings.get(segment)
        return None if reference is None else reference()

    def segments(self) -> frozenset[int]:
        """Return the segments that are mapped."""
        return frozenset(segment for segment, reference in self._mappings.copy().items() if reference() is not None)

    def find(self, address: int, nbytes: int) -> tuple[Mapping, int] | None:
        """Return the mapping that a range of memory lies in, and where in it; None if it lies in none.

        The range must be alive: the caller has a view of it. Then so is its mapping, and the segment's bytes stay.
        """
        addresses, references = self._sorted or self._sort()
        position = bisect.bisect_right(addresses, address) - 1
        if position < 0:
            return None
        mapping = references[position]()
        if mapping is None or address + nbytes > mapping.address + mapping.nbytes:
            return None
        return mapping, address - mapping.address

    def _sort(self) -> tuple[list[int], list[weakref.ref[Any]]]:
        # Addresses of dead mappings are left out; one that dies later answers None, whatever lies at its address then.
        with _lock:
            alive = [(m.address, r) for r in self._mappings.copy().values() if (m := r()) is not None]
            alive.sort(key=lambda pair: pair[0])
            found = self._sorted = [address for address, _ in alive], [reference for _, reference in alive]
        return found


# Reentrant: the garbage collector may call a finalizer that maps something, or opens a store.
_lock = threading.RLock()


def reset_after_fork() -> None:
    """In a forked child: the lock may have been held by a thread that is not there."""
    global _lock  # noqa: PLW0603  # one per process
    _lock = threading.RLock()
