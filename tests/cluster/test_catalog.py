from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Announcement, Order
from workbench.errors import NodeNotFoundError, ObjectNotFoundError
from workbench.objects import ObjectId, ObjectInfo

A, B = "a" * 32, "b" * 32


def number(value: int) -> ObjectId:
    """The id of an object; later ones are greater, as real ids are."""
    return ObjectId(f"{value:032x}")


def info(value: int, *names: str, nbytes: int = 100, kind: str = "array", **tags: str) -> ObjectInfo:
    """What a node announces of an object."""
    return ObjectInfo(
        id=number(value),
        name=names[0] if names else None,
        names=names,
        kind=kind,
        type="numpy.ndarray",
        shape=(3,),
        dtypes={"": "int64"},
        nbytes=nbytes,
        shared_nbytes=0,
        created=float(value),
        last_used=float(value),
        pinned=False,
        ttl=None,
        tags=tags,
    )


class Cluster:
    """A catalog and what its nodes said last."""

    def __init__(self) -> None:
        self.catalog = ClusterCatalog()
        self.sequence = {A: 0, B: 0}
        self.catalog.join(A, "north", "tcp://a:1", "0")
        self.catalog.join(B, "south", "tcp://b:1", "1")
        self.says(A, full=True)
        self.says(B, full=True)

    def says(self, node: str, *added: ObjectInfo, full: bool = False, **more: Any) -> list[Order] | None:
        """Let a node announce."""
        self.sequence[node] += 1
        now = more.pop("now", 0.0)
        fields: dict[str, Any] = {
            "removed": (),
            "capacity": 1000,
            "used": 10,
            "sequence": self.sequence[node],
        }
        fields.update(more)
        return self.catalog.announce(Announcement(node=node, full=full, added=added, **fields), now)


@pytest.fixture
def cluster() -> Cluster:
    """Two running nodes, north and south, without objects."""
    return Cluster()


def test_an_announced_object_is_found_by_name_and_by_id_with_its_replica(cluster: Cluster) -> None:
    """What a node announces is there for all, with where it is."""
    cluster.says(A, info(1, "flights"))
    assert cluster.catalog.resolve("flights") == number(1)
    assert cluster.catalog.resolve(number(1)) == number(1)
    found = cluster.catalog.info(number(1))
    assert found.name == "flights"
    assert [(replica.node, replica.node_name, replica.state, replica.nbytes) for replica in found.replicas] == [
        (A, "north", "memory", 100)
    ]


def test_the_same_object_on_two_nodes_is_one_object_with_two_replicas(cluster: Cluster) -> None:
    """Objects are counted by id, replicas by node."""
    cluster.says(A, info(1, "flights"))
    cluster.says(B, dataclasses.replace(info(1, "flights"), last_used=99.0))
    [found] = cluster.catalog.ls()
    assert {replica.node_name for replica in found.replicas} == {"north", "south"}
    assert found.last_used == 99.0


def test_an_unknown_name_is_an_error_with_the_nearest_names(cluster: Cluster) -> None:
    """Who mistypes a name is told which one was meant."""
    cluster.says(A, info(1, "flights"))
    with pytest.raises(ObjectNotFoundError, match="no object 'flihgts' in the cluster. Did you mean 'flights'?"):
        cluster.catalog.resolve("flihgts")
    with pytest.raises(ObjectNotFoundError, match="wb.ls"):
        cluster.catalog.resolve("zzz")
    with pytest.raises(ObjectNotFoundError):
        cluster.catalog.resolve(number(7))


def test_a_lost_announcement_asks_for_everything_again(cluster: Cluster) -> None:
    """A gap in the numbers, or an announcement that comes twice, changes nothing and asks for a full one."""
    cluster.says(A, info(1, "one"))
    assert cluster.says(A, info(2, "two"), sequence=9) is None
    assert cluster.says(A, info(2, "two"), sequence=2) is None
    assert [found.name for found in cluster.catalog.ls()] == ["one"]
    assert cluster.says(A, info(2, "two"), full=True, sequence=10) == []
    assert [found.name for found in cluster.catalog.ls()] == ["two"]


def test_a_full_announcement_replaces_what_was_known_of_the_node(cluster: Cluster) -> None:
    """What a node does not mention when it says everything is not there any more, names included."""
    cluster.says(A, info(1, "one"), info(2, "two"))
    cluster.says(A, info(2, "deux"), full=True)
    assert cluster.catalog.resolve("deux") == number(2)
    for gone in ("one", "two", number(1)):
        with pytest.raises(ObjectNotFoundError):
            cluster.catalog.resolve(gone)


@pytest.mark.parametrize("order", [(A, B), (B, A)])
def test_two_nodes_that_bind_one_name_end_the_same_way(cluster: Cluster, order: tuple[str, str]) -> None:
    """The newest object has the name, whoever speaks first; the other node is told to undo its binding."""
    said = {A: info(1, "flights"), B: info(2, "flights")}
    told = [cluster.says(node, said[node]) for node in order]
    assert cluster.catalog.resolve("flights") == number(2)
    assert Order(A, "unbind", number(1), "flights", keep=True, winner=number(2)) in (told[1] or [])
    assert cluster.catalog.info(number(1)).names == ()
    assert cluster.catalog.resolve(number(1)) == number(1)


def test_the_newest_is_not_who_has_the_greatest_id(cluster: Cluster) -> None:
    """Ids count the objects of a node: one that has put thousands does not take names from one that has just begun."""
    cluster.says(A, dataclasses.replace(info(1000, "flights"), created=1.0))
    told = cluster.says(B, dataclasses.replace(info(1, "flights"), created=2.0))
    assert cluster.catalog.resolve("flights") == number(1)
    assert told == [Order(A, "unbind", number(1000), "flights", keep=True, winner=number(1))]


def test_who_had_bound_a_name_before_replaces_it_wherever_the_object_has_gone_since(cluster: Cluster) -> None:
    """A node whose object was moved away knew it when it binds the name anew, however soon: that is no conflict."""
    cluster.says(A, info(1, "flights"), now=10.0)
    cluster.says(B, info(1, "flights"), now=10.1)
    cluster.says(A, removed=(number(1),), now=10.2)
    told = cluster.says(A, info(2, "flights"), now=10.4)
    assert told == [Order(B, "unbind", number(1), "flights", keep=False, winner=number(2))]


def test_a_replaced_object_that_arrives_on_a_node_with_its_name_goes(cluster: Cluster) -> None:
    """A transfer that was under way when the name was bound anew brings no conflict; a binding that somebody makes later is one."""
    cluster.says(A, info(1, "flights"), now=10.0)
    cluster.says(A, info(2, "flights"), info(1), now=10.1)
    assert cluster.says(B, info(1, "flights"), now=10.2) == [
        Order(B, "unbind", number(1), "flights", keep=False, winner=number(2))
    ]
    cluster.says(B, info(1), now=10.3)
    assert cluster.says(B, info(1, "flights"), now=10.4) == [
        Order(B, "unbind", number(1), "flights", keep=True, winner=number(2))
    ]


def test_a_renaming_in_one_store_is_followed_by_the_nodes_that_bind_the_old_name(cluster: Cluster) -> None:
    """A process that is not connected renames: other replicas are renamed where they lie, and the answer of the other node gives no further order."""
    cluster.says(A, info(1, "old", "older"))
    cluster.says(B, info(1, "older"))
    assert cluster.says(A, info(1, "new")) == [Order(B, "rename", number(1), "new", was="older")]
    assert cluster.says(B, info(1, "new")) == []
    assert cluster.catalog.info(number(1)).names == ("new",)


def test_two_renamings_at_once_are_no_chase(cluster: Cluster) -> None:
    """Who has been renamed meanwhile is not told again: the object has both names."""
    cluster.says(A, info(1, "old"))
    cluster.says(B, info(1, "old"))
    assert cluster.says(A, info(1, "north")) == [Order(B, "rename", number(1), "north", was="old")]
    assert cluster.says(B, info(1, "south")) == []
    assert cluster.catalog.info(number(1)).names == ("north", "south")


def test_a_node_that_was_away_follows_a_renaming_when_it_is_back(cluster: Cluster) -> None:
    """Also if somebody else has the old name meanwhile, and if the object has been renamed twice."""
    cluster.says(A, info(1, "old"))
    cluster.says(B, info(1, "old"))
    cluster.catalog.leave("tcp://b:1")
    assert cluster.says(A, info(1, "newer")) == [Order(B, "rename", number(1), "newer", was="old")]
    assert cluster.catalog.info(number(1)).names == ("newer",)
    assert cluster.says(A, info(1, "newest")) == []
    cluster.says(A, info(2, "old"))
    cluster.catalog.join(B, "south", "tcp://b:2", "1")
    assert cluster.says(B, info(1, "old"), full=True) == [Order(B, "rename", number(1), "newest", was="old")]
    assert cluster.says(B, info(1, "newest")) == []
    assert cluster.catalog.info(number(1)).names == ("newest",)
    assert cluster.catalog.resolve("old") == number(2)


def test_a_node_that_did_not_do_what_it_was_told_is_told_again(cluster: Cluster) -> None:
    """A rename of a client: who has done it is not told, who has not has lost the old name in the cluster already."""
    cluster.says(A, info(1, "old"))
    cluster.says(B, info(1, "old"))
    cluster.says(A, info(1, "new"), info(3))
    told = [Order(B, "rename", number(1), "new", was="old")]
    assert cluster.catalog.rename(number(1), ("old",), "new", done={A}) == []
    assert cluster.says(B, info(1, "old"), full=True) == told
    assert cluster.catalog.info(number(1)).names == ("new",)


def test_a_replica_that_arrives_with_the_name_of_before_is_renamed(cluster: Cluster) -> None:
    """It was on its way. A name that somebody gives the object anew counts, though it is an old one."""
    cluster.says(A, info(1, "old"))
    cluster.says(A, info(1, "new"))
    assert cluster.says(B, info(1, "old")) == [Order(B, "rename", number(1), "new", was="old")]
    cluster.says(B, info(1, "new"))
    cluster.says(B, info(1, "new", "old"))
    assert cluster.catalog.info(number(1)).names == ("new", "old")
    assert cluster.says(B, info(1, "new", "old"), full=True) == []
    assert cluster.catalog.info(number(1)).names == ("new", "old")


def test_a_renaming_to_a_name_that_a_newer_object_has_is_not_followed(cluster: Cluster) -> None:
    """The node that renamed loses the name again; the others keep what they have."""
    cluster.says(A, info(1, "old"))
    cluster.says(B, info(1, "old"), info(2, "new"))
    assert cluster.says(A, info(1, "new")) == [Order(A, "unbind", number(1), "new", keep=True, winner=number(2))]
    assert cluster.catalog.info(number(1)).names == ("old",)


def test_an_object_that_is_losing_its_name_is_known_until_its_nodes_have_undone_it(cluster: Cluster) -> None:
    """Neither what has its name, nor what was put without one, nor the loser of a conflict once it is tagged."""
    cluster.says(A, info(1, "flights"), info(3))
    assert [cluster.catalog.losing(number(value)) for value in (1, 3, 9)] == [None, None, None]
    cluster.says(B, info(2, "flights"))
    assert [cluster.catalog.losing(number(value)) for value in (1, 2)] == ["flights", None]
    cluster.says(A, info(1, conflict="flights"))
    assert cluster.catalog.losing(number(1)) is None


def test_a_lost_node_that_has_not_undone_a_name_does_not_keep_the_loser_from_being_copied(cluster: Cluster) -> None:
    """The other replica has undone it, and is a good source, however long the lost node stays away."""
    cluster.says(A, info(1, "flights"))
    cluster.says(B, info(1, "flights"))
    cluster.says(B, info(2, "flights"), info(1))
    assert cluster.catalog.losing(number(1)) == "flights"
    cluster.catalog.leave("tcp://a:1")
    assert cluster.catalog.losing(number(1)) is None


def test_what_was_replaced_is_known_until_it_has_a_name_again(cluster: Cluster) -> None:
    """The loser of a conflict, and what never had a name, are not."""
    cluster.says(A, info(1, "flights"), info(3), now=10.0)
    cluster.says(A, info(2, "flights"), info(1), now=20.0)
    assert [cluster.catalog.is_replaced(number(value)) for value in (1, 2, 3, 9)] == [True, False, False, False]
    cluster.says(A, info(1, "again"), now=21.0)
    assert not cluster.catalog.is_replaced(number(1))
    cluster.says(B, info(4, "flights"), now=20.1)
    cluster.says(A, info(2), now=20.2)
    assert not cluster.catalog.is_replaced(number(2))


def test_a_name_that_was_unbound_falls_back_to_the_binding_of_another_node(cluster: Cluster) -> None:
    """A name lives as long as one node binds it."""
    cluster.says(A, info(1, "flights"))
    cluster.says(B, info(1, "flights"))
    cluster.says(A, info(1))
    assert cluster.catalog.resolve("flights") == number(1)
    cluster.says(B, info(1))
    with pytest.raises(ObjectNotFoundError):
        cluster.catalog.resolve("flights")


def test_objects_of_a_lost_node_stay_known(cluster: Cluster) -> None:
    """A node without workers is lost; its objects are listed, with that state, and come back with it."""
    cluster.says(A, info(1, "flights"))
    node = cluster.catalog.leave("tcp://a:1")
    assert node is not None
    assert node.info.state == "lost"
    assert cluster.catalog.info(number(1)).replicas[0].state == "lost"
    cluster.catalog.join(A, "north", "tcp://a:2", "0")
    assert cluster.catalog.info(number(1)).replicas[0].state == "memory"


def test_the_second_worker_of_a_host_announces_when_the_first_has_gone(cluster: Cluster) -> None:
    """One worker of a node announces; when it leaves, the next one does, and says everything."""
    node = cluster.catalog.join(A, "north", "tcp://a:2", "2")
    assert node.announcer == "tcp://a:1"
    cluster.catalog.leave("tcp://a:2")
    assert cluster.says(A, info(1)) == []
    cluster.catalog.join(A, "north", "tcp://a:2", "2")
    cluster.catalog.leave("tcp://a:1")
    assert node.announcer == "tcp://a:2"
    assert cluster.says(A, info(2)) is None
    assert cluster.catalog.announced_workers() == {"tcp://b:1"}


def test_a_deleted_object_does_not_come_back_with_a_node_that_was_away(cluster: Cluster) -> None:
    """Who announces a deleted object is told to delete it."""
    cluster.says(A, info(1, "flights"))
    cluster.says(B, info(1, "flights"))
    cluster.catalog.leave("tcp://b:1")
    # The one that is lost hears nothing; who gives the orders notices.
    assert cluster.catalog.delete(number(1)) == [Order(node, "delete", number(1)) for node in (A, B)]
    cluster.catalog.join(B, "south", "tcp://b:2", "1")
    assert cluster.says(B, info(1), full=True) == [Order(B, "delete", number(1))]
    assert cluster.catalog.ls() == []


def test_what_one_node_knows_to_be_deleted_is_deleted_on_all(cluster: Cluster) -> None:
    """A scheduler that starts anew learns it from who was there, whichever node comes first; a dataset's partitions go with it."""
    cluster.says(B, info(1, "flights"), info(2, dataset=number(3)), info(4))
    orders = [Order(B, "delete", number(1)), Order(B, "delete", number(2))]
    assert cluster.says(A, full=True, gone=(number(1), number(3))) == orders
    assert [each.id for each in cluster.catalog.ls()] == [number(4)]
    assert cluster.says(B, info(1, "flights"), info(2, dataset=number(3)), info(5, dataset=number(3)), full=True) == [
        *orders,
        Order(B, "delete", number(5)),
    ]
    assert cluster.says(A, gone=(number(1),)) == []


def test_a_running_node_that_did_not_hear_of_a_deletion_says_everything_and_is_told_again(cluster: Cluster) -> None:
    """It never went away, so nothing else would make it tell what it has; its next change is answered with that wish."""
    cluster.says(A, info(1), info(2))
    assert cluster.catalog.delete(number(1)) == [Order(A, "delete", number(1))]
    cluster.catalog.nodes[A].doubted = True
    assert cluster.says(A, info(3)) is None
    assert cluster.says(A, info(1), info(2), info(3), full=True) == [Order(A, "delete", number(1))]
    assert cluster.says(A, info(4)) == []
    assert {each.id for each in cluster.catalog.ls()} == {number(2), number(3), number(4)}


@pytest.mark.parametrize("fetched", [True, False])
def test_a_third_node_in_quick_turns_replaces_what_it_has_fetched(cluster: Cluster, fetched: bool) -> None:
    """Within the second in which a binding is new, who has fetched the object knew it; from others it is kept."""
    third = "c" * 32
    cluster.catalog.join(third, "west", "tcp://c:1", "2")
    cluster.sequence[third] = 0
    cluster.says(third, full=True, now=10.0)
    cluster.says(A, info(1, "flights"), now=10.0)
    cluster.says(B, info(2, "flights"), now=12.0)
    if fetched:
        cluster.says(third, info(2, "flights"), now=12.1)
    orders = cluster.says(third, info(3, "flights"), now=12.2)
    assert orders is not None
    assert {(order.node, order.object, order.keep) for order in orders if order.node == B} == {
        (B, number(2), not fetched)
    }
    assert cluster.catalog.resolve("flights") == number(3)


def test_what_was_replaced_by_a_deleted_object_does_not_come_back_under_its_name(cluster: Cluster) -> None:
    """The node that still binds the name was away all the time: it is told to unbind it, and the name stays free, until it is bound anew."""
    cluster.says(B, info(1, "flights"))
    cluster.catalog.leave("tcp://b:1")
    cluster.says(A, info(2, "flights"), now=10.0)
    cluster.catalog.delete(number(2))
    with pytest.raises(ObjectNotFoundError):
        cluster.catalog.resolve("flights")
    cluster.catalog.join(B, "south", "tcp://b:2", "1")
    undone = Order(B, "unbind", number(1), "flights", keep=False, winner=number(2))
    assert cluster.says(B, info(1, "flights"), full=True) == [undone]
    assert cluster.catalog.info(number(1)).names == ()
    assert (
        cluster.says(B, dataclasses.replace(info(1, "flights"), pinned=True)) == []
    )  # said before it heard of the order
    assert cluster.catalog.info(number(1)).names == ()
    assert cluster.says(B, info(1)) == []
    assert cluster.says(B, info(1, "flights")) == []  # somebody means it
    assert cluster.catalog.resolve("flights") == number(1)


def test_a_put_after_a_deletion_has_its_name_whatever_its_clock_says(cluster: Cluster) -> None:
    """An object that nobody knew is new, although another node's clock made the deleted one younger."""
    cluster.says(A, info(9, "flights"))
    cluster.catalog.delete(number(9))
    assert cluster.says(B, info(5, "flights")) == []
    assert cluster.catalog.resolve("flights") == number(5)


def test_deleting_a_dataset_deletes_its_partitions(cluster: Cluster) -> None:
    """A manifest takes its partitions along, wherever they are."""
    cluster.says(A, info(1, "flights", kind="dataset"), info(2, dataset=number(1)))
    cluster.says(B, info(3, dataset=number(1)))
    assert set(cluster.catalog.members(number(1))) == {number(2), number(3)}
    orders = cluster.catalog.delete(number(1))
    assert set(orders) == {Order(A, "delete", number(1)), Order(A, "delete", number(2)), Order(B, "delete", number(3))}
    assert cluster.catalog.ls() == []


def test_a_rebound_dataset_takes_its_partitions_along_when_the_last_manifest_goes(cluster: Cluster) -> None:
    """Partitions go when no node has the manifest any more, and not before."""
    cluster.says(A, info(1, "flights", kind="dataset"), info(2, dataset=number(1)))
    cluster.says(B, info(1, "flights", kind="dataset"))
    assert cluster.says(A, removed=(number(1),)) == []
    assert cluster.says(B, removed=(number(1),)) == [Order(A, "delete", number(2))]


def test_a_manifest_that_a_host_lost_does_not_take_partitions_along(cluster: Cluster) -> None:
    """A host that comes back empty did not delete anything."""
    cluster.says(A, info(1, "flights", kind="dataset"))
    cluster.says(B, info(2, dataset=number(1)))
    cluster.catalog.leave("tcp://a:1")
    cluster.catalog.join(A, "north", "tcp://a:2", "0")
    assert cluster.says(A, full=True) == []
    assert cluster.catalog.resolve(number(2)) == number(2)


def test_ls_filters_by_pattern_kind_and_node_newest_first(cluster: Cluster) -> None:
    """Listings are complete, and newest first."""
    cluster.says(A, info(1, "alpha"), info(2, "beta", kind="dataframe"))
    cluster.says(B, info(3))
    catalog = cluster.catalog
    assert [found.id for found in catalog.ls()] == [number(3), number(2), number(1)]
    assert [found.id for found in catalog.ls("*a")] == [number(2), number(1)]
    assert [found.id for found in catalog.ls(kind="dataframe")] == [number(2)]
    assert [found.id for found in catalog.ls(node="south")] == [number(3)]


def test_nodes_are_found_by_id_name_and_worker(cluster: Cluster) -> None:
    """A user may say what is at hand; what is no node is an error that lists the nodes."""
    catalog = cluster.catalog
    assert {catalog.find_node(text).id for text in (A, "north", "tcp://a:1", "0")} == {A}
    with pytest.raises(NodeNotFoundError, match="no node 'west'. The nodes are: north, south"):
        catalog.find_node("west")


def test_two_nodes_never_have_the_same_name(cluster: Cluster) -> None:
    """The second host of a name gets a number."""
    assert cluster.catalog.join("c" * 32, "north", "tcp://c:1", "3").name == "north-2"
    assert cluster.catalog.join(A, "north", "tcp://a:9", "4").name == "north"


def test_an_announcement_does_not_slow_with_the_number_of_objects(cluster: Cluster) -> None:
    """One more object costs the same beside 20,000 others: their number is in no loop."""
    started = time.perf_counter()
    cluster.says(A, *(info(value, f"n{value}") for value in range(1, 20_001)))
    many = time.perf_counter() - started
    started = time.perf_counter()
    for value in range(20_001, 20_101):
        cluster.says(A, info(value, f"n{value}"))
        cluster.catalog.resolve(f"n{value}")
        cluster.catalog.info(number(value))
    assert time.perf_counter() - started < max(many, 0.2)
