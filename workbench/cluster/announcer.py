"""A worker tells the scheduler what its host's store holds: everything when it joins, then what changes.

Covers the watch over one store and the order of announcements; what the scheduler makes of them is ``catalog.py``'s. One worker
of each host announces for all. Announcements are numbered, so the scheduler notices a lost one and asks for everything again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from workbench import codecs, connection
from workbench.cluster import messages
from workbench.errors import ClusterError, StoreError
from workbench.objects import ObjectId

if TYPE_CHECKING:
    from workbench.store import Store, Version

logger = logging.getLogger("workbench.worker")

INTERVAL: Final = 0.05
"""Seconds between two looks at the store's version; one look is a few microseconds."""
_PAUSE: Final = 0.5
"""Seconds before the next try after the scheduler did not answer, or lacked the plugin."""
_HOUSEKEEPING: Final = 2.0
"""Seconds between two looks at the connection file and at objects whose time is over."""

AskScheduler = Callable[..., Awaitable[Any]]
"""``await ask(verb, **arguments)``."""


class Announcer:
    """Keeps the scheduler up to date about one store.

    Parameters
    ----------
    store : Store
    name : str
        What this node would like to be called.
    worker : callable
        Returns the address of this worker, or None as long as the scheduler does not know it.
    scheduler : str
        Address, for the connection file.
    ask : callable
    """

    def __init__(
        self, store: Store, name: str, worker: Callable[[], str | None], scheduler: str, ask: AskScheduler
    ) -> None:
        self._store = store
        self._name = name
        self._worker = worker
        self._scheduler = scheduler
        self._ask = ask
        self._lock = asyncio.Lock()
        self._joined = False
        self._announces = False
        self._sequence = 0
        self._since: Version | None = None
        self._data_version: bytes | None = None
        self._names: dict[str, ObjectId] = {}
        self._used = -1
        self._housekeeping = 0.0
        self._expires = False
        self.node_name = name

    async def run(self) -> None:
        """Announce until cancelled."""
        warned = False
        while True:
            try:
                await self.flush()
                codecs.sweep_all()
                await self._keep_house()
                pause, warned = INTERVAL, False
            except (OSError, ClusterError, TimeoutError) as error:
                if not warned:
                    logger.warning("The workbench cannot announce this host's objects: %s", error)
                warned, pause = True, _PAUSE
                self._since = self._data_version = None
            await asyncio.sleep(pause)

    def start_over(self) -> None:
        """Announce everything from now on, as the host's announcer."""
        self._joined = False
        self._since = self._data_version = None

    async def flush(self) -> None:
        """Announce what has not been announced yet; return when the scheduler knows it."""
        async with self._lock:
            address = self._worker()
            if address is None:
                return
            if not self._joined:
                await self._join(address)
            if not self._announces:
                return
            version = self._store.data_version()
            if version != self._data_version and await self._announce(address):
                self._data_version = version

    async def _join(self, address: str) -> None:
        joined = await self._ask("join", node=self._store.id, name=self._name, worker=address)
        self.node_name, self._announces = str(joined["name"]), bool(joined["announces"])
        self._since = self._data_version = None
        self._joined = True
        connection.write(self._store.directory, self._scheduler, self._store.id)

    async def _announce(self, address: str) -> bool:
        """Return whether the scheduler knows everything now; if not, the next look announces everything."""
        changes = await asyncio.to_thread(self._store.changes, self._since)
        full = changes.full
        memory = await asyncio.to_thread(self._store.memory)
        names = self._names if changes.names is None else changes.names
        self._expires = self._expires or any(info.ttl is not None for info in changes.added)
        said = {
            "full": full,
            "added": [messages.info_to_wire(info) for info in changes.added],
            "removed": changes.removed,
            "names": {name: target for name, target in names.items() if full or self._names.get(name) != target},
            "unbound": [] if full else [name for name in self._names if name not in names],
            "capacity": memory.capacity,
            "used": memory.used,
        }
        if any(said[what] for what in ("full", "added", "removed", "names", "unbound")) or memory.used != self._used:
            self._sequence += 1
            answer = await self._ask("announce", worker=address, node=self._store.id, sequence=self._sequence, **said)
            if answer["again"]:
                self._since = None
                self._joined = self._joined and not answer["join"]
                return False
        self._since, self._names, self._used = changes.version, dict(names), memory.used
        return True

    async def _keep_house(self) -> None:
        now = time.monotonic()
        if not self._joined or now < self._housekeeping:
            return
        self._housekeeping = now + _HOUSEKEEPING
        if not connection.is_kept(self._store.directory):
            # Another worker of this host, which has left or was killed, had written the file.
            connection.write(self._store.directory, self._scheduler, self._store.id)
        if self._expires and self._announces:
            try:
                await asyncio.to_thread(self._store.writer.names.delete_expired)
            except StoreError as error:
                logger.warning("Objects whose time is over could not be deleted: %s", error)
