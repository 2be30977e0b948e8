"""Several writers at once: nothing is lost, nobody waits long, and who dies while it waits stops nobody."""

from __future__ import annotations

import time
from pathlib import Path

from tests.processes import Process
from tests.store.encoding import encoded
from workbench.store import Store
from workbench.store.turnstile import Turnstile

WRITE = """
import time
from tests.store.encoding import encoded
from workbench.store import Store
store = Store.open()
def write(number, count):
    longest = 0.0
    for each in range(count):
        start = time.perf_counter()
        store.put(encoded(100, seed=each), f"{number}-{each}" if each % 10 == 0 else None)
        longest = max(longest, time.perf_counter() - start)
    return longest
"""


def test_four_writers_lose_nothing(store: Store, store_directory: Path) -> None:
    """Each of four processes that write at once finds all its objects there, and none waits for seconds."""
    processes = [Process(store_directory) for _ in range(4)]
    try:
        for process in processes:
            process.do(WRITE)
        for number, process in enumerate(processes):
            process.start(f"result = write({number}, 1000)")
        # SQLite's own way of waiting has let one of four wait for 0.8 s on a quiet machine; this one may be busy.
        assert max(process.finish() for process in processes) < 5
    finally:
        for process in processes:
            process.__exit__()
    assert len(store.ls()) == 4000
    assert set(store.names()) == {f"{number}-{each}" for number in range(4) for each in range(0, 1000, 10)}


def test_note_of_a_dead_writer_is_over_soon(store: Store, store_directory: Path) -> None:
    """Writers hold back until the time that a waiting one asked for, and never for longer than a moment, whatever stands there."""
    note = Turnstile(str(store_directory / "turnstile"))
    try:
        for far in (0.001, 3600.0, float("inf"), float("nan"), -5.0):
            note.until[0] = time.monotonic() + far
            start = time.monotonic()
            store.put(encoded(10))
            assert time.monotonic() - start < 1
    finally:
        note.close()


def test_writer_waits_for_a_long_transaction_of_another(store: Store, store_directory: Path) -> None:
    """A put that meets another process's transaction goes on as soon as that one has ended."""
    with Process(store_directory) as other:
        other.do("from workbench.store import Store\nimport time\nstore = Store.open()")
        other.start("with store.catalog.write():\n    time.sleep(0.3)\nresult = time.monotonic()")
        time.sleep(0.1)
        store.put(encoded(10), "x")
        mine = time.monotonic()
        theirs = other.finish()
    assert mine - theirs < 5
    assert store.exists("x")
