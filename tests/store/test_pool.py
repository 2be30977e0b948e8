"""The mappings that a process keeps for writing, when the garbage collector calls a finalizer that uses the store in the middle of anything."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.store.encoding import encoded, same
from workbench.store import Store, pool

MIB = 1 << 20


@pytest.fixture
def untraced() -> Iterator[None]:
    """The trace function of before, whatever it was, is back after the test."""
    before = sys.gettrace()
    yield
    sys.settrace(before)


def lines_of_the_pool(store: Store, action: Any, number: int) -> bool:
    """Put something, and do something else at one line of the pool's code on the way; tell whether there are so many."""
    done = False

    def at(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal number, done
        if Path(frame.f_code.co_filename) != Path(pool.__file__):
            return None
        if event == "line":
            number -= 1
            if number == 0:
                done = True
                sys.settrace(None)
                action()
        return at

    sys.settrace(at)
    try:
        store.put(encoded(2 * MIB, seed=1), "x")
    finally:
        sys.settrace(None)
    return done


@pytest.mark.usefixtures("untraced")
def test_finalizer_that_puts_and_deletes_in_the_middle_of_the_pool(store_directory: Path) -> None:
    """It may use the pool itself: nobody waits for a lock that the same thread has, and both objects are whole."""
    with Store.open(store_directory, capacity=64 * MIB, pool=3 * MIB) as store:

        def finalize() -> None:
            store.put(encoded(2 * MIB, seed=2), "y")
            store.put(encoded(1 * MIB, seed=3), "z")
            store.delete("z")

        def work() -> None:
            for number in range(1, 200):
                store.put(encoded(1 * MIB), "z")
                if not lines_of_the_pool(store, finalize, number):
                    break
                good.append(
                    same(store.read("x"), encoded(2 * MIB, seed=1)) and same(store.read("y"), encoded(2 * MIB, seed=2))
                )
            ended.set()

        good: list[bool] = []
        ended = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        assert ended.wait(60)
        assert len(good) > 10
        assert all(good)
