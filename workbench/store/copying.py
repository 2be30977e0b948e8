"""Copying buffers into a segment with several threads: into pages that exist, or into fresh memory.

Covers the copy only: that the segment is locked is the caller's business (``allocation.py``).

Fresh memory is written in chunks, of which each thread takes the next one: this thread by system call (a page that is written
whole need not be zeroed), the helpers through a mapping, whose pages they allocate first. The two do not get into each other's way: a
system call has the file's lock, a page fault does not. Measured with two cores: 1.5 times the speed of system calls alone, which
two threads make slower. On a busy machine the helpers get fewer chunks.

Where the kernel gives huge pages, all threads take them instead: one call allocates 512 small ones, and neither this process nor any
reader meets a page fault for each. Measured with one core, in processor time for 1 GiB: memcpy 0.08 s, system calls 0.4, huge pages 0.13 in all;
into what is recycled 0.09 with small pages, 0.075 with huge ones; what another process mapped before 0.25 and 0.08.
"""

from __future__ import annotations

import bisect
import io
import itertools
import math
import mmap
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from workbench import progress
from workbench.store import segments, syscalls

if TYPE_CHECKING:
    from workbench.store.pool import WritableMapping

_PARALLEL_FROM: Final = 16 << 20
"""Bytes; below, starting a thread costs more than it brings."""
CHUNK: Final = 4 << 20
"""Bytes of fresh memory that a thread takes at a time; a multiple of the size of a page, so that no two threads write to one."""
_STEP: Final = 512 << 20
"""Bytes that are copied at once where somebody sees how far it is."""
_POPULATE_STEP: Final = 32 << 20
"""Bytes; the kernel holds the address space's lock for one step."""

_SLOW: Final = 0.004
"""Seconds of processor time for the huge pages of one chunk, twice what its small ones take and five to ten times what huge ones should: the kernel
moves others out of their way, or a virtual machine has lent that memory to its host."""
_ALLOWANCE: Final = 0.05
"""Seconds by which the chunks of one copy may be slower than that, in all, before it goes on with small pages: single ones are met on any machine."""

Target: TypeAlias = "WritableMapping | mmap.mmap | memoryview"
"""Memory that is copied into."""
Span = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""Destination and source of one copy, of the same length in bytes."""
Job = Callable[[Callable[[], bool]], None]
"""Part of a copy; it stops soon after what it is called with returns True."""


def copy(target: Target, pieces: Sequence[memoryview], offsets: Sequence[int], *, populate: bool, threads: int) -> None:
    """Copy each piece to its offset.

    Parameters
    ----------
    target : WritableMapping or mmap.mmap
        Writable, and all its pages exist.
    pieces : sequence of memoryview
    offsets : sequence of int
    populate : bool
        The mapping is new: map its pages in large steps first, each thread those that it writes.
    threads : int
    """
    spans = _spans(target, pieces, offsets)
    total = sum(len(source) for _, source in spans)
    is_parallel = threads > 1 and total >= _PARALLEL_FROM
    work = progress.current()
    shares = _split(spans, -(-total // threads)) if is_parallel else [spans]

    def job(share: list[Span]) -> Job:
        share = share if work is None else _in_steps(share)
        return lambda is_stopped: _copy_share(share, is_stopped, populate=populate, work=work)

    _Crew([job(share) for share in shares]).run()


def is_large(nbytes: int) -> bool:
    """Tell whether :func:`fill` is the way to write so many bytes into fresh memory."""
    return nbytes >= _PARALLEL_FROM and syscalls.can_populate()


def fill(
    file: io.FileIO,
    target: Target,
    nbytes: int,
    pieces: Sequence[memoryview],
    offsets: Sequence[int],
    *,
    threads: int,
) -> None:
    """Write each piece at its offset into a file whose pages need not exist yet.

    Parameters
    ----------
    file : FileIO
        At least `nbytes` long.
    target : WritableMapping or mmap.mmap
        A writable mapping of at least so much of it.
    nbytes : int
    pieces : sequence of memoryview
    offsets : sequence of int
        Growing.
    threads : int

    Raises
    ------
    OSError
        ENOSPC if the file system is full; never SIGBUS.
    """
    starts = itertools.count(0, CHUNK)
    plan = _Plan(pieces, offsets)
    pages = HugePages(target)
    work = progress.current()
    syscalls.want_huge_pages(np.asarray(target).ctypes.data, nbytes)

    def write(is_stopped: Callable[[], bool]) -> None:
        # Huge pages may be refused from some chunk on; then system calls are the faster half again.
        while pages.given and not is_stopped() and (start := next(starts)) < nbytes:
            map_and_copy_one(start, is_stopped)
        while (start := next(starts)) < nbytes and not is_stopped():
            segments.pwrite(file, *plan.part(start, start + CHUNK))
            if work is not None:
                work.advance(CHUNK)

    def map_and_copy(is_stopped: Callable[[], bool]) -> None:
        while (start := next(starts)) < nbytes and not is_stopped():
            map_and_copy_one(start, is_stopped)

    def map_and_copy_one(start: int, is_stopped: Callable[[], bool]) -> None:
        parts, places = plan.part(start, start + CHUNK)
        if parts:
            pages.populate(start, min(start + CHUNK, nbytes))
            _copy_share(_spans(target, parts, places), is_stopped, populate=False)
        if work is not None:
            work.advance(CHUNK)

    _Crew([write] + [map_and_copy] * (threads - 1)).run()


def allocate(file: io.FileIO, target: Target, is_stopped: Callable[[], bool], *, threads: int) -> None:
    """Make all pages of a file exist, and map them; nothing that is in them changes.

    Measured with two cores: allocating a chunk of the file and then mapping it is 1.5 times as fast as letting the mapping allocate it.

    Raises
    ------
    OSError
        ENOSPC if the file system is full.
    """
    starts = itertools.count(0, CHUNK)
    pages = HugePages(target, patiently=True)

    def job(is_over: Callable[[], bool]) -> None:
        while (start := next(starts)) < len(target) and not is_over() and not is_stopped():
            stop = min(start + CHUNK, len(target))
            if not pages.given:
                os.posix_fallocate(file.fileno(), start, stop - start)
            pages.populate(start, stop)

    _Crew([job] * threads).run()


class _Plan:
    """Which bytes go where, by ranges of the file."""

    def __init__(self, pieces: Sequence[memoryview], offsets: Sequence[int]) -> None:
        self._pieces = [(offset, piece) for offset, piece in zip(offsets, pieces, strict=True) if piece.nbytes]
        self._ends = [offset + piece.nbytes for offset, piece in self._pieces]

    def part(self, start: int, stop: int) -> tuple[list[memoryview], list[int]]:
        """Return the pieces that lie in a range, cut to it, and their offsets."""
        parts, places = [], []
        first = bisect.bisect_right(self._ends, start)
        for offset, piece in itertools.takewhile(lambda pair: pair[0] < stop, self._pieces[first:]):
            low, high = max(offset, start), min(offset + piece.nbytes, stop)
            parts.append(piece[low - offset : high - offset])
            places.append(low)
        return parts, places


class _Crew:
    """Does one job in this thread and the others in helpers.

    Nobody writes into the segment after :meth:`run` has returned, however often Ctrl-C comes meanwhile.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._errors: list[BaseException] = []
        self._stop = False
        self._helpers: list[tuple[threading.Thread, threading.Event]] = []

    def run(self) -> None:
        try:
            try:
                for job in self._jobs[1:]:
                    done = threading.Event()
                    helper = threading.Thread(target=self._help, args=(job, done), daemon=True)
                    self._helpers.append((helper, done))
                    helper.start()
                self._jobs[0](self._is_stopped)
            except BaseException:
                self._stop = True
                raise
            finally:
                self._wait()
            if self._errors:
                raise self._errors[0]
        finally:
            self._errors.clear()  # their tracebacks lead here: a cycle would keep what was to be copied

    def _is_stopped(self) -> bool:
        return self._stop

    def _help(self, job: Job, done: threading.Event) -> None:
        try:
            job(self._is_stopped)
        except BaseException as error:  # noqa: BLE001  # handed to whoever called run
            self._errors.append(error)
            self._stop = True
        finally:
            done.set()

    def _wait(self) -> None:
        # Not by Thread.join: before Python 3.13, one that is interrupted takes the thread for ended.
        while any(helper.ident is not None and not done.is_set() for helper, done in self._helpers):
            try:
                for helper, done in self._helpers:
                    if helper.ident is not None:
                        done.wait()
            except (KeyboardInterrupt, RuntimeError) as error:
                # RuntimeError: Ctrl-C came within threading's own code, which then releases a lock that it does not have.
                self._stop = True
                self._errors.append(error if isinstance(error, KeyboardInterrupt) else KeyboardInterrupt())


def _spans(target: Target, pieces: Sequence[memoryview], offsets: Sequence[int]) -> list[Span]:
    memory = np.asarray(target)
    return [
        (memory[offset : offset + piece.nbytes], np.frombuffer(piece, np.uint8))
        for piece, offset in zip(pieces, offsets, strict=True)
        if piece.nbytes
    ]


def _in_steps(share: list[Span]) -> list[Span]:
    """Cut what is copied, so that somebody who watches sees it go on; steps so large take no longer."""
    return [
        (destination[start : start + _STEP], source[start : start + _STEP])
        for destination, source in share
        for start in range(0, len(source), _STEP)
    ]


def _copy_share(
    share: list[Span], is_stopped: Callable[[], bool], *, populate: bool, work: progress.Work | None = None
) -> None:
    for destination, source in share:
        if is_stopped():  # also a helper that Ctrl-C has overtaken before it began
            return
        _copy_span(destination, source, populate=populate)
        if work is not None:
            work.advance(len(source))


class HugePages:
    """Maps the pages of a target, as huge ones as long as the kernel gives them (`given`), and `patiently` or quickly."""

    def __init__(self, target: Target, *, patiently: bool = False) -> None:
        self._target = target
        self._left = math.inf if patiently else _ALLOWANCE
        address = np.asarray(target).ctypes.data
        self.given = address % syscalls.HUGE == 0 and len(target) >= syscalls.HUGE and self._give(0, syscalls.HUGE)

    def _give(self, start: int, stop: int) -> bool:
        # Populating one page of each, not touching it: a full file system is an error then, not SIGBUS.
        for first in range(start, stop, syscalls.HUGE):
            _populate(self._target, first, first + mmap.PAGESIZE)
        return syscalls.collapse(np.asarray(self._target).ctypes.data + start, stop - start)

    def populate(self, start: int, stop: int) -> None:
        """Make the pages of a range exist, and map them; `start` is a multiple of :data:`CHUNK`."""
        end = stop // syscalls.HUGE * syscalls.HUGE
        if self.given and end > start:
            begin = time.thread_time()
            if self._give(start, end):
                start = end
            # Several threads come by here; what one of them misses of the sum does no harm.
            self._left -= time.thread_time() - begin - _SLOW
            self.given = start == end and self._left > 0
        if start < stop:
            _populate(self._target, start, stop)


def _populate(target: Target, start: int, stop: int) -> None:
    syscalls.populate_write(np.asarray(target).ctypes.data + start, stop - start)


def _split(spans: list[Span], share: int) -> list[list[Span]]:
    share = -(-share // mmap.PAGESIZE) * mmap.PAGESIZE
    shares: list[list[Span]] = [[]]
    room = share
    for destination, source in spans:
        start = 0
        while start < len(source):
            stop = min(len(source), start + room)
            shares[-1].append((destination[start:stop], source[start:stop]))
            room -= stop - start
            start = stop
            if room == 0:
                shares.append([])
                room = share
    return [part for part in shares if part]


def _copy_span(destination: np.ndarray, source: np.ndarray, *, populate: bool) -> None:
    if populate:
        for start in range(0, len(source), _POPULATE_STEP):
            part = destination[start : start + _POPULATE_STEP]
            first = part.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
            syscalls.populate_write(first, part.ctypes.data + len(part) - first)
    # In one piece: beyond a size that depends on the cache, memcpy writes past it (glibc's x86_non_temporal_threshold), which takes
    # little more than half of the time. Cut into steps of 32 MiB, 1 GiB took 0.20 s instead of 0.115 on a processor with 260 MiB of cache.
    destination[:] = source
