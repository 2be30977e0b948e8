"""Fixtures for all tests: a store of one's own for each test, and nothing left behind."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench
from workbench.store import Store

SHM = Path("/dev/shm")
PREFIX = f"workbench-test-{os.getpid()}-"
"""Of this run of the tests alone: two runs beside each other do not see each other's directories."""


@pytest.fixture
def memory_directory() -> Iterator[Path]:
    """A new directory in shared memory, removed with all that is in it."""
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=SHM))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def store_directory(memory_directory: Path) -> Path:
    """Where a test's store may be; it is made by whoever opens it."""
    return memory_directory / "store"


@pytest.fixture
def store(store_directory: Path) -> Iterator[Store]:
    """An empty store of 256 MiB."""
    with Store.open(store_directory, capacity=256 << 20) as opened:
        yield opened


@pytest.fixture(autouse=True)
def own_store(no_leaks: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """No test uses the store of the user who runs it, nor the current session of another test."""
    path = Path(tempfile.gettempdir()) / f"workbench-unused-{os.getpid()}"
    if "store_directory" in request.fixturenames:
        path = request.getfixturevalue("store_directory")
    elif "workbench_directory" in request.fixturenames:
        path = request.getfixturevalue("workbench_directory")
    monkeypatch.setenv("WORKBENCH_DIR", str(path))
    previous = workbench.use_session(None)
    yield
    mine = workbench.use_session(previous)
    if mine is not None:
        mine.close()
    shutil.rmtree(Path(tempfile.gettempdir()) / f"workbench-unused-{os.getpid()}", ignore_errors=True)


def open_in_shared_memory() -> set[str]:
    """Descriptors and mappings of this process that lie in a test's store."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if PREFIX in target:
            found.add(f"fd {entry.name}: {target}")
    for line in Path("/proc/self/maps").read_text().splitlines():
        if PREFIX in line:
            found.add("map " + line.split(maxsplit=5)[-1])
    return found


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """A test that leaves a descriptor, a mapping, a thread or a directory in shared memory fails."""
    threads = set(threading.enumerate())
    before = open_in_shared_memory()
    directories = set(SHM.glob(PREFIX + "*"))
    # Set up before every other fixture and torn down after it, because nothing else is autouse at this point.
    yield
    deadline = time.monotonic() + 10
    while True:
        gc.collect()
        left = [f"thread {thread.name}" for thread in set(threading.enumerate()) - threads if not thread.daemon]
        left += sorted(open_in_shared_memory() - before)
        left += [str(path) for path in set(SHM.glob(PREFIX + "*")) - directories]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    assert not left, f"left behind: {left}"
