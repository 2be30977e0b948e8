"""What happened in a store since a version, in a few rows: ids, names and what was done, nothing that must be decoded.

Covers reading the catalog's ``changes`` and the numbers of its objects, for who watches a store. The cluster's announcer, which needs whole descriptions,
asks :func:`workbench.store.queries.changes`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from workbench.objects import ObjectId
from workbench.store import rows
from workbench.store.catalog import Catalog
from workbench.store.queries import Version
from workbench.store.schema import object_id as object_id_of

_VERSION = (
    "SELECT latest, (SELECT coalesce(max(version), 0) FROM changes), (SELECT coalesce(min(version), 1) FROM changes) "
    "FROM usage"
)
_NAMED = (
    f"SELECT {object_id_of('o.')}, n.name FROM objects o LEFT JOIN names n ON n.object = o.seq "
    "WHERE o.seq > ? AND o.seq <= ? AND (o.expires IS NULL OR o.expires > ?) ORDER BY o.seq, n.name"
)


class State(NamedTuple):
    """What a noted object is now."""

    names: tuple[str, ...]
    pinned: bool


@dataclass(frozen=True, slots=True)
class News:
    """What happened since a version.

    Parameters
    ----------
    version : Version
        Where to ask from the next time.
    whole : bool
        Too much has happened since, or nothing was known: `objects` is everything that there is.
    objects : dict of ObjectId to tuple of str
        Objects that became visible and are still there, in that order, with their names.
    noted : list of tuple
        Id of the object, what was done with it, and a name that it had when it was deleted, in order; an object that was put is not among them.
    states : dict of ObjectId to State
        What the noted objects are now; without those that are gone.
    """

    version: Version
    whole: bool
    objects: dict[ObjectId, tuple[str, ...]]
    noted: list[tuple[ObjectId, str, str | None]]
    states: dict[ObjectId, State]


def news(catalog: Catalog, since: Version | None) -> News | None:
    """Return what happened since a version (None: everything that there is), or None if nothing did."""
    latest = catalog.row(_VERSION)
    assert latest is not None
    version = Version(latest[0], latest[1])
    if version == since:
        return None
    if since is None or since.change < latest[2] - 1:
        return News(version, True, _objects(catalog, 0, version.object), [], {})
    # What is done after `version` was read belongs to the next time: an object that is gone by now is noted there.
    noted = [
        (ObjectId(object_id), str(what), name)
        for object_id, what, name in catalog.rows(
            "SELECT object, what, name FROM changes WHERE version > ? AND version <= ? ORDER BY version",
            (since.change, version.change),
        )
    ]
    return News(
        version,
        False,
        _objects(catalog, since.object, version.object),
        noted,
        {
            object_id: state
            for object_id in dict.fromkeys(each[0] for each in noted)
            if (state := _state(catalog, object_id)) is not None
        },
    )


def _objects(catalog: Catalog, after: int, until: int) -> dict[ObjectId, tuple[str, ...]]:
    found: dict[ObjectId, list[str]] = defaultdict(list)
    for object_id, name in catalog.rows(_NAMED, (after, until, time.time())):
        names = found[ObjectId(object_id)]
        if name is not None:
            names.append(name)
    return {object_id: tuple(names) for object_id, names in found.items()}


def _state(catalog: Catalog, object_id: ObjectId) -> State | None:
    condition, parameters = rows.with_id(object_id)
    found = catalog.rows(
        f"SELECT o.pinned, n.name FROM objects o LEFT JOIN names n ON n.object = o.seq WHERE {condition} ORDER BY n.name",
        parameters,
    )
    if not found:
        return None
    return State(tuple(name for _, name in found if name is not None), bool(found[0][0]))
