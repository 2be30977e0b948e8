"""What dead processes left behind, found and put right: by whoever opens the store, needs room, or runs the doctor.

Everything here happens in one write transaction. A living process is never in the middle of a rename or of an insertion then, and its files are
locked, so that what does not fit together and is not locked was left by a dead one (or by a transaction that was rolled back, which is the same).

========================================  ======================================================================================
found                                     what is done
========================================  ======================================================================================
a file without a row, not locked          removed: its writer died before the reservation was committed
a ``writing`` row whose file can be       removed: its writer died
locked, or has none
a ``free`` row without a file             removed
a ``sealed`` row, and a link to disk      ``spilled``: who spilled it died between rename and commit
a ``spilled`` row, and a file in memory   ``sealed``: who restored it died between rename and commit
a link without a row                      removed with the file on disk: the object was deleted
a segment that was being trimmed,         its stamp and mode are given back to it
not locked
a file on disk that no link names,        removed: who spilled or restored it died
not locked
========================================  ======================================================================================
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from workbench.store import segments, spilled_files, trimming
from workbench.store.catalog import Catalog


def reclaim(catalog: Catalog, directory: Path) -> list[str]:
    """Put right what dead processes left behind; return one sentence for each thing found."""
    found = []
    with catalog.write() as write:
        known = dict(write.execute("SELECT segment, state FROM segments"))
        files, links = _segments(directory)
        for number in sorted(files | links | known.keys()):
            path = segments.segment_path(directory, number)
            done = _reclaim_one(
                write, number, path, known.get(number), is_file=number in files, is_link=number in links
            )
            if done:
                found.append(f"Segment {number} {done}.")
        found += trimming.put_right(write, directory)
        spilled_to = [Path(row[0]) for row in write.execute("SELECT directory FROM spills")]
        if spilled_to:
            _, links = _segments(directory)
            named = {os.readlink(segments.segment_path(directory, number)) for number in links}
            found += [sentence for place in spilled_to for sentence in _remove_unnamed(place, named)]
    return found


def _segments(directory: Path) -> tuple[set[int], set[int]]:
    """Return the numbers of the segments that are files, and of those that are links; half-made links are removed."""
    files: set[int] = set()
    links: set[int] = set()
    with os.scandir(directory) as entries:
        for entry in entries:
            number = segments.segment_number(entry.name)
            if number is not None:
                (links if entry.is_symlink() else files).add(number)
            elif entry.name.endswith(spilled_files.LINK):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)
    return files, links


def _reclaim_one(
    write: sqlite3.Connection, number: int, path: str, state: str | None, *, is_file: bool, is_link: bool
) -> str:
    """Put one segment right; return what was done, as the end of a sentence."""
    if is_link:
        return _reclaim_link(write, number, path, state)
    if state == "spilled" and is_file:
        status = os.stat(path)
        if status.st_mtime != number:
            return ""  # damaged: the doctor's other half says so
        write.execute("UPDATE segments SET state = 'sealed', inode = ? WHERE segment = ?", (status.st_ino, number))
        return "was restored by a process that died before it could say so: noted"
    if state in ("writing", None) or (state == "free" and not is_file):
        file = segments.open_exclusive(path)
        if file is not None or not os.path.exists(path):
            write.execute("DELETE FROM segments WHERE segment = ?", (number,))
            if file is not None:
                segments.remove(path, file)
            return f"was left {state or 'without a row'} by a process that died: removed"
    return ""


def _reclaim_link(write: sqlite3.Connection, number: int, path: str, state: str | None) -> str:
    if state is None:
        spilled_files.discard(path)
        return "was left on disk by a process that died after its object was deleted: removed"
    if state == "sealed" and os.path.exists(path):
        inode = os.stat(path).st_ino
        write.execute("UPDATE segments SET state = 'spilled', inode = ? WHERE segment = ?", (inode, number))
        return "was spilled by a process that died before it could say so: noted"
    return ""


def _remove_unnamed(place: Path, named: set[str]) -> list[str]:
    """Remove the files on disk that no link names and nobody is writing."""
    found = []
    try:
        names = os.listdir(place)
    except OSError:
        return []  # not mounted now, or removed by hand
    for name in names:
        path = f"{place}/{name}"
        if name.endswith(segments.SUFFIX) and path not in named and spilled_files.is_unlocked(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            found.append(f"The spilled file {path} belongs to nothing: removed.")
    return found
