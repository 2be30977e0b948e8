"""Ctrl-C in a real process in the middle of what a cluster does for it: it ends at once, and what goes on or not is what the documentation says."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.integration.clusters import DEADLINE, places, until
from tests.processes import Process
from workbench.local_cluster import LocalCluster
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("connected")

MIB = 1 << 20


def _hold_back(held: str) -> None:
    """In each worker: no more than a part of an object is sent while a file is there."""
    from workbench.cluster import sockets

    send = sockets.send

    def slow(sock: Any, pieces: Any) -> None:
        send(sock, pieces)
        while Path(held).exists():
            time.sleep(0.01)

    sockets.send = slow  # in that worker alone


@pytest.fixture
def held(lasting_cluster: LocalCluster, tmp_path: Path) -> Iterator[Path]:
    """A file that, as long as it is there, keeps every transfer in its middle."""
    path = tmp_path / "held"
    path.touch()
    session = wb.current_session()
    assert session.cluster is not None
    session.cluster.client.run(_hold_back, str(path))
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def kernel(lasting_cluster: LocalCluster) -> Iterator[Process]:
    """Another process on the first node's host."""
    with Process(lasting_cluster.directories[0]) as process:
        process.do("import time, pathlib, workbench as wb, numpy as np")
        process.do(f"client = wb.connect({lasting_cluster.scheduler_address!r})")
        yield process


def interrupt(kernel: Process, code: str, middle: Callable[[], Any]) -> None:
    """Let it do something, and press Ctrl-C in the middle; afterwards it can go on working."""
    kernel.start(code)
    until(middle, "it is in the middle")
    kernel.signal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="^KeyboardInterrupt"):
        kernel.finish()
    assert kernel.do("result = wb.nodes()[0].state") == "running"


def running(verb: str) -> bool:
    """Whether an operation is in the middle of its work."""
    return any(each.verb == verb and each.state == "running" for each in wb.operations().infos)


def writing(cluster: LocalCluster) -> int:
    """Bytes that somebody writes on any node, which nobody can see yet."""
    with Store.open(cluster.directories[1]) as other:
        return wb.memory().writing + other.memory().writing


@pytest.mark.parametrize(
    ("verb", "code", "where"),
    [
        ("move", "wb.move('big', to='node-2').wait()", {"node-2"}),
        ("replicate", "wb.replicate('big', n=2).wait()", {"node-1", "node-2"}),
    ],
)
@pytest.mark.parametrize("cancelled", [False, True])
def test_an_operation_goes_on_without_who_waited_for_it_and_can_be_cancelled_by_others(
    lasting_cluster: LocalCluster, kernel: Process, held: Path, verb: str, code: str, where: set[str], cancelled: bool
) -> None:
    """It is the cluster's: Ctrl-C ends the waiting alone. Cancelled by another process it leaves no half replica."""
    wb.put(np.ones(40 * MIB, "u1"), "big")
    interrupt(kernel, code, lambda: running(verb) and writing(lasting_cluster))
    [operation] = [each for each in wb.operations() if each.verb == verb and each.state == "running"]
    if cancelled:
        operation.cancel()
        held.unlink()
        assert operation.state == "cancelled"
        assert places("big") == {"node-1"}
    else:
        held.unlink()
        operation.wait(DEADLINE)
        assert places("big") == where
    assert writing(lasting_cluster) == 0
    assert wb.get("big").sum() == 40 * MIB


def test_a_rebalancing_goes_on_without_who_waited_for_it(
    lasting_cluster: LocalCluster, kernel: Process, held: Path
) -> None:
    """As for any operation: nothing is lost, nothing is half there."""
    for number in range(6):
        wb.put(np.full(20 * MIB, number, "u1"), f"x{number}")
    interrupt(kernel, "wb.rebalance().wait()", lambda: running("rebalance") and writing(lasting_cluster))
    [operation] = [each for each in wb.operations() if each.verb == "rebalance" and each.state == "running"]
    held.unlink()
    operation.wait(DEADLINE)
    assert writing(lasting_cluster) == 0
    assert all(len(places(f"x{number}")) == 1 for number in range(6))
    assert {place for number in range(6) for place in places(f"x{number}")} == {"node-1", "node-2"}
    assert [int(wb.get(f"x{number}")[-1]) for number in range(6)] == list(range(6))


def test_a_get_from_elsewhere_ends_and_what_it_waited_for_is_whole_or_not_there(
    lasting_cluster: LocalCluster, kernel: Process, held: Path
) -> None:
    """Others may wait for the same transfer, so it goes on; what it brings is a cached replica, complete when it can be seen."""
    held.unlink()
    ref = wb.put(np.ones(40 * MIB, "u1"), "far")
    wb.move(ref, to="node-2").wait(DEADLINE)
    held.touch()
    interrupt(kernel, "array = wb.get('far')", lambda: running("fetch") and writing(lasting_cluster))
    here = wb.current_session().store
    assert not here.exists(ref.id)
    held.unlink()
    until(lambda: here.exists(ref.id), "it has come for whoever asks next")
    assert writing(lasting_cluster) == 0
    assert kernel.do("result = int(wb.get('far').sum())") == 40 * MIB


@pytest.mark.parametrize("known", [False, True])
def test_persist_shared_is_cancelled_and_leaves_no_partition(
    lasting_cluster: LocalCluster, kernel: Process, tmp_path: Path, known: bool
) -> None:
    """Its tasks are stopped, its partitions deleted; a dataset that had the name before is as it was."""
    if known:
        kernel.do(_FRAME + "frame.persist_shared('rows')")
        before = {info.id for info in wb.ls(parts=True)}
    else:
        before = set()
    wait = tmp_path / "wait"
    wait.touch()
    code = f"""
{_FRAME}
def slow(part, path):
    while part.x.iloc[0] == 30_000 and pathlib.Path(path).exists():
        time.sleep(0.01)
    return part * 2
frame.map_partitions(slow, {str(wait)!r}, meta=frame._meta).persist_shared('rows')
"""
    try:
        interrupt(kernel, code, lambda: {info.id for info in wb.ls(parts=True)} - before)
    finally:
        wait.unlink()
    # A task that runs cannot be stopped by Dask, which forgets it before it ends: what it puts afterwards is refused.
    kernel.do("def busy(dask_worker): return len(dask_worker.active_threads)")
    until(lambda: kernel.do("result = sum(client.run(busy).values())") == 0, "the tasks have ended")
    until(lambda: {info.id for info in wb.ls(parts=True)} == before, "nothing of it is left")
    until(lambda: writing(lasting_cluster) == 0, "nothing of it is being written")
    if known:
        assert kernel.do("result = wb.get('rows').x.sum()") == sum(range(40_000))


_FRAME = """
import dask.dataframe as dd, pandas as pd
frame = dd.from_pandas(pd.DataFrame({'x': np.arange(40_000.0)}), npartitions=4)
"""
