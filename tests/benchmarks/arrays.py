"""Large arrays: first put, repeated put, get; and that a get's time does not depend on the size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from tests.benchmarks import data
from tests.benchmarks.measuring import (
    MIB,
    Asked,
    Figure,
    Memcpy,
    Scale,
    at_most,
    median_us,
    new_session,
    processor_seconds,
    ratio,
    seconds,
    speed,
    write_file,
)
from tests.processes import Process
from workbench import Session

_WANTED = {1: ratio(0.95), 2: ratio(1.3)}


def repeated_puts(scale: Scale) -> list[Figure]:
    """Put, delete, put of one float64 array, with one thread and with two, in turns with memcpy."""
    array, memcpy = data.array(scale.nbytes), Memcpy(scale.nbytes)
    puts: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with new_session(scale.nbytes) as session:
        session.put(array, "large")
        for _ in range(scale.repeats):
            for threads, taken in puts.items():
                session.store.allocator.threads = threads
                session.delete("large")
                taken.append(processor_seconds(lambda: session.put(array, "large")))
                memcpy.take()
        assert np.array_equal(session.get("large"), array)
    mib = scale.nbytes // MIB
    return [
        speed(f"memcpy of {mib} MiB into warm memory, one thread", scale.nbytes, memcpy.median, memcpy.median),
        *(
            speed(
                f"repeated put of {mib} MiB float64, {threads} thread{'s' * (threads > 1)}",
                scale.nbytes,
                statistics.median(elapsed for elapsed, _ in taken),
                memcpy.median,
                _WANTED[threads],
                memcpy.processor_note(taken),
            )
            for threads, taken in puts.items()
        ),
    ]


def first_puts(scale: Scale) -> list[Figure]:
    """First put into a new store, without and with a pool that was made ready, beside write(2) of the same bytes into a new file."""
    array, memcpy = data.array(scale.nbytes), Memcpy(scale.nbytes)
    fresh, first, second, warmed, ready = [], [], [], [], []
    for _ in range(3):
        with new_session(scale.nbytes) as session:
            fresh.append(processor_seconds(lambda: write_file(session.store.directory.parent / "fresh", array)))
            memcpy.take()
            first.append(processor_seconds(lambda: session.put(array, "large")))
            session.delete("large")
            memcpy.take()
            second.append(processor_seconds(lambda: session.put(array, "large")))
        with new_session(scale.nbytes, warm=scale.nbytes) as session:
            ready.append(seconds(lambda: _until_warm(session)))
            memcpy.take()
            warmed.append(processor_seconds(lambda: session.put(array, "large")))
    return [
        _first_put("write(2) of the same bytes into a new file", scale, fresh, memcpy),
        _first_put("first put into a new store", scale, first, memcpy, ratio(0.27)),
        _first_put("second put (put, delete, put)", scale, second, memcpy),
        _first_put("first put into a new store that is warm", scale, warmed, memcpy, ratio(0.95)),
        Figure("... seconds until it is", statistics.median(ready), "s"),
    ]


def _first_put(
    what: str, scale: Scale, taken: Sequence[tuple[float, float]], memcpy: Memcpy, asked: Asked | None = None
) -> Figure:
    elapsed = statistics.median(elapsed for elapsed, _ in taken)
    return speed(what, scale.nbytes, elapsed, memcpy.median, asked, memcpy.processor_note(taken))


def _until_warm(session: Session) -> None:
    """Wait until this process has the mapping of a free segment, which it keeps when all its pages are there."""
    deadline = time.monotonic() + 60
    while not session.store.allocator.pool.inodes():
        if time.monotonic() > deadline:
            raise TimeoutError("The pool does not become warm.")
        time.sleep(0.005)


def latencies(scale: Scale) -> list[Figure]:
    """Get of arrays of several sizes, here and in another process."""
    figures, medians = [], []
    with new_session(scale.nbytes) as session:
        for nbytes in scale.array_sizes:
            array = data.array(nbytes)
            session.put(array, "array")
            assert np.array_equal(session.get("array"), array)
            del array
            medians.append(median_us(lambda: session.get("array")))
            figures.append(Figure(f"get of a {nbytes // MIB} MiB array", medians[-1], "us", asked=at_most(15)))
        kept = session.get("array")
        again = median_us(lambda: session.get("array"))
        del kept
        with Process(session.store.directory) as other:
            there = other.do(_GETS)
    return [
        *figures,
        Figure("... largest beside smallest", medians[-1] / medians[0], "x", asked=at_most(1.25)),
        Figure("... while it is mapped already", again, "us"),
        Figure("... in another process", there, "us", asked=at_most(15)),
    ]


_GETS = """
import statistics, time
import workbench as wb
result = []
for _ in range(1000):
    start = time.perf_counter()
    array = wb.get('array')
    result.append(time.perf_counter() - start)
    del array
result = statistics.median(result) * 1e6
"""
