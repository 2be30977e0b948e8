"""What the scheduler tells workers to do, and how it notices in time that one has gone.

Covers asking one worker and giving orders to many; when and why is ``manager.py``'s and ``catalog.py``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Node, Order
from workbench.cluster.tombstones import WITNESSES
from workbench.errors import ClusterError, WorkbenchError
from workbench.objects import ObjectId

_AT_ONCE: Final = 1000
"""Objects that one order names at most, where others wait for it."""
_TIMEOUT: Final = 30.0
"""Seconds that a worker has for an order that moves no payload."""

Ask = Callable[..., Awaitable[Any]]
"""``await ask(address, verb, **arguments)``: the result of a verb of a worker."""


class Orders:
    """Asks workers.

    Parameters
    ----------
    catalog : ClusterCatalog
    ask : callable
    """

    def __init__(self, catalog: ClusterCatalog, ask: Ask) -> None:
        self._catalog = catalog
        self._ask = ask
        self._asking: dict[str, set[asyncio.Future[Any]]] = {}

    async def ask(self, address: str, verb: str, **arguments: Any) -> Any:
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

    async def ask_in_time(self, address: str, verb: str, **arguments: Any) -> Any:
        """As :meth:`ask`, for what takes no time by itself."""
        # Not wait_for, which in Python 3.11 forgets that it was cancelled where the answer comes in the same moment.
        async with asyncio.timeout(_TIMEOUT):
            return await self.ask(address, verb, **arguments)

    def worker_gone(self, address: str) -> None:
        """End what waits for an answer of a worker that has gone."""
        for asking in self._asking.pop(address, set()):
            asking.cancel()

    async def ask_nodes(self, nodes: Iterable[Node], verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask several nodes at once; those that do not answer are left out."""
        addresses = {node.id: node.announcer for node in nodes if node.announcer is not None}
        asked = (self.ask_in_time(address, verb, **arguments) for address in addresses.values())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return {
            node: answer
            for node, answer in zip(addresses, answers, strict=True)
            if not isinstance(answer, BaseException)
        }

    async def cancel(self, address: str, transfer: str) -> None:
        """Stop a transfer, and wait until nothing of it is left; a worker that has gone stops by itself."""
        with contextlib.suppress(OSError, ClusterError, TimeoutError):
            await self.ask_in_time(address, "cancel", transfer=transfer)

    async def drop(self, node: Node, targets: Sequence[ObjectId]) -> None:
        """Remove replicas from a running node; others stay where they are."""
        if node.announcer is not None:
            await self.ask_in_time(node.announcer, "drop", targets=list(targets))

    async def mark_drained(self, node: Node) -> None:
        """Have a node's store remember whether it is drained, for a scheduler that starts anew."""
        await self.ask_nodes([node], "mark_drained", drained=node.drained)

    async def tag(self, objects: Iterable[ObjectId], tag: str, value: str | None) -> None:
        """Tag the replicas of objects on all running nodes."""
        targets: dict[str, list[ObjectId]] = {}
        for object_id in objects:
            for node in self._catalog.holders(object_id):
                targets.setdefault(node.id, []).append(object_id)
        await self._give([self._order(node, "tag", targets=ids, tag=tag, value=value) for node, ids in targets.items()])

    async def obey(self, orders: Iterable[Order], unknown: Iterable[ObjectId] = ()) -> None:
        """Give orders to nodes, all at once; a node that cannot be reached will hear them when it comes back, or has said everything again.

        Parameters
        ----------
        orders : iterable of Order
        unknown : iterable of ObjectId
            What is deleted, too, although no node is known to have it.
        """
        deletions: dict[str, list[ObjectId]] = {}
        given, told = [], []
        for order in orders:
            if order.verb == "delete":
                deletions.setdefault(order.node, []).append(order.object)
                continue
            how = {"was": order.was} if order.verb == "rename" else {"keep": order.keep}
            given.append(self._order(order.node, order.verb, target=order.object, name=order.name, **how))
            told.append(order.node)
        deleting = [self._order(node, "delete", targets=targets) for node, targets in deletions.items()]
        unbound, heard = await asyncio.gather(self._give(given), self._give(deleting))
        for node, obeyed in zip(told, unbound, strict=True):
            self._catalog.nodes[node].doubted |= not obeyed
        doubtful = dict.fromkeys(unknown)
        for (node, targets), obeyed in zip(deletions.items(), heard, strict=True):
            if not obeyed:
                doubtful |= dict.fromkeys(targets)
                self._catalog.nodes[node].doubted = True
        if doubtful:
            await self._call_witnesses(list(doubtful))

    async def _call_witnesses(self, objects: Sequence[ObjectId]) -> None:
        """Have some nodes note that objects are deleted of which others did not hear that, or that are not known; see ``tombstones.py``."""
        running = [node for node in self._catalog.nodes.values() if node.announcer is not None][:WITNESSES]
        for start in range(0, len(objects), _AT_ONCE):
            await self.ask_nodes(running, "delete", targets=objects[start : start + _AT_ONCE])

    async def _give(self, given: Iterable[Awaitable[bool]]) -> list[bool]:
        """Wait for orders; return of each whether it was heard. A worker that ends says so (:class:`ClusterError`), and has not."""
        results = await asyncio.gather(*given, return_exceptions=True)
        for result in results:
            if isinstance(result, ClusterError):
                continue
            if isinstance(result, WorkbenchError) or (
                isinstance(result, BaseException) and not isinstance(result, (OSError, TimeoutError))
            ):
                raise result
        return [result is True for result in results]

    async def _order(self, node: str, verb: str, **arguments: Any) -> bool:
        address = self._catalog.nodes[node].announcer
        if address is None:
            return False
        await self.ask_in_time(address, verb, **arguments)
        return True
