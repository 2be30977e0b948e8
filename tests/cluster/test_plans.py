"""What a dry run shows, as the scheduler writes it down and people read it."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.cluster.plans import Plan

MIB = 1 << 20


def step(verb: str, name: str, node: str, size: int) -> dict[str, Any]:
    """One step, of so many MiB."""
    fields = {"object": name * 32, "name": name, "node": f"{node}-id", "node_name": node, "reason": "as was asked for"}
    return {"verb": verb, "nbytes": size * MIB, **fields}


def plan(verb: str, steps: list[dict[str, Any]], missing: int) -> Plan:
    """A plan with one destination, which lacks so many MiB of what it would get."""
    nbytes = sum(each["nbytes"] for each in steps if each["verb"] == "copy")
    given_up = {"free": 5 * MIB, "pooled": 0, "cached": 0, "spilled": 0, "objects": []}
    room = {"node_name": "node-2", "nbytes": nbytes, **given_up, "missing": missing * MIB, "trouble": "It is full."}
    return Plan.from_wire({"verb": verb, "name": "x", "steps": steps, "rooms": [room]})


@pytest.mark.parametrize("verb", ["move", "replicate"])
def test_what_does_not_fit_is_refused(verb: str) -> None:
    """It is said first, and with the step, in text and HTML; nothing would travel, and nothing be dropped."""
    found = plan(verb, [step("copy", "a", "node-2", 60), step("drop", "a", "node-1", 60)], missing=8)
    assert (found.steps, found.nbytes) == ((), 0)
    assert [(each.verb, each.name, each.node_name) for each in found.refused] == [("refuse", "a", "node-2")]
    for text in (repr(found), found._repr_html_()):
        assert f"{verb} x (dry run): 0 copies, 0 B; 0 drops; 1 refused: no room on node-2" in text
        assert "node-2 would refuse it (StoreFullError): 8.0 MiB of the 60.0 MiB that it would get do not fit" in text
        assert "as was asked for" not in text


def test_what_fits_of_several_is_done_where_each_is_for_itself() -> None:
    """A rebalancing goes on without what does not fit, which stays where it is; a move drops nothing if one copy fails."""
    steps = [step(verb, name, node, 30) for name in "ab" for verb, node in (("copy", "node-2"), ("drop", "node-1"))]
    found = plan("rebalance", steps, missing=10)
    assert [(each.verb, each.name) for each in found.steps] == [("copy", "a"), ("drop", "a")]
    assert [each.name for each in found.refused] == ["b"]
    copies = [each for each in steps if each["verb"] == "copy"]
    drops = [each for each in steps if each["verb"] == "drop"]
    found = plan("move", [*copies, *drops], missing=10)
    assert [(each.verb, each.name) for each in found.steps] == [("copy", "a")]


def test_what_fits_is_not_refused() -> None:
    """The title counts what would be done, and says nothing more."""
    found = plan("move", [step("copy", "a", "node-2", 60), step("drop", "a", "node-1", 60)], missing=0)
    assert repr(found).startswith("move x (dry run): 1 copy, 60.0 MiB; 1 drop\n")
    assert [each.verb for each in found.steps] == ["copy", "drop"] and not found.refused
