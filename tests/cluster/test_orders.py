from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.test_catalog import A, B, Cluster, info, number
from workbench.cluster.orders import Orders
from workbench.errors import ClusterError, StoreError


async def test_a_worker_that_ends_has_not_heard_an_order_and_the_others_have() -> None:
    """Its node says everything again later, so the order is not lost; who gave it hears of no error."""
    cluster = Cluster()
    cluster.says(A, info(1, "flights"))
    cluster.says(B, info(1, "flights"))
    heard = []

    async def ask(address: str, verb: str, **_: Any) -> None:
        if address == "tcp://a:1":
            raise ClusterError("The worker ends.")
        heard.append((address, verb))

    await Orders(cluster.catalog, ask).obey(cluster.catalog.delete(number(1)))
    assert ("tcp://b:1", "delete") in heard
    assert [cluster.catalog.nodes[node].doubted for node in (A, B)] == [True, False]


async def test_an_order_that_fails_in_a_store_is_an_error() -> None:
    """It was heard, and could not be done."""
    cluster = Cluster()
    cluster.says(A, info(1, "flights"))

    async def ask(_address: str, _verb: str, **_: Any) -> None:
        raise StoreError("The disk is broken.")

    with pytest.raises(StoreError, match="broken"):
        await Orders(cluster.catalog, ask).obey(cluster.catalog.delete(number(1)))
