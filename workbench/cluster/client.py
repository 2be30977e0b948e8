"""A client's side of the workbench: the scheduler's verbs as methods, for kernels (sync) and for the Jupyter server (async).

Covers verbs and turning answers into values; it decides nothing. The connection is ``channel.py``'s, how a client finds its cluster and brings the
plugins there ``connecting.py``'s. Read next: ``operations.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from distributed import Client, Worker

from workbench.cluster import messages, visiting
from workbench.cluster.channel import Channel
from workbench.cluster.operations import Operation, Operations
from workbench.cluster.plans import Plan
from workbench.cluster.transfer import Pull
from workbench.cluster.visiting import PrivateMemory
from workbench.errors import ClusterError, ObjectNotFoundError, StoreFullError, TransferError, WorkbenchError
from workbench.objects import Encoded, Key, NodeInfo, ObjectId, ObjectInfo, Ref, Replica, new_object_id
from workbench.store import describe

if TYPE_CHECKING:
    from workbench.store import Record, Store

T = TypeVar("T")

_MARGIN: Final = 10.0
"""Seconds that an answer may take beyond what it waits for by itself."""
_REPLACED: Final = 2.0
"""Seconds after which an object that cannot be brought is not taken for one that was replaced a moment ago."""
_PAUSE: Final = 0.02
"""Seconds until it is looked for again."""


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """Some objects of a listing. `after` is the cursor for the next page, None after the last; `total` counts all objects of the cluster."""

    objects: list[ObjectInfo]
    after: str | None
    total: int


@dataclass(frozen=True, slots=True)
class News:
    """Nodes, operations, and what changed about objects since a `version`; `package` is the scheduler's version of the workbench.

    `full`: nothing was known, or too much has changed. Then `added` and `removed` are empty, and all objects have to be listed.
    """

    version: str
    package: str
    full: bool
    added: list[ObjectInfo]
    removed: list[ObjectId]
    total: int
    nodes: list[NodeInfo]
    operations: list[dict[str, Any]]


class ClusterClient(Channel):
    """The cluster, as seen by one client; the parameters are those of :class:`Channel`.

    Each question has an async form (``a_nodes``) and a sync form (``nodes``); the sync ones cannot be called in the event loop of
    the Dask client.
    """

    def __init__(self, dask: Client | Worker, *, timeout: float | None = None, owned: bool = False) -> None:
        super().__init__(dask, timeout=timeout, owned=owned)
        self._known: set[str] = set()

    # -- questions -------------------------------------------------------------------------------------------------

    async def a_nodes(self) -> list[NodeInfo]:
        """List the nodes, lost ones included."""
        return _nodes(await self.ask("nodes"))

    async def a_locate(self, key: Key) -> ObjectInfo:
        """Return what the cluster knows of an object.

        Raises
        ------
        ObjectNotFoundError
        """
        try:
            return _info(await self.ask("locate", key=messages.key_text(key), patience=_MARGIN))
        except ObjectNotFoundError as error:
            raise messages.by_name(error, key) from None

    async def a_where(self, key: Key) -> list[Replica]:
        """List the replicas of an object; their state is ``lost`` on a node that is lost."""
        found = await self.ask("where", key=messages.key_text(key), patience=_MARGIN)
        return [Replica(**replica) for replica in found["replicas"]]

    async def a_page(
        self, pattern: str = "*", *, limit: int | None = None, after: str | None = None, **filters: Any
    ) -> ObjectPage:
        """Return a page of a listing.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``*`` also gives objects without a name.
        limit : int, optional
            How many objects at most; the scheduler gives no more than some hundred, and fewer, or none, where it had to look at many.
        after : str, optional
            What :attr:`ObjectPage.after` of the page before said.
        **filters
            `kind`, `node` (id, name or worker), `parts` (partitions of datasets, too: True), `unnamed` (False), and `order`: ``created`` (newest
            first) or ``name`` (only objects that have one).
        """
        asked = {"pattern": pattern, "after": after, **filters}
        if limit is not None:
            asked["limit"] = limit
        reply = await self.ask("ls", **asked)
        return ObjectPage([_info(wire) for wire in reply["objects"]], reply["after"], int(reply["total"]))

    async def a_ls(self, pattern: str = "*", *, limit: int | None = None, **filters: Any) -> list[ObjectInfo]:
        """List the objects of all nodes, newest first, partitions of datasets included, page by page; see :meth:`a_page`."""
        found: list[ObjectInfo] = []
        after: str | None = None
        while limit is None or len(found) < limit:
            left = None if limit is None else limit - len(found)
            page = await self.a_page(pattern, limit=left, after=after, **filters)
            found += page.objects
            if (after := page.after) is None:
                break
        return found

    async def a_members(self, dataset: ObjectId) -> list[ObjectInfo]:
        """List the partitions of a dataset, in no order."""
        found: list[ObjectInfo] = []
        start: int | None = 0
        while start is not None:
            reply = await self.ask("members", dataset=dataset, start=start)
            found += [_info(wire) for wire in reply["objects"]]
            start = reply["next"]
        return found

    async def a_operations(self) -> list[dict[str, Any]]:
        """List the operations that run or ended not long ago, newest first."""
        return [_operation(wire) for wire in (await self.ask("operations"))["operations"]]

    async def a_news(self, since: str | None = None) -> News:
        """Return nodes, operations, and what changed about objects since the `version` of an answer before."""
        reply = await self.ask("news", since=since)
        return News(
            str(reply["version"]),
            str(reply["package"]),
            bool(reply["full"]),
            [_info(wire) for wire in reply["objects"]],
            messages.object_ids(reply["removed"]),
            int(reply["total"]),
            _nodes(reply["nodes"]),
            [_operation(wire) for wire in reply["operations"]],
        )

    async def a_operation(self, operation: str) -> dict[str, Any]:
        """Return one operation."""
        return _operation(await self.ask("operation", operation=operation))

    # -- actions ---------------------------------------------------------------------------------------------------

    async def a_replicate(
        self, key: Key, to: Sequence[str] | None = None, n: int | None = None, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Begin to make replicas, on the nodes `to` (ids or names) or on `n` nodes in all; a dataset with its partitions.

        Like the other actions it returns the operation or, for a dry run, the plan.
        """
        to = None if to is None else [to] if isinstance(to, str) else [str(node) for node in to]
        text = messages.key_text(key)
        return _operation(await self.ask("replicate", key=text, to=to, n=n, dry_run=dry_run, patience=4 * _MARGIN))

    async def a_move(self, key: Key, to: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Begin to move an object: replicate it to the node `to` (id or name), then drop its other replicas."""
        text = messages.key_text(key)
        return _operation(await self.ask("move", key=text, to=str(to), dry_run=dry_run, patience=4 * _MARGIN))

    async def a_drain(self, node: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Begin to see that nothing is only on a node."""
        return _operation(await self.ask("drain", node=str(node), dry_run=dry_run, patience=4 * _MARGIN))

    async def a_undrain(self, node: str) -> None:
        """Give a drained node back."""
        await self.ask("undrain", node=str(node), patience=4 * _MARGIN)

    async def a_rebalance(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Begin to even out the nodes."""
        return _operation(await self.ask("rebalance", dry_run=dry_run, patience=7 * _MARGIN))

    async def a_fetch(self, key: Key, node: str) -> ObjectId:
        """Make a replica on a node for a reader that waits there, and wait for it; it is a cached one, which its node may drop again.

        Raises
        ------
        ObjectNotFoundError
        TransferError
        """
        return ObjectId(await self.ask("bring", key=messages.key_text(key), node=node, cached=True, patience=None))

    async def a_bring(self, key: Key, nodes: Sequence[str]) -> None:
        """Make a replica of one object (of a dataset: of its manifest alone) on each of some nodes, and wait for all."""
        text = messages.key_text(key)
        await asyncio.gather(*(self.ask("bring", key=text, node=node, patience=None) for node in nodes))

    async def a_drop(self, key: Key, node: str, *, force: bool = False, dry_run: bool = False) -> dict[str, Any]:
        """Remove the replica on one node, of a dataset its partitions there, and wait for that.

        Raises
        ------
        LastReplicaError
            It is the last one, and `force` is not given.
        """
        text = messages.key_text(key)
        return _operation(
            await self.ask("drop", key=text, node=node, force=force, dry_run=dry_run, patience=4 * _MARGIN)
        )

    async def a_rename(self, key: Key, name: str, *, replace: bool = False) -> None:
        """Give an object a name, on all nodes that have it, in place of those that it has.

        Raises
        ------
        NameConflictError
            Another object has the name, and is not to be replaced, or has other names, too.
        """
        await self.ask("rename", key=messages.key_text(key), name=name, replace=replace, patience=4 * _MARGIN)

    async def a_delete(self, key: Key) -> None:
        """Delete an object on all nodes, a dataset with its partitions; a node that is lost deletes it when it is back."""
        await self.ask("delete", key=messages.key_text(key), patience=3 * _MARGIN)

    async def a_forget(self, objects: Sequence[ObjectId]) -> frozenset[ObjectId]:
        """Delete objects of which some may not be there yet, as the partitions of a dataset that could not be finished; return those that no node had."""
        answer = await self.ask("forget", objects=list(objects), patience=3 * _MARGIN)
        return frozenset(map(ObjectId, answer["unknown"]))

    async def a_wait(self, operation: str, seconds: float) -> dict[str, Any]:
        """Wait until an operation has ended, or some seconds, and return it."""
        return _operation(await self.ask("wait", operation=operation, seconds=seconds, patience=seconds))

    async def a_cancel(self, operation: str) -> dict[str, Any]:
        """Cancel an operation and return it."""
        return _operation(await self.ask("cancel", operation=operation, patience=3 * _MARGIN))

    # -- the same for who cannot await -----------------------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        """As :meth:`a_nodes`."""
        return self._sync(self.a_nodes)

    def locate(self, key: Key) -> ObjectInfo:
        """As :meth:`a_locate`."""
        return self._sync(self.a_locate, key)

    def where(self, key: Key) -> list[Replica]:
        """As :meth:`a_where`."""
        return self._sync(self.a_where, key)

    def page(self, pattern: str = "*", **options: Any) -> ObjectPage:
        """As :meth:`a_page`."""
        return self._sync(self.a_page, pattern, **options)

    def ls(self, pattern: str = "*", *, limit: int | None = None, **filters: Any) -> list[ObjectInfo]:
        """As :meth:`a_ls`."""
        return self._sync(self.a_ls, pattern, limit=limit, **filters)

    def members(self, dataset: ObjectId) -> list[ObjectInfo]:
        """As :meth:`a_members`."""
        return self._sync(self.a_members, dataset)

    def operations(self) -> Operations:
        """As :meth:`a_operations`, as :class:`Operation` objects."""
        return Operations(Operation(self, wire) for wire in self._sync(self.a_operations))

    def operation(self, operation: str) -> dict[str, Any]:
        """As :meth:`a_operation`."""
        return self._sync(self.a_operation, operation)

    def replicate(
        self, key: Key, to: Sequence[str] | None = None, n: int | None = None, *, dry_run: bool = False
    ) -> Operation | Plan:
        """As :meth:`a_replicate`, but returns an :class:`Operation`, or a :class:`Plan` for a dry run; as do the next ones."""
        return self._begin(self.a_replicate, key, to, n, dry_run=dry_run)

    def move(self, key: Key, to: str, *, dry_run: bool = False) -> Operation | Plan:
        """As :meth:`a_move`."""
        return self._begin(self.a_move, key, to, dry_run=dry_run)

    def drop(self, key: Key, node: str, *, force: bool = False, dry_run: bool = False) -> Operation | Plan:
        """As :meth:`a_drop`."""
        return self._begin(self.a_drop, key, node, force=force, dry_run=dry_run)

    def rename(self, key: Key, name: str, *, replace: bool = False) -> None:
        """As :meth:`a_rename`."""
        self._sync(self.a_rename, key, name, replace=replace)

    def drain(self, node: str, *, dry_run: bool = False) -> Operation | Plan:
        """As :meth:`a_drain`."""
        return self._begin(self.a_drain, node, dry_run=dry_run)

    def undrain(self, node: str) -> None:
        """As :meth:`a_undrain`."""
        self._sync(self.a_undrain, node)

    def rebalance(self, *, dry_run: bool = False) -> Operation | Plan:
        """As :meth:`a_rebalance`."""
        return self._begin(self.a_rebalance, dry_run=dry_run)

    def _begin(
        self, action: Callable[..., Coroutine[Any, Any, dict[str, Any]]], *args: Any, **wish: Any
    ) -> Operation | Plan:
        wire = self._sync(action, *args, **wish)
        return Plan.from_wire(wire) if wish["dry_run"] else Operation(self, wire)

    def has_node(self, node: str) -> bool:
        """Tell whether a store is one of the cluster's nodes; a worker's always is."""
        if node in self._known or isinstance(self._dask, Worker):
            return True
        self._known |= {info.id for info in self.nodes()}
        return node in self._known

    def fetch(self, key: Key, store: Store) -> Record:
        """Bring an object to this host, and map it: as a replica in this host's store or, where that is no node and full, in private memory.

        A name may be given to another object meanwhile, and to the next one: then that is brought.

        Raises
        ------
        ObjectNotFoundError
        TransferError
        ClusterError
            This host's node is lost, so nobody can bring the object here.
        """
        found, deadline = self.locate(key), time.monotonic() + _REPLACED
        while True:
            try:
                return self._fetch(found, store)
            except (TransferError, ObjectNotFoundError):
                if time.monotonic() > deadline:
                    raise
                before, found = found, self.locate(key)
                if found.id == before.id:
                    # Its node may have replaced or deleted it a moment ago, of which the scheduler hears in the next.
                    time.sleep(_PAUSE)

    def _fetch(self, found: ObjectInfo, store: Store) -> Record:
        try:
            if not self.has_node(store.id):
                return self._sync(self._a_pull, found.id, store)
            return store.read(self._sync(self.a_fetch, found.id, store.id))
        except TransferError as error:
            if found.name is not None:  # by which people know it
                error.message = error.message.replace(f"Object {found.id}", f"Object {found.name!r} ({found.id})", 1)
            raise

    async def _a_pull(self, object_id: ObjectId, store: Store) -> Record:
        if not store.exists(object_id):
            where = await self.ask("where", key=object_id, patience=_MARGIN)
            if not where["sources"]:
                names = ", ".join(str(replica["node_name"]) for replica in where["replicas"])
                raise TransferError(
                    f"Object {object_id} is only on {names}, and no worker runs there now. Start one there."
                )
            with ThreadPoolExecutor(1, thread_name_prefix="workbench-transfer") as executor:
                try:
                    await self._pull(object_id, where["sources"], store, executor)
                except StoreFullError:
                    private = PrivateMemory()
                    await self._pull(object_id, where["sources"], private, executor)
                    return private.record
        return store.read(Ref(object_id))

    async def _pull(self, object_id: ObjectId, sources: Sequence[str], store: Any, executor: Executor) -> None:
        await Pull(store, object_id, sources, self._ask_worker, executor, lambda _: None, cached=True).run()

    async def _ask_worker(self, address: str, verb: str, **arguments: Any) -> Any:
        ask = getattr(self._dask.rpc(address), messages.OP)
        reply = await ask(verb=verb, arguments=arguments, version=messages.PROTOCOL)
        return messages.unwrap(reply, f"The worker at {address}")

    def put(
        self,
        encoded: Encoded,
        name: str | None = None,
        *,
        pin: bool = False,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> Ref:
        """Send an object to the node that has most room, from a process whose store is no node.

        Raises
        ------
        StoreFullError
            No node has room. Nothing was put.
        ClusterError
            No node runs, or none can be reached from here.
        """
        ref = Ref(new_object_id(), name, encoded.description.kind, encoded.nbytes)
        meta = describe(ref.id, encoded, pin=pin, ttl=ttl, tags=tags)
        offers = self.call("offer", nbytes=encoded.nbytes)
        failed: WorkbenchError = ClusterError(
            "No node of the cluster can take an object: none runs that is not drained, and the store of this process is none. Start a worker, or "
            "give one back with wb.undrain(node)."
        )
        for offer in offers:
            try:
                self._sync(visiting.send, self._dask.rpc, str(offer["address"]), meta, name, encoded.buffers)
            except (StoreFullError, TransferError) as error:
                failed = error.with_traceback(None)
            else:
                return ref
        raise failed

    def bring(self, key: Key, nodes: Sequence[str]) -> None:
        """As :meth:`a_bring`."""
        self._sync(self.a_bring, key, nodes)

    def delete(self, key: Key) -> None:
        """As :meth:`a_delete`."""
        self._sync(self.a_delete, key)

    def forget(self, objects: Sequence[ObjectId]) -> frozenset[ObjectId]:
        """As :meth:`a_forget`."""
        return self._sync(self.a_forget, objects)

    def wait(self, operation: str, seconds: float) -> dict[str, Any]:
        """As :meth:`a_wait`."""
        return self._sync(self.a_wait, operation, seconds)

    def cancel(self, operation: str) -> dict[str, Any]:
        """As :meth:`a_cancel`."""
        return self._sync(self.a_cancel, operation)


def _nodes(wires: list[dict[str, Any]]) -> list[NodeInfo]:
    return [NodeInfo(**{**node, "workers": tuple(node["workers"])}) for node in wires]


def _info(wire: dict[str, Any]) -> ObjectInfo:
    return messages.info_from_wire(wire, tuple(Replica(**replica) for replica in wire["replicas"]))


def _operation(wire: dict[str, Any]) -> dict[str, Any]:
    return {**wire, "to": list(wire["to"])} if "to" in wire else wire
