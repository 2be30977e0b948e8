"""The server's connection with a cluster: what of it is worth a place in the server's log."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from distributed import Client, Scheduler

from workbench import connection
from workbench.jupyter.server.link import Link


async def _lose_a_scheduler(directory: Path) -> None:
    link = Link(5.0, logging.getLogger("tests.link"))
    async with Scheduler(host="127.0.0.1", dashboard_address=":0") as scheduler:
        connection.write(directory, scheduler.address, "a" * 32)
        await link.follow(directory)
        async with Client(scheduler.address, asynchronous=True, set_as_default=False, timeout=0.5) as other:
            await scheduler.close()
            deadline, gone = asyncio.get_running_loop().time() + 20, False
            while not gone or other.status != "closed":
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.3)  # in which Dask's client has begun to look for it again
                await link.follow(directory)
                gone = gone or (await link.news(1)).state.state == "unreachable"
    await link.close()


def test_a_cluster_that_goes_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Dask's client tries for a while to reach it again, and tells each failure with its traceback; of other clients of the process nothing is kept back."""
    with caplog.at_level(logging.INFO):
        asyncio.run(_lose_a_scheduler(tmp_path))
    said = [record.getMessage() for record in caplog.records if record.name == "tests.link"]
    assert [text.rpartition(" ")[2] for text in said if "has gone" in text] == ["gone"]
    errors = [
        record for record in caplog.records if record.name == "distributed.client" and record.levelno >= logging.ERROR
    ]
    assert [record.getMessage().partition(" after")[0] for record in errors] == ["Failed to reconnect to scheduler"]
    assert errors[0].exc_info is None
