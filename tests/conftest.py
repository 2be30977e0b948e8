"""Fixtures for all tests: a store of one's own for each test, and nothing left behind.

The tests run in one process or, as `make test` does it, in several (pytest-xdist). All tests of a file run in the same one, one
after the other, so that they may share a cluster. What two processes must not share has the process's id in its name.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench
from workbench.store import Store
from workbench.testing import leak_check

SHM = Path("/dev/shm")
# A test that wants its stores to spill, or to be warmed up, says so; also to clusters that are started before its fixtures.
os.environ["WORKBENCH_SPILL_DIRECTORY"] = "off"
os.environ["WORKBENCH_WARM"] = "0"
PREFIX = f"workbench-test-{os.getpid()}-"
"""Of this run of the tests alone: two runs beside each other do not see each other's directories."""

no_leaks = leak_check(SHM, prefix=PREFIX)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose what random tests are drawn with, before the processes that run them start, and say it however short the report is."""
    # Most tests do not mind what is left where when their cluster ends; the one of the warning expects it.
    config.addinivalue_line(
        "filterwarnings", "ignore:.*objects? (was|were) only on other nodes of this cluster:UserWarning"
    )
    chosen = os.environ.setdefault("WORKBENCH_SEED", str(random.SystemRandom().randrange(1 << 32)))
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"faults are drawn with WORKBENCH_SEED={chosen}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for every two processors that this one may use, as a third of the time is waiting; beyond eight they only wait for the longest file."""
    return min(8, -(-3 * len(os.sched_getaffinity(0)) // 2))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, the files that take long come first: none is left to the end alone."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def seed() -> int:
    """WORKBENCH_SEED: what the environment says, else a new one for each run."""
    return int(os.environ["WORKBENCH_SEED"])


@pytest.fixture(autouse=True, scope="session")
def settled_heap() -> None:
    """What was imported is left out of the garbage collections that follow every test: they took most of the time."""
    gc.collect()
    gc.freeze()


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
    monkeypatch.delenv("WORKBENCH_NAMESPACE", raising=False)
    previous = workbench.use_session(None)
    yield
    mine = workbench.use_session(previous)
    if mine is not None:
        mine.close()
    shutil.rmtree(Path(tempfile.gettempdir()) / f"workbench-unused-{os.getpid()}", ignore_errors=True)
