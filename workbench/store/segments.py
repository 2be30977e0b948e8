"""Segments: files in the store's directory that hold the buffers of objects.

Covers making, locking, writing and removing one file; which file belongs to which object is the catalog's.
Read next: ``pool.py`` (recycling), ``writing.py`` (the order of steps).

The lease is a shared ``flock`` that lives as long as a mapping of the file (``mappings.py``); the kernel drops it when the process dies.

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
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from workbench.store import syscalls

ALIGNMENT: Final = 64
"""Bytes; a cache line, and what Arrow recommends for buffers (Arrow columnar format, "Buffer alignment and padding")."""

SUFFIX: Final = ".segment"
_READ: Final = os.O_RDONLY | os.O_CLOEXEC
_LEASE: Final = fcntl.LOCK_SH | fcntl.LOCK_NB
_TOUCH_AFTER: Final = 1.0
"""Seconds; how exact the time of the last use is. Each system call of a get counts: it takes some 20 microseconds in all."""
_MAX_PIECES: Final = 1000
"""Below IOV_MAX (1024)."""


def segment_path(directory: Path, segment: int) -> str:
    """Return the path of the file of a segment (a string: paths are slow on the way to 15 microseconds)."""
    return f"{directory}/{segment:010d}{SUFFIX}"


def segment_number(name: str) -> int | None:
    """Return the number of the segment whose file is called `name`, or None if it is no segment's file."""
    stem = name.removesuffix(SUFFIX)
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


class SegmentBusyError(Exception):
    """Somebody has the exclusive lock: the segment is about to be recycled, or is being examined."""


class DamagedSegmentError(Exception):
    """A segment's file is not what was sealed; `state` says how ("has 0 of 4096 bytes")."""

    def __init__(self, segment: int, state: str) -> None:
        super().__init__(f"segment {segment} {state}")
        self.segment = segment
        self.state = state


def stamp(file: io.FileIO, segment: int) -> None:
    """Write the number of a segment into its file's times, before its bytes change; 0: it is being removed."""
    os.utime(file.fileno(), ns=(time.time_ns(), segment * 10**9))


def open_leased(path: str, segment: int) -> tuple[int, os.stat_result]:
    """Open a sealed segment with a lease; return the descriptor, which the caller closes, and the file's status.

    The time of access of the file becomes now: that is when its objects were last used.

    Raises
    ------
    FileNotFoundError
        The segment was recycled or removed.
    SegmentBusyError
        Ask the catalog again: either the object is gone, or the lock is free in a moment.
    DamagedSegmentError
        Somebody else has changed the file.
    """
    fd = os.open(path, _READ)
    try:
        try:
            fcntl.flock(fd, _LEASE)
        except BlockingIOError:
            raise SegmentBusyError from None
        status = os.fstat(fd)
        if status.st_mtime != segment:
            raise FileNotFoundError(errno.ENOENT, "the segment was recycled", path)
        if not status.st_size:
            raise DamagedSegmentError(segment, "is empty")
        now = time.time()
        # A time in the future: the clock has gone back since.
        if abs(now - status.st_atime) > _TOUCH_AFTER:
            os.utime(fd, (now, segment))
    except BaseException:
        os.close(fd)
        raise
    return fd, status
