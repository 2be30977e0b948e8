"""What a process holds and what a machine keeps: taken before and after a test, they show what was left behind.

Covers descriptors and mappings of files in a place, leases on them, threads, and directories in shared memory. The fixture
:func:`no_leaks` makes a test fail that leaves any of these; ``conftest.py`` chooses the place::

    from workbench.testing.leaks import leak_check

    no_leaks = leak_check("/dev/shm", prefix=f"my-tests-{os.getpid()}-")
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 10.0
"""Seconds that what is on its way out (a thread that ends, a process that was killed) has for it."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What this process has open in a place, and what lies there."""

    threads: frozenset[threading.Thread]
    open: frozenset[str]
    leases: frozenset[str]
    directories: frozenset[str]

    @classmethod
    def take(cls, place: Path, prefix: str) -> Footprint:
        """Look at everything now.

        Parameters
        ----------
        place : Path
            A directory, for example /dev/shm.
        prefix : str
            How the names of the tests' own directories in it begin.
        """
        directories = sorted(place.glob(prefix + "*"))
        return cls(
            threads=frozenset(thread for thread in threading.enumerate() if not thread.daemon),
            open=frozenset(_descriptors(prefix) | _mappings(prefix)),
            leases=frozenset(_leases(directories)),
            directories=frozenset(map(str, directories)),
        )

    def beyond(self, before: Footprint) -> list[str]:
        """Return a line for each thing that was not there before."""
        return [
            *(f"thread {thread.name}" for thread in self.threads - before.threads),
            *sorted(self.open - before.open),
            *sorted(self.leases - before.leases),
            *sorted(self.directories - before.directories),
        ]


def left_behind(before: Footprint, place: Path, prefix: str) -> list[str]:
    """Return what is there that was not there before, after it had some time to go."""
    deadline = time.monotonic() + PATIENCE
    while True:
        gc.collect()
        left = Footprint.take(place, prefix).beyond(before)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def leak_check(place: str | Path, *, prefix: str) -> Callable[[], Iterator[None]]:
    """Return an autouse fixture: a test that leaves anything behind fails.

    Parameters
    ----------
    place : path
        Where the tests make their stores.
    prefix : str
        How the names of their directories begin: those of other runs at the same time begin otherwise.
    """
    directory = Path(place)

    @pytest.fixture(autouse=True)
    def no_leaks() -> Iterator[None]:
        """Fail if this test leaves a descriptor, a mapping, a lease, a thread or a directory behind."""
        before = Footprint.take(directory, prefix)
        # Set up before every other fixture of its scope, and torn down after them.
        yield
        left = left_behind(before, directory, prefix)
        assert not left, f"left behind: {left}"

    fixture: Any = no_leaks
    return fixture  # type: ignore[no-any-return]


def _descriptors(prefix: str) -> set[str]:
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if prefix in target:
            found.add(f"descriptor {entry}: {target}")
    return found


def _mappings(prefix: str) -> set[str]:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {"mapping of " + line.split(maxsplit=5)[-1] for line in lines if prefix in line}


def _leases(directories: list[Path]) -> set[str]:
    """Locks of any process on files that lie in these directories now."""
    files = {}
    for directory in directories:
        for path in directory.rglob("*"):
            try:
                status = path.stat()
            except OSError:
                continue
            files[f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"] = path
    found = set()
    # As described in proc_locks(5).
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5] in files:
            found.add(f"lease of pid {fields[4]} on {files[fields[5]]}")
    return found
