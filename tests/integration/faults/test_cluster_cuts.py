"""Faults in the middle of a move: links that are cut, processes that are killed or stand still, stores that are full, versions that differ.

Each must end in bounded time with an error that says what happened, without half a replica, and with the source as it was. Hosts are network
namespaces (``namespaces.py``), and skipped where the machine does not allow them. The scheduler's host is never cut here: for the workers that is the same
as a scheduler that was killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from distributed import Client

import workbench as wb
from tests.conftest import SHM
from tests.integration.clusters import until
from tests.integration.faults.cluster_truth import array, label_of
from tests.integration.namespaces import Network, network
from tests.store.mounts import tmpfs
from workbench.cluster.messages import PROTOCOL
from workbench.cluster.operations import Operation
from workbench.testing import inconsistencies

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("own_store", "workbench_directory"),
    # Tornado's, which was connected in the moment in which Dask gave up waiting for that; nobody else has it.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

NBYTES: Final = 64 << 20
BOUND: Final = 60.0
"""Seconds that any fault may take to become an error, on a machine that is busy; the limits below are a fraction of it."""
SIDES: Final = ("b", "c") if int(os.environ.get("WORKBENCH_CLUSTER_KILLS") or 0) >= 100 else ("c",)
"""Hosts that are cut: the source only in long runs, for it looks much like one that stands still."""
SETTINGS: Final = {
    "WORKBENCH_CAPACITY": "256 MiB",
    "WORKBENCH_TRANSFER_TIMEOUT": "3",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",  # Dask sends ten probes, one a second
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "4s",
}


class Cluster:
    """A scheduler on host a, and workers on b and c, which come back when they have ended; d has whatever a test needs.

    Parameters
    ----------
    hosts : Network
    home : Path
    """

    def __init__(self, hosts: Network, home: Path) -> None:
        self.hosts, self.home = hosts, home
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.start_scheduler()

    def start_scheduler(self) -> None:
        """Start a scheduler, at the same address each time."""
        log = self.home / "scheduler-a.log"
        log.unlink(missing_ok=True)
        self.address = self.hosts["a"].start_scheduler(**SETTINGS)

    def start(self, host: str, *options: str, **more: str) -> None:
        """Start a worker."""
        self.workers[host] = self.hosts[host].start_worker(self.address, *options, **{**SETTINGS, **more})

    def heal(self, session: wb.Session) -> None:
        """Join all links, start what has ended, and wait until all are there."""
        for host in "bc":
            self.hosts[host].restore()
            self.hosts[host].shape()
            if host in self.workers:
                self.workers[host].send_signal(signal.SIGCONT)

        def whole() -> bool:
            for host in "bc":
                if host not in self.workers or self.workers[host].poll() is not None:
                    self.start(host)
            return {node.name for node in session.nodes() if node.workers} >= {"b", "c"}

        until(whole, "both nodes are there")

    def scheduler(self) -> subprocess.Popen[bytes]:
        """The scheduler's process."""
        return self.hosts["a"]._programs[-1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One cluster for all tests of this module, which each test leaves empty."""
    # Not where each test looks for leaks: workers come and go here.
    home = Path(tempfile.mkdtemp(prefix=f"workbench-cuts-{os.getpid()}-", dir=SHM))
    try:
        with network("a", "b", "c", "d", home=home) as hosts:
            yield Cluster(hosts, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def connected(cluster: Cluster, home: Path) -> Iterator[wb.Session]:
    """A session of this process, which is on none of the hosts."""
    with Client(cluster.address) as client, wb.Session(home / "store") as session:
        for host in "bc":
            if host not in cluster.workers:
                cluster.start(host)

        def connects() -> bool:
            with contextlib.suppress(wb.ClusterError):  # a worker has not joined yet
                session.connect(client, timeout=3)
            return session.cluster is not None

        until(connects, "connected")
        cluster.heal(session)
        yield session


@pytest.fixture
def session(cluster: Cluster, home: Path, own_store: None) -> Iterator[wb.Session]:
    """A session that sees the whole cluster, with one object on host b, called ``x``."""
    with connected(cluster, home) as found:
        with wb.Session(cluster.hosts["b"].store) as there:
            there.put(array("x", NBYTES), "x")
        yield found
        cluster.heal(found)
        for info in found.ls(parts=True):
            found.delete(info.id)


def begin_move(cluster: Cluster, session: wb.Session, to: str = "c") -> Operation:
    """Begin to move ``x`` over a slow link, and return when a part has arrived."""
    cluster.hosts["b"].shape(rate=2e8)
    operation = session.move("x", to=to)
    until(lambda: operation.progress > 0.05 or operation.state != "running", "some has arrived")
    assert operation.state == "running"
    return operation


def check(cluster: Cluster, *, at: str = "b", lost: str = "c") -> None:
    """The object is whole on one host, and the other has nothing of it, and nothing to clean up."""
    with wb.Session(cluster.hosts[at].store) as there:
        assert label_of(there.get("x")) == "x"
    with wb.Session(cluster.hosts[lost].store) as there:
        assert there.ls() == []
        until(lambda: there.store.doctor() is not None and not inconsistencies(there.store), "nothing half is left")
        assert not there.memory().writing


def fails(operation: Operation, error: type[Exception], match: str) -> None:
    """The operation ends with an error, in bounded time."""
    began = time.monotonic()
    with pytest.raises(error, match=match):
        operation.wait(BOUND)
    assert time.monotonic() - began < BOUND


@pytest.mark.parametrize("cut", SIDES)
def test_a_link_that_is_cut_in_the_middle_of_a_move(cluster: Cluster, session: wb.Session, cut: str) -> None:
    """Whichever side is cut, the move fails, the source has all of it and the destination nothing; afterwards it can be moved."""
    operation = begin_move(cluster, session)
    cluster.hosts[cut].cut()
    fails(operation, wb.TransferError, "stays where it|sources are untouched")
    cluster.hosts[cut].restore()
    cluster.heal(session)
    check(cluster)

    def moves() -> bool:
        with contextlib.suppress(
            wb.TransferError
        ):  # the scheduler may hear only now that the worker was cut off, and lose it for a moment
            session.move("x", to="c").wait(BOUND)
            return True
        return False

    until(moves, "it can be moved")
    check(cluster, at="c", lost="b")


def test_a_source_that_stands_still(cluster: Cluster, session: wb.Session) -> None:
    """A process that says nothing any more, on a connection that is in order, is given up after a time; when it goes on all is well."""
    operation = begin_move(cluster, session)
    cluster.workers["b"].send_signal(signal.SIGSTOP)
    fails(operation, wb.TransferError, "sources are untouched")
    cluster.workers["b"].send_signal(signal.SIGCONT)
    cluster.heal(session)
    check(cluster)


def test_a_destination_that_is_killed(cluster: Cluster, session: wb.Session) -> None:
    """The move fails at once; a worker that comes back finds nothing half."""
    operation = begin_move(cluster, session)
    cluster.workers["c"].kill()
    fails(operation, wb.TransferError, "c was lost while")
    check(cluster)


def test_a_scheduler_that_is_killed(cluster: Cluster, session: wb.Session, home: Path) -> None:
    """Whoever waits hears of it; a new scheduler knows all that the nodes have, and the move can be made again."""
    operation = begin_move(cluster, session)
    scheduler = cluster.scheduler()
    scheduler.kill()
    scheduler.wait(30)
    fails(operation, wb.ClusterError, "has gone in the middle of the move|does not answer|no operation")
    cluster.start_scheduler()
    for host in "bc":
        cluster.workers[host].wait(BOUND)
        cluster.start(host)
    with connected(cluster, home) as again:
        check(cluster)
        assert [replica.node_name for replica in again.where("x")] == ["b"]
        again.move("x", to="c").wait(BOUND)
        check(cluster, at="c", lost="b")


@pytest.mark.filterwarnings("ignore:The capacity of the store:workbench.store.directory.CapacityWarning")
@pytest.mark.parametrize("limit", ["store", "file system"])
def test_a_destination_that_is_full(cluster: Cluster, session: wb.Session, limit: str) -> None:
    """A store without room and a file system without room are errors that say so; what was there before stays."""
    host = cluster.hosts["d"]

    def joined() -> str | None:
        # Its name may be that of a node that is lost, which keeps it: then it is another one.
        return next((node.name for node in session.nodes() if node.name[0] == "d" and node.workers), None)

    with contextlib.ExitStack() as stack:
        if limit == "file system":
            host.store.parent.mkdir(exist_ok=True)
            stack.enter_context(tmpfs(host.store, "size=40m,mode=700"))
        with wb.Session(host.store, capacity=(48 << 20) if limit == "store" else (256 << 20)) as there:
            there.put(array("before", 20 << 20), "before")
        cluster.start("d", WORKBENCH_CAPACITY="48 MiB" if limit == "store" else "256 MiB")
        try:
            fails(session.move("x", to=until(joined, "d has joined")), wb.StoreFullError, "full|room")
            with wb.Session(cluster.hosts["b"].store) as there:
                assert label_of(there.get("x")) == "x"
            with wb.Session(host.store) as there:
                assert [info.name for info in there.ls()] == ["before"]
                assert label_of(there.get("before")) == "before"
                assert inconsistencies(there.store) == []
        finally:
            cluster.workers["d"].kill()
            cluster.workers.pop("d").wait(30)
            if limit == "store":
                shutil.rmtree(host.store)


def test_a_node_with_another_version(cluster: Cluster, session: wb.Session) -> None:
    """It does not join, and says why; who connects hears which worker it is; the others go on."""
    cluster.start("d", "--preload", "tests.integration.faults.skewed")
    try:
        said = f"speaks version {PROTOCOL} of the workbench's protocol, and was asked in version {PROTOCOL + 98}"
        cluster.hosts["d"].wait_for_log("worker-d.log", said)
        with pytest.raises(wb.ClusterError, match="[Nn]ode '?d"):
            session.move("x", to="d").wait(BOUND)
        with Client(cluster.address) as client, pytest.raises(wb.ClusterError, match="the same version"):
            session.connect(client, timeout=1)
        session.move("x", to="c").wait(BOUND)
        check(cluster, at="c", lost="b")
    finally:
        cluster.workers["d"].kill()
        cluster.workers.pop("d").wait(30)
