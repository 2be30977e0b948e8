"""Between threads and event loops: work that blocks, which a loop begins and awaits, and calls of a loop, which a thread waits for.

An error that is kept where its own traceback leads to is a reference cycle. It holds the locals of every function that was running, callers included, until
Python's garbage collector comes by, which in an idle process is never; a DataFrame among them stays mapped, and its memory taken. So nothing here, nor
elsewhere in the workbench, keeps a reference to an error in a frame that the error has passed through.

Covers starting, calling and waiting for the end; what a thread does with a connection is ``lines.py``'s and ``line_server.py``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from distributed import utils
from tornado.ioloop import IOLoop

T = TypeVar("T")


def sync(loop: IOLoop, call: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Run a coroutine in a loop of another thread and wait for it: :func:`distributed.utils.sync`, which keeps an error in a cycle when it raises one."""

    async def outcome() -> tuple[T, None] | tuple[None, Exception]:
        try:
            return await call(*args, **kwargs), None
        except Exception as error:  # noqa: BLE001  # it is raised below
            return None, error

    answer = utils.sync(loop, outcome)
    if answer[1] is None:
        return answer[0]
    try:
        raise answer[1]
    finally:
        del answer


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run what blocks in a thread of its own; await the future to its end, for cancelling it does not end the thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    threading.Thread(target=_run, args=(work, future), name=name, daemon=True).start()
    return future


def _run(work: Callable[[], T], future: asyncio.Future[T]) -> None:
    tell = functools.partial(_tell, future)
    try:
        tell = functools.partial(tell, future.set_result, work())
    except BaseException as error:  # noqa: BLE001  # whoever awaits it hears of it
        tell = functools.partial(tell, future.set_exception, error)
    with contextlib.suppress(RuntimeError):  # the loop has ended first
        future.get_loop().call_soon_threadsafe(tell)
    del tell, future


def _tell(future: asyncio.Future[T], answer: Callable[[Any], None], value: Any) -> None:
    if not future.done():
        answer(value)


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
