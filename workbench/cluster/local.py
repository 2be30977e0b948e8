"""A cluster of several nodes on one machine: for trying things out, for tests, and for one large machine.

Covers the stores of the nodes and which worker uses which; starting and stopping processes is Dask's. The first node is the user's
own store, so notebooks beside the cluster share with it at once; a capacity that the cluster gave it ends with the cluster. The other nodes have sibling directories, ``<store>.node-2`` and so
on, that live as long as the cluster. A cluster that was killed leaves them behind; the next one uses them again, with what is in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import inspect
import logging
import math
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import distributed
from dask.system import CPU_COUNT
from dask.utils import parse_bytes
from distributed.worker_memory import parse_memory_limit

from workbench import config, connection, leftovers
from workbench.cluster import belonging, messages
from workbench.cluster.catalog import ClusterCatalog
from workbench.errors import ClusterError
from workbench.objects import ObjectId, format_nbytes, is_object_id
from workbench.store import Store, default_directory
from workbench.store.directory import DEFAULT_NAMESPACE, MINIMUM_CAPACITY
from workbench.store.loans import Loan
from workbench.texts import counted

logger = logging.getLogger("workbench.local")

_PRELOAD: Final = "workbench.cluster"
_PRELOAD_OF_WORKERS: Final = "workbench.cluster.interrupts"
_NOT_TAKEN: Final = ("n_workers", "processes", "worker_class")
_NAMED: Final = 5
"""Objects that a warning names."""
_START_TIMEOUT: Final = 60.0
"""Seconds until nodes that did not join are an error; a worker process takes about two to start."""


class LocalCluster(distributed.LocalCluster):
    """A Dask cluster with several nodes on this machine, each with a store and worker processes of its own.

    Parameters
    ----------
    nodes : int
        How many nodes.
    workers_per_node : int
        Worker processes of each.
    capacity : int or str, optional
        Bytes that each node's store may use while the cluster runs, or text such as ``"2 GiB"``. By default the first one keeps its
        own, and each of the others gets that divided by the number of nodes, since all of them lie in the memory of one machine.
    directory : path, optional
        The first node's store; the user's own if it is not given.
    **kwargs
        What ``distributed.LocalCluster`` takes: ``memory_limit``, ``threads_per_worker``, ``security``, ``dashboard_address``, ...

    Raises
    ------
    StoreError
        If a store cannot be made.
    ClusterError
        If the nodes do not come up.

    Examples
    --------
    >>> with wb.LocalCluster(nodes=2) as cluster, Client(cluster) as client:  # doctest: +SKIP
    ...     wb.nodes()
    """

    def __init__(
        self,
        nodes: int = 2,
        workers_per_node: int = 1,
        capacity: int | str | None = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        for name, number in (("nodes", nodes), ("workers_per_node", workers_per_node)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is {number!r}; it must be a whole number from 1 on.")
        for name in _NOT_TAKEN:
            if name in kwargs:
                raise TypeError(f"wb.LocalCluster takes nodes and workers_per_node instead of {name}.")
        _refuse_unknown(kwargs)
        self._nodes = nodes
        self._per_node = workers_per_node
        self._asked = False
        self._siblings: list[_Sibling] = []
        own = Path(directory).expanduser().absolute() if directory is not None else default_directory()
        belonging.refuse_new(own, _security(kwargs.get("security")))
        self._directories = [own]
        self._loan: Loan | None = None
        with Store.open(own) as store:
            before = store.catalog.capacity
            _give_back(store)
            if capacity is not None and (nbytes := config.get_nbytes("capacity", capacity)) is not None:
                self._loan = Loan(own, before, nbytes)
        try:
            Store.open(own, capacity=capacity).close()
            share = capacity if capacity is not None else max(MINIMUM_CAPACITY, before // nodes)
            for _ in range(nodes - 1):
                self._siblings.append(_Sibling.claim(own, share, self._siblings))
            self._directories += [sibling.directory for sibling in self._siblings]
            super().__init__(n_workers=0, processes=True, **self._options(kwargs))
            if not self.asynchronous:
                self.sync(self._joined)
        except BaseException:
            # Dask raises these where workers ended before they had begun, as by Ctrl-C; what counts is the error that was first.
            with contextlib.suppress(AssertionError, RuntimeError):
                if getattr(self, "status", None) is not None and not self.asynchronous:
                    self.close()
            self._give_back_capacity()
            self._remove_siblings()
            raise

    def _options(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        number = self._nodes * self._per_node
        options = {"threads_per_worker": max(1, math.ceil(CPU_COUNT / number)), **kwargs}
        limit = options.get("memory_limit", "auto")
        if limit == "auto":
            options["memory_limit"] = parse_memory_limit("auto", 1, number, logger=logger)
        elif isinstance(limit, str):
            try:
                parse_bytes(limit)
            except ValueError:
                raise ValueError(
                    f"memory_limit is {limit!r}, which is not a size: write bytes, text such as '2 GiB', or 'auto'."
                ) from None
        scheduler = dict(options.pop("scheduler_kwargs", None) or {})
        scheduler["preload"] = [*_as_list(scheduler.get("preload")), _PRELOAD]
        options["preload"] = [*_as_list(options.get("preload")), _PRELOAD, _PRELOAD_OF_WORKERS]
        return {**options, "scheduler_kwargs": scheduler}

    @property
    def directories(self) -> list[Path]:
        """The nodes' stores, the user's own first."""
        return list(self._directories)

    @property
    def catalog(self) -> ClusterCatalog:
        """What the nodes have announced; the scheduler runs in this process."""
        scheduler: Any = self.scheduler
        plugin: Any = scheduler.plugins[messages.PLUGIN]
        catalog: ClusterCatalog = plugin.catalog
        return catalog

    # -- hooks of Dask's SpecCluster -------------------------------------------------------------------------------

    def new_worker_spec(self) -> dict[Any, Any]:
        """Return the next worker: the nodes take turns, so that scaling keeps them alike; called by Dask."""
        [(name, spec)] = super().new_worker_spec().items()
        taken = [worker["workbench"] for worker in self.worker_spec.values()]
        node = min(range(self._nodes), key=lambda node: (taken.count(node), node))
        environment = {
            **(spec["options"].get("env") or {}),
            "WORKBENCH_DIR": str(self._directories[node]),
            "WORKBENCH_NAMESPACE": DEFAULT_NAMESPACE,
            "WORKBENCH_NODE": f"node-{node + 1}",
        }
        return {name: {**spec, "options": {**spec["options"], "env": environment}, "workbench": node}}

    async def _start(self) -> None:
        await super()._start()
        while len(self.worker_spec) < self._nodes * self._per_node:
            self.worker_spec.update(self.new_worker_spec())

    async def _joined(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        wanted = self._nodes * self._per_node
        while len(self.catalog.announced_workers()) < wanted:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Not all of the {wanted} workers joined the cluster within {_START_TIMEOUT:.0f} s. Look in their log above "
                    f"for why; their stores are {', '.join(map(str, self._directories))}."
                )
            await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._joined()
        return self

    async def _close(self) -> None:
        if not self._asked and (lost := await self.ending_objects()):
            logger.warning(lost)
        await super()._close()
        if self._directories[0].exists():
            with Store.open(self._directories[0], create=False) as store:
                _give_back(store)
        self._give_back_capacity()
        self._remove_siblings()

    def _give_back_capacity(self) -> None:
        loan, self._loan = self._loan, None
        if loan is None:
            return
        if not self._directories[0].exists():
            loan.forget()
            return
        with Store.open(self._directories[0], create=False) as store:
            loan.end(store.catalog)

    async def ending_objects(self) -> str:
        """Return which objects are only in the stores that closing removes, for people; empty if none is. Closing does not say it again."""
        self._asked = True
        scheduler: Any = self.scheduler
        if not self._siblings or scheduler is None or messages.PLUGIN not in scheduler.plugins:
            return ""
        own = connection.read(self._directories[0])
        ending: dict[str, int] = {}
        for info in self.catalog.ls():
            if own is None or info.kind == "dataset" or any(replica.node == own.node for replica in info.replicas):
                continue
            title = info.name or info.tags.get("dataset", info.id)
            ending[title] = ending.get(title, 0) + info.nbytes
        if not ending:
            return ""
        named = ", ".join(
            f"{self._title(key)} ({format_nbytes(nbytes)})" for key, nbytes in list(ending.items())[:_NAMED]
        )
        more = f" and {len(ending) - _NAMED} more" if len(ending) > _NAMED else ""
        return (
            f"{counted(len(ending), 'object')} {'was' if len(ending) == 1 else 'were'} only on other nodes of this cluster, and ended with it: {named}{more}. What shall stay is moved to the first node, "
            "or saved, before: wb.move(key, to='node-1'), wb.save."
        )

    def _title(self, key: str) -> str:
        """Name an object, or the dataset to which partitions belong."""
        found = self.catalog.inventory.get(ObjectId(key)) if is_object_id(key) else None
        return repr(found.names[0] if found is not None and found.names else key)

    def _remove_siblings(self) -> None:
        while self._siblings:
            self._siblings.pop().remove()


class _Sibling:
    """A store beside the user's own; the lock says that its cluster is alive."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self._lock = lock

    @classmethod
    def claim(cls, own: Path, capacity: int | str, claimed: list[_Sibling]) -> _Sibling:
        """Return the first sibling that no living cluster uses, made if need be."""
        number = 1
        while True:
            number += 1
            directory = leftovers.sibling(own, number)
            if any(sibling.directory == directory for sibling in claimed):
                continue
            Store.open(directory, capacity=capacity).close()
            lock = leftovers.claim(directory)
            if lock is not None:
                with Store.open(directory) as store:
                    _give_back(store)
                return cls(directory, lock)
            if not directory.exists():
                number -= 1  # the doctor has just removed it

    def remove(self) -> None:
        """Remove the store and all that is in it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)
        os.close(self._lock)


def _refuse_unknown(options: Iterable[str]) -> None:
    """Refuse what neither this cluster nor Dask's cluster, nanny or worker takes: Dask notices it in the worker, in whose log it then is."""
    classes = (LocalCluster, *distributed.Nanny.__mro__, *distributed.Worker.__mro__, distributed.LocalCluster)
    known = {
        name
        for cls in classes
        if "__init__" in vars(cls)
        for name in inspect.signature(vars(cls)["__init__"]).parameters
    }
    for name in options:
        if name not in known:
            alike = difflib.get_close_matches(name, known - {"self", *_NOT_TAKEN}, 1)
            meant = f"; did you mean {alike[0]}?" if alike else " (what distributed.LocalCluster takes is taken, too)."
            raise TypeError(f"wb.LocalCluster takes no argument {name}{meant}")


def _give_back(store: Store) -> None:
    """End that a node is drained: that is remembered for the next scheduler of its cluster, and this cluster ends with its scheduler."""
    if store.drained:
        store.drained = False


def _security(value: Any) -> distributed.Security:
    """Return what ``distributed.LocalCluster`` makes of its argument; certificates that it would only make now open no other cluster."""
    if isinstance(value, distributed.Security):
        return value
    return distributed.Security(**value) if isinstance(value, dict) else distributed.Security()


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
