"""Encoded objects for tests of the store, which does not care what they are."""

from __future__ import annotations

import random

from workbench.objects import Description, Encoded
from workbench.store import Record


def encoded(*sizes: int, seed: int = 0, header: bytes = b"header", kind: str = "array") -> Encoded:
    """An object with buffers of these sizes, filled with bytes that depend on the seed."""
    source = random.Random(seed)  # reproducible, not secret
    buffers = tuple(memoryview(source.randbytes(size)) for size in sizes)
    return Encoded(Description(kind, "test.Object", (sum(sizes),), {"": "uint8"}), header, buffers)


def same(record: Record, wanted: Encoded) -> bool:
    """Whether a record has exactly the header and the buffers that were put."""
    return record.header == wanted.header and [bytes(b) for b in record.buffers] == [bytes(b) for b in wanted.buffers]
