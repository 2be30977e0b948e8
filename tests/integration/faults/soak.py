"""The soak: six processes, every other one with three threads, with a mixed load on one store, some of them killed now and then; at the end everything is where it began.

``make soak`` runs it for 15 minutes, ``python -m tests.integration.faults.soak --seconds 60`` for one; the tests, for some seconds. Bounded in
time by ``--seconds``, and seeded: ``--seed`` draws the same loads and the same kills (what the processes do to each other depends on their timing).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import environment
from workbench.store import Store
from workbench.testing import inconsistencies

_GROWTH_NBYTES = 48 << 20
"""What a process's private memory may vary by for each of its threads: freed memory that the allocators of Python, NumPy and Arrow keep."""


@dataclass
class Result:
    """What a soak came to."""

    seed: int
    kills: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    growth: list[int] = field(default_factory=list)
    """Bytes that each process that lived to the end grew by, after it had settled."""
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        grown = ", ".join(f"{nbytes / 2**20:.1f}" for nbytes in self.growth)
        state = "; ".join(self.failures) or "everything is where it began"
        return f"seed {self.seed}: {self.kills} kills; {done}; private memory grew by {grown} MiB; {state}"


class Crew:
    """The processes, numbered: one that is killed is replaced.

    Parameters
    ----------
    directory, spill : Path
    result : Result
    seconds : float
    """

    def __init__(self, directory: Path, spill: Path, result: Result, seconds: float) -> None:
        self._directory = directory
        self._environment = environment(directory, WORKBENCH_SPILL_DIRECTORY=str(spill))
        self._result = result
        self._seconds = seconds
        self._started = 0
        self._processes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Start one more."""
        self._started += 1
        self._processes.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.integration.faults.soak_load"),
                    *(str(self._directory), f"process {self._started}", str(self._result.seed), str(self._seconds)),
                    "3" if self._started % 2 else "1",
                ],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def wait(self) -> None:
        """Wait until those that were started have imported everything."""
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def replace(self, number: int) -> None:
        """Kill one, and start another in its place; never the first two, whose memory is to be watched for long."""
        victim = self._processes.pop(2 + number % (len(self._processes) - 2))
        victim.kill()
        self._end(victim)
        self._result.kills += 1
        self.start()

    def check(self) -> bool:
        """Tell whether all are alive."""
        return all(process.poll() is None for process in self._processes)

    def stop(self) -> None:
        """Ask all to end, and take down what they say."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            said = self._end(process)
            if process.returncode or not said:
                self._result.failures.append(f"a process ended with {process.returncode}")
            else:
                self._take_down(json.loads(said.splitlines()[-1]))
        self._processes.clear()

    def kill(self) -> None:
        """Kill whatever is left."""
        for process in self._processes:
            process.kill()
            self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        assert process.stdin is not None
        with process.stdout:
            said = process.stdout.read()
        process.stdin.close()
        process.wait(60)
        return said

    def _take_down(self, said: dict[str, Any]) -> None:
        self._result.counts.update(said["counts"])
        early, late, closed = said["early"], said["late"], said["closed"]
        self._result.growth.append(late["nbytes"] - early["nbytes"])
        for what in ("descriptors", "threads"):
            if late[what] > early[what]:
                self._result.failures.append(f"{what} grew from {early[what]} to {late[what]}")
        if late["nbytes"] > early["nbytes"] + _GROWTH_NBYTES * said["threads"]:
            self._result.failures.append(f"private memory grew from {early['nbytes']} to {late['nbytes']} bytes")
        if closed["mappings"]:
            self._result.failures.append(f"{closed['mappings']} segments are mapped after everything was dropped")


def soak(
    directory: Path, spill: Path, seconds: float, seed: int, *, processes: int = 6, capacity: int = 96 << 20
) -> Result:
    """Load a new store in `directory`, which spills to `spill`, for some seconds; return what came of it."""
    result, source = Result(seed), random.Random(seed)
    crew = Crew(directory, spill, result, seconds)
    interval = max(2.0, seconds / 100)
    with Store.open(directory, capacity=capacity, spill_directory=spill, restore_after="never") as store:
        try:
            for _ in range(processes):
                crew.start()
            crew.wait()
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0 and crew.check():
                time.sleep(min(left, source.uniform(0.3, 1) * interval))
                crew.replace(source.randrange(1 << 16))
            crew.stop()
        finally:
            crew.kill()
        result.failures += _end(store)
        result.failures += [f"left on disk: {path}" for path in spill.rglob("*.segment")]
    return result


def _wait_for_orphans(store: Store) -> None:
    """Wait for what a killed process had forked: it ends by itself, and works on until then."""
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in _others(store)) and time.monotonic() < deadline:
        time.sleep(0.05)


def _others(store: Store) -> set[str]:
    found = {path.name.split("-")[1] for path in store.directory.glob("holder-*")}
    return found - {str(os.getpid())}


def _end(store: Store) -> list[str]:
    """Delete everything, and return what is left then."""
    _wait_for_orphans(store)
    store.doctor()
    found = inconsistencies(store)
    for info in store.ls():
        store.delete(info.id)
    store.allocator.free.release()
    found += store.doctor()
    memory = store.memory()
    if memory.used or memory.spilled:
        found.append(f"in use at the end: {memory}")
    left = sorted(path.name for path in store.directory.iterdir() if path.suffix == ".segment" or "holder" in path.name)
    if [name for name in left if not name.startswith(f"holder-{os.getpid()}-")]:
        found.append(f"left at the end: {left}")
    return found


def main() -> None:
    """Soak, and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s", flush=True)
    directory = Path(tempfile.mkdtemp(prefix=f"workbench-test-{os.getpid()}-soak-", dir=options.place))
    try:
        with tempfile.TemporaryDirectory(prefix="workbench-soak-", dir="/var/tmp") as spill:
            result = soak(directory / "store", Path(spill), options.seconds, options.seed)
    finally:
        shutil.rmtree(directory)
    print(result)
    sys.exit(bool(result.failures))


if __name__ == "__main__":
    main()
