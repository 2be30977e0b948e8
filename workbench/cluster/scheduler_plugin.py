"""The scheduler's side of the workbench: Dask's hooks and the verbs that clients and workers call.

Covers the wiring only: what is known is in ``catalog.py``, what is decided in ``placement.py``, ``policies.py`` and ``locality.py``, what clients may
wish is in ``actions.py``, what is done in ``manager.py``. Arguments come from outside and are checked; nothing here unpickles. Read next: ``worker_plugin.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from distributed.diagnostics.plugin import SchedulerPlugin

from workbench import __version__, config
from workbench.cluster import announcements, messages, metrics, placement
from workbench.cluster.actions import Actions
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.indexes import PAGE
from workbench.cluster.keeper import Keeper
from workbench.cluster.locality import Locality
from workbench.cluster.manager import Manager
from workbench.cluster.nodes import Node, Order
from workbench.cluster.resolving import resolve_tasks
from workbench.errors import ClusterError
from workbench.objects import ObjectId, to_json
from workbench.texts import counted

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from dask.typing import Key
    from distributed.scheduler import Scheduler, WorkerState

logger = logging.getLogger("workbench.scheduler")

TOPIC: Final = "workbench"
"""Of events for ``distributed.Client.get_events`` and ``subscribe_topic``."""
GRACE: Final = 30.0
"""Seconds that tasks wait for a node that lost its last worker."""
_FLUSH_TIMEOUT: Final = 2.0
"""Seconds that nodes have to announce what they did not announce yet, when somebody asks for an unknown object."""

_MOST_NEWS: Final = PAGE
"""Changed objects that one answer tells of; more, and they are read page by page."""

_OF_WORKERS: Final = ("join", "leave", "announce", "progress")
_QUESTIONS: Final = ("hello", "nodes", "locate", "where", "ls", "members", "operations", "operation", "news")
_ACTIONS: Final = ("delete", "forget")
_VERBS: Final = (*_OF_WORKERS, *_QUESTIONS, *_ACTIONS)


class WorkbenchSchedulerPlugin(SchedulerPlugin):
    """Keeps the cluster's catalog and runs its operations. Start it with :meth:`start`, as Dask does."""

    name = messages.PLUGIN
    idempotent = True

    def __init__(self) -> None:
        self.catalog = ClusterCatalog()
        self.version = 0
        self._boot = secrets.token_hex(4)
        self.announcements = 0
        self.resyncs = 0
        self.conflicts = 0
        self._locality = Locality(self.catalog, lambda node: node.id in self._lost)
        self._manager = Manager(self.catalog, self._ask)
        self._lost: dict[str, asyncio.TimerHandle] = {}
        self._workers: dict[str, WorkerState] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._keeper = Keeper(self.catalog, self._manager, config.get_seconds("replica-grace"))
        actions = Actions(self.catalog, self._manager, self._keeper, self._find)
        self._verbs: dict[str, messages.Verb] = {
            **{verb: getattr(self, f"_{verb}") for verb in _VERBS},
            **actions.questions,
            **{verb: self._counted(action) for verb, action in actions.verbs.items()},
        }

    def __reduce__(self) -> tuple[type[WorkbenchSchedulerPlugin], tuple[()]]:
        # What travels to the scheduler when a client registers the plugin is the wish to have one, not its state.
        return WorkbenchSchedulerPlugin, ()

    # -- Dask's hooks ----------------------------------------------------------------------------------------------

    async def start(self, scheduler: Scheduler) -> None:
        """Begin to answer; called by Dask."""
        self._scheduler = scheduler
        scheduler.handlers[messages.OP] = self._handle
        # For who asks before calling, as Dask logs a call that it does not know.
        scheduler.task_metadata[messages.OP] = messages.PROTOCOL
        self._hide = metrics.show("scheduler", lambda: metrics.of_scheduler(self))

    async def before_close(self) -> None:
        """End what runs; called by Dask."""
        self._keeper.close()
        self._hide()
        await self._manager.close()
        for timer in self._lost.values():
            timer.cancel()
        for task in list(self._background):
            task.cancel()

    def update_graph(self, scheduler: Scheduler, *, tasks: list[Any], **kwargs: Any) -> None:  # noqa: ARG002  # Dask's signature
        """Give new tasks the objects that they have references to, where these are; called by Dask before it schedules them."""
        resolve_tasks(scheduler, tasks)
        if self.catalog.nodes:
            self._locality.new_tasks(scheduler, tasks)

    def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:  # noqa: ARG002  # Dask's signature
        """Note that a worker has gone; called by Dask, which has looked for other places for its tasks before."""
        self._left(worker)
        self._locality.again(scheduler)

    def transition(self, key: Key, start: str, finish: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  # Dask's signature
        """Note that a task goes from one state to another; called by Dask."""
        self._locality.transition(self._scheduler, key, start, finish)

    def _left(self, worker: str) -> None:
        self._manager.orders.worker_gone(worker)
        if (at := self.catalog.node_of(worker)) is not None:
            self._note_heartbeats(at)
        self._workers.pop(worker, None)
        node = self.catalog.leave(worker)
        if node is None:
            return
        self.version += 1
        if node.announcer is not None:
            self._spawn(self._ask(node.announcer, "announce_from_now_on"))
        else:
            logger.info(
                "Node %s is lost: no worker runs there. What it has stays known: %s.",
                *(node.name, counted(len(node.objects), "object")),
            )
            self._keeper.node_lost(node)
            self._lost[node.id] = asyncio.get_running_loop().call_later(GRACE, self._give_up, node)
            self._spawn(self._manager.guard.rescue(node.objects))

    def _give_up(self, node: Node) -> None:
        del self._lost[node.id]
        if self._scheduler.status.name == "running":
            self._locality.again(self._scheduler)

    # -- messages --------------------------------------------------------------------------------------------------

    async def _handle(
        self, comm: Any, verb: Any = None, arguments: Any = None, version: Any = None, **_: Any
    ) -> dict[str, Any]:
        return await messages.answer(self._verbs, verb, arguments, version, comm.peer_address)

    async def _ask(self, address: str, verb: str, **arguments: Any) -> Any:
        rpc = self._scheduler.rpc(address)
        reply = await getattr(rpc, messages.OP)(verb=verb, arguments=arguments, version=messages.PROTOCOL)
        return messages.unwrap(reply, f"The worker at {address}")

    def _counted(self, action: messages.Verb) -> messages.Verb:
        """Return an action that says, when it is done, that nodes or objects may have changed."""

        @functools.wraps(action)  # its arguments are checked
        async def act(**arguments: Any) -> Any:
            try:
                return await action(**arguments)
            finally:
                self.version += 1

        return act

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        async def run() -> None:
            try:
                await work
            except (OSError, ClusterError, TimeoutError) as error:
                # The worker has gone meanwhile; it is told again when it is back.
                logger.info("A worker did not hear what it was told: %s", error)

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # -- verbs of workers ------------------------------------------------------------------------------------------

    async def _hello(self) -> dict[str, Any]:
        known = self.catalog.announced_workers()
        return {"protocol": messages.PROTOCOL, "not_joined": [w for w in self._scheduler.workers if w not in known]}

    async def _join(self, node: Any, name: Any, worker: Any, rack: Any = "", drained: Any = False) -> dict[str, Any]:
        if messages.text(worker) not in self._scheduler.workers:
            raise ClusterError(f"The scheduler does not know the worker {worker!r:.200} yet.")
        is_new = node not in self.catalog.nodes
        joined = self.catalog.join(
            messages.object_id(node), messages.text(name)[:200], worker, str(self._scheduler.workers[worker].name)
        )
        self._workers[worker] = self._scheduler.workers[worker]
        joined.rack = messages.text(rack)[:200]
        if is_new:
            joined.drained = messages.flag(drained)  # the scheduler before this one was told so
        elif joined.drained != messages.flag(drained):
            self._spawn(self._manager.orders.mark_drained(joined))  # it was away when it should have heard
        self.version += 1
        if (timer := self._lost.pop(joined.id, None)) is not None:
            timer.cancel()
        self._locality.again(self._scheduler)
        return {"name": joined.name, "announces": joined.announcer == worker}

    async def _leave(self, worker: Any) -> None:
        self._left(str(worker))
        self._locality.again(self._scheduler)

    async def _announce(self, worker: Any, **said: Any) -> dict[str, Any]:
        announcement = announcements.parse(said)
        self.announcements += 1
        node = self.catalog.node_of(messages.text(worker))
        if node is None or node.id != announcement.node or node.announcer != worker:
            return {"again": True, "join": True}
        orders = self.catalog.announce(announcement, time.monotonic())
        self.version += 1
        if orders is None:
            self.resyncs += 1
            return {"again": True, "join": False}
        if announcement.full and announcement.ends:
            sequence = node.sequence
            while node.sequence == sequence and self.catalog.forget_unseen(node):  # noqa: ASYNC110  # turns, not waiting
                await asyncio.sleep(0)  # a node may have lost a million objects
            self._locality.again(self._scheduler)
            # A scheduler that has started anew hears of cached replicas before it hears of the ordinary ones.
            asyncio.get_running_loop().call_later(GRACE, self._look_after, node)
            self._keeper.node_joined(node)
        else:
            self._keeper.announced(node, len(announcement.added))
        if announcement.removed:
            self._spawn(self._manager.guard.rescue(announcement.removed))
        if orders:
            self._report(orders)
            self._spawn(self._manager.orders.obey(orders))
        return {"again": False, "join": False}

    def _look_after(self, node: Node) -> None:
        if self._scheduler.status.name == "running" and node.nbytes["cached"]:
            cached = [object_id for object_id, copy in node.objects.items() if copy.state == "cached"]
            self._spawn(self._manager.guard.rescue(cached))

    def _report(self, orders: list[Order]) -> None:
        """Tell of names that were bound on two nodes at once: in the log, and as events of Dask's topic ``workbench``."""
        for order in orders:
            if order.keep:
                self.conflicts += 1
                node = self.catalog.nodes[order.node].name
                if order.winner is not None and order.winner in self.catalog.tombstones:
                    text = "The name %r was bound anew while a node was away, to object %s, which is deleted; object %s on %s has lost it and stays, with the tag 'conflict'."
                else:
                    text = "The name %r was bound on two nodes at once. Object %s has it; object %s on %s has lost it and stays, with the tag 'conflict'."
                logger.warning(text, order.name, order.winner, order.object, node)
                event = {"action": "name-conflict", "name": order.name, "winner": order.winner, "loser": order.object}
                self._scheduler.log_event(TOPIC, {**event, "node": node})

    async def _progress(self, transfer: Any, done: Any) -> None:
        self._manager.progress(str(transfer), messages.nbytes(done))

    # -- verbs of clients: questions -------------------------------------------------------------------------------

    async def _nodes(self) -> list[Any]:
        for node in self.catalog.nodes.values():
            self._note_heartbeats(node)
        return [to_json(node.info) for node in sorted(self.catalog.nodes.values(), key=lambda node: node.name)]

    def _note_heartbeats(self, node: Node) -> None:
        heard = [self._workers[worker].last_seen for worker in node.workers if worker in self._workers]
        if node.heartbeat is not None:
            heard.append(node.heartbeat)
        node.heartbeat = max(heard, default=None)

    async def _find(self, key: Any) -> ObjectId:
        # Whoever asks may have put the object a moment ago on a node that has not announced it yet.
        try:
            return self.catalog.resolve(str(key))
        except KeyError:
            announcers = [node.announcer for node in self.catalog.nodes.values() if node.announcer is not None]
            flushing = (self._ask(address, "flush") for address in announcers)
            with contextlib.suppress(TimeoutError):  # somebody who stands still
                async with asyncio.timeout(_FLUSH_TIMEOUT):
                    await asyncio.gather(*flushing, return_exceptions=True)
            return self.catalog.resolve(str(key))

    async def _locate(self, key: Any) -> dict[str, Any]:
        found = await self._find(key)
        return messages.info_to_wire(self.catalog.info(found))

    async def _where(self, key: Any) -> dict[str, Any]:
        found = await self._find(key)
        info = self.catalog.info(found)
        reachable = any(replica.state != "lost" for replica in info.replicas)
        return {
            "id": found,
            "replicas": to_json(info.replicas),
            "sources": placement.sources(self.catalog, found) if reachable else [],
            "soon": any(replica.node in self._lost for replica in info.replicas),
        }

    async def _ls(
        self,
        pattern: Any = "*",
        kind: Any = None,
        node: Any = None,
        parts: Any = True,
        unnamed: Any = False,
        order: Any = "created",
        limit: Any = PAGE,
        after: Any = None,
    ) -> dict[str, Any]:
        """Return a page: never all objects of a large cluster at once."""
        if order not in ("created", "name"):
            raise ValueError(f"A cluster lists objects in the order 'created' or 'name', not {order!r:.40}.")
        page = self.catalog.page(
            messages.text(pattern, 10_000),
            kind=None if kind is None else messages.text(kind),
            node=None if node is None else messages.text(node),
            parts=messages.flag(parts),
            unnamed=messages.flag(unnamed),
            order=order,
            limit=messages.integer(limit),
            after=None if after is None else messages.text(after),
        )
        found = [messages.info_to_wire(entry.info()) for entry in page.entries]
        return {"objects": found, "after": page.after, "total": self.catalog.inventory.whole}

    async def _members(self, dataset: Any, start: Any = 0) -> dict[str, Any]:
        """Return some partitions of a dataset, and where the next ones begin, or None."""
        members = self.catalog.members(messages.object_id(dataset))
        end = messages.integer(start) + PAGE
        found = [messages.info_to_wire(self.catalog.info(member)) for member in members[start:end]]
        return {"objects": found, "next": end if end < len(members) else None}

    def operations(self) -> list[dict[str, Any]]:
        """Return the operations that run or ended not long ago."""
        return [operation.to_wire() for operation in self._manager.operations()]

    async def _operations(self) -> dict[str, Any]:
        return {"version": self.version, "operations": self.operations()}

    async def _operation(self, operation: Any) -> dict[str, Any]:
        return self._manager.operation(str(operation)).to_wire()

    async def _news(self, since: Any = None) -> dict[str, Any]:
        """Return nodes, operations, and what changed about objects since an answer before, if that is known and not too much."""
        journal = self.catalog.journal
        boot, _, count = ("" if since is None else messages.text(since, 100)).rpartition("-")
        changed = journal.since(int(count), _MOST_NEWS) if boot == self._boot and count.isdecimal() else None
        entries = {} if changed is None else {object_id: self.catalog.inventory.get(object_id) for object_id in changed}
        return {
            "version": f"{self._boot}-{journal.count}",
            "package": __version__,
            "full": changed is None,
            "objects": [messages.info_to_wire(entry.info()) for entry in entries.values() if entry is not None],
            "removed": [object_id for object_id, entry in entries.items() if entry is None],
            "total": self.catalog.inventory.whole,
            "nodes": await self._nodes(),
            "operations": self.operations(),
        }

    # -- verbs of clients: actions ---------------------------------------------------------------------------------

    async def _delete(self, key: Any) -> None:
        await self._delete_everywhere([await self._find(key)])

    async def _forget(self, objects: Any) -> dict[str, list[ObjectId]]:
        """Delete objects of which some may not be known yet; who announces one later is told to delete it."""
        return {"unknown": await self._delete_everywhere(messages.object_ids(objects))}

    async def _delete_everywhere(self, objects: list[ObjectId]) -> list[ObjectId]:
        arriving = [Order(node, "delete", target) for target in objects for node in self._manager.destinations(target)]
        unknown = [target for target in objects if not self.catalog.holders(target)]
        orders = [order for target in objects for order in self.catalog.delete(target)]
        self.version += 1
        await self._manager.orders.obey([*orders, *arriving], unknown)
        self.version += 1
        return unknown
