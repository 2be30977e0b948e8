"""A line: one of Dask's own connections, lent to a thread on either side, which moves ranges of objects over it.

Covers opening, asking, sending and receiving; what is fetched from whom is ``transfer.py``'s.

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
import contextlib
import json
import logging
import select
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from distributed.comm.addressing import get_address_host
from distributed.comm.core import Comm
from distributed.core import Status
from tornado.iostream import IOStream

from workbench.cluster import messages
from workbench.errors import ClusterError, TransferError, WorkbenchError
from workbench.objects import ObjectId

if TYPE_CHECKING:
    from workbench.store import Export, Store

logger = logging.getLogger("workbench.transfer")

T = TypeVar("T")

OP: Final = "workbench-line"
"""The operation by which a worker is asked for a line."""
_REQUEST: Final = struct.Struct("!32sQQ")
_ANSWER: Final = struct.Struct("!BQI")
_RANGE, _ERROR = 0, 1
_LONGEST_ERROR: Final = 1 << 16
_MOST: Final = 64
"""Lines that one worker serves at the same time; each has a thread, which mostly waits."""
_PATIENCE: Final = 6
"""A source waits for a receiver that takes nothing, or asks for nothing, so many times as long as the receiver would for it."""
_IDLE: Final = 20.0
"""Seconds for which a line is kept open for the next object: opening one takes several turns of the network."""
_SMALL: Final = 16 << 10
"""Bytes; what is smaller is brought together before it is sent."""
_MOST_PIECES: Final = 1000
"""Below IOV_MAX (1024)."""


_CALL: Final = 1 << 20
"""Most bytes that one system call sends. A call holds the socket while it waits for room, and the receiver's acknowledgements wait with it: over a loopback
1 GiB at 4.2 GiB/s in calls of 1 MiB, 3.6 in calls of 2, 2.3 in one call."""


class SourceError(Exception):
    """A source failed, not this node: another one may do better."""


# -- both sides --------------------------------------------------------------------------------------------------------


def _borrow(comm: Comm, seconds: float) -> socket.socket | None:
    """Take the socket of a connection from the event loop; None if it is not that kind of connection.

    The connection must be kept, and be closed (:meth:`Comm.abort`) when no thread uses the socket any more.
    """
    stream = getattr(comm, "stream", None)
    if not isinstance(stream, IOStream) or stream.socket is None or stream.reading() or stream.writing():
        return None
    sock: socket.socket = stream.socket
    stream.io_loop.remove_handler(sock)
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(seconds)
    else:
        # A system call that waits by itself moves a whole range; with a timeout of Python's, each packet would take a turn of the interpreter.
        sock.setblocking(True)  # its only parameter
        limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, limit)
    return sock


def _receive(sock: socket.socket, view: memoryview) -> None:
    """Fill memory from a socket.

    Raises
    ------
    OSError
        The other side has gone, or nothing came for as long as the socket waits.
    """
    flags = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_WAITALL
    got = 0
    while got < view.nbytes:
        try:
            with view[got:] as rest:
                step = sock.recv_into(rest, 0, flags) if flags else sock.recv_into(rest)
        except (BlockingIOError, TimeoutError):
            raise TimeoutError("nothing came for too long") from None
        if not step:
            raise ConnectionError("it has closed the connection")
        got += step


def _send(sock: socket.socket, pieces: Iterable[memoryview]) -> None:
    queue = _together(pieces)
    try:
        if isinstance(sock, ssl.SSLSocket):
            for piece in queue:
                sock.sendall(piece)
            return
        while queue:
            sent = sock.sendmsg(_next(queue))
            while queue and sent >= queue[0].nbytes:
                sent -= queue.pop(0).nbytes
            if sent:
                queue[0] = queue[0][sent:]
    except (BlockingIOError, TimeoutError):
        raise TimeoutError("nothing was taken for too long") from None


def _next(queue: list[memoryview]) -> list[memoryview]:
    """Return what one system call sends of a queue."""
    chosen: list[memoryview] = []
    room = _CALL
    for piece in queue[:_MOST_PIECES]:
        chosen.append(piece[:room])
        room -= chosen[-1].nbytes
        if not room:
            break
    return chosen


def _together(pieces: Iterable[memoryview]) -> list[memoryview]:
    """Join small pieces that follow each other; large ones stay where they are."""
    queue: list[memoryview] = []
    small: list[memoryview] = []
    for piece in pieces:
        if piece.nbytes < _SMALL:
            small.append(piece)
            continue
        if small:
            queue.append(memoryview(b"".join(small)))
            small = []
        queue.append(piece)
    if small:
        queue.append(memoryview(b"".join(small)))
    return [piece for piece in queue if piece.nbytes]


def shut(sock: socket.socket) -> None:
    """Wake whoever waits in another thread for this socket, with the end of the stream."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of TLS, too: its own would wait for the other side


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run what blocks in a thread of its own; await the future to its end, for cancelling it does not end the thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(answer: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            answer(value)

    def run() -> None:
        answer: tuple[Callable[[Any], None], Any]
        try:
            answer = future.set_result, work()
        except BaseException as error:  # noqa: BLE001  # whoever awaits it hears of it
            answer = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended first
            loop.call_soon_threadsafe(tell, *answer)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


async def to_the_end(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all have ended, however often somebody cancels that."""
    waiting = [future for future in futures if not future.done()]
    cancelled = False
    while waiting:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError:
            cancelled = True
        waiting = [future for future in waiting if not future.done()]
    if cancelled:
        raise asyncio.CancelledError


# -- the source --------------------------------------------------------------------------------------------------------


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
        sock = _borrow(comm, self._seconds)
        if sock is not None:
            serving = in_thread(lambda: self._serve(sock, checks=bool(checks)), "workbench-serve")
            self._open[serving] = sock
            try:
                await asyncio.wait([serving])
            except asyncio.CancelledError:
                shut(sock)  # the worker ends: its thread must not wait for the receiver
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
            shut(sock)
        await to_the_end(self._open)

    def _serve(self, sock: socket.socket, *, checks: bool) -> None:
        request = memoryview(bytearray(_REQUEST.size))
        more = select.poll()
        more.register(sock, select.POLLIN)
        lent = _Lent(self._store)
        try:
            while True:
                if not more.poll(0):
                    lent.close()  # a receiver that asks for nothing keeps nothing
                _receive(sock, request)
                self._answer(sock, lent, *_REQUEST.unpack(request), checks=checks)
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
            text = json.dumps(messages.error_to_wire(error)).encode()[:_LONGEST_ERROR]
            _send(sock, [memoryview(_ANSWER.pack(_ERROR, len(text), 0)), memoryview(text)])
            return
        checksum = 0
        for piece in pieces if checks else ():
            checksum = zlib.crc32(piece, checksum)
        _send(sock, [memoryview(_ANSWER.pack(_RANGE, nbytes, checksum)), *pieces])


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


# -- the receiver ------------------------------------------------------------------------------------------------------


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
            self._sock.sendall(_REQUEST.pack(object_id.encode(), offset, nbytes))
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
            head = bytearray(_ANSWER.size)
            _receive(self._sock, memoryview(head))
            kind, nbytes, checksum = _ANSWER.unpack(head)
            if kind == _ERROR and nbytes <= _LONGEST_ERROR:
                text = bytearray(nbytes)
                _receive(self._sock, memoryview(text))
                self.waiting -= 1
                raise SourceError(str(messages.error_from_wire(json.loads(text))))
            if kind != _RANGE or nbytes != view.nbytes:
                raise SourceError(f"it sent {nbytes} bytes instead of {view.nbytes}")
            _receive(self._sock, view)
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
        shut(self._sock)

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
            sock = _borrow(comm, self._seconds)
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
