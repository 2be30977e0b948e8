"""The verbs of a session about objects: put, get, create, find, list and delete.

Each is a short sentence over a store and a cluster; how they do it is theirs. Read next: ``store/store.py``, ``finding.py``, ``creating.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from workbench import codecs, finding, progress
from workbench.arguments import (
    check_keys,
    check_number,
    check_objects,
    check_pattern,
    check_seconds,
    check_tags,
    check_ttl,
)
from workbench.creating import NewArray, NewTable
from workbench.errors import ObjectNotFoundError
from workbench.finding import SortOrder
from workbench.listing import Listing
from workbench.objects import REPLICAS_TAG, Composite, Encoded, Key, ObjectInfo, Ref
from workbench.session.nodes import Spanning
from workbench.store import InParts, InPlace, Record, check_name

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from workbench.cluster.client import ClusterClient


_LONG: Final = 256 << 20
"""Bytes; who puts fewer has done it before anybody could see how far it is."""


def _watched(nbytes: int, name: str | None) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if nbytes < _LONG else progress.working(f"put {name or 'an object'}", nbytes)


class Sharing(Spanning):
    """Puts, gets, finds and deletes objects."""

    def put(
        self,
        obj: Any,
        name: str | None = None,
        *,
        pin: bool = False,
        ttl: float | None = None,
        replicas: int = 1,
        tags: dict[str, str] | None = None,
    ) -> Ref:
        """Share an object: one copy, which every process on this host can map.

        In a session that is connected with a cluster, on a host without a worker, the object goes to the node that has most room.

        Parameters
        ----------
        obj : object
            A DataFrame, an array, a table, or anything that can be pickled.
        name : str, optional
            What others get it by. The object that had the name before is deleted, unless another name or a pin keeps it;
            who has it mapped keeps it. An object without a name stays until it is deleted.
        pin : bool
            Keep the object in memory, and keep it when its last name goes; not beyond its `ttl`.
        ttl : float, optional
            Seconds after which the object is deleted, pinned or not.
        replicas : int
            How many nodes shall have it; more than one needs a cluster. The number is kept up, as for :meth:`replicate`.
        tags : dict of str to str, optional

        Returns
        -------
        Ref
            Small and picklable.

        Raises
        ------
        StoreFullError
            There is no room; nothing was written, nothing was lost.
        CodecError
            The object cannot be pickled.
        """
        if name is not None:
            check_name(name)
        if ttl is not None or tags is not None:
            ttl = check_ttl(ttl)
            check_tags(tags)
        if replicas != 1:
            replicas = check_number("replicas", replicas, 1, "nodes")
            self._require_cluster(f"put with replicas={replicas}")
            tags = {**(tags or {}), REPLICAS_TAG: str(replicas)}
        self._handouts.sweep_sometimes()
        if (cluster := self._visited()) is None:
            encoded = codecs.encode(obj, is_shared=self.store.is_shared, in_rows=True)
            with _watched(encoded.nbytes, name):
                ref = self.store.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
        else:
            ref = cluster.put(codecs.encode(obj), name, pin=pin, ttl=ttl, tags=tags)
        if replicas != 1:
            self.replicate(ref, n=replicas).wait()
        return ref

    def get(self, key: Key, *, timeout: float | None = None) -> Any:
        """Return an object, mapped read-only: no copy, whoever put it.

        A dataset is returned as one frame, series or array, as computing it would. One partition is mapped; several are copied into one array, or put
        together by pandas, which copies all columns but those of Arrow (strings). ``wb.open`` copies nothing.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.
        timeout : float, optional
            Seconds to wait for the object to appear; None: not at all.

        Returns
        -------
        object
            Equal to what was put. Arrays are read-only; assigning to a column of a frame copies that column, for this process alone.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object (within the timeout); the message lists the nearest names.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        try:
            record = self.store.read(key)
        except ObjectNotFoundError:
            record = finding.await_record(self.store, self.cluster, key, timeout)
        return self._decode(record)

    def _decode(self, record: Record) -> Any:
        decoded = codecs.decode(record.header, record.buffers)
        if decoded.handout is not None:
            self._handouts.add(decoded)
        if isinstance(decoded.value, Composite):
            try:
                return decoded.value.assemble(record.id, self.get)
            except ObjectNotFoundError as error:
                raise finding.incomplete(self.store, self.cluster, record.id) from error
        return decoded.value

    def put_many(
        self,
        objects: Mapping[str, Any] | Iterable[Any],
        *,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> list[Ref]:
        """Share several objects at once: all of them become visible in one step, or none. Several times as fast for small ones.

        From a host without a worker they are sent to nodes of the cluster one after the other; if one fails, those before it are deleted.

        Parameters
        ----------
        objects : mapping of str to object, or iterable of object
            By name, or without names.
        ttl, tags
            As for :meth:`put`, for each of them.

        Returns
        -------
        list of Ref

        Raises
        ------
        StoreFullError
            There is no room for all of them; nothing was written.
        """
        check_objects(objects)
        ttl = check_ttl(ttl)
        check_tags(tags)
        named = objects if isinstance(objects, Mapping) else None
        values = list(objects if named is None else named.values())
        if (cluster := self._visited()) is not None:
            names = [None] * len(values) if named is None else list(named)
            return self._send_many(cluster, dict(enumerate(zip(names, values, strict=True))), ttl=ttl, tags=tags)
        encoded = [codecs.encode(value, is_shared=self.store.is_shared, in_rows=True) for value in values]
        return self.store.put_many(encoded, None if named is None else list(named), ttl=ttl, tags=tags)

    def _send_many(
        self,
        cluster: ClusterClient,
        items: dict[int, tuple[str | None, Any]],
        *,
        ttl: float | None,
        tags: dict[str, str] | None,
    ) -> list[Ref]:
        sent: list[Ref] = []
        try:
            for name, value in items.values():
                if name is not None:
                    check_name(name)
                sent.append(cluster.put(codecs.encode(value), name, ttl=ttl, tags=tags))
        except BaseException:
            cluster.forget([ref.id for ref in sent])
            raise
        return sent

    @overload
    def create(
        self,
        shape: int | Sequence[int],
        dtype: npt.DTypeLike = ...,
        name: str | None = ...,
        *,
        order: Literal["C", "F"] = ...,
        pin: bool = ...,
        ttl: float | None = ...,
        tags: dict[str, str] | None = ...,
    ) -> NewArray: ...

    @overload
    def create(
        self,
        shape: pa.Schema,
        *,
        name: str | None = ...,
        pin: bool = ...,
        ttl: float | None = ...,
        tags: dict[str, str] | None = ...,
    ) -> NewTable: ...

    def create(
        self,
        shape: Any,
        dtype: npt.DTypeLike = float,
        name: str | None = None,
        *,
        order: Literal["C", "F"] = "C",
        pin: bool = False,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> NewArray | NewTable:
        """Make an object where it will lie, without a copy: ``with session.create(shape, dtype, "x") as array: array[:] = ...``.

        The end of the block seals it; nobody sees it before. An exception in the block gives it up. On a host without a worker of the
        cluster that the session is connected with, it is made here, and the end of the block sends it to a node.

        Parameters
        ----------
        shape : int, sequence of int, or pyarrow.Schema
            Of the array, whose contents are undefined at first (as with :func:`numpy.empty`). A schema makes a table, to which
            ``append`` adds record batches, tables or frames.
        dtype : dtype
            Of the array; a table has none, and its name may stand here.
        name, pin, ttl, tags
            As for :meth:`put`.
        order : {"C", "F"}
            Of the array.

        Returns
        -------
        NewArray or NewTable
            Context managers; their attribute ``ref`` is the object afterwards.

        Raises
        ------
        StoreFullError
            At the beginning of the block: there is no room for the array. In ``append``: none for these rows.
        """
        ttl = check_ttl(ttl)
        check_tags(tags)
        if hasattr(shape, "empty_table") and dtype is not float:
            if name is not None or not isinstance(dtype, str):
                raise TypeError("A table's types are in its schema: create takes no dtype for it.")
            name = dtype
        if name is not None:
            check_name(name)

        def seal(made: InPlace | InParts | None, encoded: Encoded) -> Ref:
            if (cluster := self._visited()) is not None:
                return cluster.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
            if made is None:
                return self.store.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
            return self.store.seal(made, encoded, name, pin=pin, ttl=ttl, tags=tags)

        if hasattr(shape, "empty_table"):
            return NewTable(self.store, shape, seal)
        return NewArray(self.store, shape, dtype, order, seal)

    def get_many(self, keys: Iterable[Key]) -> list[Any]:
        """Return several objects, each as :meth:`get` does. For many small ones, references are several times as fast as names.

        Parameters
        ----------
        keys : iterable of str or Ref

        Returns
        -------
        list of object

        Raises
        ------
        ObjectNotFoundError
            If one of them is not there.
        """
        check_keys(keys)
        wanted = list(keys)
        try:
            records = self.store.read_many(wanted)
        except ObjectNotFoundError:
            return [self.get(key) for key in wanted]
        return [self._decode(record) for record in records]

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id, here or, when connected, in the cluster.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Returns
        -------
        bool
        """
        if self.store.exists(key):
            return True
        return finding.in_cluster(self.cluster, key) is not None

    def info(self, key: Key) -> ObjectInfo:
        """Return what is known about an object: kind, type, shape, dtypes, sizes, names, tags and where its replicas are.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Returns
        -------
        ObjectInfo
            Sizes in bytes, times in seconds since the epoch; `notes` say what could not be shared. A dataset has the bytes of its partitions.

        Raises
        ------
        ObjectNotFoundError
            The message lists the nearest names.
        """
        return finding.describe(self.store, self.cluster, key)

    def ls(
        self,
        pattern: str = "*",
        *,
        sort_by: SortOrder = "created",
        kind: str | None = None,
        node: str | None = None,
        parts: bool = False,
        unnamed: bool = False,
        limit: int | None = None,
    ) -> Listing[ObjectInfo]:
        """List objects.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``"*"`` also lists objects without a name.
        sort_by : str
            ``created`` (newest first), ``name``, ``nbytes`` (largest first), ``last_used`` or ``kind``.
        kind : str, optional
            Only objects of this kind, such as ``"dataframe"``.
        node : str, optional
            Name or id of a node: only what it has.
        parts : bool
            Also list the partitions of datasets, which else count as part of their dataset.
        unnamed : bool
            Only objects without a name; :meth:`delete_unnamed` deletes them.
        limit : int, optional
            At most so many, the first ones in this order.

        Returns
        -------
        Listing of ObjectInfo
            A sequence that shows itself as a table; ``to_pandas()`` makes a DataFrame of it.
        """
        check_pattern(pattern)
        if limit is not None:
            limit = check_number("limit", limit, 0, "objects")
        found = finding.listing(
            self.store,
            self.cluster,
            pattern,
            sort_by=sort_by,
            kind=kind,
            node=node,
            parts=parts,
            unnamed=unnamed,
            limit=limit,
        )
        return Listing(found, of=ObjectInfo)

    def delete(self, key: Key) -> None:
        """Delete an object everywhere: here and, when connected, in the cluster, also on its nodes that are away. Who has it mapped keeps what it has.

        A session whose cluster has gone deletes here, and the other nodes do it when the cluster is there again.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Raises
        ------
        ObjectNotFoundError
            The message lists the nearest names.
        """
        cluster = self.cluster
        here = self.store.info(key) if self.store.exists(key) else None
        there = finding.in_cluster(cluster, key)
        if here is None and there is None:
            raise self.store.not_found(key)
        # A moment after it was bound on another node, a name may still mean an older object here: then both go.
        targets = list({info.id: None for info in (here, there) if info is not None})
        if cluster is not None:
            # Also what the cluster does not know: nodes that have it may not have joined yet.
            cluster.forget(targets)
        for target in targets:
            if self.store.exists(target):
                self._delete_here(self.store.info(target))
        self.sweep()

    def delete_all(self, objects: Iterable[ObjectInfo]) -> Listing[ObjectInfo]:
        """Delete several objects everywhere; return those that this call deleted, without those that were gone already."""
        deleted = []
        for info in objects:
            with contextlib.suppress(ObjectNotFoundError):
                self.delete(info.id)
                deleted.append(info)
        return Listing(deleted, of=ObjectInfo)

    def delete_unnamed(self) -> Listing[ObjectInfo]:
        """Delete all objects that have no name and are not pinned, in one action; return them.

        ``ls(unnamed=True)`` shows what that would be. Who has one of them mapped keeps it.

        Returns
        -------
        Listing of ObjectInfo
        """
        return self.delete_all(finding.clearable(self.ls(unnamed=True)))

    def _delete_here(self, info: ObjectInfo) -> None:
        members = [member.id for member in self.store.ls(dataset=info.id)] if info.kind == "dataset" else []
        if self.deletes_everywhere:
            self.store.bury([info.id, *members])
            return
        for member in members:
            with contextlib.suppress(ObjectNotFoundError):
                self.store.delete(member)
        self.store.delete(info.id)
