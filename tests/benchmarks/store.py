"""One host: puts and gets of a large array, a mixed DataFrame and small arrays, and the memory of further readers.

Every speed is also given as a ratio to a memcpy of the same bytes between warm buffers, taken in turns with it in the same run (medians of
both): the machine's own speed, on which everything else depends.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.processes import Process
from workbench import Session

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: bytes of the large array, rows of the DataFrame, number of small arrays, repetitions."""

    nbytes: int
    rows: int
    small: int
    repeats: int

    @classmethod
    def tiny(cls) -> Scale:
        """A few seconds."""
        return cls(32 * MIB, 50_000, 2_000, 5)

    @classmethod
    def full(cls) -> Scale:
        """What the targets are about."""
        return cls(GIB, 1_000_000, 20_000, 9)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, the value, its ratio to memcpy if that makes sense, and the target."""

    what: str
    value: str
    ratio: float | None
    target: str


def seconds(action: Callable[[], object]) -> float:
    """Time one call; what it returns lives until the clock has stopped."""
    start = time.perf_counter()
    kept = action()
    elapsed = time.perf_counter() - start
    del kept
    return elapsed


def median_us(action: Callable[[], object], times: int = 1000) -> float:
    """Return the median time of a call in microseconds, after a few to warm up."""
    for _ in range(10):
        seconds(action)
    return statistics.median(seconds(action) for _ in range(times)) * 1e6


def mixed_frame(rows: int) -> pd.DataFrame:
    """Ten columns of the usual kinds."""
    random = np.random.default_rng(0)
    times = pd.date_range("2013-01-01", periods=rows, freq="s")
    return pd.DataFrame(
        {
            "integer": random.integers(0, 1000, rows),
            "small": random.integers(0, 100, rows).astype("int32"),
            "float": random.random(rows),
            "single": random.random(rows).astype("float32"),
            "flag": random.random(rows) > 0.5,
            "time": times,
            "local": times.tz_localize("America/New_York", ambiguous="NaT", nonexistent="NaT"),
            "category": pd.Categorical(np.array(list("abcde"))[random.integers(0, 5, rows)]),
            "string": pd.array(random.integers(0, 10_000, rows).astype(str), dtype="str"),
            "nullable": pd.array(random.integers(0, 9, rows), dtype="Int64"),
        }
    )


@contextmanager
def new_session(scale: Scale) -> Iterator[Session]:
    """A session with a store of its own in shared memory."""
    directory = Path(tempfile.mkdtemp(prefix="workbench-bench-", dir="/dev/shm"))
    try:
        with Session(directory / "store", capacity=max(4 * scale.nbytes, 256 * MIB)) as session:
            yield session
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def write_file(path: Path, array: npt.NDArray[np.float64]) -> None:
    """Write bytes into a new file and remove it: what a first put cannot beat by much, since the kernel must find the pages."""
    with path.open("wb", buffering=0) as file:
        view = memoryview(array.data).cast("B")
        while view.nbytes:
            view = view[file.write(view) :]
    path.unlink()


def measure(scale: Scale) -> list[Figure]:
    """Run everything."""
    with new_session(scale) as session:
        return [
            *large_array(session, scale),
            *data_frame(session, scale),
            *small_arrays(session, scale),
            *readers(session, scale),
        ]


def large_array(session: Session, scale: Scale) -> list[Figure]:
    """First put, repeated put and get of one float64 array."""
    array = np.random.default_rng(0).random(scale.nbytes // 8)
    target = np.empty_like(array)
    np.copyto(target, array)
    memcpys = [seconds(lambda: np.copyto(target, array)) for _ in range(3)]
    fresh = min(seconds(lambda: write_file(session.store.directory.parent / "fresh", array)) for _ in range(3))
    first = seconds(lambda: session.put(array, "large"))
    threads = session.store.allocator.threads
    puts: dict[int, list[float]] = {threads: [], 1: []}
    for number, elapsed in puts.items():
        session.store.allocator.threads = number
        # Taken in turns, so that whatever else the machine does meets both alike.
        for _ in range(scale.repeats):
            session.delete("large")
            elapsed.append(seconds(lambda: session.put(array, "large")))
            memcpys.append(seconds(lambda: np.copyto(target, array)))
    session.store.allocator.threads = threads
    memcpy = statistics.median(memcpys)
    second, several, single = puts[threads][0], statistics.median(puts[threads]), statistics.median(puts[1])
    assert np.array_equal(session.get("large"), array)
    latency = median_us(lambda: session.get("large"))
    kept = session.get("large")
    again = median_us(lambda: session.get("large"))
    del kept

    def speed(elapsed: float) -> str:
        return f"{scale.nbytes / elapsed / GIB:.2f} GiB/s"

    return [
        Figure("memcpy into warm memory, one thread", speed(memcpy), 1.0, ""),
        Figure("write(2) of the same bytes into a new file there", speed(fresh), memcpy / fresh, ""),
        Figure("first put of an array", speed(first), memcpy / first, ""),
        Figure("put after one delete (second put)", speed(second), memcpy / second, ""),
        Figure(f"repeated put, {threads} threads (median)", speed(several), memcpy / several, "0.85"),
        Figure("repeated put, 1 thread (median)", speed(single), memcpy / single, "0.85"),
        Figure("get of the array", f"{latency:.1f} us", None, "20 us"),
        Figure("get of the array, mapped already", f"{again:.1f} us", None, ""),
    ]


def data_frame(session: Session, scale: Scale) -> list[Figure]:
    """Put and get of a mixed DataFrame."""
    frame = mixed_frame(scale.rows)
    nbytes = session.put(frame, "frame").nbytes
    source = np.ones(nbytes, np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    puts, memcpys = [], []
    for _ in range(scale.repeats):
        session.delete("frame")
        puts.append(seconds(lambda: session.put(frame, "frame")))
        memcpys.append(seconds(lambda: np.copyto(target, source)))
    memcpy = statistics.median(memcpys)
    pd.testing.assert_frame_equal(session.get("frame"), frame)
    gc.collect()
    latency = median_us(lambda: session.get("frame"))
    put = statistics.median(puts)
    return [
        Figure(f"repeated put of a {nbytes / MIB:.0f} MiB frame", f"{nbytes / put / GIB:.2f} GiB/s", memcpy / put, ""),
        Figure("get of a 10-column mixed DataFrame", f"{latency:.1f} us", None, "150 us"),
    ]


def small_arrays(session: Session, scale: Scale) -> list[Figure]:
    """Puts and gets of 1 KiB arrays, without and with a name."""
    arrays = [np.random.default_rng(number).random(128) for number in range(100)]
    start = time.perf_counter()
    refs = [session.put(arrays[number % 100]) for number in range(scale.small)]
    puts = scale.small / (time.perf_counter() - start)
    start = time.perf_counter()
    for ref in refs:
        session.get(ref)
    gets = scale.small / (time.perf_counter() - start)
    start = time.perf_counter()
    for number in range(scale.small):
        session.put(arrays[number % 100], f"small-{number}")
    named = scale.small / (time.perf_counter() - start)
    assert np.array_equal(session.get(refs[-1]), arrays[(scale.small - 1) % 100])
    return [
        Figure("puts of 1 KiB arrays", f"{puts:,.0f} /s", None, "20,000 /s"),
        Figure("puts of 1 KiB arrays with a name", f"{named:,.0f} /s", None, ""),
        Figure("gets of 1 KiB arrays", f"{gets:,.0f} /s", None, "60,000 /s"),
    ]


PSS = """
def pss():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
"""


def readers(session: Session, scale: Scale) -> list[Figure]:
    """What each further process that maps the array costs, before and after it has read all of it."""
    with Process(session.store.directory) as first, Process(session.store.directory) as second:
        for process in (first, second):
            process.do(PSS + "import workbench as wb, numpy as np; wb.get('large')[:0]; wb.exists('large')")
        one = first.do("array = wb.get('large'); array.sum(); result = pss()")
        before = second.do("result = pss()")
        mapped = second.do("array = wb.get('large'); result = pss()")
        latency = second.do(
            "import statistics, time\nresult = []\ndel array\n"
            "for _ in range(1000):\n"
            "    start = time.perf_counter(); array = wb.get('large'); result.append(time.perf_counter() - start); del array\n"
            "result = statistics.median(result) * 1e6"
        )
        total = second.do("array = wb.get('large'); array.sum(); result = pss()") + first.do("result = pss()")
    return [
        Figure("get of the array in another process", f"{latency:.1f} us", None, "20 us"),
        Figure("Pss of a further reader, mapped", f"{(mapped - before) / MIB:.2f} MiB", None, ""),
        Figure(
            "Pss of a further reader, all read", f"{(total - one - before) / MIB:.2f} MiB", None, "0, not one more copy"
        ),
    ]


def table(figures: list[Figure]) -> str:
    """Format figures as a table."""
    rows = [("what", "measured", "of memcpy", "asked")]
    rows += [(f.what, f.value, "" if f.ratio is None else f"{f.ratio:.2f}", f.target) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
