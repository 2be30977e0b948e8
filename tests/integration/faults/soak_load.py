"""One process of the soak, with one thread or several: a random mixture of everything that users do, each byte that it reads verified.

Covers the load and what the process says of itself at the end; who starts and kills such processes is ``soak.py``.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.integration.faults.scenes import random_operations
from workbench.errors import ObjectNotFoundError, StoreFullError
from workbench.session import Session
from workbench.testing.operations import Operation, Performer, What, has

_SHARED = [f"everybody's {number}" for number in range(6)]
_SETTLED = 0.25
"""Part of its time after which a process has everything that it needs: from there on it must not grow."""

_OFTEN = 1e-5
"""Seconds between two threads of one process: as many as possible meet in the middle of something."""


def measure() -> dict[str, int]:
    """Return what this process uses: descriptors, threads, mappings of segments, bytes of private memory."""
    maps = Path("/proc/self/maps").read_text()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    anonymous = next(line for line in rollup.splitlines() if line.startswith("Pss_Anon:"))
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "mappings": sum(".segment" in line for line in maps.splitlines()),
        "nbytes": int(anonymous.split()[1]) << 10,
    }


def checksum(value: Any) -> int:
    """Return the checksum of an array, a frame or a table."""
    if isinstance(value, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(value).data.cast("B"))
    if isinstance(value, pd.DataFrame):
        return int(pd.util.hash_pandas_object(value).to_numpy().sum())
    return checksum(value.to_pandas())


class Load:
    """Does things at random.

    Parameters
    ----------
    session : Session
    source : random.Random
    prefix : str
        Of its own names.
    forks : bool
        It is the only thread of its process, so that it may fork.
    """

    def __init__(self, session: Session, source: random.Random, prefix: str, *, forks: bool) -> None:
        self.session = session
        self.source = source
        self.prefix = prefix
        self.forks = forks
        self.performer = Performer(session.store)
        self.held: list[tuple[Any, int]] = []
        self.turn = 0
        self.counts: dict[str, int] = {}

    def step(self) -> None:
        """Do one thing; that an object is gone, or that the store is full of what is held, may be."""
        deeds: list[tuple[int, Callable[[], None]]] = [
            (10, self.operate),
            (6, self.put_value),
            (6, self.get_value),
            (3, self.put_part),
            (2, self.delete_value),
            (2, self.let_go),
            (2, self.read_all),
            (2, self.spill_or_restore),
            (int(self.forks), self.fork),
        ]
        self.turn += 1
        deed = self.source.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0]
        self.counts[deed.__name__] = self.counts.get(deed.__name__, 0) + 1
        try:
            deed()
        except ObjectNotFoundError:
            self._count("not found")
        except StoreFullError:
            self._count("full")
            self.let_go()

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def operate(self) -> None:
        """Do operations on objects that carry their checksum, under names of its own."""
        for operation in random_operations(self.source, f"{self.prefix} {self.turn % 5}", 5):
            label = f"{operation.label} {self.turn} {os.getpid()}"
            self.performer.perform(Operation.from_json({**operation.to_json(), "label": label}))

    def _value(self) -> Any:
        numbers = np.random.default_rng(self.source.getrandbits(32)).random(
            self.source.choice([10, 5_000, 60_000, 400_000])
        )
        kind = self.source.choice(["array", "frame", "table"])
        if kind == "array":
            return numbers
        frame = pd.DataFrame(
            {
                "x": numbers,
                "s": [f"word {n % 100}" for n in range(len(numbers[:20_000]))] + [None] * len(numbers[20_000:]),
            }
        )
        return frame if kind == "frame" else pa.Table.from_pandas(frame)

    def put_value(self) -> None:
        """Rebind a name that all processes use."""
        value = self._value()
        self.session.put(value, self.source.choice(_SHARED), tags={"sum": str(checksum(value))})

    def get_value(self) -> None:
        """Get by id what a name leads to now, and verify it; keep it sometimes."""
        info = self.session.store.info(self.source.choice(_SHARED))
        value = self.session.get(info.ref)
        wanted = int(info.tags["sum"])
        assert checksum(value) == wanted, f"{info} is damaged"
        if self.source.random() < 0.3:
            self.held.append((value, wanted))

    def put_part(self) -> None:
        """Put a part of what was got: it lies in shared memory already."""
        value = self.session.get(self.source.choice(_SHARED))
        part = value[len(value) // 4 :] if not isinstance(value, pa.Table) else value.slice(len(value) // 4)
        self.session.put(part, self.source.choice(_SHARED), tags={"sum": str(checksum(part))})

    def delete_value(self) -> None:
        """Delete what everybody uses."""
        self.session.delete(self.source.choice(_SHARED))

    def let_go(self) -> None:
        """Verify what is held, and drop it."""
        for value, wanted in self.held:
            assert checksum(value) == wanted, "what was held has changed"
        self.held.clear()

    def read_all(self) -> None:
        """Read and verify every object that carries its checksum."""
        for info in self.session.store.ls():
            if info.type == "workbench.testing.Content":
                self.performer.perform(Operation("read", key=info.id))

    def spill_or_restore(self) -> None:
        """Send an object to disk, or bring it back."""
        choices: list[What] = ["spill", "restore"]
        what = self.source.choice(choices)
        if has(self.session.store, what):
            self.performer.perform(Operation(what, key=self.source.choice(_SHARED)))

    def fork(self) -> None:
        """Let a forked child read and put."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self.let_go()
                self.operate()
                self.get_value()
                status = 0
            except (ObjectNotFoundError, StoreFullError):
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0, "a forked child failed"


def run(directory: str, prefix: str, seed: str, seconds: float, threads: int) -> dict[str, Any]:
    """Load a store from so many threads until standard input is closed; return what was counted, and measured early and at the end."""
    session = Session(directory)
    print("ready", flush=True)
    if threads > 1:
        sys.setswitchinterval(_OFTEN)
    names = [f"{prefix} {number}" for number in range(threads)]
    loads = [Load(session, random.Random(f"{seed} {name}"), name, forks=threads == 1) for name in names]
    settled_at = time.monotonic() + seconds * _SETTLED
    _work(loads, lambda: _is_told_to_end() or time.monotonic() > settled_at)
    early = _rest(session, loads)
    _work(loads, _is_told_to_end)
    late = _rest(session, loads)
    session.close()
    counts = sum((Counter(load.counts) for load in loads), Counter())
    return {"threads": threads, "counts": counts, "early": early, "late": late, "closed": measure()}


def _is_told_to_end() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _work(loads: list[Load], is_over: Callable[[], bool]) -> None:
    """Let each work in a thread of its own until it is over; what one of them raises ends all."""
    failures: list[BaseException] = []

    def go_on(load: Load) -> None:
        try:
            while not failures and not is_over():
                load.step()
        except BaseException as error:
            failures.append(error)
            raise

    others = [threading.Thread(target=go_on, args=(load,)) for load in loads[1:]]
    for other in others:
        other.start()
    go_on(loads[0])
    for other in others:
        other.join()
    if failures:
        raise failures[0]


def _rest(session: Session, loads: list[Load]) -> dict[str, int]:
    for load in loads:
        load.let_go()
    gc.collect()
    session.store.allocator.pool.close()
    gc.collect()
    return measure()


def main() -> None:
    """Run, and print what came of it."""
    directory, prefix, seed, seconds, threads = sys.argv[1:]
    print(json.dumps(run(directory, prefix, seed, float(seconds), int(threads))), flush=True)


if __name__ == "__main__":
    main()
