"""What comes from outside: garbage for every verb, other versions, objects that want to be unpickled; and what Prometheus is told."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import hypothesis.strategies as st
import numpy as np
import pytest
from distributed import Scheduler, Worker
from distributed.comm.core import connect
from distributed.protocol.serialize import to_serialize
from hypothesis import Phase, given, settings

from workbench import codecs
from workbench.cluster import WorkbenchSchedulerPlugin, WorkbenchWorkerPlugin, messages
from workbench.cluster.client import ClusterClient
from workbench.errors import ClusterError, WorkbenchError
from workbench.objects import new_object_id

# The servers' thread uses `random` while a test draws; the strategies do not.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

T = TypeVar("T")
EXAMPLES = int(os.environ.get("WORKBENCH_GARBAGE_EXAMPLES", "6"))
_THREADS = 8
LIMIT = 60.0
"""Seconds after which an answer hangs."""


class Trap:
    """Who unpickles it is caught."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class Servers:
    """A scheduler and a worker in an event loop of their own, as their processes would have it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        # All of its threads are there from the beginning: one that starts in the middle of a test is no leak of that test.
        self._threads = ThreadPoolExecutor(_THREADS)
        self._loop.set_default_executor(self._threads)
        here = threading.Barrier(_THREADS)
        list(self._threads.map(lambda _: here.wait(), range(_THREADS)))
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._threads.shutdown()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that happens in that loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    async def _start(self) -> None:
        self.scheduler = await Scheduler(dashboard_address=":0", protocol="tcp://", host="127.0.0.1")
        self.plugin = WorkbenchSchedulerPlugin()
        await self.scheduler.register_scheduler_plugin(self.plugin, "workbench", idempotent=True)
        self.worker = await Worker(self.scheduler.address, dashboard_address=":0", nthreads=1)
        self.worker_plugin = WorkbenchWorkerPlugin(str(self._directory))
        await self.worker.plugin_add(self.worker_plugin, "workbench", catch_errors=False)
        self.client = ClusterClient(self.worker)
        while (await self.client.ask("hello"))["not_joined"]:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)

    async def _stop(self) -> None:
        await self.worker.close()
        await self.scheduler.close()

    def ask(self, address: str, verb: Any, arguments: Any, version: Any = messages.PROTOCOL) -> Any:
        """Send one message, and return the reply."""

        async def send() -> Any:
            comm = await connect(address)
            try:
                await comm.write({"op": messages.OP, "verb": verb, "arguments": arguments, "version": version})
                return await comm.read()
            finally:
                await comm.close()

        return self.run(send())

    def flush(self) -> None:
        """Wait until the scheduler has heard of all that the store has and has not."""
        self.run(self.worker_plugin._announcer.flush())

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Keep the node's own announcements back."""
        self.flush()
        lock = self.worker_plugin._announcer._lock
        self.run(lock.acquire())
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(lock.release)

    def works(self) -> None:
        """Check that a put is still announced, and found by its name."""
        store = self.worker_plugin.store
        put = store.put(codecs.encode(np.arange(3)), "canary").id
        assert self.run(self.client.a_locate("canary")).id == put
        store.delete(put)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One scheduler and one worker for the tests of this module."""
    with Servers(tmp_path_factory.mktemp("servers") / "store") as started:
        yield started


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
ids = st.builds(new_object_id)
garbage = st.recursive(
    scalars | ids,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _parameters(handler: Any) -> list[str]:
    return list(inspect.signature(handler).parameters)


@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_garbage_is_answered_with_an_error_by_every_verb(servers: Servers, data: st.DataObject) -> None:
    """Whatever a message carries: the answer is a result or an error of a known kind, in bounded time, and everything still works."""
    known = messages._errors(WorkbenchError).keys() | {"bad-input"}
    for address, verbs in (
        (servers.scheduler.address, servers.plugin._verbs),
        (servers.worker.address, servers.worker_plugin._verbs),
    ):
        for verb, handler in verbs.items():
            names = _parameters(handler)
            arguments = data.draw(st.dictionaries(st.sampled_from(names), garbage) if names else st.just({}))
            if verb in ("wait", "bring", "flush"):
                arguments.pop("seconds", None)
            reply = servers.ask(address, verb, arguments)
            assert set(reply) in ({"result"}, {"error"}), (verb, arguments, reply)
            if "error" in reply:
                assert reply["error"]["kind"] in known
                assert "Error: " not in reply["error"]["message"].partition("(")[0], (verb, arguments, reply)
        extra = data.draw(garbage)
        assert set(servers.ask(address, extra, extra)) == {"error"}
    servers.works()


@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_a_damaged_announcement_changes_nothing(servers: Servers, data: st.DataObject) -> None:
    """One field of one object that is not what it should be, and nothing of the announcement is applied."""
    catalog = servers.plugin.catalog
    [node] = catalog.nodes.values()
    fields: list[Any] = [new_object_id(), 0, [3], 24, 0, 1.0, 1.0, False, None, {}, ["damaged"], "memory"]
    place = data.draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 9, 10, 11]))
    fields[place] = data.draw(
        st.dictionaries(st.integers(0, 9), st.integers(0, 9), min_size=1)
        | st.binary()
        | st.just([[]])
        | st.just(-1)
        | st.just(float("nan"))
    )
    said: dict[str, Any] = {
        "worker": servers.worker.address,
        "node": node.id,
        "full": False,
        "begins": False,
        "ends": False,
        "removed": [],
        "capacity": 1,
        "used": 1,
        "parts": {},
        "gone": [],
        "added": {"forms": [["array", "numpy.ndarray", {"": "int64"}, []]], "objects": [fields]},
    }
    with servers.silence():
        said["sequence"] = node.sequence + 1
        before = (node.sequence, node.used, len(node.objects))
        reply = servers.ask(servers.scheduler.address, "announce", said)
        assert reply["error"]["kind"] == ClusterError.kind, (fields, reply)
        assert (node.sequence, node.used, len(node.objects)) == before


def test_the_scheduler_unpickles_nothing(servers: Servers, tmp_path: Path) -> None:
    """An object that Dask would carry as a pickle stays one."""
    for verb, name in (("locate", "key"), ("announce", "added"), ("join", "node"), ("forget", "objects")):
        reply = servers.ask(servers.scheduler.address, verb, {name: to_serialize(Trap(tmp_path / "caught"))})
        assert set(reply) == {"error"}
    assert not (tmp_path / "caught").exists()


def test_another_version_is_told_on_both_sides(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    """Who asks gets an error with both versions, who is asked logs it once, and everybody else goes on."""
    messages._told.clear()
    for address in (servers.scheduler.address, servers.worker.address):
        for _ in range(2):
            reply = servers.ask(address, "flush", {}, version=messages.PROTOCOL + 1)
            with pytest.raises(
                ClusterError, match=f"speaks version {messages.PROTOCOL} .* in version {messages.PROTOCOL + 1}"
            ):
                messages.unwrap(reply, "The node")
    logged = [record.getMessage() for record in caplog.records if record.name == "workbench.messages"]
    assert len(logged) == 1
    assert f"speaks version {messages.PROTOCOL + 1}" in logged[0]
    servers.works()


def _metrics(server: Any) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_server.port}/metrics", timeout=LIMIT) as response:
        lines = response.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith("workbench_")}


def test_prometheus_is_told(servers: Servers) -> None:
    """Objects, replicas and bytes of each node, announcements and the store's memory are on Dask's own /metrics."""
    pytest.importorskip("prometheus_client")
    store = servers.worker_plugin.store
    servers.flush()
    before = _metrics(servers.scheduler)
    nbytes = servers.run(_locate(servers, store.put(codecs.encode(np.zeros(100_000)), "measured").id))
    found = _metrics(servers.scheduler)
    [node] = servers.plugin.catalog.nodes.values()
    assert found["workbench_objects"] == before["workbench_objects"] + 1
    assert found[f'workbench_replicas{{node="{node.name}"}}'] == len(node.objects)
    assert found[f'workbench_bytes{{node="{node.name}",state="memory"}}'] >= nbytes
    assert found["workbench_announcements_total"] > before["workbench_announcements_total"]
    of_worker = _metrics(servers.worker)
    assert of_worker['workbench_store_bytes{state="sealed"}'] >= nbytes
    assert of_worker["workbench_announcements_made_total"] >= 2
    store.delete("measured")


async def _locate(servers: Servers, key: str) -> int:
    return (await servers.client.a_locate(key)).nbytes
