from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cluster.test_catalog import info, number
from workbench.cluster import placement, policies
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.placement import Suggestion
from workbench.errors import LastReplicaError, NodeStateError
from workbench.objects import ObjectInfo, Replica, wished_replicas

NODES = "abcde"


def cluster(*nodes: dict[str, Any]) -> ClusterCatalog:
    """A catalog of nodes called a, b, ...: `has` objects, `capacity`, and whether each is `lost` or `drained`."""
    catalog = ClusterCatalog()
    for letter, node in zip(NODES, nodes, strict=False):
        has: list[ObjectInfo] = node.get("has", [])
        joined = catalog.join(letter * 32, letter, f"tcp://{letter}:1", letter)
        joined.capacity, joined.used = node.get("capacity", 1000), sum(each.nbytes for each in has)
        for each in has:
            catalog.add_replica(joined, each)
        catalog.nodes[letter * 32].drained = node.get("drained", False)
        if node.get("lost"):
            catalog.leave(f"tcp://{letter}:1")
    return catalog


def apply(catalog: ClusterCatalog, steps: Iterable[Suggestion]) -> None:
    """Do as the manager would: all copies, and then the drops, none of which may be a last one."""
    steps = list(steps)
    for step in steps:
        if step.verb == "copy":
            assert any(node.workers for node in catalog.holders(step.object)), "there is nothing to copy from"
            catalog.add_replica(catalog.nodes[step.node], catalog.info(step.object))
    for step in steps:
        if step.verb == "drop":
            node = catalog.nodes[step.node]
            placement.refuse_last(catalog, step.object, node)
            catalog.remove_replica(node, step.object)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterCatalog:
    """Two to five nodes of different sizes, some lost or drained, with up to twelve objects spread over them."""
    objects = [
        info(value, nbytes=draw(st.integers(1, 400)), replicas=str(draw(st.integers(1, 4))))
        for value in range(draw(st.integers(1, 12)))
    ]
    return cluster(
        *(
            {
                "has": draw(st.lists(st.sampled_from(objects), unique_by=lambda each: each.id, max_size=12)),
                "capacity": draw(st.sampled_from([500, 1000, 4000])),
                "lost": draw(st.booleans()) and letter != "a",
                "drained": draw(st.booleans()),
            }
            for letter in NODES[: draw(st.integers(2, 5))]
        )
    )


@settings(max_examples=60, deadline=None)
@given(clusters())
def test_the_wished_number_is_reached_where_the_nodes_can(catalog: ClusterCatalog) -> None:
    """Every object that can be read has as many safe replicas as are wished, or is refused with a reason; then there is peace."""
    everything = [each.id for each in catalog.ls()]
    steps = list(policies.keep_up(catalog, everything))
    apply(catalog, steps)
    refused = {step.object: step.reason for step in steps if step.verb == "refuse"}
    for object_id in everything:
        safe, wished = policies.safe_holders(catalog, object_id), catalog.wished(object_id)
        readable = any(node.workers for node in catalog.holders(object_id))
        if readable and object_id not in refused:
            assert len(safe) >= wished
        elif readable:
            assert refused[object_id]
            nbytes, having = catalog.info(object_id).nbytes, {node.id for node in safe}
            assert not [
                n for n in placement.by_room(catalog.nodes.values()) if n.id not in having and n.capacity >= nbytes
            ]
    assert [step for step in policies.keep_up(catalog, everything) if step.verb != "refuse"] == []


@settings(max_examples=60, deadline=None)
@given(clusters(), st.data())
def test_surplus_never_goes_below_the_wish_nor_to_nothing(catalog: ClusterCatalog, data: st.DataObject) -> None:
    """Whatever is said to have been made in place of others, each object keeps its wished replicas, and the last one always."""
    made = {each.id: data.draw(st.sets(st.sampled_from(sorted(catalog.nodes)))) for each in catalog.ls()}
    before = {object_id: len(policies.safe_holders(catalog, object_id)) for object_id in made}
    apply(catalog, policies.surplus(catalog, made))
    for object_id, count in before.items():
        assert len(policies.safe_holders(catalog, object_id)) >= min(count, catalog.wished(object_id))
        assert catalog.holders(object_id)


def _spread(catalog: ClusterCatalog) -> float:
    levels = [
        sum(catalog.info(each).nbytes for each in node.objects) / node.capacity
        for node in catalog.nodes.values()
        if node.takes_replicas
    ]
    return max(levels, default=0) - min(levels, default=0)


@settings(max_examples=60, deadline=None)
@given(clusters(), st.data())
def test_rebalancing_converges(catalog: ClusterCatalog, data: st.DataObject) -> None:
    """A plan leaves the nodes no more uneven, and what is mapped where it is; the next plan has nothing to do."""
    mapped = {
        node.id: data.draw(st.sets(st.sampled_from(sorted(node.objects))))
        for node in catalog.nodes.values()
        if node.objects
    }
    everything = {each.id for each in catalog.ls()}
    before, steps = _spread(catalog), list(policies.rebalance(catalog, mapped, cheap=50))
    for step in steps:
        assert step.verb != "drop" or step.nbytes <= 50 or step.object not in mapped.get(step.node, ())
    apply(catalog, steps)
    assert _spread(catalog) <= before + 1e-9
    assert [step for step in policies.rebalance(catalog, mapped, cheap=50) if step.verb != "refuse"] == []
    assert {each.id for each in catalog.ls()} == everything


def test_a_plan_says_why() -> None:
    """Reasons name the nodes and how full they are; what stays is named with the reason."""
    catalog = cluster({"has": [info(1, nbytes=300), info(2, nbytes=200), info(3, nbytes=300)]}, {})
    steps = list(policies.rebalance(catalog, {"a" * 32: {number(1)}}, cheap=50))
    assert [(step.verb, step.object, step.reason) for step in steps] == [
        ("copy", number(3), "a is 80% full, b 0%"),
        ("drop", number(3), "moved to b"),
        ("refuse", number(1), "somebody on a has it mapped"),
    ]
    catalog = cluster({"has": [info(1, nbytes=300)], "drained": True}, {"capacity": 100})
    [step] = policies.keep_up(catalog, [number(1)])
    assert (step.verb, step.reason) == ("refuse", "no other node has a capacity of 300 B")
    catalog = cluster({"has": [info(1, nbytes=300)], "drained": True}, {})
    [step] = policies.keep_up(catalog, [number(1)])
    assert (step.verb, step.reason) == ("copy", "it is only on a: b has 1000 B free")
    catalog.nodes["a" * 32].drained = False
    assert list(policies.keep_up(catalog, [number(1)])) == []
    catalog.nodes["a" * 32].drained = True
    [step] = policies.keep_up(catalog, [number(1)], {(number(1), "b" * 32): "the store is full"})
    assert (step.verb, step.reason) == ("refuse", "the store is full")


def test_a_cached_replica_counts_when_it_is_kept() -> None:
    """The node where the object is alone is named, and what becomes of the replica that a reader got."""
    there = info(1)
    cached = dataclasses.replace(there, replicas=(Replica("b" * 32, "b", "cached", 100),))
    catalog = cluster({"has": [there], "drained": True}, {"has": [cached]})
    [step] = policies.keep_up(catalog, [number(1)])
    assert (step.node, step.reason) == ("b" * 32, "it is only on a: b keeps the replica that it has cached")


def test_a_drained_node_gets_nothing() -> None:
    """Neither a policy nor a user places a replica there, and what it has is not counted."""
    catalog = cluster({"has": [info(1)]}, {"drained": True}, {})
    [step] = placement.replicate_n(catalog, [number(1)], 2)
    assert step.node == "c" * 32
    with pytest.raises(NodeStateError, match=r"3 replicas .* has 2 \(c, a\)\. b is drained: wb.undrain\('b'\).* Ask"):
        list(placement.replicate_n(catalog, [number(1)], 3))
    for worker in list(catalog.nodes["c" * 32].workers):
        catalog.leave(worker)
    with pytest.raises(NodeStateError, match="Node c is lost: no worker runs there"):
        list(placement.replicate_to(catalog, [number(1)], [catalog.nodes["c" * 32]]))
    with pytest.raises(NodeStateError, match=r"Node b is drained.*wb.undrain\('b'\)"):
        list(placement.move_to(catalog, [number(1)], catalog.nodes["b" * 32]))


def test_a_replica_on_a_drained_node_makes_no_other_superfluous() -> None:
    """A node that is about to go is no safe place, as a lost one is none."""
    catalog = cluster({"has": [info(1)]}, {"has": [info(1)], "drained": True})
    with pytest.raises(LastReplicaError):
        placement.refuse_last(catalog, number(1), catalog.nodes["a" * 32])
    placement.refuse_last(catalog, number(1), catalog.nodes["b" * 32])


def test_a_wish_is_a_tag_and_the_larger_one_holds() -> None:
    """It survives with any replica of a running node, and text that is no number is no wish."""
    catalog = cluster({"has": [info(1, replicas="2")]}, {"has": [info(1, replicas="3")]}, {})
    assert catalog.wished(number(1)) == 3
    catalog.leave("tcp://b:1")
    assert catalog.wished(number(1)) == 2
    assert [wished_replicas({"replicas": text}) for text in ("", "x", "-3", "0", "2", "9" * 9)] == [1, 1, 1, 1, 2, 1]
    catalog.remove_replica(catalog.nodes["a" * 32], number(1))
    catalog.remove_replica(catalog.nodes["b" * 32], number(1))
    assert catalog.wishes.objects() == []


def test_a_node_that_was_lost_just_now_is_awaited() -> None:
    """As long as it may be back soon nothing is copied; afterwards it is."""
    catalog = cluster({"has": [info(1, replicas="2")]}, {"has": [info(1, replicas="2")], "lost": True}, {})
    assert list(policies.keep_up(catalog, [number(1)], awaited={"b" * 32})) == []
    [step] = policies.keep_up(catalog, [number(1)])
    assert (step.node, step.reason) == ("c" * 32, "safe replica 2 of 2: c has 1000 B free")
