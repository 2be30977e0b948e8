"""The verbs of a store that change objects: putting, naming, deleting, and where they lie.

Each is handed to the part that does it. Read next: ``writing.py``, ``naming.py``, ``residence.py``, ``store.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from workbench.errors import ObjectNotFoundError, StoreFullError
from workbench.objects import Encoded, Key, ObjectId, Ref
from workbench.store import burying
from workbench.store.creating import InParts, InPlace
from workbench.store.drafts import SHARED_FROM
from workbench.store.looking import Looking
from workbench.store.naming import check_name
from workbench.store.rows import Row


class Changing(Looking):
    """Puts, names, moves and deletes objects."""

    # -- writing ---------------------------------------------------------------------------------------------------

    def put(
        self,
        encoded: Encoded,
        name: str | None = None,
        *,
        pin: bool = False,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
        id: ObjectId | None = None,  # noqa: A002  # the word of the design
    ) -> Ref:
        """Write an encoded object; it is visible, complete, when this returns.

        Parameters
        ----------
        encoded : Encoded
        name : str, optional
            Bound to the object. If another object had the name, it is deleted unless another name or a pin keeps it.
        pin : bool
            Keep the object in memory, and keep it when its last name goes.
        ttl : float, optional
            Seconds after which the object is deleted.
        tags : dict of str to str, optional
        id : ObjectId, optional
            For a replica of an object that has an id already.

        Raises
        ------
        StoreFullError
            There is no room; nothing was written.
        NameConflictError
            The name cannot be a name.
        """
        if name is not None:
            check_name(name)
        elif id is None and not tags and (nbytes := encoded.nbytes) <= self.writer.inline:
            object_id = self.writer.put_small(encoded, nbytes, pin=pin, ttl=ttl)
            return Ref(object_id, None, encoded.description.kind, nbytes)
        row = Row.of(id, encoded, pin=pin, ttl=ttl, tags=tags)
        ref = Ref(self.writer.put(encoded, name, row), name, row.kind, row.nbytes)
        if pin:
            # It may refer to what is on disk. Without room for that it stays there, readable, and is not spilled again; its time may be over already.
            with contextlib.suppress(StoreFullError, ObjectNotFoundError):
                self.residence.restore(ref)
        return ref

    def put_many(
        self,
        encoded: Sequence[Encoded],
        names: Sequence[str | None] | None = None,
        *,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> list[Ref]:
        """Write several objects; all of them become visible at once, or none. The parameters are those of :meth:`put`."""
        named = [None] * len(encoded) if names is None else list(names)
        for name in named:
            if name is not None:
                check_name(name)
        items = [
            (each, name, Row.of(None, each, pin=False, ttl=ttl, tags=tags))
            for each, name in zip(encoded, named, strict=True)
        ]
        ids = self.writer.put_many(items)
        return [Ref(id_, name, row.kind, row.nbytes) for id_, (_, name, row) in zip(ids, items, strict=True)]

    def is_shared(self, address: int, nbytes: int) -> bool:
        """Tell whether some memory lies in a segment that this process has mapped: a put would refer to it, not copy it.

        Parameters
        ----------
        address, nbytes : int
            Memory that the caller has a view of.
        """
        return nbytes >= SHARED_FROM and self.reader.mappings.find(address, nbytes) is not None

    @property
    def inline(self) -> int:
        """Bytes up to which an object lies in the catalog."""
        return self.writer.inline

    def create(self, nbytes: int) -> InPlace:
        """Make room for an object that is filled in place; see :class:`~workbench.store.creating.InPlace`.

        Raises
        ------
        StoreFullError
        """
        return InPlace(self.writer, nbytes)

    def create_parts(self) -> InParts:
        """Begin an object that is written in parts; see :class:`~workbench.store.creating.InParts`."""
        return InParts(self.writer)

    def seal(
        self,
        made: InPlace | InParts,
        encoded: Encoded,
        name: str | None = None,
        *,
        pin: bool = False,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> Ref:
        """Make visible what was made in place or in parts. The parameters are those of :meth:`put`."""
        row = Row.of(None, encoded, pin=pin, ttl=ttl, tags=tags)
        return Ref(made.seal(encoded, name, row), name, row.kind, row.nbytes)

    # -- names and deleting ----------------------------------------------------------------------------------------

    def bind(self, name: str, key: Key) -> None:
        """Give an object a name, atomically taking it from the object that had it."""
        self.writer.names.bind(name, key)

    def rename(self, key: Key, name: str, *, was: str | None = None) -> None:
        """Give an object a name in place of those that it has, in one step; with `was`, only if it has that name now.

        If another object had the name, that goes as with :meth:`bind`.
        """
        self.writer.names.rename(key, name, was=was)

    def adopt(self, key: Key, names: Sequence[str]) -> int:
        """Give a replica the names that its object has on other nodes, but none that a newer object has here; return how many it has."""
        return self.writer.names.adopt(key, names)

    def unbind(self, name: str, object_id: ObjectId, *, keep: bool = False) -> None:
        """Take a name from an object, if it still has it; the object goes with its last name, unless it is pinned or is to be kept."""
        self.writer.names.unbind(name, object_id, keep=keep)

    def delete(self, key: Key) -> None:
        """Delete an object; who maps it keeps what it has, until it lets go.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id.
        """
        self.writer.names.delete(key)

    def delete_whole(self, object_id: ObjectId) -> None:
        """Delete an object, a dataset with the partitions that are here, and remember, as :meth:`bury` does, that it is deleted everywhere.

        Raises
        ------
        ObjectNotFoundError
        """
        parts = [part.id for part in self.ls(dataset=object_id)] if self.info(object_id).kind == "dataset" else []
        self.bury([object_id, *parts])

    def bury(self, targets: Sequence[ObjectId]) -> None:
        """Delete objects, of which some may not be here, and remember that they are deleted everywhere: none of them comes here again."""
        burying.bury(self.writer.names, targets)

    def buried(self, after: int = 0) -> list[tuple[int, ObjectId]]:
        """Return which objects were deleted everywhere, the last :data:`~workbench.store.schema.GONE` of them: their numbers, which grow, and their ids."""
        return burying.buried(self.catalog, after)

    @property
    def drained(self) -> bool:
        """Whether this node is being emptied, so that it gets no replicas; kept for a cluster whose scheduler starts anew."""
        row = self.catalog.row("SELECT drained FROM store")
        return row is not None and bool(row[0])

    @drained.setter
    def drained(self, drained: bool) -> None:
        with self.catalog.write() as write:
            write.execute("UPDATE store SET drained = ?", (drained,))

    def pin(self, key: Key) -> None:
        """Keep an object in memory, where it is brought if it is on disk, and keep it when its last name goes; its `ttl` still deletes it.

        Raises
        ------
        StoreFullError
            It is on disk, and there is no room for it in memory; it is not pinned then.
        """
        self.residence.pin(key)

    def unpin(self, key: Key) -> None:
        """Undo :meth:`pin`."""
        self.residence.unpin(key)

    def set_tag(self, key: Key, tag: str, value: str | None) -> None:
        """Give an object a tag, or take it away (None); its other tags stay.

        Raises
        ------
        ObjectNotFoundError
        """
        self.residence.set_tag(key, tag, value)

    def spill(self, key: Key) -> None:
        """Move an object from memory to disk, where it stays readable; nothing happens if it is there already.

        Raises
        ------
        StoreError
            It cannot be: it lies in the catalog itself, is pinned, is mapped by somebody, or there is nowhere to spill to.
        StoreFullError
            The disk is full. Nothing was lost: the object stays in memory.
        """
        self.residence.spill(key)

    def restore(self, key: Key) -> None:
        """Bring an object from disk back to memory, making room as a put does; nothing happens if it is there already.

        Raises
        ------
        StoreFullError
            There is no room in memory. The object stays readable on disk.
        """
        self.residence.restore(key)
