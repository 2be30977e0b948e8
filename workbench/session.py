"""A session: one process's view of its host's store and, when connected, of a cluster.

Covers the verbs, each a short sentence over a store and a cluster; how they do it is theirs. The module functions ``wb.put``,
``wb.get`` and so on act on the current session. Read next: ``store/store.py``, ``cluster/client.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from workbench import codecs, finding
from workbench.config import StoreOptions
from workbench.creating import NewArray, NewTable
from workbench.errors import ClusterError, ObjectNotFoundError
from workbench.finding import SortOrder
from workbench.listing import Listing
from workbench.objects import Encoded, Holder, Key, Memory, NodeInfo, ObjectInfo, Ref, Replica
from workbench.store import InParts, InPlace, Record, Store, check_name, default_directory
from workbench.watching import Watch

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    import pyarrow as pa
    from distributed import Client

    from workbench.cluster.client import ClusterClient
    from workbench.cluster.operations import Operation
    from workbench.urls import URL


class Session:
    """Puts and gets objects in one store; asks a cluster for what the store does not have.

    Parameters
    ----------
    directory : path, optional
        The store; the setting ``workbench.directory``, else the user's store in /dev/shm.
    namespace : str, optional
        Instead of a directory: the name of one of several stores side by side in /dev/shm; the setting ``workbench.namespace``.
    capacity : int or str, optional
        Bytes, or text such as ``"2 GiB"``; becomes the store's capacity.
    create : bool
        Make the store if it is not there yet.
    **options
        Settings of the store, as for :meth:`Store.open <workbench.store.Store.open>`: ``warm``, ``spill_directory`` and so on.

    Raises
    ------
    StoreError
        If the directory cannot be a store.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        namespace: str | None = None,
        capacity: int | str | None = None,
        create: bool = True,
        **options: Unpack[StoreOptions],
    ) -> None:
        if namespace is not None:
            if directory is not None:
                raise ValueError("Give a session a directory or a namespace, not both.")
            directory = default_directory(namespace)
        self.store = Store.open(directory, capacity=capacity, create=create, **options)
        self.cluster: ClusterClient | None = None
        self._handouts = codecs.HandOuts()

    def __repr__(self) -> str:
        cluster = f", cluster {self.cluster.address}" if self.cluster else ""
        return f"<Session {self.store.directory}{cluster}>"

    def close(self) -> None:
        """Close the store and leave the cluster; objects that were got stay valid."""
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None
        self._handouts.sweep()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- objects ---------------------------------------------------------------------------------------------------

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

        Parameters
        ----------
        obj : object
            A DataFrame, an array, a table, or anything that can be pickled.
        name : str, optional
            What others get it by. The object that had the name before is deleted, unless another name or a pin keeps it;
            who has it mapped keeps it. An object without a name stays until it is deleted.
        pin : bool
            Keep the object in memory, and keep it when its last name goes.
        ttl : float, optional
            Seconds after which the object is deleted.
        replicas : int
            How many nodes shall have it; more than one needs a cluster.
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
        if replicas != 1:
            self._require_cluster(f"put with replicas={replicas}")
        ref = self.store.put(
            codecs.encode(obj, is_shared=self.store.is_shared, in_rows=True), name, pin=pin, ttl=ttl, tags=tags
        )
        if replicas != 1:
            self.replicate(ref, n=replicas).wait()
        return ref

    def get(self, key: Key, *, timeout: float | None = None) -> Any:
        """Return an object, mapped read-only: no copy, whoever put it.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.
        timeout : float, optional
            Seconds to wait for the object to appear; None: not at all.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object (within the timeout); the message lists the nearest names.
        """
        try:
            record = self.store.read(key)
        except ObjectNotFoundError:
            record = finding.await_record(self.store, self.cluster, key, timeout)
        return self._decode(record)

    def _decode(self, record: Record) -> Any:
        decoded = codecs.decode(record.header, record.buffers)
        if decoded.handout is not None:
            self._handouts.add(decoded)
        return decoded.value

    def put_many(
        self,
        objects: Mapping[str, Any] | Iterable[Any],
        *,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> list[Ref]:
        """Share several objects at once: all of them become visible in one step, or none. Several times as fast for small ones.

        Parameters
        ----------
        objects : mapping of str to object, or iterable of object
            By name, or without names.
        ttl, tags
            As for :meth:`put`, for each of them.

        Raises
        ------
        StoreFullError
            There is no room for all of them; nothing was written.
        """
        named = objects if isinstance(objects, Mapping) else None
        values = list(objects if named is None else named.values())
        encoded = [codecs.encode(value, is_shared=self.store.is_shared, in_rows=True) for value in values]
        return self.store.put_many(encoded, None if named is None else list(named), ttl=ttl, tags=tags)

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

        The end of the block seals it; nobody sees it before. An exception in the block gives it up.

        Parameters
        ----------
        shape : int, sequence of int, or pyarrow.Schema
            Of the array, whose contents are undefined at first (as with :func:`numpy.empty`). A schema makes a table, to which
            ``append`` adds record batches, tables or frames.
        dtype : dtype
            Of the array.
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
        if name is not None:
            check_name(name)

        def seal(made: InPlace | InParts | None, encoded: Encoded) -> Ref:
            if made is None:
                return self.store.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
            return self.store.seal(made, encoded, name, pin=pin, ttl=ttl, tags=tags)

        if hasattr(shape, "empty_table"):
            return NewTable(self.store, shape, seal)
        return NewArray(self.store, shape, dtype, order, seal)

    def get_many(self, keys: Iterable[Key]) -> list[Any]:
        """Return several objects; see :meth:`get`. For many small ones, references are several times as fast as names.

        Raises
        ------
        ObjectNotFoundError
            If one of them is not there.
        """
        wanted = list(keys)
        try:
            records = self.store.read_many(wanted)
        except ObjectNotFoundError:
            return [self.get(key) for key in wanted]
        return [self._decode(record) for record in records]

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id, here or in the cluster."""
        if self.store.exists(key):
            return True
        return finding.in_cluster(self.cluster, key) is not None

    def info(self, key: Key) -> ObjectInfo:
        """Return what is known about an object.

        Raises
        ------
        ObjectNotFoundError
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
        """
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
        """Delete an object everywhere; who has it mapped keeps it.

        Raises
        ------
        ObjectNotFoundError
        """
        info = self._resolve(key)
        if self.cluster is not None and finding.in_cluster(self.cluster, info.id) is not None:
            self.cluster.delete(info.id)
        if self.store.exists(info.id):
            self._delete_here(info)
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
        """
        return self.delete_all(finding.clearable(self.ls(unnamed=True)))

    def _delete_here(self, info: ObjectInfo) -> None:
        if info.kind == "dataset":
            for member in self.store.ls(dataset=info.id):
                with contextlib.suppress(ObjectNotFoundError):
                    self.store.delete(member.id)
        self.store.delete(info.id)

    def pin(self, key: Key) -> None:
        """Keep an object in memory on this host, and keep it when its last name goes; one that is on disk is restored first."""
        self.store.pin(key)

    def unpin(self, key: Key) -> None:
        """Undo :meth:`pin`."""
        self.store.unpin(key)

    def spill(self, key: Key) -> None:
        """Move an object from this host's memory to its disk, where it stays readable; a dataset with its partitions.

        Raises
        ------
        StoreError
            It cannot be: it is pinned, mapped (the message says by whom), so small that it lies in the catalog, or there is nowhere to spill to.
        StoreFullError
            The disk is full; the object stays in memory.
        """
        self.sweep()
        for each in self._parts_here(key):
            self.store.spill(each)

    def restore(self, key: Key) -> None:
        """Bring a spilled object back to this host's memory, making room as a put does; a dataset with its partitions.

        Raises
        ------
        StoreFullError
            There is no room in memory. The object stays readable on disk.
        """
        for each in self._parts_here(key):
            self.store.restore(each)

    def _parts_here(self, key: Key) -> list[Key]:
        """Return an object, or the partitions of a dataset that this host has and that do not lie in the catalog."""
        info = self.store.info(key)
        if info.kind != "dataset":
            return [key]
        return [part.id for part in self.store.ls(dataset=info.id) if self.store.residence.can_be_spilled(part.id)]

    def holders(self, key: Key | None = None) -> Listing[Holder]:
        """List the processes of this host that have an object mapped (None: any object, deleted ones included).

        Each says which kernel, worker or script it is, since when, and how many bytes it maps. A notebook also says what in it
        keeps the object, as of the end of its last cell.
        """
        return Listing(self.store.holders(key), of=Holder)

    def memory(self) -> Memory:
        """Tell where the bytes of this host's store are."""
        return self.store.memory()

    def sweep(self) -> None:
        """Let go of shared frames that were kept for copy-on-write and that no variable refers to any more."""
        self._handouts.sweep()
        self.store.settle()

    def save(self, key: Key, url: URL, *, storage_options: dict[str, Any] | None = None) -> Ref:
        """Write an object to a file, byte by byte as it lies in the store, with checksums; a dataset with all its partitions.

        Parameters
        ----------
        key : str or Ref
        url : str or path
            A path, or anything that fsspec knows, such as ``s3://bucket/flights.wb``. The file appears when it is complete.
        storage_options : dict, optional
            For the file system, as in pandas.

        Raises
        ------
        ObjectNotFoundError
            There is no such object, or partitions of the dataset are out of reach.
        SavedFileError
            The file cannot be written there. What was there before is as it was.
        """
        from workbench import saving

        return saving.save(self.store, self.cluster, key, url, storage_options)

    def load(self, url: URL, name: str | None = None, *, storage_options: dict[str, Any] | None = None) -> Ref:
        """Share an object from a file that :meth:`save` wrote; nothing of it is decoded until somebody gets it.

        Getting an object may run code that is in it (pickle): load only files that you trust.

        Parameters
        ----------
        url : str or path
        name : str, optional
            Whatever has this name is replaced, as in :meth:`put`; None: the name that the object was saved under.
            If that is already here under the name, it is not loaded again.
        storage_options : dict, optional

        Raises
        ------
        SavedFileError
            The file is damaged, incomplete, in a newer format or out of reach. Nothing was loaded.
        NameConflictError
            No name is given, and another object has the name that it was saved under.
        StoreFullError
            There is no room; nothing was loaded.
        """
        from workbench import saving

        return saving.load(self.store, self.cluster, url, name, storage_options)

    def watch(self, pattern: str = "*", *, timeout: float | None = None) -> Watch:
        """Watch what happens to objects of this host's store from now on, whichever process does it.

        An object that comes and goes within 20 milliseconds may be seen going only. No other object is missed, and none is seen that was not there;
        of what is done to an object, only more than 10,000 changes within that time can hide a pin or a spill.
        Of what happened within that time, what is gone comes first, then what is new, then names, then the rest.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``"*"`` also gives objects without a name.
        timeout : float, optional
            Seconds after which the loop ends; None: it goes on until it is left, or :meth:`Watch.close` is called in any thread.

        Returns
        -------
        iterator of Event

        Examples
        --------
        >>> for event in session.watch("runs/*"):  # doctest: +SKIP
        ...     print(event.what, event.name)
        """
        return Watch(self.store, pattern, timeout=timeout)

    # -- cluster ---------------------------------------------------------------------------------------------------

    def connect(self, where: Any = None, *, timeout: float | None = None) -> Client:
        """Connect to a Dask cluster, so that objects of its nodes can be listed, got, moved and replicated.

        Parameters
        ----------
        where : distributed.Client, cluster or str, optional
            A client, anything with a ``scheduler_address``, an address, or None: the cluster found on this host.
        timeout : float, optional
            Seconds until a scheduler that does not answer is an error; the setting ``workbench.connect-timeout``.

        Returns
        -------
        distributed.Client

        Raises
        ------
        ClusterError
            No cluster is found or answers, or a worker lacks the workbench's plugin.
        """
        from workbench.cluster import connect

        cluster = connect(where, self.store, timeout=timeout)
        if self.cluster is not None:
            self.cluster.close()
        self.cluster = cluster
        return cluster.client

    def _require_cluster(self, what: str) -> ClusterClient:
        if self.cluster is None:
            raise ClusterError(
                f"{what} needs a cluster, and this session is not connected to one. Connect with wb.connect(client), "
                "or start one on this machine with wb.LocalCluster(nodes=2)."
            )
        return self.cluster

    def nodes(self) -> Listing[NodeInfo]:
        """List the nodes of the cluster; without one, this host."""
        return Listing([finding.here(self.store)] if self.cluster is None else self.cluster.nodes(), of=NodeInfo)

    def where(self, key: Key) -> Listing[Replica]:
        """List the replicas of an object."""
        return Listing(self.info(key).replicas, of=Replica)

    def move(self, key: Key, to: str) -> Operation:
        """Move an object to a node (name or id): replicate it there, then drop its other replicas."""
        cluster = self._require_cluster("Moving an object")
        return cluster.move(self._resolve(key).id, to)

    def replicate(self, key: Key, n: int | None = None, *, to: str | Iterable[str] | None = None) -> Operation:
        """Make more replicas of an object.

        Parameters
        ----------
        key : str or Ref
        n : int, optional
            How many nodes shall have it.
        to : str or iterable of str, optional
            Names or ids of nodes that shall have it.
        """
        if (n is None) == (to is None):
            raise TypeError("replicate takes either n (how many nodes) or to (which nodes).")
        cluster = self._require_cluster("Replicating an object")
        nodes: Sequence[str] | None = [to] if isinstance(to, str) else None if to is None else list(to)
        return cluster.replicate(self._resolve(key).id, to=nodes, n=n)

    def drop(self, key: Key, node: str, *, force: bool = False) -> None:
        """Remove the replica on one node; the last one only with `force`."""
        cluster = self._require_cluster("Dropping a replica")
        cluster.drop(self._resolve(key).id, node, force=force)

    def _resolve(self, key: Key) -> ObjectInfo:
        return finding.resolve(self.store, self.cluster, key)
