"""What was deleted in the cluster, so that it stays deleted, whichever process dies.

Covers what the scheduler remembers, as pure data, and the rules. A deletion reaches the nodes that have the object; one that is lost, or has not joined yet, has its replica still
and announces it when it is back. So every deletion leaves a *tombstone*, the object's id: on the scheduler, and in the stores (``store/burying.py``), which
outlive it. Who announces an object with a tombstone is told to delete it. Ids are never used again, so a tombstone can wait for as long as it is remembered.

================================================  =====================================================================================
who                                               what it may do
================================================  =====================================================================================
a client                                          wish for a deletion; it is done when the scheduler says so
the scheduler                                     make tombstones, for a client or for a dataset that is no more (its partitions); give orders to delete; it
                                                  learns the tombstones of each node that joins, before the node's objects
a node                                            delete an object and note its tombstone, in one step, when ordered to; refuse an object that it has a
                                                  tombstone of, from whomever it comes; announce all its tombstones whenever it announces all its objects
a process that is connected                       the same in its host's store, where no worker runs that could be ordered to
a process that is not connected                   the same in its host's store, also while no cluster runs; when the host is a node it announces that, and the scheduler has
                                                  the others delete
a policy, a move, a drop of one replica           never make tombstones: other replicas are meant to stay
================================================  =====================================================================================

A deletion goes: the scheduler makes the tombstone; the nodes that have the object, and those that it is on its way to, delete and note; if one of them was not reached,
or nobody is known to have the object, some others note as well (:data:`WITNESSES`); the client is told. What a death leaves, in between any two of these:

================================================  =====================================================================================
it dies                                           what follows
================================================  =====================================================================================
the client, before it is told                     the object is deleted, unless the scheduler had not heard of the wish
the scheduler, before any node has noted          the object is there as it was; the client has an error, not an answer
the scheduler, after a node has noted             the next scheduler learns the tombstone when that node joins, and has the others delete; the client may have an error
the scheduler, after the client was told          at least one store has the tombstone, as long as a node ran: as above
a node that has the object, before it has noted   it is told when it announces the object again, by whoever is scheduler then
all nodes that have noted, for good               a node that was away all the time brings the object back; so it does if more objects than a store remembers were deleted meanwhile
================================================  =====================================================================================
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workbench.objects import ObjectId, ObjectInfo

WITNESSES: Final = 3
"""Nodes that note a deletion of which a node did not hear, besides those that had the object: one of them will be there when that node is back."""
_REMEMBERED: Final = 100_000
"""Tombstones that a scheduler has: those of several stores, which each remember the last 20,000."""


class Tombstones:
    """Ids of deleted objects."""

    def __init__(self) -> None:
        self._ids: OrderedDict[ObjectId, None] = OrderedDict()

    def __contains__(self, object_id: ObjectId) -> bool:
        return object_id in self._ids

    def add(self, object_id: ObjectId) -> None:
        """Note that an object is deleted."""
        self._ids[object_id] = None
        while len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)

    def covers(self, info: ObjectInfo) -> bool:
        """Tell whether an object is deleted: it, or the dataset that it is a partition of."""
        return info.id in self._ids or info.tags.get("dataset") in self._ids
