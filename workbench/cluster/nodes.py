"""What the cluster's catalog is made of: a node, what it announces, and what it is told to do.

Covers values without behaviour of their own. Read next: ``records.py``, ``catalog.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from workbench.cluster.indexes import by_age
from workbench.objects import NodeInfo, ObjectId, ObjectInfo

if TYPE_CHECKING:
    from workbench.cluster.indexes import ByAge
    from workbench.cluster.records import Copy, Entry

_IN_MEMORY: Final = ("held", "cached", "writing", "pooled")
"""What is used and is no object's own; the pool last, which is what goes when others need room."""


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """One store and the workers beside it.

    `workers` maps addresses to names; the first one announces for all. `objects` are its replicas, `names` its own bindings, `entries` its objects by
    age, `datasets` how many partitions of each dataset it has, `nbytes` what it holds in each state. `unseen` is, during a resync, what the node has
    not mentioned yet; `resyncing` says that more pages come.
    """

    id: str
    name: str
    workers: dict[str, str] = field(default_factory=dict)
    last_address: str = ""
    sequence: int = -1
    capacity: int = 0
    used: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)
    """Bytes by what they are, as the node said last; see ``gauge.py``."""
    heartbeat: float | None = None
    """When one of its workers was heard of, in seconds since the epoch, as far as that was noted."""
    objects: dict[ObjectId, Copy] = field(default_factory=dict)
    names: dict[str, Entry] = field(default_factory=dict)
    entries: ByAge = field(default_factory=by_age)
    datasets: Counter[ObjectId] = field(default_factory=Counter)
    nbytes: Counter[str] = field(default_factory=Counter)
    unseen: dict[ObjectId, None] = field(default_factory=dict)
    resyncing: bool = False
    doubted: bool = False
    """It runs and did not hear an order: it shall say everything again, and then hears the order anew."""
    rack: str = ""
    """What its setting ``workbench.rack`` says: nodes of one rack are near to each other."""
    drained: bool = False
    """Somebody wished it to be emptied: it gets nothing any more, and what it has does not count as safe."""
    emptied: bool = False
    """It is drained, and was found to have nothing that is only there."""

    @property
    def takes_replicas(self) -> bool:
        """Whether replicas may be placed there, and are safe there."""
        return bool(self.workers) and not self.drained

    @property
    def announcer(self) -> str | None:
        """Address of the worker that announces, or None if the node is lost."""
        return next(iter(self.workers), None)

    @property
    def host(self) -> str:
        """Host of its workers, as their addresses name it."""
        return self.last_address.rpartition("://")[2].rpartition(":")[0]

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return max(0, self.capacity - self.used)

    @property
    def info(self) -> NodeInfo:
        """The node as callers see it."""
        state = ("drained" if self.emptied else "draining") if self.drained else "running"
        if not self.workers:
            state = "lost"
        parts = self._parts_of_used()
        in_memory = sum(parts.get(part, 0) for part in _IN_MEMORY)
        return NodeInfo(
            *(self.id, self.name, self.announcer or "", tuple(self.workers), self.capacity, self.used, state),
            pooled=parts.get("pooled", 0),
            sealed=self.used - in_memory if parts else None,
            writing=parts.get("writing"),
            held=parts.get("held"),
            spilled=parts.get("spilled"),
            cached=parts.get("cached"),
            heartbeat=self.heartbeat,
        )

    def _parts_of_used(self) -> Mapping[str, int]:
        """Return the parts as far as they fit into what is used, which is newer: they were measured up to some quarter of a second before."""
        parts, left = dict(self.parts), self.used
        for part in _IN_MEMORY:
            if part in parts:
                parts[part] = min(parts[part], left)
                left -= parts[part]
        return parts


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node says about itself: what changed since the announcement before or, page by page, everything (`full`: a resync).

    `added` are objects that are new or have changed, with the names that they have on that node. Of a resync, `begins` and `ends` mark the first and
    the last page; what none of them mentions is not there any more. `parts` tells how what is used is divided (``gauge.py``), `gone` are
    tombstones of the node's store, of which some pages of a resync have some (``tombstones.py``).
    """

    node: str
    sequence: int
    full: bool
    added: tuple[ObjectInfo, ...]
    removed: tuple[ObjectId, ...]
    capacity: int
    used: int
    begins: bool = True
    ends: bool = True
    parts: Mapping[str, int] = field(default_factory=dict)
    gone: tuple[ObjectId, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What a node must do: ``delete`` an object, which is deleted everywhere, ``unbind`` a name from it, or ``rename`` it if it has the name `was`.

    `keep`: the object lost a conflict and stays without the name, for whoever put it did not mean to replace it, nor to be replaced. `winner` is the
    object that has the name.
    """

    node: str
    verb: str
    object: ObjectId
    name: str | None = None
    keep: bool = False
    winner: ObjectId | None = None
    was: str | None = None
