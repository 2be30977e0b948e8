"""What a cluster remembers when its processes are killed and started again: what was deleted or renamed, and what is drained."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.clusters import dask, until
from tests.processes import Process
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")

_PRELOAD = ("--preload", "workbench.cluster", "--no-dashboard")


class ByHand:
    """A scheduler and workers without nannies, on hosts that are started and killed one by one."""

    def __init__(self, home: Path, scratch: Path, stack: contextlib.ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._home, self._scratch, self._stack = home, scratch, stack
        self._running: dict[str, subprocess.Popen[str]] = {}

    def start(self, *hosts: str) -> None:
        """Start what is named so: ``scheduler``, or a host's worker."""
        for host in hosts:
            command = ["scheduler", "--host", "127.0.0.1", "--port", self.port]
            if host != "scheduler":
                command = ["worker", self.address, "--no-nanny", "--nthreads", "1"]
                command += ["--host", "127.0.0.1", "--local-directory", str(self._scratch)]
            self._running[host] = self._stack.enter_context(dask(*command, *_PRELOAD, directory=self._home / host))

    def kill(self, *hosts: str) -> None:
        """Kill with SIGKILL."""
        for host in hosts:
            self._running[host].kill()
            self._running[host].wait()

    def end(self, *hosts: str) -> None:
        """End one after the other as Ctrl-C does, so that a worker takes its connection file along."""
        for host in hosts:
            self._running[host].send_signal(signal.SIGINT)
            self._running[host].communicate(timeout=60)


@pytest.fixture
def by_hand(home: Path, tmp_path: Path) -> Iterator[ByHand]:
    """A scheduler, and a worker on each of the hosts east and west."""
    with contextlib.ExitStack() as stack:
        cluster = ByHand(home, tmp_path, stack)
        cluster.start("scheduler", "east", "west")
        yield cluster


def nodes(kernel: Process) -> dict[str, str]:
    """Names and states of the nodes."""
    found: dict[str, str] = kernel.do("result = {node.name: node.state for node in wb.nodes()}")
    return found


def names(kernel: Process) -> list[str]:
    """All names of the cluster."""
    found: list[str] = kernel.do("result = sorted(name for info in wb.ls() for name in info.names)")
    return found


def connect(kernel: Process, cluster: ByHand, **states: str) -> None:
    """Connect, and wait until the nodes are in these states."""
    kernel.do(f"client = wb.connect({cluster.address!r}, timeout=30)")
    until(lambda: nodes(kernel) == states, f"the nodes are {states}")


def test_what_was_deleted_and_what_is_drained_stays_so_whoever_is_killed(by_hand: ByHand, home: Path) -> None:
    """A node that was away brings nothing back: neither to the scheduler that deleted it nor to the next one; and what is drained is so for that one, too."""
    with Process(home / "east") as kernel, Store.open(home / "west") as west:
        kernel.do("import workbench as wb, numpy as np")
        connect(kernel, by_hand, east="running", west="running")
        kernel.do(
            "wb.put(1, 'x', replicas=2); wb.put(2, 'y'); wb.move('y', to='west').wait(); wb.put(3, 'z', replicas=2)"
        )

        by_hand.kill("west")
        until(lambda: nodes(kernel)["west"] == "lost", "west is lost")
        kernel.do("wb.delete('x'); wb.put(4, 'y'); wb.delete('y')")
        assert names(kernel) == ["z"]
        by_hand.start("west")
        until(lambda: not west.names().keys() - {"z"}, "what was deleted, or replaced by what was deleted, has gone")
        assert names(kernel) == ["z"]

        by_hand.kill("west")
        until(lambda: nodes(kernel)["west"] == "lost", "west is lost")
        kernel.do("wb.delete('z'); client.close()")
        by_hand.kill("scheduler", "east")
        by_hand.start("scheduler", "west")
        connect(kernel, by_hand, west="running")
        until(lambda: names(kernel) == ["z"], "what west has is known, and nobody here knows that it is deleted")
        by_hand.start("east")
        until(lambda: "z" not in west.names(), "east has told")
        assert kernel.do("result = wb.exists('z')") is False

        until(lambda: nodes(kernel) == {"east": "running", "west": "running"}, "both have joined")
        kernel.do("wb.put(5, 'kept'); wb.drain('west').wait(); client.close()")
        by_hand.kill("scheduler", "east", "west")
        by_hand.start("scheduler", "east", "west")
        kernel.do(f"client = wb.connect({by_hand.address!r}, timeout=30)")
        until(
            lambda: nodes(kernel) in ({"east": "running", "west": state} for state in ("drained", "draining")),
            "it is drained yet",
        )
        kernel.do("wb.undrain('west')")
        assert nodes(kernel)["west"] == "running"
        assert not west.drained


def test_a_node_that_was_away_follows_a_renaming(by_hand: ByHand, home: Path) -> None:
    """Whether it is known to be away or was killed a moment ago; and its replica stays, whoever has the old name meanwhile."""
    with Process(home / "east") as kernel, Store.open(home / "west") as west:
        kernel.do("import workbench as wb, numpy as np")
        connect(kernel, by_hand, east="running", west="running")
        kernel.do("wb.put(1, 'one', replicas=2); wb.put(2, 'two', replicas=2)")
        by_hand.kill("west")
        kernel.do("wb.rename('one', 'uno')")
        until(lambda: nodes(kernel)["west"] == "lost", "west is lost")
        kernel.do("wb.rename('two', 'dos'); wb.rename('dos', 'due'); wb.put(3, 'two')")
        assert names(kernel) == ["due", "two", "uno"]
        by_hand.start("west")
        until(lambda: west.names().keys() == {"due", "uno"}, "west has renamed its replicas")
        assert names(kernel) == ["due", "two", "uno"]
        assert kernel.do("result = [wb.get(name) for name in ('uno', 'due', 'two')]") == [1, 2, 3]
        assert kernel.do("result = [len(wb.where(name)) for name in ('uno', 'due', 'two')]") == [2, 2, 1]


def test_what_is_deleted_while_no_cluster_runs_stays_deleted(by_hand: ByHand, home: Path) -> None:
    """An object, and a dataset with the partitions that other hosts have."""
    with Process(home / "east") as kernel, Store.open(home / "west") as west:
        kernel.do("import workbench as wb, numpy as np, pandas as pd, dask.dataframe as dd")
        connect(kernel, by_hand, east="running", west="running")
        kernel.do("wb.put(1, 'one', replicas=2); wb.put(2, 'two', replicas=2)")
        kernel.do(
            "dd.from_pandas(pd.DataFrame({'x': range(1000)}), npartitions=8).persist_shared('set'); wb.replicate('set', n=2).wait()"
        )
        assert {"one", "two", "set"} <= west.names().keys()
        by_hand.end("west", "east", "scheduler")
        with Process(home / "east") as other:
            other.do("import workbench as wb; wb.delete('one'); wb.delete('set')")
        by_hand.start("scheduler", "west", "east")
        until(lambda: west.names().keys() == {"two"}, "west has deleted it, too")
        connect(kernel, by_hand, east="running", west="running")
        assert names(kernel) == ["two"]
        assert west.count() == 1
