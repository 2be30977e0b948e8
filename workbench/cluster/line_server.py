"""The source's end of lines: other nodes ask for ranges of objects, and a thread for each line sends them from where they lie.

Covers serving; what is said over a line, and when it ends, is in ``lines.py``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import select
import socket
import zlib
from typing import TYPE_CHECKING, Any, Final

from distributed.core import Status
from tornado.iostream import IOStream

from workbench.cluster import messages, sockets
from workbench.cluster.lines import ANSWER, ERROR, LONGEST_ERROR, RANGE, REQUEST
from workbench.cluster.threads import in_thread, to_the_end
from workbench.errors import ClusterError, TransferError, WorkbenchError

if TYPE_CHECKING:
    from distributed.comm.core import Comm

    from workbench.store import Export, Store

logger = logging.getLogger("workbench.transfer")

_MOST: Final = 64
"""Lines that one worker serves at the same time; each has a thread, which mostly waits."""
_PATIENCE: Final = 6
"""A source waits for a receiver that takes nothing, or asks for nothing, so many times as long as the receiver would for it."""


class Server:
    """Serves lines to other nodes.

    Parameters
    ----------
    store : Store
    seconds : float
        What a receiver waits for a byte; see ``workbench.transfer-timeout``.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds * _PATIENCE
        self._open: dict[asyncio.Future[None], socket.socket] = {}

    async def handle(self, comm: Comm, version: Any = None, checks: Any = False) -> Status:
        """Serve one line until it is closed; a handler of Dask's."""
        try:
            if version != messages.PROTOCOL:
                raise ClusterError(f"This node speaks version {messages.PROTOCOL} of the workbench's protocol.")
            if len(self._open) >= _MOST:
                raise TransferError(f"it is busy with {_MOST} other transfers")
        except WorkbenchError as error:
            await comm.write({"error": messages.error_to_wire(error)})
            return Status.dont_reply
        await comm.write({"result": True})
        stream = getattr(comm, "stream", None)
        if isinstance(stream, IOStream) and stream.writing():
            await stream.write(b"")  # until the answer is on its way
        sock = sockets.borrow(comm, self._seconds)
        if sock is not None:
            serving = in_thread(lambda: self._serve(sock, checks=bool(checks)), "workbench-serve")
            self._open[serving] = sock
            try:
                await asyncio.wait([serving])
            except asyncio.CancelledError:
                sockets.shut(sock)  # the worker ends: its thread must not wait for the receiver
                await to_the_end([serving])
                raise
            finally:
                del self._open[serving]
                failure = None if serving.cancelled() else serving.exception()
                if failure is not None:
                    logger.error("A line to %s ended with an error", comm.peer_address, exc_info=failure)
        comm.abort()
        return Status.dont_reply

    async def close(self) -> None:
        """Close all lines."""
        for sock in self._open.values():
            sockets.shut(sock)
        await to_the_end(self._open)

    def _serve(self, sock: socket.socket, *, checks: bool) -> None:
        request = memoryview(bytearray(REQUEST.size))
        more = select.poll()
        more.register(sock, select.POLLIN)
        lent = _Lent(self._store)
        try:
            while True:
                if not more.poll(0):
                    lent.close()  # a receiver that asks for nothing keeps nothing
                sockets.receive(sock, request)
                self._answer(sock, lent, *REQUEST.unpack(request), checks=checks)
        except OSError as error:
            logger.debug("A line ended: %s", error)  # the receiver has gone, or has had enough
        finally:
            lent.close()

    def _answer(
        self, sock: socket.socket, lent: _Lent, target: bytes, offset: int, nbytes: int, *, checks: bool
    ) -> None:
        try:
            pieces = lent.get(target).image(offset, nbytes)
        except (OSError, WorkbenchError, ValueError) as error:
            text = json.dumps(messages.error_to_wire(error)).encode()[:LONGEST_ERROR]
            sockets.send(sock, [memoryview(ANSWER.pack(ERROR, len(text), 0)), memoryview(text)])
            return
        checksum = 0
        for piece in pieces if checks else ():
            checksum = zlib.crc32(piece, checksum)
        sockets.send(sock, [memoryview(ANSWER.pack(RANGE, nbytes, checksum)), *pieces])


class _Lent:
    """The object that a line sends from: its lease is kept from one range to the next, and until all of it is with the kernel, which has copied it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._target = b""
        self._export: Export | None = None

    def get(self, target: bytes) -> Export:
        """Return the object that is asked for, and let go of the one before.

        Raises
        ------
        ObjectNotFoundError
        """
        if self._export is None or target != self._target:
            self.close()
            self._export = self._store.export(messages.object_id(target.decode()))
            self._target = target
        return self._export

    def close(self) -> None:
        """Let go of it."""
        if self._export is not None:
            self._export.close()
            self._export = None
