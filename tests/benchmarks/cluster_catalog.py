"""The scheduler's catalog with a hundred simulated nodes: bytes per object, and whether anything slows with the number of objects.

Announcements go the way that they go in a cluster, packed as MessagePack, unpacked, checked and applied; only the network is left out. Times are processor time: nothing
here waits, and other processes must not count.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgpack

from tests.benchmarks.measuring import Figure, Scale, at_most
from workbench.cluster import announcements
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Node
from workbench.objects import ObjectId, ObjectInfo, Replica

_NODES: Final = 100
_PAGE: Final = 50
_KINDS: Final = (
    ("array", "numpy.ndarray", {"": "float64"}),
    ("dataframe", "pandas.DataFrame", {f"column-{number}": "float64" for number in range(12)}),
    ("series", "pandas.Series", {"": "int64"}),
)


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds of processor time that a call takes."""
    start = time.thread_time()
    action()
    return time.thread_time() - start


class Cluster:
    """A catalog, and nodes that announce to it."""

    def __init__(self, objects: int) -> None:
        self.catalog = ClusterCatalog()
        self.per_node = objects // _NODES
        self._sequence = [0] * _NODES
        self._next = [0] * _NODES
        self.longest = 0.0
        for node in range(_NODES):
            self.catalog.join(f"{node:032x}", f"node-{node}", f"tcp://10.0.0.{node}:1", str(node))
            self.resync(node, self.new(node, self.per_node))

    def new(self, node: int, count: int) -> list[ObjectInfo]:
        """Return objects that the node has not announced yet; every second one has a name."""
        first = self._next[node]
        self._next[node] += count
        return [_object(node, number) for number in range(first, first + count)]

    def say(self, node: int, added: list[ObjectInfo], removed: tuple[ObjectId, ...] = (), **marks: bool) -> float:
        """Let a node make one announcement; return the seconds that the scheduler spent on it."""
        self._sequence[node] += 1
        marks = {"full": False, "begins": False, "ends": False, **marks}
        said = {
            "node": f"{node:032x}",
            "sequence": self._sequence[node],
            "removed": removed,
            "capacity": 1 << 40,
            "used": 1,
            "parts": {},
            "gone": [],
        }
        message = msgpack.packb({**said, **marks, "added": announcements.pack(added)})

        def apply() -> None:
            arrived = msgpack.unpackb(message, use_list=False, strict_map_key=False)
            assert self.catalog.announce(announcements.parse(arrived), time.monotonic()) == []

        took = seconds(apply)
        self.longest = max(self.longest, took)
        return took

    def resync(self, node: int, objects: list[ObjectInfo]) -> float:
        """Let a node say everything, in pages; return the seconds that the scheduler spent on them."""
        pages = [page for page, _ in announcements.pages(objects, ())]
        took = 0.0
        for number, page in enumerate(pages, 1):
            took += self.say(node, page, full=True, begins=number == 1, ends=number == len(pages))
        return took

    def node(self, number: int) -> Node:
        """Return a node of the catalog."""
        return self.catalog.nodes[f"{number:032x}"]


def _object(node: int, number: int) -> ObjectInfo:
    kind, type_, dtypes = _KINDS[number % len(_KINDS)]
    names = (f"group-{node:02}/{number:07}",) if number % 2 else ()
    created = 1.7e9 + number * 60.0 + node / 1000
    return ObjectInfo(
        id=ObjectId(f"{number:012x}{node:020x}"),
        name=names[0] if names else None,
        names=names,
        kind=kind,
        type=type_,
        shape=(number, 12),
        dtypes=dtypes,
        nbytes=96 * number,
        shared_nbytes=0,
        created=created,
        last_used=created,
        pinned=False,
        ttl=None,
        tags={},
        replicas=(Replica("", "", "memory", 96 * number),),
    )


def many_objects(scale: Scale) -> list[Figure]:
    """Compare a cluster of many objects to one with a hundredth of them."""
    count = scale.catalog
    few = Cluster(max(count // 100, 5 * _NODES))
    before = _resident()
    many = Cluster(count)
    nbytes = (_resident() - before) / count
    pause = seconds(gc.collect)
    figures = [
        Figure(f"cluster's catalog: bytes per object, {count:,} on {_NODES} nodes", nbytes, "", asked=at_most(1024)),
        Figure(
            "... longest announcement while they came",
            many.longest * 1000,
            "ms",
            note="with a garbage collection in it",
        ),
        Figure("... a full garbage collection then", pause * 1000, "ms"),
    ]
    operations = {"few": dict(_operations(few)), "many": dict(_operations(many))}
    for what in operations["few"]:
        taken: dict[str, list[float]] = {"few": [], "many": []}
        # In turns, so that whatever else the machine does meets both alike.
        for _ in range(10 * scale.repeats):
            for which, action in operations.items():
                taken[which].append(action[what]())
        middle = {which: statistics.median(each) for which, each in taken.items()}
        ratio = middle["many"] / middle["few"]
        note = f"{ratio:.2f} times what it takes beside {few.per_node * _NODES:,}"
        figures.append(Figure(f"... {what}", middle["many"] * 1e6, "us", note=note))
    loss = {"few": seconds(partial(_lose, few)), "many": seconds(partial(_lose, many))}
    back = {"few": _return(few), "many": _return(many)}
    figures += [
        Figure("... loss of a node", loss["many"] * 1e6, "us", note=f"{loss['few'] * 1e6:.1f} us beside few"),
        Figure(f"... its return with {many.per_node:,} objects", back["many"] * 1000, "ms", note="in pages"),
        Figure("... the longest page of that", many.longest * 1000, "ms", asked=at_most(100)),
    ]
    return figures


def _operations(cluster: Cluster) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield what is timed; each returns its seconds and leaves the number of objects as it was."""
    catalog = cluster.catalog
    middle = cluster.per_node // 2 | 1

    def announce(size: int) -> float:
        objects = cluster.new(7, size)
        took = cluster.say(7, objects)
        cluster.say(7, [], tuple(info.id for info in objects))
        return took

    def delete() -> float:
        [info] = cluster.new(8, 1)
        cluster.say(8, [info])
        return seconds(lambda: catalog.delete(info.id))

    def page(**options: Any) -> Callable[[], float]:
        return lambda: seconds(lambda: [entry.info() for entry in catalog.page(limit=_PAGE, **options).entries])

    yield "announcement of 1 object", lambda: announce(1)
    yield "announcement of 100 objects", lambda: announce(100)
    yield "locate by name", lambda: seconds(lambda: catalog.info(catalog.resolve(f"group-42/{middle:07}")))
    yield "delete", delete
    after = next(catalog.page(limit=1, after=f"{1.7e9 + middle * 60!r}/{0:032x}").after for _ in range(1))
    yield f"page of {_PAGE}, newest first", page()
    yield f"page of {_PAGE}, from the middle", page(after=after)
    yield f"page of {_PAGE} by prefix", page(pattern="group-42/*", order="name")
    yield f"page of {_PAGE} by kind", page(kind="dataframe")
    yield f"page of {_PAGE} by node", page(node="node-42")


def _lose(cluster: Cluster) -> None:
    cluster.catalog.leave("tcp://10.0.0.9:1")


def _return(cluster: Cluster) -> float:
    cluster.catalog.join(f"{9:032x}", "node-9", "tcp://10.0.0.9:1", "9")
    cluster.longest = 0.0
    took = cluster.resync(9, [_object(9, number) for number in range(cluster.per_node)])
    assert len(cluster.node(9).objects) == cluster.per_node
    return took


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
