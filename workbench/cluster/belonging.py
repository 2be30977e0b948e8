"""A store belongs to one cluster at a time: workers of a second one are told so.

Two schedulers would each take the union of their own nodes for the truth, and undo each other's names. The connection file in the store's directory
says which cluster was there first (``workbench/connection.py``). A scheduler that does not answer is taken for dead, so that nothing has to be cleaned up after a crash. Two clusters that come up
in the same instant may both find no file; that is not noticed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distributed.comm.core import connect
from distributed.core import send_recv

from workbench import connection
from workbench.errors import ClusterError
from workbench.store import default_directory

if TYPE_CHECKING:
    from distributed import Security, Worker

_PATIENCE: Final = 5.0
"""Seconds that the other scheduler has for an answer."""


async def identity(address: str, patience: float, connection_args: dict[str, Any]) -> str | None:
    """Return the id of the scheduler at an address, or None if there is none that answers in `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            comm = await connect(address, timeout=patience, **connection_args)
            try:
                return str((await send_recv(comm, op="identity", reply=True))["id"])
            finally:
                comm.abort()
    except (OSError, TimeoutError, ValueError, KeyError, TypeError):
        return None


async def other_scheduler(
    directory: Path, address: str, own: str | None, connection_args: dict[str, Any]
) -> str | None:
    """Return the address of another living scheduler to whose cluster a store belongs, or None.

    Parameters
    ----------
    directory : Path
        The store.
    address : str
        Of the own scheduler; empty if there is none yet.
    own : str, optional
        Its id. One scheduler may have several addresses.
    connection_args : dict
        For Dask's ``connect``.
    """
    found = connection.read(directory)
    if found is None or found.scheduler == address:
        return None
    if (await asyncio.to_thread(connection.why_dead, found)) is not None:
        return None
    theirs = await identity(found.scheduler, _PATIENCE, connection_args)
    return found.scheduler if theirs is not None and theirs != own else None


async def refuse_second(worker: Worker, directory: str | None) -> None:
    """Refuse a worker whose store belongs to another cluster.

    Raises
    ------
    ClusterError
        It names the scheduler that was first.
    """
    path = default_directory() if directory is None else Path(directory)
    address = worker.scheduler.address
    if connection.read(path) is None:
        return
    own = str((await worker.scheduler.identity())["id"])
    other = await other_scheduler(path, address, own, worker.connection_args)
    if other is not None:
        raise second(path, address, other)


def refuse_new(directory: Path, security: Security) -> None:
    """Refuse a new cluster for a store that belongs to another one, before anything of it is started.

    Raises
    ------
    ClusterError
        It names the scheduler that is there.
    """
    if connection.read(directory) is None:
        return
    look = other_scheduler(directory, "", None, security.get_connection_args("worker"))
    with ThreadPoolExecutor(1) as thread:  # a notebook's own thread runs an event loop already
        other = thread.submit(asyncio.run, look).result()
    if other is not None:
        raise second(directory, "", other)


def second(directory: Path, address: str, other: str) -> ClusterError:
    """Return the error for a cluster that comes second."""
    return ClusterError(
        f"The store {directory} belongs to the cluster of the scheduler at {other}, which is running, so it cannot also belong to "
        f"{f'that of {address}' if address else 'a new one'}. Join that cluster (wb.connect({other!r})), end it, or give these workers a store of their own: "
        "WORKBENCH_DIR=... or WORKBENCH_NAMESPACE=..."
    )
