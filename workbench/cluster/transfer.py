"""Objects from node to node: the destination's worker pulls ranges over Dask's own comm, straight into a new segment.

Covers one transfer: which ranges, how many at once, from whom, and what happens when a source dies. Whether an object should
travel is ``manager.py``'s, how bytes get into a segment is the store's (``store/raw.py``). Nothing is decoded.

The window bounds the memory that a transfer needs, and is what keeps both ends busy: while one range is written, the next ones are
on their way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

from distributed.protocol.serialize import to_serialize

from workbench.errors import TransferError, WorkbenchError

if TYPE_CHECKING:
    from workbench.objects import ObjectId
    from workbench.store import Import, Store

logger = logging.getLogger("workbench.transfer")

RANGE: Final = 16 << 20
"""Bytes of one range."""
IN_FLIGHT: Final = 4
"""Ranges that are under way at the same time, each over its own connection."""

Ask = Callable[..., Awaitable[Any]]
"""``await ask(address, verb, **arguments)``: the result of a verb of another worker."""


def serve(store: Store, object_id: ObjectId, offset: int, nbytes: int, *, meta: bool) -> dict[str, Any]:
    """Return a range of an object's payload, without a copy; with `meta` also its description, and at most what there is.

    Raises
    ------
    ObjectNotFoundError
    ValueError
        If the range is outside the payload.
    """
    with store.export(object_id) as export:
        if meta:
            nbytes = min(nbytes, export.nbytes - offset)
        # The view keeps the mapping, and so the lease, until Dask has sent it.
        data = export.read(offset, nbytes) if nbytes else memoryview(b"")
        return {"meta": export.meta if meta else None, "data": to_serialize(data)}


class Pull:
    """One transfer to this node.

    Parameters
    ----------
    store : Store
    object_id : ObjectId
    sources : sequence of str
        Addresses of workers that have the object, best first.
    ask : callable
    executor : Executor
        Runs what blocks: reserving, writing and sealing. It has one thread, so writes to one segment never meet.
    progress : callable
        Called with the number of bytes that have arrived.
    """

    def __init__(
        self,
        store: Store,
        object_id: ObjectId,
        sources: Sequence[str],
        ask: Ask,
        executor: Executor,
        progress: Callable[[int], None],
    ) -> None:
        self._store = store
        self._id = object_id
        self._sources = list(dict.fromkeys(sources))
        self._ask = ask
        self._executor = executor
        self._progress = progress
        self._done = 0
        self._failure = "no node has it"

    async def run(self) -> None:
        """Make the replica.

        Raises
        ------
        TransferError
            If no source could send all of it. Nothing of the replica stays; the sources are untouched.
        StoreFullError
            If there is no room here.
        """
        first = await self._read(0, RANGE, meta=True)
        meta = _checked_meta(first["meta"], self._id)
        begun: list[Import] = []
        try:
            await self._block(lambda: begun.append(self._store.import_(meta)))
            await self._fill(begun[0], first["data"])
            await self._block(begun[0].seal)
        finally:
            for importing in begun:
                await self._block(importing.abort)

    async def _fill(self, importing: Import, first: Any) -> None:
        await self._write(importing, 0, first)
        ranges = deque(range(memoryview(first).nbytes, importing.nbytes, RANGE))

        async def pull() -> None:
            while ranges:
                offset = ranges.popleft()
                got = await self._read(offset, min(RANGE, importing.nbytes - offset))
                await self._write(importing, offset, got["data"])

        pulls = [asyncio.create_task(pull()) for _ in range(min(IN_FLIGHT, len(ranges)))]
        try:
            await asyncio.gather(*pulls)
        finally:
            for task in pulls:
                task.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)

    async def _write(self, importing: Import, offset: int, data: Any) -> None:
        if nbytes := memoryview(data).nbytes:
            await self._block(lambda: importing.write(offset, data))
            self._done += nbytes
            self._progress(self._done)

    async def _block(self, work: Callable[[], object]) -> None:
        # Awaited to its end even when cancelled: a segment must not be given up under a write that still runs.
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    async def _read(self, offset: int, nbytes: int, *, meta: bool = False) -> dict[str, Any]:
        while self._sources:
            source = self._sources[0]
            try:
                got: dict[str, Any] = await self._ask(
                    source, "read", target=self._id, offset=offset, nbytes=nbytes, meta=meta
                )
                if not meta and memoryview(got["data"]).nbytes != nbytes:
                    raise TransferError(f"it sent {memoryview(got['data']).nbytes} bytes instead of {nbytes}")
                return got
            except (OSError, WorkbenchError, KeyError, TypeError) as error:
                # Ranges that arrived from it are kept: the next source goes on from there.
                logger.info("Object %s: the source %s failed: %s", self._id, source, error)
                self._failure = f"{source}: {error}"
                if source in self._sources:
                    self._sources.remove(source)
        raise TransferError(
            f"Object {self._id} could not be brought here ({self._failure}). Nothing was kept, and its sources are untouched; "
            "try again."
        )


def _checked_meta(meta: Any, object_id: ObjectId) -> dict[str, Any]:
    if not isinstance(meta, dict) or meta.get("id") != object_id:
        raise TransferError(f"Object {object_id} was asked for, and something else came. Nothing was kept.")
    return {**meta, "sizes": list(meta.get("sizes", ())), "names": []}
