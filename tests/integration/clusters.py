"""Real clusters for tests: processes on this machine, stores in a directory of their own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import workbench as wb
from tests.conftest import PREFIX, SHM
from tests.processes import environment
from workbench.local_cluster import LocalCluster

DEADLINE = 30.0
"""Seconds until something that should have happened is taken as never happening."""


@contextlib.contextmanager
def shared_home() -> Iterator[Path]:
    """A directory in shared memory for longer than one test."""
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=SHM))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def running_cluster(home: Path, **options: Any) -> Iterator[LocalCluster]:
    """A cluster whose first node is the store in `home`; the session that started it is not the tests' session."""
    previous = wb.use_session(wb.Session(home / "store"))
    try:
        options = {"nodes": 2, "capacity": "256 MiB", "dashboard_address": ":0", "threads_per_worker": 1, **options}
        with wb.LocalCluster(**options) as cluster:
            mine = wb.use_session(previous)
            try:
                yield cluster
            finally:
                previous = wb.use_session(mine)
    finally:
        mine = wb.use_session(previous)
        if mine is not None:
            mine.close()


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Look again and again until something is true, and return it; fail when the deadline has passed."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.01)
    return found


def places(key: str) -> set[str]:
    """Names of the nodes that have an object."""
    return {replica.node_name for replica in wb.where(key)}


def clear() -> None:
    """Delete every object of the cluster that the session is connected with."""
    for info in wb.ls():
        with contextlib.suppress(wb.ObjectNotFoundError):
            wb.delete(info.id)
    until(lambda: not wb.ls(parts=True), "the cluster is empty")


@contextlib.contextmanager
def dask(*arguments: str, directory: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Run Dask's command line as a user does, on a node that is named after its directory."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=environment(directory, WORKBENCH_NODE=directory.name, **more),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
