"""Transfers between hosts whose network is slow, or fails: each host is a network namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import workbench as wb
from tests.integration.clusters import until
from tests.integration.namespaces import Network, network

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")

MIB = 1 << 20
NBYTES = int(os.environ.get("WORKBENCH_TRANSFER_MIB", "48")) * MIB
"""Larger ones on request: figures of small ones have a slow start in them."""
SILENCE = "2"
"""Seconds until a silent source is given up."""


@contextmanager
def three_hosts(
    home: Path, *, rate: float | None = None, delay: float = 0.0
) -> Iterator[tuple[Network, wb.Session, dict[str, subprocess.Popen[bytes]]]]:
    """The hosts a, b and c with a worker each, and a session of this process that is connected with them; a's link has this speed."""
    with network("a", "b", "c", home=home) as hosts:
        hosts["a"].shape(rate=rate, delay=delay)
        scheduler = hosts["a"].start_scheduler()
        workers = {
            host.name: host.start_worker(scheduler, WORKBENCH_TRANSFER_TIMEOUT=SILENCE) for host in hosts.hosts.values()
        }
        with Client(scheduler) as client, wb.Session(home / "store") as session:
            session.connect(client)
            until(lambda: sum(bool(node.workers) for node in session.nodes()) == 3, "all nodes have joined")
            yield hosts, session, workers


def put_on_a(hosts: Network, session: wb.Session) -> None:
    """Put an array on the first host, and a replica of it on the second."""
    with wb.Session(hosts["a"].store) as there:
        there.put(np.arange(NBYTES // 8), "x")
    until(lambda: session.exists("x"), "the object is announced")


def check(hosts: Network, name: str) -> None:
    """The object is whole on a host."""
    with wb.Session(hosts[name].store) as there:
        np.testing.assert_array_equal(there.get("x"), np.arange(NBYTES // 8))
        assert there.memory().writing == 0


def test_sources_that_stop_or_are_cut_off_are_replaced(home: Path) -> None:
    """In the middle of a transfer one source is stopped, then another is cut off: with one left it goes on, with none it is an error."""
    with three_hosts(home) as (hosts, session, workers):
        put_on_a(hosts, session)
        session.replicate("x", to="b").wait(60)
        check(hosts, "b")
        for host in ("a", "b"):
            hosts[host].shape(rate=200e6)
        operation = session.replicate("x", to="c")
        until(lambda: operation.progress > 0, "bytes have arrived")
        os.kill(workers["b"].pid, signal.SIGSTOP)
        operation.wait(60)
        check(hosts, "c")
        os.kill(workers["b"].pid, signal.SIGCONT)
        session.drop("x", "c")
        session.drop("x", "a")
        operation = session.replicate("x", to="c")
        until(lambda: operation.progress > 0, "bytes have arrived")
        hosts["b"].cut()
        with pytest.raises(wb.TransferError, match="could not be brought here|was lost while"):
            operation.wait(60)
        with wb.Session(hosts["c"].store) as there:
            until(lambda: there.memory().writing == 0, "nothing of it stays")
            assert not there.exists("x")
        hosts["b"].restore()


@pytest.mark.parametrize(("rate", "delay"), [(1e9, 0.0), (1e9, 0.01)], ids=["1 Gbit/s", "1 Gbit/s, 20 ms"])
def test_a_slow_network_is_used_to_the_full(home: Path, rate: float, delay: float) -> None:
    """A transfer takes little longer than the line needs for its bytes; the first one, which opens connections, does not count."""
    with three_hosts(home, rate=rate, delay=delay) as (hosts, session, _):
        put_on_a(hosts, session)
        best = 0.0
        for _ in range(2):
            start = time.perf_counter()
            session.replicate("x", to="c").wait(120)
            best = max(best, NBYTES * 8 / (time.perf_counter() - start) / rate)
            check(hosts, "c")
            session.drop("x", "c")
        print(f"{NBYTES // MIB} MiB at {rate / 1e9:g} Gbit/s and {2000 * delay:g} ms: {best:.2f} of the line rate")
        assert best > 0.9 or os.environ.get("WORKBENCH_TRANSFER_MIB") is None
