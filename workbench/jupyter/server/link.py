"""The cluster found on this host, as the server sees it: connected to when it appears, let go when it ends.

Covers the life of one asynchronous Dask client: clusters are found through the connection file that a worker leaves in the
store's directory, never started or stopped here. Dask is imported only when there is such a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench import connection
from workbench.errors import ClusterError
from workbench.objects import NodeInfo, ObjectId, ObjectInfo

if TYPE_CHECKING:
    from workbench.cluster import ClusterClient

__all__ = ["ClusterNews", "ClusterState", "Link"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two attempts to reach a scheduler that does not answer."""
_IS_OURS: Final[ContextVar[bool]] = ContextVar("workbench_client", default=False)
"""Set in the tasks of our own client: the server's process may have others."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What one look at the cluster found; `state` is ``none``, ``connected`` or ``unreachable``.

    `package` is the version of the workbench that its scheduler has.
    """

    state: str = "none"
    address: str | None = None
    message: str | None = None
    nodes: tuple[NodeInfo, ...] = ()
    operations: tuple[dict[str, Any], ...] = ()
    package: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterNews:
    """What changed since the look before. `full`: `changed` are the newest objects, with the partitions of the datasets among them.

    `total` counts all objects but partitions.
    """

    state: ClusterState
    full: bool = True
    changed: list[ObjectInfo] = field(default_factory=list)
    removed: list[ObjectId] = field(default_factory=list)
    total: int = 0


class Link:
    """The connection with the cluster.

    Parameters
    ----------
    timeout : float
        Seconds that the scheduler has for an answer.
    log : logging.Logger
    """

    def __init__(self, timeout: float, log: logging.Logger) -> None:
        self._timeout = timeout
        self._log = log
        self._cluster: ClusterClient | None = None
        self._client: Any = None
        self._address: str | None = None
        self._failure: str | None = None
        self._since: str | None = None
        self._next_attempt = 0.0
        self._pause = _FIRST_PAUSE
        self._changing = asyncio.Lock()

    def require(self) -> ClusterClient:
        """Return the cluster.

        Raises
        ------
        ClusterError
            If there is none, or if it does not answer.
        """
        if self._cluster is not None and self._client.status == "running":
            return self._cluster
        if self._address is not None:
            raise ClusterError(f"The cluster at {self._address} does not answer. {self._failure or ''}".strip())
        raise ClusterError(
            "There is no cluster on this host, so there is no other node. Start one with wb.LocalCluster(nodes=2), or "
            "connect a notebook to yours with wb.connect(client)."
        )

    async def follow(self, directory: Path) -> None:
        """Connect with the cluster whose connection file lies in `directory`, or let go of the one that left."""
        async with self._changing:
            address = await asyncio.to_thread(_read_address, directory)
            if address != self._address:
                await self._disconnect()
                self._address, self._failure = address, None
                self._next_attempt, self._pause = 0.0, _FIRST_PAUSE
            if self._client is not None and self._client.status != "running":
                self._failure = "Its scheduler has gone."
                self._log.info("The cluster at %s has gone", self._address)
                await self._disconnect()
            if address is not None and self._cluster is None and time.monotonic() >= self._next_attempt:
                await self._connect(address)

    async def news(self, limit: int, *, anew: bool = False) -> ClusterNews:
        """Return what changed since the call before, or why it cannot be told.

        Parameters
        ----------
        limit : int
            Objects, the newest ones, that are read when everything is.
        anew : bool
            Everything, in any case.
        """
        cluster = self._cluster
        if self._address is None or cluster is None or self._client.status != "running":
            self._since = None
            return ClusterNews(self._away())
        try:
            news = await cluster.a_news(None if anew else self._since)
            # What changes while everything is read is told the next time.
            changed = await _objects(cluster, limit) if news.full else news.added
        except ClusterError as error:
            self._since = None
            return ClusterNews(ClusterState("unreachable", self._address, str(error)))
        self._since = news.version
        state = ClusterState("connected", self._address, None, tuple(news.nodes), tuple(news.operations), news.package)
        return ClusterNews(state, news.full, changed, news.removed, news.total)

    def _away(self) -> ClusterState:
        if self._address is None:
            return ClusterState()
        return ClusterState("unreachable", self._address, self._failure or "Connecting to it.")

    async def close(self) -> None:
        """Let go of the cluster; it goes on without us."""
        async with self._changing:
            await self._disconnect()
            self._address = None

    async def _connect(self, address: str) -> None:
        try:
            self._client = await _new_client(address, self._timeout)
            self._cluster = _new_cluster(self._client, self._timeout)
            self._failure, self._pause = None, _FIRST_PAUSE
            self._log.info("The workbench is connected to the cluster at %s", address)
        except (OSError, ClusterError, TimeoutError) as error:
            await self._disconnect()
            self._failure = str(error) or f"Nothing answers at {address}."
            self._next_attempt = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _disconnect(self) -> None:
        client, self._client, self._cluster, self._since = self._client, None, None, None
        if client is not None:
            with contextlib.suppress(OSError, TimeoutError):
                await client.close()


async def _objects(cluster: ClusterClient, limit: int) -> list[ObjectInfo]:
    """Return the newest objects with the partitions of datasets among them."""
    found: list[ObjectInfo] = []
    after: str | None = None
    while len(found) < limit:
        page = await cluster.a_page(limit=limit - len(found), after=after, parts=False)
        found += page.objects
        if (after := page.after) is None:
            break
    parts = await asyncio.gather(*(cluster.a_members(info.id) for info in found if info.kind == "dataset"))
    return found + [part for members in parts for part in members]


def _read_address(directory: Path) -> str | None:
    found = connection.read(directory)
    return None if found is None else found.scheduler


async def _new_client(address: str, seconds: float) -> Any:
    # Dask takes most of a second to import, in which the server would answer nobody.
    await asyncio.to_thread(importlib.import_module, "workbench.cluster")
    from distributed import Client

    from workbench.cluster.connecting import find_security, knock

    security = find_security(address)
    # A scheduler that accepts and says nothing would keep the client waiting for ever.
    await knock(address, seconds, security)
    logging.getLogger("distributed.client").addFilter(_says_more)  # once, however often
    token = _IS_OURS.set(True)
    try:
        return await Client(
            address,
            asynchronous=True,
            set_as_default=False,
            timeout=seconds,
            name="workbench-server",
            security=security,
        )
    finally:
        _IS_OURS.reset(token)


def _says_more(record: logging.LogRecord) -> bool:
    """Tell whether a record of Dask's is worth a place in the server's log: that our own client lost its cluster is everyday life, and told by us."""
    if not _IS_OURS.get():
        return True
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not isinstance(error, (OSError, asyncio.CancelledError))


def _new_cluster(client: Any, timeout: float) -> ClusterClient:
    from workbench.cluster import ClusterClient

    return ClusterClient(client, timeout=timeout)
