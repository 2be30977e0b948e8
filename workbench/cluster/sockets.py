"""A socket of Dask's, used by a thread: taken from its event loop, filled from and emptied into memory, without a copy and without a limit on its speed.

Covers bytes only; what they mean is ``lines.py``'s.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import Final

from distributed.comm.core import Comm
from tornado.iostream import IOStream

_SMALL: Final = 16 << 10
"""Bytes; what is smaller is brought together before it is sent."""
_MOST_PIECES: Final = 1000
"""Below IOV_MAX (1024)."""
_CALL: Final = 1 << 20
"""Most bytes that one system call sends. A call holds the socket while it waits for room, and the receiver's acknowledgements wait with it: over a loopback
1 GiB at 4.2 GiB/s in calls of 1 MiB, 3.6 in calls of 2, 2.3 in one call."""


def borrow(comm: Comm, seconds: float) -> socket.socket | None:
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


def receive(sock: socket.socket, view: memoryview) -> None:
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


def send(sock: socket.socket, pieces: Iterable[memoryview]) -> None:
    """Send pieces of memory, one after the other.

    Raises
    ------
    OSError
        The other side has gone, or took nothing for as long as the socket waits.
    """
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
