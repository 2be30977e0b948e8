"""What a JupyterLab that knows cards is told of values."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.cluster.test_operations import operation, wire
from workbench.cards import CARD, LIMIT
from workbench.cluster.operations import Operations
from workbench.listing import Listing
from workbench.objects import Holder, NodeInfo, ObjectId, ObjectInfo, Ref, Replica

ID = ObjectId("0" * 32)
INFO = ObjectInfo(
    ID, "<b>", ("<b>",), "dataframe", "pandas.DataFrame", (3, 2), {"x": "int64"}, 48, 0, 1.0, 2.0, False, None, {"a": "b"},
    (Replica("n1", "node-1", "memory", 48),),
)  # fmt: skip
NODE = NodeInfo("n1", "node-1", "tcp://127.0.0.1:1", ("w",), 100, 50, "running", 10)

MOVE = operation(wire("done", done=2048, started=1.0))[0]
MOVE._refreshed()


def shown(value: object) -> dict[str, Any]:
    """Return what IPython shows of a value, as a notebook file has it."""
    shell = InteractiveShell.instance()
    try:
        assert shell.display_formatter is not None
        for formatter in shell.display_formatter.formatters.values():
            formatter.enabled = True
        bundle, _ = shell.display_formatter.format(value)
    finally:
        InteractiveShell.clear_instance()
    restored: dict[str, Any] = json.loads(json.dumps(bundle))
    return restored


@pytest.mark.parametrize(
    ("value", "kind", "ids", "total"),
    [
        (INFO, "object", [ID], 1),
        (INFO.ref, "object", [ID], 1),
        (Listing([INFO, INFO]), "objects", [ID, ID], 2),
        (Listing([Ref(ID)]), "objects", [ID], 1),
        (NODE, "nodes", ["n1"], 1),
        (Listing([NODE]), "nodes", ["n1"], 1),
        (MOVE, "operations", ["1"], 1),
        (MOVE.last_known, "operations", ["1"], 1),
        (Operations([MOVE]), "operations", ["1"], 1),
    ],
    ids=["info", "ref", "infos", "refs", "node", "nodes", "operation", "operation-info", "operations"],
)
def test_values_have_a_card_beside_their_text(value: object, kind: str, ids: list[str], total: int) -> None:
    """A card says what kind of thing it is of, when it was made, and of which ones; the text stays beside it."""
    bundle = shown(value)
    card = bundle[CARD]
    assert (card["form"], card["kind"], card["total"]) == (1, kind, total)
    assert [each["id"] for each in card["values"]] == ids
    assert time.time() - card["time"] < 60
    assert bundle["text/plain"]


def test_an_object_s_card_has_what_is_shown_and_no_more() -> None:
    """A notebook file keeps name, kind, shape, sizes and replicas of an object, and nothing that is not shown."""
    [value] = INFO._repr_mimebundle_()[CARD]["values"]
    assert value == {
        "id": ID,
        "name": "<b>",
        "kind": "dataframe",
        "type": "pandas.DataFrame",
        "shape": [3, 2],
        "nbytes": 48,
        "shared_nbytes": 0,
        "created": 1.0,
        "pinned": False,
        "replicas": [{"node": "n1", "node_name": "node-1", "state": "memory", "nbytes": 48}],
        "notes": [],
    }


def test_a_card_stays_small() -> None:
    """A listing of many, and a name of any length, do not blow up the notebook file."""
    long = dataclasses.replace(INFO, name="n" * 10_000)
    card = Listing([long] * 5_000)._repr_mimebundle_()[CARD]
    assert len(card["values"]) == LIMIT
    assert card["total"] == 5_000
    assert len(card["values"][0]["name"]) == 1_000
    assert len(json.dumps(card)) < 200_000


@pytest.mark.parametrize(
    "value",
    [Listing([], of=ObjectInfo), Listing([Holder(1, "kernel", "a.ipynb", 1.0, 5, ID, None)])],
    ids=["none", "holders"],
)
def test_what_cannot_be_shown_live_has_no_card(value: object) -> None:
    """An empty listing, and one of holders, show their text and HTML alone."""
    assert CARD not in shown(value)
