"""A spilled segment on disk, and the link to it at the segment's path in the store.

Covers single system calls and what is atomic about them. Their order, the locks and the catalog's rows are the business of ``spill.py`` and
``restore.py``; in which directory the files lie is that of ``spill_directory.py``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
from typing import Final

_STEP: Final = 64 << 20
"""Bytes that one system call copies: Ctrl-C is heard in between."""
LINK: Final = ".link"
"""End of the name of a link that is being made."""


def create(path: str) -> io.FileIO:
    """Make a locked file on disk; one without a lock and without a link may be removed by anybody."""
    while True:
        file = io.FileIO(path, "x+")
        os.fchmod(file.fileno(), 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def copy(source: io.FileIO, target: io.FileIO, nbytes: int) -> None:
    """Copy a file, leaving out its holes: nothing uses what was there."""
    if os.fstat(target.fileno()).st_size < nbytes:
        os.ftruncate(target.fileno(), nbytes)
    position = 0
    while position < nbytes:
        try:
            start = os.lseek(source.fileno(), position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from here to the end
                return
            raise
        stop = min(nbytes, os.lseek(source.fileno(), start, os.SEEK_HOLE))
        os.lseek(target.fileno(), start, os.SEEK_SET)
        position = start
        while position < stop:
            sent = os.sendfile(target.fileno(), source.fileno(), position, min(_STEP, stop - position))
            if sent == 0:
                raise OSError(errno.EIO, "the file is shorter than it was")
            position += sent


def link(target: str, path: str) -> None:
    """Put a link in the place of a file, atomically; only within a write transaction, so the name in between is nobody else's."""
    partial = path + LINK
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    os.symlink(target, partial)
    os.rename(partial, path)


def target(path: str) -> str | None:
    """Return what the link at a path names; None if there is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def is_at(path: str, file: io.FileIO) -> bool:
    """Tell whether a path itself, not what it may link to, is an open file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except OSError:
        return False


def is_unlocked(path: str) -> bool:
    """Tell whether nobody is writing a file on disk; one that is gone counts as locked."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Who writes has the exclusive lock. Readers share theirs, and need the file no longer to have a name.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def discard(path: str) -> None:
    """Remove a spilled segment that has no row: the file on disk, then the link; who maps it keeps what it has."""
    disk = target(path)
    for gone in (disk, path):
        if gone is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(gone)
