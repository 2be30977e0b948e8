"""Between threads and event loops: whatever an error has passed through is free as soon as the error is."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from tornado.ioloop import IOLoop

from tests.processes import no_collector
from workbench.cluster.threads import in_thread, sync


class _Memory:
    """What a caller has in hand."""


@pytest.fixture
def loop() -> Iterator[IOLoop]:
    """An event loop that runs in another thread."""
    started: list[IOLoop] = []
    ready = threading.Event()

    async def begin() -> None:
        started.append(IOLoop.current())
        ready.set()
        await end.wait()

    end = asyncio.Event()
    thread = threading.Thread(target=lambda: asyncio.run(begin()))
    thread.start()
    ready.wait()
    yield started[0]
    started[0].add_callback(end.set)
    thread.join()


async def _fails() -> None:
    raise OSError("no")


async def _fails_in_thread() -> None:
    def work() -> None:
        raise OSError("no")

    await in_thread(work, "failing")


def test_an_answer_comes_back(loop: IOLoop) -> None:
    """With its arguments, and what it raises with the traceback of where it was raised."""

    async def add(one: int, *, other: int) -> int:
        return one + other

    assert sync(loop, add, 1, other=2) == 3
    with pytest.raises(OSError, match="no") as caught:
        sync(loop, _fails)
    assert caught.traceback[-1].name == "_fails"


@pytest.mark.parametrize("call", [_fails, _fails_in_thread])
def test_an_error_keeps_nothing_that_its_callers_had(loop: IOLoop, call: object) -> None:
    """Not even until Python's garbage collector comes, which in an idle process is never."""

    def caller(ask: partial[None]) -> weakref.ref[_Memory]:
        memory = _Memory()
        with contextlib.suppress(OSError):
            ask()
        return weakref.ref(memory)

    with no_collector():
        kept = caller(partial(sync, loop, call))  # type: ignore[arg-type]  # one of two coroutine functions
        deadline = time.monotonic() + 10  # the thread has told before it ends
        while kept() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert kept() is None
