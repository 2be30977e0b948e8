"""The Dask side of the workbench: several nodes, one catalog, objects that move between them.

This module is a Dask preload: ``dask scheduler --preload workbench.cluster`` and ``dask worker --preload workbench.cluster`` make a
cluster of hosts that share objects. ``wb.connect`` does the same to a cluster that runs already.

Reading order: ``nodes.py``, ``catalog.py`` (with ``records.py``, ``inventory.py``, ``indexes.py`` and ``names.py``), ``placement.py`` and ``policies.py`` (all pure),
``scheduler_plugin.py``, ``actions.py``, ``manager.py``, ``keeper.py``, ``worker_plugin.py``, ``announcer.py`` and ``announcements.py``, ``fetching.py``, ``transfer.py``, ``ranges.py``, ``lines.py`` (with ``line_server.py``, ``sockets.py`` and ``threads.py``), ``guarding.py``, ``client.py`` (with ``channel.py``), ``operations.py``;
beside them ``visiting.py`` (hosts without a worker), ``locality.py`` (tasks run where their objects are), ``memory.py`` (what
Dask counts as a worker's memory), ``connecting.py``, ``connection.py``, ``belonging.py``, ``local.py`` (with ``interrupts.py``) and ``messages.py``.
"""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, Worker

from workbench.cluster.client import ClusterClient
from workbench.cluster.connecting import connect
from workbench.cluster.messages import PLUGIN
from workbench.cluster.operations import Operation
from workbench.cluster.scheduler_plugin import WorkbenchSchedulerPlugin
from workbench.cluster.worker_plugin import WorkbenchWorkerPlugin, current

__all__ = [
    "ClusterClient",
    "Operation",
    "WorkbenchSchedulerPlugin",
    "WorkbenchWorkerPlugin",
    "connect",
    "current",
    "dask_setup",
]


async def dask_setup(server: Any) -> None:
    """Add the plugin to a scheduler or a worker that was started with ``--preload workbench.cluster``; called by Dask.

    Raises
    ------
    StoreError
        If the worker's store cannot be used. Dask logs it, and the worker works on without the workbench.
    """
    if isinstance(server, Scheduler):
        await server.register_scheduler_plugin(WorkbenchSchedulerPlugin(), PLUGIN, idempotent=True)
    elif isinstance(server, Worker):
        await server.plugin_add(WorkbenchWorkerPlugin(), PLUGIN, catch_errors=False)
