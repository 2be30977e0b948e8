"""What every store goes through, and how its figures reach whoever started the script.

A store's script runs in a process and an environment of its own, so this needs NumPy and pandas only. It writes one line of JSON for each
figure as soon as it has it: what was measured stays measured when the store breaks later on.

====================  ==================================================================================================
first put             one array into a store that was just made
put                   put, delete, put of the array: the median, in turns with a memcpy of the same bytes by one thread
get, first            in another process that has the store open and has got nothing yet
get                   there, again and again, each time after what was got before is gone: the median
mapped                what another process pays (Pss) for having got the array, before it reads a byte
copied                its private memory (RssAnon) after it has read all of it
small puts, gets      arrays of 1 KiB in one process
transfer              the array to another node, which has got one before: the median, beside a bare socket between two processes
====================  ==================================================================================================
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from tests.benchmarks import data
from tests.benchmarks.neighbours import raw_socket

_MOST_GETS = 1000
_MOST_TRANSFERS = 5
TRANSFER = "transfer"
"""The part that makes nodes of its own, and runs alone."""


class ElsewhereError(Exception):
    """Another process got nothing; the message is its last word."""


class UnsupportedError(Exception):
    """The store has no such thing; the message says what it lacks."""


class Neighbour(ABC):
    """One store. Keys are what JSON can say."""

    repeats_at_most: ClassVar[int] = 100

    @abstractmethod
    def start(self, directory: Path, nbytes: int) -> None:
        """Make a new store with room for `nbytes`; files, if any, go into `directory`, which is in shared memory."""

    @abstractmethod
    def stop(self) -> None:
        """End all that :meth:`start` has begun."""

    @abstractmethod
    def put(self, value: Any) -> Any:
        """Share a value; return its key."""

    @abstractmethod
    def get(self, key: Any) -> Any:
        """Return a value."""

    @abstractmethod
    def delete(self, key: Any) -> None:
        """Give a value's memory back."""

    @abstractmethod
    def address(self) -> Any:
        """Return what another process connects to."""

    @abstractmethod
    def connect(self, address: Any) -> None:
        """Open the store in another process."""

    def forget(self, key: Any) -> None:  # noqa: B027  # most leave nothing open
        """Let go of what a get has left open, after its value is gone."""

    def transfers(self, directory: Path, value: Any, repeats: int) -> Iterator[float]:
        """Make two nodes on this host, bring a value that was put on one of them to the other again and again, and yield seconds.

        In place of :meth:`start` and :meth:`stop`. Most stores know no nodes.
        """
        raise UnsupportedError("it moves nothing from host to host")

    def elsewhere(self, key: Any) -> dict[str, Any]:
        """Return what :func:`read` finds in another process."""
        module = sys.modules["__main__"].__spec__
        assert module is not None
        question = json.dumps({"address": self.address(), "key": key})
        done = subprocess.run(
            [sys.executable, "-m", module.name, "--read", question],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            raise ElsewhereError(last_line(done.stderr))
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: bytes of the large objects, repetitions, most small objects, most seconds for them."""

    nbytes: int
    repeats: int
    small: int
    small_s: float


def read(neighbour: Neighbour, key: Any) -> dict[str, Any]:
    """Get a value in this process, which has got nothing yet, and find out what that costs."""
    np.zeros(1).sum(), pd.DataFrame({"x": [1]}).sum()
    gc.collect()
    pss, private = _memory("smaps_rollup", "Pss"), _memory("status", "RssAnon")
    start = time.perf_counter()
    value = neighbour.get(key)
    found: dict[str, Any] = {"first_us": (time.perf_counter() - start) * 1e6}
    found["mapped"] = _memory("smaps_rollup", "Pss") - pss
    found["writeable"] = bool(isinstance(value, np.ndarray) and value.flags.writeable)
    found["fingerprint"] = fingerprint(value)
    if isinstance(value, np.ndarray):
        value.sum()
    found["copied"] = _memory("status", "RssAnon") - private
    taken: list[float] = []
    until = time.perf_counter() + 3
    del value
    while len(taken) < _MOST_GETS and time.perf_counter() < until:
        neighbour.forget(key)
        start = time.perf_counter()
        value = neighbour.get(key)
        taken.append(time.perf_counter() - start)
        del value
    neighbour.forget(key)
    found["again_us"] = statistics.median(taken) * 1e6
    return found


def fingerprint(value: Any) -> str:
    """Return a text that two equal values share, and others most probably do not."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {float(value[:: max(1, len(value) // 1000)].sum())}"
    rows = value.iloc[[0, len(value) // 3, len(value) - 1]]
    return f"{value.dtypes.to_dict()} {value.shape} {rows.to_dict('list')} {value['integer'].sum()}"


def _memory(file: str, field: str) -> int:
    line = next(line for line in Path(f"/proc/self/{file}").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def last_line(text: str) -> str:
    """Return the last line that is not empty: of a traceback, the error."""
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "no message")


class Run:
    """One store's way through the protocol."""

    def __init__(self, neighbour: Neighbour, extent: Extent, emit: Callable[[dict[str, Any]], None]) -> None:
        self.neighbour = neighbour
        self.extent = extent
        self._emit = emit

    def found(self, row: str, value: float, ratio: float | None = None) -> None:
        """Hand on one figure."""
        self._emit({"row": row, "value": value, "ratio": ratio})

    def attempt(self, row: str, action: Callable[[], None]) -> None:
        """Run a part of the protocol; when it breaks, that is the figure."""
        try:
            action()
        except UnsupportedError as lack:
            self._emit({"row": row, "lacks": str(lack)})
        except ElsewhereError as error:
            self._emit({"row": row, "error": str(error)})
        except Exception as error:  # whatever a store may raise
            self._emit({"row": row, "error": f"{type(error).__name__}: {last_line(str(error))}"})

    def array(self) -> None:
        """Put an array again and again, and get it in another process."""
        array = data.array(self.extent.nbytes)
        key = self.puts("array", array, array)
        self.gets("array", key, fingerprint(array))
        self.neighbour.delete(key)

    def frame(self) -> None:
        """Put a frame again and again, and get it in another process."""
        frame = data.wide_frame(self.extent.nbytes)
        key = self.puts("frame", frame, np.ones(int(frame.memory_usage(deep=False).sum()), np.uint8))
        self.gets("frame", key, fingerprint(frame))
        self.neighbour.delete(key)

    def puts(self, what: str, value: Any, like: np.ndarray[Any, Any]) -> Any:
        """Put a value, delete it, and so on, in turns with a memcpy of what is as large; return the last key."""
        neighbour = self.neighbour
        target = np.zeros_like(like)
        np.copyto(target, like)
        memcpys, puts, cycles = [], [], []
        start = time.perf_counter()
        key = neighbour.put(value)
        first = time.perf_counter() - start
        for _ in range(min(self.extent.repeats, neighbour.repeats_at_most)):
            begin = time.perf_counter()
            neighbour.delete(key)
            start = time.perf_counter()
            key = neighbour.put(value)
            end = time.perf_counter()
            puts.append(end - start)
            cycles.append(end - begin)
            start = time.perf_counter()
            np.copyto(target, like)
            memcpys.append(time.perf_counter() - start)
        memcpy = statistics.median(memcpys)
        self.found(f"{what} memcpy", like.nbytes / memcpy / 2**30, 1.0)
        for row, elapsed in (
            ("first put", first),
            ("put", statistics.median(puts)),
            ("cycle", statistics.median(cycles)),
        ):
            self.found(f"{what} {row}", like.nbytes / elapsed / 2**30, memcpy / elapsed)
        return key

    def gets(self, what: str, key: Any, expected: str) -> None:
        """Get a value in another process; what comes back must be what was put."""
        found = self.neighbour.elsewhere(key)
        if found["fingerprint"] != expected:
            raise ValueError(f"not what was put: {found['fingerprint']}, which was {expected}")
        self.found(f"{what} first get", found["first_us"])
        self.found(f"{what} get", found["again_us"])
        self.found(f"{what} mapped", found["mapped"] / 2**20)
        self.found(f"{what} copied", found["copied"] / 2**20)

    def small(self) -> None:
        """Put and get arrays of 1 KiB, for a while."""
        values = list(data.array(1024 * 100).reshape(100, 128))
        keys: list[Any] = []
        start = time.perf_counter()
        until = start + self.extent.small_s
        while len(keys) < self.extent.small and time.perf_counter() < until:
            keys.append(self.neighbour.put(values[len(keys) % 100]))
        self.found("small puts", len(keys) / (time.perf_counter() - start))
        start = time.perf_counter()
        until, count = start + self.extent.small_s, 0
        while count < len(keys) and time.perf_counter() < until:
            got = np.array(self.neighbour.get(keys[count]))
            self.neighbour.forget(keys[count])
            count += 1
        self.found("small gets", count / (time.perf_counter() - start))
        if not np.array_equal(got, values[(count - 1) % 100]):
            raise ValueError("not what was put")

    def transfer(self, directory: Path) -> None:
        """Bring the array to another node."""
        raw = statistics.median(raw_socket.seconds(self.extent.nbytes, 1 + self.extent.repeats)[1:])
        repeats = 1 + min(self.extent.repeats, _MOST_TRANSFERS)
        taken = list(self.neighbour.transfers(directory, data.array(self.extent.nbytes), repeats))
        elapsed = statistics.median(taken[1:])
        self.found("raw socket", self.extent.nbytes / raw / 2**30, 1.0)
        self.found("transfer", self.extent.nbytes / elapsed / 2**30, raw / elapsed)


PARTS: dict[str, Callable[[Run], None]] = {"array": Run.array, "frame": Run.frame, "small": Run.small}


def main(neighbour: Neighbour) -> None:
    """Be the script of one store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--read", type=json.loads)
    parser.add_argument("--extent", type=json.loads)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--part", action="append", choices=[*PARTS, TRANSFER])
    parser.add_argument("--one-core", action="store_true")
    options = parser.parse_args()
    if options.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.read is not None:
        neighbour.connect(options.read["address"])
        print(json.dumps(read(neighbour, options.read["key"])), flush=True)
        os._exit(0)  # what is mapped is the kernel's to clean up; some clients hang at the end
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = Run(neighbour, Extent(**options.extent), lambda figure: print(json.dumps(figure), flush=True))
    if options.part == [TRANSFER]:
        run.attempt(TRANSFER, lambda: run.transfer(options.directory))
        return
    start = time.perf_counter()
    # Room for one that is being deleted beside one that is being put, and for the small ones; of ours a quarter is the pool.
    neighbour.start(options.directory, 4 * run.extent.nbytes + (256 << 20))
    try:
        run.found("start", time.perf_counter() - start)
        for part in options.part or PARTS:
            run.attempt(part, lambda: PARTS[part](run))  # noqa: B023  # called at once
            gc.collect()
    finally:
        neighbour.stop()
