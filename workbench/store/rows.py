"""The row of an object: its statement, its buffers' places, and its description as JSON.

Covers only how a row is written down; when is in ``store.py``, how it is read for listings in ``queries.py``.
"""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass
from typing import Any, Final

from workbench.objects import Description, Encoded, ObjectId

PLACE: Final = struct.Struct("<qqq")
"""One buffer in a layout: segment (0: the row's payload), offset, size in bytes."""

INSERT: Final = """
INSERT INTO objects (seq, id, kind, description, nbytes, charged, created, ttl, expires, pinned, tags, header, layout, payload)
SELECT latest + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
FROM store WHERE used + ? <= capacity"""
BY_ID: Final = "SELECT id, header, layout, payload, expires FROM objects WHERE id = ?"
BY_NAME: Final = (
    "SELECT id, header, layout, payload, expires FROM objects WHERE seq = (SELECT object FROM names WHERE name = ?)"
)

INLINE_OVERHEAD: Final = 512
"""Bytes charged for a row beyond its own: page, index and history entries, measured with pages half full."""
NAME_OVERHEAD: Final = 64
"""Bytes charged for a name beyond twice its own length (it is in the table, and its object in the index); the catalog's triggers say the
same."""

_described: dict[tuple[Any, ...], str] = {}
"""Descriptions of arrays as JSON: the same few shapes come again and again, and a small put takes 30 microseconds in all."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of an object before its buffers are written. `description` is JSON; sizes are bytes, times seconds."""

    id: ObjectId
    kind: str
    description: str
    nbytes: int
    created: float
    ttl: float | None
    pin: bool
    tags: dict[str, str] | None

    @classmethod
    def of(
        cls, object_id: ObjectId, encoded: Encoded, *, pin: bool, ttl: float | None, tags: dict[str, str] | None
    ) -> Row:
        """Return the row of a new object."""
        description = encoded.description
        return cls(object_id, description.kind, describe(description), encoded.nbytes, time.time(), ttl, pin, tags)

    def values(
        self, header: bytes | None, layout: bytes, payload: bytes | None, name: str | None
    ) -> tuple[tuple[Any, ...], int]:
        """Return the parameters of :data:`INSERT`, and the bytes that the row and its name take."""
        tags = json.dumps(self.tags) if self.tags else None
        parts = (header, layout, payload, self.description, tags)
        charged = INLINE_OVERHEAD + sum(len(part) for part in parts if part is not None)
        named = 0 if name is None else NAME_OVERHEAD + 2 * len(name.encode())
        values = (
            self.id,
            self.kind,
            self.description,
            self.nbytes,
            charged,
            self.created,
            self.ttl,
            None if self.ttl is None else self.created + self.ttl,
            self.pin,
            tags,
            header,
            layout,
            payload,
            charged + named,
        )
        return values, charged + named


def describe(description: Description) -> str:
    """Return a description as JSON."""
    if description.kind != "array" or description.notes:
        return _to_json(description)
    key = (description.type, description.shape, description.dtypes.get(""))
    text = _described.get(key)
    if text is None:
        if len(_described) > 1000:
            _described.clear()
        text = _described[key] = _to_json(description)
    return text


def _to_json(description: Description) -> str:
    return json.dumps(
        {
            "type": description.type,
            "shape": description.shape,
            "dtypes": description.dtypes,
            "notes": description.notes,
        }
    )


def parse(kind: str, text: str) -> Description:
    """Return the description that :func:`describe` wrote down."""
    fields = json.loads(text)
    shape = fields["shape"]
    return Description(
        kind, fields["type"], None if shape is None else tuple(shape), fields["dtypes"], tuple(fields["notes"])
    )
