"""The scheduler's manager of operations: the one place that makes and removes replicas.

Covers the life of moves and replications (start, progress, cancel, outcome) and the orders to workers. It changes nothing in
the catalog: a node announces what it did before it answers. What should be done is suggested by ``placement.py``; how bytes travel
is ``transfer.py``'s. It runs in the scheduler's event loop and never blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from workbench.cluster import messages, placement
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.guarding import Guard
from workbench.cluster.nodes import Node, Order
from workbench.cluster.placement import Suggestion
from workbench.errors import ClusterError, OperationCancelledError, TransferError, WorkbenchError
from workbench.objects import ObjectId

_KEPT: Final = 100
"""Finished operations that are still listed."""
_AT_ONCE: Final = 2
"""Objects of one operation that travel at the same time."""
_SENDERS: Final = 4
"""Nodes at the head of a list of sources that are taken for busy with the transfer."""
_SHOWN_FROM: Final = 32 << 20
"""Bytes from which what is fetched for a reader is listed among the operations."""
_ORDER_TIMEOUT: Final = 30.0
"""Seconds that a worker has for an order that moves no payload."""

Ask = Callable[..., Awaitable[Any]]
"""``await ask(address, verb, **arguments)``: the result of a verb of a worker."""
Plan = Callable[[], Iterable[Suggestion]]


@dataclass(slots=True)
class Running:
    """One operation. `parts` maps transfers to their bytes; `at` maps those that are under way to the worker that pulls."""

    id: str
    verb: str
    object: ObjectId
    name: str | None
    to: list[str]
    total: int
    state: str = "running"
    error: dict[str, str] | None = None
    started: float = field(default_factory=time.time)
    parts: dict[str, int] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    def set_cancelled(self) -> None:
        """Note that it ended because somebody wished so."""
        self.state = "cancelled"
        error = OperationCancelledError("The operation was cancelled; no half replica is left.")
        self.error = messages.error_to_wire(error)

    def to_wire(self) -> dict[str, Any]:
        """Return the operation as plain values, as the panel shows it."""
        done = self.total if self.state == "done" else min(self.total, sum(self.parts.values()))
        return {
            "id": self.id,
            "verb": self.verb,
            "object": self.object,
            "name": self.name,
            "to": self.to,
            "state": self.state,
            "done_nbytes": done,
            "total_nbytes": self.total,
            "error": self.error,
            "started": self.started,
        }


class Manager:
    """Makes and removes replicas.

    Parameters
    ----------
    catalog : ClusterCatalog
    ask : callable
    """

    def __init__(self, catalog: ClusterCatalog, ask: Ask) -> None:
        self._catalog = catalog
        self._ask = ask
        self._asking: dict[str, set[asyncio.Future[Any]]] = {}
        self._operations: dict[str, Running] = {}
        self._bringing: dict[tuple[ObjectId, str, bool], asyncio.Task[None]] = {}
        self._sending: Counter[str] = Counter()
        self.guard = Guard(catalog, self._ask_in_time)

    def operations(self) -> list[dict[str, Any]]:
        """Return all operations that run or ended not long ago, newest first."""
        return [operation.to_wire() for operation in reversed(self._operations.values())]

    def operation(self, operation: str) -> Running:
        """Return an operation, or raise ClusterError."""
        found = self._operations.get(operation)
        if found is None:
            raise ClusterError(
                f"There is no operation {operation!r:.80}; finished ones are forgotten after {_KEPT} others."
            )
        return found

    def start(self, verb: str, object_id: ObjectId, to: Collection[Node], plan: Plan) -> Running:
        """Begin to do what a plan suggests: all copies, and then, if every one succeeded, the drops.

        Parameters
        ----------
        verb : str
        object_id : ObjectId
        to : collection of Node
            Empty if the plan chooses the nodes.
        plan : callable
            Yields suggestions for the catalog as it is. It is asked now, for the errors that it raises, and again if the operation
            had to wait for another one on the same object.
        """
        steps = list(plan())
        nodes = [node.id for node in to] or list(dict.fromkeys(step.node for step in steps))
        name = self._catalog.info(object_id).name
        operation = Running(secrets.token_hex(8), verb, object_id, name, nodes, _total(steps))
        before = [other.task for other in self._operations.values() if other.object == object_id and other.task]
        self._remember(operation)
        run = self._run(operation, steps, plan, [task for task in before if not task.done()])
        operation.task = asyncio.create_task(run, name=f"workbench-{verb}-{operation.id}")
        return operation

    def _remember(self, operation: Running) -> None:
        self._operations[operation.id] = operation
        finished = [other.id for other in self._operations.values() if other.state != "running"]
        for other in finished[: max(0, len(finished) - _KEPT)]:
            del self._operations[other]

    async def _run(
        self, operation: Running, steps: list[Suggestion], plan: Plan, before: list[asyncio.Task[None]]
    ) -> None:
        try:
            if before:
                await asyncio.wait(before)
                steps = list(plan())
                operation.total = _total(steps)
            await self._do(operation, steps)
            operation.state = "done"
        except asyncio.CancelledError:
            operation.set_cancelled()
        except Exception as error:  # noqa: BLE001  # whatever it is, who waits must hear of it
            operation.state, operation.error = "failed", messages.error_to_wire(error)

    async def _do(self, operation: Running, steps: list[Suggestion]) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def copy(step: Suggestion) -> None:
            async with turns:
                await self._copy(step, operation)

        copies = [asyncio.create_task(copy(step)) for step in steps if step.verb == "copy"]
        try:
            await asyncio.gather(*copies)
            for step in steps:
                if step.verb == "drop":
                    await self.drop(step.object, self._catalog.nodes[step.node], force=False)
        finally:
            for task in copies:
                task.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            await self._stop_transfers(operation)

    async def _copy(self, step: Suggestion, operation: Running | None, *, cached: bool = False) -> None:
        # The catalog may have changed since the suggestion: the object can be there by now, or its node can be lost.
        node = self._catalog.nodes[step.node]
        having = self._catalog.holders(step.object) if cached else self._catalog.keepers(step.object)
        if node in having and node.workers:
            return
        address = node.announcer
        if address is None:
            raise TransferError(f"Node {node.name} is lost: no worker runs there. The object stays where it is.")
        transfer = secrets.token_hex(8)
        if operation is not None:
            operation.at[transfer] = address
        sources = placement.sources(self._catalog, step.object, node, self._sending)
        senders = {sender.id for source in sources[:_SENDERS] if (sender := self._catalog.node_of(source)) is not None}
        self._sending.update(senders)
        try:
            await self._ask_living(
                address,
                "fetch",
                target=step.object,
                sources=sources,
                names=list(self._catalog.info(step.object).names),
                transfer=transfer if operation is not None else None,
                cached=cached,
            )
        except OSError as error:
            if operation is not None:
                operation.at.pop(transfer, None)  # there is nothing to cancel
            if isinstance(error, WorkbenchError):
                raise  # the node answered; a full store, for one, is an OSError as well
            raise TransferError(
                f"Node {node.name} was lost while object {step.object} was brought there. The object stays where it was."
            ) from error
        finally:
            self._sending.subtract(senders)
        if operation is not None:
            operation.parts[transfer] = step.nbytes
            operation.at.pop(transfer, None)

    def progress(self, transfer: str, done: int) -> None:
        """Note how many bytes of a transfer have arrived."""
        for operation in self._operations.values():
            if transfer in operation.at:
                operation.parts[transfer] = done

    async def _stop_transfers(self, operation: Running) -> None:
        for transfer, address in operation.at.items():
            with contextlib.suppress(OSError, ClusterError, TimeoutError):
                await self._ask_in_time(address, "cancel", transfer=transfer)
        operation.at.clear()

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
            nbytes = self._catalog.info(object_id).nbytes
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
        name = self._catalog.info(step.object).name
        operation = Running(secrets.token_hex(8), "fetch", step.object, name, [step.node], step.nbytes)
        operation.task = asyncio.current_task()
        self._remember(operation)
        try:
            await self._copy(step, operation, cached=cached)
            operation.state = "done"
        except asyncio.CancelledError:
            operation.set_cancelled()
            await self._stop_transfers(operation)
            raise
        except Exception as error:
            operation.state, operation.error = "failed", messages.error_to_wire(error)
            raise

    async def wait(self, operation: Running, seconds: float) -> None:
        """Wait until an operation has ended, or some seconds."""
        if operation.task is not None:
            await asyncio.wait([operation.task], timeout=seconds)

    async def cancel(self, operation: Running) -> None:
        """End an operation; nothing is dropped, and no half replica is left."""
        if operation.task is not None and not operation.task.done():
            operation.task.cancel()
            await asyncio.wait([operation.task])
            if operation.state == "running":
                operation.set_cancelled()  # before its first step

    async def drop(self, object_id: ObjectId, node: Node, *, force: bool) -> None:
        """Remove one replica; the last one only if forced."""
        if not force:
            await self.guard.secure(object_id, node)
        if node.announcer is None:
            raise ClusterError(
                f"Node {node.name} is lost: nothing can be dropped there until one of its workers is back."
            )
        await self._ask_in_time(node.announcer, "delete", targets=[object_id])

    async def obey(self, orders: Iterable[Order]) -> None:
        """Give orders to nodes, all at once; a node that cannot be reached will hear them when it comes back."""
        deletions: dict[str, list[ObjectId]] = {}
        given = []
        for order in orders:
            if order.verb == "delete":
                deletions.setdefault(order.node, []).append(order.object)
            else:
                given.append(self._order(order.node, "unbind", target=order.object, name=order.name, keep=order.keep))
        given += [self._order(node, "delete", targets=targets) for node, targets in deletions.items()]
        results = await asyncio.gather(*given, return_exceptions=True)
        for result in results:
            if isinstance(result, WorkbenchError) or (isinstance(result, BaseException) and not _unreachable(result)):
                raise result

    async def _order(self, node: str, verb: str, **arguments: Any) -> None:
        address = self._catalog.nodes[node].announcer
        if address is not None:
            await self._ask_in_time(address, verb, **arguments)

    async def _ask_in_time(self, address: str, verb: str, **arguments: Any) -> Any:
        return await asyncio.wait_for(self._ask_living(address, verb, **arguments), _ORDER_TIMEOUT)

    async def _ask_living(self, address: str, verb: str, **arguments: Any) -> Any:
        """Ask a worker, and fail at once when it has gone: Dask would try to reach it for half a minute.

        Raises
        ------
        OSError
            It has gone.
        """
        asking = asyncio.ensure_future(self._ask(address, verb, **arguments))
        self._asking.setdefault(address, set()).add(asking)
        try:
            await asyncio.wait([asking])
            if asking.cancelled():
                raise ConnectionError(f"the worker at {address} has gone")
            return asking.result()
        finally:
            asking.cancel()
            self._asking.get(address, set()).discard(asking)

    def worker_gone(self, address: str) -> None:
        """End what waits for an answer of a worker that has gone."""
        for asking in self._asking.pop(address, set()):
            asking.cancel()

    async def close(self) -> None:
        """End what runs."""
        tasks = [operation.task for operation in self._operations.values() if operation.task is not None]
        tasks += self._bringing.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _unreachable(error: BaseException) -> bool:
    return isinstance(error, (OSError, TimeoutError))


def _total(steps: Iterable[Suggestion]) -> int:
    return sum(step.nbytes for step in steps if step.verb == "copy")
