"""The store of this host, as the server sees it: opened when it appears, asked in a thread, never decoded.

Covers waiting for a store that is not there yet (which is a state, not an error) and noticing that the one that was open
has been replaced. One thread does all of it: the event loop never waits for a disk or a lock, and a number that is
relative to a connection (``Store.data_version``) always comes from the same one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from workbench.errors import StoreError, WorkbenchError
from workbench.objects import Holder, Memory, ObjectInfo
from workbench.store import Store
from workbench.store.directory import CATALOG, default_directory

__all__ = ["Host", "HostState"]

T = TypeVar("T")

_RETRY = 2.0
"""Seconds until a store that could not be opened is tried again."""


@dataclass(frozen=True, slots=True)
class HostState:
    """What one look at the store found.

    `error` is a kind and a message where the store cannot be used: ``no-store`` when nothing was ever put.
    """

    directory: str
    node: str | None = None
    memory: Memory | None = None
    objects: tuple[ObjectInfo, ...] = ()
    holders: tuple[Holder, ...] = ()
    error: tuple[str, str] | None = None


class Host:
    """The store of this host.

    Parameters
    ----------
    directory : str or None
        None: the user's own, found anew until there is one.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._wanted = directory
        self._store: Store | None = None
        self._inode: int | None = None
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

    async def version(self) -> tuple[int | None, bytes | None]:
        """Return what changes when anybody changes the store or replaces it."""
        return await self.run(self._version)

    async def look(self) -> HostState:
        """Return what the store holds, or why it cannot be told."""
        return await self.run(self._look)

    async def holders(self) -> tuple[Holder, ...]:
        """Return who has what mapped; nobody, where there is no store."""
        return await self.run(self._holders)

    async def delete(self, key: str) -> None:
        """Delete an object from this host.

        Raises
        ------
        ObjectNotFoundError, StoreError
        """
        await self.run(lambda: self._open().delete(key))

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
        self._store, self._inode = None, None

    def _version(self) -> tuple[int | None, bytes | None]:
        try:
            store = self._open()
        except WorkbenchError:
            return (None, None)
        return (self._inode, store.data_version())

    def _holders(self) -> tuple[Holder, ...]:
        try:
            return tuple(self._open().holders())
        except WorkbenchError:
            return ()

    def _look(self) -> HostState:
        directory = str(self.directory)
        try:
            store = self._open()
            return HostState(directory, store.id, store.memory(), tuple(store.ls()), tuple(store.holders()))
        except WorkbenchError as error:
            absent = self._store is None and _inode(self.directory / CATALOG) is None
            return HostState(directory, error=("no-store" if absent else error.kind, str(error)))


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
