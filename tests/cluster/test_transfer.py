from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import codecs
from workbench.cluster import transfer
from workbench.errors import ObjectNotFoundError, StoreFullError, TransferError
from workbench.objects import ObjectId
from workbench.store import Store

KIB = 1 << 10
LIMITS = transfer.Limits(window=1 << 20, connections=2, seconds=5)


@pytest.fixture
def other(memory_directory: Path) -> Iterator[Store]:
    """The destination: a second store, of 64 MiB."""
    with Store.open(memory_directory / "other", capacity=64 << 20) as opened:
        yield opened


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """One thread, as a worker has for transfers."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Network:
    """Asks stores as workers do; sources can die, send nonsense, or stall."""

    def __init__(self, **stores: Store) -> None:
        self.stores = stores
        self.asked: list[tuple[str, int]] = []
        self.dead: set[str] = set()
        self.dies_after: dict[str, int] = {}
        self.cuts_short: set[str] = set()
        self.lies: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def ask(self, address: str, verb: str, *, target: ObjectId, offset: int, nbytes: int, meta: bool) -> Any:
        """Answer as a worker does that serves a range."""
        assert verb == "read"
        self.asked.append((address, offset))
        await asyncio.sleep(0)
        if self.gate is not None and not meta:
            await self.gate.wait()
        turns = sum(1 for source, _ in self.asked if source == address)
        if address in self.dead or turns > self.dies_after.get(address, 10**9):
            raise OSError("connection lost")
        got = transfer.serve(self.stores[address], target, offset, nbytes, meta=meta)
        data = got["data"].data
        if address in self.cuts_short and not meta:
            data = data[:-1]
        if address in self.lies and not meta:
            data = memoryview(bytes(data.nbytes))
        return {**got, "data": data}


def pull(
    network: Network, store: Store, object_id: ObjectId, executor: ThreadPoolExecutor, *sources: str
) -> transfer.Pull:
    """A transfer whose progress is thrown away."""
    return transfer.Pull(store, object_id, sources, network.ask, executor, lambda _: None, limits=LIMITS)


def put(store: Store, value: Any) -> ObjectId:
    """Put a value and return its id."""
    return store.put(codecs.encode(value)).id


def fetched(store: Store, object_id: ObjectId) -> Any:
    """Decode an object."""
    record = store.read(object_id)
    return codecs.decode(record.header, record.buffers)


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ranges, so that order and number matter."""
    monkeypatch.setattr(transfer, "RANGE", 64 * KIB)
    monkeypatch.setattr(transfer, "FIRST", 16 * KIB)


@pytest.mark.parametrize(
    "value",
    [np.arange(100_000), np.arange(3), np.zeros(0), "text", {"a": np.arange(70_000), "b": [np.arange(9_000.0), None]}],
    ids=["large", "small", "empty", "text", "several buffers"],
)
async def test_a_replica_equals_its_source(
    store: Store, other: Store, executor: ThreadPoolExecutor, value: Any
) -> None:
    """Bytes, description and size arrive as they are, whatever the layout, under the same id."""
    object_id = put(store, value)
    await pull(Network(a=store), other, object_id, executor, "a").run()
    np.testing.assert_equal(fetched(other, object_id), value)
    sent, got = store.info(object_id), other.info(object_id)
    assert (got.id, got.kind, got.type, got.shape, got.dtypes, got.nbytes, got.created) == (
        sent.id,
        sent.kind,
        sent.type,
        sent.shape,
        sent.dtypes,
        sent.nbytes,
        sent.created,
    )


async def test_progress_counts_every_byte_once(store: Store, other: Store, executor: ThreadPoolExecutor) -> None:
    """What is reported grows to the size of the payload."""
    object_id = put(store, np.arange(100_000))
    reports: list[int] = []
    await transfer.Pull(other, object_id, ["a"], Network(a=store).ask, executor, reports.append).run()
    assert reports == sorted(reports)
    assert reports[-1] == 800_000


async def test_several_ranges_are_under_way_and_no_more(
    store: Store, other: Store, executor: ThreadPoolExecutor
) -> None:
    """From each of so many sources as may be asked at once, a few ranges are asked for before something has arrived."""
    object_id = put(store, np.arange(200_000))
    network = Network(a=store, b=store, c=store)
    network.gate = asyncio.Event()
    running = asyncio.create_task(pull(network, other, object_id, executor, "a", "b", "c").run())
    most = 1 + LIMITS.connections * transfer._BY_MESSAGE
    while len(network.asked) < most:  # noqa: ASYNC110  # turns of the loop, not time
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(network.asked) == most
    assert {source for source, _ in network.asked} == {"a", "b"}
    network.gate.set()
    await running
    assert other.exists(object_id)


async def test_another_source_goes_on_where_one_died(store: Store, other: Store, executor: ThreadPoolExecutor) -> None:
    """A source that dies in mid-transfer is replaced; what arrived is not sent again."""
    object_id = put(store, np.arange(100_000))
    network = Network(a=store, b=store)
    network.dies_after["a"] = 5
    await pull(network, other, object_id, executor, "a", "b").run()
    np.testing.assert_array_equal(fetched(other, object_id), np.arange(100_000))
    from_b = [offset for source, offset in network.asked if source == "b"]
    from_a = [offset for source, offset in network.asked if source == "a"][:5]
    assert from_b
    assert not set(from_a) & set(from_b)


@pytest.mark.parametrize("fault", ["dead", "dies", "cuts short", "lies", "deleted"])
async def test_a_failed_transfer_leaves_nothing(
    store: Store, other: Store, executor: ThreadPoolExecutor, fault: str
) -> None:
    """When no source can send all of it, the error says so, no byte stays here, and the source is as it was."""
    object_id = put(store, np.arange(100_000))
    network = Network(a=store, b=store)
    if fault == "dead":
        network.dead = {"a", "b"}
    elif fault == "dies":
        network.dies_after = {"a": 3, "b": 3}
    elif fault == "cuts short":
        network.cuts_short = {"a", "b"}
    elif fault == "lies":
        network.lies = {"a", "b"}
    else:
        object_id = ObjectId("f" * 32)
    with pytest.raises(TransferError, match="could not be brought here .* Nothing was kept"):
        await pull(network, other, object_id, executor, "a", "b").run()
    assert not other.exists(object_id)
    assert other.memory().writing == 0
    assert other.ls() == []
    assert other.doctor() == []


async def test_a_cancelled_transfer_leaves_nothing(store: Store, other: Store, executor: ThreadPoolExecutor) -> None:
    """Cancelling at any moment leaves all of the replica or nothing, and no reserved bytes."""
    object_id = put(store, np.arange(100_000))
    for turns in (0, 1, 3, 6, 10, 20, 40, 80):
        running = asyncio.create_task(pull(Network(a=store), other, object_id, executor, "a").run())
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert other.memory().writing == 0
        if other.exists(object_id):  # it was cancelled after the seal
            np.testing.assert_array_equal(fetched(other, object_id), np.arange(100_000))
            other.delete(object_id)
    assert other.doctor() == []


async def test_a_full_destination_is_an_error_of_its_own(
    store: Store, other: Store, executor: ThreadPoolExecutor
) -> None:
    """The store's own error arrives, and says who fills it; nothing was written."""
    object_id = put(store, np.zeros(100 << 20, dtype="u1"))
    with pytest.raises(StoreFullError):
        await pull(Network(a=store), other, object_id, executor, "a").run()
    assert other.ls() == []


async def test_an_object_that_is_there_already_is_left_alone(
    store: Store, other: Store, executor: ThreadPoolExecutor
) -> None:
    """Two transfers of one object make one replica."""
    object_id = put(store, np.arange(100_000))
    network = Network(a=store)
    pulls = [pull(network, other, object_id, executor, "a").run() for _ in range(2)]
    await asyncio.gather(*pulls)
    await pull(network, other, object_id, executor, "a").run()
    assert len(other.ls()) == 1
    np.testing.assert_array_equal(fetched(other, object_id), np.arange(100_000))


def test_a_range_outside_of_the_payload_is_refused(store: Store) -> None:
    """What another worker asks for is checked."""
    object_id = put(store, np.arange(100))
    with pytest.raises(ValueError, match="outside the image"):
        transfer.serve(store, object_id, 0, 10_000, meta=False)
    with pytest.raises(ValueError, match="outside the image"):
        transfer.serve(store, object_id, -8, 8, meta=False)
    with pytest.raises(ObjectNotFoundError):
        transfer.serve(store, ObjectId("0" * 32), 0, 8, meta=True)


def test_serving_copies_nothing(store: Store) -> None:
    """A range is a view of the mapped segment, as long as it has no gap in it."""
    array = np.arange(100_000)
    object_id = put(store, array)
    view = transfer.serve(store, object_id, 0, 800_000, meta=False)["data"].data
    again = transfer.serve(store, object_id, 0, 800_000, meta=False)["data"].data
    assert np.frombuffer(view, "u1").ctypes.data == np.frombuffer(again, "u1").ctypes.data
