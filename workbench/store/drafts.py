"""What a put is going to write: which of an object's buffers lie in segments already, and where the others go.

Covers deciding only (structural sharing); writing the bytes and the row is in ``writing.py``. A buffer that lies in a mapped segment of this store is
referred to, not copied: whoever puts it has a view of it, so its lease is held, and nobody can recycle the segment before the
new object's row says that it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from workbench.objects import Encoded
from workbench.store import segments
from workbench.store.rows import PLACE, Row

SHARED_FROM: Final = 16 << 10
"""Bytes; a shorter buffer is copied, because it would keep a whole segment alive for little."""
_HEADER_IN_ROW: Final = 64 << 10
"""Bytes; a longer header (a large pickle) lies in the segment, as the first buffer."""
_OWN: Final = -1


@dataclass(frozen=True, slots=True)
class Draft:
    """One object that is to be written.

    Attributes
    ----------
    row : Row
    name : str or None
    header : bytes or None
        None where it is the first buffer.
    payload : bytes or None
        All buffers together, of an object that lies in the catalog.
    pieces : list of memoryview
        What goes into a segment of its own, at `offsets`, in all `nbytes` bytes.
    shared : frozenset of int
        Segments that it refers to.
    places : list of tuple
        Segment, offset and bytes of each buffer.
    adopts : sequence of str
        Names that it gets as well, unless a newer object has them.
    """

    row: Row
    name: str | None
    header: bytes | None
    payload: bytes | None
    pieces: list[memoryview]
    offsets: list[int]
    nbytes: int
    shared: frozenset[int]
    places: list[tuple[int, int, int]]
    adopts: Sequence[str] = ()

    def layout(self, segment: int) -> bytes:
        """Return the places, when the object's own segment is known."""
        return b"".join(PLACE.pack(segment if place[0] == _OWN else place[0], *place[1:]) for place in self.places)

    def nbytes_in(self, segments_: set[int]) -> int:
        """Return how many bytes of the object lie in some segments."""
        return sum(nbytes for segment, _, nbytes in self.places if segment in segments_)


def payload(buffers: Sequence[memoryview]) -> tuple[bytes, bytes]:
    """Return the buffers of an object that lies in the catalog's row as one, and their layout."""
    if len(buffers) == 1:
        joined = bytes(buffers[0])
        return joined, PLACE.pack(0, 0, len(joined))
    layout, offset = b"", 0
    for buffer in buffers:
        layout += PLACE.pack(0, offset, buffer.nbytes)
        offset += buffer.nbytes
    return b"".join(row for buffer in buffers for row in _rows(buffer)), layout


def inline(encoded: Encoded, name: str | None, row: Row) -> Draft:
    """Draft an object that lies in the catalog's row."""
    joined, layout = payload(encoded.buffers)
    return Draft(row, name, encoded.header, joined, [], [], 0, frozenset(), list(PLACE.iter_unpack(layout)))


class Finder(Protocol):
    """What tells which segment some memory lies in: :class:`~workbench.store.mappings.Mappings`, for one."""

    def find(self, address: int, nbytes: int) -> tuple[Any, int] | None:
        """Return something that has a ``segment``, and the offset in it; None if the memory lies in none."""


def in_segments(
    encoded: Encoded, name: str | None, row: Row, mappings: Finder | None, *, shared_from: int = SHARED_FROM
) -> Draft:
    """Draft an object that lies in segments; without `mappings` all of it is written anew.

    Parameters
    ----------
    encoded : Encoded
    name : str or None
    row : Row
    mappings : Finder or None
    shared_from : int
        Bytes; shorter buffers are written anew.
    """
    header: bytes | None = encoded.header
    buffers = list(encoded.buffers)
    if len(encoded.header) > _HEADER_IN_ROW:
        buffers.insert(0, memoryview(encoded.header))
        header = None
    shared = [None if mappings is None else _find(mappings, buffer, shared_from) for buffer in buffers]
    pieces = [buffer for buffer, place in zip(buffers, shared, strict=True) if place is None and buffer.nbytes]
    offsets, end = segments.layout(piece.nbytes for piece in pieces)
    own = iter(offsets)
    places = [
        place or ((_OWN, next(own), buffer.nbytes) if buffer.nbytes else (0, 0, 0))
        for buffer, place in zip(buffers, shared, strict=True)
    ]
    used = frozenset(place[0] for place in shared if place is not None)
    pieces, offsets = _in_rows(pieces, offsets)
    return Draft(row, name, header, None, pieces, offsets, end, used, places)


def _rows(buffer: memoryview) -> list[memoryview]:
    """Return the contiguous runs of bytes of a buffer; a flat one is one."""
    return [buffer] if buffer.ndim == 1 else [row.data for row in np.asarray(buffer)]


def _in_rows(buffers: list[memoryview], offsets: list[int]) -> tuple[list[memoryview], list[int]]:
    if all(buffer.ndim == 1 for buffer in buffers):
        return buffers, offsets
    pieces, places = [], []
    for buffer, offset in zip(buffers, offsets, strict=True):
        for number, row in enumerate(_rows(buffer)):
            pieces.append(row)
            places.append(offset + number * row.nbytes)
    return pieces, places


def _find(mappings: Finder, buffer: memoryview, shared_from: int) -> tuple[int, int, int] | None:
    nbytes = buffer.nbytes
    if nbytes < shared_from or buffer.ndim > 1:  # what lies in rows was asked for before it was taken so
        return None
    found = mappings.find(np.frombuffer(buffer, np.uint8).ctypes.data, nbytes)
    return None if found is None else (found[0].segment, found[1], nbytes)
