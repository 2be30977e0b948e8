"""Reading what other nodes have, in a real cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from distributed import Client

import workbench as wb
from tests.benchmarks.measuring import private_growth
from tests.integration.clusters import DEADLINE, places, until
from workbench.local_cluster import LocalCluster

MIB = 1 << 20

pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture(scope="module", autouse=True)
def used(lasting_cluster: LocalCluster) -> None:
    """Workers say who they are once they have mapped something, and go on saying so: that is no leak of a test."""

    def map_something() -> None:
        ref = wb.put(np.ones(100_000))
        wb.get(ref)
        wb.delete(ref)

    with Client(lasting_cluster) as client:
        for worker in client.scheduler_info()["workers"]:
            client.submit(map_something, workers=[worker], pure=False).result(timeout=DEADLINE)


def on_node_2(client: Client, work: Callable[..., Any], *arguments: Any) -> Any:
    """Run something in a task of the second node."""
    [address] = [worker for node in wb.nodes() if node.name == "node-2" for worker in node.workers]
    return client.submit(work, *arguments, workers=[address], pure=False).result(timeout=DEADLINE)


def state_on(key: str, node: str) -> str | None:
    """How a node has an object."""
    return next((replica.state for replica in wb.where(key) if replica.node_name == node), None)


def _sum(name: str) -> float:
    return float(wb.get(name).sum())


def _put_ones(nbytes: int) -> None:
    wb.put(np.ones(nbytes, "u1"))


def _pulls() -> int:
    from workbench.cluster import current

    plugin = current()
    assert plugin is not None
    return plugin._fetching.begun


def test_a_reader_gets_a_cached_replica_which_goes_first(lasting_cluster: LocalCluster) -> None:
    """What a task reads from elsewhere is cached on its node, is dropped there when room is needed, and is fetched again."""
    client = lasting_cluster.get_client()
    wb.put(np.ones(60 * MIB, "u1"), "read")
    assert on_node_2(client, _sum, "read") == 60 * MIB
    until(lambda: state_on("read", "node-2") == "cached", "the replica is announced")
    assert state_on("read", "node-1") == "memory"
    on_node_2(client, _put_ones, 220 * MIB)
    until(lambda: places("read") == {"node-1"}, "it was dropped")
    until(lambda: wb.ls(unnamed=True), "what took its place is announced")
    for info in wb.ls(unnamed=True):
        wb.delete(info.id)
    assert on_node_2(client, _sum, "read") == 60 * MIB
    cluster = wb.current_session().cluster
    assert cluster is not None
    fetched = cluster.operations().infos
    assert {(each.verb, each.state) for each in fetched if each.name == "read"} == {("fetch", "done")}


def test_a_cached_replica_is_kept_before_the_last_ordinary_one_goes(lasting_cluster: LocalCluster) -> None:
    """Dropping the ordinary replica makes the cached one ordinary first; a wish for a replica does, too."""
    client = lasting_cluster.get_client()
    for name in ("dropped", "wished"):
        wb.put(np.arange(100_000.0), name)
        on_node_2(client, _sum, name)
        until(lambda name=name: state_on(name, "node-2") == "cached", "the replica is announced")  # type: ignore[misc]
    wb.drop("dropped", "node-1")
    until(lambda: [(r.node_name, r.state) for r in wb.where("dropped")] == [("node-2", "memory")], "it is kept")
    with pytest.raises(wb.LastReplicaError):
        wb.drop("dropped", "node-2")
    wb.replicate("wished", to="node-2").wait(DEADLINE)
    until(lambda: state_on("wished", "node-2") == "memory", "it is an ordinary one")


def test_a_replica_that_was_lost_elsewhere_is_kept(lasting_cluster: LocalCluster) -> None:
    """When one store deletes the last ordinary replica by itself, the cached one becomes ordinary."""
    client = lasting_cluster.get_client()
    ref = wb.put(np.arange(100_000.0), "only")
    on_node_2(client, _sum, "only")
    until(lambda: state_on("only", "node-2") == "cached", "the replica is announced")
    wb.current_session().store.delete(ref)
    until(lambda: [(r.node_name, r.state) for r in wb.where(ref)] == [("node-2", "memory")], "it is kept")


def test_a_transfer_goes_from_segment_to_segment(lasting_cluster: LocalCluster) -> None:
    """Neither worker has a part of the object in memory of its own: what is under way lies in the kernel."""
    with Client(lasting_cluster) as client:
        pids = list(client.run(os.getpid).values())
    wb.replicate(wb.put(np.ones(10 * MIB, "u1")), n=2).wait()  # what is made once belongs to no transfer
    wb.put(np.ones(80 * MIB, "u1"), "large")
    assert private_growth(pids, lambda: wb.replicate("large", n=2).wait()) < 8 * MIB
    assert places("large") == {"node-1", "node-2"}


def test_two_readers_of_one_node_cause_one_transfer(lasting_cluster: LocalCluster) -> None:
    """However many read an object at the same time on one host, it comes there once."""
    client = lasting_cluster.get_client()
    wb.put(np.ones(80 * MIB, "u1"), "popular")
    before = on_node_2(client, _pulls)

    def read_twice() -> list[float]:
        found: list[float] = []
        threads = [threading.Thread(target=lambda: found.append(_sum("popular"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    assert on_node_2(client, read_twice) == [80 * MIB] * 3
    assert on_node_2(client, _pulls) == before + 1
