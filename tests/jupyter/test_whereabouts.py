"""Where the partitions of a dataset are, and what a preview says of those that are not here."""

from __future__ import annotations

import pytest

from workbench.jupyter.server.problems import ElsewhereError, OutOfReachError
from workbench.jupyter.server.whereabouts import Whereabouts, whereabouts
from workbench.objects import ObjectId, ObjectInfo, Replica

HERE = "a" * 32


def info(number: int, *replicas: tuple[str, str], kind: str = "dataframe", **tags: str) -> ObjectInfo:
    """Make an object with replicas on nodes, each in a state."""
    places = tuple(Replica(HERE if node == "here" else node, node, state, 10) for node, state in replicas)
    names = ("d",) if kind == "dataset" else ()
    name = names[0] if names else None
    return ObjectInfo(
        ObjectId(f"{number:032x}"), name, names, kind, "t", (1,), {}, 10, 0, 0.0, 0.0, False, None, tags, places
    )


def of(*parts: str, cluster: str = "connected") -> Whereabouts:
    """Say where each partition is: ``here``, a node's name, ``lost:`` and a node's name, or nothing."""
    members = []
    for number, text in enumerate(parts):
        *lost, node = text.split(":")
        if node:
            members.append(info(number, (node, "lost" if lost else "memory"), partition=str(number)))
    return whereabouts(info(99, kind="dataset", partitions=str(len(parts))), members, HERE, cluster)


@pytest.mark.parametrize(
    ("where", "note"),
    [
        (
            of("here", "b"),
            "1 of 2 partitions are on this host; the rows of the other cannot be shown here. It is on b.",
        ),
        (
            of("here", "b", "c"),
            "1 of 3 partitions are on this host; the rows of the others cannot be shown here. They are on b and c.",
        ),
        (
            of("here", "b", ""),
            (
                "1 of 3 partitions are on this host; the rows of the others cannot be shown here. 1 of them is on b. Partition 2 is on no running "
                "node. If a node has it that has not joined the cluster, start it; else compute the dataset anew, or delete it."
            ),
        ),
        (
            of("here", "", cluster="none"),
            (
                "1 of 2 partitions are on this host; the rows of the other cannot be shown here. No cluster runs on this host that may have the "
                "others: connect to theirs; if it has ended, compute the dataset anew, or delete it."
            ),
        ),
    ],
)
def test_a_note_says_where_the_others_are(where: Whereabouts, note: str) -> None:
    """On which nodes, or that no running node has them, and what can be done then."""
    assert where.note() == note


def test_what_can_be_brought_is_elsewhere() -> None:
    """Partitions that other nodes have can be replicated here; their bytes are counted, others are not."""
    where = of("b", "here", "lost:c", "b")
    assert (where.elsewhere_nbytes, where.missing) == (20, [2])
    error = where.error([0, 3])
    assert type(error) is ElsewhereError
    assert error.partitions == (0, 3)
    assert str(error) == (
        "Partitions 0 and 3 of 'd', which have these rows, are on b, not on this host. Replicate the dataset to this host first."
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            of("lost:c", "b"),
            (
                "Partition 0 of 'd', which has these rows, is on no running node. It is only on c, lost because no worker runs there: start one there, "
                "or compute the dataset anew, or delete it. 1 of 2 partitions are in reach."
            ),
        ),
        (
            of("lost:c", "lost:d"),
            (
                "Partitions 0 and 1 of 'd', which have these rows, are on no running node. They are only on c and d, lost because no worker runs there: "
                "start workers there, or compute the dataset anew, or delete it. 0 of 2 partitions are in reach."
            ),
        ),
        (
            of("", "lost:c"),
            (
                "Partitions 0 and 1 of 'd', which have these rows, are on no running node. Partition 1 is only on c, lost because no worker runs there: "
                "start one there, or compute the dataset anew, or delete it. 0 of 2 partitions are in reach."
            ),
        ),
        (
            of("", "here", cluster="unreachable"),
            "Partition 0 of 'd', which has these rows, is not on this host. The cluster does not answer, so it is not known where the others are.",
        ),
    ],
)
def test_what_no_running_node_has_cannot_be_brought(where: Whereabouts, message: str) -> None:
    """Nobody is told to replicate what nobody has; the message says which partitions these are, and what can be done."""
    error = where.error([0, 1])
    assert type(error) is OutOfReachError
    assert str(error) == message


def test_of_many_partitions_some_are_named() -> None:
    """A sentence does not grow with the dataset."""
    message = str(of(*[""] * 1000).error(range(1000)))
    assert message.startswith("Partitions 0, 1, 2, 3, 4, 5, 6, 7 and 992 more of 'd'")
    assert len(message) < 400
