"""Which objects a listing shows, in which order, and how many: as conditions that the catalog's indexes answer.

Covers building the statement's conditions; running it and reading its rows is in ``queries.py``. A page of the newest objects reads the rows of that
page; a pattern that begins with plain text, such as ``runs/2026*``, reads a range of the names.
"""

from __future__ import annotations

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
_PARTITION: Final = "(o.tags IS NOT NULL AND EXISTS (SELECT 1 FROM aliases a JOIN objects m ON m.seq = a.object WHERE a.id = json_extract(o.tags, '$.dataset') AND m.kind = 'dataset'))"
"""The object is a partition, and the manifest of its dataset is here."""


def listing(
    catalog: Catalog,
    directory: Path,
    pattern: str = "*",
    *,
    kind: str | None = None,
    limit: int | None = None,
    sort_by: Order = "created",
    parts: bool = True,
    unnamed: bool = False,
    dataset: ObjectId | None = None,
) -> list[ObjectInfo]:
    """Return the objects that fit; see :meth:`Store.ls`."""
    conditions: list[str] = []
    parameters: list[Any] = []

    def require(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if dataset is not None:
        # The ids of a dataset's objects begin alike (collections/manifest.py), so this reads a range of the ids.
        require("o.seq IN (SELECT object FROM aliases WHERE id >= ? AND id < ?)", dataset[:12], dataset[:12] + "g")
        require("json_extract(o.tags, '$.dataset') = ?", dataset)
    if pattern != "*":
        # SQLite negates a set of characters with ^, the shell and fnmatch with !.
        glob = pattern.replace("[!", "[^")
        if limit is None or glob[:1] not in "*?[":
            require("o.seq IN (SELECT object FROM names WHERE name GLOB ?)", glob)
        else:
            # No index helps, so the names are looked at object by object, until the page is full.
            require("EXISTS (SELECT 1 FROM names WHERE object = o.seq AND name GLOB ?)", glob)
    if kind is not None:
        catalog.index_kinds()
        require("o.kind = ?", kind)
    if unnamed:
        require("NOT EXISTS (SELECT 1 FROM names WHERE object = o.seq)")
    if not parts:
        require(f"NOT {_PARTITION}")
    return queries.objects(
        catalog,
        directory,
        where=" AND ".join(conditions) or "1",
        parameters=parameters,
        order=_ORDERS[sort_by],
        limit=limit,
    )
