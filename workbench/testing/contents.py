"""Objects that carry their own checksum, so that whoever reads one can tell whether every byte is as it was put.

Covers making, cutting and verifying such objects. The header says a label and the checksum of each buffer; the store keeps both
apart (the header in the catalog's row, the buffers in a segment), so that bytes of another object do not pass either.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from workbench.objects import Description, Encoded, ObjectId
from workbench.store import Record

_BLOCK_NBYTES: Final = 4 << 20


class DamagedError(AssertionError):
    """An object's bytes are not those that were put."""


def object_id(label: str) -> ObjectId:
    """Return the id of an object with this label that is put with an id of its own, as replicas are: the same in every process."""
    return ObjectId(hashlib.blake2b(label.encode(), digest_size=16).hexdigest())


def make(label: str, sizes: Sequence[int], *, header_nbytes: int = 0) -> Encoded:
    """Return an object with buffers of these sizes.

    Parameters
    ----------
    label : str
        Two labels give different bytes in every page.
    sizes : sequence of int
        Bytes of each buffer.
    header_nbytes : int
        The header is padded to this length in bytes.
    """
    return _encoded(label, tuple(_fill(f"{label}/{n}", nbytes) for n, nbytes in enumerate(sizes)), header_nbytes)


def label_of(record: Record) -> str:
    """Return the label of an object, nothing verified.

    Raises
    ------
    DamagedError
        It has none.
    """
    return _parse(record)[0]


def cut(record: Record, label: str, start: int, stop: int) -> Encoded:
    """Return an object whose buffers are ``[start:stop]`` of those of another one, where they lie mapped."""
    return _encoded(label, tuple(buffer[start:stop] for buffer in record.buffers), 0)


def verify(record: Record) -> str:
    """Return the label of an object.

    Raises
    ------
    DamagedError
        If a byte of it is not as it was put.
    """
    label, sums = _parse(record)
    found = _sums(record.buffers)
    if found != sums:
        wrong = [n for n, (one, other) in enumerate(zip(found, sums, strict=False)) if one != other]
        raise DamagedError(f"object {record.id} ({label!r}): {len(found)} of {len(sums)} buffers, wrong ones {wrong}")
    return label


def _parse(record: Record) -> tuple[str, list[Any]]:
    try:
        said = json.loads(record.header)
        return str(said["label"]), list(said["sums"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"object {record.id}: its header is {record.header[:80]!r}") from error


def _encoded(label: str, buffers: tuple[memoryview, ...], header_nbytes: int) -> Encoded:
    header = json.dumps({"label": label, "sums": _sums(buffers)}).encode().ljust(header_nbytes)
    shape = (sum(buffer.nbytes for buffer in buffers),)
    return Encoded(Description("object", "workbench.testing.Content", shape), header, buffers)


def _sums(buffers: Iterable[memoryview]) -> list[list[int]]:
    return [[buffer.nbytes, zlib.crc32(buffer)] for buffer in buffers]


@functools.lru_cache(maxsize=4)
def _block(count: int) -> memoryview:
    return memoryview(random.Random(0).randbytes(_BLOCK_NBYTES) * count)  # noqa: S311  # no secret


def _fill(text: str, nbytes: int) -> memoryview:
    start = zlib.crc32(text.encode()) % _BLOCK_NBYTES
    return _block(2 + nbytes // _BLOCK_NBYTES)[start : start + nbytes]
