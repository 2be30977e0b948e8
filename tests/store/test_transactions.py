"""Ctrl-C at each step of a transaction: afterwards the other threads of the process can write, and those of other processes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.store.encoding import encoded
from workbench.errors import ObjectNotFoundError
from workbench.objects import Key, ObjectId, Ref
from workbench.store import Store, transactions


@pytest.fixture
def untraced() -> Iterator[None]:
    """The trace function of before, whatever it was, is back after the test."""
    before = sys.gettrace()
    yield
    sys.settrace(before)


class Interrupt:
    """Raises KeyboardInterrupt when some function of the module is called: one of the places where Python looks for signals."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_raised = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """As a trace function."""
        if event == "call" and Path(frame.f_code.co_filename) == Path(transactions.__file__):
            self.number -= 1
            if self.number == 0:
                self.is_raised = True
                raise KeyboardInterrupt


class Lock:
    """A lock after whose acquisition Ctrl-C comes, which is another such place; the one that a ``with`` statement takes is not."""

    def __init__(self, lock: Any, number: int) -> None:
        self._lock = lock
        self._number = number
        self.release = lock.release

    def acquire(self, *, blocking: bool = True) -> bool:
        """As a lock's."""
        taken: bool = self._lock.acquire(blocking)
        self._number -= 1
        if self._number == 0:
            raise KeyboardInterrupt
        return taken

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def others_can_write(store: Store) -> bool:
    """Whether another thread can put something, when this one has settled."""
    store.settle()
    thread = threading.Thread(target=store.put, args=(encoded(100), "other"), daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


@pytest.mark.usefixtures("untraced")
def test_other_threads_write_after_ctrl_c_in_any_function(store: Store) -> None:
    """Wherever in a transaction Ctrl-C comes, its lock does not stay taken."""
    number = 0
    while True:
        number += 1
        interrupt = Interrupt(number)
        sys.settrace(interrupt)
        try:
            store.put(encoded(100), "x")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if not interrupt.is_raised:
            break
        assert others_can_write(store), f"after call {number}"
    assert number > 5


@pytest.mark.parametrize("number", [1, 2])
def test_other_threads_write_after_ctrl_c_behind_the_lock(store: Store, number: int) -> None:
    """When Ctrl-C comes right after a transaction has taken its lock, that does not stay taken."""
    parts = store.catalog._transactions
    lock = parts.lock
    parts.lock = Lock(lock, number)  # type: ignore[assignment]
    try:
        store.put(encoded(100), "x")
    except KeyboardInterrupt:
        pass
    finally:
        parts.lock = lock
    assert others_can_write(store)


def waits_for_a_reader(store: Store, action: Any) -> bool:
    """Whether something waits for a thread that is in the middle of reading."""
    reading, enough = threading.Event(), threading.Event()

    def read() -> None:
        with store.catalog._read_lock:
            reading.set()
            enough.wait(30)

    threads = [threading.Thread(target=read), threading.Thread(target=action)]
    threads[0].start()
    assert reading.wait(30)
    threads[1].start()
    threads[1].join(5)
    waits = threads[1].is_alive()
    enough.set()
    for thread in threads:
        thread.join(30)
    return waits


@pytest.mark.parametrize("key", ["missing", Ref(ObjectId("0" * 32), "there", "array", 1)])
def test_transaction_waits_for_nobody_who_reads(store: Store, key: Key) -> None:
    """A finalizer may write in the middle of that: both would wait for each other."""
    store.put(encoded(100), "there")

    def delete() -> None:
        with pytest.raises(ObjectNotFoundError), store.catalog.write() as write:
            store.writer.names.find(write, key)

    assert not waits_for_a_reader(store, delete)
