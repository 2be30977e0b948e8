"""What should change without anybody naming an object: pure functions that yield suggestions with reasons.

Covers keeping up the wished number of replicas, emptying a node, giving up what was made in place of a lost replica, and evening out the nodes.
Nothing here sends, waits or reads a clock; a policy never suggests to drop a last replica, and ``manager.py``, which acts, would refuse it.
What cannot be done is a suggestion, too: ``refuse``, with the reason. Read next: ``keeper.py``.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Node
from workbench.cluster.placement import Suggestion, by_room
from workbench.cluster.records import Copy
from workbench.objects import ObjectId, format_nbytes

CHEAP: Final = 1 << 20
"""Bytes up to which an object is moved although somebody has it mapped: what its readers keep meanwhile is little."""
TOLERANCE: Final = 0.05
"""Part of the capacity by which nodes may differ: evening out less would move more than it is worth."""

_MOST_MOVES: Final = 10_000
"""Objects that one plan moves; the next one goes on."""

Barred = Mapping[tuple[ObjectId, str], str]
"""Object and node to why it cannot be brought there: it was tried."""


def safe_holders(catalog: ClusterCatalog, object_id: ObjectId) -> list[Node]:
    """Return the nodes whose replica counts: ordinary, running, and not about to go."""
    return [node for node in catalog.keepers(object_id) if node.takes_replicas]


def exposed(catalog: ClusterCatalog) -> list[ObjectId]:
    """Return the objects that may need more replicas: those of which several are wished, and those on drained nodes."""
    drained = [object_id for node in catalog.nodes.values() if node.drained for object_id in node.objects]
    return list(dict.fromkeys([*catalog.wishes.objects(), *drained]))


def keep_up(
    catalog: ClusterCatalog,
    objects: Iterable[ObjectId],
    barred: Barred | None = None,
    awaited: Collection[str] = (),
    leaving: Collection[str] = (),
) -> Iterator[Suggestion]:
    """Suggest the copies after which each object has as many safe replicas as are wished, or as the nodes can take.

    Parameters
    ----------
    catalog : ClusterCatalog
    objects : iterable of ObjectId
        The largest ones find their place first.
    barred : mapping, optional
        What was tried in vain.
    awaited : collection of str
        Nodes that were lost only now, and may be back soon: what they have counts.
    leaving : collection of str
        Nodes to be thought of as drained.
    """
    barred = barred or {}
    planned: Counter[str] = Counter()
    short: list[tuple[int, ObjectId, set[str]]] = []
    for object_id in objects:
        holders = catalog.holders(object_id)
        safe = {
            node.id
            for node in catalog.keepers(object_id)
            if (node.takes_replicas and node.id not in leaving) or (node.id in awaited and not node.workers)
        }
        # There is nothing to copy from where all have gone.
        if len(safe) < catalog.wished(object_id) and any(node.workers for node in holders):
            short.append((catalog.info(object_id).nbytes, object_id, safe))
    for nbytes, object_id, safe in sorted(short, key=lambda each: (-each[0], each[1])):
        holders, keepers, wished = catalog.holders(object_id), catalog.keepers(object_id), catalog.wished(object_id)
        tried = {node for each, node in barred if each == object_id}
        for number in range(len(safe) + 1, wished + 1):
            node = _roomiest(catalog, nbytes, planned, {*safe, *tried, *leaving})
            if node is None:
                why = _why_not(catalog, object_id, nbytes, barred, {*safe, *leaving})
                if safe:
                    why = f"{wished} replicas cannot be kept now, only {len(safe)}: {why}"
                yield Suggestion("refuse", object_id, holders[0].id, nbytes, why)
                break
            planned[node.id] += nbytes
            safe.add(node.id)
            why = f"safe replica {number} of {wished}" if wished > 1 else f"it is only on {_names(keepers or holders)}"
            # What is cached may be dropped at any time, and counts only when it is kept.
            cached = node in holders
            why += f": {node.name} {'keeps the replica that it has cached' if cached else f'has {format_nbytes(node.free)} free'}"
            yield Suggestion("copy", object_id, node.id, nbytes, why)


def _roomiest(catalog: ClusterCatalog, nbytes: int, planned: Counter[str], but: Collection[str]) -> Node | None:
    nodes = [node for node in by_room(catalog.nodes.values()) if node.id not in but and nbytes <= node.capacity]
    return min(nodes, key=lambda node: (planned[node.id] - node.free, node.name), default=None)


def _why_not(catalog: ClusterCatalog, object_id: ObjectId, nbytes: int, barred: Barred, but: Collection[str]) -> str:
    tried = [reason for (each, _), reason in barred.items() if each == object_id]
    if tried:
        return tried[-1]
    having = {*but, *(node.id for node in catalog.holders(object_id))}
    if any(node.takes_replicas and node.id not in having for node in catalog.nodes.values()):
        return f"no other node has a capacity of {format_nbytes(nbytes)}"
    holders = catalog.holders(object_id)
    if len(holders) > 1 and all(node.drained for node in holders):
        return f"all nodes that have it are drained ({_names(holders)})"
    return "no other running node could take it"


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(node.name for node in nodes)


def surplus(catalog: ClusterCatalog, made: Mapping[ObjectId, Collection[str]]) -> Iterator[Suggestion]:
    """Suggest to drop replicas that were made in place of others, where those others are back.

    Parameters
    ----------
    catalog : ClusterCatalog
    made : mapping of ObjectId to collection of str
        The nodes where :func:`keep_up` had replicas made. Those that users made are never surplus.
    """
    for object_id, nodes in made.items():
        safe = {node.id: node for node in safe_holders(catalog, object_id)}
        wished = catalog.wished(object_id)
        for node in sorted(nodes):
            if node in safe and len(safe) > wished:
                del safe[node]
                nbytes = catalog.info(object_id).nbytes
                why = f"it was made in place of a replica that is back: without it there are {len(safe)}, and {wished} are wished"
                yield Suggestion("drop", object_id, node, nbytes, why)


def rebalance(
    catalog: ClusterCatalog,
    mapped: Mapping[str, Collection[ObjectId]],
    *,
    cheap: int = CHEAP,
    tolerance: float = TOLERANCE,
) -> Iterator[Suggestion]:
    """Suggest moves (a copy, then a drop) after which the nodes are filled alike, as far as that can be done.

    Every move leaves the receiver no fuller than the giver, so the next plan does not undo it.

    Parameters
    ----------
    catalog : ClusterCatalog
    mapped : mapping of node to objects
        What somebody on the node has mapped: it stays, unless it is small.
    cheap : int
        Bytes up to which an object moves all the same.
    tolerance : float
        Difference, as a part of the capacity, that is left as it is.
    """
    scales = _Scales(catalog, mapped, cheap, tolerance)
    # Played to its end before anything is said: where it ends the next plan has nothing to do, and nothing travels twice.
    reasons: dict[_Piece, str] = {}
    refused: dict[ObjectId, Suggestion] = {}
    given_up: set[str] = set()
    while len(reasons) < _MOST_MOVES and (giver := scales.fullest(given_up)) is not None:
        if (found := scales.move_from(giver)) is None:
            given_up.add(giver.id)
            refused |= {step.object: step for step in scales.left_over(giver)}
            continue
        piece, to = found
        reasons.setdefault(
            piece,
            f"{giver.name} is {scales.level(giver):.0%} full{', disk included' if scales.level(giver) > 1 else ''}, {to.name} {scales.level(to):.0%}",
        )
        scales.move(piece, giver, to)
    for piece, why in reasons.items():
        to = scales.place_of(piece)
        if to.id != piece.origin:
            yield Suggestion("copy", piece.object, to.id, piece.nbytes, why)
            yield Suggestion("drop", piece.object, piece.origin, piece.nbytes, f"moved to {to.name}")
    yield from refused.values()


def _counts(info: Copy) -> bool:
    # What is cached for readers makes room by itself.
    return info.nbytes > 0 and info.state != "cached"


class _Piece(NamedTuple):
    """A replica that may move; `origin` is the node where it really is. The order is by size."""

    nbytes: int
    object: ObjectId
    origin: str


class _Scales:
    """How full the nodes are while a plan is made. A level is the bytes of a node's objects as a part of its capacity."""

    def __init__(
        self, catalog: ClusterCatalog, mapped: Mapping[str, Collection[ObjectId]], cheap: int, tolerance: float
    ) -> None:
        self._nodes = {node.id: node for node in catalog.nodes.values() if node.takes_replicas and node.capacity > 0}
        self._load = {
            node.id: sum(info.nbytes for info in node.objects.values() if _counts(info))
            for node in self._nodes.values()
        }
        self._has = {node.id: set(node.objects) for node in self._nodes.values()}
        self._mapped, self._cheap, self._tolerance = mapped, cheap, tolerance
        self._stay: dict[str, list[tuple[_Piece, str]]] = {node: [] for node in self._nodes}
        self._movable: dict[str, list[_Piece]] = {node: [] for node in self._nodes}
        self._place: dict[_Piece, str] = {}
        for node in self._nodes.values():
            # A manifest is small, and belongs on every node.
            for info in (info for info in node.objects.values() if _counts(info) and info.kind != "dataset"):
                piece = _Piece(info.nbytes, info.id, node.id)
                if why := self._why_it_stays(info, node):
                    self._stay[node.id].append((piece, why))
                else:
                    self._movable[node.id].append(piece)
            self._movable[node.id].sort()

    def _why_it_stays(self, info: Copy, node: Node) -> str:
        if info.pinned:
            return f"it is pinned on {node.name}"
        if info.id in self._mapped.get(node.id, ()) and info.nbytes > self._cheap:
            return f"somebody on {node.name} has it mapped"
        return ""

    def level(self, node: Node) -> float:
        return self._load[node.id] / node.capacity

    def place_of(self, piece: _Piece) -> Node:
        return self._nodes[self._place[piece]]

    def fullest(self, but: Collection[str]) -> Node | None:
        left = (node for node in self._nodes.values() if node.id not in but)
        return max(left, key=lambda node: (self.level(node), node.id), default=None)

    def move(self, piece: _Piece, giver: Node, to: Node) -> None:
        self._movable[giver.id].remove(piece)
        insort(self._movable[to.id], piece)
        self._place[piece] = to.id
        for node, sign in ((giver, -1), (to, 1)):
            self._load[node.id] += sign * piece.nbytes
        self._has[giver.id].discard(piece.object)
        self._has[to.id].add(piece.object)

    def move_from(self, giver: Node) -> tuple[_Piece, Node] | None:
        """Return the largest object that can go, and the emptiest node that may have it and is no fuller than the giver then."""
        for to in sorted(self._nodes.values(), key=lambda node: (self.level(node), node.id)):
            if self.level(giver) - self.level(to) <= self._tolerance:
                return None
            both = giver.capacity + to.capacity
            most = (self._load[giver.id] * to.capacity - self._load[to.id] * giver.capacity) // both
            pieces = self._movable[giver.id]
            for at in range(bisect_left(pieces, (most + 1,)) - 1, -1, -1):
                if pieces[at].object not in self._has[to.id]:
                    return pieces[at], to
        return None

    def left_over(self, giver: Node) -> Iterator[Suggestion]:
        """Name the largest object that may not move, of a node that is still too full."""
        least = min(self.level(node) for node in self._nodes.values())
        if self._stay[giver.id] and self.level(giver) - least > self._tolerance:
            piece, why = max(self._stay[giver.id])
            yield Suggestion("refuse", piece.object, giver.id, piece.nbytes, why)
