from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest

from tests.cluster.test_catalog import info, number
from workbench.cluster import messages
from workbench.errors import (
    ClusterError,
    LastReplicaError,
    NodeNotFoundError,
    NodeStateError,
    ObjectNotFoundError,
    StoreFullError,
    TransferError,
    WorkbenchError,
)
from workbench.objects import Ref


def over_the_wire(value: Any) -> Any:
    """What Dask's comm makes of a message."""
    return msgpack.unpackb(msgpack.packb(value), use_list=False)


def test_a_description_survives_the_wire() -> None:
    """Everything but the replicas, which the receiver knows better, arrives as it was."""
    sent = dataclasses.replace(info(3, "a", "b", dataset="x"), notes=("one",), ttl=4.0, pinned=True)
    assert messages.info_from_wire(over_the_wire(messages.info_to_wire(sent))) == sent


@pytest.mark.parametrize(
    "damage",
    [{"id": "nope"}, {"id": 3}, {"nbytes": -1}, {"nbytes": "many"}, {"names": [3]}, {"tags": {"a": 1}}, {"shape": 7}],
)
def test_a_damaged_description_is_an_error(damage: dict[str, Any]) -> None:
    """Messages from outside are checked, field by field."""
    wire = {**messages.info_to_wire(info(3)), **damage}
    with pytest.raises(ClusterError, match="message of the cluster is damaged"):
        messages.info_from_wire(wire)
    with pytest.raises(ClusterError, match="damaged"):
        messages.info_from_wire({"id": number(3)})
    with pytest.raises(ClusterError, match="damaged"):
        messages.info_from_wire("text")


@pytest.mark.parametrize(
    "kind", [ObjectNotFoundError, StoreFullError, NodeNotFoundError, TransferError, LastReplicaError, NodeStateError]
)
def test_an_error_arrives_as_what_it_was(kind: type[WorkbenchError]) -> None:
    """Errors travel as kind and message, never as pickles."""
    wire = over_the_wire(messages.error_to_wire(kind("what, state, next step")))
    got = messages.error_from_wire(wire)
    assert type(got) is kind
    assert str(got) == "what, state, next step"


async def test_handlers_never_raise() -> None:
    """Whatever goes wrong in a handler becomes part of the reply."""

    async def fails() -> None:
        raise ZeroDivisionError("surprise")

    async def bad(number: Any) -> None:
        raise ValueError(f"{number} is no number")

    verbs: dict[str, messages.Verb] = {"fails": fails, "bad": bad}
    for verb, arguments, version, error, message in [
        ("fails", {}, messages.PROTOCOL, ClusterError, "ZeroDivisionError: surprise"),
        ("bad", {"number": "x"}, messages.PROTOCOL, ValueError, "x is no number"),
        ("bad", {"letter": "x"}, messages.PROTOCOL, ClusterError, "bad does not take"),
        ("bad", [1], messages.PROTOCOL, ClusterError, "damaged"),
        ("what", {}, messages.PROTOCOL, ClusterError, "verb 'what'"),
        (["list"], {}, messages.PROTOCOL, ClusterError, "damaged"),
        ("fails", {}, 99, ClusterError, "was asked in version 99"),
    ]:
        reply = over_the_wire(await messages.answer(verbs, verb, arguments, version))
        with pytest.raises(error, match=message):
            messages.unwrap(reply, "The scheduler")


def test_nobody_who_answers_means_that_the_plugin_is_missing() -> None:
    """Dask answers None for an operation that a server does not know; the error says what to do."""
    with pytest.raises(
        ClusterError, match="The worker at x has no workbench plugin. Start it with `--preload workbench.cluster`"
    ):
        messages.unwrap(None, "The worker at x")
    with pytest.raises(ClusterError, match="does not understand"):
        messages.unwrap("OK", "The worker at x")


def test_keys_are_text_or_references() -> None:
    """Other keys are refused before anything is sent."""
    assert messages.key_text("flights") == "flights"
    assert messages.key_text(Ref(number(1), "flights")) == number(1)
    with pytest.raises(TypeError, match="not int"):
        messages.key_text(3)  # type: ignore[arg-type]
