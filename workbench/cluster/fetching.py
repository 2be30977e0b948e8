"""The transfers to one node that are under way: one for each object, however many wish for it.

Covers who waits for which transfer, who may cancel it, and what the scheduler hears of it; the transfer itself is ``transfer.py``'s. One worker of
each host does this for all (the manager asks the one that announces), so that two readers of a host cause one transfer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workbench.cluster.lines import Lines
from workbench.cluster.transfer import Ask, Limits, Pull
from workbench.errors import ObjectNotFoundError, OperationCancelledError

if TYPE_CHECKING:
    from workbench.objects import ObjectId
    from workbench.store import Store

_REPORT: Final = 0.1
"""Seconds between two reports of a transfer's progress."""
_AT_ONCE: Final = 4
"""Objects that come to one node at the same time; the next ones wait, and each gets its share of the network sooner."""


class Fetching:
    """Brings objects to one store.

    Parameters
    ----------
    store : Store
    ask : callable
        Asks another worker.
    ask_scheduler : callable
        ``await ask_scheduler(verb, **arguments)``.
    executor : Executor
    linked : Lines
    limits : Limits
    spawn : callable
        Runs a coroutine that nobody waits for.

    Attributes
    ----------
    begun : int
        Transfers so far.
    """

    def __init__(
        self,
        store: Store,
        ask: Ask,
        ask_scheduler: Callable[..., Coroutine[Any, Any, Any]],
        executor: Executor,
        linked: Lines,
        limits: Limits,
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
    ) -> None:
        self._store = store
        self._ask = ask
        self._ask_scheduler = ask_scheduler
        self._executor = executor
        self._lines = linked
        self._limits = limits
        self._spawn = spawn
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._pulls: dict[ObjectId, asyncio.Task[None]] = {}
        self.begun = 0
        self._orders: dict[str, asyncio.Task[None]] = {}

    @property
    def running(self) -> int:
        """Number of transfers that are under way."""
        return len(self._pulls)

    async def fetch(
        self, object_id: ObjectId, sources: Sequence[str], token: str | None, names: Sequence[str], *, cached: bool
    ) -> None:
        """Make a replica, or wait for the transfer that makes it.

        Parameters
        ----------
        object_id : ObjectId
        sources : sequence of str
            Addresses of workers that have it, best first.
        token : str, optional
            What :meth:`cancel` and reports of progress call this wish.
        cached : bool
            It is for readers here. If somebody wishes for an ordinary replica meanwhile, that is what it becomes.

        Raises
        ------
        TransferError
        StoreFullError
        OperationCancelledError
        """
        task = asyncio.create_task(self._fetch(object_id, sources, token, names, cached=cached))
        if token is not None:
            self._orders[token] = task
        try:
            await asyncio.wait([task])
            if task.cancelled():
                raise OperationCancelledError(f"The transfer of object {object_id} was cancelled; nothing of it stays.")
            task.result()
        finally:
            task.cancel()
            if token is not None:
                self._orders.pop(token, None)

    async def _fetch(
        self, object_id: ObjectId, sources: Sequence[str], token: str | None, names: Sequence[str], *, cached: bool
    ) -> None:
        while True:
            running = self._pulls.get(object_id)
            if running is not None:
                # Whoever began it may cancel it, whoever joined it may not; and goes on by itself then.
                await asyncio.wait([running])
                if running.cancelled():
                    continue
                running.result()
            elif not await asyncio.to_thread(self._store.exists, object_id):
                if object_id in self._pulls:
                    continue  # somebody else has begun meanwhile
                await self._pull(object_id, sources, token, names, cached=cached)
            if cached:
                return
            with contextlib.suppress(ObjectNotFoundError):  # it was here as a cached replica, and was dropped just now
                await asyncio.to_thread(self._store.keep, object_id)
                return

    async def _pull(
        self, object_id: ObjectId, sources: Sequence[str], token: str | None, names: Sequence[str], *, cached: bool
    ) -> None:
        self.begun += 1
        running = self._pulls[object_id] = asyncio.create_task(
            self._run(object_id, sources, token, names, cached=cached)
        )
        running.add_done_callback(lambda _: self._pulls.pop(object_id, None))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait([running])
            raise

    async def _run(
        self, object_id: ObjectId, sources: Sequence[str], token: str | None, names: Sequence[str], *, cached: bool
    ) -> None:
        async with self._turns:
            await Pull(
                self._store,
                object_id,
                sources,
                self._ask,
                self._executor,
                self._reporter(token),
                linked=self._lines,
                limits=self._limits,
                cached=cached,
                names=names,
                more=partial(self._look_for_sources, object_id),
            ).run()

    async def _look_for_sources(self, object_id: ObjectId) -> list[str]:
        """Ask the scheduler who has an object now; a node that was just lost is waited for, as long as a silent source is."""
        deadline = time.monotonic() + self._limits.seconds
        while True:
            found = await self._ask_scheduler("where", key=object_id)
            if found["sources"] or not found["soon"] or time.monotonic() >= deadline:
                return [str(source) for source in found["sources"]]
            await asyncio.sleep(_REPORT)

    def _reporter(self, token: str | None) -> Callable[[int], None]:
        last = 0.0

        def report(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if token is not None and now - last >= _REPORT:
                last = now
                self._spawn(self._ask_scheduler("progress", transfer=token, done=done))

        return report

    async def cancel(self, token: str) -> None:
        """End the transfer that somebody began with this token."""
        task = self._orders.get(token)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """End all of them."""
        tasks = [*self._orders.values(), *self._pulls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lines.close()
