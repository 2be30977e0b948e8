"""What the server knows and does: the state of the host and its cluster, the actions, and who is told of changes.

Covers joining the store of this host (``host.py``) with the cluster (``link.py``), and watching both; how their catalogs
become JSON is in ``snapshot.py``. The watching starts with the first question, so a server whose panel nobody opens does
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from workbench.errors import ClusterError, ObjectNotFoundError
from workbench.jupyter.server.host import Host
from workbench.jupyter.server.link import ClusterState, Link, Pulse
from workbench.jupyter.server.snapshot import state_json
from workbench.objects import ObjectId

__all__ = ["Hub"]

_BUSY_INTERVAL = 0.2
"""Seconds between two looks at the cluster while an operation runs: its progress is on the screen."""

_REST, _LONGEST_REST = 10, 5.0
"""A look is followed by this many times its duration without one, at most so many seconds."""
_FIRST_LOOK = 2.0
"""Seconds that the first answer waits for the cluster; most of it is the import of Dask."""


class Hub:
    """State and actions of the extension.

    Parameters
    ----------
    directory : str or None
        Of the store; None for the user's own.
    announce : callable
        Is told the version whenever something changed.
    poll_interval, holders_interval, cluster_interval, cluster_timeout : float
        Seconds; see ``app.py``.
    max_objects : int
    log : logging.Logger
    """

    def __init__(
        self,
        directory: str | None,
        *,
        announce: Callable[[str], None],
        poll_interval: float,
        holders_interval: float,
        cluster_interval: float,
        cluster_timeout: float,
        max_objects: int,
        log: logging.Logger,
    ) -> None:
        self._host = Host(directory)
        self._link = Link(cluster_timeout, log)
        self._announce = announce
        self._intervals = (poll_interval, holders_interval, cluster_interval)
        self._max_objects = max_objects
        self._log = log
        self._boot = secrets.token_hex(4)
        self._count = 0
        self._tasks: list[asyncio.Future[None]] = []
        self._first_look: asyncio.Future[None]

    @property
    def version(self) -> str:
        """Changes with every change; another one after a restart of the server."""
        return f"{self._boot}-{self._count}"

    async def state(self) -> dict[str, Any]:
        """Return the body of ``GET state``, as of now."""
        await self.start()
        version = self.version
        host, cluster = await asyncio.gather(self._host.look(), self._link.look(self._max_objects))
        return state_json(version, host, cluster, self._max_objects)

    async def move(self, object_id: ObjectId, to: str) -> dict[str, Any]:
        """Begin to move an object; return the operation."""
        operation: dict[str, Any] = await self._act(lambda cluster: cluster.a_move(object_id, to=to))
        return operation

    async def replicate(
        self, object_id: ObjectId, to: Sequence[str] | None = None, n: int | None = None
    ) -> dict[str, Any]:
        """Begin to replicate an object; return the operation."""
        wish: dict[str, Any] = {"n": n} if to is None else {"to": list(to)}
        operation: dict[str, Any] = await self._act(lambda cluster: cluster.a_replicate(object_id, **wish))
        return operation

    async def drop(self, object_id: ObjectId, node: str, *, force: bool = False) -> None:
        """Remove the replica on one node."""
        await self._act(lambda cluster: cluster.a_drop(object_id, node, **({"force": True} if force else {})))

    async def delete(self, object_id: ObjectId) -> None:
        """Delete an object everywhere."""
        await self.start()
        try:
            cluster = self._link.require()
        except ClusterError:
            await self._host.delete(object_id)
        else:
            try:
                await cluster.a_delete(object_id)
            except ObjectNotFoundError:
                # Put a moment ago: this host has it, and the cluster has not heard of it yet.
                await self._host.delete(object_id)
        self._changed()

    async def _act(self, action: Callable[[Any], Any]) -> Any:
        await self.start()
        result = await action(self._link.require())
        self._changed()
        return result

    # -- watching --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to watch at the first call; give the first look for a cluster a moment before anything is answered."""
        if self._tasks:
            await asyncio.wait([self._first_look], timeout=_FIRST_LOOK)
            return
        poll, holders, cluster = self._intervals
        self._first_look = asyncio.ensure_future(self._link.follow(self._host.directory))
        self._tasks = [
            self._first_look,
            asyncio.create_task(self._watch(self._host.version, poll), name="workbench-store"),
            asyncio.create_task(self._watch(self._who_holds, holders), name="workbench-holders"),
            asyncio.create_task(self._watch_cluster(cluster), name="workbench-cluster"),
        ]
        await asyncio.wait([self._first_look], timeout=_FIRST_LOOK)

    async def close(self) -> None:
        """Stop watching, and let go of the store and the cluster."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._link.close()
        await self._host.close()

    def _changed(self) -> None:
        self._count += 1
        self._announce(self.version)

    async def _watch(self, look: Callable[[], Any], interval: float) -> None:
        """Announce each time that what `look` returns differs from the last time; the first time counts as different.

        Who asked before the first look may have been told what was true before it.
        """
        last: Any = None
        while True:
            begun = time.monotonic()
            with self._alive():
                now = await look()
                if now != last:
                    self._changed()
                last = now
            # On a machine with thousands of processes, looking who holds what takes long.
            await asyncio.sleep(max(interval, min(_REST * (time.monotonic() - begun), _LONGEST_REST)))

    async def _who_holds(self) -> frozenset[tuple[int, str | None, str | None, str]]:
        holders = await self._host.holders()
        return frozenset((holder.pid, holder.object, holder.name, holder.cause) for holder in holders)

    async def _watch_cluster(self, interval: float) -> None:
        last = Pulse(ClusterState())
        while True:
            with self._alive():
                await self._link.follow(self._host.directory)
                now = await self._link.pulse()
                if now != last:
                    self._changed()
                last = now
            busy = any(operation["state"] == "running" for operation in last.state.operations)
            await asyncio.sleep(min(interval, _BUSY_INTERVAL) if busy else interval)

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """Log what goes wrong in a look, and look again: a panel must not stay blind because of one bad moment."""
        try:
            yield
        except Exception:  # noqa: BLE001  # whatever it was, it is logged, and the next look may succeed
            self._log.exception("The workbench could not look at its store or cluster; it will try again")
