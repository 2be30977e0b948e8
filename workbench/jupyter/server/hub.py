"""What the server knows: the state of the host and its cluster, as of now, and who is told of changes.

Covers asking the store of this host (``host.py``) and the cluster (``link.py``) for what is new, and watching both; how that becomes rows is in ``mirror.py``.
What users do is in ``actions.py``. The watching starts with the first question, so a server whose panel nobody opens does nothing; it goes
slowly when nobody has asked for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from workbench import __version__
from workbench.jupyter.server.deltas import Board
from workbench.jupyter.server.history import History
from workbench.jupyter.server.host import Host, HostNews, HostState
from workbench.jupyter.server.link import ClusterNews, ClusterState, Link
from workbench.jupyter.server.mirror import Mirror
from workbench.jupyter.server.running import Jobs
from workbench.jupyter.server.snapshot import (
    body,
    dumps,
    holder_json,
    nodes_json,
    object_json,
    partition_count,
    partition_json,
    partition_number,
    status_json,
)
from workbench.jupyter.server.whereabouts import Whereabouts, whereabouts
from workbench.objects import Holder, ObjectId, ObjectInfo
from workbench.store import node_name

__all__ = ["Hub", "Intervals"]

_REST: Final = 10
"""A look is followed by this many times the processor time that it took without one, at most for :attr:`Intervals.idle` seconds. On a busy machine a look takes
long, but it is not what keeps the machine busy: who waited so many times as long as it took would miss a node that is lost for a second."""
_FIRST_LOOK: Final = 2.0
"""Seconds that the first answer waits for the cluster; most of it is the import of Dask."""
_MANY: Final = 10
"""Times the objects that are enough at first; so many are many."""
_MOST_READ: Final = 200
"""Objects of which is looked up when they were last used, when who holds them has changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between two looks at the catalog of this host, at who holds what, at the cluster; and at anything when nobody has asked for `patience` seconds."""

    poll: float = 0.05
    holders: float = 1.0
    cluster: float = 0.15
    idle: float = 2.0
    patience: float = 60.0


class Hub:
    """State of the extension.

    Parameters
    ----------
    directory : str or None
        Of the store; None for the user's own.
    announce : callable
        Is told the version whenever something changed.
    intervals : Intervals
    cluster_timeout : float
        Seconds.
    max_objects : int
    root : str
        The folder that the server shows.
    log : logging.Logger
    """

    def __init__(
        self,
        directory: str | None,
        *,
        announce: Callable[[str], None],
        intervals: Intervals,
        cluster_timeout: float,
        max_objects: int,
        root: str,
        log: logging.Logger,
    ) -> None:
        self.host = Host(directory, max_objects)
        self.link = Link(cluster_timeout, log)
        self.jobs = Jobs()
        self.root = root
        self._announce = announce
        self._intervals = intervals
        self._limit = max_objects
        self._log = log
        self._board = Board(secrets.token_hex(4))
        self._mirror = Mirror(self._board, max_objects, root)
        self._history = History()
        self._host_state = HostState(str(self.host.directory))
        self._cluster_state = ClusterState()
        self._total = [0, 0]
        self._rest: dict[str, Any] = {}
        self._anew = False
        self._asked = 0.0
        self._looking = asyncio.Lock()
        self._again: asyncio.Future[None] | None = None
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Future[None]] = []
        self._first_look: asyncio.Future[None]

    @property
    def version(self) -> str:
        """Changes with every change; another one after a restart of the server."""
        return self._board.version

    async def state(
        self, since: str | None, permissions: dict[str, bool], *, told: str | None = None, first: int = 0
    ) -> str:
        """Return the body of ``GET state``, as of now.

        Parameters
        ----------
        since : str or None
            The version that the caller knows.
        permissions : dict
            What the caller may do.
        told : str, optional
            A version that an event told of: what is known is enough where it is not older.
        first : int
            So many objects are enough where all would take long: where nothing was looked at yet, and where there are many; 0: all that there are.
        """
        if first and since is None and (not self._rest or len(self._board) > _MANY * first):
            return await self._glimpse(first, permissions)
        await self.start()
        if told is None or not self._rest or not self._board.has_reached(told):
            await self.refresh()
        delta = self._board.since(since)
        rest = {"version": self.version, "full": delta.full, "partial": False, **self._rest, "removed": delta.removed}
        return body({**rest, "permissions": permissions, "history": self._history.curves()}, delta.rows)

    async def _glimpse(self, first: int, permissions: dict[str, bool]) -> str:
        """Return what can be told in some milliseconds: of thousands of objects and the cluster the first answer would be a second in coming."""
        host, infos = await self.host.glimpse(first)
        status = self._rest or {
            **status_json(host, nodes_json((), host), []),
            "cluster": {"state": "looking", "address": None, "message": None},
            "versions": {"server": __version__, "cluster": None},
            "deleted": [],
        }
        rest = {"version": "", "full": True, "partial": True, **status, "truncated": 0, "removed": []}
        rows = [self._board.text(info.id) or dumps(object_json(info, (), self.root)) for info in infos]
        return body({**rest, "permissions": permissions, "history": {}}, rows)

    async def find(self, object_id: ObjectId) -> ObjectInfo | None:
        """Return one object, a dataset with the bytes and nodes of its partitions, also where it is too old for the list; None if nobody has it."""
        await self.start()
        await self.refresh()
        found = self._mirror.info(object_id)
        if found is None:
            for info in await self.host.infos([object_id]):
                found = info
        return found

    async def object_json(self, object_id: ObjectId) -> dict[str, Any] | None:
        """Return the body of ``GET objects/<id>``, or None if nobody has it."""
        found = await self.find(object_id)
        if found is None:
            return None
        return object_json(found, self._mirror.holders(object_id), self.root, whole=True)

    async def partitions(self, dataset: ObjectInfo, start: int, stop: int) -> dict[str, Any]:
        """Return the body of ``GET objects/<id>/partitions``; partitions that are out of reach are listed without replicas."""
        found = self._mirror.members(dataset.id) or await self.host.members(dataset.id)
        by_number = {number: info for info in found if (number := partition_number(info)) is not None}
        total = partition_count(dataset, by_number)
        return {
            "total": total,
            "partitions": [partition_json(index, by_number.get(index)) for index in range(start, min(stop, total))],
        }

    async def whereabouts(self, object_id: ObjectId) -> Whereabouts | None:
        """Return where the partitions of a dataset are; None of anything else, and of what is too old for the list."""
        await self.start()
        await self.refresh()
        found = self._mirror.info(object_id)
        if found is None or found.kind != "dataset":
            return None
        return whereabouts(found, self._mirror.members(object_id), self.node, self._cluster_state.state)

    def known(self, object_id: ObjectId) -> ObjectInfo | None:
        """Return an object, also a partition, as of the last look."""
        return self._mirror.info(object_id)

    def holders(self, object_id: ObjectId) -> list[Holder]:
        """Return who holds an object, as of the last look."""
        return self._mirror.holders(object_id)

    @property
    def node(self) -> str | None:
        """Id of this host's store, as of the last look."""
        return self._host_state.node

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The nodes, as of the last look."""
        found: list[dict[str, Any]] = self._rest.get("nodes", [])
        return found

    @property
    def operations(self) -> list[dict[str, Any]]:
        """The operations, as of the last look, newest first."""
        found: list[dict[str, Any]] = self._rest.get("operations", [])
        return found

    @property
    def deleted(self) -> list[dict[str, Any]]:
        """Who maps what was deleted, as of the last look."""
        return [holder_json(holder, self.root) for holder in self._mirror.deleted]

    # -- looking ---------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """See to it that what is known is not older than this call; who calls during a look shares the next one."""
        if not self._looking.locked():
            await self._look()
            return
        if self._again is None or self._again.done():
            self._again = asyncio.ensure_future(self._look())
        await asyncio.shield(self._again)

    async def _look(self, *, holders: bool = True, cluster: bool = True) -> None:
        async with self._looking:
            self._again = None
            if anew := self._anew or self._mirror.is_overfull:
                self._anew = False
            host, news = await asyncio.gather(
                self.host.news(anew=anew, holders=holders),
                self.link.news(self._limit, anew=anew) if cluster else _none(),
            )
            used = self._take_host(host)
            if used and len(used) <= _MOST_READ:
                self._mirror.change_here(await self.host.infos(used))
            if news is not None:
                self._take_cluster(news)
            self._settle()

    def _take_host(self, news: HostNews) -> set[ObjectId]:
        """Take over what is new on this host; return the objects that somebody took or let go."""
        self._host_state = news.state
        if news.full:
            self._mirror.begin_here(news.changed)
            self._total[0] = news.total
        else:
            self._mirror.change_here(news.changed, news.removed)
        return set() if news.holders is None else self._mirror.set_leases(news.holders)

    def _take_cluster(self, news: ClusterNews) -> None:
        self._cluster_state = news.state
        self._total[1] = news.total
        if news.full:
            self._mirror.begin_there(news.changed)
        else:
            self._mirror.change_there(news.changed, news.removed)

    def _settle(self) -> None:
        host, cluster = self._host_state, self._cluster_state
        nodes = nodes_json(cluster.nodes, host)
        name = next((node["name"] for node in nodes if node["id"] == host.node), node_name())
        self._mirror.set_place(host.node, name)
        rest = {
            **status_json(host, nodes, [*self.jobs.wires(), *cluster.operations]),
            "cluster": {"state": cluster.state, "address": cluster.address, "message": cluster.message},
            "versions": {"server": __version__, "cluster": cluster.package},
        }
        # A heartbeat, and what other programs do with the memory, are no change.
        quiet = [{key: value for key, value in node.items() if key not in _RESTLESS} for node in nodes]
        changed = self._mirror.settle(
            dumps([{**rest, "nodes": quiet}, [holder_json(each, "") for each in self._mirror.deleted]])
        )
        truncated = max(self._mirror.hidden, max(self._total) - self._limit, 0)
        self._rest = {**rest, "deleted": self.deleted, "truncated": truncated}
        self._history.note(time.time(), {node["id"]: node["used"] for node in nodes})
        if changed:
            self._announce(self.version)

    # -- watching --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to watch at the first call; give the first look for a cluster a moment before anything is answered."""
        now = time.monotonic()
        if now - self._asked > self._intervals.patience:
            self._woken.set()
        self._asked = now
        if not self._tasks:
            self._first_look = asyncio.ensure_future(self.link.follow(self.host.directory))
            self._tasks = [self._first_look, asyncio.create_task(self._watch(), name="workbench-watch")]
        if not self._first_look.done():
            await asyncio.wait([self._first_look], timeout=_FIRST_LOOK)

    async def close(self) -> None:
        """Stop watching, and let go of the store and the cluster."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.jobs.close()
        await self.link.close()
        await self.host.close()

    async def _watch(self) -> None:
        """Look again and again: at the host when its catalog has changed, and at all else when it is time."""
        version: Any = None
        due = dict.fromkeys(("holders", "cluster"), 0.0)
        while self._tasks:
            begun, spent = time.monotonic(), time.process_time()
            idle = begun - self._asked > self._intervals.patience
            with self._alive():
                now = await self.host.version()
                holders, cluster = due["holders"] <= begun, due["cluster"] <= begun
                if cluster:
                    await self.link.follow(self.host.directory)
                if holders or cluster or now != version:
                    version = now
                    await self._look(holders=holders, cluster=cluster)
                ended = time.monotonic()
                if holders:
                    due["holders"] = ended + max(self._intervals.holders, self._intervals.idle if idle else 0.0)
                if cluster:
                    due["cluster"] = ended + max(self._intervals.cluster, self._intervals.idle if idle else 0.0)
            rest = min(_REST * (time.process_time() - spent), self._intervals.idle)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self._intervals.idle if idle else self._intervals.poll, rest)):
                    await self._woken.wait()
            self._woken.clear()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """Log what goes wrong in a look, and look again: a panel must not stay blind because of one bad moment."""
        try:
            yield
        except Exception:  # noqa: BLE001  # whatever it was, it is logged, and the next look may succeed
            self._anew = True
            self._log.exception("The workbench could not look at its store or cluster; it will try again")


_RESTLESS: Final = frozenset({"heartbeat", "other", "free"})


async def _none() -> None:
    return None
