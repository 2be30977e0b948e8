"""Finding and mapping objects: what a get does in the store.

Covers keys, the lease and the race with recycling. Writing is in ``writing.py``, the lease itself in ``segments.py``.
"""

from __future__ import annotations

import difflib
import mmap
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from workbench.errors import ObjectNotFoundError, StoreError
from workbench.objects import Key, ObjectId, Ref, is_object_id
from workbench.store import segments
from workbench.store.catalog import Catalog, expired
from workbench.store.processes import ProcessFile
from workbench.store.rows import BY_ID, BY_NAME, PLACE

_PATIENCE: Final = 10.0
"""Seconds that a reader waits for a segment whose lock is being examined."""


class Record(NamedTuple):
    """An object as it lies in the store; each buffer is read-only, and keeps the lease as long as it lives."""

    id: ObjectId
    header: bytes
    buffers: tuple[memoryview, ...]


class Reader:
    """Maps the objects of one store."""

    def __init__(self, directory: Path, catalog: Catalog, process: ProcessFile) -> None:
        self.directory = directory
        self.catalog = catalog
        self._process = process
        self._mappings: dict[int, weakref.ref[mmap.mmap]] = {}
        self._forget_at = 100

    def read(self, key: Key) -> Record:
        """Map an object.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id; the message lists the nearest names.
        """
        deadline: float | None = None
        while True:
            row = self._find(key)
            if row is None or expired(row[4]):
                raise self.not_found(key)
            try:
                return self._map(row)
            except (FileNotFoundError, segments.SegmentBusyError) as error:
                # Deleted and recycled since the SELECT, or its lock is being examined: the catalog knows which.
                now = time.monotonic()
                deadline = deadline or now + _PATIENCE
                if now > deadline:
                    raise StoreError(
                        f"Object {row[0]} is in the catalog of {self.directory}, but its segment cannot be mapped ({error!r}). "
                        "Run `workbench doctor`."
                    ) from error
                time.sleep(0.0005)

    def _find(self, key: Key) -> tuple[Any, ...] | None:
        return find(self.catalog.row, key)

    def _map(self, row: tuple[Any, ...]) -> Record:
        object_id, header, layout, payload, _ = row
        buffers = []
        views: dict[int, memoryview] = {}
        for segment, offset, nbytes in PLACE.iter_unpack(layout):
            view = views.get(segment)
            if view is None:
                view = views[segment] = memoryview(self._mapping(segment) if segment else payload)
            buffers.append(view[offset : offset + nbytes])
        if header is None:
            header = bytes(buffers.pop(0))
        return Record(object_id, header, tuple(buffers))

    def _mapping(self, segment: int) -> mmap.mmap:
        # A plain dict of weak references: half the time of a WeakValueDictionary. Dead ones go in _forget_dead.
        reference = self._mappings.get(segment)
        mapping = None if reference is None else reference()
        if mapping is None:
            mapping, _ = segments.map_leased(segments.segment_path(self.directory, segment), segment)
            self._mappings[segment] = weakref.ref(mapping)
            self._process.leased(segment)
            if len(self._mappings) > self._forget_at:
                self._forget_dead()
        return mapping

    def mapped(self) -> frozenset[int]:
        """Return the segments that this process has mapped."""
        return frozenset(segment for segment, reference in self._mappings.copy().items() if reference() is not None)

    def segment_at(self, address: int) -> int | None:
        """Return the segment that is mapped at an address; the caller has a view of what is there."""
        for segment, reference in self._mappings.copy().items():
            mapping = reference()
            if mapping is not None and 0 <= address - np.frombuffer(mapping, np.uint8).ctypes.data < len(mapping):
                return segment
        return None

    def _forget_dead(self) -> None:
        alive = {segment: reference for segment, reference in self._mappings.copy().items() if reference() is not None}
        self._mappings = alive
        self._forget_at = 2 * len(alive) + 100

    def resolve(self, key: Key) -> ObjectId:
        """Return the id of the object that `key` names.

        Raises
        ------
        ObjectNotFoundError
        """
        row = self._find(key)
        if row is None or expired(row[4]):
            raise self.not_found(key)
        return ObjectId(row[0])

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id."""
        row = self._find(key)
        return row is not None and not expired(row[4])

    def not_found(self, key: Key) -> ObjectNotFoundError:
        """Return the error that says that `key` names nothing here, with the nearest names."""
        wanted = key.name or key.id if isinstance(key, Ref) else key
        names = [row[0] for row in self.catalog.rows("SELECT name FROM names LIMIT 10000")]
        nearest = difflib.get_close_matches(wanted[:200], names, n=3, cutoff=0.5)
        if nearest:
            step = "Did you mean " + " or ".join(repr(name) for name in nearest) + "?"
        else:
            step = "wb.ls() lists what there is." if names else "The store has no named objects yet."
        return ObjectNotFoundError(f"There is no object {wanted[:200]!r} in the store {self.directory}. {step}")


def find(row: Callable[[str, tuple[Any, ...]], tuple[Any, ...] | None], key: Key) -> tuple[Any, ...] | None:
    """Return id, header, layout, payload and time of expiry of the object that a key names, asking with `row`."""
    if isinstance(key, Ref):
        return row(BY_ID, (key.id,))
    if not isinstance(key, str):
        raise TypeError(f"A key is a name, an id or a Ref, not {type(key).__name__}.")
    try:
        found = row(BY_NAME, (key,))
    except UnicodeEncodeError:
        return None  # half of a surrogate pair: no name has one
    return row(BY_ID, (key,)) if found is None and is_object_id(key) else found
