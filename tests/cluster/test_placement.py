from __future__ import annotations

import pytest

from tests.cluster.test_catalog import A, B, Cluster, info, number
from workbench.cluster import placement
from workbench.errors import ClusterError, LastReplicaError, ObjectNotFoundError, TransferError

C = "c" * 32


@pytest.fixture
def cluster() -> Cluster:
    """Three nodes: north has objects 1 and 2, south has 1, east has most room."""
    cluster = Cluster()
    cluster.sequence[C] = 0
    cluster.catalog.join(C, "east", "tcp://c:1", "2")
    cluster.says(C, full=True, used=0)
    cluster.says(A, info(1, "one", nbytes=100), info(2, nbytes=50), used=500)
    cluster.says(B, info(1, "one", nbytes=100), used=300)
    return cluster


def test_replicate_to_skips_nodes_that_have_the_object(cluster: Cluster) -> None:
    """A suggestion is made for each replica that is missing, with its reason and size."""
    nodes = [cluster.catalog.nodes[B], cluster.catalog.nodes[C]]
    [step] = placement.replicate_to(cluster.catalog, [number(1)], nodes)
    assert (step.verb, step.node, step.nbytes, step.reason) == ("copy", C, 100, "east was asked for")


def test_replicate_n_fills_the_emptiest_nodes_first(cluster: Cluster) -> None:
    """Replicas go where there is room; what was planned already counts."""
    steps = list(placement.replicate_n(cluster.catalog, [number(2)], 2))
    assert [(step.node, step.reason) for step in steps] == [(C, "replica 2 of 2: east has 1000 B free")]
    assert {step.node for step in placement.replicate_n(cluster.catalog, [number(2)], 3)} == {B, C}
    assert list(placement.replicate_n(cluster.catalog, [number(1)], 2)) == []


def test_replicate_n_makes_up_for_lost_nodes(cluster: Cluster) -> None:
    """A replica on a lost node does not count."""
    cluster.catalog.leave("tcp://b:1")
    assert [step.node for step in placement.replicate_n(cluster.catalog, [number(1)], 2)] == [C]


def test_more_replicas_than_nodes_are_refused(cluster: Cluster) -> None:
    """The error says how many nodes there are."""
    with pytest.raises(
        ClusterError, match=r"4 replicas need 4 running nodes; the cluster has 3 \(east, south, north\)"
    ):
        list(placement.replicate_n(cluster.catalog, [number(1)], 4))


def test_a_move_copies_first_and_drops_afterwards(cluster: Cluster) -> None:
    """Move is replicate, then drop."""
    steps = list(placement.move_to(cluster.catalog, [number(1)], cluster.catalog.nodes[C]))
    assert [(step.verb, step.node) for step in steps] == [("copy", C), ("drop", A), ("drop", B)]


def test_sources_are_running_workers_one_of_each_node_first(cluster: Cluster) -> None:
    """Load is spread over nodes before it is spread over workers of one node."""
    cluster.catalog.join(A, "north", "tcp://a:2", "9")
    assert placement.sources(cluster.catalog, number(1)) == ["tcp://a:1", "tcp://b:1", "tcp://a:2"]
    cluster.catalog.leave("tcp://b:1")
    assert placement.sources(cluster.catalog, number(1)) == ["tcp://a:1", "tcp://a:2"]


def test_an_object_only_on_lost_nodes_has_no_source(cluster: Cluster) -> None:
    """The error names the node that must come back."""
    cluster.catalog.leave("tcp://a:1")
    with pytest.raises(TransferError, match="only on north, and no worker runs there"):
        placement.sources(cluster.catalog, number(2))
    with pytest.raises(ObjectNotFoundError):
        placement.sources(cluster.catalog, number(77))


def test_the_last_replica_is_not_dropped(cluster: Cluster) -> None:
    """A lost node is no safe place: its replica does not make another one superfluous."""
    catalog = cluster.catalog
    placement.refuse_last(catalog, number(1), catalog.nodes[A])
    with pytest.raises(LastReplicaError, match="is the last one. Replicate it first"):
        placement.refuse_last(catalog, number(2), catalog.nodes[A])
    catalog.leave("tcp://b:1")
    with pytest.raises(
        LastReplicaError, match="'one' on north is the last one. That on south does not count: the node is lost"
    ):
        placement.refuse_last(catalog, number(1), catalog.nodes[A])
    with pytest.raises(ObjectNotFoundError, match="'one' has no replica on east; it is on north, south"):
        placement.refuse_last(catalog, number(1), catalog.nodes[C])


def test_tasks_go_to_the_node_with_most_bytes_running_nodes_first(cluster: Cluster) -> None:
    """Nearness is measured in bytes, and only what is lost everywhere is waited for."""
    catalog = cluster.catalog
    assert {node.name for node in placement.nearest(catalog, [number(1)])} == {"north", "south"}
    assert [node.name for node in placement.nearest(catalog, [number(1), number(2)])] == ["north"]
    catalog.leave("tcp://a:1")
    assert [node.name for node in placement.nearest(catalog, [number(1), number(2)])] == ["south"]
    assert [node.name for node in placement.nearest(catalog, [number(2)])] == ["north"]
    assert placement.nearest(catalog, [number(88)]) == []


def test_near_sources_come_first_then_idle_ones(cluster: Cluster) -> None:
    """The same host is nearer than the same rack, which is nearer than the rest; of equally near nodes, the idler one is asked first."""
    catalog = cluster.catalog
    north, south, east = (catalog.nodes[node] for node in (A, B, C))
    assert placement.sources(catalog, number(1), east, {A: 2, B: 1})[0] == south.announcer
    north.rack = east.rack = "r1"
    assert placement.sources(catalog, number(1), east, {A: 2, B: 1})[0] == north.announcer
    south.last_address, east.last_address = "tcp://10.0.0.1:1", "tcp://10.0.0.1:2"
    assert placement.sources(catalog, number(1), east, {A: 2, B: 9})[0] == south.announcer


def test_cached_replicas_do_not_count(cluster: Cluster) -> None:
    """What a node may drop at any time is a source, but no replica that keeps the object, nor one that somebody wished for."""
    catalog = cluster.catalog
    catalog.nodes[B].objects[number(1)].state = "cached"
    assert [node.id for node in catalog.keepers(number(1))] == [A]
    assert len(placement.sources(catalog, number(1))) == 2
    [step] = placement.replicate_to(catalog, [number(1)], [catalog.nodes[B]])
    assert (step.verb, step.node) == ("copy", B)
    assert [step.node for step in placement.replicate_n(catalog, [number(1)], 2)] == [C]
