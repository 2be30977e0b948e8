"""A line: one of Dask's own connections, lent to a thread on either side, which moves ranges of objects over it.

Covers the protocol, opening, asking and receiving. The other end is ``line_server.py``, what is fetched from whom ``transfer.py``'s. Read next: ``line_server.py``.

A line is made as any connection of the cluster is, with its addresses, its certificates and its handshake. Then both event loops let go of the
socket, and two threads use it until it is closed: what arrives goes from the kernel straight into the memory of the segment, an interpreter that is
busy with tasks costs one turn for each range rather than one for each packet, and neither worker's event loop waits for megabytes. Where a cluster's
connections are not TCP (ucx, in one process), or somebody else has the socket, there is no line, and ranges travel as messages.

The one who fetches asks: ``id, offset, nbytes``, several times without waiting. The other one answers in that order: ``kind, nbytes, checksum``, then
the range, or an error as JSON. Nothing else is ever sent, so that who loses count closes the line, and nobody decodes what comes.

A checksum of its own has each range where nothing else protects it better than TCP does: between two hosts without TLS. TLS authenticates every
record; within a host the kernel copies from memory to memory, as each put does.

=====================================  =====================================================================================
what happens                           what follows
=====================================  =====================================================================================
the source dies, or its worker closes  the receiver reads the end of the stream: the ranges it still waits for come from others
the source stalls (stopped, cut off)   no byte for `seconds`: the same
the receiver dies or stalls            the source's thread ends with an error, or after some time without progress; its lease goes
an object is deleted meanwhile         an error is the answer; the line stays good
=====================================  =====================================================================================
"""

from __future__ import annotations

import asyncio
import json
import select
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from distributed.comm.addressing import get_address_host

from workbench.cluster import messages, sockets
from workbench.errors import WorkbenchError
from workbench.objects import ObjectId

if TYPE_CHECKING:
    import socket

    from distributed.comm.core import Comm

OP: Final = "workbench-line"
"""The operation by which a worker is asked for a line."""
REQUEST: Final = struct.Struct("!32sQQ")
"""What the receiver sends: id, offset, nbytes."""
ANSWER: Final = struct.Struct("!BQI")
"""What comes before a range, or before an error: kind, nbytes, checksum."""
RANGE, ERROR = 0, 1
LONGEST_ERROR: Final = 1 << 16
_IDLE: Final = 20.0
"""Seconds for which a line is kept open for the next object: opening one takes several turns of the network."""


class SourceError(Exception):
    """A source failed, not this node: another one may do better."""


class Line:
    """The receiver's end of a line: asks and receives, in one thread at a time.

    Attributes
    ----------
    address : str
        Of the source.
    waiting : int
        Ranges that were asked for and have not come yet.
    """

    def __init__(self, comm: Comm, sock: socket.socket, address: str, *, checks: bool) -> None:
        self.address = address
        self.waiting = 0
        self._comm = comm
        self._sock = sock
        self._checks = checks
        self._shut = False

    def ask(self, object_id: ObjectId, offset: int, nbytes: int) -> None:
        """Ask for a range, without waiting for it.

        Raises
        ------
        SourceError
        """
        try:
            self._sock.sendall(REQUEST.pack(object_id.encode(), offset, nbytes))
        except OSError as error:
            raise SourceError(str(error)) from error
        self.waiting += 1

    def receive(self, view: memoryview) -> None:
        """Receive the range that was asked for first, which is as long as `view`.

        Raises
        ------
        SourceError
            The source does not have it, sent something else, has gone, or stalls. The contents of `view` are undefined then.
        """
        try:
            head = bytearray(ANSWER.size)
            sockets.receive(self._sock, memoryview(head))
            kind, nbytes, checksum = ANSWER.unpack(head)
            if kind == ERROR and nbytes <= LONGEST_ERROR:
                text = bytearray(nbytes)
                sockets.receive(self._sock, memoryview(text))
                self.waiting -= 1
                raise SourceError(str(messages.error_from_wire(json.loads(text))))
            if kind != RANGE or nbytes != view.nbytes:
                raise SourceError(f"it sent {nbytes} bytes instead of {view.nbytes}")
            sockets.receive(self._sock, view)
        except (OSError, ValueError) as error:
            raise SourceError(str(error)) from error
        if self._checks and zlib.crc32(view) != checksum:
            raise SourceError(f"{view.nbytes} bytes that it sent do not have the checksum that it sent")
        self.waiting -= 1

    @property
    def is_clean(self) -> bool:
        """Tell whether it can be used again: nothing is on its way, and the source has not closed it."""
        if self._shut or self.waiting:
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def shut(self) -> None:
        """End what another thread does with it."""
        self._shut = True
        sockets.shut(self._sock)

    def close(self) -> None:
        """Close it; no thread uses it any more."""
        self.shut()
        self._comm.abort()


class Lines:
    """The lines that a node has open to others; one that is not needed any more is kept for a while.

    Parameters
    ----------
    connect : callable
        ``await connect(address)``: a connection of Dask's.
    seconds : float
        See ``workbench.transfer-timeout``.
    checks : bool, optional
        Whether ranges have checksums of their own; None: where nothing else protects them.
    """

    def __init__(self, connect: Callable[[str], Any], seconds: float, *, checks: bool | None = None) -> None:
        self._connect = connect
        self._seconds = seconds
        self._checks = checks
        self._idle: dict[Line, asyncio.TimerHandle] = {}

    async def get(self, address: str) -> Line | None:
        """Return a line to a worker; None if there are none on this kind of connection.

        Raises
        ------
        SourceError
            The worker cannot be reached, does not answer in time, or refuses.
        """
        for line in [line for line in self._idle if line.address == address]:
            self._idle.pop(line).cancel()
            if line.is_clean:
                return line
            line.close()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._open(address)
        except (OSError, TimeoutError, WorkbenchError) as error:
            raise SourceError(str(error) or f"it did not answer within {self._seconds:g} s") from error

    async def _open(self, address: str) -> Line | None:
        comm: Comm = await self._connect(address)
        line = None
        try:
            encrypted = address.startswith("tls:")
            here = get_address_host(comm.local_address) == get_address_host(comm.peer_address)
            checks = not (encrypted or here) if self._checks is None else self._checks
            await comm.write({"op": OP, "version": messages.PROTOCOL, "checks": checks, "reply": True})
            messages.unwrap(await comm.read(), f"The worker at {address}")
            sock = sockets.borrow(comm, self._seconds)
            if sock is not None:
                line = Line(comm, sock, address, checks=checks)
        finally:
            if line is None:
                comm.abort()
        return line

    def put_back(self, line: Line) -> None:
        """Keep a line for the next transfer, if it is still good."""
        if not line.is_clean:
            line.close()
            return
        self._idle[line] = asyncio.get_running_loop().call_later(_IDLE, self._expire, line)

    def _expire(self, line: Line) -> None:
        if self._idle.pop(line, None) is not None:
            line.close()

    def close(self) -> None:
        """Close what is not in use."""
        for line, timer in self._idle.items():
            timer.cancel()
            line.close()
        self._idle.clear()
