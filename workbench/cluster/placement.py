"""Where replicas and tasks should be: pure functions that yield suggestions with reasons.

Covers the choice of nodes, sources and plans of moves; nothing here sends, waits or reads a clock. Who acts on it, and
enforces that the last replica stays, is ``manager.py``; tasks are ``locality.py``'s. Read next: ``manager.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Node
from workbench.errors import LastReplicaError, NodeStateError, ObjectNotFoundError, TransferError
from workbench.objects import ObjectId, format_nbytes, name_drained


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A replica to make (``copy``) or to remove (``drop``), and why; or what should be done and cannot be (``refuse``), and why not."""

    verb: str
    object: ObjectId
    node: str
    nbytes: int
    reason: str


def by_room(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that take replicas, the one with the most free bytes first."""
    return sorted((node for node in nodes if node.takes_replicas), key=lambda node: (-node.free, node.name))


def replicate_to(catalog: ClusterCatalog, objects: Collection[ObjectId], to: Collection[Node]) -> Iterator[Suggestion]:
    """Suggest the copies after which each node of `to` has every object.

    Raises
    ------
    NodeStateError
        One of the nodes is drained or lost.
    """
    for node in to:
        if not node.workers:
            raise NodeStateError(f"Node {node.name} is lost: no worker runs there. The object stays where it is.")
        if node.drained:
            raise NodeStateError(
                f"Node {node.name} is drained: it gets no replicas. wb.undrain({node.name!r}) gives it back."
            )
    for object_id in objects:
        having = {node.id for node in catalog.keepers(object_id)}
        for node in to:
            if node.id not in having:
                nbytes = catalog.info(object_id).nbytes
                yield Suggestion("copy", object_id, node.id, nbytes, f"{node.name} was asked for")


def replicate_n(catalog: ClusterCatalog, objects: Collection[ObjectId], n: int) -> Iterator[Suggestion]:
    """Suggest the copies after which every object is on `n` running nodes; the emptiest nodes are filled first.

    Raises
    ------
    NodeStateError
        If there are not so many nodes.
    """
    running = by_room(catalog.nodes.values())
    if not 1 <= n <= len(running):
        names = ", ".join(node.name for node in running) or "none"
        raise NodeStateError(
            f"{n} replicas need {n} running nodes; the cluster has {len(running)} ({names})."
            f"{name_drained(node.info for node in catalog.nodes.values())} Ask for fewer."
        )
    planned: Counter[str] = Counter()
    for object_id in objects:
        nbytes = catalog.info(object_id).nbytes
        having = {node.id for node in catalog.keepers(object_id) if node.takes_replicas}
        candidates = [node for node in running if node.id not in having]
        candidates.sort(key=lambda node: planned[node.id] - node.free)
        for node in candidates[: max(0, n - len(having))]:
            planned[node.id] += nbytes
            free = format_nbytes(node.free)
            yield Suggestion(
                "copy", object_id, node.id, nbytes, f"replica {len(having) + 1} of {n}: {node.name} has {free} free"
            )
            having.add(node.id)


def move_to(catalog: ClusterCatalog, objects: Collection[ObjectId], to: Node) -> Iterator[Suggestion]:
    """Suggest the copies and then the drops after which `to`, and no other running node, has every object."""
    yield from replicate_to(catalog, objects, [to])
    for object_id in objects:
        why, wished = f"moved to {to.name}", catalog.wished(object_id)
        if wished > 1:
            why += f"; {wished} replicas were wished, one is from then on"
        for node in catalog.holders(object_id):
            if node.id != to.id and node.workers:
                yield Suggestion("drop", object_id, node.id, catalog.info(object_id).nbytes, why)


def sources(
    catalog: ClusterCatalog, object_id: ObjectId, to: Node | None = None, busy: Mapping[str, int] | None = None
) -> list[str]:
    """Return addresses of workers that can send an object, best first: one of each node, then the others.

    Parameters
    ----------
    catalog : ClusterCatalog
    object_id : ObjectId
    to : Node, optional
        Where it is to go: nodes on the same host come first, then those in the same rack.
    busy : mapping of node to int, optional
        How many transfers come from it now: the idlest ones come first, of those that are equally near.

    Raises
    ------
    ObjectNotFoundError
        If no node has it.
    TransferError
        If only lost nodes have it.
    """
    holders = catalog.holders(object_id)
    if not holders:
        raise ObjectNotFoundError(f"There is no object {object_id} in the cluster any more.")
    if to in holders:
        return []  # it is there already, and only to be kept
    running = [node for node in holders if node.workers]
    if not running:
        names = ", ".join(node.name for node in holders)
        raise TransferError(
            f"Object {object_id} is only on {names}, and no worker runs there now. It is there again when a worker is: "
            "start one, or wait until its nanny has; wb.delete gives it up."
        )
    running.sort(key=lambda node: (_distance(node, to), (busy or {}).get(node.id, 0), node.name))
    turns = [list(node.workers) for node in running]
    return [turn[place] for place in range(max(map(len, turns))) for turn in turns if place < len(turn)]


def _distance(node: Node, to: Node | None) -> int:
    """Return 0 for a node on the same host, 1 for one in the same rack, else 2."""
    if to is None:
        return 2
    if node.host and node.host == to.host:
        return 0
    return 1 if node.rack and node.rack == to.rack else 2


def refuse_last(catalog: ClusterCatalog, object_id: ObjectId, node: Node, going: Collection[str] = ()) -> None:
    """Refuse to drop a replica without which the object would be lost.

    Parameters
    ----------
    catalog : ClusterCatalog
    object_id : ObjectId
    node : Node
    going : collection of str
        Nodes whose replica is being dropped at this moment: they do not count.

    Raises
    ------
    ObjectNotFoundError
        If the node does not have it.
    LastReplicaError
        If no other node has it that stays: a lost one may not come back, a drained one is about to go.
    """
    holders = catalog.holders(object_id)
    info = catalog.info(object_id)
    title = repr(info.name) if info.name else catalog.title(object_id) or object_id
    if node not in holders:
        names = ", ".join(holder.name for holder in holders)
        raise ObjectNotFoundError(f"{title} has no replica on {node.name}; it is on {names}.")
    others = [other for other in holders if other is not node and other.id not in going]
    if not any(other.takes_replicas for other in others):
        left = "".join(f" That on {other.name} does not count: {_why_not(other)}." for other in others)
        raise LastReplicaError(
            f"The replica of {title} on {node.name} is the last one.{left} Replicate it first, or use wb.delete, "
            "or say force=True to lose it."
        )


def _why_not(node: Node) -> str:
    return f"the node is drained, and wb.undrain({node.name!r}) gives it back" if node.drained else "the node is lost"


def nearest(catalog: ClusterCatalog, objects: Collection[ObjectId]) -> list[Node]:
    """Return the nodes that have the most bytes of `objects`; running ones if any has some, else lost ones."""
    found: Counter[str] = Counter()
    for object_id in objects:
        for node in catalog.holders(object_id):
            found[node.id] += 1 + node.objects[object_id].nbytes
    for running in (True, False):
        candidates = {node: amount for node, amount in found.items() if bool(catalog.nodes[node].workers) is running}
        if candidates:
            most = max(candidates.values())
            return [catalog.nodes[node] for node, amount in candidates.items() if amount == most]
    return []
