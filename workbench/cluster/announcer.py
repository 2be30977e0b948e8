"""A worker tells the scheduler what its host's store holds: everything when it joins, then what changes.

Covers the watch over one store and the order of announcements; their form is ``announcements.py``'s, and what the scheduler makes of them
``catalog.py``'s. One worker of each host announces for all. It looks at the catalog's commit counter when somebody commits, and 50 times a second, which costs no system call
(``waking.py``), so a put is on its way to the scheduler, and with that to every node, at most 20 milliseconds later, where the machine has a processor for it; whatever happens
while an announcement is under way is in the next one.

Announcements are numbered. One that is lost, or comes twice, shows as a gap, and everything is said again: a resync. A large one is said in pages,
read one after the other, so that neither side ever holds all of it as one message. What changes meanwhile is read after each page, because the store's history of
changes is short, and follows when all pages are said: a store that changes faster than it is told of would else be told of from the beginning again and again. Who is interrupted in the middle, by an error or by its death, leaves a resync without an end, and the scheduler keeps what it knew
until the next one is complete.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from workbench import config, connection
from workbench.cluster import announcements
from workbench.cluster.gauge import Gauge
from workbench.cluster.waking import Waking
from workbench.errors import StoreError, WorkbenchError

if TYPE_CHECKING:
    from workbench.objects import ObjectId, ObjectInfo
    from workbench.store import Store, Version

logger = logging.getLogger("workbench.worker")

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
        self._turns = 0
        self._joined = False
        self._announces = False
        self._sequence = 0
        self._since: Version | None = None
        self._buried = 0
        self._data_version: bytes | None = None
        self._gauge = Gauge(store)
        self._told: tuple[int, dict[str, int]] | None = None
        self._housekeeping = 0.0
        self._expires = False
        self.node_name = name
        self.announced = 0
        self.resyncs = 0

    async def run(self) -> None:
        """Announce until cancelled."""
        warned = False
        with Waking(self._store) as waking:
            while True:
                try:
                    waking.begin()
                    before = self.announced
                    await self.flush()
                    if self.announced != before:
                        waking.saw()
                    await self._keep_house()
                    await waking.wait()
                    warned = False
                except (OSError, WorkbenchError, TimeoutError, ValueError) as error:
                    if not warned:
                        logger.warning("The workbench cannot announce this host's objects: %s", error)
                    warned = True
                    self._since = self._data_version = None
                    await asyncio.sleep(_PAUSE)

    def start_over(self) -> None:
        """Announce everything from now on, as the host's announcer."""
        self._joined = False
        self._turns += 1
        self._since = self._data_version = None

    async def flush(self) -> None:
        """Announce what has not been announced yet; return when the scheduler knows it."""
        async with self._lock:
            for _ in range(2):  # what did not fit is followed by everything, at once
                address = self._worker()
                if address is None:
                    return
                if not self._joined:
                    await self._join(address)
                version = self._store.data_version()
                if not self._announces or version == self._data_version:
                    return
                if await self._announce(address):
                    self._data_version = version
                    return

    async def _join(self, address: str) -> None:
        turns = self._turns
        joined = await self._ask(
            "join",
            node=self._store.id,
            name=self._name,
            worker=address,
            rack=str(config.get("rack") or ""),
            drained=await asyncio.to_thread(lambda: self._store.drained),
        )
        self.node_name, self._announces = str(joined["name"]), bool(joined["announces"])
        self._since = self._data_version = None
        # The answer may be older than a turn that came while it was on its way: then the next look joins again.
        self._joined = turns == self._turns
        connection.write(self._store.directory, self._scheduler, self._store.id)

    async def _announce(self, address: str) -> bool:
        """Return whether the scheduler knows everything now; if not, the next look announces everything."""
        if not self._gauge.parts:
            await self._gauge.look(None)
        changes = await asyncio.to_thread(self._store.changes, self._since)
        # Asked for after the changes: an object may have gone that still seems to be here, and never the other way round.
        deleted = await self._newly_buried(0 if changes.full else self._buried)
        if changes.full:
            self._since = await self._say_everything(address, changes.version, deleted)
        else:
            known = await self._say_changes(address, changes.added, changes.removed, deleted)
            self._since = changes.version if known else None
        return self._since is not None

    async def _newly_buried(self, after: int) -> list[ObjectId]:
        gone = await asyncio.to_thread(self._store.buried, after)
        self._buried = gone[-1][0] if gone else self._buried
        return [object_id for _, object_id in gone]

    async def _say_changes(
        self, address: str, added: list[ObjectInfo], removed: list[ObjectId], deleted: Sequence[ObjectId]
    ) -> bool:
        told = (self._store.catalog.used, self._gauge.parts) == self._told
        if told and not added and not removed and not deleted:
            return True
        back = {info.id for info in added}
        gone_for_good = [object_id for object_id in removed if object_id not in back]
        # An object that is deleted everywhere is told of once: its tombstone goes with its removal.
        *earlier, last = [*announcements.tombstones(deleted)] or [()]
        for some in earlier:
            if not await self._say(address, [], [], full=False, deleted=some):
                return False
        for page, gone in announcements.pages(added, gone_for_good):
            if not await self._say(address, page, gone, full=False, deleted=last):
                return False
            last = ()
        return True

    async def _say_everything(self, address: str, until: Version, deleted: Sequence[ObjectId]) -> Version | None:
        """Say everything that there was at a version, what is deleted everywhere, and what has changed meanwhile; return the version that is known then."""
        self.resyncs += 1
        since = until
        added: dict[ObjectId, ObjectInfo] = {}
        removed: dict[ObjectId, None] = {}
        begins, after = True, 0
        last: int | None = 0
        # In one announcement as far as it goes: a client that has just connected shall see the objects as soon as the node is known.
        *earlier, rest = [*announcements.tombstones(deleted)] or [()]
        for some in earlier:
            if not await self._say(address, [], [], full=True, begins=begins, deleted=some):
                return None
            begins = False
        while last is not None:
            found, last = await asyncio.to_thread(self._store.page, after, until, announcements.PAGE)
            after = last or 0
            pages = list(announcements.pages(found, []))
            for number, (page, _) in enumerate(pages, 1):
                ends = last is None and number == len(pages)
                if not await self._say(address, page, [], full=True, begins=begins, ends=ends, deleted=rest):
                    return None
                begins, rest = False, ()
            changes = await asyncio.to_thread(self._store.changes, since)
            if changes.full:
                return None
            since = changes.version
            for object_id in changes.removed:
                added.pop(object_id, None)
                removed[object_id] = None
            for info in changes.added:
                added[info.id] = info
        buried = await self._newly_buried(self._buried)
        return since if await self._say_changes(address, list(added.values()), list(removed), buried) else None

    async def _say(
        self,
        address: str,
        added: list[ObjectInfo],
        removed: list[ObjectId],
        *,
        full: bool,
        begins: bool = False,
        ends: bool = False,
        deleted: Sequence[ObjectId] = (),
    ) -> bool:
        """Make one announcement; return whether the next one may follow."""
        self._expires = self._expires or any(info.ttl is not None for info in added)
        self._sequence += 1
        self.announced += 1
        used, parts = self._store.catalog.used, self._gauge.parts
        answer = await self._ask(
            "announce",
            worker=address,
            node=self._store.id,
            sequence=self._sequence,
            full=full,
            begins=begins,
            ends=ends,
            added=announcements.pack(added),
            removed=removed,
            gone=deleted,
            capacity=self._store.catalog.capacity,
            used=used,
            parts=parts,
        )
        if answer["again"]:
            self._joined = self._joined and not answer["join"]
            return False
        self._told = used, parts
        return True

    async def _keep_house(self) -> None:
        now = time.monotonic()
        if self._joined and self._announces and await self._gauge.look(self._store.data_version()):
            self._data_version = None  # the next look at the store finds something to say
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
