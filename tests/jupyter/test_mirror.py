"""Both catalogs joined: who is right when the host and the cluster disagree, what a panel is told, and that it is told what changed."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import time
from typing import cast

import pytest

from tests.processes import ROOT
from workbench.jupyter.server.deltas import Board
from workbench.jupyter.server.host import HostState
from workbench.jupyter.server.mirror import Mirror
from workbench.jupyter.server.snapshot import dumps, gather, holder_json, nodes_json
from workbench.objects import Holder, Memory, NodeInfo, ObjectId, ObjectInfo, Replica

HERE, THERE = "a" * 32, "b" * 32
MEMORY = Memory(100, 10, 0, 0, 0, 0, 0, 90)


def info(number: int, *nodes: str, kind: str = "array", **more: object) -> ObjectInfo:
    """Make the description of an object on some nodes."""
    replicas = tuple(Replica(node, node[0], "memory", 10) for node in nodes)
    plain = ObjectInfo(
        ObjectId(f"{number:032x}"), None, (), kind, "t", (1,), {}, 10, 0, float(number), 0.0, False, None, {}, replicas
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]  # each is named by the caller


class Panel:
    """A mirror, and somebody who applies what it is sent."""

    def __init__(self, limit: int = 100, patience: float = 0.0) -> None:
        self.board = Board("boot")
        self.mirror = Mirror(self.board, limit, "/root", patience)
        self.mirror.set_place(HERE, "here")
        self.version: str | None = None
        self.rows: dict[str, str] = {}

    def look(self) -> dict[int, list[str]]:
        """Ask for what is new; return the nodes of each object, by its number, newest first."""
        self.mirror.settle("")
        found = self.board.since(self.version)
        self.rows = {} if found.full else self.rows
        self.rows = {id_: row for id_, row in self.rows.items() if id_ not in found.removed}
        self.rows |= {json.loads(row)["id"]: row for row in found.rows}
        self.version = self.board.version
        assert sorted(self.rows.values()) == sorted(self.board.since(None).rows)
        objects = sorted(map(json.loads, self.rows.values()), key=lambda one: -one["created"])
        return {int(one["id"], 16): [replica["node"][0] for replica in one["replicas"]] for one in objects}

    def row(self, number: int) -> dict[str, object]:
        """Return a row."""
        row: dict[str, object] = json.loads(self.rows[f"{number:032x}"])
        return row


def test_host_is_right_about_itself() -> None:
    """What this host has is shown at once, and what it dropped is gone at once, whatever the cluster has heard."""
    panel = Panel()
    panel.mirror.begin_there([info(1, HERE, THERE), info(2, HERE), info(3, HERE, THERE)])
    panel.mirror.begin_here([info(1), info(4)])
    assert panel.look() == {4: ["a"], 3: ["b"], 1: ["a", "b"]}
    assert panel.row(4)["replicas"] == [{"node": HERE, "node_name": "here", "state": "memory", "nbytes": 10}]
    panel.mirror.change_here([], [info(1).id, info(4).id])
    assert panel.look() == {3: ["b"], 1: ["b"]}
    panel.mirror.change_there([], [info(3).id])
    panel.mirror.set_place(None, "")
    assert panel.look() == {2: ["a"], 1: ["a", "b"]}


def test_names_of_both_are_kept() -> None:
    """A name that only the cluster knows of, or only this host, is a name of the object."""
    panel = Panel()
    panel.mirror.begin_here([info(1, name="y", names=("y",))])
    panel.mirror.begin_there([info(1, THERE, name="x", names=("x",))])
    panel.look()
    assert (panel.row(1)["name"], panel.row(1)["names"]) == ("y", ["y", "x"])


def test_a_dataset_is_one_row_whatever_comes_first() -> None:
    """Partitions are rows of their own until their manifest is known; then they are the dataset's bytes, nodes and holders."""
    panel = Panel()
    parts = [info(number, tags={"dataset": info(9).id, "partition": str(number)}) for number in (1, 2)]
    remote = info(3, THERE, tags={"dataset": info(9).id, "partition": "0"})
    panel.mirror.begin_here(parts)
    panel.mirror.set_leases([Holder(7, "worker", "w", float(part.created), 10, part.id, None) for part in parts])
    assert panel.look() == {1: ["a"], 2: ["a"]}
    panel.mirror.change_here([info(9, kind="dataset", name="d", names=("d",))])
    panel.mirror.change_there([remote])
    assert list(panel.look()) == [9]
    row = panel.row(9)
    assert row["nbytes"] == 40
    holder = Holder(7, "worker", "w", 1.0, 20, info(9).id, "d")
    assert row["holders"] == [json.loads(dumps(holder_json(holder, "")))]
    panel.mirror.change_here([], [info(9).id])
    assert panel.look() == {1: ["a"], 2: ["a"], 3: ["b"]}


def part(number: int, *nodes: str, lost: bool = False) -> ObjectInfo:
    """Make a partition of the dataset 9, which has three."""
    found = info(number, *nodes, tags={"dataset": info(9).id, "partition": str(number)})
    replicas = [dataclasses.replace(replica, state="lost" if lost else replica.state) for replica in found.replicas]
    return dataclasses.replace(found, replicas=tuple(replicas))


DATASET = info(9, kind="dataset", name="d", names=("d",), tags={"partitions": "3"})


def test_a_dataset_says_how_many_of_its_partitions_are_in_reach() -> None:
    """As `workbench ls` does: partitions that nobody has, and those on lost nodes only, are missing; when they are back it is whole."""
    panel = Panel()
    panel.mirror.begin_here([DATASET, part(0)])
    panel.mirror.begin_there([part(1, THERE), part(2, THERE, lost=True)])
    panel.look()
    (note,) = cast("list[str]", panel.row(9)["notes"])
    assert note.startswith("2 of 3 partitions are in reach; the others are only on nodes that are lost")
    panel.mirror.change_there([], [part(1).id, part(2).id])
    panel.look()
    (note,) = cast("list[str]", panel.row(9)["notes"])
    assert note.startswith("1 of 3 partitions are in reach; the others are on other nodes, or have ended with them")
    panel.mirror.change_there([part(1, THERE), part(2, THERE)])
    panel.look()
    assert panel.row(9)["notes"] == []


def test_partitions_that_come_in_a_moment_are_not_missed() -> None:
    """Hosts and nodes tell of what is made or moved one after the other: a row says that something is missing only of what stays so."""
    panel = Panel(patience=0.3)
    panel.mirror.begin_here([DATASET, part(0)])
    panel.look()
    assert panel.row(9)["notes"] == []
    assert (found := panel.mirror.info(DATASET.id)) is not None and len(found.notes) == 1
    panel.mirror.change_there([part(1, THERE), part(2, THERE)])
    panel.look()
    panel.mirror.change_there([], [part(2).id])
    panel.look()
    assert panel.row(9)["notes"] == []
    deadline = time.monotonic() + 10
    while not panel.row(9)["notes"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        panel.look()
    version = panel.version
    panel.look()
    assert panel.version == version


def test_holder_of_partitions_holds_the_dataset_once() -> None:
    """A process with three partitions mapped is one holder of the dataset, with all their bytes, since the first of them."""
    dataset = info(9, HERE, kind="dataset", name="d", names=("d",))
    leases = [Holder(7, "worker", "w", float(number), 10, info(number).id, None) for number in (1, 2, 3)]
    other = Holder(8, "kernel", "k", 5.0, 3, None, "gone", state="deleted", cause="Out[3]")
    another = Holder(8, "kernel", "k", 5.0, 3, None, "gone too", state="deleted")
    found = gather([*leases, other, another], lambda _: dataset)
    assert found == [Holder(7, "worker", "w", 1.0, 30, dataset.id, "d"), other, another]


def test_a_holder_that_comes_or_goes_is_a_change_of_one_row() -> None:
    """Only the object whose holders changed is sent again, and it is named, so that its last use can be read."""
    panel = Panel()
    panel.mirror.begin_here([info(1), info(2)])
    panel.look()
    lease = Holder(7, "kernel", "/root/work/a.ipynb", 1.0, 10, info(1).id, None)
    assert panel.mirror.set_leases([lease]) == {info(1).id}
    panel.mirror.settle("")
    (row,) = panel.board.since(panel.version).rows
    assert json.loads(row)["holders"][0]["path"] == "work/a.ipynb"
    assert panel.mirror.set_leases([]) == {info(1).id}


@pytest.mark.parametrize(
    ("kind", "label", "path"),
    [
        ("kernel", "/root/a.ipynb", "a.ipynb"),
        ("kernel", "/roots/a.ipynb", "/roots/a.ipynb"),
        ("kernel", "b/a.md", "b/a.md"),
        ("kernel", "kernel 7", None),
        ("script", "/root/a.py", None),
    ],
)
def test_a_holder_tells_the_path_of_its_notebook(kind: str, label: str, path: str | None) -> None:
    """It is relative to the folder that the server shows where it lies there; a script has none."""
    assert holder_json(Holder(1, kind, label, 0.0, 1), "/root")["path"] == path


def test_beyond_the_limit_the_newest_are_shown() -> None:
    """Older rows are left out and counted; when newer ones go, they are back."""
    panel = Panel(limit=3)
    panel.mirror.begin_here([info(number) for number in range(1, 6)])
    assert list(panel.look()) == [5, 4, 3]
    assert panel.mirror.hidden == 2
    panel.mirror.change_here([info(6)], [info(4).id])
    assert list(panel.look()) == [6, 5, 3]
    panel.mirror.change_here([], [info(6).id, info(5).id])
    assert list(panel.look()) == [3, 2, 1]
    panel.mirror.change_here([info(7), info(8)])
    assert list(panel.look()) == [8, 7, 3]


def test_what_has_expired_is_gone_though_nobody_has_deleted_it() -> None:
    """An object whose time is over is shown no more."""
    panel = Panel()
    now = time.time()
    panel.mirror.begin_here([info(1, created=now - 10, ttl=10.2), info(2, created=now, ttl=60.0)])
    panel.mirror.begin_there([info(1, THERE, created=now - 10, ttl=10.2)])
    assert sorted(panel.look()) == [1, 2]
    time.sleep(0.25)
    assert sorted(panel.look()) == [2]


def test_changes_end_with_what_everything_anew_would_say() -> None:
    """Random changes on both sides, datasets among them, leave the same rows as a mirror that is told the end."""
    drawn = random.Random(3)
    panel = Panel(limit=12)
    sides: tuple[dict[ObjectId, ObjectInfo], dict[ObjectId, ObjectInfo]] = ({}, {})
    for _ in range(300):
        number = drawn.randrange(1, 30)
        here = drawn.random() < 0.5
        kind = "dataset" if number % 10 == 0 else "array"
        tags = {"dataset": info(number % 3 * 10).id} if kind == "array" and number % 2 else {}
        one = info(number, *([HERE] if here else [HERE, THERE][drawn.randrange(2) :]), kind=kind, tags=tags)
        side = sides[0 if here else 1]
        change = panel.mirror.change_here if here else panel.mirror.change_there
        if one.id in side and drawn.random() < 0.5:
            del side[one.id]
            change([], [one.id])
        else:
            side[one.id] = one
            change([one])
        if drawn.random() < 0.3:
            shown = panel.look()
            anew = Panel(limit=12)
            anew.mirror.begin_here(sides[0].values())
            anew.mirror.begin_there(sides[1].values())
            assert anew.look() == shown


def test_node_of_this_host_is_listed_once_with_where_its_bytes_are() -> None:
    """With a cluster this host is the node that the cluster lists; of the others is shown what is known, and null elsewhere."""
    host = HostState("/d", HERE, MEMORY, room=60)
    nodes = [
        NodeInfo(HERE, "node-1", "tcp://x", ("tcp://x",), 100, 10, "running"),
        NodeInfo(THERE, "node-2", "", (), 50, 20, "lost"),
    ]
    first, second = nodes_json(nodes, host)
    assert (first["name"], first["state"], first["sealed"], first["other"], first["free"]) == (
        "node-1",
        "running",
        10,
        30,
        60,
    )
    assert (second["state"], second["free"], second["other"]) == ("lost", 30, None)
    (alone,) = nodes_json([], host)
    assert (alone["id"], alone["state"]) == (HERE, "local")
    assert nodes_json([], HostState("/d")) == []


def test_text_that_utf8_cannot_carry_is_escaped() -> None:
    """A lone surrogate does not break the answer that it is in."""
    assert json.loads(dumps({"name": "a\ud800\u202eé"}).encode()) == {"name": "a\ud800\u202eé"}


def test_server_side_brings_neither_dask_nor_pandas() -> None:
    """Loading the extension costs a Jupyter server none of the libraries that only kernels and workers need."""
    program = (
        "import sys, workbench.jupyter.server.app;"
        "print([m for m in ('distributed', 'pandas', 'pyarrow', 'polars', 'cloudpickle', 'IPython') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
