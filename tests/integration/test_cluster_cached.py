"""Cached replicas when the host that had the ordinary one is gone for good, its store with it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.clusters import DEADLINE, until
from tests.integration.test_cluster_restarts import ByHand, connect, nodes
from tests.processes import Process
from workbench.cluster.scheduler_plugin import GRACE
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")

_PUT = """
import dask.dataframe as dd, pandas as pd
frame = pd.DataFrame({'x': np.arange(40_000.0)})
wb.put(np.arange(1 << 18), 'alone')
wb.put(np.arange(1 << 17), 'tagged', tags={'project': 'a'})
wb.put('small', 'small')
dd.from_pandas(frame, npartitions=2).persist_shared('rows')
"""
_READ = "found = [wb.get(name) for name in ('alone', 'tagged', 'small', 'rows')]; del found"
_CHECK = """
assert wb.get('alone')[-1] == (1 << 18) - 1
assert wb.get('tagged').sum() == sum(range(1 << 17)) and wb.info('tagged').tags['project'] == 'a'
assert wb.get('small') == 'small'
assert wb.get('rows').x.sum() == sum(range(40_000)) and wb.open('rows').x.sum().compute() == sum(range(40_000))
"""


@pytest.fixture
def by_hand(home: Path, tmp_path: Path) -> Iterator[ByHand]:
    """A scheduler, and a worker on the host east."""
    with contextlib.ExitStack() as stack:
        cluster = ByHand(home, tmp_path, stack)
        cluster.start("scheduler", "east")
        yield cluster


def states(store: Store) -> set[str]:
    """The states of all replicas of a store."""
    return {replica.state for info in store.ls() for replica in info.replicas}


@pytest.mark.parametrize("scheduler_too", [False, True])
def test_what_was_only_read_elsewhere_is_kept_when_its_host_is_gone_for_good(
    by_hand: ByHand, home: Path, scheduler_too: bool
) -> None:
    """The cached replicas are ordinary ones from then on, so that no need of room takes them; nothing is lost, and names, tags and datasets are as before."""
    with Process(home / "east") as east, Process(home / "west") as west, Store.open(home / "west") as store:
        east.do("import workbench as wb, numpy as np")
        connect(east, by_hand, east="running")
        east.do(_PUT)
        by_hand.start("west")
        west.do("import workbench as wb, numpy as np")
        connect(west, by_hand, east="running", west="running")
        west.do(_READ)
        held = {info.id for info in store.ls()}
        assert "cached" in states(store)

        # Without a nanny a worker ends with its scheduler.
        by_hand.kill(*(("east", "scheduler", "west") if scheduler_too else ("east",)))
        east.kill()
        shutil.rmtree(home / "east")
        if scheduler_too:
            by_hand.start("scheduler", "west")
            connect(west, by_hand, west="running")
        # A scheduler that has just started waits for those that may have ordinary ones.
        patience = DEADLINE + GRACE * scheduler_too
        until(lambda: "cached" not in states(store), "what was cached is kept", patience)
        assert {info.id for info in store.ls()} == held
        west.do(_CHECK)

        by_hand.start("east")
        until(lambda: list(nodes(west).values()).count("running") == 2, "a new host joins in its place")
        west.do(_CHECK)
