"""What is broken: files of segments that are not what was sealed, and a catalog that SQLite cannot make sense of.

Covers telling and naming it, for a reader that cannot go on and for the doctor; nothing is repaired here. A segment is told by its file alone: it has
the size that the catalog says, and as its modification time the number that it was sealed with, which any write to it would have changed. Nobody has
computed a checksum of its bytes, which would cost a put half of its speed: a bit that flipped in memory is not found (``wb.save`` has checksums).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from workbench.errors import StoreError
from workbench.objects import ObjectId
from workbench.store import segments
from workbench.store.catalog import Catalog
from workbench.store.rows import PLACE
from workbench.store.schema import object_id as object_id_of

_NEXT: Final = "Delete the object and put it again; `workbench doctor` lists what else is damaged."

_CATALOG_NEXT: Final = "Save what can still be read, remove the store's directory, and put your data anew."
_LIMITS: Final = {
    errno.EMFILE: "close some files, or raise this process's limit on open files (ulimit -n)",
    errno.ENFILE: "the whole machine has too many files open",
    errno.ENOMEM: "drop some objects, or raise the limit on mappings (sysctl vm.max_map_count)",
}
_USED: Final = f"""
SELECT s.segment, s.nbytes, {object_id_of("o.")}, (SELECT min(name) FROM names WHERE object = o.seq)
FROM segments s JOIN uses u ON u.segment = s.segment JOIN objects o ON o.seq = u.object
WHERE s.state NOT IN ('writing', 'free') ORDER BY o.seq, s.segment"""


def of_segment(directory: Path, segment: int, nbytes: int) -> str | None:
    """Return what is wrong with the file of a sealed segment ("is missing"), or None.

    Parameters
    ----------
    nbytes : int
        That it must have at least.
    """
    path = segments.segment_path(directory, segment)
    try:
        status = os.stat(path)
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if status.st_size < nbytes:
        return f"has {status.st_size} of {nbytes} bytes"
    if status.st_mtime != segment:
        return "was written to by something else after it was sealed"
    return None


def unreadable(directory: Path, object_id: ObjectId, layout: bytes, error: Exception) -> StoreError:
    """Return the error of an object that is in the catalog and cannot be mapped.

    Parameters
    ----------
    layout : bytes
        Where its buffers are.
    error : Exception
        What mapping the last one of its segments said.
    """
    what = f"Object {object_id} is in the catalog of {directory}, but"
    if isinstance(error, OSError) and error.errno in _LIMITS:
        return StoreError(f"{what} it cannot be mapped ({error.strerror}): {_LIMITS[error.errno]}.")
    if isinstance(error, segments.DamagedSegmentError):
        return StoreError(f"{what} its segment {error.segment} {error.state}. {_NEXT}")
    needed: dict[int, int] = {}
    for segment, offset, nbytes in PLACE.iter_unpack(layout):
        needed[segment] = max(needed.get(segment, 0), offset + nbytes)
    for segment, nbytes in needed.items():
        state = of_segment(directory, segment, nbytes) if segment else None
        if state is not None:
            return StoreError(f"{what} its segment {segment} {state}. {_NEXT}")
    return StoreError(f"{what} its segment cannot be mapped ({error!r}). Run `workbench doctor`.")


def of_catalog(catalog: Catalog) -> list[str]:
    """Return a sentence for each thing that SQLite finds wrong with the catalog."""
    try:
        said = [str(row[0]) for row in catalog.rows("PRAGMA quick_check")]
    except StoreError as error:
        return [str(error)]
    return [f"The catalog {catalog.path} is damaged: {line}. {_CATALOG_NEXT}" for line in said if line != "ok"]


def damage(catalog: Catalog, directory: Path) -> list[str]:
    """Return a sentence for each object whose segments are broken."""
    found = []
    for segment, nbytes, object_id, name in catalog.rows(_USED):
        state = of_segment(directory, segment, nbytes)
        # Looked at again: it may have been deleted, or be just moving to or from the disk.
        if state is None or not catalog.row("SELECT 1 FROM uses WHERE segment = ?", (segment,)):
            continue
        if of_segment(directory, segment, nbytes) is not None:
            called = f"{object_id} ({name!r})" if name is not None else object_id
            found.append(f"Object {called}: its segment {segment} {state}. Delete the object and put it again.")
    return found
