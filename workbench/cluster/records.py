"""How the scheduler remembers objects: small records, a million of which fit into a few hundred megabytes.

Covers the records themselves and what they share. An :class:`Entry` is an object, a :class:`Copy` is its replica on one node. What many objects
have in common (kind, type, dtypes, notes) is one :class:`Form` for all of them; tags are tuples, for most objects the same empty one. No record has a
dictionary of its own. Read next: ``indexes.py``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from workbench.objects import ObjectId, ObjectInfo, Replica

if TYPE_CHECKING:
    from workbench.cluster.nodes import Node

Tags = tuple[tuple[str, str], ...]


class Form:
    """What objects of one making have in common."""

    __slots__ = ("__weakref__", "dtypes", "kind", "notes", "type")

    def __init__(self, kind: str, type_: str, dtypes: dict[str, str], notes: tuple[str, ...]) -> None:
        self.kind = sys.intern(kind)
        self.type = sys.intern(type_)
        self.dtypes = dtypes
        self.notes = notes


class Forms:
    """The forms that objects have now; one that no object has any more is forgotten by itself."""

    def __init__(self) -> None:
        self._forms: WeakValueDictionary[object, Form] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._forms)

    def of(self, info: ObjectInfo) -> Form:
        """Return the form of an object."""
        key = (info.kind, info.type, tuple(info.dtypes.items()), info.notes)
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = Form(info.kind, info.type, info.dtypes, info.notes)
        return form


class Aged:
    """Something that has a place among the objects in the order of their age; ids decide between objects of the same moment.

    This order also decides who has a name: ids of different nodes say nothing about age, and two clocks may show the same time.
    """

    __slots__ = ("created", "id")

    def __init__(self, created: float, object_id: ObjectId) -> None:
        self.created = created
        self.id = object_id

    def __lt__(self, other: Aged) -> bool:
        if self.created != other.created:
            return self.created < other.created
        return self.id < other.id


class Copy:
    """A replica. `names` are those that its node binds to it, whoever has them in the cluster; sizes are bytes."""

    __slots__ = ("entry", "last_used", "names", "nbytes", "node", "pinned", "shared_nbytes", "state", "ttl")

    def __init__(self, node: Node, entry: Entry, info: ObjectInfo) -> None:
        self.node = node
        self.entry = entry
        self.nbytes = info.nbytes
        self.shared_nbytes = info.shared_nbytes
        # One float for both, as long as nobody has mapped the object.
        self.last_used = info.created if info.last_used == info.created else info.last_used
        self.pinned = info.pinned
        self.ttl = info.ttl
        self.state = sys.intern(info.replicas[0].state) if info.replicas else "memory"
        self.names: tuple[str, ...] = ()

    @property
    def id(self) -> ObjectId:
        """Id of the object."""
        return self.entry.id

    @property
    def kind(self) -> str:
        """Kind of the object."""
        return self.entry.form.kind

    def replica(self) -> Replica:
        """Return the replica as callers see it."""
        state = self.state if self.node.workers else "lost"
        return Replica(self.node.id, self.node.name, state, self.nbytes)


class Entry(Aged):
    """An object. `names` are those that it has in the cluster; `copies` are few, and never none while the entry is in the catalog."""

    __slots__ = ("copies", "dataset", "form", "names", "shape", "tags")

    def __init__(self, info: ObjectInfo, form: Form) -> None:
        super().__init__(info.created, info.id)
        self.form = form
        self.shape = info.shape
        dataset = info.tags.get("dataset")
        self.dataset = None if dataset is None else ObjectId(sys.intern(dataset))
        self.tags: Tags = ()
        self.names: tuple[str, ...] = ()
        self.copies: tuple[Copy, ...] = ()

    def copy_on(self, node: Node) -> Copy | None:
        """Return the replica on a node, or None."""
        for copy in self.copies:
            if copy.node is node:
                return copy
        return None

    def info(self) -> ObjectInfo:
        """Return the object as callers see it, its replicas on running nodes first."""
        copies = self.copies
        if len(copies) > 1:
            copies = tuple(sorted(copies, key=_is_lost))
        first, form = copies[0], self.form
        return ObjectInfo(
            id=self.id,
            name=self.names[0] if self.names else None,
            names=self.names,
            kind=form.kind,
            type=form.type,
            shape=self.shape,
            dtypes=dict(form.dtypes),
            nbytes=first.nbytes,
            shared_nbytes=first.shared_nbytes,
            created=self.created,
            last_used=max(copy.last_used for copy in copies),
            pinned=first.pinned,
            ttl=first.ttl,
            tags=dict(self.tags),
            replicas=tuple(copy.replica() for copy in copies),
            notes=form.notes,
        )


def _is_lost(copy: Copy) -> bool:
    return not copy.node.workers


def tags_of(info: ObjectInfo) -> Tags:
    """Return the tags of an object in the compact form."""
    # The ids of datasets are in all of their partitions; other values differ.
    return tuple(
        (sys.intern(key), sys.intern(value) if key == "dataset" else value) for key, value in info.tags.items()
    )
