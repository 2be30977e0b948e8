"""The scheduler sees to it that an object never has only cached replicas, which their nodes may drop.

Covers when a cached replica is made an ordinary one; every race between that and a node that makes room is in ``store/caching.py``. It decides from the
catalog, asks the node, and looks at the catalog again: a node announces what it did before it answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from workbench.cluster import placement
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Node
from workbench.errors import ClusterError
from workbench.objects import ObjectId
from workbench.texts import counted

logger = logging.getLogger("workbench.scheduler")

_AT_ONCE: Final = 1000
"""Objects that are looked at, or named in one order, before others have their turn."""

Order = Callable[..., Awaitable[Any]]
"""``await order(address, verb, **arguments)``, in bounded time."""


class Guard:
    """Makes cached replicas ordinary where no ordinary one is left.

    Parameters
    ----------
    catalog : ClusterCatalog
    order : callable
    """

    def __init__(self, catalog: ClusterCatalog, order: Order) -> None:
        self._catalog = catalog
        self._order = order

    async def secure(self, object_id: ObjectId, node: Node) -> None:
        """See to it that another node than this one keeps an object, before this one drops it.

        Raises
        ------
        LastReplicaError
            No other node has it, or all that had it cached have dropped it meanwhile.
        """
        asked: set[str] = set()
        while True:
            placement.refuse_last(self._catalog, object_id, node)
            others = [other for other in self._catalog.keepers(object_id) if other is not node]
            if any(other.takes_replicas for other in others):
                return
            caching = [
                other
                for other in self._catalog.holders(object_id)
                if other is not node and other.takes_replicas and other.id not in asked
            ]
            if not caching:
                raise ClusterError(
                    f"Object {object_id} on {node.name} was not dropped: the nodes that have it cached do not answer. Try again."
                )
            asked.add(caching[0].id)
            await self._order(caching[0].announcer, "keep", targets=[object_id])

    async def rescue(self, objects: Iterable[ObjectId]) -> None:
        """Make cached replicas of some objects ordinary, where no running node has an ordinary one.

        What was replaced has gone with its name. A cached replica of it that had no name of its own, because it came to a node where the name was bound anew
        already, goes as well.
        """
        wanted: dict[str, list[ObjectId]] = {}
        over: dict[str, list[ObjectId]] = {}
        for number, object_id in enumerate(list(objects)):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            keepers = self._catalog.keepers(object_id)
            if not any(node.workers for node in keepers):
                into = over if not keepers and self._catalog.is_replaced(object_id) else wanted
                for node in self._catalog.holders(object_id):
                    if node.announcer is not None:
                        into.setdefault(node.announcer, []).append(object_id)
        for address, targets in over.items():
            for start in range(0, len(targets), _AT_ONCE):
                await self._order(address, "drop", targets=targets[start : start + _AT_ONCE])
        for address, targets in wanted.items():
            logger.info(
                "No ordinary replica was left of %s: kept by %s from now on.", counted(len(targets), "object"), address
            )
            for start in range(0, len(targets), _AT_ONCE):
                await self._order(address, "keep", targets=targets[start : start + _AT_ONCE])
