"""What a store must do, in twenty lines of dictionaries.

Covers objects, names, pins and times to live, one operation at a time. Segments, the pool, spilling and who maps what make no
difference to what there is: that is what the model is for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.testing.operations import Operation, State

_NOT_FOUND = "error: object-not-found"


@dataclass(slots=True)
class _Entry:
    names: set[str] = field(default_factory=set)
    pinned: bool = False


class Model:
    """Does what a store does to a dictionary; see :class:`~workbench.testing.operations.Operation`.

    An object with a ``ttl`` of less than a second counts as expired at once.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self.held: dict[str, str] = {}

    def copy(self) -> Model:
        """Return a model in the same state."""
        other = Model()
        other._entries = {label: _Entry(set(entry.names), entry.pinned) for label, entry in self._entries.items()}
        other.held = dict(self.held)
        return other

    def perform(self, operation: Operation) -> str | None:
        """Do it; return what a :class:`~workbench.testing.operations.Performer` returns."""
        if operation.what == "put":
            self._add(operation)
        elif operation.what == "release":
            self.held.pop(operation.name or operation.key, None)
        elif operation.what != "doctor":
            label = self.find(operation.key)
            return _NOT_FOUND if label is None else self._do(operation, label)
        return None

    def _do(self, operation: Operation, label: str) -> str | None:
        entry = self._entries[label]
        match operation.what:
            case "cut":
                self._add(operation)
            case "bind":
                self._bind(operation.name or "", label)
            case "unbind" if operation.name in entry.names:
                entry.names.discard(operation.name)
                self._drop_unless_kept(label)
            case "delete":
                del self._entries[label]
            case "pin" | "unpin":
                entry.pinned = operation.what == "pin"
            case "read":
                return label
            case "hold":
                self.held[operation.name or operation.key] = label
                return label
        return None

    def _add(self, operation: Operation) -> None:
        self._entries[operation.label] = _Entry(pinned=operation.pin)
        if operation.name is not None:
            self._bind(operation.name, operation.label)
        if operation.ttl is not None and operation.ttl < 1:
            del self._entries[operation.label]

    def _bind(self, name: str, label: str) -> None:
        for other, entry in list(self._entries.items()):
            if name in entry.names and other != label:
                entry.names.discard(name)
                self._drop_unless_kept(other)
        self._entries[label].names.add(name)

    def _drop_unless_kept(self, label: str) -> None:
        entry = self._entries[label]
        if not entry.names and not entry.pinned:
            del self._entries[label]

    def find(self, key: str) -> str | None:
        """Return the label of the object that a name names, or that ``#`` and the label do."""
        for label, entry in self._entries.items():
            if key in entry.names or key == f"#{label}":
                return label
        return None

    def state(self) -> State:
        """Return everything that there is."""
        return {label: (tuple(sorted(entry.names)), entry.pinned) for label, entry in self._entries.items()}
