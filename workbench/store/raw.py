"""Objects as bytes, for whoever copies them to another node: read ranges here, write ranges there, seal.

Covers one side each; the way in between is the cluster's. Nothing here decodes an object: what travels is a description of a few
kilobytes, and either the concatenation of its buffers (the payload: files) or their image, which has the gaps that they have in a segment (the
network: what arrives is where it belongs). Read next: ``landing.py``.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import StoreError, TransferError
from workbench.objects import Encoded, ObjectId, Ref
from workbench.store import rows, segments
from workbench.store.allocation import OutOfRoomError, Reservation
from workbench.store.drafts import Draft
from workbench.store.landing import Landing

if TYPE_CHECKING:
    from types import TracebackType

    from workbench.objects import Key
    from workbench.store.store import Store


class Export:
    """A sealed object to be read in ranges; it keeps the lease until it is closed.

    Attributes
    ----------
    nbytes : int
        Length of the payload in bytes.
    image_nbytes : int
        Length of the image in bytes.
    """

    def __init__(self, store: Store, key: Key) -> None:
        record = store.read(key)
        self._store = store
        self._id = record.id
        self._header = record.header
        self._buffers = record.buffers
        self._sizes = [buffer.nbytes for buffer in record.buffers]
        self._offsets, self.image_nbytes = segments.layout(self._sizes)
        self.nbytes = sum(self._sizes)

    @property
    def meta(self) -> dict[str, Any]:
        """What :class:`Import` needs to know.

        ``id``, ``kind``, ``header``, ``description`` (JSON), ``sizes`` (bytes of each buffer), ``nbytes``, ``created``, ``ttl``, ``pinned``,
        ``tags``, ``names``.
        """
        info = self._store.info(self._id)
        description = {"type": info.type, "shape": info.shape, "dtypes": info.dtypes, "notes": info.notes}
        return {
            "id": self._id,
            "kind": info.kind,
            "header": self._header,
            "description": json.dumps(description),
            "sizes": self._sizes,
            "nbytes": len(self._header) + self.nbytes,
            "created": info.created,
            "ttl": info.ttl,
            "pinned": info.pinned,
            "tags": info.tags,
            "names": list(info.names),
        }

    def read(self, offset: int, nbytes: int) -> memoryview:
        """Return a range of the payload, without a copy where it lies in one buffer.

        Parameters
        ----------
        offset, nbytes : int
            In bytes; the range must lie within the payload.
        """
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise ValueError(f"The range {offset}+{nbytes} is outside the payload of {self.nbytes} bytes.")
        parts, start = [], 0
        for buffer in self._buffers:
            stop = start + buffer.nbytes
            if stop > offset and start < offset + nbytes:
                parts.append(buffer[max(0, offset - start) : offset + nbytes - start])
            start = stop
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def image(self, offset: int, nbytes: int) -> list[memoryview]:
        """Return a range of the image as it lies, without a copy: parts of buffers, and zeros for the gaps in between.

        Parameters
        ----------
        offset, nbytes : int
            In bytes; the range must lie within the image.
        """
        stop = offset + nbytes
        if offset < 0 or nbytes < 0 or stop > self.image_nbytes:
            raise ValueError(f"The range {offset}+{nbytes} is outside the image of {self.image_nbytes} bytes.")
        parts, end = [], offset
        for number in range(max(0, bisect.bisect_right(self._offsets, offset) - 1), len(self._buffers)):
            start = self._offsets[number]
            if start >= stop:
                break
            low, high = max(start, offset), min(start + self._sizes[number], stop)
            if low < high:
                if low > end:
                    parts.append(memoryview(bytes(low - end)))
                parts.append(self._buffers[number][low - start : high - start])
                end = high
        if end < stop:
            parts.append(memoryview(bytes(stop - end)))
        return parts

    def close(self) -> None:
        """Let go of the object."""
        self._buffers = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def describe(
    object_id: ObjectId, encoded: Encoded, *, pin: bool, ttl: float | None, tags: dict[str, str] | None
) -> dict[str, Any]:
    """Return what :attr:`Export.meta` would say of an object that lies in no store yet."""
    return {
        "id": object_id,
        "kind": encoded.description.kind,
        "header": encoded.header,
        "description": rows.describe(encoded.description),
        "sizes": [buffer.nbytes for buffer in encoded.buffers],
        "nbytes": encoded.nbytes,
        "created": time.time(),
        "ttl": ttl,
        "pinned": pin,
        "tags": tags or {},
        "names": [],
    }


class Import:
    """A replica in the making; invisible until :meth:`seal`, and gone if that is never called.

    Parameters
    ----------
    store : Store
    meta : dict
        From :attr:`Export.meta`, perhaps over a network: it is checked.
    cached : bool
        The replica may be dropped when there is no room; see ``caching.py``.
    names : sequence of str
        What the object is called elsewhere: it has these names from the first moment, but none that a newer object has here.

    Attributes
    ----------
    nbytes : int
        Length of the payload in bytes.
    image_nbytes : int
        Length of the image in bytes.
    """

    def __init__(self, store: Store, meta: dict[str, Any], *, cached: bool = False, names: Sequence[str] = ()) -> None:
        self._store = store
        self._names = names
        self._id, self._row, self._header, self._sizes = _parse_meta(meta)
        if cached:
            # A pin is a wish for the node where it was said.
            self._row = self._row._replace(cached=True, pin=False)
        self.nbytes = sum(self._sizes)
        self._offsets, self.image_nbytes = segments.layout(self._sizes)
        self._reservation: Reservation | None = None
        self._landing: Landing | None = None
        self._received = 0
        self._landed: set[tuple[int, int]] = set()
        if not store.exists(self._id):
            reserve = functools.partial(store.allocator.reserve, max(self.image_nbytes, 1))
            self._reservation = store.writer.with_room(self.image_nbytes, reserve)

    @property
    def is_needed(self) -> bool:
        """Tell whether anything has to come: False if the object is here already."""
        return self._reservation is not None

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write a range of the payload; ranges may come in any order, and from several threads, each once."""
        view = memoryview(data).cast("B")
        if offset < 0 or offset + view.nbytes > self.nbytes:
            raise TransferError(
                f"Object {self._id}: the range {offset}+{view.nbytes} is outside its {self.nbytes} bytes."
            )
        if self._reservation is None:
            return
        pieces, offsets, start = [], [], 0
        for size, place in zip(self._sizes, self._offsets, strict=True):
            low, high = max(start, offset), min(start + size, offset + view.nbytes)
            if low < high:
                pieces.append(view[low - offset : high - offset])
                offsets.append(place + low - start)
            start += size
        try:
            for piece, place in zip(pieces, offsets, strict=True):
                self._store.allocator.write_range(self._reservation, piece, place)
        except OutOfRoomError:
            raise self._store.writer.full_error(self.nbytes, file_system=True) from None
        self._received += view.nbytes

    @contextlib.contextmanager
    def land(self, offset: int, nbytes: int) -> Iterator[memoryview]:
        """Give memory for a range of the image, which is filled at the end of the block; an exception in the block takes that back.

        Ranges may come in any order, from several threads and more than once (with the same bytes), but they do not overlap by halves. Nobody may
        write to one after :meth:`seal` or :meth:`abort`.

        Raises
        ------
        StoreFullError
            The file system has filled up.
        """
        if offset < 0 or nbytes < 0 or offset + nbytes > self.image_nbytes:
            raise TransferError(
                f"Object {self._id}: the range {offset}+{nbytes} is outside its {self.image_nbytes} bytes."
            )
        if self._reservation is None:
            yield memoryview(bytearray(nbytes))
            return
        if self._landing is None:
            self._landing = Landing(self._reservation, in_memory=self._store.allocator.in_memory)
        try:
            with self._landing.range(offset, nbytes) as view:
                yield view
        except OutOfRoomError:
            raise self._store.writer.full_error(self.nbytes, file_system=True) from None
        self._landed.add((offset, nbytes))

    def seal(self, name: str | None = None) -> Ref:
        """Make the replica visible, under a name if one is given; a no-op if the object came to this node in another way meanwhile.

        Raises
        ------
        TransferError
            If bytes are missing. Nothing is visible then.
        """
        ref = Ref(self._id, None, self._row.kind, self._row.nbytes)
        if self._reservation is None:
            return ref
        landed = sum(nbytes for _, nbytes in self._landed)
        if self._received != self.nbytes and landed != self.image_nbytes:
            raise TransferError(
                f"Object {self._id}: {max(self._received, landed)} of {self.nbytes} bytes arrived. Nothing was kept; try again."
            )
        if self._landing is not None:
            self._landing.close()
        if self._store.exists(self._id):
            self.abort()
            return ref
        segment = self._reservation.segment
        places = [(segment, offset, size) for offset, size in zip(self._offsets, self._sizes, strict=True)]
        draft = Draft(
            self._row, name, self._header, None, [], [], self._reservation.nbytes, frozenset(), places, self._names
        )
        try:
            seal, reservation = self._store.writer.seal, self._reservation
            self._store.writer.with_room(self.nbytes, lambda: seal(reservation, draft))
        except StoreError:
            if not self._store.exists(self._id):
                raise
            self.abort()
        self._reservation = None
        return ref

    def abort(self) -> None:
        """Give up; nothing of the replica stays."""
        if self._reservation is not None and not self._reservation.sealed:
            self._store.allocator.abandon(self._reservation)
        self._reservation = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _parse_meta(meta: dict[str, Any]) -> tuple[ObjectId, rows.Row, bytes, list[int]]:
    try:
        description = str(meta["description"])
        rows.parse(str(meta["kind"]), description)
        sizes = [int(size) for size in meta["sizes"]]
        header = bytes(meta["header"])
        ttl = None if meta["ttl"] is None else float(meta["ttl"])
        tags = {str(key): str(value) for key, value in meta["tags"].items()}
        object_id = ObjectId(str(meta["id"]))
        row = rows.Row(
            id=object_id,
            kind=str(meta["kind"]),
            description=description,
            nbytes=int(meta["nbytes"]),
            created=float(meta["created"]),
            ttl=ttl,
            pin=bool(meta["pinned"]),
            tags=tags,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TransferError(f"The description of an object that was to come here is damaged: {error!r}.") from error
    if min(sizes, default=0) < 0 or len(header) + sum(sizes) != row.nbytes:
        raise TransferError(f"Object {row.id}: its sizes do not add up to its {row.nbytes} bytes. Nothing was written.")
    return object_id, row, header, sizes
