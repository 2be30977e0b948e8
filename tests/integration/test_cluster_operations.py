from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.integration.clusters import clear, places, running_cluster, until
from tests.processes import environment
from workbench.cluster.plans import Plan
from workbench.local_cluster import LocalCluster
from workbench.store import Store

MIB = 1 << 20


def planned(plan: object) -> Plan:
    """A dry run gives a plan, and no operation."""
    assert isinstance(plan, Plan)
    return plan


pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture(scope="module")
def lasting_cluster(lasting_home: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes of 64 MiB that spill."""
    spill = tmp_path_factory.mktemp("spill")
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_SPILL_DIRECTORY", str(spill))
    try:
        with running_cluster(lasting_home, nodes=3, capacity="64 MiB") as started:  # type: ignore[arg-type]
            yield started
    finally:
        patch.undo()


@pytest.fixture
def given_back(connected: None) -> Iterator[None]:
    """No node stays drained after a test."""
    yield
    for node in wb.nodes():
        if node.state in ("drained", "draining"):
            wb.undrain(node.name)
    clear()


def test_a_dry_run_says_what_would_be_done_and_what_would_be_spilled_for_it() -> None:
    """Steps with bytes and reasons, what the destination gives up, in text and HTML; nothing is done."""
    ballast = wb.put(np.zeros(40 * MIB, "u1"), "<ballast>")
    wb.move(ballast, to="node-2").wait()
    wb.put(np.zeros(30 * MIB, "u1"), "big")
    plan = planned(wb.move("big", to="node-2", dry_run=True))
    assert [(step.verb, step.name, step.node_name) for step in plan.steps] == [
        ("copy", "big", "node-2"),
        ("drop", "big", "node-1"),
    ]
    assert plan.nbytes == wb.info("big").nbytes
    [room] = plan.rooms
    assert (room.node_name, room.objects, room.missing) == ("node-2", ("<ballast>",), 0)
    assert "spills 40.0 MiB (<ballast>)" in repr(plan)
    assert "&lt;ballast&gt;" in plan._repr_html_()
    assert places("big") == {"node-1"}
    wb.move("big", to="node-2").wait()
    assert places("big") == places("<ballast>") == {"node-2"}
    plan = planned(wb.drop("big", "node-2", force=True, dry_run=True))
    assert [(step.verb, step.node_name) for step in plan.steps] == [("drop", "node-2")]
    with pytest.raises(wb.LastReplicaError):
        wb.drop("big", "node-2", dry_run=True)


def test_a_drain_leaves_nothing_that_is_only_there(given_back: None, lasting_cluster: LocalCluster) -> None:
    """Named, unnamed, pinned and spilled objects, partitions, and what is put during and after the drain; then the node is given back."""
    named = wb.put(np.arange(100_000), "named")
    refs = [named, wb.put(np.arange(50_000)), wb.put(np.arange(60_000), pin=True), wb.put(b"small", "small")]
    spilled = wb.put(np.arange(70_000.0), "spilled")
    wb.spill("spilled")
    dd.from_pandas(pd.DataFrame({"x": np.arange(1000)}), npartitions=4).persist_shared("numbers")
    wb.move("numbers", to="node-1").wait()
    before = wb.nodes()[0].used
    plan = planned(wb.drain("node-1", dry_run=True))
    assert {step.object for step in plan.steps} >= {ref.id for ref in (*refs, spilled)}
    assert all(step.verb == "copy" and "it is only on node-1" in step.reason for step in plan.steps)
    assert {node.state for node in wb.nodes()} == {"running"}
    operation = wb.drain("node-1")
    during = wb.put(np.arange(30_000), "during")
    operation.wait()
    assert operation.progress == 1.0
    assert next(node for node in wb.nodes() if node.name == "node-1").state == "drained"
    after = wb.put(np.arange(20_000), "after")
    everything = [*refs, spilled, during, after]
    until(lambda: all(places(ref.id) - {"node-1"} for ref in everything), "what was put later is copied, too")
    for info in wb.ls(parts=True):
        assert {replica.node_name for replica in info.replicas} - {"node-1"}, info
    with pytest.raises(wb.ClusterError, match="Node node-1 is drained"):
        wb.move("named", to="node-1")
    with Store.open(lasting_cluster.directories[1]) as second, Store.open(lasting_cluster.directories[2]) as third:
        for info in wb.ls(parts=True):
            assert second.exists(info.id) or third.exists(info.id), info
    wb.undrain("node-1")
    until(lambda: places("after") == {"node-1"}, "what was made in place of it is given up")
    until(lambda: places("named") == {"node-1"}, "what was made in place of it is given up")
    assert wb.nodes()[0].used <= before + 4 * MIB


def test_what_a_drain_cannot_move_is_named(given_back: None) -> None:
    """The operation fails with the objects and the reasons; the rest is safe, and cancelling or undrain gives the node back."""
    for node in ("node-2", "node-3"):
        wb.move(wb.put(np.zeros(40 * MIB, "u1"), f"on {node}", pin=True), to=node).wait()
    wb.put(np.zeros(50 * MIB, "u1"), "big")
    wb.put(np.zeros(1 * MIB, "u1"), "little")
    operation = wb.drain("node-1")
    with pytest.raises(
        wb.ClusterError, match=r"1 object is still only on node-1: big \(50.0 MiB\): .*no room for.*wb.undrain"
    ):
        operation.wait()
    assert operation.state == "failed"
    assert wb.nodes()[0].state == "draining"
    assert places("big") == {"node-1"}
    assert len(places("little")) == 2
    assert any("no room" in reason for reason in operation.reasons)
    wb.undrain("node-1")
    assert {node.state for node in wb.nodes()} == {"running"}


def test_a_drain_that_only_drained_nodes_could_help_names_them(given_back: None) -> None:
    """There is nowhere to make room: a node is to be given back; nor does the replica of a drained node count as one that is left."""
    dd.from_pandas(pd.DataFrame({"x": np.arange(10)}), npartitions=1).persist_shared("numbers")
    wb.move("numbers", to="node-1").wait()
    wb.replicate("numbers", to=["node-1", "node-3"]).wait()
    for node in wb.nodes()[1:]:
        wb.drain(node).wait()
    part = r"numbers, partition 0 on node-1 is the last one\. That on node-3 does not count: the node is drained"
    with pytest.raises(wb.LastReplicaError, match=part):
        wb.drop("numbers", wb.nodes()[0])
    wb.put(np.zeros(1000), "only here")
    with pytest.raises(wb.ClusterError, match=r"are drained, too: give one back with wb\.undrain\('node-2'\) or wb\."):
        wb.drain("node-1").wait()


def test_what_nodes_and_where_return_is_a_node(given_back: None) -> None:
    """Wherever one is asked for; what is neither that nor text is an error that says so."""
    ref = wb.put(np.zeros(1000), "x")
    first, second, third = wb.nodes()
    wb.move(ref, to=second).wait()
    assert [info.name for info in wb.ls(node=second)] == ["x"] and not wb.ls(node=third)
    wb.replicate(ref, to=[third, "node-1"]).wait()
    wb.drop(ref, next(replica for replica in wb.where(ref) if replica.node == first.id))
    assert places("x") == {"node-2", "node-3"}
    wb.replicate(ref, to=first).wait()
    wb.drain(third).wait()
    wb.undrain(third)
    with pytest.raises(TypeError, match=r"A node is a name, an id or one of wb\.nodes\(\), not int"):
        wb.move(ref, to=2)  # type: ignore[call-overload]


def test_a_dataset_of_which_nothing_is_on_a_node_is_not_dropped_there(given_back: None) -> None:
    """As an array that is not there: an error says where it is."""
    dd.from_pandas(pd.DataFrame({"x": np.arange(10)}), npartitions=2).persist_shared("numbers")
    wb.move("numbers", to="node-2").wait()
    with pytest.raises(wb.ObjectNotFoundError, match="'numbers' has no partition on node-1; they are on node-2"):
        wb.drop("numbers", "node-1")


def test_kinds_and_names_of_other_nodes_are_known(given_back: None) -> None:
    """A listing of nothing, and a key that means nothing, are answered by what the cluster has."""
    wb.move(wb.put(np.zeros(1000), "flights"), to="node-2").wait()
    until(lambda: places("flights") == {"node-2"}, "it was moved")
    assert (
        [info.name for info in wb.ls(kind="ndarray", limit=5)]
        == [info.name for info in wb.ls(kind="Array")]
        == ["flights"]
    )
    assert "The kinds that there are: array." in wb.ls(kind="bananas").hint
    assert "Did you mean 'flights'?" in wb.ls("fligths").hint and "wb.ls('fl*')" in wb.ls("fl").hint
    with pytest.raises(wb.ObjectNotFoundError, match="Did you mean 'flights'"):
        wb.info("fligths")
    with pytest.raises(wb.ObjectNotFoundError, match=r"A key names one object\. wb\.ls\('fl\*'\) lists what fits it"):
        wb.info("fl*")


def test_a_drain_takes_fewer_replicas_than_are_wished_where_none_is_lost_by_it(given_back: None) -> None:
    """An object that another node has, too, is no reason to fail; the operation says how many replicas cannot be kept."""
    wb.put(np.arange(1000.0), "x", replicas=3)
    operation = wb.drain("node-2").wait()
    assert operation.state == "done"
    assert "x: 3 replicas cannot be kept now, only 2: no other running node could take it" in operation.reasons
    assert wb.nodes()[1].state == "drained"
    assert wb.info("x").tags["replicas"] == "3"


def test_a_cancelled_drain_gives_the_node_back(given_back: None) -> None:
    """No half replica is left, and the node takes replicas again."""
    for number in range(6):
        wb.put(np.full(6 * MIB, number, "u1"), f"x{number}")
    operation = wb.drain("node-1")
    operation.cancel()
    assert operation.state == "cancelled"
    assert {node.state for node in wb.nodes()} == {"running"}
    wb.move("x0", to="node-2").wait()
    wb.move("x0", to="node-1").wait()
    for number in range(6):
        assert wb.get(f"x{number}")[-1] == number


def test_rebalancing_moves_what_nobody_maps_and_says_why(lasting_cluster: LocalCluster) -> None:
    """Afterwards the nodes are about as full as each other; what is mapped stays; a second time nothing is moved."""
    for number in range(9):
        wb.put(np.full(5 * MIB, number, "u1"), f"x{number}")
    held = wb.get("x8")
    plan = planned(wb.rebalance(dry_run=True))
    assert "x8" not in {step.name for step in plan.steps}
    assert all("node-1 is" in step.reason for step in plan.steps if step.verb == "copy")
    wb.rebalance().wait()
    assert places("x8") == {"node-1"}
    spread = [
        sum(replica.node_name == f"node-{n}" for info in wb.ls("x*") for replica in info.replicas) for n in (1, 2, 3)
    ]
    assert spread == [3, 3, 3]
    assert planned(wb.rebalance(dry_run=True)).steps == ()
    assert wb.rebalance().wait().state == "done"
    command, variables = [sys.executable, "-m", "workbench", "rebalance"], environment(lasting_cluster.directories[0])
    said = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.startswith("nothing was moved: the nodes are evenly full")
    assert held[0] == 8


def test_the_wished_number_travels_with_the_object() -> None:
    """`put(replicas=)`, `replicate(n=)` and `persist_shared(replicas=)` leave it with each replica; a move takes it back, a drop lowers it."""
    wb.put(np.arange(10), "a", replicas=2)
    wb.put(np.arange(10), "b")
    wb.replicate("b", n=3).wait()
    dd.from_pandas(pd.DataFrame({"x": np.arange(10)}), npartitions=2).persist_shared("c", replicas=2)
    wishes = {info.name: info.tags.get("replicas") for info in wb.ls()}
    assert wishes == {"a": "2", "b": "3", "c": "2"}
    assert {info.tags.get("replicas") for info in wb.ls(parts=True) if "partition" in info.tags} == {"2"}
    wb.drop("b", "node-3")
    assert wb.info("b").tags["replicas"] == "2"
    wb.move("b", to="node-3").wait()
    until(lambda: "replicas" not in wb.info("b").tags, "no more is wished")
    assert places("b") == {"node-3"}


def test_a_cancelled_move_changes_no_wish_and_one_that_is_too_late_is_done_and_says_so() -> None:
    """Cancelled: every replica and the wished number stay. Once its drops have begun it is done, with all that follows; a plan tells that before."""
    wb.put(np.zeros(40 * MIB, "u1"), "x", replicas=2)
    there = places("x")
    [to] = {"node-1", "node-2", "node-3"} - there
    plan = planned(wb.move("x", to=to, dry_run=True))
    assert {step.reason for step in plan.steps if step.verb == "drop"} == {
        f"moved to {to}; 2 replicas were wished, one is from then on"
    }
    for goal in (to, *there):
        operation = wb.move("x", to=goal)
        operation.cancel()
        if operation.state == "cancelled":
            assert (places("x"), wb.info("x").tags) == (there, {"replicas": "2"})
        else:
            assert "done" in repr(operation)
            assert "2 replicas were wished, 1 is from now on" in repr(operation)
            assert (places("x"), wb.info("x").tags) == ({goal}, {})
            wb.replicate("x", n=2).wait()
            there = places("x")
    for wished, said in ((2, True), (1, False)):
        operation = wb.move("x", to=min(places("x"))).wait()
        assert (f"{wished} replicas were wished" in repr(operation)) is said


def test_a_name_is_put_anew_right_after_its_object_was_moved_away(lasting_cluster: LocalCluster) -> None:
    """The moved object is replaced, as it is in one store: no conflict, and nothing is left over."""
    for number in range(4):
        wb.put(np.full(1000, number), "q")
        wb.move("q", to="node-2").wait()
        until(lambda: not wb.current_session().store.exists("q"), "it is on the other node only")
    new = wb.put(np.full(2000, 7), "q")
    until(lambda: [info.id for info in wb.ls()] == [new.id], "only the last one is there")
    assert places("q") == {"node-1"}
    with Store.open(lasting_cluster.directories[1]) as there:
        assert not there.ls()


def test_a_dataset_is_dropped_with_its_partitions_and_one_partition_moves_alone() -> None:
    """`drop` takes the partitions of one node; the key of a partition is a key like any other."""
    dd.from_pandas(pd.DataFrame({"x": np.arange(100)}), npartitions=3).persist_shared("numbers")
    wb.move("numbers", to="node-1").wait()
    wb.replicate("numbers", to="node-2").wait()
    first, *others = [info.id for info in wb.ls(parts=True) if "partition" in info.tags]
    wb.drop("numbers", "node-1")
    assert all(places(part) == {"node-2"} for part in (first, *others))
    with pytest.raises(wb.LastReplicaError):
        wb.drop("numbers", "node-2")
    index = next(info.tags["partition"] for info in wb.ls(parts=True) if info.id == first)
    assert f"numbers, partition {index}" in repr(wb.move(first, to="node-3", dry_run=True))
    wb.move(first, to="node-3").wait()
    assert wb.operations()[0].info.name == f"numbers, partition {index}"
    assert places(first) == {"node-3"}
    assert wb.open("numbers").x.sum().compute() == 4950


def test_a_pin_keeps_the_partitions_of_a_dataset_in_memory() -> None:
    """pin, unpin, spill and restore act on the partitions of this host; what is pinned is not spilled, and unpinned it is."""
    dd.from_pandas(pd.DataFrame({"x": np.arange(40_000)}), npartitions=3).persist_shared("d")
    wb.move("d", to="node-1").wait()

    def parts() -> list[wb.ObjectInfo]:
        return [info for info in wb.ls(parts=True) if "partition" in info.tags]

    wb.pin("d")
    until(lambda: all(part.pinned for part in parts()), "each partition is pinned")
    with pytest.raises(wb.StoreError, match="'d' is pinned.*wb.unpin"):
        wb.spill("d")
    assert {replica.state for part in parts() for replica in part.replicas} == {"memory"}
    wb.unpin("d")
    wb.spill("d")
    until(lambda: not any(part.pinned for part in parts()), "none is pinned")
    assert {replica.state for part in parts() for replica in part.replicas} == {"disk"}
    wb.pin("d")
    assert {replica.state for part in parts() for replica in part.replicas} == {"memory"}
    wb.unpin("d")


def test_what_acts_on_this_host_says_on_which_node_an_object_is() -> None:
    """The error of pin, unpin, spill and restore names the node, and what can be done."""
    wb.put(np.arange(10_000), "q")
    dd.from_pandas(pd.DataFrame({"x": np.arange(10_000)}), npartitions=2).persist_shared("d")
    for key in ("q", "d"):
        wb.move(key, to="node-2").wait()
        for verb in (wb.pin, wb.unpin, wb.spill, wb.restore):
            message = (
                f"'{key}' is on node-2, and not on this host, on which wb.{verb.__name__} acts.*wb.get\\('{key}'\\)"
            )
            with pytest.raises(wb.ObjectNotFoundError, match=message):
                verb(key)


def test_operations_are_listed_with_estimate_and_reasons() -> None:
    """Newest first, as a table, as HTML and as a DataFrame; an operation tells its rate while it runs, and can be cancelled from the list."""
    ref = wb.put(np.zeros(40 * MIB, "u1"), "big")
    operation = wb.replicate(ref, to="node-2")
    operation.wait()
    listed = wb.operations()
    assert listed[0].id == operation.id
    assert "replicate" in repr(listed)
    assert operation.id in listed._repr_html_()
    frame = listed.to_pandas()
    assert frame["done_nbytes"].tolist()[0] == frame["total_nbytes"].tolist()[0] == wb.info("big").nbytes
    assert operation.reasons == ("node-2 was asked for",)
    assert operation.info.ended is not None
    listed[0].cancel()
    assert listed[0].state == "done"
