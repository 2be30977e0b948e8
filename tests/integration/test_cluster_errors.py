"""Errors in a cluster: who has caught one has nothing more in memory than before."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

import workbench as wb
from tests.integration.clusters import running_cluster
from tests.processes import no_collector
from workbench.local_cluster import LocalCluster

FAIL: Sequence[Callable[[], Any]] = [
    lambda: wb.get("nope"),
    lambda: wb.get("nope", timeout=0.3),
    lambda: wb.get_many(["there", "nope"]),
    lambda: wb.info("nope"),
    lambda: wb.delete("nope"),
    lambda: wb.open("nope"),
    lambda: wb.pin("nope"),
    lambda: wb.spill("nope"),
    lambda: wb.rename("nope", "other"),
    lambda: wb.replicate("nope", n=2).wait(10),
    lambda: wb.move("there", to="nowhere"),
    lambda: wb.put(threading.Lock(), "lock"),
    lambda: wb.drain("nowhere"),
]


def _fails_with_memory(fail: Callable[[], Any]) -> bool:
    """Have an object in hand while something fails."""
    value = wb.get("there")
    with contextlib.suppress(wb.WorkbenchError, TypeError):
        fail()
        return False
    return len(value) > 0


def _mapped_after(fail: Callable[[], Any]) -> tuple[bool, frozenset[int]]:
    with no_collector():
        before = wb.current_session().store.mapped()
        failed = _fails_with_memory(fail)
        return failed, wb.current_session().store.mapped() - before


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("fail", FAIL)
def test_memory_goes_with_its_last_user_whatever_failed(fail: Callable[[], Any]) -> None:
    """Here and in a task: no error keeps it, so that what is deleted is given back at once."""
    wb.put(np.arange(100_000), "there")
    assert _mapped_after(fail) == (True, frozenset())


@pytest.mark.usefixtures("own_store")
def test_a_task_that_fails_keeps_no_memory(home: Path) -> None:
    """As in a client."""
    with running_cluster(home) as cluster, Client(cluster) as client:
        wb.connect(client)
        wb.put(np.arange(100_000), "there")
        task = client.submit(_mapped_after, lambda: wb.get("nope"), pure=False)
        assert task.result() == (True, frozenset())


@pytest.mark.usefixtures("connected")
def test_what_was_waited_for_goes_with_its_last_user() -> None:
    """Not finding it at first has left nothing behind."""

    def put() -> None:
        time.sleep(0.5)  # so that the scheduler was asked in vain before
        wb.put(np.arange(100_000), "late")

    with no_collector():
        putting = threading.Thread(target=put)
        putting.start()
        assert wb.get("late", timeout=60)[-1] == 99_999
        putting.join()
        assert not wb.current_session().store.mapped()


@pytest.mark.usefixtures("connected")
def test_closing_is_not_stopped_by_what_dask_failed_with(lasting_cluster: LocalCluster) -> None:
    """Where Dask's reading of the connection has ended with an error, its client raises that when it is closed: it must not stop another connection."""

    async def broken() -> list[asyncio.Future[None]]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(AssertionError("two messages for one"))
        return [future]

    client = wb.connect(lasting_cluster)
    [client._handle_report_task] = client.sync(broken)
    assert wb.connect(lasting_cluster) is not client
    assert len(wb.nodes()) == 2
