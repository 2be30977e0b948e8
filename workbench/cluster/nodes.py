"""What the cluster's catalog is made of: a node, what it announces, and what it is told to do.

Covers values without behaviour of their own. Read next: ``catalog.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.objects import NodeInfo, ObjectId, ObjectInfo


@dataclass(slots=True)
class Node:
    """One store and the workers beside it. `workers` maps addresses to names; the first one announces for all."""

    id: str
    name: str
    workers: dict[str, str] = field(default_factory=dict)
    last_address: str = ""
    sequence: int = -1
    capacity: int = 0
    used: int = 0
    objects: dict[ObjectId, ObjectInfo] = field(default_factory=dict)
    names: dict[str, ObjectId] = field(default_factory=dict)
    drained: bool = False
    """Somebody wished it to be emptied: it gets nothing any more, and what it has does not count as safe."""

    @property
    def takes_replicas(self) -> bool:
        """Whether replicas may be placed there, and are safe there."""
        return bool(self.workers) and not self.drained

    @property
    def announcer(self) -> str | None:
        """Address of the worker that announces, or None if the node is lost."""
        return next(iter(self.workers), None)

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return max(0, self.capacity - self.used)

    @property
    def info(self) -> NodeInfo:
        """The node as callers see it."""
        state = ("drained" if self.drained else "running") if self.workers else "lost"
        return NodeInfo(self.id, self.name, self.announcer or "", tuple(self.workers), self.capacity, self.used, state)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node says about itself: everything (`full`), or what changed since the announcement before."""

    node: str
    sequence: int
    full: bool
    added: tuple[ObjectInfo, ...]
    removed: tuple[ObjectId, ...]
    names: dict[str, ObjectId]
    unbound: tuple[str, ...]
    capacity: int
    used: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a node must do: ``delete`` an object, or ``unbind`` a name from it."""

    node: str
    verb: str
    object: ObjectId
    name: str | None = None
