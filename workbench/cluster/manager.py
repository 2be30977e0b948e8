"""The scheduler's manager of operations: the one place that makes and removes replicas.

Covers the life of operations (start, progress, cancel, outcome) and their steps; the orders to workers are ``orders.py``'s. It changes nothing in
the catalog: a node announces what it did before it answers. What should be done is suggested by ``placement.py`` and ``policies.py``; how bytes travel
is ``transfer.py``'s. It runs in the scheduler's event loop and never blocks.

An operation is ``running``, and then ``done``, ``failed`` or ``cancelled`` for good. Where a process dies, whatever it was doing:

* the destination: the step fails at once, with the node's name; its store gives back what was reserved when it is opened next.
* the source: the destination goes on with other sources, and fails without one.
* the scheduler: transfers that run end by themselves, whole or not at all; no drop follows. The operation is forgotten.
* the client: the operation goes on.

Replicas are dropped only after the copies that replace them have been announced, and after one more look at whether another one stays.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from typing import Any, Final

from workbench.cluster import placement
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.guarding import Guard
from workbench.cluster.nodes import Node
from workbench.cluster.orders import Ask, Orders
from workbench.cluster.placement import Suggestion
from workbench.cluster.running import Running
from workbench.errors import (
    ClusterError,
    NodeStateError,
    ObjectNotFoundError,
    OperationCancelledError,
    TransferError,
    WorkbenchError,
)
from workbench.objects import ObjectId, format_nbytes

logger = logging.getLogger("workbench.scheduler")

_KEPT: Final = 100
"""Finished operations that are still listed."""
_AT_ONCE: Final = 2
"""Objects of one operation that travel at the same time."""
_SENDERS: Final = 4
"""Nodes at the head of a list of sources that are taken for busy with the transfer."""
_SHOWN_FROM: Final = 32 << 20
"""Bytes from which what is fetched for a reader is listed among the operations."""
_NAMED: Final = 5
"""Objects that the error of an operation names."""

_SETTLING: Final = 5.0
"""Seconds that somebody who cancels too late waits for the end of the operation."""

Plan = Callable[[], Iterable[Suggestion]]
Settle = Callable[[Running], Awaitable[None]]
Barred = dict[tuple[ObjectId, str], str]
"""Object and node to why it could not be brought there."""


class Manager:
    """Makes and removes replicas.

    Parameters
    ----------
    catalog : ClusterCatalog
    ask : callable
    """

    def __init__(self, catalog: ClusterCatalog, ask: Ask) -> None:
        self.catalog = catalog
        self.orders = Orders(catalog, ask)
        self._operations: dict[str, Running] = {}
        self._bringing: dict[tuple[ObjectId, str, bool], asyncio.Task[None]] = {}
        self._sending: Counter[str] = Counter()
        self._copying: Counter[tuple[ObjectId, str]] = Counter()
        self.guard = Guard(catalog, self.orders.ask_in_time)
        self._dropping: dict[ObjectId, set[str]] = {}

    # -- operations ------------------------------------------------------------------------------------------------

    def operations(self) -> list[Running]:
        """Return all operations that run or ended not long ago, newest first."""
        return list(reversed(self._operations.values()))

    def operation(self, operation: str) -> Running:
        """Return an operation, or raise ClusterError."""
        found = self._operations.get(operation)
        if found is None:
            raise ClusterError(
                f"There is no operation {operation!r:.80}; finished ones are forgotten after {_KEPT} others."
            )
        return found

    def start(
        self,
        verb: str,
        object_id: ObjectId,
        to: Collection[Node],
        plan: Plan,
        *,
        force: bool = False,
        settle: Settle | None = None,
    ) -> Running:
        """Begin to do what a plan for one object suggests: all copies, and then, if every one succeeded, the drops.

        Until the last copy is there it can be cancelled, and nothing has changed then. From then on it is ended.

        Parameters
        ----------
        verb : str
        object_id : ObjectId
        to : collection of Node
            Empty if the plan chooses the nodes.
        plan : callable
            Yields suggestions for the catalog as it is. It is asked now, for the errors that it raises, and again if the operation
            had to wait for another one on the same object.
        force : bool
            Drop last replicas, too.
        settle : callable, optional
            Awaited between the copies and the drops.
        """
        steps = list(plan())
        nodes = [node.id for node in to] or list(dict.fromkeys(step.node for step in steps))
        operation = self._new(verb, object_id, self.catalog.title(object_id), nodes)
        operation.plan(steps)
        before = [
            other.task
            for other in self._operations.values()
            if other is not operation and other.object == object_id and other.task and not other.task.done()
        ]

        async def work() -> None:
            nonlocal steps
            if before:
                await asyncio.wait(before)
                steps = list(plan())
                operation.total = 0
                operation.plan(steps)
            await self._all(operation, steps, force, settle)

        return self._launch(operation, work())

    def start_many(
        self,
        verb: str,
        name: str | None,
        plan: Callable[[Barred], Iterable[Suggestion]],
        *,
        again: bool,
        look: Callable[[], Awaitable[object]] | None = None,
        undo: Callable[[], None] | None = None,
        check: Callable[[Running], None] | None = None,
    ) -> Running:
        """Begin to do what a policy suggests, object by object; one that cannot be done does not stop the others.

        Parameters
        ----------
        verb : str
        name : str, optional
            What the operation is about: a node, for one.
        plan : callable
            Takes what was tried in vain.
        again : bool
            Ask the plan again, until it suggests nothing more.
        look : callable, optional
            Awaited before the plan is asked.
        undo : callable, optional
            Called when the operation is cancelled.
        check : callable, optional
            Called at the end; what it raises is why the operation failed.
        """
        operation = self._new(verb, None, name, [])
        operation.undo = undo

        async def work() -> None:
            barred: Barred = {}
            while True:
                if look is not None:
                    await look()
                steps = list(plan(barred))
                operation.refused.clear()
                operation.plan(steps)
                steps = [step for step in steps if step.verb != "refuse"]
                await self._each(operation, steps, barred)
                if not (again and steps):
                    break
            if check is not None:
                check(operation)

        return self._launch(operation, work())

    def _new(self, verb: str, object_id: ObjectId | None, name: str | None, to: list[str]) -> Running:
        operation = Running(secrets.token_hex(8), verb, object_id, name, to, title=self.catalog.title)
        self._operations[operation.id] = operation
        finished = [other.id for other in self._operations.values() if other.state != "running"]
        for other in finished[: max(0, len(finished) - _KEPT)]:
            del self._operations[other]
        return operation

    def _launch(self, operation: Running, work: Coroutine[Any, Any, None]) -> Running:
        async def run() -> None:
            try:
                await work
                operation.end()
            except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # whatever it is, who waits must hear of it
                operation.end(error)
                if not isinstance(error, asyncio.CancelledError):
                    logger.info("Operation %s (%s %s) failed: %s", operation.id, operation.verb, operation.name, error)

        operation.task = asyncio.create_task(run(), name=f"workbench-{operation.verb}-{operation.id}")
        operation.task.add_done_callback(lambda _: work.close())  # cancelled before its first step
        return operation

    async def wait(self, operation: Running, seconds: float | None) -> None:
        """Wait until an operation has ended, or some seconds."""
        if operation.task is not None:
            await asyncio.wait([operation.task], timeout=seconds)

    async def cancel(self, operation: Running) -> None:
        """End an operation; nothing is dropped, and no half replica is left. One whose drops have begun goes on to its end, and says so."""
        if operation.settled and operation.state == "running" and operation.task is not None:
            operation.notes.append("It was too late to cancel it: all copies were there, and the drops had begun.")
            await asyncio.wait([operation.task], timeout=_SETTLING)
        elif operation.task is not None and not operation.task.done():
            operation.task.cancel()
            await asyncio.wait([operation.task])
            if operation.state == "running":
                operation.end(asyncio.CancelledError())  # before its first step

    # -- steps -----------------------------------------------------------------------------------------------------

    async def _all(self, operation: Running, steps: list[Suggestion], force: bool, settle: Settle | None) -> None:
        """Do all steps; the first that fails ends all."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def copy(step: Suggestion) -> None:
            async with turns:
                await self._copy(step, operation)

        copies = [asyncio.create_task(copy(step)) for step in steps if step.verb == "copy"]
        try:
            await asyncio.gather(*copies)
            operation.settled = True
            if settle is not None:
                await settle(operation)
            for step in steps:
                if step.verb == "drop":
                    await self.drop(step.object, self.catalog.nodes[step.node], force=force)
        finally:
            await self._finish(operation, copies)

    async def _each(self, operation: Running, steps: list[Suggestion], barred: Barred) -> None:
        """Do the steps, those of one object in their order; what fails is noted, and the rest of that object's steps left out."""
        turns = asyncio.Semaphore(_AT_ONCE)
        by_object: dict[ObjectId, list[Suggestion]] = {}
        for step in steps:
            by_object.setdefault(step.object, []).append(step)

        async def one(steps: list[Suggestion]) -> None:
            async with turns:
                for step in steps:
                    try:
                        await self._step(operation, step)
                    except (WorkbenchError, OSError) as error:
                        logger.info("%s of object %s: %s", operation.verb, step.object, error)
                        operation.refuse(step, error)
                        barred[step.object, step.node] = str(error)
                        return

        tasks = [asyncio.create_task(one(each)) for each in by_object.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            await self._finish(operation, tasks)

    async def _step(self, operation: Running, step: Suggestion) -> None:
        others = (each for each in self._operations.values() if each.object == step.object and each.verb != "fetch")
        busy = [each for each in others if each.state == "running"]
        if busy:
            raise ClusterError(f"A user's operation ({busy[0].verb}) works on it at this moment.")
        if step.verb == "drop":
            await self.drop(step.object, self.catalog.nodes[step.node], force=False)
            return
        try:
            await self._copy(step, operation)
        except ObjectNotFoundError:
            if self.catalog.holders(step.object):
                raise
            operation.total -= step.nbytes  # it was deleted meanwhile

    async def _finish(self, operation: Running, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transfer, address in operation.at.items():
            await self.orders.cancel(address, transfer)
        operation.at.clear()

    async def _copy(self, step: Suggestion, operation: Running | None, *, cached: bool = False) -> None:
        # The catalog may have changed since the suggestion: the object can be there by now, or its node can be lost.
        node = self.catalog.nodes[step.node]
        having = self.catalog.holders(step.object) if cached else self.catalog.keepers(step.object)
        if node in having and node.workers:
            if operation is not None:
                operation.parts[secrets.token_hex(8)] = step.nbytes
            return
        if (name := self.catalog.losing(step.object)) is not None:
            raise TransferError(
                f"Object {step.object} has lost its name {name!r:.200} to another one a moment ago, and is deleted or kept without it. Look again: wb.info({name!r:.200})."
            )
        sources = placement.sources(self.catalog, step.object, node, self._sending)
        address = node.announcer
        if address is None:
            raise TransferError(
                f"Node {node.name} is lost: no worker runs there, which could bring the object. Start one, or wait until its nanny has. "
                "The object stays where it is."
            )
        transfer = secrets.token_hex(8)
        senders = {sender.id for source in sources[:_SENDERS] if (sender := self.catalog.node_of(source)) is not None}
        self._sending.update(senders)
        copying = Counter([(step.object, step.node)])
        self._copying += copying
        if operation is not None:
            operation.at[transfer] = address
        try:
            await self.orders.ask(
                address,
                "fetch",
                target=step.object,
                sources=sources,
                names=list(self.catalog.info(step.object).names),
                transfer=transfer if operation is not None else None,
                cached=cached,
            )
        except OSError as error:
            if operation is not None:
                operation.at.pop(transfer, None)  # there is nothing to cancel
                operation.parts.pop(transfer, None)
            if isinstance(error, WorkbenchError):
                raise  # the node answered; a full store, for one, is an OSError as well
            raise TransferError(
                f"Node {node.name} was lost while object {step.object} was brought there. The object stays where it was."
            ) from error
        finally:
            self._sending.subtract(senders)
            self._copying -= copying  # which forgets what is zero
        if operation is not None:
            operation.parts[transfer] = step.nbytes
            operation.mark()
            operation.at.pop(transfer, None)

    def destinations(self, object_id: ObjectId) -> set[str]:
        """Return the ids of the nodes that an object, or a partition of it, is on its way to."""
        targets = {object_id, *self.catalog.members(object_id)}
        return {node for target, node in self._copying if target in targets}

    def progress(self, transfer: str, done: int) -> None:
        """Note how many bytes of a transfer have arrived."""
        for operation in self._operations.values():
            if transfer in operation.at:
                operation.parts[transfer] = done
                operation.mark()

    async def bring(self, object_id: ObjectId, node: Node, *, cached: bool = False) -> None:
        """Make a replica on a node, for somebody who waits for it; two who wait for the same one cause one transfer.

        Parameters
        ----------
        object_id : ObjectId
        node : Node
        cached : bool
            It is for readers there, and may be dropped again.
        """
        key = object_id, node.id, cached
        task = self._bringing.get(key)
        if task is None:
            nbytes = self.catalog.info(object_id).nbytes
            step = Suggestion("copy", object_id, node.id, nbytes, "a reader there wants it")
            task = self._bringing[key] = asyncio.create_task(self._bring(step, cached=cached))
            task.add_done_callback(lambda _: self._bringing.pop(key, None))
        await asyncio.wait([task])
        if task.cancelled():
            raise OperationCancelledError(
                f"The transfer of object {object_id} to {node.name} was cancelled. Get it again."
            )
        task.result()

    async def _bring(self, step: Suggestion, *, cached: bool) -> None:
        if step.nbytes < _SHOWN_FROM:
            await self._copy(step, None, cached=cached)
            return
        # It takes a while: whoever waits can see how far it is, as with any operation.
        operation = self._new("fetch", step.object, self.catalog.title(step.object), [step.node])
        operation.plan([step])
        operation.task = asyncio.current_task()
        try:
            await self._copy(step, operation, cached=cached)
            operation.end()
        except BaseException as error:
            operation.end(error)
            await self._finish(operation, [])
            raise

    async def drop(self, object_id: ObjectId, node: Node, *, force: bool) -> None:
        """Remove one replica; the last one only if forced."""
        going = self._dropping.setdefault(object_id, set())
        if not force:
            placement.refuse_last(self.catalog, object_id, node, going)
        if node.announcer is None:
            raise NodeStateError(
                f"Node {node.name} is lost: nothing can be dropped there until one of its workers is back."
            )
        going.add(
            node.id
        )  # from here on until it is announced, so that two drops do not each count on the other's replica
        try:
            if not force:
                await self.guard.secure(object_id, node)
            await self.orders.drop(node, [object_id])
        finally:
            going.discard(node.id)
            if not going:
                self._dropping.pop(object_id, None)

    async def close(self) -> None:
        """End what runs."""
        tasks = [operation.task for operation in self._operations.values() if operation.task is not None]
        tasks += self._bringing.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def left_behind(catalog: ClusterCatalog, refused: Iterable[Suggestion]) -> str:
    """Name objects with their sizes, the largest first, by the reasons."""
    reasons: dict[str, list[str]] = {}
    for step in sorted(refused, key=lambda step: -step.nbytes):
        title = f"{catalog.title(step.object) or step.object} ({format_nbytes(step.nbytes)})"
        reasons.setdefault(step.reason, []).append(title)
    said = []
    for reason, titles in list(reasons.items())[:_NAMED]:
        more = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
        said.append(f"{', '.join(titles[:_NAMED])}{more}: {reason}")
    unsaid = sum(len(titles) for titles in list(reasons.values())[_NAMED:])
    return "; ".join(said) + (f"; and {unsaid} more" if unsaid else "")
