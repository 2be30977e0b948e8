"""What a figure is, and how one is taken.

Every speed is also given as a ratio to a memcpy of the same bytes between warm buffers, taken in turns with it in the same run (medians of
both): the machine's own speed, on which everything else depends.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workbench import Session

GIB = 1 << 30
MIB = 1 << 20

Unit = Literal["GiB/s", "us", "ms", "s", "/s", "MiB", "x", ""]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: bytes of the large objects, rows of the DataFrame, numbers of small objects, repetitions, seconds."""

    nbytes: int
    rows: int
    small: int
    catalog: int
    repeats: int
    contention_s: float
    array_sizes: tuple[int, ...]
    frame_rows: tuple[int, ...]

    @classmethod
    def tiny(cls) -> Scale:
        """A few seconds."""
        return cls(16 * MIB, 20_000, 1_000, 3_000, 3, 0.2, (MIB, 4 * MIB, 16 * MIB), (1_000, 20_000))

    @classmethod
    def full(cls) -> Scale:
        """What the targets are about."""
        return cls(GIB, 1_000_000, 20_000, 1_000_000, 9, 3.0, (MIB, 64 * MIB, GIB), (10_000, 1_000_000))


@dataclass(frozen=True, slots=True)
class Asked:
    """A target: a bound for the figure's value, or for its ratio to memcpy."""

    bound: float
    of: Literal["value", "ratio"] = "value"
    at_least: bool = False

    def met(self, figure: Figure) -> bool:
        """Tell whether a figure is within the bound."""
        measured = figure.ratio if self.of == "ratio" else figure.value
        if measured is None:
            return False
        return measured >= self.bound if self.at_least else measured <= self.bound


def at_least(bound: float) -> Asked:
    return Asked(bound, at_least=True)


def at_most(bound: float) -> Asked:
    return Asked(bound)


def ratio(bound: float) -> Asked:
    return Asked(bound, of="ratio", at_least=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, the value, its ratio to memcpy if that makes sense, and the target."""

    what: str
    value: float
    unit: Unit
    ratio: float | None = None
    asked: Asked | None = None
    note: str = ""


def speed(what: str, nbytes: int, elapsed: float, memcpy: float, asked: Asked | None = None, note: str = "") -> Figure:
    """Return the figure of `nbytes` that took `elapsed` seconds, where a memcpy of the same bytes took `memcpy`."""
    return Figure(what, nbytes / elapsed / GIB, "GiB/s", memcpy / elapsed, asked, note)


def seconds(action: Callable[[], object]) -> float:
    """Time one call; what it returns lives until the clock has stopped."""
    start = time.perf_counter()
    kept = action()
    elapsed = time.perf_counter() - start
    del kept
    return elapsed


def processor_seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Time one call by the clock, and by what all threads of this process had of the processors."""
    start = time.process_time()
    elapsed = seconds(action)
    return elapsed, time.process_time() - start


def median_us(action: Callable[[], object], times: int = 1000) -> float:
    """Return the median time of a call in microseconds, after a few to warm up."""
    for _ in range(10):
        seconds(action)
    return statistics.median(seconds(action) for _ in range(times)) * 1e6


class Memcpy:
    """A copy of so many bytes between warm buffers by one thread; take it in turns with what is compared to it."""

    def __init__(self, nbytes: int) -> None:
        self._source = np.ones(nbytes, np.uint8)
        self._target = np.zeros(nbytes, np.uint8)
        np.copyto(self._target, self._source)
        self._taken: list[tuple[float, float]] = []

    def take(self) -> None:
        """Copy once."""
        self._taken.append(processor_seconds(lambda: np.copyto(self._target, self._source)))

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(elapsed for elapsed, _ in self._taken)

    def processor_note(self, taken: Sequence[tuple[float, float]]) -> str:
        """Return the ratio by processor time, which a busy machine changes little, of what :func:`processor_seconds` returned."""
        memcpy, other = (statistics.median(processor for _, processor in times) for times in (self._taken, taken))
        return f"by processor time {memcpy / other:.2f}"


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in shared memory that is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"workbench-bench-{os.getpid()}-", dir="/dev/shm"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def new_session(nbytes: int, **arguments: Any) -> Iterator[Session]:
    """A session with a new store of its own in shared memory, whose pool (a quarter of it) has room for `nbytes`."""
    with scratch() as directory, Session(directory / "store", capacity=4 * nbytes + 256 * MIB, **arguments) as session:
        yield session


def write_file(path: Path, array: npt.NDArray[Any]) -> None:
    """Write bytes into a new file and remove it: what a first put cannot beat by much, since the kernel must find the pages."""
    with path.open("wb", buffering=0) as file:
        view = memoryview(array.data).cast("B")
        while view.nbytes:
            view = view[file.write(view) :]
    path.unlink()


PSS = """
def pss():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
"""
"""Code for another process."""


def private_growth(pids: Sequence[int], action: Callable[[], object]) -> int:
    """Return by how many bytes the private memory (RssAnon) of some processes together grows at most while something is done."""
    before, most, done = _private(pids), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.0005):
            most = max(most, _private(pids))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        action()
    finally:
        done.set()
        watcher.join()
    return max(most, _private(pids)) - before


def _private(pids: Sequence[int]) -> int:
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
