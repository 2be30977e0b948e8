from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workbench import codecs, connection
from workbench.cluster import announcements, gauge
from workbench.cluster.announcer import Announcer
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Order
from workbench.errors import ClusterError
from workbench.objects import NodeInfo, ObjectId, new_object_id
from workbench.store import Store

ADDRESS = "tcp://worker:1"


class Scheduler:
    """The scheduler's part of the conversation, over a real catalog; it can be away, or lose announcements."""

    def __init__(self) -> None:
        self.catalog = ClusterCatalog()
        self.said: list[dict[str, Any]] = []
        self.ordered: list[Order] = []
        self.away = False
        self.loses = 0

    async def ask(self, verb: str, **arguments: Any) -> Any:
        """Answer as the scheduler's plugin does."""
        await asyncio.sleep(0)
        if self.away:
            raise ClusterError("The scheduler has no workbench plugin.")
        if verb == "join":
            node = self.catalog.join(arguments["node"], arguments["name"], arguments["worker"], "0")
            return {"name": node.name, "announces": node.announcer == arguments["worker"]}
        self.said.append(arguments)
        if self.loses:
            self.loses -= 1
            return {"again": False, "join": False}
        orders = self.catalog.announce(announcements.parse(arguments))
        self.ordered += orders or []
        return {"again": orders is None, "join": False}

    def sees(self) -> dict[str | None, ObjectId]:
        """Names and ids, as the cluster sees them."""
        return {info.name: info.id for info in self.catalog.ls()}


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again; the caller sets the deadline."""
    while not condition():  # noqa: ASYNC110  # the store has no event that could be awaited
        await asyncio.sleep(0.01)


@pytest.fixture
def scheduler() -> Scheduler:
    """A scheduler that knows no node yet."""
    return Scheduler()


@pytest.fixture
def announcer(store: Store, scheduler: Scheduler) -> Announcer:
    """The announcer of the test's store, in the host's first worker."""
    return Announcer(store, "north", lambda: ADDRESS, "tcp://scheduler:8786", scheduler.ask)


async def test_everything_is_announced_first_and_changes_afterwards(
    store: Store, scheduler: Scheduler, announcer: Announcer
) -> None:
    """The scheduler sees what is in the store, and then each put, rebinding and deletion, as deltas."""
    first = store.put(codecs.encode(np.arange(3)), "a").id
    await announcer.flush()
    assert scheduler.sees() == {"a": first}
    second = store.put(codecs.encode(np.arange(4)), "b").id
    await announcer.flush()
    assert scheduler.sees() == {"a": first, "b": second}
    store.bind("a", second)
    await announcer.flush()
    assert scheduler.catalog.resolve("a") == second
    assert not store.exists(first)
    store.delete(second)
    await announcer.flush()
    assert scheduler.sees() == {}
    assert [said["full"] for said in scheduler.said] == [True, False, False, False]
    assert [len(said["added"]["objects"]) for said in scheduler.said[:2]] == [1, 1]


async def test_nothing_is_said_when_nothing_changed(store: Store, scheduler: Scheduler, announcer: Announcer) -> None:
    """An idle store is silent."""
    store.put(codecs.encode(1), "a")
    for _ in range(5):
        await announcer.flush()
    assert len(scheduler.said) == 1


async def test_a_put_by_another_process_is_seen(store: Store, scheduler: Scheduler, announcer: Announcer) -> None:
    """A kernel on this host needs no cluster for its objects to be known there."""
    await announcer.flush()
    with Store.open(store.directory) as kernel:
        put = kernel.put(codecs.encode(np.arange(3)), "from-a-kernel").id
    await announcer.flush()
    assert scheduler.sees() == {"from-a-kernel": put}


async def test_a_lost_announcement_is_repaired(store: Store, scheduler: Scheduler, announcer: Announcer) -> None:
    """The next announcement shows the gap, and everything is said again."""
    await announcer.flush()
    scheduler.loses = 1
    lost = store.put(codecs.encode(1), "lost").id
    await announcer.flush()
    assert scheduler.sees() == {}
    kept = store.put(codecs.encode(2), "kept").id
    await announcer.flush()
    await announcer.flush()
    assert scheduler.sees() == {"lost": lost, "kept": kept}
    assert scheduler.said[-1]["full"]


async def test_a_scheduler_without_the_plugin_is_asked_again(
    store: Store, scheduler: Scheduler, announcer: Announcer, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker goes on, warns once, and announces everything when the scheduler can hear it."""
    scheduler.away = True
    running = asyncio.create_task(announcer.run())
    try:
        async with asyncio.timeout(20):
            await until(lambda: bool(caplog.records))
            put = store.put(codecs.encode(1), "a").id
            scheduler.away = False
            await until(lambda: scheduler.sees() == {"a": put})
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [record.getMessage() for record in caplog.records if record.name == "workbench.worker"] == [
        "The workbench cannot announce this host's objects: The scheduler has no workbench plugin."
    ]


async def test_what_is_deleted_everywhere_is_told_and_told_again(
    store: Store, scheduler: Scheduler, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it happens, and first of all when everything is said, in pages."""
    monkeypatch.setattr(announcements, "_MOST", 2)
    put = store.put(codecs.encode(1), "a").id
    await announcer.flush()
    never = [new_object_id() for _ in range(4)]
    store.bury([put, *never])
    await announcer.flush()
    assert scheduler.sees() == {}
    assert [list(said["gone"]) for said in scheduler.said] == [[], [put, never[0]], never[1:3], never[3:]]
    assert all(target in scheduler.catalog.tombstones for target in (put, *never))
    scheduler.catalog = ClusterCatalog()
    announcer.start_over()
    await announcer.flush()
    again = scheduler.said[4:]
    assert [(list(said["gone"]), said["begins"], said["ends"]) for said in again] == [
        ([put, never[0]], True, False),
        (never[1:3], False, False),
        (never[3:], False, True),
    ]
    assert never[0] in scheduler.catalog.tombstones


@pytest.mark.parametrize("everywhere", [True, False])
async def test_a_deletion_is_one_announcement_and_many_are_few(
    store: Store, scheduler: Scheduler, announcer: Announcer, everywhere: bool
) -> None:
    """Each that the scheduler is told of by itself costs one message, and what comes together goes together; the node is told nothing back."""
    ids = [store.put(codecs.encode(number), f"o{number}").id for number in range(1200)]
    await announcer.flush()
    before = len(scheduler.said)

    def delete(some: list[ObjectId]) -> None:
        for each in some:
            if everywhere:
                store.bury([each])
            else:
                store.delete(each)

    for each in ids[:20]:
        delete([each])
        await announcer.flush()
    assert len(scheduler.said) == before + 20
    delete(ids[20:])
    await announcer.flush()
    assert len(scheduler.said) == before + 20 + 3
    assert scheduler.sees() == {}
    assert scheduler.ordered == []


async def test_what_changes_faster_than_everything_is_said_does_not_begin_it_anew(
    store: Store, scheduler: Scheduler, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More happens meanwhile than the store's history holds: one resync is enough, and its end knows all of it."""
    monkeypatch.setattr(announcements, "PAGE", 20)
    first = [store.put(codecs.encode(number), f"o{number}").id for number in range(60)]
    rounds, each = 4, 6000
    made: list[ObjectId] = []

    async def busy(verb: str, **arguments: Any) -> Any:
        answer = await scheduler.ask(verb, **arguments)
        if verb == "announce" and len(scheduler.said) <= rounds:
            for object_id in made:
                store.delete(object_id)
            encoded = codecs.encode(1)
            made[:] = [ref.id for ref in store.put_many([encoded] * each)]
            store.delete(first.pop())
            store.put(encoded, "o0")
        return answer

    announcer = Announcer(store, "north", lambda: ADDRESS, "tcp://scheduler:8786", busy)
    await announcer.flush()
    assert announcer.resyncs == 1
    await announcer.flush()
    assert announcer.resyncs == 1
    assert scheduler.sees() == store.names() | {None: scheduler.sees()[None]}
    assert {info.id for info in scheduler.catalog.ls()} == {info.id for info in store.ls()}


async def test_how_bytes_are_divided_is_told_also_when_only_that_has_changed(
    store: Store, scheduler: Scheduler, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process lets go of a deleted object: nothing is committed, and the scheduler hears that its bytes are free."""
    monkeypatch.setattr(gauge, "_IDLE", 0.05)

    def told() -> NodeInfo:
        return scheduler.catalog.nodes[store.id].info

    store.put(codecs.encode(np.ones(1 << 20, "u1")), "a")
    record: Any = store.read("a")
    running = asyncio.create_task(announcer.run())
    try:
        async with asyncio.timeout(20):
            await until(lambda: bool(scheduler.said) and (told().sealed or 0) >= 1 << 20)
            store.delete("a")
            await until(lambda: bool(told().held))
            del record
            await until(lambda: bool(told().pooled))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert told().held == 0
    assert told().used == (told().sealed or 0) + told().pooled


async def test_only_one_worker_of_a_host_announces_and_the_next_takes_over(
    store: Store, scheduler: Scheduler, announcer: Announcer
) -> None:
    """The second worker is silent until it is told to announce; then it says everything."""
    second = Announcer(store, "north", lambda: "tcp://worker:2", "tcp://scheduler:8786", scheduler.ask)
    await announcer.flush()
    await second.flush()
    put = store.put(codecs.encode(1), "a").id
    await second.flush()
    assert scheduler.sees() == {}
    scheduler.catalog.leave(ADDRESS)
    second.start_over()
    await second.flush()
    assert scheduler.sees() == {"a": put}


async def test_a_worker_that_is_not_registered_yet_waits(store: Store, scheduler: Scheduler) -> None:
    """A preload runs before Dask's scheduler knows the worker."""
    announcer = Announcer(store, "north", lambda: None, "tcp://scheduler:8786", scheduler.ask)
    await announcer.flush()
    assert scheduler.catalog.nodes == {}


async def test_joining_leaves_the_connection_file(store: Store, announcer: Announcer) -> None:
    """Kernels of this host find the cluster."""
    await announcer.flush()
    found = connection.read(store.directory)
    assert found is not None
    assert (found.scheduler, found.node) == ("tcp://scheduler:8786", store.id)


async def test_objects_whose_time_is_over_are_deleted(store: Store, scheduler: Scheduler, announcer: Announcer) -> None:
    """Somebody must delete what nobody asks for any more: the worker does."""
    store.put(codecs.encode(1), "short", ttl=0.01)
    running = asyncio.create_task(announcer.run())
    try:
        async with asyncio.timeout(20):
            await until(lambda: not store.names() and not scheduler.sees())
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_turn_that_comes_while_a_worker_joins_is_not_lost(store: Store, scheduler: Scheduler) -> None:
    """The announcer of a host dies while another worker is told that it is the second one: that one announces from then on."""
    scheduler.catalog.join(store.id, "north", "tcp://dead:1", "1")
    put = store.put(codecs.encode(np.arange(3)), "a").id

    async def ask(verb: str, **arguments: Any) -> Any:
        answer = await scheduler.ask(verb, **arguments)
        if verb == "join" and not answer["announces"]:
            scheduler.catalog.leave("tcp://dead:1")
            second.start_over()  # what the scheduler says on another connection overtakes the answer
        return answer

    second = Announcer(store, "north", lambda: ADDRESS, "tcp://scheduler:8786", ask)
    for _ in range(2):
        await second.flush()
    assert scheduler.sees() == {"a": put}
