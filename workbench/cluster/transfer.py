"""Objects from node to node: the destination asks several sources for ranges, which go straight into a new segment.

Covers one transfer: from whom, how many ranges at once, and what happens when a source fails. Whether an object should travel is ``manager.py``'s,
which transfers a node has under way ``fetching.py``'s, how bytes come over the network ``lines.py``'s, and how they get into a segment the
store's (``store/raw.py``). Nothing is decoded.

The description of the object and the beginning of its image come as a message; a small object is complete then. For the rest, a few sources are asked
at the same time, each over a line with a thread of its own, or by messages where there are no lines. Each source takes the next range when it has room
in its part of the window, so that the faster one sends more. The window is what is under way: as much as the network holds in one turn must fit in,
or it runs dry.

A source that fails (it is gone, stalls, or sends what does not have its checksum) is replaced by the next one, and ranges that have arrived stay.
When there is none left, the cluster is asked once more who has the object, and then it is a :class:`TransferError`. A process that dies at
any moment leaves what a dying writer leaves: a reservation without a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distributed.protocol.serialize import to_serialize

from workbench import config
from workbench.cluster.lines import Line, Lines, SourceError
from workbench.cluster.ranges import Range, Ranges
from workbench.cluster.threads import in_thread, to_the_end
from workbench.errors import TransferError, WorkbenchError

if TYPE_CHECKING:
    from workbench.objects import ObjectId
    from workbench.store import Import, Store

logger = logging.getLogger("workbench.transfer")

RANGE: Final = 2 << 20
"""Bytes of one range; what a failing source sent of one is sent again. Over a loopback sizes from 1 to 8 MiB take the same time."""
FIRST: Final = 256 << 10
"""Bytes of the image that come with the description."""
_BY_MESSAGE: Final = 4
"""Ranges that are under way from one source where there are no lines."""
_LOOK: Final = 0.02
"""Seconds between two looks whether a thread that has nothing to do any more has ended."""
_NAMED: Final = 3
"""Failed sources that an error names."""

Ask = Callable[..., Awaitable[Any]]
"""``await ask(address, verb, **arguments)``: the result of a verb of another worker."""
More = Callable[[], Awaitable[Sequence[str]]]
"""Asks the cluster for sources, when all that were known have failed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of transfers; see ``workbench.yaml``. `seconds` are what a source may be silent for, `window` is in bytes."""

    window: int
    connections: int
    seconds: float

    @classmethod
    def read(cls) -> Limits:
        """Read the settings.

        Raises
        ------
        ValueError
            One of them makes no sense.
        """
        window = config.get_nbytes("transfer-window") or RANGE
        connections = int(config.get("transfer-connections"))
        seconds = config.get_seconds("transfer-timeout")
        if connections < 1 or not seconds:
            raise ValueError(
                "workbench.transfer-connections must be from 1 on, and workbench.transfer-timeout more than 0 s."
            )
        return cls(max(window, RANGE), connections, seconds)


def checks() -> bool | None:
    """Return whether ranges are to have checksums of their own; None: where they need them."""
    value = config.get("transfer-checksums")
    if value is None or str(value).lower() in ("auto", "null", "none"):
        return None
    return str(value).lower() in ("on", "true", "yes", "1")


def serve(store: Store, object_id: ObjectId, offset: int, nbytes: int, *, meta: bool) -> dict[str, Any]:
    """Return a range of an object's image; with `meta` also its description, and at most what there is.

    Raises
    ------
    ObjectNotFoundError
    ValueError
        If the range is outside the image.
    """
    with store.export(object_id) as export:
        if meta:
            nbytes = min(nbytes, export.image_nbytes - offset)
        pieces = export.image(offset, nbytes)
        # A view keeps the mapping, and so the lease, until Dask has sent it: that is worth it for what is large.
        data = pieces[0] if len(pieces) == 1 and nbytes > FIRST else memoryview(b"".join(pieces))
        return {"meta": export.meta if meta else None, "data": to_serialize(data), "checksum": zlib.crc32(data)}


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
        Runs what blocks: reserving, sealing, giving up.
    progress : callable
        Called with the number of bytes that have arrived, in the event loop.
    linked : Lines, optional
        Lines to sources; without them, ranges come as messages.
    limits : Limits, optional
    cached : bool
        The replica is for readers here, and may be dropped when there is no room.
    names : sequence of str
        What the object is called.
    more : callable, optional
    """

    def __init__(
        self,
        store: Store,
        object_id: ObjectId,
        sources: Sequence[str],
        ask: Ask,
        executor: Executor,
        progress: Callable[[int], None],
        *,
        linked: Lines | None = None,
        limits: Limits | None = None,
        cached: bool = False,
        names: Sequence[str] = (),
        more: More | None = None,
    ) -> None:
        self._store = store
        self._id = object_id
        self._sources = deque(dict.fromkeys(sources))
        self._ask = ask
        self._executor = executor
        self._progress = progress
        self._lines = linked
        self._limits = limits or Limits.read()
        self._cached = cached
        self._names = names
        self._more = more
        self._failed: dict[str, str] = {}
        self._broken: set[str] = set()

    async def run(self) -> None:
        """Make the replica.

        Raises
        ------
        TransferError
            If no source could send all of it. Nothing of the replica stays; the sources are untouched.
        StoreFullError
            If there is no room here.
        """
        first = await self._begin()
        meta = _checked_meta(first["meta"], self._id)
        begun: list[Import] = []
        try:
            await self._block(lambda: begun.append(self._store.import_(meta, cached=self._cached, names=self._names)))
            importing = begun[0]
            if importing.is_needed:
                data = memoryview(first["data"]).cast("B")
                if data.nbytes == importing.image_nbytes:
                    await self._block(lambda: _put(importing, Range(0, data.nbytes), data))
                else:
                    await self._fill(importing)
            await self._block(importing.seal)
            self._progress(importing.image_nbytes)
        finally:
            for importing in begun:
                await self._block(importing.abort)

    async def _begin(self) -> dict[str, Any]:
        """Return the description and the beginning, from the first source that answers; it stays the first."""
        while True:
            while self._sources:
                try:
                    return await self._read(self._sources[0], Range(0, FIRST), meta=True)
                except SourceError as error:
                    self._note(self._sources.popleft(), error)
            await self._look_again()

    async def _look_again(self) -> None:
        """Ask the cluster for sources that have not failed yet.

        Raises
        ------
        TransferError
            There are none.
        """
        if self._more is not None:
            try:
                found = await self._more()
            except (OSError, WorkbenchError) as error:
                logger.info("Object %s: the cluster could not be asked for more sources: %s", self._id, error)
            else:
                for source in dict.fromkeys(found):
                    if source not in self._failed:
                        self._sources.append(source)
                    elif source in self._broken:
                        # It is still there: only the connection was lost, which is no reason to start over elsewhere, or to give up.
                        self._broken.discard(source)
                        self._sources.append(source)
        if not self._sources:
            failures = [f"{source}: {why}" for source, why in list(self._failed.items())[-_NAMED:]]
            raise TransferError(
                f"Object {self._id} could not be brought here ({'; '.join(failures) or 'no node has it'}). "
                "Nothing was kept, and its sources are untouched; try again."
            )

    def _note(self, source: str, error: BaseException) -> None:
        logger.info("Object %s: the source %s failed: %s", self._id, source, error)
        if isinstance(error.__cause__, ConnectionError) and source not in self._failed:
            self._broken.add(source)
        self._failed[source] = str(error)

    # -- filling ---------------------------------------------------------------------------------------------------

    async def _fill(self, importing: Import) -> None:
        ranges = Ranges(importing.image_nbytes, RANGE)
        complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        arrived = _Arrival(ranges, complete, self._progress)
        running: dict[asyncio.Future[None], str] = {}
        try:
            while not ranges.is_complete:
                while self._sources and len(running) < self._limits.connections:
                    source = self._sources.popleft()
                    pulling = asyncio.create_task(self._from(source, importing, ranges, arrived))
                    running[pulling] = source
                if not running:
                    await self._look_again()
                    continue
                await asyncio.wait([*running, complete], return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    self._ended(task, running.pop(task))
        finally:
            ranges.stop()
            for task in running:
                task.cancel()
            await to_the_end(running)
            for task in running:
                if not task.cancelled():
                    task.exception()  # whatever it was, all ranges are there, or an error is on its way already

    def _ended(self, task: asyncio.Future[None], source: str) -> None:
        try:
            task.result()
        except SourceError as error:
            self._note(source, error)

    async def _from(self, source: str, importing: Import, ranges: Ranges, arrived: _Arrival) -> None:
        """Take ranges and bring them from one source, until all are there.

        Raises
        ------
        SourceError
            Others can have its ranges.
        """
        line = await self._lines.get(source) if self._lines is not None else None
        if line is None:
            await self._by_messages(source, importing, ranges, arrived)
            return
        most = max(1, self._limits.window // RANGE // self._limits.connections)
        pulling = in_thread(
            functools.partial(_pull, line, self._id, importing, ranges, arrived, most), "workbench-pull"
        )
        try:
            await asyncio.shield(pulling)
        finally:
            while not pulling.done():
                # All ranges are there, or nobody wants them any more: no new ones are taken, and what is on its way is not waited for.
                ranges.stop()
                if line.waiting:
                    line.shut()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([pulling], timeout=_LOOK)
            pulling.exception()
            self._lines.put_back(line)  # type: ignore[union-attr]  # there is one, so there are lines

    async def _by_messages(self, source: str, importing: Import, ranges: Ranges, arrived: _Arrival) -> None:
        failed = False

        async def take_turns(taker: object) -> None:
            nonlocal failed
            while not ranges.is_over and not failed:
                range_ = ranges.take(taker)
                if range_ is None:
                    await asyncio.sleep(0.01)  # another source may still fail
                    continue
                try:
                    got = await self._read(source, range_)
                except SourceError:
                    failed = True
                    raise
                await self._block(functools.partial(_put, importing, range_, memoryview(got["data"])))
                arrived.note(range_)

        takers = [object() for _ in range(_BY_MESSAGE)]
        turns = [asyncio.create_task(take_turns(taker)) for taker in takers]
        try:
            # All of them, also after one has failed: what a source has sent to the others is not thrown away.
            await asyncio.wait(turns)
            await asyncio.gather(*turns)
        finally:
            for turn in turns:
                turn.cancel()
            await to_the_end(turns)
            for taker in takers:
                ranges.fail(taker)

    async def _read(self, source: str, range_: Range, *, meta: bool = False) -> dict[str, Any]:
        arguments = {"target": self._id, "offset": range_.offset, "nbytes": range_.nbytes, "meta": meta}
        try:
            # Not wait_for, which in Python 3.11 forgets that it was cancelled where the answer comes in the same moment.
            async with asyncio.timeout(self._limits.seconds):
                got: dict[str, Any] = await self._ask(source, "read", **arguments)
            data = memoryview(got["data"])
            if not meta and data.nbytes != range_.nbytes:
                raise SourceError(f"it sent {data.nbytes} bytes instead of {range_.nbytes}")
            if zlib.crc32(data) != got["checksum"]:
                raise SourceError(f"{data.nbytes} bytes that it sent do not have the checksum that it sent")
        except TimeoutError as error:
            raise SourceError(f"it did not answer within {self._limits.seconds:g} s") from error
        except (OSError, WorkbenchError, KeyError, TypeError) as error:
            raise SourceError(str(error)) from error
        return got

    async def _block(self, work: Callable[[], object]) -> None:
        # Awaited to its end even when cancelled: a segment must not be given up under a write that still runs.
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await to_the_end([running])
            raise


class _Arrival:
    """Tells the event loop what has arrived, from any thread."""

    def __init__(self, ranges: Ranges, complete: asyncio.Future[None], progress: Callable[[int], None]) -> None:
        self._loop = complete.get_loop()
        self._ranges = ranges
        self._complete = complete
        self._progress = progress
        self._told = 0

    def note(self, range_: Range) -> None:
        """Note that a range is there."""
        if self._ranges.arrived(range_):
            self._loop.call_soon_threadsafe(self._tell, self._ranges.arrived_nbytes, self._ranges.is_complete)

    def _tell(self, nbytes: int, is_complete: bool) -> None:
        if is_complete and not self._complete.done():
            self._complete.set_result(None)
        elif nbytes > self._told:  # two threads may overtake each other on the way here
            self._told = nbytes
            self._progress(nbytes)


def _put(importing: Import, range_: Range, data: memoryview) -> None:
    with importing.land(*range_) as view:
        view[:] = data.cast("B")


def _pull(line: Line, object_id: ObjectId, importing: Import, ranges: Ranges, arrived: _Arrival, most: int) -> None:
    """Bring ranges over one line until all are there; in a thread of its own."""
    asked: deque[Range] = deque()
    try:
        while True:
            while len(asked) < most:
                range_ = ranges.take(line, wait=0.0 if asked else 1e9)
                if range_ is None:
                    break
                line.ask(object_id, *range_)
                asked.append(range_)
            if not asked:
                return
            with importing.land(*asked[0]) as view:
                line.receive(view)
            arrived.note(asked.popleft())
    finally:
        ranges.fail(line)


def _checked_meta(meta: Any, object_id: ObjectId) -> dict[str, Any]:
    if not isinstance(meta, dict) or meta.get("id") != object_id:
        raise TransferError(f"Object {object_id} was asked for, and something else came. Nothing was kept.")
    return {**meta, "sizes": list(meta.get("sizes", ())), "names": []}
