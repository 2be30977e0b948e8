"""From catalogs to JSON: who is right when the host and the cluster disagree, and what a panel is told."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

from tests.processes import ROOT
from workbench.jupyter.server.host import HostState
from workbench.jupyter.server.link import ClusterState
from workbench.jupyter.server.snapshot import holders_of_datasets, merge, state_json
from workbench.objects import Holder, Memory, NodeInfo, ObjectId, ObjectInfo, Replica

HERE, THERE = "a" * 32, "b" * 32
MEMORY = Memory(100, 10, 0, 0, 0, 0, 0, 90)


def info(number: int, *nodes: str, kind: str = "array", **more: object) -> ObjectInfo:
    """Make the description of an object on some nodes."""
    replicas = tuple(Replica(node, node[0], "memory", 10) for node in nodes)
    plain = ObjectInfo(
        ObjectId(f"{number:032x}"), None, (), kind, "t", (1,), {}, 10, 0, float(number), 0.0, False, None, {}, replicas
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]  # each is named by the caller


def host(*infos: ObjectInfo, holders: tuple[Holder, ...] = ()) -> HostState:
    """Make what a look at the store of this host found."""
    return HostState("/d", HERE, MEMORY, infos, holders)


def places(infos: list[ObjectInfo]) -> dict[int, list[str]]:
    """Return the nodes of each object, by its number."""
    return {int(one.id, 16): [replica.node[0] for replica in one.replicas] for one in infos}


def test_host_is_right_about_itself() -> None:
    """What this host has is shown at once, and what it dropped is gone at once, whatever the cluster has heard."""
    known = [info(1, HERE, THERE), info(2, HERE), info(3, HERE, THERE)]
    found = merge(host(info(1), info(4)), "here", known)
    assert places(found) == {1: ["a", "b"], 3: ["b"], 4: ["a"]}
    assert [int(one.id, 16) for one in found] == [4, 3, 1]
    assert {replica.node_name for one in found for replica in one.replicas if replica.node == HERE} == {"here"}


def test_names_of_both_are_kept() -> None:
    """A name that only the cluster knows of, or only this host, is a name of the object."""
    remote = info(1, THERE, name="x", names=("x",))
    (found,) = merge(host(info(1, name="y", names=("y",))), "here", [remote])
    assert (found.name, found.names) == ("y", ("y", "x"))


def test_without_a_store_the_cluster_is_shown_as_it_is() -> None:
    """A server on a host that shares nothing still shows what the cluster has."""
    nothing = HostState("/d", error=("no-store", "nothing"))
    state = state_json("1", nothing, ClusterState("connected", "tcp://x", objects=(info(1, THERE),)), 10)
    assert state["store"] is None
    assert [replica["node"] for replica in state["objects"][0]["replicas"]] == [THERE]


def test_holder_of_partitions_holds_the_dataset_once() -> None:
    """A process with three partitions mapped is one holder of the dataset, with all their bytes, since the first of them."""
    dataset = info(9, HERE, kind="dataset", name="d", names=("d",))
    parts = [info(number, HERE, tags={"dataset": dataset.id}) for number in (1, 2, 3)]
    leases = [Holder(7, "worker", "w", float(part.created), 10, part.id, None) for part in parts]
    other = Holder(8, "kernel", "k", 5.0, 3, None, "gone", state="deleted", cause="Out[3]")
    another = Holder(8, "kernel", "k", 5.0, 3, None, "gone too", state="deleted")
    found = holders_of_datasets([dataset, *parts], [*leases, other, another])
    assert found == [Holder(7, "worker", "w", 1.0, 30, dataset.id, "d"), other, another]


def test_listing_says_what_it_leaves_out() -> None:
    """Beyond the limit objects are counted instead of shown, newest first."""
    state = state_json("1", host(*(info(number) for number in range(1, 8))), ClusterState(), 5)
    assert [int(one["id"], 16) for one in state["objects"]] == [7, 6, 5, 4, 3]
    assert state["truncated"] == 2
    assert json.loads(json.dumps(state)) == state


def test_node_of_this_host_is_listed_once() -> None:
    """With a cluster this host is the node that the cluster lists."""
    node = NodeInfo(HERE, "node-1", "tcp://x", ("tcp://x",), 100, 10, "running")
    state = state_json("1", host(info(1)), ClusterState("connected", "tcp://s", nodes=(node,)), 5)
    assert [(one["name"], one["state"]) for one in state["nodes"]] == [("node-1", "running")]
    assert state["objects"][0]["replicas"][0]["node_name"] == "node-1"


def test_server_side_brings_neither_dask_nor_pandas() -> None:
    """Loading the extension costs a Jupyter server none of the libraries that only kernels and workers need."""
    program = (
        "import sys, workbench.jupyter.server.app;"
        "print([m for m in ('distributed', 'pandas', 'pyarrow', 'polars', 'cloudpickle', 'IPython') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
