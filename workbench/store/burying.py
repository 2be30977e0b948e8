"""What was deleted in a whole cluster, remembered by the store: an object that is deleted everywhere comes here no more.

Covers the table ``gone``, whose rows are tombstones: the ids of the last :data:`~workbench.store.schema.GONE` objects that were deleted everywhere, whether this
store had them or not. It outlives every process, so a cluster whose scheduler is killed does not forget what was deleted. Ids are never used again, so a tombstone never hits
anything else; what is dropped from one node only, as by a move, has none. Who reads them is ``cluster/tombstones.py``, which has the rules.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.errors import ObjectNotFoundError, StoreFullError
from workbench.objects import ObjectId, Ref
from workbench.store.reading import find_with_seq

if TYPE_CHECKING:
    from workbench.store.catalog import Catalog
    from workbench.store.naming import Names

_BURY = "INSERT OR IGNORE INTO gone (object) VALUES (?)"


def bury(names: Names, targets: Sequence[ObjectId]) -> None:
    """Delete those of some objects that are here, and note that all of them are deleted everywhere: in one step, or nothing."""
    try:
        found = _bury(names, targets)
    except StoreFullError:
        # As for any deletion: the catalog needs a few pages, and the file system has none.
        if not names.allocator.free.empty():
            raise
        found = _bury(names, targets)
    if found:
        names.trim()


def _bury(names: Names, targets: Sequence[ObjectId]) -> bool:
    found = False
    with names.catalog.write() as write:
        for target in targets:
            here = find_with_seq(lambda *question: write.execute(*question).fetchone(), Ref(target))
            if here is not None:
                names.delete_row(write, here[0])
                found = True
            write.execute(_BURY, (target,))
    return found


def buried(catalog: Catalog, after: int) -> list[tuple[int, ObjectId]]:
    """Return the tombstones with greater numbers, oldest first."""
    found = catalog.rows("SELECT number, object FROM gone WHERE number > ? ORDER BY number", (after,))
    return [(number, ObjectId(object_id)) for number, object_id in found]


def refuse_buried(write: sqlite3.Connection, object_id: ObjectId) -> None:
    """Refuse, within the transaction that would add an object, one that is deleted everywhere.

    Raises
    ------
    ObjectNotFoundError
    """
    if write.execute("SELECT 1 FROM gone WHERE object = ?", (object_id,)).fetchone():
        raise ObjectNotFoundError(
            f"Object {object_id} was deleted in the whole cluster meanwhile. Nothing of it is kept here."
        )
