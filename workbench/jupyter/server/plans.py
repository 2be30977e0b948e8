"""What an action would do, for the dialog that asks whether it shall: bytes, seconds, what has to give way, and what stands against it.

Covers asking (the cluster's dry runs, this host's store) and putting the answers into one form; nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.errors import ClusterError, LastReplicaError, NodeNotFoundError, StoreFullError, WorkbenchError
from workbench.jupyter.server.actions import Actions
from workbench.jupyter.server.hub import Hub
from workbench.jupyter.server.snapshot import partition_number
from workbench.objects import Holder, ObjectId, ObjectInfo, format_nbytes, is_object_id
from workbench.store import Store

__all__ = ["Plans"]

Json = dict[str, Any]


class Plans:
    """Makes plans.

    Parameters
    ----------
    hub : Hub
    actions : Actions
    """

    def __init__(self, hub: Hub, actions: Actions) -> None:
        self._hub = hub
        self._actions = actions

    async def of_object(self, object_id: ObjectId, verb: str, wish: Mapping[str, Any]) -> Json:
        """Return the plan of an action with an object.

        Parameters
        ----------
        object_id : ObjectId
        verb : str
            ``move``, ``replicate``, ``drop``, ``spill``, ``restore`` or ``delete``.
        wish : mapping
            `to` (a list of nodes), `n` or `node`, as the verb needs.

        Raises
        ------
        ObjectNotFoundError
        NodeNotFoundError
        """
        info = await self._actions.require(object_id)
        if verb == "delete":
            return _plan(sum(replica.nbytes for replica in info.replicas), last_replica=True)
        if verb in ("spill", "restore"):
            holders = self._hub.holders(object_id)
            name = next((node["name"] for node in self._hub.nodes if node["id"] == self._hub.node), "this host")
            return self._named(await self._hub.host.do(lambda store: _local(store, info, holders, verb, name)))
        return await self._in_cluster(object_id, verb, wish)

    async def of_drain(self, node: str) -> Json:
        """Return the plan of draining a node."""
        await self._hub.start()
        cluster = self._hub.link.require()
        try:
            return self._from_wire(await cluster.a_drain(node, dry_run=True))
        except NodeNotFoundError:
            raise
        except ClusterError as error:
            return _plan(refused=error)

    async def _in_cluster(self, object_id: ObjectId, verb: str, wish: Mapping[str, Any]) -> Json:
        try:
            cluster = self._hub.link.require()
        except ClusterError as error:
            return _plan(refused=error)
        try:
            if verb == "move":
                return self._from_wire(await cluster.a_move(object_id, wish["to"][0], dry_run=True))
            if verb == "replicate":
                return self._from_wire(await cluster.a_replicate(object_id, wish["to"], wish["n"], dry_run=True))
            try:
                return self._from_wire(await cluster.a_drop(object_id, wish["node"], dry_run=True))
            except LastReplicaError:
                wire = await cluster.a_drop(object_id, wish["node"], force=True, dry_run=True)
                return self._from_wire(wire) | {"last_replica": True}
        except NodeNotFoundError:
            raise
        except (ClusterError, StoreFullError) as error:
            return _plan(refused=error)

    def _from_wire(self, wire: Json) -> Json:
        return self._named(from_wire(wire, _rate(self._hub.operations)))

    def _named(self, plan: Json) -> Json:
        """Say of what has no name which partition of which dataset it is, or only its id; and how large it is."""
        for room in plan["evicts"]:
            if room["what"] == "spill" and is_object_id(room["name"]):
                info, room["id"], room["name"] = self._hub.known(room["name"]), room["name"], None
                if info is not None:
                    room["name"], room["nbytes"] = self._title(info), info.nbytes
        return plan

    def _title(self, info: ObjectInfo) -> str | None:
        number, dataset = partition_number(info), self._hub.known(ObjectId(info.tags.get("dataset", "")))
        return info.name if number is None or dataset is None else f"{dataset.name or dataset.id} [{number}]"


def from_wire(wire: Json, rate: float | None) -> Json:
    """Return the plan that the scheduler wrote down.

    Parameters
    ----------
    wire : dict
    rate : float or None
        Bytes per second at which objects have travelled lately.
    """
    copies = sum(step["nbytes"] for step in wire["steps"] if step["verb"] == "copy")
    nbytes = copies or sum(step["nbytes"] for step in wire["steps"] if step["verb"] == "drop")
    plan = _plan(nbytes)
    if copies and rate:
        plan["seconds"] = copies / rate
    for room in wire["rooms"]:
        plan["evicts"] += _evicts(room["node_name"], room)
        if room["missing"]:
            missing = format_nbytes(room["missing"])
            message = f"{room['node_name']} has no room for {missing} of it. {room['trouble']}".strip()
            plan["refused"] = {"kind": StoreFullError.kind, "message": message}
    for step in wire["steps"]:
        if step["verb"] == "refuse":
            plan["refused"] = {"kind": "refused", "message": step["reason"]}
            break
    return plan


def _plan(nbytes: int = 0, *, refused: WorkbenchError | str | None = None, last_replica: bool = False) -> Json:
    problem = None
    if isinstance(refused, WorkbenchError):
        problem = {"kind": refused.kind, "message": str(refused)}
    elif refused is not None:
        problem = {"kind": "refused", "message": refused}
    return {"nbytes": nbytes, "seconds": None, "evicts": [], "refused": problem, "last_replica": last_replica}


def _evicts(node: str, room: Mapping[str, Any]) -> list[Json]:
    """Return what one node would give up for what it gets."""
    found = [
        {"node": node, "name": None, "id": None, "nbytes": room[part], "what": what}
        for part, what in (("pooled", "pool"), ("cached", "cached"), ("missing", "missing"))
        if room[part]
    ]
    objects = list(room["objects"])
    return found + [
        {
            "node": node,
            "name": name,
            "id": None,
            "nbytes": room["spilled"] if len(objects) == 1 else None,
            "what": "spill",
        }
        for name in objects
    ]


def _rate(operations: Iterable[Json]) -> float | None:
    """Return how fast the last operations moved bytes, in bytes per second; None if none did."""
    for operation in operations:
        if rate := operation.get("rate"):
            return float(rate)
        if operation["state"] == "done" and operation["ended"] and operation["verb"] != "save":
            seconds = operation["ended"] - operation["started"]
            if operation["done_nbytes"] and seconds > 0:
                return float(operation["done_nbytes"] / seconds)
    return None


def _local(store: Store, info: ObjectInfo, holders: list[Holder], verb: str, node: str) -> Json:
    here = next((replica for replica in info.replicas if replica.node == store.id), None)
    if here is None:
        return _plan(refused=f"It is not on this host, and {verb} needs it here. Replicate it to this host first.")
    if verb == "spill":
        return _plan(here.nbytes, refused=_against_spilling(store, info, holders, here.state))
    if here.state != "disk":
        return _plan(refused="It is in memory already.")
    room = store.forecast(here.nbytes)
    parts = {name: getattr(room, name) for name in ("pooled", "cached", "spilled", "objects", "missing")}
    refused: WorkbenchError | None = None
    if room.missing:
        missing = format_nbytes(room.missing)
        refused = StoreFullError(f"There is no room in memory for {missing} of it. {room.trouble}".strip())
    return _plan(here.nbytes, refused=refused) | {"evicts": _evicts(node, parts)}


def _against_spilling(store: Store, info: ObjectInfo, holders: list[Holder], state: str) -> str | None:
    if state == "disk":
        return "It is on disk already."
    if info.pinned:
        return "It is pinned, so it stays in memory. Unpin it first."
    if store.spiller.place.path is None:
        return "This store has nowhere to spill to. Set workbench.spill-directory."
    if holders:
        who = ", ".join(sorted({holder.label[:200] for holder in holders})[:3])
        return f"It is mapped by {who}, so its memory would stay in use."
    if info.kind != "dataset" and not store.residence.can_be_spilled(info.id):
        return "It is so small that it lies in the store's catalog."
    return None
