"""The scheduler's verbs for replicas: what a client wishes becomes an operation, or a plan of one (a dry run).

Covers checking arguments and choosing the plan; who carries it out is ``manager.py``. A dry run asks the nodes what they would give up, and changes
nothing. Read next: ``manager.py``, ``keeper.py``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from workbench.cluster import messages, placement, policies
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.keeper import Keeper
from workbench.cluster.manager import Barred, Manager, left_behind
from workbench.cluster.nodes import Node
from workbench.cluster.placement import Suggestion
from workbench.cluster.running import Running
from workbench.errors import ClusterError, NameConflictError, NodeStateError, ObjectNotFoundError, TransferError
from workbench.objects import REPLICAS_TAG, ObjectId, name_drained, to_json
from workbench.store import check_name
from workbench.texts import are

logger = logging.getLogger("workbench.scheduler")

VERBS: Final = ("replicate", "move", "drop", "rename", "drain", "undrain", "rebalance", "bring", "cancel")

Find = Callable[[Any], Awaitable[ObjectId]]


class Actions:
    """What clients may wish.

    Parameters
    ----------
    catalog : ClusterCatalog
    manager : Manager
    keeper : Keeper
    find : callable
        ``await find(key)``: the id that a name or id stands for.
    """

    def __init__(self, catalog: ClusterCatalog, manager: Manager, keeper: Keeper, find: Find) -> None:
        self._catalog = catalog
        self._manager = manager
        self._keeper = keeper
        self._find = find
        self._marking: set[asyncio.Task[None]] = set()
        self.verbs: dict[str, messages.Verb] = {verb: getattr(self, verb) for verb in VERBS}
        """What changes nodes or objects."""
        self.questions: dict[str, messages.Verb] = {"offer": self.offer, "wait": self.wait}
        """What changes nothing."""

    # -- one object ------------------------------------------------------------------------------------------------

    async def replicate(self, key: Any, to: Any = None, n: Any = None, dry_run: Any = False) -> dict[str, Any]:
        """Make replicas; the number `n` is remembered with the object, and kept up."""
        found = await self._find(key)
        objects = [found, *self._catalog.members(found)]
        if (to is None) == (n is None):
            raise ValueError("replicate takes either n (how many nodes) or to (which nodes).")
        nodes: list[Node] = []
        if to is not None:
            nodes = [self._catalog.find_node(str(node)) for node in to]
            plan = partial(placement.replicate_to, self._catalog, objects, nodes)
        else:
            plan = partial(placement.replicate_n, self._catalog, objects, int(n))
        if dry_run:
            return await self._preview("replicate", found, list(plan()))
        self._keeper.forget(objects)
        settle = None if n is None else partial(self._wish, objects, int(n))
        return self._manager.start("replicate", found, nodes, plan, settle=settle).to_wire()

    async def move(self, key: Any, to: Any, dry_run: Any = False) -> dict[str, Any]:
        """Replicate to a node, then drop elsewhere; no more replicas are wished then."""
        found = await self._find(key)
        node = self._catalog.find_node(str(to))
        # A dataset's manifest is a few kilobytes that every node should have: it is copied, its partitions are moved.
        members = self._catalog.members(found)
        objects = members or [found]
        plan = partial(placement.move_to, self._catalog, objects, node)
        if dry_run:
            return await self._preview("move", found, list(plan()))
        list(plan())  # for the errors that it raises
        if members:
            await self._manager.bring(found, node)
        settle = partial(self._wish, [*members, found], 1)
        return self._manager.start("move", found, [node], plan, settle=settle).to_wire()

    async def drop(self, key: Any, node: Any, force: Any = False, dry_run: Any = False) -> dict[str, Any]:
        """Remove one replica (of a dataset: its partitions on one node), and wait for it; no more replicas are wished than are left."""
        found = await self._find(key)
        at = self._catalog.find_node(str(node))
        members = self._catalog.members(found)
        objects = [member for member in members if member in at.objects]
        if not members:
            objects = [found]
        elif not objects:
            names = ", ".join(sorted({holder.name for member in members for holder in self._catalog.holders(member)}))
            title = self._catalog.title(found) or found
            raise ObjectNotFoundError(f"{title!r} has no partition on {at.name}; they are on {names}.")
        plan = partial(self._drops, objects, at, force=bool(force))
        if dry_run:
            return await self._preview("drop", found, list(plan()))
        steps = list(plan())
        for object_id in objects:
            left = sum(holder is not at for holder in self._catalog.holders(object_id))
            if steps and self._catalog.wished(object_id) > left:
                await self._wish([object_id], max(1, left))
        operation = self._manager.start("drop", found, [at], lambda: steps, force=bool(force))
        await self._manager.wait(operation, None)
        if operation.error is not None:
            raise operation.error
        return operation.to_wire()

    def _drops(self, objects: Sequence[ObjectId], node: Node, *, force: bool) -> Iterator[Suggestion]:
        for object_id in objects:
            if not force:
                placement.refuse_last(self._catalog, object_id, node)
            yield Suggestion("drop", object_id, node.id, self._catalog.info(object_id).nbytes, "as was asked for")

    async def _wish(self, objects: Sequence[ObjectId], n: int, operation: Running | None = None) -> None:
        changed = [object_id for object_id in objects if self._catalog.wished(object_id) != n]
        if changed:
            before = max(self._catalog.wished(object_id) for object_id in changed)
            if operation is not None and before > n:
                operation.notes.append(f"{before} replicas were wished, {n} {'are' if n > 1 else 'is'} from now on.")
            await self._manager.orders.tag(changed, REPLICAS_TAG, str(n) if n > 1 else None)

    async def rename(self, key: Any, name: Any, replace: Any = False) -> None:
        """Give an object a name, on all nodes that have it, in place of those that it has.

        Who has the name now is deleted if it is to be replaced and has no other name; else it is a conflict, and nothing is changed.
        """
        found, wanted = await self._find(key), messages.text(name)
        check_name(wanted)
        holder = self._catalog.names.holder(wanted)
        if holder is not None and holder.id != found:
            alone = holder.names == (wanted,)
            if not messages.flag(replace) or not alone:
                step = (
                    "say replace=True to delete that one"
                    if alone
                    else "rename or delete that one, which has other names, too"
                )
                raise NameConflictError(
                    f"Another object, {holder.id}, is called {wanted!r:.200} already, and nothing was changed. Choose another name, or {step}."
                )
            await self._manager.orders.obey(self._catalog.delete(holder.id))
        nodes = [node for node in self._catalog.holders(found) if node.workers]
        olds = self._catalog.info(found).names
        self._catalog.allow_name(found, wanted)
        answers = await self._manager.orders.ask_nodes(nodes, "rename", target=found, name=wanted)
        if not answers:
            raise TransferError(
                f"No node that has the object {found} did what it was told: it was renamed nowhere. Try again when its node runs."
            )
        await self._manager.orders.obey(self._catalog.rename(found, olds, wanted, done=answers))

    async def bring(self, key: Any, node: Any, cached: Any = False) -> str:
        """Make a replica for somebody who waits for it on a node."""
        found = await self._find(key)
        await self._manager.bring(found, self._catalog.find_node(str(node)), cached=messages.flag(cached))
        return found

    async def offer(self, nbytes: Any) -> list[dict[str, str]]:
        """Return the nodes that could take a new object of a client that is on none, the emptiest first."""
        size = messages.nbytes(nbytes)
        running = placement.by_room(self._catalog.nodes.values())
        fitting = [node for node in running if size <= node.capacity] or running
        return [{"node": node.id, "name": node.name, "address": node.announcer or ""} for node in fitting]

    # -- a node, or all --------------------------------------------------------------------------------------------

    async def drain(self, node: Any, dry_run: Any = False) -> dict[str, Any]:
        """See that nothing is only on a node: what is there, and what is put there from now on. It gets nothing from others any more."""
        draining = self._catalog.find_node(str(node))
        if not draining.workers:
            raise NodeStateError(
                f"Node {draining.name} is lost, and cannot be drained: no worker runs there. Start one, or wait until its nanny has."
            )
        if dry_run:
            await self._look(draining)
            steps = list(policies.keep_up(self._catalog, list(draining.objects), leaving={draining.id}))
            return await self._preview("drain", None, steps, draining.name)
        draining.drained, draining.emptied = True, False
        await self._manager.orders.mark_drained(draining)
        return self._manager.start_many(
            "drain",
            draining.name,
            partial(self._evacuate, draining),
            again=True,
            look=partial(self._look, draining),
            undo=partial(self._give_back, draining),
            check=partial(self._check_drained, draining),
        ).to_wire()

    async def _look(self, node: Node) -> None:
        # What was put there a moment ago may not have been announced yet.
        await self._manager.orders.ask_nodes([node], "flush")

    def _evacuate(self, node: Node, barred: Barred) -> Iterator[Suggestion]:
        for step in policies.keep_up(self._catalog, list(node.objects), barred):
            if step.verb == "copy":
                self._keeper.made(step.object, step.node)
            yield step

    def _check_drained(self, node: Node, operation: Running) -> None:
        # What is on another node, too, is safe; that fewer replicas are kept than are wished is among the reasons.
        refused = {
            each: step for each, step in operation.refused.items() if not policies.safe_holders(self._catalog, each)
        }
        if not node.workers:
            only = [each for each in node.objects if not policies.safe_holders(self._catalog, each)]
            raise TransferError(
                f"Node {node.name} was lost while it was drained; {are(len(only), 'object')} only there, and in reach again when a worker is."
            )
        if refused:
            raise ClusterError(
                f"{are(len(refused), 'object')} still only on {node.name}: {left_behind(self._catalog, refused.values())}. {self._what_lets_go(node)}, "
                f"and drain it again; wb.undrain({node.name!r}) gives the node back."
            )
        node.emptied = True

    def _what_lets_go(self, node: Node) -> str:
        """Say what a node needs that could not be emptied."""
        others = [other for other in self._catalog.nodes.values() if other is not node and other.workers]
        if not others:
            return "No other node runs: start a worker on one"
        if all(other.drained for other in others):
            calls = " or ".join(f"wb.undrain({other.name!r})" for other in sorted(others, key=lambda other: other.name))
            return f"The other nodes are drained, too: give one back with {calls}"
        return "Make room elsewhere"

    def _give_back(self, node: Node) -> None:
        node.drained = node.emptied = False
        marking = asyncio.create_task(self._manager.orders.mark_drained(node))
        self._marking.add(marking)
        marking.add_done_callback(self._marking.discard)
        self._keeper.look_soon()

    async def undrain(self, node: Any) -> None:
        """Give a drained node back; what was copied elsewhere because of that is dropped there."""
        found = self._catalog.find_node(str(node))
        for operation in self._manager.operations():
            if operation.verb == "drain" and operation.name == found.name:
                await self._manager.cancel(operation)
        self._give_back(found)
        await asyncio.gather(*self._marking)

    async def rebalance(self, dry_run: Any = False) -> dict[str, Any]:
        """Even out the nodes."""
        nodes = [node for node in self._catalog.nodes.values() if node.takes_replicas]
        await self._manager.orders.ask_nodes(nodes, "flush")
        answers = await self._manager.orders.ask_nodes(nodes, "mapped")
        mapped = {node: frozenset(messages.object_ids(ids)) for node, ids in answers.items()}
        steps = list(policies.rebalance(self._catalog, mapped))
        if dry_run:
            return await self._preview("rebalance", None, steps, "all nodes")
        operation = self._manager.start_many("rebalance", "all nodes", lambda _: steps, again=False)
        if drained := name_drained(node.info for node in self._catalog.nodes.values()):
            operation.notes.append(drained.strip())
        return operation.to_wire()

    # -- operations ------------------------------------------------------------------------------------------------

    async def wait(self, operation: Any, seconds: Any) -> dict[str, Any]:
        """Wait until an operation has ended, or some seconds."""
        running = self._manager.operation(str(operation))
        await self._manager.wait(running, min(60.0, max(0.0, float(seconds))))
        return running.to_wire()

    async def cancel(self, operation: Any) -> dict[str, Any]:
        """End an operation."""
        running = self._manager.operation(str(operation))
        await self._manager.cancel(running)
        return running.to_wire()

    async def _preview(
        self, verb: str, found: ObjectId | None, steps: Sequence[Suggestion], name: str | None = None
    ) -> dict[str, Any]:
        needs: Counter[str] = Counter()
        for step in steps:
            if step.verb == "copy" and self._catalog.nodes[step.node] not in self._catalog.holders(step.object):
                needs[step.node] += step.nbytes
        nodes = self._catalog.nodes
        asked = {node: self._manager.orders.ask_nodes([nodes[node]], "forecast", nbytes=needs[node]) for node in needs}
        answers = await asyncio.gather(*asked.values())
        rooms = [
            {"node_name": nodes[node].name, "nbytes": needs[node], **answer[node]}
            for node, answer in zip(asked, answers, strict=True)
            if node in answer
        ]
        return {
            "verb": verb,
            "name": name if found is None else self._catalog.title(found) or found,
            "steps": [
                {**to_json(step), "name": self._catalog.title(step.object), "node_name": nodes[step.node].name}
                for step in steps
            ],
            "rooms": rooms,
        }
