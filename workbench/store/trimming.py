"""Giving back the parts of sealed segments that no object refers to any more.

Structural sharing leaves such parts: a large object was deleted, and one that shares a slice of it lives on. The pages in between are punched out of
the file under its exclusive lock, so nobody maps it; what is used stays where it is, and so does the length of the file.

A hole changes the file's modification time, which is its stamp. So the row says first that the segment is being trimmed, and ``reclaim.py``
gives the stamp back to one whose process died in between.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

from workbench.store import segments, syscalls
from workbench.store.catalog import Catalog
from workbench.store.free_segments import most_for
from workbench.store.rows import PLACE

TRIMMING: Final = "\0trimming"
"""What the column ``was`` of a sealed segment says meanwhile: no name can be that."""
_USES: Final = """
SELECT s.segment, s.nbytes, o.layout FROM segments s JOIN uses USING (segment) JOIN objects o ON o.seq = object WHERE s.state = 'sealed'"""


def trim(catalog: Catalog, directory: Path) -> dict[int, int]:
    """Give back what is unused of each sealed segment that nobody maps; return the bytes of each.

    The little that a recycled segment is longer than its object stays.
    """
    layouts: dict[int, list[bytes]] = defaultdict(list)
    charged: dict[int, int] = {}
    for segment, nbytes, layout in catalog.rows(_USES):
        layouts[segment].append(layout)
        charged[segment] = nbytes
    found = {}
    for segment, nbytes in charged.items():
        if nbytes > most_for(kept_nbytes(kept_pages(layouts[segment], segment))):
            given = _trim_one(catalog, directory, segment)
            if given:
                found[segment] = given
    return found


def kept_pages(layouts: Iterable[bytes], segment: int) -> list[tuple[int, int]]:
    """Return the ranges of a segment that some objects use, in whole pages, in order, without overlaps."""
    ranges = sorted(
        (offset // PAGESIZE * PAGESIZE, -(-(offset + nbytes) // PAGESIZE) * PAGESIZE)
        for layout in layouts
        for place, offset, nbytes in PLACE.iter_unpack(layout)
        if place == segment and nbytes
    )
    merged: list[tuple[int, int]] = []
    for start, stop in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def kept_nbytes(pages: Iterable[tuple[int, int]]) -> int:
    """Return how many bytes some ranges are in all."""
    return sum(stop - start for start, stop in pages)


def _trim_one(catalog: Catalog, directory: Path, segment: int) -> int:
    try:
        fd = os.open(segments.segment_path(directory, segment), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0  # deleted or spilled meanwhile
    file = io.FileIO(fd)
    try:
        with catalog.write() as write:
            if os.fstat(fd).st_mtime != segment or not segments.try_exclusive(file):
                return 0
            statement = "UPDATE segments SET was = ? WHERE segment = ? AND state = 'sealed'"
            if not write.execute(statement, (TRIMMING, segment)).rowcount:
                return 0
        # Nobody can map it, or refer to it, from here on: both need a lease.
        with catalog.write() as write:
            return _punch(write, file, segment)
    finally:
        segments.close(file)


def _punch(write: sqlite3.Connection, file: io.FileIO, segment: int) -> int:
    rows = write.execute(_USES + " AND s.segment = ?", (segment,)).fetchall()
    if not rows:
        return 0  # its last object was deleted
    pages = kept_pages([row[2] for row in rows], segment)
    status = os.fstat(file.fileno())
    os.fchmod(file.fileno(), 0o600)
    try:
        with io.FileIO(f"/proc/self/fd/{file.fileno()}", "r+") as writable:
            position = 0
            for start, stop in [*pages, (status.st_size, status.st_size)]:
                if start > position:
                    syscalls.punch_hole(writable.fileno(), start - position, position)
                position = stop
    finally:
        seal_again(file, segment, status.st_atime_ns)
    kept = kept_nbytes(pages)
    write.execute("UPDATE segments SET nbytes = ?, was = NULL WHERE segment = ?", (kept, segment))
    return int(rows[0][1]) - kept


def seal_again(file: io.FileIO, segment: int, last_used_ns: int) -> None:
    """Give a sealed segment's file the stamp and the mode that it had."""
    os.utime(file.fileno(), ns=(last_used_ns, segment * 10**9))
    os.fchmod(file.fileno(), 0o400)


def put_right(write: sqlite3.Connection, directory: Path) -> list[str]:
    """Give the stamp back to segments whose process died while it trimmed them; within a write transaction."""
    found = []
    statement = "SELECT segment FROM segments WHERE was = ? AND state = 'sealed'"
    for (segment,) in write.execute(statement, (TRIMMING,)).fetchall():
        with contextlib.suppress(OSError), io.FileIO(segments.segment_path(directory, segment)) as file:
            # Locked by who trims it, if that process lives; mapped by readers only if the stamp is right.
            if segments.try_exclusive(file):
                seal_again(file, segment, os.fstat(file.fileno()).st_atime_ns)
                write.execute("UPDATE segments SET was = NULL WHERE segment = ?", (segment,))
                found.append(f"Segment {segment} was left half trimmed by a process that died: put right.")
    return found
