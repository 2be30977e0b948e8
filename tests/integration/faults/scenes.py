"""What a process may be killed in the middle of: each step on a store, and what there was before it.

Covers only the choice of operations; a scene is played by ``test_kills.py`` and ``soak.py``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.integration.faults.zygote import OPEN
from workbench.testing.operations import Operation, What

KIB, MIB = 1 << 10, 1 << 20
SMALL, MIDDLE, LARGE = 2 * KIB, 100 * KIB, 3 * MIB
"""In the catalog's row; in a segment that is written by system calls; in one whose mapping is kept."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One step of a store.

    Parameters
    ----------
    deed : callable
        Makes the operation in which the victim dies; its argument makes labels unique.
    before : callable
        Makes what another, living process does before.
    victim_before : callable
        Makes what the victim itself does before.
    settings : dict
        Environment of all processes.
    victim_settings : dict
        Environment of the victim alone.
    may_be_refused : bool
        What readers hold may leave too little room.
    capacity : int
        Bytes.
    mapped : bool
        Readers map what the scene is about, too; what they map cannot be spilled.
    """

    deed: Callable[[str], Operation]
    before: Callable[[str], Sequence[Operation]] = lambda _: ()
    victim_before: Callable[[str], Sequence[Operation]] = lambda _: ()
    settings: dict[str, str] = field(default_factory=dict)
    victim_settings: dict[str, str] = field(default_factory=dict)
    may_be_refused: bool = False
    capacity: int = 128 * MIB
    mapped: bool = True


def put(label: str, *sizes: int, name: str | None = "x", header_nbytes: int = 0) -> Operation:
    """Put an object under the name that scenes are about."""
    return Operation("put", name=name, label=label, sizes=sizes, header_nbytes=header_nbytes)


def spilled(label: str, *sizes: int) -> list[Operation]:
    """Leave an object on disk."""
    return [put(label, *sizes), Operation("spill", key="x")]


def put_and_delete(label: str, nbytes: int) -> list[Operation]:
    """Leave a free segment behind."""
    return [put(f"{label} for the pool", nbytes, name="pool"), Operation("delete", key="pool")]


SCENES: dict[str, Scene] = {
    "put of a small object": Scene(lambda label: put(label, SMALL, name=None)),
    "put of a small object that takes a name": Scene(
        lambda label: put(label, SMALL), before=lambda label: [put(f"{label} before", SMALL)]
    ),
    "put into a fresh segment": Scene(lambda label: put(label, MIDDLE, SMALL, name=None)),
    "put into a fresh large segment": Scene(lambda label: put(label, LARGE, SMALL)),
    "put with an id of its own": Scene(
        lambda label: Operation("put", name="x", label=label, sizes=(MIDDLE,), own_id=True)
    ),
    "put of a large header": Scene(lambda label: put(label, MIDDLE, header_nbytes=MIDDLE)),
    "put into a recycled segment": Scene(
        lambda label: put(label, MIDDLE), before=lambda label: put_and_delete(label, MIDDLE)
    ),
    "put into a recycled large segment": Scene(
        lambda label: put(label, LARGE), before=lambda label: put_and_delete(label, LARGE)
    ),
    "put into a segment whose mapping was kept": Scene(
        lambda label: put(label, LARGE), victim_before=lambda label: put_and_delete(label, LARGE)
    ),
    "put that takes a name": Scene(lambda label: put(label, MIDDLE), before=lambda label: [put(f"{label} 0", MIDDLE)]),
    "put of what lies there already": Scene(
        lambda label: Operation("cut", key="x", name="y", label=label, sizes=(64, 90 * KIB)),
        before=lambda label: [put(f"{label} 0", MIDDLE, 2 * MIDDLE)],
    ),
    "delete": Scene(lambda _: Operation("delete", key="x"), before=lambda label: [put(label, MIDDLE)]),
    "delete that gives the segment back": Scene(
        lambda _: Operation("delete", key="x"),
        before=lambda label: [put(label, LARGE)],
        settings={"WORKBENCH_POOL": "0"},
    ),
    "delete of what another object shares": Scene(
        lambda _: Operation("delete", key="x"),
        before=lambda label: [
            put(label, MIDDLE),
            Operation("cut", key="x", name="y", label=f"{label} cut", sizes=(0, 90 * KIB)),
        ],
        settings={"WORKBENCH_POOL": "0"},
    ),
    "bind": Scene(
        lambda _: Operation("bind", key="y", name="x"),
        before=lambda label: [put(label, MIDDLE), put(f"{label} 0", SMALL, name="y")],
    ),
    "unbind": Scene(lambda _: Operation("unbind", key="x", name="x"), before=lambda label: [put(label, MIDDLE)]),
    "pin": Scene(lambda _: Operation("pin", key="x"), before=lambda label: [put(label, SMALL)]),
    "opening the store": Scene(lambda _: OPEN, before=lambda label: put_and_delete(label, LARGE)),
    "get": Scene(lambda _: Operation("read", key="x"), before=lambda label: [put(label, LARGE)]),
    "spill": Scene(
        lambda _: Operation("spill", key="x"), before=lambda label: [put(label, LARGE, MIDDLE)], mapped=False
    ),
    "spill of what two objects share": Scene(
        lambda _: Operation("spill", key="y"),
        before=lambda label: [
            put(label, MIDDLE),
            Operation("cut", key="x", name="y", label=f"{label} cut", sizes=(0, 90 * KIB)),
        ],
        mapped=False,
    ),
    "restore": Scene(
        lambda _: Operation("restore", key="x"), before=lambda label: spilled(label, MIDDLE), mapped=False
    ),
    "restore into a recycled segment": Scene(
        lambda _: Operation("restore", key="x"),
        before=lambda label: [*spilled(label, LARGE), *put_and_delete(label, LARGE)],
        mapped=False,
    ),
    "get of a spilled object": Scene(lambda _: Operation("read", key="x"), before=lambda label: spilled(label, LARGE)),
    "delete of a spilled object": Scene(
        lambda _: Operation("delete", key="x"), before=lambda label: spilled(label, MIDDLE), mapped=False
    ),
    "put that takes the name of a spilled object": Scene(
        lambda label: put(label, MIDDLE), before=lambda label: spilled(f"{label} 0", MIDDLE), mapped=False
    ),
    "put of what lies on disk already": Scene(
        lambda label: Operation("cut", key="x", name="y", label=label, sizes=(64, 90 * KIB)),
        before=lambda label: spilled(f"{label} 0", MIDDLE),
        mapped=False,
    ),
    "put that makes room by spilling": Scene(
        lambda label: put(label, 12 * MIB),
        before=lambda label: [put(f"{label} {n}", 4 * MIB, name=f"filler {n}") for n in range(3)],
        may_be_refused=True,
        capacity=24 * MIB,
        mapped=False,
    ),
    "giving the idle pool back": Scene(
        lambda _: Operation("doctor"),
        before=lambda label: put_and_delete(label, LARGE),
        victim_settings={"WORKBENCH_POOL_IDLE": "0.001"},
    ),
    "doctor": Scene(
        lambda _: Operation("doctor"),
        before=lambda label: [Operation("put", name="z", label=label, sizes=(MIDDLE,), ttl=1e-6)],
    ),
}

NAMES = ("a", "b", "c", "d")
_WEIGHTS: dict[What, int] = {
    "put": 8,
    "cut": 2,
    "delete": 4,
    "bind": 1,
    "unbind": 1,
    "pin": 1,
    "unpin": 2,
    "read": 1,
    "spill": 2,
    "restore": 2,
}
"""How often each is drawn."""


def random_operations(source: random.Random, prefix: str, count: int) -> list[Operation]:
    """Return a random sequence about a few names of its own."""
    names = [f"{prefix} {name}" for name in NAMES]
    return [_draw(source, names, f"{prefix} {number}") for number in range(count)]


def _draw(source: random.Random, names: Sequence[str], label: str) -> Operation:
    what = source.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    name, key = source.choice(names), source.choice(names)
    if what == "put":
        sizes = tuple(source.choice([10, SMALL, 40 * KIB, MIDDLE, LARGE]) for _ in range(source.choice([1, 1, 2])))
        pin, own_id = source.random() < 0.1, source.random() < 0.2
        return Operation("put", name=name, label=label, sizes=sizes, pin=pin, own_id=own_id)
    if what == "cut":
        return Operation("cut", key=key, name=name, label=label, sizes=(64, source.choice([1000, 60 * KIB, 2 * MIB])))
    return Operation(what, key=key, name=name)
