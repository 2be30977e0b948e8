"""What can be done with a store, as values: they are drawn at random, sent to other processes, and done to a model as well.

Covers the operations and doing them on a real store (:class:`Performer`). What must come of them is in ``model.py``; doing them in
another process is in ``actors.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from workbench.errors import ObjectNotFoundError, WorkbenchError
from workbench.objects import Encoded, ObjectInfo
from workbench.store import Record, Store
from workbench.testing import contents

What = Literal[
    "put", "cut", "bind", "unbind", "delete", "pin", "unpin", "spill", "restore", "read", "hold", "release", "doctor"
]

State = dict[str, tuple[tuple[str, ...], bool]]
"""Everything that there is: label to names (sorted) and whether it is pinned."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Parameters
    ----------
    what : str
    key : str
        Name of the object that it is about, or ``#`` and its label.
    name : str, optional
        The name to give or to take.
    label : str
        Of the new object.
    sizes : tuple of int
        Bytes of each buffer; for ``cut`` the first and the last byte to take from each.
    header_nbytes : int
    pin : bool
    ttl : float, optional
        Seconds.
    own_id : bool
        The object brings an id with it, as a replica does; else the store gives it one.
    """

    what: What
    key: str = ""
    name: str | None = None
    label: str = ""
    sizes: tuple[int, ...] = ()
    header_nbytes: int = 0
    pin: bool = False
    ttl: float | None = None
    own_id: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Operation:
        """Return the operation that was sent."""
        return cls(**{**fields, "sizes": tuple(fields["sizes"])})


def has(store: Store, what: What) -> bool:
    """Tell whether a store knows an operation: not each can spill."""
    return what not in ("spill", "restore") or hasattr(store, what)


class Performer:
    """Does operations on one store, and keeps the objects that it is told to hold.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.held: dict[str, Record] = {}

    def perform(self, operation: Operation) -> str | None:
        """Do it; return the label that was read, or the kind of the error that it raised."""
        try:
            result: str | None = getattr(self, f"_{operation.what}")(operation)
        except WorkbenchError as error:
            return f"error: {error.kind}"
        return result

    def verify_held(self) -> dict[str, str]:
        """Return what is held and its label, each byte verified again."""
        return {slot: contents.verify(record) for slot, record in self.held.items()}

    def _key(self, operation: Operation) -> str:
        label = operation.key.removeprefix("#")
        if label == operation.key:
            return label
        for info in self.store.ls():
            with contextlib.suppress(ObjectNotFoundError):
                if contents.label_of(self.store.read(info.id)) == label:
                    return info.id
        raise ObjectNotFoundError(f"There is no object labelled {label!r}.")

    def _put(self, operation: Operation) -> None:
        encoded = contents.make(operation.label, operation.sizes, header_nbytes=operation.header_nbytes)
        self._write(encoded, operation)

    def _cut(self, operation: Operation) -> None:
        record = self.store.read(self._key(operation))
        contents.verify(record)
        self._write(contents.cut(record, operation.label, *operation.sizes), operation)

    def _write(self, encoded: Encoded, operation: Operation) -> None:
        self.store.put(
            encoded,
            operation.name,
            pin=operation.pin,
            ttl=operation.ttl,
            id=contents.object_id(operation.label) if operation.own_id else None,
        )

    def _bind(self, operation: Operation) -> None:
        self.store.bind(operation.name or "", self._key(operation))

    def _unbind(self, operation: Operation) -> None:
        self.store.unbind(operation.name or "", self.store.resolve(self._key(operation)))

    def _delete(self, operation: Operation) -> None:
        self.store.delete(self._key(operation))

    def _pin(self, operation: Operation) -> None:
        self.store.pin(self._key(operation))

    def _unpin(self, operation: Operation) -> None:
        self.store.unpin(self._key(operation))

    def _spill(self, operation: Operation) -> None:
        object_id = self.store.resolve(self._key(operation))
        # Whether it can be moved just now (somebody may hold it) is no matter of what there is.
        with contextlib.suppress(WorkbenchError):
            self.store.spill(object_id)

    def _restore(self, operation: Operation) -> None:
        object_id = self.store.resolve(self._key(operation))
        with contextlib.suppress(WorkbenchError):
            self.store.restore(object_id)

    def _read(self, operation: Operation) -> str:
        return contents.verify(self.store.read(self._key(operation)))

    def _hold(self, operation: Operation) -> str:
        record = self.store.read(self._key(operation))
        self.held[operation.name or operation.key] = record
        return contents.verify(record)

    def _release(self, operation: Operation) -> None:
        self.held.pop(operation.name or operation.key, None)
        gc.collect()

    def _doctor(self, _: Operation) -> None:
        # That it makes room, where an object was deleted of which another one shares a part, is no damage.
        found = [said for said in self.store.doctor() if not said.endswith("given back.")]
        assert not found, found


def state(store: Store) -> State:
    """Read everything that a store has, each byte verified; others may change it meanwhile.

    Raises
    ------
    DamagedError
        If a byte is wrong.
    """
    return {label: (tuple(sorted(info.names)), info.pinned) for label, info in labelled(store)}


def labelled(store: Store) -> Iterator[tuple[str, ObjectInfo]]:
    """Yield the verified label of each object that a store has, with what is known of it."""
    for info in store.ls():
        with contextlib.suppress(KeyError):  # deleted since it was listed
            yield contents.verify(store.read(info.id)), info
