"""Which objects a listing shows, in which order, and how many: as conditions that the catalog's indexes answer.

Covers building the statement's conditions; running it and reading its rows is in ``queries.py``. A page of the newest objects reads the rows of that
page; a pattern that begins with plain text, such as ``runs/2026*``, reads a range of the names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from workbench.objects import ObjectId, ObjectInfo
from workbench.store import queries
from workbench.store.catalog import Catalog

Order = Literal["created", "name", "kind"]

_ORDERS: Final[dict[str, str]] = {
    "created": "o.seq DESC",
    "name": "(SELECT min(name) FROM names WHERE object = o.seq) NULLS LAST, o.seq DESC",
    "kind": "o.kind, o.seq DESC",
}
_FEW: Final = 1000
"""Objects that fit a pattern, up to which all of them are looked at for a page."""
_PARTITION: Final = "(o.tags IS NOT NULL AND EXISTS (SELECT 1 FROM aliases a JOIN objects m ON m.seq = a.object WHERE a.id = json_extract(o.tags, '$.dataset') AND m.kind = 'dataset'))"
"""The object is a partition, and the manifest of its dataset is here."""


def listing(
    catalog: Catalog,
    directory: Path,
    pattern: str = "*",
    *,
    kind: str | None = None,
    tags: Mapping[str, str | None] | None = None,
    limit: int | None = None,
    sort_by: Order = "created",
    parts: bool = True,
    unnamed: bool = False,
    dataset: ObjectId | None = None,
) -> list[ObjectInfo]:
    """Return the objects that fit; see :meth:`Store.ls`."""
    conditions: list[str] = ["1"]
    parameters: list[Any] = []

    def require(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if dataset is not None:
        # The ids of a dataset's objects begin alike (collections/manifest.py), so this reads a range of the ids.
        require("o.seq IN (SELECT object FROM aliases WHERE id >= ? AND id < ?)", dataset[:12], dataset[:12] + "g")
        require("json_extract(o.tags, '$.dataset') = ?", dataset)
    # SQLite negates a set of characters with ^, the shell and fnmatch with !.
    glob = pattern.replace("[!", "[^")
    many = limit is not None and _are_many(catalog, glob)
    if pattern != "*" and not many:
        require("o.seq IN (SELECT object FROM names WHERE name GLOB ?)", glob)
    elif pattern != "*":
        # The names are looked at object by object, until the page is full.
        require("EXISTS (SELECT 1 FROM names WHERE object = o.seq AND name GLOB ?)", glob)
    if kind is not None:
        catalog.index_kinds()
        require("o.kind = ?", kind)
    for key, value in (tags or {}).items():
        require("EXISTS (SELECT 1 FROM json_each(o.tags) j WHERE j.key = ? AND coalesce(? = j.value, 1))", key, value)
    if unnamed:
        require("NOT EXISTS (SELECT 1 FROM names WHERE object = o.seq)")
    if not parts:
        require(f"NOT {_PARTITION}")

    def found(order: str, limit: int | None, *more: str) -> list[ObjectInfo]:
        where = " AND ".join([*conditions, *more])
        return queries.objects(catalog, directory, where=where, parameters=parameters, order=order, limit=limit)

    if limit is None or limit > _FEW or sort_by != "name" or not many:
        return found(_ORDERS[sort_by], limit)
    named = _first_by_name(catalog, glob, " AND ".join(conditions), parameters, limit)
    page = found(_ORDERS["name"], None, f"o.seq IN ({','.join(map(str, named))})")
    rest = limit - len(page) if pattern == "*" else 0
    return page + found("o.seq DESC", rest, "NOT EXISTS (SELECT 1 FROM names WHERE object = o.seq)") if rest else page


def _are_many(catalog: Catalog, glob: str) -> bool:
    """Tell whether so many names fit that a page of them is better looked for than chosen from all."""
    if glob[:1] in ("*", "?", "["):
        return True  # no index helps to find out
    row = catalog.row("SELECT count(*) FROM (SELECT 1 FROM names WHERE name GLOB ? LIMIT ?)", (glob, _FEW + 1))
    return row is not None and row[0] > _FEW


def _first_by_name(catalog: Catalog, glob: str, where: str, parameters: list[Any], limit: int) -> list[int]:
    """Return the numbers of the first objects in the order of their (fitting) names, reading as many names as it takes."""
    # The cross join keeps SQLite from reading the objects first.
    statement = (
        "SELECT n.object FROM names n CROSS JOIN objects o ON o.seq = n.object WHERE n.name GLOB ? "  # our own conditions
        "AND NOT EXISTS (SELECT 1 FROM names m WHERE m.object = n.object AND m.name < n.name AND m.name GLOB ?) "
        f"AND (o.expires IS NULL OR o.expires > ?) AND {where} ORDER BY n.name LIMIT ?"
    )
    return [row[0] for row in catalog.rows(statement, (glob, glob, time.time(), *parameters, limit))]
