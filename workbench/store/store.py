"""The store of one host: put, read, name and delete encoded objects.

Covers the order of steps that makes the invariants hold; it never encodes or decodes (``codecs``), and knows nothing
of other hosts (``cluster``). Read next: ``allocation.py`` (segments), ``catalog.py`` (rows), ``queries.py`` (listing),
``raw.py`` (copying objects to other nodes).

A put of more than the setting ``inline``: reserve a segment (transaction), write it, seal it and add the object's row (transaction:
the seal). A process that dies before the second commit leaves a lockable ``writing`` segment, which the next one that opens
the store or needs room removes. Smaller objects are one INSERT.
"""

from __future__ import annotations

import difflib
import mmap
import os
import sqlite3
import time
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from workbench import config
from workbench.errors import NameConflictError, ObjectNotFoundError, StoreError, StoreFullError
from workbench.objects import Encoded, Holder, Key, Memory, ObjectId, ObjectInfo, Ref, is_object_id, new_object_id
from workbench.store import directory as places
from workbench.store import eviction, queries, segments
from workbench.store.allocation import Allocator, OutOfRoom, Reservation
from workbench.store.catalog import INLINE_OVERHEAD, Catalog, expired
from workbench.store.holders import ProcessFile
from workbench.store.pool import Pool
from workbench.store.raw import Export, Import
from workbench.store.rows import BY_ID, BY_NAME, INSERT, PLACE, Row

_HEADER_IN_ROW: Final = 64 << 10
"""Bytes; a longer header (a large pickle) lies in the segment, as the first buffer."""
_LONGEST_NAME: Final = 10_000
"""Characters."""
_PATIENCE: Final = 10.0
"""Seconds that a reader waits for a segment whose lock is being examined."""



class Record(NamedTuple):
    """An object as it lies in the store; each buffer is read-only, and keeps the lease as long as it lives."""

    id: ObjectId
    header: bytes
    buffers: tuple[memoryview, ...]


class Store:
    """One host's segments and the catalog beside them. Open one with :meth:`open`.

    Safe to use from several threads, and after a fork in the child.
    """

    def __init__(self, directory: Path, catalog: Catalog, allocator: Allocator, process: ProcessFile, inline: int) -> None:
        self.directory = directory
        self.catalog = catalog
        self.allocator = allocator
        self._process = process
        self._inline = inline
        self._mappings: dict[int, weakref.ref[mmap.mmap]] = {}
        self._forget_at = 100
        self._finalizer = weakref.finalize(self, _close, catalog, allocator.pool, process, os.getpid())
        _after_fork(self)

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        capacity: int | str | None = None,
        create: bool = True,
        process: tuple[str, str] | None = None,
    ) -> Store:
        """Open the store in a directory, making it if it is not there.

        Parameters
        ----------
        directory : path, optional
            The setting ``workbench.directory``, else the user's directory in /dev/shm.
        capacity : int or str, optional
            Bytes, or text such as ``"2 GiB"``. It becomes the store's capacity, for every process.
        create : bool
            Make the store if it is not there yet.
        process : tuple of kind and label, optional
            What this process is called in lists of holders.

        Raises
        ------
        StoreError
            If the directory cannot be used; the message says why.
        """
        place = Path(directory).expanduser().absolute() if directory is not None else places.default_directory()
        places.prepare(place, create=create)
        wanted = config.get_nbytes("capacity", capacity)
        if wanted is not None and wanted < places.MINIMUM_CAPACITY:
            raise StoreError(f"A capacity of {wanted} bytes is too small for a store: it needs at least {places.MINIMUM_CAPACITY}.")
        default = places.default_capacity(place)
        catalog = Catalog(place / places.CATALOG, lambda: (uuid.uuid4().hex, wanted or default))
        if wanted is not None and wanted != catalog.capacity:
            catalog.set_capacity(wanted)
        pool_nbytes = config.get_nbytes("pool")
        pool = Pool(catalog.capacity // 4 if pool_nbytes is None else pool_nbytes)
        threads = int(config.get("copy-threads") or min(4, len(os.sched_getaffinity(0))))
        allocator = Allocator(place, catalog, pool, in_memory=places.is_memory(place), threads=threads)
        store = cls(place, catalog, allocator, ProcessFile(place), config.get_nbytes("inline") or 0)
        if process is not None:
            store.set_process(*process)
        allocator.reclaim()
        return store

    def close(self) -> None:
        """Close the store. Objects that were read stay valid; the store itself stays on the host."""
        self._finalizer()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.directory}>"

    def reset_after_fork(self) -> None:
        """In a forked child: connections, kept mappings and the process file are the parent's; make new ones."""
        self.catalog.reopen_after_fork()
        self.allocator.pool.reset_after_fork()
        self._process.reopen_after_fork()
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _close, self.catalog, self.allocator.pool, self._process, os.getpid())

    @property
    def id(self) -> str:
        """The node's id: 32 hexadecimal digits, made with the store."""
        return self.catalog.id

    def set_process(self, kind: str, label: str) -> None:
        """Say what this process is called in lists of holders.

        Parameters
        ----------
        kind : str
            ``kernel``, ``worker``, ``server`` or ``script``.
        label : str
            Notebook path, worker name or script path.
        """
        self._process.set_identity(kind, label)

    # -- writing ---------------------------------------------------------------------------------------------------

    def put(
        self,
        encoded: Encoded,
        name: str | None = None,
        *,
        pin: bool = False,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
        id: ObjectId | None = None,
    ) -> Ref:
        """Write an encoded object; it is visible, complete, when this returns.

        Parameters
        ----------
        encoded : Encoded
        name : str, optional
            Bound to the object. If another object had the name, it is deleted unless another name or a pin keeps it.
        pin : bool
            Keep the object in memory, and keep it when its last name goes.
        ttl : float, optional
            Seconds after which the object is deleted.
        tags : dict of str to str, optional
        id : ObjectId, optional
            For a replica of an object that has an id already.

        Raises
        ------
        StoreFullError
            There is no room; nothing was written.
        NameConflictError
            The name cannot be a name.
        """
        if name is not None:
            check_name(name)
        object_id = id or new_object_id()
        writer = self._insert_inline if encoded.nbytes <= self._inline else self._insert_segment
        writer(encoded, name, Row.of(object_id, encoded, pin=pin, ttl=ttl, tags=tags))
        return Ref(object_id, name, encoded.description.kind, encoded.nbytes)

    def _insert_inline(self, encoded: Encoded, name: str | None, row: Row) -> None:
        payload = b"".join(encoded.buffers) if len(encoded.buffers) != 1 else bytes(encoded.buffers[0])
        layout, offset = b"", 0
        for buffer in encoded.buffers:
            layout += PLACE.pack(0, offset, buffer.nbytes)
            offset += buffer.nbytes
        charged = len(encoded.header) + len(payload) + len(row.description) + INLINE_OVERHEAD
        values = row.values(charged, encoded.header, layout, payload)
        self._with_room(charged, lambda: self._insert_row(name, values, charged))

    def _insert_row(self, name: str | None, values: tuple[Any, ...], charged: int) -> None:
        if name is None:
            if self.catalog.execute_write(INSERT, values) != 1:
                raise OutOfRoom(charged, file_system=False)
            return
        with self.catalog.write() as write:
            self._insert_named(write, name, values, charged)
        self._trim()

    def _insert_named(self, write: sqlite3.Connection, name: str | None, values: tuple[Any, ...], charged: int) -> int:
        cursor = write.execute(INSERT, values)
        if cursor.rowcount != 1:
            raise OutOfRoom(charged, file_system=False)
        seq = int(cursor.lastrowid or 0)
        if name is not None:
            self._bind(write, name, seq)
        return seq

    def _insert_segment(self, encoded: Encoded, name: str | None, row: Row) -> None:
        pieces, header = list(encoded.buffers), encoded.header
        if len(header) > _HEADER_IN_ROW:
            pieces.insert(0, memoryview(header))
        offsets, end = segments.layout(piece.nbytes for piece in pieces)

        def write_all() -> None:
            with self.writing(end) as reservation:
                self.allocator.write(reservation, pieces, offsets)
                places_ = zip(offsets, pieces, strict=True)
                layout = b"".join(PLACE.pack(reservation.segment, offset, piece.nbytes) for offset, piece in places_)
                self.seal(reservation, name, row, header if len(header) <= _HEADER_IN_ROW else None, layout)

        self._with_room(end, write_all)

    def writing(self, nbytes: int) -> Writing:
        """Reserve a segment for the time of a ``with`` block; it is abandoned unless :meth:`seal` was called in it."""
        return Writing(self.allocator, nbytes)

    def seal(self, reservation: Reservation, name: str | None, row: Row, header: bytes | None, layout: bytes) -> None:
        """Add the object whose buffers lie in `reservation`, in one transaction."""
        charged = len(header or b"") + len(row.description) + INLINE_OVERHEAD
        with self.catalog.write() as write:
            self.allocator.seal(write, reservation)
            seq = self._insert_named(write, name, row.values(charged, header, layout, None), charged)
            write.execute("INSERT INTO uses VALUES (?, ?)", (seq, reservation.segment))
        self.allocator.finish(reservation)
        self._trim()

    def _with_room(self, nbytes: int, action: Callable[[], None]) -> None:
        while True:
            try:
                return action()
            except OutOfRoom as full:
                if not eviction.make_room(self, full.nbytes):
                    raise eviction.full_error(self, nbytes, file_system=full.file_system) from None

    # -- names and deleting ----------------------------------------------------------------------------------------

    def bind(self, name: str, key: Key) -> None:
        """Give an object a name, atomically taking it from the object that had it."""
        check_name(name)
        object_id = self.resolve(key)
        with self.catalog.write() as write:
            row = write.execute("SELECT seq FROM objects WHERE id = ?", (object_id,)).fetchone()
            if row is None:
                raise self.not_found(key)
            self._bind(write, name, row[0])
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
        self._trim()

    def _bind(self, write: sqlite3.Connection, name: str, seq: int) -> None:
        old = write.execute("SELECT object FROM names WHERE name = ?", (name,)).fetchone()
        write.execute("INSERT INTO names VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET object = excluded.object", (name, seq))
        if old is not None and old[0] != seq:
            kept = write.execute(
                "SELECT pinned OR EXISTS (SELECT 1 FROM names WHERE object = seq) FROM objects WHERE seq = ?", (old[0],)
            ).fetchone()
            if kept is not None and not kept[0]:
                self._delete(write, old[0])

    def delete(self, key: Key) -> None:
        """Delete an object; who maps it keeps what it has, until it lets go.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id.
        """
        object_id = self.resolve(key)
        with self.catalog.write() as write:
            row = write.execute("SELECT seq FROM objects WHERE id = ?", (object_id,)).fetchone()
            if row is not None:
                self._delete(write, row[0])
        if row is None:
            raise self.not_found(key)
        self._trim()

    def delete_expired(self) -> int:
        """Delete the objects whose `ttl` is over; return how many there were."""
        with self.catalog.write() as write:
            rows = write.execute("SELECT seq FROM objects WHERE expires < ?", (time.time(),)).fetchall()
            for (seq,) in rows:
                self._delete(write, seq)
        return len(rows)

    def _delete(self, write: sqlite3.Connection, seq: int) -> None:
        used = [row[0] for row in write.execute("SELECT segment FROM uses WHERE object = ?", (seq,))]
        write.execute("DELETE FROM names WHERE object = ?", (seq,))
        write.execute("DELETE FROM uses WHERE object = ?", (seq,))
        write.execute("DELETE FROM objects WHERE seq = ?", (seq,))
        for segment in used:
            if write.execute("SELECT 1 FROM uses WHERE segment = ?", (segment,)).fetchone() is None:
                write.execute("UPDATE segments SET state = 'free' WHERE segment = ?", (segment,))

    def _trim(self) -> None:
        row = self.catalog.row("SELECT sum(nbytes) FROM segments WHERE state = 'free'")
        if row is not None and (row[0] or 0) > self.allocator.pool.limit:
            self.allocator.release_free(keep=self.allocator.pool.limit)

    def pin(self, key: Key) -> None:
        """Keep an object in memory, and keep it when its last name goes."""
        self._set_pinned(key, pinned=True)

    def unpin(self, key: Key) -> None:
        """Undo :meth:`pin`."""
        self._set_pinned(key, pinned=False)

    def _set_pinned(self, key: Key, *, pinned: bool) -> None:
        object_id = self.resolve(key)
        with self.catalog.write() as write:
            write.execute("UPDATE objects SET pinned = ? WHERE id = ?", (pinned, object_id))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'pinned')", (object_id,))

    # -- reading ---------------------------------------------------------------------------------------------------

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
            except (FileNotFoundError, segments.SegmentBusy) as error:
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
        if isinstance(key, Ref):
            return self.catalog.row(BY_ID, (key.id,))
        if not isinstance(key, str):
            raise TypeError(f"A key is a name, an id or a Ref, not {type(key).__name__}.")
        row = self.catalog.row(BY_NAME, (key,))
        return self.catalog.row(BY_ID, (key,)) if row is None and is_object_id(key) else row

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
            mapping, inode = segments.map_leased(segments.segment_path(self.directory, segment), segment)
            self._mappings[segment] = weakref.ref(mapping)
            self._process.leased(inode)
            if len(self._mappings) > self._forget_at:
                self._forget_dead()
        return mapping

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

    # -- listing ---------------------------------------------------------------------------------------------------

    def info(self, key: Key) -> ObjectInfo:
        """Return what the catalog knows about one object."""
        object_id = self.resolve(key)
        found = queries.objects(self.catalog, self.directory, where="o.id = ?", parameters=(object_id,))
        if not found:
            raise self.not_found(key)
        return found[0]

    def ls(self, pattern: str = "*", *, kind: str | None = None, limit: int | None = None) -> list[ObjectInfo]:
        """List objects, newest first.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``"*"`` also lists the objects without a name.
        kind : str, optional
            Only objects of this kind.
        limit : int, optional
            At most so many.
        """
        return queries.listing(self.catalog, self.directory, pattern, kind=kind, limit=limit)

    def names(self) -> dict[str, ObjectId]:
        """Return every name with the id of its object."""
        rows = self.catalog.rows("SELECT name, id FROM names JOIN objects ON seq = object")
        return {name: ObjectId(object_id) for name, object_id in rows}

    def data_version(self) -> int:
        """Return a number that changes when anybody changes the catalog; cheap enough to ask ten times a second."""
        return self.catalog.data_version()

    def changes(self, since: queries.Version | None = None) -> queries.Changes:
        """Return what changed since a version (None: everything that there is)."""
        return queries.changes(self.catalog, self.directory, since)

    def holders(self, key: Key | None = None) -> list[Holder]:
        """List the processes that have a lease on one object, or on anything."""
        return queries.holders(self.catalog, self.directory, None if key is None else self.resolve(key))

    def memory(self) -> Memory:
        """Tell where the bytes are; each is counted once."""
        return queries.memory(self.catalog, self.directory)

    def export(self, key: Key) -> Export:
        """Open an object to read its bytes in ranges, for another node."""
        return Export(self, key)

    def import_(self, meta: dict[str, Any]) -> Import:
        """Begin a replica of another node's object; see :class:`~workbench.store.raw.Import`.

        Raises
        ------
        StoreFullError
            There is no room here; nothing was changed.
        TransferError
            The description is damaged.
        """
        return Import(self, meta)

    def doctor(self) -> list[str]:
        """Reclaim what dead processes left, and look for damage; return a sentence for each thing found."""
        return self.allocator.reclaim() + queries.damage(self.catalog, self.directory)


class Writing:
    """A reserved segment for the time of a ``with`` block; abandoned on leaving, unless it was sealed."""

    def __init__(self, allocator: Allocator, nbytes: int) -> None:
        self._allocator = allocator
        self._nbytes = nbytes

    def __enter__(self) -> Reservation:
        self._reservation = self._allocator.reserve(self._nbytes)
        return self._reservation

    def __exit__(self, *error: object) -> None:
        if not self._reservation.sealed:
            self._allocator.abandon(self._reservation)


def check_name(name: str) -> None:
    """Refuse what cannot be a name.

    Raises
    ------
    TypeError
        If it is not text.
    NameConflictError
        If it is empty, too long, contains a null character, or looks like an object id.
    """
    if not isinstance(name, str):
        raise TypeError(f"A name is text, not {type(name).__name__}.")
    if not name or len(name) > _LONGEST_NAME or "\0" in name:
        raise NameConflictError(f"{name[:50]!r} cannot be a name: names have 1 to {_LONGEST_NAME} characters, none of them null.")
    if is_object_id(name):
        raise NameConflictError(f"{name!r} cannot be a name: it has the form of an object id.")


def _close(catalog: Catalog, pool: Pool, process: ProcessFile, pid: int) -> None:
    if os.getpid() == pid:
        process.close()
        pool.close()
        catalog.close()


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork(store: Store) -> None:
    if not _stores:
        os.register_at_fork(after_in_child=_reset_stores)
    _stores.add(store)


def _reset_stores() -> None:
    for store in list(_stores):
        store.reset_after_fork()
