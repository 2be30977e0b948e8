"""The store of this host, as the server sees it: opened when it appears, asked in a thread, never decoded.

Covers waiting for a store that is not there yet (which is a state, not an error) and noticing that the one that was open
has been replaced. One thread does all of it: the event loop never waits for a disk or a lock, and a number that is
relative to a connection (``Store.data_version``) always comes from the same one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from workbench.errors import ObjectNotFoundError, StoreError, WorkbenchError
from workbench.objects import Holder, Memory, ObjectId, ObjectInfo
from workbench.store import Store
from workbench.store.directory import CATALOG, default_directory
from workbench.store.queries import Version

__all__ = ["Host", "HostNews", "HostState"]

T = TypeVar("T")

_RETRY: Final = 2.0
"""Seconds until a store that could not be opened is tried again."""
_CHEAP: Final = 0.05
"""Seconds; a look at the holders that takes less is taken whenever somebody asks."""
_REST: Final = 10
"""A dearer one is not taken again for so many times its duration."""


@dataclass(frozen=True, slots=True)
class HostState:
    """What one look at the store found.

    `error` is a kind and a message where the store cannot be used: ``no-store`` when nothing was ever put. `room` is what the file system has left, in bytes.
    """

    directory: str
    node: str | None = None
    memory: Memory | None = None
    room: int | None = None
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class HostNews:
    """What changed since the look before. `full`: `changed` is all there is, of which `total` tells how many there are.

    `holders` are None where they were not looked at.
    """

    state: HostState
    full: bool = True
    changed: list[ObjectInfo] = dataclasses.field(default_factory=list)
    removed: list[ObjectId] = dataclasses.field(default_factory=list)
    total: int = 0
    holders: list[Holder] | None = None


class Host:
    """The store of this host.

    Parameters
    ----------
    directory : str or None
        None: the user's own, found anew until there is one.
    limit : int
        How many objects, the newest ones, are read when everything is.
    """

    def __init__(self, directory: str | None = None, limit: int = 20_000) -> None:
        self._wanted = directory
        self._limit = limit
        self._store: Store | None = None
        self._inode: int | None = None
        self._since: Version | None = None
        self._looked = (0.0, 0.0)
        self._failure: tuple[int, float, WorkbenchError] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="workbench-store")

    @property
    def directory(self) -> Path:
        """Where the store is, or will be."""
        return Path(self._wanted).expanduser().absolute() if self._wanted else default_directory()

    async def run(self, function: Callable[[], T]) -> T:
        """Call `function` in the store's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def do(self, function: Callable[[Store], T]) -> T:
        """Call `function` with the store, in its thread.

        Raises
        ------
        StoreError
            There is none, or it cannot be used.
        """
        return await self.run(lambda: function(self._open()))

    async def version(self) -> tuple[int | None, bytes | None]:
        """Return what changes when anybody changes the store or replaces it."""
        return await self.run(self._version)

    async def news(self, *, anew: bool = False, holders: bool = True) -> HostNews:
        """Return what changed since the call before, or why it cannot be told.

        Parameters
        ----------
        anew : bool
            Everything, in any case.
        holders : bool
            Look who holds what, too, unless that takes long and was done a moment ago.
        """
        return await self.run(lambda: self._news(anew=anew, holders=holders))

    async def glimpse(self, most: int) -> tuple[HostState, list[ObjectInfo]]:
        """Return the state and the first objects by name, which takes no longer beside many: no datasets, whose partitions would all have to be looked at."""

        def read() -> tuple[HostState, list[ObjectInfo]]:
            try:
                store = self._open()
                state = HostState(str(self.directory), store.id, store.memory(), _room(self.directory))
                found = store.ls(limit=most, sort_by="name", parts=False)
            except WorkbenchError as error:
                return self._failed(error), []
            return state, [info for info in found if info.kind != "dataset"]

        return await self.run(read)

    async def infos(self, ids: Iterable[ObjectId]) -> list[ObjectInfo]:
        """Return what the store knows of some objects now, without those that it does not have."""
        wanted = list(ids)

        def read() -> list[ObjectInfo]:
            found = []
            with suppress(StoreError):
                store = self._open()
                for object_id in wanted:
                    with suppress(ObjectNotFoundError):
                        found.append(store.info(object_id))
            return found

        return await self.run(read)

    async def members(self, dataset: ObjectId) -> list[ObjectInfo]:
        """Return the partitions of a dataset that the store has."""

        def read() -> list[ObjectInfo]:
            with suppress(StoreError):
                return self._open().ls(dataset=dataset)
            return []

        return await self.run(read)

    async def close(self) -> None:
        """Close the store and end the thread; a second time does nothing."""
        if not self._closed:
            self._closed = True
            await self.run(self._forget)
            self._thread.shutdown(wait=False)

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _open(self) -> Store:
        inode = _inode(self.directory / CATALOG)
        if inode is None:
            self._forget()
            raise StoreError(f"Nothing is shared on this host yet: there is no store in {self.directory}.")
        if self._store is None or inode != self._inode:
            self._forget()
            self._store = self._try_open(inode)
            self._inode = inode
        return self._store

    def _try_open(self, inode: int) -> Store:
        # A store that cannot be used (another version, another user) is not tried anew on every look.
        if self._failure is not None and self._failure[0] == inode and time.monotonic() < self._failure[1]:
            raise self._failure[2]
        try:
            return Store.open(self.directory, create=False, process=("server", "Jupyter server"))
        except WorkbenchError as error:
            # Without its traceback, whose frames would keep what was half opened.
            self._failure = (inode, time.monotonic() + _RETRY, type(error)(str(error)))
            raise

    def _forget(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store, self._inode, self._since = None, None, None

    def _version(self) -> tuple[int | None, bytes | None]:
        try:
            store = self._open()
        except WorkbenchError:
            return (None, None)
        return (self._inode, store.data_version())

    def _news(self, *, anew: bool, holders: bool) -> HostNews:
        try:
            store = self._open()
            found = store.changes(None if anew else self._since)
            self._since = found.version
            changed = store.ls(limit=self._limit) if found.full else found.added
            total = store.count() if found.full and len(changed) == self._limit else len(changed)
            state = HostState(str(self.directory), store.id, store.memory(), _room(self.directory))
            who = self._holders(store) if holders else None
            back = {info.id for info in changed}
            gone = [object_id for object_id in found.removed if object_id not in back]
            return HostNews(state, found.full, changed, gone, total, who)
        except WorkbenchError as error:
            self._since = None
            return HostNews(self._failed(error), holders=[])

    def _failed(self, error: WorkbenchError) -> HostState:
        absent = self._store is None and _inode(self.directory / CATALOG) is None
        return HostState(str(self.directory), error=("no-store" if absent else error.kind, str(error)))

    def _holders(self, store: Store) -> list[Holder] | None:
        ended, took = self._looked
        begun = time.monotonic()
        if took > _CHEAP and begun - ended < _REST * took:
            return None
        found = store.holders()
        self._looked = time.monotonic(), time.monotonic() - begun
        return found


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _room(directory: Path) -> int | None:
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
