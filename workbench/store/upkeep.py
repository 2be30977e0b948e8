"""Keeping the pool in shape, in the background: made ready before somebody needs it, given back when nobody did for long.

Warming up makes free segments whose pages exist and are mapped by this process, so that a first put is as fast as a repeated one. It takes
room that nobody uses, and gives it back as any other free segment. Such a segment is ``free`` from the beginning, and
locked until it is ready: nobody recycles it meanwhile, so that a put does not wait for it, unless there is no other room
(:meth:`Upkeep.yield_room`).

Covers the pool of one store as this process sees it. Recycling is in ``free_segments.py``, the thread in ``background.py``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from mmap import PAGESIZE
from typing import Final

from workbench import config
from workbench.store import copying
from workbench.store.allocation import Allocator, OutOfRoomError, out_of_room
from workbench.store.background import Background
from workbench.store.free_segments import COUNT_FREE, most_for
from workbench.store.holders import held_free
from workbench.store.pool import KEEP_FROM, WarmMapping, map_writable

_LATE: Final = 1.0
"""Seconds by which an idle segment may be given back too late: so many go in one transaction."""
_PATIENCE: Final = 5.0
"""Seconds that a put without room waits for another process's warm-up to end."""
_WORKERS_SHARE: Final = 8
_WORKERS_MOST: Final = 1 << 30
"""A worker makes this part of the capacity ready, and at most so many bytes."""
_STEP: Final = 0.02
"""Seconds between two looks."""


class Upkeep:
    """The pool's upkeep for one store.

    Parameters
    ----------
    allocator : Allocator
    background : Background
    idle : float, optional
        Seconds after which a free segment is given back; None: never.
    """

    def __init__(self, allocator: Allocator, background: Background, idle: float | None) -> None:
        self.allocator = allocator
        self.background = background
        self.idle = idle
        self._wanted = threading.Event()
        # Reentrant: the garbage collector may call a finalizer that needs room while this thread warms the pool up.
        self._warming = threading.RLock()

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's warming up is the parent's."""
        self._wanted = threading.Event()
        self._warming = threading.RLock()

    def opened(self) -> None:
        """Look at once whether others left something that has been idle for too long."""
        if self.idle is not None and self._oldest() is not None:
            self.background.do("Giving idle memory back", self._give_back)

    # -- giving back -----------------------------------------------------------------------------------------------

    def freed(self) -> None:
        """Note that something became free."""
        if self.idle is not None:
            self.background.do("Giving idle memory back", self._give_back, after=self.idle + _LATE)

    def give_back(self) -> float | None:
        """Give back what has been free for too long; return in how many seconds there will be more, None if there is nothing else."""
        if self.idle is None:
            return None
        self.allocator.pool.sweep()
        oldest = self._oldest()
        if oldest is not None and oldest < time.time() - self.idle:
            self.allocator.free.release(before=time.time() - self.idle)
            oldest = self._oldest()
        # What somebody maps stays; it is looked for again, but not all the time.
        return None if oldest is None else max(oldest + self.idle - time.time(), self.idle / 2) + _LATE

    def _oldest(self) -> float | None:
        row = self.allocator.catalog.row("SELECT min(coalesce(freed, 0)) FROM segments WHERE state = 'free'")
        return None if row is None else row[0]

    def _give_back(self, _: Callable[[], bool]) -> None:
        again = self.give_back()
        if again is not None:
            self.background.do("Giving idle memory back", self._give_back, after=again)

    # -- warming up ------------------------------------------------------------------------------------------------

    def warm_up(self, sizes: Sequence[int]) -> None:
        """Have free segments of these sizes made ready in the background, if the pool does not have them yet."""
        if sizes and self.allocator.in_memory:
            self.background.do("Warming up", lambda is_stopped: self._warm_up(sizes, is_stopped))

    def warm_up_for_worker(self) -> None:
        """Do what a Dask worker does unless the setting ``workbench.warm`` says something: make one segment of a modest size ready."""
        if config.get("warm") is None:
            self.warm_up([min(self.allocator.catalog.capacity // _WORKERS_SHARE, _WORKERS_MOST)])

    def _warm_up(self, sizes: Sequence[int], is_stopped: Callable[[], bool]) -> None:
        with self._warming:
            self._wanted.clear()
            wanted = Counter(-(-size // PAGESIZE) * PAGESIZE for size in sizes if size >= KEEP_FROM)
            for nbytes in sorted(wanted, reverse=True):
                for _ in range(wanted[nbytes] - self._count(nbytes)):
                    if not self._make(nbytes, wanted[nbytes], is_stopped):
                        return

    def _count(self, nbytes: int) -> int:
        """Return how many free segments there are that an object of this size would get."""
        row = self.allocator.catalog.row(COUNT_FREE, (nbytes, most_for(nbytes)))
        return int(row[0]) if row else 0

    def _make(self, nbytes: int, wanted: int, is_stopped: Callable[[], bool]) -> bool:
        """Make one more free segment, up to so many; False if there is no room for it, or somebody else needs it."""
        try:
            made = self.allocator.make_free(nbytes, wanted)
        except OutOfRoomError:
            return False
        if made is None:
            return True
        segment, file = made
        warm: WarmMapping | None = None
        try:
            os.ftruncate(file.fileno(), nbytes)
            warm = map_writable(file, nbytes)
            if warm is not None:
                with contextlib.suppress(OutOfRoomError), out_of_room(nbytes):
                    warm.populated = self._allocate(warm, is_stopped)
        finally:
            if warm is not None and warm.populated:
                fcntl.flock(file, fcntl.LOCK_UN)
                self.allocator.pool.keep(warm)
            else:
                if warm is not None:
                    warm.mapping.close()
                self.allocator.remove_made(segment, file)
        return warm is not None and warm.populated

    def _allocate(self, warm: WarmMapping, is_stopped: Callable[[], bool]) -> bool:
        def is_over() -> bool:
            return self._wanted.is_set() or is_stopped()

        copying.allocate(warm.file, warm.mapping, is_over, threads=min(2, self.allocator.threads))
        return not is_over()

    def yield_room(self) -> bool:
        """Have all warming up stopped, because somebody needs the room; return whether some may have become free."""
        self._wanted.set()
        if not self._warming.acquire(blocking=False):
            with self._warming:
                return True
        self._warming.release()
        deadline = time.monotonic() + _PATIENCE
        directory, catalog = self.allocator.directory, self.allocator.catalog
        waited = False
        while time.monotonic() < deadline:
            row = catalog.row("SELECT count(*) FROM segments WHERE state = 'free'")
            if row is None or row[0] <= len(held_free(catalog, directory)):
                return waited
            # What is free and not held, and was not given up either: another process has it locked, and is about to be done.
            if self.allocator.free.release():
                return True
            waited = True
            time.sleep(_STEP)
        return False
