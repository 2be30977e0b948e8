"""Keeps up the wished number of replicas by itself: after a node is lost, when one comes back, when something lands on a drained node.

Covers when the policies are asked; what they suggest is ``policies.py``'s, and ``manager.py`` does it, as an operation that everybody can see. A lost node
is awaited for the setting ``workbench.replica-grace``: a nanny starts a worker anew within seconds, and copying everything meanwhile would be
for nothing. What was made in place of a lost replica is remembered, and given up when that one is back; a scheduler that has started anew has
forgotten it, and leaves such replicas where they are. A wish that cannot be fulfilled is logged, shown, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import Final

from workbench.cluster import policies
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.manager import Barred, Manager
from workbench.cluster.nodes import Node
from workbench.cluster.placement import Suggestion
from workbench.objects import ObjectId

logger = logging.getLogger("workbench.scheduler")

_SOON: Final = 0.2
"""Seconds after which something is done about what was put on a drained node: several things come together."""
_AGAIN: Final = 60.0
"""Seconds, at least, until what could not be done is tried again."""


class Keeper:
    """Watches over the replicas.

    Parameters
    ----------
    catalog : ClusterCatalog
    manager : Manager
    grace : float, optional
        Seconds that a lost node is awaited; None: for ever, so that nothing is made in its place.
    """

    def __init__(self, catalog: ClusterCatalog, manager: Manager, grace: float | None) -> None:
        self._catalog = catalog
        self._manager = manager
        self.grace = grace
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._awaited: set[str] = set()
        self._made: dict[ObjectId, set[str]] = {}
        self._refused: dict[ObjectId, str] = {}
        self._running = False

    # -- what happens ----------------------------------------------------------------------------------------------

    def node_lost(self, node: Node) -> None:
        """Await a node for a while, and then make up for it."""
        self._awaited.add(node.id)
        if self.grace is not None:
            self._later(f"lost {node.id}", self.grace, node)

    def node_joined(self, node: Node) -> None:
        """Look whether a node that has told what it has makes replicas superfluous, or can take some."""
        self._awaited.discard(node.id)
        self._cancel(f"lost {node.id}")
        if self.grace is not None or node.drained:
            # What is wished may be on nodes that have not joined yet: they are awaited as lost ones are.
            self._later("joined", _AGAIN if self.grace is None else self.grace)

    def announced(self, node: Node, added: int) -> None:
        """Look after what was put on a drained node."""
        if added and node.drained:
            self.look_soon()
        elif added and self.grace is not None and self._catalog.wishes.objects():
            self._later("wish", self.grace)

    def look_soon(self) -> None:
        """Ask the policies in a moment."""
        self._later("soon", _SOON)

    def close(self) -> None:
        """Do nothing more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.grace = None

    # -- what is done ----------------------------------------------------------------------------------------------

    def _later(self, why: str, seconds: float, node: Node | None = None) -> None:
        if why not in self._timers or node is not None:
            self._cancel(why)
            loop = asyncio.get_running_loop()
            self._timers[why] = loop.call_later(seconds, self._due, why, node)

    def _cancel(self, why: str) -> None:
        if (timer := self._timers.pop(why, None)) is not None:
            timer.cancel()

    def _due(self, why: str, node: Node | None) -> None:
        self._timers.pop(why, None)
        if node is not None:
            self._awaited.discard(node.id)
        if self._running:
            self.look_soon()
            return
        self.look()

    def look(self) -> None:
        """Ask the policies, and have the manager do what they suggest."""
        self._forget_gone()
        for node in self._catalog.nodes.values():
            if node.drained and not node.emptied:
                # The operation that drained it may have been another scheduler's.
                node.emptied = all(policies.safe_holders(self._catalog, object_id) for object_id in node.objects)
        steps = list(self._plan({}))
        self._log({step.object: step.reason for step in steps if step.verb == "refuse"})
        if all(step.verb == "refuse" for step in steps):
            if steps:
                self._later("again", max(self.grace or 0.0, _AGAIN))
            return
        self._running = True
        operation = self._manager.start_many("keep-up", "replicas", self._plan, again=True)
        assert operation.task is not None

        def ended(_: object) -> None:
            self._running = False
            self.forget(operation.refused)  # it was not made by this
            self._log({object_id: step.reason for object_id, step in operation.refused.items()})
            if operation.refused:
                self._later("again", max(self.grace or 0.0, _AGAIN))

        operation.task.add_done_callback(ended)

    def _plan(self, barred: Barred) -> Iterator[Suggestion]:
        for step in policies.keep_up(self._catalog, policies.exposed(self._catalog), barred, self._awaited):
            if step.verb == "copy":
                self.made(step.object, step.node)
            yield step
        yield from (
            step for step in policies.surplus(self._catalog, self._made) if (step.object, step.node) not in barred
        )

    def made(self, object_id: ObjectId, node: str) -> None:
        """Note that a replica is made in place of one that is lost, or may be soon."""
        self._made.setdefault(object_id, set()).add(node)

    def forget(self, objects: Iterable[ObjectId]) -> None:
        """Take the replicas of some objects as wished for: a user has said where they shall be."""
        for object_id in objects:
            self._made.pop(object_id, None)

    def _forget_gone(self) -> None:
        # A replica that is not there may be on its way.
        for object_id in [each for each in self._made if not self._catalog.holders(each)]:
            del self._made[object_id]

    def _log(self, refused: dict[ObjectId, str]) -> None:
        for object_id, reason in refused.items():
            if self._refused.get(object_id) != reason:
                title = self._catalog.title(object_id) or f"object {object_id}"
                logger.warning("There are fewer replicas of %s than are wished: %s", title, reason)
        self._refused = refused
