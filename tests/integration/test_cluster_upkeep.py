from __future__ import annotations

import os
import signal
from pathlib import Path

import dask
import numpy as np
import pytest

import workbench as wb
from tests.integration.clusters import DEADLINE, places, running_cluster, until
from workbench.local_cluster import LocalCluster
from workbench.store import Store

MIB = 1 << 20

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")


def test_replicas_survive_the_death_of_nodes(home: Path) -> None:
    """Wished numbers are kept up; sources and drained nodes that die are errors that lose nothing. Three scenes on one cluster of three nodes."""
    # Dask's own clusters give up a nanny whose worker is away in one moment some time after it was lost; here one is killed again and again.
    settings = {"workbench.replica-grace": 0.1, "distributed.deploy.lost-worker-timeout": "1 hour"}
    with dask.config.set(settings), running_cluster(home, nodes=3, capacity="1 GiB") as cluster:
        wb.connect(cluster)
        a_lost_replica_is_made_up_for_and_given_up_when_it_is_back()
        a_source_that_dies_in_the_middle_of_a_move_loses_nothing(cluster)
        a_node_that_dies_while_it_is_drained_is_no_success()


def kill(node: str) -> None:
    """Kill the worker of a node with SIGKILL; its nanny starts another one."""
    session = wb.current_session()
    assert session.cluster is not None
    [address] = [each.address for each in wb.nodes() if each.name == node]
    [pid] = session.cluster.client.run(os.getpid, workers=[address]).values()
    os.kill(pid, signal.SIGKILL)


def running() -> set[str]:
    """Names of the nodes that run."""
    return {node.name for node in wb.nodes() if node.state == "running"}


def safe(key: str) -> set[str]:
    """Names of the running nodes that have an object."""
    return {replica.node_name for replica in wb.where(key) if replica.state != "lost"}


def a_lost_replica_is_made_up_for_and_given_up_when_it_is_back() -> None:
    """After the grace time another node has it, as an operation with its reason; when the lost node is back, the wished number is left."""
    wb.put(np.arange(100_000), "kept", replicas=2)
    wb.put(np.arange(100_000), "single")
    wb.move("single", to="node-1").wait()
    [lost] = places("kept") - {"node-1"}
    [other] = {"node-2", "node-3"} - {lost}
    kill(lost)
    until(lambda: other in safe("kept"), "another node has it")
    done = next(operation for operation in wb.operations() if operation.verb == "keep-up")
    assert "safe replica 2 of 2" in done.reasons[0]
    until(lambda: len(running()) == 3, "the node is back")
    until(lambda: places("kept") == {"node-1", lost}, "what was made in its place is given up")
    assert places("single") == {"node-1"}
    np.testing.assert_array_equal(wb.get("kept"), np.arange(100_000))


def a_source_that_dies_in_the_middle_of_a_move_loses_nothing(lasting_cluster: LocalCluster) -> None:
    """The operation ends in bounded time; no half replica is left; the object is there again when its node is, and moves then."""
    wb.put(np.ones(300 * MIB, "u1"), "big")
    wb.move("big", to="node-2").wait()
    with Store.open(lasting_cluster.directories[2]) as destination:
        operation = wb.move("big", to="node-3")
        until(lambda: destination.memory().writing or operation.state != "running", "it is under way")
        kill("node-2")
        # It fails, unless the node is back so soon that the destination goes on from there.
        try:
            operation.wait(DEADLINE)
        except wb.ClusterError:
            assert not destination.memory().writing
            assert not destination.exists("big")
    until(lambda: len(running()) == 3, "the node is back")
    wb.move("big", to="node-3").wait()
    assert places("big") == {"node-3"}
    assert int(wb.get("big")[::4096].sum()) == 300 * MIB // 4096


def a_node_that_dies_while_it_is_drained_is_no_success() -> None:
    """It is done only if nothing is only there, and else names the node; it is drained anew when it is back."""
    refs = [wb.put(np.full(40 * MIB, number, "u1")) for number in range(5)]
    for ref in refs:
        wb.move(ref, to="node-2").wait()
    operation = wb.drain("node-2")
    kill("node-2")
    try:
        operation.wait(DEADLINE)
    except wb.ClusterError as error:
        said = str(error)
    else:
        said = "node-2" if all(places(ref.id) - {"node-2"} for ref in refs) else "it is no success"
    assert "node-2" in said, said
    until(lambda: "lost" not in {node.state for node in wb.nodes()}, "the node is back")
    wb.drain("node-2").wait()
    assert all(safe(ref.id) - {"node-2"} for ref in refs)
    wb.undrain("node-2")
