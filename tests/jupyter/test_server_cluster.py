"""The server extension beside a real two-node cluster: what it shows, what it does, and how it survives the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.jupyter import openapi
from workbench.objects import MISSING

API = openapi.read()
_PATIENCE = 30.0


def rows(ask: Any, object_id: str, start: int = 0) -> tuple[int, dict[str, Any]]:
    """Ask for rows of a dataset."""
    status, answer = ask("GET", f"objects/{object_id}/preview", params={"start": str(start), "stop": str(start + 2)})
    openapi.check(API, "preview", status, answer)
    return status, answer


@pytest.fixture
def cluster(store_directory: Path) -> Iterator[Any]:
    """Start a cluster of two nodes, the first of which is the store of this host."""
    with wb.LocalCluster(nodes=2, directory=store_directory, capacity="256 MiB", dashboard_address=":0") as cluster:
        yield cluster


def until(ask: Any, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Ask for the state until a condition holds."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        state: dict[str, Any] = ask("GET", "state")[1]
        if condition(state):
            return state
        time.sleep(0.05)  # between two questions: who asks without a pause is refused
        assert time.monotonic() < deadline, f"not within {_PATIENCE} s: {what}; last: {json.dumps(state, indent=1)}"


def nodes_of(state: dict[str, Any], object_id: str) -> list[str]:
    """Return the names of the nodes that have an object."""
    found = [info for info in state["objects"] if info["id"] == object_id]
    return sorted(replica["node_name"] for info in found for replica in info["replicas"])


def operation_state(state: dict[str, Any], operation: str) -> str | None:
    """Return the state of an operation; None when it is not listed any more."""
    return next((one["state"] for one in state["operations"] if one["id"] == operation), None)


def test_story_of_an_object(ask: Any, cluster: Any) -> None:
    """An object is put, replicated, dropped, moved and deleted through the routes, and the state follows each step."""
    del cluster
    ref = wb.put(np.arange(1 << 20), "numbers")
    state = until(ask, lambda state: len(state["nodes"]) == 2, "two nodes")
    assert state["cluster"]["state"] == "connected"
    assert sorted(node["name"] for node in state["nodes"]) == ["node-1", "node-2"]
    assert all(node["state"] == "running" and node["workers"] and node["capacity"] for node in state["nodes"])
    ids = {node["name"]: node["id"] for node in state["nodes"]}
    assert ids["node-1"] == state["store"]["node"]
    assert nodes_of(state, ref.id) == ["node-1"]

    for verb, body in (("move", {"to": "nowhere"}), ("replicate", {"to": ["nowhere"]}), ("drop", {"node": "nowhere"})):
        status, answer = ask("POST", f"objects/{ref.id}/{verb}", body)
        assert (status, answer["kind"]) == (404, "node-not-found")
        assert ask("POST", f"objects/{'0' * 32}/{verb}", body)[0] == 404

    status, operation = ask("POST", f"objects/{ref.id}/replicate", {"to": [ids["node-2"]]})
    assert (status, operation["verb"], operation["object"], operation["to"]) == (
        202,
        "replicate",
        ref.id,
        [ids["node-2"]],
    )
    state = until(ask, lambda state: nodes_of(state, ref.id) == ["node-1", "node-2"], "a second replica")
    state = until(ask, lambda state: operation_state(state, operation["id"]) == "done", "the end of the operation")

    assert ask("POST", f"objects/{ref.id}/drop", {"node": ids["node-1"]}) == (204, None)
    until(ask, lambda state: nodes_of(state, ref.id) == ["node-2"], "one replica")
    status, body = ask("POST", f"objects/{ref.id}/drop", {"node": ids["node-2"]})
    assert (status, body["kind"]) == (409, "last-replica")

    status, operation = ask("POST", f"objects/{ref.id}/move", {"to": "node-1"})
    assert (status, operation["verb"]) == (202, "move")
    until(ask, lambda state: nodes_of(state, ref.id) == ["node-1"], "moved back")
    assert wb.get("numbers")[-1] == (1 << 20) - 1

    assert ask("DELETE", f"objects/{ref.id}") == (204, None)
    state = until(ask, lambda state: nodes_of(state, ref.id) == [], "deleted")
    assert not wb.exists("numbers")


def test_server_survives_its_clusters(ask: Any, store_directory: Path) -> None:
    """A cluster that ends leaves this host's objects on the screen, and the next one is found."""
    ref = wb.put(np.arange(1000), "numbers")
    for _ in range(2):
        with wb.LocalCluster(nodes=2, directory=store_directory, dashboard_address=":0"):
            state = until(ask, lambda state: len(state["nodes"]) == 2, "two nodes")
            assert nodes_of(state, ref.id) == ["node-1"]
        state = until(ask, lambda state: state["cluster"]["state"] == "none", "no cluster")
        assert [node["state"] for node in state["nodes"]] == ["local"]
        assert [info["id"] for info in state["objects"]] == [ref.id]


def test_connection_file_of_a_dead_cluster_is_a_state(ask: Any, store_directory: Path) -> None:
    """A scheduler that is named and does not answer is shown as unreachable, and deleting still works."""
    ref = wb.put(np.arange(1000), "numbers")
    connection = {"scheduler": "tcp://127.0.0.1:9", "node": "x", "written": time.time(), "pid": 1}
    (store_directory / "connection.json").write_text(json.dumps(connection))
    state = until(ask, lambda state: state["cluster"]["state"] == "unreachable", "unreachable")
    assert state["cluster"]["address"] == "tcp://127.0.0.1:9"
    assert nodes_of(state, ref.id) != []
    status, answer = ask("POST", f"objects/{ref.id}/replicate", {"n": 2})
    assert (status, answer["kind"]) == (503, "cluster")
    assert "tcp://127.0.0.1:9" in answer["message"]
    assert ask("DELETE", f"objects/{ref.id}") == (204, None)


def test_nodes_plans_names_and_what_is_elsewhere(ask: Any, cluster: Any) -> None:
    """Plans say what would be; a node is drained and given back; a name changes on all nodes at once; what only another node has is not previewed here."""
    del cluster
    ref = wb.put(np.arange(1 << 20), "numbers")
    state = until(ask, lambda state: len(state["nodes"]) == 2 and nodes_of(state, ref.id) == ["node-1"], "two nodes")
    openapi.check(API, "state", 200, state)
    assert state["versions"]["cluster"] == wb.__version__
    ids = {node["name"]: node["id"] for node in state["nodes"]}
    assert all(node["heartbeat"] for node in state["nodes"])
    assert set(state["history"]) == set(ids.values())

    def plan(body: dict[str, Any], path: str = f"objects/{ref.id}/plan", name: str = "plan") -> dict[str, Any]:
        status, answer = ask("POST", path, body)
        assert status == 200
        openapi.check(API, name, status, answer)
        return answer  # type: ignore[no-any-return]

    nbytes = wb.info("numbers").nbytes
    found = plan({"verb": "move", "to": [ids["node-2"]]})
    assert (found["nbytes"], found["evicts"], found["refused"], found["last_replica"]) == (nbytes, [], None, False)
    assert plan({"verb": "drop", "node": "node-1"})["last_replica"]
    assert plan({"verb": "drain"}, "nodes/node-1/plan", "planOfNode")["nbytes"] == nbytes
    assert ask("POST", f"objects/{ref.id}/plan", {"verb": "move", "to": ["nowhere"]})[0] == 404

    status, operation = ask("POST", "nodes/node-1/drain", {})
    openapi.check(API, "drain", status, operation)
    assert (status, operation["verb"]) == (202, "drain")
    until(ask, lambda state: nodes_of(state, ref.id) == ["node-1", "node-2"], "a replica elsewhere")
    state = until(ask, lambda state: operation_state(state, operation["id"]) == "done", "the end of the drain")
    assert [node["state"] for node in state["nodes"] if node["name"] == "node-1"] == ["drained"]
    openapi.check(API, "state", 200, state)
    found = plan({"verb": "move", "to": [ids["node-1"]]})
    assert found["refused"] is not None
    for verb, wish in (("move", {"to": "node-1"}), ("replicate", {"to": ["node-1"]}), ("replicate", {"n": 2})):
        status, answer = ask("POST", f"objects/{ref.id}/{verb}", wish)
        openapi.check(API, verb, status, answer)
        assert (status, answer["kind"]) == (409, "node-state")
        assert "is drained" in answer["message"] or "2 replicas need 2 running nodes" in answer["message"]
    assert ask("POST", "nodes/node-1/undrain", {}) == (204, None)
    until(ask, lambda state: all(node["state"] == "running" for node in state["nodes"]), "given back")
    assert ask("POST", "nodes/nowhere/drain", {})[0] == 404

    status, answer = ask("POST", f"operations/{operation['id']}/cancel")
    openapi.check(API, "cancel", status, answer)
    assert answer["state"] == "done"
    status, answer = ask("POST", "operations/nonsense/cancel")
    assert (status, answer["kind"]) == (404, "operation-not-found")

    status, operation = ask("POST", f"objects/{ref.id}/replicate", {"n": 2})
    until(ask, lambda state: operation_state(state, operation["id"]) == "done", "two replicas")
    assert ask("POST", f"objects/{ref.id}/rename", {"name": "new"}) == (204, None)
    state = until(ask, lambda state: [one["names"] for one in state["objects"]] == [["new"]], "one name")
    assert wb.get("new")[-1] == (1 << 20) - 1
    assert not wb.exists("numbers")
    version = state["version"]
    wb.put(np.arange(10), "small")
    status, delta = ask("GET", "state", params={"since": version})
    assert (delta["full"], [one["name"] for one in delta["objects"]]) == (False, ["small"])

    wb.move("new", "node-2").wait(30)
    until(ask, lambda state: nodes_of(state, ref.id) == ["node-2"], "moved")
    for verb in ("preview", "summary"):
        status, answer = ask("GET", f"objects/{ref.id}/{verb}")
        assert (status, answer["kind"]) == (409, "elsewhere")
        assert "node-2" in answer["message"] and "Replicate it to this host" in answer["message"]
    status, answer = ask("POST", f"objects/{ref.id}/pin", {})
    assert (status, answer["kind"]) == (409, "elsewhere")
    wb.replicate("new", to="node-1").wait(30)
    assert ask("GET", f"objects/{ref.id}/preview", params={"stop": "1"})[1]["rows"] == [["0"]]

    [gone] = [node.address for node in wb.nodes() if node.name == "node-2"]
    connected = wb.current_session().cluster
    assert connected is not None
    connected.client.retire_workers([gone])
    until(ask, lambda state: "lost" in {node["state"] for node in state["nodes"]}, "a node without workers")
    for path, wish in ((f"objects/{ref.id}/move", {"to": "node-2"}), ("nodes/node-2/drain", {})):
        status, answer = ask("POST", path, wish)
        assert (status, answer["kind"]) == (409, "node-state")
        assert "Node node-2 is lost" in answer["message"]


def test_partitions_elsewhere_can_be_brought_here_and_missing_ones_cannot(ask: Any, cluster: Any) -> None:
    """A preview says which partitions other nodes have and which no running node has; only of the first it says that they can be replicated."""
    ref = persisted(cluster)
    until(ask, lambda state: nodes_of(state, ref) == ["node-1", "node-2"], "partitions on both nodes")
    parts = {part.tags["partition"]: part for part in wb.ls(parts=True) if part.tags.get("dataset") == ref}
    here = {number for number, part in parts.items() if part.replicas[0].node_name == "node-1"}
    elsewhere = sorted(set(parts) - here)
    assert (sorted(here), elsewhere) == (["0", "1", "2"], ["3", "4", "5"])
    first = min(here)
    status, page = rows(ask, ref, 10 * int(first))
    assert status == 200 and page["elsewhere"] == sum(parts[number].nbytes for number in elsewhere)
    assert "They are on node-2." in page["text"] and "on no running node" not in page["text"]
    status, answer = rows(ask, ref, 10 * int(elsewhere[0]))
    assert (status, answer["kind"]) == (409, "elsewhere")
    assert (
        f"Partition {elsewhere[0]} of 'd', which has these rows, is on node-2, not on this host." in answer["message"]
    )

    wb.delete(parts[elsewhere[0]].id)
    state = until(ask, lambda state: incomplete(state, ref) != [], "a partition is missed")
    assert incomplete(state, ref)[0].startswith("5 of 6 partitions are in reach")
    status, answer = rows(ask, ref, 10 * int(elsewhere[0]))
    assert (status, answer["kind"]) == (409, "out-of-reach")
    assert "on no running node" in answer["message"] and "compute the dataset anew, or delete it" in answer["message"]
    page = rows(ask, ref, 10 * int(first))[1]
    assert f"Partition {elsewhere[0]} is on no running node" in page["text"]
    assert page["elsewhere"] == sum(parts[number].nbytes for number in elsewhere[1:])

    [gone] = [node.address for node in wb.nodes() if node.name == "node-2"]
    connected = wb.current_session().cluster
    assert connected is not None
    connected.client.retire_workers([gone])
    until(
        ask, lambda state: any(note.startswith("3 of 6") for note in incomplete(state, ref)), "a node without workers"
    )
    status, answer = rows(ask, ref, 10 * int(elsewhere[1]))
    assert (status, answer["kind"]) == (409, "out-of-reach")
    assert "only on node-2, lost because no worker runs there: start one there" in answer["message"]
    page = rows(ask, ref, 10 * int(first))[1]
    assert "elsewhere" not in page and "only on node-2" in page["text"]


def persisted(cluster: Any) -> str:
    """Make the dataset `d` of 60 rows in 6 partitions, of which node-2 has the last three; return its id."""
    import dask.dataframe as dd

    with cluster.get_client():
        dd.from_pandas(pd.DataFrame({"n": range(60)}), npartitions=6).persist_shared("d")
        ref = wb.info("d").id
        for part in wb.ls(parts=True):
            if part.tags.get("dataset") == ref:
                wb.move(part.id, "node-1" if int(part.tags["partition"]) < 3 else "node-2").wait(30)
    return ref


def incomplete(state: dict[str, Any], object_id: str) -> list[str]:
    """Return what a row says of missing partitions."""
    return [note for one in state["objects"] if one["id"] == object_id for note in one["notes"] if MISSING in note]


def test_a_dataset_that_is_elsewhere_can_be_brought_here_unless_its_first_rows_are_nowhere(
    ask: Any, cluster: Any
) -> None:
    """Who asks for the first rows of a dataset that only another node has is told at once if no node has their partition: it would be no help to replicate."""
    ref = persisted(cluster)
    first = next(part.id for part in wb.ls(parts=True) if part.tags.get("partition") == "0")
    wb.move(ref, "node-2").wait(30)
    until(ask, lambda state: nodes_of(state, ref) == ["node-2"], "moved")
    status, answer = rows(ask, ref)
    assert (status, answer["kind"]) == (409, "elsewhere")
    assert "on node-2, not on this host. Replicate the dataset to this host first." in answer["message"]
    wb.delete(first)
    until(ask, lambda state: incomplete(state, ref) != [], "a partition is missed")
    status, answer = rows(ask, ref)
    assert (status, answer["kind"]) == (409, "out-of-reach")
    assert answer["message"].startswith("Partition 0 of 'd'")
    assert "on no running node" in answer["message"]
    wb.replicate(ref, to="node-1").wait(30)
    assert rows(ask, ref)[1]["kind"] == "out-of-reach"
    assert rows(ask, ref, 10)[0] == 200
