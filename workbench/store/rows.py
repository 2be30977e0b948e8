"""The row of an object: its statement, its buffers' places, and its description as JSON.

Covers only how a row is written down; when is in ``writing.py``, how it is read for listings in ``queries.py``.
"""

from __future__ import annotations

import json
import os
import struct
import time
from typing import Any, Final, NamedTuple

from workbench.objects import Description, Encoded, ObjectId
from workbench.store.schema import object_id as object_id_of

PLACE: Final = struct.Struct("<qqq")
"""One buffer in a layout: segment (0: the row's payload), offset, size in bytes."""

INSERT: Final = """
INSERT INTO objects (
    seq, id, kind, description, nbytes, shared, charged, total, created, ttl, expires, pinned, tags, header, layout, payload)
VALUES (
    1 + max((SELECT latest FROM store), coalesce((SELECT max(seq) FROM objects), 0)), ?2, ?3, ?4, ?5, ?6, ?7,
    ?7 + max((SELECT total FROM store), coalesce((SELECT total FROM objects ORDER BY seq DESC LIMIT 1), 0)), ?8, ?9, ?10,
    (SELECT CASE WHEN used + ?1 <= capacity THEN ?11 END FROM usage), ?12, ?13, ?14, ?15)"""
"""Without room, `pinned` becomes null, which the table refuses: one statement, checked and done."""
INSERT_NEXT: Final = """
INSERT INTO objects (
    seq, id, kind, description, nbytes, shared, charged, total, created, ttl, expires, pinned, tags, header, layout, payload)
VALUES (?16, ?2, ?3, ?4, ?5, ?6, ?7, ?17, ?8, ?9, ?10,
    (SELECT CASE WHEN base + ?17 + ?1 - ?7 <= capacity AND latest < ?16 THEN ?11 END FROM store), ?12, ?13, ?14, ?15)"""
"""The same for who knows the newest object's number and total, and counts on from there. It is refused if an object came since: its number is taken,
or ``latest`` remembers it."""
NEWEST: Final = """
SELECT max(latest, coalesce((SELECT max(seq) FROM objects), 0)),
    max(total, coalesce((SELECT total FROM objects ORDER BY seq DESC LIMIT 1), 0)) FROM store"""
TOTAL: Final = "SELECT total FROM objects WHERE seq = ?"
_FOUND: Final = "SELECT seq, id, header, layout, payload, expires FROM objects WHERE "
BY_SEQ: Final = _FOUND + "seq = ? AND id = ?"
BY_SEQS: Final = _FOUND + "seq IN"
BY_ALIAS: Final = _FOUND + "seq = (SELECT object FROM aliases WHERE id = ?)"
BY_NAME: Final = _FOUND + "seq = (SELECT object FROM names WHERE name = ?)"

_RANDOM_NBYTES: Final = 10
"""The random part of an id; the rest is the object's number (``schema.py``)."""
INLINE_OVERHEAD: Final = 512
"""Bytes charged for a row beyond its own: page, index and history entries, measured with pages half full."""
NAME_OVERHEAD: Final = 64
"""Bytes charged for a name beyond twice its own length (it is in the table, and its object in the index); the catalog's triggers say the
same."""

_described: dict[int, tuple[Description, str]] = {}
"""Descriptions of arrays as JSON, by identity: codecs give the same one for arrays of the same shape, and a small put takes 25 microseconds in all."""


class Row(NamedTuple):
    """What is known of an object before its buffers are written. `description` is JSON; sizes are bytes, times seconds.

    `id` is None for an object that gets its id from its place in the catalog. `cached`: another node has an ordinary replica of it.
    """

    id: ObjectId | None
    kind: str
    description: str
    nbytes: int
    created: float
    ttl: float | None = None
    pin: bool = False
    tags: dict[str, str] | None = None
    cached: bool = False

    @classmethod
    def of(
        cls, object_id: ObjectId | None, encoded: Encoded, *, pin: bool, ttl: float | None, tags: dict[str, str] | None
    ) -> Row:
        """Return the row of a new object."""
        description = encoded.description
        return cls(object_id, description.kind, describe(description), encoded.nbytes, time.time(), ttl, pin, tags)

    def values(
        self, header: bytes | None, layout: bytes, payload: bytes | None, name: str | None, shared: int = 0
    ) -> tuple[Any, ...]:
        """Return the parameters of :data:`INSERT`; the first is how many bytes the row and its name take."""
        tags = json.dumps(self.tags) if self.tags else None
        charged = INLINE_OVERHEAD + len(layout) + len(self.description)
        for part in (header, payload, tags):
            if part is not None:
                charged += len(part)
        return (
            charged if name is None else charged + NAME_OVERHEAD + 2 * len(name.encode()),
            self.id or os.urandom(_RANDOM_NBYTES).hex(),
            self.kind,
            self.description,
            self.nbytes,
            shared,
            charged,
            self.created,
            self.ttl,
            None if self.ttl is None else self.created + self.ttl,
            self.pin,
            tags,
            header,
            layout,
            payload,
        )


def small(
    encoded: Encoded, nbytes: int, layout: bytes, payload: bytes, *, pin: bool, ttl: float | None
) -> tuple[Any, ...]:
    """Return what ``Row.of(...).values(...)`` would, for an object without name, id and tags, in half the time."""
    description, header, created = encoded.description, encoded.header, time.time()
    text = describe(description)
    charged = INLINE_OVERHEAD + len(layout) + len(text) + len(header) + len(payload)
    mark, expires = os.urandom(_RANDOM_NBYTES).hex(), None if ttl is None else created + ttl
    return (
        charged, mark, description.kind, text, nbytes, 0, charged, created, ttl, expires, pin, None, header, layout, payload,
    )  # fmt: skip


def object_id(seq: int, text: str) -> ObjectId:
    """Return the id of the object with a number and the column `id`."""
    return ObjectId(f"{seq:012x}{text}" if len(text) == 2 * _RANDOM_NBYTES else text)


def split_id(object_id: str) -> tuple[int, str]:
    """Return the number and the column `id` that an object has if its id is from this catalog."""
    return int(object_id[: -2 * _RANDOM_NBYTES], 16), object_id[-2 * _RANDOM_NBYTES :]


def with_id(object_id: str) -> tuple[str, tuple[int, str, str]]:
    """Return the condition, with its parameters, for the row ``o`` of the object with an id."""
    condition = f"o.seq IN (?, (SELECT object FROM aliases WHERE id = ?)) AND {object_id_of('o.')} = ?"
    return condition, (split_id(object_id)[0], object_id, object_id)


def describe(description: Description) -> str:
    """Return a description as JSON."""
    found = _described.get(id(description))
    if found is not None and found[0] is description:
        return found[1]
    text = _to_json(description)
    if description.kind == "array":
        if len(_described) > 1000:
            _described.clear()
        _described[id(description)] = description, text
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


def described(kind: str, text: str) -> Description:
    """Return the description of an object that is listed; one that cannot be understood says so, rather than hiding all others."""
    try:
        return parse(kind, text)
    except (ValueError, KeyError, TypeError):
        return Description(str(kind), "", notes=("Its description in the catalog is damaged.",))


def parse_tags(text: str | None) -> dict[str, str]:
    """Return the tags of an object that is listed; none if they cannot be understood."""
    try:
        tags = json.loads(text) if text else {}
    except (ValueError, TypeError):
        return {}
    return tags if isinstance(tags, dict) else {}


def parse(kind: str, text: str) -> Description:
    """Return the description that :func:`describe` wrote down."""
    fields = json.loads(text)
    shape = fields["shape"]
    return Description(
        kind, fields["type"], None if shape is None else tuple(shape), fields["dtypes"], tuple(fields["notes"])
    )
