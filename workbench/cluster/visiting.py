"""Objects to and from a kernel whose store is no node of the cluster: a host without a worker.

A put sends the encoded object, range by range, to a worker, which writes it into its own store as it would a replica; a get pulls the ranges into the
kernel's own store, as a node does, or, where that is full, into private memory. Nothing is decoded on the way. Both ends are here: ``send`` runs in
the kernel, ``receive`` in the worker, over one connection for each object:

    kernel: description and name · worker: ready · kernel: ranges, some ahead of their acknowledgement · kernel: seal · worker: done

An object becomes visible, under its name, in the one step of the seal. If the kernel dies before, or gives up, the connection ends and the worker gives up
what it had begun; if the worker dies, its store gives that back when it is opened next. Covers the way only; which node takes an object is
``actions.py``'s. Read next: ``transfer.py``, ``store/raw.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from distributed.core import Status
from distributed.protocol.serialize import to_serialize

from workbench.cluster import messages
from workbench.errors import ClusterError, TransferError, WorkbenchError
from workbench.objects import ObjectId
from workbench.store import Record, segments

if TYPE_CHECKING:
    from distributed.comm.core import Comm

    from workbench.store import Import, Store

OP: Final = "workbench-receive"
"""The operation of a worker that takes an object."""
_RANGE: Final = 16 << 20
"""Bytes of one range."""
_AHEAD: Final = 2
"""Ranges that are sent before the first of them is acknowledged: while one is written, the next is on its way."""


def ranges(buffers: Sequence[memoryview]) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield the payload with its offsets: large buffers in pieces, without a copy; small ones together."""
    offset, waiting, nbytes = 0, list[memoryview](), 0
    for buffer in buffers:
        for start in range(0, buffer.nbytes, _RANGE):
            piece = buffer[start : start + _RANGE]
            if waiting and nbytes + piece.nbytes > _RANGE:
                yield offset, waiting[0] if len(waiting) == 1 else b"".join(waiting)
                offset, waiting, nbytes = offset + nbytes, [], 0
            waiting.append(piece)
            nbytes += piece.nbytes
    if waiting:
        yield offset, waiting[0] if len(waiting) == 1 else b"".join(waiting)


async def send(
    pool: Any, address: str, meta: Mapping[str, Any], name: str | None, buffers: Sequence[memoryview]
) -> None:
    """Send an object to a worker; when this returns it is sealed, and the scheduler knows it.

    Parameters
    ----------
    pool : distributed.core.ConnectionPool
    address : str
        Of the worker.
    meta : mapping
        As of :attr:`Export.meta <workbench.store.raw.Export>`.
    name : str, optional
    buffers : sequence of memoryview

    Raises
    ------
    StoreFullError
        The node has no room. Nothing of the object is there.
    TransferError
        The worker cannot be reached, or has gone. The object is not there, unless it had been sealed.
    """
    what = f"The worker at {address}"
    try:
        comm = await pool.connect(address)
    except (OSError, TimeoutError) as error:
        raise TransferError(f"{what} cannot be reached from here ({error}). Nothing was put.") from error
    whole = False
    try:
        await comm.write({"op": OP, "meta": dict(meta), "name": name, "version": messages.PROTOCOL})
        messages.unwrap(await comm.read(), what)
        ahead = 0
        for offset, data in ranges(buffers):
            await comm.write({"offset": offset, "data": to_serialize(memoryview(data))})
            ahead += 1
            if ahead > _AHEAD:
                messages.unwrap(await comm.read(), what)
                ahead -= 1
        for _ in range(ahead):
            messages.unwrap(await comm.read(), what)
        await comm.write({"seal": True})
        messages.unwrap(await comm.read(), what)
        whole = True
    except OSError as error:
        if isinstance(error, WorkbenchError):
            raise
        raise TransferError(f"{what} was lost while an object was sent there ({error}). Put it again.") from error
    finally:
        if not whole:
            comm.abort()
        pool.reuse(address, comm)


async def receive(
    store: Store, executor: Executor, announce: Callable[[], Any], comm: Comm, meta: Any, name: Any, version: Any
) -> dict[str, Any] | Status:
    """Take an object from a kernel that has no node of its own; called for a message with :data:`OP`.

    Parameters
    ----------
    store : Store
    executor : Executor
        Runs what blocks, one after the other.
    announce : callable
        Awaited before the kernel hears that all is done.
    comm : Comm
        The rest of the conversation.
    meta, name, version
        What the first message said.
    """
    begun: list[Import] = []
    try:
        if version != messages.PROTOCOL:
            raise ClusterError(
                f"This node speaks version {messages.PROTOCOL} of the workbench's protocol, not {version!r:.20}."
            )
        if name is not None and not isinstance(name, str):
            raise messages.damaged(TypeError(f"{type(name).__name__} instead of a name"))
        # The age of an object decides about names, and the kernel's clock may be wrong.
        checked = {**meta, "id": messages.object_id(meta["id"]), "created": time.time()}
        await _block(executor, lambda: begun.append(store.import_(checked)))
        importing = begun[0]
        await comm.write({"result": "ready"})
        while "seal" not in (said := await comm.read()):
            offset, data = int(said["offset"]), said["data"]
            await _block(executor, partial(importing.write, offset, data))
            await comm.write({"result": offset})
        await _block(executor, lambda: importing.seal(name))
        await announce()
    except (WorkbenchError, KeyError, TypeError, ValueError) as error:
        await comm.write({"error": messages.error_to_wire(error)})
        await comm.close()  # ranges may be on their way that nobody wants
        return Status.dont_reply
    finally:
        for importing in begun:
            await _block(executor, importing.abort)
    return {"result": "done"}


async def _block(executor: Executor, work: Callable[[], object]) -> None:
    # Awaited to its end even when cancelled: a segment must not be given up under a write that still runs.
    running = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class PrivateMemory:
    """Where an object lands that no store here has room for: memory of this process alone. For :class:`~workbench.cluster.transfer.Pull` it is a store."""

    def __init__(self) -> None:
        self._arriving: _Arriving | None = None

    def import_(self, meta: dict[str, Any], *, cached: bool = False, names: Sequence[str] = ()) -> _Arriving:  # noqa: ARG002  # as a store's
        """Begin to take an object."""
        self._arriving = _Arriving(meta)
        return self._arriving

    @property
    def record(self) -> Record:
        """The object, when it is complete."""
        assert self._arriving is not None
        return self._arriving.record()


class _Arriving:
    is_needed = True

    def __init__(self, meta: dict[str, Any]) -> None:
        self._meta = meta
        self._sizes = [int(size) for size in meta["sizes"]]
        self._offsets, self.image_nbytes = segments.layout(self._sizes)
        self._memory = memoryview(bytearray(self.image_nbytes))

    @contextlib.contextmanager
    def land(self, offset: int, nbytes: int) -> Iterator[memoryview]:
        yield self._memory[offset : offset + nbytes]

    def seal(self) -> None:
        """Nothing is left to be done."""

    def abort(self) -> None:
        """Nothing is to be given back."""

    def record(self) -> Record:
        whole = self._memory.toreadonly()
        buffers = [whole[at : at + size] for at, size in zip(self._offsets, self._sizes, strict=True)]
        return Record(ObjectId(self._meta["id"]), bytes(self._meta["header"]), tuple(buffers))
