"""Memory that the bytes of a replica land in: ranges of a reserved segment, for whoever fills them straight from a connection.

Covers one reservation, filled range by range and from several threads. Where the store lies in shared memory, a range is the segment's own
memory, and what arrives there is not copied again; its pages are made first, a few at a time, so that a full file system is an error and not
SIGBUS (invariant 4). Elsewhere, and for small segments, it is a buffer that is written to the file afterwards.

What is in the gaps between two buffers of a segment travels as zeros: the layout follows from the sizes of the buffers alone, so it is the same on
every node, and a range is one run of bytes on both sides.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from workbench.store import copying, segments, syscalls
from workbench.store.allocation import out_of_room
from workbench.store.pool import KEEP_FROM, WarmMapping, map_writable

if TYPE_CHECKING:
    from workbench.store.allocation import Reservation


class Landing:
    """The memory of a reserved segment.

    Parameters
    ----------
    reservation : Reservation
    in_memory : bool
        The store lies in shared memory.
    """

    def __init__(self, reservation: Reservation, *, in_memory: bool) -> None:
        self._reservation = reservation
        self._lock = threading.Lock()
        self._ready: set[int] = set()
        self._populate: Callable[[int, int], object] | None = None
        warm = _map(reservation) if in_memory and reservation.nbytes >= KEEP_FROM else None
        self._memory = None if warm is None else np.asarray(warm.mapping).data[: reservation.nbytes]
        if warm is not None:
            self._populate = _populating(reservation, warm)

    @contextlib.contextmanager
    def range(self, offset: int, nbytes: int) -> Iterator[memoryview]:
        """Give memory for a range of the segment; what is in it at the end of the block is in the segment.

        Nobody may write to it after :meth:`close`.

        Raises
        ------
        OutOfRoomError
            The file system is full.
        """
        if self._memory is None:
            scratch = memoryview(bytearray(nbytes))
            yield scratch
            with out_of_room(self._reservation.nbytes):
                segments.pwrite(self._reservation.file, [scratch], [offset])
            return
        self._prepare(self._memory, offset, offset + nbytes)
        with self._memory[offset : offset + nbytes] as view:
            yield view

    def _prepare(self, memory: memoryview, start: int, stop: int) -> None:
        if self._populate is None:
            return
        with self._lock, out_of_room(self._reservation.nbytes):
            for chunk in range(start // copying.CHUNK, -(-stop // copying.CHUNK)):
                if chunk not in self._ready:
                    first = chunk * copying.CHUNK
                    self._populate(first, min(first + copying.CHUNK, memory.nbytes))
                    self._ready.add(chunk)

    def close(self) -> None:
        """Note that all of it was filled; the mapping is kept for the next time."""
        warm = self._reservation.warm
        if self._memory is not None and warm is not None:
            warm.populated = warm.populated or len(self._ready) * copying.CHUNK >= self._memory.nbytes
            self._memory.release()


def _map(reservation: Reservation) -> WarmMapping | None:
    file, nbytes = reservation.file, reservation.nbytes
    if not syscalls.can_populate():
        return None
    if os.fstat(file.fileno()).st_size < nbytes:
        os.ftruncate(file.fileno(), nbytes)
    if reservation.warm is None:
        reservation.warm = map_writable(file, nbytes)
    return reservation.warm


def _populating(reservation: Reservation, warm: WarmMapping) -> Callable[[int, int], object] | None:
    """Return what makes the pages of a range exist and maps them; None if they are there, and mapped."""
    target = warm.mapping
    if not segments.is_allocated(reservation.file, reservation.nbytes):
        syscalls.want_huge_pages(target.address, reservation.nbytes)
        return copying.HugePages(target).populate
    if warm.populated:
        return None
    return lambda start, stop: syscalls.populate_write(target.address + start, stop - start)
