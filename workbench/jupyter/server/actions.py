"""What users do through the server: with objects of this host (pin, spill, rename, save, free) and with the cluster (move, replicate, drop, drain).

Covers doing; who may is decided in ``handlers/``, what it would cost in ``plans.py``. Each action ends with a look at what has become of it, so that whoever
asks for the state next sees it, and all others are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workbench import saving
from workbench.errors import ClusterError, NameConflictError, ObjectNotFoundError, StoreError, StoreFullError
from workbench.jupyter.server.hub import Hub
from workbench.jupyter.server.problems import (
    BadRequestError,
    ElsewhereError,
    NotPossibleError,
    OperationNotFoundError,
    OutOfReachError,
)
from workbench.objects import ObjectId, ObjectInfo, format_nbytes
from workbench.store import Store

if TYPE_CHECKING:
    from workbench.cluster import ClusterClient

__all__ = ["Actions"]

T = TypeVar("T")

_TOGETHER: Final = 500
"""Objects that are deleted by one question."""


class Actions:
    """The verbs.

    Parameters
    ----------
    hub : Hub
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # -- the cluster -----------------------------------------------------------------------------------------------

    async def move(self, object_id: ObjectId, to: str) -> dict[str, Any]:
        """Begin to move an object; return the operation."""
        return await self._ask(lambda cluster: cluster.a_move(object_id, to=to))

    async def replicate(self, object_id: ObjectId, to: Sequence[str] | None, n: int | None) -> dict[str, Any]:
        """Begin to replicate an object; return the operation."""
        wish: dict[str, Any] = {"n": n} if to is None else {"to": list(to)}
        return await self._ask(lambda cluster: cluster.a_replicate(object_id, **wish))

    async def drop(self, object_id: ObjectId, node: str, *, force: bool) -> None:
        """Remove the replica on one node."""
        await self._ask(lambda cluster: cluster.a_drop(object_id, node, force=force))

    async def drain(self, node: str) -> dict[str, Any]:
        """Begin to see that nothing is only on a node; return the operation."""
        return await self._ask(lambda cluster: cluster.a_drain(node))

    async def undrain(self, node: str) -> None:
        """Give a drained node back."""
        await self._ask(lambda cluster: cluster.a_undrain(node))

    async def cancel(self, operation: str) -> dict[str, Any]:
        """Cancel an operation, and return it.

        Raises
        ------
        NotPossibleError
            It has ended, or is one that cannot be cancelled.
        OperationNotFoundError
        """
        await self._hub.start()
        job = self._hub.jobs.get(operation)
        if job is not None:
            state = "cannot be cancelled" if job["state"] == "running" else f"has ended already: it is {job['state']}"
            raise NotPossibleError(f"The operation {job['verb']} {state}.")
        cluster = self._hub.link.require()
        if all(each["id"] != operation for each in await cluster.a_operations()):
            raise OperationNotFoundError(f"There is no operation {operation[:100]!r}; it may have ended long ago.")
        return await self._ask(lambda cluster: cluster.a_cancel(operation))

    async def _ask(self, action: Callable[[ClusterClient], Awaitable[T]]) -> T:
        await self._hub.start()
        try:
            return await action(self._hub.link.require())
        except (TypeError, ValueError) as error:  # the scheduler's word for what cannot be meant
            raise BadRequestError(str(error)) from error
        finally:
            await self._hub.refresh()

    # -- deleting --------------------------------------------------------------------------------------------------

    async def delete(self, object_id: ObjectId) -> None:
        """Delete an object everywhere, a dataset with its partitions."""
        await self._hub.start()
        try:
            await self._delete(object_id)
        finally:
            await self._hub.refresh()

    async def delete_many(self, ids: Iterable[ObjectId]) -> dict[str, list[Any]]:
        """Delete objects everywhere; return those that are deleted, and of the others why not."""
        await self._hub.start()
        deleted: list[str] = []
        failed: list[dict[str, str]] = []
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _TOGETHER):
            batch = wanted[start : start + _TOGETHER]
            try:
                here = await self._delete_there(batch)
            except ClusterError as error:
                failed += [{"id": object_id, "kind": error.kind, "message": str(error)} for object_id in batch]
                continue
            deleted += [object_id for object_id in batch if object_id not in here]
            for object_id in here:
                try:
                    await self._hub.host.do(partial(_delete_here, object_id=object_id))
                except (ObjectNotFoundError, StoreError) as error:
                    failed.append({"id": object_id, "kind": error.kind, "message": str(error)})
                else:
                    deleted.append(object_id)
        await self._hub.refresh()
        return {"deleted": deleted, "failed": failed}

    async def _delete_there(self, objects: Sequence[ObjectId]) -> frozenset[ObjectId]:
        """Delete objects in the cluster by one question, if there is a cluster; return those that it has not heard of, which are left to this host."""
        try:
            cluster = self._hub.link.require()
        except ClusterError:
            return frozenset(objects)
        return await cluster.a_forget(objects)

    async def _delete(self, object_id: ObjectId) -> None:
        try:
            cluster = self._hub.link.require()
        except ClusterError:
            await self._hub.host.do(lambda store: _delete_here(store, object_id))
        else:
            try:
                await cluster.a_delete(object_id)
            except ObjectNotFoundError:
                # Put a moment ago: this host has it, and the cluster has not heard of it yet.
                await self._hub.host.do(lambda store: _delete_here(store, object_id))

    # -- this host -------------------------------------------------------------------------------------------------

    async def pin(self, object_id: ObjectId) -> None:
        """Keep an object in this host's memory; a dataset with the partitions that this host has."""
        await self._each(object_id, "pin", Store.pin)

    async def unpin(self, object_id: ObjectId) -> None:
        """Undo :meth:`pin`."""
        await self._each(object_id, "unpin", Store.unpin)

    async def spill(self, object_id: ObjectId) -> None:
        """Move an object from this host's memory to its disk.

        Raises
        ------
        NotPossibleError
            It is pinned, mapped by somebody, so small that it lies in the catalog, or there is nowhere to spill to.
        """
        await self._each(object_id, "spill", _spill)

    async def restore(self, object_id: ObjectId) -> None:
        """Bring an object back to this host's memory."""
        await self._each(object_id, "restore", Store.restore)

    async def rename(self, object_id: ObjectId, name: str, *, replace: bool) -> None:
        """Give an object a name in place of those that it has.

        Raises
        ------
        NameConflictError
            Another object has it, and is not to be replaced; or it cannot be a name.
        """
        await self._hub.start()
        try:
            cluster = self._hub.link.require()
        except ClusterError:
            await self._here(object_id, "rename", lambda store: _rename(store, object_id, name, replace=replace))
        else:
            await cluster.a_rename(object_id, name, replace=replace)
        await self._hub.refresh()

    async def save(self, object_id: ObjectId, url: str) -> dict[str, Any]:
        """Begin to write an object to a file; return the operation."""
        await self._hub.start()
        info = await self.require(object_id)
        try:
            cluster = self._hub.link.require()
        except ClusterError:
            cluster = None
        target = url if "://" in url or url.startswith("/") else str(Path(self._hub.root or ".", url))

        async def work() -> None:
            # In a thread of its own: the store's shall not wait for a slow disk. The cluster is asked from there, too.
            store = await self._hub.host.do(lambda store: store)
            await asyncio.to_thread(saving.save, store, cluster, object_id, target, None)

        job = self._hub.jobs.start("save", info, work)
        await self._hub.refresh()
        return job

    async def free(self) -> dict[str, Any]:
        """Give back the memory of deleted objects that nobody maps any more; return how much, and who maps the others."""
        await self._hub.start()
        freed = await self._hub.host.do(Store.give_back)
        await self._hub.refresh()
        return {"freed": freed, "kept": self._hub.deleted}

    async def require(self, object_id: ObjectId) -> ObjectInfo:
        """Return an object.

        Raises
        ------
        ObjectNotFoundError
        """
        found = await self._hub.find(object_id)
        if found is None:
            raise ObjectNotFoundError(f"There is no object {object_id}. It may have been deleted meanwhile.")
        return found

    async def require_here(self, object_id: ObjectId) -> None:
        """See to it that this host has an object, of a dataset its manifest.

        Raises
        ------
        ObjectNotFoundError
        ElsewhereError
            Only other nodes have it.
        OutOfReachError
            Only nodes that are lost have it.
        """
        await self._hub.start()
        await self._here(object_id, "preview", lambda store: store.info(object_id))

    async def _each(self, object_id: ObjectId, verb: str, act: Callable[[Store, ObjectId], None]) -> None:
        """Do something with an object of this host, of a dataset with its partitions here and, for pins, its manifest."""
        await self._hub.start()

        def work(store: Store) -> None:
            info = store.info(object_id)
            parts = [part.id for part in store.ls(dataset=object_id)] if info.kind == "dataset" else []
            for target in parts if verb in ("spill", "restore") and parts else [*parts, object_id]:
                if verb != "spill" or not parts or store.residence.can_be_spilled(target):
                    act(store, target)

        try:
            await self._here(object_id, verb, work)
        finally:
            await self._hub.refresh()

    async def _here(self, object_id: ObjectId, verb: str, work: Callable[[Store], T]) -> T:
        try:
            return await self._hub.host.do(work)
        except ObjectNotFoundError:
            found = await self._hub.find(object_id)
            replicas = [] if found is None else found.replicas
            nodes = [replica.node_name for replica in replicas if replica.state != "lost"]
            if replicas and not nodes:
                lost = ", ".join(replica.node_name for replica in replicas)
                raise OutOfReachError(
                    f"{_title(found, object_id)} is only on {lost}, lost because no worker runs there: start one there, or make the object anew, or delete it."
                ) from None
            if nodes:
                raise ElsewhereError(
                    f"{_title(found, object_id)} is on {', '.join(nodes)}, not on this host, and {verb} needs it here. Replicate it to this host first."
                ) from None
            raise


def _title(info: ObjectInfo | None, object_id: ObjectId) -> str:
    return f"{info.name[:200]!r} ({format_nbytes(info.nbytes)})" if info is not None and info.name else object_id


def _delete_here(store: Store, object_id: ObjectId) -> None:
    # Also of a cluster that does not answer now: it hears of it when it does.
    store.delete_whole(object_id)


def _spill(store: Store, object_id: ObjectId) -> None:
    try:
        store.spill(object_id)
    except StoreFullError:
        raise
    except StoreError as error:
        raise NotPossibleError(str(error)) from error


def _rename(store: Store, object_id: ObjectId, name: str, *, replace: bool) -> None:
    if not replace and store.exists(name) and store.resolve(name) != object_id:
        raise NameConflictError(f"Another object is called {name[:200]!r} already. Choose another name, or replace it.")
    store.rename(object_id, name)
