"""A node as the scheduler shows it."""

from __future__ import annotations

import pytest

from workbench.cluster.nodes import Node

PARTS = {"pooled": 50, "writing": 3, "held": 2, "spilled": 1000, "cached": 5}


@pytest.mark.parametrize(
    ("used", "pooled", "held", "sealed"), [(100, 50, 2, 40), (60, 50, 2, 0), (20, 10, 2, 0), (1, 0, 1, 0)]
)
def test_parts_add_up_to_what_is_used(used: int, pooled: int, held: int, sealed: int) -> None:
    """What is used is told at once and how it is divided a moment later: a pool that was just given back is no larger than all."""
    info = Node("a" * 32, "node-1", used=used, parts=PARTS).info
    assert (info.used, info.pooled, info.held, info.sealed, info.spilled) == (used, pooled, held, sealed, 1000)
    assert info.writing is not None and info.cached is not None and info.held is not None and info.sealed is not None
    assert info.sealed + info.pooled + info.writing + info.held + info.cached == used


def test_nothing_is_made_up_of_a_node_that_has_not_said_it() -> None:
    """Before the first measurement the parts are not known."""
    info = Node("a" * 32, "node-1", used=100).info
    assert (info.used, info.pooled, info.sealed, info.writing) == (100, 0, None, None)
