from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from tests.cluster.test_catalog import A, B, Cluster, info, number
from workbench.cluster.guarding import Guard
from workbench.objects import ObjectInfo, Replica


def cached(value: int, *names: str) -> ObjectInfo:
    """What the node south announces of a replica that it keeps for readers."""
    return dataclasses.replace(info(value, *names), replicas=(Replica(B, "south", "cached", 100),))


@pytest.mark.parametrize(
    ("replaced", "names", "ordered"), [(False, ("flights",), "keep"), (False, (), "keep"), (True, (), "drop")]
)
def test_a_cached_replica_that_is_left_alone_is_kept_unless_its_object_was_replaced(
    replaced: bool, names: tuple[str, ...], ordered: str
) -> None:
    """A reader brought it to a node where the name was bound anew: nobody could find it, by that name or another."""
    cluster = Cluster()
    cluster.says(A, info(1, "flights"), now=10.0)
    if replaced:
        cluster.says(B, cached(1, *names), info(2, "flights"), now=20.0)
    else:
        cluster.says(B, cached(1, *names), now=20.0)
    cluster.says(A, removed=(number(1),), now=20.1)
    orders: list[tuple[Any, ...]] = []

    async def order(address: str, verb: str, *, targets: list[str]) -> None:
        orders.append((address, verb, targets))

    asyncio.run(Guard(cluster.catalog, order).rescue([number(1)]))
    assert orders == [("tcp://b:1", ordered, [number(1)])]
