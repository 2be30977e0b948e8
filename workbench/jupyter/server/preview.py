"""Previews, as the server sees them: asked of a process that decodes, which is ended when it takes too long.

Covers that process's life: started when somebody wants a preview, kept for a while, killed when an answer takes too long, never trusted: what it
answers is checked before it is passed on. The server itself decodes nothing. What the process does is in ``preview_process.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from workbench.errors import CodecError, ObjectNotFoundError, StoreError, WorkbenchError
from workbench.jupyter.server.problems import (
    ElsewhereError,
    NotPossibleError,
    PreviewError,
    PreviewMemoryError,
    PreviewTimeoutError,
)
from workbench.jupyter.server.whereabouts import Whereabouts
from workbench.objects import ObjectId

__all__ = ["Previews"]

_HEAD: Final = struct.Struct("<II")
"""Bytes of JSON, and bytes of a picture, that follow."""
_MOST_NBYTES: Final = 32 << 20
"""Of one answer."""
_MOST_WAITING: Final = 16
_STARTING: Final = 30.0
"""Seconds that a new process has to import pandas and Arrow."""
_SECRET: Final = ("TOKEN", "PASSWORD", "SECRET", "COOKIE")
"""Environment variables with these in their names are not for code that comes with an object."""
_ERRORS: Final[dict[str, type[WorkbenchError]]] = {
    error.kind: error
    for error in (
        *(CodecError, ObjectNotFoundError, StoreError),
        *(NotPossibleError, ElsewhereError, PreviewMemoryError, PreviewError),
    )
}

Range = tuple[int, int]


class Previews:
    """Makes previews of objects of this host.

    Parameters
    ----------
    directory : callable
        Returns the store's directory.
    require : callable
        ``await require(id)``: raises an error if this host does not have the object.
    locate : callable
        ``await locate(id)``: returns where the partitions of a dataset are; None of anything else.
    seconds : float
        That one preview may take.
    nbytes : int
        Memory that the process may use beyond what is shared.
    idle : float
        Seconds after which a process that nobody needs ends.
    """

    def __init__(
        self,
        directory: Callable[[], Path],
        require: Callable[[ObjectId], Awaitable[None]],
        locate: Callable[[ObjectId], Awaitable[Whereabouts | None]],
        *,
        seconds: float,
        nbytes: int,
        idle: float = 60.0,
    ) -> None:
        self._directory = directory
        self._require = require
        self._locate = locate
        self._seconds = seconds
        self._nbytes = nbytes
        self._idle = idle
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._place: Path | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._last = 0.0
        self._reaper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one."""
        return None if self._process is None else self._process.pid

    async def table(self, object_id: ObjectId, rows: Range, columns: Range) -> dict[str, Any]:
        """Return some rows and columns as text.

        Raises
        ------
        ObjectNotFoundError
        ElsewhereError
            The object, of a dataset a partition that has these rows, is not on this host, and can be brought here.
        OutOfReachError
            It cannot: no running node has it.
        PreviewError
            It took too long or too much memory, or its decoding ended the process.
        """
        answer = (await self._ask(object_id, {"what": "table", "rows": rows, "columns": columns}))[0]
        if answer.pop("absent", None) and (where := await self._locate(object_id)) is not None:
            answer["text"] = where.note()
            if where.elsewhere:
                answer["elsewhere"] = where.elsewhere_nbytes
        return answer

    async def summary(self, object_id: ObjectId, columns: Range) -> dict[str, Any]:
        """Return what is in each column; errors are those of :meth:`table`."""
        return (await self._ask(object_id, {"what": "summary", "columns": columns}))[0]

    async def image(self, object_id: ObjectId) -> bytes:
        """Return a picture (PNG) of an array that is one; errors are those of :meth:`table`."""
        return (await self._ask(object_id, {"what": "image"}))[1]

    async def close(self) -> None:
        """End the process."""
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
            self._reaper = None
        await self._end()

    # -- the process -----------------------------------------------------------------------------------------------

    async def _ask(self, object_id: ObjectId, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        try:
            return await self._ask_here(object_id, question)
        except ElsewhereError as error:
            where = await self._locate(object_id)
            # Without the manifest it is not known which rows are in which partition, but that the first ones are in the first.
            first = [0] if question.get("rows", (0,))[0] == 0 else []
            needed = [number for number in error.partitions or first if where is None or number not in where.here]
            if where is None or not needed:
                raise
            raise where.error(needed, rows=bool(error.partitions)) from None

    async def _ask_here(self, object_id: ObjectId, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        await self._require(object_id)
        if self._waiting >= _MOST_WAITING:
            raise PreviewError("Too many previews are waiting. Ask again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:
                await self._start()
                return await self._answer({**question, "id": object_id})
        finally:
            self._waiting -= 1
            self._last = time.monotonic()

    async def _answer(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        try:
            answer, picture = await asyncio.wait_for(self._exchange(question), self._seconds)
        except TimeoutError:
            await self._end()
            raise PreviewTimeoutError(
                f"The preview took more than {self._seconds:g} s, and was stopped. Look at a part of the object in a notebook instead."
            ) from None
        except (OSError, EOFError, ValueError) as error:
            status = await self._end()
            raise _why_dead(status, error) from None
        except BaseException:
            # Somebody gave up in the middle: what comes next would be the answer to another question.
            await self._end()
            raise
        if "error" in answer:
            kind, message = str(answer["error"].get("kind")), str(answer["error"].get("message"))[:2000]
            if kind == PreviewMemoryError.kind:
                await self._end()
                message = (
                    f"The preview needs more memory than the {self._nbytes >> 20} MiB that it may use beyond what is shared. "
                    "Look at a part of the object in a notebook instead."
                )
            if kind == ElsewhereError.kind:
                raise ElsewhereError(message, _numbers(answer["error"].get("partitions")))
            raise _ERRORS.get(kind, PreviewError)(message)
        return answer, picture

    async def _exchange(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        data = json.dumps(question).encode()
        self._writer.write(_HEAD.pack(len(data), 0) + data)
        await self._writer.drain()
        text, picture = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
        if text + picture > _MOST_NBYTES:
            raise ValueError("the answer is too long")
        answer = json.loads(await self._reader.readexactly(text))
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")  # noqa: TRY004  # it is what was said that is wrong
        return answer, await self._reader.readexactly(picture)

    async def _start(self) -> None:
        place = self._directory()
        if self._process is not None and (self._process.returncode is not None or place != self._place):
            await self._end()
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {key: value for key, value in os.environ.items() if not any(word in key for word in _SECRET)}
            # One thread each: a preview shall not take the cores that the notebooks compute on. Pools that reserve memory would count as used.
            environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"), "1")
            environment |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "workbench.jupyter.server.preview_process",
                str(theirs.fileno()),
                str(place),
                str(self._nbytes),
                str(self._seconds),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment,
            )
        self._place = place
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_MOST_NBYTES)
        try:
            await asyncio.wait_for(self._exchange({"what": "hello"}), _STARTING)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            status = await self._end()
            raise _why_dead(status, error) from None
        if self._reaper is None:
            self._reaper = asyncio.create_task(self._reap(), name="workbench-previews")

    async def _end(self) -> int | None:
        """Kill the process; return how it ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if process.returncode is None:
            # It may be about to end by itself, which tells why.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.2)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return await process.wait()

    async def _reap(self) -> None:
        """End the process when nobody has needed it for a while."""
        while True:
            await asyncio.sleep(self._idle / 4)
            if not self._waiting and self._process is not None and time.monotonic() - self._last > self._idle:
                async with self._turn:
                    await self._end()


def _numbers(value: Any) -> list[int]:
    return [number for number in value if type(number) is int and number >= 0] if isinstance(value, list) else []


def _why_dead(status: int | None, error: BaseException) -> PreviewError:
    if status is not None and status < 0:
        return PreviewError(f"Decoding the object ended the process that makes previews (signal {-status}).")
    return PreviewError(f"The process that makes previews failed ({type(error).__name__}).")
