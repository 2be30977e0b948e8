"""Putting, naming and deleting objects: what changes a store.

Covers the transactions, and their order with the steps on segments (``allocation.py``). Reading is in ``reading.py``.

A put of more than the setting ``inline``: reserve a segment (transaction), write it, seal it and add the object's row (transaction:
the seal). A process that dies before the second commit leaves a lockable ``writing`` segment, which the next one that opens
the store or needs room removes. Smaller objects are one INSERT.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from workbench.errors import NameConflictError, StoreFullError
from workbench.objects import Encoded, Key, ObjectId, is_object_id
from workbench.store import eviction, segments
from workbench.store.allocation import Allocator, OutOfRoomError, Reservation
from workbench.store.catalog import expired
from workbench.store.reading import Reader, find
from workbench.store.rows import INSERT, PLACE, Row

_T = TypeVar("_T")

_HEADER_IN_ROW: Final = 64 << 10
"""Bytes; a longer header (a large pickle) lies in the segment, as the first buffer."""
_LONGEST_NAME: Final = 10_000
"""Characters."""


class Writer:
    """Changes one store.

    Parameters
    ----------
    reader : Reader
    allocator : Allocator
    inline : int
        Bytes up to which an object lies in the catalog.
    """

    def __init__(self, reader: Reader, allocator: Allocator, inline: int) -> None:
        self.reader = reader
        self.catalog = reader.catalog
        self.allocator = allocator
        self._inline = inline

    def put(self, encoded: Encoded, name: str | None, row: Row) -> None:
        """Write an object's bytes and its row; see :meth:`Store.put`."""
        insert = self._insert_inline if encoded.nbytes <= self._inline else self._insert_segment
        insert(encoded, name, row)

    def _insert_inline(self, encoded: Encoded, name: str | None, row: Row) -> None:
        payload = b"".join(encoded.buffers) if len(encoded.buffers) != 1 else bytes(encoded.buffers[0])
        layout, offset = b"", 0
        for buffer in encoded.buffers:
            layout += PLACE.pack(0, offset, buffer.nbytes)
            offset += buffer.nbytes
        values, charged = row.values(encoded.header, layout, payload, name)
        self.with_room(charged, lambda: self._insert_row(name, values, charged))

    def _insert_row(self, name: str | None, values: tuple[Any, ...], charged: int) -> None:
        if name is None:
            if self.catalog.execute_write(INSERT, values) != 1:
                raise OutOfRoomError(charged, file_system=False)
            return
        with self.catalog.write() as write:
            _, replaced = self._insert_named(write, name, values, charged)
        if replaced:
            self._trim()

    def _insert_named(
        self, write: sqlite3.Connection, name: str | None, values: tuple[Any, ...], room: int
    ) -> tuple[int, bool]:
        cursor = write.execute(INSERT, values)
        if cursor.rowcount != 1:
            raise OutOfRoomError(room, file_system=False)
        seq = int(cursor.lastrowid or 0)
        return seq, name is not None and self._bind(write, name, seq)

    def _insert_segment(self, encoded: Encoded, name: str | None, row: Row) -> None:
        pieces, header = list(encoded.buffers), encoded.header
        if len(header) > _HEADER_IN_ROW:
            pieces.insert(0, memoryview(header))
        offsets, end = segments.layout(piece.nbytes for piece in pieces)

        def write_all() -> None:
            with self.writing(max(end, 1)) as reservation:
                self.allocator.write(reservation, pieces, offsets)
                places_ = zip(offsets, pieces, strict=True)
                layout = b"".join(PLACE.pack(reservation.segment, offset, piece.nbytes) for offset, piece in places_)
                self.seal(reservation, name, row, header if len(header) <= _HEADER_IN_ROW else None, layout)

        self.with_room(end, write_all)

    def writing(self, nbytes: int) -> Writing:
        """Reserve a segment for the time of a ``with`` block; it is abandoned unless :meth:`seal` was called in it."""
        return Writing(self.allocator, nbytes)

    def seal(self, reservation: Reservation, name: str | None, row: Row, header: bytes | None, layout: bytes) -> None:
        """Add the object whose buffers lie in `reservation`, in one transaction.

        Raises
        ------
        OutOfRoomError
            The row itself did not fit; the room that is asked for is the segment's as well, which is given up meanwhile.
        """
        values, charged = row.values(header, layout, None, name)
        with self.catalog.write() as write:
            self.allocator.seal(write, reservation)
            seq, replaced = self._insert_named(write, name, values, reservation.nbytes + charged)
            write.execute("INSERT INTO uses VALUES (?, ?)", (seq, reservation.segment))
        self.allocator.finish(reservation)
        if replaced:
            self._trim()

    def with_room(self, nbytes: int, action: Callable[[], _T]) -> _T:
        """Do something that may find no room, making room as long as there is something to give up.

        Raises
        ------
        StoreFullError
            Nothing is left to give up.
        """
        while True:
            try:
                return action()
            except OutOfRoomError as full:
                if not eviction.make_room(self, full.nbytes):
                    raise eviction.full_error(
                        self.catalog, self.reader.directory, nbytes, file_system=full.file_system
                    ) from None

    def bind(self, name: str, key: Key) -> None:
        """Give an object a name, atomically taking it from the object that had it."""
        check_name(name)
        with self.catalog.write() as write:
            seq, object_id = self._find(write, key)
            replaced = self._bind(write, name, seq)
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
        if replaced:
            self._trim()

    def unbind(self, name: str, object_id: ObjectId) -> None:
        """Take a name from an object, if it still has it; the object goes with its last name, unless it is pinned."""
        with self.catalog.write() as write:
            row = write.execute(
                "SELECT seq, pinned FROM objects WHERE id = ? AND seq = (SELECT object FROM names WHERE name = ?)",
                (object_id, name),
            ).fetchone()
            if row is None:
                return
            write.execute("DELETE FROM names WHERE name = ?", (name,))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
            gone = not row[1] and not write.execute("SELECT 1 FROM names WHERE object = ?", (row[0],)).fetchone()
            if gone:
                self._delete(write, row[0])
        if gone:
            self._trim()

    def _find(self, write: sqlite3.Connection, key: Key) -> tuple[int, ObjectId]:
        """Find an object within the transaction, so that its name cannot be rebound in between."""
        row = find(lambda statement, parameters: write.execute(statement, parameters).fetchone(), key)
        if row is None or expired(row[4]):
            raise self.reader.not_found(key)
        seq: int = write.execute("SELECT seq FROM objects WHERE id = ?", (row[0],)).fetchone()[0]
        return seq, ObjectId(row[0])

    def _bind(self, write: sqlite3.Connection, name: str, seq: int) -> bool:
        """Bind a name; return whether the object that had it was deleted."""
        old = write.execute("SELECT object FROM names WHERE name = ?", (name,)).fetchone()
        write.execute(
            "INSERT INTO names VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET object = excluded.object", (name, seq)
        )
        if old is not None and old[0] != seq:
            kept = write.execute(
                "SELECT pinned OR EXISTS (SELECT 1 FROM names WHERE object = seq) FROM objects WHERE seq = ?", (old[0],)
            ).fetchone()
            if kept is not None and not kept[0]:
                self._delete(write, old[0])
                return True
        return False

    def delete(self, key: Key) -> None:
        """Delete an object; who maps it keeps what it has, until it lets go.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id.
        """
        try:
            self._delete_found(key)
        except StoreFullError:
            # The catalog needs a few pages to forget an object, and the file system has none: take them from the pool.
            if not self.allocator.empty_free():
                raise
            self._delete_found(key)
        self._trim()

    def _delete_found(self, key: Key) -> None:
        with self.catalog.write() as write:
            self._delete(write, self._find(write, key)[0])

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
        self.catalog.compact()

    def set_pinned(self, key: Key, *, pinned: bool) -> None:
        """Pin or unpin an object."""
        with self.catalog.write() as write:
            seq, object_id = self._find(write, key)
            write.execute("UPDATE objects SET pinned = ? WHERE seq = ?", (pinned, seq))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'pinned')", (object_id,))


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
    try:
        name.encode()
    except UnicodeEncodeError:
        encodable = False
    else:
        encodable = True
    if not name or len(name) > _LONGEST_NAME or "\0" in name or not encodable:
        raise NameConflictError(
            f"{name[:50]!r} cannot be a name: names have 1 to {_LONGEST_NAME} characters of Unicode, none of them null."
        )
    if is_object_id(name):
        raise NameConflictError(f"{name!r} cannot be a name: it has the form of an object id.")
