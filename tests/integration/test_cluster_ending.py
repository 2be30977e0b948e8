"""A worker that ends while its store is busy: it always does, and soon."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from distributed import Scheduler, Worker

import workbench as wb
from tests.store.encoding import encoded
from workbench.cluster import WorkbenchSchedulerPlugin, WorkbenchWorkerPlugin, lines, messages, visiting, worker_plugin
from workbench.store import Store

SOON = 20.0
"""Seconds; Dask and the farewell to a scheduler that has gone take some of them."""


@contextlib.asynccontextmanager
async def _cluster(directory: Path) -> AsyncIterator[tuple[Scheduler, Worker, WorkbenchWorkerPlugin]]:
    async with Scheduler(dashboard_address=":0", protocol="tcp://", host="127.0.0.1") as scheduler:
        await scheduler.register_scheduler_plugin(WorkbenchSchedulerPlugin(), "workbench", idempotent=True)
        async with Worker(scheduler.address, dashboard_address=":0", nthreads=1) as worker:
            plugin = WorkbenchWorkerPlugin(str(directory))
            await worker.plugin_add(plugin, "workbench", catch_errors=False)
            yield scheduler, worker, plugin


@contextlib.contextmanager
def _changing(directory: Path) -> Iterator[None]:
    """Put objects all the time, as a notebook on the host would."""
    over = threading.Event()

    def put() -> None:
        with Store.open(directory) as store:
            number = 0
            while not over.wait(0.001):
                number += 1
                store.put(encoded(100), f"p-{number % 20}")

    thread = threading.Thread(target=put)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_worker_ends_while_its_store_changes(store_directory: Path) -> None:
    """Also when the scheduler goes in the same moment; what it was told to do in its store meanwhile is not in the way."""

    async def end() -> None:
        async with _cluster(store_directory) as (scheduler, worker, _):
            await asyncio.sleep(0.2)
            closing = asyncio.create_task(scheduler.close())
            await asyncio.wait_for(worker.close(), SOON)
            await closing

    with _changing(store_directory):
        for _ in range(5):
            asyncio.run(end())


def test_a_worker_does_not_wait_for_ever_for_what_never_ends(
    store_directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says in its log that something is left behind; its event loop goes on until then."""
    monkeypatch.setattr(worker_plugin, "_ENDING", 0.5)
    release = threading.Event()

    async def end() -> None:
        async with _cluster(store_directory) as (_, worker, plugin):
            plugin._executor.submit(release.wait)
            turns = 0
            closing = asyncio.create_task(worker.close())
            began = time.monotonic()
            while not closing.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert time.monotonic() - began < SOON
            assert turns > 10
            release.set()

    try:
        asyncio.run(end())
    finally:
        release.set()
    assert "has not ended within" in caplog.text


@pytest.mark.parametrize("op", [messages.OP, lines.OP, visiting.OP])
def test_a_worker_that_has_left_refuses_what_others_ask_yet(
    store_directory: Path, caplog: pytest.LogCaptureFixture, op: str
) -> None:
    """They may not have heard of it: the answer is an error, and the log has nothing about a handler that is missing."""
    release = threading.Event()

    async def end() -> None:
        async with _cluster(store_directory) as (scheduler, worker, plugin):
            plugin._executor.submit(release.wait)
            closing = asyncio.create_task(worker.close())
            try:
                async with asyncio.timeout(SOON):
                    while worker.handlers[messages.OP] == plugin._handle:  # noqa: ASYNC110  # nobody tells
                        await asyncio.sleep(0.01)
                    answer = await getattr(scheduler.rpc(worker.address), op)(version=messages.PROTOCOL)
            finally:
                release.set()
                await closing
            with pytest.raises(wb.ClusterError, match=f"The worker at {worker.address} ends"):
                messages.unwrap(answer, "It")

    asyncio.run(end())
    assert "No handler" not in caplog.text
