"""Segments: files in the store's directory that hold the buffers of objects.

Covers making, locking, writing, mapping and removing one file; which file belongs to which object is the catalog's.
Read next: ``pool.py`` (recycling), ``store.py`` (the order of steps).

The lease is a shared ``flock`` on the mapping's own descriptor: Python's mmap keeps a duplicate of the descriptor, and a
duplicate shares the lock, so the lock goes with the last view, and the kernel drops it when the process dies.

The exclusive lock is taken only inside a write transaction of the catalog, without waiting, and the number of a recycled
segment changes: its file is renamed, and gets the new number as its modification time (in seconds) before a byte is written. So a reader that
has its lock and finds the number that it asked for in the file that it opened has the bytes that the catalog promised, and
nobody can take them away from it. One fstat tells that; asking whether the path still names the inode would cost a second call.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import mmap
import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from workbench.store import syscalls

ALIGNMENT: Final = 64
"""Bytes; a cache line, and what Arrow recommends for buffers (Arrow columnar format, "Buffer alignment and padding")."""

_SUFFIX: Final = ".segment"
_MAX_PIECES: Final = 1000
"""Below IOV_MAX (1024)."""
_PARALLEL_FROM: Final = 16 << 20
"""Bytes; below, starting a thread costs more than it brings."""
_POPULATE_STEP: Final = 32 << 20
"""Bytes; the kernel holds the address space's lock for one step."""


def segment_path(directory: Path, segment: int) -> str:
    """Return the path of the file of a segment (a string: paths are slow on the way to 15 microseconds)."""
    return f"{directory}/{segment:010d}{_SUFFIX}"


def segment_number(name: str) -> int | None:
    """Return the number of the segment whose file is called `name`, or None if it is no segment's file."""
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if stem != name and stem.isdigit() else None


def layout(sizes: Iterable[int]) -> tuple[list[int], int]:
    """Return the aligned offset of each buffer, and where the last one ends."""
    offsets, end = [], 0
    for nbytes in sizes:
        start = -(-end // ALIGNMENT) * ALIGNMENT
        offsets.append(start)
        end = start + nbytes
    return offsets, end


def create(path: str) -> io.FileIO:
    """Make the file of a new segment, exclusively locked.

    The caller is in a write transaction, so a file that has this number already is a dead process's: its number was rolled back.
    """
    try:
        file = io.FileIO(path, "x+")
    except FileExistsError:
        os.unlink(path)
        file = io.FileIO(path, "x+")
    os.fchmod(file.fileno(), 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def try_exclusive(file: io.FileIO) -> bool:
    """Take the exclusive lock without waiting; False if anybody has a lease."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_exclusive(path: str) -> io.FileIO | None:
    """Open a segment's file for writing and take the exclusive lock; None if it is gone or somebody has a lease.

    A file object owns its descriptor from the moment in which it is opened, so that the lock goes even if Ctrl-C comes in between.
    """
    try:
        os.chmod(path, 0o600)
        file = io.FileIO(path, "r+")
    except FileNotFoundError:
        return None
    if try_exclusive(file):
        return file
    file.close()
    return None


def remove(path: str, file: io.FileIO) -> None:
    """Remove a segment under its exclusive lock, and close it; its pages go at once, even if a pool somewhere still maps it."""
    try:
        # A reader that opened the file a moment ago must not take the hole for the object.
        stamp(file, 0)
        syscalls.punch_hole(file.fileno(), os.fstat(file.fileno()).st_size)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    finally:
        close(file)


def close(file: io.FileIO) -> None:
    """Drop the lock and close; the lock first, because a forked child may have the descriptor too."""
    if not file.closed:
        fcntl.flock(file, fcntl.LOCK_UN)
        file.close()


def is_allocated(file: io.FileIO, nbytes: int) -> bool:
    """Tell whether every page of the first `nbytes` bytes exists, so that writing through a mapping cannot SIGBUS."""
    status = os.fstat(file.fileno())
    return status.st_size >= nbytes and status.st_blocks * 512 >= status.st_size


def pwrite(file: io.FileIO, pieces: Sequence[memoryview], offsets: Sequence[int]) -> None:
    """Write each piece at its offset, allocating pages as it goes.

    Raises
    ------
    OSError
        ENOSPC if the file system is full; never SIGBUS.
    """
    queue: list[memoryview] = []
    start = end = 0
    for piece, offset in zip(pieces, offsets, strict=True):
        if not piece.nbytes:
            continue
        if not queue:
            start = end = offset
        if offset > end:
            queue.append(memoryview(bytes(offset - end)))
        queue.append(piece)
        end = offset + piece.nbytes
    first = 0
    while first < len(queue):
        written = os.pwritev(file.fileno(), queue[first : first + _MAX_PIECES], start)
        start += written
        while first < len(queue) and written >= queue[first].nbytes:
            written -= queue[first].nbytes
            first += 1
        if written:
            queue[first] = queue[first][written:]


def copy(
    target: mmap.mmap, pieces: Sequence[memoryview], offsets: Sequence[int], *, populate: bool, threads: int
) -> None:
    """Copy each piece to its offset through a writable mapping whose pages exist, with several threads.

    Parameters
    ----------
    target : mmap.mmap
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
    if total < _PARALLEL_FROM:
        threads = 1
    shares = _split(spans, -(-total // threads)) if threads > 1 else [spans]
    errors: list[BaseException] = []

    def work(share: list[tuple[np.ndarray, np.ndarray]]) -> None:
        try:
            for destination, source in share:
                _copy_span(destination, source, populate=populate)
        except BaseException as error:  # noqa: BLE001  # handed to the caller below
            errors.append(error)

    helpers = [threading.Thread(target=work, args=(share,), daemon=True) for share in shares[1:]]
    started: list[threading.Thread] = []
    interrupted: BaseException | None = None
    try:
        for helper in helpers:
            started.append(helper)
            helper.start()
        work(shares[0])
    finally:
        # Nobody may write into the segment after this function has returned, however often Ctrl-C comes meanwhile.
        while any(helper.is_alive() for helper in started):
            try:
                for helper in started:
                    if helper.ident is not None:
                        helper.join()
            except KeyboardInterrupt as error:
                interrupted = error
    if interrupted is not None:
        raise interrupted
    if errors:
        raise errors[0]


def _split(spans: list[tuple[np.ndarray, np.ndarray]], share: int) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    share = -(-share // mmap.PAGESIZE) * mmap.PAGESIZE
    shares: list[list[tuple[np.ndarray, np.ndarray]]] = [[]]
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


class SegmentBusyError(Exception):
    """Somebody has the exclusive lock: the segment is about to be recycled, or is being examined."""


def stamp(file: io.FileIO, segment: int) -> None:
    """Write the number of a segment into its file's times, before its bytes change; 0: it is being removed."""
    os.utime(file.fileno(), ns=(time.time_ns(), segment * 10**9))


def map_leased(path: str, segment: int) -> tuple[mmap.mmap, int]:
    """Map a sealed segment read-only with a lease; return the mapping and its inode.

    The time of access of the file becomes now: that is when its objects were last used.

    Raises
    ------
    FileNotFoundError
        The segment was recycled or removed.
    SegmentBusyError
        Ask the catalog again: either the object is gone, or the lock is free in a moment.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SegmentBusyError from None
        status = os.fstat(fd)
        if status.st_mtime != segment:
            raise FileNotFoundError(errno.ENOENT, "the segment was recycled", path)
        mapping = mmap.mmap(fd, status.st_size, mmap.MAP_SHARED, mmap.PROT_READ)
        os.utime(fd, ns=(time.time_ns(), segment * 10**9))
        return mapping, status.st_ino
    finally:
        os.close(fd)
