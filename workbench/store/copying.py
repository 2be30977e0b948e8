"""Copying buffers into a segment through a writable mapping, with several threads.

Covers the copy only: that the pages exist and that the segment is locked is the caller's business (``allocation.py``).
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from workbench.store import syscalls

_PARALLEL_FROM: Final = 16 << 20
"""Bytes; below, starting a thread costs more than it brings."""
_POPULATE_STEP: Final = 32 << 20
"""Bytes; the kernel holds the address space's lock for one step."""

Span = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""Destination and source of one copy, of the same length in bytes."""


def copy(
    target: mmap.mmap, pieces: Sequence[memoryview], offsets: Sequence[int], *, populate: bool, threads: int
) -> None:
    """Copy each piece to its offset.

    Parameters
    ----------
    target : mmap.mmap
        Writable, and all its pages exist.
    pieces : sequence of memoryview
    offsets : sequence of int
    populate : bool
        The mapping is new: map its pages in large steps first, each thread those that it writes.
    threads : int
    """
    memory = np.frombuffer(target, np.uint8)
    spans = [
        (memory[offset : offset + piece.nbytes], np.frombuffer(piece, np.uint8))
        for piece, offset in zip(pieces, offsets, strict=True)
        if piece.nbytes
    ]
    total = sum(len(source) for _, source in spans)
    shares = _split(spans, -(-total // threads)) if threads > 1 and total >= _PARALLEL_FROM else [spans]
    _Crew(shares, populate=populate).run()


class _Crew:
    """Copies one share in this thread and the others in helpers.

    Nobody writes into the segment after :meth:`run` has returned, however often Ctrl-C comes meanwhile.
    """

    def __init__(self, shares: list[list[Span]], *, populate: bool) -> None:
        self._shares = shares
        self._populate = populate
        self._errors: list[BaseException] = []
        self._stop = False
        self._helpers: list[tuple[threading.Thread, threading.Event]] = []

    def run(self) -> None:
        try:
            for share in self._shares[1:]:
                done = threading.Event()
                helper = threading.Thread(target=self._help, args=(share, done), daemon=True)
                self._helpers.append((helper, done))
                helper.start()
            self._work(self._shares[0])
        except BaseException:
            self._stop = True
            raise
        finally:
            self._wait()
        if self._errors:
            raise self._errors[0]

    def _work(self, share: list[Span]) -> None:
        for destination, source in share:
            if self._stop:  # also a helper that Ctrl-C has overtaken before it began
                return
            _copy_span(destination, source, populate=self._populate)

    def _help(self, share: list[Span], done: threading.Event) -> None:
        try:
            self._work(share)
        except BaseException as error:  # noqa: BLE001  # handed to whoever called run
            self._errors.append(error)
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
    for start in range(0, len(source), _POPULATE_STEP):
        stop = min(len(source), start + _POPULATE_STEP)
        part = destination[start:stop]
        if populate:
            first = part.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
            syscalls.populate_write(first, part.ctypes.data + len(part) - first)
        part[:] = source[start:stop]
