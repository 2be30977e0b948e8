"""Objects as bytes, for whoever copies them to another node: read ranges here, write ranges there, seal.

Covers one side each; the way in between is the cluster's. Nothing here decodes an object: what travels is the
concatenation of its buffers (the payload) and a description of a few kilobytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import StoreError, TransferError
from workbench.objects import ObjectId, Ref
from workbench.store import rows, segments
from workbench.store.allocation import OutOfRoomError, Reservation
from workbench.store.drafts import Draft

if TYPE_CHECKING:
    from types import TracebackType

    from workbench.objects import Key
    from workbench.store.store import Store


class Export:
    """A sealed object to be read in ranges; it keeps the lease until it is closed.

    Attributes
    ----------
    meta : dict
        What :class:`Import` needs to know: ``id``, ``kind``, ``header``, ``description`` (JSON), ``sizes`` (bytes of each buffer),
        ``nbytes``, ``created``, ``ttl``, ``pinned``, ``tags``, ``names``.
    nbytes : int
        Length of the payload in bytes.
    """

    def __init__(self, store: Store, key: Key) -> None:
        record = store.read(key)
        info = store.info(record.id)
        self._buffers = record.buffers
        sizes = [buffer.nbytes for buffer in record.buffers]
        self.nbytes = sum(sizes)
        description = {"type": info.type, "shape": info.shape, "dtypes": info.dtypes, "notes": info.notes}
        self.meta: dict[str, Any] = {
            "id": record.id,
            "kind": info.kind,
            "header": record.header,
            "description": json.dumps(description),
            "sizes": sizes,
            "nbytes": len(record.header) + self.nbytes,
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

    def close(self) -> None:
        """Let go of the object."""
        self._buffers = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Import:
    """A replica in the making; invisible until :meth:`seal`, and gone if that is never called.

    Parameters
    ----------
    store : Store
    meta : dict
        From :attr:`Export.meta`, perhaps over a network: it is checked.
    """

    def __init__(self, store: Store, meta: dict[str, Any]) -> None:
        self._store = store
        self._id, self._row, self._header, self._sizes = _parse_meta(meta)
        self.nbytes = sum(self._sizes)
        self._offsets, end = segments.layout(self._sizes)
        self._reservation: Reservation | None = None
        self._received = 0
        if not store.exists(self._id):
            self._reservation = store.writer.with_room(end, lambda: store.allocator.reserve(max(end, 1)))

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

    def seal(self) -> Ref:
        """Make the replica visible; a no-op if the object came to this node in another way meanwhile.

        Raises
        ------
        TransferError
            If bytes are missing. Nothing is visible then.
        """
        ref = Ref(self._id, None, self._row.kind, self._row.nbytes)
        if self._reservation is None:
            return ref
        if self._received != self.nbytes:
            raise TransferError(
                f"Object {self._id}: {self._received} of {self.nbytes} bytes arrived. Nothing was kept; try again."
            )
        if self._store.exists(self._id):
            self.abort()
            return ref
        segment = self._reservation.segment
        places = [(segment, offset, size) for offset, size in zip(self._offsets, self._sizes, strict=True)]
        draft = Draft(self._row, None, self._header, None, [], [], self._reservation.nbytes, frozenset(), places)
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
