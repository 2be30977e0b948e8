"""Finding and mapping objects: what a get does in the store.

Covers keys, and the race with recycling. Writing is in ``writing.py``, the mapping with its lease in ``mappings.py``.

A row that was read stays good until anybody commits something (``commits.py``), so that getting the same objects again and again costs no statement.
"""

from __future__ import annotations

import difflib
import errno
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from workbench.errors import ObjectNotFoundError
from workbench.objects import Key, ObjectId, Ref, is_object_id, no_key
from workbench.store import damage, rows, segments
from workbench.store.catalog import Catalog, expired
from workbench.store.mappings import Mapping, Mappings
from workbench.store.pool import Pool
from workbench.store.processes import ProcessFile
from workbench.store.rows import BY_ALIAS, BY_NAME, BY_SEQ, BY_SEQS, PLACE

_PATIENCE: Final = 10.0
"""Seconds that a reader waits for a segment whose lock is being examined."""
_MISSING: Final = 1.0
"""Seconds until a file that is not there, or has another number, is damage: no step of a store takes it away from an object."""
_MOST_REMEMBERED: Final = 256
"""Rows."""

_IN_CHUNKS_OF: Final = 500
"""Below SQLite's limit on the number of parameters."""

Found = tuple[ObjectId, bytes | None, bytes, bytes | None, float | None]
"""Id, header (None: it is the first buffer), layout, payload, time of expiry."""
Ask = Callable[[str, tuple[Any, ...]], "tuple[Any, ...] | None"]
"""Runs a statement and returns its first row."""


class Record(NamedTuple):
    """An object as it lies in the store; each buffer is read-only, and keeps the lease as long as it lives."""

    id: ObjectId
    header: bytes
    buffers: tuple[memoryview, ...]


class Reader:
    """Maps the objects of one store.

    Attributes
    ----------
    on_disk : callable, optional
        Called with each new mapping of a segment that is not on the store's own file system: it was spilled.
    put_right : callable, optional
        Called once when a segment cannot be mapped, before that is an error.
    """

    def __init__(self, directory: Path, catalog: Catalog, process: ProcessFile, pool: Pool) -> None:
        self.directory = directory
        self.catalog = catalog
        self.mappings = Mappings.of(directory, catalog.id)
        self.on_disk: Callable[[Mapping], None] | None = None
        self.put_right: Callable[[], object] | None = None
        self.process = process
        self._pool = pool
        self._device = directory.stat().st_dev
        self._remembered: dict[str, tuple[bytes, Found]] = {}

    def read(self, key: Key) -> Record:
        """Map an object.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id; the message lists the nearest names.
        """
        deadline: float | None = None
        tried = False
        while True:
            row = self._find(key)
            if row is None or ((expires := row[4]) is not None and expired(expires)):
                raise self.not_found(key)
            try:
                return self._map(row)
            except (FileNotFoundError, segments.SegmentBusyError) as error:
                # Deleted and recycled since the SELECT, or its lock is being examined: the catalog knows which.
                now = time.monotonic()
                deadline = deadline or now + (_PATIENCE if isinstance(error, segments.SegmentBusyError) else _MISSING)
                if now > deadline and self.put_right is not None and not tried:
                    # Perhaps a process died in the middle of something: that is put right by whoever comes next.
                    self.put_right()
                    tried, deadline = True, None
                elif now > deadline:
                    raise damage.unreadable(self.directory, row[0], row[2], error) from error
                self._remembered = {}
                time.sleep(0.0005)
            except (segments.DamagedSegmentError, OSError) as error:
                raise damage.unreadable(self.directory, row[0], row[2], error) from error

    def _find(self, key: Key) -> Found | None:
        text = key.id if isinstance(key, Ref) else key
        if type(text) is not str:
            return find(self.catalog.row, key)
        remembered = self._remembered.get(text)
        # Looked at before the statement: a commit in between makes what it returns good for this one time only.
        version = self.catalog.version()
        if remembered is not None and remembered[0] == version:
            return remembered[1]
        row = find(self.catalog.row, key)
        # Large objects are got again and again; small ones are not worth the note.
        if row is not None and row[3] is None:
            self._remember(text, version, row)
        return row

    def _remember(self, text: str, version: bytes, row: Found) -> None:
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered = {}
        self._remembered[text] = version, row

    def _map(self, row: Found) -> Record:
        object_id, header, layout, payload, _ = row
        if len(layout) == PLACE.size and header is not None:
            segment, offset, nbytes = PLACE.unpack(layout)
            view = self._view(segment, offset + nbytes) if segment else memoryview(payload or b"")
            return Record(object_id, header, (view[offset : offset + nbytes],))
        buffers = []
        views: dict[int, memoryview] = {}
        for segment, offset, nbytes in PLACE.iter_unpack(layout):
            view_ = views.get(segment)
            if view_ is None:
                view_ = views[segment] = self._view(segment, 0) if segment else memoryview(payload or b"")
            if offset + nbytes > len(view_):
                raise segments.DamagedSegmentError(segment, f"has {len(view_)} of {offset + nbytes} bytes")
            buffers.append(view_[offset : offset + nbytes])
        if header is None:
            header = bytes(buffers.pop(0))
        return Record(object_id, header, tuple(buffers))

    def _view(self, segment: int, nbytes: int) -> memoryview:
        try:
            mapping, new = self.mappings.get(segment)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            # The pool's mappings cost descriptors, and this one only for a moment.
            self._pool.close()
            mapping, new = self.mappings.get(segment)
        if mapping.nbytes < nbytes:
            # A slice would be short, and reading beyond the end of the file would be SIGBUS.
            raise segments.DamagedSegmentError(segment, f"has {mapping.nbytes} of {nbytes} bytes")
        if new:
            self.process.leased(segment)
            if mapping.device != self._device and self.on_disk is not None:
                self.on_disk(mapping)
        return mapping.view()

    def mapped(self) -> frozenset[int]:
        """Return the segments that this process has mapped."""
        return self.mappings.segments()

    def segment_at(self, address: int) -> int | None:
        """Return the segment that is mapped at an address; the caller has a view of what is there."""
        found = self.mappings.find(address, 1)
        return None if found is None else found[0].segment

    def read_many(self, keys: Sequence[Key]) -> list[Record]:
        """Map several objects, with one statement for hundreds of them where the keys are references.

        Raises
        ------
        ObjectNotFoundError
            If one of them is not there.
        """
        found: dict[str, Found] = {}
        wanted = [rows.split_id(key.id) for key in keys if isinstance(key, Ref)]
        for start in range(0, len(wanted), _IN_CHUNKS_OF):
            part = dict(wanted[start : start + _IN_CHUNKS_OF])
            marks = ",".join("?" * len(part))
            for seq, text, *rest in self.catalog.rows(f"{BY_SEQS} ({marks})", tuple(part)):
                if part[seq] == text:
                    object_id = rows.object_id(seq, text)
                    found[object_id] = object_id, *rest
        return [self._read_found(key, found) for key in keys]

    def _read_found(self, key: Key, found: dict[str, Found]) -> Record:
        row = found.get(key.id) if isinstance(key, Ref) else None
        if row is None or expired(row[4]):
            return self.read(key)
        try:
            return self._map(row)
        except (FileNotFoundError, segments.SegmentBusyError, segments.DamagedSegmentError):
            return self.read(key)

    def resolve(self, key: Key) -> ObjectId:
        """Return the id of the object that `key` names.

        Raises
        ------
        ObjectNotFoundError
        """
        row = self._find(key)
        if row is None or expired(row[4]):
            raise self.not_found(key)
        return row[0]

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id."""
        row = self._find(key)
        return row is not None and not expired(row[4])

    def not_found(self, key: Key, write: sqlite3.Connection | None = None) -> ObjectNotFoundError:
        """Return the error that says that `key` names nothing here, with the nearest names.

        Within a transaction it is asked by that, `write`: who holds up the other threads' writing must not wait for one that reads, in the middle of which
        the garbage collector may call a finalizer that writes.
        """
        if (gone := self.gone(key, write)) is not None:
            return gone
        wanted = key.name or key.id if isinstance(key, Ref) else key
        statement = (
            "SELECT name FROM names JOIN objects ON seq = object WHERE expires IS NULL OR expires > ? LIMIT 10000"
        )
        now = (time.time(),)
        found = self.catalog.rows(statement, now) if write is None else write.execute(statement, now).fetchall()
        names = [row[0] for row in found]
        step = nearest_names(wanted, names) or "The store has no named objects yet."
        return ObjectNotFoundError(f"There is no object {wanted[:200]!r} in the store {self.directory}. {step}")

    def gone(self, key: Key, write: sqlite3.Connection | None = None) -> ObjectNotFoundError | None:
        """Return the error of an object that was here, and expired or was replaced; None where nobody knows of one."""

        def look(key: Key) -> Found | None:
            if write is None:
                return self._find(key)
            return find(lambda *question: write.execute(*question).fetchone(), key)

        wanted = key.name or key.id if isinstance(key, Ref) else key
        row = look(key)
        if row is not None and row[4] is not None and expired(row[4]):
            over = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row[4]))
            return ObjectNotFoundError(
                f"There is no object {wanted[:200]!r} in the store {self.directory} any more: it expired at {over}, as its ttl says; "
                "a pin does not change that. Put it again, without a ttl if it shall stay."
            )
        if isinstance(key, Ref) and key.name is not None and (other := look(key.name)) and not expired(other[4]):
            return replaced(key)
        return None


def nearest_names(wanted: str, names: Sequence[str]) -> str:
    """Return what to try instead of a key that names nothing, by the names that there are; empty where there are none."""
    wanted = wanted[:200]
    if set(wanted) & set("*?["):
        return (
            f"A key names one object. wb.ls({wanted!r}) lists what fits it as a pattern; `workbench rm`, pin, unpin, spill and "
            "restore take patterns, as those of %wb do."
        )
    if nearest := difflib.get_close_matches(wanted, names, n=3, cutoff=0.5):
        return f"Did you mean {' or '.join(map(repr, nearest))}?"
    return "wb.ls() lists what there is." if names else ""


def replaced(ref: Ref) -> ObjectNotFoundError:
    """Return the error of a reference whose object is gone, and whose name another object has now."""
    name = (ref.name or "")[:200]
    return ObjectNotFoundError(
        f"The object of this reference, {ref.id}, was replaced: {name!r} is another object now, which wb.get({name!r}) returns."
    )


def find(ask: Ask, key: Key) -> Found | None:
    """Return the row of the object that a key names."""
    if type(key) is Ref and is_object_id(key.id):
        # The short way, for the key that programs use.
        row = ask(BY_SEQ, rows.split_id(key.id))
        if row is not None:
            return key.id, row[2], row[3], row[4], row[5]
    found = find_with_seq(ask, key)
    return None if found is None else found[1]


def find_with_seq(ask: Ask, key: Key) -> tuple[int, Found] | None:
    """Return the number and the row of the object that a key names."""
    if isinstance(key, Ref):
        return _by_id(ask, key.id)
    if not isinstance(key, str):
        raise no_key(key)
    try:
        row = ask(BY_NAME, (key,))
    except UnicodeEncodeError:
        return None  # half of a surrogate pair: no name has one
    if row is None:
        return _by_id(ask, key) if is_object_id(key) else None
    return row[0], (rows.object_id(row[0], row[1]), *row[2:])


def _by_id(ask: Ask, object_id: str) -> tuple[int, Found] | None:
    row = ask(BY_SEQ, rows.split_id(object_id)) if is_object_id(object_id) else None
    if row is None:
        row = ask(BY_ALIAS, (object_id,))
    return None if row is None else (row[0], (ObjectId(object_id), *row[2:]))
