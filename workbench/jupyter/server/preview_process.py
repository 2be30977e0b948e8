"""The process that decodes objects for previews: ``python -m workbench.jupyter.server.preview_process FD DIRECTORY NBYTES SECONDS``.

Decoding may run code that came with the object, which may loop, take all memory or end the process; so it happens here, with limits that the system
enforces, and not in the server. Covers the limits and the conversation; what a preview is, is in ``preview_tables.py`` and ``preview_pictures.py``.
The object that was shown last is kept for some seconds, for the next page, and then let go: it would count as held by somebody.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import socket
import struct
import sys
import time
from typing import Any, Final

__all__ = ["main"]

_HEAD: Final = struct.Struct("<II")
_LONGEST: Final = 1 << 20
"""Bytes of a question."""
_KEPT: Final = 3.0
"""Seconds that an object is kept after the last question about it."""
_GRACE: Final = 5
"""Seconds of computing beyond the limit, after which the system ends the process; before that the server does."""


class _Gone(Exception):  # noqa: N818  # not an error
    """The server has gone."""


def main(arguments: list[str]) -> None:
    """Answer questions until the server goes."""
    fd, directory, nbytes, seconds = int(arguments[0]), arguments[1], int(arguments[2]), float(arguments[3])
    with contextlib.suppress(OSError):
        os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from workbench.jupyter.server.preview_tables import Shown

    shown = Shown(directory)
    _limit_memory(nbytes)
    with socket.socket(fileno=fd) as line, contextlib.suppress(_Gone, OSError):
        while True:
            question = _next(line, shown)
            _limit_time(seconds)
            answer, picture = _answer(shown, question)
            data = json.dumps(answer).encode()
            line.settimeout(None)
            line.sendall(_HEAD.pack(len(data), len(picture)) + data + picture)


def _answer(shown: Any, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from workbench.errors import WorkbenchError

    try:
        if question["what"] == "hello":
            return {}, b""
        return shown.answer(question)  # type: ignore[no-any-return]
    except MemoryError:
        return {"error": {"kind": "preview-memory", "message": ""}}, b""
    except WorkbenchError as error:
        partitions = list(getattr(error, "partitions", ()))
        return {"error": {"kind": error.kind, "message": str(error), "partitions": partitions}}, b""
    except Exception as error:  # noqa: BLE001  # what comes with an object may raise anything
        message = f"No preview can be made of this object ({type(error).__name__}: {error!s:.500})."
        return {"error": {"kind": "preview", "message": message}}, b""


def _next(line: socket.socket, shown: Any) -> dict[str, Any]:
    """Wait for the next question; let go of the object meanwhile."""
    line.settimeout(_KEPT)
    try:
        head = line.recv(_HEAD.size, socket.MSG_PEEK)
    except TimeoutError:
        shown.let_go()
        gc.collect()
        line.settimeout(None)
        head = line.recv(_HEAD.size, socket.MSG_PEEK)
    if not head:
        raise _Gone
    line.settimeout(None)
    nbytes, _ = _HEAD.unpack(_read(line, _HEAD.size))
    if nbytes > _LONGEST:
        raise _Gone
    question: dict[str, Any] = json.loads(_read(line, nbytes))
    return question


def _read(line: socket.socket, nbytes: int) -> bytes:
    data = b""
    while len(data) < nbytes:
        part = line.recv(nbytes - len(data))
        if not part:
            raise _Gone
        data += part
    return data


def _limit_memory(nbytes: int) -> None:
    """Limit what the process may have for itself; mapped objects, which are shared, do not count (RLIMIT_DATA, since Linux 4.7)."""
    used = 0
    with open("/proc/self/status") as status:  # noqa: PTH123  # no file
        for line in status:
            if line.startswith("VmData:"):
                used = int(line.split()[1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + nbytes, used + nbytes))


def _limit_time(seconds: float) -> None:
    limit = int(time.process_time() + seconds + _GRACE)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


if __name__ == "__main__":
    main(sys.argv[1:])
