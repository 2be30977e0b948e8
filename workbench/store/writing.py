"""Putting objects: how they come into a store, and how room is made for them.

Covers the transactions, and their order with the steps on segments (``allocation.py``). Names and deleting are in ``naming.py``, reading in ``reading.py``.

A put of more than the setting ``inline``: reserve a segment (transaction), write it, seal it and add the object's row (transaction:
the seal). A process that dies before the second commit leaves a lockable ``writing`` segment, which the next one that opens
the store or needs room removes. Smaller objects are one INSERT.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from workbench.errors import StoreError, StoreFullError
from workbench.objects import Encoded, ObjectId, Ref
from workbench.store import drafts, eviction, rows, segments
from workbench.store.allocation import Allocator, OutOfRoomError, Reservation
from workbench.store.burying import refuse_buried
from workbench.store.descriptors import with_descriptors
from workbench.store.full import full_error
from workbench.store.mappings import Mappings
from workbench.store.naming import Names
from workbench.store.reading import Reader, find
from workbench.store.rows import INSERT, INSERT_NEXT, NEWEST, TOTAL, Row
from workbench.store.spill import Spiller

_T = TypeVar("_T")

_ASK_FROM: Final = 1 << 20
"""Bytes of rows; a single one is not worth a question."""
_IN_A_MOMENT: Final = 0.02
"""Seconds until another look, where others have what could be spilled in hand."""
_MOST_IN_VAIN: Final = 20
"""Times that a put is tried again because there seemed to be room."""


class SegmentGoneError(Exception):
    """A segment that this process maps is no longer the store's, or has another file by now."""


class Writer:
    """Changes one store.

    Parameters
    ----------
    reader : Reader
    allocator : Allocator
    spiller : Spiller
    names : Names
    inline : int
        Bytes up to which an object lies in the catalog.
    """

    def __init__(self, reader: Reader, allocator: Allocator, spiller: Spiller, names: Names, inline: int) -> None:
        self.reader = reader
        self.catalog = reader.catalog
        self.allocator = allocator
        self.spiller = spiller
        self.names = names
        self.inline = inline
        self._unasked = 0
        # The catalog's version after this process's last small put, that object's number, and the total of charges (None: not asked for).
        self._newest: tuple[bytes, int, int | None] = (b"", 0, None)

    def _ask_for(self, nbytes: int, write: sqlite3.Connection | None = None) -> None:
        """Ask now and then whether the machine and the control groups have room for more rows, beyond which the kernel kills."""
        self._unasked += nbytes
        if self._unasked >= _ASK_FROM:
            if not self.allocator.in_memory or self.allocator.headroom.take(self._unasked):
                self._unasked = 0
            elif self.catalog.free_nbytes(write) < nbytes:
                raise OutOfRoomError(self._unasked, file_system=True)

    def put(self, encoded: Encoded, name: str | None, row: Row) -> ObjectId:
        """Write an object's bytes and its row; see :meth:`Store.put`."""
        if row.nbytes > self.inline:
            return self._put_drafts([(encoded, name, row)])[0]
        draft = drafts.inline(encoded, name, row)
        return self.with_room(row.nbytes, lambda: self.seal_all([draft], []))[0]

    def put_small(self, encoded: Encoded, nbytes: int, *, pin: bool, ttl: float | None) -> ObjectId:
        """Write an object of at most `inline` bytes that has no name, no id and no tags: one statement."""
        payload, layout = drafts.payload(encoded.buffers)
        values = rows.small(encoded, nbytes, layout, payload, pin=pin, ttl=ttl)
        try:
            seq = self._insert_only(values)
        except OutOfRoomError:
            seq = self.with_room(values[0], lambda: self._insert_only(values))
        return rows.object_id(seq, values[1])

    def put_many(self, items: Sequence[tuple[Encoded, str | None, Row]]) -> list[ObjectId]:
        """Write several objects; all of them become visible at once, or none."""
        if any(name is not None or row.nbytes > self.inline for _, name, row in items):
            return self._put_drafts(items)
        made = []
        for encoded, _, row in items:
            payload, layout = drafts.payload(encoded.buffers)
            made.append(row.values(encoded.header, layout, payload, None))
        return self.with_room(sum(values[0] for values in made), lambda: self._insert_rows(made))

    def _insert_rows(self, made: Sequence[tuple[Any, ...]]) -> list[ObjectId]:
        """Add rows that nothing else refers to."""
        self._ask_for(sum(values[0] for values in made))
        with self.catalog.write() as write:
            latest, total = write.execute(NEWEST).fetchone()
            totals = itertools.accumulate((values[6] for values in made), initial=total)
            next(totals)
            try:
                write.executemany(
                    INSERT_NEXT, [(*values, latest + 1 + at, next(totals)) for at, values in enumerate(made)]
                )
            except sqlite3.IntegrityError:
                raise OutOfRoomError(sum(values[0] for values in made), file_system=False) from None
        return [rows.object_id(latest + 1 + at, values[1]) for at, values in enumerate(made)]

    def _insert_only(self, values: tuple[Any, ...]) -> int:
        """Add a row that nothing else refers to: one statement.

        As long as nobody else commits anything, this process knows the next number and need not ask: an eighth of a small put.
        """
        self._ask_for(values[0])
        catalog = self.catalog
        alone = self._newest[0] == catalog.version()
        if alone and self._newest[2] is not None:
            _, seq, total = self._newest
            seq, total = seq + 1, total + values[6]
            # Who had to wait for a turn would be too late. Somebody may be quicker even so, or there is no room: the longer statement tells which.
            with contextlib.suppress(sqlite3.IntegrityError):
                if catalog.write_if_free(INSERT_NEXT, (*values, seq, total)):
                    self._newest = catalog.version(), seq, total
                    return seq
        try:
            seq = catalog.execute_write(INSERT, values)
        except sqlite3.IntegrityError:
            raise OutOfRoomError(values[0], file_system=False) from None
        version = catalog.version()
        found = catalog.row(TOTAL, (seq,)) if alone else None
        self._newest = version, seq, None if found is None else found[0]
        return seq

    def _put_drafts(self, items: Sequence[tuple[Encoded, str | None, Row]]) -> list[ObjectId]:
        mappings: Mappings | None = self.reader.mappings
        while True:
            made = [
                drafts.inline(encoded, name, row)
                if encoded.nbytes <= self.inline
                else drafts.in_segments(encoded, name, row, mappings)
                for encoded, name, row in items
            ]
            try:
                wanted = sum(draft.nbytes for draft in made)
                return self.with_room(wanted, functools.partial(self._write_all, made))
            except SegmentGoneError:
                # Mapped here, but no longer the store's (a spilled object that was deleted), or on disk and restored since: then it is copied like
                # any other memory.
                mappings = None

    def _write_all(self, made: list[drafts.Draft]) -> list[ObjectId]:
        with contextlib.ExitStack() as open_:
            reservations = []
            for draft in made:
                reservation = open_.enter_context(self.writing(draft.nbytes)) if draft.pieces else None
                if reservation is not None:
                    self.allocator.write(reservation, draft.pieces, draft.offsets)
                reservations.append(reservation)
            return self.seal_all(made, reservations)

    def seal_all(
        self,
        made: Sequence[drafts.Draft],
        reservations: Sequence[Reservation | None],
        parts: Sequence[Reservation] = (),
        *,
        visible: Callable[[], None] = lambda: None,
    ) -> list[ObjectId]:
        """Seal what was written and add the rows, in one transaction.

        Parameters
        ----------
        made : sequence of Draft
        reservations : sequence of Reservation or None
            The segment of each draft's own pieces.
        parts : sequence of Reservation
            Segments that were written before, and that the drafts refer to.
        visible : callable
            Called when the objects can be seen, and before their segments can be recycled, whatever becomes of the objects meanwhile.
        """
        replaced = False
        ids = []
        own = {written.segment for written in (*reservations, *parts) if written is not None}
        with self.catalog.write() as write:
            for part in parts:
                self.allocator.seal(write, part)
            for draft, reservation in itertools.zip_longest(made, reservations):
                segment = 0
                if reservation is not None:
                    self.allocator.seal(write, reservation)
                    segment = reservation.segment
                object_id, replaces = self._insert(write, draft, segment, own)
                ids.append(object_id)
                replaced |= replaces
        visible()
        for written in (*reservations, *parts):
            if written is not None:
                self.allocator.finish(written)
        if replaced:
            self.names.trim()
        return ids

    def _insert(
        self, write: sqlite3.Connection, draft: drafts.Draft, segment: int, own: set[int]
    ) -> tuple[ObjectId, bool]:
        row = draft.row
        foreign = self._refer(write, draft.shared - own)
        layout, shared = draft.layout(segment), draft.nbytes_in(foreign)
        values = row.values(draft.header, layout, draft.payload, draft.name, shared)
        self._ask_for(values[0], write)
        if row.id is not None:
            refuse_buried(write, row.id)
            if find(lambda *question: write.execute(*question).fetchone(), Ref(row.id)):
                raise StoreError(f"Object {row.id} is in the store {self.reader.directory} already.")
        try:
            seq = write.execute(INSERT, values).lastrowid or 0
        except sqlite3.IntegrityError:
            # The segment is given up meanwhile, so its room is asked for as well.
            raise OutOfRoomError(values[0] + draft.nbytes, file_system=False) from None
        if row.id is not None:
            write.execute("INSERT INTO aliases VALUES (?, ?)", (row.id, seq))
        if row.cached:
            write.execute("INSERT INTO cached VALUES (?)", (seq,))
        used = draft.shared | {segment} if segment else draft.shared
        write.executemany("INSERT INTO uses VALUES (?, ?)", [(seq, each) for each in used])
        replaced = draft.name is not None and self.names.bind_row(write, draft.name, seq)
        has, _, others_replaced = self.names.adopt_rows(write, draft.adopts, seq)
        if draft.adopts and not has and draft.name is None:
            # In the same step: without a name and without a tag nobody would find it again, should this process die now. A cached one, too: it may be
            # the one that is kept, when the object was replaced elsewhere while it was on its way.
            self.names.tag_conflict(write, draft.adopts[0], seq, rows.object_id(seq, values[1]))
        replaced |= others_replaced
        return rows.object_id(seq, values[1]), replaced

    def _refer(self, write: sqlite3.Connection, shared: frozenset[int]) -> set[int]:
        """Make sure that segments which this process maps stay the store's; return those that other objects own."""
        foreign = set()
        for segment in shared:
            statement = (
                "SELECT state, (SELECT min(object) FROM uses WHERE segment = ?1) FROM segments WHERE segment = ?1"
            )
            row = write.execute(statement, (segment,)).fetchone()
            if row is None or not self._is_leased(segment):
                raise SegmentGoneError(segment)
            if row[0] == "free":
                # Its last object was deleted. It cannot be recycled, because this process has a lease: so it is used again.
                write.execute(
                    "UPDATE segments SET state = 'sealed', freed = NULL, was = NULL WHERE segment = ?", (segment,)
                )
                # Who has tried to take it meanwhile has made it writable before he met the lease.
                os.chmod(segments.segment_path(self.reader.directory, segment), 0o400)
            elif row[1] is not None:
                foreign.add(segment)
        return foreign

    def _is_leased(self, segment: int) -> bool:
        """Tell whether what this process maps is the file that the segment has now, so that all its bytes are still in that.

        It may be the one that the segment had on disk before it was restored: then nothing has kept others from giving back parts of the new one.
        """
        mapping = self.reader.mappings.held(segment)
        if mapping is None:
            return False
        try:
            status = os.stat(segments.segment_path(self.reader.directory, segment))
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == (mapping.device, mapping.inode)

    def writing(self, nbytes: int) -> Writing:
        """Reserve a segment for the time of a ``with`` block; it is abandoned unless :meth:`seal` was called in it."""
        return Writing(self.allocator, nbytes)

    def seal(self, reservation: Reservation, draft: drafts.Draft) -> ObjectId:
        """Add the object whose buffers were written into `reservation`, in one transaction.

        Raises
        ------
        OutOfRoomError
            The row itself did not fit; the room that is asked for is the segment's as well, which is given up meanwhile.
        StoreError
            The object is here already.
        """
        return self.seal_all([draft], [reservation])[0]

    def with_room(self, nbytes: int, action: Callable[[], _T]) -> _T:
        """Do something that may find no room, making room as long as there is something to give up.

        Raises
        ------
        StoreFullError
            Nothing is left to give up.
        """
        in_vain = 0
        while True:
            try:
                return with_descriptors(self.allocator.pool, action)
            except OutOfRoomError as full:
                if self._never_fits(nbytes):
                    raise self.full_error(nbytes, file_system=False) from None
                made = eviction.make_room(self, full.nbytes)
                # Room that somebody else made may be gone again; and there are reasons that cannot be seen, such as a quota.
                in_vain += made is not eviction.Made.SOMETHING
                nothing = made is eviction.Made.NOTHING
                if in_vain > _MOST_IN_VAIN or (nothing and not eviction.may_spill_soon(self)):
                    raise self.full_error(nbytes, file_system=full.file_system) from None
                if nothing:
                    time.sleep(_IN_A_MOMENT)

    def _never_fits(self, nbytes: int) -> bool:
        row = self.catalog.row("SELECT capacity FROM usage")
        return row is not None and nbytes > row[0]

    def full_error(self, nbytes: int, *, file_system: bool) -> StoreFullError:
        """Return the error that says what is full, and why nothing was spilled."""
        place = self.spiller.place
        trouble = self.spiller.trouble or (place.refusal(0, 0) if place.path is None else "")
        of_node = self.reader.process.kind == "worker"
        return full_error(
            self.catalog, self.reader.directory, nbytes, file_system=file_system, spilling=trouble, of_node=of_node
        )


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
