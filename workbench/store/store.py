"""The store of one host: put, read, name and delete encoded objects.

Covers opening a store and its verbs, each handed to the part that does it; it never encodes or decodes (``codecs``), and knows
nothing of other hosts (``cluster``). Read next: ``writing.py``, ``reading.py``, ``queries.py``, ``raw.py`` (copying objects to
other nodes).
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, Unpack

from workbench import config
from workbench.errors import ObjectNotFoundError, StoreFullError
from workbench.objects import Encoded, Holder, Key, Memory, ObjectId, ObjectInfo, Ref
from workbench.store import burying, damage, eviction, forking, history, listings, queries
from workbench.store import directory as places
from workbench.store.assembling import Parts, assemble
from workbench.store.creating import InParts, InPlace
from workbench.store.drafts import SHARED_FROM
from workbench.store.free_segments import most_for
from workbench.store.holders import holders as list_holders
from workbench.store.holders import segments_of
from workbench.store.naming import check_name
from workbench.store.notices import Notices
from workbench.store.processes import processes
from workbench.store.raw import Export, Import
from workbench.store.reading import Record
from workbench.store.reclaim import reclaim
from workbench.store.rows import Row
from workbench.store.trimming import trim

_DYING: Final = 0.2
"""Seconds that the doctor waits for writers who may be dying."""


class Store:
    """One host's segments and the catalog beside them. Open one with :meth:`open`.

    Safe to use from several threads, and after a fork in the child.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.directory = parts.directory
        self.catalog = parts.catalog
        self.allocator = parts.allocator
        self.reader = parts.reader
        self.writer = parts.writer
        self.spiller = parts.spiller
        self.residence = parts.residence
        self.upkeep = parts.upkeep
        self.background = parts.background
        self._finalizer = weakref.finalize(self, parts.close, os.getpid())
        forking.watch(self)

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        capacity: int | str | None = None,
        create: bool = True,
        process: tuple[str, str] | None = None,
        **options: Unpack[config.StoreOptions],
    ) -> Store:
        """Open the store in a directory, making it if it is not there.

        Parameters
        ----------
        directory : path, optional
            The setting ``workbench.directory``, else the user's directory in /dev/shm.
        capacity : int or str, optional
            Bytes, or text such as ``"2 GiB"``. It becomes the store's capacity, for every process.
        create : bool
            Make the store if it is not there yet.
        process : tuple of kind and label, optional
            What this process is called in lists of holders.
        **options
            Settings of ``workbench.yaml``, with underscores: ``pool``, ``pool_idle``, ``warm``, ``inline``, ``copy_threads``,
            ``spill_directory``, ``spill_capacity``, ``restore_after``.

        Raises
        ------
        StoreError
            If the directory, or a spill directory that was named, cannot be used; the message says why.
        """
        place = Path(directory).expanduser().absolute() if directory is not None else places.default_directory()
        places.prepare(place, create=create)
        with forking.turn():
            store = cls(assemble(place, capacity, options))
        if process is not None:
            store.set_process(*process)
        return store

    def close(self) -> None:
        """Close the store. Objects that were read stay valid; the store itself stays on the host."""
        with forking.turn():
            forking.forget(self)
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.directory}>"

    def suspend(self) -> None:
        """Before a fork; see ``forking.py``."""
        self.catalog.suspend()

    def resume(self) -> None:
        """After a fork, in the parent."""
        self.catalog.resume()

    def resume_in_child(self) -> None:
        """After a fork, in the child."""
        self._finalizer.detach()
        self._parts.resume_in_child()
        self._finalizer = weakref.finalize(self, self._parts.close, os.getpid())

    @property
    def id(self) -> str:
        """The node's id: 32 hexadecimal digits, made with the store."""
        return self.catalog.id

    @property
    def process_kind(self) -> str:
        """What this process is, as others see it: ``kernel``, ``worker``, ``server`` or ``script``."""
        return self._parts.process.kind

    def set_process(self, kind: str, label: str) -> None:
        """Say what this process is called in lists of holders.

        Parameters
        ----------
        kind : str
            ``kernel``, ``worker``, ``server`` or ``script``.
        label : str
            Notebook path, worker name or script path.
        """
        self._parts.process.set_identity(kind, label)

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

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, key: Key) -> Record:
        """Map an object.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id; the message lists the nearest names.
        """
        return self.reader.read(key)

    def read_many(self, keys: Sequence[Key]) -> list[Record]:
        """Map several objects; see :meth:`read`."""
        return self.reader.read_many(keys)

    def resolve(self, key: Key) -> ObjectId:
        """Return the id of the object that `key` names.

        Raises
        ------
        ObjectNotFoundError
        """
        return self.reader.resolve(key)

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id."""
        return self.reader.exists(key)

    def gone(self, key: Key) -> ObjectNotFoundError | None:
        """Return the error of an object that was here, and expired or was replaced; None where nobody knows of one."""
        return self.reader.gone(key)

    def not_found(self, key: Key) -> ObjectNotFoundError:
        """Return the error that says that `key` names nothing here, with the nearest names."""
        return self.reader.not_found(key)

    # -- listing ---------------------------------------------------------------------------------------------------

    def info(self, key: Key) -> ObjectInfo:
        """Return what the catalog knows about one object."""
        while True:
            object_id = self.resolve(key)
            found = queries.one(self.catalog, self.directory, object_id)
            if found:
                return found[0]
            # Rebound or deleted in between: the next look tells which.

    def ls(
        self,
        pattern: str = "*",
        *,
        kind: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        limit: int | None = None,
        sort_by: listings.Order = "created",
        parts: bool = True,
        unnamed: bool = False,
        dataset: ObjectId | None = None,
    ) -> list[ObjectInfo]:
        """List objects.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``"*"`` also lists the objects without a name.
        kind : str, optional
            Only objects of this kind.
        tags : mapping of str to str, optional
            Only objects that have all these tags; with None as its value, a tag of any value.
        limit : int, optional
            At most so many; they cost no more, however many objects there are.
        sort_by : str
            ``created`` (newest first, in the order in which they became visible here), ``name`` (those without one last) or ``kind``.
        parts : bool
            Also list the partitions of datasets that are here.
        unnamed : bool
            Only objects without a name.
        dataset : ObjectId, optional
            Only the partitions of this dataset.
        """
        return listings.listing(
            self.catalog,
            self.directory,
            pattern,
            kind=kind,
            tags=tags,
            limit=limit,
            sort_by=sort_by,
            parts=parts,
            unnamed=unnamed,
            dataset=dataset,
        )

    def count(self) -> int:
        """Return how many objects there are, partitions and those whose time is over included."""
        return queries.count(self.catalog)

    def names(self) -> dict[str, ObjectId]:
        """Return every name with the id of its object."""
        return queries.all_names(self.catalog)

    def data_version(self) -> bytes:
        """Return what changes when anybody changes the catalog: to be compared, and cheap enough to ask a thousand times a second."""
        return self.catalog.version()

    def notices(self) -> Notices | None:
        """Return what tells an event loop that somebody commits, or None where the kernel does not; see :class:`~workbench.store.notices.Notices`."""
        return Notices.open(self.catalog.path)

    def changes(self, since: queries.Version | None = None) -> queries.Changes:
        """Return what changed since a version; of None, or of what is too long ago, that everything has to be read (:meth:`page`)."""
        return queries.changes(self.catalog, self.directory, since)

    def page(self, after: int, until: queries.Version, limit: int) -> tuple[list[ObjectInfo], int | None]:
        """Return the next objects of all that there were at a version, oldest first; see :func:`queries.page`."""
        return queries.page(self.catalog, self.directory, after, until, limit)

    def news(self, since: queries.Version | None = None) -> history.News | None:
        """Return what happened since a version as a few ids and names (None: everything that there is); None if nothing did."""
        return history.news(self.catalog, since)

    def forecast(self, nbytes: int) -> eviction.Forecast:
        """Return what the store would give up to make room for so many bytes; nothing is changed."""
        return eviction.forecast(self.writer, nbytes)

    def holders(self, key: Key | None = None) -> list[Holder]:
        """List the processes that have a lease on one object, or on anything."""
        return list_holders(self.catalog, self.directory, None if key is None else self.reader.resolve(key))

    def mapped(self) -> frozenset[int]:
        """Return the numbers of the segments that this process has mapped."""
        return self.reader.mapped()

    def segment_at(self, address: int) -> int | None:
        """Return the number of the segment that is mapped at an address, where the caller has a view of it."""
        return self.reader.segment_at(address)

    def nbytes_of(self, numbers: Iterable[int]) -> int:
        """Return how many bytes segments have."""
        return queries.nbytes_of(self.catalog, numbers)

    def kept_in_vain(self, info: ObjectInfo) -> int:
        """Return how many bytes of its segments an object keeps that no object uses; 0 for what recycling alone explains."""
        kept, used = queries.alone_nbytes(self.catalog, info.id), info.nbytes + info.shared_nbytes
        return kept - used if kept > most_for(used) else 0

    def set_causes(self, causes: Mapping[int, str]) -> None:
        """Say what in this process keeps which segments, for lists of holders.

        Parameters
        ----------
        causes : mapping of int to str
            Number of a segment to a text for people.
        """
        self._parts.process.set_causes(causes)

    def segments_of(self, key: Key) -> frozenset[int]:
        """Return the numbers of the segments of an object; of deleted ones that had this name and are still mapped, too.

        Raises
        ------
        ObjectNotFoundError
        """
        return segments_of(self.reader, key)

    def memory(self) -> Memory:
        """Tell where the bytes are; each is counted once."""
        return queries.memory(self.catalog, self.directory)

    def export(self, key: Key) -> Export:
        """Open an object to read its bytes in ranges, for another node."""
        return Export(self, key)

    def keep(self, key: Key) -> None:
        """Make an ordinary replica of a cached one, which is then never dropped to make room; no effect on any other.

        Raises
        ------
        ObjectNotFoundError
            It is not here, maybe not any more.
        """
        self.residence.keep(key)

    def import_(self, meta: dict[str, Any], *, cached: bool = False, names: Sequence[str] = ()) -> Import:
        """Begin a replica of another node's object, `cached` if it may be dropped again; see :class:`~workbench.store.raw.Import`.

        Raises
        ------
        StoreFullError
            There is no room here; nothing was changed.
        TransferError
            The description is damaged.
        """
        return Import(self, meta, cached=cached, names=names)

    def settle(self) -> None:
        """Give up what Ctrl-C may have left open in this thread; after each cell of a notebook, for example."""
        self.catalog.settle()

    def doctor(self) -> list[str]:
        """Reclaim what dead processes left, and look for damage; return a sentence for each thing found.

        Nothing is removed from a store whose catalog is damaged: what it does not list may be an object.
        """
        broken = self.broken_catalog()
        return broken or self.reclaim() + self.damage()

    def broken_catalog(self) -> list[str]:
        """Return a sentence for each thing that is wrong with the catalog itself."""
        return damage.of_catalog(self.catalog)

    def damage(self) -> list[str]:
        """Return a sentence for each object that is damaged."""
        return damage.damage(self.catalog, self.directory)

    def reclaimed_at_opening(self) -> list[str]:
        """Return a sentence for each thing that dead processes had left when this process opened the store; once, as news."""
        said = [*self._parts.reclaimed]
        self._parts.reclaimed.clear()
        return said

    def give_back(self) -> int:
        """Give back the memory of what was deleted, and of the pool, that nobody maps; return how many bytes."""
        reclaim(self.catalog, self.directory)
        return self.allocator.free.release()

    def reclaim(self) -> list[str]:
        """Reclaim what dead processes left and what nobody needs; return a sentence for each thing."""
        self.writer.names.delete_expired()
        processes(self.directory)
        self.upkeep.give_back()
        found = reclaim(self.catalog, self.directory)
        # Whoever looks into /proc/<pid>/maps of a process keeps its memory, and so its locks, for a moment after its death.
        deadline = time.monotonic() + _DYING
        while self.catalog.row("SELECT 1 FROM segments WHERE state = 'writing'") and time.monotonic() < deadline:
            time.sleep(_DYING / 10)
            found += reclaim(self.catalog, self.directory)
        for segment, nbytes in trim(self.catalog, self.directory).items():
            found.append(f"Segment {segment} had {nbytes} bytes that no object refers to: given back.")
        return found
