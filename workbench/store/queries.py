"""Questions to a store that change nothing: listings, changes, memory.

Covers reading the catalog and file sizes; nothing here decodes an object. Who holds what is in ``holders.py``.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.objects import Memory, ObjectId, ObjectInfo, Replica
from workbench.store import caching, rows, segments
from workbench.store.catalog import Catalog
from workbench.store.directory import node_name
from workbench.store.holders import held_free
from workbench.store.schema import object_id as object_id_of

_OBJECTS = """
SELECT o.seq, o.id, o.kind, o.description, o.nbytes, o.shared, o.created, o.ttl, o.pinned, o.tags,
    (SELECT max(segment) FROM uses WHERE object = o.seq),
    EXISTS (SELECT 1 FROM uses JOIN segments USING (segment) WHERE object = o.seq AND state = 'spilled'),
    EXISTS (SELECT 1 FROM cached WHERE object = o.seq)
FROM objects o WHERE (o.expires IS NULL OR o.expires > ?) AND """
CACHED_NBYTES = f"SELECT coalesce(sum(nbytes), 0) FROM ({caching.DROPPABLE})"
"""Bytes of the segments in memory that cached replicas alone use."""
_IN_CHUNKS_OF = 500
"""Below SQLite's limit on the number of parameters."""


@dataclass(frozen=True, slots=True)
class Version:
    """Where a reader of :func:`changes` stands: the last object and the last change that it saw."""

    object: int
    change: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a version: objects that are new, or about which something changed, and ids of those that are gone.

    `full`: nothing was known, or too much has happened since. Then `added` and `removed` are empty: :func:`page` gives everything until `version`.
    """

    version: Version
    full: bool
    added: list[ObjectInfo]
    removed: list[ObjectId]


def objects(
    catalog: Catalog,
    directory: Path,
    *,
    where: str,
    parameters: Sequence[Any] = (),
    order: str = "o.seq DESC",
    limit: int | None = None,
) -> list[ObjectInfo]:
    """Return the objects for which an SQL condition holds, in an SQL order (newest first)."""
    statement = f"{_OBJECTS} {where} ORDER BY {order} LIMIT ?"
    found = catalog.rows(statement, (time.time(), *parameters, -1 if limit is None else limit))
    names: dict[int, list[str]] = defaultdict(list)
    sequence = [row[0] for row in found]
    for start in range(0, len(sequence), _IN_CHUNKS_OF):
        part = sequence[start : start + _IN_CHUNKS_OF]
        marks = ",".join("?" * len(part))
        for name, seq in catalog.rows(
            f"SELECT name, object FROM names WHERE object IN ({marks}) ORDER BY name",  # question marks
            tuple(part),
        ):
            names[seq].append(name)
    here = Replica(catalog.id, node_name(), "memory", 0)
    try:
        return [_info(row, tuple(names[row[0]]), here, directory) for row in found]
    except (TypeError, ValueError) as error:
        # Columns have their types, unless the file is damaged.
        raise catalog.unreadable(error) from error


def one(catalog: Catalog, directory: Path, object_id: ObjectId) -> list[ObjectInfo]:
    """Return the object with an id, or nothing."""
    where, parameters = rows.with_id(object_id)
    return objects(catalog, directory, where=where, parameters=parameters)


def _info(row: tuple[Any, ...], names: tuple[str, ...], here: Replica, directory: Path) -> ObjectInfo:
    seq, text, kind, description, nbytes, shared, created, ttl, pinned, tags, segment, spilled, cached = row
    parsed = rows.described(kind, description)
    state = "cached" if cached else "disk" if spilled else "memory"
    return ObjectInfo(
        id=rows.object_id(seq, text),
        name=names[0] if names else None,
        names=names,
        kind=kind,
        type=parsed.type,
        shape=parsed.shape,
        dtypes=parsed.dtypes,
        nbytes=nbytes - shared,
        shared_nbytes=shared,
        created=created,
        last_used=_last_mapped(directory, segment, created),
        pinned=bool(pinned),
        ttl=ttl,
        tags=rows.parse_tags(tags),
        replicas=(Replica(here.node, here.node_name, state, nbytes - shared),),
        notes=parsed.notes,
        inline=segment is None,
    )


def _last_mapped(directory: Path, segment: int | None, created: float) -> float:
    # Mapping a segment touches its file, which costs a reader less than writing to the catalog would.
    if segment is None:
        return created
    try:
        return max(created, os.stat(segments.segment_path(directory, segment)).st_atime)
    except FileNotFoundError:
        return created


def count(catalog: Catalog) -> int:
    """Return how many objects there are."""
    row = catalog.row("SELECT count(*) FROM objects")
    assert row is not None
    return int(row[0])


def all_names(catalog: Catalog) -> dict[str, ObjectId]:
    """Return every name with the id of its object."""
    statement = (
        f"SELECT name, {object_id_of('')} FROM names JOIN objects ON seq = object WHERE expires IS NULL OR expires > ?"
    )
    return {name: ObjectId(object_id) for name, object_id in catalog.rows(statement, (time.time(),))}


def changes(catalog: Catalog, directory: Path, since: Version | None) -> Changes:
    """Return what changed since a version; an object that came and went in between may be in `removed` only."""
    latest = catalog.row(
        "SELECT latest, (SELECT coalesce(max(version), 0) FROM changes), (SELECT coalesce(min(version), 1) FROM changes) FROM usage"
    )
    assert latest is not None
    version = Version(latest[0], latest[1])
    if since is None or since.change < latest[2] - 1:
        return Changes(version, True, [], [])
    changed = catalog.rows(
        "SELECT object, what FROM changes WHERE version > ? AND version <= ?", (since.change, version.change)
    )
    removed = [ObjectId(object_id) for object_id, what in changed if what == "removed"]
    added = objects(catalog, directory, where="o.seq > ? AND o.seq <= ?", parameters=(since.object, version.object))
    known = {info.id for info in added}
    for object_id in {object_id for object_id, what in changed if what != "removed"} - known:
        added += one(catalog, directory, object_id)
    return Changes(version, False, added, removed)


def page(
    catalog: Catalog, directory: Path, after: int, until: Version, limit: int
) -> tuple[list[ObjectInfo], int | None]:
    """Return the next objects in the order in which they became visible, and what to give as `after` for those that follow.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    after : int
        0 for the first page.
    until : Version
        Objects that became visible later are left out: :func:`changes` since that version tells of them.
    limit : int

    Returns
    -------
    list of ObjectInfo
    int or None
        None: that was the last page.
    """
    numbers = catalog.rows(
        "SELECT seq FROM objects WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", (after, until.object, limit)
    )
    if not numbers:
        return [], None
    last: int = numbers[-1][0]
    found = objects(catalog, directory, where="o.seq > ? AND o.seq <= ?", parameters=(after, last), order="o.seq")
    return found, last if len(numbers) == limit else None


def nbytes_of(catalog: Catalog, numbers: Iterable[int]) -> int:
    """Return how many bytes segments have."""
    found = (catalog.row("SELECT nbytes FROM segments WHERE segment = ?", (number,)) for number in numbers)
    return sum(row[0] for row in found if row is not None)


def alone_nbytes(catalog: Catalog, object_id: ObjectId) -> int:
    """Return how many bytes the segments have that no other object uses."""
    where, parameters = rows.with_id(object_id)
    row = catalog.row(
        "SELECT coalesce(sum(nbytes), 0) FROM segments s WHERE (SELECT count(*) FROM uses u WHERE u.segment = s.segment) = 1 "
        f"AND segment IN (SELECT segment FROM uses JOIN objects o ON o.seq = object WHERE {where})",
        parameters,
    )
    return 0 if row is None else int(row[0])


def memory(catalog: Catalog, directory: Path) -> Memory:
    """Return where the bytes of the store are."""
    # One statement is one snapshot: the sum and its parts fit together.
    rows_ = catalog.rows(
        f"SELECT capacity, used, state, segment, nbytes, ({CACHED_NBYTES}) FROM usage LEFT JOIN segments ON state <> 'sealed'"
    )
    capacity, used = rows_[0][:2]
    cached = rows_[0][5]
    held = held_free(catalog, directory)
    writing = pooled = deleted = spilled = 0
    for _, _, state, segment, nbytes, _ in rows_:
        if state == "writing":
            writing += nbytes
        elif state == "free" and segment in held:
            deleted += nbytes
        elif state == "free":
            pooled += nbytes
        elif state == "spilled":
            spilled += nbytes
    sealed = used - writing - pooled - deleted - cached
    return Memory(capacity, sealed, pooled, writing, deleted, spilled, cached, free=max(0, capacity - used))
