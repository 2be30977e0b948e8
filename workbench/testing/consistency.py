"""Whether a store is in order: every byte counted, every file with its row, every row with its file.

Covers what must hold while nobody writes (readers may read): the tests of crashes ask after each kill. What a user asks is
``workbench doctor``, which looks for less and repairs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from workbench.store import Store, segments

_KNOWN: Final = ("turnstile", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "connection.json")

_CHARGED: Final = """
SELECT used,
    (SELECT coalesce(sum(nbytes), 0) FROM segments WHERE state <> 'spilled')
    + (SELECT coalesce(sum(charged), 0) FROM objects)
    + (SELECT coalesce(sum(2 * length(CAST(name AS BLOB)) + 64), 0) FROM names)
FROM usage"""
_BROKEN: Final = {
    "a name without its object": "SELECT name FROM names WHERE object NOT IN (SELECT seq FROM objects)",
    "a use without its object": "SELECT object, segment FROM uses WHERE object NOT IN (SELECT seq FROM objects)",
    "a use without its segment": "SELECT object, segment FROM uses WHERE segment NOT IN (SELECT segment FROM segments)",
    "a used segment that is not sealed": (
        "SELECT segment, state FROM segments WHERE state IN ('writing', 'free') AND segment IN (SELECT segment FROM uses)"
    ),
    "a sealed segment that nothing uses": (
        "SELECT segment, state FROM segments WHERE state NOT IN ('writing', 'free') AND segment NOT IN (SELECT segment FROM uses)"
    ),
    "a segment that is still being written": "SELECT segment FROM segments WHERE state = 'writing'",
}


def inconsistencies(store: Store) -> list[str]:
    """Return a sentence for each thing that is out of order.

    Parameters
    ----------
    store : Store
        Nobody writes to it meanwhile.
    """
    return [*_of_the_catalog(store), *_of_the_files(store), *_of_the_disk(store)]


def assert_consistent(store: Store) -> None:
    """Fail if anything is out of order."""
    found = inconsistencies(store)
    assert not found, found


def _of_the_catalog(store: Store) -> Iterator[str]:
    for (said,) in store.catalog.rows("PRAGMA integrity_check"):
        if said != "ok":
            yield f"SQLite says: {said}"
    for what, statement in _BROKEN.items():
        for row in store.catalog.rows(statement):
            yield f"{what}: {row}"
    ((used, counted),) = store.catalog.rows(_CHARGED)
    if used != counted:
        yield f"{used} bytes are said to be used, and {counted} are"


def _of_the_files(store: Store) -> Iterator[str]:
    rows = {
        number: (inode, nbytes, state)
        for number, inode, nbytes, state in store.catalog.rows("SELECT segment, inode, nbytes, state FROM segments")
    }
    files: dict[int, str] = {}
    for name in sorted(os.listdir(store.directory)):
        number = segments.segment_number(name)
        if number is not None:
            files[number] = name
        elif not _is_known(name):
            yield f"a file that belongs to nothing: {name}"
    for number in sorted(files.keys() - rows.keys()):
        yield f"segment {number} has a file and no row"
    for number, (inode, nbytes, state) in sorted(rows.items()):
        if number not in files:
            yield f"segment {number} ({state}) has no file"
            continue
        yield from _of_one_file(store, number, inode, nbytes, state)


def _of_the_disk(store: Store) -> Iterator[str]:
    spilled = store.catalog.rows("SELECT segment FROM segments WHERE state = 'spilled'")
    wanted = {os.path.realpath(segments.segment_path(store.directory, number)) for (number,) in spilled}
    for (place,) in store.catalog.rows("SELECT directory FROM spills"):
        names = os.listdir(place) if os.path.isdir(place) else []
        for name in sorted(names):
            if name != "owner.json" and os.path.realpath(f"{place}/{name}") not in wanted:
                yield f"a spilled file that belongs to nothing: {place}/{name}"


def _of_one_file(store: Store, number: int, inode: int, nbytes: int, state: str) -> Iterator[str]:
    path = segments.segment_path(store.directory, number)
    what = f"segment {number} ({state})"
    try:
        status = os.stat(path)
    except FileNotFoundError:
        leads = (
            f"is a link to {os.readlink(path)}, which is not there" if os.path.islink(path) else "has gone meanwhile"
        )
        yield f"{what} {leads}"
        return
    if os.path.islink(path) != (state == "spilled"):
        yield f"{what} is {'a link' if os.path.islink(path) else 'a file'}"
    if state != "spilled" and status.st_ino != inode:
        yield f"{what} has inode {status.st_ino}, and its row says {inode}"
    if state != "free" and (status.st_size < nbytes or status.st_mtime != number):
        yield f"{what} has {status.st_size} of {nbytes} bytes and the stamp {status.st_mtime}"
    if state != "free" and stat.S_IMODE(status.st_mode) != 0o400:
        yield f"{what} has mode {stat.S_IMODE(status.st_mode):o}"
    if state != "spilled" and store.allocator.in_memory and status.st_blocks * 512 > -(-nbytes // 4096) * 4096:
        yield f"{what} takes {status.st_blocks * 512} bytes, and its row says {nbytes}"


def _is_known(name: str) -> bool:
    if name.startswith("holder-"):
        return os.path.exists(f"/proc/{name.split('-')[1]}")
    return name in _KNOWN
