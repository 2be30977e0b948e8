from __future__ import annotations

import inspect
import mmap
import os
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from distributed import Nanny, Worker
from distributed.system_monitor import SystemMonitor
from distributed.worker_memory import NannyMemoryManager, WorkerMemoryManager
from tornado.ioloop import PeriodicCallback

from workbench.cluster import memory

MIB = 1 << 20


@pytest.fixture
def shared(memory_directory: Path) -> Any:
    """128 MiB of shared memory that this process has touched."""
    path = memory_directory / "pages"
    with path.open("w+b") as file:
        file.truncate(128 * MIB)
        mapping = mmap.mmap(file.fileno(), 0)
        for place in range(0, len(mapping), 4096):
            mapping[place] = 1
    yield mapping
    mapping.close()


def test_shared_pages_do_not_count(shared: Any) -> None:
    """A process's own memory is its RSS without shared memory; pages of libraries count, as Dask counts them."""
    rss = psutil.Process().memory_info().rss
    own = memory.own_nbytes()
    assert rss - own >= 0.95 * 128 * MIB
    assert own == pytest.approx(rss - len(shared), rel=0.1)
    assert memory.own_nbytes(os.getpid(), files=False) < own


def test_a_process_that_has_gone_has_no_memory() -> None:
    """Who asks for a dead process gets an error that says so."""
    with pytest.raises(ProcessLookupError, match="no process"):
        memory.own_nbytes(2**22 + 1)


class Thing:
    """An object with attributes, standing for a worker or a nanny."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


def test_a_worker_reports_its_own_memory_until_undone(shared: Any) -> None:
    """The monitor that Dask asks (to pause, to spill, for the dashboard) leaves shared pages out."""
    monitor = SystemMonitor()
    worker = cast("Worker", Thing(monitor=monitor))
    undo = memory.correct_worker(worker, files=True)
    corrected = monitor.get_process_memory()
    undo()
    assert monitor.get_process_memory() - corrected > 0.9 * len(shared)


@pytest.mark.parametrize(("limit", "called"), [(2000 * MIB, 0), (None, 1), (10 * MIB, 1)])
def test_a_nanny_asks_dasks_monitor_only_when_own_memory_is_too_much(
    limit: int | None, called: int, shared: Any
) -> None:
    """What Dask's monitor does, it does; but it is not asked for memory that is shared."""
    calls: list[int] = []
    periodic = PeriodicCallback(lambda: calls.append(1), 100)
    manager = Thing(memory_limit=limit, memory_terminate_fraction=0.95)
    nanny = cast(
        "Nanny", Thing(pid=os.getpid(), memory_manager=manager, periodic_callbacks={"memory_monitor": periodic})
    )
    plugin = memory.WorkbenchNannyPlugin()
    plugin.setup(nanny)
    plugin.setup(nanny)  # a restarted worker sends it again
    periodic.callback()
    assert len(calls) == called


def test_dask_still_measures_where_it_is_overridden() -> None:
    """The overrides rest on these lines of Dask; when they change, ``memory.py`` must be looked at again."""
    worker = inspect.getsource(WorkerMemoryManager)
    assert "worker.monitor.get_process_memory()" in worker
    assert "memory_info()" not in worker
    assert "memory_info().rss" in inspect.getsource(SystemMonitor.get_process_memory)
    assert "self.get_process_memory()" in inspect.getsource(SystemMonitor.update)
    nanny = inspect.getsource(NannyMemoryManager)
    assert 'nanny.periodic_callbacks["memory_monitor"] = pc' in nanny
    assert "memory = psutil.Process(process.pid).memory_info().rss" in nanny
    assert "memory / self.memory_limit <= self.memory_terminate_fraction" in nanny
    assert "self.callback()" in inspect.getsource(PeriodicCallback)
