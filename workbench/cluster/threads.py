"""Threads for what blocks: work that an event loop begins and awaits, and that nobody's impatience leaves behind.

Covers starting one and waiting for its end; what it does with a connection is ``lines.py``'s and ``line_server.py``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


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
