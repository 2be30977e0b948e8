"""Lines between two real servers of Dask's, in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed.comm.core import connect
from distributed.core import ConnectionPool
from distributed.core import Server as DaskServer
from distributed.security import Security

from tests.cluster.test_transfer import fetched, put
from workbench.cluster import line_server, lines, messages, sockets, transfer
from workbench.errors import TransferError
from workbench.objects import ObjectId
from workbench.store import Store

MIB = 1 << 20
SECONDS = 1.0
LIMITS = transfer.Limits(window=32 * MIB, connections=2, seconds=SECONDS)


@pytest.fixture
def other(memory_directory: Path) -> Iterator[Store]:
    """The destination."""
    with Store.open(memory_directory / "other", capacity=256 * MIB) as opened:
        yield opened


class Source:
    """A worker that serves a store, as the plugin does; it can be silent, or change what it sends."""

    def __init__(self, store: Store, protocol: str, arguments: dict[str, Any]) -> None:
        self.lines = line_server.Server(store, SECONDS)
        self.asked = 0
        self._store = store
        handlers = {messages.OP: self._handle, lines.OP: self.lines.handle}
        self.server = DaskServer(handlers, connection_args=arguments)
        self._protocol = protocol
        self._arguments = arguments

    async def start(self) -> None:
        """Listen."""
        await self.server.listen(f"{self._protocol}://127.0.0.1:0", **self._arguments)

    async def _handle(self, verb: Any = None, arguments: Any = None, version: Any = None) -> dict[str, Any]:
        async def read(target: Any, offset: Any, nbytes: Any, meta: Any) -> dict[str, Any]:
            self.asked += 1
            return transfer.serve(self._store, target, offset, nbytes, meta=meta)

        return await messages.answer({"read": read}, verb, arguments, version)

    async def close(self) -> None:
        """End."""
        await self.lines.close()
        await self.server.close()


class Two:
    """Sources of one store, and what a destination needs to pull from them."""

    def __init__(self, sources: list[Source], arguments: dict[str, Any], *, checks: bool | None = None) -> None:
        self.sources = sources
        self.addresses = [source.server.address for source in sources]
        self.pool = ConnectionPool(connection_args=arguments)
        self.linked = lines.Lines(lambda address: connect(address, **arguments), SECONDS, checks=checks)
        self.reports: list[int] = []
        self.knows_more = False

    async def ask(self, address: str, verb: str, **arguments: Any) -> Any:
        """Ask a source, as workers do."""
        call = getattr(self.pool(address), messages.OP)
        return messages.unwrap(await call(verb=verb, arguments=arguments, version=messages.PROTOCOL), address)

    def pull(self, store: Store, object_id: ObjectId, executor: ThreadPoolExecutor) -> transfer.Pull:
        """A transfer from all sources."""
        return transfer.Pull(
            store,
            object_id,
            self.addresses,
            self.ask,
            executor,
            self.reports.append,
            linked=self.linked,
            limits=LIMITS,
            more=self._more if self.knows_more else None,
        )

    async def _more(self) -> list[str]:
        return self.addresses

    async def close(self) -> None:
        """End all."""
        self.linked.close()
        await self.pool.close()
        for source in self.sources:
            await source.close()


@contextlib.asynccontextmanager
async def sources(
    store: Store, number: int = 1, *, security: Security | None = None, checks: bool | None = None
) -> AsyncIterator[Two]:
    """So many workers that serve a store."""
    arguments = security.get_connection_args("worker") if security else {}
    listening = security.get_listen_args("worker") if security else {}
    made = [Source(store, "tls" if security else "tcp", listening) for _ in range(number)]
    for source in made:
        await source.start()
    two = Two(made, arguments, checks=checks)
    await two.pool.start()
    try:
        yield two
    finally:
        await two.close()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """One thread, as a worker has for transfers."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


VALUES = {
    "one buffer": np.arange(4 * MIB),
    "many buffers": [np.arange(number * 100) for number in range(200)] + [np.arange(2 * MIB), None, np.arange(7)],
}


@pytest.mark.parametrize(
    ("value", "tls"),
    [(VALUES["one buffer"], False), (VALUES["many buffers"], False), (VALUES["many buffers"], True)],
    ids=["one buffer", "many buffers", "tls"],
)
async def test_ranges_come_over_lines(
    store: Store, other: Store, executor: ThreadPoolExecutor, value: Any, tls: bool
) -> None:
    """What is large comes over a line, straight into the segment, over TCP and TLS; a second object comes over the same line."""
    security = Security.temporary() if tls else None
    async with sources(store, security=security) as two:
        for _ in range(2):
            object_id = put(store, value)
            await two.pull(other, object_id, executor).run()
            np.testing.assert_equal(fetched(other, object_id), value)
            assert len(two.linked._idle) == 1
        assert two.sources[0].asked == 2, "only the descriptions came as messages"
        assert len(two.sources[0].lines._open) == 1
    assert other.doctor() == []


async def test_a_corrupt_range_is_taken_from_another_source(
    store: Store, other: Store, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With checksums, what is changed on the way is noticed, its source is named, and another one sends it."""
    object_id = put(store, VALUES["one buffer"])
    async with sources(store, 2, checks=True) as two:
        bad = two.addresses[0]
        whole = sockets.receive

        def damaging(sock: Any, view: memoryview) -> None:
            whole(sock, view)
            if view.nbytes > MIB and sock.getpeername()[1] == int(bad.rsplit(":", 1)[1]):
                view[-1] ^= 1

        monkeypatch.setattr(sockets, "receive", damaging)
        pull = two.pull(other, object_id, executor)
        await pull.run()
        np.testing.assert_array_equal(fetched(other, object_id), VALUES["one buffer"])
        assert "checksum" in pull._failed[bad]
        other.delete(object_id)
        two.addresses.pop()
        with pytest.raises(TransferError, match=rf"{bad}: .* do not have the checksum"):
            await two.pull(other, object_id, executor).run()
    assert other.ls() == []
    assert other.doctor() == []


async def test_a_silent_source_is_replaced(
    store: Store, other: Store, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that goes silent in the middle holds nobody up; when it is the only one, the error comes in bounded time."""
    object_id = put(store, VALUES["one buffer"])
    answer = line_server.Server._answer
    async with sources(store, 2) as two:
        silent = two.sources[0].lines
        gate = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(self: line_server.Server, *arguments: Any, **options: Any) -> None:
            if self is silent and arguments[2]:
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            answer(self, *arguments, **options)

        monkeypatch.setattr(line_server.Server, "_answer", slow)
        try:
            await asyncio.wait_for(two.pull(other, object_id, executor).run(), 30)
            np.testing.assert_array_equal(fetched(other, object_id), VALUES["one buffer"])
            other.delete(object_id)
            two.addresses.pop()
            with pytest.raises(TransferError, match="nothing came for too long"):
                await asyncio.wait_for(two.pull(other, object_id, executor).run(), 30)
        finally:
            gate.set()  # else the source's thread would wait for ever
    assert other.ls() == []
    assert other.doctor() == []


async def test_a_cancelled_transfer_leaves_nothing(store: Store, other: Store, executor: ThreadPoolExecutor) -> None:
    """Cancelling while threads wait for bytes ends them first, and leaves all of the replica or nothing."""
    object_id = put(store, VALUES["one buffer"])
    async with sources(store, 2) as two:
        for turns in (5, 20, 60, 150):
            running = asyncio.create_task(two.pull(other, object_id, executor).run())
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert other.memory().writing == 0
            if other.exists(object_id):
                np.testing.assert_array_equal(fetched(other, object_id), VALUES["one buffer"])
                other.delete(object_id)
    assert other.doctor() == []


async def test_a_line_that_breaks_is_made_anew(
    store: Store, other: Store, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single source whose connection is lost in the middle is asked again, once, for what has not arrived."""
    object_id = put(store, VALUES["one buffer"])
    answer = line_server.Server._answer
    left = [2]

    def breaking(self: line_server.Server, sock: Any, *arguments: Any, **options: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            sockets.shut(sock)
        answer(self, sock, *arguments, **options)

    monkeypatch.setattr(line_server.Server, "_answer", breaking)
    async with sources(store) as two:
        two.knows_more = True
        await two.pull(other, object_id, executor).run()
        np.testing.assert_array_equal(fetched(other, object_id), VALUES["one buffer"])
        other.delete(object_id)
        left[0] = 2
        two.knows_more = False
        with pytest.raises(TransferError, match="could not be brought here"):
            await two.pull(other, object_id, executor).run()
    assert other.doctor() == []


async def test_a_source_that_is_full_up_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused a line hears why, at once."""
    async with sources(store) as two:
        monkeypatch.setattr(line_server, "_MOST", 0)
        with pytest.raises(lines.SourceError, match="busy"):
            await two.linked.get(two.addresses[0])


async def test_an_idle_line_that_its_source_has_closed_is_not_used(
    store: Store, other: Store, executor: ThreadPoolExecutor
) -> None:
    """Between two transfers a source may have been restarted: a new line is opened."""
    async with sources(store) as two:
        await two.pull(other, put(store, VALUES["one buffer"]), executor).run()
        await two.sources[0].lines.close()
        object_id = put(store, VALUES["many buffers"])
        await two.pull(other, object_id, executor).run()
        np.testing.assert_equal(fetched(other, object_id), VALUES["many buffers"])
